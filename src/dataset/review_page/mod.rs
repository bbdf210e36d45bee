//! The page on which people review a dataset: what it shows, and the page itself.
//!
//! It is one page with two ways to get and keep decisions: `picchu review` serves it and keeps each decision at once;
//! [`Dataset::report`] writes it as one file that needs nothing else, whose decisions are saved as a patch.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::{Dataset, by_person};
use crate::{
    caption::LintRules,
    crop::{Fit, to_jpeg},
    error::{Error, Result},
    review::{Judgement, conflicts},
    types::{Alternative, BoundingBox, Outcome, PixelRect, Record},
};

/// The page. It finds its data in the element `data`, or asks for it where that is empty.
const PAGE: &str = include_str!("index.html");
/// What the page does.
pub(crate) const SCRIPT: &str = include_str!("app.js");
/// How the page looks.
pub(crate) const STYLE: &str = include_str!("style.css");

/// Pictures read ahead for a report.
const READ_AHEAD: usize = 8;

/// What the page shows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct View {
    /// Name of the film.
    pub(crate) film: String,
    /// Every name that is known, in order.
    pub(crate) characters: BTreeSet<String>,
    /// The threshold by which the images were chosen, where it is known.
    pub(crate) min_similarity: Option<f64>,
    /// Who decides, where decisions are kept at once.
    pub(crate) reviewer: Option<String>,
    /// Whether whole frames can be shown.
    pub(crate) frames: bool,
    /// Every record, in the order of the film.
    pub(crate) records: Vec<Item>,
}

/// A record as the page shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Item {
    id: String,
    outcome: &'static str,
    /// Why it was skipped, is without caption or failed.
    reason: Option<String>,
    /// Who it shows, as people corrected it.
    character: Option<String>,
    /// Who the detector saw.
    detected: Option<String>,
    confidence: f32,
    decided_by: String,
    alternatives: Vec<Alternative>,
    /// Presentation time in seconds.
    time: f64,
    shot: Option<u32>,
    /// Of the frame, in pixels.
    frame: (u32, u32),
    bounding_box: BoundingBox,
    /// Of the image, as people corrected it; `None` without one.
    image: Option<Image>,
    /// The caption that counts.
    caption: Option<String>,
    /// Everybody in the picture.
    subjects: Vec<String>,
    /// The kept record that covers it, and how alike they are.
    covered_by: Option<(String, f32)>,
    /// What is wrong with the caption.
    lint: Vec<String>,
    /// Whether it is an image for training as things stand.
    training: bool,
    judgement: Option<Judgement>,
    /// Whether a person looked at it.
    reviewed: bool,
    /// Whether people do not agree about it.
    conflict: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Image {
    /// Names the file's content: another image, another version.
    version: String,
    width: u32,
    height: u32,
    rect: PixelRect,
    /// 0..1.
    quality: f32,
    /// 0..1.
    sharpness: f32,
}

impl View {
    pub(crate) fn of(dataset: &Dataset, rules: &LintRules) -> Self {
        let mut lint: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for finding in dataset.lint(rules).findings {
            lint.entry(finding.record).or_default().push(finding.message);
        }
        let conflicts: BTreeSet<String> =
            conflicts(dataset.reviews()).into_iter().map(|conflict| conflict.record).collect();
        let records: Vec<Item> = dataset
            .records()
            .iter()
            .map(|record| Item {
                conflict: conflicts.contains(&record.id),
                ..Item::of(dataset, record, lint.remove(&record.id).unwrap_or_default())
            })
            .collect();
        let known = rules.cast.iter().map(|look| look.name.clone());
        let found = records.iter().flat_map(|item| item.character.iter().chain(&item.subjects)).cloned();
        Self {
            film: dataset.header().film.info.name.clone(),
            characters: known.chain(found).collect(),
            min_similarity: dataset.selected_by().and_then(|deduper| deduper.min_similarity()),
            reviewer: None,
            frames: false,
            records,
        }
    }
}

impl Item {
    /// A record, with what is wrong with its caption; whether people agree about it is told elsewhere.
    pub(crate) fn of(dataset: &Dataset, raw: &Record, lint: Vec<String>) -> Self {
        let record = dataset.corrected(raw);
        let judgement = dataset.judgement(&raw.id).cloned();
        let shown = dataset.shown(raw);
        let reason = match &raw.outcome {
            Outcome::Skipped { reason }
            | Outcome::Uncaptioned { reason, .. }
            | Outcome::Failed { reason } => Some(reason.clone()),
            _ => None,
        };
        let covered_by = match &raw.outcome {
            Outcome::Duplicate { covered_by, similarity } => Some((covered_by.clone(), *similarity)),
            _ => None,
        };
        Self {
            id: raw.id.clone(),
            outcome: raw.outcome.as_str(),
            reason,
            character: shown.character,
            detected: raw.character().map(str::to_owned),
            confidence: raw.detection.confidence,
            decided_by: raw.detection.decided_by.clone(),
            alternatives: raw.detection.alternatives.clone(),
            time: raw.frame.time.as_secs_f64(),
            shot: raw.frame.shot,
            frame: (raw.frame.width, raw.frame.height),
            bounding_box: raw.detection.bounding_box,
            image: record.crop.as_ref().map(|crop| Image {
                version: crop.sha256.chars().rev().take(12).collect(),
                width: crop.width,
                height: crop.height,
                rect: crop.rect,
                quality: crop.quality.score(),
                sharpness: crop.quality.sharpness,
            }),
            caption: shown.caption,
            subjects: record.subjects.iter().map(|s| s.character.clone()).collect(),
            covered_by,
            lint,
            training: dataset.training_image(raw).is_some(),
            reviewed: judgement.as_ref().is_some_and(by_person),
            conflict: false,
            judgement,
        }
    }
}

/// The page as it is served: it asks for its style, its script and its data.
#[cfg(feature = "review")]
pub(crate) fn served() -> String {
    fill("<link rel=\"stylesheet\" href=\"style.css\">", "", "<script src=\"app.js\"></script>")
}

/// A picture of at most `side` pixels, as a JPEG file.
pub(crate) fn small(image: &image::RgbImage, side: u32) -> Result<Vec<u8>> {
    to_jpeg(image, Fit { longer: side, shorter: side, quality: 82, bytes: 4 << 20 })
}

impl Dataset {
    /// The review page as one file that needs no server and no network, with pictures of at most `side` pixels.
    /// Decisions that are made on it are saved as a patch, which
    /// [`merge_reviews`](Self::merge_reviews) takes. Everything from outside is escaped.
    ///
    /// # Errors
    /// For images that cannot be read.
    pub async fn report(&self, rules: &LintRules, side: u32) -> Result<String> {
        let view = View::of(self, rules);
        let pictures: Vec<_> = self.records().iter().map(|record| self.embedded(record, side)).collect();
        let pictures: Vec<String> = stream::iter(pictures).buffered(READ_AHEAD).try_collect().await?;
        let data = serde_json::json!({ "view": view, "pictures": pictures });
        // In a script element only `<` can end the text early.
        let data = serde_json::to_string(&data)
            .map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?
            .replace('<', "\\u003c");
        Ok(fill(&format!("<style>{STYLE}</style>"), &data, &format!("<script>{SCRIPT}</script>")))
    }

    /// A record's image as text, nothing where there is none.
    async fn embedded(&self, record: &Record, side: u32) -> Result<String> {
        let record = self.corrected(record);
        if record.crop.is_none() {
            return Ok(String::new());
        }
        let image = self.image(record).await?;
        crate::blocking(move || Ok(BASE64_STANDARD.encode(small(&image, side)?))).await
    }
}

/// The page with its parts. They hold none of the marks themselves: the data comes last and is not looked at.
fn fill(style: &str, data: &str, script: &str) -> String {
    PAGE.replacen("<!-- style -->", style, 1).replacen("<!-- script -->", script, 1).replacen(
        "<!-- data -->",
        data,
        1,
    )
}
