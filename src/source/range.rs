//! Films that lie elsewhere: their bytes by position.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result, Stage};

/// Bytes of one request when a whole film is read.
const STEP: u64 = 4 << 20;

/// A film's bytes at any position, wherever they lie: an object in a store, a file behind a web address.
///
/// # Contract
/// - The bytes never change. An implementation pins the version it first saw (an entity tag, a version id) and
///   answers with an error when another one is there.
/// - Reads may overlap in time, in any order, from several tasks.
/// - Passing faults are tried again by the implementation; an error that comes out ends the reading of the film.
// A film without bytes is an error of its reader: nobody asks whether it is empty.
#[allow(clippy::len_without_is_empty)]
#[async_trait]
pub trait RangeReader: std::fmt::Debug + Send + Sync + 'static {
    /// What people call the film, for example the last part of its address. Never holds credentials.
    fn name(&self) -> &str;

    /// The number of bytes.
    ///
    /// # Errors
    /// When it is not known or the film cannot be reached.
    async fn len(&self) -> Result<u64>;

    /// The bytes of `range`, which lies within the film: all of them.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn read(&self, range: Range<u64>) -> Result<Bytes>;

    /// Bytes that were fetched so far, where that is counted.
    fn bytes_read(&self) -> Option<u64> {
        None
    }

    /// The film's identity, as [`FrameSource::fingerprint`](crate::FrameSource::fingerprint) gives it.
    ///
    /// Reads the whole film unless an implementation knows a hash of its bytes from elsewhere.
    ///
    /// # Errors
    /// When the film cannot be read.
    async fn fingerprint(&self) -> Result<String> {
        whole_fingerprint(self).await
    }
}

/// `sha256:` and a hash of all bytes.
pub(crate) async fn whole_fingerprint(reader: &(impl RangeReader + ?Sized)) -> Result<String> {
    let (length, mut at, mut hash) = (reader.len().await?, 0, Sha256::new());
    while at < length {
        let range = at..length.min(at + STEP);
        let bytes = read_exactly(reader, range.clone()).await?;
        hash = crate::blocking(move || {
            hash.update(&bytes);
            Ok(hash)
        })
        .await?;
        at = range.end;
    }
    Ok(super::sha256_string(hash))
}

/// Reads a range, and takes nothing but all of it.
pub(crate) async fn read_exactly(reader: &(impl RangeReader + ?Sized), range: Range<u64>) -> Result<Bytes> {
    let bytes = reader.read(range.clone()).await?;
    if bytes.len() as u64 == range.end - range.start {
        return Ok(bytes);
    }
    Err(Error::new(
        ErrorKind::Unavailable,
        format!(
            "{} gave {} bytes where {} were asked for",
            reader.name(),
            bytes.len(),
            range.end - range.start
        ),
    )
    .at(Stage::Sample))
}

/// A film in memory.
#[derive(Clone, Debug)]
pub struct BytesReader {
    name: Arc<str>,
    bytes: Bytes,
}

impl BytesReader {
    /// A film's bytes under a name.
    pub fn new(name: impl AsRef<str>, bytes: impl Into<Bytes>) -> Self {
        Self { name: name.as_ref().into(), bytes: bytes.into() }
    }
}

#[async_trait]
impl RangeReader for BytesReader {
    fn name(&self) -> &str {
        &self.name
    }

    async fn len(&self) -> Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let inside = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(self.bytes.len());
        Ok(self.bytes.slice(inside(range.start)..inside(range.end.max(range.start))))
    }
}

/// Opens a film's file.
pub(crate) fn open_file(path: &Path) -> Result<File> {
    let fail = |e| Error::io("open", path, e).at(Stage::Sample);
    let file = File::open(path).map_err(fail)?;
    if file.metadata().map_err(fail)?.is_dir() {
        return Err(Error::invalid(format!("{} is a folder, not a film", path.display())).at(Stage::Sample));
    }
    Ok(file)
}

/// A film in a file.
#[derive(Clone, Debug)]
pub struct FileReader {
    name: String,
    path: PathBuf,
    file: Arc<Mutex<File>>,
    length: u64,
}

impl FileReader {
    /// The film at a path.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), [`PermissionDenied`](ErrorKind::PermissionDenied), or
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a folder.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let file = open_file(&path)?;
        let about = file.metadata().map_err(|e| Error::io("open", &path, e).at(Stage::Sample))?;
        let name = super::display_name(&path);
        Ok(Self { name, path, file: Arc::new(Mutex::new(file)), length: about.len() })
    }
}

#[async_trait]
impl RangeReader for FileReader {
    fn name(&self) -> &str {
        &self.name
    }

    async fn len(&self) -> Result<u64> {
        Ok(self.length)
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let film = self.clone();
        crate::blocking(move || {
            let mut file = film.file.lock().unwrap_or_else(PoisonError::into_inner);
            let mut bytes = vec![0; (range.end - range.start) as usize];
            file.seek(SeekFrom::Start(range.start))
                .and_then(|_| file.read_exact(&mut bytes))
                .map_err(|e| Error::io("read", &film.path, e).at(Stage::Sample))?;
            Ok(bytes.into())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_film_is_named_by_its_bytes_however_they_are_read() {
        let bytes: Vec<u8> = (0..9_000_000_u32).map(|n| (n / 7) as u8).collect();
        let mut hash = Sha256::new();
        hash.update(&bytes);
        let whole = super::super::sha256_string(hash);
        assert_eq!(BytesReader::new("film", bytes).fingerprint().await.unwrap(), whole);
    }

    #[tokio::test]
    async fn short_answers_are_errors() {
        let reader = BytesReader::new("film", vec![1, 2, 3]);
        assert_eq!(read_exactly(&reader, 1..3).await.unwrap(), vec![2, 3]);
        let error = read_exactly(&reader, 1..5).await.unwrap_err();
        assert!(error.message().contains("film gave 2 bytes"), "{error}");
        assert!(reader.read(9..12).await.unwrap().is_empty());
    }
}
