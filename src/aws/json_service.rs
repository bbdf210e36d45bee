//! Services of which a few calls are needed, without their SDK crates: JSON over HTTP, signed, timed and tried again by
//! the SDK's own runtime. `docs/decisions/0007-json-services.md` says why.

use std::fmt;

use aws_runtime::{
    auth::{SigV4OperationSigningConfig, SigningOptions, sigv4},
    retries::classifiers::AwsErrorCodeClassifier,
};
use aws_smithy_runtime::client::{
    orchestrator::operation::Operation,
    retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier},
};
use aws_smithy_runtime_api::client::{
    auth::{
        AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
        static_resolver::StaticAuthSchemeOptionResolver,
    },
    identity::SharedIdentityResolver,
    orchestrator::{HttpRequest, HttpResponse, OrchestratorError},
    runtime_components::RuntimeComponentsBuilder,
    runtime_plugin::StaticRuntimePlugin,
};
use aws_smithy_types::{
    body::SdkBody, config_bag::Layer, error::metadata::ErrorMetadata, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_types::{SigningName, region::SigningRegion};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{AwsContext, service_error};
use crate::error::{Error, ErrorKind, Result};

/// A service, as its public description names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct JsonService {
    /// What its addresses begin with: `<host>.<region>.amazonaws.com`.
    pub(super) host: &'static str,
    /// The name that signatures are made for.
    pub(super) signing: &'static str,
    /// What operations begin with in `X-Amz-Target`.
    pub(super) target: &'static str,
    /// Its version of the protocol: `1.0` or `1.1`.
    pub(super) json: &'static str,
}

/// A client of one service. Cloning is cheap.
#[derive(Clone)]
pub(super) struct JsonClient {
    service: JsonService,
    operation: Operation<Sent, Received, ErrorMetadata>,
}

/// What goes out: where to, and a body that is JSON already.
#[derive(Clone, Debug)]
struct Sent {
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// An answer.
pub(super) struct Received {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Received {
    /// A header by its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for JsonClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonClient").field("service", &self.service).finish_non_exhaustive()
    }
}

impl JsonClient {
    /// A client with the credentials, the connections, the time-outs and the retries of `context`.
    pub(super) fn new(context: &AwsContext, service: JsonService) -> Self {
        let sdk = context.sdk();
        let region = context.region();
        let address = match sdk.endpoint_url() {
            Some(given) => given.to_owned(),
            None => format!("https://{}.{region}.{}", service.host, domain(region)),
        };
        let mut signing = Layer::new("signing");
        signing.store_put(SigningName::from_static(service.signing));
        signing.store_put(SigningRegion::from(aws_config::Region::new(region.to_owned())));
        signing.store_put(AuthSchemeOptionResolverParams::new(()));
        let mut options = SigningOptions::default();
        options.double_uri_encode = true;
        options.normalize_uri_path = true;
        signing.store_put(SigV4OperationSigningConfig { signing_options: options, ..Default::default() });
        let mut parts = RuntimeComponentsBuilder::new("signing")
            .with_auth_scheme(SharedAuthScheme::new(sigv4::SigV4AuthScheme::new()))
            .with_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(
                StaticAuthSchemeOptionResolver::new(vec![sigv4::SCHEME_ID]),
            )))
            .with_retry_classifier(HttpStatusCodeClassifier::default())
            .with_retry_classifier(TransientErrorClassifier::<ErrorMetadata>::new())
            .with_retry_classifier(AwsErrorCodeClassifier::<ErrorMetadata>::new());
        if let Some(keys) = sdk.credentials_provider() {
            parts.set_identity_resolver(sigv4::SCHEME_ID, SharedIdentityResolver::new(keys));
        }
        if let Some(cache) = sdk.identity_cache() {
            parts.set_identity_cache(Some(cache));
        }
        let retries = sdk.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
        let mut operation = Operation::builder()
            .service_name(service.signing)
            .operation_name("json")
            .endpoint_url(&address)
            .timeout_config(sdk.timeout_config().cloned().unwrap_or_else(TimeoutConfig::disabled))
            .standard_retry(&retries)
            .with_connection_poisoning()
            .runtime_plugin(
                StaticRuntimePlugin::new().with_config(signing.freeze()).with_runtime_components(parts),
            );
        if let Some(http) = sdk.http_client() {
            operation = operation.http_client(http);
        }
        let operation = operation.serializer(request).deserializer(answer).build();
        Self { service, operation }
    }

    /// A call by name. `call` is the service and the operation for people, for example `sagemaker CreateModel`.
    ///
    /// # Errors
    /// As the service says; [`Unavailable`](ErrorKind::Unavailable) for an answer that is not understood.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: &str, body: &impl Serialize) -> Result<T> {
        let operation = call.rsplit(' ').next().unwrap_or(call);
        let sent = Sent {
            path: "/".into(),
            headers: vec![
                ("x-amz-target", format!("{}.{operation}", self.service.target)),
                ("content-type", format!("application/x-amz-json-{}", self.service.json)),
            ],
            body: serde_json::to_vec(body).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?,
        };
        let received = self.send(call, sent).await?;
        // Calls that only do something answer with nothing at all.
        let body = if received.body.is_empty() { b"{}".as_slice() } else { &received.body };
        serde_json::from_slice(body).map_err(|e| {
            Error::new(ErrorKind::Unavailable, format!("{call} got an answer that is not understood: {e}"))
        })
    }

    /// A call by path, whose answer is in its headers.
    ///
    /// # Errors
    /// As the service says.
    pub(super) async fn post(
        &self,
        call: &str,
        path: String,
        headers: Vec<(&'static str, String)>,
    ) -> Result<Received> {
        self.send(call, Sent { path, headers, body: Vec::new() }).await
    }

    async fn send(&self, call: &str, sent: Sent) -> Result<Received> {
        self.operation.invoke(sent).await.map_err(|e| service_error(call, e))
    }
}

fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

fn request(sent: Sent) -> std::result::Result<HttpRequest, aws_smithy_runtime_api::box_error::BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(sent.body));
    request.set_method("POST")?;
    request.set_uri(sent.path)?;
    let headers = request.headers_mut();
    headers.try_insert("user-agent", concat!("picchu/", env!("CARGO_PKG_VERSION")))?;
    for (name, value) in sent.headers {
        headers.try_insert(name, value)?;
    }
    Ok(request)
}

fn answer(response: &HttpResponse) -> std::result::Result<Received, OrchestratorError<ErrorMetadata>> {
    let body = response.body().bytes().unwrap_or_default();
    if response.status().is_success() {
        let headers = response.headers().iter();
        return Ok(Received {
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: body.to_vec(),
        });
    }
    let told: Value = serde_json::from_slice(body).unwrap_or_default();
    let word = |names: &[&str]| names.iter().find_map(|name| told[name].as_str()).map(str::to_owned);
    let code = response.headers().get("x-amzn-errortype").map(str::to_owned);
    let mut meta = ErrorMetadata::builder();
    if let Some(code) = code.or_else(|| word(&["__type", "code", "Code"])) {
        // With a namespace before, or an address behind.
        let code = code.rsplit('#').next().unwrap_or_default();
        meta = meta.code(code.split(':').next().unwrap_or_default());
    }
    if let Some(words) = word(&["message", "Message", "errorMessage"]) {
        meta = meta.message(words);
    }
    Err(OrchestratorError::operation(meta.build()))
}
