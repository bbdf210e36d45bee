//! `picchu calibrate`: which threshold would keep what.

use std::path::PathBuf;

use clap::Args;

use crate::{
    Error, Result,
    config::Access,
    dataset::{CalibrateOptions, Dataset, pair_answers},
    store::{PutMode, write_file},
};

#[derive(Debug, Args)]
pub(crate) struct Calibrate {
    /// The dataset.
    dataset: PathBuf,
    /// The threshold to judge. Default: that of the dataset.
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    min_similarity: Option<f64>,
    /// Find the threshold at which about so many images stay.
    #[arg(long, value_name = "N")]
    wanted: Option<usize>,
    /// Fit the threshold to answers that the page saved, JSON lines.
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Pairs to show on each side of the cut.
    #[arg(long, value_name = "N", default_value_t = 12)]
    pairs: usize,
    /// The page to write. Default: `calibration.html` beside the dataset's files.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Calibrate {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let dataset = Dataset::open(access.store(&self.dataset)?).await?;
        let answers = match &self.answers {
            Some(path) => {
                let lines = std::fs::read(path).map_err(|e| Error::io("read the answers", path, e))?;
                pair_answers(&lines, &path.display().to_string())?
            }
            None => Vec::new(),
        };
        let options = CalibrateOptions {
            min_similarity: self.min_similarity,
            wanted: self.wanted,
            pairs: Some(self.pairs),
            answers,
            ..CalibrateOptions::default()
        };
        let report = dataset.calibrate(&options).await?;
        let page = dataset.calibration_page(&report).await?;
        let out = self.out.unwrap_or_else(|| self.dataset.join("calibration.html"));
        write_file(&out, page.as_bytes(), PutMode::Overwrite)?;
        if self.json {
            println!("{}", super::output::to_json(&report)?);
            return Ok(());
        }
        println!("At {:.4}: {} of {} candidates stay", report.min_similarity, report.kept, report.candidates);
        if let Some(wanted) = &report.wanted {
            let lowest = if wanted.is_lowest() { ", the lowest that is tried" } else { "" };
            println!("{} images at --min-similarity {:.4}{lowest}", wanted.kept, wanted.min_similarity);
        }
        match &report.fitted {
            Some(fit) => println!(
                "By {} answers: --min-similarity {:.4} ({:.4} to {:.4} with 95 %; {} contradict it)",
                fit.answers, fit.min_similarity, fit.low, fit.high, fit.contradicted
            ),
            None if self.answers.is_some() => {
                println!("The answers fit no threshold yet: some \"same\" and some \"different\" are needed");
            }
            None => {}
        }
        println!("Look at {}", out.display());
        Ok(())
    }
}
