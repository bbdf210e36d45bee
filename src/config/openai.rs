//! Models behind OpenAI-compatible servers, as the command line, configuration files and Python name them.
//!
//! In a build without the feature `http` they can be named, but not opened. The server's key is no option: it comes
//! from the environment variable `OPENAI_API_KEY`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Shared;
use crate::{caption::Captioner, error::Result};

/// Where Ollama listens.
const OLLAMA: &str = "http://localhost:11434/v1";

/// Options of a captioner.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenAiCaptionerChoice {
    /// Name of the model on its server.
    pub model: String,
    /// Address up to the version; that of Ollama on this machine unless given.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Most tokens of an answer; 300 unless given.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    /// Seconds until an answer has to be there; 120 unless given.
    #[serde(default)]
    pub timeout: Option<f64>,
    /// Attempts in all where the server is busy, slow or gone; 5 unless given.
    #[serde(default)]
    pub attempts: Option<u32>,
    /// Whether to demand the caption through a tool.
    #[serde(default)]
    pub tools: bool,
    /// A wish to the model, for example `Always name the setting.`
    #[serde(default)]
    pub instructions: String,
}

impl OpenAiCaptionerChoice {
    /// From `MODEL` or `MODEL@ADDRESS`.
    pub(super) fn named(name: &str) -> Self {
        let (model, base_url) = match name.split_once("@http") {
            Some((model, rest)) => (model, Some(format!("http{rest}"))),
            None => (name, None),
        };
        Self { model: model.to_owned(), base_url, ..Self::default() }
    }

    #[cfg(not(feature = "http"))]
    pub(super) async fn open(&self, _: &Shared) -> Result<Arc<dyn Captioner>> {
        let _ = OLLAMA;
        Err(crate::Error::new(
            crate::ErrorKind::Unsupported,
            "this build asks no servers for captions; enable the feature \"http\"",
        ))
    }

    // Choices are opened asynchronously; this one waits for nothing.
    #[cfg(feature = "http")]
    #[allow(clippy::unused_async)]
    pub(super) async fn open(&self, shared: &Shared) -> Result<Arc<dyn Captioner>> {
        use crate::{
            caption::{CaptionPrompt, VisionCaptioner},
            layers::Cached,
            local::openai::{OpenAiModel, OpenAiSettings},
        };
        let mut settings = OpenAiSettings::new(self.base_url.as_deref().unwrap_or(OLLAMA), &self.model);
        settings.max_tokens = self.max_tokens.unwrap_or(settings.max_tokens);
        settings.timeout = self.timeout.unwrap_or(settings.timeout);
        settings.attempts = self.attempts.unwrap_or(settings.attempts);
        settings.tools = self.tools;
        let model = OpenAiModel::from_env(settings, Arc::clone(&shared.meter))?;
        let prompt = CaptionPrompt::new(&shared.cast).instructions(&self.instructions);
        let captioner = VisionCaptioner::new(model, prompt);
        Ok(Arc::new(Cached::new(Arc::new(captioner), Arc::clone(&shared.cache))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_names_model_and_server() {
        let choice = OpenAiCaptionerChoice::named("qwen2.5vl:7b@http://gpu:8000/v1");
        assert_eq!(
            (choice.model.as_str(), choice.base_url.as_deref()),
            ("qwen2.5vl:7b", Some("http://gpu:8000/v1"))
        );
        assert_eq!(OpenAiCaptionerChoice::named("llava").base_url, None);
    }
}
