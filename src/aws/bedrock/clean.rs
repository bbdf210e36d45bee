//! The end of what training and serving left in an account, by its line in a ledger.

use std::time::{Duration, Instant};

use aws_sdk_bedrock::Client;

use super::{
    customize::{MODEL, get_progress, stop_job},
    role::{delete_role, role_exists},
    throughput::{delete_throughput, throughput_exists},
};
use crate::{
    aws::{AwsContext, service_error},
    error::{Error, ErrorKind, Result},
    train::{Entry, ResourceKind},
    types::JobStatus,
};

/// How long a job may take to stop.
const PATIENCE: Duration = Duration::from_mins(20);

/// Whether the service still has what a ledger's line names: a throughput; a job that is not at its end, or its model;
/// a role.
///
/// # Errors
/// As the service says; [`Unsupported`](ErrorKind::Unsupported) for what is not Bedrock's.
pub async fn resource_exists(context: &AwsContext, entry: &Entry) -> Result<bool> {
    let client = Client::new(context.sdk());
    match entry.kind {
        ResourceKind::ProvisionedThroughput => throughput_exists(&client, &entry.id).await,
        ResourceKind::TrainingJob => match get_progress(&client, &entry.id).await {
            Ok(progress) if !progress.job.status.is_final() => Ok(true),
            Ok(_) => model_exists(&client, entry).await,
            Err(e) if e.kind() == ErrorKind::NotFound => model_exists(&client, entry).await,
            Err(e) => Err(e),
        },
        ResourceKind::Role => role_exists(context, &entry.id).await,
        kind => Err(not_bedrocks(kind)),
    }
}

/// Ends what a ledger's line names: deletes a throughput or a role; stops a job, and deletes its model. What is gone is no error.
/// The ledger is the caller's to note.
///
/// # Errors
/// As the service says, for example while the model still serves; [`Timeout`](ErrorKind::Timeout) where a job does not
/// stop.
pub async fn end_resource(context: &AwsContext, entry: &Entry, poll: Duration) -> Result<()> {
    let client = Client::new(context.sdk());
    match entry.kind {
        ResourceKind::ProvisionedThroughput => delete_throughput(&client, &entry.id).await,
        ResourceKind::TrainingJob => {
            match stop_job(&client, &entry.id).await {
                Ok(()) => stopped(&client, &entry.id, poll).await?,
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
            let deleted = client.delete_custom_model().model_identifier(model_of(entry)).send().await;
            match deleted.map_err(|e| service_error("bedrock DeleteCustomModel", e)) {
                Err(e) if e.kind() != ErrorKind::NotFound => Err(e.with_provider("bedrock")),
                _ => Ok(()),
            }
        }
        ResourceKind::Role => delete_role(context, &entry.id).await,
        kind => Err(not_bedrocks(kind)),
    }
}

async fn stopped(client: &Client, job: &str, poll: Duration) -> Result<()> {
    let begun = Instant::now();
    loop {
        let status: JobStatus = get_progress(client, job).await?.job.status;
        if status.is_final() {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(Error::new(ErrorKind::Timeout, format!("the job {job} does not stop")));
        }
        tokio::time::sleep(poll).await;
    }
}

async fn model_exists(client: &Client, entry: &Entry) -> Result<bool> {
    let answer = client.get_custom_model().model_identifier(model_of(entry)).send().await;
    match answer.map_err(|e| service_error("bedrock GetCustomModel", e)) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e.with_provider("bedrock")),
    }
}

fn model_of(entry: &Entry) -> &str {
    entry.details.get(MODEL).map_or(&entry.id, String::as_str)
}

fn not_bedrocks(kind: ResourceKind) -> Error {
    Error::new(ErrorKind::Unsupported, format!("a {} is not Bedrock's", kind.as_str()))
}
