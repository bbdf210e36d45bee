//! LoRA training and serving on Amazon SageMaker as one thing to ask for: from an export that lies on S3 to a job, and from
//! a job to an endpoint.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::prepared::Prepared;
use crate::{
    aws::{
        AwsContext, AwsSettings, S3Store,
        bedrock::TrainingRole,
        sagemaker::{
            JobFolders, SageMakerDeployer, SageMakerSettings, SageMakerTrainer, ServingSettings,
            client_token, job_places, job_progress, sagemaker_role,
        },
    },
    dataset::export,
    error::{AtStage, Error, ErrorKind, Result, Stage},
    generate::Storyboard,
    store::{Key, Store},
    train::{Ledger, lora},
    types::{CustomModel, PriceTable, TrainingSpec},
};

/// What is to be trained on SageMaker, on what, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SageMakerTraining {
    /// The folder on S3 with the `metadata.jsonl` of an export for `diffusers`.
    pub dataset: String,
    /// The folder on S3 for results.
    pub output: String,
    /// ARN of the role that SageMaker takes on. Without one, a role is made for these folders.
    pub role: Option<String>,
    /// The model to start from: an id of the Hugging Face hub, or a folder on S3.
    pub base_model: String,
    /// Branch, tag or commit on the hub; empty for the newest.
    pub revision: String,
    /// Licence of the base model, where it is not known.
    pub licence: String,
    /// Name of the job and of the model.
    pub name: String,
    /// Hyperparameters by the training program's names; how many steps is suggested where it is not given.
    pub hyperparameters: BTreeMap<String, String>,
    /// What sample images show that are drawn while it trains.
    pub sample_prompts: Vec<String>,
    /// Panels that the job draws with its model, so that no endpoint is needed.
    pub storyboard: Option<Storyboard>,
    /// Types of machines that will do, the preferred first.
    pub instances: Vec<String>,
    /// The machine's disk, in GiB.
    pub volume_gib: u32,
    /// Whether spare capacity is used.
    pub spot: bool,
    /// The longest that a job may run, in hours.
    pub max_hours: f64,
    /// The longest that a job may run and wait for spare capacity, in hours; twice `max_hours` unless given.
    pub max_wait_hours: Option<f64>,
    /// How often SageMaker starts a job again after an error of its own.
    pub retries: Option<u32>,
    /// The container, where it is not that of Hugging Face.
    pub image: Option<String>,
    /// Whether the container is cut off from every network.
    pub isolated: bool,
    /// A folder on S3 with the packages that the program needs, as wheels.
    pub wheels: Option<String>,
    /// Key that results and disks are encrypted with.
    pub kms_key: Option<String>,
    /// Subnets of the job's network.
    pub subnets: Vec<String>,
    /// Security groups of the job's network.
    pub security_groups: Vec<String>,
    /// Whether images may be trained on that no person looked at.
    pub allow_unreviewed: bool,
}

impl Default for SageMakerTraining {
    fn default() -> Self {
        let settings = SageMakerSettings::default();
        Self {
            dataset: String::new(),
            output: String::new(),
            role: None,
            base_model: lora::BASE_MODEL.into(),
            revision: String::new(),
            licence: String::new(),
            name: "picchu".into(),
            hyperparameters: BTreeMap::new(),
            sample_prompts: Vec::new(),
            storyboard: None,
            instances: settings.instances,
            volume_gib: settings.volume_gib,
            spot: settings.spot,
            max_hours: settings.max_runtime.as_secs_f64() / 3600.0,
            max_wait_hours: None,
            retries: None,
            image: None,
            isolated: false,
            wheels: None,
            kms_key: None,
            subnets: Vec::new(),
            security_groups: Vec::new(),
            allow_unreviewed: false,
        }
    }
}

fn hours(value: f64) -> Result<Duration> {
    Duration::try_from_secs_f64((value * 3600.0).round())
        .map_err(|e| Error::invalid(format!("{value} hours: {e}")))
}

impl SageMakerTraining {
    /// Reads the list of images and settles name, token and hyperparameters. Creates nothing.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) without a `metadata.jsonl`; as the services say.
    pub async fn open(
        &self,
        aws: &AwsSettings,
        ledger: Ledger,
        prices: PriceTable,
    ) -> Result<Prepared<SageMakerTrainer>> {
        self.prepare(aws, ledger, prices).await.at(Stage::Train)
    }

    /// The folders on S3 that a job reads and writes.
    pub fn folders(&self) -> JobFolders<'_> {
        JobFolders {
            dataset: &self.dataset,
            output: &self.output,
            base_model: Some(self.base_model.as_str()).filter(|uri| uri.starts_with("s3://")),
            wheels: self.wheels.as_deref(),
            in_network: !self.subnets.is_empty(),
        }
    }

    async fn prepare(
        &self,
        aws: &AwsSettings,
        ledger: Ledger,
        prices: PriceTable,
    ) -> Result<Prepared<SageMakerTrainer>> {
        let context = AwsContext::from_env(aws).await?;
        let data: Arc<dyn Store> = Arc::new(S3Store::new(self.dataset.trim_end_matches('/'), &context)?);
        let output: Arc<dyn Store> = Arc::new(S3Store::new(self.output.trim_end_matches('/'), &context)?);
        let metadata = Key::new("metadata.jsonl")?;
        let metadata = match data.get(&metadata).await {
            Ok(body) => body,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!(
                        "{} does not exist: write it with `picchu export --to diffusers`, and upload the folder",
                        data.uri(&metadata)
                    ),
                ));
            }
            Err(e) => return Err(e),
        };
        let role = match &self.role {
            Some(_) => None,
            None => Some(sagemaker_role(&context, &self.folders()).await?),
        };
        let arn = self.role.as_deref().or(role.as_ref().map(TrainingRole::arn)).unwrap_or_default();
        let settings = SageMakerSettings {
            role: arn.to_owned(),
            image: self.image.clone(),
            instances: self.instances.clone(),
            volume_gib: self.volume_gib,
            spot: self.spot,
            max_runtime: hours(self.max_hours)?,
            max_wait: self.max_wait_hours.map(hours).transpose()?,
            retries: self.retries,
            isolated: self.isolated,
            wheels: self.wheels.clone(),
            licence: self.licence.clone(),
            revision: self.revision.clone(),
            sample_prompts: self.sample_prompts.clone(),
            storyboard: self.storyboard.clone(),
            kms_key: self.kms_key.clone(),
            subnets: self.subnets.clone(),
            security_groups: self.security_groups.clone(),
            tags: BTreeMap::new(),
        };
        // What is wrong with the list is told by the check.
        let pictures = export::image_folder_lines(&metadata).map_or(0, |lines| lines.len());
        let (hyperparameters, reason) = lora::LoraSettings::suggested(pictures, &self.hyperparameters);
        let mut spec = TrainingSpec {
            name: self.name.clone(),
            base_model: self.base_model.clone(),
            dataset: self.dataset.trim_end_matches('/').to_owned(),
            output: self.output.trim_end_matches('/').to_owned(),
            hyperparameters,
            client_token: String::new(),
        };
        spec.client_token = client_token(&spec, &settings, &metadata);
        let trainer = SageMakerTrainer::new(&context, settings, data, output, ledger.clone())
            .prices(prices)
            .role_is_new(role.is_some())
            .allow_unreviewed(self.allow_unreviewed);
        Ok(Prepared { trainer, spec, reason, role: role.map(|role| (role, ledger)) })
    }
}

/// What is to be served on SageMaker, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SageMakerServingPlan {
    /// The job that made the model, by its name or its ARN; or the folder on S3 of a model.
    pub model: String,
    /// What a model was made from that is given as a folder.
    pub base_model: Option<String>,
    /// Name of the endpoint.
    pub name: String,
    /// ARN of the role that SageMaker takes on, which must read the model and write images; the job's own unless given.
    pub role: String,
    /// The folder on S3 for requests and images; `board` in the job's output unless given.
    pub output: String,
    /// Type of machine.
    pub instance: String,
    /// Whether a machine is kept when there is nothing to draw.
    pub keep_awake: bool,
    /// Denoising steps of an image.
    pub steps: u32,
    /// How closely prompts are followed.
    pub guidance: f32,
    /// The container, where it is not that of Hugging Face.
    pub image: Option<String>,
    /// Whether the container is cut off from every network.
    pub isolated: bool,
    /// Key that images and disks are encrypted with.
    pub kms_key: Option<String>,
    /// Subnets of the endpoint's network.
    pub subnets: Vec<String>,
    /// Security groups of the endpoint's network.
    pub security_groups: Vec<String>,
}

impl Default for SageMakerServingPlan {
    fn default() -> Self {
        let settings = ServingSettings::default();
        Self {
            model: String::new(),
            base_model: None,
            name: "picchu".into(),
            role: String::new(),
            output: String::new(),
            instance: settings.instance,
            keep_awake: false,
            steps: settings.steps,
            guidance: settings.guidance,
            image: None,
            isolated: false,
            kms_key: None,
            subnets: Vec::new(),
            security_groups: Vec::new(),
        }
    }
}

impl SageMakerServingPlan {
    /// Finds the model, and who serves it. Creates nothing.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for an unknown job; [`Config`](ErrorKind::Config) for one that has made no model.
    pub async fn open(
        &self,
        aws: &AwsSettings,
        ledger: Ledger,
        prices: PriceTable,
    ) -> Result<(SageMakerDeployer, CustomModel)> {
        let open = async {
            let context = AwsContext::from_env(aws).await?;
            let (mut role, mut output) = (self.role.clone(), self.output.clone());
            let model = if self.model.starts_with("s3://") {
                let base_model = self.base_model.clone().unwrap_or_default();
                CustomModel { id: self.model.trim_end_matches('/').to_owned(), base_model }
            } else {
                let places = job_places(&context, &self.model).await?;
                if role.is_empty() {
                    role = places.role;
                }
                if output.is_empty() {
                    output = format!("{}/board", places.output);
                }
                let job = job_progress(&context, &self.model).await?.job;
                job.model.ok_or_else(|| {
                    Error::new(ErrorKind::Config, format!("the job {} has made no model yet", job.name))
                })?
            };
            let settings = ServingSettings {
                role,
                output,
                image: self.image.clone(),
                instance: self.instance.clone(),
                scale_to_zero: !self.keep_awake,
                steps: self.steps,
                guidance: self.guidance,
                isolated: self.isolated,
                kms_key: self.kms_key.clone(),
                subnets: self.subnets.clone(),
                security_groups: self.security_groups.clone(),
                ..ServingSettings::default()
            };
            Ok((SageMakerDeployer::new(&context, settings, ledger).prices(prices), model))
        };
        open.await.at(Stage::Deploy)
    }
}
