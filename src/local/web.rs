//! Films at web addresses, read by ranges: only what the samples need.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{CONTENT_RANGE, ETAG, HeaderMap, IF_MATCH, RANGE},
};
use tokio::sync::OnceCell;

use crate::{
    error::{Error, ErrorKind, Result, Stage},
    source::RangeReader,
};

/// How often a transfer that breaks off is taken up again.
const ATTEMPTS: u32 = 5;

/// A film at an `http://` or `https://` address whose server gives ranges. The version that was there first is read to
/// the end.
#[derive(Debug)]
pub struct WebFilm {
    client: Client,
    address: Url,
    name: String,
    version: OnceCell<Version>,
    read: AtomicU64,
}

/// What was there first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    length: u64,
    /// The entity tag, if it is a strong one.
    tag: Option<String>,
}

impl WebFilm {
    /// The film at an address. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for what is no such address.
    pub fn open(address: &str) -> Result<Self> {
        let url = Url::parse(address).ok().filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
        let url = url.ok_or_else(|| {
            Error::invalid("a film's address must begin with http:// or https://").at(Stage::Sample)
        })?;
        // Passwords and signatures stand before the host and behind the path: neither is part of the name.
        let name = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
        let name = if name.is_empty() { url.host_str().unwrap_or("film") } else { name }.to_owned();
        // Two parts of a program may do this; the first one counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_mins(1))
            .build()
            .map_err(|e| Error::internal(format!("cannot start the HTTP client: {e}")))?;
        Ok(Self { client, address: url, name, version: OnceCell::new(), read: AtomicU64::new(0) })
    }

    /// The first byte tells whether ranges are served, how long the film is, and its version.
    async fn version(&self) -> Result<&Version> {
        self.version
            .get_or_try_init(|| async {
                let mut failures = 0;
                loop {
                    let outcome = match self.ask(0..1, None).await {
                        Ok(answer) => Ok(version(answer.headers())),
                        Err(e) => Err(e),
                    };
                    match outcome {
                        Ok(Some(version)) => return Ok(version),
                        Ok(None) => return Err(self.fail(ErrorKind::Unsupported, "does not tell its length")),
                        Err(e) => again(e, &mut failures).await?,
                    }
                }
            })
            .await
    }

    async fn ask(&self, range: Range<u64>, tag: Option<&str>) -> Result<Response> {
        let mut request = self
            .client
            .get(self.address.clone())
            .header(RANGE, format!("bytes={}-{}", range.start, range.end - 1));
        if let Some(tag) = tag {
            request = request.header(IF_MATCH, tag);
        }
        let answer = request.send().await.map_err(|e| self.lost(&e))?;
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => Ok(answer),
            StatusCode::OK => Err(self.fail(
                ErrorKind::Unsupported,
                "is on a server that does not give parts of files; download it first",
            )),
            StatusCode::RANGE_NOT_SATISFIABLE => Err(self.fail(ErrorKind::InvalidInput, "is empty")),
            StatusCode::PRECONDITION_FAILED => Err(self.changed()),
            status => {
                let kind = match status.as_u16() {
                    401 | 403 => ErrorKind::PermissionDenied,
                    404 | 410 => ErrorKind::NotFound,
                    408 => ErrorKind::Timeout,
                    429 => ErrorKind::Throttled,
                    500.. => ErrorKind::Unavailable,
                    _ => ErrorKind::InvalidInput,
                };
                Err(self.fail(kind, &format!("was refused with status {status}")))
            }
        }
    }

    fn changed(&self) -> Error {
        self.fail(ErrorKind::Unavailable, "was changed while it was read; begin anew").with_retryable(false)
    }

    fn fail(&self, kind: ErrorKind, what: &str) -> Error {
        Error::new(kind, format!("the film {} {what}", self.name)).at(Stage::Sample)
    }

    /// The library's own words would repeat the address, which may hold a signature.
    fn lost(&self, e: &reqwest::Error) -> Error {
        let (kind, what) = if e.is_timeout() {
            (ErrorKind::Timeout, "did not come in time")
        } else if e.is_connect() {
            (ErrorKind::Unavailable, "cannot be reached")
        } else {
            (ErrorKind::Unavailable, "broke off")
        };
        self.fail(kind, what)
    }
}

/// The length of the whole and the strong entity tag of an answer with a part.
fn version(headers: &HeaderMap) -> Option<Version> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let length = text(CONTENT_RANGE)?.rsplit('/').next()?.parse().ok()?;
    let tag = text(ETAG).filter(|tag| !tag.starts_with("W/")).map(str::to_owned);
    Some(Version { length, tag })
}

/// Waits before another try, or gives up with the error.
async fn again(error: Error, failures: &mut u32) -> Result<()> {
    *failures += 1;
    if !error.is_retryable() || *failures >= ATTEMPTS {
        return Err(error);
    }
    // 0.1, 0.3, 0.9, 2.7 seconds.
    tokio::time::sleep(Duration::from_millis(100 * 3_u64.pow(*failures - 1))).await;
    Ok(())
}

#[async_trait]
impl RangeReader for WebFilm {
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
        let first = self.version().await?.clone();
        let wanted = usize::try_from(range.end - range.start)
            .map_err(|_| Error::internal("a range larger than memory").at(Stage::Sample))?;
        let (mut body, mut failures) = (BytesMut::with_capacity(wanted), 0);
        // Taken up where it broke off.
        while body.len() < wanted {
            let from = range.start + body.len() as u64;
            let outcome = async {
                let mut answer = self.ask(from..range.end, first.tag.as_deref()).await?;
                if version(answer.headers()).is_none_or(|v| v.length != first.length) {
                    return Err(self.changed());
                }
                while let Some(chunk) = answer.chunk().await.map_err(|e| self.lost(&e))? {
                    // A server may send more than was asked for.
                    body.extend_from_slice(&chunk[..chunk.len().min(wanted - body.len())]);
                    if body.len() == wanted {
                        return Ok(());
                    }
                }
                if body.len() < wanted { Err(self.fail(ErrorKind::Unavailable, "broke off")) } else { Ok(()) }
            };
            if let Err(e) = outcome.await {
                again(e, &mut failures).await?;
            }
        }
        self.read.fetch_add(wanted as u64, Ordering::Relaxed);
        Ok(body.freeze())
    }

    async fn fingerprint(&self) -> Result<String> {
        crate::source::sampled_fingerprint(self).await
    }

    fn bytes_read(&self) -> Option<u64> {
        Some(self.read.load(Ordering::Relaxed))
    }
}
