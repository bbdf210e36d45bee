//! Drawing by an asynchronous endpoint: a request laid on S3, an image that appears there.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::{StreamExt, stream};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{calls::RUNTIME, job::name_of, program::panel};
use crate::{
    aws::{AwsContext, json_service::JsonClient},
    error::{AtStage, Error, ErrorKind, Result, Stage},
    generate::Generator,
    store::{Key, PutMode, Store, get_opt},
    types::{GenerateRequest, Generated, ProviderInfo},
};

/// How soon an answer is looked for; then half as often each time, down to [`POLL`].
const FIRST_POLL: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_secs(10);
/// How long an image may take, with a machine that has to come first.
const PATIENCE: Duration = Duration::from_hours(1);
/// Requests waiting at once; the endpoint's queue orders them.
const AT_ONCE: usize = 8;
/// Most pixels of a side, as the program takes them.
const SIDES: (u32, u32) = (16, 4096);

/// Draws by an endpoint of [`SageMakerDeployer`](super::SageMakerDeployer).
///
/// ```no_run
/// # async fn f(context: picchu::aws::AwsContext) -> picchu::Result<()> {
/// use picchu::{Generator, aws::sagemaker::SageMakerGenerator, types::GenerateRequest};
/// let store = picchu::config::open_store("s3://my-bucket/board".as_ref())?;
/// let artist = SageMakerGenerator::new(&context, "picchu-0123456789ab", store);
/// let request = GenerateRequest {
///     prompt: "Mayu waves".into(), negative_prompt: None, count: 1, seed: 7, width: 768, height: 768,
/// };
/// artist.generate(&request).await?[0].image.save("mayu.png").unwrap();
/// # Ok(()) }
/// ```
pub struct SageMakerGenerator {
    client: JsonClient,
    endpoint: String,
    store: Arc<dyn Store>,
    poll: Duration,
    patience: Duration,
}

impl fmt::Debug for SageMakerGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SageMakerGenerator").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// What the endpoint answers.
#[derive(Debug, Deserialize)]
struct Answer {
    images: Vec<String>,
}

impl SageMakerGenerator {
    /// By an endpoint, its name or its ARN. `store` is the folder on S3 that it was deployed with: requests go there, and
    /// images appear there.
    pub fn new(context: &AwsContext, endpoint: &str, store: Arc<dyn Store>) -> Self {
        Self {
            client: JsonClient::new(context, RUNTIME),
            endpoint: name_of(endpoint).to_owned(),
            store,
            poll: POLL,
            patience: PATIENCE,
        }
    }

    /// Sets how often an image is looked for at the most, and how long it may take.
    #[must_use]
    pub fn patience(mut self, poll: Duration, patience: Duration) -> Self {
        (self.poll, self.patience) = (poll, patience);
        self
    }

    async fn one(&self, request: GenerateRequest) -> Result<Generated> {
        let body = panel(&request).to_string();
        let hash = crate::source::sha256_string(Sha256::new_with_prefix(&body));
        let key = Key::new(format!("requests/{}.json", &hash["sha256:".len()..][..32]))?;
        self.store.put(&key, Bytes::from(body), PutMode::Overwrite).await?;
        let headers = vec![
            ("x-amzn-sagemaker-inputlocation", self.store.uri(&key)),
            ("x-amzn-sagemaker-content-type", "application/json".into()),
            ("x-amzn-sagemaker-accept", "application/json".into()),
            ("x-amzn-sagemaker-invocationtimeoutseconds", "3600".into()),
        ];
        let path = format!("/endpoints/{}/async-invocations", self.endpoint);
        let answer =
            self.client.post("sagemaker InvokeEndpointAsync", path, headers).await.map_err(absent)?;
        let place = |header: &str| answer.header(header).map(|uri| self.below(uri)).transpose();
        let Some(output) = place("x-amzn-sagemaker-outputlocation")? else {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "sagemaker InvokeEndpointAsync named no place for its answer",
            ));
        };
        let failure = place("x-amzn-sagemaker-failurelocation")?;
        let body = self.wait(&output, failure.as_ref()).await?;
        let id = output.to_string();
        let image = crate::blocking(move || read(&body, &id)).await?;
        Ok(Generated { image: Arc::new(image), request, model: self.endpoint.clone() })
    }

    /// The key of an address below the store.
    fn below(&self, address: &str) -> Result<Key> {
        let any = self.store.uri(&Key::new("a")?);
        let key = any.strip_suffix('a').and_then(|folder| address.strip_prefix(folder));
        let key = key.ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                format!(
                    "{} answers at {address}, which is not below {}",
                    self.endpoint,
                    any.trim_end_matches('a')
                ),
            )
        })?;
        Key::new(key)
    }

    async fn wait(&self, output: &Key, failure: Option<&Key>) -> Result<Bytes> {
        let begun = tokio::time::Instant::now();
        let mut pause = self.poll.min(FIRST_POLL);
        loop {
            if let Some(body) = get_opt(&*self.store, output).await? {
                return Ok(body);
            }
            if let Some(failure) = failure
                && let Some(body) = get_opt(&*self.store, failure).await?
            {
                let words: String = String::from_utf8_lossy(&body)
                    .chars()
                    .map(|c| if c.is_control() { ' ' } else { c })
                    .take(600)
                    .collect();
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    format!("{} did not draw: {words}", self.endpoint),
                )
                .with_retryable(false));
            }
            if begun.elapsed() >= self.patience {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    format!(
                        "{} has not answered for {} seconds; a machine may have to come first: picchu status",
                        self.endpoint,
                        self.patience.as_secs()
                    ),
                ));
            }
            tokio::time::sleep(pause).await;
            pause = self.poll.min(pause * 2);
        }
    }
}

/// The runtime says of an endpoint that is not there that the request does not validate.
fn absent(error: Error) -> Error {
    if error.kind() == ErrorKind::InvalidInput && error.message().contains("not found") {
        return Error::new(ErrorKind::NotFound, error.message().to_owned()).with_source(error);
    }
    error
}

fn read(body: &[u8], id: &str) -> Result<image::RgbImage> {
    let broken =
        |why: String| Error::new(ErrorKind::Decode, format!("the answer {id} is not understood: {why}"));
    let answer: Answer = serde_json::from_slice(body).map_err(|e| broken(e.to_string()))?;
    let first = answer.images.first().ok_or_else(|| broken("it has no image".into()))?;
    let png = BASE64_STANDARD.decode(first).map_err(|e| broken(e.to_string()))?;
    crate::dataset::decode_image(&png, id)
}

fn check(request: &GenerateRequest) -> Result<()> {
    let wrong = |why: String| Err(Error::invalid(why));
    if request.prompt.trim().is_empty() {
        return wrong("there is no prompt".into());
    }
    for side in [request.width, request.height] {
        if !(SIDES.0..=SIDES.1).contains(&side) {
            return wrong(format!(
                "{}×{} pixels; {} to {} a side are drawn",
                request.width, request.height, SIDES.0, SIDES.1
            ));
        }
    }
    // Seeds are signed numbers in PyTorch, and each image has the next.
    if request.seed > i64::MAX as u64 - 1001 || request.count > 1000 {
        return wrong("a seed is less than 2⁶³ - 1001, and 1000 images are the most".into());
    }
    Ok(())
}

#[async_trait]
impl Generator for SageMakerGenerator {
    fn info(&self) -> ProviderInfo {
        ProviderInfo::new("sagemaker", self.endpoint.clone())
    }

    async fn generate(&self, request: &GenerateRequest) -> Result<Vec<Generated>> {
        check(request).at(Stage::Generate)?;
        let ones = (0..u64::from(request.count)).map(|n| GenerateRequest {
            seed: request.seed + n,
            count: 1,
            ..request.clone()
        });
        let drawn: Vec<Result<Generated>> =
            stream::iter(ones).map(|one| self.one(one)).buffered(AT_ONCE).collect().await;
        drawn
            .into_iter()
            .collect::<Result<Vec<_>>>()
            .map_err(|e| e.with_provider("sagemaker"))
            .at(Stage::Generate)
    }
}
