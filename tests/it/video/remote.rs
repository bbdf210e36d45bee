//! Films that lie elsewhere: the same frames, few bytes, and honest ends.

use std::{
    fs,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use picchu::{
    Error, ErrorKind, FrameSource, Result, Sampling,
    local::video::VideoFile,
    source::{BytesReader, RangeReader},
    testing::conformance,
    types::Frame,
};

use super::{REGULAR, clip, open, seconds};

/// A film that counts what is read, may wait for a timer at each reading, and may break after some readings.
#[derive(Debug)]
struct Elsewhere {
    inner: BytesReader,
    read: AtomicU64,
    slow: bool,
    readings_left: AtomicU64,
}

impl Elsewhere {
    fn new(bytes: Vec<u8>) -> Self {
        let inner = BytesReader::new("film.mp4", bytes);
        Self { inner, read: 0.into(), slow: false, readings_left: u64::MAX.into() }
    }
}

#[async_trait]
impl RangeReader for Elsewhere {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn len(&self) -> Result<u64> {
        self.inner.len().await
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        if self.slow {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        if self.readings_left.fetch_sub(1, Ordering::Relaxed) == 0 {
            self.readings_left.store(0, Ordering::Relaxed);
            return Err(Error::new(ErrorKind::PermissionDenied, "the key has expired"));
        }
        self.read.fetch_add(range.end - range.start, Ordering::Relaxed);
        self.inner.read(range).await
    }
}

fn remote(name: &str) -> VideoFile {
    VideoFile::remote(Arc::new(BytesReader::new(name, fs::read(clip(name)).unwrap())))
}

#[test]
fn a_film_elsewhere_gives_the_frames_of_the_file() {
    for name in REGULAR {
        for (film, workers) in [(remote(name), 2), (remote(name).decode_everything(), 1)] {
            let ours: Vec<Frame> =
                film.workers(workers).read(&seconds(0.4)).unwrap().map(Result::unwrap).collect();
            let theirs: Vec<Frame> = open(name).read(&seconds(0.4)).unwrap().map(Result::unwrap).collect();
            assert_eq!(ours.len(), theirs.len(), "{name}");
            for (a, b) in ours.iter().zip(&theirs) {
                assert!((a.index, a.time, &a.image) == (b.index, b.time, &b.image), "{name} at {:?}", a.time);
            }
        }
        let (a, b) = (remote(name).describe().unwrap(), open(name).describe().unwrap());
        assert_eq!(a, b);
        assert_eq!(remote(name).path(), None);
    }
}

#[tokio::test]
async fn a_film_elsewhere_is_a_frame_source() {
    for name in ["h264.mp4", "vp9.webm"] {
        let mut film = Elsewhere::new(fs::read(clip(name)).unwrap());
        film.slow = true;
        conformance::frame_source(&VideoFile::remote(Arc::new(film))).await;
        assert_eq!(remote(name).fingerprint().await.unwrap(), open(name).fingerprint().await.unwrap());
    }
}

/// The clip, and after it 40 MB that nobody needs.
fn padded() -> Vec<u8> {
    let mut bytes = fs::read(clip("h264.mp4")).unwrap();
    let (length, padding) = (bytes.len(), 40_u32 << 20);
    bytes.extend(padding.to_be_bytes());
    bytes.extend(b"free");
    bytes.resize(length + padding as usize, 0);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_needed_is_fetched() {
    let bytes = padded();
    let film = Arc::new(Elsewhere::new(bytes.clone()));
    let read: Arc<dyn RangeReader> = Arc::<Elsewhere>::clone(&film);
    let frames: Vec<Result<Frame>> = VideoFile::remote(read).frames(&seconds(1.0)).collect().await;
    assert_eq!(frames.into_iter().flatten().count(), 6);
    let fetched = film.read.load(Ordering::Relaxed);
    assert!(fetched < bytes.len() as u64 / 4, "{fetched} of {} bytes", bytes.len());
}

#[tokio::test]
async fn a_reader_that_fails_ends_the_film_with_its_own_error() {
    let bytes = fs::read(clip("h264.ts")).unwrap();
    // Longer than a dozen blocks, so that it breaks in the middle: the stream's own packets, again and again.
    let long = bytes.repeat((14 << 20) / bytes.len());
    for (bytes, readings) in [(bytes, 0), (long, 10)] {
        let mut film = Elsewhere::new(bytes);
        film.readings_left = readings.into();
        let items: Vec<Result<Frame>> =
            VideoFile::remote(Arc::new(film)).frames(&Sampling::all()).take(5000).collect().await;
        let error = items.last().unwrap().as_ref().unwrap_err();
        assert_eq!((error.kind(), error.gap().is_some()), (ErrorKind::PermissionDenied, false), "{error}");
        assert!(error.to_string().contains("the key has expired"), "{error}");
        assert_eq!(items.len() > 1, readings > 0, "{}", items.len());
    }
    let error = VideoFile::remote(Arc::new(BytesReader::new("none", Vec::new()))).describe().unwrap_err();
    assert!(error.message().contains("empty"), "{error}");
}
