//! Films that lie elsewhere: the version that was there first, read by ranges that are taken up again where they break
//! off.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::sync::OnceCell;

use super::{RangeReader, sampled_fingerprint};
use crate::{
    error::{AtStage, Error, ErrorKind, Result, Stage},
    layers::Retry,
};

/// Five attempts, within about four seconds.
const RETRY: Retry =
    Retry { attempts: 5, first_wait: Duration::from_millis(250), longest_wait: Duration::from_secs(2) };

/// Where a film lies, asked once: what a service has to say. All that is common makes a [`RangeReader`] of it.
#[async_trait]
pub(crate) trait FetchOnce: std::fmt::Debug + Send + Sync + 'static {
    /// What is kept of the film.
    fn pinned(&self) -> &Pinned;

    /// Looks what is there.
    async fn look(&self) -> Result<Version>;

    /// Adds the bytes of a range of this version, as far as they come. Another version is
    /// [`AlreadyExists`](ErrorKind::AlreadyExists).
    async fn fetch(&self, range: Range<u64>, version: &Version, part: &mut Part) -> Result<()>;
}

/// A version of a film.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) length: u64,
    /// What tells it from others, if the service says so.
    pub(crate) tag: Option<String>,
}

/// What is kept of a film that lies elsewhere: its name, the version that was there first, the bytes read.
#[derive(Debug)]
pub(crate) struct Pinned {
    name: String,
    version: OnceCell<Version>,
    read: AtomicU64,
}

impl Pinned {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), version: OnceCell::new(), read: AtomicU64::new(0) }
    }

    /// An error about the film.
    pub(crate) fn fail(&self, kind: ErrorKind, what: &str) -> Error {
        Error::new(kind, format!("the film {} {what}", self.name)).at(Stage::Sample)
    }
}

/// The part of a film that is being read.
#[derive(Debug)]
pub(crate) struct Part {
    bytes: BytesMut,
    wanted: usize,
}

impl Part {
    /// Adds what came, and says whether it is all; what is too much is left out.
    pub(crate) fn add(&mut self, chunk: &[u8]) -> bool {
        self.bytes.extend_from_slice(&chunk[..chunk.len().min(self.wanted - self.bytes.len())]);
        self.is_whole()
    }

    fn is_whole(&self) -> bool {
        self.bytes.len() == self.wanted
    }
}

async fn version<F: FetchOnce + ?Sized>(film: &F) -> Result<&Version> {
    film.pinned().version.get_or_try_init(|| RETRY.run(|| film.look())).await.at(Stage::Sample)
}

#[async_trait]
impl<F: FetchOnce> RangeReader for F {
    fn name(&self) -> &str {
        &self.pinned().name
    }

    async fn len(&self) -> Result<u64> {
        Ok(version(self).await?.length)
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let (pinned, version) = (self.pinned(), version(self).await?);
        let wanted = usize::try_from(range.end - range.start)
            .map_err(|_| Error::internal("a range larger than memory").at(Stage::Sample))?;
        let (mut part, mut failures) = (Part { bytes: BytesMut::new(), wanted }, 0);
        loop {
            let had = part.bytes.len();
            let rest = range.start + had as u64..range.end;
            let outcome = self.fetch(rest, version, &mut part).await.at(Stage::Sample);
            pinned.read.fetch_add((part.bytes.len() - had) as u64, Ordering::Relaxed);
            match outcome {
                _ if part.is_whole() => return Ok(part.bytes.freeze()),
                Ok(()) => {
                    RETRY.again(pinned.fail(ErrorKind::Unavailable, "broke off"), &mut failures).await?;
                }
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                    let changed =
                        pinned.fail(ErrorKind::Unavailable, "was changed while it was read; begin anew");
                    return Err(changed.with_retryable(false));
                }
                Err(e) => RETRY.again(e, &mut failures).await?,
            }
        }
    }

    async fn fingerprint(&self) -> Result<String> {
        sampled_fingerprint(self).await
    }

    fn bytes_read(&self) -> Option<u64> {
        Some(self.pinned().read.load(Ordering::Relaxed))
    }
}
