//! What carries picchu's tag in an account, whether a ledger knows of it or not.

use std::collections::BTreeSet;

use super::{
    customize::MODEL,
    role,
    throughput::{Commitment, usd_per_hour},
};
use crate::{
    aws::{
        AwsContext, service_error,
        tagged::{TAG, Tagged, existing},
    },
    error::Result,
    train::{Entry, ResourceKind},
    types::PriceTable,
};
use aws_sdk_bedrock::{
    Client,
    types::{CommitmentDuration, FineTuningJobStatus},
};

/// Deployments, jobs at work, models and roles that picchu made, by their tag; roles by their names. It may be others of
/// the account who made them. Nothing is changed; what may not be listed keeps nobody from seeing the rest.
///
/// ```no_run
/// # async fn f(context: picchu::aws::AwsContext) {
/// for entry in picchu::aws::bedrock::tagged_resources(&context).await.found {
///     println!("{} {}", entry.kind.as_str(), entry.id);
/// }
/// # }
/// ```
pub async fn tagged_resources(context: &AwsContext) -> Tagged {
    let client = Client::new(context.sdk());
    let region = context.region();
    let mut tagged = Tagged::default();
    tagged.add(deployments(&client, region).await);
    tagged.add(jobs_and_models(&client, region).await);
    tagged.add(role::roles(context).await);
    tagged
}

async fn deployments(client: &Client, region: &str) -> Result<Vec<Entry>> {
    let mut pages = client.list_provisioned_model_throughputs().into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(one) = pages.next().await {
        let one = one.map_err(|e| service_error("bedrock ListProvisionedModelThroughputs", e))?;
        if is_tagged(client, one.provisioned_model_arn()).await? {
            let mut entry = existing(
                ResourceKind::ProvisionedThroughput,
                one.provisioned_model_name(),
                region,
                Some(one.creation_time()),
            );
            let commitment = match one.commitment_duration() {
                None => Commitment::None,
                Some(CommitmentDuration::SixMonths) => Commitment::SixMonths,
                Some(_) => Commitment::OneMonth,
            };
            entry.usd_per_hour = usd_per_hour(&PriceTable::built_in(), commitment, one.model_units());
            found.push(entry);
        }
    }
    Ok(found)
}

/// A model bears its job's name: they are one line.
async fn jobs_and_models(client: &Client, region: &str) -> Result<Vec<Entry>> {
    let (mut found, mut names) = (Vec::new(), BTreeSet::new());
    let mut jobs = client
        .list_model_customization_jobs()
        .status_equals(FineTuningJobStatus::InProgress)
        .into_paginator()
        .items()
        .send();
    while let Some(job) = jobs.next().await {
        let job = job.map_err(|e| service_error("bedrock ListModelCustomizationJobs", e))?;
        if is_tagged(client, job.job_arn()).await? {
            let mut entry =
                existing(ResourceKind::TrainingJob, job.job_name(), region, Some(job.creation_time()));
            entry.details.extend(job.custom_model_name().map(|model| (MODEL.to_owned(), model.to_owned())));
            names.insert(job.job_name().to_owned());
            found.push(entry);
        }
    }
    let mut models = client.list_custom_models().is_owned(true).into_paginator().items().send();
    while let Some(model) = models.next().await {
        let model = model.map_err(|e| service_error("bedrock ListCustomModels", e))?;
        if !names.contains(model.model_name()) && is_tagged(client, model.model_arn()).await? {
            found.push(existing(
                ResourceKind::TrainingJob,
                model.model_name(),
                region,
                Some(model.creation_time()),
            ));
        }
    }
    Ok(found)
}

async fn is_tagged(client: &Client, arn: &str) -> Result<bool> {
    let answer = client.list_tags_for_resource().resource_arn(arn).send().await;
    let answer = answer.map_err(|e| service_error("bedrock ListTagsForResource", e))?;
    Ok(answer.tags().iter().any(|tag| (tag.key(), tag.value()) == TAG))
}
