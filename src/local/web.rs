//! Films at web addresses, read by ranges: only what the samples need.

use std::{ops::Range, time::Duration};

use async_trait::async_trait;
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{CONTENT_RANGE, ETAG, HeaderMap, IF_MATCH, RANGE},
};

use crate::{
    error::{Error, ErrorKind, Result, Stage},
    source::{FetchOnce, Part, Pinned, Version},
};

/// A film at an `http://` or `https://` address whose server gives ranges. The version that was there first is read to
/// the end.
#[derive(Debug)]
pub struct WebFilm {
    client: Client,
    address: Url,
    pinned: Pinned,
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
        Ok(Self { client, address: url, pinned: Pinned::new(name) })
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
            StatusCode::OK => Err(self.pinned.fail(
                ErrorKind::Unsupported,
                "is on a server that does not give parts of files; download it first",
            )),
            StatusCode::RANGE_NOT_SATISFIABLE => Err(self
                .pinned
                .fail(ErrorKind::InvalidInput, "has no bytes there: it is empty, or was changed")),
            StatusCode::PRECONDITION_FAILED => {
                Err(self.pinned.fail(ErrorKind::AlreadyExists, "is another one"))
            }
            status => {
                let kind = match status.as_u16() {
                    401 | 403 => ErrorKind::PermissionDenied,
                    404 | 410 => ErrorKind::NotFound,
                    408 => ErrorKind::Timeout,
                    429 => ErrorKind::Throttled,
                    500.. => ErrorKind::Unavailable,
                    _ => ErrorKind::InvalidInput,
                };
                Err(self.pinned.fail(kind, &format!("was refused with status {status}")))
            }
        }
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
        self.pinned.fail(kind, what)
    }
}

/// The length of the whole and the strong entity tag of an answer with a part.
fn version(headers: &HeaderMap) -> Option<Version> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let length = text(CONTENT_RANGE)?.rsplit('/').next()?.parse().ok()?;
    let tag = text(ETAG).filter(|tag| !tag.starts_with("W/")).map(str::to_owned);
    Some(Version { length, tag })
}

#[async_trait]
impl FetchOnce for WebFilm {
    fn pinned(&self) -> &Pinned {
        &self.pinned
    }

    /// The first byte tells whether ranges are served, how long the film is, and its version.
    async fn look(&self) -> Result<Version> {
        let answer = self.ask(0..1, None).await?;
        version(answer.headers())
            .ok_or_else(|| self.pinned.fail(ErrorKind::Unsupported, "does not tell its length"))
    }

    async fn fetch(&self, range: Range<u64>, first: &Version, part: &mut Part) -> Result<()> {
        let mut answer = self.ask(range, first.tag.as_deref()).await?;
        if version(answer.headers()).is_none_or(|v| v.length != first.length) {
            return Err(self.pinned.fail(ErrorKind::AlreadyExists, "is another one"));
        }
        while let Some(chunk) = answer.chunk().await.map_err(|e| self.lost(&e))? {
            if part.add(&chunk) {
                break;
            }
        }
        Ok(())
    }
}
