//! What the service sees in one picture, as plain data: labels, faces, custom labels.

use std::sync::Arc;

use aws_sdk_rekognition::types::{
    self as sdk, Attribute, DetectLabelsFeatureName, DetectLabelsSettings, GeneralLabelsSettings,
    QualityFilter,
};
use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::{
    calls::{Calls, Operation},
    picture::{self, Frames},
};
use crate::{
    error::{ErrorKind, Result},
    types::BoundingBox,
};

/// A label with the boxes of its instances, if the service gives any for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Label {
    pub(super) name: String,
    pub(super) confidence: f32,
    pub(super) instances: Vec<Seen>,
    /// More general labels and other names of it.
    pub(super) parents: Vec<String>,
    pub(super) categories: Vec<String>,
}

impl Label {
    /// Whether the label is `wanted` or a kind of it.
    pub(super) fn is(&self, wanted: &str) -> bool {
        std::iter::once(&self.name).chain(&self.parents).any(|name| name.eq_ignore_ascii_case(wanted))
    }
}

/// A box with a confidence, both as picchu has them: clamped, 0..1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) bounding_box: BoundingBox,
    pub(super) confidence: f32,
}

/// Whom a face resembles: an external image id or a user id, and how much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Match {
    pub(super) id: String,
    pub(super) similarity: f32,
}

/// A box that a trained model named.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Named {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) seen: Seen,
}

/// Percentages become 0..1.
fn ratio(percent: Option<f32>) -> f32 {
    (percent.unwrap_or(0.0) / 100.0).clamp(0.0, 1.0)
}

pub(super) fn percent(ratio: f32) -> f32 {
    // Rounded, so that 0.55 is sent as 55 and not as 55.000004.
    (f64::from(ratio) * 1e6).round() as f32 / 1e4
}

/// Boxes may leave the picture; one that lies outside it altogether is none.
fn clamped(b: Option<&sdk::BoundingBox>) -> Option<BoundingBox> {
    let b = b?;
    BoundingBox::new(b.left()?, b.top()?, b.width()?, b.height()?).clamped()
}

/// The labels that are asked for, above a confidence.
pub(super) async fn labels(
    calls: &Calls,
    frames: Option<&Frames>,
    picture: &Arc<RgbImage>,
    wanted: &[String],
    min_confidence: f32,
    max_labels: u32,
) -> Result<Vec<Label>> {
    let request = (wanted, min_confidence, max_labels);
    let operation = Operation::DetectLabels;
    calls
        .about(operation, &request, picture, async {
            let image = picture::image(picture, picture::IMAGE, frames).await?;
            let general = GeneralLabelsSettings::builder().set_label_inclusion_filters(Some(wanted.to_vec()));
            let settings = DetectLabelsSettings::builder().general_labels(general.build()).build();
            let answer = calls
                .send(operation, || {
                    calls
                        .client
                        .detect_labels()
                        .image(image.clone())
                        .features(DetectLabelsFeatureName::GeneralLabels)
                        .settings(settings.clone())
                        .min_confidence(percent(min_confidence))
                        .max_labels(max_labels as i32)
                        .send()
                })
                .await?;
            Ok(answer.labels().iter().filter_map(label).collect())
        })
        .await
}

fn label(label: &sdk::Label) -> Option<Label> {
    let instances = label.instances().iter().filter_map(|i| {
        let bounding_box = clamped(i.bounding_box())?;
        Some(Seen { bounding_box, confidence: ratio(i.confidence()) })
    });
    let parents = label.parents().iter().filter_map(sdk::Parent::name);
    let aliases = label.aliases().iter().filter_map(sdk::LabelAlias::name);
    Some(Label {
        name: label.name()?.to_owned(),
        confidence: ratio(label.confidence()),
        instances: instances.collect(),
        parents: parents.chain(aliases).map(str::to_owned).collect(),
        categories: label.categories().iter().filter_map(|c| c.name().map(str::to_owned)).collect(),
    })
}

/// Every face, the largest first.
pub(super) async fn faces(
    calls: &Calls,
    frames: Option<&Frames>,
    picture: &Arc<RgbImage>,
) -> Result<Vec<Seen>> {
    let operation = Operation::DetectFaces;
    calls
        .about(operation, &"default", picture, async {
            let image = picture::image(picture, picture::IMAGE, frames).await?;
            let answer = calls
                .send(operation, || {
                    calls.client.detect_faces().image(image.clone()).attributes(Attribute::Default).send()
                })
                .await?;
            let faces = answer.face_details().iter().filter_map(|face| {
                let bounding_box = clamped(face.bounding_box())?;
                Some(Seen { bounding_box, confidence: ratio(face.confidence()) })
            });
            Ok(faces.collect())
        })
        .await
}

/// How to search a collection.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Search<'a> {
    pub(super) collection: &'a str,
    /// What the collection holds: another content gives other answers.
    pub(super) content: &'a str,
    pub(super) users: bool,
    pub(super) min_similarity: f32,
    pub(super) max_matches: i32,
}

/// Whom the only face of a cut-out resembles. Nobody, where the service finds no face in it: single faces are then an
/// error of the service's, users an empty answer.
pub(super) async fn search(calls: &Calls, cut: &Arc<RgbImage>, search: &Search<'_>) -> Result<Vec<Match>> {
    let operation = if search.users { Operation::SearchUsersByImage } else { Operation::SearchFacesByImage };
    calls
        .about(operation, search, cut, async {
            // A cut-out is small: it is always sent along.
            let image = picture::image(cut, picture::IMAGE, None).await?;
            let found: Result<Vec<Match>> = if search.users {
                calls
                    .send(operation, || {
                        calls
                            .client
                            .search_users_by_image()
                            .collection_id(search.collection)
                            .image(image.clone())
                            .max_users(search.max_matches)
                            .user_match_threshold(percent(search.min_similarity))
                            .quality_filter(QualityFilter::None)
                            .send()
                    })
                    .await
                    .map(|answer| {
                        let found = answer.user_matches().iter().filter_map(|m| {
                            let id = m.user()?.user_id()?.to_owned();
                            Some(Match { id, similarity: ratio(m.similarity()) })
                        });
                        found.collect()
                    })
            } else {
                calls
                    .send(operation, || {
                        calls
                            .client
                            .search_faces_by_image()
                            .collection_id(search.collection)
                            .image(image.clone())
                            .max_faces(search.max_matches)
                            .face_match_threshold(percent(search.min_similarity))
                            .quality_filter(QualityFilter::None)
                            .send()
                    })
                    .await
                    .map(|answer| {
                        let found = answer.face_matches().iter().filter_map(|m| {
                            let id = m.face()?.external_image_id()?.to_owned();
                            Some(Match { id, similarity: ratio(m.similarity()) })
                        });
                        found.collect()
                    })
            };
            match found {
                Err(e) if e.kind() == ErrorKind::InvalidInput && says_no_face(e.message()) => Ok(Vec::new()),
                outcome => outcome,
            }
        })
        .await
}

fn says_no_face(words: &str) -> bool {
    let words = words.to_lowercase();
    words.contains("invalidparameterexception") && words.contains("no face")
}

/// What a trained model sees.
pub(super) async fn custom_labels(
    calls: &Calls,
    frames: Option<&Frames>,
    picture: &Arc<RgbImage>,
    version: &str,
    min_confidence: Option<f32>,
) -> Result<Vec<Named>> {
    let operation = Operation::DetectCustomLabels;
    calls
        .about(operation, &(version, min_confidence), picture, async {
            let image = picture::image(picture, picture::CUSTOM, frames).await?;
            let answer = calls
                .send(operation, || {
                    calls
                        .client
                        .detect_custom_labels()
                        .project_version_arn(version)
                        .image(image.clone())
                        .set_min_confidence(min_confidence.map(percent))
                        .send()
                })
                .await;
            let answer = answer.map_err(|e| {
                if e.message().contains("ResourceNotReadyException") {
                    crate::Error::new(
                        ErrorKind::Config,
                        format!(
                            "the Custom Labels model {version} is not running; start it (it bills by the hour), or let \
                             picchu start it for the run and stop it after: --start-model --project ARN"
                        ),
                    )
                    .with_source(e)
                } else {
                    e
                }
            })?;
            let named = answer.custom_labels().iter().filter_map(|label| {
                let bounding_box = clamped(label.geometry()?.bounding_box())?;
                let seen = Seen { bounding_box, confidence: ratio(label.confidence()) };
                Some(Named { name: label.name()?.to_owned(), seen })
            });
            Ok(named.collect())
        })
        .await
}
