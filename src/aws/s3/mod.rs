//! Datasets and films on Amazon S3 and services that speak its protocol.

mod film;
mod place;
mod upload;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    operation::get_object::GetObjectOutput,
    presigning::PresigningConfig,
    primitives::ByteStreamError,
    types::{ChecksumMode, ServerSideEncryption},
};
use bytes::{Bytes, BytesMut};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

pub use self::{
    film::{S3Film, S3Object},
    place::S3Place,
};
use super::{AwsContext, AwsSettings, service_error};
use crate::{
    error::{Error, ErrorKind, Result},
    layers::Retry,
    store::{Key, LEASE, ObjectMeta, PutMode, Store},
};

/// How often a transfer that breaks off is taken up again, within about four seconds.
const RETRY: Retry =
    Retry { attempts: 5, first_wait: Duration::from_millis(250), longest_wait: Duration::from_secs(2) };
/// Longest life of a signed address.
const LONGEST: Duration = Duration::from_hours(168);

/// How objects are encrypted where they lie. Without a choice, the bucket's own setting counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// As the bucket is set.
    #[default]
    Bucket,
    /// With keys that S3 manages.
    S3,
    /// With a key of the Key Management Service: its id or ARN.
    Kms(String),
}

impl Encryption {
    /// The setting and the key, as requests carry them.
    fn request(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match self {
            Self::Bucket => (None, None),
            Self::S3 => (Some(ServerSideEncryption::Aes256), None),
            Self::Kms(key) => (Some(ServerSideEncryption::AwsKms), Some(key.clone())),
        }
    }
}

/// Objects in a bucket, below a prefix.
///
/// Writes are whole or not at all: small objects in one request, larger ones in parts that appear when the last is
/// there. Everything is checked by checksums on the way. [`PutMode::CreateOnly`] is a conditional write. Transfers that
/// break off are taken up again.
///
/// ```no_run
/// # async fn f() -> picchu::Result<()> {
/// use picchu::{Store, aws::{AwsSettings, S3Store}, store::Key};
/// let store = S3Store::open("s3://bucket/film", AwsSettings::default())?;
/// let header = store.get(&Key::new("picchu.json")?).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct S3Store {
    place: S3Place,
    encryption: Encryption,
    lease: Duration,
    connection: Arc<Connection>,
}

/// The client, made when it is first needed: only then is the environment read.
struct Connection {
    settings: AwsSettings,
    client: OnceCell<Client>,
}

impl Connection {
    async fn client(&self) -> Result<&Client> {
        self.client
            .get_or_try_init(|| async {
                AwsContext::from_env(&self.settings).await.map(|context| client(&context))
            })
            .await
            .map_err(|e: Error| e.with_provider("s3"))
    }
}

/// Buckets go into the path, not the host name, where another service than Amazon's answers.
pub(super) fn client(context: &AwsContext) -> Client {
    let elsewhere = context.sdk().endpoint_url().is_some();
    // Tried again by this module, which knows what has been done already.
    let config =
        aws_sdk_s3::config::Builder::from(&context.single_attempts()).force_path_style(elsewhere).build();
    Client::from_conf(config)
}

impl S3Store {
    /// The place `s3://bucket/prefix`, reached as the environment says. Nothing is asked of S3 yet.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an address that is none.
    pub fn open(uri: &str, settings: AwsSettings) -> Result<Self> {
        Ok(Self::with(S3Place::parse(uri)?, Connection { settings, client: OnceCell::new() }))
    }

    /// The place `s3://bucket/prefix`, reached by a context.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an address that is none.
    pub fn new(uri: &str, context: &AwsContext) -> Result<Self> {
        let connection = Connection {
            settings: AwsSettings::default(),
            client: OnceCell::new_with(Some(client(context))),
        };
        Ok(Self::with(S3Place::parse(uri)?, connection))
    }

    fn with(place: S3Place, connection: Connection) -> Self {
        Self { place, encryption: Encryption::default(), lease: LEASE, connection: Arc::new(connection) }
    }

    /// Sets how objects are encrypted.
    #[must_use]
    pub fn encryption(mut self, encryption: Encryption) -> Self {
        self.encryption = encryption;
        self
    }

    /// Sets how long a crashed run keeps others waiting.
    #[must_use]
    pub fn lease(mut self, length: Duration) -> Self {
        self.lease = length;
        self
    }

    /// Bucket and prefix.
    pub fn place(&self) -> &S3Place {
        &self.place
    }

    /// An address by which anybody can read the object for a while, at most seven days, and no longer than the
    /// credentials live that sign it.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for more than seven days; where credentials are missing.
    pub async fn presign(&self, key: &Key, life: Duration) -> Result<String> {
        if life > LONGEST {
            return Err(Error::invalid("a signed address lives at most seven days"));
        }
        let config = PresigningConfig::expires_in(life)
            .map_err(|e| Error::invalid(format!("the life of a signed address: {e}")))?;
        let request =
            self.connection.client().await?.get_object().bucket(&self.place.bucket).key(self.key(key));
        let signed = request.presigned(config).await.map_err(|e| service_error("s3 GetObject", e))?;
        Ok(signed.uri().to_owned())
    }

    fn key(&self, key: &Key) -> String {
        self.place.key(key.as_str())
    }

    async fn get_whole(&self, key: &str) -> Result<Bytes> {
        let client = self.connection.client().await?;
        let (mut body, mut tag, mut failures) = (BytesMut::new(), None::<String>, 0);
        loop {
            // Taken up where it broke off, from the same version.
            let range = (!body.is_empty()).then(|| format!("bytes={}-", body.len()));
            let request = client
                .get_object()
                .bucket(&self.place.bucket)
                .key(key)
                .set_range(range)
                .set_if_match(tag.clone())
                .checksum_mode(ChecksumMode::Enabled);
            let outcome = match request.send().await {
                Ok(answer) => {
                    tag = answer.e_tag().map(str::to_owned);
                    collect(answer, &mut body).await
                }
                Err(e) => Err(service_error("s3 GetObject", e)),
            };
            match outcome {
                Ok(()) => return Ok(body.freeze()),
                Err(e) => RETRY.again(e, &mut failures).await?,
            }
        }
    }
}

/// Adds the bytes that come; what came before a break stays.
async fn collect(answer: GetObjectOutput, body: &mut BytesMut) -> Result<()> {
    let mut stream = answer.body;
    while let Some(chunk) = stream.next().await {
        body.extend_from_slice(&chunk.map_err(broke_off)?);
    }
    Ok(())
}

fn broke_off(e: ByteStreamError) -> Error {
    Error::new(ErrorKind::Unavailable, format!("s3 GetObject broke off: {e}")).with_source(e)
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store")
            .field("place", &self.place)
            .field("encryption", &self.encryption)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for S3Store {
    async fn put(&self, key: &Key, body: Bytes, mode: PutMode) -> Result<()> {
        let client = self.connection.client().await?;
        let upload = upload::Upload {
            client,
            bucket: &self.place.bucket,
            key: &self.key(key),
            body,
            mode,
            encryption: &self.encryption,
        };
        match upload.run().await? {
            upload::Outcome::Written => Ok(()),
            // After an attempt whose answer was lost, the object that is there may be this one.
            upload::Outcome::Taken { uncertain } => {
                if uncertain && self.get_whole(upload.key).await.is_ok_and(|there| there == upload.body) {
                    return Ok(());
                }
                Err(Error::new(ErrorKind::AlreadyExists, format!("{} exists already", self.uri(key))))
            }
        }
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        self.get_whole(&self.key(key)).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        let client = self.connection.client().await?;
        let mut failures = 0;
        loop {
            let request = client.delete_object().bucket(&self.place.bucket).key(self.key(key));
            match request.send().await.map_err(|e| service_error("s3 DeleteObject", e)) {
                Ok(_) => return Ok(()),
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
                Err(e) => RETRY.again(e, &mut failures).await?,
            }
        }
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        let below = prefix.map(|p| format!("{p}/")).unwrap_or_default();
        let store = self.clone();
        // One page after the other, as they are asked for.
        let pages = stream::try_unfold(Some(None::<String>), move |token| {
            let (store, below) = (store.clone(), below.clone());
            async move {
                let Some(token) = token else { return Ok::<_, Error>(None) };
                let (found, next) = store.page(&below, token).await?;
                Ok(Some((found, next.map(Some))))
            }
        });
        pages.map_ok(|found| stream::iter(found).map(Ok)).try_flatten().boxed()
    }

    fn lease_length(&self) -> Duration {
        self.lease
    }

    fn uri(&self, key: &Key) -> String {
        self.place.uri(key.as_str())
    }
}

impl S3Store {
    async fn page(&self, below: &str, token: Option<String>) -> Result<(Vec<ObjectMeta>, Option<String>)> {
        let client = self.connection.client().await?;
        let mut failures = 0;
        let answer = loop {
            let request = client
                .list_objects_v2()
                .bucket(&self.place.bucket)
                .prefix(self.place.key(below))
                .set_continuation_token(token.clone());
            match request.send().await.map_err(|e| service_error("s3 ListObjectsV2", e)) {
                Ok(answer) => break answer,
                Err(e) => RETRY.again(e, &mut failures).await?,
            }
        };
        let top = self.place.key("");
        let found = answer.contents().iter().filter_map(|object| {
            // Objects whose names are no keys were not written by a store: they are the user's own and stay unseen.
            let key = Key::new(object.key()?.strip_prefix(&top)?).ok()?;
            Some(ObjectMeta { key, size_bytes: u64::try_from(object.size().unwrap_or(0)).unwrap_or(0) })
        });
        let next = answer.next_continuation_token().filter(|_| answer.is_truncated() == Some(true));
        Ok((found.collect(), next.map(str::to_owned)))
    }
}
