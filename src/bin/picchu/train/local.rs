//! Training on this machine.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use picchu::{
    Result,
    config::{Access, LocalTraining},
    train::stands_in_the_way,
};

use super::Train;

/// How often a job of this machine is looked at.
const POLL: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(next_help_heading = "On this machine")]
pub(super) struct LocalArguments {
    /// The Python with the packages for training; that of the active environment unless given.
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
    /// Licence of the base model, where it is not known.
    #[arg(long, value_name = "NAME")]
    licence: Option<String>,
    /// Branch, tag or commit of a base model on the hub.
    #[arg(long, value_name = "NAME")]
    revision: Option<String>,
    /// What sample images show that are drawn while it trains; may come again.
    #[arg(long, value_name = "PROMPT")]
    sample: Vec<String>,
}

impl Train {
    pub(super) async fn run_local(&self, access: &Access) -> Result<()> {
        let defaults = LocalTraining::default();
        let training = LocalTraining {
            dataset: self.dataset.clone().into(),
            output: self.output.as_ref().map_or(defaults.output, PathBuf::from),
            python: self.local.python.clone(),
            base_model: self.base_model.clone().unwrap_or(defaults.base_model),
            revision: self.local.revision.clone().unwrap_or_default(),
            licence: self.local.licence.clone().unwrap_or_default(),
            name: self.name.clone(),
            hyperparameters: self.hyperparameters(),
            sample_prompts: self.local.sample.clone(),
            allow_unreviewed: self.allow_unreviewed,
        };
        let training = training.open(access).await?;
        if let Some(reason) = training.reason().filter(|_| !self.json) {
            println!("{reason}");
        }
        let findings = training.check().await?;
        self.tell_findings(&findings)?;
        stands_in_the_way(&findings)?;
        if self.check {
            return Ok(());
        }
        let job = training.submit().await?;
        self.tell_submitted(&job)?;
        if self.watch || job.status.is_final() {
            self.watch(training.trainer().watch(&job.id, POLL)).await?;
        } else if !self.json {
            println!("It goes on when this ends: picchu status {0}, picchu stop {0}", job.id);
        }
        Ok(())
    }
}
