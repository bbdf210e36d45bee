//! Training on Amazon SageMaker.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{Train, account::print_role};
use crate::cli::generate::storyboard;
use crate::{
    Result,
    aws::{AwsContext, sagemaker::sagemaker_role_policies},
    config::{Access, SageMakerTraining},
};

/// How often a job of the service is looked at.
const POLL: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
#[command(next_help_heading = "On Amazon SageMaker")]
pub(super) struct SageMakerArguments {
    /// Type of machine that will do, the preferred first; may come again. `ml.g5.2xlarge` unless given.
    #[arg(long = "instance", value_name = "TYPE")]
    instances: Vec<String>,
    /// The machine's disk, in GiB.
    #[arg(long, value_name = "GIB", default_value = "100")]
    volume: u32,
    /// Take spare capacity, which is cheaper and may be taken back: the job then goes on from its last checkpoint.
    #[arg(long)]
    spot: bool,
    /// The longest that the job may run, in hours; its price cannot pass this.
    #[arg(long, value_name = "HOURS", default_value = "12")]
    max_hours: f64,
    /// The longest that it may run and wait for spare capacity, in hours; twice `--max-hours` unless given.
    #[arg(long, value_name = "HOURS", requires = "spot")]
    max_wait_hours: Option<f64>,
    /// How often the service starts the job again after an error of its own.
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// Panels that the job draws with its model, a TOML file as `picchu generate` takes it.
    #[arg(long, value_name = "FILE")]
    storyboard: Option<PathBuf>,
    /// The container, where it is not that of Hugging Face.
    #[arg(long, value_name = "ADDRESS")]
    image: Option<String>,
    /// Cut the container off from every network.
    #[arg(long)]
    isolated: bool,
    /// Folder on S3 with the packages that the program needs, as wheels.
    #[arg(long, value_name = "S3_FOLDER")]
    wheels: Option<String>,
}

impl Train {
    pub(super) async fn on_sagemaker(&self, access: &Access) -> Result<()> {
        let account = &self.account;
        let mut training = self.sagemaker_training()?;
        if let Some(owner) = &account.print_role {
            let context = AwsContext::from_env(&access.aws).await?;
            return print_role(&sagemaker_role_policies(context.region(), owner, &training.folders())?);
        }
        training.role = account.role()?;
        let training = training.open(&access.aws, account.ledger(access)?, account.prices()?).await?;
        let trainer = training.trainer();
        if account.print_request {
            println!("{}", trainer.request(training.spec()).to_json()?);
            return Ok(());
        }
        if let Some(job) = self.start(&training, true).await? {
            self.follow(&job, trainer.watch(&job.id, POLL)).await?;
        }
        Ok(())
    }

    fn sagemaker_training(&self) -> Result<SageMakerTraining> {
        let (own, account) = (&self.sagemaker, &self.account);
        let defaults = SageMakerTraining::default();
        Ok(SageMakerTraining {
            dataset: self.dataset.clone(),
            output: self.output_on_s3()?,
            role: None,
            base_model: self.base_model.clone().unwrap_or(defaults.base_model),
            revision: self.lora.revision.clone(),
            licence: self.lora.licence.clone(),
            name: self.name.clone(),
            hyperparameters: self.hyperparameters(),
            sample_prompts: self.lora.samples.clone(),
            storyboard: own.storyboard.as_deref().map(storyboard).transpose()?,
            instances: match own.instances.as_slice() {
                [] => defaults.instances,
                given => given.to_vec(),
            },
            volume_gib: own.volume,
            spot: own.spot,
            max_hours: own.max_hours,
            max_wait_hours: own.max_wait_hours,
            retries: own.retries,
            image: own.image.clone(),
            isolated: own.isolated,
            wheels: own.wheels.clone(),
            kms_key: account.kms_key.clone(),
            subnets: account.subnets.clone(),
            security_groups: account.security_groups.clone(),
            allow_unreviewed: self.allow_unreviewed,
        })
    }
}
