//! Training on this machine as one thing to ask for: from a dataset to a job.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Access, prepared::Prepared};
use crate::{
    dataset::{Dataset, export},
    error::{AtStage, Error, Result, Stage},
    local::lora::{LocalTrainer, Python},
    train::{client_token, lora},
    types::TrainingSpec,
};

/// What is to be trained on this machine, on what, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalTraining {
    /// A dataset, whose export for `diffusers` is then written into its `exports/diffusers`; or such an export.
    pub dataset: PathBuf,
    /// Folder in which each job has a folder.
    pub output: PathBuf,
    /// The Python that trains; by the environment unless given.
    pub python: Option<PathBuf>,
    /// The model to start from: a folder, an `s3://` address, an id of the Hugging Face hub, or `random:NAME`.
    pub base_model: String,
    /// Branch, tag or commit on the hub; empty for the newest.
    pub revision: String,
    /// Licence of the base model, where it is not known.
    pub licence: String,
    /// Name of the job and of the model.
    pub name: String,
    /// Hyperparameters by the training program's names; how many steps is suggested where it is not given.
    pub hyperparameters: BTreeMap<String, String>,
    /// What sample images show that are drawn while it trains.
    pub sample_prompts: Vec<String>,
    /// Whether images may be trained on that no person looked at.
    pub allow_unreviewed: bool,
}

impl Default for LocalTraining {
    fn default() -> Self {
        Self {
            dataset: PathBuf::new(),
            output: "models".into(),
            python: None,
            base_model: lora::BASE_MODEL.into(),
            revision: String::new(),
            licence: String::new(),
            name: "picchu".into(),
            hyperparameters: BTreeMap::new(),
            sample_prompts: Vec::new(),
            allow_unreviewed: false,
        }
    }
}

impl LocalTraining {
    /// Exports the dataset where it is one, and settles name, token and hyperparameters. Starts nothing.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) where there is neither a dataset nor an export;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a dataset that cannot be exported.
    pub async fn open(&self, access: &Access) -> Result<Prepared<LocalTrainer>> {
        self.prepare(access).await.at(Stage::Train)
    }

    async fn prepare(&self, access: &Access) -> Result<Prepared<LocalTrainer>> {
        let export = self.exported(access).await?;
        let manifest = export.join("metadata.jsonl");
        let manifest = std::fs::read(&manifest).map_err(|e| Error::io("read", &manifest, e))?;
        let pictures = manifest.split(|&b| b == b'\n').filter(|line| !line.is_empty()).count();
        let (hyperparameters, reason) = lora::LoraSettings::suggested(pictures, &self.hyperparameters);
        let mut spec = TrainingSpec {
            name: self.name.clone(),
            base_model: self.base_model.clone(),
            dataset: export.display().to_string(),
            output: self.output.display().to_string(),
            hyperparameters,
            client_token: String::new(),
        };
        let more =
            std::iter::once(self.revision.as_str()).chain(self.sample_prompts.iter().map(String::as_str));
        spec.client_token = client_token(&spec, more, &manifest);
        let python = self.python.as_ref().map_or_else(Python::from_env, Python::at);
        let trainer = LocalTrainer::new(python)
            .revision(&self.revision)
            .licence(&self.licence)
            .sample_prompts(&self.sample_prompts)
            .allow_unreviewed(self.allow_unreviewed);
        Ok(Prepared {
            trainer,
            spec,
            reason,
            #[cfg(feature = "aws-train")]
            role: None,
        })
    }

    /// The folder of the export: written now where a dataset was given.
    async fn exported(&self, access: &Access) -> Result<PathBuf> {
        let path: &Path = &self.dataset;
        if path.join("metadata.jsonl").is_file() {
            return Ok(path.to_owned());
        }
        let dataset = Dataset::open(access.store(path)?).await?;
        let target = path.join("exports").join("diffusers");
        let format = export::format("diffusers")?;
        Ok(export::write(&dataset, format, &target, &export::Options::default()).await?.folder)
    }
}
