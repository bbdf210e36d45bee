//! Which implementation does a stage's work: the choices that the command line, configuration files and Python share.
//!
//! In JSON and TOML a choice is written `{"palette": {}}`; on the command line its name does, as far as every option has
//! a default, and `onnx:yolo.onnx` names a model.

// Services are reached asynchronously; a build without any waits for nothing.
#![allow(clippy::unused_async)]

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    BedrockCaptionerChoice, BedrockEmbedderChoice, OnnxDetectorChoice, OnnxEmbedderChoice,
    OpenAiCaptionerChoice, bedrock::BedrockEmbedder, references,
};
#[cfg(feature = "aws")]
use crate::aws::{AwsContext, AwsSettings};
use crate::{
    caption::{Captioner, MeasuredCaptioner},
    detect::{CharacterDetector, PaletteDetector, PaletteOptions},
    embed::{Embedder, LayoutEmbedder},
    error::{Error, ErrorKind, Result},
    layers::{Cache, Meter},
    store::Store,
    train::Ledger,
    types::Cast,
};

/// What the implementations of one job share.
#[derive(Debug, Default)]
pub struct Shared {
    /// Who is in the film.
    pub cast: Cast,
    /// An embedder that sees who somebody is, where the job has one: detectors that know only kinds name with it.
    pub identity: Option<Arc<dyn Embedder>>,
    /// What paid services answered already.
    pub cache: Arc<Cache>,
    /// What they cost.
    pub meter: Arc<Meter>,
    /// Where resources that bill are written down.
    pub ledger: Option<Ledger>,
    /// How to reach Amazon's services.
    #[cfg(feature = "aws")]
    pub aws: AwsSettings,
    #[cfg(feature = "aws")]
    aws_context: tokio::sync::OnceCell<AwsContext>,
}

impl Shared {
    /// For a cast; answers are kept in memory, prices are the built-in ones.
    pub fn new(cast: Cast) -> Self {
        Self { cast, ..Self::default() }
    }

    /// Sets where answers of paid services are kept, and what bills is written down: `cache/` and `ledger.jsonl` in a
    /// store.
    #[must_use]
    pub fn keep_answers_in(mut self, store: Arc<dyn Store>) -> Self {
        self.cache = Arc::new(Cache::new(Arc::clone(&store)));
        self.ledger = Some(Ledger::new(store));
        self
    }

    /// Sets how many US dollars may be spent, by the same prices.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) for a budget below 0.
    pub fn budget(mut self, usd: f64) -> Result<Self> {
        if !(usd.is_finite() && usd >= 0.0) {
            return Err(Error::new(ErrorKind::Config, format!("the budget is {usd}; it must be 0 or more")));
        }
        self.meter = Arc::new(Meter::new(self.meter.prices().clone()).budget(usd));
        Ok(self)
    }

    /// The job's embedder, which detectors may name with where it sees who somebody is.
    ///
    /// # Errors
    /// As [`EmbedderChoice::open`].
    pub async fn embedder(&mut self, choice: &EmbedderChoice) -> Result<Arc<dyn Embedder>> {
        let embedder = choice.open(self).await?;
        if choice.sees_identity() {
            self.identity = Some(Arc::clone(&embedder));
        }
        Ok(embedder)
    }

    /// The one context of all AWS clients; the environment is read when it is first asked for.
    ///
    /// # Errors
    /// As [`AwsContext::from_env`].
    #[cfg(feature = "aws")]
    pub async fn aws(&self) -> Result<&AwsContext> {
        self.aws_context.get_or_try_init(|| AwsContext::from_env(&self.aws)).await
    }
}

/// Who finds and names the characters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum DetectorChoice {
    /// [`PaletteDetector`]: by the colours of reference pictures.
    Palette(PaletteOptions),
    /// A model of the user's own.
    Onnx(OnnxDetectorChoice),
    /// [`RekognitionDetector`](crate::aws::rekognition::RekognitionDetector): Amazon's service.
    #[cfg(feature = "aws-rekognition")]
    Rekognition(Box<crate::aws::rekognition::RekognitionOptions>),
}

impl Default for DetectorChoice {
    fn default() -> Self {
        Self::Palette(PaletteOptions::default())
    }
}

impl DetectorChoice {
    /// The choice with this name and default options.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a name that is none, or whose options have no defaults.
    ///
    /// ```
    /// use picchu::config::DetectorChoice;
    /// assert_eq!(DetectorChoice::named("palette")?, DetectorChoice::default());
    /// assert!(DetectorChoice::named("oracle").is_err());
    /// # Ok::<(), picchu::Error>(())
    /// ```
    pub fn named(name: &str) -> Result<Self> {
        if let Some(model) = name.strip_prefix("onnx:") {
            return Ok(Self::Onnx(OnnxDetectorChoice {
                model: model.into(),
                ..OnnxDetectorChoice::default()
            }));
        }
        named(name, "detector")
    }

    /// The detector, looking for the cast.
    ///
    /// # Errors
    /// For a wrong cast and for reference pictures that are missing or unreadable; as its service says.
    pub async fn open(&self, shared: &Shared) -> Result<Arc<dyn CharacterDetector>> {
        match self {
            Self::Palette(options) => {
                Ok(Arc::new(PaletteDetector::new(references(&shared.cast)?)?.options(*options)?))
            }
            Self::Onnx(choice) => choice.open(shared).await,
            #[cfg(feature = "aws-rekognition")]
            Self::Rekognition(options) => rekognition(options, shared).await,
        }
    }
}

#[cfg(feature = "aws-rekognition")]
async fn rekognition(
    options: &crate::aws::rekognition::RekognitionOptions,
    shared: &Shared,
) -> Result<Arc<dyn CharacterDetector>> {
    use crate::aws::rekognition::{Parts, RekognitionDetector};

    let frames = match &options.frames_at {
        Some(at) => {
            let place = format!("s3://{}/{}", at.bucket, at.prefix);
            let access = super::Access { aws: shared.aws.clone(), ..super::Access::default() };
            Some(access.store(place.trim_end_matches('/').as_ref())?)
        }
        None => None,
    };
    let parts = Parts {
        cache: Arc::clone(&shared.cache),
        meter: Arc::clone(&shared.meter),
        ledger: shared.ledger.clone(),
        frames,
    };
    let (context, cast) = (shared.aws().await?, shared.cast.clone());
    Ok(Arc::new(RekognitionDetector::with_parts(context, cast, options.clone(), parts).await?))
}

/// Who turns crops into vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum EmbedderChoice {
    /// [`LayoutEmbedder`]: from pixels alone.
    Layout {},
    /// A model of the user's own.
    Onnx(OnnxEmbedderChoice),
    /// Amazon Titan Multimodal Embeddings.
    Titan(BedrockEmbedderChoice),
    /// Amazon Nova Multimodal Embeddings.
    Nova(BedrockEmbedderChoice),
}

impl Default for EmbedderChoice {
    fn default() -> Self {
        Self::Layout {}
    }
}

impl EmbedderChoice {
    /// The choice with this name and default options.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a name that is none, or whose options have no defaults.
    pub fn named(name: &str) -> Result<Self> {
        if let Some(model) = name.strip_prefix("onnx:") {
            return Ok(Self::Onnx(OnnxEmbedderChoice {
                model: model.into(),
                ..OnnxEmbedderChoice::default()
            }));
        }
        named(name, "embedder")
    }

    /// Whether its vectors tell who somebody is, not only what a picture looks like.
    fn sees_identity(&self) -> bool {
        matches!(self, Self::Onnx(_))
    }

    /// The embedder.
    ///
    /// # Errors
    /// None of the embedders that need nothing from outside; as its service says.
    pub async fn open(&self, shared: &Shared) -> Result<Arc<dyn Embedder>> {
        match self {
            Self::Layout {} => Ok(Arc::new(LayoutEmbedder::new())),
            Self::Onnx(choice) => choice.open().await,
            Self::Titan(choice) => choice.open(BedrockEmbedder::Titan, shared).await,
            Self::Nova(choice) => choice.open(BedrockEmbedder::Nova, shared).await,
        }
    }
}

/// Who words the captions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum CaptionerChoice {
    /// [`MeasuredCaptioner`]: sentences over what was measured.
    Measured {},
    /// A model of Amazon Bedrock that sees; Nova Pro by default.
    Nova(BedrockCaptionerChoice),
    /// A model behind a server with the `OpenAI` interface: Ollama, vLLM, llama.cpp.
    #[serde(rename = "openai")]
    OpenAi(OpenAiCaptionerChoice),
}

impl Default for CaptionerChoice {
    fn default() -> Self {
        Self::Measured {}
    }
}

impl CaptionerChoice {
    /// The choice with this name and default options.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a name that is none, or whose options have no defaults.
    ///
    /// `nova-lite` is Nova 2 Lite in the United States, `bedrock:MODEL` any model of Bedrock that sees, and
    /// `openai:MODEL@ADDRESS` a model on a server of one's own.
    pub fn named(name: &str) -> Result<Self> {
        let of_bedrock = |model: &str| {
            Self::Nova(BedrockCaptionerChoice {
                model: Some(model.to_owned()),
                ..BedrockCaptionerChoice::default()
            })
        };
        match name.split_once(':') {
            Some(("openai", model)) => Ok(Self::OpenAi(OpenAiCaptionerChoice::named(model))),
            Some(("bedrock", model)) => Ok(of_bedrock(model)),
            _ if name == "nova-lite" => Ok(of_bedrock("us.amazon.nova-2-lite-v1:0")),
            _ => named(name, "captioner"),
        }
    }

    /// The captioner.
    ///
    /// # Errors
    /// None of the captioners that need nothing from outside; as its service says.
    pub async fn open(&self, shared: &Shared) -> Result<Arc<dyn Captioner>> {
        match self {
            Self::Measured {} => Ok(Arc::new(MeasuredCaptioner::new())),
            Self::Nova(choice) => choice.open(shared).await,
            Self::OpenAi(choice) => choice.open(shared).await,
        }
    }
}

/// One choice a stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Providers {
    /// Who finds and names the characters.
    pub detector: DetectorChoice,
    /// Who turns crops into vectors.
    pub embedder: EmbedderChoice,
    /// Who words the captions.
    pub captioner: CaptionerChoice,
}

impl Providers {
    /// Amazon's service for each stage that this build has one for.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) in builds without any.
    // With every feature no field is left to the default.
    #[allow(clippy::needless_update)]
    pub fn aws() -> Result<Self> {
        if !cfg!(any(feature = "aws-rekognition", feature = "aws-bedrock")) {
            return Err(Error::new(
                crate::ErrorKind::Unsupported,
                "this build has none of Amazon's services; enable the feature \"aws-rekognition\" or \"aws-bedrock\"",
            ));
        }
        Ok(Self {
            #[cfg(feature = "aws-rekognition")]
            detector: DetectorChoice::Rekognition(Box::default()),
            #[cfg(feature = "aws-bedrock")]
            embedder: EmbedderChoice::Titan(BedrockEmbedderChoice::default()),
            #[cfg(feature = "aws-bedrock")]
            captioner: CaptionerChoice::Nova(BedrockCaptionerChoice::default()),
            ..Self::default()
        })
    }
}

/// A variant by its name, with whatever options it has at their defaults.
fn named<T: DeserializeOwned>(name: &str, what: &str) -> Result<T> {
    let mut choice = serde_json::Map::new();
    choice.insert(name.to_owned(), serde_json::json!({}));
    serde_json::from_value(choice.into())
        .map_err(|e| Error::invalid(format!("{name:?} is no {what} of this build: {e}")))
}
