//! Films as ordered frames: the trait, which frames to take, and sources that need no decoder.

mod analysis;
mod folder;
#[cfg(any(feature = "aws-s3", feature = "http"))]
mod pinned;
mod range;
mod sample;
#[cfg(any(feature = "video", feature = "aws-s3", feature = "http"))]
mod sampled;
mod sampling;

pub use analysis::{ANALYSIS_VERSION, Analysis, analyse};
use async_trait::async_trait;
pub use folder::ImageFolder;
pub(crate) use folder::picture_limits;
use futures::stream::BoxStream;
#[cfg(any(feature = "aws-s3", feature = "http"))]
pub(crate) use pinned::{FetchOnce, Part, Pinned, Version};
#[cfg(any(feature = "video", feature = "aws-s3", feature = "http"))]
pub(crate) use range::read_exactly;
pub use range::{BytesReader, FileReader, RangeReader};
#[cfg(feature = "video")]
pub(crate) use range::{open_file, whole_fingerprint};
pub use sample::{sample, sample_analysed};
#[cfg(feature = "video")]
pub(crate) use sampled::SAMPLED;
#[cfg(any(feature = "video", feature = "aws-s3", feature = "http"))]
pub(crate) use sampled::sampled_fingerprint;
pub use sampling::{Interval, Policy, Sampling};

use crate::{
    error::Result,
    types::{Frame, MediaInfo},
};

/// An ordered supply of frames.
///
/// # Contract
/// - [`probe`](Self::probe) decodes nothing.
/// - [`frames`](Self::frames) is lazy: nothing is decoded before the first poll, and dropping the stream stops
///   the decoder. Frames come in presentation order; equal samplings give equal streams.
/// - A frame's time is its exact presentation time, from the first shown picture. For
///   [`Policy::Every`] the frame is the one *shown* at that time: the last with a presentation time not after it.
/// - A policy that [`looks`](Policy::looks) at the film is answered by an error: [`sample`] serves it, over any source.
/// - A stretch that cannot be decoded is an `Err` whose [`gap`](crate::Error::gap) is set; frames may follow it.
///   Any other `Err` ends the stream.
#[async_trait]
pub trait FrameSource: std::fmt::Debug + Send + Sync + 'static {
    /// What the film says of itself.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), [`InvalidInput`](crate::ErrorKind::InvalidInput) for what is not
    /// a film, [`Unsupported`](crate::ErrorKind::Unsupported) for a codec that cannot be read.
    async fn probe(&self) -> Result<MediaInfo>;

    /// The film's identity, whatever it is called: `sha256:` and a hash of its bytes. Of a film that lies too far away
    /// to be read whole: `sampled:` and a hash of its length and of blocks all over it.
    ///
    /// # Errors
    /// When the film cannot be read.
    async fn fingerprint(&self) -> Result<String>;

    /// Whether this is the film of that fingerprint, also where the fingerprint was taken in another way: a copy on this
    /// machine is known by the fingerprint of the film on a server. The other way round, the whole film is read.
    ///
    /// # Errors
    /// When the film cannot be read.
    async fn is_film(&self, fingerprint: &str) -> Result<bool> {
        Ok(self.fingerprint().await? == fingerprint)
    }

    /// Bytes of a film that lies elsewhere that were fetched so far; `None` for films on this machine.
    fn bytes_read(&self) -> Option<u64> {
        None
    }

    /// The sampled frames, without their lineage.
    fn frames(&self, sampling: &Sampling) -> BoxStream<'static, Result<Frame>>;
}

/// The last part of a path, for people.
pub(crate) fn display_name(path: &std::path::Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A finished hash as `sha256:…`.
pub(crate) fn sha256_string(hash: sha2::Sha256) -> String {
    use std::fmt::Write as _;

    use sha2::Digest as _;
    let mut text = String::from("sha256:");
    for byte in hash.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
