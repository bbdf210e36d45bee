//! Fine-tuning and serving.

mod curve;
mod ledger;
#[cfg(feature = "lora")]
pub mod lora;
mod reviewed;
mod token;
#[cfg(any(feature = "aws-train", feature = "local-train"))]
mod watch;

use async_trait::async_trait;

#[cfg(any(feature = "aws-train", feature = "local-train"))]
pub(crate) use self::watch::watch;
pub use self::{
    curve::loss_curve,
    ledger::{Entry, Happened, LEDGER, Ledger, ResourceKind},
    reviewed::check_reviewed,
    token::{client_token, job_name},
};

use crate::{
    error::{Error, ErrorKind, Result, Stage},
    types::{
        CustomModel, DatasetRules, Deployment, Finding, ProviderInfo, Severity, TrainingJob, TrainingSpec,
    },
};

/// Fine-tunes a base model on an exported dataset.
///
/// # Contract
/// - [`check`](Self::check) creates nothing and spends nothing.
/// - [`submit`](Self::submit) is idempotent by [`client_token`](TrainingSpec::client_token): the same token gives the
///   same job, also from another process.
/// - Jobs outlive the process; the id finds them again.
#[async_trait]
pub trait Trainer: std::fmt::Debug + Send + Sync + 'static {
    /// Which trainer this is.
    fn info(&self) -> ProviderInfo;

    /// What it asks of a dataset.
    fn rules(&self) -> DatasetRules;

    /// Looks for everything that would make [`submit`](Self::submit) fail or waste money.
    ///
    /// # Errors
    /// Only when the check itself could not be made; what it found is in the answer.
    async fn check(&self, spec: &TrainingSpec) -> Result<Vec<Finding>>;

    /// Starts the job, or returns the one that this token started before.
    ///
    /// # Errors
    /// As the service says; nothing was started then.
    async fn submit(&self, spec: &TrainingSpec) -> Result<TrainingJob>;

    /// Where a job stands.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for an unknown id.
    async fn describe(&self, job: &str) -> Result<TrainingJob>;

    /// Asks a job to stop. Stopping a finished job changes nothing.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for an unknown id.
    async fn cancel(&self, job: &str) -> Result<()>;
}

/// An error where one of the findings stands in the way.
///
/// # Errors
/// [`Config`](ErrorKind::Config), which names the first.
pub fn stands_in_the_way(findings: &[Finding]) -> Result<()> {
    let mut errors = findings.iter().filter(|f| f.severity == Severity::Error);
    match errors.next() {
        None => Ok(()),
        Some(first) => Err(Error::new(
            ErrorKind::Config,
            match errors.count() {
                0 => format!("nothing was created: {}; {}", first.message, first.mend),
                more => format!("nothing was created: {}; {}; and {more} more", first.message, first.mend),
            },
        )
        .at(Stage::Train)),
    }
}

/// Makes a model callable.
///
/// # Contract
/// - A [`Deployment`] bills from [`deploy`](Self::deploy) until [`delete`](Self::delete).
/// - [`delete`](Self::delete) is idempotent.
#[async_trait]
pub trait Deployer: std::fmt::Debug + Send + Sync + 'static {
    /// Starts serving a model under a name. The same name and model give the same deployment.
    ///
    /// # Errors
    /// As the service says.
    async fn deploy(&self, name: &str, model: &CustomModel) -> Result<Deployment>;

    /// Where a deployment stands.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for an unknown id.
    async fn describe(&self, deployment: &str) -> Result<Deployment>;

    /// Stops serving, and with it the bill.
    ///
    /// # Errors
    /// As the service says; deleting what is gone is no error.
    async fn delete(&self, deployment: &str) -> Result<()>;
}
