//! One way to call a model: within its rate, tried again where that can help, and metered.

use std::sync::Arc;

use aws_sdk_bedrockruntime::{
    Client,
    operation::converse::{ConverseOutput, builders::ConverseFluentBuilder},
    primitives::Blob,
    types::TokenUsage,
};
use serde_json::Value;

use crate::{
    aws::{AwsContext, service_error},
    error::{Error, ErrorKind, Result},
    layers::{Limiter, Limits, Meter, Rate, Retry},
    types::Usage,
};

/// Largest body of a request, in bytes, after base64.
const MAX_BODY: usize = 25_000_000;

/// What an account may ask of a model: the published defaults, which an account may have raised or lowered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quota {
    /// Requests a minute.
    pub requests_a_minute: f64,
    /// Tokens a minute, where they are limited.
    pub tokens_a_minute: Option<f64>,
    /// Calls at once.
    pub concurrency: usize,
}

impl Quota {
    /// The default quota of a model, by its id.
    pub fn of(model: &str) -> Self {
        let quota = |requests_a_minute, tokens_a_minute, concurrency| Self {
            requests_a_minute,
            tokens_a_minute,
            concurrency,
        };
        match model {
            m if m.contains("titan-embed-image") => quota(2_000.0, None, 16),
            m if m.contains("nova-2-multimodal-embeddings") => quota(2_000.0, None, 16),
            m if m.contains("nova-pro") => quota(250.0, Some(1_000_000.0), 16),
            m if m.contains("nova-2-lite") => quota(2_000.0, Some(8_000_000.0), 32),
            m if m.contains("nova-lite") => quota(200.0, Some(4_000_000.0), 16),
            // Images, which take long: also those of a trained model, whose ARN does not tell what it draws.
            m if m.contains("nova-canvas") || m.contains("provisioned-model/") => quota(100.0, None, 4),
            _ => quota(100.0, None, 8),
        }
    }

    fn limits(self) -> Limits {
        let limits = Limits::concurrency(self.concurrency).requests(Rate::per_minute(self.requests_a_minute));
        match self.tokens_a_minute {
            Some(tokens) => limits.tokens(Rate::per_minute(tokens)),
            None => limits,
        }
    }
}

/// The runtime of Bedrock for one model.
#[derive(Clone, Debug)]
pub struct Bedrock {
    client: Client,
    model: String,
    /// Entry of the price table.
    item: String,
    limiter: Arc<Limiter>,
    retry: Retry,
    meter: Arc<Meter>,
}

impl Bedrock {
    /// For a model, with its default quota and a meter that counts what calls cost.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an empty id.
    pub fn new(context: &AwsContext, model: &str, meter: Arc<Meter>) -> Result<Self> {
        if model.is_empty() {
            return Err(Error::invalid("the id of the Bedrock model is empty"));
        }
        Ok(Self {
            client: Client::new(&context.single_attempts()),
            model: model.to_owned(),
            item: price_item(model),
            limiter: Arc::new(Limiter::new(Quota::of(model).limits())?),
            retry: Retry::default(),
            meter,
        })
    }

    /// Sets what the account may ask.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) for a quota that lets nothing through.
    pub fn quota(mut self, quota: Quota) -> Result<Self> {
        self.limiter = Arc::new(Limiter::new(quota.limits())?);
        Ok(self)
    }

    /// Sets how calls are tried again.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The model's id.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What a use costs in US dollars; `None` where the price is not known.
    pub(super) fn price(&self, usage: &Usage) -> Option<f64> {
        self.price_as(&self.item, usage)
    }

    /// The same by another entry of the price table.
    pub(super) fn price_as(&self, item: &str, usage: &Usage) -> Option<f64> {
        self.meter.prices().cost(item, usage)
    }

    /// `InvokeModel` with a JSON body. `used` reads what the answer says was used.
    pub(super) async fn invoke(
        &self,
        body: &Value,
        expected: &Usage,
        used: impl Fn(&Value) -> Usage,
    ) -> Result<(Value, Usage)> {
        self.invoke_as(&self.item, body, expected, used).await
    }

    /// The same, paid by another entry of the price table: where one model has several prices.
    pub(super) async fn invoke_as(
        &self,
        item: &str,
        body: &Value,
        expected: &Usage,
        used: impl Fn(&Value) -> Usage,
    ) -> Result<(Value, Usage)> {
        let body =
            serde_json::to_vec(body).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
        if body.len() > MAX_BODY {
            let size = body.len();
            return Err(Error::invalid(format!(
                "a request of {size} bytes is over {MAX_BODY}, the most a call takes"
            )));
        }
        self.call(item, expected, || async {
            let answer = self
                .client
                .invoke_model()
                .model_id(&self.model)
                .content_type("application/json")
                .accept("application/json")
                .body(Blob::new(body.clone()))
                .send()
                .await
                .map_err(|e| service_error("bedrock InvokeModel", e))?;
            let answer: Value = serde_json::from_slice(answer.body().as_ref()).map_err(|e| {
                // The next answer may be whole: half an answer is the network's doing.
                Error::new(ErrorKind::Unavailable, format!("the answer of {} is no JSON: {e}", self.model))
            })?;
            let usage = used(&answer);
            Ok((answer, usage))
        })
        .await
    }

    /// Converse, as `build` fills it in.
    pub(super) async fn converse(
        &self,
        expected: &Usage,
        build: impl Fn(ConverseFluentBuilder) -> Result<ConverseFluentBuilder>,
    ) -> Result<(ConverseOutput, Usage)> {
        self.call(&self.item, expected, || async {
            let request = build(self.client.converse().model_id(&self.model))?;
            let answer = request.send().await.map_err(|e| service_error("bedrock Converse", e))?;
            let tokens = |count: Option<i32>| u64::try_from(count.unwrap_or(0)).unwrap_or(0);
            let usage = Usage {
                requests: 1,
                images: 1,
                input_tokens: tokens(answer.usage().map(TokenUsage::input_tokens)),
                output_tokens: tokens(answer.usage().map(TokenUsage::output_tokens)),
                ..Usage::default()
            };
            Ok((answer, usage))
        })
        .await
    }

    /// Each attempt waits its turn and is charged when it was answered.
    async fn call<T, F: Future<Output = Result<(T, Usage)>>>(
        &self,
        item: &str,
        expected: &Usage,
        attempt: impl Fn() -> F,
    ) -> Result<(T, Usage)> {
        let tokens = expected.input_tokens + expected.output_tokens;
        self.retry
            .run(|| {
                self.limiter.run(tokens, async {
                    let charge = self.meter.begin(item, expected)?;
                    let (answer, used) = Box::pin(attempt()).await?;
                    charge.settle(&used);
                    Ok((answer, self.meter.priced(item, &used)))
                })
            })
            .await
            .map_err(|e| e.with_provider("bedrock").with_context("model", &self.model))
    }
}

/// The entry of the price table for a model. Regional profiles cost what their model costs where the table has no entry
/// of their own: only Nova 2 Lite has.
pub(super) fn price_item(model: &str) -> String {
    let id = model.rsplit('/').next().unwrap_or(model);
    let plain = ["us.", "eu.", "apac.", "jp.", "global."]
        .iter()
        .find_map(|profile| id.strip_prefix(profile))
        .filter(|plain| !plain.contains("nova-2-lite"))
        .unwrap_or(id);
    let plain = plain.strip_suffix(":0").filter(|p| p.contains("titan-embed-image-v1")).unwrap_or(plain);
    format!("bedrock/{plain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_find_their_price() {
        for (model, item) in [
            ("amazon.nova-pro-v1:0", "bedrock/amazon.nova-pro-v1:0"),
            ("eu.amazon.nova-pro-v1:0", "bedrock/amazon.nova-pro-v1:0"),
            ("us.amazon.nova-2-lite-v1:0", "bedrock/us.amazon.nova-2-lite-v1:0"),
            ("amazon.titan-embed-image-v1:0", "bedrock/amazon.titan-embed-image-v1"),
            (
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-pro-v1:0",
                "bedrock/amazon.nova-pro-v1:0",
            ),
        ] {
            assert_eq!(price_item(model), item);
        }
    }

    #[test]
    fn quotas_are_the_published_ones() {
        assert!((Quota::of("us.amazon.nova-pro-v1:0").requests_a_minute - 250.0).abs() < 1e-9);
        assert!(Quota::of("somebody.new-model").tokens_a_minute.is_none());
    }
}
