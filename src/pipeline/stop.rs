//! Ending a run early without losing what is under way.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::error::{Error, ErrorKind};

/// Asks a run to end early: it takes nothing new, finishes and keeps what is under way, and ends with
/// [`Cancelled`](ErrorKind::Cancelled). The next run goes on from there. Clones are the same request.
///
/// Dropping the run's future ends it at once instead, and loses what was under way.
///
/// ```
/// use picchu::pipeline::Stop;
/// let stop = Stop::new();
/// let elsewhere = stop.clone();
/// elsewhere.request();
/// assert!(stop.is_requested());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A request that nobody has made yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the request. It cannot be taken back.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was made.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn error() -> Error {
        Error::new(
            ErrorKind::Cancelled,
            "stopped on request; finished work is kept, and the same command goes on from there",
        )
    }
}
