//! Characters found by Amazon Rekognition: labels first, faces to name, a trained model for what stays unsure.
//!
//! ```no_run
//! # async fn f(cast: picchu::Cast) -> picchu::Result<()> {
//! use std::sync::Arc;
//! use picchu::aws::{AwsContext, AwsSettings, rekognition::{FaceCollection, RekognitionDetector, RekognitionOptions}};
//!
//! let context = AwsContext::from_env(&AwsSettings::default()).await?;
//! let faces = FaceCollection::new(&context, "my-film", Arc::default())?;
//! for reference in faces.enrol(&cast, false, None).await?.references {
//!     println!("{} {}: {}", reference.character, reference.picture, reference.outcome);
//! }
//! let options = RekognitionOptions { collection: Some("my-film".into()), ..RekognitionOptions::default() };
//! let detector = RekognitionDetector::open(&context, cast, options).await?;
//! # Ok(()) }
//! ```

mod calls;
mod collection;
mod compose;
mod look;
mod model;
mod options;
mod orphans;
mod picture;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use image::{RgbImage, imageops};
use sha2::{Digest, Sha256};

use self::{
    calls::{Calls, IMAGE},
    compose::Verdict,
    look::{Search, Seen},
    picture::Frames,
};
pub use self::{
    collection::{EnrolledReference, Enrolment, FaceCollection, ReferenceOutcome},
    model::{RunningModel, is_running, stop_version},
    options::{CustomLabelsOptions, FaceGrowth, FramesAt, RekognitionOptions},
    orphans::tagged_resources,
};
use super::AwsContext;
use crate::{
    detect::CharacterDetector,
    error::{Error, ErrorKind, Result},
    layers::{Cache, Meter},
    source::FrameSource,
    store::Store,
    train::Ledger,
    types::{Cast, Detection, Frame, PixelRect, ProviderInfo, Unit},
};

/// Frames of one call, worked on side by side.
const BATCH: usize = 16;
/// Most faces or users that one search gives.
const MAX_MATCHES: i32 = 20;

/// Finds and names characters by Amazon Rekognition.
///
/// A frame is asked for the labels of the cast (one paid call). Where there are some, and a collection is given, its
/// faces are found (one call), each is cut out and searched on its own (one call a face), and names the label box that
/// holds it. What is unsure then goes to the trained model, if one is given. Each detection says what decided it:
/// `rekognition:labels`, `rekognition:faces` or `rekognition:custom-labels`.
///
/// Answers are cached by the pixels of a frame and everything that is asked, so that equal frames are paid once.
#[derive(Clone, Debug)]
pub struct RekognitionDetector {
    inner: Arc<Inner>,
    /// The model that runs for this detector; held for its end, which comes when the last clone goes.
    _model: Option<Arc<RunningModel>>,
}

#[derive(Debug)]
struct Inner {
    context: AwsContext,
    calls: Calls,
    cast: Cast,
    options: RekognitionOptions,
    wanted: Vec<String>,
    /// Names of the cast by what the collection calls them.
    users: BTreeMap<String, String>,
    /// Hash of the collection's faces.
    content: String,
    frames: Option<Frames>,
    ledger: Option<Ledger>,
    meter: Arc<Meter>,
}

/// What a detector shares with the rest of a job.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Keeps the answers.
    pub cache: Arc<Cache>,
    /// Counts what they cost.
    pub meter: Arc<Meter>,
    /// Where a started model is written down. Without one, no model is started.
    pub ledger: Option<Ledger>,
    /// Writes to [`RekognitionOptions::frames_at`].
    pub frames: Option<Arc<dyn Store>>,
}

impl RekognitionDetector {
    /// A detector that keeps its answers in memory.
    ///
    /// # Errors
    /// As [`with_parts`](Self::with_parts).
    pub async fn open(context: &AwsContext, cast: Cast, options: RekognitionOptions) -> Result<Self> {
        Self::with_parts(context, cast, options, Parts::default()).await
    }

    /// A detector for a cast. Looks into the collection, if one is given; that call is not billed.
    ///
    /// # Errors
    /// For options out of range; [`NotFound`](ErrorKind::NotFound) for a collection that does not exist, and
    /// [`Config`](ErrorKind::Config) for one that holds nobody of the cast.
    pub async fn with_parts(
        context: &AwsContext,
        cast: Cast,
        options: RekognitionOptions,
        parts: Parts,
    ) -> Result<Self> {
        options.validate()?;
        cast.check()?;
        let wanted = compose::wanted_labels(&cast, &options.labels);
        if wanted.len() > 100 || wanted.iter().any(|l| l.chars().count() > 50) {
            return Err(Error::invalid("Rekognition takes at most 100 labels of at most 50 characters"));
        }
        if options.labels_first && wanted.is_empty() {
            return Err(Error::invalid("labels come first, but neither the cast nor the options name any"));
        }
        if options.custom_labels.as_ref().is_some_and(|m| m.start) && parts.ledger.is_none() {
            return Err(Error::new(
                ErrorKind::Config,
                "a model is started only where a ledger can be written",
            ));
        }
        let calls = Calls::new(
            context,
            options.concurrency,
            options.calls_per_second,
            parts.cache,
            Arc::clone(&parts.meter),
        )?;
        let frames = match (&options.frames_at, parts.frames) {
            (Some(at), Some(store)) => Some(Frames { at: at.clone(), store }),
            (Some(at), None) => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("frames cannot be put into {}: this build has no store for S3", at.bucket),
                ));
            }
            (None, _) => None,
        };
        let users: BTreeMap<_, _> =
            cast.names().map(|name| (collection::user_id(name), name.to_owned())).collect();
        let content = match &options.collection {
            Some(id) => content(&calls, id, &cast, options.search_users).await?,
            None => String::new(),
        };
        let inner = Inner {
            context: context.clone(),
            calls,
            cast,
            options,
            wanted,
            users,
            content,
            frames,
            ledger: parts.ledger,
            meter: parts.meter,
        };
        Ok(Self { inner: Arc::new(inner), _model: None })
    }
}

/// A hash of what a collection holds, which its answers depend on.
async fn content(calls: &Calls, id: &str, cast: &Cast, users: bool) -> Result<String> {
    let known = collection::contents(calls, id).await.map_err(|e| {
        if e.kind() == ErrorKind::NotFound {
            Error::new(
                ErrorKind::NotFound,
                format!("the collection {id} does not exist; make it with: picchu cast enrol CAST --collection {id}"),
            )
            .with_source(e)
        } else {
            e
        }
    })?;
    let ours = |face: &&collection::KnownFace| {
        cast.names().any(|name| collection::shows(&face.external_id, name)) && (!users || face.user.is_some())
    };
    if !known.iter().any(|face| ours(&face)) {
        let kind = if users { "user" } else { "face" };
        return Err(Error::new(
            ErrorKind::Config,
            format!(
                "the collection {id} has no {kind} of this cast; run: picchu cast enrol CAST --collection {id}"
            ),
        ));
    }
    let mut faces: Vec<String> = known
        .iter()
        .map(|face| format!("{} {}", face.external_id, face.user.as_deref().unwrap_or_default()))
        .collect();
    faces.sort();
    Ok(crate::source::sha256_string(Sha256::new_with_prefix(faces.join("\n"))))
}

#[async_trait]
impl CharacterDetector for RekognitionDetector {
    fn info(&self) -> ProviderInfo {
        let inner = &self.inner;
        // How fast and from where frames are sent changes no answer.
        let mut options = inner.options.clone();
        (options.concurrency, options.calls_per_second, options.frames_at) = (0, None, None);
        if let Some(model) = &mut options.custom_labels {
            (model.start, model.inference_units, model.poll_seconds, model.project) = (false, 0, 0.0, None);
        }
        let cast: Vec<_> = inner.cast.characters.iter().map(|c| (&c.name, &c.labels)).collect();
        let settings = serde_json::to_string(&(options, cast, &inner.content)).unwrap_or_default();
        let settings = crate::source::sha256_string(Sha256::new_with_prefix(settings));
        ProviderInfo::new("rekognition", "rekognition-1").settings(settings).max_batch(BATCH)
    }

    /// Labels, faces and the search of one face; frames with nobody cost less, crowds more.
    fn price(&self) -> Option<f64> {
        let one = self.inner.meter.prices().usd(IMAGE, Unit::Image)?;
        let calls = 1 + if self.inner.options.collection.is_some() { 2 } else { 0 };
        Some(one * f64::from(calls))
    }

    async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
        stream::iter(frames.to_vec())
            .map(|frame| self.inner.frame(frame.image))
            .buffered(BATCH)
            .try_collect()
            .await
    }

    /// Starts the trained model, if it is to be started for the run; the detector that comes back stops it when it is
    /// dropped.
    async fn learn(&self, _film: &dyn FrameSource) -> Result<Option<Arc<dyn CharacterDetector>>> {
        let inner = &self.inner;
        let (Some(options), Some(ledger)) = (&inner.options.custom_labels, &inner.ledger) else {
            return Ok(None);
        };
        if !options.start {
            return Ok(None);
        }
        let model = RunningModel::start(&inner.context, options, ledger, Arc::clone(&inner.meter)).await?;
        Ok(Some(Arc::new(Self { inner: Arc::clone(inner), _model: model.map(Arc::new) })))
    }
}

impl Inner {
    async fn frame(&self, picture: Arc<RgbImage>) -> Result<Vec<Detection>> {
        let (options, frames) = (&self.options, self.frames.as_ref());
        let mut detections = Vec::new();
        if !self.wanted.is_empty() {
            let (confidence, most) = (options.min_confidence, options.max_labels);
            let labels = look::labels(&self.calls, frames, &picture, &self.wanted, confidence, most).await?;
            if labels.is_empty() && options.labels_first {
                return Ok(Vec::new());
            }
            detections = compose::from_labels(&labels, &self.cast, &options.labels);
        }
        if let Some(collection) = &options.collection {
            let faces = look::faces(&self.calls, frames, &picture).await?;
            let named = self.name(&picture, collection, faces).await?;
            detections = compose::add_faces(detections, &named, options.character);
        }
        let unsure = detections.is_empty() || detections.iter().any(|d| d.character.is_none());
        if let Some(model) = options.custom_labels.as_ref().filter(|_| unsure) {
            let named =
                look::custom_labels(&self.calls, frames, &picture, &model.version, model.min_confidence)
                    .await?;
            detections = compose::add_custom_labels(detections, &named, &self.cast);
        }
        Ok(detections)
    }

    /// Searches each face on its own: of a picture with several, the service would search only the largest.
    async fn name(
        &self,
        picture: &Arc<RgbImage>,
        collection: &str,
        faces: Vec<Seen>,
    ) -> Result<Vec<(Seen, Verdict)>> {
        let search = Search {
            collection,
            content: &self.content,
            users: self.options.search_users,
            min_similarity: self.options.min_similarity,
            max_matches: MAX_MATCHES,
        };
        let search = &search;
        stream::iter(faces)
            .map(|face| async move {
                let (width, height) = picture.dimensions();
                let margin = self.options.face_margin;
                let Some(rect) = picture::around(face.bounding_box, margin, width, height) else {
                    return Ok((face, Verdict::default()));
                };
                let cut = cut(picture, rect).await?;
                let matches = look::search(&self.calls, &cut, search).await?;
                let verdict = compose::vote(&matches, self.options.min_lead, |id| {
                    let user = id.rsplit_once(':').map_or(id, |(user, _)| user);
                    self.users.get(user).cloned()
                });
                Ok((face, verdict))
            })
            .buffered(8)
            .try_collect()
            .await
    }
}

async fn cut(picture: &Arc<RgbImage>, rect: PixelRect) -> Result<Arc<RgbImage>> {
    let picture = Arc::clone(picture);
    crate::blocking(move || {
        let view = imageops::crop_imm(&*picture, rect.x, rect.y, rect.width, rect.height);
        Ok(Arc::new(view.to_image()))
    })
    .await
}
