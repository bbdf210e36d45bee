//! The ONNX Runtime library: found, loaded once, and asked for its version.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use ort::environment::Environment;

use crate::error::{Error, ErrorKind, Result};

/// Where to get the library, in words.
const HOW: &str = "install it with `pip install onnxruntime` (1.22 or later) and name its file, or the folder \
                   onnxruntime/capi that holds it, in ORT_DYLIB_PATH";

/// The ONNX Runtime library, loaded. A process loads one, and every model shares it. Cloning is cheap.
///
/// picchu does not bring the library: the user's own is loaded when the first model is.
///
/// ```no_run
/// use picchu::local::onnx::OnnxRuntime;
/// let runtime = OnnxRuntime::from_env()?;
/// println!("ONNX Runtime {}", runtime.version());
/// # Ok::<(), picchu::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OnnxRuntime {
    environment: Environment,
    library: PathBuf,
}

/// The library of this process. It stays loaded to the end: unloading it under running threads is not safe.
static LOADED: Mutex<Option<OnnxRuntime>> = Mutex::new(None);

impl OnnxRuntime {
    /// Loads the library from a file, or from a folder that holds it, such as `onnxruntime/capi` of the Python wheel.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where no library is; [`Config`](ErrorKind::Config) for a file that is not the
    /// library, for one that is too old, and when the process has loaded another one.
    pub fn at(library: impl AsRef<Path>) -> Result<Self> {
        let given = library.as_ref();
        let library = if given.is_dir() { library_in(given)? } else { given.to_owned() };
        if !library.is_file() {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no ONNX Runtime library at {}; {HOW}", library.display()),
            ));
        }
        let library = library.canonicalize().map_err(|e| Error::io("open the library", &library, e))?;
        Self::load(library)
    }

    /// Loads the library that `ORT_DYLIB_PATH` names (a file, or a folder that holds it), or else the one that the
    /// system finds by its usual name.
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub fn from_env() -> Result<Self> {
        if let Some(library) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
            return Self::at(PathBuf::from(library));
        }
        if let Some(loaded) = &*LOADED.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(loaded.clone());
        }
        let name = format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        Self::load(PathBuf::from(name))
    }

    fn load(library: PathBuf) -> Result<Self> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = &*loaded {
            if loaded.library == library {
                return Ok(loaded.clone());
            }
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "this process has loaded the ONNX Runtime library {}; {} cannot be loaded as well",
                    loaded.library.display(),
                    library.display()
                ),
            ));
        }
        let environment = super::guarded(|| {
            let builder = ort::init_from(&library).map_err(|e| {
                Error::new(ErrorKind::Config, format!("cannot load ONNX Runtime: {e}; {HOW}"))
            })?;
            builder.with_name("picchu").with_telemetry(false).build().map_err(|e| {
                Error::new(ErrorKind::Config, format!("cannot start {}: {e}", library.display()))
            })
        })?;
        // What goes wrong comes back as an error; the library's own lines on standard error would only repeat it.
        environment.set_log_level(ort::logging::LogLevel::Fatal);
        let runtime = Self { environment, library };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// The library's version, for example `1.24.1`.
    pub fn version(&self) -> String {
        // "ORT Build Info: git-branch=…, …" tells no version; the file's name does, as a rule.
        let name = self.library.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let version = name.trim_matches(|c: char| !c.is_ascii_digit());
        if version.is_empty() { "of unknown version".to_owned() } else { version.to_owned() }
    }

    /// The file that was loaded.
    pub fn library(&self) -> &Path {
        &self.library
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// The library in a folder: `libonnxruntime.so.1.24.1`, `libonnxruntime.1.24.1.dylib`, `onnxruntime.dll`.
fn library_in(folder: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io("look for ONNX Runtime in", folder, e))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = name.strip_prefix("lib").unwrap_or(&name);
            name.starts_with("onnxruntime.") && [".so", ".dylib", ".dll"].iter().any(|end| name.contains(end))
        })
        .collect();
    found.sort();
    found.pop().ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("the folder {} holds no ONNX Runtime library; {HOW}", folder.display()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_says_where_to_get_one() {
        let dir = tempfile::tempdir().unwrap();
        for place in [dir.path().to_owned(), dir.path().join("libonnxruntime.so")] {
            let error = OnnxRuntime::at(&place).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.message().contains("pip install onnxruntime"), "{error}");
            assert!(error.message().contains("ORT_DYLIB_PATH"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_no_library_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("libonnxruntime.so");
        std::fs::write(&path, "not a library").unwrap();
        let error = OnnxRuntime::at(dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains("pip install onnxruntime"), "{error}");
    }

    #[test]
    fn folders_are_searched_for_the_library_alone() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "libonnxruntime_providers_shared.so",
            "onnxruntime_pybind11_state.so",
            "libonnxruntime.so.1.24.1",
        ] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(library_in(dir.path()).unwrap(), dir.path().join("libonnxruntime.so.1.24.1"));
    }
}
