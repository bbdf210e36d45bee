//! Near-duplicate search on numpy arrays, without copying them.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use picchu::dedupe::{self, Options};
use pyo3::prelude::*;

use crate::{errors::OrRaise as _, runtime::compute};

type Rows<'py> = Bound<'py, PyArray1<i64>>;
type Selected<'py> = (Rows<'py>, Rows<'py>, Bound<'py, PyArray1<f32>>);

fn rows<'py>(py: Python<'py>, numbers: &[u32]) -> Rows<'py> {
    numbers.iter().map(|&n| i64::from(n)).collect::<Vec<_>>().into_pyarray(py)
}

fn selected(py: Python<'_>, selection: dedupe::Selection) -> Selected<'_> {
    let (kept, covered_by) = (rows(py, &selection.kept), rows(py, &selection.covered_by));
    (kept, covered_by, selection.similarity.into_pyarray(py))
}

/// Keeps rows that no earlier kept row resembles: (kept, covered_by, similarity).
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
    fn pairs<'py>(&self, py: Python<'py>) -> (Rows<'py>, Rows<'py>, Bound<'py, PyArray1<f64>>) {
        let (a, b, similarity) = py.detach(|| {
            let count = self.inner.len();
            let (mut a, mut b, mut similarity) =
                (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
            for pair in self.inner.pairs() {
                a.push(i64::from(pair.a));
                b.push(i64::from(pair.b));
                similarity.push(pair.similarity);
            }
            (a, b, similarity)
        });
        (a.into_pyarray(py), b.into_pyarray(py), similarity.into_pyarray(py))
    }

    /// The pairs that reach a higher threshold.
    fn rethreshold(&self, py: Python<'_>, min_similarity: f64) -> PyResult<Self> {
        let inner = py.detach(|| self.inner.rethreshold(min_similarity)).or_raise(py)?;
        Ok(Self { inner })
    }

    /// The selection at a threshold, from the pairs alone: (kept, covered_by, similarity).
    fn select<'py>(&self, py: Python<'py>, min_similarity: f64) -> PyResult<Selected<'py>> {
        let selection = py.detach(|| self.inner.select(min_similarity)).or_raise(py)?;
        Ok(selected(py, selection))
    }
}
