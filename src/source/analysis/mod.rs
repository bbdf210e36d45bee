//! A look at a whole film before frames are chosen: shots and transitions, flashes, held drawings, sharpness, black
//! bars and logos.
//!
//! Every picture is decoded once, made small while it is decoded, and forgotten; then a few are looked at in full
//! size. Memory does not depend on the film's length, but for some bytes a drawing.

mod choose;
mod compare;
mod cuts;
mod look;
mod stills;
mod thumbnail;
mod watch;

use std::time::Duration;

use futures::StreamExt;
use serde::{Deserialize, Serialize};

pub(super) use self::look::sharpness;
use self::watch::Watch;
use super::{FrameSource, Sampling};
use crate::{
    error::Result,
    types::{Drawing, Flash, Frame, Gap, PixelRect, Shot},
};

/// Version of the analysis: equal versions give equal answers for equal films.
pub const ANALYSIS_VERSION: u32 = 2;

/// Longer side of the pictures that the film is watched in.
const SIDE: u32 = 320;
/// Pictures that are worked on at once.
const BATCH: usize = 8;

/// What a look at a whole film found.
///
/// ```no_run
/// # async fn f() -> picchu::Result<()> {
/// let film = picchu::config::open_film("film.mp4".as_ref())?;
/// for shot in picchu::source::analyse(&*film).await?.shots {
///     println!("{:?} to {:?}", shot.start, shot.end);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// [`ANALYSIS_VERSION`] of the writer.
    pub version: u32,
    /// Pictures that the film has.
    pub pictures: u64,
    /// The shots, in order, without holes between them. Empty only for a film without pictures.
    pub shots: Vec<Shot>,
    /// Flashes, in order. A flash does not end a shot.
    pub flashes: Vec<Flash>,
    /// Held drawings, in order, without holes between them. Where everything moves, each picture is one.
    pub drawings: Vec<Drawing>,
    /// The part of the frame that is not black bars, in pixels of a frame in full size; `None` without bars.
    pub picture: Option<PixelRect>,
    /// Places where the same lies over all shots: logos, clocks. In pixels of a frame in full size.
    pub overlays: Vec<PixelRect>,
    /// Stretches that could not be decoded.
    pub gaps: Vec<Gap>,
}

impl Analysis {
    /// The shot in which a picture is shown.
    pub fn shot_at(&self, time: Duration) -> Option<&Shot> {
        let after = self.shots.partition_point(|shot| shot.start <= time);
        self.shots[..after].last().filter(|shot| time < shot.end)
    }

    /// The drawing that is shown at a time.
    pub fn drawing_at(&self, time: Duration) -> Option<&Drawing> {
        let after = self.drawings.partition_point(|drawing| drawing.start <= time);
        self.drawings[..after].last().filter(|drawing| time < drawing.end)
    }

    /// Whether the picture at a time is of one shot alone, and not in a flash.
    pub fn is_clean_at(&self, time: Duration) -> bool {
        let inside = |start: Duration, end: Duration| (start..end).contains(&time);
        // A transition may reach into the shot before it and into its own.
        let here = self.shots.partition_point(|shot| shot.start <= time);
        let near = &self.shots[here.saturating_sub(1)..(here + 1).min(self.shots.len())];
        let blended = near.iter().filter_map(|shot| shot.transition).any(|t| inside(t.start, t.end));
        let flashes = self.flashes.partition_point(|flash| flash.start <= time);
        let flashed = self.flashes[..flashes].last().is_some_and(|flash| inside(flash.start, flash.end));
        !blended && !flashed
    }

    /// How many frames a sampling that chooses by what the film shows gives, skipped ones included.
    pub fn count(&self, sampling: &Sampling) -> Option<u64> {
        sampling.policy.looks().then(|| self.choose(sampling).len() as u64)
    }

    /// Writes the numbers of its shot and its drawing into a frame.
    pub(crate) fn mark(&self, frame: &mut Frame) {
        frame.shot = self.shot_at(frame.time).map(|shot| shot.number);
        frame.drawing = self.drawing_at(frame.time).map(|drawing| drawing.number);
    }
}

/// Looks at a whole film.
///
/// # Errors
/// Whatever the source answers but gaps, which are listed in the analysis.
pub async fn analyse(source: &dyn FrameSource) -> Result<Analysis> {
    let length = source.probe().await?.duration;
    let mut batches = source.frames(&Sampling::all().max_side(SIDE)).chunks(BATCH);
    let (mut watch, mut gaps) = (Watch::default(), Vec::new());
    let mut next = batches.next().await;
    while let Some(batch) = next {
        let mut frames = Vec::new();
        for item in batch {
            match item {
                Ok(frame) => frames.push(frame),
                Err(error) => match error.gap() {
                    Some(gap) => gaps.push(gap.clone()),
                    None => return Err(error),
                },
            }
        }
        let work = crate::blocking(move || {
            for frame in &frames {
                watch.push(frame.time, &frame.image);
            }
            Ok(watch)
        });
        // The decoder goes on meanwhile.
        let (done, coming) = futures::future::join(work, batches.next()).await;
        (watch, next) = (done?, coming);
    }
    drop(batches);
    let mut analysis = crate::blocking(move || Ok(conclude(watch, length, gaps))).await?;
    stills::look(source, &mut analysis).await?;
    Ok(analysis)
}

fn conclude(mut watch: Watch, length: Option<Duration>, gaps: Vec<Gap>) -> Analysis {
    let notes = &watch.notes;
    // The last picture is shown for as long as the one before it, unless the film says more.
    let last = notes.last().map_or(Duration::ZERO, |note| note.time);
    let before = notes.len().checked_sub(2).map_or(Duration::ZERO, |n| notes[n].time);
    let shown = last.saturating_sub(before).max(Duration::from_nanos(1));
    let end = length.filter(|length| *length > last).unwrap_or(last + shown);
    watch.finish(end);
    let shots = cuts::shots(&watch.notes, &watch.dissolves, end);
    let time = |n: usize| watch.notes.get(n).map_or(end, |note| note.time);
    let flashes = cuts::flashes(&watch.notes)
        .into_iter()
        .map(|flash| Flash { start: time(flash.start), end: time(flash.end) })
        .collect();
    Analysis {
        version: ANALYSIS_VERSION,
        pictures: watch.notes.len() as u64,
        shots,
        flashes,
        drawings: watch.drawings,
        picture: None,
        overlays: Vec::new(),
        gaps,
    }
}
