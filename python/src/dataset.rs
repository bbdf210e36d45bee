//! Finished datasets.

use std::path::PathBuf;

use numpy::{PyArray1, PyArray2, PyArray3, PyArrayMethods as _};
use picchu::{
    Cast, Error, Result,
    caption::LintRules,
    config::open_store,
    dataset::{
        CalibrateOptions,
        export::nova,
        from_jsonl,
        label_studio::{Options, Pictures},
    },
    local::review::ReviewOptions,
    review::Judgement,
    types::Record,
};
use pyo3::{prelude::*, types::PyBytes};
use serde::Serialize;

use crate::{errors::OrRaise as _, pixels, review::ReviewPage, runtime::wait};

/// The lines as bytes, how many they are, and which file has to lie at which address.
type Manifest<'py> = (Bound<'py, PyBytes>, usize, Vec<(String, String)>);

/// A dataset on disk, checked when it was opened.
#[pyclass(frozen, module = "picchu._picchu")]
#[derive(Debug)]
pub(crate) struct Dataset {
    inner: picchu::Dataset,
}

/// A record with what is only known by asking: the score of its quality, and people's decision about it.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    record: &'a Record,
    quality_score: Option<f32>,
    review: Option<&'a Judgement>,
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))
}

/// What captions are held against. `cast` is a cast as JSON.
fn rules(cast: Option<&str>) -> Result<LintRules> {
    let Some(cast) = cast else { return Ok(LintRules::default()) };
    let cast: Cast =
        serde_json::from_str(cast).map_err(|e| Error::invalid(format!("the cast is not understood: {e}")))?;
    Ok(LintRules::for_cast(&cast))
}

impl Dataset {
    fn record(&self, index: usize) -> Result<&Record> {
        self.inner
            .records()
            .get(index)
            .map(|record| self.inner.corrected(record))
            .ok_or_else(|| Error::invalid(format!("there is no record number {index} in this dataset")))
    }
}

#[pymethods]
impl Dataset {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let inner = wait(py, async { picchu::Dataset::open(open_store(&path)?).await })?;
        Ok(Self { inner })
    }

    /// What was run: `picchu.json`.
    fn header(&self, py: Python<'_>) -> PyResult<String> {
        json(self.inner.header()).or_raise(py)
    }

    /// Every record, as a JSON list.
    fn records(&self, py: Python<'_>) -> PyResult<String> {
        let lines = || {
            let line = |record| Line {
                record: self.inner.corrected(record),
                quality_score: self.inner.corrected(record).crop.as_ref().map(|crop| crop.quality.score()),
                review: self.inner.judgement(&record.id),
            };
            json(&self.inner.records().iter().map(line).collect::<Vec<_>>())
        };
        py.detach(lines).or_raise(py)
    }

    /// The bytes of a record's image file.
    fn image_bytes<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyBytes>> {
        let body = wait(py, async { self.inner.image_bytes(self.record(index)?).await })?;
        Ok(PyBytes::new(py, &body))
    }

    /// A record's image, shape (height, width, 3), uint8 RGB.
    fn image<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let image = wait(py, async { self.inner.image(self.record(index)?).await })?;
        let shape = [image.height() as usize, image.width() as usize, 3];
        PyArray1::from_vec(py, image.into_raw()).reshape(shape)
    }

    /// A small JPEG file of a record's image.
    fn thumbnail<'py>(&self, py: Python<'py>, index: usize, max_side: u32) -> PyResult<Bound<'py, PyBytes>> {
        let image = wait(py, async { self.inner.image(self.record(index)?).await })?;
        let body = py.detach(|| pixels::jpeg(&image, max_side)).or_raise(py)?;
        Ok(PyBytes::new(py, &body))
    }

    /// One row a candidate that has an embedding, float32.
    fn embeddings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let embeddings = wait(py, self.inner.embeddings())?;
        Ok(PyArray2::from_array(py, &embeddings.view()))
    }

    /// The JSON lines for Nova Canvas, how many they are, and which file has to lie at which address.
    fn export_nova<'py>(&self, py: Python<'py>, uri: &str) -> PyResult<Manifest<'py>> {
        let manifest = wait(py, nova::manifest(&self.inner, uri))?;
        Ok((PyBytes::new(py, &manifest.body), manifest.lines.len(), manifest.uploads))
    }

    /// Opens it for review. `cast` is a cast as JSON.
    #[pyo3(signature = (cast, film, reviewer, port))]
    fn review(
        &self,
        py: Python<'_>,
        cast: Option<&str>,
        film: Option<PathBuf>,
        reviewer: Option<String>,
        port: u16,
    ) -> PyResult<ReviewPage> {
        let rules = rules(cast).or_raise(py)?;
        ReviewPage::open(py, self.inner.clone(), film, ReviewOptions { reviewer, film: None, rules, port })
    }

    /// The review page as one file. `cast` is a cast as JSON.
    #[pyo3(signature = (cast, side))]
    fn report(&self, py: Python<'_>, cast: Option<&str>, side: u32) -> PyResult<String> {
        let rules = rules(cast).or_raise(py)?;
        if !(64..=2048).contains(&side) {
            return Err(Error::invalid(format!("side is {side}; it must be 64 to 2048"))).or_raise(py);
        }
        wait(py, self.inner.report(&rules, side))
    }

    /// Takes over the decisions of other logs; the ids of records about which people do not agree.
    fn merge_reviews(&self, py: Python<'_>, logs: Vec<PathBuf>) -> PyResult<Vec<String>> {
        wait(py, async {
            let mut read = Vec::new();
            for path in &logs {
                let body = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
                read.push(from_jsonl(&body, &path.display().to_string())?);
            }
            let (_, conflicts) = self.inner.merge_reviews(&read).await?;
            Ok(conflicts.into_iter().map(|conflict| conflict.record).collect())
        })
    }

    /// Takes over decisions, as the lines of a log.
    fn add_reviews(&self, py: Python<'_>, lines: &str) -> PyResult<()> {
        wait(py, async {
            let decided = from_jsonl(lines.as_bytes(), "the decisions")?;
            self.inner.merge_reviews(&[decided]).await.map(drop)
        })
    }

    /// The tasks as JSON, the labeling interface, and how many tasks there are. `pictures` is an address; without one the
    /// pictures are in the tasks.
    fn label_studio_project<'py>(
        &self,
        py: Python<'py>,
        pictures: Option<String>,
        side: u32,
        unreviewed: bool,
    ) -> PyResult<(Bound<'py, PyBytes>, String, usize)> {
        let pictures = pictures.map_or(Pictures::Embedded { side }, Pictures::At);
        let project = wait(py, self.inner.label_studio_project(&Options { pictures, unreviewed }))?;
        Ok((PyBytes::new(py, &project.tasks), project.config, project.count))
    }

    /// Takes over the decisions of exports; the ids of records about which people do not agree.
    fn merge_label_studio(&self, py: Python<'_>, exports: Vec<PathBuf>) -> PyResult<Vec<String>> {
        wait(py, async {
            let mut read = Vec::new();
            for path in &exports {
                let body = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
                read.push(self.inner.read_label_studio(&body, &path.display().to_string())?.reviews);
            }
            let (_, conflicts) = self.inner.merge_reviews(&read).await?;
            Ok(conflicts.into_iter().map(|conflict| conflict.record).collect())
        })
    }

    /// What the captions look like as a whole: JSON, and the same for people. `cast` is a cast as JSON.
    #[pyo3(signature = (cast=None))]
    fn lint(&self, py: Python<'_>, cast: Option<&str>) -> PyResult<(String, String)> {
        let report = || -> Result<(String, String)> {
            let report = self.inner.lint(&rules(cast)?);
            Ok((json(&report)?, report.to_string()))
        };
        py.detach(report).or_raise(py)
    }

    /// What each threshold would do: JSON, and a page. `options` are those of `CalibrateOptions` as JSON.
    fn calibrate(&self, py: Python<'_>, options: &str) -> PyResult<(String, String)> {
        wait(py, async {
            let options: CalibrateOptions = serde_json::from_str(options)
                .map_err(|e| Error::invalid(format!("the options of calibrate are not understood: {e}")))?;
            let report = self.inner.calibrate(&options).await?;
            let page = self.inner.calibration_page(&report).await?;
            Ok((json(&report)?, page))
        })
    }
}
