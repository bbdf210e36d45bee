//! `picchu validate`: whether a dataset is sound, and whether it obeys a trainer's rules.

use std::{fmt::Write as _, path::PathBuf, sync::Arc};

use clap::Args;

use super::{
    export::{format_name, formats_help},
    output::{now_ms, to_json},
};
use crate::{
    Error, Result,
    config::Access,
    dataset::{Dataset, Violation, export},
    store::lock,
};

#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// The dataset: a folder or an address.
    dataset: PathBuf,
    /// Whose rules, besides the dataset's own.
    #[arg(long = "for", value_parser = format_name, value_name = "FORMAT", help = formats_help("Whose rules, besides the dataset's own"))]
    format: Option<String>,
    /// Look at every image file too: reads the whole dataset.
    #[arg(long)]
    images: bool,
    /// Mend what needs no judgement: broken lines are dropped, captions put right by a review.
    #[arg(long)]
    fix: bool,
    /// One JSON object a line on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Validate {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let (mut dataset, damage) = Dataset::salvage(access.store(&self.dataset)?).await?;
        let mut violations = self.look(&dataset, damage).await?;
        if self.fix {
            let lease = lock(dataset.store()).await?;
            let mut mended = 0;
            // One mend can uncover another, for example a caption that is still too long.
            for _ in 0..4 {
                let (after, count) = dataset.mend(&violations, now_ms()).await?;
                if count == 0 {
                    break;
                }
                mended += count;
                let (_, damage) = Dataset::salvage(Arc::clone(dataset.store())).await?;
                violations = self.look(&after, damage).await?;
                dataset = after;
            }
            lease.release().await?;
            if !self.json {
                println!("{mended} mended");
            }
        }
        for violation in &violations {
            self.show(violation)?;
        }
        if violations.is_empty() {
            if !self.json {
                println!("{} images, nothing to say against them", dataset.training_images().count());
            }
            return Ok(());
        }
        let mendable = violations.iter().filter(|v| v.fix.is_some()).count();
        let mut words = format!("{} violations", violations.len());
        if mendable > 0 {
            let _ = write!(words, ", of which --fix mends {mendable}");
        }
        Err(Error::invalid(words))
    }

    async fn look(&self, dataset: &Dataset, mut violations: Vec<Violation>) -> Result<Vec<Violation>> {
        if self.images {
            violations.extend(dataset.check_images().await?);
        }
        if let Some(name) = &self.format {
            violations.extend(export::check(dataset, export::format(name)?));
        }
        Ok(violations)
    }

    fn show(&self, violation: &Violation) -> Result<()> {
        if self.json {
            println!("{}", to_json(&serde_json::json!({"event": "violation", "violation": violation}))?);
        } else {
            let place = violation.record.as_deref().unwrap_or("dataset");
            println!("{place}: {}", violation.message);
            println!("    rule    {} ({})", violation.rule, violation.source);
            let by_itself = if violation.fix.is_some() { " (--fix does it)" } else { "" };
            println!("    mend    {}{by_itself}", violation.mend);
        }
        Ok(())
    }
}
