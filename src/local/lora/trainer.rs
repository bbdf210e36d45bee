//! Training on this machine.

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::mpsc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::{
    folder::JobFolder,
    python::{Equipment, Python},
};
use crate::{
    blocking,
    dataset::export,
    error::{AtStage, Error, ErrorKind, Result, Stage},
    train::{
        Trainer, check_reviewed, job_name,
        lora::{LoraRun, LoraSettings, licence_of},
        stands_in_the_way, watch,
    },
    types::{DatasetRules, Finding, JobProgress, ProviderInfo, StepLoss, TrainingJob, TrainingSpec},
};

/// How long the program may take to say that it is there. Nothing is loaded before.
const START: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);
/// Memory of a GPU below which the models that people train do not fit.
const SMALL_GPU: u64 = 15 << 30;

/// Trains a LoRA on this machine's GPU, or on its processor, by the training program in a process of its own, which
/// outlives this one. A job is a folder in the output; its path is the id.
///
/// Submitting the same again goes on from the last checkpoint of a run that was stopped, failed or was killed.
///
/// ```no_run
/// # async fn f() -> picchu::Result<()> {
/// use picchu::{Trainer, local::lora::{LocalTrainer, Python}, types::TrainingSpec};
/// let trainer = LocalTrainer::new(Python::from_env());
/// let spec = TrainingSpec {
///     name: "mayu".into(),
///     base_model: picchu::train::lora::BASE_MODEL.into(),
///     dataset: "exports/diffusers".into(),
///     output: "models".into(),
///     hyperparameters: [("steps".into(), "1200".into())].into(),
///     client_token: "mayu-1".into(),
/// };
/// for finding in trainer.check(&spec).await? {
///     println!("{:?}: {}; {}", finding.severity, finding.message, finding.mend);
/// }
/// println!("{}", trainer.submit(&spec).await?.id);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct LocalTrainer {
    python: Python,
    licence: String,
    revision: String,
    sample_prompts: Vec<String>,
    allow_unreviewed: bool,
}

impl LocalTrainer {
    /// A trainer with a Python in which `pip install "picchu[train]"` was run, or what
    /// [`REQUIREMENTS`](crate::train::lora::REQUIREMENTS) lists.
    pub fn new(python: Python) -> Self {
        Self {
            python,
            licence: String::new(),
            revision: String::new(),
            sample_prompts: Vec::new(),
            allow_unreviewed: false,
        }
    }

    /// Sets the licence of the base model, where its publisher's word is not known or not what holds.
    #[must_use]
    pub fn licence(mut self, licence: impl Into<String>) -> Self {
        self.licence = licence.into();
        self
    }

    /// Sets the branch, tag or commit of a base model on the hub.
    #[must_use]
    pub fn revision(mut self, revision: impl Into<String>) -> Self {
        self.revision = revision.into();
        self
    }

    /// Sets what sample images show that are drawn while it trains.
    #[must_use]
    pub fn sample_prompts(mut self, prompts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.sample_prompts = prompts.into_iter().map(Into::into).collect();
        self
    }

    /// Whether images may be trained on that no person looked at. A check refuses them otherwise.
    #[must_use]
    pub fn allow_unreviewed(mut self, allow: bool) -> Self {
        self.allow_unreviewed = allow;
        self
    }

    /// How far a job is, as often as `poll` says, until it is at its end.
    ///
    /// # Errors
    /// The stream's item is an error where there is no such job.
    pub fn watch(&self, job: &str, poll: Duration) -> BoxStream<'static, Result<JobProgress>> {
        let job = job.to_owned();
        watch(poll, move || std::future::ready(Self::progress(&job)))
    }

    /// The jobs in a folder, or the folder itself where it is a job's; in the order of their names.
    pub fn jobs_in(folder: &Path) -> Vec<String> {
        let is_job = |path: &PathBuf| JobFolder::open(&path.display().to_string()).is_ok();
        let below = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut jobs: Vec<PathBuf> = std::iter::once(folder.to_owned()).chain(below).filter(is_job).collect();
        jobs.sort();
        jobs.iter().map(|path| path.display().to_string()).collect()
    }

    /// The folders of a job's checkpoints, the earliest first; each holds a `LoRA`.
    pub fn checkpoints(job: &str) -> Vec<PathBuf> {
        let folder = Path::new(job).join("checkpoints");
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut found: Vec<PathBuf> =
            entries.filter(|path| path.join(crate::train::lora::WEIGHTS).is_file()).collect();
        found.sort();
        found
    }

    /// The losses of a job so far.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for an unknown job.
    pub fn losses(job: &str) -> Result<Vec<StepLoss>> {
        Ok(JobFolder::open(job)?.losses())
    }

    /// How far a job is.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for an unknown job.
    pub fn progress(job: &str) -> Result<JobProgress> {
        Ok(JobFolder::open(job)?.progress())
    }

    /// Ends a job: asks it to stop, and kills it where it has not after `patience`. What is at its end stays as it is.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for an unknown job; [`Timeout`](ErrorKind::Timeout) where it cannot be killed.
    pub async fn end(job: &str, patience: Duration) -> Result<()> {
        let folder = JobFolder::open(job)?;
        if !folder.is_at_work() {
            return Ok(());
        }
        folder.ask_to_stop(true)?;
        let begun = Instant::now();
        let mut killed = false;
        while folder.is_at_work() {
            if begun.elapsed() > patience {
                if killed {
                    return Err(Error::new(ErrorKind::Timeout, format!("the process of {job} does not end")));
                }
                kill(&folder);
                killed = true;
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn settings(&self, spec: &TrainingSpec, output: &Path) -> Result<String> {
        let settings = LoraSettings::new(&spec.hyperparameters)?;
        let dataset =
            std::path::absolute(&spec.dataset).map_err(|e| Error::io("find", Path::new(&spec.dataset), e))?;
        let run = LoraRun {
            dataset: dataset.display().to_string(),
            output: output.display().to_string(),
            checkpoints: String::new(),
            base_model: spec.base_model.clone(),
            revision: self.revision.clone(),
            licence: self.licence.clone(),
            name: spec.name.clone(),
            lineage: [("picchu".to_owned(), env!("CARGO_PKG_VERSION").into())].into(),
            sample_prompts: self.sample_prompts.clone(),
        };
        Ok(run.to_json(&settings))
    }

    fn check_now(&self, spec: &TrainingSpec) -> Vec<Finding> {
        let mut found = Vec::new();
        match LoraSettings::new(&spec.hyperparameters) {
            Err(e) => found.push(Finding::error(e.message(), "set it otherwise")),
            Ok(settings) => {
                let seen = settings.pictures_seen();
                found.push(Finding::note(
                    format!(
                        "{seen} pictures are looked at; this machine works for that long, and nobody bills"
                    ),
                    "fewer steps take less time",
                ));
            }
        }
        let licence = licence_of(&spec.base_model, &self.licence);
        found.push(match licence {
            Some(licence) => Finding::note(
                format!("{} is under the licence {licence}", spec.base_model),
                "read it: it holds for what is drawn",
            ),
            None => Finding::warning(
                format!("the licence of {} is not known", spec.base_model),
                "read its model card, and give it with --licence",
            ),
        });
        found.extend(check_dataset(Path::new(&spec.dataset), self.allow_unreviewed));
        match self.python.equipment() {
            Err(e) => {
                found.push(Finding::error(e.message(), "install Python, or name another with --python"));
            }
            Ok(equipment) => found.extend(check_equipment(&self.python, &equipment, &spec.base_model)),
        }
        found
    }

    fn submit_now(&self, spec: &TrainingSpec) -> Result<TrainingJob> {
        let dataset = check_dataset(Path::new(&spec.dataset), self.allow_unreviewed);
        stands_in_the_way(&dataset)?;
        let output = std::path::absolute(Path::new(&spec.output).join(job_name(spec)))
            .map_err(|e| Error::io("find", Path::new(&spec.output), e))?;
        let folder = JobFolder::create(output.clone(), spec, &self.settings(spec, &output)?)?;
        let before = folder.progress();
        if folder.is_at_work() || before.job.model.is_some() {
            return Ok(before.job);
        }
        folder.ask_to_stop(false)?;
        self.start(&folder)?;
        Ok(folder.progress().job)
    }

    /// Starts the program, and waits until it has said that it is there.
    fn start(&self, folder: &JobFolder) -> Result<()> {
        let settings = folder.settings().display().to_string();
        let mut command = self.python.command(&folder.path().join("program"), ["train", &settings])?;
        let log = folder.log()?;
        let copy = log.try_clone().map_err(|e| Error::io("open", folder.path(), e))?;
        let mut child = command.stdout(copy).stderr(log).spawn().map_err(|e| self.python.cannot_start(e))?;
        let pid = child.id();
        let (ended, end) = mpsc::sync_channel::<Option<ExitStatus>>(1);
        // Whoever started a process has to take note of its end, or it stays in the system's table.
        std::thread::spawn(move || {
            let _ = ended.send(child.wait().ok());
        });
        let begun = Instant::now();
        while begun.elapsed() < START {
            if folder.status().is_some_and(|said| said.pid == pid) || end.recv_timeout(POLL).is_ok() {
                return Ok(());
            }
        }
        Err(Error::new(ErrorKind::Timeout, format!("the training program in {} does not start", folder.id())))
    }
}

/// Ends a process at once. Its number is asked for while it holds the folder's lock, so it is not another's.
fn kill(folder: &JobFolder) {
    #[cfg(unix)]
    if let Some(pid) = folder.status().and_then(|said| rustix::process::Pid::from_raw(said.pid as i32)) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    #[cfg(not(unix))]
    let _ = folder;
}

/// What is wrong with an export, as the training program will read it.
fn check_dataset(folder: &Path, allow_unreviewed: bool) -> Vec<Finding> {
    let read = export::format("diffusers").and_then(|format| format.read(folder));
    match read {
        Err(e) => {
            vec![Finding::error(e.message(), "write the dataset with `picchu export --to diffusers`")]
        }
        Ok(seen) if seen.is_empty() => {
            vec![Finding::error(
                format!("{}: there are no pictures", folder.display()),
                "write the dataset with `picchu export --to diffusers`",
            )]
        }
        Ok(_) => {
            let mark = std::fs::read(folder.join(export::MARK)).ok();
            check_reviewed(mark.as_deref(), allow_unreviewed).into_iter().collect()
        }
    }
}

fn check_equipment(python: &Python, equipment: &Equipment, base_model: &str) -> Option<Finding> {
    let program = python.program().display();
    if !equipment.missing.is_empty() {
        return Some(Finding::error(
            format!("{program} has no {}", equipment.missing.join(", ")),
            format!("{program} -m pip install \"picchu[train]\""),
        ));
    }
    match equipment.devices.first() {
        _ if base_model.starts_with("random:") => None,
        None => Some(Finding::warning(
            "there is no GPU that this Python can use: a step takes minutes",
            "train on a machine with a GPU, or on SageMaker",
        )),
        Some(gpu) if (1..SMALL_GPU).contains(&gpu.bytes) => Some(Finding::warning(
            format!("{} has {} GiB of memory, which may be too little", gpu.name, gpu.bytes >> 30),
            "set resolution=512, or take a smaller base model",
        )),
        Some(gpu) => Some(Finding::note(format!("it runs on {}", gpu.name), "none is needed")),
    }
}

#[async_trait]
impl Trainer for LocalTrainer {
    fn info(&self) -> ProviderInfo {
        ProviderInfo::new("local", "lora-1")
    }

    fn rules(&self) -> DatasetRules {
        export::format("diffusers").expect("a format").rules()
    }

    async fn check(&self, spec: &TrainingSpec) -> Result<Vec<Finding>> {
        let (this, spec) = (self.clone(), spec.clone());
        blocking(move || Ok(this.check_now(&spec))).await.at(Stage::Train)
    }

    async fn submit(&self, spec: &TrainingSpec) -> Result<TrainingJob> {
        let (this, spec) = (self.clone(), spec.clone());
        blocking(move || this.submit_now(&spec)).await.at(Stage::Train)
    }

    async fn describe(&self, job: &str) -> Result<TrainingJob> {
        Self::progress(job).map(|progress| progress.job).at(Stage::Train)
    }

    async fn cancel(&self, job: &str) -> Result<()> {
        let folder = JobFolder::open(job).at(Stage::Train)?;
        if folder.is_at_work() { folder.ask_to_stop(true).at(Stage::Train) } else { Ok(()) }
    }
}

/// Where a LoRA lies that a job or a user names: a job's folder, a checkpoint of it, or a file.
pub(super) fn lora_of(model: &str) -> Result<PathBuf> {
    let path = PathBuf::from(model);
    let file = path.join(crate::train::lora::WEIGHTS);
    if path.is_file() || file.is_file() {
        return std::path::absolute(&path).map_err(|e| Error::io("find", &path, e));
    }
    Err(Error::new(ErrorKind::NotFound, format!("{model}: there is no {}", crate::train::lora::WEIGHTS)))
}
