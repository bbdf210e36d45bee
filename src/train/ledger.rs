//! What was created and bills, written down before it is created, so that it can be removed after any crash.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    store::{Key, PutMode, Store, get_opt},
};

/// The ledger's name in a dataset.
pub const LEDGER: &str = "ledger.jsonl";

/// What a resource is, which says how it is removed; in the order in which things are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResourceKind {
    /// Throughput that serves a trained model; bills by the hour until it is deleted.
    ProvisionedThroughput,
    /// A running version of a Rekognition Custom Labels model; bills by the hour until it is stopped.
    CustomLabelsVersion,
    /// The rules by which an endpoint's machines come and go, and their alarm.
    #[serde(rename = "sagemaker_scaling")]
    SageMakerScaling,
    /// An endpoint of SageMaker; bills by the hour while it has a machine.
    #[serde(rename = "sagemaker_endpoint")]
    SageMakerEndpoint,
    /// The configuration of an endpoint, which costs nothing.
    #[serde(rename = "sagemaker_endpoint_config")]
    SageMakerEndpointConfig,
    /// A model as SageMaker serves it, which costs nothing; its files lie on S3.
    #[serde(rename = "sagemaker_model")]
    SageMakerModel,
    /// A training job of SageMaker; bills by the second until its end.
    #[serde(rename = "sagemaker_job")]
    SageMakerJob,
    /// A training job and the model that it makes; the model bills by the month until it is deleted.
    TrainingJob,
    /// The role of training jobs, which costs nothing.
    Role,
    /// A Rekognition collection; its faces bill by the month until it is deleted.
    FaceCollection,
    /// A job of batch inference; what it has answered is paid, and it ends by itself.
    BatchJob,
}

impl ResourceKind {
    /// The kind in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProvisionedThroughput => "provisioned throughput",
            Self::CustomLabelsVersion => "running Custom Labels version",
            Self::SageMakerScaling => "scaling of a SageMaker endpoint",
            Self::SageMakerEndpoint => "SageMaker endpoint",
            Self::SageMakerEndpointConfig => "SageMaker endpoint configuration",
            Self::SageMakerModel => "SageMaker model",
            Self::SageMakerJob => "SageMaker training job",
            Self::TrainingJob => "training job with its model",
            Self::Role => "role of training jobs",
            Self::FaceCollection => "face collection",
            Self::BatchJob => "batch inference job",
        }
    }

    /// Whether it bills for as long as it runs, used or not.
    pub fn bills_by_the_hour(self) -> bool {
        matches!(
            self,
            Self::ProvisionedThroughput
                | Self::CustomLabelsVersion
                | Self::SageMakerEndpoint
                | Self::SageMakerJob
        )
    }
}

/// What happened to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// It is about to be created; whether it was is known only where a later line says so.
    Creating,
    /// It exists.
    Created,
    /// It is gone, and bills no more.
    Ended,
}

/// One line of the ledger. Later lines about the same resource win.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is.
    pub kind: ResourceKind,
    /// The service's name for it: an ARN or an id.
    pub id: String,
    /// Where it lives.
    pub region: String,
    /// What happened.
    pub happened: Happened,
    /// When, in milliseconds since 1970 UTC.
    pub time_ms: u64,
    /// What it costs an hour in US dollars while it exists, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_per_hour: Option<f64>,
    /// What removing it needs beyond its id, for example the ARN of its project.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

impl Entry {
    /// A resource that is about to be created now.
    pub fn creating(kind: ResourceKind, id: impl Into<String>, region: impl Into<String>) -> Self {
        Self {
            kind,
            id: id.into(),
            region: region.into(),
            happened: Happened::Creating,
            time_ms: crate::now_ms(),
            usd_per_hour: None,
            details: BTreeMap::new(),
        }
    }

    /// The same resource, to which something happened now.
    #[must_use]
    pub fn now(&self, happened: Happened) -> Self {
        Self { happened, time_ms: crate::now_ms(), ..self.clone() }
    }
}

/// The ledger of a dataset or of a folder: `ledger.jsonl`. One process writes it at a time.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> picchu::Result<()> {
/// use std::sync::Arc;
/// use picchu::{store::MemoryStore, train::{Entry, Happened, Ledger, ResourceKind}};
/// let ledger = Ledger::new(Arc::new(MemoryStore::new()));
/// let faces = Entry::creating(ResourceKind::FaceCollection, "my-film", "us-east-1");
/// ledger.note(&faces).await?;
/// assert_eq!(ledger.open().await?.len(), 1);
/// ledger.note(&faces.now(Happened::Ended)).await?;
/// assert!(ledger.open().await?.is_empty());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Ledger {
    store: Arc<dyn Store>,
    writing: Arc<tokio::sync::Mutex<()>>,
}

impl Ledger {
    /// The ledger in a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, writing: Arc::default() }
    }

    /// Adds a line. It is stored when this returns.
    ///
    /// # Errors
    /// The store's; nothing must be created then.
    pub async fn note(&self, entry: &Entry) -> Result<()> {
        let _alone = self.writing.lock().await;
        let key = Key::new(LEDGER)?;
        let mut body = get_opt(&*self.store, &key).await?.unwrap_or_default().to_vec();
        serde_json::to_writer(&mut body, entry)
            .map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
        body.push(b'\n');
        self.store.put(&key, Bytes::from(body), PutMode::Overwrite).await
    }

    /// Every line, the oldest first.
    ///
    /// # Errors
    /// The store's; [`InvalidInput`](crate::ErrorKind::InvalidInput) names a line that is not understood.
    pub async fn entries(&self) -> Result<Vec<Entry>> {
        let body = get_opt(&*self.store, &Key::new(LEDGER)?).await?.unwrap_or_default();
        let lines = body.split(|&b| b == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
        lines
            .map(|(number, line)| {
                serde_json::from_slice(line)
                    .map_err(|e| Error::invalid(format!("line {} of {LEDGER} is broken: {e}", number + 1)))
            })
            .collect()
    }

    /// The line of an earlier run that was about to create the same, and never told whether it did; else the given one.
    #[cfg(feature = "aws-train")]
    pub(crate) async fn unfinished(&self, wanted: Entry) -> Result<Entry> {
        let same = |e: &Entry| {
            e.happened == Happened::Creating
                && (e.kind, &e.region, &e.id) == (wanted.kind, &wanted.region, &wanted.id)
        };
        Ok(self.open().await?.into_iter().find(same).unwrap_or(wanted))
    }

    /// Notes that a resource exists, unless that is noted.
    #[cfg(feature = "aws-train")]
    pub(crate) async fn note_created(&self, entry: &Entry) -> Result<()> {
        let noted = |e: &Entry| {
            e.happened == Happened::Created
                && (e.kind, &e.region, &e.id) == (entry.kind, &entry.region, &entry.id)
        };
        if self.open().await?.iter().any(noted) {
            return Ok(());
        }
        self.note(&entry.now(Happened::Created)).await
    }

    /// The resources that exist, or may exist, by their last lines.
    ///
    /// # Errors
    /// As [`entries`](Self::entries).
    pub async fn open(&self) -> Result<Vec<Entry>> {
        let mut last = BTreeMap::new();
        for entry in self.entries().await? {
            last.insert((entry.kind, entry.region.clone(), entry.id.clone()), entry);
        }
        Ok(last.into_values().filter(|e| e.happened != Happened::Ended).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn later_lines_win_and_broken_ones_are_named() {
        let store = MemoryStore::new();
        let ledger = Ledger::new(Arc::new(store.clone()));
        let one = Entry::creating(ResourceKind::CustomLabelsVersion, "arn:1", "eu-west-1");
        ledger.note(&one).await.unwrap();
        ledger.note(&Entry { region: "us-east-1".into(), ..one.clone() }).await.unwrap();
        ledger.note(&one.now(Happened::Created)).await.unwrap();
        ledger.note(&one.now(Happened::Ended)).await.unwrap();
        let open = ledger.open().await.unwrap();
        assert_eq!((open.len(), open[0].region.as_str()), (1, "us-east-1"));
        let key = Key::new(LEDGER).unwrap();
        store.put(&key, Bytes::from_static(b"{\n"), PutMode::Overwrite).await.unwrap();
        assert!(ledger.open().await.unwrap_err().message().contains("line 1"));
    }
}
