//! The cast as a service knows it.

use std::sync::Arc;

use crate::{
    aws::{
        AwsContext, AwsSettings,
        rekognition::{Enrolment, FaceCollection},
    },
    error::Result,
    layers::Meter,
    train::Ledger,
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
