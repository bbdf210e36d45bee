//! `picchu build`: from a film to a dataset.

use std::{
    io::IsTerminal,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    output::{to_json, usage},
    providers::ProviderArgs,
};
use crate::{
    Error, ErrorKind, Result,
    config::{Access, Config, SampleChoice},
    crop::CropPolicy,
    dedupe::Keep,
    pipeline::{Event, Report},
};

// Each flag of the command line is a bool.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Args)]
pub(crate) struct Build {
    /// A video file, or a folder of pictures.
    film: PathBuf,
    /// The cast: who is in the film, with reference pictures.
    #[arg(long, value_name = "FILE")]
    cast: PathBuf,
    /// Where the dataset goes.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    providers: ProviderArgs,
    /// Which frames to take.
    #[arg(long, value_enum, default_value_t = Sample::Every)]
    sample: Sample,
    /// Frames a second, with --sample every.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    fps: f64,
    /// Frames of each shot, with --sample shots.
    #[arg(long, value_name = "N", default_value_t = 3)]
    per_shot: u32,
    /// Seconds of a shot of which the sharpest frame is taken, with --sample sharpest.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, allow_negative_numbers = true)]
    window: f64,
    /// Write the shot and the drawing of each frame into its record, also with --sample every and keyframes.
    #[arg(long)]
    lineage: bool,
    /// Take the nearest frame before each time at which the decoder can start: many times faster, seconds off
    #[arg(long)]
    approximate: bool,
    /// Take boxes as the detector gives them, instead of settling them by the frames before and after.
    #[arg(long)]
    no_settle: bool,
    /// Cosine similarity from which two crops are near-duplicates, above -1 to 1; higher keeps more images.
    /// Default: the embedder's own.
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    min_similarity: Option<f64>,
    /// Which of several near-duplicates stays.
    #[arg(long, default_value = "best", value_parser = keep)]
    keep: Keep,
    /// Room around a character, as a fraction of its box on each side.
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pad: Option<f32>,
    /// At most so many frames.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// How the objects of a dataset on S3 are encrypted: `s3`, or `kms:KEY`. Default: as the bucket is set.
    #[cfg(feature = "aws-s3")]
    #[arg(long, value_name = "HOW", value_parser = encryption)]
    encrypt: Option<crate::aws::Encryption>,
    /// One JSON object a line on standard output.
    #[arg(long)]
    pub(crate) json: bool,
    /// Say what would be done; write nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sample {
    /// The frame shown at equal distances.
    Every,
    /// Some frames of each shot, spread over it, each sharp.
    Shots,
    /// The sharpest frame of each stretch.
    Sharpest,
    /// One frame of each held drawing.
    Drawings,
    /// The frames at which the decoder can start.
    Keyframes,
}

#[cfg(feature = "aws-s3")]
fn encryption(text: &str) -> std::result::Result<crate::aws::Encryption, String> {
    match text.split_once(':') {
        None if text == "s3" => Ok(crate::aws::Encryption::S3),
        Some(("kms", key)) if !key.is_empty() => Ok(crate::aws::Encryption::Kms(key.to_owned())),
        _ => Err("expected \"s3\" or \"kms:KEY\"".into()),
    }
}

fn keep(text: &str) -> std::result::Result<Keep, String> {
    match text {
        "first" => Ok(Keep::First),
        "best" => Ok(Keep::Best),
        _ => Err("expected \"best\" or \"first\"".into()),
    }
}

impl Build {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let mut config = Config::new(&self.film, &self.cast, &self.out);
        self.providers.apply(&mut config)?;
        #[cfg(feature = "aws")]
        config.aws.clone_from(&access.aws);
        #[cfg(not(feature = "aws"))]
        let _ = access;
        config.sample = match self.sample {
            Sample::Every => SampleChoice::Every,
            Sample::Shots => SampleChoice::Shots { per_shot: self.per_shot },
            Sample::Sharpest => SampleChoice::Sharpest { window: self.window },
            Sample::Drawings => SampleChoice::Drawings,
            Sample::Keyframes => SampleChoice::Keyframes,
        };
        config.lineage = self.lineage;
        config.fps = self.fps;
        config.approximate = self.approximate;
        config.settle = !self.no_settle;
        config.limit = self.limit;
        #[cfg(feature = "aws-s3")]
        {
            config.encryption = self.encrypt.unwrap_or_default();
        }
        config.min_similarity = self.min_similarity;
        config.keep = self.keep;
        if let Some(pad) = self.pad {
            config.crop = CropPolicy::default().pad(pad);
        }
        let pipeline = config.pipeline().await?;
        if self.dry_run {
            let explanation = pipeline.explain().await?;
            if self.json {
                println!("{}", to_json(&explanation)?);
            } else {
                print!("{explanation}");
            }
            return Ok(());
        }
        let json = self.json;
        let progress = Arc::new(Mutex::new(Progress::new()));
        let watched = Arc::clone(&progress);
        let run = pipeline
            .on_event(move |event| {
                if json {
                    if let Ok(line) = to_json(event) {
                        println!("{line}");
                    }
                } else {
                    watched.lock().unwrap_or_else(PoisonError::into_inner).show(event);
                }
            })
            .run();
        let outcome = tokio::select! {
            outcome = run => outcome,
            _ = tokio::signal::ctrl_c() => Err(Error::new(
                ErrorKind::Cancelled,
                "stopped; finished work is kept, and the same command goes on from there",
            )),
        };
        progress.lock().unwrap_or_else(PoisonError::into_inner).bar.finish_and_clear();
        let report = outcome?;
        if !json {
            summarise(&report);
        }
        Ok(())
    }
}

fn summarise(report: &Report) {
    let c = &report.counts;
    if report.unchanged {
        println!("Nothing to do: this dataset is finished with these settings.");
    }
    println!(
        "{} frames, {} with somebody in them; {} candidates: {} kept, {} near-duplicates, {} unsure, {} skipped, {} failed",
        c.frames, c.frames_with_detections, c.records, c.kept, c.duplicates, c.unsure, c.skipped, c.failed
    );
    for (name, images) in &c.characters {
        println!("  {name}: in {images} images");
    }
    if c.kept == 0 {
        println!(
            "No character of the cast was found, so the dataset is empty. Are the references cut from this film, \
             tightly around one character each?"
        );
    }
    for gap in &report.gaps {
        let until = gap.until.map_or_else(|| "the end".into(), |t| format!("{:.3} s", t.as_secs_f64()));
        println!("  gap from {:.3} s to {until}: {}", gap.from.as_secs_f64(), gap.reason);
    }
    if let Some(words) = usage(&report.usage) {
        println!("{words}");
    }
    if let Some(bytes) = report.film_bytes_read {
        println!("{:.1} MiB of the film were read", bytes as f64 / f64::from(1 << 20));
    }
    println!("Look at {}", report.contact_sheet);
}

/// A progress bar on a terminal, nothing elsewhere.
struct Progress {
    bar: ProgressBar,
    expected: Option<u64>,
}

impl Progress {
    fn new() -> Self {
        let bar =
            if std::io::stderr().is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() };
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, expected: None }
    }

    fn stage(&self, length: Option<u64>, message: &str) {
        let template = if length.is_some() {
            "{msg:<12} {wide_bar} {pos}/{len} {eta}"
        } else {
            "{msg:<12} {spinner} {pos}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        if let Some(length) = length {
            self.bar.set_length(length);
        }
        self.bar.set_message(message.to_owned());
    }

    fn show(&mut self, event: &Event) {
        match event {
            Event::Opened { expected_frames, .. } => {
                self.expected = *expected_frames;
                self.stage(self.expected, "opening");
            }
            Event::Resumed { frames } => self.bar.set_position(*frames),
            Event::Looking => self.stage(None, "finding shots"),
            Event::Learning => self.stage(self.expected, "learning"),
            Event::Collected { frames, candidates } => {
                self.stage(self.expected, &format!("{candidates} found"));
                self.bar.set_position(*frames);
            }
            Event::Gap { gap } => {
                self.bar.println(format!("gap at {:.3} s: {}", gap.from.as_secs_f64(), gap.reason));
            }
            Event::FrameFailed { index, reason } => self.bar.println(format!("frame {index}: {reason}")),
            Event::Captioned { done, total } => {
                self.stage(Some(*total), "captioning");
                self.bar.set_position(*done);
            }
            _ => {}
        }
    }
}
