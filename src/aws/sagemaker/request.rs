//! `CreateTrainingJob` as plain data: what is printed for the AWS CLI is what is sent.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    image::training_image,
    program::{ENTRY, MODEL_CHANNEL, ROOT},
    settings::SageMakerSettings,
};
use crate::{
    aws::tagged::TAG,
    error::{Error, Result},
    train::job_name,
    types::TrainingSpec,
};

/// `CreateTrainingJob`, with the names of its interface.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TrainingJobRequest {
    /// Name of the job, which no other job of the account may have had.
    pub training_job_name: String,
    /// The role.
    pub role_arn: String,
    /// The container and what it runs.
    pub algorithm_specification: AlgorithmSpecification,
    /// What is laid into the container, each below `/opt/ml/input/data/`.
    pub input_data_config: Vec<Channel>,
    /// Where results go.
    pub output_data_config: OutputData,
    /// The machine.
    pub resource_config: Resources,
    /// When it is ended.
    pub stopping_condition: Stopping,
    /// Where checkpoints go, while it runs.
    pub checkpoint_config: Checkpoints,
    /// Whether spare capacity is used.
    pub enable_managed_spot_training: bool,
    /// Whether the container is cut off from every network.
    pub enable_network_isolation: bool,
    /// What the program finds in its environment.
    pub environment: BTreeMap<String, String>,
    /// How often the service starts it again after an error of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_strategy: Option<Retries>,
    /// The network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_config: Option<Vpc>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// The container and what it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AlgorithmSpecification {
    /// The container.
    pub training_image: String,
    /// Always `File`.
    pub training_input_mode: &'static str,
    /// The program and its arguments.
    pub container_entrypoint: Vec<String>,
    /// What the service reads out of the log.
    pub metric_definitions: Vec<Metric>,
}

/// A number that is read out of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What precedes and holds it.
    pub regex: &'static str,
}

/// A folder on S3 that is laid into the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Channel {
    /// Its name, and the name of the folder.
    pub channel_name: String,
    /// Where it comes from.
    pub data_source: DataSource,
}

/// Where a channel comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DataSource {
    /// A folder on S3.
    pub s3_data_source: S3Folder,
}

/// A folder on S3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct S3Folder {
    /// Always `S3Prefix`.
    pub s3_data_type: &'static str,
    /// The folder, with a slash at its end: what only begins like it is not meant.
    pub s3_uri: String,
    /// Always `FullyReplicated`.
    pub s3_data_distribution_type: &'static str,
}

/// Where results go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct OutputData {
    /// The folder; the service puts `<job>/output/model/` below it.
    pub s3_output_path: String,
    /// Always `NONE`: weights do not get smaller, and files can be read one by one.
    pub compression_type: &'static str,
    /// The key that results are encrypted with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Resources {
    /// The one type that will do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// How many of it: one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_count: Option<u32>,
    /// Types that will do, the preferred first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instance_preferences: Vec<Preference>,
    /// Its disk, in GiB.
    #[serde(rename = "VolumeSizeInGB")]
    pub volume_size_in_gb: u32,
    /// The key that the disk is encrypted with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_kms_key_id: Option<String>,
}

/// A type of machine that will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Preference {
    /// The type.
    pub instance_type: String,
    /// How many of it: one.
    pub instance_count: u32,
}

/// When a job is ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Stopping {
    /// The longest it may run.
    pub max_runtime_in_seconds: u64,
    /// The longest it may run and wait for spare capacity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_wait_time_in_seconds: Option<u64>,
}

/// Where checkpoints go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Checkpoints {
    /// The folder on S3.
    pub s3_uri: String,
    /// The folder in the container.
    pub local_path: String,
}

/// How often the service starts a job again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Retries {
    /// 1 to 30.
    pub maximum_retry_attempts: u32,
}

/// The network of a job or of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Vpc {
    /// Its security groups.
    pub security_group_ids: Vec<String>,
    /// Its subnets.
    pub subnets: Vec<String>,
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Key of the tag that names what a job starts from; the service keeps it with the job.
pub(super) const BASE_MODEL: &str = "PICCHU_BASE_MODEL";

impl TrainingJobRequest {
    /// The request for a job. Equal specifications give equal names, also in another process.
    pub fn new(spec: &TrainingSpec, settings: &SageMakerSettings, region: &str) -> Self {
        let name = job_name(spec);
        let place = job_folder(spec);
        let channel = |name: &str, uri: &str| Channel {
            channel_name: name.into(),
            data_source: DataSource {
                s3_data_source: S3Folder {
                    s3_data_type: "S3Prefix",
                    s3_uri: format!("{}/", uri.trim_end_matches('/')),
                    s3_data_distribution_type: "FullyReplicated",
                },
            },
        };
        let mut channels =
            vec![channel("program", &format!("{place}/program")), channel("dataset", &spec.dataset)];
        if spec.base_model.starts_with("s3://") {
            channels.push(channel(MODEL_CHANNEL, &spec.base_model));
        }
        channels.extend(settings.wheels.iter().map(|uri| channel("wheels", uri)));
        // The service takes a list of types only without spare capacity.
        let (alone, preferred) = match settings.instances.as_slice() {
            [] => (None, Vec::new()),
            [one] => (Some(one.clone()), Vec::new()),
            [first, ..] if settings.spot => (Some(first.clone()), Vec::new()),
            many => (
                None,
                many.iter().map(|t| Preference { instance_type: t.clone(), instance_count: 1 }).collect(),
            ),
        };
        Self {
            training_job_name: name,
            role_arn: settings.role.clone(),
            algorithm_specification: AlgorithmSpecification {
                training_image: settings.image.clone().or_else(|| training_image(region)).unwrap_or_default(),
                training_input_mode: "File",
                container_entrypoint: ENTRY.map(str::to_owned).to_vec(),
                metric_definitions: vec![
                    Metric { name: "train:loss", regex: "\"loss\": ?([-+0-9.eE]+)" },
                    Metric { name: "train:step", regex: "\"step\": ?([0-9]+)" },
                ],
            },
            input_data_config: channels,
            output_data_config: OutputData {
                s3_output_path: spec.output.trim_end_matches('/').to_owned(),
                compression_type: "NONE",
                kms_key_id: settings.kms_key.clone(),
            },
            resource_config: Resources {
                instance_count: alone.is_some().then_some(1),
                instance_type: alone,
                instance_preferences: preferred,
                volume_size_in_gb: settings.volume_gib,
                volume_kms_key_id: settings.kms_key.clone(),
            },
            stopping_condition: Stopping {
                max_runtime_in_seconds: settings.max_runtime.as_secs(),
                max_wait_time_in_seconds: settings.spot.then(|| settings.max_wait().as_secs()),
            },
            checkpoint_config: Checkpoints {
                s3_uri: format!("{place}/checkpoints/"),
                local_path: format!("{ROOT}/checkpoints"),
            },
            enable_managed_spot_training: settings.spot,
            enable_network_isolation: settings.isolated,
            environment: [(BASE_MODEL.to_owned(), spec.base_model.clone())].into(),
            retry_strategy: settings.retries.map(|n| Retries { maximum_retry_attempts: n }),
            vpc_config: settings.vpc(),
            tags: settings.tags(),
        }
    }

    /// As the AWS CLI takes it: `aws sagemaker create-training-job --cli-input-json file://request.json`.
    ///
    /// # Errors
    /// None that can be caused from outside.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))
    }
}

/// The folder on S3 that belongs to a job alone.
pub(super) fn job_folder(spec: &TrainingSpec) -> String {
    format!("{}/{}", spec.output.trim_end_matches('/'), job_name(spec))
}

/// The tags of what is created here.
pub(super) fn tags(more: &BTreeMap<String, String>) -> Vec<Tag> {
    let mut tags = vec![Tag { key: TAG.0.into(), value: TAG.1.into() }];
    tags.extend(more.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() }));
    tags
}

/// A token for a job: equal for equal datasets and settings, so that neither a crash nor a second run starts a second
/// job. `metadata` is the content of the dataset's `metadata.jsonl`, `panels` the storyboard that the job draws.
///
/// The machine, the role and the limits are no part of it: they change nothing in the model.
pub fn client_token(spec: &TrainingSpec, settings: &SageMakerSettings, metadata: &[u8]) -> String {
    let panels = settings.storyboard.as_ref().and_then(|board| serde_json::to_string(board).ok());
    let more = ["sagemaker", &settings.revision].into_iter().chain(panels.as_deref());
    crate::train::client_token(spec, more, metadata)
}
