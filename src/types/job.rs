//! Training jobs, their results, and what serves them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use image::RgbImage;
use serde::{Deserialize, Serialize};

/// What a trainer asks of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetRules {
    /// Name of the format that the trainer reads, for example `nova`.
    pub format: String,
    /// Where the rules are written down.
    pub source: String,
    /// Fewest and most records.
    pub records: (usize, usize),
    /// Fewest and most characters of a caption.
    pub caption_chars: (usize, usize),
    /// Shortest and longest side in pixels.
    pub side: (u32, u32),
    /// Most pixels of an image.
    pub max_pixels: u64,
    /// Most bytes of an image file.
    pub max_bytes: u64,
    /// Longest side divided by shortest side, at the most.
    pub max_aspect: f32,
}

/// Work to be done by a trainer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingSpec {
    /// Name for people and for the service.
    pub name: String,
    /// Base model to start from.
    pub base_model: String,
    /// Where the exported dataset lies: a path or an `s3://` address.
    pub dataset: String,
    /// Where results go: a path or an `s3://` address.
    pub output: String,
    /// Hyperparameters by the trainer's own names, as exact decimal strings.
    pub hyperparameters: BTreeMap<String, String>,
    /// Equal tokens mean the same job: a second submit returns the first one's job.
    pub client_token: String,
}

/// A trainer's remark on a specification, before anything is created or paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What was found, in words.
    pub message: String,
    /// What to do about it.
    pub mend: String,
}

impl Finding {
    /// What would make submitting fail, or waste money.
    pub fn error(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), mend: mend.into() }
    }

    /// What works, but probably not as wished.
    pub fn warning(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, message: message.into(), mend: mend.into() }
    }

    /// What is good to know.
    pub fn note(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { severity: Severity::Note, message: message.into(), mend: mend.into() }
    }
}

/// How much a [`Finding`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Works, but probably not as wished.
    Warning,
    /// Submitting would fail or waste money.
    Error,
}

/// A submitted job. It outlives the process; the id finds it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingJob {
    /// The service's id or ARN.
    pub id: String,
    /// The specification's name.
    pub name: String,
    /// Where it stands.
    pub status: JobStatus,
    /// The result, once completed.
    pub model: Option<CustomModel>,
    /// The service's own words about a failure.
    pub failure: Option<String>,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobProgress {
    /// The job.
    #[serde(flatten)]
    pub job: TrainingJob,
    /// Its phases, in their order, each with the service's word for where it stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<(String, String)>,
    /// The steps that are done, and how many there will be, where that is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<(u64, u64)>,
    /// The training loss, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f32>,
}

impl fmt::Display for JobProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.job.status {
            JobStatus::Pending => "waiting",
            JobStatus::InProgress => "in progress",
            JobStatus::Completed => "completed",
            JobStatus::Failed => "failed",
            JobStatus::Stopping => "stopping",
            JobStatus::Stopped => "stopped",
        })?;
        for (phase, status) in &self.phases {
            write!(f, "; {phase} {status}")?;
        }
        if let Some((done, all)) = self.steps {
            write!(f, "; step {done} of {all}")?;
        }
        if let Some(loss) = self.loss {
            write!(f, "; loss {loss}")?;
        }
        if let Some(model) = &self.job.model {
            write!(f, "; model {}", model.id)?;
        }
        if let Some(why) = &self.job.failure {
            write!(f, "; {why}")?;
        }
        Ok(())
    }
}

/// The loss at a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepLoss {
    /// The step, from 1.
    pub step: u64,
    /// The loss of training there.
    pub loss: f64,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Accepted, not yet working.
    Pending,
    /// Working.
    InProgress,
    /// Finished with a result.
    Completed,
    /// Finished without a result.
    Failed,
    /// Being stopped.
    Stopping,
    /// Stopped by request.
    Stopped,
}

impl JobStatus {
    /// Whether the status will not change any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Stopped)
    }
}

/// The result of a training job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomModel {
    /// Id, ARN or path.
    pub id: String,
    /// The model it was made from.
    pub base_model: String,
}

/// A callable model. **It bills until it is deleted.**
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Id, ARN or path.
    pub id: String,
    /// The model it serves.
    pub model: CustomModel,
    /// Where it stands.
    pub status: DeploymentStatus,
}

/// Where a deployment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentStatus {
    /// Being made; may bill already.
    Creating,
    /// Ready; bills.
    InService,
    /// Being changed; bills.
    Updating,
    /// Could not be made.
    Failed,
    /// Gone; bills no more.
    Deleted,
}

/// What a generator is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerateRequest {
    /// What to draw.
    pub prompt: String,
    /// What to avoid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_prompt: Option<String>,
    /// How many images.
    pub count: u32,
    /// Seed of the first image.
    pub seed: u64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// An image with the whole request that made it.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The pixels, 8-bit RGB.
    pub image: Arc<RgbImage>,
    /// The request, with this image's own seed and a count of 1.
    pub request: GenerateRequest,
    /// The model that drew it.
    pub model: String,
}
