//! A model file, loaded and checked: one picture tensor in, one tensor out.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use ort::{
    session::Session,
    value::{Outlet, TensorElementType, TensorRef, ValueType},
};
use sha2::{Digest, Sha256};

use super::{OnnxOptions, OnnxRuntime, spec::ModelSpec};
use crate::error::{Error, ErrorKind, Result};

/// Largest model file: the format itself ends here.
const MAX_MODEL_BYTES: u64 = 2 << 30;
/// Most values that a model may answer for one picture.
const MAX_VALUES: i64 = 1 << 26;
/// Most threads of one model unless more are asked for.
const MAX_THREADS: usize = 8;

/// A model with one picture input and the output that counts.
#[derive(Debug)]
pub(super) struct Model {
    session: Mutex<Session>,
    path: PathBuf,
    input: String,
    output: String,
    /// Sizes of the input's axes; -1 where the model leaves one open.
    pub(super) input_shape: Vec<i64>,
    /// The same of the output.
    pub(super) output_shape: Vec<i64>,
    /// Short hash of the file's content.
    pub(super) hash: String,
}

/// What a model answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl Model {
    pub(super) fn load(runtime: &OnnxRuntime, options: &OnnxOptions, spec: &ModelSpec) -> Result<Self> {
        let path = options.model.clone();
        let hash = hash(&path)?;
        let threads = match options.threads {
            Some(threads) => threads,
            None => std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MAX_THREADS),
        };
        if !(1..=256).contains(&threads) {
            return Err(Error::invalid(format!("threads is {threads}; it must be 1 to 256")));
        }
        let session = super::guarded(|| open(runtime, &path, threads))?;
        let input = pick(session.inputs(), spec.input.as_deref(), "input")?;
        if session.inputs().len() > 1 {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "the model has the inputs {}; picchu gives it one picture. Export the image part alone",
                    listed(session.inputs())
                ),
            ));
        }
        let output = pick(session.outputs(), spec.output.as_deref(), "output")?;
        let (input_shape, output_shape) = (shape_of(input, "input")?, shape_of(output, "output")?);
        let values = output_shape.iter().skip(1).map(|&n| n.max(1)).try_fold(1i64, i64::checked_mul);
        if values.is_none_or(|values| values > MAX_VALUES) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("the output {:?} has the shape {output_shape:?}, which is too large", output.name()),
            ));
        }
        let (input, output) = (input.name().to_owned(), output.name().to_owned());
        Ok(Self { session: Mutex::new(session), path, input, output, input_shape, output_shape, hash })
    }

    /// The file's name without its ending, and a hash of its content: equal ids mean equal models.
    pub(super) fn id(&self) -> String {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let stem: String =
            stem.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
        format!("{stem}-{}", self.hash)
    }

    /// A text that the exporter left in the file.
    pub(super) fn metadata(&self, key: &str) -> Option<String> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.metadata().ok()?.custom(key)
    }

    /// Runs the model on a tensor of this shape.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) when the model cannot be run on it.
    pub(super) fn run(&self, shape: [usize; 4], values: &[f32]) -> Result<Answer> {
        let refuse = |why: &dyn std::fmt::Display| {
            Error::new(
                ErrorKind::Config,
                format!("{} cannot be run on {shape:?}: {why}", self.path.display()),
            )
        };
        let tensor = TensorRef::from_array_view((shape, values)).map_err(|e| refuse(&e))?;
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(ort::inputs![self.input.as_str() => tensor]).map_err(|e| refuse(&e))?;
        let output = outputs.get(&self.output).ok_or_else(|| refuse(&"it gave no answer"))?;
        let (shape, values) = output.try_extract_tensor::<f32>().map_err(|e| refuse(&e))?;
        let shape = shape.iter().map(|&n| n.max(0) as usize).collect();
        Ok(Answer { shape, values: values.to_vec() })
    }
}

/// Refuses what cannot be a model before it is read.
pub(super) fn check_file(path: &Path) -> Result<()> {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if ["pt", "pth", "safetensors", "ckpt", "engine", "bin"].contains(&ending.as_str()) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "{} holds weights; export the model to ONNX first (docs/models.md shows how)",
                path.display()
            ),
        ));
    }
    let about = std::fs::metadata(path).map_err(|e| Error::io("open the model", path, e))?;
    if !about.is_file() {
        return Err(Error::invalid(format!("{} is not a file", path.display())));
    }
    if about.len() > MAX_MODEL_BYTES {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "{} has {} bytes; a model file ends at 2 GiB (larger ones keep their weights in a second file)",
                path.display(),
                about.len()
            ),
        ));
    }
    Ok(())
}

/// A short hash of the model's bytes, and of the weights where exporters put them beside it.
fn hash(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    for ending in ["", ".data", "_data"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        let part = PathBuf::from(name);
        if !ending.is_empty() && !part.is_file() {
            continue;
        }
        let read = |e| Error::io("read the model", &part, e);
        let mut file = File::open(&part).map_err(read)?;
        loop {
            let count = file.read(&mut buffer).map_err(read)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
        }
    }
    let hash = crate::source::sha256_string(hasher);
    Ok(hash["sha256:".len()..][..12].to_owned())
}

fn open(runtime: &OnnxRuntime, path: &Path, threads: usize) -> Result<Session> {
    let settings = |e: ort::Error<ort::session::builder::SessionBuilder>| {
        Error::internal(format!("ONNX Runtime refuses a setting: {e}"))
    };
    let mut builder = Session::builder(runtime.environment())
        .map_err(|e| Error::internal(format!("ONNX Runtime cannot begin: {e}")))?
        .with_intra_threads(threads)
        .map_err(settings)?
        .with_inter_threads(1)
        .map_err(settings)?
        // Waiting threads would take the processor away from decoding.
        .with_intra_op_spinning(false)
        .map_err(settings)?
        .with_deterministic_compute(true)
        .map_err(settings)?
        .with_log_level(ort::logging::LogLevel::Fatal)
        .map_err(settings)?;
    builder.commit_from_file(path).map_err(|e| {
        Error::invalid(format!("{} is not a model that ONNX Runtime can read: {e}", path.display()))
    })
}

fn listed(outlets: &[Outlet]) -> String {
    outlets.iter().map(|o| format!("{:?}", o.name())).collect::<Vec<_>>().join(", ")
}

/// The named input or output, or the only one, or the first.
fn pick<'a>(outlets: &'a [Outlet], name: Option<&str>, what: &str) -> Result<&'a Outlet> {
    let found = match name {
        Some(name) => outlets.iter().find(|o| o.name() == name),
        None => outlets.first(),
    };
    found.ok_or_else(|| match name {
        Some(name) => Error::invalid(format!(
            "{what} is {name:?}, but the model has {}",
            if outlets.is_empty() { "none".to_owned() } else { listed(outlets) }
        )),
        None => Error::invalid(format!("the model has no {what}")),
    })
}

fn shape_of(outlet: &Outlet, what: &str) -> Result<Vec<i64>> {
    let name = outlet.name();
    match outlet.dtype() {
        ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => Ok(shape.to_vec()),
        ValueType::Tensor { ty: TensorElementType::Float16, .. } => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "the {what} {name:?} has half precision; export the model with 32-bit floats (half=False)"
            ),
        )),
        ValueType::Tensor { ty, .. } => Err(Error::new(
            ErrorKind::Unsupported,
            format!("the {what} {name:?} has values of the type {ty}; 32-bit floats are needed"),
        )),
        _ => Err(Error::new(ErrorKind::Unsupported, format!("the {what} {name:?} is not a tensor"))),
    }
}
