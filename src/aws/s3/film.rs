//! Films on S3, read by ranges: only what the samples need.

use std::{
    fmt,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::sync::OnceCell;

use super::{AwsContext, AwsSettings, Connection, again, client, collect, service_error};
use crate::{
    error::{Error, ErrorKind, Result, Stage},
    source::RangeReader,
};

/// A film that is an object on S3. The version that was there first is read to the end.
pub struct S3Film {
    bucket: String,
    key: String,
    name: String,
    connection: Connection,
    version: OnceCell<Version>,
    read: AtomicU64,
}

/// What was there first.
#[derive(Clone, Debug)]
struct Version {
    length: u64,
    tag: Option<String>,
}

impl fmt::Debug for S3Film {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Film").field("bucket", &self.bucket).field("key", &self.key).finish_non_exhaustive()
    }
}

impl S3Film {
    /// The film `s3://bucket/key`, reached as the environment says. Nothing is asked of S3 yet.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an address that is none.
    pub fn open(uri: &str, settings: AwsSettings) -> Result<Self> {
        Self::with(uri, Connection { settings, client: OnceCell::new() })
    }

    /// The film `s3://bucket/key`, reached by a context.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an address that is none.
    pub fn new(uri: &str, context: &AwsContext) -> Result<Self> {
        let client = OnceCell::new_with(Some(client(context)));
        Self::with(uri, Connection { settings: AwsSettings::default(), client })
    }

    fn with(uri: &str, connection: Connection) -> Result<Self> {
        let rest = uri.strip_prefix("s3://").unwrap_or_default();
        // A film's key is the user's own: it is taken as it is.
        let Some((bucket, key)) = rest.split_once('/').filter(|(b, k)| !b.is_empty() && !k.is_empty()) else {
            return Err(Error::invalid(format!("{uri:?} is not a film on S3: s3://bucket/key is expected"))
                .at(Stage::Sample));
        };
        let name = key.rsplit('/').next().unwrap_or(key).to_owned();
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        Ok(Self { bucket, key, name, connection, version: OnceCell::new(), read: AtomicU64::new(0) })
    }

    async fn version(&self) -> Result<&Version> {
        self.version
            .get_or_try_init(|| async {
                let client = self.connection.client().await?;
                let mut failures = 0;
                loop {
                    let request = client.head_object().bucket(&self.bucket).key(&self.key);
                    match request.send().await.map_err(|e| service_error("s3 HeadObject", e)) {
                        Ok(head) => {
                            let length = head.content_length().and_then(|n| u64::try_from(n).ok());
                            let length = length.ok_or_else(|| {
                                Error::new(ErrorKind::Unavailable, "s3 HeadObject told no length")
                            })?;
                            return Ok(Version { length, tag: head.e_tag().map(str::to_owned) });
                        }
                        Err(e) if e.kind() == ErrorKind::NotFound => {
                            return Err(Error::new(
                                ErrorKind::NotFound,
                                format!("s3://{}/{} does not exist", self.bucket, self.key),
                            ));
                        }
                        Err(e) => again(e, &mut failures).await?,
                    }
                }
            })
            .await
    }
}

#[async_trait]
impl RangeReader for S3Film {
    fn name(&self) -> &str {
        &self.name
    }

    async fn len(&self) -> Result<u64> {
        Ok(self.version().await?.length)
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let tag = self.version().await?.tag.clone();
        let client = self.connection.client().await?;
        let (mut body, mut failures) = (BytesMut::new(), 0);
        loop {
            let from = range.start + body.len() as u64;
            let request = client
                .get_object()
                .bucket(&self.bucket)
                .key(&self.key)
                .range(format!("bytes={from}-{}", range.end - 1))
                .set_if_match(tag.clone());
            let outcome = match request.send().await {
                Ok(answer) => collect(answer, &mut body).await,
                Err(e) => Err(service_error("s3 GetObject", e)),
            };
            match outcome {
                Ok(()) => {
                    self.read.fetch_add(body.len() as u64, Ordering::Relaxed);
                    return Ok(body.freeze());
                }
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        format!("{} was changed while it was read; begin anew", self.name),
                    )
                    .with_retryable(false));
                }
                Err(e) => again(e, &mut failures).await?,
            }
        }
    }

    async fn fingerprint(&self) -> Result<String> {
        crate::source::sampled_fingerprint(self).await
    }

    fn bytes_read(&self) -> Option<u64> {
        Some(self.read.load(Ordering::Relaxed))
    }
}
