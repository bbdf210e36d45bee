//! An image encoder of the user's own.

use std::sync::Arc;

use async_trait::async_trait;
use image::RgbImage;
use ndarray::Array2;
use sha2::{Digest, Sha256};

use super::{
    OnnxOptions, OnnxRuntime,
    network::{Defaults, Network, PictureAnswer},
    spec::{Fit, MAX_WIDTH, Pool, Resample},
};
use crate::{
    blocking,
    embed::Embedder,
    error::{AtStage, Error, ErrorKind, Result, Stage},
    types::{Crop, Embeddings, ProviderInfo},
};

/// Maps crops to vectors with an image encoder of the user's own, such as CLIP, DINOv2 or SigLIP.
///
/// The description beside the model says how pictures go in and from which similarity on two crops count as
/// near-duplicates: `default_min_similarity` has to be given, for no value fits all encoders.
///
/// ```no_run
/// use picchu::{embed::Embedder, local::onnx::{OnnxEmbedder, OnnxOptions, OnnxRuntime}};
/// let embedder = OnnxEmbedder::load(&OnnxRuntime::from_env()?, &OnnxOptions::new("clip.onnx"))?;
/// println!("{} values, near-duplicates from {}", embedder.dimensions(), embedder.default_min_similarity());
/// # Ok::<(), picchu::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OnnxEmbedder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    network: Network,
    pool: Option<Pool>,
    dimensions: usize,
    default_min_similarity: f64,
}

impl OnnxEmbedder {
    /// Loads a model, checks that it is an encoder that picchu understands, and runs it once.
    ///
    /// # Errors
    /// As [`OnnxDetector::load`](super::OnnxDetector::load).
    pub fn load(runtime: &OnnxRuntime, options: &OnnxOptions) -> Result<Self> {
        super::guarded(|| Inner::load(runtime, options))
            .map_err(|e| e.with_provider("onnx").with_context("model", options.model.display()))
            .at(Stage::Embed)
            .map(|inner| Self(Arc::new(inner)))
    }

    /// The vectors of some pictures, one row each, not yet of unit length. A sync function for callers that have a
    /// thread of their own.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) when the model cannot be run.
    pub fn describe(&self, pictures: &[&RgbImage]) -> Result<Array2<f32>> {
        self.0.describe(pictures)
    }
}

impl Inner {
    fn load(runtime: &OnnxRuntime, options: &OnnxOptions) -> Result<Self> {
        let spec = options.description()?;
        spec.only_for(true)?;
        let Some(default_min_similarity) = spec.default_min_similarity else {
            return Err(Error::invalid(format!(
                "the description has no default_min_similarity, the cosine from which two crops count as \
                 near-duplicates for this encoder (0.95 is a start; calibrate on your own crops). It belongs in {}",
                super::DESCRIPTION
            )));
        };
        let network = Network::load(runtime, options, &spec, |_| Defaults {
            fit: Fit::ShorterSideCrop,
            resample: Resample::Bicubic,
            size: None,
        })?;
        let mut embedder = Self { network, pool: spec.pool, dimensions: 0, default_min_similarity };
        let grey = RgbImage::from_pixel(64, 64, image::Rgb([114; 3]));
        if let Some(answer) = embedder.network.forward(&[&grey])?.first() {
            embedder.dimensions = embedder.pooled(answer)?.len();
        }
        let (found, width) = (embedder.dimensions, MAX_WIDTH);
        if found == 0 || found > width {
            return Err(Error::invalid(format!(
                "the model answers vectors of {found} values; 1 to {width} are allowed"
            )));
        }
        if let Some(dim) = spec.dim.filter(|dim| *dim != found) {
            return Err(Error::invalid(format!(
                "dim is {dim}, but the model answers vectors of {found} values; is \"output\" the right one?"
            )));
        }
        Ok(embedder)
    }

    /// One vector from an answer.
    fn pooled(&self, answer: &PictureAnswer) -> Result<Vec<f32>> {
        // Convolutional encoders keep two axes of length 1.
        let mut shape = &answer.shape[..];
        while shape.len() > 1 && shape.last() == Some(&1) {
            shape = &shape[..shape.len() - 1];
        }
        match (shape, self.pool) {
            ([_], None) => Ok(answer.values.clone()),
            ([_], Some(_)) => Err(Error::invalid(format!(
                "pool is given, but the model answers one vector a picture ({:?}); leave it out",
                answer.shape
            ))),
            (&[tokens, width], Some(pool)) if tokens > 0 && width > 0 => Ok(match pool {
                Pool::Cls => answer.values[..width].to_vec(),
                Pool::Mean => {
                    let mut sums = vec![0.0f64; width];
                    for token in answer.values.chunks_exact(width) {
                        for (sum, value) in sums.iter_mut().zip(token) {
                            *sum += f64::from(*value);
                        }
                    }
                    sums.into_iter().map(|sum| (sum / tokens as f64) as f32).collect()
                }
            }),
            ([_, _], None) => Err(Error::invalid(format!(
                "the model answers tokens ({:?} for a picture); say \"pool\": \"cls\" or \"mean\", or name another \
                 \"output\"",
                answer.shape
            ))),
            _ => Err(Error::invalid(format!(
                "the model answers {:?} for a picture; a vector, or tokens × values, is needed",
                answer.shape
            ))),
        }
    }

    fn describe(&self, pictures: &[&RgbImage]) -> Result<Array2<f32>> {
        let mut rows = Array2::zeros((pictures.len(), self.dimensions));
        for (mut row, answer) in rows.rows_mut().into_iter().zip(self.network.forward(pictures)?) {
            let vector = self.pooled(&answer)?;
            if vector.len() != self.dimensions {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!("the model answered {} values after {}", vector.len(), self.dimensions),
                ));
            }
            row.assign(&ndarray::aview1(&vector));
        }
        Ok(rows)
    }
}

#[async_trait]
impl Embedder for OnnxEmbedder {
    fn info(&self) -> ProviderInfo {
        let inner = &*self.0;
        let settings = serde_json::json!([inner.network.preparation, inner.pool]).to_string();
        let hash = crate::source::sha256_string(Sha256::new_with_prefix(settings));
        ProviderInfo::new("onnx", inner.network.model.id()).settings(hash).max_batch(inner.network.group())
    }

    fn dimensions(&self) -> usize {
        self.0.dimensions
    }

    fn default_min_similarity(&self) -> f64 {
        self.0.default_min_similarity
    }

    async fn embed(&self, crops: &[Crop]) -> Result<Embeddings> {
        let (inner, crops) = (Arc::clone(&self.0), crops.to_vec());
        blocking(move || {
            let pictures: Vec<&RgbImage> = crops.iter().map(|crop| &*crop.image).collect();
            Embeddings::new(inner.network.model.id(), inner.describe(&pictures)?)
        })
        .await
        .map_err(|e| e.with_provider("onnx"))
    }
}
