//! `picchu evaluate`: whether the characters held, generator by generator.

use std::path::PathBuf;

use clap::Args;

use super::{output::to_json, providers::ProviderArgs};
use crate::{
    Dataset, Result,
    config::{Access, Config},
    generate::evaluate::{Evaluator, Options},
};

#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    /// The dataset that was trained on. What is held out of it (`picchu split --held-out`) is compared with.
    dataset: PathBuf,
    /// The cast file.
    #[arg(long, value_name = "FILE")]
    cast: PathBuf,
    /// The film, from which the local detector learns what is background; from the dataset's images without it.
    #[arg(long, value_name = "FILM")]
    film: Option<PathBuf>,
    /// Images of any generator: a folder with captions in `metadata.jsonl` or in text files, or with a folder for each
    /// character; may come again.
    #[arg(long, value_name = "NAME=FOLDER", value_parser = named)]
    images: Vec<(String, PathBuf)>,
    #[cfg(feature = "local-train")]
    /// Prompts of one's own that are drawn too, a TOML file: `[[panels]]` with `prompt`.
    #[arg(long, value_name = "FILE")]
    panels: Option<PathBuf>,
    /// Most captions of held-out images to draw.
    #[arg(long, value_name = "N", default_value = "24")]
    captions: usize,
    /// Width and height of what is drawn, in pixels.
    #[arg(long, value_name = "PIXELS", default_value = "768")]
    side: u32,
    /// Draw with every checkpoint of the training job too.
    #[cfg(feature = "local-train")]
    #[arg(long, requires = "lora")]
    checkpoints: bool,
    /// Draw without the base model alone, which is drawn to compare with.
    #[cfg(feature = "local-train")]
    #[arg(long)]
    no_base: bool,
    /// Folder for the images and the report.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The report as one JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    providers: ProviderArgs,
    #[cfg(feature = "local-train")]
    #[command(flatten)]
    local: super::generate::LocalDrawing,
}

fn named(text: &str) -> std::result::Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, folder)) if !name.is_empty() => Ok((name.to_owned(), folder.into())),
        _ => Err("expected NAME=FOLDER".into()),
    }
}

impl Evaluate {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let dataset = Dataset::open(access.store(&self.dataset)?).await?;
        let mut config = Config::new("", &self.cast, &self.out);
        self.providers.apply(&mut config)?;
        let mut shared = config.shared()?;
        let embedder = shared.embedder(&config.embedder).await?;
        let detector = config.detector.open(&shared).await?;
        let film = self.film.as_deref().map(|film| access.film(film)).transpose()?;
        let options = Options { captions: self.captions, side: self.side, copy_similarity: None };
        let evaluator = Evaluator::new(&dataset, detector, embedder, film.as_deref(), options).await?;
        let out = access.store(&self.out)?;
        let mut report = evaluator.report();
        for (name, folder) in &self.images {
            report.add(evaluator.judge(name, access.images(folder).await?, &out).await?);
        }
        #[cfg(feature = "local-train")]
        if self.local.draws() {
            let board = evaluator.board(&self.prompts()?);
            for (name, generator) in
                self.local.contestants(self.checkpoints)?.into_iter().skip(usize::from(self.no_base))
            {
                if !self.json {
                    println!("{name}: drawing {} images", board.panels.len());
                }
                let images = evaluator.draw(&name, &generator, &board, &out).await?;
                report.add(evaluator.judge(&name, images, &out).await?);
            }
        }
        report.write(&*out).await?;
        if self.json {
            println!("{}", to_json(&report)?);
            return Ok(());
        }
        for note in &report.notes {
            println!("note: {note}");
        }
        for contestant in report.ranking() {
            println!("{:>6.2}  {}", contestant.score, contestant.name);
            for (name, score) in &contestant.characters {
                println!("          {name}: appears in {} of {}", score.appeared, score.asked);
            }
            if contestant.copies > 0 {
                println!("          {} images are nearly training images", contestant.copies);
            }
        }
        println!("Look at {}", self.out.join("evaluation.html").display());
        Ok(())
    }

    #[cfg(feature = "local-train")]
    fn prompts(&self) -> Result<Vec<crate::generate::Panel>> {
        let Some(path) = &self.panels else { return Ok(Vec::new()) };
        Ok(super::generate::storyboard(path)?.panels)
    }
}
