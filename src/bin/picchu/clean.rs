//! `picchu clean`: what was created in the cloud, what it costs, and its end.

use std::path::PathBuf;

use clap::Args;
use picchu::{
    Result,
    config::{Access, Cleaner},
    train::Ledger,
};

use crate::output::{ask, to_json};

#[derive(Debug, Args)]
pub(crate) struct Clean {
    /// The dataset, or the folder with the `ledger.jsonl`.
    dir: PathBuf,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Only what bills by the hour, used or not.
    #[arg(long)]
    hourly: bool,
    /// One JSON object a line on standard output; removes nothing without --yes.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Clean {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let ledger = Ledger::new(access.store(&self.dir)?);
        let cleaner = Cleaner::new(ledger, access.aws.clone());
        let mut found = cleaner.look().await?;
        found.retain(|resource| !self.hourly || resource.entry.kind.bills_by_the_hour());
        let mut hourly = 0.0;
        for resource in &found {
            let entry = &resource.entry;
            hourly += entry.usd_per_hour.filter(|_| resource.exists != Some(false)).unwrap_or(0.0);
            if self.json {
                println!("{}", to_json(resource)?);
                continue;
            }
            let state = match (resource.exists, &resource.problem) {
                (Some(true), _) => "exists".into(),
                (Some(false), _) => "is gone".into(),
                (None, problem) => format!("may exist ({})", problem.as_deref().unwrap_or("no answer")),
            };
            let price = match entry.usd_per_hour {
                Some(usd) => format!("{usd:.2} US dollars an hour"),
                None if entry.kind.bills_by_the_hour() => "price an hour not known".into(),
                None => "bills by what it holds or does".into(),
            };
            println!("{} {} in {}: {state}; {price}", entry.kind.as_str(), entry.id, entry.region);
        }
        if found.is_empty() {
            if !self.json {
                println!("Nothing that the ledger knows is left.");
            }
            return Ok(());
        }
        if !self.json {
            println!("{hourly:.2} US dollars an hour in all, as far as prices are known");
        }
        if !self.yes && (self.json || !ask("Remove all of this?")?) {
            return Ok(());
        }
        let mut failed = None;
        for resource in &found {
            match cleaner.remove(&resource.entry).await {
                Ok(()) if self.json => {
                    println!("{}", serde_json::json!({"event": "removed", "id": resource.entry.id}));
                }
                Ok(()) => println!("{} is removed", resource.entry.id),
                // The others must not go on billing for this one's sake.
                Err(e) => {
                    eprintln!("{} is not removed: {e}", resource.entry.id);
                    failed = Some(e);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }
}
