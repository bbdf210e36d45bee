//! Films on S3, read by ranges: only what the samples need.

use std::{fmt, ops::Range};

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::{AwsContext, AwsSettings, Connection, broke_off, client, service_error};
use crate::{
    error::{Error, ErrorKind, Result, Stage},
    source::{FetchOnce, Part, Pinned, Version},
};

/// A film that is an object on S3. The version that was there first is read to the end.
pub struct S3Film {
    bucket: String,
    key: String,
    connection: Connection,
    pinned: Pinned,
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
        let pinned = Pinned::new(key.rsplit('/').next().unwrap_or(key));
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned(), connection, pinned })
    }
}

#[async_trait]
impl FetchOnce for S3Film {
    fn pinned(&self) -> &Pinned {
        &self.pinned
    }

    async fn look(&self) -> Result<Version> {
        let request = self.connection.client().await?.head_object().bucket(&self.bucket).key(&self.key);
        let head = request.send().await.map_err(|e| {
            let error = service_error("s3 HeadObject", e);
            if error.kind() != ErrorKind::NotFound {
                return error;
            }
            Error::new(ErrorKind::NotFound, format!("s3://{}/{} does not exist", self.bucket, self.key))
        })?;
        let length = head.content_length().and_then(|n| u64::try_from(n).ok());
        let length =
            length.ok_or_else(|| self.pinned.fail(ErrorKind::Unsupported, "does not tell its length"))?;
        Ok(Version { length, tag: head.e_tag().map(str::to_owned) })
    }

    async fn fetch(&self, range: Range<u64>, version: &Version, part: &mut Part) -> Result<()> {
        let request = self
            .connection
            .client()
            .await?
            .get_object()
            .bucket(&self.bucket)
            .key(&self.key)
            .range(format!("bytes={}-{}", range.start, range.end - 1))
            .set_if_match(version.tag.clone());
        let mut body = request.send().await.map_err(|e| service_error("s3 GetObject", e))?.body;
        while let Some(chunk) = body.next().await {
            if part.add(&chunk.map_err(broke_off)?) {
                break;
            }
        }
        Ok(())
    }
}
