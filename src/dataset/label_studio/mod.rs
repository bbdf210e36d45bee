//! Review in Label Studio: a dataset's images as tasks of a project there, and its annotations as decisions here.
//!
//! ```no_run
//! # async fn f(dataset: picchu::Dataset) -> picchu::Result<()> {
//! use picchu::dataset::label_studio::Options;
//! let project = dataset.label_studio_project(&Options::default()).await?;
//! std::fs::write("tasks.json", &project.tasks).unwrap();
//! std::fs::write("config.xml", &project.config).unwrap();
//! // … people work on them in Label Studio, and export as JSON …
//! let answers = dataset.read_label_studio(&std::fs::read("export.json").unwrap(), "export.json")?;
//! let (dataset, conflicts) = dataset.merge_reviews(&[answers.reviews]).await?;
//! # Ok(()) }
//! ```

mod annotations;
mod config;
mod tasks;

pub use self::{
    annotations::Answers,
    tasks::{Options, Pictures, Project},
};

/// Names of the controls, which tie tasks, settings and annotations together.
const IMAGE: &str = "image";
const BOX: &str = "box";
const VERDICT: &str = "verdict";
const REASON: &str = "reason";
const CHARACTER: &str = "character";
const CAPTION: &str = "caption";

/// The choices of the verdict.
const ACCEPT: &str = "accept";
const REJECT: &str = "reject";
