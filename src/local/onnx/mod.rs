//! Models of the user's own: detectors and image encoders as ONNX files, run by the ONNX Runtime that the user has.
//!
//! A model is a file `name.onnx` and, where the model does not tell everything itself, its description `name.json`
//! ([`ModelSpec`]). Both are checked when they are loaded, and the model is run once, so that what does not fit is said
//! before the first frame. `docs/models.md` has worked examples.
//!
//! Models run on the processor, away from the async threads, with a bounded number of threads.

mod boxes;
mod detector;
mod embedder;
mod metadata;
mod model;
mod network;
mod picture;
mod runtime;
mod spec;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

pub use detector::OnnxDetector;
pub use embedder::OnnxEmbedder;
pub use runtime::OnnxRuntime;
pub use spec::{Channels, Fit, Layout, ModelKind, ModelSpec, Names, Pool, Resample};

use crate::error::{Error, Result};

/// What a description is, in error messages.
const DESCRIPTION: &str = "a file with the model's name and the ending .json, see docs/models.md";

/// Which model, and how it is run.
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxOptions {
    /// The model file.
    pub model: PathBuf,
    /// Its description; `None` reads the one that lies beside it.
    pub spec: Option<ModelSpec>,
    /// Threads of the model; `None` takes one a core, at most 8. The answers do not depend on it.
    pub threads: Option<usize>,
}

impl OnnxOptions {
    /// A model with the description that lies beside it.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self { model: model.into(), spec: None, threads: None }
    }

    /// Sets the description, instead of the one that lies beside the model.
    #[must_use]
    pub fn spec(mut self, spec: ModelSpec) -> Self {
        self.spec = Some(spec);
        self
    }

    /// Sets the number of threads.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The description of a model whose file is there.
    fn description(&self) -> Result<ModelSpec> {
        model::check_file(&self.model)?;
        match &self.spec {
            Some(spec) => spec.check().map(|()| spec.clone()),
            None => ModelSpec::beside(&self.model),
        }
    }
}

/// Turns a panic of the binding, as odd files may cause, into an error.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let why = panic.downcast_ref::<String>().map(String::as_str);
        let why = why.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("for an unknown reason");
        Err(Error::internal(format!("the binding of ONNX Runtime panicked: {why}")))
    })
}
