//! Embeddings by Titan and by Nova.

use std::sync::Arc;

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{StreamExt, TryStreamExt, stream};
use ndarray::Array2;
use serde_json::{Value, json};

use super::Bedrock;
use crate::{
    crop::{Fit, to_jpeg},
    embed::Embedder,
    error::{Error, ErrorKind, Result},
    types::{Crop, Embeddings, ProviderInfo, Usage},
};

/// Crops of one batch: each is a call, side by side as the quota allows.
const BATCH: usize = 16;

/// What a picture's call uses, before it is made.
const ONE_PICTURE: Usage =
    Usage { requests: 1, images: 1, input_tokens: 0, output_tokens: 0, usd: 0.0, unpriced_requests: 0 };

/// Amazon Titan Multimodal Embeddings G1.
#[derive(Clone, Debug)]
pub struct TitanEmbedder {
    bedrock: Bedrock,
    dimensions: usize,
}

impl TitanEmbedder {
    /// Id of the model.
    pub const MODEL: &'static str = "amazon.titan-embed-image-v1";
    /// What the model takes: 2,048 pixels a side; more than 1,024 is not looked at closely.
    pub const FIT: Fit = Fit { longer: 2048, shorter: 1024, quality: 95, bytes: 5 << 20 };

    /// Vectors of 256, 384 or 1,024 values.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for another number.
    pub fn new(bedrock: Bedrock, dimensions: usize) -> Result<Self> {
        one_of(dimensions, &[256, 384, 1024], "Titan Multimodal Embeddings")?;
        Ok(Self { bedrock, dimensions })
    }

    pub(super) fn bedrock(&self) -> &Bedrock {
        &self.bedrock
    }

    /// The body of a request for a picture in JPEG.
    pub fn body(jpeg: &[u8], dimensions: usize) -> Value {
        json!({
            "inputImage": BASE64_STANDARD.encode(jpeg),
            "embeddingConfig": {"outputEmbeddingLength": dimensions},
        })
    }

    /// The vector in an answer.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an answer whose `message` says what is wrong, which comes with HTTP
    /// 200; [`Decode`](ErrorKind::Decode) for one that is no answer.
    pub fn vector(answer: &Value) -> Result<Vec<f32>> {
        if let Some(message) = answer.get("message").and_then(Value::as_str).filter(|m| !m.is_empty()) {
            return Err(Error::invalid(format!("Titan refused the picture: {message}")));
        }
        vector(answer.get("embedding"))
    }
}

/// Amazon Nova Multimodal Embeddings, for finding what belongs together.
#[derive(Clone, Debug)]
pub struct NovaEmbedder {
    bedrock: Bedrock,
    dimensions: usize,
}

impl NovaEmbedder {
    /// Id of the model.
    pub const MODEL: &'static str = "amazon.nova-2-multimodal-embeddings-v1:0";
    /// What vectors are made for. Vectors for different purposes cannot be compared.
    pub const PURPOSE: &'static str = "CLUSTERING";
    /// What the model takes.
    pub const FIT: Fit = Fit { longer: 2048, shorter: 1024, quality: 95, bytes: 5 << 20 };

    /// Vectors of 256, 384, 1,024 or 3,072 values.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for another number.
    pub fn new(bedrock: Bedrock, dimensions: usize) -> Result<Self> {
        one_of(dimensions, &[256, 384, 1024, 3072], "Nova Multimodal Embeddings")?;
        Ok(Self { bedrock, dimensions })
    }

    pub(super) fn bedrock(&self) -> &Bedrock {
        &self.bedrock
    }

    /// The body of a request for a picture in JPEG.
    pub fn body(jpeg: &[u8], dimensions: usize) -> Value {
        json!({
            "schemaVersion": "nova-multimodal-embed-v1",
            "taskType": "SINGLE_EMBEDDING",
            "singleEmbeddingParams": {
                "embeddingPurpose": Self::PURPOSE,
                "embeddingDimension": dimensions,
                "image": {
                    "detailLevel": "STANDARD_IMAGE",
                    "format": "jpeg",
                    "source": {"bytes": BASE64_STANDARD.encode(jpeg)},
                },
            },
        })
    }

    /// The vector in an answer.
    ///
    /// # Errors
    /// As [`TitanEmbedder::vector`].
    pub fn vector(answer: &Value) -> Result<Vec<f32>> {
        if let Some(message) = answer.get("message").and_then(Value::as_str).filter(|m| !m.is_empty()) {
            return Err(Error::invalid(format!("Nova refused the picture: {message}")));
        }
        vector(answer.pointer("/embeddings/0/embedding"))
    }
}

#[async_trait]
impl Embedder for TitanEmbedder {
    fn info(&self) -> ProviderInfo {
        info("titan", self.bedrock.model(), self.dimensions, "")
    }

    fn price(&self) -> Option<f64> {
        self.bedrock.price(&ONE_PICTURE)
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// A starting point; look at `picchu calibrate` before you trust it with your film.
    fn default_min_similarity(&self) -> f64 {
        0.94
    }

    async fn embed(&self, crops: &[Crop]) -> Result<Embeddings> {
        // Text tokens are billed besides the picture; a picture alone has none.
        let used = |answer: &Value| Usage {
            input_tokens: answer.get("inputTextTokenCount").and_then(Value::as_u64).unwrap_or(0),
            ..ONE_PICTURE
        };
        let ask = |jpeg: Vec<u8>| async move {
            let (answer, _) =
                self.bedrock.invoke(&Self::body(&jpeg, self.dimensions), &ONE_PICTURE, used).await?;
            Self::vector(&answer)
        };
        embed_all(crops, Self::FIT, self.info().model, self.dimensions, ask).await
    }
}

#[async_trait]
impl Embedder for NovaEmbedder {
    fn info(&self) -> ProviderInfo {
        info("nova", self.bedrock.model(), self.dimensions, Self::PURPOSE)
    }

    fn price(&self) -> Option<f64> {
        self.bedrock.price(&ONE_PICTURE)
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// A starting point; look at `picchu calibrate` before you trust it with your film.
    fn default_min_similarity(&self) -> f64 {
        0.94
    }

    async fn embed(&self, crops: &[Crop]) -> Result<Embeddings> {
        let ask = |jpeg: Vec<u8>| async move {
            let body = Self::body(&jpeg, self.dimensions);
            let (answer, _) = self.bedrock.invoke(&body, &ONE_PICTURE, |_| ONE_PICTURE).await?;
            Self::vector(&answer)
        };
        embed_all(crops, Self::FIT, self.info().model, self.dimensions, ask).await
    }
}

/// Model, dimension and purpose together are the id: vectors of different ids are never compared.
fn info(name: &str, model: &str, dimensions: usize, purpose: &str) -> ProviderInfo {
    let purpose = if purpose.is_empty() { String::new() } else { format!("-{}", purpose.to_lowercase()) };
    ProviderInfo::new(name, format!("{model}-{dimensions}{purpose}")).settings("jpeg-v1").max_batch(BATCH)
}

fn one_of(dimensions: usize, allowed: &[usize], model: &str) -> Result<()> {
    if allowed.contains(&dimensions) {
        return Ok(());
    }
    let list: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    Err(Error::invalid(format!("{model} has no vectors of {dimensions} values; choose {}", list.join(", "))))
}

fn vector(values: Option<&Value>) -> Result<Vec<f32>> {
    let values = values.and_then(Value::as_array).filter(|v| !v.is_empty());
    let numbers =
        values.and_then(|v| v.iter().map(|n| n.as_f64().map(|n| n as f32)).collect::<Option<Vec<_>>>());
    numbers.ok_or_else(|| {
        Error::new(ErrorKind::Decode, "the answer has no embedding, or one that is no list of numbers")
    })
}

/// One call a crop, the rows in the crops' order and of length 1.
async fn embed_all<F: Future<Output = Result<Vec<f32>>>>(
    crops: &[Crop],
    fit: Fit,
    model: String,
    dimensions: usize,
    ask: impl Fn(Vec<u8>) -> F,
) -> Result<Embeddings> {
    let ask = &ask;
    let images: Vec<_> = crops.iter().map(|crop| Arc::clone(&crop.image)).collect();
    let rows: Vec<Vec<f32>> = stream::iter(images)
        .map(|image| async move {
            whole(ask(crate::blocking(move || to_jpeg(&image, fit)).await?).await?, dimensions)
        })
        .buffered(BATCH)
        .try_collect()
        .await?;
    matrix(model, dimensions, rows)
}

/// A vector of the length that was asked for.
pub(super) fn whole(row: Vec<f32>, dimensions: usize) -> Result<Vec<f32>> {
    if row.len() == dimensions {
        return Ok(row);
    }
    Err(Error::new(ErrorKind::Decode, format!("{} values came where {dimensions} were asked for", row.len())))
}

/// Vectors as unit rows.
pub(super) fn matrix(model: String, dimensions: usize, rows: Vec<Vec<f32>>) -> Result<Embeddings> {
    let matrix = Array2::from_shape_vec((rows.len(), dimensions), rows.concat())
        .map_err(|e| Error::internal(format!("vectors of unequal length: {e}")))?;
    Embeddings::new(model, matrix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_inside_an_answer_are_errors() {
        let refused = TitanEmbedder::vector(&json!({"embedding": null, "message": "too small"})).unwrap_err();
        assert!(refused.message().contains("too small"));
        assert_eq!(
            TitanEmbedder::vector(&json!({"embedding": [1, 2.5], "message": null})).unwrap(),
            [1.0, 2.5]
        );
        for odd in [json!({}), json!({"embedding": []}), json!({"embedding": ["a"]}), json!(3)] {
            assert_eq!(TitanEmbedder::vector(&odd).unwrap_err().kind(), ErrorKind::Decode, "{odd}");
            assert_eq!(NovaEmbedder::vector(&odd).unwrap_err().kind(), ErrorKind::Decode, "{odd}");
        }
        let nova = json!({"embeddings": [{"embeddingType": "IMAGE", "embedding": [0.5]}]});
        assert_eq!(NovaEmbedder::vector(&nova).unwrap(), [0.5]);
    }

    #[test]
    fn ids_tell_model_dimension_and_purpose_apart() {
        let ids = [
            info("titan", TitanEmbedder::MODEL, 256, "").model,
            info("titan", TitanEmbedder::MODEL, 384, "").model,
            info("nova", NovaEmbedder::MODEL, 384, NovaEmbedder::PURPOSE).model,
        ];
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[2].ends_with("-384-clustering"));
    }
}
