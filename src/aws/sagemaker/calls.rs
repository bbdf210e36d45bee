//! The services that are asked here, and their words for what is not there.

use crate::{
    aws::{
        AwsContext,
        json_service::{JsonClient, JsonService},
    },
    error::{Error, ErrorKind, Result},
};
use serde::{Serialize, de::DeserializeOwned};

const SAGEMAKER: JsonService =
    JsonService { host: "api.sagemaker", signing: "sagemaker", target: "SageMaker", json: "1.1" };
pub(super) const RUNTIME: JsonService =
    JsonService { host: "runtime.sagemaker", signing: "sagemaker", target: "", json: "1.1" };
pub(super) const SCALING: JsonService = JsonService {
    host: "application-autoscaling",
    signing: "application-autoscaling",
    target: "AnyScaleFrontendService",
    json: "1.1",
};
pub(super) const ALARMS: JsonService = JsonService {
    host: "monitoring",
    signing: "monitoring",
    target: "GraniteServiceVersion20100801",
    json: "1.0",
};
pub(super) const LOGS: JsonService =
    JsonService { host: "logs", signing: "logs", target: "Logs_20140328", json: "1.1" };
pub(super) const QUOTAS: JsonService = JsonService {
    host: "servicequotas",
    signing: "servicequotas",
    target: "ServiceQuotasV20190624",
    json: "1.1",
};

/// SageMaker itself.
#[derive(Clone, Debug)]
pub(super) struct SageMaker(JsonClient);

impl SageMaker {
    pub(super) fn new(context: &AwsContext) -> Self {
        Self(JsonClient::new(context, SAGEMAKER))
    }

    /// Calls an operation, `call` being `sagemaker` and its name.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: &str, body: &impl Serialize) -> Result<T> {
        self.0.call(call, body).await.map_err(|e| told(e).with_provider("sagemaker"))
    }

    /// Calls an operation that has nothing to tell.
    pub(super) async fn tell(&self, call: &str, body: &impl Serialize) -> Result<()> {
        self.call::<serde_json::Value>(call, body).await.map(drop)
    }
}

/// SageMaker says of what is not there that the request does not validate.
fn told(error: Error) -> Error {
    let words = error.message();
    let absent = ["Could not find", "could not find", "not found", "does not exist", "cannot find"];
    if error.kind() == ErrorKind::InvalidInput && absent.iter().any(|sign| words.contains(sign)) {
        return Error::new(ErrorKind::NotFound, words.to_owned()).with_source(error);
    }
    error
}

/// Whether a refusal says that a name is taken.
pub(super) fn is_taken(error: &Error) -> bool {
    let words = error.message();
    words.contains("(ResourceInUse")
        || words.contains("Cannot create already existing")
        || words.contains("already exist")
}

/// Turns "it is not there" into `None`.
pub(super) fn found<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
