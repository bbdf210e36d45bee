//! Models of Amazon Bedrock, as the command line, configuration files and Python name them.
//!
//! In a build without the feature `aws-bedrock` they can be named, but not opened.

use serde::{Deserialize, Serialize};

use super::Shared;
use crate::{caption::Captioner, embed::Embedder, error::Result};

/// Which of Bedrock's embedders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BedrockEmbedder {
    /// Titan Multimodal Embeddings G1.
    Titan,
    /// Nova Multimodal Embeddings.
    Nova,
}

/// Options of an embedder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BedrockEmbedderChoice {
    /// Values of a vector; 1,024 unless given. Titan has 256, 384 and 1,024, Nova 3,072 besides.
    pub dimensions: Option<usize>,
    /// Requests a minute that the account allows; the published default unless given.
    pub requests_a_minute: Option<f64>,
}

/// Options of a captioner.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BedrockCaptionerChoice {
    /// Id of a model that sees, or of its inference profile; Nova Pro unless given.
    pub model: Option<String>,
    /// Most tokens of an answer; 300 unless given.
    pub max_tokens: Option<u32>,
    /// 0 to 1; 0 unless given.
    pub temperature: Option<f32>,
    /// Whether the model takes tools; yes unless given.
    pub tools: Option<bool>,
    /// A wish to the model, for example `Always name the setting.`
    pub instructions: String,
    /// Requests a minute that the account allows; the published default unless given.
    pub requests_a_minute: Option<f64>,
    /// Tokens a minute that the account allows; the published default unless given.
    pub tokens_a_minute: Option<f64>,
}

#[cfg(not(feature = "aws-bedrock"))]
mod open {
    use std::sync::Arc;

    use super::{
        BedrockCaptionerChoice, BedrockEmbedder, BedrockEmbedderChoice, Captioner, Embedder, Result, Shared,
    };
    use crate::error::{Error, ErrorKind};

    fn missing<T>() -> Result<T> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "this build does not reach Amazon Bedrock; enable the feature \"aws-bedrock\"",
        ))
    }

    impl BedrockEmbedderChoice {
        pub(in super::super) async fn open(
            &self,
            _: BedrockEmbedder,
            _: &Shared,
        ) -> Result<Arc<dyn Embedder>> {
            missing()
        }
    }

    impl BedrockCaptionerChoice {
        pub(in super::super) async fn open(&self, _: &Shared) -> Result<Arc<dyn Captioner>> {
            missing()
        }
    }
}

#[cfg(feature = "aws-bedrock")]
mod open {
    use std::sync::Arc;

    use super::{
        BedrockCaptionerChoice, BedrockEmbedder, BedrockEmbedderChoice, Captioner, Embedder, Result, Shared,
    };
    use crate::{
        aws::bedrock::{
            BatchModel, Bedrock, ConverseModel, ConverseSettings, NovaEmbedder, Quota, TitanEmbedder,
        },
        caption::{CaptionPrompt, VisionCaptioner},
        layers::Cached,
    };

    const DIMENSIONS: usize = 1024;

    async fn bedrock(
        shared: &Shared,
        model: &str,
        requests: Option<f64>,
        tokens: Option<f64>,
    ) -> Result<Bedrock> {
        let mut quota = Quota::of(model);
        quota.requests_a_minute = requests.unwrap_or(quota.requests_a_minute);
        quota.tokens_a_minute = tokens.or(quota.tokens_a_minute);
        Bedrock::new(shared.aws().await?, model, Arc::clone(&shared.meter))?.quota(quota)
    }

    impl BedrockEmbedderChoice {
        pub(in super::super) async fn open(
            &self,
            which: BedrockEmbedder,
            shared: &Shared,
        ) -> Result<Arc<dyn Embedder>> {
            let embedder: Arc<dyn Embedder> = match which {
                BedrockEmbedder::Titan => Arc::new(self.titan(shared).await?),
                BedrockEmbedder::Nova => Arc::new(self.nova(shared).await?),
            };
            Ok(Arc::new(Cached::new(embedder, Arc::clone(&shared.cache))))
        }

        /// The same model, for batch jobs.
        pub(in super::super) async fn batch(
            &self,
            which: BedrockEmbedder,
            shared: &Shared,
        ) -> Result<Arc<dyn BatchModel>> {
            Ok(match which {
                BedrockEmbedder::Titan => Arc::new(self.titan(shared).await?),
                BedrockEmbedder::Nova => Arc::new(self.nova(shared).await?),
            })
        }

        async fn titan(&self, shared: &Shared) -> Result<TitanEmbedder> {
            let bedrock = bedrock(shared, TitanEmbedder::MODEL, self.requests_a_minute, None).await?;
            TitanEmbedder::new(bedrock, self.dimensions.unwrap_or(DIMENSIONS))
        }

        async fn nova(&self, shared: &Shared) -> Result<NovaEmbedder> {
            let bedrock = bedrock(shared, NovaEmbedder::MODEL, self.requests_a_minute, None).await?;
            NovaEmbedder::new(bedrock, self.dimensions.unwrap_or(DIMENSIONS))
        }
    }

    impl BedrockCaptionerChoice {
        pub(in super::super) async fn open(&self, shared: &Shared) -> Result<Arc<dyn Captioner>> {
            let captioner: Arc<dyn Captioner> = Arc::new(self.captioner(shared).await?);
            Ok(Arc::new(Cached::new(captioner, Arc::clone(&shared.cache))))
        }

        /// The same captioner, for batch jobs.
        pub(in super::super) async fn batch(&self, shared: &Shared) -> Result<Arc<dyn BatchModel>> {
            Ok(Arc::new(self.captioner(shared).await?))
        }

        async fn captioner(&self, shared: &Shared) -> Result<VisionCaptioner<ConverseModel>> {
            let model = self.model.as_deref().unwrap_or(ConverseModel::NOVA_PRO);
            let usual = ConverseSettings::default();
            let settings = ConverseSettings {
                max_tokens: self.max_tokens.unwrap_or(usual.max_tokens),
                temperature: self.temperature.unwrap_or(usual.temperature),
                tools: self.tools.unwrap_or(usual.tools),
            };
            let bedrock = bedrock(shared, model, self.requests_a_minute, self.tokens_a_minute).await?;
            let prompt = CaptionPrompt::new(&shared.cast).instructions(&self.instructions);
            Ok(VisionCaptioner::new(ConverseModel::new(bedrock, settings)?, prompt))
        }
    }
}
