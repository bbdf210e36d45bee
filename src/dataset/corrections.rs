//! What people's corrections teach a detector: who is who, and who is not.

use std::collections::{BTreeMap, BTreeSet};

use image::{RgbImage, imageops::crop_imm};

use super::Dataset;
use crate::{
    cast::SHORTEST,
    error::Result,
    types::{Outcome, Record},
};

/// The reason of a rejection that says that a box does not show its character. Others judge the picture.
pub const NOT_THE_CHARACTER: &str = "not the character";

/// A box to which people gave another name, or took its name from.
#[derive(Clone, Debug, PartialEq)]
pub struct Correction {
    /// Id of the record.
    pub record: String,
    /// Name of the character.
    pub character: String,
    /// Whether it is taken for the character and is not.
    pub negative: bool,
    /// What the box shows.
    pub picture: RgbImage,
}

/// Who is told by whom: a character, and whether it is not the one.
type Lesson = (String, bool);

impl Dataset {
    /// What people corrected: a box that was renamed shows its new character, and not the one that the detector saw; a
    /// box that was rejected as [`NOT_THE_CHARACTER`] does not show its character. At most `per_character` boxes for and
    /// as many against each character, the best pictures first, one of several near-duplicates. In the order of names.
    ///
    /// # Errors
    /// For images that cannot be read.
    pub async fn corrections(&self, per_character: usize) -> Result<Vec<Correction>> {
        let mut lessons: BTreeMap<Lesson, Vec<&Record>> = BTreeMap::new();
        for record in self.records() {
            for lesson in self.lessons(record) {
                lessons.entry(lesson).or_default().push(record);
            }
        }
        let mut corrections = Vec::new();
        for ((character, negative), mut records) in lessons {
            let quality =
                |r: &Record| self.corrected(r).crop.as_ref().map_or(0.0, |crop| crop.quality.score());
            records.sort_by(|a, b| quality(b).total_cmp(&quality(a)).then_with(|| a.id.cmp(&b.id)));
            let mut shown = BTreeSet::new();
            for record in records {
                if shown.len() == per_character {
                    break;
                }
                let group = match &record.outcome {
                    Outcome::Duplicate { covered_by, .. } => covered_by,
                    _ => &record.id,
                };
                if shown.contains(group) {
                    continue;
                }
                let Some(picture) = self.inside(record).await? else { continue };
                shown.insert(group);
                let (record, character) = (record.id.clone(), character.clone());
                corrections.push(Correction { record, character, negative, picture });
            }
        }
        Ok(corrections)
    }

    fn lessons(&self, record: &Record) -> Vec<Lesson> {
        let (Some(judgement), true) = (self.judgement(&record.id), record.crop.is_some()) else {
            return Vec::new();
        };
        let detected = record.character().map(str::to_owned);
        let named = judgement.character.clone();
        if judgement.rejected.as_deref() == Some(NOT_THE_CHARACTER) {
            // An unsure box was nearly taken for somebody.
            let nearly = record.detection.alternatives.first().map(|other| other.character.clone());
            return named.or(detected).or(nearly).map(|name| (name, true)).into_iter().collect();
        }
        if judgement.rejected.is_some() || named.is_none() || named == detected {
            return Vec::new();
        }
        named.map(|name| (name, false)).into_iter().chain(detected.map(|name| (name, true))).collect()
    }

    /// The part of a record's image inside its own box; nothing where that is too small to tell anybody by.
    async fn inside(&self, record: &Record) -> Result<Option<RgbImage>> {
        let record = self.corrected(record);
        // Subjects are those with names; a box that has none is still known in the frame.
        let Some(own) = record.box_in_image() else { return Ok(None) };
        let image = self.image(record).await?;
        let part = own.to_pixels(image.width(), image.height());
        let part = part.filter(|part| part.width >= SHORTEST && part.height >= SHORTEST);
        Ok(part.map(|p| crop_imm(&image, p.x, p.y, p.width, p.height).to_image()))
    }
}
