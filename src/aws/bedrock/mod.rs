//! Amazon Bedrock: embeddings and captions by its models, one call at a time or in batches.
//!
//! | Type | Model | Operation |
//! |---|---|---|
//! | [`TitanEmbedder`] | Titan Multimodal Embeddings G1 | InvokeModel |
//! | [`NovaEmbedder`] | Nova Multimodal Embeddings | InvokeModel |
//! | [`ConverseModel`], for a [`VisionCaptioner`](crate::caption::VisionCaptioner) | Nova Pro, Nova 2 Lite, any that sees | Converse |
//! | [`BatchJob`] | the same, at half the price, in hours | CreateModelInvocationJob |

mod batch;
mod calls;
mod converse;
mod embed;
mod lifecycle;

pub use self::{
    batch::{BatchJob, BatchOutcome, BatchRecord, BatchSettings, BatchStatus, MIN_RECORDS},
    calls::{Bedrock, Quota},
    converse::{ConverseModel, ConverseSettings},
    embed::{NovaEmbedder, TitanEmbedder},
    lifecycle::{Lifecycle, MODELS, ModelLife, model_life},
};
