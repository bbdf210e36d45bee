//! Trained models made callable: an asynchronous endpoint, which bills by the hour while it has a machine.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    calls::{ALARMS, SCALING, SageMaker, found, is_taken},
    job::name_of,
    quotas::{self, Use},
    request::BASE_MODEL,
    serving::{ServingRequest, ServingSettings, alarm_name, endpoint_name, scalable},
};
use crate::{
    aws::{AwsContext, bedrock::is_role, guard, json_service::JsonClient},
    error::{AtStage, Error, ErrorKind, Result, Stage},
    train::{Deployer, Entry, Happened, Ledger, ResourceKind, stands_in_the_way},
    types::{CustomModel, Deployment, DeploymentStatus, Finding, PriceTable, Unit},
};

/// How often an endpoint that is being made is looked at.
const POLL: Duration = Duration::from_secs(30);
/// How soon it is looked at again for the first time; then half as often each time, down to [`POLL`].
const FIRST_POLL: Duration = Duration::from_secs(1);
/// How long making or deleting one may take.
const PATIENCE: Duration = Duration::from_hours(2);

/// Serves models by asynchronous endpoints that have no machine, and cost nothing, while nobody asks them to draw.
pub struct SageMakerDeployer {
    context: AwsContext,
    client: SageMaker,
    settings: ServingSettings,
    ledger: Ledger,
    prices: PriceTable,
    poll: Duration,
    patience: Duration,
}

impl fmt::Debug for SageMakerDeployer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SageMakerDeployer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// `DescribeEndpoint`, as far as it is read.
#[derive(Debug, Deserialize)]
pub(super) struct Endpoint {
    #[serde(rename = "EndpointName")]
    name: String,
    #[serde(rename = "EndpointArn")]
    arn: String,
    #[serde(rename = "EndpointStatus")]
    status: String,
    #[serde(default, rename = "FailureReason")]
    failure: Option<String>,
}

pub(super) async fn get(client: &SageMaker, endpoint: &str) -> Result<Endpoint> {
    client.call("sagemaker DescribeEndpoint", &json!({"EndpointName": name_of(endpoint)})).await
}

impl SageMakerDeployer {
    /// A deployer of the account and the Region of `context`.
    pub fn new(context: &AwsContext, settings: ServingSettings, ledger: Ledger) -> Self {
        Self {
            context: context.clone(),
            client: SageMaker::new(context),
            settings,
            ledger,
            prices: PriceTable::built_in(),
            poll: POLL,
            patience: PATIENCE,
        }
    }

    /// Sets the prices that are shown and noted: `sagemaker/ml.g5.2xlarge/endpoint`, by the hour.
    #[must_use]
    pub fn prices(mut self, prices: PriceTable) -> Self {
        self.prices = prices;
        self
    }

    /// Sets how often an endpoint that is being made or deleted is looked at, and how long that may take.
    #[must_use]
    pub fn patience(mut self, poll: Duration, patience: Duration) -> Self {
        (self.poll, self.patience) = (poll, patience);
        self
    }

    /// The folder on S3 for requests and images.
    pub fn output(&self) -> &str {
        &self.settings.output
    }

    /// What a machine of it costs an hour in US dollars, where the price is known.
    pub fn usd_per_hour(&self) -> Option<f64> {
        self.prices.usd(&format!("sagemaker/{}/endpoint", self.settings.instance), Unit::Hour)
    }

    /// The requests that [`deploy`](Deployer::deploy) and [`wait`](Self::wait) send for what does not serve yet.
    pub fn requests(&self, name: &str, model: &CustomModel) -> Vec<ServingRequest> {
        self.settings.requests(&endpoint_name(name, &model.id), model, self.context.region())
    }

    /// Everything that would make an endpoint fail. Creates nothing and costs nothing.
    ///
    /// # Errors
    /// Only when the check itself could not be made.
    pub async fn check(&self, model: &CustomModel) -> Result<Vec<Finding>> {
        let mut found = self.check_request(model);
        let quotas =
            quotas::check(&self.context, std::slice::from_ref(&self.settings.instance), Use::Endpoint);
        found.extend(quotas.await.at(Stage::Deploy)?);
        Ok(found)
    }

    fn check_request(&self, model: &CustomModel) -> Vec<Finding> {
        let (settings, mut found) = (&self.settings, Vec::new());
        if !is_role(&settings.role) {
            found.push(Finding::error(
                format!("{:?} is not the ARN of a role", settings.role),
                "give the role of the training job",
            ));
        }
        if !model.id.starts_with("s3://") || model.id.ends_with(".tar.gz") {
            found.push(Finding::error(
                format!("{:?} is no folder on S3 with a model", model.id),
                "give the model of a job that `picchu train --on sagemaker` made; `picchu status` tells it",
            ));
        }
        if model.base_model.is_empty() {
            found.push(Finding::error(
                "which model it was made from is not known",
                "name the job, or give --base-model",
            ));
        }
        if !settings.output.starts_with("s3://") {
            found.push(Finding::error(
                format!("{:?} is no folder on S3", settings.output),
                "give s3://bucket/folder for images",
            ));
        }
        if settings.image.is_none() && super::inference_image(self.context.region()).is_none() {
            found.push(Finding::error(
                format!("no container is known for the Region {}", self.context.region()),
                "give one with --image: one with Hugging Face's inference toolkit",
            ));
        }
        if settings.most_instances == 0 {
            found.push(Finding::error("no machine is asked for", "at least 1 serves"));
        }
        if settings.subnets.is_empty() != settings.security_groups.is_empty() {
            found
                .push(Finding::error("a network needs subnets and security groups", "give both, or neither"));
        }
        if settings.isolated && !model.base_model.starts_with("s3://") {
            found.push(Finding::error(
                format!("an endpoint that is cut off from every network cannot fetch {}", model.base_model),
                "train from a base model on S3",
            ));
        }
        found
    }

    /// Waits until an endpoint serves, and gives it the rules by which its machines come and go.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) where it cannot be made, in the service's words;
    /// [`Timeout`](ErrorKind::Timeout) where it takes too long. It may bill on: delete it.
    pub async fn wait(&self, deployment: &str) -> Result<Deployment> {
        let serving = async {
            self.until_in_service(deployment).await?;
            if self.settings.scale_to_zero {
                self.scale(name_of(deployment)).await?;
            }
            self.seen(deployment).await
        };
        serving.await.at(Stage::Deploy)
    }

    async fn until_in_service(&self, deployment: &str) -> Result<()> {
        let begun = tokio::time::Instant::now();
        // Soon at first: one that serves already, or cannot, is known at once.
        let mut pause = self.poll.min(FIRST_POLL);
        loop {
            let endpoint = get(&self.client, deployment).await?;
            match endpoint.status.as_str() {
                "InService" => return Ok(()),
                status @ ("Failed" | "OutOfService" | "UpdateRollbackFailed" | "Deleting") => {
                    let why = endpoint.failure.as_deref().unwrap_or("the service gave no reason");
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        format!("{} cannot serve: it is {status}: {}", endpoint.name, with_mend(why)),
                    )
                    .with_retryable(false)
                    .with_provider("sagemaker"));
                }
                // Creating, updating, rolling back, and whatever the service thinks of next.
                _ if begun.elapsed() < self.patience => {
                    tokio::time::sleep(pause).await;
                    pause = self.poll.min(pause * 2);
                }
                other => {
                    return Err(Error::new(
                        ErrorKind::Timeout,
                        format!("{} is {other} for too long; it bills on: picchu clean", endpoint.name),
                    )
                    .with_provider("sagemaker"));
                }
            }
        }
    }

    /// Registers the endpoint's machines, and says when they come and go. Each call may be made again.
    async fn scale(&self, name: &str) -> Result<()> {
        let scaling = JsonClient::new(&self.context, SCALING);
        let entry = Entry::creating(ResourceKind::SageMakerScaling, name, self.context.region());
        let entry = self.ledger.unfinished(entry).await?;
        if !self.is_noted(&entry).await? {
            self.ledger.note(&entry).await?;
        }
        let settings = &self.settings;
        let tell = async |call: &str, body: Value| scaling.call::<Value>(call, &body).await;
        tell("application-autoscaling RegisterScalableTarget", settings.scaling_target(name)).await?;
        tell("application-autoscaling PutScalingPolicy", settings.follow_backlog(name)).await?;
        let policy = tell("application-autoscaling PutScalingPolicy", ServingSettings::wake(name)).await?;
        let arn = policy["PolicyARN"].as_str().ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, "application-autoscaling PutScalingPolicy named no policy")
        })?;
        let alarms = JsonClient::new(&self.context, ALARMS);
        alarms.call::<Value>("cloudwatch PutMetricAlarm", &settings.alarm(name, arn)).await?;
        self.ledger.note_created(&entry).await
    }

    async fn is_noted(&self, entry: &Entry) -> Result<bool> {
        let open = self.ledger.open().await?;
        Ok(open.iter().any(|e| (e.kind, &e.region, &e.id) == (entry.kind, &entry.region, &entry.id)))
    }

    /// Makes a model callable for as long as the guard lives: it is deleted when the guard is dropped, also when the work
    /// in between fails, is cancelled, or panics.
    ///
    /// # Errors
    /// As [`wait`](Self::wait). Nothing is left then.
    pub async fn serve(&self, name: &str, model: &CustomModel) -> Result<SageMakerServing> {
        let mut serving = SageMakerServing {
            context: self.context.clone(),
            ledger: self.ledger.clone(),
            name: endpoint_name(name, &model.id),
            deployment: None,
            poll: self.poll,
            patience: self.patience,
            ended: false,
        };
        let deployment = self.deploy(name, model).await?;
        serving.deployment = Some(self.wait(&deployment.id).await?);
        Ok(serving)
    }

    async fn deploy_once(&self, name: &str, model: &CustomModel) -> Result<Deployment> {
        stands_in_the_way(&self.check_request(model)).map_err(|e| e.with_provider("sagemaker"))?;
        let name = endpoint_name(name, &model.id);
        let settings = &self.settings;
        let key = |key: &str| json!({key: name});
        self.ensure(
            self.entry(ResourceKind::SageMakerModel, &name),
            ("sagemaker DescribeModel", key("ModelName")),
            ("sagemaker CreateModel", settings.model(&name, model, self.context.region())),
        )
        .await?;
        self.ensure(
            self.entry(ResourceKind::SageMakerEndpointConfig, &name),
            ("sagemaker DescribeEndpointConfig", key("EndpointConfigName")),
            ("sagemaker CreateEndpointConfig", settings.endpoint_config(&name)),
        )
        .await?;
        let mut entry = self.entry(ResourceKind::SageMakerEndpoint, &name);
        entry.usd_per_hour = self.usd_per_hour();
        self.ensure(
            entry,
            ("sagemaker DescribeEndpoint", key("EndpointName")),
            ("sagemaker CreateEndpoint", settings.endpoint(&name)),
        )
        .await?;
        self.seen(&name).await
    }

    fn entry(&self, kind: ResourceKind, name: &str) -> Entry {
        Entry::creating(kind, name, self.context.region())
    }

    /// Makes what is not there. The ledger has a line about it before.
    async fn ensure(
        &self,
        entry: Entry,
        (look, key): (&str, Value),
        (create, body): (&str, Value),
    ) -> Result<()> {
        if found(self.client.call::<Value>(look, &key).await)?.is_some() {
            return self.ledger.note_created(&entry).await;
        }
        self.ledger.note(&entry).await?;
        match self.client.tell(create, &body).await {
            Err(e) if !is_taken(&e) => {
                // Refused: there is nothing. Without an answer it may be there all the same.
                if !e.is_retryable() {
                    self.ledger.note(&entry.now(Happened::Ended)).await?;
                }
                Err(e)
            }
            _ => self.ledger.note(&entry.now(Happened::Created)).await,
        }
    }

    async fn seen(&self, deployment: &str) -> Result<Deployment> {
        let endpoint = get(&self.client, deployment).await?;
        let key = json!({"ModelName": endpoint.name});
        let model =
            found(self.client.call::<Value>("sagemaker DescribeModel", &key).await)?.unwrap_or_default();
        let container = &model["PrimaryContainer"];
        let text = |value: &Value| value.as_str().unwrap_or_default().trim_end_matches('/').to_owned();
        Ok(Deployment {
            id: endpoint.arn,
            model: CustomModel {
                id: text(&container["ModelDataSource"]["S3DataSource"]["S3Uri"]),
                base_model: text(&container["Environment"][BASE_MODEL]),
            },
            status: match endpoint.status.as_str() {
                "InService" => DeploymentStatus::InService,
                "Updating" | "SystemUpdating" | "RollingBack" => DeploymentStatus::Updating,
                "Failed" | "OutOfService" | "UpdateRollbackFailed" => DeploymentStatus::Failed,
                "Deleting" => DeploymentStatus::Deleted,
                _ => DeploymentStatus::Creating,
            },
        })
    }
}

/// The service's words about an endpoint that failed, with the likely mend.
fn with_mend(words: &str) -> String {
    let mend = [
        (
            ["ping health check", "health check"],
            "its log in CloudWatch, /aws/sagemaker/Endpoints/, tells why; often memory or a package",
        ),
        (
            ["Unable to provision", "apacity"],
            "no such machine is free: try again later, or take another type",
        ),
        (["ResourceLimitExceeded", "service limit"], "ask for more in the console of Service Quotas"),
        (["AccessDenied", "not authorized"], "give the role s3:GetObject and s3:ListBucket on the model"),
    ];
    match mend.iter().find(|(signs, _)| signs.iter().any(|sign| words.contains(sign))) {
        Some((_, mend)) => format!("{words} [{mend}]"),
        None => words.to_owned(),
    }
}

#[async_trait]
impl Deployer for SageMakerDeployer {
    async fn deploy(&self, name: &str, model: &CustomModel) -> Result<Deployment> {
        self.deploy_once(name, model).await.at(Stage::Deploy)
    }

    async fn describe(&self, deployment: &str) -> Result<Deployment> {
        self.seen(deployment).await.at(Stage::Deploy)
    }

    async fn delete(&self, deployment: &str) -> Result<()> {
        delete_all(&self.context, &self.ledger, name_of(deployment), self.poll, self.patience)
            .await
            .at(Stage::Deploy)
    }
}

/// Ends everything that an endpoint has, in the order in which that is possible; each end is noted where the ledger knows
/// of a beginning.
async fn delete_all(
    context: &AwsContext,
    ledger: &Ledger,
    name: &str,
    poll: Duration,
    patience: Duration,
) -> Result<()> {
    for kind in [
        ResourceKind::SageMakerScaling,
        ResourceKind::SageMakerEndpoint,
        ResourceKind::SageMakerEndpointConfig,
        ResourceKind::SageMakerModel,
    ] {
        end(context, kind, name, poll, patience).await?;
        let open = ledger.open().await?;
        if let Some(entry) = open.iter().find(|e| e.kind == kind && e.id == name) {
            ledger.note(&entry.now(Happened::Ended)).await?;
        }
    }
    Ok(())
}

/// Ends one thing that an endpoint has. What is gone is no error.
pub(super) async fn end(
    context: &AwsContext,
    kind: ResourceKind,
    name: &str,
    poll: Duration,
    patience: Duration,
) -> Result<()> {
    let client = SageMaker::new(context);
    let gone = |answer: Result<()>| found(answer).map(drop);
    match kind {
        ResourceKind::SageMakerScaling => {
            let alarms = JsonClient::new(context, ALARMS);
            let alarm = json!({"AlarmNames": [alarm_name(name)]});
            gone(alarms.call::<Value>("cloudwatch DeleteAlarms", &alarm).await.map(drop))?;
            let scaling = JsonClient::new(context, SCALING);
            let target = scaling
                .call::<Value>("application-autoscaling DeregisterScalableTarget", &scalable(name))
                .await;
            match target {
                Err(e) if e.message().contains("ObjectNotFound") => Ok(()),
                answer => answer.map(drop),
            }
        }
        ResourceKind::SageMakerEndpoint => end_endpoint(&client, name, poll, patience).await,
        ResourceKind::SageMakerEndpointConfig => {
            let body = json!({"EndpointConfigName": name});
            gone(client.tell("sagemaker DeleteEndpointConfig", &body).await)
        }
        _ => gone(client.tell("sagemaker DeleteModel", &json!({"ModelName": name})).await),
    }
}

/// Deletes an endpoint and waits until it is gone. One that is being made can only be deleted when it is made.
async fn end_endpoint(client: &SageMaker, name: &str, poll: Duration, patience: Duration) -> Result<()> {
    let begun = tokio::time::Instant::now();
    let mut asked = false;
    loop {
        let Some(endpoint) = found(get(client, name).await)? else { return Ok(()) };
        if !asked && endpoint.status != "Deleting" {
            match found(client.tell("sagemaker DeleteEndpoint", &json!({"EndpointName": name})).await) {
                Ok(_) => asked = true,
                Err(e)
                    if e.kind() == ErrorKind::InvalidInput
                        && matches!(endpoint.status.as_str(), "Creating" | "Updating" | "SystemUpdating") => {
                }
                Err(e) => return Err(e),
            }
        }
        if begun.elapsed() >= patience {
            return Err(Error::new(
                ErrorKind::Timeout,
                format!("the endpoint {name} is {} and does not go; it may bill on", endpoint.status),
            )
            .with_provider("sagemaker"));
        }
        tokio::time::sleep(poll.min(FIRST_POLL)).await;
    }
}

/// An endpoint that serves, and may bill, until this is dropped.
pub struct SageMakerServing {
    context: AwsContext,
    ledger: Ledger,
    name: String,
    deployment: Option<Deployment>,
    poll: Duration,
    patience: Duration,
    ended: bool,
}

impl fmt::Debug for SageMakerServing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SageMakerServing").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SageMakerServing {
    /// What serves.
    pub fn deployment(&self) -> Option<&Deployment> {
        self.deployment.as_ref()
    }

    /// Ends it.
    ///
    /// # Errors
    /// As the service says; the ledger keeps it open then.
    pub async fn end(mut self) -> Result<()> {
        delete_all(&self.context, &self.ledger, &self.name, self.poll, self.patience).await?;
        self.deployment = None;
        self.ended = true;
        Ok(())
    }
}

impl Drop for SageMakerServing {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let (ledger, name) = (self.ledger.clone(), self.name.clone());
        let (poll, patience) = (self.poll, self.patience);
        guard::finish(&self.context, move |context| async move {
            delete_all(&context, &ledger, &name, poll, patience).await
        });
    }
}
