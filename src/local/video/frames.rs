//! The frames of one reading, as a plain iterator and as a stream.

use std::{
    ffi::OsString,
    process::ChildStdout,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use image::RgbImage;
use tokio::{runtime::Handle, sync::mpsc};

use super::{
    Film, VideoFile, VideoInfo,
    process::{self, Running},
    protocol::{Counts, Message, Picture, Reader},
    remote::{self, Trouble},
};
use crate::{
    error::{Error, ErrorKind, Result, Stage},
    source::{Sampling, open_file},
    types::{Frame, Gap, MediaInfo},
};

/// The frames of one reading, made by [`VideoFile::read`]. Dropping it stops the decoder.
#[derive(Debug)]
pub struct Frames {
    reader: Reader<ChildStdout>,
    running: Running,
    trouble: Trouble,
    info: VideoInfo,
    film: String,
    last: Option<Frame>,
    notes: Vec<String>,
    counts: Option<Counts>,
    done: bool,
}

impl Frames {
    pub(super) fn start(film: &VideoFile, arguments: Vec<OsString>) -> Result<Self> {
        let trouble = Trouble::default();
        let (running, output) = match &film.film {
            Film::File(path) => film.decoder.start(open_file(path)?, &arguments),
            Film::Remote(reader) => {
                let (theirs, ours) = process::socket_pair()?;
                let length = remote::serve(Arc::clone(reader), ours, trouble.clone())?;
                let mut arguments = arguments;
                arguments.push(format!("--remote={}", length.min(i64::MAX as u64)).into());
                film.decoder.start(theirs, &arguments)
            }
        }
        .map_err(|e| e.at(Stage::Sample))?;
        let mut frames = Self {
            reader: Reader::new(output, u64::from(film.limits.max_pixels)),
            running,
            trouble,
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
            film: film.film.place(),
            last: None,
            notes: Vec::new(),
            counts: None,
            done: false,
        };
        match frames.message()? {
            Message::Info(fields) => {
                frames.info = VideoInfo::new(film.film.name(), &fields)?;
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
        let message = self.reader.next();
        // Whatever the decoder makes of a film that stopped coming is not the film.
        if let Some(error) = self.trouble.take() {
            self.running.stop();
            return Err(self.about(error));
        }
        match message {
            Ok(Some(message)) => Ok(message),
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                self.running.stop();
                Err(self.about(Error::internal(format!("the film decoder is not understood: {e}"))))
            }
            Ok(None) | Err(_) => Err(self.about(self.running.epitaph())),
        }
    }

    fn about(&self, error: Error) -> Error {
        error.at(Stage::Sample).with_context("film", &self.film)
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

/// Frames read by a thread of their own. Dropping it stops the decoder, whatever it is doing.
#[derive(Debug)]
pub(super) struct Pulled {
    pub(super) receiver: mpsc::Receiver<Result<Frame>>,
    stop: Arc<Stop>,
}

#[derive(Debug, Default)]
struct Stop {
    asked: AtomicBool,
    running: Mutex<Option<Running>>,
}

impl Pulled {
    pub(super) fn start(film: VideoFile, sampling: Sampling) -> Result<Self> {
        // One frame waits here, one in the pipe, one in the decoder.
        let (sender, receiver) = mpsc::channel(1);
        let stop = Arc::new(Stop::default());
        let shared = Arc::clone(&stop);
        // A film that lies elsewhere is fetched on the caller's runtime.
        let runtime = Handle::try_current().ok();
        std::thread::Builder::new()
            .name("picchu-video".into())
            .spawn(move || {
                let _entered = runtime.as_ref().map(Handle::enter);
                match film.read(&sampling) {
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
