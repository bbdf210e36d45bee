//! The removal of what a ledger has open, wherever it lives.

use std::time::Duration;

use serde::Serialize;

#[cfg(feature = "aws-rekognition")]
use crate::aws::rekognition::{FaceCollection, is_running, stop_version};
use crate::{
    aws::{AwsContext, AwsSettings},
    error::{Error, ErrorKind, Result},
    train::{Entry, Happened, Ledger, ResourceKind},
};

/// How often something that is ending is looked at.
#[cfg(any(feature = "aws-rekognition", feature = "aws-train"))]
const POLL: Duration = Duration::from_secs(5);

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

/// Which resources are meant; all that the ledger has open unless said otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection {
    /// Also what carries picchu's tag in the Region and is not in the ledger; see [`Cleaner::scan`].
    pub scan: bool,
    /// Only what bills by the hour, used or not.
    pub hourly: bool,
    /// Only what is older than this.
    pub older_than: Option<Duration>,
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

    /// What is meant, in the order in which it can be removed. With it, what could not be asked.
    ///
    /// # Errors
    /// As [`look`](Self::look) and [`scan`](Self::scan).
    pub async fn find(&self, wanted: &Selection) -> Result<(Vec<Resource>, Vec<String>)> {
        let mut found = self.look().await?;
        #[cfg_attr(not(any(feature = "aws-rekognition", feature = "aws-train")), allow(unused_mut))]
        let mut unread = Vec::new();
        #[cfg(any(feature = "aws-rekognition", feature = "aws-train"))]
        if wanted.scan {
            let (orphans, silent) = self.scan().await?;
            found.extend(orphans);
            unread.extend(silent);
        }
        let age = |age: Duration| crate::now_ms().saturating_sub(age.as_millis() as u64);
        let latest = wanted.older_than.map(age);
        found.retain(|resource| latest.is_none_or(|latest| resource.entry.time_ms <= latest));
        found.retain(|resource| !wanted.hourly || resource.entry.kind.bills_by_the_hour());
        found.sort_by_key(|resource| resource.entry.kind);
        Ok((found, unread))
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

    /// What carries picchu's tag in the Region and is not open in the ledger: what another folder's ledger knows, what
    /// another machine made, what a lost ledger knew. It may be others of the account who made it. Changes nothing. With
    /// it, what could not be asked.
    ///
    /// # Errors
    /// The ledger's, and where no Region or credentials are set.
    #[cfg(any(feature = "aws-rekognition", feature = "aws-train"))]
    pub async fn scan(&self) -> Result<(Vec<Resource>, Vec<String>)> {
        let context = AwsContext::from_env(&self.aws).await?;
        let known = self.ledger.open().await?;
        let tagged = [
            #[cfg(feature = "aws-train")]
            crate::aws::bedrock::tagged_resources(&context).await,
            #[cfg(feature = "sagemaker")]
            crate::aws::sagemaker::tagged_sagemaker_resources(&context).await,
            #[cfg(feature = "aws-rekognition")]
            crate::aws::rekognition::tagged_resources(&context).await,
        ];
        let (mut found, mut unread) = (Vec::new(), Vec::new());
        for service in tagged {
            found.extend(service.found);
            unread.extend(service.unread);
        }
        found.retain(|entry| !known.iter().any(|k| (k.kind, &k.id) == (entry.kind, &entry.id)));
        let found = found.into_iter().map(|entry| Resource { entry, exists: Some(true), problem: None });
        Ok((found.collect(), unread))
    }

    async fn exists(&self, entry: &Entry) -> Result<bool> {
        let context = self.context(entry).await?;
        match entry.kind {
            #[cfg(feature = "aws-rekognition")]
            ResourceKind::CustomLabelsVersion => is_running(&context, entry).await,
            #[cfg(feature = "aws-rekognition")]
            ResourceKind::FaceCollection => {
                FaceCollection::new(&context, &entry.id, std::sync::Arc::default())?.exists().await
            }
            #[cfg(feature = "aws-bedrock")]
            ResourceKind::BatchJob => crate::aws::bedrock::is_at_work(&context, entry).await,
            #[cfg(feature = "aws-train")]
            ResourceKind::ProvisionedThroughput | ResourceKind::TrainingJob | ResourceKind::Role => {
                crate::aws::bedrock::resource_exists(&context, entry).await
            }
            #[cfg(feature = "sagemaker")]
            ResourceKind::SageMakerScaling
            | ResourceKind::SageMakerEndpoint
            | ResourceKind::SageMakerEndpointConfig
            | ResourceKind::SageMakerModel
            | ResourceKind::SageMakerJob => {
                crate::aws::sagemaker::sagemaker_resource_exists(&context, entry).await
            }
            // None is left where every feature is on.
            #[allow(unreachable_patterns)]
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
            #[cfg(feature = "aws-rekognition")]
            ResourceKind::CustomLabelsVersion => stop_version(&context, entry, POLL).await?,
            #[cfg(feature = "aws-rekognition")]
            ResourceKind::FaceCollection => {
                FaceCollection::new(&context, &entry.id, std::sync::Arc::default())?.delete(None).await?;
            }
            #[cfg(feature = "aws-bedrock")]
            ResourceKind::BatchJob => crate::aws::bedrock::stop_job(&context, entry).await?,
            #[cfg(feature = "aws-train")]
            ResourceKind::ProvisionedThroughput | ResourceKind::TrainingJob | ResourceKind::Role => {
                crate::aws::bedrock::end_resource(&context, entry, POLL).await?;
            }
            #[cfg(feature = "sagemaker")]
            ResourceKind::SageMakerScaling
            | ResourceKind::SageMakerEndpoint
            | ResourceKind::SageMakerEndpointConfig
            | ResourceKind::SageMakerModel
            | ResourceKind::SageMakerJob => {
                crate::aws::sagemaker::end_sagemaker_resource(&context, entry, POLL).await?;
            }
            #[allow(unreachable_patterns)]
            kind => return Err(unknown(kind)),
        }
        self.ledger.note(&entry.now(Happened::Ended)).await
    }

    /// A resource is removed in the Region where it lives.
    async fn context(&self, entry: &Entry) -> Result<AwsContext> {
        AwsContext::from_env(&AwsSettings { region: Some(entry.region.clone()), ..self.aws.clone() }).await
    }
}

#[cfg_attr(
    all(feature = "aws-rekognition", feature = "sagemaker"),
    allow(dead_code, reason = "these features know every kind")
)]
fn unknown(kind: ResourceKind) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "this build knows nothing of a {}; the features \"aws-rekognition\" and \"sagemaker\" know all",
            kind.as_str()
        ),
    )
}
