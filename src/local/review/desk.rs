//! What the page works on: the dataset as it stands, its log, its film.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use bytes::Bytes;
use image::RgbImage;
use tokio::sync::{Mutex as AsyncMutex, OnceCell};

use super::ReviewOptions;
use crate::{
    caption::Linter,
    crop::{CropPolicy, cut, measure},
    dataset::{
        CalibrateOptions, Dataset, ThresholdReport, encode_crop,
        review_page::{Item, View, small},
    },
    error::{AtStage, Error, ErrorKind, Result, Stage},
    review::check,
    store::{Key, Lease, PutMode, lock},
    types::{BoundingBox, Decision, Frame, PixelRect, Record, Review},
};

/// Frames kept in memory.
const FRAMES: usize = 8;

/// Decisions of one moment.
type Batch = (u64, Vec<String>);

#[derive(Debug)]
pub(super) struct Desk {
    dataset: RwLock<Dataset>,
    /// One decision after another.
    turn: AsyncMutex<()>,
    lease: Lease,
    options: ReviewOptions,
    thresholds: OnceCell<ThresholdReport>,
    frames: Mutex<Vec<(String, Frame)>>,
}

impl Desk {
    pub(super) async fn open(dataset: Dataset, options: ReviewOptions) -> Result<Self> {
        if let Some(film) = &options.film {
            let mut films: Vec<&str> = dataset.records().iter().map(|record| record.film.as_str()).collect();
            films.sort_unstable();
            films.dedup();
            let mut known = films.is_empty();
            for fingerprint in films {
                known = known || film.is_film(fingerprint).await.at(Stage::Sample)?;
            }
            if !known {
                let name = &dataset.header().film.info.name;
                let message = format!("the dataset was cut from {name}, and this film is another one");
                return Err(Error::invalid(message).at(Stage::Review));
            }
        }
        let lease = lock(dataset.store()).await.at(Stage::Review)?;
        // Somebody may have decided or built between reading and locking.
        let dataset = Dataset::open(Arc::clone(dataset.store())).await?;
        Ok(Self {
            dataset: RwLock::new(dataset),
            turn: AsyncMutex::new(()),
            lease,
            options,
            thresholds: OnceCell::new(),
            frames: Mutex::default(),
        })
    }

    fn dataset(&self) -> Dataset {
        self.dataset.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn reviewer(&self) -> &str {
        self.options.reviewer.as_deref().unwrap_or("reviewer")
    }

    /// Everything that the page shows, and how many times something can be taken back.
    pub(super) async fn view(&self) -> Result<(View, usize)> {
        let (dataset, rules) = (self.dataset(), self.options.rules.clone());
        let undoable = standing(dataset.reviews(), self.reviewer()).len();
        let mut view = crate::blocking(move || Ok(View::of(&dataset, &rules))).await?;
        view.reviewer = Some(self.reviewer().to_owned());
        view.frames = self.options.film.is_some();
        Ok((view, undoable))
    }

    /// Keeps decisions, all at one moment, and tells how their records stand then.
    pub(super) async fn decide(&self, decisions: Vec<(String, Decision)>) -> Result<(Vec<Item>, usize)> {
        let _turn = self.turn.lock().await;
        self.keep(decisions).await
    }

    /// Takes back what was decided last.
    pub(super) async fn undo(&self) -> Result<(Vec<Item>, usize)> {
        let _turn = self.turn.lock().await;
        let last = standing(self.dataset().reviews(), self.reviewer()).pop();
        let records = last.map(|(_, records)| records).unwrap_or_default();
        self.keep(records.into_iter().map(|record| (record, Decision::Undo)).collect()).await
    }

    async fn keep(&self, decisions: Vec<(String, Decision)>) -> Result<(Vec<Item>, usize)> {
        let dataset = self.dataset();
        for (_, decision) in &decisions {
            check(decision)?;
        }
        // Never before an earlier decision: what one moment decided is taken back together.
        let last = dataset.reviews().iter().map(|review| review.time_ms).max().unwrap_or(0);
        let time_ms = crate::now_ms().max(last + 1);
        let reviews: Vec<Review> = decisions
            .into_iter()
            .map(|(record, decision)| Review { record, decision, reviewer: self.reviewer().into(), time_ms })
            .collect();
        self.lease.check().at(Stage::Review)?;
        let dataset = if reviews.is_empty() { dataset } else { dataset.decide(&reviews).await? };
        *self.dataset.write().unwrap_or_else(PoisonError::into_inner) = dataset.clone();
        let linter = self.linter(&dataset);
        let mut told = HashSet::new();
        let items = reviews
            .iter()
            .filter(|review| told.insert(review.record.as_str()))
            .filter_map(|review| dataset.get(&review.record))
            .map(|record| {
                let counts = dataset.training_image(record).map(|image| image.caption);
                let lint = counts.map(|text| faults(&linter, dataset.corrected(record), text));
                Item::of(&dataset, record, lint.unwrap_or_default())
            })
            .collect();
        Ok((items, standing(dataset.reviews(), self.reviewer()).len()))
    }

    /// Judges one caption by itself.
    fn linter(&self, dataset: &Dataset) -> Linter {
        Linter::new(dataset.knowing(&self.options.rules), 1)
    }

    /// What is wrong with a caption that is being written for a record.
    pub(super) fn lint(&self, id: &str, caption: &str) -> Result<Vec<String>> {
        let dataset = self.dataset();
        let record = dataset.get(id).ok_or_else(|| unknown(id))?;
        Ok(faults(&self.linter(&dataset), dataset.corrected(record), caption))
    }

    /// Cuts a record's image anew from its frame. The window is widened where trainers ask for more.
    pub(super) async fn recut(&self, id: &str, rect: PixelRect) -> Result<(Vec<Item>, usize)> {
        let _turn = self.turn.lock().await;
        let dataset = self.dataset();
        let record = dataset.get(id).ok_or_else(|| unknown(id))?.clone();
        let frame = self.frame_of(&dataset, &record).await?;
        let inside =
            |from: u32, length: u32, whole: u32| from.checked_add(length).is_some_and(|end| end <= whole);
        if rect.width == 0
            || rect.height == 0
            || !inside(rect.x, rect.width, frame.width())
            || !inside(rect.y, rect.height, frame.height())
        {
            return Err(Error::invalid(format!(
                "the window {rect:?} is not inside the frame of {}×{} pixels",
                frame.width(),
                frame.height()
            ))
            .at(Stage::Review));
        }
        let policy = CropPolicy { pad: 0.0, min_character_side: 0, ..dataset.header().settings.crop.clone() };
        let bbox = record.detection.bounding_box;
        let (crop, body) = crate::blocking(move || {
            let wanted = BoundingBox::from_pixels(rect, frame.width(), frame.height());
            let plan = policy
                .plan(wanted, frame.width(), frame.height())
                .map_err(|unfit| Error::invalid(format!("this window cannot become an image: {unfit}")))?;
            encode_crop(&record.id, &cut(&frame, &plan), measure(&frame, bbox, &[]))
        })
        .await
        .at(Stage::Review)?;
        self.lease.check().at(Stage::Review)?;
        let key = Key::new(crop.image.as_str())?;
        dataset.store().put(&key, Bytes::from(body), PutMode::Overwrite).await.at(Stage::Review)?;
        self.keep(vec![(id.to_owned(), Decision::Recrop { crop: Box::new(crop) })]).await
    }

    /// What each threshold would keep.
    pub(super) async fn thresholds(&self) -> Result<ThresholdReport> {
        let report = self.thresholds.get_or_try_init(|| async {
            let options = CalibrateOptions { pairs: Some(0), ..CalibrateOptions::default() };
            self.dataset().calibrate(&options).await
        });
        report.await.cloned()
    }

    /// A record's image as it stands: the file, or a small JPEG of it.
    pub(super) async fn image(&self, number: usize, side: Option<u32>) -> Result<Bytes> {
        let dataset = self.dataset();
        let record = dataset.records().get(number).ok_or_else(|| unknown(&number.to_string()))?;
        let record = dataset.corrected(record);
        match side {
            None => dataset.image_bytes(record).await,
            Some(side) => jpeg(dataset.image(record).await?, side).await,
        }
    }

    /// The whole frame of a record, as a JPEG.
    pub(super) async fn frame(&self, number: usize, side: u32) -> Result<Bytes> {
        let dataset = self.dataset();
        let record = dataset.records().get(number).ok_or_else(|| unknown(&number.to_string()))?;
        let frame = self.frame_of(&dataset, record).await?;
        jpeg((*frame.image).clone(), side).await
    }

    async fn frame_of(&self, dataset: &Dataset, record: &Record) -> Result<Frame> {
        let Some(film) = &self.options.film else {
            let message = "whole frames need the film: picchu review DIR --film FILM";
            return Err(Error::new(ErrorKind::NotFound, message).at(Stage::Review));
        };
        let place = format!("{} {}", record.film, record.frame.time.as_nanos());
        let known =
            |frames: &Vec<(String, Frame)>| frames.iter().find(|(at, _)| *at == place).map(|f| f.1.clone());
        if let Some(frame) = known(&self.frames.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(frame);
        }
        let frame = dataset.frame(&record.id, &**film).await?;
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if frames.len() >= FRAMES {
            frames.remove(0);
        }
        frames.push((place, frame.clone()));
        Ok(frame)
    }
}

/// What a reviewer decided and did not take back, a batch a moment, oldest first.
fn standing(log: &[Review], reviewer: &str) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut undone = None;
    for review in log.iter().filter(|review| review.reviewer == reviewer) {
        if review.decision == Decision::Undo {
            // All that one moment took back belongs together.
            if undone != Some(review.time_ms) {
                batches.pop();
            }
            undone = Some(review.time_ms);
            continue;
        }
        match batches.last_mut() {
            Some((time, records)) if *time == review.time_ms => records.push(review.record.clone()),
            _ => batches.push((review.time_ms, vec![review.record.clone()])),
        }
    }
    batches
}

fn faults(linter: &Linter, record: &Record, caption: &str) -> Vec<String> {
    let names: Vec<&str> = record.subjects.iter().map(|subject| subject.character.as_str()).collect();
    linter.check(caption, &names).into_iter().map(|fault| fault.message).collect()
}

fn unknown(id: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("the dataset has no record {id:?}")).at(Stage::Review)
}

async fn jpeg(image: RgbImage, side: u32) -> Result<Bytes> {
    crate::blocking(move || small(&image, side).map(Bytes::from)).await.at(Stage::Review)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_moment_decided_is_taken_back_together() {
        let said = |record: &str, time_ms, decision| Review {
            record: record.into(),
            decision,
            reviewer: "ann".into(),
            time_ms,
        };
        let mut log = vec![
            said("a", 1, Decision::Accept),
            said("b", 2, Decision::Accept),
            said("c", 2, Decision::Accept),
        ];
        assert_eq!(standing(&log, "ann").last().unwrap().1, ["b", "c"]);
        assert!(standing(&log, "bob").is_empty());
        log.extend([said("b", 3, Decision::Undo), said("c", 3, Decision::Undo)]);
        assert_eq!(standing(&log, "ann"), [(1, vec!["a".to_owned()])]);
        log.push(said("a", 4, Decision::Undo));
        assert!(standing(&log, "ann").is_empty());
    }
}
