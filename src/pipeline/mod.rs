//! The job from film to dataset: stages joined into one run.
//!
//! A run has two phases with one barrier between them. **Collect** streams the film: frames are decoded, searched,
//! cut, embedded and stored, a few batches in flight, results in the film's order, memory bounded. **Select** looks
//! at the whole set: near-duplicates are found, the kept images captioned, the dataset written. Finished batches are
//! journaled, so a run that was stopped goes on where it was, and another threshold only selects anew.

mod analysis;
mod answers;
mod caption;
mod collect;
mod event;
mod exclusive;
mod explain;
mod journal;
mod run;
mod select;
mod settle;
mod stop;

use std::{fmt, sync::Arc};

pub use self::{
    event::{Event, Report},
    explain::{Explanation, StageExplanation, StageState},
    stop::Stop,
};
use crate::{
    caption::{Captioner, LintRules},
    crop::CropPolicy,
    dedupe::{CosineDeduper, Deduper},
    detect::CharacterDetector,
    embed::Embedder,
    error::{Error, ErrorKind, Result},
    layers::Meter,
    source::{FrameSource, Sampling},
    store::Store,
};

/// The job from a film to a dataset, built stage by stage; nothing happens before [`run`](Self::run).
///
/// ```
/// # use std::sync::Arc;
/// # use picchu::testing::{FakeDetector, SyntheticFilm};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> picchu::Result<()> {
/// use picchu::{CropPolicy, Pipeline, Sampling, dedupe::CosineDeduper, store::MemoryStore};
///
/// let report = Pipeline::new(Arc::new(SyntheticFilm::new(5)))
///     .sample(Sampling::rate(1.0)?)
///     .detect(Arc::new(FakeDetector::new("Mayu")))
///     .crop(CropPolicy::default().pad(0.2))
///     .dedupe(Arc::new(picchu::embed::LayoutEmbedder::new()), Arc::new(CosineDeduper::at(0.94)?))
///     .caption(Arc::new(picchu::caption::MeasuredCaptioner::new()))
///     .store(Arc::new(MemoryStore::new()))
///     .run()
///     .await?;
/// assert_eq!(report.counts.frames, 5);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Pipeline {
    source: Arc<dyn FrameSource>,
    sampling: Sampling,
    crop: CropPolicy,
    detector: Option<Arc<dyn CharacterDetector>>,
    settle: bool,
    embedder: Option<Arc<dyn Embedder>>,
    deduper: Arc<dyn Deduper>,
    captioner: Option<Arc<dyn Captioner>>,
    lint: LintRules,
    store: Option<Arc<dyn Store>>,
    limits: Limits,
    meter: Option<Arc<Meter>>,
    stop: Stop,
    observer: Observer,
}

/// How much a run may hold at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Batches of frames worked on at once. The results do not depend on it.
    pub in_flight: usize,
    /// Decoded frames held at once, in bytes; at least one frame a batch.
    pub frame_bytes: usize,
    /// Captions asked for at once. The results do not depend on it.
    pub captions_in_flight: usize,
}

impl Default for Limits {
    /// One batch a core, 128 MiB of frames, 12 captions.
    fn default() -> Self {
        let in_flight = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { in_flight, frame_bytes: 128 << 20, captions_in_flight: 12 }
    }
}

type Watch = dyn Fn(&Event) + Send + Sync;

#[derive(Clone, Default)]
struct Observer(Option<Arc<Watch>>);

impl Observer {
    fn notify(&self, event: &Event) {
        if let Some(observer) = &self.0 {
            observer(event);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Observer(set)" } else { "Observer(none)" })
    }
}

impl Pipeline {
    /// Begins with a film: one frame a second, crops by the default policy, near-duplicates at the embedder's own
    /// threshold.
    pub fn new(source: Arc<dyn FrameSource>) -> Self {
        Self {
            source,
            sampling: Sampling::default(),
            crop: CropPolicy::default(),
            detector: None,
            settle: true,
            embedder: None,
            deduper: Arc::new(CosineDeduper::default()),
            captioner: None,
            lint: LintRules::default(),
            store: None,
            limits: Limits::default(),
            meter: None,
            stop: Stop::default(),
            observer: Observer::default(),
        }
    }

    /// Which frames to take.
    #[must_use]
    pub fn sample(mut self, sampling: Sampling) -> Self {
        self.sampling = sampling;
        self
    }

    /// Who finds and names the characters.
    #[must_use]
    pub fn detect(mut self, detector: Arc<dyn CharacterDetector>) -> Self {
        self.detector = Some(detector);
        self
    }

    /// Whether the sampled frames before and after a frame settle its boxes: name unsure ones, doubt lone weak names,
    /// steady edges. They do unless it is switched off here; what they did stands in the boxes' `decided_by`.
    #[must_use]
    pub fn settle(mut self, settle: bool) -> Self {
        self.settle = settle;
        self
    }

    /// How crops are cut.
    #[must_use]
    pub fn crop(mut self, policy: CropPolicy) -> Self {
        self.crop = policy;
        self
    }

    /// Who embeds the crops, and who chooses among them.
    #[must_use]
    pub fn dedupe(mut self, embedder: Arc<dyn Embedder>, deduper: Arc<dyn Deduper>) -> Self {
        self.embedder = Some(embedder);
        self.deduper = deduper;
        self
    }

    /// Who words the captions.
    #[must_use]
    pub fn caption(mut self, captioner: Arc<dyn Captioner>) -> Self {
        self.captioner = Some(captioner);
        self
    }

    /// What captions may say; see [`LintRules::for_cast`]. Names that were detected are known in any case.
    #[must_use]
    pub fn lint(mut self, rules: LintRules) -> Self {
        self.lint = rules;
        self
    }

    /// Where the dataset goes.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// How much the run may hold at once.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Which meter counts what the implementations cost; the report takes its total. Without one, the report has what
    /// the captions say they cost.
    #[must_use]
    pub fn meter(mut self, meter: Arc<Meter>) -> Self {
        self.meter = Some(meter);
        self
    }

    /// Lets the run be ended early, by a request that may come at any time.
    #[must_use]
    pub fn stop(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// Calls `observer` with everything that happens, in order. It must return quickly.
    #[must_use]
    pub fn on_event(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.observer = Observer(Some(Arc::new(observer)));
        self
    }

    /// Runs the job to the end, or from where an earlier run of the same job stopped. Dropping the future stops the
    /// run; what is journaled stays and the next run goes on from there.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) when a stage is missing; [`AlreadyExists`](ErrorKind::AlreadyExists) when the
    /// store holds another film's dataset or another run is at work in it; whatever ends a stage. A single frame, crop or caption that fails is
    /// recorded and does not end the run.
    pub async fn run(self) -> Result<Report> {
        run::run(self.complete()?).await
    }

    /// What [`run`](Self::run) would do: the stages, what is done already, how much is left, what it costs.
    /// Writes nothing and decodes nothing.
    ///
    /// # Errors
    /// As [`run`](Self::run) before its first frame.
    pub async fn explain(self) -> Result<Explanation> {
        explain::explain(&self.complete()?).await
    }

    fn complete(self) -> Result<Job> {
        fn need<T>(part: Option<T>, what: &str, call: &str) -> Result<T> {
            part.ok_or_else(|| {
                Error::new(ErrorKind::Config, format!("the job has no {what}; add one with .{call}(…)"))
            })
        }
        self.crop.validate()?;
        if self.limits.in_flight == 0 || self.limits.captions_in_flight == 0 {
            return Err(Error::new(
                ErrorKind::Config,
                "a limit of things in flight is 0; it must be at least 1",
            ));
        }
        Ok(Job {
            source: self.source,
            sampling: self.sampling,
            crop: self.crop,
            detector: need(self.detector, "detector", "detect")?,
            settle: self.settle,
            embedder: need(self.embedder, "embedder", "dedupe")?,
            deduper: self.deduper,
            captioner: need(self.captioner, "captioner", "caption")?,
            lint: self.lint,
            store: need(self.store, "store", "store")?,
            limits: self.limits,
            meter: self.meter,
            stop: self.stop,
            observer: self.observer,
        })
    }
}

/// A pipeline with nothing missing.
#[derive(Debug)]
struct Job {
    source: Arc<dyn FrameSource>,
    sampling: Sampling,
    crop: CropPolicy,
    detector: Arc<dyn CharacterDetector>,
    settle: bool,
    embedder: Arc<dyn Embedder>,
    deduper: Arc<dyn Deduper>,
    captioner: Arc<dyn Captioner>,
    lint: LintRules,
    store: Arc<dyn Store>,
    limits: Limits,
    meter: Option<Arc<Meter>>,
    stop: Stop,
    observer: Observer,
}
