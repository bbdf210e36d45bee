//! Starting and stopping the decoder program.

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use crate::error::{Error, ErrorKind, Result};

/// The program that decodes films: the one inside picchu, or another build of it.
///
/// Decoding happens in a process of its own, so that a hostile film finds neither files nor network nor unbounded
/// memory. The program contains FFmpeg under the LGPL; whoever wants another FFmpeg builds `picchu-decode` with it
/// and names the file here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoder {
    program: Option<PathBuf>,
}

impl Decoder {
    /// The program inside picchu.
    pub fn bundled() -> Self {
        Self::default()
    }

    /// A program of one's own that speaks the same protocol.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: Some(program.into()) }
    }

    /// The program named by the environment variable `PICCHU_DECODER`, otherwise the one inside picchu.
    pub fn from_env() -> Self {
        Self {
            program: std::env::var_os("PICCHU_DECODER").filter(|path| !path.is_empty()).map(PathBuf::from),
        }
    }

    /// Starts the program on an open film, or on a socket over which the film's bytes can be asked for.
    pub(super) fn start(
        &self,
        film: impl Into<Stdio>,
        arguments: &[OsString],
    ) -> Result<(Running, ChildStdout)> {
        let fail = |path: &Path, e: std::io::Error| {
            Error::new(ErrorKind::Config, format!("cannot start the film decoder {}: {e}", path.display()))
                .with_source(e)
        };
        let run = |path: &Path| {
            let mut command = Command::new(path);
            // Nothing of this process's surroundings is the decoder's business.
            command.args(arguments).env_clear().current_dir(root());
            command.stdin(film).stdout(Stdio::piped()).stderr(Stdio::null());
            set_apart(&mut command);
            command.spawn().map_err(|e| fail(path, e))
        };
        let mut child = match &self.program {
            Some(path) => run(path)?,
            None => run(bundled_program()?)?,
        };
        match child.stdout.take() {
            Some(output) => Ok((Running { child: Arc::new(Mutex::new(child)) }, output)),
            None => Err(Error::internal("the film decoder has no output")),
        }
    }
}

/// A started program. Stops when [`stop`](Self::stop) is called or the last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct Running {
    child: Arc<Mutex<Child>>,
}

impl Running {
    /// Ends the program now, whatever it does.
    pub(super) fn stop(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Why the program ended without saying so. Waits for its end.
    pub(super) fn epitaph(&self) -> Error {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // Its output is closed or unusable: it has ended or must.
        std::thread::sleep(std::time::Duration::from_millis(20));
        if matches!(child.try_wait(), Ok(None)) {
            let _ = child.kill();
        }
        let Ok(status) = child.wait() else {
            return Error::internal("the film decoder cannot be waited for");
        };
        match signal(status) {
            Some(24) => {
                Error::new(ErrorKind::Timeout, "decoding took more processor time than its limit allows")
                    .with_retryable(false)
            }
            Some(n) => Error::new(
                ErrorKind::Decode,
                format!("the film decoder was stopped by signal {n}; the film may be damaged or hostile"),
            ),
            None => Error::new(ErrorKind::Decode, format!("the film decoder stopped early ({status})")),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if Arc::strong_count(&self.child) == 1 {
            self.stop();
        }
    }
}

/// Two ends of a line between this process and the program: one becomes its standard input.
#[cfg(unix)]
pub(super) fn socket_pair() -> Result<(Stdio, std::os::unix::net::UnixStream)> {
    let (theirs, ours) = std::os::unix::net::UnixStream::pair().map_err(|e| {
        Error::new(ErrorKind::Unavailable, format!("no line to the film decoder: {e}")).with_source(e)
    })?;
    Ok((Stdio::from(std::os::fd::OwnedFd::from(theirs)), ours))
}

#[cfg(not(unix))]
pub(super) fn socket_pair() -> Result<(Stdio, File)> {
    Err(Error::new(ErrorKind::Unsupported, "films that lie elsewhere can only be read on Unix systems"))
}

#[cfg(unix)]
fn root() -> &'static Path {
    Path::new("/")
}

#[cfg(not(unix))]
fn root() -> std::path::PathBuf {
    std::env::temp_dir()
}

/// Names the process, and keeps a terminal's Ctrl-C away from it: the caller decides what stops, and dropping the
/// frames stops the decoder.
#[cfg(unix)]
fn set_apart(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    command.arg0("picchu-decode").process_group(0);
}

#[cfg(not(unix))]
fn set_apart(_: &mut Command) {}

#[cfg(unix)]
fn signal(status: std::process::ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_: std::process::ExitStatus) -> Option<i32> {
    None
}

/// A path under which the embedded program can be started, for as long as this process lives.
fn bundled_program() -> Result<&'static Path> {
    static PROGRAM: OnceLock<Placed> = OnceLock::new();
    if picchu_decoder::PROGRAM.is_empty() {
        return Err(Error::new(
            ErrorKind::Config,
            "this build of picchu has no film decoder; name one with Decoder::at or PICCHU_DECODER",
        ));
    }
    if let Some(placed) = PROGRAM.get() {
        return Ok(&placed.path);
    }
    let placed = in_memory().or_else(in_folder).map_err(|e| {
        Error::new(ErrorKind::Config, format!("the film decoder cannot be unpacked: {e}")).with_source(e)
    })?;
    Ok(&PROGRAM.get_or_init(|| placed).path)
}

/// Where the program lies, and what keeps it there.
#[derive(Debug)]
struct Placed {
    path: PathBuf,
    _keep: Keep,
}

#[derive(Debug)]
enum Keep {
    #[cfg(target_os = "linux")]
    Memory {
        _file: File,
    },
    Folder {
        _folder: tempfile::TempDir,
    },
}

/// A file that exists in memory only, sealed against changes.
#[cfg(target_os = "linux")]
fn in_memory() -> std::io::Result<Placed> {
    use std::{io::Write as _, os::fd::AsRawFd as _};

    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Older kernels do not know that a memory file may be asked to be executable.
    let descriptor = memfd_create("picchu-decode", flags | MemfdFlags::EXEC)
        .or_else(|_| memfd_create("picchu-decode", flags))?;
    let mut file = File::from(descriptor);
    file.write_all(picchu_decoder::PROGRAM)?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    // Without /proc, or where memory files may not be started, the folder is next.
    let answers = Command::new(&path)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    answers?;
    Ok(Placed { path, _keep: Keep::Memory { _file: file } })
}

#[cfg(not(target_os = "linux"))]
fn in_memory() -> std::io::Result<Placed> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// A folder that only this user may enter.
fn in_folder(_: std::io::Error) -> std::io::Result<Placed> {
    let folder = tempfile::Builder::new().prefix("picchu-").tempdir()?;
    let path = folder.path().join(if cfg!(windows) { "picchu-decode.exe" } else { "picchu-decode" });
    std::fs::write(&path, picchu_decoder::PROGRAM)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(Placed { path, _keep: Keep::Folder { _folder: folder } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_a_configuration_error() {
        let film = tempfile::tempfile().unwrap();
        let error = Decoder::at("/no/such/program").start(film, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("/no/such/program"));
    }

    #[test]
    fn the_program_can_also_be_started_from_a_folder() {
        let placed = in_folder(std::io::ErrorKind::Unsupported.into()).unwrap();
        let film = tempfile::tempfile().unwrap();
        let (running, output) = Decoder::at(&placed.path).start(film, &["--probe".into()]).unwrap();
        let said = std::io::read_to_string(output).unwrap();
        assert!(said.contains("the file is empty"), "{said:?}");
        running.stop();
    }
}
