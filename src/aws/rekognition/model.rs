//! A trained Custom Labels model that runs, and bills, only as long as it is needed.

use std::{fmt, sync::Arc, time::Duration};

use aws_sdk_rekognition::types::ProjectVersionStatus as Status;

use super::{
    CustomLabelsOptions,
    calls::{Calls, Operation},
};
use crate::{
    aws::{AwsContext, guard},
    error::{Error, ErrorKind, Result},
    layers::{Cache, Meter},
    train::{Entry, Happened, Ledger, ResourceKind},
    types::Unit,
};

/// Key of a ledger line's detail: the ARN of the project, which describing a version needs.
pub(super) const PROJECT: &str = "project";
/// The tag of a version that picchu started, from before its start to its stop.
pub(super) const STARTED: (&str, &str) = ("started-by", "picchu");
/// How long a version may take to start or to stop.
const PATIENCE: Duration = Duration::from_mins(45);

/// A version that this process started. It is stopped by [`stop`](Self::stop), and at the latest when this is dropped:
/// also when a run fails, is cancelled, or panics. A process that is killed leaves a line in the ledger, by which
/// `picchu clean` stops it.
pub struct RunningModel {
    context: AwsContext,
    ledger: Ledger,
    entry: Entry,
    /// Whether there is something to stop.
    armed: bool,
}

impl fmt::Debug for RunningModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningModel")
            .field("id", &self.entry.id)
            .field("armed", &self.armed)
            .finish_non_exhaustive()
    }
}

impl RunningModel {
    /// Starts a version and waits until it runs. The ledger's line is written first. `None` where somebody else runs
    /// it already: what others started is used and not stopped.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) for a version that cannot run; otherwise as the service says. Whatever was
    /// started is stopped then.
    pub async fn start(
        context: &AwsContext,
        options: &CustomLabelsOptions,
        ledger: &Ledger,
        meter: Arc<Meter>,
    ) -> Result<Option<Self>> {
        let Some(project) = &options.project else {
            return Err(Error::new(ErrorKind::Config, "starting a model needs the ARN of its project"));
        };
        let poll = Duration::from_secs_f64(options.poll_seconds.max(0.01));
        let price = meter.prices().usd("rekognition/custom-labels", Unit::Hour);
        let calls = Calls::new(context, 2, None, Arc::new(Cache::default()), meter)?;
        let ours = ledger.open().await?.into_iter().find(|e| e.id == options.version);
        let mut status =
            wait_for(&calls, project, &options.version, poll, |s| *s != Status::Stopping).await?;
        let mut entry =
            Entry::creating(ResourceKind::CustomLabelsVersion, &options.version, context.region());
        entry.usd_per_hour = price.map(|usd| usd * f64::from(options.inference_units));
        entry.details.insert(PROJECT.into(), project.clone());
        let running = matches!(status, Status::Running | Status::Starting);
        if running && ours.is_none() {
            wait_for(&calls, project, &options.version, poll, |s| *s != Status::Starting).await?;
            return Ok(None);
        }
        let mut guard = Self { context: context.clone(), ledger: ledger.clone(), entry, armed: true };
        if !running {
            if !matches!(status, Status::Stopped | Status::TrainingCompleted | Status::CopyingCompleted) {
                guard.armed = false;
                return Err(Error::new(
                    ErrorKind::Config,
                    format!("the Custom Labels model {} cannot be started: it is {status}", options.version),
                ));
            }
            ledger.note(&guard.entry).await?;
            tag(&calls, &options.version).await;
            let started = calls
                .send(Operation::Control("rekognition StartProjectVersion"), || {
                    calls
                        .client
                        .start_project_version()
                        .project_version_arn(&options.version)
                        .min_inference_units(options.inference_units as i32)
                        .send()
                })
                .await;
            match started {
                Ok(_) => {}
                // Refused: nothing runs. Without an answer it may run all the same, and the guard stays armed.
                Err(e) if !e.is_retryable() => {
                    guard.armed = false;
                    ledger.note(&guard.entry.now(Happened::Ended)).await?;
                    untag(&calls, &options.version).await;
                    return Err(e);
                }
                Err(e) => return Err(e),
            }
        }
        status = wait_for(&calls, project, &options.version, poll, |s| *s != Status::Starting).await?;
        if status != Status::Running {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("the Custom Labels model {} did not start: it is {status}", options.version),
            )
            .with_retryable(false));
        }
        ledger.note(&guard.entry.now(Happened::Created)).await?;
        Ok(Some(guard))
    }

    /// Stops the version and notes it.
    ///
    /// # Errors
    /// As the service says; the ledger keeps it open then.
    pub async fn stop(mut self) -> Result<()> {
        // Disarmed only when it is done: a stop that is cancelled is tried once more.
        stop_version(&self.context, &self.entry, Duration::from_secs(2)).await?;
        self.ledger.note(&self.entry.now(Happened::Ended)).await?;
        self.armed = false;
        Ok(())
    }
}

impl Drop for RunningModel {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (ledger, entry) = (self.ledger.clone(), self.entry.clone());
        guard::finish(&self.context, move |context| async move {
            stop_version(&context, &entry, Duration::from_millis(500)).await?;
            ledger.note(&entry.now(Happened::Ended)).await
        });
    }
}

/// Stops a version by its line in a ledger. Stopping one that does not run is no error. It bills no more when the
/// service has accepted the stop.
///
/// # Errors
/// As the service says.
pub async fn stop_version(context: &AwsContext, entry: &Entry, poll: Duration) -> Result<()> {
    let calls = Calls::new(context, 1, None, Arc::new(Cache::default()), Arc::default())?;
    let begun = std::time::Instant::now();
    loop {
        let stopped = calls
            .send(Operation::Control("rekognition StopProjectVersion"), || {
                calls.client.stop_project_version().project_version_arn(&entry.id).send()
            })
            .await;
        let error = match stopped {
            Ok(_) => {
                untag(&calls, &entry.id).await;
                return Ok(());
            }
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => e,
        };
        // Refused while it starts, and where it does not run: which of them, its status tells.
        if let Some(project) = entry.details.get(PROJECT)
            && error.message().contains("ResourceInUse")
        {
            match status(&calls, project, &entry.id).await? {
                Status::Starting | Status::Running if begun.elapsed() < PATIENCE => {
                    tokio::time::sleep(poll).await;
                    continue;
                }
                Status::Starting | Status::Running => return Err(error),
                _ => return Ok(()),
            }
        }
        return Err(error);
    }
}

/// Marks a version as started here, for whoever looks without a ledger. Where that is not allowed it starts all the same:
/// the ledger knows of it.
async fn tag(calls: &Calls, version: &str) {
    let (key, value) = STARTED;
    let request = || calls.client.tag_resource().resource_arn(version).tags(key, value).send();
    let _ = calls.send(Operation::Control("rekognition TagResource"), request).await;
}

/// Takes the mark away: the next start may be somebody else's.
async fn untag(calls: &Calls, version: &str) {
    let request = || calls.client.untag_resource().resource_arn(version).tag_keys(STARTED.0).send();
    let _ = calls.send(Operation::Control("rekognition UntagResource"), request).await;
}

/// Where a version stands.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) where the project has no such version.
async fn status(calls: &Calls, project: &str, version: &str) -> Result<Status> {
    let name = version.split("/version/").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let answer = calls
        .send(Operation::Control("rekognition DescribeProjectVersions"), || {
            calls.client.describe_project_versions().project_arn(project).version_names(name).send()
        })
        .await?;
    answer
        .project_version_descriptions()
        .iter()
        .find(|d| d.project_version_arn() == Some(version))
        .and_then(|d| d.status().cloned())
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("{project} has no version {version}")))
}

async fn wait_for(
    calls: &Calls,
    project: &str,
    version: &str,
    poll: Duration,
    done: impl Fn(&Status) -> bool,
) -> Result<Status> {
    let begun = std::time::Instant::now();
    loop {
        let status = status(calls, project, version).await?;
        if done(&status) {
            return Ok(status);
        }
        if begun.elapsed() > PATIENCE {
            return Err(Error::new(ErrorKind::Timeout, format!("{version} is {status} for too long")));
        }
        tokio::time::sleep(poll).await;
    }
}

/// Whether a version that a ledger has open runs.
///
/// # Errors
/// As the service says.
pub async fn is_running(context: &AwsContext, entry: &Entry) -> Result<bool> {
    let Some(project) = entry.details.get(PROJECT) else { return Ok(true) };
    let calls = Calls::new(context, 1, None, Arc::new(Cache::default()), Arc::default())?;
    match status(&calls, project, &entry.id).await {
        Ok(status) => Ok(matches!(status, Status::Starting | Status::Running)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
