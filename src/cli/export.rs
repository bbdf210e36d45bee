//! `picchu export`: from a dataset to what a trainer reads.

use std::path::{Path, PathBuf};

use clap::Args;

use super::output::to_json;
use crate::{
    Error, ErrorKind, Result,
    config::Access,
    dataset::{
        Dataset,
        export::{
            self, Exported, Options,
            custom_labels::{self, ManifestOptions},
            formats, nova,
        },
    },
    store::{PutMode, write_file},
};

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The dataset: a folder or an address.
    dataset: PathBuf,
    /// Which trainer reads it.
    #[arg(long, value_parser = trainer_name, value_name = "FORMAT", help = trainers_help())]
    to: String,
    /// The folder to write, an earlier export or nothing. Default: `exports/FORMAT` in the dataset.
    /// For `nova`, a name that ends with `.jsonl` writes the manifest alone. For `custom-labels`, a place on S3 too.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// For `custom-labels`: the film that the dataset was built from, again for each film of a merged one.
    #[arg(long, value_name = "FILM")]
    film: Vec<PathBuf>,
    /// For `custom-labels`: take also frames that no person looked at.
    #[arg(long)]
    unreviewed: bool,
    /// For `nova` and `custom-labels`: where the files will lie, for example `s3://bucket/film`.
    #[arg(long, value_name = "S3_URI")]
    uri: Option<String>,
    /// Where the trainer will find the folder, for its settings file. Default: where it is written.
    #[arg(long, value_name = "PATH", conflicts_with = "uri")]
    root: Option<String>,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The names of the formats, as arguments take them.
pub(crate) fn format_name(name: &str) -> std::result::Result<String, String> {
    export::format(name).map(|format| format.name().to_owned()).map_err(|e| e.message().to_owned())
}

pub(crate) fn formats_help(what: &str) -> String {
    let names: Vec<_> = formats().iter().map(|f| f.name()).collect();
    format!("{what}: {}", names.join(", "))
}

/// As [`format_name`], with the format that is made of frames instead of images.
fn trainer_name(name: &str) -> std::result::Result<String, String> {
    if name == custom_labels::NAME { Ok(name.to_owned()) } else { format_name(name) }
}

fn trainers_help() -> String {
    format!("{}, {}", formats_help("Which trainer reads it"), custom_labels::NAME)
}

impl Export {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let dataset = Dataset::open(access.store(&self.dataset)?).await?;
        if self.to == custom_labels::NAME {
            return self.custom_labels(&dataset, access).await;
        }
        if !self.film.is_empty() || self.unreviewed {
            return Err(Error::new(ErrorKind::Config, "--film and --unreviewed are for --to custom-labels"));
        }
        if self.to == "nova" && self.uri.is_none() {
            return Err(Error::new(
                ErrorKind::Config,
                "nova needs --uri: where the dataset's files will lie, for example s3://bucket/film",
            ));
        }
        if let (Some(out), Some(uri)) = (&self.out, &self.uri)
            && out.extension().is_some_and(|e| e == "jsonl")
        {
            return self.manifest(&dataset, uri, out).await;
        }
        let out = self.place()?;
        let options = Options { root: self.uri.clone().or_else(|| self.root.clone()) };
        let done = export::write(&dataset, export::format(&self.to)?, &out, &options).await?;
        if self.json {
            println!("{}", to_json(&serde_json::json!({"event": "exported", "export": done}))?);
        } else {
            summarise(&done);
            self.hint(&out);
        }
        Ok(())
    }

    fn place(&self) -> Result<PathBuf> {
        match &self.out {
            Some(out) => Ok(out.clone()),
            None if self.dataset.is_dir() => Ok(self.dataset.join("exports").join(&self.to)),
            None => Err(Error::new(ErrorKind::Config, "a dataset at an address is exported with --out DIR")),
        }
    }

    /// Frames with boxes, and the manifests that name them.
    async fn custom_labels(&self, dataset: &Dataset, access: &Access) -> Result<()> {
        if self.film.is_empty() {
            return Err(Error::new(
                ErrorKind::Config,
                "custom-labels needs --film: a model that finds characters in frames learns from whole frames",
            ));
        }
        let films = self.film.iter().map(|film| access.film(film)).collect::<Result<Vec<_>>>()?;
        let out = self.place()?;
        let options = ManifestOptions { uri: self.uri.clone(), unreviewed: self.unreviewed };
        let done = custom_labels::write(dataset, &films, &access.store(&out)?, &options).await?;
        if self.json {
            println!("{}", to_json(&serde_json::json!({"event": "exported", "export": done}))?);
            return Ok(());
        }
        println!("{}: {} frames, read back as the service reads them", done.train, done.train_frames);
        if let Some(test) = &done.test {
            println!("{test}: {} frames of shots that are held out", done.test_frames);
        }
        for (name, boxes) in &done.characters {
            println!("  {name}: {boxes} boxes");
        }
        if done.uncertain > 0 {
            println!("{} frames left out: somebody in them is unnamed or was rejected", done.uncertain);
        }
        if done.unreviewed > 0 {
            let what = if self.unreviewed { "of them were" } else { "frames left out: they were" };
            println!("{} {what} not looked at by a person", done.unreviewed);
        }
        if let Some(uri) = &self.uri {
            println!("Upload them with: aws s3 sync {} {uri}", out.display());
        }
        Ok(())
    }

    /// The manifest for images that lie on S3 already, or go there by another way.
    async fn manifest(&self, dataset: &Dataset, uri: &str, out: &Path) -> Result<()> {
        let manifest = nova::manifest(dataset, uri).await?;
        write_file(out, &manifest.body, PutMode::Overwrite)?;
        let unreviewed = dataset.training_images().filter(|i| !i.reviewed).count();
        if self.json {
            let line = serde_json::json!({
                "event": "exported",
                "format": "nova",
                "records": manifest.lines.len(),
                "unreviewed": unreviewed,
                "out": out,
            });
            println!("{line}");
        } else {
            println!("{}: {} records, read back and checked", out.display(), manifest.lines.len());
            if unreviewed > 0 {
                println!("{unreviewed} of them were not reviewed by a person");
            }
            let base = uri.trim_end_matches('/');
            println!("Upload the images with: aws s3 sync {}/images {base}/images", self.dataset.display());
            self.hint(out);
        }
        Ok(())
    }

    /// How the trainer is pointed at what was written.
    fn hint(&self, out: &Path) {
        let out = out.display();
        match self.to.as_str() {
            "nova" => println!(
                "Amazon Nova Canvas reached end of life on 2026-09-30: a new fine-tuning job is refused unless your \
                 account has an arrangement"
            ),
            "diffusers" => println!(
                "Train with: --dataset_name {out} --image_column image --caption_column text (not --instance_data_dir, \
                 which ignores captions)"
            ),
            "kohya" => println!("Train with: --dataset_config {out}/dataset_config.toml"),
            "ai-toolkit" => println!("Put the block of {out}/datasets.yaml into the job's process"),
            "webdataset" => println!("Read with: webdataset.WebDataset(\"{out}/train-{{000000..N}}.tar\")"),
            "hf" => println!("Read with: datasets.load_dataset(\"{out}\")"),
            _ => {}
        }
    }
}

fn summarise(done: &Exported) {
    let mebibytes = done.image_bytes as f64 / f64::from(1 << 20);
    println!(
        "{}: {} pictures with captions, {mebibytes:.1} MiB, read back as the trainer reads them",
        done.folder.display(),
        done.pictures
    );
    for (name, pictures) in &done.characters {
        println!("  {name}: {pictures}");
    }
    if done.held_out > 0 {
        println!("{} held out of training", done.held_out);
    }
    if done.left_out > 0 {
        println!("{} left out to balance the characters", done.left_out);
    }
    if done.unreviewed > 0 {
        println!("{} of them were not reviewed by a person", done.unreviewed);
    }
}
