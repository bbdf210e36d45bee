//! From settings to a pipeline: the only place that knows which implementations there are.

mod access;
#[cfg(feature = "aws-bedrock")]
mod batch;
mod bedrock;
#[cfg(feature = "aws-rekognition")]
mod cast_service;
#[cfg(any(feature = "aws-rekognition", feature = "aws-bedrock"))]
mod clean;
#[cfg(feature = "local-train")]
mod local_training;
#[cfg(feature = "aws-train")]
mod models;
mod onnx;
mod openai;
#[cfg(any(feature = "local-train", feature = "aws-train"))]
mod prepared;
mod providers;
#[cfg(feature = "sagemaker")]
mod sagemaker;
mod sampling;
#[cfg(feature = "aws-train")]
mod training;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

#[cfg(feature = "aws-bedrock")]
pub use self::batch::{BatchPlace, BatchQuestions, open_batch};
#[cfg(feature = "aws-rekognition")]
pub use self::cast_service::CastService;
#[cfg(any(feature = "aws-rekognition", feature = "aws-bedrock"))]
pub use self::clean::{Cleaner, Resource, Selection};
#[cfg(feature = "local-train")]
pub use self::local_training::LocalTraining;
#[cfg(feature = "aws-train")]
pub use self::models::bedrock_models_in;
#[cfg(any(feature = "local-train", feature = "aws-train"))]
pub use self::prepared::Prepared;
#[cfg(feature = "sagemaker")]
pub use self::sagemaker::{SageMakerServingPlan, SageMakerTraining};
#[cfg(feature = "aws-train")]
pub use self::training::{Standing, Training, standings};
pub use self::{
    access::Access,
    bedrock::{BedrockCaptionerChoice, BedrockEmbedder, BedrockEmbedderChoice},
    onnx::{OnnxDetectorChoice, OnnxEmbedderChoice},
    openai::OpenAiCaptionerChoice,
    providers::{CaptionerChoice, DetectorChoice, EmbedderChoice, Providers, Shared},
    sampling::SampleChoice,
};
use crate::{
    caption::LintRules,
    crop::CropPolicy,
    dedupe::{CosineDeduper, Keep},
    detect::Reference,
    error::{Error, Result, Stage},
    layers::Meter,
    pipeline::Pipeline,
    source::FrameSource,
    store::Store,
    types::{Cast, PriceTable},
};

/// The settings of a whole job, as the command line and configuration files give them.
///
/// ```no_run
/// # async fn f() -> picchu::Result<()> {
/// use picchu::config::Config;
/// let report = Config::new("film.mp4", "cast.toml", "dataset").pipeline().await?.run().await?;
/// println!("{} images", report.counts.kept);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A video file or a folder of pictures.
    pub film: PathBuf,
    /// The cast file.
    pub cast: PathBuf,
    /// Where the dataset goes.
    pub out: PathBuf,
    /// Which frames to take.
    #[serde(default)]
    pub sample: SampleChoice,
    /// Says of each frame to which shot and drawing it belongs, also where frames are not chosen by that.
    #[serde(default)]
    pub lineage: bool,
    /// Frames a second.
    #[serde(default = "one_a_second")]
    pub fps: f64,
    /// Fast and inexact sampling: see [`Sampling::approximate`](crate::Sampling::approximate).
    #[serde(default)]
    pub approximate: bool,
    /// At most so many frames.
    #[serde(default)]
    pub limit: Option<u64>,
    /// Who finds and names the characters.
    #[serde(default)]
    pub detector: DetectorChoice,
    /// Whether neighbouring frames settle the boxes: see [`Pipeline::settle`].
    #[serde(default = "yes")]
    pub settle: bool,
    /// Who turns crops into vectors.
    #[serde(default)]
    pub embedder: EmbedderChoice,
    /// Who words the captions.
    #[serde(default)]
    pub captioner: CaptionerChoice,
    /// Cosine similarity from which two crops are near-duplicates; `None` takes the embedder's own.
    #[serde(default)]
    pub min_similarity: Option<f64>,
    /// Which of several near-duplicates stays.
    #[serde(default)]
    pub keep: Keep,
    /// How crops are cut.
    #[serde(default)]
    pub crop: CropPolicy,
    /// Most US dollars that this run may spend; paid calls beyond it are refused.
    #[serde(default)]
    pub max_usd: Option<f64>,
    /// A price table that overrides the built-in one entry by entry.
    #[serde(default)]
    pub prices: Option<PathBuf>,
    /// How to reach Amazon's services.
    #[cfg(feature = "aws")]
    #[serde(default)]
    pub aws: crate::aws::AwsSettings,
    /// How the objects of a dataset on S3 are encrypted.
    #[cfg(feature = "aws-s3")]
    #[serde(default)]
    pub encryption: crate::aws::Encryption,
}

fn one_a_second() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

impl Config {
    /// The default job: one frame a second, near-duplicates removed, the best of each group kept.
    pub fn new(film: impl Into<PathBuf>, cast: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            film: film.into(),
            cast: cast.into(),
            out: out.into(),
            sample: SampleChoice::default(),
            lineage: false,
            fps: one_a_second(),
            approximate: false,
            limit: None,
            detector: DetectorChoice::default(),
            settle: true,
            embedder: EmbedderChoice::default(),
            captioner: CaptionerChoice::default(),
            min_similarity: None,
            keep: Keep::default(),
            crop: CropPolicy::default(),
            max_usd: None,
            prices: None,
            #[cfg(feature = "aws")]
            aws: crate::aws::AwsSettings::default(),
            #[cfg(feature = "aws-s3")]
            encryption: crate::aws::Encryption::default(),
        }
    }

    /// The pipeline with the implementations of choice.
    ///
    /// # Errors
    /// For settings out of range, a missing film, a wrong cast, unreadable reference pictures; as services say.
    pub async fn pipeline(&self) -> Result<Pipeline> {
        self.pipeline_of(self.access().film(&self.film)?).await
    }

    /// The same for a film that is open already; [`film`](Self::film) is not looked at.
    ///
    /// # Errors
    /// As [`pipeline`](Self::pipeline).
    pub async fn pipeline_of(&self, film: Arc<dyn FrameSource>) -> Result<Pipeline> {
        let mut sampling = self.sample.build(self.fps)?;
        sampling.lineage = self.lineage;
        sampling.limit = self.limit;
        sampling.approximate = self.approximate;
        let deduper = match self.min_similarity {
            Some(min_similarity) => CosineDeduper::at(min_similarity)?,
            None => CosineDeduper::default(),
        };
        self.crop.validate()?;
        let store = self.access().store(&self.out)?;
        let mut shared = self.shared()?.keep_answers_in(Arc::clone(&store));
        let embedder = shared.embedder(&self.embedder).await?;
        Ok(Pipeline::new(film)
            .sample(sampling)
            .meter(Arc::clone(&shared.meter))
            .detect(self.detector.open(&shared).await?)
            .settle(self.settle)
            .crop(self.crop.clone())
            .dedupe(embedder, Arc::new(deduper.keep(self.keep)))
            .caption(self.captioner.open(&shared).await?)
            .lint(LintRules::for_cast(&shared.cast))
            .store(store))
    }

    /// Takes the files that are named by relative paths from a folder: cast, prices, models.
    #[must_use]
    pub fn relative_to(mut self, folder: &Path) -> Self {
        let models = match &mut self.detector {
            DetectorChoice::Onnx(choice) => vec![Some(&mut choice.model), choice.description.as_mut()],
            _ => Vec::new(),
        };
        let encoders = match &mut self.embedder {
            EmbedderChoice::Onnx(choice) => vec![Some(&mut choice.model), choice.description.as_mut()],
            _ => Vec::new(),
        };
        let named = models.into_iter().chain(encoders).flatten();
        for path in named.chain([&mut self.cast]).chain(self.prices.as_mut()) {
            *path = folder.join(&*path);
        }
        self
    }

    /// How the film and the dataset are reached.
    pub fn access(&self) -> Access {
        Access {
            #[cfg(feature = "aws")]
            aws: self.aws.clone(),
            #[cfg(feature = "aws-s3")]
            encryption: self.encryption.clone(),
        }
    }

    /// What the implementations share: cast, prices, budget, how to reach services.
    ///
    /// # Errors
    /// For a wrong cast or price table.
    pub fn shared(&self) -> Result<Shared> {
        let mut shared = Shared::new(Cast::load(&self.cast)?);
        shared.meter = Arc::new(Meter::new(price_table(self.prices.as_deref())?));
        if let Some(usd) = self.max_usd {
            shared = shared.budget(usd)?;
        }
        #[cfg(feature = "aws")]
        {
            shared.aws = self.aws.clone();
        }
        Ok(shared)
    }
}

/// The built-in prices, with a file's over them, entry by entry.
///
/// # Errors
/// As [`Error::io`] for a file that cannot be read, and as [`PriceTable::from_toml`].
pub fn price_table(file: Option<&Path>) -> Result<PriceTable> {
    let Some(path) = file else { return Ok(PriceTable::built_in()) };
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read the prices", path, e))?;
    Ok(PriceTable::built_in().with(PriceTable::from_toml(&text)?))
}

/// The cast's pictures, as the palette detector takes them.
///
/// # Errors
/// For a character without references, and for pictures that are missing or unreadable.
pub fn references(cast: &Cast) -> Result<Vec<Reference>> {
    let pictures = cast.reference_pictures()?;
    if let Some(character) = cast.characters.iter().find(|c| c.references.is_empty()) {
        return Err(Error::invalid(format!(
            "{} has no reference pictures; the local detector needs one to five, each cut tightly around the \
             character",
            character.name
        ))
        .at(Stage::Detect));
    }
    let own = pictures.into_iter().map(|p| Reference::new(p.character, p.image));
    let not = cast.negative_pictures()?.into_iter().map(|p| Reference::not(p.character, p.image));
    Ok(own.chain(not).collect())
}

impl Pipeline {
    /// Begins with a film on disk: a video file, or a folder of pictures.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) where nothing is,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a video without the feature `video`.
    pub fn film(path: impl AsRef<Path>) -> Result<Self> {
        open_film(path.as_ref()).map(Self::new)
    }
}

/// Opens a film, as [`Access::film`] with what the environment says.
///
/// # Errors
/// As [`Access::film`].
pub fn open_film(path: &Path) -> Result<Arc<dyn FrameSource>> {
    Access::default().film(path)
}

/// Opens a store, as [`Access::store`] with what the environment says.
///
/// # Errors
/// As [`Access::store`].
pub fn open_store(place: &Path) -> Result<Arc<dyn Store>> {
    Access::default().store(place)
}
