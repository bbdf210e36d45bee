//! Films on S3, read by ranges: only what the samples need.

use std::{fmt, ops::Range};

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::{AwsContext, AwsSettings, Connection, RETRY, broke_off, client, service_error};
use crate::{
    error::{Error, ErrorKind, Result, Stage},
    source::{FetchOnce, Part, Pinned, Version},
};

/// A film that is an object on S3. The version that was there first is read to the end.
pub struct S3Film {
    bucket: String,
    key: String,
    version_id: Option<String>,
    connection: Connection,
    pinned: Pinned,
}

/// What S3 says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Object {
    /// Size in bytes, where it is told.
    pub size_bytes: Option<u64>,
    /// Entity tag, without the quotes around it.
    pub etag: Option<String>,
    /// Which version it is, in buckets that keep versions.
    pub version_id: Option<String>,
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
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        Ok(Self { bucket, key, version_id: None, connection, pinned })
    }

    /// Reads this version of the film, whichever is the newest.
    #[must_use]
    pub fn version(mut self, id: impl Into<String>) -> Self {
        self.version_id = Some(id.into());
        self
    }

    /// Asks what is there.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where nothing is; as S3 says.
    pub async fn head(&self) -> Result<S3Object> {
        RETRY.run(|| self.head_once()).await.map_err(|e| e.at(Stage::Sample))
    }

    async fn head_once(&self) -> Result<S3Object> {
        let request = self
            .connection
            .client()
            .await?
            .head_object()
            .bucket(&self.bucket)
            .key(&self.key)
            .set_version_id(self.version_id.clone());
        let head = request.send().await.map_err(|e| {
            let error = service_error("s3 HeadObject", e);
            if error.kind() != ErrorKind::NotFound {
                return error;
            }
            Error::new(ErrorKind::NotFound, format!("s3://{}/{} does not exist", self.bucket, self.key))
        })?;
        Ok(S3Object {
            size_bytes: head.content_length().and_then(|n| u64::try_from(n).ok()),
            etag: head.e_tag().map(|tag| tag.trim_matches('"').to_owned()),
            // Objects of before a bucket kept versions are all called "null".
            version_id: head.version_id().filter(|id| *id != "null").map(str::to_owned),
        })
    }
}

#[async_trait]
impl FetchOnce for S3Film {
    fn pinned(&self) -> &Pinned {
        &self.pinned
    }

    async fn look(&self) -> Result<Version> {
        let head = self.head_once().await?;
        let length = head
            .size_bytes
            .ok_or_else(|| self.pinned.fail(ErrorKind::Unsupported, "does not tell its length"))?;
        Ok(Version { length, tag: head.etag.map(|tag| format!("\"{tag}\"")) })
    }

    async fn fetch(&self, range: Range<u64>, version: &Version, part: &mut Part) -> Result<()> {
        let request = self
            .connection
            .client()
            .await?
            .get_object()
            .bucket(&self.bucket)
            .key(&self.key)
            .set_version_id(self.version_id.clone())
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
