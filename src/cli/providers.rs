//! The arguments that choose implementations.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::{
    Error, Result,
    config::{CaptionerChoice, Config, DetectorChoice, EmbedderChoice, Providers},
};

/// Who does the stages' work.
#[derive(Debug, Args)]
pub(crate) struct ProviderArgs {
    /// Whose implementations: this machine's or Amazon's. The next three choose single stages.
    #[arg(long, value_enum, default_value = "local")]
    providers: Family,
    /// Who finds and names the characters: palette, rekognition; `onnx:yolo.onnx` names a model (docs/models.md).
    #[arg(long, value_name = "NAME")]
    detector: Option<String>,
    /// Who turns crops into vectors: layout, titan, nova; `onnx:clip.onnx` names a model.
    #[arg(long, value_name = "NAME")]
    embedder: Option<String>,
    /// Who words the captions: measured, nova, nova-lite, `bedrock:MODEL`, `openai:MODEL@ADDRESS`.
    #[arg(long, value_name = "NAME")]
    captioner: Option<String>,
    /// Most US dollars to spend; the run stops before, what is paid is kept, and the same command goes on from there.
    #[arg(long = "budget", alias = "max-usd", value_name = "USD", allow_negative_numbers = true)]
    max_usd: Option<f64>,
    /// Prices that override the built-in ones, a TOML file.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    #[cfg(feature = "aws-rekognition")]
    #[command(flatten)]
    rekognition: RekognitionArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Family {
    /// Everything on this machine.
    Local,
    /// Amazon's services; they cost money.
    Aws,
}

#[cfg(feature = "aws-rekognition")]
#[derive(Debug, Args)]
struct RekognitionArgs {
    /// Rekognition: the collection that `picchu cast enrol` filled; without one, faces are not looked at.
    #[arg(long, value_name = "ID")]
    collection: Option<String>,
    /// Rekognition: search users, which join a character's faces, instead of single faces.
    #[arg(long, requires = "collection")]
    search_users: bool,
    /// Rekognition: look for faces also in frames without any label of the cast.
    #[arg(long)]
    no_labels_first: bool,
    /// Rekognition: a trained Custom Labels version for what stays unsure.
    #[arg(long, value_name = "ARN")]
    custom_labels: Option<String>,
    /// Rekognition: start that version for the run and stop it after; it bills by the hour.
    #[arg(long, requires = "project", requires = "custom_labels")]
    start_model: bool,
    /// Rekognition: the project of that version.
    #[arg(long, value_name = "ARN")]
    project: Option<String>,
    /// Rekognition: calls a second of each image operation, where your account's quota is not the Region's default.
    #[arg(long, value_name = "N")]
    calls_per_second: Option<f64>,
}

/// A budget that is a sum of money.
pub(crate) fn checked_budget(usd: f64) -> Result<f64> {
    if usd.is_finite() && usd >= 0.0 {
        Ok(usd)
    } else {
        Err(Error::invalid(format!("the budget is {usd}; it must be 0 or more")))
    }
}

impl ProviderArgs {
    /// Puts the choices into a configuration.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<()> {
        self.max_usd.map(checked_budget).transpose()?;
        let Providers { detector, embedder, captioner } = match self.providers {
            Family::Local => Providers::default(),
            Family::Aws => Providers::aws()?,
        };
        config.detector = self.detector.as_deref().map_or(Ok(detector), DetectorChoice::named)?;
        config.embedder = self.embedder.as_deref().map_or(Ok(embedder), EmbedderChoice::named)?;
        config.captioner = self.captioner.as_deref().map_or(Ok(captioner), CaptionerChoice::named)?;
        config.max_usd = self.max_usd;
        config.prices.clone_from(&self.prices);
        #[cfg(feature = "aws-rekognition")]
        self.rekognition.apply(&mut config.detector)?;
        Ok(())
    }
}

#[cfg(feature = "aws-rekognition")]
impl RekognitionArgs {
    fn apply(&self, detector: &mut DetectorChoice) -> Result<()> {
        use crate::aws::rekognition::CustomLabelsOptions;

        let DetectorChoice::Rekognition(options) = detector else {
            let given = self.collection.is_some()
                || self.custom_labels.is_some()
                || self.no_labels_first
                || self.calls_per_second.is_some();
            return if given {
                Err(Error::new(
                    crate::ErrorKind::Config,
                    "the arguments of Rekognition need --detector rekognition or --providers aws",
                ))
            } else {
                Ok(())
            };
        };
        options.collection.clone_from(&self.collection);
        options.search_users = self.search_users;
        options.labels_first = !self.no_labels_first;
        options.calls_per_second = self.calls_per_second;
        options.custom_labels = self.custom_labels.as_ref().map(|version| CustomLabelsOptions {
            start: self.start_model,
            project: self.project.clone(),
            ..CustomLabelsOptions::running(version)
        });
        options.validate()
    }
}
