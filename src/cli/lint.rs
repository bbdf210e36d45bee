//! `picchu lint`: what the captions of a dataset look like as a whole.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{Cast, Error, ErrorKind, Result, caption::LintRules, config::Access, dataset::Dataset};

#[derive(Debug, Args)]
pub(crate) struct Lint {
    /// The dataset.
    dataset: PathBuf,
    /// The cast: shows captions that tell fixed looks, or name somebody who was never found.
    #[arg(long, value_name = "FILE")]
    cast: Option<PathBuf>,
    /// End with exit code 2 if a strict rule is broken.
    #[arg(long)]
    strict: bool,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What captions are held against: the rules for a cast, where there is one.
pub(crate) fn rules(cast: Option<&Path>) -> Result<LintRules> {
    Ok(match cast {
        Some(cast) => LintRules::for_cast(&Cast::load(cast)?),
        None => LintRules::default(),
    })
}

impl Lint {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let dataset = Dataset::open(access.store(&self.dataset)?).await?;
        let report = dataset.lint(&rules(self.cast.as_deref())?);
        if self.json {
            println!("{}", super::output::to_json(&report)?);
        } else {
            print!("{report}");
        }
        if self.strict && report.is_broken() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "captions break strict rules; mend them in the review",
            ));
        }
        Ok(())
    }
}
