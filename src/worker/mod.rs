//! The automated way: a film is uploaded to S3, and its dataset appears.
//!
//! A [`Worker`] takes films one by one, as an event, an argument, a list or a queue names them, and runs the job of its
//! [`Settings`] for each. Whatever happens, a film ends in one of a few [`Outcome`]s, and in a report beside the datasets:
//!
//! ```text
//! OUTPUT/two-friends-1f0e2d3c4b5a6978/      the dataset of one version of one object
//! OUTPUT/reports/two-friends-1f0e2d3c4b5a6978.json
//! ```
//!
//! Names follow from bucket, key and version alone. So the same event may come twice, late, or in any order, and two
//! workers may get the same film: one of them works, and the other finds the work done.

mod film;
mod halt;
mod health;
mod log;
#[cfg(feature = "aws-sqs")]
mod queue;
mod report;
mod settings;
mod upload;

use std::{path::PathBuf, time::Duration};

use serde_json::json;

#[cfg(feature = "aws-sqs")]
pub use self::queue::Served;
pub use self::{
    film::Outcome,
    halt::Halt,
    health::check_health,
    log::{Level, Log},
    settings::{Settings, WORKER_FILE},
    upload::Upload,
};
use crate::error::Result;

/// How long a worker that was asked to end goes on with what is under way; Amazon ECS kills it after 30 seconds.
pub const GRACE: Duration = Duration::from_secs(25);
/// How often a worker looks whether another one has finished the film that it was given itself.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// Makes datasets of films that were uploaded, one at a time.
///
/// ```no_run
/// # async fn f() -> picchu::Result<()> {
/// use picchu::{config::Access, worker::{Log, Settings, Upload, Worker}};
/// let settings = Settings::load("settings", Some("s3://datasets/films"), &Access::default()).await?;
/// let worker = Worker::new(settings, Log::new(std::io::stdout()));
/// let outcome = worker.one(Upload::at("s3://uploads/two_friends.mp4")?).await;
/// println!("{}", outcome.as_str());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Worker {
    settings: Settings,
    log: Log,
    halt: Halt,
    grace: Duration,
    pulse: health::Pulse,
}

impl Worker {
    /// A worker that tells a log what it does.
    pub fn new(settings: Settings, log: Log) -> Self {
        let pulse = health::Pulse::default();
        pulse.beat();
        Self { settings, log, halt: Halt::new(), grace: GRACE, pulse }
    }

    /// Sets how long the worker goes on with what is under way once it is asked to end.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// By which the worker is asked to end, from a signal handler for example.
    pub fn halt(&self) -> Halt {
        self.halt.clone()
    }

    /// Keeps rewriting a file for [`check_health`], until nothing has gone on for as long as `stalled`; never ends by
    /// itself.
    pub fn show_health(&self, path: PathBuf, stalled: Duration) -> impl Future<Output = ()> + Send + use<> {
        health::show(path, self.pulse.clone(), stalled)
    }

    /// Works on one film to its end. While another worker is at work on it, this one waits: if the other dies, it goes
    /// on from there.
    pub async fn one(&self, upload: Upload) -> Outcome {
        loop {
            let outcome = self.film(&upload, 1).await;
            if !matches!(outcome, Outcome::Busy) {
                return outcome;
            }
            self.pulse.beat();
            tokio::select! {
                () = tokio::time::sleep(BUSY_WAIT) => {}
                () = self.halt.requested() => return Outcome::Stopped,
            }
        }
    }

    /// The films that a list names, one `s3://bucket/key` a line; empty lines and those that begin with `#` are none.
    /// The list lies here or on S3.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a line that names no film, with its number; where the list
    /// cannot be read.
    pub async fn list(&self, place: &str) -> Result<Vec<Upload>> {
        let text = film::read_list(place, &self.settings.access()).await?;
        let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
        lines
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(number, line)| Upload::at(line).map_err(|e| e.with_context("line", number)))
            .collect()
    }

    /// Says that the worker ends.
    pub fn farewell(&self, why: &str) {
        self.log.say(Level::Info, "ended", json!({"why": why}));
    }
}
