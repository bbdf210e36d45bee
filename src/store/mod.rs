//! Where datasets live: objects under keys, in a folder, in memory, or on a service.

mod below;
mod fs;
mod key;
mod lease;
mod memory;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

pub(crate) use self::below::Below;
#[cfg(all(feature = "aws-s3", feature = "video"))]
pub(crate) use self::lease::token;
pub use self::{
    fs::{FsStore, write_file},
    key::{Key, escape, slug, unescape},
    lease::{LEASE, Lease, lock},
    memory::MemoryStore,
};
use crate::error::Result;

/// What a store knows of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its key.
    pub key: Key,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// What to do when the key is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutMode {
    /// Replace the object.
    Overwrite,
    /// Fail with [`AlreadyExists`](crate::ErrorKind::AlreadyExists).
    CreateOnly,
}

/// Objects under keys.
///
/// # Contract
/// - [`put`](Self::put) is atomic: readers see the old object or the whole new one, also after a crash.
/// - [`get`](Self::get) of an absent key is [`NotFound`](crate::ErrorKind::NotFound);
///   [`delete`](Self::delete) of one is no error.
/// - [`list`](Self::list) gives every object below a prefix, ordered by key.
#[async_trait]
pub trait Store: std::fmt::Debug + Send + Sync + 'static {
    /// Writes a whole object.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) for [`PutMode::CreateOnly`] on a taken key;
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied),
    /// [`QuotaExceeded`](crate::ErrorKind::QuotaExceeded) for a full disk.
    async fn put(&self, key: &Key, body: Bytes, mode: PutMode) -> Result<()>;

    /// Reads a whole object.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for an absent key.
    async fn get(&self, key: &Key) -> Result<Bytes>;

    /// Removes an object, if it is there.
    ///
    /// # Errors
    /// When the store refuses.
    async fn delete(&self, key: &Key) -> Result<()>;

    /// The objects whose keys begin with `prefix` and a slash, or all, ordered by key.
    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>>;

    /// Excludes other writers by the store's own means; `None` where it has none, so that objects must do.
    /// [`lock`] does either.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) while somebody else is writing.
    async fn try_lock(&self) -> Result<Option<Lease>> {
        Ok(None)
    }

    /// How long a lease that consists of an object lasts without being renewed: as long a crashed run keeps others
    /// waiting.
    fn lease_length(&self) -> Duration {
        LEASE
    }

    /// Where an object lives, for people and for services: a path or an address.
    fn uri(&self, key: &Key) -> String;
}

/// Reads an object, or `None` if it is absent.
///
/// # Errors
/// Any but an absent key.
pub async fn get_opt(store: &dyn Store, key: &Key) -> Result<Option<Bytes>> {
    match store.get(key).await {
        Ok(body) => Ok(Some(body)),
        Err(e) if e.kind() == crate::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
