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

mod process;
mod protocol;

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::ChildStdout,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use image::RgbImage;
pub use process::Decoder;
use process::Running;
pub use protocol::Counts;
use protocol::{Fields, Message, Picture, Reader};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::{
    error::{Error, ErrorKind, Result, Stage},
    source::{FrameSource, Policy, Sampling},
    types::{Frame, Gap, MediaInfo},
};

/// Most explicit times in one request: they travel on a command line.
const MAX_TIMES: usize = 100_000;
/// Bytes of times in one argument: below what any system takes.
const TIMES_PER_ARGUMENT: usize = 64 * 1024;

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

/// A film in a file.
///
/// Only the pictures that the samples need are decoded, on several cores, wherever that is proven to give the same
/// pictures as decoding everything; everything is decoded elsewhere.
///
/// As a [`FrameSource`] it can be awaited; [`read`](Self::read) gives the same frames to a plain loop.
#[derive(Clone, Debug)]
pub struct VideoFile {
    path: PathBuf,
    decoder: Decoder,
    limits: Limits,
    workers: u32,
    track: Option<u32>,
    plain: bool,
}

impl VideoFile {
    /// A film by its path. The file is looked at, not read.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), [`PermissionDenied`](ErrorKind::PermissionDenied), or
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a folder.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        open(&path)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self {
            path,
            decoder: Decoder::bundled(),
            limits: Limits::default(),
            // Each worker holds a decoder's pictures; more than four rarely wait for work.
            workers: cores.clamp(1, 4) as u32,
            track: None,
            plain: false,
        })
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

    /// The film's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the film says of itself, without decoding it.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for what is not a film or has no picture,
    /// [`Unsupported`](ErrorKind::Unsupported) for a codec that cannot be read or an encrypted film,
    /// [`QuotaExceeded`](ErrorKind::QuotaExceeded) for one beyond the limits.
    pub fn describe(&self) -> Result<VideoInfo> {
        let mut arguments = self.arguments(None);
        arguments.push("--probe".into());
        Ok(Frames::start(self, &arguments)?.info)
    }

    /// The sampled frames, one at a time, in presentation order. The decoder waits while nobody asks.
    ///
    /// # Errors
    /// As for [`describe`](Self::describe), now or from the iterator. An error with a [`gap`](Error::gap) stands for
    /// a stretch that cannot be decoded, and frames may follow it; any other error is the last item.
    pub fn read(&self, sampling: &Sampling) -> Result<Frames> {
        let mut arguments = self.arguments(sampling.max_side);
        arguments.extend(request(sampling)?);
        Frames::start(self, &arguments)
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

fn open(path: &Path) -> Result<File> {
    let fail = |e| Error::io("open", path, e).at(Stage::Sample);
    let file = File::open(path).map_err(fail)?;
    if file.metadata().map_err(fail)?.is_dir() {
        return Err(Error::invalid(format!("{} is a folder, not a film", path.display())).at(Stage::Sample));
    }
    Ok(file)
}

/// A sampling as the decoder's arguments.
fn request(sampling: &Sampling) -> Result<Vec<OsString>> {
    let too_far = || Error::invalid("the sampling's times are too large").at(Stage::Sample);
    let nanoseconds = |time: Duration| {
        i64::try_from(time.as_nanos()).ok().filter(|ns| *ns < i64::MAX / 4).ok_or_else(too_far)
    };
    let start = nanoseconds(sampling.start.unwrap_or_default())?;
    let mut arguments: Vec<OsString> = Vec::new();
    match &sampling.policy {
        Policy::Every(interval) => {
            // Start and interval over one denominator, so that no time is ever rounded.
            let (top, bottom) = (u128::from(interval.numerator()), u128::from(interval.denominator()));
            let second = 1_000_000_000;
            let den = if start == 0 { bottom } else { bottom / gcd(bottom, second) * second };
            let fits = |n: Option<u128>| n.filter(|n| *n < i64::MAX as u128 / 4).ok_or_else(too_far);
            let den = fits(Some(den))?;
            let step = fits(top.checked_mul(den / bottom))?;
            let from = if start == 0 { 0 } else { fits((start as u128).checked_mul(den / second))? };
            arguments.push(format!("--grid={from},{step},{den}").into());
        }
        Policy::At(times) => {
            if times.len() > MAX_TIMES {
                return Err(Error::invalid(format!(
                    "{} times were asked for; one request takes at most {MAX_TIMES}",
                    times.len()
                ))
                .at(Stage::Sample));
            }
            let mut text = String::from("--times=");
            let mut last = 0;
            for time in times.iter().filter(|time| sampling.start.is_none_or(|start| **time >= start)) {
                let time = nanoseconds(*time)?;
                if sampling.end.is_some_and(|end| Duration::from_nanos(time as u64) >= end) {
                    break;
                }
                // `Policy::At` is public: its times may be unordered.
                let step = time.checked_sub(last).filter(|step| *step >= 0).ok_or_else(|| {
                    Error::invalid("explicit times must be in order; Sampling::at puts them so")
                        .at(Stage::Sample)
                })?;
                if text.len() > TIMES_PER_ARGUMENT {
                    arguments.push(std::mem::replace(&mut text, String::from("--times=")).into());
                }
                if !text.ends_with('=') {
                    text.push(',');
                }
                text.push_str(&step.to_string());
                last = time;
            }
            arguments.push(text.into());
        }
        Policy::Keyframes => arguments.push("--keys".into()),
        Policy::All => arguments.push("--all".into()),
    }
    if start > 0 {
        arguments.push(format!("--start-ns={start}").into());
    }
    if let Some(end) = sampling.end {
        arguments.push(format!("--end-ns={}", nanoseconds(end)?).into());
    }
    if let Some(limit) = sampling.limit {
        arguments.push(format!("--limit={}", limit.min(i64::MAX as u64)).into());
    }
    if sampling.skip > 0 {
        arguments.push(format!("--skip={}", sampling.skip.min(i64::MAX as u64)).into());
    }
    Ok(arguments)
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What a film says of itself, in detail.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct VideoInfo {
    /// What every source can say.
    pub media: MediaInfo,
    /// Width of a stored picture in pixels, before turning and widening.
    pub stored_width: u32,
    /// Height of a stored picture in pixels.
    pub stored_height: u32,
    /// Length of a tick of the film's clock: numerator and denominator of seconds.
    pub time_base: (u32, u32),
    /// Number of pictures, if the container tells it.
    pub pictures: Option<u64>,
    /// The codec's profile, for example `High`; may be empty.
    pub profile: String,
    /// How pixels are stored, for example `yuv420p`; may be empty.
    pub pixel_format: String,
    /// Bits of one component, if known.
    pub bit_depth: Option<u32>,
    /// Number of video tracks, cover pictures not counted.
    pub tracks: u32,
    /// The chosen one, counted from 0.
    pub track: u32,
}

impl VideoInfo {
    fn new(name: String, fields: &Fields) -> Result<Self> {
        let bad = || Error::new(ErrorKind::Internal, "the film decoder's description makes no sense");
        let time_base = fields.fraction("time_base").ok_or_else(bad)?;
        let first_name = |text: &str| text.split(',').next().unwrap_or_default().to_owned();
        Ok(Self {
            media: MediaInfo {
                name,
                container: first_name(fields.text("container")),
                codec: fields.text("codec").to_owned(),
                width: fields.number("width").ok_or_else(bad)?,
                height: fields.number("height").ok_or_else(bad)?,
                duration: fields.number("duration_ns").map(Duration::from_nanos),
                frame_rate: fields.fraction("frame_rate").map(|(n, d)| f64::from(n) / f64::from(d)),
                notes: notes(fields),
            },
            stored_width: fields.number("stored_width").ok_or_else(bad)?,
            stored_height: fields.number("stored_height").ok_or_else(bad)?,
            time_base,
            pictures: fields.number("frames"),
            profile: fields.text("profile").to_owned(),
            pixel_format: fields.text("pixel_format").to_owned(),
            bit_depth: fields.number("bit_depth"),
            tracks: fields.number("tracks").unwrap_or(1),
            track: fields.number("track").unwrap_or(0),
        })
    }
}

fn notes(fields: &Fields) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |when: bool, text: String| {
        if when {
            notes.push(text);
        }
    };
    let turned = ["transpose", "flip_x", "flip_y"].iter().any(|key| fields.is_set(key));
    note(turned, "pictures are turned upright as the container says".into());
    let aspect = fields.fraction("pixel_aspect").unwrap_or((1, 1));
    note(
        aspect.0 != aspect.1,
        format!("pixels are not square ({}:{}); pictures are widened", aspect.0, aspect.1),
    );
    note(fields.is_set("interlaced"), "interlaced; both fields are delivered as stored".into());
    let transfer = fields.text("transfer");
    note(transfer == "smpte2084", "high dynamic range (PQ), tone-mapped to an ordinary screen".into());
    note(transfer == "arib-std-b67", "high dynamic range (HLG), tone-mapped to an ordinary screen".into());
    note(fields.is_set("alpha"), "transparent pixels are shown on black".into());
    let tracks: u32 = fields.number("tracks").unwrap_or(1);
    note(tracks > 1, format!("{tracks} video tracks; track {} is read", fields.text("track")));
    notes
}

/// The frames of one reading, made by [`VideoFile::read`]. Dropping it stops the decoder.
#[derive(Debug)]
pub struct Frames {
    reader: Reader<ChildStdout>,
    running: Running,
    info: VideoInfo,
    film: PathBuf,
    last: Option<Frame>,
    notes: Vec<String>,
    counts: Option<Counts>,
    done: bool,
}

impl Frames {
    fn start(film: &VideoFile, arguments: &[OsString]) -> Result<Self> {
        let file = open(&film.path)?;
        let (running, output) = film.decoder.start(file, arguments).map_err(|e| e.at(Stage::Sample))?;
        let mut frames = Self {
            reader: Reader::new(output, u64::from(film.limits.max_pixels)),
            running,
            info: VideoInfo {
                media: MediaInfo {
                    name: String::new(),
                    container: String::new(),
                    codec: String::new(),
                    width: 0,
                    height: 0,
                    duration: None,
                    frame_rate: None,
                    notes: Vec::new(),
                },
                stored_width: 0,
                stored_height: 0,
                time_base: (1, 1),
                pictures: None,
                profile: String::new(),
                pixel_format: String::new(),
                bit_depth: None,
                tracks: 0,
                track: 0,
            },
            film: film.path.clone(),
            last: None,
            notes: Vec::new(),
            counts: None,
            done: false,
        };
        match frames.message()? {
            Message::Info(fields) => {
                frames.info = VideoInfo::new(crate::source::display_name(&film.path), &fields)?;
                Ok(frames)
            }
            Message::Error { code, text } => Err(frames.failure(&code, &text)),
            _ => Err(frames.nonsense()),
        }
    }

    /// What the film says of itself.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// What was noticed so far, for people.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What was done, once the last frame is out.
    pub fn counts(&self) -> Option<Counts> {
        self.counts
    }

    fn message(&mut self) -> Result<Message> {
        match self.reader.next() {
            Ok(Some(message)) => Ok(message),
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                self.running.stop();
                Err(self.about(Error::internal(format!("the film decoder is not understood: {e}"))))
            }
            Ok(None) | Err(_) => Err(self.about(self.running.epitaph())),
        }
    }

    fn about(&self, error: Error) -> Error {
        error.at(Stage::Sample).with_context("film", self.film.display())
    }

    fn nonsense(&self) -> Error {
        self.running.stop();
        self.about(Error::internal("the film decoder's messages come in an impossible order"))
    }

    fn failure(&self, code: &str, text: &str) -> Error {
        let kind = match code {
            "not-a-video" | "empty" | "no-video" | "no-track" => ErrorKind::InvalidInput,
            "codec" | "encrypted" => ErrorKind::Unsupported,
            "too-large" | "memory" => ErrorKind::QuotaExceeded,
            "no-frames" | "pixels" => ErrorKind::Decode,
            "io" => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        };
        self.about(Error::new(kind, text))
    }

    /// Ticks of the film's clock as a time, rounded up to the nanosecond: asked for again, it gives the same frame.
    fn time(&self, ticks: i64) -> Duration {
        let (num, den) = self.info.time_base;
        let nanos =
            (u128::from(ticks.max(0) as u64) * u128::from(num) * 1_000_000_000).div_ceil(u128::from(den));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn frame(&self, picture: Picture) -> Result<Frame> {
        let time = self.time(picture.ticks);
        let image = RgbImage::from_raw(picture.width, picture.height, picture.rgb)
            .ok_or_else(|| Error::internal("a picture has too few bytes"))?;
        let mut frame = Frame::new(picture.sample, time, image);
        frame.keyframe = picture.key;
        Ok(frame)
    }

    fn advance(&mut self) -> Result<Option<Frame>> {
        loop {
            match self.message()? {
                Message::Frame(picture) => {
                    let damaged = picture.damaged;
                    let frame = self.frame(picture)?;
                    if damaged {
                        self.notes
                            .push(format!("the picture at {:.3} s is damaged", frame.time.as_secs_f64()));
                    }
                    self.last = Some(frame.clone());
                    return Ok(Some(frame));
                }
                Message::Repeat(sample) => {
                    let mut frame = self.last.clone().ok_or_else(|| self.nonsense())?;
                    frame.index = sample;
                    return Ok(Some(frame));
                }
                Message::Gap { from, until, lost, reason } => {
                    let gap =
                        Gap { from: self.time(from), until: until.map(|ticks| self.time(ticks)), reason };
                    let end = gap.until.map_or("the end".into(), |t| format!("{:.3} s", t.as_secs_f64()));
                    let text = format!(
                        "nothing can be decoded from {:.3} s to {end}: {} ({lost} samples lost)",
                        gap.from.as_secs_f64(),
                        gap.reason
                    );
                    return Err(self.about(Error::new(ErrorKind::Decode, text).with_gap(gap)));
                }
                Message::Note { text, .. } => self.notes.push(text),
                Message::Error { code, text } => return Err(self.failure(&code, &text)),
                Message::End(counts) => {
                    self.counts = Some(counts);
                    return Ok(None);
                }
                Message::Info(_) => return Err(self.nonsense()),
            }
        }
    }
}

impl Iterator for Frames {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.advance().transpose();
        self.done = match &item {
            None => true,
            Some(Err(e)) => e.gap().is_none(),
            Some(Ok(_)) => false,
        };
        if self.done {
            self.last = None;
            self.running.stop();
        }
        item
    }
}

#[async_trait]
impl FrameSource for VideoFile {
    async fn probe(&self) -> Result<MediaInfo> {
        let film = self.clone();
        crate::blocking(move || Ok(film.describe()?.media)).await
    }

    async fn fingerprint(&self) -> Result<String> {
        let film = self.clone();
        crate::blocking(move || {
            let mut file = open(&film.path)?;
            let mut hash = Sha256::new();
            std::io::copy(&mut file, &mut hash)
                .map_err(|e| Error::io("read", &film.path, e).at(Stage::Sample))?;
            Ok(crate::source::sha256_string(hash))
        })
        .await
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

/// Frames read by a thread of their own. Dropping it stops the decoder, whatever it is doing.
#[derive(Debug)]
struct Pulled {
    receiver: mpsc::Receiver<Result<Frame>>,
    stop: Arc<Stop>,
}

#[derive(Debug, Default)]
struct Stop {
    asked: AtomicBool,
    running: Mutex<Option<Running>>,
}

impl Pulled {
    fn start(film: VideoFile, sampling: Sampling) -> Result<Self> {
        // One frame waits here, one in the pipe, one in the decoder.
        let (sender, receiver) = mpsc::channel(1);
        let stop = Arc::new(Stop::default());
        let shared = Arc::clone(&stop);
        std::thread::Builder::new()
            .name("picchu-video".into())
            .spawn(move || match film.read(&sampling) {
                Err(error) => {
                    let _ = sender.blocking_send(Err(error));
                }
                Ok(frames) => {
                    *shared.running.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(frames.running.clone());
                    // A drop before this line finds no process to stop; one after it does.
                    if !shared.asked.load(Ordering::Acquire) {
                        for item in frames {
                            if sender.blocking_send(item).is_err() {
                                break;
                            }
                        }
                    }
                    shared.running.lock().unwrap_or_else(PoisonError::into_inner).take();
                }
            })
            .map_err(|e| Error::internal(format!("no thread for the film decoder: {e}")).at(Stage::Sample))?;
        Ok(Self { receiver, stop })
    }
}

impl Drop for Pulled {
    fn drop(&mut self) {
        self.stop.asked.store(true, Ordering::Release);
        if let Some(running) = self.stop.running.lock().unwrap_or_else(PoisonError::into_inner).take() {
            running.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Interval;

    fn arguments(sampling: &Sampling) -> Vec<String> {
        request(sampling).unwrap().into_iter().map(|a| a.into_string().unwrap()).collect()
    }

    #[test]
    fn grids_are_exact_fractions() {
        let ntsc = Sampling::every(Interval::new(1001, 30000).unwrap());
        assert_eq!(arguments(&ntsc), ["--grid=0,1001,30000"]);
        let late = ntsc.start(Duration::from_millis(500)).limit(7).skip(2);
        assert_eq!(
            arguments(&late),
            ["--grid=1500000000,100100000,3000000000", "--start-ns=500000000", "--limit=7", "--skip=2"]
        );
    }

    #[test]
    fn times_travel_as_differences_within_the_range() {
        let s = Duration::from_secs;
        let sampling = Sampling::at(vec![s(1), s(3), s(4), s(9)]).start(s(2)).end(s(9));
        assert_eq!(
            arguments(&sampling),
            ["--times=3000000000,1000000000", "--start-ns=2000000000", "--end-ns=9000000000"]
        );
        let many = Sampling::at((0..50_000).map(Duration::from_secs).collect());
        assert!(arguments(&many).iter().all(|a| a.len() < 70_000));
        let mut unordered = Sampling::at(vec![]);
        unordered.policy = Policy::At(vec![s(2), s(1)]);
        assert!(request(&unordered).unwrap_err().message().contains("in order"));
        assert!(request(&Sampling::at((0..200_000).map(s).collect())).is_err());
    }

    #[test]
    fn impossible_times_are_refused() {
        let far = Sampling::every_secs(1.0).unwrap().start(Duration::MAX);
        assert_eq!(request(&far).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
