//! `picchu status`: how far jobs and deployments are.

use std::path::PathBuf;

use clap::Args;

use super::output::to_json;
#[cfg(feature = "local-train")]
use crate::local::lora::LocalTrainer;
#[cfg(feature = "aws-train")]
use crate::{
    Error,
    config::{Standing, standings},
    train::Ledger,
    types::DeploymentStatus,
};
use crate::{
    Result,
    config::Access,
    train::loss_curve,
    types::{JobProgress, StepLoss},
};

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The folder of a job of this machine, a folder of such, or the folder with the `ledger.jsonl`.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// One JSON object a line on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Status {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let mut found = 0;
        #[cfg(feature = "local-train")]
        for job in LocalTrainer::jobs_in(&self.dir) {
            found += 1;
            let (progress, losses) = (LocalTrainer::progress(&job)?, LocalTrainer::losses(&job)?);
            if self.json {
                println!("{}", to_json(&serde_json::json!({"job": progress, "losses": losses}))?);
            } else {
                println!("{job}: {}", told(&progress, &losses, None));
            }
        }
        #[cfg(feature = "aws-train")]
        for standing in standings(&Ledger::new(access.store(&self.dir)?), &access.aws).await? {
            found += 1;
            if self.json {
                println!("{}", to_json(&standing)?);
            } else {
                let words = told_by_service(&standing)?;
                println!("{} {}: {words}", standing.entry.kind.as_str(), standing.entry.id);
            }
        }
        #[cfg(not(feature = "aws-train"))]
        let _ = access;
        if found == 0 && !self.json {
            println!("Nothing is at work here, and nothing that the ledger knows is left.");
        }
        Ok(())
    }
}

fn told(job: &JobProgress, losses: &[StepLoss], problem: Option<&str>) -> String {
    let more = [loss_curve(losses), problem.unwrap_or_default().to_owned()];
    let more = more.iter().filter(|words| !words.is_empty()).map(|words| format!("\n    {words}"));
    format!("{job}{}", more.collect::<Vec<_>>().concat())
}

#[cfg(feature = "aws-train")]
fn told_by_service(standing: &Standing) -> Result<String> {
    Ok(match standing {
        Standing { job: Some(job), losses, problem, .. } => told(job, losses, problem.as_deref()),
        Standing { deployment: Some((status, arn)), .. } => format!("{} ({arn})", word(*status)?),
        Standing { problem: Some(problem), .. } => problem.clone(),
        _ => "see picchu clean".into(),
    })
}

#[cfg(feature = "aws-train")]
fn word(status: DeploymentStatus) -> Result<String> {
    let value =
        serde_json::to_value(status).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
    Ok(value.as_str().unwrap_or_default().replace('_', " "))
}
