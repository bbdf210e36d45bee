//! Stores that fail when told to.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::{
    error::{Error, ErrorKind, Result},
    store::{Key, Lease, ObjectMeta, PutMode, Store},
};

/// A store that fails from its n-th write on, like a disk that is full or a process that is killed.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    writes_left: AtomicU64,
    kind: ErrorKind,
}

impl FaultyStore {
    /// Lets `writes` writes through and answers the later ones with an error of `kind`.
    pub fn new(inner: Arc<dyn Store>, writes: u64, kind: ErrorKind) -> Self {
        Self { inner, writes_left: AtomicU64::new(writes), kind }
    }

    fn spend(&self) -> Result<()> {
        self.writes_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .map(drop)
            .map_err(|_| Error::new(self.kind, "injected fault"))
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn put(&self, key: &Key, body: Bytes, mode: PutMode) -> Result<()> {
        self.spend()?;
        self.inner.put(key, body, mode).await
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        self.inner.get(key).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.spend()?;
        self.inner.delete(key).await
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn try_lock(&self) -> Result<Option<Lease>> {
        self.inner.try_lock().await
    }

    fn uri(&self, key: &Key) -> String {
        self.inner.uri(key)
    }
}
