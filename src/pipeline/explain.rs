//! What a run would do, before it does anything.

use std::fmt;

use serde::Serialize;

use super::{
    Job,
    journal::Segment,
    run::{Opening, State, look, open},
};
use crate::{
    dataset::Settings,
    error::Result,
    types::{MediaInfo, Usage},
};

/// What a run would do. Shows itself as a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The film.
    pub film: MediaInfo,
    /// How many frames the sampling gives, if that can be told.
    pub expected_frames: Option<u64>,
    /// Characters in a frame on average, by the frames that are done; `None` where none are: estimates then reckon with
    /// one.
    pub characters_per_frame: Option<f64>,
    /// The stages, in order.
    pub stages: Vec<StageExplanation>,
}

/// One stage of a run to come.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageExplanation {
    /// Its verb, as in the pipeline.
    pub stage: &'static str,
    /// Who does it, with the settings that matter.
    pub by: String,
    /// How much of it is done.
    pub state: StageState,
    /// What is left of it will cost, about; nothing where it costs nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
}

/// What a stage of a run will use and cost, about: so many [characters a frame](Explanation::characters_per_frame), nothing
/// dropped as a near-duplicate, every caption right at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Paid requests.
    pub requests: u64,
    /// Tokens read and written, where they count.
    pub tokens: u64,
    /// US dollars; `None` where the price is not known.
    pub usd: Option<f64>,
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "about {} requests", self.requests)?;
        if self.tokens > 0 {
            write!(f, ", {} tokens", self.tokens)?;
        }
        match self.usd {
            Some(usd) => write!(f, ", {usd:.2} US dollars"),
            None => f.write_str(", at a price that is not known"),
        }
    }
}

/// How much of a stage is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StageState {
    /// Nothing to do.
    Done,
    /// So many frames are done; the run goes on from there.
    Partly(u64),
    /// All is to do.
    ToDo,
}

impl fmt::Display for StageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Partly(frames) => write!(f, "{frames} frames done"),
            Self::ToDo => f.write_str("to do"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let film = &self.film;
        write!(f, "{}: {} {}×{}", film.name, film.codec, film.width, film.height)?;
        if let Some(length) = film.duration {
            write!(f, ", {:.1} s", length.as_secs_f64())?;
        }
        if let Some(frames) = self.expected_frames {
            write!(f, ", about {frames} frames to take")?;
        }
        writeln!(f)?;
        for StageExplanation { stage, by, state, estimate } in &self.stages {
            write!(f, "  {stage:<8} {state:<16} {by}", state = state.to_string())?;
            match estimate {
                Some(estimate) => writeln!(f, ": {estimate}")?,
                None => writeln!(f)?,
            }
        }
        if let Some(usd) = self.usd().filter(|usd| *usd > 0.0) {
            write!(f, "  in all about {usd:.2} US dollars with ")?;
            match self.characters_per_frame {
                Some(characters) => write!(f, "{characters:.1} characters a frame as in the frames done")?,
                None => f.write_str(
                    "one character a frame, which is a guess: some first frames (--limit) tell better",
                )?,
            }
            writeln!(f, "; less where near-duplicates are dropped")?;
        }
        Ok(())
    }
}

impl Explanation {
    /// What the run will cost in US dollars, about; `None` where the length of the film or a price is not known.
    pub fn usd(&self) -> Option<f64> {
        self.expected_frames?;
        self.stages.iter().filter_map(|s| s.estimate).map(|e| e.usd).sum()
    }
}

/// What `count` calls cost; nothing for what is free.
fn estimate(count: Option<u64>, price: Option<f64>, one: Usage) -> Option<Estimate> {
    let count = count.filter(|n| *n > 0)?;
    if price == Some(0.0) && one.is_free() {
        return None;
    }
    let tokens = (one.input_tokens + one.output_tokens) * count;
    Some(Estimate { requests: count, tokens, usd: price.map(|usd| usd * count as f64) })
}

pub(crate) async fn explain(job: &Job) -> Result<Explanation> {
    let opening = open(job, look(job).await?).await?;
    let (collect, select) = match &opening.state {
        State::Finished(_) => (StageState::Done, StageState::Done),
        State::Collected => (StageState::Done, StageState::ToDo),
        State::Started(segments) => match segments.last() {
            Some(last) if last.end => (StageState::Done, StageState::ToDo),
            Some(last) => (StageState::Partly(last.next), StageState::ToDo),
            None => (StageState::ToDo, StageState::ToDo),
        },
    };
    let stage = |stage, by: String, state| StageExplanation { stage, by, state, estimate: None };
    let paid = |stage, by: String, state, estimate| StageExplanation { stage, by, state, estimate };
    let left = Left::of(&opening);
    let detection = estimate(left.frames, job.detector.price(), Usage::default());
    let embedding = estimate(left.crops, job.embedder.price(), Usage::default());
    let captions = estimate(left.images, job.captioner.price(), job.captioner.usage_of_one());
    let s = &opening.settings;
    Ok(Explanation {
        film: opening.film.info,
        expected_frames: opening.expected_frames,
        characters_per_frame: left.characters_per_frame,
        stages: vec![
            stage("sample", s.sampling.to_string(), collect),
            paid("detect", detected_by(s), collect, detection),
            stage("crop", format!("pad {}", s.crop.pad), collect),
            paid("embed", s.embedder.model.clone(), collect, embedding),
            stage("dedupe", opening.selection.deduper.model.clone(), select),
            paid("caption", opening.selection.captioner.model.clone(), select, captions),
            stage("store", job.store.uri(&crate::store::Key::new(crate::dataset::HEADER)?), select),
        ],
    })
}

/// Who finds the characters, and whether the frames around settle what was found.
fn detected_by(settings: &Settings) -> String {
    let settled = if settings.settle.is_some() { ", settled by neighbours" } else { "" };
    format!("{}{settled}", settings.detector.model)
}

/// What is still to do, as far as that can be told.
struct Left {
    characters_per_frame: Option<f64>,
    /// Frames to be searched.
    frames: Option<u64>,
    /// Crops to be embedded.
    crops: Option<u64>,
    /// Images to be captioned, if none is a near-duplicate.
    images: Option<u64>,
}

impl Left {
    fn of(opening: &Opening) -> Self {
        let average = |crops: u64, frames: u64| (frames > 0).then(|| crops as f64 / frames as f64);
        // Whatever has a name and an image can be kept by another selection.
        let earlier = opening.earlier.as_ref().map(|c| (c.kept + c.duplicates + c.uncaptioned, c.frames));
        let as_before = earlier.and_then(|(crops, frames)| average(crops, frames));
        let nothing =
            Self { characters_per_frame: as_before, frames: Some(0), crops: Some(0), images: Some(0) };
        match &opening.state {
            State::Finished(_) => nothing,
            State::Collected => Self { images: earlier.map(|(crops, _)| crops), ..nothing },
            State::Started(segments) => {
                let done: u64 = segments.iter().map(|s| s.frames).sum();
                let named = |s: &Segment| s.candidates.iter().filter(|c| c.record.is_kept()).count() as u64;
                let crops = segments.iter().map(named).sum();
                let characters_per_frame = average(crops, done).or(as_before);
                let ended = segments.last().is_some_and(|s| s.end);
                let frames =
                    if ended { Some(0) } else { opening.expected_frames.map(|all| all.saturating_sub(done)) };
                let to_come =
                    frames.map(|frames| (frames as f64 * characters_per_frame.unwrap_or(1.0)).round() as u64);
                let images = to_come.map(|to_come| crops + to_come);
                Self { characters_per_frame, frames, crops: to_come, images }
            }
        }
    }
}
