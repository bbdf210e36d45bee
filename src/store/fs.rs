//! Objects as files in a folder.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};

use super::{
    Key, Lease, ObjectMeta, PutMode, Store,
    lease::{FileLock, taken},
};
use crate::error::{Error, ErrorKind, Result};

/// Beginning of the names of files that are being written; [`Store::list`] leaves them out.
const TEMPORARY: &str = ".picchu-";
/// The file that is locked while somebody writes into the folder.
const LOCK: &str = ".picchu-lock";

/// Objects as files in a folder: `images/a.png` is that file below the root.
///
/// Files are written under another name, flushed to the disk and renamed, so that a crash leaves the old object or
/// the new one, never half of it.
#[derive(Clone, Debug)]
pub struct FsStore {
    root: PathBuf,
}

impl FsStore {
    /// A store below `root`. Nothing is created before the first [`put`](Store::put).
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, key: &Key) -> PathBuf {
        // A key has no absolute, empty or parent parts, so it stays below the root.
        self.root.join(key.as_str())
    }
}

/// Writes a file whole or not at all: under another name, flushed to the disk, then renamed.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) where the folder does not exist,
/// [`AlreadyExists`](ErrorKind::AlreadyExists) for [`PutMode::CreateOnly`] on a file that is there; otherwise as the
/// disk says. The file is as it was then.
pub fn write_file(path: &Path, body: &[u8], mode: PutMode) -> Result<()> {
    let fail = |e| Error::io("write", path, e);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder).map_err(fail)?;
    file.write_all(body).map_err(fail)?;
    file.as_file().sync_all().map_err(fail)?;
    #[cfg(unix)]
    {
        // Temporary files are private; a dataset is as readable as any other file of its owner.
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(fail)?;
    }
    match mode {
        PutMode::Overwrite => file.persist(path).map(drop).map_err(|e| fail(e.error)),
        PutMode::CreateOnly => file.persist_noclobber(path).map(drop).map_err(|e| fail(e.error)),
    }
}

/// Writes an object, with the folders above it.
fn put(path: &Path, body: &[u8], mode: PutMode) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut attempts = 0;
    loop {
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create the folder", folder, e))?;
        match write_file(path, body, mode) {
            // Deleting the last object of a folder removes the folder, perhaps just now.
            Err(e) if e.kind() == ErrorKind::NotFound && attempts < 10 => attempts += 1,
            outcome => return outcome,
        }
    }
}

/// Locks the folder, or tells that its file system knows no locks.
fn lock_folder(root: &Path) -> Result<Option<Lease>> {
    std::fs::create_dir_all(root).map_err(|e| Error::io("create the folder", root, e))?;
    let path = root.join(LOCK);
    loop {
        let file = std::fs::File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| Error::io("write", &path, e))?;
        match file.try_lock() {
            Ok(()) if is_at(&file, &path) => return Ok(Some(Lease::file(FileLock { file, path }))),
            // The last holder removed this file just now.
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(taken(&root.display().to_string(), "another run"));
            }
            Err(std::fs::TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {
                return Ok(None);
            }
            Err(std::fs::TryLockError::Error(e)) => return Err(Error::io("lock", &path, e)),
        }
    }
}

/// Whether an open file is still the one that the path names.
#[cfg(unix)]
fn is_at(file: &std::fs::File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(there)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

#[cfg(not(unix))]
fn is_at(_: &std::fs::File, _: &Path) -> bool {
    true
}

fn walk(root: &Path, below: &str, found: &mut Vec<ObjectMeta>) -> Result<()> {
    let folder = root.join(below);
    let at = |e| Error::io("list", &folder, e);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(());
        }
        Err(e) => return Err(at(e)),
    };
    for entry in entries {
        let entry = entry.map_err(at)?;
        let name = entry.file_name();
        // Files that are no keys were not written by a store: they are the user's own and stay unseen.
        let Some(name) = name.to_str().filter(|n| !n.starts_with(TEMPORARY)) else { continue };
        let key = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        let Ok(checked) = Key::new(key.clone()) else { continue };
        let kind = entry.file_type().map_err(at)?;
        if kind.is_dir() {
            walk(root, &key, found)?;
        } else if kind.is_file() {
            found.push(ObjectMeta { key: checked, size_bytes: entry.metadata().map_err(at)?.len() });
        }
    }
    Ok(())
}

#[async_trait]
impl Store for FsStore {
    async fn put(&self, key: &Key, body: Bytes, mode: PutMode) -> Result<()> {
        let path = self.path(key);
        crate::blocking(move || put(&path, &body, mode)).await
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        let path = self.path(key);
        crate::blocking(move || {
            std::fs::read(&path).map(Bytes::from).map_err(|e| match e.kind() {
                // A folder is not an object, and below a file there are none.
                std::io::ErrorKind::IsADirectory | std::io::ErrorKind::NotADirectory => {
                    Error::new(ErrorKind::NotFound, format!("{} does not exist", path.display()))
                }
                _ => Error::io("read", &path, e),
            })
        })
        .await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        let (path, root) = (self.path(key), self.root.clone());
        crate::blocking(move || match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("delete", &path, e)),
            _ => {
                // Folders are only parts of keys: an empty one is nothing. One that is not empty stays.
                let below = path.ancestors().skip(1).take_while(|folder| *folder != root);
                below.map(std::fs::remove_dir).take_while(std::result::Result::is_ok).for_each(drop);
                Ok(())
            }
        })
        .await
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        let root = self.root.clone();
        let below = prefix.map_or_else(String::new, |p| p.as_str().to_owned());
        stream::once(crate::blocking(move || {
            let mut found = Vec::new();
            walk(&root, &below, &mut found)?;
            found.sort_by(|a, b| a.key.cmp(&b.key));
            Ok(found)
        }))
        .flat_map(|answer: Result<Vec<ObjectMeta>>| match answer {
            Ok(found) => stream::iter(found).map(Ok).boxed(),
            Err(e) => stream::iter([Err(e)]).boxed(),
        })
        .boxed()
    }

    async fn try_lock(&self) -> Result<Option<Lease>> {
        let root = self.root.clone();
        crate::blocking(move || lock_folder(&root)).await
    }

    fn uri(&self, key: &Key) -> String {
        self.path(key).display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn written_files_are_as_readable_as_any_other() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.jsonl");
        write_file(&path, b"{}\n", PutMode::Overwrite).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        let missing = dir.path().join("none").join("manifest.jsonl");
        assert_eq!(write_file(&missing, b"", PutMode::Overwrite).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
