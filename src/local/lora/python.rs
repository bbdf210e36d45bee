//! The Python that runs the training program, and the program as files.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

use crate::{
    error::{Error, ErrorKind, Result},
    store::{PutMode, write_file},
    train::lora::{PACKAGE, PROGRAM},
};

/// A Python in which the packages for training are installed.
///
/// ```
/// let python = picchu::local::lora::Python::at("/opt/venv/bin/python");
/// assert_eq!(python.program(), std::path::Path::new("/opt/venv/bin/python"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    program: PathBuf,
}

/// What a Python has for training.
#[derive(Debug, Deserialize)]
pub(super) struct Equipment {
    /// Packages that are not there.
    pub(super) missing: Vec<String>,
    /// What can compute beside the processor.
    pub(super) devices: Vec<Device>,
}

/// A GPU.
#[derive(Debug, Deserialize)]
pub(super) struct Device {
    pub(super) name: String,
    /// Its memory; 0 where that is the machine's.
    pub(super) bytes: u64,
}

impl Python {
    /// The Python of this path, or of this name on the search path.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }

    /// The Python that the environment variable `PICCHU_PYTHON` names, otherwise that of the virtual environment which is
    /// active, otherwise `python3`.
    pub fn from_env() -> Self {
        let given = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let active = || {
            let (folder, file) = if cfg!(windows) { ("Scripts", "python.exe") } else { ("bin", "python") };
            given("VIRTUAL_ENV").map(|root| root.join(folder).join(file)).filter(|path| path.exists())
        };
        Self::at(given("PICCHU_PYTHON").or_else(active).unwrap_or_else(|| "python3".into()))
    }

    /// Its path or name.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The training program, ready to be started, with its files in `folder`. It gets nothing to read and, unless that is
    /// changed, says nothing.
    pub(super) fn command(&self, folder: &Path, arguments: [&str; 2]) -> Result<Command> {
        let package = folder.join(PACKAGE);
        std::fs::create_dir_all(&package).map_err(|e| Error::io("make the folder", &package, e))?;
        for (name, text) in PROGRAM {
            let path = package.join(name);
            // A run that goes on must not find half a file.
            if std::fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
                continue;
            }
            write_file(&path, text.as_bytes(), PutMode::Overwrite)?;
        }
        let mut command = Command::new(&self.program);
        command.arg("-m").arg(PACKAGE).args(arguments);
        command.env("PYTHONPATH", folder).env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command)
    }

    pub(super) fn cannot_start(&self, e: std::io::Error) -> Error {
        let message = format!(
            "cannot start {}: {e}; name a Python with PICCHU_PYTHON or --python",
            self.program.display()
        );
        Error::new(ErrorKind::Config, message).with_source(e)
    }

    /// What it has. Takes some seconds: the packages are loaded.
    pub(super) fn equipment(&self) -> Result<Equipment> {
        let folder = tempfile::tempdir().map_err(|e| Error::io("make a folder in", Path::new("."), e))?;
        let out = folder.path().join("equipment.json");
        let mut command = self.command(folder.path(), ["check", &out.display().to_string()])?;
        let done = command.stderr(Stdio::piped()).output().map_err(|e| self.cannot_start(e))?;
        let body = std::fs::read(&out).unwrap_or_default();
        serde_json::from_slice(&body).map_err(|_| {
            let said = String::from_utf8_lossy(&done.stderr);
            let last = said.lines().last().unwrap_or("nothing");
            Error::new(
                ErrorKind::Config,
                format!(
                    "{} cannot run the training program, which needs Python 3.11 or newer: {last}",
                    self.program.display()
                ),
            )
        })
    }
}
