//! Plans: from the façade's description to a pipeline that runs.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use picchu::{
    Cast, CosineDeduper, CropPolicy, Error, Keep, Pipeline, Result,
    caption::LintRules,
    config::{CaptionerChoice, DetectorChoice, EmbedderChoice, Shared, open_store},
    pipeline::Event,
    store::{MemoryStore, Store},
};
use pyo3::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    errors::OrRaise as _,
    plugins::Plugins,
    runtime::{wait, wait_with},
    sampling::SamplingOptions,
};

/// Events that wait for Python at the most. When it lags behind, the oldest are lost; the report has everything.
const MAX_EVENTS: usize = 1024;

/// A plan, as `picchu.pipeline.Plan` writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    film: PathBuf,
    sampling: SamplingOptions,
    cast: Cast,
    /// `None` where an object of Python does it, as for the next two.
    detector: Option<DetectorChoice>,
    settle: bool,
    crop: CropPolicy,
    embedder: Option<EmbedderChoice>,
    min_similarity: Option<f64>,
    keep: Keep,
    captioner: Option<CaptionerChoice>,
    max_usd: Option<f64>,
}

impl Plan {
    async fn pipeline(json: &str, store: Arc<dyn Store>, plugins: &Plugins) -> Result<Pipeline> {
        let plan: Self = serde_json::from_str(json)
            .map_err(|e| Error::invalid(format!("the plan is not understood: {e}")))?;
        let deduper = match plan.min_similarity {
            Some(min_similarity) => CosineDeduper::at(min_similarity)?,
            None => CosineDeduper::default(),
        };
        plan.cast.check()?;
        let mut shared = Shared::new(plan.cast).keep_answers_in(Arc::clone(&store));
        if let Some(usd) = plan.max_usd {
            shared = shared.budget(usd)?;
        }
        let embedder = plugins.embedder(plan.embedder.as_ref(), &mut shared).await?;
        let detector = plugins.detector(plan.detector.as_ref(), &shared).await?;
        let captioner = plugins.captioner(plan.captioner.as_ref(), &shared).await?;
        Ok(Pipeline::film(&plan.film)?
            .sample(plan.sampling.build()?)
            .meter(Arc::clone(&shared.meter))
            .store(store)
            .detect(detector)
            .settle(plan.settle)
            .crop(plan.crop)
            .dedupe(embedder, Arc::new(deduper.keep(plan.keep)))
            .caption(captioner)
            .lint(LintRules::for_cast(&shared.cast)))
    }
}

fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))
}

/// Runs a plan into a folder and gives the report as JSON. `on_event` is called with each event as JSON.
#[pyfunction]
#[pyo3(signature = (plan, plugins, out, on_event=None))]
pub(crate) fn run(
    py: Python<'_>,
    plan: &str,
    plugins: HashMap<String, Py<PyAny>>,
    out: PathBuf,
    on_event: Option<Py<PyAny>>,
) -> PyResult<String> {
    let plugins = Plugins::new(plugins);
    let raised = plugins.raised();
    let events = Arc::new(Mutex::new(VecDeque::new()));
    let writer = on_event.is_some().then(|| Arc::clone(&events));
    let report = async {
        let mut pipeline = Plan::pipeline(plan, open_store(&out)?, &plugins).await?;
        if let Some(events) = writer {
            pipeline = pipeline.on_event(move |event: &Event| note(&events, event));
        }
        to_json(&pipeline.run().await?)
    };
    // Python is called from the waiting thread, never from where the event arose.
    let ended = wait_with(py, report, |py| {
        raised.interrupt(py)?;
        let Some(on_event) = &on_event else { return Ok(()) };
        loop {
            // The lock is let go before Python is called.
            let event: Option<String> = events.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match event {
                Some(event) => on_event.call1(py, (event,))?,
                None => return Ok(()),
            };
        }
    });
    raised.or(ended)
}

fn note(events: &Mutex<VecDeque<String>>, event: &Event) {
    let Ok(event) = to_json(event) else { return };
    let mut events = events.lock().unwrap_or_else(PoisonError::into_inner);
    if events.len() == MAX_EVENTS {
        events.pop_front();
    }
    events.push_back(event);
}

/// What running a plan into a folder would do: JSON, and the same for people.
#[pyfunction]
#[pyo3(signature = (plan, plugins, out=None))]
pub(crate) fn explain(
    py: Python<'_>,
    plan: &str,
    plugins: HashMap<String, Py<PyAny>>,
    out: Option<PathBuf>,
) -> PyResult<(String, String)> {
    let plugins = Plugins::new(plugins);
    let explanation = async {
        let store = match &out {
            Some(out) => open_store(out)?,
            None => Arc::new(MemoryStore::new()),
        };
        Plan::pipeline(plan, store, &plugins).await?.explain().await
    };
    let explanation = wait(py, explanation)?;
    let json = to_json(&explanation).or_raise(py)?;
    Ok((json, explanation.to_string()))
}

/// Refuses a sampling that makes no sense.
#[pyfunction]
pub(crate) fn check_sampling(py: Python<'_>, sampling: &str) -> PyResult<()> {
    SamplingOptions::parse(sampling).and_then(SamplingOptions::build).map(drop).or_raise(py)
}

/// Refuses options of cropping that are out of range.
#[pyfunction]
pub(crate) fn check_crop(py: Python<'_>, crop: &str) -> PyResult<()> {
    let policy: Result<CropPolicy> = serde_json::from_str(crop)
        .map_err(|e| Error::invalid(format!("the options of crop are not understood: {e}")));
    policy.and_then(|policy| policy.validate()).or_raise(py)
}

/// Reads a cast file and gives it as JSON.
#[pyfunction]
pub(crate) fn load_cast(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    py.detach(|| Cast::load(&path).and_then(|cast| to_json(&cast))).or_raise(py)
}
