//! One film: from the upload to its dataset and its report.

use std::{
    path::Path,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::future::{self, Either};
use serde_json::{Value, json};

use super::{
    Level, Log, Upload, Worker,
    report::{Failure, FilmReport, Reports},
};
use crate::{
    aws::S3Film,
    config::Access,
    error::{Error, ErrorKind, Result},
    local::video::VideoFile,
    pipeline::{Event, Report},
    source::RangeReader,
};

/// Progress is told at most so often.
const QUIET: Duration = Duration::from_secs(10);
/// How long a run that had to be cut off has to give back its right to write.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Bytes of a list of films, at most.
const LARGEST_LIST: u64 = 16 << 20;

/// What became of a film.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Its dataset is complete, now or since earlier.
    Done(Box<Report>),
    /// It is none of this worker's business, for this reason.
    Ignored(String),
    /// It was deleted.
    Gone,
    /// Another object is in its place, which has an event of its own.
    Superseded,
    /// Another worker is at work on it.
    Busy,
    /// The worker was asked to end; finished work is kept.
    Stopped,
    /// It failed.
    Failed(Error),
}

impl Outcome {
    /// The outcome's stable name.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Ignored(_) => "ignored",
            Self::Gone => "gone",
            Self::Superseded => "superseded",
            Self::Busy => "busy",
            Self::Stopped => "stopped",
            Self::Failed(_) => "failed",
        }
    }

    /// As a command ends: what another attempt could change, or nobody can, is an error.
    ///
    /// # Errors
    /// The film's own; [`Cancelled`](ErrorKind::Cancelled) where the worker was asked to end.
    pub fn into_result(self) -> Result<()> {
        match self {
            Self::Failed(error) => Err(error),
            Self::Stopped => Err(Error::new(
                ErrorKind::Cancelled,
                "stopped; finished work is kept, and the same command goes on from there",
            )),
            Self::Busy => Err(Error::new(ErrorKind::AlreadyExists, "another worker is at work on the film")),
            Self::Done(_) | Self::Ignored(_) | Self::Gone | Self::Superseded => Ok(()),
        }
    }
}

impl Worker {
    /// Works on one film. `attempt` says how often somebody has begun with it, this time included.
    pub async fn film(&self, upload: &Upload, attempt: u32) -> Outcome {
        let log = self.log.about("run", crate::store::token()).about("film", upload.address());
        let begun = Instant::now();
        self.pulse.beat();
        log.say(
            Level::Info,
            "received",
            json!({"attempt": attempt, "version": upload.version, "etag": upload.etag}),
        );
        let mut upload = upload.clone();
        let outcome = match self.work(&mut upload, attempt, &log).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed(error),
        };
        let outcome = match self.report(&upload, attempt, &outcome, &log).await {
            Ok(()) => outcome,
            Err(e) if matches!(outcome, Outcome::Failed(_)) => {
                log.say(Level::Error, "report_failed", json!({"message": e.to_string()}));
                outcome
            }
            Err(e) => Outcome::Failed(e),
        };
        tell(&outcome, begun.elapsed(), &log);
        self.pulse.beat();
        outcome
    }

    async fn work(&self, upload: &mut Upload, attempt: u32, log: &Log) -> Result<Outcome> {
        if let Some(reason) = self.settings.ignores(upload) {
            return Ok(Outcome::Ignored(reason));
        }
        if let Some(outcome) = self.look(upload).await? {
            return Ok(outcome);
        }
        let name = upload.name();
        let config = self.settings.run(upload, &name);
        log.say(Level::Info, "begun", json!({"dataset": config.out}));
        if attempt > 1 {
            // Should this attempt take the process with it, the report says that it was begun.
            let report = self.account(upload, attempt, "working", log);
            Reports::of(&self.settings)?.write(&name, &report).await?;
        }
        let film = Arc::new(VideoFile::remote(Arc::new(self.open(upload)?)));
        let pipeline = config.pipeline_of(film).await?.stop(self.halt.stop());
        let (progress, pulse) = (Progress::new(log.clone()), self.pulse.clone());
        let run = pipeline
            .on_event(move |event| {
                pulse.beat();
                progress.tell(event);
            })
            .run();
        let cut_off = async {
            self.halt.requested().await;
            tokio::time::sleep(self.grace).await;
        };
        let ended = match future::select(Box::pin(run), pin!(cut_off)).await {
            Either::Left((ended, _)) => ended,
            // What is under way takes longer than there is time; what is journaled stays.
            Either::Right(((), run)) => {
                drop(run);
                tokio::time::sleep(LAST_WORDS).await;
                return Ok(Outcome::Stopped);
            }
        };
        match ended {
            Ok(report) => Ok(Outcome::Done(Box::new(report))),
            Err(e) if e.kind() == ErrorKind::Cancelled && self.halt.is_requested() => Ok(Outcome::Stopped),
            Err(e) if e.kind() == ErrorKind::AlreadyExists && e.is_retryable() => Ok(Outcome::Busy),
            // Is the film still the one that was begun with?
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Unavailable) => {
                match self.look(&mut upload.clone()).await {
                    Ok(Some(outcome)) => Ok(outcome),
                    _ => Err(e),
                }
            }
            Err(e) => Err(e),
        }
    }

    /// Looks whether the film is there, and learns which version it is.
    async fn look(&self, upload: &mut Upload) -> Result<Option<Outcome>> {
        let there = match self.open(upload)?.head().await {
            Ok(there) => there,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Some(Outcome::Gone)),
            Err(e) => return Err(e),
        };
        if upload.version.is_none() {
            if upload.etag.is_some() && upload.etag != there.etag {
                return Ok(Some(Outcome::Superseded));
            }
            upload.version = there.version_id;
        }
        upload.etag = there.etag;
        if upload.version.is_none() && upload.etag.is_none() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("the service tells neither a version nor an entity tag of {}", upload.address()),
            ));
        }
        Ok(None)
    }

    fn open(&self, upload: &Upload) -> Result<S3Film> {
        let film = S3Film::open(&upload.address(), self.settings.access().aws)?;
        Ok(match &upload.version {
            Some(version) => film.version(version),
            None => film,
        })
    }

    fn account(&self, upload: &Upload, attempt: u32, outcome: &str, log: &Log) -> FilmReport {
        FilmReport {
            schema_version: 1,
            outcome: outcome.to_owned(),
            upload: Some(upload.clone()),
            dataset: Some(self.settings.output().join(upload.name()).display().to_string()),
            worker: log.field("worker").to_owned(),
            run: log.field("run").to_owned(),
            attempt,
            time_ms: crate::now_ms(),
            summary: None,
            error: None,
            message: None,
        }
    }

    /// Writes the report of a film that has come to an end.
    async fn report(&self, upload: &Upload, attempt: u32, outcome: &Outcome, log: &Log) -> Result<()> {
        let mut report = self.account(upload, attempt, outcome.as_str(), log);
        match outcome {
            Outcome::Done(run) => {
                report.summary = Some(
                    serde_json::to_value(run)
                        .map_err(|e| Error::internal(format!("cannot write JSON: {e}")).with_source(e))?,
                );
            }
            Outcome::Failed(error) => report.error = Some(Failure::from(error)),
            Outcome::Gone | Outcome::Superseded => {}
            // Nothing of the worker's own is written for what it must leave alone, and nothing for what goes on.
            Outcome::Ignored(_) | Outcome::Busy | Outcome::Stopped => return Ok(()),
        }
        Reports::of(&self.settings)?.write(&upload.name(), &report).await
    }
}

/// The last lines about a film.
fn tell(outcome: &Outcome, took: Duration, log: &Log) {
    let level = match outcome {
        Outcome::Failed(_) => Level::Error,
        Outcome::Gone | Outcome::Superseded | Outcome::Busy => Level::Warn,
        _ => Level::Info,
    };
    let why = match outcome {
        Outcome::Failed(error) => json!(Failure::from(error)),
        Outcome::Ignored(reason) => json!({"reason": reason}),
        _ => Value::Null,
    };
    let mut more = json!({"outcome": outcome.as_str(), "seconds": took.as_secs_f64()});
    if !why.is_null() {
        more["why"] = why;
    }
    log.say(level, "film_ended", more);
    let mut numbers = vec![("Films", "Count", 1.0), ("Seconds", "Seconds", took.as_secs_f64())];
    if let Outcome::Done(report) = outcome
        && !report.unchanged
    {
        numbers.extend([
            ("Frames", "Count", report.counts.frames as f64),
            ("Images", "Count", report.counts.kept as f64),
            ("FilmBytesRead", "Bytes", report.film_bytes_read.unwrap_or(0) as f64),
            ("UsDollars", "None", report.usage.usd),
        ]);
    }
    log.metrics(outcome.as_str(), &numbers);
}

/// Tells a run's events, those that only count not too often.
struct Progress {
    log: Log,
    told: Mutex<Option<Instant>>,
}

impl Progress {
    fn new(log: Log) -> Self {
        Self { log, told: Mutex::new(None) }
    }

    fn tell(&self, event: &Event) {
        if matches!(event, Event::Collected { .. } | Event::Captioned { .. }) {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.is_some_and(|at| at.elapsed() < QUIET) {
                return;
            }
            *told = Some(Instant::now());
        }
        let Ok(Value::Object(mut fields)) = serde_json::to_value(event) else { return };
        let name = fields.remove("event");
        let level = match event {
            Event::Gap { .. } | Event::FrameFailed { .. } => Level::Warn,
            _ => Level::Info,
        };
        self.log.say(level, name.as_ref().and_then(Value::as_str).unwrap_or("event"), fields.into());
    }
}

/// The text of a list of films, here or on S3.
pub(super) async fn read_list(place: &str, access: &Access) -> Result<String> {
    let wrong = || Error::invalid(format!("{place} is no list of films: it is not text in UTF-8"));
    let body = if place.starts_with("s3://") {
        let list = S3Film::open(place, access.aws.clone())?;
        let length = list.len().await?;
        if length > LARGEST_LIST {
            return Err(Error::invalid(format!(
                "{place} has {length} bytes; a list of films has at most {LARGEST_LIST}"
            )));
        }
        list.read(0..length).await?.to_vec()
    } else {
        let path = Path::new(place);
        std::fs::read(path).map_err(|e| Error::io("read the list", path, e))?
    };
    String::from_utf8(body).map_err(|e| wrong().with_source(e))
}
