//! `picchu report`: a dataset as one page to send to somebody.

use std::path::PathBuf;

use clap::Args;
use picchu::{
    Result,
    config::Access,
    dataset::Dataset,
    store::{PutMode, write_file},
};

use crate::lint::rules;

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The dataset: a folder or an address.
    dataset: PathBuf,
    /// The page. It needs no server and no network; what is decided on it is saved as a patch for
    /// `picchu review DATASET --merge PATCH`.
    #[arg(long, value_name = "FILE")]
    html: PathBuf,
    /// The cast, to judge captions by.
    #[arg(long, value_name = "FILE")]
    cast: Option<PathBuf>,
    /// Longest side of its pictures in pixels.
    #[arg(long, default_value_t = 448, value_parser = clap::value_parser!(u32).range(64..=2048))]
    side: u32,
    /// One JSON object a line on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Report {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let dataset = Dataset::open(access.store(&self.dataset)?).await?;
        let rules = rules(self.cast.as_deref())?;
        let page = dataset.report(&rules, self.side).await?;
        write_file(&self.html, page.as_bytes(), PutMode::Overwrite)?;
        if self.json {
            println!("{}", serde_json::json!({"event": "report", "path": self.html, "bytes": page.len()}));
        } else {
            println!("{} ({:.1} MB)", self.html.display(), page.len() as f64 / 1e6);
        }
        Ok(())
    }
}
