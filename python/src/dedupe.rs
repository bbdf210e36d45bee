//! Near-duplicate search on numpy arrays, without copying them.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use picchu::{
    Error,
    dedupe::{self, Admission, DedupeError, Options},
};
use pyo3::prelude::*;

use crate::{
    errors::OrRaise as _,
    runtime::{compute, compute_until},
};

type Rows<'py> = Bound<'py, PyArray1<i64>>;
type Selected<'py> = (Rows<'py>, Rows<'py>, Bound<'py, PyArray1<f32>>);
type Pairs<'py> = (Rows<'py>, Rows<'py>, Bound<'py, PyArray1<f64>>);

fn rows<'py>(py: Python<'py>, numbers: &[u32]) -> Rows<'py> {
    numbers.iter().map(|&n| i64::from(n)).collect::<Vec<_>>().into_pyarray(py)
}

fn selected(py: Python<'_>, selection: dedupe::Selection) -> Selected<'_> {
    let (kept, covered_by) = (rows(py, &selection.kept), rows(py, &selection.covered_by));
    (kept, covered_by, selection.similarity.into_pyarray(py))
}

/// The pairs as (earlier row, later row, similarity).
fn pairs(py: Python<'_>, found: impl Iterator<Item = dedupe::Pair> + Send) -> Pairs<'_> {
    let (a, b, similarity) = py.detach(|| {
        let (mut a, mut b, mut similarity) = (Vec::new(), Vec::new(), Vec::new());
        for pair in found {
            a.push(i64::from(pair.a));
            b.push(i64::from(pair.b));
            similarity.push(pair.similarity);
        }
        (a, b, similarity)
    });
    (a.into_pyarray(py), b.into_pyarray(py), similarity.into_pyarray(py))
}

/// Keeps rows that no earlier kept row resembles: (kept, covers, similarity).
#[pyfunction]
#[pyo3(signature = (x, min_similarity, order=None, threads=0))]
pub(crate) fn select<'py>(
    py: Python<'py>,
    x: PyReadonlyArray2<'py, f32>,
    min_similarity: f64,
    order: Option<PyReadonlyArray1<'py, u32>>,
    threads: usize,
) -> PyResult<Selected<'py>> {
    let x = x.as_array();
    let order = order.map(|order| order.as_array().to_vec());
    let selection = compute(py, |cancel| {
        let options = Options::default().threads(threads).cancel(cancel);
        dedupe::select(x, min_similarity, order.as_deref(), &options)
    })?;
    Ok(selected(py, selection))
}

/// Finds all pairs of similar rows.
#[pyfunction]
#[pyo3(signature = (x, min_similarity, threads=0, memory_budget_bytes=None))]
pub(crate) fn join(
    py: Python<'_>,
    x: PyReadonlyArray2<'_, f32>,
    min_similarity: f64,
    threads: usize,
    memory_budget_bytes: Option<usize>,
) -> PyResult<Join> {
    let x = x.as_array();
    let inner = compute(py, |cancel| {
        let mut options = Options::default().threads(threads).cancel(cancel);
        options.memory_budget_bytes = memory_budget_bytes;
        dedupe::join(x, min_similarity, &options)
    })?;
    Ok(Join { inner })
}

/// Finds the groups that similar rows form: the smallest member of each row's group, and the number of groups.
#[pyfunction]
#[pyo3(signature = (x, min_similarity, threads=0))]
pub(crate) fn components<'py>(
    py: Python<'py>,
    x: PyReadonlyArray2<'py, f32>,
    min_similarity: f64,
    threads: usize,
) -> PyResult<(Rows<'py>, usize)> {
    let x = x.as_array();
    let found = compute(py, |cancel| {
        dedupe::components(x, min_similarity, &Options::default().threads(threads).cancel(cancel))
    })?;
    Ok((rows(py, &found.labels), found.count))
}

/// All pairs of rows that reach a threshold.
#[pyclass(frozen, module = "picchu._picchu")]
#[derive(Debug)]
pub(crate) struct Join {
    inner: dedupe::Join,
}

#[pymethods]
impl Join {
    /// The threshold that the pairs reach.
    #[getter]
    fn min_similarity(&self) -> f64 {
        self.inner.min_similarity()
    }

    /// Rows that were searched.
    #[getter]
    fn rows(&self) -> usize {
        self.inner.rows()
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    /// For each row the smallest member of its group.
    fn components<'py>(&self, py: Python<'py>) -> Rows<'py> {
        rows(py, &py.detach(|| self.inner.components()))
    }

    /// The pairs as (earlier row, later row, similarity).
    fn pairs<'py>(&self, py: Python<'py>) -> Pairs<'py> {
        pairs(py, self.inner.pairs())
    }

    /// The pairs that reach a higher threshold.
    fn rethreshold(&self, py: Python<'_>, min_similarity: f64) -> PyResult<Self> {
        let inner = py.detach(|| self.inner.rethreshold(min_similarity)).or_raise(py)?;
        Ok(Self { inner })
    }

    /// The selection at a threshold, from the pairs alone: (kept, covers, similarity).
    fn select<'py>(&self, py: Python<'py>, min_similarity: f64) -> PyResult<Selected<'py>> {
        let selection = py.detach(|| self.inner.select(min_similarity)).or_raise(py)?;
        Ok(selected(py, selection))
    }
}

/// Finds what is needed to choose a threshold.
#[pyfunction]
#[pyo3(signature = (x, threads=0, memory_budget_bytes=None))]
pub(crate) fn calibrate(
    py: Python<'_>,
    x: PyReadonlyArray2<'_, f32>,
    threads: usize,
    memory_budget_bytes: Option<usize>,
) -> PyResult<Calibration> {
    let x = x.as_array();
    let inner = compute(py, |cancel| {
        let mut options = Options::default().threads(threads).cancel(cancel);
        options.memory_budget_bytes = memory_budget_bytes;
        dedupe::calibrate(x, &options)
    })?;
    Ok(Calibration { inner })
}

/// What each threshold does to some rows.
#[pyclass(frozen, module = "picchu._picchu")]
#[derive(Debug)]
pub(crate) struct Calibration {
    inner: dedupe::Calibration,
}

#[pymethods]
impl Calibration {
    /// The lowest threshold that can be asked for.
    #[getter]
    fn floor(&self) -> f64 {
        self.inner.floor()
    }

    /// For each row the similarity with the nearest other row.
    fn nearest<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        PyArray1::from_slice(py, &self.inner.nearest)
    }

    /// For each row the similarity with the nearest earlier row.
    fn nearest_earlier<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        PyArray1::from_slice(py, &self.inner.nearest_earlier)
    }

    /// All pairs that reach the floor.
    fn join(&self, py: Python<'_>) -> Join {
        Join { inner: py.detach(|| self.inner.join().clone()) }
    }

    /// How many rows are kept at a threshold.
    fn kept_at(&self, py: Python<'_>, min_similarity: f64) -> PyResult<usize> {
        py.detach(|| self.inner.kept_at(min_similarity)).or_raise(py)
    }

    /// The threshold that keeps about so many rows, and how many it keeps.
    fn threshold_for(&self, py: Python<'_>, count: usize) -> PyResult<(f64, usize)> {
        py.detach(|| self.inner.threshold_for(count)).or_raise(py)
    }

    /// The pairs closest to a threshold, the closest first.
    fn pairs_near<'py>(&self, py: Python<'py>, min_similarity: f64, count: usize) -> PyResult<Pairs<'py>> {
        let found = py.detach(|| self.inner.pairs_near(min_similarity, count)).or_raise(py)?;
        Ok(pairs(py, found.into_iter()))
    }
}

/// A selection that goes on.
#[pyclass(frozen, module = "picchu._picchu")]
#[derive(Debug)]
pub(crate) struct Index {
    /// Locked only while detached: whoever waits for the lock must not hold up the interpreter.
    inner: Mutex<dedupe::Index>,
    /// The index's own flag; one batch is added at a time.
    cancel: Arc<AtomicBool>,
}

impl Index {
    fn begin(
        threads: usize,
        make: impl FnOnce(Options) -> Result<dedupe::Index, Error>,
    ) -> Result<Self, Error> {
        let cancel = Arc::new(AtomicBool::new(false));
        let inner = make(Options::default().threads(threads).cancel(Arc::clone(&cancel)))?;
        Ok(Self { inner: Mutex::new(inner), cancel })
    }

    fn lock(&self) -> MutexGuard<'_, dedupe::Index> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask<T: Send>(&self, py: Python<'_>, question: impl FnOnce(&dedupe::Index) -> T + Send) -> T {
        py.detach(|| question(&self.lock()))
    }
}

fn on_file(action: &str, path: &Path, error: DedupeError) -> Error {
    match error {
        DedupeError::Io(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            Error::io(action, path, error)
        }
        other => Error::invalid(format!("{}: {other}", path.display())).with_source(other),
    }
}

#[pymethods]
impl Index {
    #[new]
    #[pyo3(signature = (dimensions, min_similarity, threads=0))]
    fn new(py: Python<'_>, dimensions: usize, min_similarity: f64, threads: usize) -> PyResult<Self> {
        Self::begin(threads, |options| Ok(dedupe::Index::new(dimensions, min_similarity, options)?))
            .or_raise(py)
    }

    /// Loads an index that was saved.
    #[staticmethod]
    #[pyo3(signature = (path, threads=0))]
    fn load(py: Python<'_>, path: PathBuf, threads: usize) -> PyResult<Self> {
        let load =
            |options| dedupe::Index::load(&path, options).map_err(|e| on_file("load the index", &path, e));
        py.detach(|| Self::begin(threads, load)).or_raise(py)
    }

    /// Saves the index.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        self.ask(py, |index| index.save(&path)).map_err(|e| on_file("save the index", &path, e)).or_raise(py)
    }

    /// Admits rows: the numbers of those that are kept, and what covers each.
    #[pyo3(signature = (x, order=None))]
    fn add<'py>(
        &self,
        py: Python<'py>,
        x: PyReadonlyArray2<'py, f32>,
        order: Option<PyReadonlyArray1<'py, u32>>,
    ) -> PyResult<Selected<'py>> {
        let x = x.as_array();
        let order = order.map(|order| order.as_array().to_vec());
        let (mut kept, covered_by, similarity) = compute_until(py, &self.cancel, || {
            let mut index = self.lock();
            // The flag of an earlier batch that was interrupted.
            self.cancel.store(false, Ordering::Relaxed);
            let (mut kept, mut covers, mut similarities) = (Vec::new(), Vec::new(), Vec::new());
            for admission in index.add_batch(x, order.as_deref())? {
                let (cover, similarity) = match admission {
                    Admission::Kept { row } => {
                        kept.push(row as i64);
                        (row, 1.0)
                    }
                    Admission::Covered { by, similarity } => (by, similarity),
                };
                covers.push(cover as i64);
                similarities.push(similarity as f32);
            }
            Ok::<_, DedupeError>((kept, covers, similarities))
        })?;
        kept.sort_unstable();
        Ok((kept.into_pyarray(py), covered_by.into_pyarray(py), similarity.into_pyarray(py)))
    }

    /// The kept row that covers each row, -1 for none, and the similarity with it. Nothing is added.
    fn query<'py>(
        &self,
        py: Python<'py>,
        x: PyReadonlyArray2<'py, f32>,
    ) -> PyResult<(Rows<'py>, Bound<'py, PyArray1<f32>>)> {
        let x = x.as_array();
        let (covered_by, similarity) = compute(py, |cancel| {
            let index = self.lock();
            let (mut covers, mut similarities) = (Vec::new(), Vec::new());
            for row in x.rows() {
                if cancel.load(Ordering::Relaxed) {
                    return Err(DedupeError::Cancelled);
                }
                let cover = index.query(row)?;
                covers.push(cover.map_or(-1, |(by, _)| by as i64));
                similarities.push(cover.map_or(f32::NAN, |(_, similarity)| similarity as f32));
            }
            Ok((covers, similarities))
        })?;
        Ok((covered_by.into_pyarray(py), similarity.into_pyarray(py)))
    }

    /// Numbers of the kept rows, in order of admission.
    fn kept<'py>(&self, py: Python<'py>) -> Rows<'py> {
        self.ask(py, |index| index.kept().iter().map(|&row| row as i64).collect::<Vec<_>>()).into_pyarray(py)
    }

    /// Number of kept rows.
    fn __len__(&self, py: Python<'_>) -> usize {
        self.ask(py, dedupe::Index::len)
    }

    /// Rows that were added so far, kept or not.
    #[getter]
    fn seen(&self, py: Python<'_>) -> u64 {
        self.ask(py, dedupe::Index::seen)
    }

    /// Values of a row.
    #[getter]
    fn dimensions(&self, py: Python<'_>) -> usize {
        self.ask(py, dedupe::Index::dim)
    }

    /// The threshold.
    #[getter]
    fn min_similarity(&self, py: Python<'_>) -> f64 {
        self.ask(py, dedupe::Index::min_similarity)
    }
}
