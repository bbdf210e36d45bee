//! From [`picchu::Error`] to the classes of `picchu/exceptions.py`.

use picchu::{Error, Stage};
use pyo3::prelude::*;

/// The exception of an error.
pub(crate) fn to_py(py: Python<'_>, error: &Error) -> PyErr {
    build(py, error).unwrap_or_else(|failure| failure)
}

fn build(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let gap = error
        .gap()
        .map(|gap| (gap.from.as_secs_f64(), gap.until.map(|until| until.as_secs_f64()), gap.reason.as_str()));
    let exception = py.import("picchu.exceptions")?.getattr("_from_native")?.call1((
        error.kind().as_str(),
        error.to_string(),
        error.stage().map(Stage::as_str),
        error.provider(),
        error.is_retryable(),
        error.context().to_vec(),
        gap,
    ))?;
    Ok(PyErr::from_value(exception))
}

/// Shorthand for results.
pub(crate) trait OrRaise<T> {
    /// The value, or the exception of the error.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T, E: Into<Error>> OrRaise<T> for Result<T, E> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|e| to_py(py, &e.into()))
    }
}
