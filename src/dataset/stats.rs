//! What a dataset shows of each character, what it lacks, and where the film has more of that.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use serde::Serialize;

use super::{Dataset, ShotId};
use crate::types::{Outcome, Record};

/// How much of the frame a character fills: what film people call the size of a shot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// Less than 40 % of the frame's height: the character in its surroundings.
    Wide,
    /// 40 to 75 %.
    Medium,
    /// More, or cut off by the frame.
    Close,
}

impl Framing {
    const ALL: [Self; 3] = [Self::Wide, Self::Medium, Self::Close];

    /// The framing of a record.
    pub fn of(record: &Record) -> Self {
        let b = record.detection.bounding_box;
        let cut_off = b.top <= 0.005 && b.bottom() >= 0.995;
        match b.height {
            _ if cut_off => Self::Close,
            h if h < 0.4 => Self::Wide,
            h if h < 0.75 => Self::Medium,
            _ => Self::Close,
        }
    }

    /// Its name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wide => "wide",
            Self::Medium => "medium",
            Self::Close => "close",
        }
    }
}

/// The statistics of a dataset. Shows itself as a page of text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stats {
    /// Images that are good for training.
    pub images: usize,
    /// Each character's, by name.
    pub characters: BTreeMap<String, CharacterStats>,
}

/// What a dataset shows of one character.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CharacterStats {
    /// Images for training that were cut for it.
    pub images: usize,
    /// Of those: with nobody else of the cast in the picture.
    pub alone: usize,
    /// Of those: decided about by a person.
    pub reviewed: usize,
    /// Of those: by framing, every framing named.
    pub framing: BTreeMap<Framing, usize>,
    /// Shots that they come from, where the film was cut into shots.
    pub shots: usize,
    /// Mean quality, 0..1.
    pub quality: f32,
    /// Candidates of it that an image covers.
    pub duplicates: usize,
    /// Candidates of it that a rule left out.
    pub skipped: usize,
    /// What is missing, and where the film has some.
    pub advice: Vec<Advice>,
}

/// Something that a character's images lack.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// The framing.
    pub framing: Framing,
    /// Images that show it.
    pub images: usize,
    /// Candidates that show it and are not among the images, best first: at most five, from different shots.
    pub more: Vec<More>,
}

/// A candidate that would help.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct More {
    /// Id of the record.
    pub record: String,
    /// Time of its frame in seconds.
    pub time: f64,
    /// Number of its shot.
    pub shot: Option<u32>,
    /// What became of it.
    pub outcome: &'static str,
}

/// The share of a character's images below which a framing counts as missing.
const FEW: f64 = 0.1;

impl Dataset {
    /// Counts what the images show of each character, and looks for what they lack among the candidates.
    pub fn stats(&self) -> Stats {
        let mut characters: BTreeMap<String, CharacterStats> = BTreeMap::new();
        let mut shots: BTreeMap<&str, BTreeSet<ShotId>> = BTreeMap::new();
        let mut images = 0;
        let mut chosen = BTreeSet::new();
        for image in self.training_images() {
            images += 1;
            let record = image.record;
            chosen.insert(record.id.as_str());
            let name = record.character().unwrap_or_default();
            let stats = entry(&mut characters, name);
            stats.images += 1;
            stats.alone += usize::from(record.subjects.iter().all(|s| s.character == name));
            stats.reviewed += usize::from(image.reviewed);
            *stats.framing.entry(Framing::of(record)).or_default() += 1;
            stats.quality += record.crop.as_ref().map_or(0.0, |c| c.quality.score());
            shots.entry(name).or_default().extend(ShotId::of(record));
        }
        for record in self.records() {
            let Some(name) = record.character() else { continue };
            let stats = entry(&mut characters, name);
            match record.outcome {
                Outcome::Duplicate { .. } => stats.duplicates += 1,
                Outcome::Skipped { .. } => stats.skipped += 1,
                _ => {}
            }
        }
        for (name, stats) in &mut characters {
            stats.shots = shots.get(name.as_str()).map_or(0, BTreeSet::len);
            if stats.images > 0 {
                stats.quality /= stats.images as f32;
            }
            for framing in Framing::ALL {
                let count = stats.framing[&framing];
                if count as f64 <= stats.images as f64 * FEW {
                    let more = self.more(name, framing, &chosen);
                    stats.advice.push(Advice { framing, images: count, more });
                }
            }
        }
        Stats { images, characters }
    }

    fn more(&self, name: &str, framing: Framing, chosen: &BTreeSet<&str>) -> Vec<More> {
        let mut found: Vec<&Record> = self
            .records()
            .iter()
            .filter(|r| {
                r.character() == Some(name) || r.detection.alternatives.iter().any(|a| a.character == name)
            })
            .filter(|r| Framing::of(r) == framing && !chosen.contains(r.id.as_str()))
            .collect();
        let worth = |r: &Record| r.detection.confidence * r.crop.as_ref().map_or(0.1, |c| c.quality.score());
        found.sort_by(|a, b| worth(b).total_cmp(&worth(a)).then_with(|| a.id.cmp(&b.id)));
        let mut shots = BTreeSet::new();
        let apart = |r: &&Record| ShotId::of(r).is_none_or(|shot| shots.insert(shot));
        found
            .into_iter()
            .filter(apart)
            .take(5)
            .map(|r| More {
                record: r.id.clone(),
                time: r.frame.time.as_secs_f64(),
                shot: r.frame.shot,
                outcome: r.outcome.as_str(),
            })
            .collect()
    }
}

fn entry<'a>(characters: &'a mut BTreeMap<String, CharacterStats>, name: &str) -> &'a mut CharacterStats {
    characters.entry(name.to_owned()).or_insert_with(|| CharacterStats {
        framing: Framing::ALL.into_iter().map(|framing| (framing, 0)).collect(),
        ..CharacterStats::default()
    })
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} images for training", self.images)?;
        for (name, stats) in &self.characters {
            let framing: Vec<String> =
                Framing::ALL.iter().rev().map(|k| format!("{} {}", stats.framing[k], k.as_str())).collect();
            write!(f, "{name}: {} images ({}), {} alone", stats.images, framing.join(", "), stats.alone)?;
            if stats.shots > 0 {
                write!(f, ", from {} shots", stats.shots)?;
            }
            writeln!(
                f,
                ", {} reviewed, mean quality {:.2}; {} near-duplicates, {} skipped",
                stats.reviewed, stats.quality, stats.duplicates, stats.skipped
            )?;
            for advice in &stats.advice {
                write!(f, "  {} {}", advice.images, advice.framing.as_str())?;
                if advice.more.is_empty() {
                    writeln!(f, "; the film has none that were found: sample more often, or add a film")?;
                    continue;
                }
                let places: Vec<String> = advice.more.iter().map(ToString::to_string).collect();
                writeln!(f, "; there are some at {}", places.join(", "))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = Duration::try_from_secs_f64(self.time).unwrap_or_default();
        write!(f, "{}:{:06.3}", time.as_secs() / 60, time.as_secs_f64() % 60.0)?;
        if let Some(shot) = self.shot {
            write!(f, " (shot {shot}, {})", self.outcome)
        } else {
            write!(f, " ({})", self.outcome)
        }
    }
}
