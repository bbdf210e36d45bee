//! Python objects as detector, embedder and captioner. `picchu/plugins.py` checks what they answer.
//!
//! They are called where the pipeline is polled, which is the thread that called [`wait_with`](crate::runtime::wait_with):
//! no other thread ever attaches to the interpreter.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use numpy::PyReadonlyArray2;
use picchu::{
    Captioner, CharacterDetector, Embedder, Error, ErrorKind, Result,
    config::{CaptionerChoice, DetectorChoice, EmbedderChoice, Shared},
    types::{Caption, CaptionRequest, Crop, Detection, Embeddings, Frame, ProviderInfo},
};
use pyo3::{exceptions::PyException, prelude::*};
use serde_json::json;
use tokio::sync::oneshot;

use crate::{frames, pixels, training::read};

/// The exception of a plugged-in object, on its way to the caller.
#[derive(Clone, Default)]
pub(crate) struct Raised(Arc<Mutex<Option<PyErr>>>);

impl Raised {
    fn slot(&self) -> MutexGuard<'_, Option<PyErr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Raises it, if there is one that is no error: Ctrl-C, an exit. What is under way is dropped then.
    pub(crate) fn interrupt(&self, py: Python<'_>) -> PyResult<()> {
        let mut slot = self.slot();
        let interrupts = slot.as_ref().is_some_and(|raised| !raised.is_instance_of::<PyException>(py));
        match slot.take_if(|_| interrupts) {
            Some(raised) => Err(raised),
            None => Ok(()),
        }
    }

    /// The end of a call: with the exception, if there is one, in place of the error that it became.
    pub(crate) fn or<T>(&self, ended: PyResult<T>) -> PyResult<T> {
        ended.map_err(|error| self.slot().take().unwrap_or(error))
    }
}

/// The objects of a plan, by the stage that they do.
pub(crate) struct Plugins {
    objects: HashMap<String, Py<PyAny>>,
    raised: Raised,
}

impl Plugins {
    pub(crate) fn new(objects: HashMap<String, Py<PyAny>>) -> Self {
        Self { objects, raised: Raised::default() }
    }

    pub(crate) fn raised(&self) -> Raised {
        self.raised.clone()
    }

    fn plugin(&self, stage: &str) -> Result<Plugin> {
        let object = self
            .objects
            .get(stage)
            .ok_or_else(|| Error::new(ErrorKind::Config, format!("the plan has no {stage}")))?;
        Python::attach(|py| Plugin::open(object.bind(py), &self.raised).map_err(|e| told(py, &e)))
    }

    /// The detector: picchu's own, or an object where none was chosen.
    pub(crate) async fn detector(
        &self,
        own: Option<&DetectorChoice>,
        shared: &Shared,
    ) -> Result<Arc<dyn CharacterDetector>> {
        match own {
            Some(own) => own.open(shared).await,
            None => Ok(Arc::new(PluggedDetector(self.plugin("detector")?))),
        }
    }

    /// The embedder, as the detector.
    pub(crate) async fn embedder(
        &self,
        own: Option<&EmbedderChoice>,
        shared: &mut Shared,
    ) -> Result<Arc<dyn Embedder>> {
        if let Some(own) = own {
            return shared.embedder(own).await;
        }
        let plugin = self.plugin("embedder")?;
        let read = |object: &Bound<'_, PyAny>| -> PyResult<(usize, f64)> {
            Ok((
                object.getattr("dimensions")?.extract()?,
                object.getattr("default_min_similarity")?.extract()?,
            ))
        };
        let (dimensions, default_min_similarity) =
            Python::attach(|py| read(plugin.object.bind(py)).map_err(|e| told(py, &e)))?;
        Ok(Arc::new(PluggedEmbedder { plugin, dimensions, default_min_similarity }))
    }

    /// The captioner, as the detector.
    pub(crate) async fn captioner(
        &self,
        own: Option<&CaptionerChoice>,
        shared: &Shared,
    ) -> Result<Arc<dyn Captioner>> {
        match own {
            Some(own) => own.open(shared).await,
            None => Ok(Arc::new(PluggedCaptioner {
                plugin: self.plugin("captioner")?,
                waiting: Mutex::default(),
            })),
        }
    }
}

/// An object, wrapped by `picchu.plugins.Plugged`.
struct Plugin {
    object: Py<PyAny>,
    info: ProviderInfo,
    /// Of one item, in US dollars.
    price: f64,
    raised: Raised,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Plugin {
    fn open(object: &Bound<'_, PyAny>, raised: &Raised) -> PyResult<Self> {
        let text = |name: &str| object.getattr(name)?.extract::<String>();
        let name = text("name")?;
        let model = format!("{name} {}", text("version")?);
        let info = ProviderInfo::new(name, model)
            .settings(text("settings")?)
            .max_batch(object.getattr("max_batch")?.extract()?);
        let price = object.getattr("price")?.extract()?;
        Ok(Self { object: object.clone().unbind(), info, price, raised: raised.clone() })
    }

    /// Asks the object. What it raises, other than picchu's own, ends the run as any error that concerns all of it: what
    /// came before is finished and kept.
    async fn ask<T>(&self, question: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>) -> Result<T> {
        let answer = Python::attach(|py| {
            question(self.object.bind(py)).map_err(|raised| {
                if let Some(error) = own(py, &raised) {
                    return Some(error);
                }
                let is_error = raised.is_instance_of::<PyException>(py);
                *self.raised.slot() = Some(raised);
                is_error
                    .then(|| Error::new(ErrorKind::Cancelled, "an object of the plan raised an exception"))
            })
        });
        match answer {
            Ok(answer) => Ok(answer),
            Err(Some(error)) => Err(error),
            // The thread that waits raises it, and drops this.
            Err(None) => std::future::pending().await,
        }
    }
}

/// The error of an exception that is a `picchu.PicchuError`.
fn own(py: Python<'_>, raised: &PyErr) -> Option<Error> {
    let class = py.import("picchu.exceptions").and_then(|module| module.getattr("PicchuError")).ok()?;
    let value = raised.value(py);
    value.is_instance(&class).ok().filter(|&is| is)?;
    let kind: String = value.getattr("kind").ok()?.extract().ok()?;
    Some(Error::new(ErrorKind::from_name(&kind).unwrap_or(ErrorKind::Internal), value.to_string()))
}

/// An exception in words.
fn told(py: Python<'_>, raised: &PyErr) -> Error {
    own(py, raised).unwrap_or_else(|| Error::new(ErrorKind::Config, raised.to_string()))
}

#[derive(Debug)]
struct PluggedDetector(Plugin);

#[async_trait]
impl CharacterDetector for PluggedDetector {
    fn info(&self) -> ProviderInfo {
        self.0.info.clone()
    }

    fn price(&self) -> Option<f64> {
        Some(self.0.price)
    }

    async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
        let answers: String = self
            .0
            .ask(|object| {
                let asked: Vec<_> = frames.iter().cloned().map(frames::Frame::from).collect();
                object.call_method1("detect", (asked,))?.extract()
            })
            .await?;
        read("the answer of the detector", &answers)
    }
}

#[derive(Debug)]
struct PluggedEmbedder {
    plugin: Plugin,
    dimensions: usize,
    default_min_similarity: f64,
}

#[async_trait]
impl Embedder for PluggedEmbedder {
    fn info(&self) -> ProviderInfo {
        self.plugin.info.clone()
    }

    fn price(&self) -> Option<f64> {
        Some(self.plugin.price)
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn default_min_similarity(&self) -> f64 {
        self.default_min_similarity
    }

    async fn embed(&self, crops: &[Crop]) -> Result<Embeddings> {
        let rows = self
            .plugin
            .ask(|object| {
                let py = object.py();
                let asked = crops.iter().map(|crop| pixels::array(py, &crop.image));
                let rows = object.call_method1("embed", (asked.collect::<PyResult<Vec<_>>>()?,))?;
                Ok(rows.extract::<PyReadonlyArray2<'_, f32>>()?.as_array().to_owned())
            })
            .await?;
        Embeddings::new(self.plugin.info.model.clone(), rows)
    }
}

/// How long a question waits for others to be asked with.
const GATHER: Duration = Duration::from_millis(5);

/// A question, and where its answer goes.
type Waiting = (CaptionRequest, oneshot::Sender<Result<Caption>>);

/// Questions that come side by side are asked together.
#[derive(Debug)]
struct PluggedCaptioner {
    plugin: Plugin,
    waiting: Mutex<Vec<Waiting>>,
}

#[async_trait]
impl Captioner for PluggedCaptioner {
    fn info(&self) -> ProviderInfo {
        self.plugin.info.clone()
    }

    fn price(&self) -> Option<f64> {
        Some(self.plugin.price)
    }

    async fn caption(&self, request: &CaptionRequest) -> Result<Caption> {
        let (sender, mut answer) = oneshot::channel();
        self.queue().push((request.clone(), sender));
        // Whoever asks at the same time queues up meanwhile; the first to go on asks for all.
        tokio::time::sleep(GATHER).await;
        loop {
            if let Ok(answer) = answer.try_recv() {
                return answer;
            }
            let batch: Vec<Waiting> = {
                let mut queue = self.queue();
                let most = self.plugin.info.max_batch.min(queue.len());
                queue.drain(..most).collect()
            };
            if batch.is_empty() {
                return answer.await.unwrap_or_else(|_| Err(Error::internal("a question was forgotten")));
            }
            self.answer(batch).await;
        }
    }
}

impl PluggedCaptioner {
    fn queue(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, batch: Vec<Waiting>) {
        let model = &self.plugin.info.model;
        let answers = self
            .plugin
            .ask(|object| {
                let py = object.py();
                let asked = batch.iter().map(|(request, _)| {
                    let CaptionRequest { record, subjects, attempt, refusal, .. } = request;
                    let fields = json!({
                        "record": record, "subjects": subjects, "attempt": attempt, "refusal": refusal,
                    });
                    Ok((fields.to_string(), pixels::array(py, &request.crop.image)?))
                });
                let asked = asked.collect::<PyResult<Vec<_>>>()?;
                let answers = object.call_method1("caption", (asked,))?;
                answers.try_iter()?.map(|answer| one(&answer?, model)).collect::<PyResult<Vec<_>>>()
            })
            .await;
        match answers {
            Ok(answers) => {
                for ((_, sender), answer) in batch.into_iter().zip(answers) {
                    let _ = sender.send(answer);
                }
            }
            Err(error) => {
                for (_, sender) in batch {
                    let _ = sender.send(Err(Error::new(error.kind(), error.message())));
                }
            }
        }
    }
}

/// One caption, or the error that concerns it.
fn one(answer: &Bound<'_, PyAny>, model: &str) -> PyResult<Result<Caption>> {
    if answer.is_instance_of::<PyException>() {
        let py = answer.py();
        return Ok(Err(told(py, &PyErr::from_value(answer.clone()))));
    }
    Ok(Ok(Caption::new(answer.extract::<String>()?, model)))
}
