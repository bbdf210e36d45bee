//! Models of the user's own, as configuration files and Python name them.

use std::{path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

use super::Shared;
use crate::{detect::CharacterDetector, embed::Embedder, error::Result};

/// A detector in an ONNX file. In a build without the feature `onnx` it can be named, but not opened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnnxDetectorChoice {
    /// The model file.
    pub model: PathBuf,
    /// Its description; the `.json` file beside the model unless given.
    #[serde(default)]
    pub description: Option<PathBuf>,
    /// The ONNX Runtime library, or the folder that holds it; as the environment says unless given.
    #[serde(default)]
    pub library: Option<PathBuf>,
    /// Threads of the model; one a core, at most 8, unless given.
    #[serde(default)]
    pub threads: Option<usize>,
    /// Least likeness to a reference picture for a box of a general class to get that character's name, -1 to 1.
    #[serde(default)]
    pub min_likeness: Option<f32>,
    /// Least lead of that likeness over the next character's.
    #[serde(default)]
    pub margin: Option<f32>,
}

/// An image encoder in an ONNX file. In a build without the feature `onnx` it can be named, but not opened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnnxEmbedderChoice {
    /// The model file.
    pub model: PathBuf,
    /// Its description; the `.json` file beside the model unless given.
    #[serde(default)]
    pub description: Option<PathBuf>,
    /// The ONNX Runtime library, or the folder that holds it; as the environment says unless given.
    #[serde(default)]
    pub library: Option<PathBuf>,
    /// Threads of the model; one a core, at most 8, unless given.
    #[serde(default)]
    pub threads: Option<usize>,
}

#[cfg(not(feature = "onnx"))]
mod open {
    use super::{Arc, CharacterDetector, Embedder, OnnxDetectorChoice, OnnxEmbedderChoice, Result, Shared};
    use crate::error::{Error, ErrorKind};

    fn missing<T>() -> Result<T> {
        Err(Error::new(ErrorKind::Unsupported, "this build runs no ONNX models; enable the feature \"onnx\""))
    }

    impl OnnxDetectorChoice {
        pub(in super::super) async fn open(&self, _shared: &Shared) -> Result<Arc<dyn CharacterDetector>> {
            missing()
        }
    }

    impl OnnxEmbedderChoice {
        pub(in super::super) async fn open(&self) -> Result<Arc<dyn Embedder>> {
            missing()
        }
    }
}

#[cfg(feature = "onnx")]
mod open {
    use std::path::Path;

    use super::{Arc, CharacterDetector, Embedder, OnnxDetectorChoice, OnnxEmbedderChoice, Result, Shared};
    use crate::{
        detect::NearestReference,
        error::Error,
        local::onnx::{ModelSpec, OnnxDetector, OnnxEmbedder, OnnxOptions, OnnxRuntime},
    };

    fn runtime(library: Option<&Path>) -> Result<OnnxRuntime> {
        library.map_or_else(OnnxRuntime::from_env, OnnxRuntime::at)
    }

    fn options(model: &Path, description: Option<&Path>, threads: Option<usize>) -> Result<OnnxOptions> {
        let spec = description.map(ModelSpec::load).transpose()?;
        Ok(OnnxOptions { model: model.to_owned(), spec, threads })
    }

    fn checked(value: Option<f32>, or: f32, name: &str) -> Result<f32> {
        match value.unwrap_or(or) {
            value if (-1.0..=1.0).contains(&value) => Ok(value),
            value => Err(Error::invalid(format!("{name} is {value}; it must be -1 to 1"))),
        }
    }

    impl OnnxDetectorChoice {
        /// Opens the detector. Boxes of general classes are named by likeness where the job has an embedder for it.
        pub(in super::super) async fn open(&self, shared: &Shared) -> Result<Arc<dyn CharacterDetector>> {
            let least = checked(self.min_likeness, NearestReference::MIN_SIMILARITY, "min_likeness")?;
            let margin = checked(self.margin, NearestReference::MARGIN, "margin")?;
            let (choice, cast) = (self.clone(), shared.cast.clone());
            let (detector, knows_all) = crate::blocking(move || {
                let options = options(&choice.model, choice.description.as_deref(), choice.threads)?;
                let detector = OnnxDetector::load(&runtime(choice.library.as_deref())?, &options, &cast)?;
                let knows_all = detector.knows(&cast);
                Ok((Arc::new(detector), knows_all))
            })
            .await?;
            let illustrated = shared.cast.characters.iter().any(|c| !c.references.is_empty());
            Ok(match &shared.identity {
                Some(embedder) if !knows_all && illustrated => {
                    let named = NearestReference::new(detector, Arc::clone(embedder), &shared.cast)?;
                    Arc::new(named.min_similarity(least).margin(margin))
                }
                _ => detector,
            })
        }
    }

    impl OnnxEmbedderChoice {
        pub(in super::super) async fn open(&self) -> Result<Arc<dyn Embedder>> {
            let choice = self.clone();
            let embedder = crate::blocking(move || {
                let options = options(&choice.model, choice.description.as_deref(), choice.threads)?;
                OnnxEmbedder::load(&runtime(choice.library.as_deref())?, &options)
            })
            .await?;
            Ok(Arc::new(embedder))
        }
    }
}
