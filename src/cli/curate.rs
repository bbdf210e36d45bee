//! `picchu merge`, `split` and `stats`: what is done with finished datasets.

use std::path::PathBuf;

use clap::Args;

use super::output::to_json;
use crate::{
    CosineDeduper, Keep, Result,
    config::Access,
    dataset::{Dataset, Part, SplitOptions, merge},
    store::lock,
};

#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// The datasets of different films, two or more.
    #[arg(required = true, num_args = 2..)]
    datasets: Vec<PathBuf>,
    /// Where the merged dataset goes: an empty place.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Cosine similarity from which two crops are near-duplicates across films. Default: that of the first dataset's
    /// embedder.
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    min_similarity: Option<f64>,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Merge {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let mut datasets = Vec::new();
        for place in &self.datasets {
            datasets.push(Dataset::open(access.store(place)?).await?);
        }
        let deduper = match self.min_similarity {
            Some(min_similarity) => CosineDeduper::at(min_similarity)?,
            None => CosineDeduper::default(),
        };
        let merged = merge(&datasets, &deduper.keep(Keep::Best), &access.store(&self.out)?).await?;
        if self.json {
            println!("{}", to_json(&serde_json::json!({"event": "merged", "merged": merged}))?);
            return Ok(());
        }
        let c = &merged.counts;
        println!(
            "{}: {} candidates of {} films, {} kept; {} images are covered by another film's",
            self.out.display(),
            c.records,
            datasets.len(),
            c.kept,
            merged.across_films
        );
        for (name, images) in &c.characters {
            println!("  {name}: in {images} images");
        }
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(crate) struct Split {
    /// The dataset: a folder or an address.
    dataset: PathBuf,
    /// How much of the images to hold out of training, by whole shots: 0 to 0.5.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    held_out: f64,
    /// Most training images of one character.
    #[arg(long, value_name = "N")]
    cap: Option<usize>,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Split {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let dataset = Dataset::open(access.store(&self.dataset)?).await?;
        let lease = lock(dataset.store()).await?;
        let dataset = dataset.split(SplitOptions { held_out: self.held_out, cap: self.cap }).await?;
        lease.release().await?;
        let (chosen, left_out) = dataset.parts();
        let train = chosen.iter().filter(|(_, part)| *part == Part::Train).count();
        let held_out = chosen.len() - train;
        if self.json {
            let line = serde_json::json!({
                "event": "split",
                "train": train,
                "held_out": held_out,
                "left_out": left_out.len(),
                "split": dataset.split_of(),
            });
            println!("{line}");
        } else {
            println!(
                "{train} images train, {held_out} are held out, {} are left out to balance the characters",
                left_out.len()
            );
        }
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// The dataset: a folder or an address.
    dataset: PathBuf,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Stats {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let stats = Dataset::open(access.store(&self.dataset)?).await?.stats();
        if self.json {
            println!("{}", to_json(&stats)?);
        } else {
            print!("{stats}");
        }
        Ok(())
    }
}
