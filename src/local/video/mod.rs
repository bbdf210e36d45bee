//! Films as files: any common container and codec, each frame with its exact time.
//!
//! ```no_run
//! use std::time::Duration;
//! use picchu::{Sampling, local::video::VideoFile};
//! # fn main() -> picchu::Result<()> {
//! let film = VideoFile::open("film.mp4")?;
//! for frame in film.read(&Sampling::every_secs(1.0)?)? {
//!     let frame = frame?;
//!     println!("{:?}: {} x {}", frame.time, frame.width(), frame.height());
//! }
//! # Ok(()) }
//! ```
//!
//! Times count from the first shown picture and come from the container's clock, so variable frame rates, edit
//! lists and films that start late are right. Pictures are upright, with square pixels, in 8-bit RGB: turned and
//! mirrored as the container says, high dynamic range tone-mapped, transparency on black.

mod frames;
mod info;
mod process;
mod protocol;
mod remote;
mod request;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
pub use frames::Frames;
use frames::Pulled;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
pub use info::VideoInfo;
pub use process::Decoder;
pub use protocol::Counts;

use crate::{
    error::Result,
    source::{
        FileReader, FrameSource, RangeReader, SAMPLED, Sampling, open_file, sampled_fingerprint,
        whole_fingerprint,
    },
    types::{Frame, MediaInfo},
};

/// What a film may cost, whoever made it. Each limit holds for one reading of the film.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Pixels of one picture, stored or shown. 2²⁷ (134 million) unless changed: 16K films pass.
    pub max_pixels: u32,
    /// Memory of the decoder in bytes, all counted. 4 GiB unless changed.
    pub memory_bytes: u64,
    /// Processor time of the decoder in seconds, over all its threads. 12 hours unless changed.
    pub cpu_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_pixels: 1 << 27, memory_bytes: 4 << 30, cpu_seconds: 12 * 3600 }
    }
}

impl Limits {
    /// At most so many pixels in one picture, stored or shown.
    #[must_use]
    pub fn max_pixels(mut self, pixels: u32) -> Self {
        self.max_pixels = pixels;
        self
    }

    /// At most so much memory for the decoder, in bytes.
    #[must_use]
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// At most so many seconds of processor time for the decoder.
    #[must_use]
    pub fn cpu_seconds(mut self, seconds: u64) -> Self {
        self.cpu_seconds = seconds;
        self
    }
}

/// A film in a file, or one whose bytes a [`RangeReader`] fetches from elsewhere.
///
/// Only the pictures that the samples need are decoded, on several cores, wherever that is proven to give the same
/// pictures as decoding everything; everything is decoded elsewhere.
///
/// As a [`FrameSource`] it can be awaited; [`read`](Self::read) gives the same frames to a plain loop.
#[derive(Clone, Debug)]
pub struct VideoFile {
    film: Film,
    decoder: Decoder,
    limits: Limits,
    workers: u32,
    track: Option<u32>,
    plain: bool,
}

/// Where a film's bytes are.
#[derive(Clone, Debug)]
enum Film {
    File(PathBuf),
    Remote(Arc<dyn RangeReader>),
}

impl Film {
    /// For error messages.
    fn place(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Remote(reader) => reader.name().to_owned(),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::File(path) => crate::source::display_name(path),
            Self::Remote(reader) => reader.name().to_owned(),
        }
    }
}

impl VideoFile {
    /// A film by its path. The file is looked at, not read.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), [`PermissionDenied`](crate::ErrorKind::PermissionDenied), or
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a folder.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        open_file(&path)?;
        Ok(Self::new(Film::File(path)))
    }

    /// A film whose bytes are fetched as the decoder asks for them: only those that the samples need, a few blocks
    /// ahead, never a copy on disk. Nothing is asked of the reader yet.
    ///
    /// Reading happens on the async runtime of the caller. A failing reader ends the frames with its own error.
    #[must_use]
    pub fn remote(reader: Arc<dyn RangeReader>) -> Self {
        Self::new(Film::Remote(reader))
    }

    fn new(film: Film) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            film,
            decoder: Decoder::bundled(),
            limits: Limits::default(),
            // Each worker holds a decoder's pictures; more than four rarely wait for work.
            workers: cores.clamp(1, 4) as u32,
            track: None,
            plain: false,
        }
    }

    /// Decodes with another program.
    #[must_use]
    pub fn decoder(mut self, decoder: Decoder) -> Self {
        self.decoder = decoder;
        self
    }

    /// Sets what the film may cost.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Decodes on so many threads (1 to 64). The number of cores, at most 4, unless changed.
    #[must_use]
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = workers.clamp(1, 64);
        self
    }

    /// Takes another video track than the default one, counted from 0.
    #[must_use]
    pub fn track(mut self, track: u32) -> Self {
        self.track = Some(track);
        self
    }

    /// Decodes every picture, in order, also where fewer would do: slower, the same frames.
    #[must_use]
    pub fn decode_everything(mut self) -> Self {
        self.plain = true;
        self
    }

    /// The film's path; none where it lies elsewhere.
    pub fn path(&self) -> Option<&Path> {
        match &self.film {
            Film::File(path) => Some(path),
            Film::Remote(_) => None,
        }
    }

    /// What the film says of itself, without decoding it.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for what is not a film or has no picture,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a codec that cannot be read or an encrypted film,
    /// [`QuotaExceeded`](crate::ErrorKind::QuotaExceeded) for one beyond the limits.
    pub fn describe(&self) -> Result<VideoInfo> {
        let mut arguments = self.arguments(None);
        arguments.push("--probe".into());
        Ok(Frames::start(self, arguments)?.info().clone())
    }

    /// The sampled frames, one at a time, in presentation order. The decoder waits while nobody asks.
    ///
    /// # Errors
    /// As for [`describe`](Self::describe), now or from the iterator. An error with a [`gap`](crate::Error::gap) stands for
    /// a stretch that cannot be decoded, and frames may follow it; any other error is the last item.
    pub fn read(&self, sampling: &Sampling) -> Result<Frames> {
        let mut arguments = self.arguments(sampling.max_side);
        arguments.extend(request::request(sampling)?);
        Frames::start(self, arguments)
    }

    fn reader(&self) -> Result<Arc<dyn RangeReader>> {
        Ok(match &self.film {
            Film::File(path) => Arc::new(FileReader::open(path)?),
            Film::Remote(reader) => Arc::clone(reader),
        })
    }

    fn arguments(&self, max_side: Option<u32>) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![
            "--protocol=1".into(),
            format!("--workers={}", self.workers).into(),
            format!("--max-pixels={}", self.limits.max_pixels.clamp(1, 1 << 30)).into(),
            format!("--memory-bytes={}", self.limits.memory_bytes.min(i64::MAX as u64)).into(),
            format!("--cpu-seconds={}", self.limits.cpu_seconds.min(i64::MAX as u64)).into(),
        ];
        if let Some(side) = max_side {
            arguments.push(format!("--max-side={}", side.clamp(2, 1 << 20)).into());
        }
        if let Some(track) = self.track {
            arguments.push(format!("--track={}", track.min(i32::MAX as u32)).into());
        }
        if self.plain {
            arguments.push("--plain".into());
        }
        arguments
    }
}

#[async_trait]
impl FrameSource for VideoFile {
    async fn probe(&self) -> Result<MediaInfo> {
        let film = self.clone();
        crate::blocking(move || Ok(film.describe()?.media)).await
    }

    async fn fingerprint(&self) -> Result<String> {
        self.reader()?.fingerprint().await
    }

    async fn is_film(&self, fingerprint: &str) -> Result<bool> {
        let reader = self.reader()?;
        let own = if fingerprint.starts_with(SAMPLED) {
            sampled_fingerprint(&*reader).await?
        } else {
            whole_fingerprint(&*reader).await?
        };
        Ok(own == fingerprint)
    }

    fn bytes_read(&self) -> Option<u64> {
        match &self.film {
            Film::File(_) => None,
            Film::Remote(reader) => reader.bytes_read(),
        }
    }

    fn frames(&self, sampling: &Sampling) -> BoxStream<'static, Result<Frame>> {
        let (film, sampling) = (self.clone(), sampling.clone());
        // Nothing runs before the first poll.
        stream::once(async move { Pulled::start(film, sampling) })
            .flat_map(|pulled| match pulled {
                Ok(pulled) => stream::unfold(pulled, |mut pulled| async move {
                    pulled.receiver.recv().await.map(|item| (item, pulled))
                })
                .boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            })
            .boxed()
    }
}
