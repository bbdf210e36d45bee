//! What a run tells while it works, and at the end.

use serde::Serialize;

use crate::{
    dataset::Counts,
    types::{Gap, MediaInfo, Usage},
};

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The film is open.
    Opened {
        /// What it says of itself.
        film: MediaInfo,
        /// How many frames the sampling will give, if that can be told.
        expected_frames: Option<u64>,
    },
    /// Finished work of an earlier run is used.
    Resumed {
        /// Samples that need not be decoded again.
        frames: u64,
    },
    /// The film is being looked at for shots and drawings, before frames are chosen.
    Looking,
    /// The detector is looking over the film before it searches it.
    Learning,
    /// A batch of frames is done and journaled.
    Collected {
        /// Frames done so far.
        frames: u64,
        /// Candidates found so far.
        candidates: u64,
    },
    /// A stretch of film could not be decoded.
    Gap {
        /// Which stretch and why.
        #[serde(flatten)]
        gap: Gap,
    },
    /// A frame could not be searched; the run goes on.
    FrameFailed {
        /// Number of the sample.
        index: u64,
        /// Why, in words.
        reason: String,
    },
    /// Near-duplicates are found.
    Selected {
        /// Images that stay.
        kept: u64,
        /// Images that a kept one covers.
        duplicates: u64,
    },
    /// One more caption is written.
    Captioned {
        /// Captions so far.
        done: u64,
        /// Captions in all.
        total: u64,
    },
    /// The dataset is complete.
    Finished {
        /// The final account.
        #[serde(flatten)]
        report: Report,
    },
}

/// The final account of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What the dataset holds.
    pub counts: Counts,
    /// Stretches of the film that could not be decoded.
    pub gaps: Vec<Gap>,
    /// What this run cost.
    pub usage: Usage,
    /// Whether the dataset was finished already and nothing had to be done.
    pub unchanged: bool,
    /// Bytes of the film that this run fetched, where the film lies elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub film_bytes_read: Option<u64>,
    /// Page that shows the result.
    pub contact_sheet: String,
}
