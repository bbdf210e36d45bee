//! Amazon's services over real HTTP: a server that records every request and answers by a script.
//!
//! ```ignore
//! let aws = FakeAws::start(|request, _| match request.operation.as_str() {
//!     "DetectLabels" => Answer::json(json!({"Labels": []})),
//!     other => Answer::error(400, "UnknownOperationException", other),
//! })
//! .await;
//! aws.next("DetectLabels", [Answer::throttled(), Answer::BreaksOff]);   // before the script's own answer
//! let context = aws.context();
//! ```

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use futures::stream;
use picchu::aws::AwsContext;
use serde_json::{Value, json};

/// The secret that requests are signed with; it must show nowhere.
pub(crate) const SECRET: &str = "a-secret-that-must-show-nowhere";

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// The operation of `X-Amz-Target`, or the `Action` of a form; for services without, the method and the path:
    /// `PUT /bucket/key`.
    pub(crate) operation: String,
    /// What stands behind the question mark.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Recorded {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{}: {e}", self.operation))
    }

    /// A field of a body that is a form, which is how IAM and STS are asked.
    pub(crate) fn field(&self, name: &str) -> String {
        form_field(&self.body, name).unwrap_or_else(|| panic!("{} has no {name}", self.operation))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A whole response.
    Whole { status: u16, headers: Vec<(&'static str, String)>, body: Bytes },
    /// Begins an answer and closes the connection in the middle of it.
    BreaksOff,
    /// Waits before it answers.
    After(Duration, Box<Answer>),
}

impl Answer {
    pub(crate) fn json(body: Value) -> Self {
        Self::Whole { status: 200, headers: Vec::new(), body: body.to_string().into() }
    }

    pub(crate) fn bytes(status: u16, body: impl Into<Bytes>) -> Self {
        Self::Whole { status, headers: Vec::new(), body: body.into() }
    }

    /// An error as the JSON services send it: in the body and in a header.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::Whole {
            status,
            headers: vec![("x-amzn-errortype", code.to_owned()), ("x-amzn-requestid", "req-1".into())],
            body: json!({"__type": code, "message": message, "Message": message}).to_string().into(),
        }
    }

    /// An answer of IAM or STS: elements within the operation's result.
    pub(crate) fn xml(operation: &str, result: &str) -> Self {
        let body = format!(
            "<{operation}Response><{operation}Result>{result}</{operation}Result></{operation}Response>"
        );
        Self::bytes(200, body)
    }

    /// An error of IAM or STS.
    pub(crate) fn xml_error(status: u16, code: &str) -> Self {
        Self::bytes(
            status,
            format!("<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"),
        )
    }

    pub(crate) fn throttled() -> Self {
        Self::error(400, "ThrottlingException", "Rate exceeded")
    }

    pub(crate) fn unavailable() -> Self {
        Self::error(503, "ServiceUnavailableException", "try later")
    }

    /// Status 200 and a body that is not what the service would send.
    pub(crate) fn malformed() -> Self {
        Self::bytes(200, "{\"Labels\": [{\"Na")
    }

    pub(crate) fn after(self, wait: Duration) -> Self {
        Self::After(wait, Box::new(self))
    }
}

type Script = dyn Fn(&Recorded, usize) -> Answer + Send + Sync;

struct Shared {
    script: Box<Script>,
    next: Mutex<HashMap<String, VecDeque<Answer>>>,
    requests: Mutex<Vec<Recorded>>,
}

/// The server. It stops when it is dropped.
pub(crate) struct FakeAws {
    shared: Arc<Shared>,
    endpoint: String,
    server: tokio::task::JoinHandle<()>,
}

impl FakeAws {
    /// Starts a server. The script gets each request and how many of its operation came before it.
    pub(crate) async fn start(script: impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static) -> Self {
        let shared =
            Arc::new(Shared { script: Box::new(script), next: Mutex::default(), requests: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(handle).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { shared, endpoint, server }
    }

    /// Answers to the next requests of an operation, before the script is asked again.
    pub(crate) fn next(&self, operation: &str, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.shared.next).entry(operation.to_owned()).or_default().extend(answers);
    }

    /// A context whose clients all call this server.
    pub(crate) fn context(&self) -> AwsContext {
        AwsContext::with_keys("us-east-1", &self.endpoint, "AKIATESTTESTTEST", SECRET)
    }

    /// Where it listens.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Every request so far, in the order of arrival.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        lock(&self.shared.requests).clone()
    }

    /// The requests of one operation.
    pub(crate) fn requests_of(&self, operation: &str) -> Vec<Recorded> {
        self.requests().into_iter().filter(|r| r.operation == operation).collect()
    }

    /// How many requests of one operation came.
    pub(crate) fn count(&self, operation: &str) -> usize {
        lock(&self.shared.requests).iter().filter(|r| r.operation == operation).count()
    }
}

impl Drop for FakeAws {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn form_field(body: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(body).ok().filter(|text| text.starts_with("Action="))?;
    let value = text.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                u8::from_str_radix(&String::from_utf8(vec![rest.next()?, rest.next()?]).ok()?, 16).ok()?
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap_or_default();
    let operation = match (parts.headers.get("x-amz-target"), form_field(&body, "Action")) {
        (Some(target), _) => target.to_str().unwrap().rsplit('.').next().unwrap().to_owned(),
        (None, Some(action)) => action,
        (None, None) => format!("{} {}", parts.method, parts.uri.path()),
    };
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let recorded = Recorded { operation, query, headers: parts.headers, body };
    let earlier = {
        let mut requests = lock(&shared.requests);
        let earlier = requests.iter().filter(|r| r.operation == recorded.operation).count();
        requests.push(recorded.clone());
        earlier
    };
    let scripted = lock(&shared.next).get_mut(&recorded.operation).and_then(VecDeque::pop_front);
    let mut answer = scripted.unwrap_or_else(|| (shared.script)(&recorded, earlier));
    loop {
        match answer {
            Answer::After(wait, then) => {
                tokio::time::sleep(wait).await;
                answer = *then;
            }
            Answer::Whole { status, headers, body } => {
                let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
                for (name, value) in headers {
                    response = response.header(name, value);
                }
                return response.body(Body::from(body)).unwrap();
            }
            Answer::BreaksOff => {
                let parts = [Ok(Bytes::from_static(b"{\"Lab")), Err(std::io::Error::other("gone"))];
                return Response::builder()
                    .header("content-length", "1000")
                    .body(Body::from_stream(stream::iter(parts)))
                    .unwrap();
            }
        }
    }
}
