//! A folder that appears whole or not at all.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{Error, ErrorKind, FileHash, Result};

/// Says that a folder is an export, so that a later one may replace it, and what it holds. Trainers pass over hidden files.
pub const MARK: &str = ".picchu-export.json";

/// An export being written: a folder beside its place, which takes that place when it is finished.
#[derive(Debug)]
pub struct Folder {
    target: PathBuf,
    root: String,
    building: TempDir,
}

/// What an export says of itself, in the file [`MARK`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Name of the format.
    pub format: String,
    /// Version of picchu that wrote it.
    pub picchu: String,
    /// Pictures for training.
    pub pictures: usize,
    /// Those of them that no person looked at.
    pub unreviewed: usize,
}

fn fail<'a>(action: &'a str, path: &'a Path) -> impl Fn(std::io::Error) -> Error + 'a {
    move |e| Error::io(action, path, e)
}

/// A path from the root of the file system, as a trainer that is started elsewhere needs it.
pub(super) fn absolute(path: &Path) -> Result<String> {
    let path = std::path::absolute(path).map_err(fail("find", path))?;
    Ok(path.display().to_string())
}

impl Folder {
    /// Begins beside `target`, whose parent folders are made. `root` is where the trainer will find it.
    pub(super) fn begin(target: &Path, root: String) -> Result<Self> {
        let target = std::path::absolute(target).map_err(fail("find", target))?;
        Self::replaceable(&target)?;
        let parent = target.parent().ok_or_else(|| Error::invalid("an export needs a folder of its own"))?;
        std::fs::create_dir_all(parent).map_err(fail("create the folder", parent))?;
        let building = tempfile::Builder::new()
            .prefix(".picchu-export-")
            .tempdir_in(parent)
            .map_err(fail("write to", parent))?;
        Ok(Self { target, root, building })
    }

    /// Only nothing, an empty folder or an earlier export may be replaced.
    fn replaceable(target: &Path) -> Result<()> {
        let mut entries = match std::fs::read_dir(target) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::io("read the folder", target, e)),
        };
        if entries.next().is_some() && !target.join(MARK).is_file() {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("{} holds something else than an export; choose another folder", target.display()),
            ));
        }
        Ok(())
    }

    /// Where the export is being written.
    pub fn path(&self) -> &Path {
        self.building.path()
    }

    /// Where the trainer will find it.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Writes a file; `name` may name folders.
    ///
    /// # Errors
    /// As the disk says.
    pub fn put(&self, name: &str, body: &[u8]) -> Result<()> {
        let mut file = self.create(name)?;
        file.write_all(body).map_err(fail("write", &self.path().join(name)))?;
        self.close(name, &file)
    }

    /// Opens a new file.
    ///
    /// # Errors
    /// As the disk says.
    pub fn create(&self, name: &str) -> Result<File> {
        let path = self.path().join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(fail("create the folder", folder))?;
        }
        File::create_new(&path).map_err(fail("write", &path))
    }

    /// Makes sure that a file is on the disk.
    ///
    /// # Errors
    /// As the disk says.
    pub fn close(&self, name: &str, file: &File) -> Result<()> {
        file.sync_all().map_err(fail("write", &self.path().join(name)))
    }

    /// Takes its place.
    pub(super) fn finish(self, mark: &Mark) -> Result<()> {
        let mark =
            serde_json::to_vec(mark).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
        self.put(MARK, &mark)?;
        open_to_everybody(self.path())?;
        Self::replaceable(&self.target)?;
        // The earlier export steps aside first, and goes when the new one is in its place.
        let parent = self.target.parent().unwrap_or(Path::new("."));
        let aside = tempfile::Builder::new()
            .prefix(".picchu-export-")
            .tempdir_in(parent)
            .map_err(fail("write to", parent))?;
        let earlier = aside.path().join("earlier");
        match std::fs::rename(&self.target, &earlier) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("replace", &self.target, e));
            }
            _ => {}
        }
        let built = self.building.path().to_owned();
        if let Err(e) = std::fs::rename(&built, &self.target) {
            let _ = std::fs::rename(&earlier, &self.target);
            return Err(Error::io("write", &self.target, e));
        }
        // Nothing is left under the temporary name.
        let _ = self.building.keep();
        Ok(())
    }
}

/// Temporary folders are private; an export is as readable as any other folder of its owner.
fn open_to_everybody(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
            .map_err(fail("open to everybody", folder))?;
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Every file below a folder that is not hidden: its path below the folder, in order.
pub(super) fn files(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(below) = folders.pop() {
        let path = folder.join(&below);
        for entry in std::fs::read_dir(&path).map_err(fail("read the folder", &path))? {
            let entry = entry.map_err(fail("read the folder", &path))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            let name = if below.is_empty() { name } else { format!("{below}/{name}") };
            if entry.file_type().map_err(fail("read", &path))?.is_dir() {
                folders.push(name);
            } else {
                found.push(name);
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Reads a whole file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(fail("read", path))
}

/// An image file as a trainer opens it: size by its header, hash of its bytes.
pub(super) fn open_image(body: &[u8], name: &str) -> Result<(u32, u32, FileHash)> {
    let (width, height) = super::dimensions(body, name)?;
    Ok((width, height, FileHash::of(body)))
}
