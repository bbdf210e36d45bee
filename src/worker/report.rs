//! What became of a film, as an object beside the datasets.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Settings, Upload};
use crate::{
    dataset::FileHash,
    error::{Error, Result},
    store::{Key, PutMode, Store, get_opt},
};

const FOLDER: &str = "reports";
/// Characters of a message that nobody understood, as its report shows them.
const SHOWN: usize = 2000;

/// What became of a film.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FilmReport {
    pub(super) schema_version: u32,
    /// `working`, or an outcome's name.
    pub(super) outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) upload: Option<Upload>,
    /// Where the dataset is, or would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dataset: Option<String>,
    pub(super) worker: String,
    pub(super) run: String,
    /// How often a worker has begun with it.
    pub(super) attempt: u32,
    pub(super) time_ms: u64,
    /// The run's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) summary: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Failure>,
    /// The beginning of a message that names no film.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
}

/// Why it failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stage: Option<String>,
    pub(super) message: String,
    pub(super) retryable: bool,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            kind: error.kind().as_str().to_owned(),
            stage: error.stage().map(|stage| stage.as_str().to_owned()),
            message: error.to_string(),
            retryable: error.is_retryable(),
        }
    }
}

/// The reports of one worker's output.
#[derive(Debug)]
pub(super) struct Reports(Arc<dyn Store>);

impl Reports {
    pub(super) fn of(settings: &Settings) -> Result<Self> {
        settings.access().store(settings.output()).map(Self)
    }

    /// Writes a report. That a film is done stays written, whatever a late copy of its event comes to.
    pub(super) async fn write(&self, name: &str, report: &FilmReport) -> Result<()> {
        let key = Key::new(format!("{FOLDER}/{name}.json"))?;
        if let Some(there) = get_opt(&*self.0, &key).await?
            && serde_json::from_slice::<FilmReport>(&there).is_ok_and(|there| there.outcome == "done")
        {
            return Ok(());
        }
        let body = serde_json::to_vec_pretty(report)
            .map_err(|e| Error::internal(format!("cannot write JSON: {e}")).with_source(e))?;
        self.0.put(&key, Bytes::from(body), PutMode::Overwrite).await
    }
}

/// The name and the beginning of a message that names no film. Equal messages have one report.
#[cfg_attr(not(feature = "aws-sqs"), allow(dead_code))]
pub(super) fn of_message(body: &str) -> (String, String) {
    (format!("message-{}", FileHash::of(body.as_bytes()).short(16)), body.chars().take(SHOWN).collect())
}
