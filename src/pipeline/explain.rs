//! What a run would do, before it does anything.

use std::fmt;

use serde::Serialize;

use super::{
    Job,
    run::{Opening, State, look, open},
};
use crate::{
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
    /// What is left of it will cost at the most, about, if the film is not done; nothing where it costs nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
}

/// What a stage of a run will use and cost, about: one character a frame, nothing dropped as a near-duplicate, every
/// caption right at once. Crowded films need more, films with many near-duplicates less.
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
            writeln!(f, "  in all about {usd:.2} US dollars at the most for one character a frame")?;
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
    let (frames, images) = left(&opening);
    let embedding = estimate(frames, job.embedder.price(), Usage::default());
    let detection = estimate(frames, job.detector.price(), Usage::default());
    let captions = estimate(images, job.captioner.price(), job.captioner.usage_of_one());
    let s = &opening.settings;
    Ok(Explanation {
        film: opening.film.info,
        expected_frames: opening.expected_frames,
        stages: vec![
            stage("sample", s.sampling.to_string(), collect),
            paid("detect", s.detector.model.clone(), collect, detection),
            stage("crop", format!("pad {}", s.crop.pad), collect),
            paid("embed", s.embedder.model.clone(), collect, embedding),
            stage("dedupe", opening.selection.deduper.model.clone(), select),
            paid("caption", opening.selection.captioner.model.clone(), select, captions),
            stage("store", job.store.uri(&crate::store::Key::new(crate::dataset::HEADER)?), select),
        ],
    })
}

/// Frames that are still to be searched, and images that are still to be captioned, as far as that can be told.
fn left(opening: &Opening) -> (Option<u64>, Option<u64>) {
    match &opening.state {
        State::Finished(_) => (Some(0), Some(0)),
        State::Collected => (Some(0), opening.expected_frames),
        State::Started(segments) => {
            let done: u64 = segments.iter().map(|s| s.frames).sum();
            let candidates: u64 = segments.iter().map(|s| s.candidates.len() as u64).sum();
            if segments.last().is_some_and(|s| s.end) {
                return (Some(0), Some(candidates));
            }
            let frames = opening.expected_frames.map(|frames| frames.saturating_sub(done));
            (frames, frames.map(|frames| frames + candidates))
        }
    }
}
