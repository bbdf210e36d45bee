//! `picchu report`: a dataset as one page, or as pictures, to send to somebody.

use std::path::{Path, PathBuf};

use clap::Args;

use super::lint::rules;
use crate::{
    Error, Result,
    config::Access,
    dataset::Dataset,
    store::{PutMode, write_file},
};

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The dataset: a folder or an address.
    dataset: PathBuf,
    /// The page. It needs no server and no network; what is decided on it is saved as a patch for
    /// `picchu review DATASET --merge PATCH`.
    #[arg(long, value_name = "FILE", required_unless_present = "png")]
    html: Option<PathBuf>,
    /// Contact sheets as pictures, up to 30 images of a character on each, into this folder.
    #[arg(long, value_name = "DIR")]
    png: Option<PathBuf>,
    /// The cast, to judge captions by.
    #[arg(long, value_name = "FILE")]
    cast: Option<PathBuf>,
    /// Longest side of the page's pictures in pixels; those of contact sheets have half of it.
    #[arg(long, default_value_t = 448, value_parser = clap::value_parser!(u32).range(64..=2048))]
    side: u32,
    /// One JSON object a line on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Report {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let dataset = Dataset::open(access.store(&self.dataset)?).await?;
        if let Some(html) = &self.html {
            let page = dataset.report(&rules(self.cast.as_deref())?, self.side).await?;
            self.write(html, page.as_bytes())?;
        }
        if let Some(folder) = &self.png {
            std::fs::create_dir_all(folder).map_err(|e| Error::io("make the folder", folder, e))?;
            for sheet in dataset.contact_sheets() {
                self.write(&folder.join(&sheet.file), &dataset.draw_sheet(&sheet, self.side / 2).await?)?;
            }
        }
        Ok(())
    }

    fn write(&self, path: &Path, body: &[u8]) -> Result<()> {
        write_file(path, body, PutMode::Overwrite)?;
        if self.json {
            println!("{}", serde_json::json!({"event": "report", "path": path, "bytes": body.len()}));
        } else {
            println!("{} ({:.1} MB)", path.display(), body.len() as f64 / 1e6);
        }
        Ok(())
    }
}
