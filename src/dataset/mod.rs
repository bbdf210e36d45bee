//! The dataset: what a run leaves behind and what trainers, reviewers and later runs read.
//!
//! ```text
//! dataset/
//!   picchu.json         what was run: film, settings, counts; written last, so its presence means "complete"
//!   records.jsonl       one line a candidate, with its whole lineage
//!   images/…            the crops; names carry a hash, files are never overwritten
//!   embeddings.npy      float32 rows, aligned with the records that have one
//!   reviews.jsonl       people's decisions, only ever appended to
//!   split.json          which shots are held out of training, where that was decided
//!   contact-sheet.html  the result at a glance
//!   calibration.html    which threshold, where somebody asked
//! ```

mod calibration;
mod calibration_page;
mod contact_sheet;
pub mod export;
mod header;
mod lineage;
mod lines;
mod merge;
mod npy;
mod picture;
mod salvage;
mod split;
mod stats;
mod validate;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use image::RgbImage;

pub use self::{
    calibration::{Bin, CalibrateOptions, PairAnswer, PairNearCut, Point, ThresholdReport, pair_answers},
    header::{
        AnalysisHeader, Counts, FileHash, FilmHeader, Header, SCHEMA_VERSION, SelectSettings, Settings,
    },
    lineage::{Lineage, Recut},
    lines::{from_jsonl, to_jsonl},
    merge::{Merged, Source, merge},
    split::{Part, ShotId, Split, SplitOptions},
    stats::{Advice, CharacterStats, More, Stats, View},
    validate::{Complaint, Fix, Violation, validate},
};
pub(crate) use self::{
    contact_sheet::contact_sheet,
    npy::{from_npy, to_npy},
    picture::decode_image,
};
use crate::{
    caption::{self, LintReport, LintRules},
    error::{AtStage, Error, ErrorKind, Result, Stage},
    store::{Key, Store},
    types::{Decision, Embeddings, Outcome, Record, Review},
};

pub(crate) const HEADER: &str = "picchu.json";
pub(crate) const RECORDS: &str = "records.jsonl";
pub(crate) const EMBEDDINGS: &str = "embeddings.npy";
pub(crate) const REVIEWS: &str = "reviews.jsonl";
pub(crate) const SPLIT: &str = "split.json";
/// Who stands in reviews that mend captions without judgement.
pub(crate) const MENDER: &str = "picchu validate --fix";
pub(crate) const CONTACT_SHEET: &str = "contact-sheet.html";

/// A finished dataset, open for reading.
#[derive(Clone, Debug)]
pub struct Dataset {
    store: Arc<dyn Store>,
    header: Header,
    records: Arc<[Record]>,
    reviews: Arc<BTreeMap<String, Review>>,
    split: Option<Arc<Split>>,
}

/// An image that is good for training, with the caption that counts.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingImage<'a> {
    /// The record it comes from.
    pub record: &'a Record,
    /// Key of the image file in the dataset.
    pub image: &'a str,
    /// The caption: a person's, where somebody edited it.
    pub caption: &'a str,
    /// Whether a person decided about it.
    pub reviewed: bool,
}

impl Dataset {
    /// Opens the dataset in a store.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is none or it is not finished,
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a broken one (the message names file and line) and
    /// [`Unsupported`](ErrorKind::Unsupported) for one of a later picchu.
    pub async fn open(store: Arc<dyn Store>) -> Result<Self> {
        let (dataset, damage) = Self::salvage(store).await?;
        if damage.is_empty() { Ok(dataset) } else { Err(salvage::refuse(&damage)) }
    }

    /// What was run.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Every candidate, in the order of the film.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The record with this id.
    pub fn get(&self, id: &str) -> Option<&Record> {
        self.records.iter().find(|r| r.id == id)
    }

    /// The last decision about a record, if there is one.
    pub fn review(&self, id: &str) -> Option<&Review> {
        self.reviews.get(id)
    }

    /// The last decision about each record that somebody decided about, by id.
    pub fn reviews(&self) -> impl Iterator<Item = &Review> {
        self.reviews.values()
    }

    /// Where the dataset lives.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The images that are good for training: selected, captioned (by a person at least) and not rejected.
    pub fn training_images(&self) -> impl Iterator<Item = TrainingImage<'_>> {
        let selected = |r: &&Record| r.is_kept() || matches!(r.outcome, Outcome::Uncaptioned { .. });
        self.records.iter().filter(selected).filter_map(|record| {
            let review = self.review(&record.id);
            let caption = match review.map(|r| &r.decision) {
                Some(Decision::Reject { .. }) => return None,
                Some(Decision::Edit { caption }) => caption,
                Some(Decision::Accept) | None => &record.caption.as_ref()?.text,
            };
            let image = &record.crop.as_ref()?.image;
            let reviewed = review.is_some_and(|review| review.reviewer != MENDER);
            Some(TrainingImage { record, image, caption, reviewed })
        })
    }

    /// Judges the captions of the [training images](Self::training_images) by `rules`, to which the dataset's own
    /// names are added.
    pub fn lint(&self, rules: &LintRules) -> LintReport {
        let mut rules = rules.clone();
        let named = self.records.iter().filter_map(Record::character).map(str::to_owned);
        rules.know(named.collect::<BTreeSet<_>>());
        let items: Vec<caption::Item> = self
            .training_images()
            .map(|image| caption::Item {
                record: image.record.id.clone(),
                text: image.caption.to_owned(),
                subjects: image.record.subjects.iter().map(|s| s.character.clone()).collect(),
            })
            .collect();
        caption::report(&rules, &items)
    }

    /// The bytes of a record's image file.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for a record without an image,
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a file that is not the one that was written.
    pub async fn image_bytes(&self, record: &Record) -> Result<Bytes> {
        let Some(crop) = &record.crop else {
            return Err(Error::new(ErrorKind::NotFound, format!("record {} has no image", record.id)));
        };
        let body = self.store.get(&Key::new(crop.image.as_str())?).await.at(Stage::Dataset)?;
        if FileHash::of(&body).sha256 != crop.sha256 {
            return Err(changed(&crop.image));
        }
        Ok(body)
    }

    /// A record's image, decoded.
    ///
    /// # Errors
    /// As [`image_bytes`](Self::image_bytes), or [`Decode`](ErrorKind::Decode).
    pub async fn image(&self, record: &Record) -> Result<RgbImage> {
        let body = self.image_bytes(record).await?;
        let id = record.id.clone();
        crate::blocking(move || decode_image(&body, &id)).await
    }

    /// The embeddings: row [`embedding.row`](crate::types::EmbeddingRow::row) belongs to the record.
    ///
    /// # Errors
    /// When `embeddings.npy` is missing or is not the file that was written, and when records name other embedders
    /// than the dataset's: vectors of two embedders cannot be compared.
    pub async fn embeddings(&self) -> Result<Embeddings> {
        let model = &self.header.settings.embedder.model;
        let stranger = self.records.iter().filter_map(|r| Some((r, r.embedding.as_ref()?)));
        if let Some((record, other)) = stranger.into_iter().find(|(_, e)| e.model != *model) {
            return Err(Error::invalid(format!(
                "this dataset mixes embedders: its vectors are said to be by {model}, but that of record {} by {}. \
                 Build it anew with one of them",
                record.id, other.model
            ))
            .at(Stage::Dataset));
        }
        let body = self.store.get(&Key::new(EMBEDDINGS)?).await.at(Stage::Dataset)?;
        let expected = self.header.embeddings.clone();
        let vectors = crate::blocking(move || {
            if expected.matches(&body) { npy::from_npy(&body) } else { Err(changed(EMBEDDINGS)) }
        })
        .await
        .at(Stage::Dataset)?;
        Ok(Embeddings::from_unit_rows(&self.header.settings.embedder.model, vectors))
    }
}

fn changed(file: &str) -> Error {
    Error::invalid(format!(
        "{file} is not the file that picchu.json describes: a run was interrupted while finishing, or the file was \
         edited. Run the same build again to mend it; put edits into reviews.jsonl"
    ))
    .at(Stage::Dataset)
}
