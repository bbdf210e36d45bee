//! Amazon Bedrock: embeddings and captions by its models, one call at a time or in batches.
//!
//! | Type | Model | Operation |
//! |---|---|---|
//! | [`TitanEmbedder`] | Titan Multimodal Embeddings G1 | InvokeModel |
//! | [`NovaEmbedder`] | Nova Multimodal Embeddings | InvokeModel |
//! | [`ConverseModel`], for a [`VisionCaptioner`](crate::caption::VisionCaptioner) | Nova Pro, Nova 2 Lite, any that sees | Converse |
//! | [`DatasetBatch`], of [`BatchJobs`] | the same, at half the price, in hours | CreateModelInvocationJob |

mod batch;
mod calls;
mod converse;
mod dataset_batch;
mod embed;
mod lifecycle;

pub(crate) use self::batch::{is_at_work, stop_job};
pub use self::{
    batch::{BatchJob, BatchJobs, BatchOutcome, BatchRecord, BatchSettings, BatchStatus, MIN_RECORDS},
    calls::{Bedrock, Quota},
    converse::{ConverseModel, ConverseSettings},
    dataset_batch::{BatchJobState, BatchModel, BatchProgress, DatasetBatch},
    embed::{NovaEmbedder, TitanEmbedder},
    lifecycle::{Lifecycle, MODELS, ModelLife, model_life},
};
