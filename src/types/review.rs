//! What people decided about a record.

use serde::{Deserialize, Serialize};

/// One decision about one record. One line of `reviews.jsonl`; later lines win.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// Accept, reject or edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}
