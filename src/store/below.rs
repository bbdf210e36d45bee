//! A part of a store, as a store.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};

use super::{Key, ObjectMeta, PutMode, Store};
use crate::error::{Error, Result};

/// The objects below a key, under what follows in theirs. Who writes has to hold the whole store.
#[derive(Clone, Debug)]
pub(crate) struct Below {
    store: Arc<dyn Store>,
    prefix: Key,
}

impl Below {
    pub(crate) fn new(store: &Arc<dyn Store>, prefix: Key) -> Self {
        Self { store: Arc::clone(store), prefix }
    }

    fn key(&self, key: &Key) -> Result<Key> {
        Key::new(format!("{}/{key}", self.prefix))
    }
}

#[async_trait]
impl Store for Below {
    async fn put(&self, key: &Key, body: Bytes, mode: PutMode) -> Result<()> {
        self.store.put(&self.key(key)?, body, mode).await
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        self.store.get(&self.key(key)?).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.store.delete(&self.key(key)?).await
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        let whole = match prefix.map_or_else(|| Ok(self.prefix.clone()), |p| self.key(p)) {
            Ok(whole) => whole,
            Err(e) => return futures::stream::iter([Err(e)]).boxed(),
        };
        let cut = format!("{}/", self.prefix);
        let objects = self.store.list(Some(&whole));
        objects
            .map(move |object| {
                let object = object?;
                let key = object.key.as_str().strip_prefix(&cut).ok_or_else(|| {
                    Error::internal(format!("{} was listed, which is not below {cut}", object.key))
                })?;
                Ok(ObjectMeta { key: Key::new(key)?, size_bytes: object.size_bytes })
            })
            .boxed()
    }

    fn uri(&self, key: &Key) -> String {
        self.key(key).map_or_else(|_| key.to_string(), |key| self.store.uri(&key))
    }
}
