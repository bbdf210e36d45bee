//! A training job between being asked for and being submitted.

#[cfg(feature = "aws-train")]
use crate::{aws::bedrock::TrainingRole, train::Ledger};
use crate::{
    error::Result,
    train::Trainer,
    types::{Finding, TrainingJob, TrainingSpec},
};

/// A job that is ready to be looked at and submitted.
#[derive(Debug)]
pub struct Prepared<T> {
    pub(super) trainer: T,
    pub(super) spec: TrainingSpec,
    pub(super) reason: Option<String>,
    /// The role that is made when the job is submitted, and the ledger that remembers it.
    #[cfg(feature = "aws-train")]
    pub(super) role: Option<(TrainingRole, Ledger)>,
}

impl<T: Trainer> Prepared<T> {
    /// Who trains.
    pub fn trainer(&self) -> &T {
        &self.trainer
    }

    /// What is trained, with its settled name, token and hyperparameters.
    pub fn spec(&self) -> &TrainingSpec {
        &self.spec
    }

    /// Why these hyperparameters, where nobody chose them.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Everything that would make the job fail or waste money.
    ///
    /// # Errors
    /// Only when the check itself could not be made.
    pub async fn check(&self) -> Result<Vec<Finding>> {
        self.trainer.check(&self.spec).await
    }

    /// Makes the role where none was given, and starts the job, or returns the one that the same dataset and settings
    /// started before.
    ///
    /// # Errors
    /// As the trainer says.
    pub async fn submit(&self) -> Result<TrainingJob> {
        #[cfg(feature = "aws-train")]
        if let Some((role, ledger)) = &self.role {
            role.ensure(ledger).await?;
        }
        self.trainer.submit(&self.spec).await
    }
}
