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
mod corrections;
pub mod export;
mod header;
pub mod label_studio;
mod lineage;
mod lines;
mod merge;
mod npy;
mod picture;
pub(crate) mod review_page;
mod salvage;
mod sheets;
mod split;
mod stats;
mod validate;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use image::RgbImage;

pub use self::{
    calibration::{Bin, CalibrateOptions, PairAnswer, PairNearCut, Point, ThresholdReport, pair_answers},
    corrections::{Correction, NOT_THE_CHARACTER},
    header::{
        AnalysisHeader, Counts, FileHash, FilmHeader, Header, SCHEMA_VERSION, SelectSettings, Settings,
    },
    lineage::{Lineage, Recut},
    lines::{from_jsonl, to_jsonl},
    merge::{Merged, Source, merge},
    sheets::ContactSheet,
    split::{Part, ShotId, Split, SplitOptions},
    stats::{Advice, CharacterStats, More, Stats, View},
    validate::{Complaint, Fix, Violation, validate},
};
pub(crate) use self::{
    contact_sheet::contact_sheet,
    npy::{from_npy, to_npy},
    picture::{box_in_percent, decode_image, encode_crop},
};
use crate::{
    caption::{self, LintReport, LintRules},
    error::{AtStage, Error, ErrorKind, Result, Stage},
    review::{Conflict, Judgement, Shown, merge_logs},
    store::{Key, PutMode, Store, get_opt, lock},
    types::{Embeddings, Outcome, Record, Review},
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
    /// Places of the records by id.
    places: Arc<HashMap<String, usize>>,
    reviews: Arc<[Review]>,
    judgements: Arc<BTreeMap<String, Judgement>>,
    /// Records that people gave another name or image.
    corrected: Arc<BTreeMap<String, Record>>,
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
        self.places.get(id).map(|&place| &self.records[place])
    }

    /// What people decided about a record, if somebody did.
    pub fn judgement(&self, id: &str) -> Option<&Judgement> {
        self.judgements.get(id)
    }

    /// Every decision that was ever made, oldest first.
    pub fn reviews(&self) -> &[Review] {
        &self.reviews
    }

    /// A record as people corrected it: with the name and the image that they gave it.
    pub fn corrected<'a>(&'a self, record: &'a Record) -> &'a Record {
        self.corrected.get(&record.id).unwrap_or(record)
    }

    /// Where the dataset lives.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The images that are good for training: named, captioned and not rejected; selected by dedupe, or by a person who
    /// gave them a caption.
    pub fn training_images(&self) -> impl Iterator<Item = TrainingImage<'_>> {
        self.records.iter().filter_map(|record| self.training_image(record))
    }

    /// The records whose images people are to decide about elsewhere than on picchu's own page: those that were selected,
    /// or that nobody could name, and those that people took in. `unreviewed`: only where no person decided yet.
    pub(crate) fn for_review(&self, unreviewed: bool) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| {
            let open =
                matches!(record.outcome, Outcome::Kept | Outcome::Uncaptioned { .. } | Outcome::Unsure);
            let reviewed = self.judgement(&record.id).is_some_and(by_person);
            self.corrected(record).crop.is_some()
                && (open || self.training_image(record).is_some())
                && !(unreviewed && reviewed)
        })
    }

    /// What a form about a record says before anybody fills it in: the name and the caption that count.
    pub(crate) fn shown(&self, record: &Record) -> Shown {
        let written = self.judgement(&record.id).and_then(|j| j.caption.clone());
        Shown {
            character: self.corrected(record).character().map(str::to_owned),
            caption: written.or_else(|| record.caption.as_ref().map(|c| c.text.clone())),
        }
    }

    /// Everybody who is named in the dataset, in order.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let records = self.records.iter().map(|record| self.corrected(record));
        let named = records.flat_map(|record| {
            let others = record.detection.alternatives.iter().map(|a| a.character.as_str());
            let subjects = record.subjects.iter().map(|s| s.character.as_str());
            record.character().into_iter().chain(subjects).chain(others)
        });
        named.map(str::to_owned).collect()
    }

    /// A record as an image for training, if it is one.
    pub fn training_image<'a>(&'a self, record: &'a Record) -> Option<TrainingImage<'a>> {
        let judgement = self.judgement(&record.id);
        let written = judgement.and_then(|j| j.caption.as_deref());
        let rejected = judgement.is_some_and(|j| j.rejected.is_some());
        let selected = record.is_kept() || matches!(record.outcome, Outcome::Uncaptioned { .. });
        if rejected || !(selected || written.is_some()) {
            return None;
        }
        let record = self.corrected(record);
        record.character()?;
        Some(TrainingImage {
            record,
            image: &record.crop.as_ref()?.image,
            caption: written.or_else(|| record.caption.as_ref().map(|c| c.text.as_str()))?,
            reviewed: judgement.is_some_and(by_person),
        })
    }

    /// Adds decisions to the dataset's log, and says what the dataset is with them. Lines of the log that cannot be read
    /// are left out of it.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for a decision about a record that there is not, and when the log cannot be
    /// written.
    pub async fn decide(&self, reviews: &[Review]) -> Result<Self> {
        self.know_all(reviews)?;
        let mut log = self.read_log().await?;
        log.extend_from_slice(reviews);
        self.put_log(log).await
    }

    /// Merges logs of people who reviewed copies of the dataset into its own. The dataset is locked meanwhile.
    ///
    /// # Errors
    /// As [`decide`](Self::decide), and [`AlreadyExists`](ErrorKind::AlreadyExists) while a review or a run is at work
    /// on the dataset.
    pub async fn merge_reviews(&self, logs: &[Vec<Review>]) -> Result<(Self, Vec<Conflict>)> {
        self.know_all(logs.iter().flatten())?;
        let lease = lock(&self.store).await.at(Stage::Review)?;
        let mut all = vec![self.read_log().await?];
        all.extend_from_slice(logs);
        let merged = merge_logs(&all);
        let dataset = self.put_log(merged.reviews).await?;
        lease.release().await.at(Stage::Review)?;
        Ok((dataset, merged.conflicts))
    }

    fn know_all<'a>(&self, reviews: impl IntoIterator<Item = &'a Review>) -> Result<()> {
        match reviews.into_iter().find(|review| self.get(&review.record).is_none()) {
            None => Ok(()),
            Some(lost) => {
                let message = format!("{RECORDS} has no record {:?}", lost.record);
                Err(Error::new(ErrorKind::NotFound, message).at(Stage::Review))
            }
        }
    }

    async fn read_log(&self) -> Result<Vec<Review>> {
        let body = get_opt(&*self.store, &Key::new(REVIEWS)?).await.at(Stage::Review)?.unwrap_or_default();
        Ok(lines::salvage_jsonl(&body).0)
    }

    async fn put_log(&self, log: Vec<Review>) -> Result<Self> {
        let body = to_jsonl(&log).at(Stage::Review)?;
        self.store.put(&Key::new(REVIEWS)?, Bytes::from(body), PutMode::Overwrite).await.at(Stage::Review)?;
        let mut dataset = self.clone();
        dataset.judge(log);
        Ok(dataset)
    }

    /// Takes a log as that of the dataset.
    fn judge(&mut self, log: Vec<Review>) {
        let judgements = Judgement::of_log(&log);
        let corrected = self.records.iter().filter_map(|record| {
            let corrected = judgements.get(&record.id)?.correct(record)?;
            Some((record.id.clone(), corrected))
        });
        self.corrected = Arc::new(corrected.collect());
        self.judgements = Arc::new(judgements);
        self.reviews = log.into();
    }

    /// Judges the captions of the [training images](Self::training_images) by `rules`, to which the dataset's own
    /// names are added.
    pub fn lint(&self, rules: &LintRules) -> LintReport {
        let items: Vec<caption::Item> = self
            .training_images()
            .map(|image| caption::Item {
                record: image.record.id.clone(),
                text: image.caption.to_owned(),
                subjects: image.record.subjects.iter().map(|s| s.character.clone()).collect(),
            })
            .collect();
        caption::report(&self.knowing(rules), &items)
    }

    /// The rules with everybody who is named in the dataset.
    pub(crate) fn knowing(&self, rules: &LintRules) -> LintRules {
        let mut rules = rules.clone();
        let named = self.records.iter().filter_map(|r| self.corrected(r).character()).map(str::to_owned);
        rules.know(named.collect::<BTreeSet<_>>());
        rules
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

/// Whether a person saw the record as it stands: what was mended since, nobody saw.
pub(crate) fn by_person(judgement: &Judgement) -> bool {
    judgement.reviewers.last().is_some_and(|who| who != MENDER)
}

fn changed(file: &str) -> Error {
    Error::invalid(format!(
        "{file} is not the file that picchu.json describes: a run was interrupted while finishing, or the file was \
         edited. Run the same build again to mend it; put edits into reviews.jsonl"
    ))
    .at(Stage::Dataset)
}
