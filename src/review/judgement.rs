//! What counts of everything that was decided about a record.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::types::{BoundingBox, CropRecord, Decision, PixelRect, Record, Review, Subject};

/// What counts of all decisions about one record: later ones win, and each changes only what it is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Judgement {
    /// Why it is not for training, if it is rejected; accepted otherwise.
    pub rejected: Option<String>,
    /// The caption that replaces the record's.
    pub caption: Option<String>,
    /// The character that it really shows.
    pub character: Option<String>,
    /// The image that replaces the record's.
    pub crop: Option<CropRecord>,
    /// Everybody who decided something that counts, each once; who decided last stands last.
    pub reviewers: Vec<String>,
    /// When the last of them did, in milliseconds since 1970-01-01 UTC.
    pub decided_ms: u64,
}

impl Judgement {
    /// Adds up decisions about one record, oldest first. `None` where nothing remains that is not taken back.
    pub fn of<'a>(reviews: impl IntoIterator<Item = &'a Review>) -> Option<Self> {
        let mut standing: Vec<&Review> = Vec::new();
        for review in reviews {
            if review.decision == Decision::Undo {
                let own = standing.iter().rposition(|decided| decided.reviewer == review.reviewer);
                own.map(|own| standing.remove(own));
            } else {
                standing.push(review);
            }
        }
        if standing.is_empty() {
            return None;
        }
        let mut judgement = Self::default();
        for review in standing {
            judgement.rejected = None;
            match &review.decision {
                Decision::Reject { reason } => judgement.rejected = Some(reason.clone()),
                Decision::Edit { caption } => judgement.caption = Some(caption.clone()),
                Decision::Rename { character } => judgement.character = Some(character.clone()),
                Decision::Recrop { crop } => judgement.crop = Some((**crop).clone()),
                Decision::Accept | Decision::Undo => {}
            }
            judgement.decided_ms = judgement.decided_ms.max(review.time_ms);
            judgement.reviewers.retain(|who| *who != review.reviewer);
            judgement.reviewers.push(review.reviewer.clone());
        }
        Some(judgement)
    }

    /// The judgements of a log, by record.
    pub fn of_log(log: &[Review]) -> BTreeMap<String, Self> {
        let mut by_record: BTreeMap<&str, Vec<&Review>> = BTreeMap::new();
        for review in log {
            by_record.entry(&review.record).or_default().push(review);
        }
        by_record
            .into_iter()
            .filter_map(|(record, reviews)| Some((record.to_owned(), Self::of(reviews)?)))
            .collect()
    }

    /// The record as it is to be seen: with the name and the image that people gave it. `None` where they left both.
    pub(crate) fn correct(&self, record: &Record) -> Option<Record> {
        if self.character.is_none() && self.crop.is_none() {
            return None;
        }
        let mut corrected = record.clone();
        if let Some(name) = &self.character {
            rename(&mut corrected, name);
        }
        if let (Some(crop), Some(before)) = (&self.crop, &record.crop) {
            corrected.subjects = corrected
                .subjects
                .iter()
                .filter_map(|subject| moved(subject, before.rect, crop.rect))
                .collect();
        }
        if let Some(crop) = &self.crop {
            corrected.crop = Some(crop.clone());
        }
        Some(corrected)
    }
}

/// Gives the record's own box another name.
fn rename(record: &mut Record, name: &str) {
    let before = record.detection.character.replace(name.to_owned());
    record.subjects.retain(|subject| subject.character != name);
    match record.subjects.first_mut() {
        Some(own) if Some(&own.character) == before.as_ref() => name.clone_into(&mut own.character),
        _ => {
            let own = record.box_in_image();
            let own = own.map(|bounding_box| Subject { character: name.to_owned(), bounding_box });
            record.subjects.splice(0..0, own);
        }
    }
}

/// A subject in another window of the same frame, if most of it is inside.
fn moved(subject: &Subject, from: PixelRect, to: PixelRect) -> Option<Subject> {
    let b = subject.bounding_box;
    let (width, height) = (from.width as f32, from.height as f32);
    let pixels = BoundingBox::new(
        from.x as f32 + b.left * width,
        from.y as f32 + b.top * height,
        b.width * width,
        b.height * height,
    );
    let window = BoundingBox::new(to.x as f32, to.y as f32, to.width as f32, to.height as f32);
    let there = pixels.relative_to(window);
    let bounding_box = there.clamped()?;
    (bounding_box.area() >= crate::crop::MIN_INSIDE * there.area())
        .then(|| Subject { character: subject.character.clone(), bounding_box })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(decision: Decision) -> Review {
        Review { record: "a".into(), decision, reviewer: "p".into(), time_ms: 1 }
    }

    fn edit(caption: &str) -> Review {
        said(Decision::Edit { caption: caption.into() })
    }

    fn reject() -> Review {
        said(Decision::Reject { reason: "blurred".into() })
    }

    #[test]
    fn decisions_add_up() {
        let rename = said(Decision::Rename { character: "Chip".into() });
        let judged = Judgement::of(&[edit("one"), rename, said(Decision::Accept)]).unwrap();
        assert_eq!(judged.caption.as_deref(), Some("one"), "accepting keeps the caption");
        assert_eq!(judged.character.as_deref(), Some("Chip"));
        assert_eq!(judged.rejected, None);
        assert_eq!(judged.reviewers, ["p"]);
        let judged = Judgement::of(&[edit("one"), reject()]).unwrap();
        assert_eq!(judged.rejected.as_deref(), Some("blurred"));
        let judged = Judgement::of(&[reject(), edit("two")]).unwrap();
        assert_eq!((judged.rejected, judged.caption.as_deref()), (None, Some("two")));
    }

    #[test]
    fn undo_takes_back_one_decision_after_another() {
        let undo = || said(Decision::Undo);
        let judged = Judgement::of(&[edit("one"), edit("two"), undo()]).unwrap();
        assert_eq!(judged.caption.as_deref(), Some("one"));
        assert_eq!(Judgement::of(&[edit("one"), reject(), undo(), undo()]), None);
        assert_eq!(Judgement::of(&[undo(), undo()]), None);
        assert!(Judgement::of(&[undo(), reject()]).unwrap().rejected.is_some());
        let other = Review { reviewer: "q".into(), ..reject() };
        let judged = Judgement::of(&[edit("one"), other, undo()]).unwrap();
        assert!(judged.rejected.is_some(), "nobody takes back what somebody else decided");
    }
}
