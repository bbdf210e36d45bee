//! One configuration for every client: Region, credentials, endpoint, time-outs, retries, TLS.

use std::{fmt, time::Duration};

use aws_config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider},
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_types::SdkConfig;
use serde::{Deserialize, Serialize};

use super::{
    error::{credentials_error, provider_error},
    keys,
};
use crate::error::{Error, ErrorKind, Result};

/// Where to call; what is not given comes from the environment and the user's AWS files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AwsSettings {
    /// Region, for example `us-east-1`.
    pub region: Option<String>,
    /// Profile of the user's AWS files.
    pub profile: Option<String>,
    /// Address that takes the place of every service's own.
    pub endpoint: Option<String>,
}

/// One configuration for the clients of all services. Cloning is cheap.
///
/// Every call has time-outs. Calls are tried again by the SDK's adaptive rule, unless a client has layers of its own
/// for that. Neither `Debug` nor any error shows credentials.
///
/// ```
/// use picchu::aws::AwsContext;
/// let context = AwsContext::with_keys("us-east-1", "http://localhost:8080", "an-id", "a-secret");
/// assert_eq!(context.region(), "us-east-1");
/// assert!(!format!("{context:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct AwsContext {
    sdk: SdkConfig,
    region: String,
}

impl AwsContext {
    /// From the environment (`AWS_REGION`, `AWS_PROFILE`, …), the user's AWS files, and the machine's role; the only
    /// reader of them. Keys that the application has itself come from [`use_keys`](super::use_keys).
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where no Region is set. Credentials are looked for at the first call.
    pub async fn from_env(settings: &AwsSettings) -> Result<Self> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client());
        if let Some(source) = keys::of_process() {
            if let Some(region) = source.region() {
                loader = loader.region(region);
            }
            loader = loader.credentials_provider(source);
        }
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &settings.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        Self::new(loader.load().await)
    }

    /// The Region that the environment or the AWS files name, without asking any network.
    pub async fn region_from_env() -> Option<String> {
        use aws_config::{
            environment::EnvironmentVariableRegionProvider, meta::region::ProvideRegion,
            profile::ProfileFileRegionProvider,
        };
        let region = match EnvironmentVariableRegionProvider::new().region().await {
            Some(region) => Some(region),
            None => ProfileFileRegionProvider::new().region().await,
        };
        region.map(|region| region.to_string())
    }

    /// From a configuration that the caller made. Time-outs, retries and the HTTP client are filled in where it has
    /// none.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where it has no Region.
    pub fn new(sdk: SdkConfig) -> Result<Self> {
        let Some(region) = sdk.region().map(ToString::to_string) else {
            return Err(Error::new(
                ErrorKind::Config,
                "no AWS Region is set; give one with --aws-region, AWS_REGION or the profile",
            ));
        };
        let timeouts = match sdk.timeout_config() {
            Some(given) => given.to_builder().take_unset_from(default_timeouts().to_builder()).build(),
            None => default_timeouts(),
        };
        let client = sdk.http_client().unwrap_or_else(http_client);
        let mut builder = sdk.to_builder().timeout_config(timeouts).http_client(client);
        if sdk.retry_config().is_none_or(|retry| *retry == RetryConfig::standard()) {
            builder = builder.retry_config(RetryConfig::adaptive());
        }
        Ok(Self { sdk: builder.build(), region })
    }

    /// With explicit keys and an address for every service, as tests and compatible services need it.
    pub fn with_keys(region: &str, endpoint: &str, access_key_id: &str, secret_access_key: &str) -> Self {
        let keys = Credentials::new(access_key_id, secret_access_key, None, None, "explicit");
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .endpoint_url(endpoint)
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .timeout_config(default_timeouts())
            .retry_config(RetryConfig::adaptive())
            .http_client(http_client())
            .build();
        Self { sdk, region: region.to_owned() }
    }

    /// The Region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// For clients of any service.
    pub fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    /// For clients whose calls go through picchu's own layers: each call is one attempt.
    pub fn single_attempts(&self) -> SdkConfig {
        self.sdk.to_builder().retry_config(RetryConfig::disabled()).build()
    }

    /// The same for calls whose answer may take so long.
    #[cfg(feature = "aws-train")]
    pub(crate) fn with_longest_answer(&self, longest: Duration) -> Self {
        let timeouts = match self.sdk.timeout_config() {
            Some(usual) => usual.to_builder(),
            None => default_timeouts().to_builder(),
        };
        let timeouts = timeouts
            .read_timeout(longest)
            .operation_attempt_timeout(longest + Duration::from_secs(20))
            .build();
        Self { sdk: self.sdk.to_builder().timeout_config(timeouts).build(), region: self.region.clone() }
    }

    /// The same with connections of its own, for work that outlives the runtime that holds the others.
    #[must_use]
    pub fn with_own_connections(&self) -> Self {
        let sdk = self.sdk.to_builder().http_client(http_client()).build();
        Self { sdk, region: self.region.clone() }
    }

    /// Which access key calls are signed with; looks for credentials, which may ask the machine's role service.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where no credentials are found, with what to do.
    pub async fn access_key_id(&self) -> Result<String> {
        let Some(provider) = self.sdk.credentials_provider() else {
            return Err(credentials_error("none are set"));
        };
        let keys = provider.provide_credentials().await.map_err(|e| provider_error(&e))?;
        Ok(keys.access_key_id().to_owned())
    }
}

impl fmt::Debug for AwsContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsContext")
            .field("region", &self.region)
            .field("endpoint", &self.sdk.endpoint_url())
            .finish_non_exhaustive()
    }
}

/// The services answer single calls in seconds; an answer that does not come must not hold a run for ever.
fn default_timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_mins(1))
        .operation_attempt_timeout(Duration::from_mins(2))
        .operation_timeout(Duration::from_mins(10))
        .build()
}

fn http_client() -> aws_smithy_runtime_api::client::http::SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}
