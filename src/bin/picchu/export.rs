//! `picchu export`: from a dataset to what a trainer reads.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use picchu::{
    Result,
    config::open_store,
    dataset::{Dataset, export::nova},
    store::{PutMode, write_file},
};

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The dataset.
    dataset: PathBuf,
    /// Which trainer reads it.
    #[arg(long)]
    to: Format,
    /// Where the dataset's files will lie, for example `s3://bucket/film`.
    #[arg(long, value_name = "S3_URI")]
    uri: String,
    /// The manifest to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Amazon Nova Canvas fine-tuning, JSON lines.
    Nova,
}

impl Export {
    pub(crate) async fn run(self) -> Result<()> {
        let dataset = Dataset::open(open_store(&self.dataset)?).await?;
        let Format::Nova = self.to;
        let manifest = nova::manifest(&dataset, &self.uri).await?;
        write_file(&self.out, &manifest.body, PutMode::Overwrite)?;
        let unreviewed = dataset.training_images().filter(|i| !i.reviewed).count();
        if self.json {
            let line = serde_json::json!({
                "event": "exported",
                "format": "nova",
                "records": manifest.lines.len(),
                "unreviewed": unreviewed,
                "out": self.out,
            });
            println!("{line}");
        } else {
            println!("{}: {} records, read back and checked", self.out.display(), manifest.lines.len());
            if unreviewed > 0 {
                println!("{unreviewed} of them were not reviewed by a person");
            }
            println!(
                "Upload the images with: aws s3 sync {}/images {}/images",
                self.dataset.display(),
                self.uri.trim_end_matches('/')
            );
            println!(
                "Amazon Nova Canvas reached end of life on 2026-09-30: a new fine-tuning job is refused unless your \
                 account has an arrangement"
            );
        }
        Ok(())
    }
}
