//! The review page, served to this machine alone.
//!
//! The server listens on the loopback address under a path that nobody can guess, answers no other site's page, and
//! gives out nothing but the dataset's own pictures. Each decision is in the dataset's log before the page hears of it.
//!
//! ```no_run
//! # async fn f(dataset: picchu::Dataset) -> picchu::Result<()> {
//! use picchu::local::review::{ReviewOptions, ReviewServer};
//!
//! let server = ReviewServer::start(dataset, ReviewOptions::default()).await?;
//! println!("open {}", server.url());
//! server.serve(std::future::pending()).await?;
//! # Ok(()) }
//! ```

mod api;
mod desk;

use std::{net::Ipv4Addr, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            CONTENT_SECURITY_POLICY, HOST, HeaderName, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
            X_FRAME_OPTIONS,
        },
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use self::desk::Desk;
use crate::{
    caption::LintRules,
    dataset::Dataset,
    error::{AtStage, Error, ErrorKind, Result, Stage},
    source::FrameSource,
};

/// What a page may do: nothing but show and ask its own server. `data:` is for the empty icon.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// How to review.
#[derive(Clone, Debug, Default)]
pub struct ReviewOptions {
    /// Who decides: stands in the log. `None` is `reviewer`.
    pub reviewer: Option<String>,
    /// The film that the dataset was cut from: shows whole frames, and lets images be cut anew.
    pub film: Option<Arc<dyn FrameSource>>,
    /// What captions are held against while they are edited.
    pub rules: LintRules,
    /// Port on the loopback address; 0 takes a free one.
    pub port: u16,
}

/// A server that shows a dataset to people and keeps what they decide. It has the dataset's lock while it exists.
#[derive(Debug)]
pub struct ReviewServer {
    listener: TcpListener,
    url: String,
    app: Router,
}

/// What tells requests of the page from all others.
#[derive(Clone, Debug)]
struct Gate {
    /// Hash of the token: comparing hashes tells nothing of the token by the time it takes.
    token: [u8; 32],
    hosts: Arc<[String]>,
}

impl ReviewServer {
    /// Takes the dataset's lock and a port. Requests are answered once [`serve`](Self::serve) runs.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) while a run or another review is at work on the dataset or the port
    /// is taken, [`InvalidInput`](ErrorKind::InvalidInput) for another film than the dataset's.
    pub async fn start(dataset: Dataset, options: ReviewOptions) -> Result<Self> {
        let port = options.port;
        let desk = Arc::new(Desk::open(dataset, options).await?);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|e| {
            let kind = match e.kind() {
                std::io::ErrorKind::AddrInUse => ErrorKind::AlreadyExists,
                std::io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
                _ => ErrorKind::Unavailable,
            };
            Error::new(kind, format!("cannot listen on port {port} of this machine: {e}; choose another"))
                .at(Stage::Review)
        })?;
        let address =
            listener.local_addr().map_err(|e| Error::internal(format!("a port without number: {e}")))?;
        let token = token()?;
        let gate = Gate {
            token: Sha256::digest(&token).into(),
            hosts: [format!("127.0.0.1:{}", address.port()), format!("localhost:{}", address.port())].into(),
        };
        let app = api::routes(&format!("/{token}"), desk)
            .layer(middleware::from_fn(headers))
            .layer(middleware::from_fn_with_state(gate, admit));
        Ok(Self { listener, url: format!("http://{address}/{token}/"), app })
    }

    /// The page's address, with the token. Whoever has it may decide.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers until `stop` is there, and then what is being asked.
    ///
    /// # Errors
    /// When the port is lost.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        axum::serve(self.listener, self.app)
            .with_graceful_shutdown(stop)
            .await
            .map_err(|e| Error::new(ErrorKind::Unavailable, format!("the review's server stopped: {e}")))
            .at(Stage::Review)
    }
}

/// 128 random bits, as text.
fn token() -> Result<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| Error::internal(format!("no random numbers: {e}")))?;
    Ok(bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

/// Lets in requests with the token, to this machine by its own name, from this page or from none.
async fn admit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    match gate.objection(request.headers(), request.uri().path()) {
        Some(why) => refuse(why),
        None => next.run(request).await,
    }
}

impl Gate {
    /// Why a request is refused, if it is.
    fn objection(&self, headers: &HeaderMap, path: &str) -> Option<&'static str> {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let host = text(HOST).unwrap_or_default();
        // Another name for this machine is a page's attempt to pass for it.
        if !self.hosts.iter().any(|known| known == host) {
            return Some("this server answers to 127.0.0.1 and localhost alone");
        }
        if text(ORIGIN).is_some_and(|origin| origin != format!("http://{host}")) {
            return Some("another site's page may not ask");
        }
        let token = path.split('/').nth(1).unwrap_or_default();
        (Sha256::digest(token).as_slice() != self.token)
            .then_some("open the address that picchu review printed, with all its characters")
    }
}

fn refuse(why: &str) -> Response {
    let headers = HeaderMap::from_iter([(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))]);
    (StatusCode::FORBIDDEN, headers, why.to_owned()).into_response()
}

async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
