//! Every call to Rekognition: limited by operation, tried again, metered; answers kept as plain data.

use std::{collections::BTreeMap, fmt, sync::Arc};

use aws_sdk_rekognition::Client;
use aws_smithy_runtime_api::{client::result::SdkError, http::Response};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use image::RgbImage;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    aws::{AwsContext, service_error},
    error::{Error, Result},
    layers::{Cache, CacheKey, Limiter, Limits, Meter, Rate, Retry},
    types::{ProviderInfo, Usage},
};

/// Item of the price table for one image operation.
pub(super) const IMAGE: &str = "rekognition/image";

/// Answers were made from pictures that were encoded so; another way of encoding is another request.
const ENCODING: &str = "jpeg-1";

const ONE_IMAGE: Usage =
    Usage { requests: 1, images: 1, input_tokens: 0, output_tokens: 0, usd: 0.0, unpriced_requests: 0 };

/// Operations that have a quota of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    DetectLabels,
    DetectFaces,
    DetectCustomLabels,
    SearchFacesByImage,
    SearchUsersByImage,
    IndexFaces,
    ListFaces,
    AssociateFaces,
    /// Collections, users, projects and versions.
    Control(&'static str),
}

impl Operation {
    fn call(self) -> &'static str {
        match self {
            Self::DetectLabels => "rekognition DetectLabels",
            Self::DetectFaces => "rekognition DetectFaces",
            Self::DetectCustomLabels => "rekognition DetectCustomLabels",
            Self::SearchFacesByImage => "rekognition SearchFacesByImage",
            Self::SearchUsersByImage => "rekognition SearchUsersByImage",
            Self::IndexFaces => "rekognition IndexFaces",
            Self::ListFaces => "rekognition ListFaces",
            Self::AssociateFaces => "rekognition AssociateFaces",
            Self::Control(call) => call,
        }
    }

    /// Whether it is billed by the image.
    fn is_billed(self) -> bool {
        matches!(
            self,
            Self::DetectLabels
                | Self::DetectFaces
                | Self::SearchFacesByImage
                | Self::SearchUsersByImage
                | Self::IndexFaces
        )
    }

    /// Calls a second by default in a Region: the service's documented quotas of 2026.
    fn quota(self, region: &str) -> f64 {
        let large = matches!(region, "us-east-1" | "us-west-2" | "eu-west-1");
        match self {
            Self::DetectFaces => {
                if large {
                    100.0
                } else {
                    25.0
                }
            }
            Self::DetectCustomLabels => 50.0,
            Self::AssociateFaces | Self::Control(_) => 5.0,
            _ if large => 50.0,
            _ => 5.0,
        }
    }

    /// What shares a limiter.
    fn group(self) -> Self {
        match self {
            Self::Control(_) => Self::Control(""),
            other => other,
        }
    }
}

/// The client with its layers.
pub(super) struct Calls {
    pub(super) client: Client,
    limiters: BTreeMap<Operation, Limiter>,
    retry: Retry,
    cache: Arc<Cache>,
    pub(super) meter: Arc<Meter>,
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("meter", &self.meter).finish_non_exhaustive()
    }
}

impl Calls {
    pub(super) fn new(
        context: &AwsContext,
        concurrency: usize,
        calls_per_second: Option<f64>,
        cache: Arc<Cache>,
        meter: Arc<Meter>,
    ) -> Result<Self> {
        use Operation as O;
        let mut limiters = BTreeMap::new();
        for operation in [
            O::DetectLabels,
            O::DetectFaces,
            O::DetectCustomLabels,
            O::SearchFacesByImage,
            O::SearchUsersByImage,
            O::IndexFaces,
            O::ListFaces,
            O::AssociateFaces,
            O::Control(""),
        ] {
            let documented = operation.quota(context.region());
            // An account's own quota is about the image operations; the others keep their few calls a second.
            let quota = match operation {
                O::ListFaces | O::AssociateFaces | O::Control(_) => documented,
                _ => calls_per_second.unwrap_or(documented),
            };
            let limits = Limits::concurrency(concurrency).requests(Rate::per_second(quota));
            limiters.insert(operation, Limiter::new(limits)?);
        }
        let client = Client::new(&context.single_attempts());
        Ok(Self { client, limiters, retry: Retry::default(), cache, meter })
    }

    /// Sends a request until it is answered or refused for good.
    pub(super) async fn send<T, E, F>(&self, operation: Operation, send: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, SdkError<E, Response>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let limiter = self
            .limiters
            .get(&operation.group())
            .ok_or_else(|| Error::internal(format!("{operation:?} has no limiter")))?;
        self.retry
            .run(|| {
                limiter.run(0, async {
                    let charge =
                        operation.is_billed().then(|| self.meter.begin(IMAGE, &ONE_IMAGE)).transpose()?;
                    let answer = Box::pin(send())
                        .await
                        .map_err(|e| service_error(operation.call(), e).with_provider("rekognition"))?;
                    if let Some(charge) = charge {
                        charge.settle(&ONE_IMAGE);
                    }
                    Ok(answer)
                })
            })
            .await
    }

    /// The answer to a request about a picture: a kept one, or the one that `ask` gives.
    ///
    /// `request` is everything else that the answer depends on.
    pub(super) async fn about<T: Serialize + DeserializeOwned>(
        &self,
        operation: Operation,
        request: &impl Serialize,
        picture: &Arc<RgbImage>,
        ask: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let request =
            serde_json::to_string(request).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
        let info = ProviderInfo::new("rekognition", operation.call()).settings(request);
        let picture = Arc::clone(picture);
        let key = crate::blocking(move || Ok(CacheKey::new(&info).part(ENCODING).picture(&picture))).await?;
        self.cache.json(key, ask).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_those_of_the_region() {
        for (operation, large, small) in [
            (Operation::DetectLabels, 50.0, 5.0),
            (Operation::DetectFaces, 100.0, 25.0),
            (Operation::SearchFacesByImage, 50.0, 5.0),
            (Operation::AssociateFaces, 5.0, 5.0),
            (Operation::Control("rekognition CreateUser"), 5.0, 5.0),
        ] {
            let quotas = (operation.quota("us-west-2"), operation.quota("eu-central-1"));
            assert_eq!(quotas, (large, small), "{operation:?}");
        }
    }
}
