//! Plain data that travels between the stages. No input/output, no async.

mod caption;
mod cast;
mod crop;
mod detection;
mod embedding;
mod frame;
mod geometry;
mod job;
mod price;
mod record;
mod review;
mod shot;
mod usage;

pub use caption::{Asked, Caption, CaptionRequest, Fault, LintRule, NoCaption, Subject};
pub use cast::{Cast, Character};
pub use crop::{Crop, Quality};
pub use detection::{Alternative, Detection};
pub use embedding::{Embeddings, unit_rows};
pub use frame::{Frame, Gap, MediaInfo};
pub use geometry::{BoundingBox, PixelRect};
pub use job::{
    CustomModel, DatasetRules, Deployment, DeploymentStatus, Finding, GenerateRequest, Generated,
    JobProgress, JobStatus, Severity, StepLoss, TrainingJob, TrainingSpec,
};
pub use price::{Price, PriceTable, Unit};
pub use record::{CropRecord, EmbeddingRow, FrameRecord, Outcome, Record};
pub use review::{Decision, Review};
pub use shot::{Content, Drawing, Flash, Shot, Transition, TransitionKind};
pub use usage::{ProviderInfo, Usage};
