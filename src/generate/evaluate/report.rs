//! What an evaluation found.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::gallery::mean;
use crate::{
    error::{AtStage, Error, Result, Stage},
    store::{Key, PutMode, Store},
    types::{BoundingBox, ProviderInfo},
};

/// A judgement of several generators, or of several checkpoints of one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Who looked for characters.
    pub detector: ProviderInfo,
    /// Who measured likeness.
    pub embedder: ProviderInfo,
    /// How many images were held out of training to be compared with.
    pub held_out: usize,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// From which cosine similarity to a training image an image counts as its copy.
    pub copy_similarity: f64,
    /// Those who were judged, in the order in which they were.
    pub contestants: Vec<Contestant>,
}

/// One generator's images, judged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Contestant {
    /// Its name.
    pub name: String,
    /// The mean over the characters: 1 for images as consistent as the film, 0 for ones that show others, below for ones
    /// that show nobody.
    pub score: f64,
    /// By character.
    pub characters: BTreeMap<String, CharacterScore>,
    /// Images that are nearly training images.
    pub copies: usize,
    /// Every image.
    pub images: Vec<ImageScore>,
}

/// How well one character held.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CharacterScore {
    /// Images that should show the character.
    pub asked: usize,
    /// Those of them in which the character was found.
    pub appeared: usize,
    /// The mean over those that were asked for, see [`Contestant::score`].
    pub score: f64,
    /// Mean likeness where the character appeared: 1 is that of the film's own crops. `None` where it never did, or where
    /// the embedder does not tell the character from others; the detector's confidence counts then.
    pub likeness: Option<f64>,
    /// Whom images of this character alone showed instead, and how often.
    pub mistaken_for: BTreeMap<String, usize>,
}

/// One image, judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageScore {
    /// Its key beside the report; `None` where there is none.
    pub image: Option<String>,
    /// What it was drawn for.
    pub prompt: String,
    /// The score for each character that it should show; `None` without an image.
    pub asked: BTreeMap<String, Option<f64>>,
    /// Who was found.
    pub found: Vec<Found>,
    /// The training images that it nearly is.
    pub copies: Vec<Copy>,
    /// Why it could not be judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A character that was found in an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Who.
    pub character: String,
    /// How sure the detector is, 0..1.
    pub confidence: f32,
    /// Where.
    pub bounding_box: BoundingBox,
    /// Likeness to each character.
    pub likeness: BTreeMap<String, f64>,
}

/// A training image that a generated one nearly is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Copy {
    /// Its record in the dataset.
    pub record: String,
    /// Its key beside the report.
    pub image: String,
    /// Cosine similarity.
    pub similarity: f64,
}

impl Contestant {
    pub(super) fn of(name: &str, images: Vec<ImageScore>, known: &BTreeSet<String>) -> Self {
        let mut characters: BTreeMap<String, CharacterScore> = BTreeMap::new();
        for name in known {
            let asked: Vec<&ImageScore> = images.iter().filter(|i| i.asked.contains_key(name)).collect();
            if asked.is_empty() {
                continue;
            }
            let appears = |image: &&ImageScore| image.found.iter().any(|f| f.character == *name);
            let appeared: Vec<&&ImageScore> = asked.iter().filter(|image| appears(image)).collect();
            let likeness: Vec<f64> = appeared
                .iter()
                .filter_map(|image| {
                    let own = image.found.iter().filter(|f| f.character == *name);
                    own.filter_map(|f| f.likeness.get(name)).copied().reduce(f64::max)
                })
                .collect();
            let mut mistaken_for: BTreeMap<String, usize> = BTreeMap::new();
            for image in asked.iter().filter(|image| image.asked.len() == 1 && !appears(image)) {
                let others: BTreeSet<&str> = image.found.iter().map(|f| f.character.as_str()).collect();
                for other in others {
                    *mistaken_for.entry(other.to_owned()).or_default() += 1;
                }
            }
            // What was not drawn is as wrong as what shows somebody else.
            let scores: Vec<f64> = asked.iter().map(|image| image.asked[name].unwrap_or(0.0)).collect();
            characters.insert(
                name.clone(),
                CharacterScore {
                    asked: asked.len(),
                    appeared: appeared.len(),
                    score: mean(&scores).unwrap_or(0.0),
                    likeness: mean(&likeness),
                    mistaken_for,
                },
            );
        }
        let scores: Vec<f64> = characters.values().map(|c| c.score).collect();
        Self {
            name: name.to_owned(),
            score: mean(&scores).unwrap_or(0.0),
            characters,
            copies: images.iter().filter(|image| !image.copies.is_empty()).count(),
            images,
        }
    }
}

impl Report {
    /// Adds a contestant.
    pub fn add(&mut self, contestant: Contestant) {
        self.contestants.push(contestant);
    }

    /// The contestants, the best first.
    pub fn ranking(&self) -> Vec<&Contestant> {
        let mut ranked: Vec<_> = self.contestants.iter().collect();
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
        ranked
    }

    /// Writes `evaluation.json` and the page `evaluation.html`.
    ///
    /// # Errors
    /// The store's.
    pub async fn write(&self, out: &dyn Store) -> Result<()> {
        let json = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
        let page = super::page::page(self).into_bytes();
        for (name, body) in [("evaluation.json", json), ("evaluation.html", page)] {
            out.put(&Key::new(name)?, Bytes::from(body), PutMode::Overwrite).await.at(Stage::Evaluate)?;
        }
        Ok(())
    }
}
