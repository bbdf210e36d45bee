//! What people decided about a record.

use serde::{Deserialize, Serialize};

use super::CropRecord;

/// One decision about one record. One line of `reviews.jsonl`, which is only ever appended to: what counts in the end
/// is a [`Judgement`](crate::review::Judgement).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Review {
    /// Id of the record.
    pub record: String,
    /// The decision.
    #[serde(flatten)]
    pub decision: Decision,
    /// Who decided.
    pub reviewer: String,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub time_ms: u64,
}

/// What somebody decided. Decisions add up: accepting an image keeps the caption that it was given before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// Good as it is.
    Accept,
    /// Not for training.
    Reject {
        /// Why, in words.
        reason: String,
    },
    /// Good with this caption.
    Edit {
        /// The caption that replaces the record's.
        caption: String,
    },
    /// Good, but it shows this character.
    Rename {
        /// Name in the cast.
        character: String,
    },
    /// Good, but cut like this.
    Recrop {
        /// The image that replaces the record's.
        crop: Box<CropRecord>,
    },
    /// Takes back the reviewer's own last decision about the record that is not taken back yet.
    Undo,
}
