//! One run: open, collect, select, write.

use std::{collections::HashSet, pin::pin, sync::Arc};

use bytes::Bytes;
use futures::{
    TryStreamExt,
    future::{self, Either},
};

use super::{
    Event, Job, Report, analysis,
    answers::{Answers, RememberingCaptioner, RememberingDetector, RememberingEmbedder},
    caption,
    collect::{self, Origin},
    exclusive::Exclusive,
    journal::{Journal, Segment},
    select,
};
use crate::{
    dataset::{
        AnalysisHeader, CONTACT_SHEET, Counts, Dataset, EMBEDDINGS, FileHash, FilmHeader, HEADER, Header,
        RECORDS, SCHEMA_VERSION, SelectSettings, Settings, contact_sheet, to_jsonl, to_npy,
    },
    detect::SETTLE_VERSION,
    error::{AtStage, Error, ErrorKind, Result, Stage},
    source::{ANALYSIS_VERSION, Policy, Sampling},
    store::{self, Key, PutMode, Store, slug},
    types::{BoundingBox, Embeddings, Gap, MediaInfo, Record, Usage},
};

/// What is known before the first frame.
pub(crate) struct Opening {
    pub(crate) film: FilmHeader,
    pub(crate) settings: Settings,
    pub(crate) selection: SelectSettings,
    pub(crate) expected_frames: Option<u64>,
    pub(crate) state: State,
    /// What came out of an earlier run on the film with the same detector: it tells how crowded the film is.
    pub(crate) earlier: Option<Counts>,
}

/// How much is done already.
pub(crate) enum State {
    /// Everything.
    Finished(Box<Header>),
    /// The candidates; the selection or the captions have other settings.
    Collected,
    /// So many batches.
    Started(Vec<Segment>),
}

/// Everything that is known of the film, whether it comes from the journal or from a finished dataset.
struct Collected {
    records: Vec<Record>,
    vectors: Embeddings,
    counts: Counts,
    gaps: Vec<Gap>,
    analysis: Option<AnalysisHeader>,
}

/// Looks at the film. Writes nothing.
pub(crate) async fn look(job: &Job) -> Result<FilmHeader> {
    let info = job.source.probe().await.at(Stage::Sample)?;
    let fingerprint = job.source.fingerprint().await.at(Stage::Sample)?;
    // The dataset's film may have come from elsewhere, where its fingerprint is taken in another way.
    if let Some(Header { film, .. }) = Header::read(&*job.store).await?
        && film.fingerprint != fingerprint
        && film.info.is_like(&info)
        && job.source.is_film(&film.fingerprint).await.at(Stage::Sample)?
    {
        return Ok(FilmHeader { fingerprint: film.fingerprint, info });
    }
    Ok(FilmHeader { fingerprint, info })
}

/// Looks at the store. Writes nothing.
pub(crate) async fn open(job: &Job, film: FilmHeader) -> Result<Opening> {
    let FilmHeader { fingerprint, info } = film;
    let settings = Settings {
        sampling: job.sampling.clone(),
        detector: job.detector.info(),
        settle: job.settle.then_some(SETTLE_VERSION),
        crop: job.crop.clone(),
        embedder: job.embedder.info(),
        analysis: job.sampling.looks().then_some(ANALYSIS_VERSION),
    };
    let selection = SelectSettings {
        deduper: job.deduper.info(job.embedder.default_min_similarity()),
        captioner: job.captioner.info(),
        lint: job.lint.settings(),
    };
    let expected_frames = match analysis::kept(job, &fingerprint).await? {
        Some(analysis) => analysis.count(&job.sampling).or_else(|| expected_frames(&job.sampling, &info)),
        None => expected_frames(&job.sampling, &info),
    };
    let header = Header::read(&*job.store).await?;
    let earlier = header
        .as_ref()
        .filter(|h| h.film.fingerprint == fingerprint && h.settings.detector == settings.detector)
        .map(|h| h.counts.clone());
    let state = match header {
        Some(header) if header.film.fingerprint != fingerprint => {
            let place = job.store.uri(&Key::new(HEADER)?);
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!(
                    "{place} belongs to another film ({}); choose another place for the dataset of {}",
                    header.film.info.name, info.name
                ),
            )
            .at(Stage::Dataset));
        }
        Some(header) if header.settings == settings => {
            let whole = Dataset::open(Arc::clone(&job.store)).await.is_ok();
            if whole && header.selection == selection {
                State::Finished(Box::new(header))
            } else {
                State::Collected
            }
        }
        _ => State::Started(journal(job, &fingerprint, &settings)?.read().await.at(Stage::Dataset)?),
    };
    let film = FilmHeader { fingerprint, info };
    Ok(Opening { film, settings, selection, expected_frames, state, earlier })
}

fn journal<'a>(job: &'a Job, fingerprint: &str, settings: &Settings) -> Result<Journal<'a>> {
    Journal::new(&*job.store, &settings.hash(fingerprint)?)
}

/// Runs a job alone: nobody else writes into its store meanwhile.
pub(crate) async fn run(mut job: Job) -> Result<Report> {
    let film = look(&job).await?;
    let lease = Arc::new(store::lock(&job.store).await.at(Stage::Dataset)?);
    job.store = Arc::new(Exclusive { inner: job.store, lease: Arc::clone(&lease) });
    let outcome = match future::select(pin!(run_alone(job, film)), pin!(lease.lost())).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right((lost, _)) => Err(lost.at(Stage::Dataset)),
    };
    if let Some(lease) = Arc::into_inner(lease) {
        // What is done is done: a lease that cannot be given back ends by itself.
        let _ = lease.release().await;
    }
    outcome
}

/// Lets nobody who bills be asked twice, whatever becomes of this run. What runs on this machine for nothing is done
/// again where it was not journaled; but captions are slow, whoever writes them.
fn remember(job: &mut Job, answers: &Arc<Answers>, film: &str) {
    if job.detector.price() != Some(0.0) {
        let (inner, answers) = (Arc::clone(&job.detector), Arc::clone(answers));
        job.detector = Arc::new(RememberingDetector { inner, answers, film: film.to_owned() });
    }
    if job.embedder.price() != Some(0.0) {
        let (inner, answers) = (Arc::clone(&job.embedder), Arc::clone(answers));
        job.embedder = Arc::new(RememberingEmbedder { inner, answers });
    }
    let (inner, answers) = (Arc::clone(&job.captioner), Arc::clone(answers));
    job.captioner = Arc::new(RememberingCaptioner { inner, answers });
}

async fn run_alone(mut job: Job, film: FilmHeader) -> Result<Report> {
    let opening = open(&job, film).await?;
    let Opening { film, settings, selection, expected_frames, state, .. } = opening;
    job.observer.notify(&Event::Opened { film: film.info.clone(), expected_frames });
    let contact_sheet_uri = job.store.uri(&Key::new(CONTACT_SHEET)?);

    if !matches!(state, State::Finished(_)) {
        let answers = Answers::open(&job.store).await?;
        remember(&mut job, &answers, &film.fingerprint);
    }
    let mut collected = match state {
        State::Finished(header) => {
            tidy(&job).await?;
            let report = Report {
                counts: header.counts,
                gaps: header.gaps,
                usage: Usage::default(),
                unchanged: true,
                film_bytes_read: job.source.bytes_read(),
                contact_sheet: contact_sheet_uri,
            };
            job.observer.notify(&Event::Finished { report: report.clone() });
            return Ok(report);
        }
        State::Collected => {
            let collected = read_collected(&job).await?;
            job.observer.notify(&Event::Resumed { frames: collected.counts.frames });
            collected
        }
        State::Started(segments) => {
            let journal = journal(&job, &film.fingerprint, &settings)?;
            if let Some(last) = segments.last() {
                job.observer.notify(&Event::Resumed { frames: last.next });
            } else {
                // Fails now, not after an hour of work, where nothing can be written.
                journal.probe().await.at(Stage::Dataset)?;
            }
            let stem = film.info.name.rsplit_once('.').map_or(film.info.name.as_str(), |(stem, _)| stem);
            let analysis = analysis::obtain(&job, &film.fingerprint).await?;
            let picture = analysis
                .as_ref()
                .and_then(|analysis| analysis.picture)
                .map(|picture| BoundingBox::from_pixels(picture, film.info.width, film.info.height));
            let origin = Origin { film: film.fingerprint.clone(), slug: slug(stem), analysis, picture };
            let segments = collect::collect(&job, &journal, &origin, &film.info, segments).await?;
            let analysis = origin.analysis.as_deref().map(AnalysisHeader::from);
            Collected { analysis, ..gather(&job, segments)? }
        }
    };

    select::reset(&mut collected.records);
    select::dedupe(&job, &mut collected.records, &collected.vectors).await?;
    let usage = caption::caption(&job, &mut collected.records).await?;
    collected.counts.recount(&collected.records);

    let header = Header {
        schema_version: SCHEMA_VERSION,
        film,
        settings,
        selection,
        counts: collected.counts,
        gaps: collected.gaps,
        usage,
        records: FileHash::default(),
        embeddings: FileHash::default(),
        default_min_similarity: Some(job.embedder.default_min_similarity()),
        analysis: collected.analysis,
        sources: Vec::new(),
    };
    let (records, vectors) = (collected.records, collected.vectors);
    let (header, records, files) = crate::blocking(move || {
        let (header, files) = render(header, &records, &vectors)?;
        Ok((header, records, files))
    })
    .await
    .at(Stage::Dataset)?;
    for (name, body) in files {
        job.store.put(&Key::new(name)?, Bytes::from(body), PutMode::Overwrite).await.at(Stage::Dataset)?;
    }
    // The journal goes last: while it is there, an interrupted cleaning is noticed.
    remove_orphans(&*job.store, &records).await.at(Stage::Dataset)?;
    Journal::clear(&*job.store).await.at(Stage::Dataset)?;

    let report = Report {
        counts: header.counts,
        gaps: header.gaps,
        // The header says what the dataset cost, the report what this run did: what is kept from before is free.
        usage: job.meter.as_ref().map_or(usage, |meter| meter.total()),
        unchanged: false,
        film_bytes_read: job.source.bytes_read(),
        contact_sheet: contact_sheet_uri,
    };
    job.observer.notify(&Event::Finished { report: report.clone() });
    Ok(report)
}

/// A file of the dataset: name and content.
type Rendered = (&'static str, Vec<u8>);

/// The dataset's files in the order in which they are to be written. The header is last: a dataset with a fitting
/// header is complete.
fn render(mut header: Header, records: &[Record], vectors: &Embeddings) -> Result<(Header, Vec<Rendered>)> {
    let lines = to_jsonl(records)?;
    let matrix = to_npy(&vectors.view())?;
    (header.records, header.embeddings) = (FileHash::of(&lines), FileHash::of(&matrix));
    let sheet = contact_sheet(&header, records).into_bytes();
    let json = header.to_json()?;
    Ok((header, vec![(EMBEDDINGS, matrix), (RECORDS, lines), (CONTACT_SHEET, sheet), (HEADER, json)]))
}

/// Finishes the cleaning of a run that was stopped after its last file.
async fn tidy(job: &Job) -> Result<()> {
    if !Journal::remains(&*job.store).await.at(Stage::Dataset)? {
        return Ok(());
    }
    let dataset = Dataset::open(Arc::clone(&job.store)).await?;
    remove_orphans(&*job.store, dataset.records()).await.at(Stage::Dataset)?;
    Journal::clear(&*job.store).await.at(Stage::Dataset)
}

/// The candidates of a finished dataset. `records.jsonl` counts, even where a crash kept the header from following.
async fn read_collected(job: &Job) -> Result<Collected> {
    let header = Header::read(&*job.store).await?.ok_or_else(|| Error::internal("the header disappeared"))?;
    let body = job.store.get(&Key::new(RECORDS)?).await.at(Stage::Dataset)?;
    let records = crate::dataset::from_jsonl(&body, RECORDS).at(Stage::Dataset)?;
    let vectors = crate::dataset::from_npy(&job.store.get(&Key::new(EMBEDDINGS)?).await.at(Stage::Dataset)?)?;
    let vectors = Embeddings::from_unit_rows(&header.settings.embedder.model, vectors);
    Ok(Collected { records, vectors, counts: header.counts, gaps: header.gaps, analysis: header.analysis })
}

/// Joins the journal's batches and numbers the vectors.
fn gather(job: &Job, segments: Vec<Segment>) -> Result<Collected> {
    let mut counts = Counts::default();
    let (mut records, mut rows, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
    for segment in segments {
        counts.frames += segment.frames;
        counts.frames_failed += segment.failed.len() as u64;
        counts.frames_with_detections += segment.with_detections;
        // A resumed run may come across the same gap again.
        for gap in segment.gaps {
            if !gaps.contains(&gap) {
                gaps.push(gap);
            }
        }
        for candidate in segment.candidates {
            let mut record = candidate.record;
            if let (Some(embedding), Some(vector)) = (&mut record.embedding, candidate.vector) {
                embedding.row = u32::try_from(rows.len())
                    .map_err(|_| Error::new(ErrorKind::Unsupported, "more than 4 billion candidates"))?;
                rows.push(vector);
            }
            records.push(record);
        }
    }
    let vectors = select::matrix(rows, job.embedder.dimensions())?;
    let vectors = Embeddings::from_unit_rows(&job.embedder.info().model, vectors);
    Ok(Collected { records, vectors, counts, gaps, analysis: None })
}

/// How many frames a sampling gives, as far as the film tells its length.
fn expected_frames(sampling: &Sampling, info: &MediaInfo) -> Option<u64> {
    let length = info.duration?;
    let start = sampling.start.unwrap_or_default();
    let seconds = sampling.end.unwrap_or(length).min(length).saturating_sub(start).as_secs_f64();
    let frames = match &sampling.policy {
        Policy::Every(interval) => (seconds / interval.as_secs_f64() - 1e-9).ceil().max(0.0) as u64,
        Policy::At(times) => times.iter().filter(|&&t| t >= start && t < length).count() as u64,
        Policy::All => (seconds * info.frame_rate?).round() as u64,
        // What a film shows is known when it was looked at.
        Policy::Keyframes | Policy::Shots { .. } | Policy::Sharpest { .. } | Policy::Drawings => return None,
    };
    Some(frames.min(sampling.limit.unwrap_or(u64::MAX)))
}

/// Removes images that no record names: leftovers of a run with other settings.
async fn remove_orphans(store: &dyn Store, records: &[Record]) -> Result<()> {
    let named: HashSet<&str> =
        records.iter().filter_map(|r| r.crop.as_ref()).map(|c| c.image.as_str()).collect();
    let images: Vec<_> = store.list(Some(&Key::new("images")?)).try_collect().await?;
    for object in images.iter().filter(|o| !named.contains(o.key.as_str())) {
        store.delete(&object.key).await?;
    }
    Ok(())
}
