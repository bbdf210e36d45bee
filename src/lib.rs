//! picchu: from a film to a character-consistent image model.
//!
//! A film is sampled into frames; a detector finds the characters of a cast; each is cut into a crop, embedded, and
//! kept if no better one shows the same; a captioner describes it; a dataset holds it with its whole lineage.
//!
//! ```no_run
//! # async fn f() -> picchu::Result<()> {
//! let report = picchu::config::Config::new("film.mp4", "cast.toml", "dataset").pipeline().await?.run().await?;
//! println!("{} images of {:?}", report.counts.kept, report.counts.characters);
//! # Ok(()) }
//! ```
//!
//! Every stage is a trait with a local implementation and room for yours: [`FrameSource`], [`CharacterDetector`],
//! [`Embedder`], [`Deduper`], [`Captioner`], [`Reviewer`], [`Store`], [`Trainer`], [`Deployer`], [`Generator`].
//!
//! # Features
//! | Feature | Gives | Default |
//! |---|---|---|
//! | `video` | video files, decoded in a process of their own | yes |
//! | `onnx` | detectors and image encoders of the user's own, run by the user's ONNX Runtime | no |
//! | `aws-rekognition` | characters found by Amazon Rekognition | no |
//! | `cli` | the program `picchu` | no |
//! | `aws-bedrock` | embeddings and captions by models of Amazon Bedrock | no |
//! | `aws-s3` | datasets and films on Amazon S3: `s3://bucket/prefix` wherever one is named | no |
//! | `aws-sqs` | films taken from a queue by `picchu worker` | no |
//! | `aws-train` | fine-tuning on Amazon Bedrock, serving and drawing with what was trained | no |
//! | `aws-a2i` | review by the people of an Amazon A2I flow, for accounts that A2I still takes | no |
//! | `http` | films at web addresses, captions by OpenAI-compatible servers | no |
//! | `review` | the review page, served to this machine alone: `local::review` | with `cli` |
//! | `testing` | fakes, faults and a conformance suite per trait | no |

#[cfg(feature = "aws")]
pub mod aws;
pub mod caption;
pub mod cast;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod crop;
pub mod dataset;
pub mod dedupe;
pub mod detect;
pub mod embed;
mod error;
pub mod generate;
mod lab;
pub mod layers;
pub mod local;
pub mod pipeline;
pub mod review;
mod simd;
pub mod source;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod train;
pub mod types;
#[cfg(all(feature = "aws-s3", feature = "video"))]
pub mod worker;

pub use caption::Captioner;
pub use cast::ReferencePicture;
pub use crop::CropPolicy;
pub use dataset::Dataset;
pub use dedupe::{CosineDeduper, Deduper, Keep};
pub use detect::CharacterDetector;
pub use embed::Embedder;
pub use error::{AtStage, BoxError, Error, ErrorKind, Result, Stage};
pub use generate::Generator;
pub use pipeline::Pipeline;
pub use review::Reviewer;
pub use source::{FrameSource, Interval, Policy, Sampling};
pub use store::Store;
pub use train::{Deployer, Trainer};
pub use types::{Cast, Character};

// The README's examples are compiled.
#[cfg(all(doctest, feature = "video"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// Milliseconds since 1970-01-01 UTC: when somebody decided or something was created. Never part of what a run makes.
pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Runs work that computes or blocks away from the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(e) if e.is_cancelled() => Err(Error::new(ErrorKind::Cancelled, "the runtime is shutting down")),
        Err(e) => Err(Error::internal(format!("a worker panicked: {e}"))),
    }
}
