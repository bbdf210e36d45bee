//! Which images train, which are held out to judge the result, and which are left out so that no character drowns
//! the others.
//!
//! Images are held out by shot: frames of one shot look alike, so a shot is on one side or on the other. What was
//! decided is kept in `split.json`, so that later reviews move no image across.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Dataset, SPLIT, TrainingImage};
use crate::{
    error::{AtStage, Error, Result, Stage},
    store::{Key, PutMode},
    types::Record,
};

/// What an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// For training.
    Train,
    /// Held out of training, to judge the result by.
    HeldOut,
}

/// How to split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitOptions {
    /// How much of the images to hold out, 0 to 0.5.
    #[serde(default)]
    pub held_out: f64,
    /// Most training images of one character.
    #[serde(default)]
    pub cap: Option<usize>,
}

/// The content of `split.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// What was asked for.
    #[serde(flatten)]
    pub options: SplitOptions,
    /// The shots that are held out.
    pub held_out_shots: BTreeSet<ShotId>,
}

/// A stretch of film between two cuts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ShotId {
    /// Fingerprint of the film.
    pub film: String,
    /// Number of the shot in its film.
    pub shot: u32,
}

impl ShotId {
    /// The shot of a record, where its film was cut into shots.
    pub fn of(record: &Record) -> Option<Self> {
        record.frame.shot.map(|shot| Self { film: record.film.clone(), shot })
    }

    /// A number that no film's order shows through.
    fn lot(&self) -> [u8; 32] {
        Sha256::new_with_prefix(&self.film)
            .chain_update([0])
            .chain_update(self.shot.to_le_bytes())
            .finalize()
            .into()
    }
}

impl Dataset {
    /// Decides which images train and which are held out, and keeps that in the dataset. Equal datasets and options
    /// give equal splits.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a share or a cap out of range, or for a dataset without
    /// shots when something is to be held out.
    pub async fn split(&self, options: SplitOptions) -> Result<Self> {
        let split = self.plan_split(options).at(Stage::Dataset)?;
        let mut body = serde_json::to_vec_pretty(&split)
            .map_err(|e| Error::internal(format!("cannot write {SPLIT}: {e}")).with_source(e))?;
        body.push(b'\n');
        self.store.put(&Key::new(SPLIT)?, Bytes::from(body), PutMode::Overwrite).await.at(Stage::Dataset)?;
        Ok(Self { split: Some(split.into()), ..self.clone() })
    }

    fn plan_split(&self, options: SplitOptions) -> Result<Split> {
        if !(0.0..=0.5).contains(&options.held_out) {
            return Err(Error::invalid(format!("held_out is {}; it must be 0 to 0.5", options.held_out)));
        }
        if options.cap == Some(0) {
            return Err(Error::invalid("the cap is 0; it must be at least 1"));
        }
        let mut split = Split { options, held_out_shots: BTreeSet::new() };
        if options.held_out == 0.0 {
            return Ok(split);
        }
        let mut shots: BTreeMap<ShotId, BTreeMap<&str, usize>> = BTreeMap::new();
        let mut left: BTreeMap<&str, usize> = BTreeMap::new();
        let mut images = 0;
        for image in self.training_images() {
            let shot = ShotId::of(image.record).ok_or_else(|| {
                Error::invalid(format!(
                    "record {} does not know its shot, and frames of one shot must stay together; build the dataset \
                     again with this picchu",
                    image.record.id
                ))
            })?;
            let character = image.record.character().unwrap_or_default();
            *shots.entry(shot).or_default().entry(character).or_default() += 1;
            *left.entry(character).or_default() += 1;
            images += 1;
        }
        let wanted = (f64::from(images) * options.held_out).round() as usize;
        let mut drawn: Vec<_> = shots.into_iter().collect();
        drawn.sort_by_key(|(shot, _)| shot.lot());
        let mut held = 0;
        for (shot, characters) in drawn {
            let size: usize = characters.values().sum();
            // Nobody loses more than half of the images that train.
            let spares = characters.iter().all(|(name, n)| left[name] >= 2 * n);
            if held + size > wanted || !spares {
                continue;
            }
            held += size;
            for (name, n) in characters {
                *left.entry(name).or_default() -= n;
            }
            split.held_out_shots.insert(shot);
        }
        Ok(split)
    }

    /// What was decided about training and holding out, if anything was.
    pub fn split_of(&self) -> Option<&Split> {
        self.split.as_deref()
    }

    /// The images that are good for training with the part that each plays, in the film's order, and those that the
    /// cap leaves out.
    pub fn parts(&self) -> (Vec<(TrainingImage<'_>, Part)>, Vec<TrainingImage<'_>>) {
        let held_out = |image: &TrainingImage<'_>| {
            let shots = self.split.as_ref().map(|s| &s.held_out_shots);
            shots.is_some_and(|shots| ShotId::of(image.record).is_some_and(|shot| shots.contains(&shot)))
        };
        let cap = self.split.as_ref().and_then(|s| s.options.cap).unwrap_or(usize::MAX);
        let images: Vec<_> = self.training_images().collect();
        let mut by_character: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (number, image) in images.iter().enumerate().filter(|(_, image)| !held_out(image)) {
            by_character.entry(image.record.character().unwrap_or_default()).or_default().push(number);
        }
        let kept: BTreeSet<usize> =
            by_character.into_values().flat_map(|numbers| spread(&images, numbers, cap)).collect();
        let (mut chosen, mut left_out) = (Vec::new(), Vec::new());
        for (number, image) in images.into_iter().enumerate() {
            if held_out(&image) {
                chosen.push((image, Part::HeldOut));
            } else if kept.contains(&number) {
                chosen.push((image, Part::Train));
            } else {
                left_out.push(image);
            }
        }
        (chosen, left_out)
    }
}

/// At most `cap` of one character's images: the best of every shot, then the second best of every shot, and so on.
fn spread(images: &[TrainingImage<'_>], numbers: Vec<usize>, cap: usize) -> Vec<usize> {
    if numbers.len() <= cap {
        return numbers;
    }
    let quality = |number: usize| images[number].record.crop.as_ref().map_or(0.0, |c| c.quality.score());
    let mut shots: BTreeMap<Option<ShotId>, Vec<usize>> = BTreeMap::new();
    for number in numbers {
        shots.entry(ShotId::of(images[number].record)).or_default().push(number);
    }
    let mut ranked = Vec::new();
    for shot in shots.values_mut() {
        shot.sort_by(|&a, &b| quality(b).total_cmp(&quality(a)).then(a.cmp(&b)));
        ranked.extend(shot.iter().copied().enumerate());
    }
    ranked.sort_by(|a, b| a.0.cmp(&b.0).then(quality(b.1).total_cmp(&quality(a.1))).then(a.1.cmp(&b.1)));
    ranked.into_iter().take(cap).map(|(_, number)| number).collect()
}
