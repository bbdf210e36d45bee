//! A collection of faces: the cast enrolled, once, by content.

use std::{collections::BTreeMap, fmt, sync::Arc};

use aws_sdk_rekognition::types::{Attribute, QualityFilter};
use image::{Rgb, RgbImage, RgbaImage};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    calls::{Calls, Operation},
    options::is_collection_id,
    picture,
};
use crate::{
    aws::{AwsContext, tagged::TAG},
    error::{Error, ErrorKind, Result},
    layers::{Cache, Meter},
    store::slug,
    train::{Entry, Happened, Ledger, ResourceKind},
    types::Cast,
};

/// Below this similarity a face is not joined to a user, in percent; the service's own default.
const USER_THRESHOLD: f32 = 75.0;
/// Most faces that one request joins to a user.
const FACES_A_REQUEST: usize = 100;

/// What is behind a transparent reference.
const GREY: f32 = 128.0;

/// What enrolling did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Enrolment {
    /// The collection.
    pub collection: String,
    /// Whether the collection is new.
    pub created: bool,
    /// One entry a reference picture, in the cast's order.
    pub references: Vec<EnrolledReference>,
    /// Characters whose faces were joined to a user now, with how many faces.
    pub users: BTreeMap<String, usize>,
}

/// A reference picture and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnrolledReference {
    /// Whom it shows.
    pub character: String,
    /// The file.
    pub picture: String,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: ReferenceOutcome,
}

/// What became of a reference picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ReferenceOutcome {
    /// Its face is in the collection now.
    Enrolled {
        /// More faces are in the picture; only the largest was enrolled.
        other_faces: usize,
    },
    /// Its face was in the collection already: nothing was asked or paid.
    Known,
    /// Its face cannot be used.
    Rejected {
        /// The service's reasons, or picchu's.
        reason: String,
    },
}

impl fmt::Display for ReferenceOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enrolled { other_faces: 0 } => f.write_str("enrolled"),
            Self::Enrolled { other_faces } => {
                write!(
                    f,
                    "enrolled; {other_faces} smaller faces in it were left out: does it show the character alone?"
                )
            }
            Self::Known => f.write_str("known already"),
            Self::Rejected { reason } => write!(f, "rejected: {reason}"),
        }
    }
}

/// A collection of faces.
#[derive(Debug)]
pub struct FaceCollection {
    calls: Calls,
    id: String,
    region: String,
}

impl FaceCollection {
    /// The collection with this id, which need not exist yet.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an id that is none.
    pub fn new(context: &AwsContext, id: impl Into<String>, meter: Arc<Meter>) -> Result<Self> {
        let id = id.into();
        if !is_collection_id(&id) {
            return Err(Error::invalid(format!(
                "{id:?} is not the id of a collection: 1 to 255 letters, digits, '_', '.' and '-'"
            )));
        }
        let calls = Calls::new(context, 4, None, Arc::new(Cache::default()), meter)?;
        Ok(Self { calls, id, region: context.region().to_owned() })
    }

    /// Enrols the cast: one face a reference picture. The collection is made if it does not exist; what it holds
    /// already is not sent again, so a second run costs nothing. Pictures that the service rejects are told with its
    /// reasons and keep nobody else out.
    ///
    /// With `users`, the faces of each character are also joined to a user, for searches by user.
    ///
    /// # Errors
    /// For unreadable pictures; for calls that are refused as a whole.
    pub async fn enrol(&self, cast: &Cast, users: bool, ledger: Option<&Ledger>) -> Result<Enrolment> {
        let reading = cast.clone();
        let pictures = crate::blocking(move || reading.reference_pictures()).await?;
        if pictures.is_empty() {
            return Err(Error::invalid(
                "no character of the cast has a reference picture; there is nobody to enrol",
            ));
        }
        let created = self.create(ledger).await?;
        let mut known = contents(&self.calls, &self.id).await?;
        let mut references = Vec::new();
        for reference in pictures {
            let picture = reference.path.display().to_string();
            let character = reference.character;
            let image = Arc::new(opaque(&reference.image));
            let id = external_id(&character, &image);
            let outcome = if known.iter().any(|face| face.external_id == id) {
                ReferenceOutcome::Known
            } else {
                match self.index(&id, &image).await {
                    Ok((outcome, face)) => {
                        known.extend(face);
                        outcome
                    }
                    // One picture that cannot be used keeps nobody else out.
                    Err(e) if e.kind() == ErrorKind::InvalidInput => {
                        ReferenceOutcome::Rejected { reason: e.message().to_owned() }
                    }
                    Err(e) => return Err(e),
                }
            };
            references.push(EnrolledReference { character, picture, outcome });
        }
        let mut joined = BTreeMap::new();
        if users {
            for name in cast.names() {
                let faces = self.join(name, &known).await?;
                if faces > 0 {
                    joined.insert(name.to_owned(), faces);
                }
            }
        }
        Ok(Enrolment { collection: self.id.clone(), created, references, users: joined })
    }

    /// Deletes the collection with its faces and users. Deleting what is gone is no error.
    ///
    /// # Errors
    /// As the service says.
    pub async fn delete(&self, ledger: Option<&Ledger>) -> Result<()> {
        let operation = Operation::Control("rekognition DeleteCollection");
        let gone = self
            .calls
            .send(operation, || self.calls.client.delete_collection().collection_id(&self.id).send())
            .await;
        match gone {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        if let Some(ledger) = ledger {
            ledger.note(&self.entry().now(Happened::Ended)).await?;
        }
        Ok(())
    }

    /// Whether the service has it. That question is not billed.
    ///
    /// # Errors
    /// As the service says.
    pub async fn exists(&self) -> Result<bool> {
        let there = self
            .calls
            .send(Operation::Control("rekognition DescribeCollection"), || {
                self.calls.client.describe_collection().collection_id(&self.id).send()
            })
            .await;
        match there {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn entry(&self) -> Entry {
        Entry::creating(ResourceKind::FaceCollection, &self.id, &self.region)
    }

    /// Makes the collection if it is not there, and says whether it was made.
    async fn create(&self, ledger: Option<&Ledger>) -> Result<bool> {
        if self.exists().await? {
            return Ok(false);
        }
        let entry = self.entry();
        if let Some(ledger) = ledger {
            ledger.note(&entry).await?;
        }
        let made = self
            .calls
            .send(Operation::Control("rekognition CreateCollection"), || {
                self.calls.client.create_collection().collection_id(&self.id).tags(TAG.0, TAG.1).send()
            })
            .await;
        let created = match made {
            Ok(_) => true,
            // Somebody else made it meanwhile.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => false,
            Err(e) => return Err(e),
        };
        if let Some(ledger) = ledger {
            ledger.note(&entry.now(if created { Happened::Created } else { Happened::Ended })).await?;
        }
        Ok(created)
    }

    /// Sends one reference. The face that is known now comes along.
    async fn index(
        &self,
        id: &str,
        reference: &Arc<RgbImage>,
    ) -> Result<(ReferenceOutcome, Option<KnownFace>)> {
        let image = picture::image(reference, picture::IMAGE, None).await?;
        let answer = self
            .calls
            .send(Operation::IndexFaces, || {
                self.calls
                    .client
                    .index_faces()
                    .collection_id(&self.id)
                    .image(image.clone())
                    .external_image_id(id)
                    .detection_attributes(Attribute::Default)
                    .max_faces(1)
                    .quality_filter(QualityFilter::Auto)
                    .send()
            })
            .await?;
        let reasons = |face: &aws_sdk_rekognition::types::UnindexedFace| -> Vec<String> {
            face.reasons().iter().map(|r| r.as_str().to_owned()).collect()
        };
        if let Some(face) = answer.face_records().first().and_then(|record| record.face()) {
            let too_many = |face: &&_| reasons(face).iter().any(|r| r == "EXCEEDS_MAX_FACES");
            let other_faces = answer.unindexed_faces().iter().filter(too_many).count();
            let known = KnownFace {
                face: face.face_id().unwrap_or_default().to_owned(),
                external_id: id.to_owned(),
                user: None,
            };
            return Ok((ReferenceOutcome::Enrolled { other_faces }, Some(known)));
        }
        let mut why: Vec<String> = answer.unindexed_faces().iter().flat_map(reasons).collect();
        why.dedup();
        let reason = if why.is_empty() { "the service finds no face in it".into() } else { why.join(", ") };
        Ok((ReferenceOutcome::Rejected { reason }, None))
    }

    /// Joins a character's faces to its user, and says how many were joined now.
    async fn join(&self, character: &str, known: &[KnownFace]) -> Result<usize> {
        let user = user_id(character);
        let faces: Vec<&str> = known
            .iter()
            .filter(|face| face.user.is_none() && shows(&face.external_id, character))
            .map(|face| face.face.as_str())
            .collect();
        if faces.is_empty() {
            return Ok(0);
        }
        let client = &self.calls.client;
        let made = self
            .calls
            .send(Operation::Control("rekognition CreateUser"), || {
                client.create_user().collection_id(&self.id).user_id(&user).send()
            })
            .await;
        match made {
            // The user exists already.
            Err(e) if !e.message().contains("ConflictException") => return Err(e),
            _ => {}
        }
        let mut joined = 0;
        for some in faces.chunks(FACES_A_REQUEST) {
            let answer = self
                .calls
                .send(Operation::AssociateFaces, || {
                    client
                        .associate_faces()
                        .collection_id(&self.id)
                        .user_id(&user)
                        .set_face_ids(Some(some.iter().map(|&id| id.to_owned()).collect()))
                        .user_match_threshold(USER_THRESHOLD)
                        .send()
                })
                .await?;
            joined += answer.associated_faces().len();
        }
        Ok(joined)
    }
}

/// A face in a collection.
#[derive(Clone, Debug)]
pub(super) struct KnownFace {
    face: String,
    pub(super) external_id: String,
    pub(super) user: Option<String>,
}

/// Every face of a collection.
pub(super) async fn contents(calls: &Calls, collection: &str) -> Result<Vec<KnownFace>> {
    let mut known = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let answer = calls
            .send(Operation::ListFaces, || {
                calls
                    .client
                    .list_faces()
                    .collection_id(collection)
                    .max_results(1000)
                    .set_next_token(next.clone())
                    .send()
            })
            .await?;
        known.extend(answer.faces().iter().filter_map(|face| {
            Some(KnownFace {
                face: face.face_id()?.to_owned(),
                external_id: face.external_image_id().unwrap_or_default().to_owned(),
                user: face.user_id().map(str::to_owned),
            })
        }));
        match answer.next_token() {
            Some(token) => next = Some(token.to_owned()),
            None => return Ok(known),
        }
    }
}

/// A user of a collection for a character: readable, and different for different names.
pub(super) fn user_id(character: &str) -> String {
    format!("{}.{}", slug(character), short_hash(Sha256::new_with_prefix(character)))
}

/// The name of a reference in a collection: whom it shows, and the hash of its pixels.
fn external_id(character: &str, picture: &RgbImage) -> String {
    let mut hash = Sha256::new_with_prefix(picture.width().to_le_bytes());
    hash.update(picture.as_raw());
    format!("{}:{}", user_id(character), short_hash(hash))
}

/// Whether a face was enrolled for a character.
pub(super) fn shows(external_id: &str, character: &str) -> bool {
    external_id.rsplit_once(':').is_some_and(|(who, _)| who == user_id(character))
}

fn short_hash(hash: Sha256) -> String {
    crate::source::sha256_string(hash)["sha256:".len()..][..16].to_owned()
}

/// A reference over a plain grey, which no face is.
fn opaque(picture: &RgbaImage) -> RgbImage {
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [r, g, b, a] = picture.get_pixel(x, y).0;
        let alpha = f32::from(a) / 255.0;
        Rgb([r, g, b].map(|c| (f32::from(c) * alpha + GREY * (1.0 - alpha)).round() as u8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_to_the_services_alphabet_and_tell_names_apart() {
        let picture = RgbImage::new(90, 90);
        for name in ["Mayu", "Señora Ñandú", "映画", &"x".repeat(100)] {
            let id = external_id(name, &picture);
            let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b':');
            assert!(id.len() <= 128 && id.bytes().all(allowed), "{id}");
            assert!(shows(&id, name) && !shows(&id, "Ana"));
        }
        assert_ne!(user_id("映画"), user_id("漫画"));
        assert_ne!(external_id("Mayu", &picture), external_id("Mayu", &RgbImage::new(90, 91)));
    }
}
