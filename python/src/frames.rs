//! Films and their frames.

use std::{
    mem,
    path::PathBuf,
    process,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use futures::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use numpy::PyArray3;
use picchu::{
    Error, FrameSource,
    config::open_film,
    source::{Analysis, analyse, sample_analysed},
    types,
};
use pyo3::prelude::*;

use crate::{
    errors::{OrRaise as _, to_py},
    pixels,
    runtime::wait,
    sampling::SamplingOptions,
};

/// A video file or a folder of pictures.
#[pyclass(frozen, module = "picchu._picchu")]
#[derive(Debug)]
pub(crate) struct Film {
    source: Arc<dyn FrameSource>,
    /// What a look at the whole film found, once somebody needed it.
    analysis: Arc<OnceLock<Arc<Analysis>>>,
}

#[pymethods]
impl Film {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let source = py.detach(|| open_film(&path)).or_raise(py)?;
        Ok(Self { source, analysis: Arc::default() })
    }

    /// What the film says of itself, as JSON. Decodes nothing.
    fn probe(&self, py: Python<'_>) -> PyResult<String> {
        let info = wait(py, self.source.probe())?;
        serde_json::to_string(&info).map_err(|e| Error::internal(e.to_string())).or_raise(py)
    }

    /// The film's identity: `sha256:` and a hash of its bytes.
    fn fingerprint(&self, py: Python<'_>) -> PyResult<String> {
        wait(py, self.source.fingerprint())
    }

    /// Shots, drawings and what lies over the film, as JSON. Decodes the whole film, once.
    fn analyse(&self, py: Python<'_>) -> PyResult<String> {
        let analysis = wait(py, analysis(&*self.source, &self.analysis))?;
        serde_json::to_string(&*analysis).map_err(|e| Error::internal(e.to_string())).or_raise(py)
    }

    /// The sampled frames. Nothing is decoded before the first one is asked for.
    fn frames(&self, py: Python<'_>, sampling: &str) -> PyResult<Frames> {
        let sampling = SamplingOptions::parse(sampling).and_then(SamplingOptions::build).or_raise(py)?;
        let stream = if sampling.looks() {
            let (source, kept) = (Arc::clone(&self.source), Arc::clone(&self.analysis));
            stream::once(async move {
                let analysis = analysis(&*source, &kept).await?;
                Ok::<_, Error>(sample_analysed(source, analysis, &sampling))
            })
            .try_flatten()
            .boxed()
        } else {
            self.source.frames(&sampling)
        };
        Ok(Frames { stream: Mutex::new(State::Waiting(stream)), process: process::id() })
    }
}

/// The film's analysis, made by whoever asks first. Two who ask at once both look, and find the same.
async fn analysis(source: &dyn FrameSource, kept: &OnceLock<Arc<Analysis>>) -> picchu::Result<Arc<Analysis>> {
    if let Some(kept) = kept.get() {
        return Ok(Arc::clone(kept));
    }
    let found = Arc::new(analyse(source).await?);
    Ok(Arc::clone(kept.get_or_init(|| found)))
}

/// Frames on their way. Few are decoded ahead: a slow reader slows the decoder down.
#[pyclass(frozen, module = "picchu._picchu")]
pub(crate) struct Frames {
    stream: Mutex<State>,
    process: u32,
}

enum State {
    Waiting(BoxStream<'static, picchu::Result<types::Frame>>),
    /// Some thread waits for the next frame.
    InUse,
    Ended,
}

impl Frames {
    fn exchange(&self, state: State) -> State {
        mem::replace(&mut *self.stream.lock().unwrap_or_else(PoisonError::into_inner), state)
    }
}

#[pymethods]
impl Frames {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Frame>> {
        if self.process != process::id() {
            let error = Error::invalid(
                "frames that were begun before a fork cannot be read in the child: begin anew",
            );
            return Err(to_py(py, &error));
        }
        let mut stream = match self.exchange(State::InUse) {
            State::Waiting(stream) => stream,
            State::InUse => {
                return Err(to_py(py, &Error::invalid("another thread is reading these frames right now")));
            }
            State::Ended => {
                self.exchange(State::Ended);
                return Ok(None);
            }
        };
        // An interrupted wait loses nothing: the stream stays where it is.
        let next = wait(py, async { Ok(stream.next().await) });
        match next {
            Ok(None) => {
                self.exchange(State::Ended);
                Ok(None)
            }
            Ok(Some(Ok(frame))) => {
                self.exchange(State::Waiting(stream));
                Ok(Some(Frame { inner: frame }))
            }
            Ok(Some(Err(error))) => {
                // Frames may follow a gap, and nothing else.
                self.exchange(if error.gap().is_some() { State::Waiting(stream) } else { State::Ended });
                py.check_signals()?;
                Err(to_py(py, &error))
            }
            Err(exception) => {
                self.exchange(State::Waiting(stream));
                Err(exception)
            }
        }
    }

    /// Stops the decoder. Further frames are not delivered.
    fn close(&self) {
        if self.process == process::id() {
            drop(self.exchange(State::Ended));
        }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        // In a forked child the decoder belongs to the parent.
        if self.process != process::id() {
            mem::forget(self.exchange(State::Ended));
        }
    }
}

/// One picture of a film, with its time.
#[pyclass(frozen, module = "picchu._picchu")]
#[derive(Debug)]
pub(crate) struct Frame {
    inner: types::Frame,
}

impl From<types::Frame> for Frame {
    fn from(inner: types::Frame) -> Self {
        Self { inner }
    }
}

#[pymethods]
impl Frame {
    /// When the picture is first shown, in seconds from the film's first picture.
    #[getter]
    fn time(&self) -> f64 {
        self.inner.time.as_secs_f64()
    }

    /// Number of the sample, from 0. Samples that fall into a gap keep their number.
    #[getter]
    fn index(&self) -> u64 {
        self.inner.index
    }

    /// Whether the film's decoder can start at this picture.
    #[getter]
    fn keyframe(&self) -> bool {
        self.inner.keyframe
    }

    /// Number of the shot that it belongs to; None where the film was not looked at for shots.
    #[getter]
    fn shot(&self) -> Option<u32> {
        self.inner.shot
    }

    /// Number of the drawing that it shows; None where the film was not looked at for shots.
    #[getter]
    fn drawing(&self) -> Option<u32> {
        self.inner.drawing
    }

    /// Width in pixels.
    #[getter]
    fn width(&self) -> u32 {
        self.inner.width()
    }

    /// Height in pixels.
    #[getter]
    fn height(&self) -> u32 {
        self.inner.height()
    }

    /// The pixels as a read-only array of shape (height, width, 3), uint8 RGB, without a copy.
    ///
    /// The array keeps the frame alive: its ``base`` is the frame.
    fn to_numpy(this: Bound<'_, Self>) -> PyResult<Bound<'_, PyArray3<u8>>> {
        // SAFETY: the pixels belong to `this`. `Frame` is frozen and nothing changes or replaces its picture.
        #[allow(unsafe_code)]
        unsafe {
            pixels::view(&this.get().inner.image, this.clone().into_any())
        }
    }

    /// What ``numpy.asarray(frame)`` calls.
    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        this: Bound<'py, Self>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let array = Self::to_numpy(this)?.into_any();
        let array = match dtype {
            Some(dtype) => array.call_method1("astype", (dtype,))?,
            None => array,
        };
        if copy == Some(true) { array.call_method0("copy") } else { Ok(array) }
    }

    /// The picture as a ``PIL.Image.Image``; its pixels are a copy. Needs Pillow.
    fn to_pil(this: Bound<'_, Self>) -> PyResult<Bound<'_, PyAny>> {
        let pil = this.py().import("PIL.Image")?;
        pil.call_method1("fromarray", (Self::to_numpy(this)?,))
    }

    /// How notebooks show a frame.
    fn _repr_jpeg_(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        py.detach(|| pixels::jpeg(&self.inner.image, 640)).or_raise(py)
    }

    fn __repr__(&self) -> String {
        format!("Frame({:.3} s, {}×{})", self.time(), self.width(), self.height())
    }
}
