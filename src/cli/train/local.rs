//! Training on this machine.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::Train;
use crate::{
    Result,
    config::{Access, LocalTraining},
};

/// How often a job of this machine is looked at.
const POLL: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(next_help_heading = "On this machine")]
pub(super) struct LocalArguments {
    /// The Python with the packages for training; that of the active environment unless given.
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
}

impl Train {
    pub(super) async fn on_this_machine(&self, access: &Access) -> Result<()> {
        let defaults = LocalTraining::default();
        let training = LocalTraining {
            dataset: self.dataset.clone().into(),
            output: self.output.as_ref().map_or(defaults.output, PathBuf::from),
            python: self.local.python.clone(),
            base_model: self.base_model.clone().unwrap_or(defaults.base_model),
            revision: self.lora.revision.clone(),
            licence: self.lora.licence.clone(),
            name: self.name.clone(),
            hyperparameters: self.hyperparameters(),
            sample_prompts: self.lora.samples.clone(),
            allow_unreviewed: self.allow_unreviewed,
        };
        let training = training.open(access).await?;
        if let Some(job) = self.start(&training, false).await? {
            self.follow(&job, training.trainer().watch(&job.id, POLL)).await?;
            if !self.watch && !job.status.is_final() && !self.json {
                println!("It goes on when this ends: picchu status {0}, picchu stop {0}", job.id);
            }
        }
        Ok(())
    }
}
