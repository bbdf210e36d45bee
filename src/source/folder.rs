//! A folder of pictures as a film.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use image::{ImageReader, Limits, imageops::FilterType};
use sha2::{Digest, Sha256};

use super::{FrameSource, Interval, Policy, Sampling};
use crate::{
    error::{Error, ErrorKind, Result, Stage},
    types::{Frame, Gap, MediaInfo},
};

/// File endings that count as pictures.
const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "gif"];

/// A folder of pictures, in the order of their names, as frames of equal length.
///
/// ```no_run
/// # fn main() -> picchu::Result<()> {
/// let stills = picchu::source::ImageFolder::open("stills")?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    folder: PathBuf,
    files: Arc<[PathBuf]>,
    frame_length: Interval,
}

impl ImageFolder {
    /// Lists the pictures of a folder (not of its sub-folders). Each is shown for one second.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for a missing folder,
    /// [`InvalidInput`](ErrorKind::InvalidInput) for one without pictures.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        let at = |e| Error::io("read the folder", &folder, e).at(Stage::Sample);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(at)? {
            let path = entry.map_err(at)?.path();
            let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
            if ENDINGS.contains(&ending.as_str()) && path.is_file() {
                files.push(path);
            }
        }
        if files.is_empty() {
            return Err(Error::invalid(format!(
                "{} holds no pictures ({})",
                folder.display(),
                ENDINGS.join(", ")
            ))
            .at(Stage::Sample));
        }
        files.sort();
        Ok(Self { folder, files: files.into(), frame_length: Interval::new(1, 1)? })
    }

    /// Shows each picture for this long.
    #[must_use]
    pub fn frame_length(mut self, interval: Interval) -> Self {
        self.frame_length = interval;
        self
    }

    /// When picture `number` is first shown.
    fn time(&self, number: u64) -> Duration {
        times(self.frame_length, number)
    }

    /// The picture shown at a time.
    fn shown_at(&self, time: Duration) -> u64 {
        let scaled = time.as_nanos() * u128::from(self.frame_length.denominator());
        (scaled / (u128::from(self.frame_length.numerator()) * 1_000_000_000)) as u64
    }

    /// The pictures that a sampling asks for, as `(sample number, picture number)`.
    fn plan(&self, sampling: &Sampling) -> Vec<(u64, u64)> {
        let count = self.files.len() as u64;
        let start = sampling.start.unwrap_or_default();
        let inside = |time: Duration| time >= start && sampling.end.is_none_or(|end| time < end);
        let pictures: Vec<u64> = match &sampling.policy {
            Policy::Every(interval) => (0..sampling.limit.unwrap_or(u64::MAX))
                .map(|k| start + times(*interval, k))
                .take_while(|&t| inside(t) && self.shown_at(t) < count)
                .map(|t| self.shown_at(t))
                .collect(),
            Policy::At(wanted) => wanted
                .iter()
                .filter(|&&t| inside(t) && self.shown_at(t) < count)
                .map(|&t| self.shown_at(t))
                .collect(),
            Policy::Keyframes
            | Policy::All
            | Policy::Shots { .. }
            | Policy::Sharpest { .. }
            | Policy::Drawings => (0..count).filter(|&n| inside(self.time(n))).collect(),
        };
        let limit = sampling.limit.unwrap_or(u64::MAX);
        (0..limit).zip(pictures).skip(usize::try_from(sampling.skip).unwrap_or(usize::MAX)).collect()
    }
}

/// `number` intervals as a duration, rounded up to the nanosecond.
fn times(interval: Interval, number: u64) -> Duration {
    // Rounded up: asked for again, a time gives the same picture.
    let nanos = (u128::from(number) * u128::from(interval.numerator()) * 1_000_000_000)
        .div_ceil(u128::from(interval.denominator()));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Reads one picture, upright, with bounds on its size.
fn read(path: &Path, max_side: Option<u32>) -> Result<image::RgbImage> {
    let fail = |e: &dyn std::fmt::Display| {
        Error::new(ErrorKind::Decode, format!("cannot read the picture {}: {e}", path.display()))
            .at(Stage::Sample)
    };
    let mut reader = ImageReader::open(path)
        .map_err(|e| Error::io("open", path, e).at(Stage::Sample))?
        .with_guessed_format()
        .map_err(|e| fail(&e))?;
    reader.limits(picture_limits());
    let picture = reader.decode().map_err(|e| fail(&e))?;
    let picture = match max_side {
        Some(side) if picture.width().max(picture.height()) > side => {
            picture.resize(side, side, FilterType::Triangle)
        }
        _ => picture,
    };
    Ok(picture.into_rgb8())
}

/// Bounds for pictures from outside: a header may claim any size.
pub(crate) fn picture_limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(32_768);
    limits.max_image_height = Some(32_768);
    limits.max_alloc = Some(1 << 30);
    limits
}

#[async_trait]
impl FrameSource for ImageFolder {
    async fn probe(&self) -> Result<MediaInfo> {
        let source = self.clone();
        crate::blocking(move || {
            let first = &source.files[0];
            let (width, height) = image::image_dimensions(first).map_err(|e| {
                Error::new(ErrorKind::Decode, format!("cannot read the picture {}: {e}", first.display()))
                    .at(Stage::Sample)
            })?;
            Ok(MediaInfo {
                name: crate::source::display_name(&source.folder),
                container: "folder".into(),
                codec: first.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase(),
                width,
                height,
                duration: Some(source.time(source.files.len() as u64)),
                frame_rate: Some(1.0 / source.frame_length.as_secs_f64()),
                notes: Vec::new(),
            })
        })
        .await
    }

    async fn fingerprint(&self) -> Result<String> {
        let source = self.clone();
        crate::blocking(move || {
            // Names count too: they are the order of the frames.
            let mut all = Sha256::new();
            for path in source.files.iter() {
                let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e).at(Stage::Sample))?;
                all.update(path.file_name().unwrap_or_default().as_encoded_bytes());
                all.update([0]);
                all.update(Sha256::digest(&bytes));
            }
            Ok(crate::source::sha256_string(all))
        })
        .await
    }

    fn frames(&self, sampling: &Sampling) -> BoxStream<'static, Result<Frame>> {
        if sampling.policy.looks() {
            return stream::iter([Err(Policy::not_by_a_source())]).boxed();
        }
        let source = self.clone();
        let max_side = sampling.max_side;
        stream::iter(self.plan(sampling))
            .then(move |(index, number)| {
                let source = source.clone();
                async move {
                    crate::blocking(move || {
                        let path = &source.files[number as usize];
                        let time = source.time(number);
                        let image = read(path, max_side).map_err(|e| {
                            let gap = Gap {
                                from: time,
                                until: Some(source.time(number + 1)),
                                reason: e.message().to_owned(),
                            };
                            e.with_gap(gap)
                        })?;
                        Ok(Frame { keyframe: true, ..Frame::new(index, time, image) })
                    })
                    .await
                }
            })
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(pictures: usize) -> (tempfile::TempDir, ImageFolder) {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..pictures {
            image::RgbImage::from_pixel(8, 6, image::Rgb([n as u8, 0, 0]))
                .save(dir.path().join(format!("p{n:03}.png")))
                .unwrap();
        }
        std::fs::write(dir.path().join("notes.txt"), "not a picture").unwrap();
        let source = ImageFolder::open(dir.path()).unwrap();
        (dir, source)
    }

    async fn reds(source: &ImageFolder, sampling: &Sampling) -> Vec<(u64, u8)> {
        source.frames(sampling).map(|f| f.unwrap()).map(|f| (f.index, f.image[(0, 0)][0])).collect().await
    }

    #[tokio::test]
    async fn samples_are_the_pictures_shown_at_each_time() {
        let (_dir, source) = folder(5);
        assert_eq!(
            reds(&source, &Sampling::every_secs(1.5).unwrap()).await,
            vec![(0, 0), (1, 1), (2, 3), (3, 4)]
        );
        assert_eq!(reds(&source, &Sampling::all().limit(3).skip(1)).await, vec![(1, 1), (2, 2)]);
        let range = Sampling::all().start(Duration::from_secs(2)).end(Duration::from_secs(4));
        assert_eq!(reds(&source, &range).await, vec![(0, 2), (1, 3)]);
    }

    #[tokio::test]
    async fn a_broken_picture_is_a_gap_and_the_rest_is_delivered() {
        let (dir, source) = folder(3);
        std::fs::write(dir.path().join("p001.png"), "broken").unwrap();
        let frames: Vec<_> = source.frames(&Sampling::all()).collect().await;
        assert_eq!(frames.len(), 3);
        let gap = frames[1].as_ref().unwrap_err().gap().cloned().unwrap();
        assert_eq!((gap.from, gap.until), (Duration::from_secs(1), Some(Duration::from_secs(2))));
        assert!(frames[2].is_ok());
    }

    #[test]
    fn a_folder_without_pictures_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ImageFolder::open(dir.path()).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(ImageFolder::open(dir.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
