//! Many requests as one job: half the price, done in hours, answers read back by the id of the record.
//!
//! ```text
//! folder/job-<hash>.json               what is submitted, so that a restart finds the job again
//! folder/<hash>/input/records.jsonl    one request a line
//! folder/<hash>/output/…               what Bedrock writes
//! ```
//! The hash is that of the requests: equal requests are one job, whoever submits them and how often, until its outcome
//! was taken; then they are asked anew. The note is written before the job is created, and the job's token is the hash, so
//! a crash in between submits nothing twice.

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
    train::{Entry, Happened, Ledger, ResourceKind},
};

/// Fewest records of a job; fewer are asked one at a time.
pub const MIN_RECORDS: usize = 100;
/// Most records of a job.
pub(super) const MAX_RECORDS: usize = 50_000;
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

/// How jobs are run.
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

/// The jobs of a folder in a bucket.
#[derive(Clone, Debug)]
pub struct BatchJobs {
    client: Client,
    region: String,
    store: Arc<dyn Store>,
    folder: Key,
    settings: BatchSettings,
    ledger: Option<Ledger>,
}

/// A job that was submitted, here or by an earlier run.
#[derive(Clone, Debug)]
pub struct BatchJob {
    jobs: BatchJobs,
    note: Note,
}

/// What is kept of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Note {
    /// Its name without the prefix.
    hash: String,
    /// None: it is about to be created.
    arn: Option<String>,
    model: String,
    /// Ids of its records.
    records: BTreeSet<String>,
    /// Whether its outcome was taken.
    #[serde(default)]
    taken: bool,
}

impl BatchJobs {
    /// The jobs in a folder of a store, which has to be a bucket that the role may read and write.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for settings out of range.
    pub fn new(
        context: &AwsContext,
        store: Arc<dyn Store>,
        folder: Key,
        settings: BatchSettings,
    ) -> Result<Self> {
        if !(24..=168).contains(&settings.timeout_hours) {
            return Err(Error::invalid("timeout_hours has to be 24 to 168"));
        }
        let client = Client::new(context.sdk());
        Ok(Self { client, region: context.region().to_owned(), store, folder, settings, ledger: None })
    }

    /// Sets the ledger in which jobs are written down before they are created.
    #[must_use]
    pub fn ledger(mut self, ledger: Ledger) -> Self {
        self.ledger = Some(ledger);
        self
    }

    /// Submits requests, or finds the job of the same requests that was submitted before and whose outcome was not taken:
    /// it is never paid twice.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for fewer than 100 records, more than 50,000, doubled ids or too large
    /// files; as the store and the service say.
    pub async fn submit(&self, records: &[BatchRecord]) -> Result<BatchJob> {
        let body = lines(records)?;
        let hash = Sha256::new_with_prefix(&self.settings.model).chain_update([0]).chain_update(&body);
        let hash = crate::source::sha256_string(hash)["sha256:".len()..][..32].to_owned();
        let mut name = hash.clone();
        for again in 1_u32.. {
            match self.note(&name).await? {
                Some(note) if note.taken => name = format!("{hash}-{again}"),
                Some(note) => return self.create(note).await,
                None => break,
            }
        }
        let records = records.iter().map(|r| r.id.clone()).collect();
        let note = Note { hash: name, arn: None, model: self.settings.model.clone(), records, taken: false };
        self.store.put(&self.input(&note)?, Bytes::from(body), PutMode::Overwrite).await?;
        self.keep(&note).await?;
        self.create(note).await
    }

    /// Every job whose outcome was not taken, by name. What a crash left noted and not created is created now.
    ///
    /// # Errors
    /// As the store and the service say.
    pub async fn open(&self) -> Result<Vec<BatchJob>> {
        let objects: Vec<_> = self.store.list(Some(&self.folder)).try_collect().await?;
        let prefix = format!("{}/job-", self.folder);
        let mut names: Vec<&str> = objects
            .iter()
            .filter_map(|o| o.key.as_str().strip_prefix(&prefix)?.strip_suffix(".json"))
            .collect();
        names.sort_unstable();
        let mut open = Vec::new();
        for name in names {
            if let Some(note) = self.note(name).await?.filter(|note| !note.taken) {
                open.push(self.create(note).await?);
            }
        }
        Ok(open)
    }

    fn place(&self, name: &str) -> Result<Key> {
        Key::new(format!("{}/job-{name}.json", self.folder))
    }

    fn input(&self, note: &Note) -> Result<Key> {
        Key::new(format!("{}/{}/input/records.jsonl", self.folder, note.hash))
    }

    fn output(&self, note: &Note) -> Result<Key> {
        Key::new(format!("{}/{}/output", self.folder, note.hash))
    }

    async fn note(&self, name: &str) -> Result<Option<Note>> {
        let place = self.place(name)?;
        let Some(body) = get_opt(&*self.store, &place).await? else { return Ok(None) };
        let note = serde_json::from_slice(&body)
            .map_err(|e| Error::invalid(format!("{} cannot be read: {e}", self.store.uri(&place))))?;
        Ok(Some(note))
    }

    async fn keep(&self, note: &Note) -> Result<()> {
        let json = serde_json::to_vec_pretty(note)
            .map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
        self.store.put(&self.place(&note.hash)?, Bytes::from(json), PutMode::Overwrite).await
    }

    /// The job of a note: created, unless it was.
    async fn create(&self, mut note: Note) -> Result<BatchJob> {
        if note.arn.is_none() {
            self.write_down(&note, Happened::Creating, &[]).await?;
            match self.request(&note).await {
                Ok(arn) => note.arn = Some(arn),
                // What was refused was not created, and must not stand in the way of the next try.
                Err(e) if !e.is_retryable() => {
                    self.store.delete(&self.place(&note.hash)?).await?;
                    self.write_down(&note, Happened::Ended, &[]).await?;
                    return Err(e);
                }
                Err(e) => return Err(e),
            }
            self.keep(&note).await?;
            self.write_down(&note, Happened::Created, &[]).await?;
        }
        Ok(BatchJob { jobs: self.clone(), note })
    }

    async fn request(&self, note: &Note) -> Result<String> {
        let incomplete =
            |e: &dyn std::fmt::Display| Error::internal(format!("a batch job is incomplete: {e}"));
        let input = ModelInvocationJobS3InputDataConfig::builder()
            .s3_uri(self.store.uri(&self.input(note)?))
            .s3_input_format(S3InputFormat::Jsonl)
            .build()
            .map_err(|e| incomplete(&e))?;
        let output = ModelInvocationJobS3OutputDataConfig::builder()
            .s3_uri(format!("{}/", self.store.uri(&self.output(note)?)))
            .build()
            .map_err(|e| incomplete(&e))?;
        let answer = self
            .client
            .create_model_invocation_job()
            .job_name(job_name(&note.hash))
            .client_request_token(&note.hash)
            .model_id(&note.model)
            .role_arn(&self.settings.role_arn)
            .timeout_duration_in_hours(i32::try_from(self.settings.timeout_hours).unwrap_or(24))
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

    async fn write_down(&self, note: &Note, happened: Happened, details: &[(&str, String)]) -> Result<()> {
        let Some(ledger) = &self.ledger else { return Ok(()) };
        let mut entry = Entry::creating(ResourceKind::BatchJob, job_name(&note.hash), &self.region);
        entry.details.insert("model".into(), note.model.clone());
        entry.details.insert("records".into(), note.records.len().to_string());
        entry.details.extend(details.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        ledger.note(&entry.now(happened)).await
    }
}

impl BatchJob {
    /// The job's ARN.
    pub fn arn(&self) -> &str {
        self.note.arn.as_deref().unwrap_or_default()
    }

    /// Ids of its records.
    pub fn records(&self) -> &BTreeSet<String> {
        &self.note.records
    }

    /// Asks how far it is.
    ///
    /// # Errors
    /// As the service says.
    pub async fn status(&self) -> Result<BatchStatus> {
        let answer = self
            .jobs
            .client
            .get_model_invocation_job()
            .job_identifier(self.arn())
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
        stop(&self.jobs.client, self.arn()).await
    }

    /// Reads what is there, also of a job that was stopped or failed half way.
    ///
    /// # Errors
    /// As the store says; a line that cannot be read counts as a record without an answer.
    pub async fn outcome(&self) -> Result<BatchOutcome> {
        let asked = self.records();
        let mut outcome = BatchOutcome::default();
        let store = &self.jobs.store;
        let objects: Vec<_> = store.list(Some(&self.jobs.output(&self.note)?)).try_collect().await?;
        for object in objects {
            // Beside the answers lies a manifest with counts.
            if !object.key.as_str().contains(".jsonl") {
                continue;
            }
            let body = store.get(&object.key).await?;
            body.split(|b| *b == b'\n').filter(|l| !l.is_empty()).for_each(|line| outcome.take(line, asked));
        }
        for id in asked {
            if !outcome.answers.contains_key(id) && !outcome.failed.contains_key(id) {
                outcome.failed.insert(id.clone(), "no answer came back".to_owned());
            }
        }
        Ok(outcome)
    }

    /// Notes that the outcome was taken, and what it cost in US dollars: equal requests are asked anew from now on.
    ///
    /// # Errors
    /// As the stores say.
    pub async fn taken(&self, usd: f64) -> Result<()> {
        self.jobs.keep(&Note { taken: true, ..self.note.clone() }).await?;
        self.jobs.write_down(&self.note, Happened::Ended, &[("usd", format!("{usd:.6}"))]).await
    }
}

fn job_name(hash: &str) -> String {
    format!("picchu-{hash}")
}

async fn stop(client: &Client, job: &str) -> Result<()> {
    client
        .stop_model_invocation_job()
        .job_identifier(job)
        .send()
        .await
        .map_err(|e| service_error("bedrock StopModelInvocationJob", e))?;
    Ok(())
}

/// The ARN of the job of a line in the ledger, while it is at work. Only the names of jobs are known before they are made.
async fn at_work(client: &Client, entry: &Entry) -> Result<Option<String>> {
    let mut pages =
        client.list_model_invocation_jobs().name_contains(&entry.id).into_paginator().items().send();
    while let Some(job) = pages.next().await {
        let job = job.map_err(|e| service_error("bedrock ListModelInvocationJobs", e))?;
        // The search finds parts of names too.
        if job.job_name() == entry.id {
            let state = job.status().map_or("Submitted", |s| s.as_str()).to_owned();
            let status = BatchStatus { state, message: None, processed: 0, total: 0 };
            return Ok((!status.is_final()).then(|| job.job_arn().to_owned()));
        }
    }
    Ok(None)
}

/// Whether the job of a line in the ledger is at work.
pub(crate) async fn is_at_work(context: &AwsContext, entry: &Entry) -> Result<bool> {
    Ok(at_work(&Client::new(context.sdk()), entry).await?.is_some())
}

/// Stops the job of a line in the ledger, if it is at work.
pub(crate) async fn stop_job(context: &AwsContext, entry: &Entry) -> Result<()> {
    let client = Client::new(context.sdk());
    match at_work(&client, entry).await? {
        Some(arn) => stop(&client, &arn).await,
        None => Ok(()),
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
