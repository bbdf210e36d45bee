//! Fine-tuning on Amazon Bedrock as one thing to ask for: from an export that lies on S3 to a job, and how far jobs and
//! deployments are.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::prepared::Prepared;
#[cfg(feature = "sagemaker")]
use crate::aws::sagemaker;
use crate::{
    aws::{
        AwsContext, AwsSettings, S3Store,
        bedrock::{
            BedrockDeployer, BedrockTrainer, Hyperparameters, JobSettings, Preset, TrainingRole,
            client_token, job_progress, suggest, training_losses,
        },
    },
    dataset::export::nova,
    error::{AtStage, Error, ErrorKind, Result, Stage},
    store::{Key, Store},
    train::{Deployer, Entry, Ledger, ResourceKind},
    types::{DeploymentStatus, JobProgress, PriceTable, StepLoss, TrainingSpec},
};

/// What is to be trained, on what, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// The folder on S3 with the `train.jsonl` of an export for `nova`.
    pub dataset: String,
    /// The folder on S3 for results.
    pub output: String,
    /// ARN of the role that Bedrock takes on. Without one, a role is made for this dataset and this output.
    #[serde(default)]
    pub role: Option<String>,
    /// The model to start from.
    #[serde(default = "base_model")]
    pub base_model: String,
    /// Name of the job and of the model.
    #[serde(default = "name")]
    pub name: String,
    /// Where the hyperparameters come from; by the size of the dataset unless given.
    #[serde(default)]
    pub preset: Option<Preset>,
    /// Single hyperparameters, over those.
    #[serde(default)]
    pub hyperparameters: Hyperparameters,
    /// Key that the model is encrypted with.
    #[serde(default)]
    pub kms_key: Option<String>,
    /// Subnets of the job's network.
    #[serde(default)]
    pub subnets: Vec<String>,
    /// Security groups of the job's network.
    #[serde(default)]
    pub security_groups: Vec<String>,
    /// Whether images may be trained on that no person looked at.
    #[serde(default)]
    pub allow_unreviewed: bool,
}

fn base_model() -> String {
    Training::BASE_MODEL.to_owned()
}

fn name() -> String {
    Training::NAME.to_owned()
}

impl Training {
    /// The model that is trained where no other is named.
    pub const BASE_MODEL: &'static str = "amazon.nova-canvas-v1:0";
    /// The name where no other is given.
    pub const NAME: &'static str = "picchu";

    /// Reads the manifest and settles names, token and hyperparameters. Creates nothing.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) for a model that cannot be trained, before anything else is asked or read, with what
    /// trains instead; [`NotFound`](ErrorKind::NotFound) without a manifest; as the services say.
    pub async fn open(
        &self,
        aws: &AwsSettings,
        ledger: Ledger,
        prices: PriceTable,
    ) -> Result<Prepared<BedrockTrainer>> {
        self.prepare(aws, ledger, prices).await.at(Stage::Train)
    }

    async fn prepare(
        &self,
        aws: &AwsSettings,
        ledger: Ledger,
        prices: PriceTable,
    ) -> Result<Prepared<BedrockTrainer>> {
        let context = AwsContext::from_env(aws).await?;
        if let Some(refusal) = BedrockTrainer::refusal(&context, &self.base_model).await? {
            return Err(Error::new(
                ErrorKind::Config,
                format!("{}. Nothing was created. Instead: {}", refusal.message, refusal.mend),
            )
            .with_provider("bedrock"));
        }
        let folder = self.dataset.trim_end_matches('/');
        let role = match &self.role {
            Some(_) => None,
            None => Some(TrainingRole::plan(&context, folder, &self.output).await?),
        };
        let arn = self.role.as_deref().or(role.as_ref().map(TrainingRole::arn)).unwrap_or_default();
        let settings = JobSettings {
            role: arn.to_owned(),
            kms_key: self.kms_key.clone(),
            subnets: self.subnets.clone(),
            security_groups: self.security_groups.clone(),
            tags: BTreeMap::new(),
        };
        let data: Arc<dyn Store> = Arc::new(S3Store::new(folder, &context)?);
        let manifest = data.get(&Key::new(nova::MANIFEST)?).await?;
        // What is wrong with the manifest is told by the check.
        let suggestion = suggest(nova::read(&manifest).map_or(0, |lines| lines.len()));
        let (mut hyperparameters, reason) = self
            .preset
            .map_or((suggestion.values, Some(suggestion.reason)), |preset| (preset.values(), None));
        hyperparameters.extend(self.hyperparameters.clone());
        let mut spec = TrainingSpec {
            name: self.name.clone(),
            base_model: self.base_model.clone(),
            dataset: format!("{folder}/{}", nova::MANIFEST),
            output: self.output.clone(),
            hyperparameters,
            client_token: String::new(),
        };
        spec.client_token = client_token(&spec, &settings, &manifest);
        let trainer = BedrockTrainer::new(&context, settings, data, ledger.clone())
            .prices(prices)
            .role_is_new(role.is_some())
            .allow_unreviewed(self.allow_unreviewed);
        Ok(Prepared { trainer, spec, reason, role: role.map(|role| (role, ledger)) })
    }
}

/// Where something that the ledger has open stands.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// Its last line in the ledger.
    #[serde(flatten)]
    pub entry: Entry,
    /// How far a job is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobProgress>,
    /// Its losses so far.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<StepLoss>,
    /// Where a deployment stands, and its ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<(DeploymentStatus, String)>,
    /// Why a service did not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Where the training jobs and the deployments of a ledger stand. A service that does not answer keeps nobody from hearing
/// of the rest.
///
/// # Errors
/// The ledger's.
pub async fn standings(ledger: &Ledger, aws: &AwsSettings) -> Result<Vec<Standing>> {
    let mut found = Vec::new();
    for entry in ledger.open().await? {
        let mut standing = Standing { entry, job: None, losses: Vec::new(), deployment: None, problem: None };
        if let Err(e) = ask(&mut standing, ledger, aws).await {
            standing.problem = Some(e.to_string());
        }
        found.push(standing);
    }
    Ok(found)
}

async fn ask(standing: &mut Standing, ledger: &Ledger, aws: &AwsSettings) -> Result<()> {
    let (kind, id) = (standing.entry.kind, standing.entry.id.clone());
    let region = Some(standing.entry.region.clone());
    let context = async || AwsContext::from_env(&AwsSettings { region, ..aws.clone() }).await;
    match kind {
        ResourceKind::TrainingJob => {
            let context = context().await?;
            standing.job = Some(job_progress(&context, &id).await?);
            standing.losses = training_losses(&context, &id).await?;
        }
        ResourceKind::ProvisionedThroughput => {
            let deployment = BedrockDeployer::new(&context().await?, ledger.clone()).describe(&id).await?;
            standing.deployment = Some((deployment.status, deployment.id));
        }
        #[cfg(feature = "sagemaker")]
        ResourceKind::SageMakerJob => {
            let context = context().await?;
            standing.job = Some(sagemaker::job_progress(&context, &id).await?);
            standing.losses = sagemaker::training_losses(&context, &id).await?;
        }
        #[cfg(feature = "sagemaker")]
        ResourceKind::SageMakerEndpoint => {
            let settings = sagemaker::ServingSettings::default();
            let deployer = sagemaker::SageMakerDeployer::new(&context().await?, settings, ledger.clone());
            let deployment = deployer.describe(&id).await?;
            standing.deployment = Some((deployment.status, deployment.id));
        }
        _ => {}
    }
    Ok(())
}
