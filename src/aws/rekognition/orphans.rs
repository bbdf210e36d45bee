//! What picchu made or started on Rekognition, whether a ledger knows of it or not.

use std::sync::Arc;

use aws_sdk_rekognition::types::ProjectVersionStatus as Status;

use super::{
    calls::{Calls, Operation},
    model::{PROJECT, STARTED},
};
use crate::{
    aws::{
        AwsContext,
        tagged::{TAG, Tagged, existing},
    },
    error::Result,
    layers::Cache,
    train::{Entry, ResourceKind},
    types::{PriceTable, Unit},
};

/// Collections that picchu made and Custom Labels versions that it started and that still run, by their tags. It may be
/// others of the account who did. Nothing is changed; what may not be listed keeps nobody from seeing the rest.
///
/// ```no_run
/// # async fn f(context: picchu::aws::AwsContext) {
/// for entry in picchu::aws::rekognition::tagged_resources(&context).await.found {
///     println!("{} {}", entry.kind.as_str(), entry.id);
/// }
/// # }
/// ```
pub async fn tagged_resources(context: &AwsContext) -> Tagged {
    let mut tagged = Tagged::default();
    let calls = match Calls::new(context, 4, None, Arc::new(Cache::default()), Arc::default()) {
        Ok(calls) => calls,
        Err(e) => {
            tagged.unread.push(e.to_string());
            return tagged;
        }
    };
    tagged.add(versions(&calls, context.region()).await);
    tagged.add(collections(&calls, context.region()).await);
    tagged
}

async fn collections(calls: &Calls, region: &str) -> Result<Vec<Entry>> {
    let (mut ids, mut next) = (Vec::<String>::new(), None::<String>);
    loop {
        let page = calls
            .send(Operation::Control("rekognition ListCollections"), || {
                calls.client.list_collections().set_next_token(next.clone()).send()
            })
            .await?;
        ids.extend_from_slice(page.collection_ids());
        next = page.next_token().map(str::to_owned);
        if next.is_none() {
            break;
        }
    }
    let mut found = Vec::new();
    for id in ids {
        let about = calls
            .send(Operation::Control("rekognition DescribeCollection"), || {
                calls.client.describe_collection().collection_id(&id).send()
            })
            .await?;
        let Some(arn) = about.collection_arn() else { continue };
        if has_tag(calls, arn, TAG).await? {
            found.push(existing(ResourceKind::FaceCollection, &id, region, about.creation_timestamp()));
        }
    }
    Ok(found)
}

async fn versions(calls: &Calls, region: &str) -> Result<Vec<Entry>> {
    let (mut projects, mut next) = (Vec::<String>::new(), None::<String>);
    loop {
        let page = calls
            .send(Operation::Control("rekognition DescribeProjects"), || {
                calls.client.describe_projects().set_next_token(next.clone()).send()
            })
            .await?;
        projects
            .extend(page.project_descriptions().iter().filter_map(|p| p.project_arn().map(str::to_owned)));
        next = page.next_token().map(str::to_owned);
        if next.is_none() {
            break;
        }
    }
    let mut found = Vec::new();
    for project in projects {
        found.extend(running(calls, &project, region).await?);
    }
    Ok(found)
}

/// The versions of a project that picchu started and that bill.
async fn running(calls: &Calls, project: &str, region: &str) -> Result<Vec<Entry>> {
    let price = PriceTable::built_in().usd("rekognition/custom-labels", Unit::Hour);
    let (mut found, mut next) = (Vec::new(), None::<String>);
    loop {
        let page = calls
            .send(Operation::Control("rekognition DescribeProjectVersions"), || {
                calls
                    .client
                    .describe_project_versions()
                    .project_arn(project)
                    .set_next_token(next.clone())
                    .send()
            })
            .await?;
        for version in page.project_version_descriptions() {
            let bills = matches!(version.status(), Some(Status::Running | Status::Starting));
            let Some(arn) = version.project_version_arn().filter(|_| bills) else { continue };
            if has_tag(calls, arn, STARTED).await? {
                // When it was started is not told; it is not older than it is.
                let since = version.training_end_timestamp().or(version.creation_timestamp());
                let mut entry = existing(ResourceKind::CustomLabelsVersion, arn, region, since);
                let units = version.min_inference_units().unwrap_or(1);
                entry.usd_per_hour = price.map(|usd| usd * f64::from(units));
                entry.details.insert(PROJECT.into(), project.to_owned());
                found.push(entry);
            }
        }
        next = page.next_token().map(str::to_owned);
        if next.is_none() {
            return Ok(found);
        }
    }
}

async fn has_tag(calls: &Calls, arn: &str, (key, value): (&str, &str)) -> Result<bool> {
    let answer = calls
        .send(Operation::Control("rekognition ListTagsForResource"), || {
            calls.client.list_tags_for_resource().resource_arn(arn).send()
        })
        .await?;
    Ok(answer.tags().is_some_and(|tags| tags.get(key).is_some_and(|v| v == value)))
}
