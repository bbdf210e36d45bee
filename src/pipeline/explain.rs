//! What a run would do, before it does anything.

use std::fmt;

use serde::Serialize;

use super::{
    Job,
    run::{State, look, open},
};
use crate::{error::Result, types::MediaInfo};

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
        for StageExplanation { stage, by, state } in &self.stages {
            writeln!(f, "  {stage:<8} {state:<16} {by}", state = state.to_string())?;
        }
        Ok(())
    }
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
    let stage = |stage, by: String, state| StageExplanation { stage, by, state };
    let s = &opening.settings;
    Ok(Explanation {
        film: opening.film.info,
        expected_frames: opening.expected_frames,
        stages: vec![
            stage("sample", s.sampling.to_string(), collect),
            stage("detect", s.detector.model.clone(), collect),
            stage("crop", format!("pad {}", s.crop.pad), collect),
            stage("embed", s.embedder.model.clone(), collect),
            stage("dedupe", opening.selection.deduper.model.clone(), select),
            stage("caption", opening.selection.captioner.model.clone(), select),
            stage("store", job.store.uri(&crate::store::Key::new(crate::dataset::HEADER)?), select),
        ],
    })
}
