//! A store that is written only while the run holds the right to.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::{
    error::Result,
    store::{Key, Lease, ObjectMeta, PutMode, Store},
};

/// The store of one run. A run that lost its lease, for example because the machine slept, writes nothing more.
#[derive(Debug)]
pub(crate) struct Exclusive {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) lease: Arc<Lease>,
}

#[async_trait]
impl Store for Exclusive {
    async fn put(&self, key: &Key, body: Bytes, mode: PutMode) -> Result<()> {
        self.lease.check()?;
        self.inner.put(key, body, mode).await
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        self.inner.get(key).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.lease.check()?;
        self.inner.delete(key).await
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn try_lock(&self) -> Result<Option<Lease>> {
        self.inner.try_lock().await
    }

    fn lease_length(&self) -> Duration {
        self.inner.lease_length()
    }

    fn uri(&self, key: &Key) -> String {
        self.inner.uri(key)
    }
}
