//! `picchu clean`: what was created in the cloud, what it costs, and its end.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::output::{ask, to_json};
use crate::{
    Result,
    config::{Access, Cleaner, Selection},
    train::Ledger,
};

// Each flag of the command line is a bool.
#[allow(clippy::struct_excessive_bools)]
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
    /// Only what is older than this, for example `90m`, `12h`, `3d`.
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<Duration>,
    /// Ask the services too for what carries picchu's tag in the Region and is not in this ledger. Others of the account may
    /// have made it.
    #[cfg(any(feature = "aws-rekognition", feature = "aws-train"))]
    #[arg(long)]
    scan: bool,
    /// One JSON object a line on standard output; removes nothing without --yes.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A number with a unit.
fn age(text: &str) -> std::result::Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 60 * 60), ('d', 24 * 60 * 60)];
    let seconds = units.iter().find_map(|(unit, seconds)| {
        text.strip_suffix(*unit)?.parse::<u32>().ok().map(|number| u64::from(number) * seconds)
    });
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "expected a number and s, m, h or d, for example 12h".into())
}

impl Clean {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let ledger = Ledger::new(access.store(&self.dir)?);
        let cleaner = Cleaner::new(ledger, access.aws.clone());
        let wanted = Selection {
            #[cfg(any(feature = "aws-rekognition", feature = "aws-train"))]
            scan: self.scan,
            #[cfg(not(any(feature = "aws-rekognition", feature = "aws-train")))]
            scan: false,
            hourly: self.hourly,
            older_than: self.older_than,
        };
        let (found, unread) = cleaner.find(&wanted).await?;
        for why in unread {
            eprintln!("not everything could be asked: {why}");
        }
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
                println!("Nothing to remove is known.");
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
