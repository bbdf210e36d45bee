//! The end of what jobs and endpoints left in an account, by its line in a ledger; and what carries picchu's tag there,
//! whether a ledger knows of it or not.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    calls::{ALARMS, SCALING, SageMaker, found},
    deploy,
    job::get,
    serving::scalable,
    train::stop,
};
use crate::{
    aws::{
        AwsContext,
        json_service::JsonClient,
        tagged::{TAG, Tagged},
    },
    error::{Error, ErrorKind, Result},
    train::{Entry, Happened, ResourceKind},
};

/// How long a job may take to stop, and an endpoint to go.
const PATIENCE: Duration = Duration::from_mins(20);

/// Whether the service still has what a ledger's line names: a job that is not at its end; an endpoint and what belongs to
/// it.
///
/// # Errors
/// As the service says; [`Unsupported`](ErrorKind::Unsupported) for what is not SageMaker's.
pub async fn sagemaker_resource_exists(context: &AwsContext, entry: &Entry) -> Result<bool> {
    let client = SageMaker::new(context);
    let name = entry.id.as_str();
    let there = async |call: &str, key: &str| {
        found(client.call::<Value>(call, &json!({key: name})).await).map(|answer| answer.is_some())
    };
    match entry.kind {
        ResourceKind::SageMakerJob => {
            let job = found(get(&client, name).await)?;
            Ok(job.is_some_and(|job| !job.progress().job.status.is_final()))
        }
        ResourceKind::SageMakerEndpoint => there("sagemaker DescribeEndpoint", "EndpointName").await,
        ResourceKind::SageMakerEndpointConfig => {
            there("sagemaker DescribeEndpointConfig", "EndpointConfigName").await
        }
        ResourceKind::SageMakerModel => there("sagemaker DescribeModel", "ModelName").await,
        ResourceKind::SageMakerScaling => {
            let target = scalable(name);
            let body = json!({
                "ServiceNamespace": target["ServiceNamespace"], "ResourceIds": [target["ResourceId"]],
                "ScalableDimension": target["ScalableDimension"],
            });
            let scaling = JsonClient::new(context, SCALING);
            let answer: Value =
                scaling.call("application-autoscaling DescribeScalableTargets", &body).await?;
            let registered = answer["ScalableTargets"].as_array().is_some_and(|targets| !targets.is_empty());
            Ok(registered || has_alarm(context, name).await?)
        }
        kind => Err(not_sagemakers(kind)),
    }
}

async fn has_alarm(context: &AwsContext, name: &str) -> Result<bool> {
    let alarms = JsonClient::new(context, ALARMS);
    let body = json!({"AlarmNames": [super::serving::alarm_name(name)]});
    let answer: Value = alarms.call("cloudwatch DescribeAlarms", &body).await?;
    Ok(answer["MetricAlarms"].as_array().is_some_and(|alarms| !alarms.is_empty()))
}

/// Ends what a ledger's line names: stops a job; deletes an endpoint and what belongs to it. What is gone is no error. The
/// ledger is the caller's to note. What lies on S3 stays.
///
/// # Errors
/// As the service says; [`Timeout`](ErrorKind::Timeout) where a job does not stop, or an endpoint does not go.
pub async fn end_sagemaker_resource(context: &AwsContext, entry: &Entry, poll: Duration) -> Result<()> {
    match entry.kind {
        ResourceKind::SageMakerJob => {
            let client = SageMaker::new(context);
            match stop(&client, &entry.id).await {
                Ok(()) => stopped(&client, &entry.id, poll).await,
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
                Err(e) => Err(e),
            }
        }
        ResourceKind::SageMakerScaling
        | ResourceKind::SageMakerEndpoint
        | ResourceKind::SageMakerEndpointConfig
        | ResourceKind::SageMakerModel => deploy::end(context, entry.kind, &entry.id, poll, PATIENCE).await,
        kind => Err(not_sagemakers(kind)),
    }
}

async fn stopped(client: &SageMaker, job: &str, poll: Duration) -> Result<()> {
    let begun = Instant::now();
    while !get(client, job).await?.progress().job.status.is_final() {
        if begun.elapsed() > PATIENCE {
            return Err(Error::new(ErrorKind::Timeout, format!("the job {job} does not stop")));
        }
        tokio::time::sleep(poll).await;
    }
    Ok(())
}

fn not_sagemakers(kind: ResourceKind) -> Error {
    Error::new(ErrorKind::Unsupported, format!("a {} is not SageMaker's", kind.as_str()))
}

/// A list of the service: how it is asked, where the answer has it, what it is.
struct List {
    call: &'static str,
    request: Value,
    answer: &'static str,
    /// What the members' names begin with: `Endpoint` of `EndpointName` and `EndpointArn`.
    member: &'static str,
    kind: ResourceKind,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tags {
    #[serde(default)]
    tags: Vec<Value>,
}

/// Jobs at work, endpoints and what belongs to them that picchu made, by their tag. It may be others of the account who made
/// them. Nothing is changed; what may not be listed keeps nobody from seeing the rest.
///
/// ```no_run
/// # async fn f(context: picchu::aws::AwsContext) {
/// for entry in picchu::aws::sagemaker::tagged_sagemaker_resources(&context).await.found {
///     println!("{} {}", entry.kind.as_str(), entry.id);
/// }
/// # }
/// ```
pub async fn tagged_sagemaker_resources(context: &AwsContext) -> Tagged {
    let client = SageMaker::new(context);
    let mut tagged = Tagged::default();
    let list = |call, answer, member, kind| List { call, request: json!({}), answer, member, kind };
    let at_work = |status: &str| List {
        request: json!({"StatusEquals": status}),
        ..list(
            "sagemaker ListTrainingJobs",
            "TrainingJobSummaries",
            "TrainingJob",
            ResourceKind::SageMakerJob,
        )
    };
    for list in [
        list("sagemaker ListEndpoints", "Endpoints", "Endpoint", ResourceKind::SageMakerEndpoint),
        list(
            "sagemaker ListEndpointConfigs",
            "EndpointConfigs",
            "EndpointConfig",
            ResourceKind::SageMakerEndpointConfig,
        ),
        list("sagemaker ListModels", "Models", "Model", ResourceKind::SageMakerModel),
        at_work("InProgress"),
    ] {
        match listed(&client, context.region(), list).await {
            Ok(found) => tagged.found.extend(found),
            Err(e) => tagged.unread.push(e.to_string()),
        }
    }
    // Endpoints' machines have no tag of their own: they go by their endpoints' names.
    let endpoints: Vec<Entry> =
        tagged.found.iter().filter(|e| e.kind == ResourceKind::SageMakerEndpoint).cloned().collect();
    for endpoint in endpoints {
        let scaling = Entry { kind: ResourceKind::SageMakerScaling, usd_per_hour: None, ..endpoint };
        match sagemaker_resource_exists(context, &scaling).await {
            Ok(true) => tagged.found.push(scaling),
            Ok(false) => {}
            Err(e) => tagged.unread.push(e.to_string()),
        }
    }
    tagged.found.sort_by_key(|entry| entry.kind);
    tagged
}

async fn listed(client: &SageMaker, region: &str, list: List) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    let mut request = list.request;
    request["MaxResults"] = 100.into();
    loop {
        let page: Value = client.call(list.call, &request).await?;
        for one in page[list.answer].as_array().into_iter().flatten() {
            let word = |what: &str| one[format!("{}{what}", list.member)].as_str();
            let (Some(name), Some(arn)) = (word("Name"), word("Arn")) else { continue };
            if is_tagged(client, arn).await? {
                let mut entry = Entry::creating(list.kind, name, region).now(Happened::Created);
                if let Some(seconds) = one["CreationTime"].as_f64() {
                    entry.time_ms = (seconds * 1000.0) as u64;
                }
                found.push(entry);
            }
        }
        match page["NextToken"].as_str().filter(|token| !token.is_empty()) {
            Some(token) => request["NextToken"] = token.into(),
            None => return Ok(found),
        }
    }
}

async fn is_tagged(client: &SageMaker, arn: &str) -> Result<bool> {
    let answer: Tags = client.call("sagemaker ListTags", &json!({"ResourceArn": arn})).await?;
    Ok(answer
        .tags
        .iter()
        .any(|tag| (tag["Key"].as_str(), tag["Value"].as_str()) == (Some(TAG.0), Some(TAG.1))))
}
