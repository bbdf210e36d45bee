//! What a dataset shows of each character, what it lacks, and where the film has more of that.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use serde::Serialize;

use super::{Dataset, ShotId};
use crate::types::{Outcome, Record};

/// How an image shows its character, as far as that is measured: a size, a place, a light, a company.
///
/// Whether somebody is seen from the front, from the side or from behind is not measured, and not guessed either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum View {
    /// Size: more than 75 % of the frame's height, or cut off at head and foot.
    Close,
    /// Size: 40 to 75 % of the frame's height.
    Medium,
    /// Size: less than 40 % of the frame's height: the character in its surroundings.
    Wide,
    /// Place: in the left third of the frame.
    Left,
    /// Place: in the middle third.
    Middle,
    /// Place: in the right third.
    Right,
    /// Light: the picture is dark, below 28 % of white on average.
    Dark,
    /// Light: neither.
    Lit,
    /// Light: the picture is bright, above 63 % of white.
    Bright,
    /// Company: nobody else of the cast in the picture.
    Alone,
    /// Company: with somebody else of the cast.
    Together,
}

impl View {
    /// Every view, by what it is about.
    pub const ASPECTS: [&'static [Self]; 4] = [
        &[Self::Close, Self::Medium, Self::Wide],
        &[Self::Left, Self::Middle, Self::Right],
        &[Self::Dark, Self::Lit, Self::Bright],
        &[Self::Alone, Self::Together],
    ];

    /// The views of a record: one of each aspect that is measured of it.
    pub fn of(record: &Record) -> Vec<Self> {
        let b = record.detection.bounding_box;
        let size = match b.height {
            _ if b.top <= 0.005 && b.bottom() >= 0.995 => Self::Close,
            h if h < 0.4 => Self::Wide,
            h if h < 0.75 => Self::Medium,
            _ => Self::Close,
        };
        let place = match b.left + b.width / 2.0 {
            x if x < 1.0 / 3.0 => Self::Left,
            x if x < 2.0 / 3.0 => Self::Middle,
            _ => Self::Right,
        };
        let light = record.crop.as_ref().and_then(|c| c.light).map(|light| match light {
            l if l < 0.28 => Self::Dark,
            l if l <= 0.63 => Self::Lit,
            _ => Self::Bright,
        });
        let company = record.crop.as_ref().map(|_| {
            let alone = record.subjects.iter().all(|s| Some(s.character.as_str()) == record.character());
            if alone { Self::Alone } else { Self::Together }
        });
        [Some(size), Some(place), light, company].into_iter().flatten().collect()
    }

    /// Its name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Medium => "medium",
            Self::Wide => "wide",
            Self::Left => "left",
            Self::Middle => "middle",
            Self::Right => "right",
            Self::Dark => "dark",
            Self::Lit => "lit",
            Self::Bright => "bright",
            Self::Alone => "alone",
            Self::Together => "together",
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
    /// Of those: decided about by a person.
    pub reviewed: usize,
    /// Of those: by view, every view named.
    pub views: BTreeMap<View, usize>,
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

/// A view that a character's images lack.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// The view.
    pub view: View,
    /// Images that show it.
    pub images: usize,
    /// Candidates that show it and are not among the images: at most five, from different shots, those first that bring
    /// most.
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

/// The share of a character's images below which a view counts as missing.
const FEW: f64 = 0.1;

impl Dataset {
    /// Counts what the images show of each character, and looks for what they lack among the candidates that were
    /// dropped, or whose character is unsure.
    ///
    /// Sizes that the film lacks are told as well: a trainer needs them all. A place, a light or a company that no
    /// candidate shows may not be in the film.
    pub fn stats(&self) -> Stats {
        let mut characters: BTreeMap<String, CharacterStats> = BTreeMap::new();
        let mut shots: BTreeMap<&str, BTreeSet<ShotId>> = BTreeMap::new();
        let mut images = 0;
        let mut chosen = BTreeMap::new();
        for image in self.training_images() {
            images += 1;
            let record = image.record;
            let views = View::of(record);
            let name = record.character().unwrap_or_default();
            let stats = entry(&mut characters, name);
            stats.images += 1;
            stats.reviewed += usize::from(image.reviewed);
            for view in &views {
                *stats.views.entry(*view).or_default() += 1;
            }
            stats.quality += record.crop.as_ref().map_or(0.0, |c| c.quality.score());
            shots.entry(name).or_default().extend(ShotId::of(record));
            chosen.insert(record.id.as_str(), views);
        }
        for record in self.records() {
            let Some(name) = self.corrected(record).character() else { continue };
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
            for (aspect, views) in View::ASPECTS.into_iter().enumerate() {
                for &view in views {
                    let count = stats.views[&view];
                    if count as f64 <= stats.images as f64 * FEW {
                        let more = self.more(name, view, &chosen);
                        if aspect == 0 || !more.is_empty() {
                            stats.advice.push(Advice { view, images: count, more });
                        }
                    }
                }
            }
        }
        Stats { images, characters }
    }

    fn more(&self, name: &str, view: View, chosen: &BTreeMap<&str, Vec<View>>) -> Vec<More> {
        let mut found: Vec<&Record> = self
            .records()
            .iter()
            .filter(|r| !chosen.contains_key(r.id.as_str()))
            .filter(|r| {
                r.character() == Some(name) || r.detection.alternatives.iter().any(|a| a.character == name)
            })
            .filter(|r| View::of(r).contains(&view))
            .collect();
        // Near-duplicates of an image that shows the same view bring least.
        let shown = |r: &Record| match &r.outcome {
            Outcome::Duplicate { covered_by, .. } => {
                chosen.get(covered_by.as_str()).is_some_and(|views| views.contains(&view))
            }
            _ => false,
        };
        let worth = |r: &Record| r.detection.confidence * r.crop.as_ref().map_or(0.1, |c| c.quality.score());
        found.sort_by(|a, b| {
            let by_worth = worth(b).total_cmp(&worth(a));
            shown(a).cmp(&shown(b)).then(by_worth).then_with(|| a.id.cmp(&b.id))
        });
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
        views: View::ASPECTS.into_iter().flatten().map(|view| (*view, 0)).collect(),
        ..CharacterStats::default()
    })
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} images for training", self.images)?;
        for (name, stats) in &self.characters {
            write!(f, "{name}: {} images", stats.images)?;
            if stats.shots > 0 {
                write!(f, " from {} shots", stats.shots)?;
            }
            writeln!(
                f,
                ", {} reviewed, mean quality {:.2}; {} near-duplicates, {} skipped",
                stats.reviewed, stats.quality, stats.duplicates, stats.skipped
            )?;
            let aspects = View::ASPECTS.map(|views| {
                // Light is not measured in datasets of earlier versions.
                let measured = views.iter().any(|view| stats.views[view] > 0);
                let counts = views.iter().map(|view| format!("{} {}", stats.views[view], view.as_str()));
                measured.then(|| counts.collect::<Vec<_>>().join(", "))
            });
            let aspects: Vec<String> = aspects.into_iter().flatten().collect();
            if !aspects.is_empty() {
                writeln!(f, "  {}", aspects.join("; "))?;
            }
            for advice in &stats.advice {
                write!(f, "  {} {}", advice.images, advice.view.as_str())?;
                if advice.more.is_empty() {
                    writeln!(f, ": none among the candidates; sample more often, or add a film")?;
                    continue;
                }
                let places: Vec<String> = advice.more.iter().map(ToString::to_string).collect();
                writeln!(f, ": there are some at {}", places.join(", "))?;
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
