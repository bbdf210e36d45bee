//! An S3 service over real HTTP, in memory: what a store asks of one, in small pages, with faults on request.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::Response,
};
use picchu::aws::AwsContext;
use sha2::{Digest, Sha256};

/// Objects in a page of a listing.
const PAGE: usize = 3;

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Refused with a status and a code, nothing done.
    Refused(u16, &'static str),
    /// Done, but the connection breaks before the answer.
    LostAnswer,
    /// The connection breaks before anything is done.
    Reset,
    /// The answer's body breaks off in the middle.
    CutShort,
}

#[derive(Debug, Default)]
struct Service {
    objects: BTreeMap<String, Bytes>,
    uploads: BTreeMap<String, (String, BTreeMap<u32, Bytes>)>,
    /// Upcoming faults by the name of the operation.
    faults: Vec<(&'static str, VecDeque<Option<Fault>>)>,
    log: Vec<(String, HeaderMap)>,
    next: u64,
    bytes_out: u64,
    /// Objects that are deleted after so many more reads.
    vanishing: BTreeMap<String, usize>,
}

/// A running service; it ends with the runtime.
#[derive(Clone, Debug)]
pub(crate) struct FakeS3 {
    address: String,
    service: Arc<Mutex<Service>>,
}

impl FakeS3 {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let service = Arc::new(Mutex::new(Service::default()));
        let app = Router::new().fallback(handle).with_state(Arc::clone(&service));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, service }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn context(&self) -> AwsContext {
        AwsContext::with_keys("us-east-1", &self.address, "an-id", "a-secret")
    }

    /// Lets the next requests of an operation fail; `None` lets one through.
    pub(crate) fn fail(&self, operation: &'static str, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.lock().faults.push((operation, faults.into_iter().collect()));
    }

    /// Every object, by bucket and key.
    pub(crate) fn objects(&self) -> BTreeMap<String, Bytes> {
        self.lock().objects.clone()
    }

    #[cfg(feature = "video")]
    pub(crate) fn put(&self, path: &str, body: impl Into<Bytes>) {
        self.lock().objects.insert(path.into(), body.into());
    }

    /// Lets somebody delete an object after so many more reads of it.
    #[cfg(feature = "video")]
    pub(crate) fn vanish(&self, path: &str, reads: usize) {
        self.lock().vanishing.insert(path.into(), reads);
    }

    /// Uploads in parts that were neither completed nor aborted.
    pub(crate) fn open_uploads(&self) -> usize {
        self.lock().uploads.len()
    }

    /// How often an operation was asked for.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.lock().log.iter().filter(|(name, _)| name == operation).count()
    }

    /// The headers of every request for an operation.
    pub(crate) fn headers(&self, operation: &str) -> Vec<HeaderMap> {
        self.lock()
            .log
            .iter()
            .filter(|(name, _)| name == operation)
            .map(|(_, headers)| headers.clone())
            .collect()
    }

    /// Bytes of objects that were sent.
    pub(crate) fn bytes_out(&self) -> u64 {
        self.lock().bytes_out
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Service> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request, taken apart.
struct Asked {
    operation: &'static str,
    path: String,
    query: BTreeMap<String, String>,
    headers: HeaderMap,
    body: Bytes,
}

async fn handle(State(service): State<Arc<Mutex<Service>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 30).await.unwrap_or_default();
    let query =
        parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
    let query: BTreeMap<String, String> = query.collect();
    let path = decode(parts.uri.path().trim_start_matches('/'));
    let has = |name: &str| query.contains_key(name);
    let operation = match parts.method {
        Method::PUT if has("partNumber") => "UploadPart",
        Method::PUT => "PutObject",
        Method::POST if has("uploads") => "CreateMultipartUpload",
        Method::POST => "CompleteMultipartUpload",
        Method::GET if has("list-type") => "ListObjectsV2",
        Method::GET => "GetObject",
        Method::HEAD => "HeadObject",
        Method::DELETE if has("uploadId") => "AbortMultipartUpload",
        _ => "DeleteObject",
    };
    let asked = Asked { operation, path, query, headers: parts.headers, body };
    let (fault, response) = {
        let mut service = service.lock().unwrap_or_else(PoisonError::into_inner);
        service.log.push((operation.to_owned(), asked.headers.clone()));
        let fault = service.faults.iter_mut().find(|(name, queue)| *name == operation && !queue.is_empty());
        let fault = fault.and_then(|(_, queue)| queue.pop_front()).flatten();
        let done = !matches!(fault, Some(Fault::Refused(..) | Fault::Reset));
        let response = done.then(|| service.answer(&asked));
        (fault, response)
    };
    match (fault, response) {
        (Some(Fault::Refused(status, code)), _) => refuse(status, code),
        (Some(Fault::CutShort), Some(response)) => {
            let (head, body) = response.into_parts();
            let body = to_bytes(body, 1 << 30).await.unwrap();
            let half = body.slice(..body.len() / 2);
            let chunks = [Ok(half), Err(std::io::Error::other("cut short"))];
            Response::from_parts(head, Body::from_stream(futures::stream::iter(chunks)))
        }
        (None, Some(response)) => response,
        // Unwinding ends the connection's task; no hook speaks of it.
        _ => std::panic::resume_unwind(Box::new("reset")),
    }
}

fn refuse(status: u16, code: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code} for the test</Message></Error>"
    );
    let status = StatusCode::from_u16(status).unwrap();
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/xml")
        .body(Body::from(body))
        .unwrap()
}

fn xml(body: String) -> Response {
    Response::builder().header(header::CONTENT_TYPE, "application/xml").body(Body::from(body)).unwrap()
}

fn tag(body: &[u8]) -> String {
    Sha256::digest(body).iter().take(16).fold(String::from("\""), |mut tag, byte| {
        let _ = write!(tag, "{byte:02x}");
        tag
    }) + "\""
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        match first {
            b'%' if more.len() >= 2 => {
                bytes.push(u8::from_str_radix(std::str::from_utf8(&more[..2]).unwrap(), 16).unwrap());
                rest = &more[2..];
            }
            b'+' => bytes.push(b' '),
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).unwrap()
}

impl Service {
    fn answer(&mut self, asked: &Asked) -> Response {
        let taken = asked.headers.contains_key("if-none-match") && self.objects.contains_key(&asked.path);
        let upload = asked.query.get("uploadId").cloned().unwrap_or_default();
        match asked.operation {
            "PutObject" | "CompleteMultipartUpload" if taken => refuse(412, "PreconditionFailed"),
            "PutObject" => {
                self.objects.insert(asked.path.clone(), asked.body.clone());
                Response::builder().header(header::ETAG, tag(&asked.body)).body(Body::empty()).unwrap()
            }
            "CreateMultipartUpload" => {
                self.next += 1;
                let id = format!("upload-{}", self.next);
                self.uploads.insert(id.clone(), (asked.path.clone(), BTreeMap::new()));
                xml(format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                ))
            }
            "UploadPart" => {
                let Some((_, parts)) = self.uploads.get_mut(&upload) else {
                    return refuse(404, "NoSuchUpload");
                };
                parts.insert(asked.query["partNumber"].parse().unwrap(), asked.body.clone());
                Response::builder().header(header::ETAG, tag(&asked.body)).body(Body::empty()).unwrap()
            }
            "CompleteMultipartUpload" => {
                let Some((path, parts)) = self.uploads.remove(&upload) else {
                    return refuse(404, "NoSuchUpload");
                };
                let whole: Vec<u8> = parts.into_values().flat_map(|part| part.to_vec()).collect();
                self.objects.insert(path, whole.into());
                xml("<CompleteMultipartUploadResult><ETag>\"x\"</ETag></CompleteMultipartUploadResult>"
                    .into())
            }
            "AbortMultipartUpload" => {
                self.uploads.remove(&upload);
                Response::builder().status(204).body(Body::empty()).unwrap()
            }
            "DeleteObject" => {
                self.objects.remove(&asked.path);
                Response::builder().status(204).body(Body::empty()).unwrap()
            }
            "ListObjectsV2" => self.list(asked),
            _ => self.get(asked),
        }
    }

    fn get(&mut self, asked: &Asked) -> Response {
        if asked.operation == "GetObject"
            && let Some(left) = self.vanishing.get_mut(&asked.path)
        {
            if *left == 0 {
                self.objects.remove(&asked.path);
            }
            *left = left.saturating_sub(1);
        }
        let Some(body) = self.objects.get(&asked.path).cloned() else { return refuse(404, "NoSuchKey") };
        let etag = tag(&body);
        let wanted = asked.headers.get("if-match").map(|value| value.to_str().unwrap().to_owned());
        if wanted.is_some_and(|wanted| wanted != etag) {
            return refuse(412, "PreconditionFailed");
        }
        let mut response = Response::builder().header(header::ETAG, etag);
        let mut part = body.clone();
        if let Some(range) = asked.headers.get(header::RANGE) {
            let range = range.to_str().unwrap().trim_start_matches("bytes=");
            let (from, to) = range.split_once('-').unwrap();
            let from: usize = from.parse().unwrap();
            let to = to.parse().unwrap_or(body.len() - 1).min(body.len() - 1);
            if from > to {
                return refuse(416, "InvalidRange");
            }
            part = body.slice(from..=to);
            response = response
                .status(206)
                .header(header::CONTENT_RANGE, format!("bytes {from}-{to}/{}", body.len()));
        }
        if asked.operation == "HeadObject" {
            return response.header(header::CONTENT_LENGTH, body.len()).body(Body::empty()).unwrap();
        }
        self.bytes_out += part.len() as u64;
        response.header(header::CONTENT_LENGTH, part.len()).body(Body::from(part)).unwrap()
    }

    fn list(&self, asked: &Asked) -> Response {
        let bucket = asked.path.trim_end_matches('/');
        let prefix = asked.query.get("prefix").map_or("", String::as_str);
        let after = asked.query.get("continuation-token").map_or("", String::as_str);
        let all = self.objects.iter().filter_map(|(path, body)| {
            let key = path.strip_prefix(bucket)?.strip_prefix('/')?;
            (key.starts_with(prefix) && key > after).then_some((key, body.len()))
        });
        let found: Vec<_> = all.take(PAGE + 1).collect();
        let mut body = String::from("<ListBucketResult>");
        for (key, size) in found.iter().take(PAGE) {
            let _ = write!(body, "<Contents><Key>{key}</Key><Size>{size}</Size></Contents>");
        }
        if found.len() > PAGE {
            let next = found[PAGE - 1].0;
            let _ = write!(
                body,
                "<IsTruncated>true</IsTruncated><NextContinuationToken>{next}</NextContinuationToken>"
            );
        }
        xml(body + "</ListBucketResult>")
    }
}
