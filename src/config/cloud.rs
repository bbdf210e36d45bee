//! What lives in the cloud beside a run: the enrolled cast, and the removal of what the ledger knows.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    aws::{
        AwsContext, AwsSettings,
        rekognition::{Enrolment, FaceCollection, is_running, stop_version},
    },
    error::Result,
    layers::Meter,
    train::{Entry, Happened, Ledger, ResourceKind},
    types::{Cast, Usage},
};

/// Where the faces of a cast are kept.
#[derive(Debug)]
pub struct CastService {
    collection: FaceCollection,
    meter: Arc<Meter>,
}

impl CastService {
    /// An Amazon Rekognition collection, which need not exist yet.
    ///
    /// # Errors
    /// As [`AwsContext::from_env`], and for an id that is none.
    pub async fn open(aws: &AwsSettings, collection: &str) -> Result<Self> {
        let meter = Arc::<Meter>::default();
        let context = AwsContext::from_env(aws).await?;
        Ok(Self { collection: FaceCollection::new(&context, collection, Arc::clone(&meter))?, meter })
    }

    /// Enrols a cast, as [`FaceCollection::enrol`].
    ///
    /// # Errors
    /// As [`FaceCollection::enrol`].
    pub async fn enrol(&self, cast: &Cast, users: bool, ledger: &Ledger) -> Result<Enrolment> {
        cast.check()?;
        self.collection.enrol(cast, users, Some(ledger)).await
    }

    /// Deletes it with all faces.
    ///
    /// # Errors
    /// As the service says.
    pub async fn delete(&self, ledger: Option<&Ledger>) -> Result<()> {
        self.collection.delete(ledger).await
    }

    /// What calls cost so far.
    pub fn usage(&self) -> Usage {
        self.meter.total()
    }
}

/// A resource that the ledger has open.
#[derive(Clone, Debug, Serialize)]
pub struct Resource {
    /// Its last line in the ledger.
    #[serde(flatten)]
    pub entry: Entry,
    /// Whether the service still has it. `None`: it did not tell.
    pub exists: Option<bool>,
    /// Why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Removes what a ledger has open. Removing twice is no error.
#[derive(Debug)]
pub struct Cleaner {
    ledger: Ledger,
    aws: AwsSettings,
}

impl Cleaner {
    /// For a ledger; how to reach the services.
    pub fn new(ledger: Ledger, aws: AwsSettings) -> Self {
        Self { ledger, aws }
    }

    /// What is open, with what the services say of it. Changes nothing and costs nothing. A service that does not
    /// answer keeps nobody from seeing, and removing, the rest.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn look(&self) -> Result<Vec<Resource>> {
        let mut found = Vec::new();
        for entry in self.ledger.open().await? {
            let (exists, problem) = match self.exists(&entry).await {
                Ok(exists) => (Some(exists), None),
                Err(e) => (None, Some(e.to_string())),
            };
            found.push(Resource { entry, exists, problem });
        }
        Ok(found)
    }

    async fn exists(&self, entry: &Entry) -> Result<bool> {
        let context = self.context(entry).await?;
        match entry.kind {
            ResourceKind::CustomLabelsVersion => is_running(&context, entry).await,
            ResourceKind::FaceCollection => {
                FaceCollection::new(&context, &entry.id, Arc::default())?.exists().await
            }
            #[cfg(feature = "aws-bedrock")]
            ResourceKind::BatchJob => crate::aws::bedrock::is_at_work(&context, entry).await,
            #[cfg(not(feature = "aws-bedrock"))]
            kind => Err(unknown(kind)),
        }
    }

    /// Removes one, and notes it.
    ///
    /// # Errors
    /// As the service says; the ledger keeps it open then.
    pub async fn remove(&self, entry: &Entry) -> Result<()> {
        let context = self.context(entry).await?;
        match entry.kind {
            ResourceKind::CustomLabelsVersion => {
                stop_version(&context, entry, std::time::Duration::from_secs(5)).await?;
            }
            ResourceKind::FaceCollection => {
                FaceCollection::new(&context, &entry.id, Arc::default())?.delete(None).await?;
            }
            #[cfg(feature = "aws-bedrock")]
            ResourceKind::BatchJob => crate::aws::bedrock::stop_job(&context, entry).await?,
            #[cfg(not(feature = "aws-bedrock"))]
            kind => return Err(unknown(kind)),
        }
        self.ledger.note(&entry.now(Happened::Ended)).await
    }

    /// A resource is removed in the Region where it lives.
    async fn context(&self, entry: &Entry) -> Result<AwsContext> {
        AwsContext::from_env(&AwsSettings { region: Some(entry.region.clone()), ..self.aws.clone() }).await
    }
}

#[cfg(not(feature = "aws-bedrock"))]
fn unknown(kind: ResourceKind) -> crate::Error {
    crate::Error::new(
        crate::ErrorKind::Unsupported,
        format!("this build knows nothing of a {}; enable the feature \"aws-bedrock\"", kind.as_str()),
    )
}
