//! Trained models made callable: provisioned throughput, which bills by the hour from here to its deletion.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use aws_sdk_bedrock::{
    Client,
    operation::get_provisioned_model_throughput::GetProvisionedModelThroughputOutput,
    types::{CommitmentDuration, ProvisionedModelStatus as Status, Tag},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::request::RequestTag;
use crate::{
    aws::{AwsContext, guard, service_error, tagged::TAG},
    error::{AtStage, Error, ErrorKind, Result, Stage},
    store::slug,
    train::{Deployer, Entry, Happened, Ledger, ResourceKind},
    types::{CustomModel, Deployment, DeploymentStatus, PriceTable, Unit},
};

/// How often a deployment that is being made is looked at.
const POLL: Duration = Duration::from_secs(30);
/// How soon it is looked at again for the first time; then half as often each time, down to [`POLL`].
const FIRST_POLL: Duration = Duration::from_secs(1);
/// How long making one may take.
const PATIENCE: Duration = Duration::from_hours(2);

/// How long a price is promised for, and paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Commitment {
    /// By the hour; may be deleted at any time.
    #[default]
    None,
    /// A month, paid to its end.
    OneMonth,
    /// Six months, paid to their end.
    SixMonths,
}

/// `CreateProvisionedModelThroughput`, with the names of its interface; as JSON, the AWS CLI takes it by
/// `aws bedrock create-provisioned-model-throughput --cli-input-json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployRequest {
    /// Equal tokens make one deployment.
    pub client_request_token: String,
    /// How many model units serve.
    pub model_units: i32,
    /// Its name.
    pub provisioned_model_name: String,
    /// ARN of the model.
    pub model_id: String,
    /// For how long is paid at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commitment_duration: Option<&'static str>,
    /// Its tags.
    pub tags: Vec<RequestTag>,
}

/// `UpdateProvisionedModelThroughput`, with the names of its interface; as JSON, the AWS CLI takes it by
/// `aws bedrock update-provisioned-model-throughput --cli-input-json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateRequest {
    /// ARN or name of the deployment.
    pub provisioned_model_id: String,
    /// Its name from now on.
    pub desired_provisioned_model_name: String,
    /// ARN of the model that it serves from now on.
    pub desired_model_id: String,
}

/// Serves models by provisioned throughput.
pub struct BedrockDeployer {
    context: AwsContext,
    client: Client,
    ledger: Ledger,
    prices: PriceTable,
    units: u32,
    commitment: Commitment,
    poll: Duration,
    patience: Duration,
}

impl fmt::Debug for BedrockDeployer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BedrockDeployer")
            .field("units", &self.units)
            .field("commitment", &self.commitment)
            .finish_non_exhaustive()
    }
}

impl BedrockDeployer {
    /// One model unit by the hour, in the account and the Region of `context`.
    pub fn new(context: &AwsContext, ledger: Ledger) -> Self {
        Self {
            context: context.clone(),
            client: Client::new(context.sdk()),
            ledger,
            prices: PriceTable::built_in(),
            units: 1,
            commitment: Commitment::None,
            poll: POLL,
            patience: PATIENCE,
        }
    }

    /// Sets how many model units serve.
    #[must_use]
    pub fn units(mut self, units: u32) -> Self {
        self.units = units;
        self
    }

    /// Sets for how long is paid at least.
    #[must_use]
    pub fn commitment(mut self, commitment: Commitment) -> Self {
        self.commitment = commitment;
        self
    }

    /// Sets the prices that are shown and noted.
    #[must_use]
    pub fn prices(mut self, prices: PriceTable) -> Self {
        self.prices = prices;
        self
    }

    /// Sets how often a deployment that is being made is looked at, and how long that may take.
    #[must_use]
    pub fn patience(mut self, poll: Duration, patience: Duration) -> Self {
        (self.poll, self.patience) = (poll, patience);
        self
    }

    /// What it will cost an hour in US dollars, where the price is known.
    pub fn usd_per_hour(&self) -> Option<f64> {
        usd_per_hour(&self.prices, self.commitment, self.units)
    }

    /// Waits until a deployment serves.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) where it cannot be made, in the service's words;
    /// [`Timeout`](ErrorKind::Timeout) where it takes too long. It may bill on: delete it.
    pub async fn wait(&self, deployment: &str) -> Result<Deployment> {
        let begun = tokio::time::Instant::now();
        // Soon at first: one that serves already, or cannot, is known at once.
        let mut pause = self.poll.min(FIRST_POLL);
        loop {
            let answer = get(&self.client, deployment).await.at(Stage::Deploy)?;
            match answer.status() {
                Status::InService => return Ok(seen(&answer)),
                Status::Failed => {
                    let why = answer.failure_message().unwrap_or("the service gave no reason");
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        format!("{deployment} cannot serve: {why}"),
                    )
                    .with_retryable(false)
                    .with_provider("bedrock")
                    .at(Stage::Deploy));
                }
                // Creating, updating, and whatever the service thinks of next.
                _ if begun.elapsed() < self.patience => {
                    tokio::time::sleep(pause).await;
                    pause = self.poll.min(pause * 2);
                }
                other => {
                    return Err(Error::new(
                        ErrorKind::Timeout,
                        format!("{deployment} is {} for too long; it bills on: picchu clean", other.as_str()),
                    )
                    .with_provider("bedrock")
                    .at(Stage::Deploy));
                }
            }
        }
    }

    /// Makes a model callable for as long as the guard lives: it is deleted when the guard is dropped, also when the work
    /// in between fails, is cancelled, or panics.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) with a commitment, which cannot be ended; as [`wait`](Self::wait). Nothing is left
    /// then.
    pub async fn serve(&self, name: &str, model: &CustomModel) -> Result<Serving> {
        if self.commitment != Commitment::None {
            return Err(Error::new(
                ErrorKind::Config,
                "a commitment is paid to its end: deploy without one, or without a guard",
            )
            .at(Stage::Deploy));
        }
        let entry = self.entry(name, model);
        let mut serving =
            Serving { context: self.context.clone(), ledger: self.ledger.clone(), entry, deployment: None };
        let deployment = self.deploy(name, model).await?;
        serving.deployment = Some(deployment.clone());
        serving.deployment = Some(self.wait(&deployment.id).await?);
        Ok(serving)
    }

    fn entry(&self, name: &str, model: &CustomModel) -> Entry {
        let name = throughput_name(name, &model.id);
        let mut entry = Entry::creating(ResourceKind::ProvisionedThroughput, name, self.context.region());
        entry.usd_per_hour = self.usd_per_hour();
        entry
    }

    /// The request that [`deploy`](Deployer::deploy) sends for what does not serve yet.
    pub fn request(&self, name: &str, model: &CustomModel) -> DeployRequest {
        self.request_of(&self.entry(name, model), model)
    }

    fn request_of(&self, entry: &Entry, model: &CustomModel) -> DeployRequest {
        DeployRequest {
            // One that was deleted may be made again under its name, but not with its token.
            client_request_token: format!("{}-{}", entry.id, entry.time_ms),
            model_units: i32::try_from(self.units).unwrap_or(i32::MAX),
            provisioned_model_name: entry.id.clone(),
            model_id: model.id.clone(),
            commitment_duration: match self.commitment {
                Commitment::None => None,
                Commitment::OneMonth => Some("OneMonth"),
                Commitment::SixMonths => Some("SixMonths"),
            },
            tags: vec![RequestTag { key: TAG.0.into(), value: TAG.1.into() }],
        }
    }

    /// The request that [`update`](Self::update) sends.
    pub fn update_request(&self, deployment: &str, name: &str, model: &CustomModel) -> UpdateRequest {
        UpdateRequest {
            provisioned_model_id: deployment.to_owned(),
            desired_provisioned_model_name: throughput_name(name, &model.id),
            desired_model_id: model.id.clone(),
        }
    }

    /// Has a deployment serve another model, under a name: the same as if that model had been deployed under it, without
    /// a second deployment that bills beside it. The service takes models of the same base model. The deployment keeps its
    /// ARN and its price, and serves the old model until it is [through](Self::wait).
    ///
    /// ```no_run
    /// # async fn f(context: picchu::aws::AwsContext, ledger: picchu::train::Ledger) -> picchu::Result<()> {
    /// use picchu::{aws::bedrock::BedrockDeployer, types::CustomModel};
    /// let deployer = BedrockDeployer::new(&context, ledger);
    /// let better = CustomModel { id: "arn:…".into(), base_model: "amazon.nova-canvas-v1:0".into() };
    /// deployer.update("arn:…", "board", &better).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for an unknown deployment; otherwise as the service says, and it serves on as
    /// before.
    pub async fn update(&self, deployment: &str, name: &str, model: &CustomModel) -> Result<Deployment> {
        self.update_once(deployment, name, model).await.at(Stage::Deploy)
    }

    async fn update_once(&self, deployment: &str, name: &str, model: &CustomModel) -> Result<Deployment> {
        let now = get(&self.client, deployment).await?;
        let request = self.update_request(deployment, name, model);
        let old = now.provisioned_model_name();
        let new = request.desired_provisioned_model_name.clone();
        if old == new && now.desired_model_arn() == model.id {
            return Ok(seen(&now));
        }
        // The ledger knows deployments by their names: both are open until it is told which one is true.
        let open = self.ledger.open().await?;
        let known = open.into_iter().find(|e| e.kind == ResourceKind::ProvisionedThroughput && e.id == old);
        let before = known.unwrap_or_else(|| {
            Entry::creating(ResourceKind::ProvisionedThroughput, old, self.context.region())
        });
        let after = Entry { id: new.clone(), ..before.now(Happened::Creating) };
        if old != new {
            self.ledger.note(&after).await?;
        }
        let updated = self
            .client
            .update_provisioned_model_throughput()
            .provisioned_model_id(request.provisioned_model_id)
            .desired_provisioned_model_name(request.desired_provisioned_model_name)
            .desired_model_id(request.desired_model_id)
            .send()
            .await;
        if let Err(e) = updated.map_err(|e| service_error("bedrock UpdateProvisionedModelThroughput", e)) {
            if old != new && !e.is_retryable() {
                self.ledger.note(&after.now(Happened::Ended)).await?;
            }
            return Err(e.with_provider("bedrock"));
        }
        self.ledger.note(&after.now(Happened::Created)).await?;
        if old != new {
            self.ledger.note(&before.now(Happened::Ended)).await?;
        }
        Ok(Deployment {
            id: now.provisioned_model_arn().to_owned(),
            model: model.clone(),
            status: DeploymentStatus::Updating,
        })
    }

    async fn deploy_once(&self, name: &str, model: &CustomModel) -> Result<Deployment> {
        // A line that an earlier run left keeps its time, and with it the token of a call that may still take effect.
        let entry = self.ledger.unfinished(self.entry(name, model)).await?;
        match get(&self.client, &entry.id).await {
            Ok(answer) => {
                // It bills, whoever began it.
                self.ledger.note_created(&entry).await?;
                return Ok(seen(&answer));
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        let request = self.request_of(&entry, model);
        let tags = request.tags.iter().map(|tag| Tag::builder().key(&tag.key).value(&tag.value).build());
        let tags = tags.collect::<std::result::Result<Vec<_>, _>>();
        let tags = tags.map_err(|e| Error::internal(format!("a tag is incomplete: {e}")))?;
        self.ledger.note(&entry).await?;
        let created = self
            .client
            .create_provisioned_model_throughput()
            .client_request_token(request.client_request_token)
            .model_units(request.model_units)
            .provisioned_model_name(request.provisioned_model_name)
            .model_id(request.model_id)
            .set_commitment_duration(request.commitment_duration.map(CommitmentDuration::from))
            .set_tags(Some(tags))
            .send()
            .await;
        match created.map_err(|e| service_error("bedrock CreateProvisionedModelThroughput", e)) {
            Ok(answer) => {
                self.ledger.note(&entry.now(Happened::Created)).await?;
                Ok(Deployment {
                    id: answer.provisioned_model_arn().to_owned(),
                    model: model.clone(),
                    status: DeploymentStatus::Creating,
                })
            }
            Err(e) => {
                // Refused: there is nothing. Without an answer it may bill all the same.
                if !e.is_retryable() {
                    self.ledger.note(&entry.now(Happened::Ended)).await?;
                }
                Err(e.with_provider("bedrock"))
            }
        }
    }
}

#[async_trait]
impl Deployer for BedrockDeployer {
    async fn deploy(&self, name: &str, model: &CustomModel) -> Result<Deployment> {
        if self.units == 0 {
            return Err(Error::invalid("no model unit is asked for; at least 1 serves").at(Stage::Deploy));
        }
        self.deploy_once(name, model).await.at(Stage::Deploy)
    }

    async fn describe(&self, deployment: &str) -> Result<Deployment> {
        Ok(seen(&get(&self.client, deployment).await.at(Stage::Deploy)?))
    }

    async fn delete(&self, deployment: &str) -> Result<()> {
        // The ledger knows it by its name, which only the service can tell from an ARN.
        let name = match get(&self.client, deployment).await {
            Ok(answer) => answer.provisioned_model_name().to_owned(),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e.at(Stage::Deploy)),
        };
        delete_throughput(&self.client, deployment).await.at(Stage::Deploy)?;
        let open = self.ledger.open().await?;
        match open.iter().find(|e| e.kind == ResourceKind::ProvisionedThroughput && e.id == name) {
            Some(entry) => self.ledger.note(&entry.now(Happened::Ended)).await,
            None => Ok(()),
        }
    }
}

/// What model units cost an hour in US dollars, where the price is known.
pub(super) fn usd_per_hour(
    prices: &PriceTable,
    commitment: Commitment,
    units: impl Into<f64>,
) -> Option<f64> {
    let item = match commitment {
        Commitment::None => "bedrock/provisioned",
        Commitment::OneMonth => "bedrock/provisioned-one-month",
        Commitment::SixMonths => "bedrock/provisioned-six-months",
    };
    prices.usd(item, Unit::Hour).map(|usd| usd * units.into())
}

/// A deployment that serves, and bills, until this is dropped.
pub struct Serving {
    context: AwsContext,
    ledger: Ledger,
    entry: Entry,
    deployment: Option<Deployment>,
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").field("id", &self.entry.id).finish_non_exhaustive()
    }
}

impl Serving {
    /// What serves.
    pub fn deployment(&self) -> Option<&Deployment> {
        self.deployment.as_ref()
    }

    fn arn(&self) -> Option<String> {
        self.deployment.as_ref().map(|deployment| deployment.id.clone())
    }

    /// Ends it.
    ///
    /// # Errors
    /// As the service says; the ledger keeps it open then.
    pub async fn end(mut self) -> Result<()> {
        end(&self.context, &self.ledger, &self.entry, self.arn().as_deref()).await?;
        self.deployment = None;
        self.entry.happened = Happened::Ended;
        Ok(())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if self.entry.happened == Happened::Ended {
            return;
        }
        let (ledger, entry, arn) = (self.ledger.clone(), self.entry.clone(), self.arn());
        guard::finish(&self.context, move |context| async move {
            end(&context, &ledger, &entry, arn.as_deref()).await
        });
    }
}

async fn end(context: &AwsContext, ledger: &Ledger, entry: &Entry, arn: Option<&str>) -> Result<()> {
    match arn {
        // Its name may have changed since: an update gives another.
        Some(arn) => BedrockDeployer::new(context, ledger.clone()).delete(arn).await?,
        None => delete_throughput(&Client::new(context.sdk()), &entry.id).await?,
    }
    if ledger.open().await?.iter().any(|e| e.kind == entry.kind && e.id == entry.id) {
        ledger.note(&entry.now(Happened::Ended)).await?;
    }
    Ok(())
}

async fn get(client: &Client, deployment: &str) -> Result<GetProvisionedModelThroughputOutput> {
    client
        .get_provisioned_model_throughput()
        .provisioned_model_id(deployment)
        .send()
        .await
        .map_err(|e| service_error("bedrock GetProvisionedModelThroughput", e).with_provider("bedrock"))
}

pub(super) async fn throughput_exists(client: &Client, deployment: &str) -> Result<bool> {
    match get(client, deployment).await {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Deletes; what is gone is no error.
pub(super) async fn delete_throughput(client: &Client, deployment: &str) -> Result<()> {
    let deleted = client.delete_provisioned_model_throughput().provisioned_model_id(deployment).send().await;
    match deleted.map_err(|e| service_error("bedrock DeleteProvisionedModelThroughput", e)) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e.with_provider("bedrock")),
        _ => Ok(()),
    }
}

fn seen(answer: &GetProvisionedModelThroughputOutput) -> Deployment {
    Deployment {
        id: answer.provisioned_model_arn().to_owned(),
        model: CustomModel {
            id: answer.model_arn().to_owned(),
            base_model: answer.foundation_model_arn().to_owned(),
        },
        status: match answer.status() {
            Status::InService => DeploymentStatus::InService,
            Status::Updating => DeploymentStatus::Updating,
            Status::Failed => DeploymentStatus::Failed,
            _ => DeploymentStatus::Creating,
        },
    }
}

/// A name in the service's alphabet, equal for equal names and models.
fn throughput_name(name: &str, model: &str) -> String {
    let hash =
        crate::source::sha256_string(Sha256::new_with_prefix(name).chain_update([0]).chain_update(model));
    format!("{}-{}", slug(name), &hash["sha256:".len()..][..12])
}
