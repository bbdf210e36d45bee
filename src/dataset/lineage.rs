//! Where an image comes from, and what became of it: from the film's frame to the caption and the decisions about it.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use futures::TryStreamExt;
use serde::Serialize;

use super::{Dataset, FileHash, FilmHeader, Part, RECORDS, Settings};
use crate::{
    crop::{Plan, cut, to_png},
    error::{AtStage, Error, ErrorKind, Result, Stage},
    source::{FrameSource, Sampling},
    store::Key,
    types::{Caption, Decision, Frame, Outcome, Record, Review},
};

/// The whole lineage of a record. Shows itself as a page of text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lineage {
    /// The record.
    pub record: Record,
    /// The film that it was cut from.
    pub film: FilmHeader,
    /// What decided that it became a candidate: sampling, detector, crop policy, embedder.
    pub settings: Settings,
    /// Where its image lies.
    pub image: Option<String>,
    /// For a kept record, the ids of those that it covers with their similarity, most alike first.
    pub covers: Vec<(String, f32)>,
    /// Who chose, and who captioned.
    pub chosen_by: String,
    /// Every decision about it, oldest first.
    pub reviews: Vec<Review>,
    /// The caption that counts.
    pub caption: Option<String>,
    /// What it is for, if it is good for training.
    pub part: Option<Part>,
}

/// A crop that was cut from the film again.
#[derive(Clone, Debug)]
pub struct Recut {
    /// The image file.
    pub body: Vec<u8>,
    /// Whether it is the dataset's file, to the bit.
    pub identical: bool,
}

impl Dataset {
    /// Everything that is known of a record.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for an id that is not in the dataset.
    pub fn lineage(&self, id: &str) -> Result<Lineage> {
        let record = self.record(id)?.clone();
        let source = self.header.sources.iter().find(|s| s.film.fingerprint == record.film);
        let film = source.map_or(&self.header.film, |s| &s.film).clone();
        let settings = source.map_or(&self.header.settings, |s| &s.settings).clone();
        let mut covers: Vec<(String, f32)> = self
            .records()
            .iter()
            .filter_map(|other| match &other.outcome {
                Outcome::Duplicate { covered_by, similarity } if covered_by == id => {
                    Some((other.id.clone(), *similarity))
                }
                _ => None,
            })
            .collect();
        covers.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let image = match &record.crop {
            Some(crop) => Some(self.store.uri(&Key::new(crop.image.as_str())?)),
            None => None,
        };
        let (chosen, left_out) = self.parts();
        let part = chosen.iter().find(|(image, _)| image.record.id == id).map(|(_, part)| *part);
        let mut training = chosen.iter().map(|(image, _)| image).chain(&left_out);
        let counts = training.find(|image| image.record.id == id).map(|image| image.caption.to_owned());
        Ok(Lineage {
            film,
            settings,
            image,
            covers,
            chosen_by: self.header.selection.deduper.model.clone(),
            reviews: self.reviews().iter().filter(|review| review.record == id).cloned().collect(),
            caption: counts,
            part,
            record,
        })
    }

    /// The frame that a record was cut from, as it was then: with the size that it was sampled in.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for an id that is not in the dataset or a film that has no such frame any more,
    /// [`InvalidInput`](ErrorKind::InvalidInput) for another film than the record's.
    pub async fn frame(&self, id: &str, film: &dyn FrameSource) -> Result<Frame> {
        let Lineage { record, film: expected, settings, .. } = self.lineage(id)?;
        if !film.is_film(&record.film).await.at(Stage::Sample)? {
            return Err(Error::invalid(format!(
                "record {id} was cut from {} ({}), and this film is another one",
                expected.info.name, record.film
            ))
            .at(Stage::Dataset));
        }
        // Times are whole nanoseconds, and a picture may begin within one: the frame shown a moment later is it.
        let time = record.frame.time;
        let mut sampling = Sampling::at(vec![time, time + Duration::from_nanos(1)]);
        sampling.max_side = settings.sampling.max_side;
        let mut frames = film.frames(&sampling);
        while let Some(frame) = frames.try_next().await.at(Stage::Sample)? {
            if frame.time == time {
                return Ok(frame);
            }
        }
        let message = format!("the film has no frame that begins at {} s", time.as_secs_f64());
        Err(Error::new(ErrorKind::NotFound, message).at(Stage::Sample))
    }

    /// Cuts a record's crop from its film again, as it is now after review, and says whether it is the dataset's file
    /// to the bit.
    ///
    /// # Errors
    /// As [`frame`](Self::frame), and [`NotFound`](ErrorKind::NotFound) for a record without an image.
    pub async fn recut(&self, id: &str, film: &dyn FrameSource) -> Result<Recut> {
        let record = self.record(id)?;
        let Some(crop) = self.corrected(record).crop.clone() else {
            return Err(
                Error::new(ErrorKind::NotFound, format!("record {id} has no image")).at(Stage::Dataset)
            );
        };
        let frame = self.frame(id, film).await?;
        let plan = Plan { rect: crop.rect, width: crop.width, height: crop.height, scale: crop.scale };
        crate::blocking(move || {
            let body = to_png(&cut(&frame, &plan).image)?;
            Ok(Recut { identical: FileHash::of(&body).sha256 == crop.sha256, body })
        })
        .await
        .at(Stage::Crop)
    }

    fn record(&self, id: &str) -> Result<&Record> {
        self.get(id).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("{RECORDS} has no record {id:?}")).at(Stage::Dataset)
        })
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = &self.record;
        let mut line = |name: &str, value: String| writeln!(f, "{name:<12}{value}");
        line("record", record.id.clone())?;
        line("film", format!("{} ({})", plain(&self.film.info.name), record.film))?;
        line("frame", frame_words(record))?;
        line("sampled", self.settings.sampling.to_string())?;
        line("detector", self.settings.detector.model.clone())?;
        line("answer", detection_words(record))?;
        if let Some(crop) = &record.crop {
            let r = crop.rect;
            line(
                "crop",
                format!(
                    "{}×{} pixels at {},{} of the frame, scale {}; {}×{}, {} bytes, quality {:.2}",
                    r.width,
                    r.height,
                    r.x,
                    r.y,
                    crop.scale,
                    crop.width,
                    crop.height,
                    crop.size_bytes,
                    crop.quality.score()
                ),
            )?;
            line("image", self.image.clone().unwrap_or_default())?;
            line("", crop.sha256.clone())?;
        }
        for subject in &record.subjects {
            let b = subject.bounding_box;
            let place = format!("at {:.3},{:.3}, {:.3}×{:.3} of the crop", b.left, b.top, b.width, b.height);
            line("shows", format!("{} {place}", plain(&subject.character)))?;
        }
        if let Some(embedding) = &record.embedding {
            line("embedding", format!("row {} by {}", embedding.row, embedding.model))?;
        }
        line("outcome", outcome_words(record))?;
        line("chosen by", self.chosen_by.clone())?;
        for (id, similarity) in &self.covers {
            line("covers", format!("{id} ({similarity:.4})"))?;
        }
        if let Some(caption) = &record.caption {
            caption_lines(caption, &mut line)?;
        }
        for review in &self.reviews {
            line("review", review_words(review))?;
        }
        if let (Some(caption), true) = (&self.caption, !self.reviews.is_empty()) {
            line("counts", plain(caption))?;
        }
        match self.part {
            Some(Part::Train) => line("is for", "training".into()),
            Some(Part::HeldOut) => line("is for", "judging the result: held out of training".into()),
            None if record.is_kept() => {
                line("is for", "nothing: rejected, without a caption, or above the cap".into())
            }
            None => Ok(()),
        }
    }
}

/// Text from outside on one line of a terminal: control characters are shown, not obeyed.
fn plain(text: &str) -> String {
    text.chars().fold(String::new(), |mut plain, c| {
        if c.is_control() {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
        plain
    })
}

fn frame_words(record: &Record) -> String {
    let frame = &record.frame;
    let mut words = format!(
        "sample {} at {} s, {}×{} pixels",
        frame.index,
        frame.time.as_secs_f64(),
        frame.width,
        frame.height
    );
    if let Some(shot) = frame.shot {
        let _ = write!(words, ", shot {shot}");
    }
    if let Some(drawing) = frame.drawing {
        let _ = write!(words, ", drawing {drawing}");
    }
    words
}

fn detection_words(record: &Record) -> String {
    let d = &record.detection;
    let b = d.bounding_box;
    let mut words = format!(
        "{}, confidence {:.3}, at {:.4},{:.4}, {:.4}×{:.4} of the frame, decided by {}",
        plain(d.character.as_deref().unwrap_or("somebody, unsure who")),
        d.confidence,
        b.left,
        b.top,
        b.width,
        b.height,
        plain(&d.decided_by)
    );
    for other in &d.alternatives {
        let _ = write!(words, "; perhaps {} ({:.3})", plain(&other.character), other.confidence);
    }
    words
}

fn outcome_words(record: &Record) -> String {
    match &record.outcome {
        Outcome::Duplicate { covered_by, similarity } => {
            format!("duplicate: {covered_by} shows the same ({similarity:.4})")
        }
        Outcome::Skipped { reason } => format!("skipped: {}", plain(reason)),
        Outcome::Failed { reason } => format!("failed: {}", plain(reason)),
        other => other.as_str().to_owned(),
    }
}

fn caption_lines(caption: &Caption, line: &mut impl FnMut(&str, String) -> fmt::Result) -> fmt::Result {
    line("caption", plain(&caption.text))?;
    match &caption.asked {
        None => line("", format!("by {}", caption.model))?,
        Some(asked) => {
            let mut words = format!("by {}, asked by {}", caption.model, plain(&asked.captioner));
            if !asked.settings.is_empty() {
                let _ = write!(words, " ({})", plain(&asked.settings));
            }
            let _ = write!(words, ", try {}", asked.attempt.saturating_add(1));
            line("", words)?;
            if let Some(prompt) = &asked.prompt {
                line("prompt", plain(prompt))?;
            }
            if let Some(refusal) = &asked.refusal {
                line("", format!("after this was refused: {}", plain(refusal)))?;
            }
        }
    }
    for fault in &caption.faults {
        line("", format!("although it {}", plain(&fault.message)))?;
    }
    if !caption.usage.is_free() {
        let u = caption.usage;
        line(
            "",
            format!(
                "{} requests, {} + {} tokens, ${:.6}",
                u.requests, u.input_tokens, u.output_tokens, u.usd
            ),
        )?;
    }
    Ok(())
}

fn review_words(review: &Review) -> String {
    let what = match &review.decision {
        Decision::Accept => "accepted".to_owned(),
        Decision::Reject { reason } => format!("rejected: {}", plain(reason)),
        Decision::Edit { caption } => format!("caption changed to: {}", plain(caption)),
        Decision::Rename { character } => format!("is {}", plain(character)),
        Decision::Recrop { crop } => {
            let r = crop.rect;
            format!("cut again: {}×{} pixels at {},{} of the frame", r.width, r.height, r.x, r.y)
        }
        Decision::Undo => "took the last decision back".to_owned(),
    };
    format!("{what} (by {}, at {} ms since 1970)", plain(&review.reviewer), review.time_ms)
}
