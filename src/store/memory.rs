//! Objects in memory, for tests and for data that need not last.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};

use super::{Key, Lease, ObjectMeta, PutMode, Store};
use crate::error::{Error, ErrorKind, Result};

/// Objects in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    objects: Arc<Mutex<BTreeMap<Key, Bytes>>>,
    locked: Arc<AtomicBool>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn objects(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Bytes>> {
        // A map of whole values is sound even if another thread panicked.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn put(&self, key: &Key, body: Bytes, mode: PutMode) -> Result<()> {
        let mut objects = self.objects();
        if mode == PutMode::CreateOnly && objects.contains_key(key) {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("{key} exists already")));
        }
        objects.insert(key.clone(), body);
        Ok(())
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        let found = self.objects().get(key).cloned();
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("{key} does not exist")))
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.objects().remove(key);
        Ok(())
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        let found: Vec<_> = self
            .objects()
            .iter()
            .filter(|(key, _)| prefix.is_none_or(|p| key.is_below(p)))
            .map(|(key, body)| Ok(ObjectMeta { key: key.clone(), size_bytes: body.len() as u64 }))
            .collect();
        stream::iter(found).boxed()
    }

    async fn try_lock(&self) -> Result<Option<Lease>> {
        Lease::flag(&self.locked, "this store in memory").map(Some)
    }

    fn uri(&self, key: &Key) -> String {
        format!("memory:{key}")
    }
}
