//! `picchu status`: how far jobs and deployments are.

use std::path::PathBuf;

use clap::Args;
use picchu::{
    Error, Result,
    config::{Access, Standing, standings},
    train::{Ledger, loss_curve},
    types::DeploymentStatus,
};

use crate::output::to_json;

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The folder with the `ledger.jsonl`.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// One JSON object a line on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Status {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let found = standings(&Ledger::new(access.store(&self.dir)?), &access.aws).await?;
        for standing in &found {
            if self.json {
                println!("{}", to_json(standing)?);
            } else {
                println!("{} {}: {}", standing.entry.kind.as_str(), standing.entry.id, told(standing)?);
            }
        }
        if found.is_empty() && !self.json {
            println!("Nothing that the ledger knows is left.");
        }
        Ok(())
    }
}

fn told(standing: &Standing) -> Result<String> {
    Ok(match standing {
        Standing { job: Some(job), losses, problem, .. } => {
            let more = [loss_curve(losses), problem.clone().unwrap_or_default()];
            let more = more.iter().filter(|words| !words.is_empty()).map(|words| format!("\n    {words}"));
            format!("{job}{}", more.collect::<Vec<_>>().concat())
        }
        Standing { deployment: Some((status, arn)), .. } => format!("{} ({arn})", word(*status)?),
        Standing { problem: Some(problem), .. } => problem.clone(),
        _ => "see picchu clean".into(),
    })
}

fn word(status: DeploymentStatus) -> Result<String> {
    let value =
        serde_json::to_value(status).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
    Ok(value.as_str().unwrap_or_default().replace('_', " "))
}
