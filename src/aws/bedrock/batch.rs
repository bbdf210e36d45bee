//! Many requests as one job: half the price, done in hours, answers read back by the id of the record.
//!
//! ```text
//! folder/job-<hash>.json               what was submitted, so that a restart finds the job again
//! folder/<hash>/input/records.jsonl    one request a line
//! folder/<hash>/output/…               what Bedrock writes
//! ```
//! The hash is that of the requests: equal requests are one job, whoever submits them and how often.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use aws_sdk_bedrock::{
    Client,
    types::{
        ModelInvocationJobInputDataConfig, ModelInvocationJobOutputDataConfig,
        ModelInvocationJobS3InputDataConfig, ModelInvocationJobS3OutputDataConfig, S3InputFormat,
    },
};
use bytes::Bytes;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    aws::{AwsContext, service_error},
    error::{Error, ErrorKind, Result},
    store::{Key, PutMode, Store, get_opt},
};

/// Fewest records of a job; fewer are asked one at a time.
pub const MIN_RECORDS: usize = 100;
/// Most records of a job.
const MAX_RECORDS: usize = 50_000;
/// Largest input file in bytes.
const MAX_BYTES: usize = 1 << 30;

/// One request of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchRecord {
    /// Unique in its job; answers come back by it, in any order.
    pub id: String,
    /// The body that `InvokeModel` would take. No tools: batch jobs have none.
    pub input: Value,
}

/// How a job is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchSettings {
    /// Id of the model or of its inference profile.
    pub model: String,
    /// Role that Bedrock takes on to read and write the files.
    pub role_arn: String,
    /// When Bedrock gives the job up: 24 to 168 hours.
    pub timeout_hours: u32,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchStatus {
    /// Bedrock's word: Submitted, Validating, Scheduled, `InProgress`, Completed, `PartiallyCompleted`, Failed, Stopping,
    /// Stopped, Expired.
    pub state: String,
    /// What Bedrock says about a failure.
    pub message: Option<String>,
    /// Records that are done, well or badly.
    pub processed: u64,
    /// Records in all.
    pub total: u64,
}

impl BatchStatus {
    /// Whether nothing more will happen.
    pub fn is_final(&self) -> bool {
        matches!(self.state.as_str(), "Completed" | "PartiallyCompleted" | "Failed" | "Stopped" | "Expired")
    }
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchOutcome {
    /// The model's answers, by record.
    pub answers: BTreeMap<String, Value>,
    /// Records without an answer, with the reason: to be asked again, one at a time or in another job.
    pub failed: BTreeMap<String, String>,
}

/// A job that was submitted, here or by an earlier run.
#[derive(Clone, Debug)]
pub struct BatchJob {
    client: Client,
    store: Arc<dyn Store>,
    saved: Saved,
}

/// What is kept of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved {
    arn: String,
    model: String,
    input: String,
    output: String,
}

impl BatchJob {
    /// Submits requests, or finds the job of the same requests that was submitted before: it is never paid twice. The
    /// store has to be a bucket that the role may read and write.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for fewer than 100 records, more than 50,000, doubled ids or too large
    /// files; as the store and the service say.
    pub async fn submit(
        context: &AwsContext,
        store: Arc<dyn Store>,
        folder: &Key,
        records: &[BatchRecord],
        settings: &BatchSettings,
    ) -> Result<Self> {
        let body = lines(records)?;
        if !(24..=168).contains(&settings.timeout_hours) {
            return Err(Error::invalid("timeout_hours has to be 24 to 168"));
        }
        let client = Client::new(context.sdk());
        let hash = Sha256::new_with_prefix(&settings.model).chain_update([0]).chain_update(&body);
        let hash = crate::source::sha256_string(hash)["sha256:".len()..][..32].to_owned();
        let note = Key::new(format!("{folder}/job-{hash}.json"))?;
        if let Some(saved) = get_opt(&*store, &note).await? {
            let saved = serde_json::from_slice(&saved)
                .map_err(|e| Error::invalid(format!("{} cannot be read: {e}", store.uri(&note))))?;
            return Ok(Self { client, store, saved });
        }
        let input = Key::new(format!("{folder}/{hash}/input/records.jsonl"))?;
        let output = format!("{folder}/{hash}/output");
        store.put(&input, Bytes::from(body), PutMode::Overwrite).await?;
        let arn =
            create(&client, &hash, &store.uri(&input), &store.uri(&Key::new(output.as_str())?), settings)
                .await?;
        let saved = Saved { arn, model: settings.model.clone(), input: input.to_string(), output };
        let json = serde_json::to_vec_pretty(&saved)
            .map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
        store.put(&note, Bytes::from(json), PutMode::Overwrite).await?;
        Ok(Self { client, store, saved })
    }

    /// The job's ARN.
    pub fn arn(&self) -> &str {
        &self.saved.arn
    }

    /// Asks how far it is.
    ///
    /// # Errors
    /// As the service says.
    pub async fn status(&self) -> Result<BatchStatus> {
        let answer = self
            .client
            .get_model_invocation_job()
            .job_identifier(&self.saved.arn)
            .send()
            .await
            .map_err(|e| service_error("bedrock GetModelInvocationJob", e))?;
        let count = |n: Option<i64>| u64::try_from(n.unwrap_or(0)).unwrap_or(0);
        Ok(BatchStatus {
            state: answer.status().map_or("Submitted", |s| s.as_str()).to_owned(),
            message: answer.message().map(str::to_owned),
            processed: count(answer.processed_record_count()),
            total: count(answer.total_record_count()),
        })
    }

    /// Stops the job; what is done is paid.
    ///
    /// # Errors
    /// As the service says.
    pub async fn stop(&self) -> Result<()> {
        self.client
            .stop_model_invocation_job()
            .job_identifier(&self.saved.arn)
            .send()
            .await
            .map_err(|e| service_error("bedrock StopModelInvocationJob", e))?;
        Ok(())
    }

    /// Reads what is there, also of a job that was stopped or failed half way.
    ///
    /// # Errors
    /// As the store says; a line that cannot be read counts as a record without an answer.
    pub async fn outcome(&self) -> Result<BatchOutcome> {
        let input = self.store.get(&Key::new(self.saved.input.as_str())?).await?;
        let asked: BTreeSet<String> = input
            .split(|b| *b == b'\n')
            .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
            .filter_map(|line| line["recordId"].as_str().map(str::to_owned))
            .collect();
        let mut outcome = BatchOutcome::default();
        let folder = Key::new(self.saved.output.as_str())?;
        let objects: Vec<_> = self.store.list(Some(&folder)).try_collect().await?;
        for object in objects {
            let name = object.key.as_str();
            // Beside the answers lies a manifest with counts.
            if !name.contains(".jsonl") {
                continue;
            }
            let body = self.store.get(&object.key).await?;
            body.split(|b| *b == b'\n').filter(|l| !l.is_empty()).for_each(|line| outcome.take(line, &asked));
        }
        for id in asked {
            if !outcome.answers.contains_key(&id) && !outcome.failed.contains_key(&id) {
                outcome.failed.insert(id, "no answer came back".to_owned());
            }
        }
        Ok(outcome)
    }
}

impl BatchOutcome {
    fn take(&mut self, line: &[u8], asked: &BTreeSet<String>) {
        let Ok(line) = serde_json::from_slice::<Value>(line) else { return };
        let Some(id) = line["recordId"].as_str().filter(|id| asked.contains(*id)) else { return };
        if let Some(error) = line.get("error").filter(|e| !e.is_null()) {
            let words = error["errorMessage"].as_str().unwrap_or("the service gave no reason");
            let code = error["errorCode"].as_i64().map_or_else(String::new, |code| format!(" ({code})"));
            self.failed.insert(id.to_owned(), format!("{words}{code}"));
        } else if let Some(answer) = line.get("modelOutput").filter(|a| !a.is_null()) {
            self.answers.insert(id.to_owned(), answer.clone());
        }
    }
}

/// One request a line.
fn lines(records: &[BatchRecord]) -> Result<Vec<u8>> {
    if !(MIN_RECORDS..=MAX_RECORDS).contains(&records.len()) {
        return Err(Error::invalid(format!(
            "a batch job takes {MIN_RECORDS} to {MAX_RECORDS} records, not {}; ask for fewer one at a time",
            records.len()
        )));
    }
    let mut body = Vec::new();
    let mut ids = BTreeSet::new();
    for record in records {
        if record.id.is_empty() || !ids.insert(&record.id) {
            return Err(Error::invalid(format!("the record id {:?} is empty or comes twice", record.id)));
        }
        let line = serde_json::json!({"recordId": record.id, "modelInput": record.input});
        serde_json::to_writer(&mut body, &line)
            .map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
        body.push(b'\n');
        if body.len() > MAX_BYTES {
            return Err(Error::invalid("the records of one job are over 1 GB; split them"));
        }
    }
    Ok(body)
}

async fn create(
    client: &Client,
    hash: &str,
    input: &str,
    output: &str,
    settings: &BatchSettings,
) -> Result<String> {
    let incomplete = |e: &dyn std::fmt::Display| Error::internal(format!("a batch job is incomplete: {e}"));
    let input = ModelInvocationJobS3InputDataConfig::builder()
        .s3_uri(input)
        .s3_input_format(S3InputFormat::Jsonl)
        .build()
        .map_err(|e| incomplete(&e))?;
    let output = ModelInvocationJobS3OutputDataConfig::builder()
        .s3_uri(format!("{}/", output.trim_end_matches('/')))
        .build()
        .map_err(|e| incomplete(&e))?;
    let answer = client
        .create_model_invocation_job()
        .job_name(format!("picchu-{hash}"))
        .client_request_token(hash)
        .model_id(&settings.model)
        .role_arn(&settings.role_arn)
        .timeout_duration_in_hours(i32::try_from(settings.timeout_hours).unwrap_or(24))
        .input_data_config(ModelInvocationJobInputDataConfig::S3InputDataConfig(input))
        .output_data_config(ModelInvocationJobOutputDataConfig::S3OutputDataConfig(output))
        .send()
        .await
        .map_err(|e| service_error("bedrock CreateModelInvocationJob", e))?;
    if answer.job_arn().is_empty() {
        return Err(Error::new(ErrorKind::Unavailable, "the batch job was created without an ARN"));
    }
    Ok(answer.job_arn().to_owned())
}
