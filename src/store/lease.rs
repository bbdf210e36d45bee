//! The right to write into a store: one writer at a time, wherever the store is.
//!
//! A folder is locked by the operating system, which lets go when the process ends, however it ends. Elsewhere a lease
//! is an object that its holder keeps rewriting. Whoever finds one watches it: if it changes, somebody is at work; if
//! it stays as it is for the lease's whole length, its holder is gone, and the next generation of the lease is created
//! in its place. Nothing depends on clocks that agree.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, task::JoinHandle};

use super::{Key, PutMode, Store, get_opt};
use crate::error::{Error, ErrorKind, Result};

const FOLDER: &str = "lock";

/// How long a lease lasts without being renewed, unless the store says otherwise.
pub const LEASE: Duration = Duration::from_secs(15);

/// The right to write into a store. Dropping it gives it back, as well as that can be done without waiting;
/// [`release`](Self::release) waits.
#[derive(Debug)]
pub struct Lease(Held);

#[derive(Debug)]
enum Held {
    File(FileLock),
    Flag(FlagLock),
    Object(ObjectLease),
}

/// Takes the right to write into a store.
///
/// # Errors
/// [`AlreadyExists`](ErrorKind::AlreadyExists) while somebody else has it; otherwise as the store says.
pub async fn lock(store: &Arc<dyn Store>) -> Result<Lease> {
    match store.try_lock().await? {
        Some(lease) => Ok(lease),
        None => ObjectLease::take(store).await.map(|lease| Lease(Held::Object(lease))),
    }
}

impl Lease {
    /// Whether the right is still there. A holder that could not renew it in time must not write any more.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) when it was lost.
    pub fn check(&self) -> Result<()> {
        match &self.0 {
            Held::Object(lease) if !lease.holds() => Err(lost()),
            _ => Ok(()),
        }
    }

    /// Waits until the right is lost, which as a rule is never.
    pub async fn lost(&self) -> Error {
        match &self.0 {
            Held::Object(lease) => {
                let mut alive = lease.alive.clone();
                let _ = alive.wait_for(|alive| !alive).await;
                lost()
            }
            _ => std::future::pending().await,
        }
    }

    /// Gives the right back.
    ///
    /// # Errors
    /// When the store does not answer; the lease then ends by itself.
    pub async fn release(self) -> Result<()> {
        match self.0 {
            Held::Object(lease) => lease.release().await,
            Held::File(lock) => {
                crate::blocking(move || {
                    drop(lock);
                    Ok(())
                })
                .await
            }
            Held::Flag(lock) => {
                drop(lock);
                Ok(())
            }
        }
    }

    pub(super) fn file(lock: FileLock) -> Self {
        Self(Held::File(lock))
    }

    /// A lock between users of one process's memory.
    pub(super) fn flag(flag: &Arc<AtomicBool>, place: &str) -> Result<Self> {
        if flag.swap(true, Ordering::SeqCst) {
            return Err(taken(place, "another run of this process"));
        }
        Ok(Self(Held::Flag(FlagLock(Arc::clone(flag)))))
    }
}

fn lost() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the lease on the dataset could not be renewed in time, and another run may have taken it over; finished work \
         is kept, and the same command goes on from there",
    )
}

pub(super) fn taken(place: &str, who: &str) -> Error {
    Error::new(
        ErrorKind::AlreadyExists,
        format!("{who} is at work on {place}; let it finish or stop it, or choose another place"),
    )
    .with_retryable(true)
}

#[derive(Debug)]
struct FlagLock(Arc<AtomicBool>);

impl Drop for FlagLock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// A file that the operating system keeps locked for this process.
#[derive(Debug)]
pub(super) struct FileLock {
    pub(super) file: std::fs::File,
    pub(super) path: std::path::PathBuf,
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Removed while it is locked: whoever has opened it meanwhile sees that it is not the file in the folder.
        if cfg!(unix) {
            let _ = std::fs::remove_file(&self.path);
        }
        let _ = self.file.unlock();
    }
}

/// What stands in a lease's object.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    /// Tells holders apart.
    token: String,
    /// Process of the holder, for people.
    process: u32,
    /// Changes with every renewal.
    beat: u64,
}

#[derive(Debug)]
struct ObjectLease {
    store: Arc<dyn Store>,
    key: Key,
    alive: watch::Receiver<bool>,
    /// When the last renewal was sent that succeeded.
    renewed: watch::Receiver<Instant>,
    length: Duration,
    renewal: JoinHandle<()>,
}

impl ObjectLease {
    async fn take(store: &Arc<dyn Store>) -> Result<Self> {
        let length = store.lease_length();
        // Held by nobody for a whole length: as good as absent.
        let mut stale: Vec<Key> = Vec::new();
        loop {
            let found = generations(&**store).await?;
            let newest = found.iter().rfind(|key| !stale.contains(key));
            if let Some(key) = newest {
                watch_for(&**store, key, length).await?;
                stale.clone_from(&found);
                continue;
            }
            let number = found.last().map_or(0, generation) + 1;
            let key = Key::new(format!("{FOLDER}/{number:012}.json"))?;
            let mut holder = Holder { token: token(), process: std::process::id(), beat: 0 };
            let sent = Instant::now();
            match store.put(&key, holder.body()?, PutMode::CreateOnly).await {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(e),
            }
            // Somebody may have come another way at the same time. Each looks after creating, so one of two sees both.
            let rivals = generations(&**store).await?;
            if rivals.iter().any(|k| *k != key && !stale.contains(k)) {
                store.delete(&key).await?;
                tokio::time::sleep(pause(length, &holder.token)).await;
                continue;
            }
            for old in rivals.iter().filter(|k| **k != key) {
                store.delete(old).await?;
            }
            let (living, alive) = watch::channel(true);
            let (renewing, renewed) = watch::channel(sent);
            let (task_store, task_key) = (Arc::clone(store), key.clone());
            let renewal = tokio::spawn(async move {
                loop {
                    tokio::time::sleep(length / 4).await;
                    holder.beat += 1;
                    let sent = Instant::now();
                    match renew(&*task_store, &task_key, &holder).await {
                        Ok(true) => {
                            let _ = renewing.send(sent);
                        }
                        // A store that is away for a moment does no harm; for the lease's length, it does.
                        Err(_) if renewing.borrow().elapsed() < length => {}
                        Ok(false) | Err(_) => break,
                    }
                }
                let _ = living.send(false);
            });
            return Ok(Self { store: Arc::clone(store), key, alive, renewed, length, renewal });
        }
    }

    fn holds(&self) -> bool {
        // The time too: a process that was suspended wakes up before its renewal does.
        *self.alive.borrow() && self.renewed.borrow().elapsed() < self.length
    }

    async fn release(self) -> Result<()> {
        self.renewal.abort();
        self.store.delete(&self.key).await
    }
}

impl Drop for ObjectLease {
    fn drop(&mut self) {
        self.renewal.abort();
        let (store, key) = (Arc::clone(&self.store), self.key.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { store.delete(&key).await });
        }
    }
}

impl Holder {
    fn body(&self) -> Result<Bytes> {
        serde_json::to_vec(self)
            .map(Bytes::from)
            .map_err(|e| Error::internal(format!("cannot write JSON: {e}")).with_source(e))
    }
}

/// The keys of all leases, oldest generation first.
async fn generations(store: &dyn Store) -> Result<Vec<Key>> {
    store.list(Some(&Key::new(FOLDER)?)).map_ok(|object| object.key).try_collect().await
}

fn generation(key: &Key) -> u64 {
    let name = key.as_str().rsplit('/').next().unwrap_or_default();
    name.trim_end_matches(".json").parse().unwrap_or(0)
}

/// Looks at a lease for its whole length. `Ok` when nobody renewed it, or when it is gone.
async fn watch_for(store: &dyn Store, key: &Key, length: Duration) -> Result<()> {
    let Some(first) = get_opt(store, key).await? else { return Ok(()) };
    let begun = Instant::now();
    while begun.elapsed() < length {
        tokio::time::sleep(length / 8).await;
        match get_opt(store, key).await? {
            None => return Ok(()),
            Some(now) if now != first => {
                let who = serde_json::from_slice::<Holder>(&now).map_or_else(
                    |_| "another run".into(),
                    |h| format!("another run (process {})", h.process),
                );
                return Err(taken(&store.uri(key), &who));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Rewrites the lease, unless a later generation has taken its place.
async fn renew(store: &dyn Store, key: &Key, holder: &Holder) -> Result<bool> {
    let found = generations(store).await?;
    if found.last().is_some_and(|newest| newest > key) || !found.contains(key) {
        return Ok(false);
    }
    store.put(key, holder.body()?, PutMode::Overwrite).await?;
    Ok(true)
}

/// Tells holders apart, also on machines that are copies of one another.
pub(crate) fn token() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:016x}", RandomState::new().hash_one((std::process::id(), Instant::now())))
}

/// Rivals that met once wait differently long, so that they do not meet again.
fn pause(length: Duration, token: &str) -> Duration {
    let share = token.bytes().map(u32::from).sum::<u32>() % 16;
    length / 16 * share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{FsStore, MemoryStore, ObjectMeta};

    /// A store that knows objects alone, as services do.
    #[derive(Clone, Debug)]
    struct Plain(MemoryStore, Duration);

    #[async_trait::async_trait]
    impl Store for Plain {
        async fn put(&self, key: &Key, body: Bytes, mode: PutMode) -> Result<()> {
            self.0.put(key, body, mode).await
        }
        async fn get(&self, key: &Key) -> Result<Bytes> {
            self.0.get(key).await
        }
        async fn delete(&self, key: &Key) -> Result<()> {
            self.0.delete(key).await
        }
        fn list(&self, prefix: Option<&Key>) -> futures::stream::BoxStream<'static, Result<ObjectMeta>> {
            self.0.list(prefix)
        }
        fn uri(&self, key: &Key) -> String {
            self.0.uri(key)
        }
        fn lease_length(&self) -> Duration {
            self.1
        }
    }

    fn plain() -> Arc<dyn Store> {
        Arc::new(Plain(MemoryStore::new(), Duration::from_secs(1)))
    }

    async fn objects(store: &Arc<dyn Store>) -> usize {
        generations(&**store).await.unwrap().len()
    }

    #[tokio::test]
    async fn one_writer_at_a_time_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        for store in [plain(), Arc::new(MemoryStore::new()), Arc::new(FsStore::new(dir.path()))] {
            let lease = lock(&store).await.unwrap();
            let error = lock(&store).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
            assert!(error.message().contains("is at work on"), "{error}");
            lease.check().unwrap();
            lease.release().await.unwrap();
            lock(&store).await.unwrap().release().await.unwrap();
            assert_eq!(objects(&store).await, 0);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_dead_holders_lease_is_taken_over_and_the_dead_notices() {
        let store = plain();
        let dead = lock(&store).await.unwrap();
        if let Held::Object(lease) = &dead.0 {
            lease.renewal.abort();
        }
        let lease = lock(&store).await.unwrap();
        assert_eq!(objects(&store).await, 1);
        assert_eq!(dead.check().unwrap_err().kind(), ErrorKind::Unavailable);
        lease.check().unwrap();
        lease.release().await.unwrap();
    }

    #[tokio::test]
    async fn a_holder_whose_lease_was_taken_over_is_told() {
        let store = plain();
        let lease = lock(&store).await.unwrap();
        let usurper = Key::new("lock/000000000099.json").unwrap();
        store.put(&usurper, Bytes::new(), PutMode::CreateOnly).await.unwrap();
        let error = tokio::time::timeout(Duration::from_secs(5), lease.lost()).await.unwrap();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(lease.check().is_err());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_many_that_come_at_once_one_gets_it() {
        let store = plain();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { lock(&store).await })
            })
            .collect();
        let mut held = Vec::new();
        for task in tasks {
            held.extend(task.await.unwrap().ok());
        }
        assert_eq!(held.len(), 1);
    }
}
