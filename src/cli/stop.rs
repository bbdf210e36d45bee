//! `picchu stop`: an end to a training job of this machine.

use std::time::Duration;

use clap::Args;

use super::output::to_json;
use crate::{Result, config::Access, local::lora::LocalTrainer};

#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// The job's folder, which `picchu train` named.
    #[arg(value_name = "JOB_FOLDER")]
    job: String,
    /// Seconds that it may take to leave a checkpoint; then it is killed.
    #[arg(long, value_name = "SECONDS", default_value = "600")]
    patience: u64,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Stop {
    pub(crate) async fn run(self, _: &Access) -> Result<()> {
        LocalTrainer::end(&self.job, Duration::from_secs(self.patience)).await?;
        let progress = LocalTrainer::progress(&self.job)?;
        if self.json {
            println!("{}", to_json(&progress)?);
        } else {
            println!("{progress}");
        }
        Ok(())
    }
}
