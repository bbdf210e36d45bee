//! Which models of Amazon Bedrock a configuration file names.

use std::path::Path;

use super::{CaptionerChoice, Config, EmbedderChoice, Training};
use crate::{
    aws::bedrock::{ConverseModel, NovaEmbedder, TitanEmbedder},
    error::{Error, Result},
};

impl Config {
    /// Reads a configuration from TOML: the fields of [`Config`].
    ///
    /// ```
    /// let text = "film = \"film.mp4\"\ncast = \"cast.toml\"\nout = \"dataset\"\n[captioner.nova]\n";
    /// let config = picchu::config::Config::from_toml(text)?;
    /// assert_eq!(config.bedrock_models(), ["amazon.nova-pro-v1:0"]);
    /// # Ok::<(), picchu::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) says what is wrong.
    pub fn from_toml(text: &str) -> Result<Self> {
        read(text)
    }

    /// The models of Bedrock that a run with it asks.
    pub fn bedrock_models(&self) -> Vec<String> {
        let embedder = match &self.embedder {
            EmbedderChoice::Titan(_) => Some(TitanEmbedder::MODEL),
            EmbedderChoice::Nova(_) => Some(NovaEmbedder::MODEL),
            EmbedderChoice::Layout {} | EmbedderChoice::Onnx(_) => None,
        };
        let captioner = match &self.captioner {
            CaptionerChoice::Nova(choice) => Some(choice.model.as_deref().unwrap_or(ConverseModel::NOVA_PRO)),
            CaptionerChoice::Measured {} | CaptionerChoice::OpenAi(_) => None,
        };
        embedder.into_iter().chain(captioner).map(str::to_owned).collect()
    }
}

/// The models of Bedrock that a file names: the [`Config`] of a run, or a [`Training`].
///
/// # Errors
/// As [`Error::io`] for a file that cannot be read; [`InvalidInput`](crate::ErrorKind::InvalidInput) for one that is
/// neither.
pub fn bedrock_models_in(file: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file).map_err(|e| Error::io("read the configuration", file, e))?;
    let fields: toml::Table = read(&text)?;
    if fields.contains_key("film") {
        Ok(Config::from_toml(&text)?.bedrock_models())
    } else if fields.contains_key("dataset") {
        Ok(vec![read::<Training>(&text)?.base_model])
    } else {
        Err(Error::invalid(format!(
            "{} is neither a run, with `film`, `cast` and `out`, nor a training, with `dataset` and `output`",
            file.display()
        )))
    }
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    toml::from_str(text)
        .map_err(|e| Error::invalid(format!("the configuration is not understood: {}", e.message())))
}
