//! What carries picchu's tag in an account, whether a ledger knows of it or not.

use aws_smithy_types::DateTime;

use crate::train::{Entry, Happened, ResourceKind};

/// The tag of everything that picchu creates.
pub(crate) const TAG: (&str, &str) = ("created-by", "picchu");

/// What was found in an account and a Region.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tagged {
    /// As lines of a ledger, in the order in which they are removed, each with the time of its creation.
    pub found: Vec<Entry>,
    /// What could not be asked, and why.
    pub unread: Vec<String>,
}

impl Tagged {
    /// Adds what a list said, or why it did not.
    pub(crate) fn add(&mut self, list: crate::error::Result<Vec<Entry>>) {
        match list {
            Ok(found) => self.found.extend(found),
            Err(e) => self.unread.push(e.to_string()),
        }
        self.found.sort_by(|a, b| (a.kind, &a.id).cmp(&(b.kind, &b.id)));
    }
}

/// A line about something that exists.
pub(crate) fn existing(kind: ResourceKind, id: &str, region: &str, since: Option<&DateTime>) -> Entry {
    let mut entry = Entry::creating(kind, id, region).now(Happened::Created);
    let ms = since.and_then(|since| since.to_millis().ok()).and_then(|ms| u64::try_from(ms).ok());
    entry.time_ms = ms.unwrap_or(entry.time_ms);
    entry
}
