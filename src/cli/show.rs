//! `picchu show`: the whole lineage of an image.

use std::path::PathBuf;

use clap::Args;

use super::output::to_json;
use crate::{
    Error, Result,
    config::Access,
    dataset::Dataset,
    store::{PutMode, write_file},
};

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The dataset: a folder or an address.
    dataset: PathBuf,
    /// Id of the record; without one, all ids are listed.
    id: Option<String>,
    /// Cut the crop again from this film, and say whether it is the same to the bit.
    #[arg(long, value_name = "FILM", requires = "id")]
    recut: Option<PathBuf>,
    /// Where the crop that was cut again goes.
    #[arg(long, value_name = "FILE", requires = "recut")]
    out: Option<PathBuf>,
    /// One JSON object a line on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Show {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let dataset = Dataset::open(access.store(&self.dataset)?).await?;
        let Some(id) = &self.id else {
            for record in dataset.records() {
                println!("{}  {}", record.id, record.outcome.as_str());
            }
            return Ok(());
        };
        let lineage = dataset.lineage(id)?;
        if self.json {
            println!("{}", to_json(&lineage)?);
        } else {
            print!("{lineage}");
        }
        let Some(film) = &self.recut else { return Ok(()) };
        let recut = dataset.recut(id, &*access.film(film)?).await?;
        if let Some(out) = &self.out {
            write_file(out, &recut.body, PutMode::Overwrite)?;
        }
        if self.json {
            println!("{}", serde_json::json!({"event": "recut", "identical": recut.identical}));
        } else if recut.identical {
            println!("cut again   the same file, to the bit");
        }
        if recut.identical {
            Ok(())
        } else {
            Err(Error::invalid(format!(
                "the crop of {id} cut again from {} is another picture",
                film.display()
            )))
        }
    }
}
