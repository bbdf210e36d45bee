//! Amazon Bedrock: embeddings and captions by its models, one call at a time or in batches; models that are trained,
//! served, asked to draw, and ended.
//!
//! | Type | Model | Operation |
//! |---|---|---|
//! | [`TitanEmbedder`] | Titan Multimodal Embeddings G1 | `InvokeModel` |
//! | [`NovaEmbedder`] | Nova Multimodal Embeddings | `InvokeModel` |
//! | [`ConverseModel`], for a [`VisionCaptioner`](crate::caption::VisionCaptioner) | Nova Pro, Nova 2 Lite, any that sees | Converse |
//! | [`DatasetBatch`], of [`BatchJobs`] | the same, at half the price, in hours | `CreateModelInvocationJob` |
//!
//! With the feature `aws-train`:
//!
//! | Type | Model | Operation |
//! |---|---|---|
//! | `BedrockTrainer` | image models that can be fine-tuned | `CreateModelCustomizationJob` |
//! | `TrainingRole` | | `CreateRole` of IAM |
//! | `BedrockDeployer` | what was trained | `CreateProvisionedModelThroughput` |
//! | `CanvasGenerator` | Nova Canvas, and what was trained from it | `InvokeModel` |

mod batch;
mod calls;
#[cfg(feature = "aws-train")]
mod canvas;
#[cfg(feature = "aws-train")]
mod clean;
mod converse;
#[cfg(feature = "aws-train")]
mod customize;
mod dataset_batch;
mod embed;
#[cfg(feature = "aws-train")]
mod hyperparameters;
mod lifecycle;
#[cfg(feature = "aws-train")]
mod metrics;
#[cfg(feature = "aws-train")]
mod orphans;
#[cfg(feature = "aws-train")]
mod request;
#[cfg(feature = "aws-train")]
mod role;
#[cfg(feature = "aws-train")]
mod role_policies;
#[cfg(feature = "aws-train")]
mod throughput;

pub(crate) use self::batch::{is_at_work, stop_job};
pub use self::{
    batch::{BatchJob, BatchJobs, BatchOutcome, BatchRecord, BatchSettings, BatchStatus, MIN_RECORDS},
    calls::{Bedrock, Quota},
    converse::{ConverseModel, ConverseSettings},
    dataset_batch::{BatchJobState, BatchModel, BatchProgress, DatasetBatch},
    embed::{NovaEmbedder, TitanEmbedder},
    lifecycle::{Lifecycle, MODELS, ModelLife, model_life},
};
#[cfg(feature = "aws-train")]
pub use self::{
    canvas::{CanvasGenerator, CanvasSettings, Control, Guide},
    clean::{end_resource, resource_exists},
    customize::{BedrockTrainer, job_progress},
    hyperparameters::{Hyperparameters, Preset, Suggestion, suggest, sweep},
    metrics::training_losses,
    orphans::tagged_resources,
    request::{JobRequest, JobSettings, Network, RequestTag, S3Address, client_token},
    role::TrainingRole,
    role_policies::{RolePolicies, role_policies},
    throughput::{BedrockDeployer, Commitment, DeployRequest, Serving, UpdateRequest},
};
// What training on another service needs too.
#[cfg(feature = "sagemaker")]
pub(in crate::aws) use self::{
    customize::is_role,
    role::{Principal, account, check_role_of},
    role_policies::{is_account, place},
};
