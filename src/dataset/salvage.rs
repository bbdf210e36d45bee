//! What is left of a broken dataset: every line that can be read, and word of those that cannot.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, stream};

use super::{
    Dataset, FileHash, Fix, HEADER, Header, RECORDS, REVIEWS, SPLIT, Split, Violation, changed,
    lines::{BrokenLine, salvage_jsonl},
    picture::dimensions,
    to_jsonl,
};
use crate::{
    error::{AtStage, Error, ErrorKind, Result, Stage},
    store::{Key, PutMode, Store, get_opt},
    types::{Decision, Outcome, Record, Review},
};

const LAYOUT: &str = "picchu: docs/datasets.md, Layout";

impl Dataset {
    /// Opens what can be read of a dataset, and says what cannot: torn and broken lines by their numbers, files that
    /// are not those that were written, records that do not fit together. The list is empty for a sound dataset.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is none or it is not finished,
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a header that cannot be read and
    /// [`Unsupported`](ErrorKind::Unsupported) for a dataset of a later picchu.
    pub async fn salvage(store: Arc<dyn Store>) -> Result<(Self, Vec<Violation>)> {
        let header = Header::read(&*store).await?.ok_or_else(|| {
            let place = Key::new(HEADER).map(|key| store.uri(&key)).unwrap_or_default();
            Error::new(ErrorKind::NotFound, format!("no finished dataset here: {place} does not exist"))
                .at(Stage::Dataset)
        })?;
        let lines = store.get(&Key::new(RECORDS)?).await.at(Stage::Dataset)?;
        let decisions = get_opt(&*store, &Key::new(REVIEWS)?).await.at(Stage::Dataset)?;
        let split = get_opt(&*store, &Key::new(SPLIT)?).await.at(Stage::Dataset)?;
        let expected = header.records.clone();
        crate::blocking(move || {
            let mut damage = Vec::new();
            let (records, broken) = salvage_jsonl::<Record>(&lines);
            damage.extend(broken.iter().map(|line| broken_line(RECORDS, line)));
            if broken.is_empty() && !expected.matches(&lines) {
                damage.push(damaged("records-hash", changed(RECORDS).message().to_owned(), BUILD, None));
            }
            check_records(&records, &mut damage);
            let (reviews, broken) = salvage_jsonl::<Review>(&decisions.unwrap_or_default());
            damage.extend(broken.iter().map(|line| broken_line(REVIEWS, line)));
            let split = split.and_then(|body| match serde_json::from_slice::<Split>(&body) {
                Ok(split) => Some(Arc::new(split)),
                Err(e) => {
                    let message = format!("{SPLIT} cannot be read: {e}");
                    damage.push(damaged("split", message, "split the dataset again", None));
                    None
                }
            });
            // Of an id that is there twice, which is told above, the first counts.
            let places = records.iter().enumerate().rev().map(|(place, r)| (r.id.clone(), place)).collect();
            let mut dataset = Self {
                store,
                header,
                records: records.into(),
                places: Arc::new(places),
                reviews: Arc::default(),
                judgements: Arc::default(),
                corrected: Arc::default(),
                split,
            };
            dataset.judge(reviews);
            Ok((dataset, damage))
        })
        .await
    }

    /// Looks at every image file: whether it is there, whether it is the one that was written, whether it can be
    /// opened and has the size that its record says.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn check_images(&self) -> Result<Vec<Violation>> {
        let with_image = self.records().iter().filter_map(|r| r.crop.as_ref().map(|crop| (r, crop)));
        let mut answers = stream::iter(with_image)
            .map(|(record, crop)| async move {
                let body = match self.image_bytes(record).await {
                    Ok(body) => body,
                    Err(e) => return Some((record, e)),
                };
                match dimensions(&body, &record.id) {
                    Ok(size) if size == (crop.width, crop.height) => None,
                    Ok((width, height)) => Some((
                        record,
                        Error::invalid(format!(
                            "{} has {width}×{height} pixels; its record says {}×{}",
                            crop.image, crop.width, crop.height
                        )),
                    )),
                    Err(e) => Some((record, e)),
                }
            })
            .buffered(8)
            .boxed();
        let mut violations = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer {
                None => {}
                Some((_, e)) if e.is_retryable() || e.kind() == ErrorKind::PermissionDenied => return Err(e),
                Some((record, e)) => {
                    let mend = "cut it again from the film: picchu show DIR ID --recut FILM";
                    let mut lost = damaged("image-file", e.message().to_owned(), mend, None);
                    lost.record = Some(record.id.clone());
                    violations.push(lost);
                }
            }
        }
        Ok(violations)
    }

    /// Mends what needs no judgement: broken lines are left out of their files, captions that a trainer refuses are
    /// put into the words that their violations name. Captions are mended by reviews, so that the record keeps what
    /// its captioner wrote. Returns the mended dataset and how much was mended.
    ///
    /// `time_ms` stands in the reviews: milliseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub async fn mend(&self, violations: &[Violation], time_ms: u64) -> Result<(Self, usize)> {
        let mut reviews = Vec::new();
        let (mut files, mut captions) = (HashSet::new(), HashSet::new());
        let mut mended = 0;
        for violation in violations {
            match (&violation.fix, &violation.record) {
                (Some(Fix::DropLines(file)), _) => {
                    files.insert(file.as_str());
                    mended += 1;
                }
                // A caption that breaks several rules is mended rule by rule.
                (Some(Fix::Caption(caption)), Some(record)) if captions.insert(record) => {
                    reviews.push(Review {
                        record: record.clone(),
                        decision: Decision::Edit { caption: caption.clone() },
                        reviewer: super::MENDER.into(),
                        time_ms,
                    });
                    mended += 1;
                }
                _ => {}
            }
        }
        if files.contains(RECORDS) {
            self.rewrite_records().await?;
        }
        if files.contains(REVIEWS) || !reviews.is_empty() {
            self.decide(&reviews).await?;
        }
        let (dataset, _) = Self::salvage(Arc::clone(&self.store)).await?;
        Ok((dataset, mended))
    }

    /// Writes the records that could be read, and the header that fits them.
    async fn rewrite_records(&self) -> Result<()> {
        let body = to_jsonl(self.records()).at(Stage::Dataset)?;
        let mut header = self.header.clone();
        header.records = FileHash::of(&body);
        header.counts.recount(self.records());
        let json = header.to_json().at(Stage::Dataset)?;
        for (name, body) in [(RECORDS, body), (HEADER, json)] {
            self.store
                .put(&Key::new(name)?, Bytes::from(body), PutMode::Overwrite)
                .await
                .at(Stage::Dataset)?;
        }
        Ok(())
    }
}

const BUILD: &str = "run the same build again; put edits into reviews.jsonl";

fn damaged(rule: &'static str, message: String, mend: &str, fix: Option<Fix>) -> Violation {
    Violation { record: None, rule, message, source: LAYOUT.into(), mend: mend.into(), fix }
}

fn broken_line(file: &str, line: &BrokenLine) -> Violation {
    damaged(
        "broken-line",
        format!("{file}, line {}: {}", line.number, line.reason),
        "put the line back from a copy, or leave it out",
        Some(Fix::DropLines(file.into())),
    )
}

/// Whether records fit together: ids once, covers that are there.
fn check_records(records: &[Record], damage: &mut Vec<Violation>) {
    let mut kept = HashSet::new();
    let mut ids = HashSet::new();
    for record in records {
        if !ids.insert(record.id.as_str()) {
            let message = format!("{RECORDS} has the id {} twice", record.id);
            damage.push(damaged("record-id", message, BUILD, None));
        }
        if matches!(record.outcome, Outcome::Kept | Outcome::Uncaptioned { .. }) {
            kept.insert(record.id.as_str());
        }
    }
    for record in records {
        if let Outcome::Duplicate { covered_by, .. } = &record.outcome
            && !kept.contains(covered_by.as_str())
        {
            let mut lost = damaged(
                "record-cover",
                format!("{covered_by}, which covers it, is not among the selected records"),
                BUILD,
                None,
            );
            lost.record = Some(record.id.clone());
            damage.push(lost);
        }
    }
}

/// The error of a reader that takes only sound datasets.
pub(super) fn refuse(damage: &[Violation]) -> Error {
    const SHOWN: usize = 5;
    let mut words: Vec<&str> = damage.iter().take(SHOWN).map(|v| v.message.as_str()).collect();
    let more = format!("and {} more", damage.len().saturating_sub(SHOWN));
    if damage.len() > SHOWN {
        words.push(&more);
    }
    let mend = if damage.iter().any(|v| v.fix.is_some()) {
        ". `picchu validate DIR --fix` keeps what can be read"
    } else {
        ""
    };
    Error::invalid(format!("{}{mend}", words.join("; "))).at(Stage::Dataset)
}
