//! Drawing on this machine: a base model, with a LoRA or without, held in memory by the training program.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{folder::JobFolder, python::Python, trainer::lora_of};
use crate::{
    blocking,
    error::{AtStage, Error, ErrorKind, Result, Stage},
    generate::Generator,
    store::{PutMode, write_file},
    train::lora::{BASE_MODEL, WEIGHTS},
    types::{GenerateRequest, Generated, ProviderInfo},
};

/// From a checkpoint's weights up to the folder of its job: file, checkpoint, checkpoints, job.
const REACH: usize = 4;

/// How to draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalGeneratorSettings {
    /// The base model: a folder, an `s3://` address, an id of the hub, or `random:NAME`. Empty for the one that the `LoRA`
    /// was trained from, or for [`BASE_MODEL`] without one.
    pub base_model: String,
    /// Branch, tag or commit on the hub; empty for the newest.
    pub revision: String,
    /// A finished training job's folder, a checkpoint's, or a file of weights; empty for the base model alone.
    pub lora: String,
    /// How strongly the LoRA works.
    pub lora_scale: f64,
    /// Denoising steps.
    pub steps: u32,
    /// How closely prompts are followed.
    pub guidance: f64,
    /// `auto`, `cpu`, `cuda` or `mps`.
    pub device: String,
    /// Whether parts of the model wait in the machine's memory until their turn: less of the GPU's.
    pub offload: bool,
}

impl Default for LocalGeneratorSettings {
    fn default() -> Self {
        Self {
            base_model: String::new(),
            revision: String::new(),
            lora: String::new(),
            lora_scale: 1.0,
            steps: 28,
            guidance: 4.0,
            device: "auto".into(),
            offload: false,
        }
    }
}

/// Draws with diffusers, in a process of its own that loads the model at the first request and ends with this.
///
/// ```no_run
/// # async fn f() -> picchu::Result<()> {
/// use picchu::{Generator, local::lora::{LocalGenerator, LocalGeneratorSettings, Python}, types::GenerateRequest};
/// let settings = LocalGeneratorSettings { lora: "models/mayu-1a2b3c4d5e6f".into(), ..Default::default() };
/// let generator = LocalGenerator::new(Python::from_env(), settings)?;
/// let request = GenerateRequest {
///     prompt: "Mayu waves from the hill".into(),
///     negative_prompt: None, count: 1, seed: 7, width: 768, height: 768,
/// };
/// generator.generate(&request).await?[0].image.save("mayu.png").expect("a folder to write to");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct LocalGenerator {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    python: Python,
    settings: LocalGeneratorSettings,
    /// A hash of the settings and of the LoRA's weights: what else makes another image than a request.
    identity: String,
    process: Mutex<Option<Process>>,
}

/// The program, with the model loaded.
#[derive(Debug)]
struct Process {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    folder: TempDir,
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    ready: bool,
    #[serde(default)]
    images: Vec<String>,
    failure: Option<Failure>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    kind: String,
    message: String,
    advice: String,
}

impl LocalGenerator {
    /// A generator; the model is loaded when something is drawn.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is no such LoRA.
    pub fn new(python: Python, mut settings: LocalGeneratorSettings) -> Result<Self> {
        let mut weights = Vec::new();
        if !settings.lora.is_empty() {
            let lora = lora_of(&settings.lora).at(Stage::Generate)?;
            let file = if lora.is_file() { lora.clone() } else { lora.join(WEIGHTS) };
            weights = std::fs::read(&file).map_err(|e| Error::io("read", &file, e))?;
            settings.lora = lora.display().to_string();
        }
        if settings.base_model.is_empty() {
            let trained_from = Path::new(&settings.lora)
                .ancestors()
                .take(REACH)
                .find_map(|folder| JobFolder::open(&folder.display().to_string()).ok());
            settings.base_model =
                trained_from.map_or_else(|| BASE_MODEL.to_owned(), |job| job.base_model().to_owned());
        }
        Ok(Self::with(python, settings, &weights))
    }

    /// The same base model alone.
    #[must_use]
    pub fn without_lora(&self) -> Self {
        let settings = LocalGeneratorSettings { lora: String::new(), ..self.inner.settings.clone() };
        Self::with(self.inner.python.clone(), settings, &[])
    }

    fn with(python: Python, settings: LocalGeneratorSettings, weights: &[u8]) -> Self {
        let hash = Sha256::new_with_prefix(json!(settings).to_string()).chain_update(weights);
        let identity = crate::source::sha256_string(hash);
        Self { inner: Arc::new(Inner { python, settings, identity, process: Mutex::new(None) }) }
    }
}

impl Inner {
    fn draw(&self, request: &GenerateRequest) -> Result<Vec<Generated>> {
        let mut held = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let process = match held.take() {
            Some(process) => process,
            None => self.start()?,
        };
        let process = held.insert(process);
        let drawn = process.ask(request);
        if drawn.as_ref().is_err_and(|e| e.kind() == ErrorKind::Unavailable) {
            *held = None;
        }
        let model =
            if self.settings.lora.is_empty() { &self.settings.base_model } else { &self.settings.lora };
        Ok((0..)
            .zip(drawn?)
            .map(|(number, image)| Generated {
                image: Arc::new(image),
                request: GenerateRequest { seed: request.seed + number, count: 1, ..request.clone() },
                model: model.clone(),
            })
            .collect())
    }

    fn start(&self) -> Result<Process> {
        let folder =
            tempfile::tempdir().map_err(|e| Error::io("make a folder in", &std::env::temp_dir(), e))?;
        let settings = folder.path().join("drawing.json");
        let mut values = json!(self.settings);
        values["cache"] = json!(folder.path().join("weights"));
        write_file(&settings, values.to_string().as_bytes(), PutMode::Overwrite)?;
        let mut command = self.python.command(folder.path(), ["serve", &settings.display().to_string()])?;
        let log = std::fs::File::create(folder.path().join("log.txt"))
            .map_err(|e| Error::io("write", folder.path(), e))?;
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().map_err(|e| self.python.cannot_start(e))?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::internal("the drawing program has no input or output"));
        };
        let mut process = Process { child, requests, answers: BufReader::new(answers), folder };
        if process.answer()?.ready {
            return Ok(process);
        }
        Err(Error::internal("the drawing program said something else than that it is ready"))
    }
}

impl Process {
    fn ask(&mut self, request: &GenerateRequest) -> Result<Vec<image::RgbImage>> {
        let mut values = json!(request);
        values["out"] = json!(self.folder.path());
        if request.negative_prompt.is_none() {
            values["negative_prompt"] = json!("");
        }
        // Where it has ended, its answer tells why.
        let _ = writeln!(self.requests, "{values}").and_then(|()| self.requests.flush());
        let paths = self.answer()?.images;
        paths
            .into_iter()
            .map(|path| {
                let image = image::open(&path).map_err(|e| {
                    Error::new(ErrorKind::Decode, format!("what was drawn cannot be read: {e}"))
                })?;
                Ok(image.into_rgb8())
            })
            .collect()
    }

    fn answer(&mut self) -> Result<Answer> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        if !matches!(read, Ok(n) if n > 0) {
            let log = std::fs::read_to_string(self.folder.path().join("log.txt")).unwrap_or_default();
            let last = log.lines().last().unwrap_or("nothing");
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("the drawing program ended; its last words: {last}"),
            )
            .with_retryable(false));
        }
        let answer: Answer = serde_json::from_str(&line)
            .map_err(|e| Error::internal(format!("the drawing program is not understood: {e}")))?;
        match answer.failure {
            None => Ok(answer),
            Some(Failure { kind, message, advice }) => {
                let kind = match kind.as_str() {
                    "bad_input" => ErrorKind::Config,
                    "out_of_memory" => ErrorKind::Unavailable,
                    _ => ErrorKind::Internal,
                };
                Err(Error::new(kind, format!("{message}; {advice}")))
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[async_trait]
impl Generator for LocalGenerator {
    fn info(&self) -> ProviderInfo {
        let settings = &self.inner.settings;
        let model = if settings.lora.is_empty() { &settings.base_model } else { &settings.lora };
        ProviderInfo::new("local", model.clone()).settings(self.inner.identity.clone())
    }

    async fn generate(&self, request: &GenerateRequest) -> Result<Vec<Generated>> {
        let (inner, request) = (Arc::clone(&self.inner), request.clone());
        blocking(move || inner.draw(&request)).await.at(Stage::Generate)
    }
}
