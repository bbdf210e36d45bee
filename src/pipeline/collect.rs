//! Phase one: from the film to candidates, as a stream.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};

use super::{
    Event, Job, Stop,
    journal::{Candidate, FailedFrame, Journal, Segment},
    settle::{Item, Looked, settled},
};
use crate::{
    crop, dataset,
    detect::{CharacterDetector, REACH, Seen, View},
    embed::Embedder,
    error::{AtStage, Error, ErrorKind, Result, Stage},
    source::{Analysis, sample_analysed},
    store::{Key, PutMode},
    types::{
        BoundingBox, Crop, Detection, EmbeddingRow, Frame, FrameRecord, Gap, MediaInfo, Outcome, Record,
    },
};

/// Frames that travel together, and the gaps between them.
#[derive(Debug, Default)]
struct Batch {
    frames: Vec<Frame>,
    gaps: Vec<Gap>,
}

/// What the names of a film's records begin with, and where they come from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// Fingerprint of the film.
    pub(crate) film: String,
    /// Beginning of every id.
    pub(crate) slug: String,
    /// What the look at the whole film found, where the sampling needed one.
    pub(crate) analysis: Option<Arc<Analysis>>,
    /// The part of a frame that is not black bars, where that is known.
    pub(crate) picture: Option<BoundingBox>,
}

/// A candidate on its way: the record grows as the stages add to it.
struct Draft {
    record: Record,
    cut: Option<(Crop, Vec<u8>)>,
}

/// Samples the rest of the film, journals every batch, and gives all batches, earlier ones included.
pub(crate) async fn collect(
    job: &Job,
    journal: &Journal<'_>,
    origin: &Origin,
    info: &MediaInfo,
    mut done: Vec<Segment>,
) -> Result<Vec<Segment>> {
    let mut first = done.last().map_or(0, |s| s.next);
    if done.last().is_some_and(|s| s.end) {
        return Ok(done);
    }
    job.observer.notify(&Event::Learning);
    let learned = job.detector.learn(&*job.source).await.at(Stage::Detect)?;
    let detector = learned.unwrap_or_else(|| Arc::clone(&job.detector));

    let mut sampling = job.sampling.clone();
    sampling.skip = sampling.skip.max(first);
    let size = batch_size(job, &*detector, info);
    let frames = match &origin.analysis {
        Some(analysis) => sample_analysed(Arc::clone(&job.source), Arc::clone(analysis), &sampling),
        None => job.source.frames(&sampling),
    };
    // In the place of the next frame, as any other error: batches before it are finished, frames that still wait for
    // their neighbours are searched again by the next run.
    let asked = job.stop.clone();
    let frames = frames.scan(false, move |ended, frame| {
        let request = !*ended && asked.is_requested();
        let item = if request { Err(Stop::error()) } else { frame };
        ready((!std::mem::replace(ended, *ended || request)).then_some(item))
    });
    let stopped = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&stopped);
    let frames = frames.take_while(move |_| ready(!ends.load(Ordering::Relaxed)));
    let before = done.last().map_or_else(Vec::new, |s| s.tail.iter().cloned().map(Arc::new).collect());
    // Errors keep their place in the film's order: what came before one is finished and journaled.
    let searcher = &*detector;
    let found = batches(frames, size)
        .map(|batch| async move { search(searcher, batch?).await })
        .buffered(job.limits.in_flight)
        .map_ok(|items| stream::iter(items.into_iter().map(Ok)))
        .try_flatten();
    let reach = if job.settle { REACH } else { 0 };
    let mut segments = segments(settled(found, before, reach), size)
        .map(|items| async move { process(job, origin, items?).await })
        .buffered(job.limits.in_flight)
        .boxed();

    let mut frames: u64 = done.iter().map(|s| s.frames).sum();
    let mut candidates: u64 = done.iter().map(|s| s.candidates.len() as u64).sum();
    while let Some(segment) = segments.next().await {
        let mut segment = match segment {
            Ok(segment) => segment,
            Err(e) => {
                // No further frames, but batches under way are waited for: what they asked is paid, and kept.
                stopped.store(true, Ordering::Relaxed);
                while segments.next().await.is_some() {}
                return Err(e);
            }
        };
        segment.next = segment.next.max(first);
        journal.append(first, &segment).await.at(Stage::Dataset)?;
        for gap in &segment.gaps {
            job.observer.notify(&Event::Gap { gap: gap.clone() });
        }
        for FailedFrame { index, reason } in &segment.failed {
            job.observer.notify(&Event::FrameFailed { index: *index, reason: reason.clone() });
        }
        frames += segment.frames;
        candidates += segment.candidates.len() as u64;
        job.observer.notify(&Event::Collected { frames, candidates });
        // A batch of gaps alone adds no samples: the next batch takes its place in the journal.
        if segment.next > first || done.is_empty() {
            first = segment.next;
            done.push(segment);
        } else if let Some(last) = done.last_mut() {
            last.gaps.append(&mut segment.gaps);
        }
    }
    let end = Segment { next: first + 1, end: true, ..Segment::default() };
    journal.append(first, &end).await.at(Stage::Dataset)?;
    done.push(end);
    Ok(done)
}

/// As many frames as the detector takes at once and as memory allows.
fn batch_size(job: &Job, detector: &dyn CharacterDetector, info: &MediaInfo) -> usize {
    let frame_bytes = (info.width as usize * info.height as usize * 3).max(1);
    // Batches are in flight twice, to be searched and to be cut, and one more of each is being filled.
    let affordable = job.limits.frame_bytes / frame_bytes / (2 * job.limits.in_flight + 2);
    detector.info().max_batch.min(affordable).max(1)
}

/// Groups frames; a gap travels with its neighbours, any other error ends the stream after what came before it.
fn batches(frames: impl Stream<Item = Result<Frame>>, size: usize) -> impl Stream<Item = Result<Batch>> {
    frames.chunks(size).flat_map(|items| {
        let mut batch = Batch::default();
        let mut fatal = None;
        for item in items {
            match item {
                Ok(frame) => batch.frames.push(frame),
                Err(e) => {
                    let Some(gap) = e.gap() else {
                        fatal = Some(e.at(Stage::Sample));
                        break;
                    };
                    batch.gaps.push(gap.clone());
                }
            }
        }
        let batch = (!batch.frames.is_empty() || !batch.gaps.is_empty()).then_some(Ok(batch));
        stream::iter(batch.into_iter().chain(fatal.map(Err)))
    })
}

/// Groups what was found; an error ends the stream after what came before it.
fn segments(found: impl Stream<Item = Result<Item>>, size: usize) -> impl Stream<Item = Result<Vec<Item>>> {
    found.chunks(size).flat_map(|items| {
        let mut group = Vec::with_capacity(items.len());
        let mut fatal = None;
        for item in items {
            match item {
                Ok(item) => group.push(item),
                Err(e) => {
                    fatal = Some(e);
                    break;
                }
            }
        }
        let group = (!group.is_empty()).then_some(Ok(group));
        stream::iter(group.into_iter().chain(fatal.map(Err)))
    })
}

/// Searches a batch.
async fn search(detector: &dyn CharacterDetector, batch: Batch) -> Result<Vec<Item>> {
    let answers = detect(detector, &batch.frames).await?;
    crate::blocking(move || {
        let looked = batch.frames.into_iter().zip(answers).map(|(frame, answer)| {
            let answer = answer.map_err(|e| e.to_string());
            let found = answer.clone().unwrap_or_default();
            let seen = Arc::new(Seen { view: View::of(&frame), found });
            Item::Looked(Looked { frame, answer, seen, tail: Vec::new() })
        });
        Ok(batch.gaps.into_iter().map(Item::Gap).chain(looked).collect())
    })
    .await
}

/// Cuts, embeds and stores what was found in a few frames.
async fn process(job: &Job, origin: &Origin, items: Vec<Item>) -> Result<Segment> {
    let mut segment = Segment::default();
    let mut found = Vec::new();
    for item in items {
        let Looked { frame, answer, tail, .. } = match item {
            Item::Looked(looked) => looked,
            Item::Gap(gap) => {
                segment.gaps.push(gap);
                continue;
            }
        };
        segment.next = frame.index + 1;
        segment.frames += 1;
        segment.tail = tail.iter().map(|seen| (**seen).clone()).collect();
        match answer {
            Ok(detections) => {
                segment.with_detections += u64::from(!detections.is_empty());
                found.push((frame, detections));
            }
            Err(reason) => segment.failed.push(FailedFrame { index: frame.index, reason }),
        }
    }

    let (policy, origin) = (job.crop.clone(), origin.clone());
    let mut drafts = crate::blocking(move || {
        let mut drafts = Vec::new();
        for (frame, detections) in found {
            for number in 0..detections.len() {
                drafts.push(draft(&origin, &policy, &frame, &detections, number)?);
            }
        }
        Ok(drafts)
    })
    .await
    .at(Stage::Crop)?;

    let vectors = embed(&*job.embedder, &mut drafts).await?;
    for (draft, vector) in drafts.into_iter().zip(vectors) {
        if let (Some(crop), Some((_, body))) = (&draft.record.crop, draft.cut) {
            // Names carry the content's hash: writing again writes the same bytes.
            let key = Key::new(crop.image.as_str())?;
            job.store.put(&key, Bytes::from(body), PutMode::Overwrite).await.at(Stage::Dataset)?;
        }
        segment.candidates.push(Candidate { record: draft.record, vector });
    }
    Ok(segment)
}

/// Whether a failure is about the item at hand, so that the others may still succeed.
pub(crate) fn is_about_the_item(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidInput | ErrorKind::Decode | ErrorKind::ContentFiltered | ErrorKind::Unsupported
    )
}

/// Detects in a batch; when the batch is refused, in each frame alone, so that one bad frame stays alone.
async fn detect(detector: &dyn CharacterDetector, frames: &[Frame]) -> Result<Vec<Result<Vec<Detection>>>> {
    if frames.is_empty() {
        return Ok(Vec::new());
    }
    match detect_aligned(detector, frames).await {
        Ok(answers) => Ok(answers.into_iter().map(Ok).collect()),
        Err(e) if !is_about_the_item(&e) => Err(e),
        Err(e) if frames.len() == 1 => Ok(vec![Err(e)]),
        Err(_) => {
            let mut answers = Vec::new();
            for frame in frames.chunks(1) {
                match detect_aligned(detector, frame).await {
                    Ok(mut answer) => answers.push(Ok(answer.pop().unwrap_or_default())),
                    Err(e) if is_about_the_item(&e) => answers.push(Err(e)),
                    Err(e) => return Err(e),
                }
            }
            Ok(answers)
        }
    }
}

async fn detect_aligned(detector: &dyn CharacterDetector, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
    let answers = detector.detect(frames).await.at(Stage::Detect)?;
    if answers.len() != frames.len() {
        return Err(Error::internal(format!(
            "the detector {} answered {} of {} frames",
            detector.info().name,
            answers.len(),
            frames.len()
        ))
        .at(Stage::Detect));
    }
    Ok(answers)
}

/// Cuts one detection out of its frame.
fn draft(
    origin: &Origin,
    policy: &crop::CropPolicy,
    frame: &Frame,
    detections: &[Detection],
    number: usize,
) -> Result<Draft> {
    let detection = &detections[number];
    let (seconds, micros) = (frame.time.as_secs(), frame.time.subsec_micros());
    let mut record = Record {
        id: format!("{}-{seconds:05}.{micros:06}-{number}", origin.slug),
        film: origin.film.clone(),
        frame: FrameRecord {
            index: frame.index,
            time: frame.time,
            width: frame.width(),
            height: frame.height(),
            shot: frame.shot,
            drawing: frame.drawing,
        },
        detection: detection.clone(),
        outcome: if detection.character.is_some() { Outcome::Kept } else { Outcome::Unsure },
        crop: None,
        subjects: Vec::new(),
        embedding: None,
        caption: None,
    };
    let planned = match origin.picture.and_then(|picture| picture.to_pixels(frame.width(), frame.height())) {
        Some(picture) => policy.plan_within(detection.bounding_box, frame.width(), frame.height(), picture),
        None => policy.plan(detection.bounding_box, frame.width(), frame.height()),
    };
    let plan = match planned {
        Ok(plan) => plan,
        Err(reason) => {
            record.outcome = Outcome::Skipped { reason: reason.to_string() };
            return Ok(Draft { record, cut: None });
        }
    };
    let others: Vec<BoundingBox> =
        detections.iter().enumerate().filter(|(n, _)| *n != number).map(|(_, d)| d.bounding_box).collect();
    let crop = crop::cut(frame, &plan);
    let quality = crop::measure(frame, detection.bounding_box, &others);
    let (cut, body) = dataset::encode_crop(&record.id, &crop, quality)?;
    record.crop = Some(cut);
    record.subjects = crop::subjects_in(plan.rect, frame.width(), frame.height(), detections, number);
    Ok(Draft { record, cut: Some((crop, body)) })
}

/// One vector a draft, `None` for drafts without a picture or whose picture was refused.
async fn embed(embedder: &dyn Embedder, drafts: &mut [Draft]) -> Result<Vec<Option<Vec<f32>>>> {
    let model = embedder.info().model;
    let mut vectors = vec![None; drafts.len()];
    let with_picture: Vec<usize> = (0..drafts.len()).filter(|&i| drafts[i].cut.is_some()).collect();
    let mut queue: Vec<Vec<usize>> =
        with_picture.chunks(embedder.info().max_batch.max(1)).rev().map(<[usize]>::to_vec).collect();
    while let Some(group) = queue.pop() {
        let crops: Vec<Crop> =
            group.iter().filter_map(|&i| drafts[i].cut.as_ref().map(|(crop, _)| crop.clone())).collect();
        match embedder.embed(&crops).await.at(Stage::Embed) {
            Ok(rows) if rows.len() == group.len() && rows.dimensions() == embedder.dimensions() => {
                for (row, &i) in rows.view().rows().into_iter().zip(&group) {
                    vectors[i] = Some(row.to_vec());
                    // The row's number is known when all candidates are.
                    drafts[i].record.embedding = Some(EmbeddingRow { model: model.clone(), row: 0 });
                }
            }
            Ok(rows) => {
                return Err(Error::internal(format!(
                    "the embedder {model} answered {}×{} for {} crops of {} dimensions",
                    rows.len(),
                    rows.dimensions(),
                    group.len(),
                    embedder.dimensions()
                ))
                .at(Stage::Embed));
            }
            Err(e) if is_about_the_item(&e) && group.len() > 1 => {
                queue.extend(group.iter().rev().map(|&i| vec![i]));
            }
            Err(e) if is_about_the_item(&e) => {
                drafts[group[0]].record.outcome = Outcome::Failed { reason: e.to_string() };
            }
            Err(e) => return Err(e),
        }
    }
    Ok(vectors)
}
