//! Frames chosen by what they show, from any source: a look at the whole film first, then exactly the chosen frames.

use std::{sync::Arc, time::Duration};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};

use super::{Analysis, FrameSource, Sampling, analyse, analysis::sharpness};
use crate::{error::Result, types::Frame};

/// Most times in one request to a source.
const REQUEST: usize = 50_000;

/// The sampled frames of a source, under any policy, with their lineage where the sampling [looks](Sampling::looks)
/// at the film. Nothing is decoded before the first poll; such a sampling then decodes the film once, small, before
/// its first frame comes.
///
/// ```no_run
/// # async fn f() -> picchu::Result<()> {
/// use futures::StreamExt;
/// let film = picchu::config::open_film("film.mp4".as_ref())?;
/// let mut frames = picchu::source::sample(film, &picchu::Sampling::shots(3)?);
/// while let Some(frame) = frames.next().await {
///     let frame = frame?;
///     println!("shot {:?} at {:?}", frame.shot, frame.time);
/// }
/// # Ok(()) }
/// ```
pub fn sample(source: Arc<dyn FrameSource>, sampling: &Sampling) -> BoxStream<'static, Result<Frame>> {
    if !sampling.looks() {
        return source.frames(sampling);
    }
    let sampling = sampling.clone();
    stream::once(async move {
        let analysis = Arc::new(analyse(&*source).await?);
        Ok(sample_analysed(source, analysis, &sampling))
    })
    .flat_map(|frames| frames.unwrap_or_else(|error| stream::iter([Err(error)]).boxed()))
    .boxed()
}

/// Like [`sample`], for a film that was looked at before.
pub fn sample_analysed(
    source: Arc<dyn FrameSource>,
    analysis: Arc<Analysis>,
    sampling: &Sampling,
) -> BoxStream<'static, Result<Frame>> {
    let frames = if sampling.policy.looks() {
        chosen(source, analysis.choose(sampling), sampling)
    } else {
        source.frames(sampling)
    };
    let mark = move |frame: Result<Frame>| {
        frame.map(|mut frame| {
            analysis.mark(&mut frame);
            frame
        })
    };
    frames.map(mark).boxed()
}

/// Asks for the candidates of each sample, and gives the sharpest of them.
fn chosen(
    source: Arc<dyn FrameSource>,
    samples: Vec<Vec<Duration>>,
    sampling: &Sampling,
) -> BoxStream<'static, Result<Frame>> {
    let skip = usize::try_from(sampling.skip).unwrap_or(usize::MAX).min(samples.len());
    let mut requests: Vec<Request> = Vec::new();
    for (number, times) in (0..).zip(samples).skip(skip) {
        if requests.last().is_none_or(|request| request.times.len() + times.len() > REQUEST) {
            requests.push(Request::default());
        }
        if let Some(request) = requests.last_mut() {
            request.samples.extend(times.iter().map(|_| number));
            request.times.extend(times);
        }
    }
    let max_side = sampling.max_side;
    stream::iter(requests).flat_map(move |request| request.frames(&*source, max_side)).boxed()
}

/// Times to ask for together, and the number of the sample for which each is a candidate.
#[derive(Debug, Default)]
struct Request {
    times: Vec<Duration>,
    samples: Vec<u64>,
}

impl Request {
    fn frames(self, source: &dyn FrameSource, max_side: Option<u32>) -> BoxStream<'static, Result<Frame>> {
        let mut sampling = Sampling::at(self.times);
        sampling.max_side = max_side;
        let frames = source.frames(&sampling);
        let samples = self.samples;
        let alone = samples.windows(2).all(|pair| pair[0] != pair[1]);
        let numbered = frames.map(move |frame| {
            frame.map(|mut frame| {
                frame.index = samples.get(frame.index as usize).copied().unwrap_or(frame.index);
                frame
            })
        });
        if alone { numbered.boxed() } else { sharpest(numbered.boxed()) }
    }
}

/// Of the frames with one number, the sharpest; the first of equals. Errors come where they arise.
fn sharpest(frames: BoxStream<'static, Result<Frame>>) -> BoxStream<'static, Result<Frame>> {
    struct Best {
        frames: BoxStream<'static, Result<Frame>>,
        best: Option<(Frame, f32)>,
    }
    stream::unfold(Best { frames, best: None }, |mut state| async move {
        loop {
            let frame = match state.frames.next().await {
                None => return state.best.take().map(|(frame, _)| (Ok(frame), state)),
                Some(Err(error)) => {
                    // Where the film ends early, a sharper candidate might have come.
                    state.best.take_if(|_| error.gap().is_none());
                    return Some((Err(error), state));
                }
                Some(Ok(frame)) => frame,
            };
            let picture = Arc::clone(&frame.image);
            let score = match crate::blocking(move || Ok(sharpness(&picture))).await {
                Ok(score) => score,
                Err(error) => return Some((Err(error), state)),
            };
            match state.best.take() {
                Some((best, of)) if best.index == frame.index => {
                    state.best = Some(if score > of { (frame, score) } else { (best, of) });
                }
                before => {
                    state.best = Some((frame, score));
                    if let Some((best, _)) = before {
                        return Some((Ok(best), state));
                    }
                }
            }
        }
    })
    .boxed()
}
