//! Amazon SageMaker AI: LoRAs of open image models, trained by jobs, served by endpoints that cost nothing while nobody
//! asks them, or drawn with in the job itself.
//!
//! | Type | Operation |
//! |---|---|
//! | [`SageMakerTrainer`] | `CreateTrainingJob` |
//! | [`SageMakerDeployer`] | `CreateModel`, `CreateEndpointConfig`, `CreateEndpoint`, and scaling to zero |
//! | [`SageMakerGenerator`] | `InvokeEndpointAsync` |

mod calls;
mod check;
mod clean;
mod deploy;
mod generate;
mod image;
mod job;
mod logs;
mod program;
mod quotas;
mod request;
mod role;
mod serving;
mod settings;
mod train;

pub use self::{
    clean::{end_sagemaker_resource, sagemaker_resource_exists, tagged_sagemaker_resources},
    deploy::{SageMakerDeployer, SageMakerServing},
    generate::SageMakerGenerator,
    image::{inference_image, training_image},
    job::{JobPlaces, job_places, job_progress, training_losses},
    logs::log_tail,
    request::{
        AlgorithmSpecification, Channel, Checkpoints, DataSource, Metric, OutputData, Preference, Resources,
        Retries, S3Folder, Stopping, Tag, TrainingJobRequest, Vpc, client_token,
    },
    role::{JobFolders, sagemaker_role, sagemaker_role_policies},
    serving::{ServingRequest, ServingSettings},
    settings::SageMakerSettings,
    train::SageMakerTrainer,
};
