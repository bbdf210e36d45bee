//! A run's folder, which is all there is of a job: what it was asked, whether its process lives, how far it is.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    error::{Error, ErrorKind, Result, Stage},
    store::{PutMode, write_file},
    train::lora::WEIGHTS,
    types::{CustomModel, JobProgress, JobStatus, StepLoss, TrainingJob, TrainingSpec},
};

const SPEC: &str = "job.json";
const SETTINGS: &str = "settings.json";
const LOG: &str = "log.txt";
/// Bytes of the log's end that are looked at for its last words.
const LAST_WORDS: i64 = 4096;

/// The folder of one job. Its path is the job's id.
#[derive(Clone, Debug)]
pub(super) struct JobFolder {
    path: PathBuf,
    spec: TrainingSpec,
}

/// What the program says of itself, in `status.json`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Status {
    state: State,
    pub(super) pid: u32,
    #[serde(default)]
    doing: String,
    #[serde(default)]
    step: u64,
    #[serde(default)]
    steps: u64,
    loss: Option<f32>,
    failure: Option<Failure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Running,
    Completed,
    Stopped,
    Failed,
}

#[derive(Clone, Debug, Deserialize)]
struct Failure {
    message: String,
    advice: String,
}

/// A line of `metrics.jsonl`.
#[derive(Deserialize)]
struct Metric {
    step: u64,
    loss: Option<f64>,
}

impl JobFolder {
    /// Makes the folder of a job, or takes it as it is.
    pub(super) fn create(path: PathBuf, spec: &TrainingSpec, settings: &str) -> Result<Self> {
        std::fs::create_dir_all(&path).map_err(|e| Error::io("make the folder", &path, e))?;
        let path = std::path::absolute(&path).map_err(|e| Error::io("find", &path, e))?;
        let body = serde_json::to_vec_pretty(spec)
            .map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
        write_file(&path.join(SETTINGS), settings.as_bytes(), PutMode::Overwrite)?;
        // Last: a folder with it is a job.
        write_file(&path.join(SPEC), &body, PutMode::Overwrite)?;
        Ok(Self { path, spec: spec.clone() })
    }

    /// Opens the folder of a job.
    pub(super) fn open(id: &str) -> Result<Self> {
        let path = PathBuf::from(id);
        let spec = match std::fs::read(path.join(SPEC)) {
            Ok(body) => serde_json::from_slice(&body).map_err(|e| {
                Error::invalid(format!("{} is not understood: {e}", path.join(SPEC).display()))
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::new(ErrorKind::NotFound, format!("{id} is no folder of a training job"))
                    .at(Stage::Train));
            }
            Err(e) => return Err(Error::io("read", &path.join(SPEC), e)),
        };
        Ok(Self { path, spec })
    }

    pub(super) fn id(&self) -> String {
        self.path.display().to_string()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn base_model(&self) -> &str {
        &self.spec.base_model
    }

    pub(super) fn settings(&self) -> PathBuf {
        self.path.join(SETTINGS)
    }

    /// A log to write to, after what earlier processes wrote.
    pub(super) fn log(&self) -> Result<File> {
        let path = self.path.join(LOG);
        File::options().create(true).append(true).open(&path).map_err(|e| Error::io("open", &path, e))
    }

    /// Whether a process is at work: it holds a lock that falls with it.
    pub(super) fn is_at_work(&self) -> bool {
        let Ok(file) = File::options().read(true).write(true).open(self.path.join("lock")) else {
            return false;
        };
        matches!(file.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// Asks the program to end at its next step, or takes that back.
    pub(super) fn ask_to_stop(&self, stop: bool) -> Result<()> {
        let path = self.path.join("stop");
        if stop {
            return write_file(&path, b"", PutMode::Overwrite);
        }
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path, e)),
            _ => Ok(()),
        }
    }

    /// What the program last said of itself.
    pub(super) fn status(&self) -> Option<Status> {
        serde_json::from_slice(&std::fs::read(self.path.join("status.json")).ok()?).ok()
    }

    /// How far the job is.
    pub(super) fn progress(&self) -> JobProgress {
        // In this order: a process that ends in between has said how.
        let lives = self.is_at_work();
        let said = self.status();
        let stopping = self.path.join("stop").exists();
        let (status, failure) = match &said {
            None if lives => (JobStatus::Pending, None),
            None => (JobStatus::Failed, Some(format!("it did not start; {}", self.last_words()))),
            Some(said) => match said.state {
                State::Completed => (JobStatus::Completed, None),
                State::Stopped => (JobStatus::Stopped, None),
                State::Failed => {
                    let told = said.failure.as_ref();
                    let words =
                        told.map_or_else(|| self.last_words(), |f| format!("{}; {}", f.message, f.advice));
                    (JobStatus::Failed, Some(words))
                }
                State::Running if lives && stopping => (JobStatus::Stopping, None),
                State::Running if lives => (JobStatus::InProgress, None),
                State::Running => (JobStatus::Failed, Some(self.sudden_end(said))),
            },
        };
        let model = (status == JobStatus::Completed && self.path.join(WEIGHTS).exists())
            .then(|| CustomModel { id: self.id(), base_model: self.spec.base_model.clone() });
        let phase = said.as_ref().filter(|said| !said.doing.is_empty() && !status.is_final());
        JobProgress {
            job: TrainingJob { id: self.id(), name: self.spec.name.clone(), status, model, failure },
            phases: phase.map(|said| ("now".to_owned(), said.doing.clone())).into_iter().collect(),
            steps: said.as_ref().filter(|said| said.steps > 0).map(|said| (said.step, said.steps)),
            loss: said.and_then(|said| said.loss),
        }
    }

    fn sudden_end(&self, said: &Status) -> String {
        format!(
            "the process ended without a word, at step {} of {}: it was killed, perhaps by the system for want of memory \
             (smaller resolution or batch_size, gradient_checkpointing); submitted again, it goes on from its last \
             checkpoint; {}",
            said.step,
            said.steps,
            self.last_words()
        )
    }

    /// The last line of the log.
    fn last_words(&self) -> String {
        let path = self.path.join(LOG);
        let mut tail = Vec::new();
        let read = File::open(&path).and_then(|mut file| {
            let size = file.metadata()?.len() as i64;
            file.seek(SeekFrom::End(-size.min(LAST_WORDS)))?;
            file.read_to_end(&mut tail)
        });
        let text = String::from_utf8_lossy(&tail);
        match text.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(line) if read.is_ok() => format!("its last words, in {}: {}", path.display(), line.trim()),
            _ => format!("it wrote nothing to {}", path.display()),
        }
    }

    /// The losses so far.
    pub(super) fn losses(&self) -> Vec<StepLoss> {
        let text = std::fs::read_to_string(self.path.join("metrics.jsonl")).unwrap_or_default();
        // The last line may be half written.
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Metric>(line).ok());
        lines.filter_map(|line| Some(StepLoss { step: line.step, loss: line.loss? })).collect()
    }
}
