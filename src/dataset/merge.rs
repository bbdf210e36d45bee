//! Several films' datasets as one, without near-duplicates across films.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use ndarray::{Array2, Axis, concatenate};
use serde::{Deserialize, Serialize};

use super::{
    CONTACT_SHEET, Counts, Dataset, EMBEDDINGS, FileHash, FilmHeader, HEADER, Header, RECORDS, REVIEWS,
    SCHEMA_VERSION, SelectSettings, Settings, contact_sheet, to_jsonl, to_npy,
};
use crate::{
    dedupe::{Candidates, Deduper},
    error::{AtStage, Error, ErrorKind, Result, Stage},
    store::{Key, PutMode, Store, lock, slug},
    types::{Embeddings, MediaInfo, Outcome, Record, Review, Usage},
};

/// Images copied at once.
const COPIES: usize = 8;

/// One of the datasets that a dataset was merged from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Its film.
    pub film: FilmHeader,
    /// What decided its candidates.
    pub settings: Settings,
    /// Who chose and who captioned in it.
    pub selection: SelectSettings,
}

/// What a merge did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// What the merged dataset holds.
    pub counts: Counts,
    /// Kept images that another film's image covers now.
    pub across_films: u64,
}

/// The parts of the dataset to be.
struct Parts {
    records: Vec<Record>,
    reviews: Vec<Review>,
    vectors: Embeddings,
    /// Where each image lies now.
    images: Vec<(usize, Key)>,
}

/// Merges datasets of different films into an empty store: records, images, embeddings and reviews of all, and
/// near-duplicates found across films. An image that another film's covers takes those along that it covered; their
/// similarities are measured to the new cover. Equal datasets in equal order give equal bytes.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) for fewer than two datasets, for a film that comes twice, or for datasets
/// whose embedders differ: their vectors cannot be compared. [`AlreadyExists`](ErrorKind::AlreadyExists) where `out`
/// holds something.
pub async fn merge(datasets: &[Dataset], deduper: &dyn Deduper, out: &Arc<dyn Store>) -> Result<Merged> {
    check(datasets).at(Stage::Dataset)?;
    // Without a threshold of its own, a deduper finds equal crops alone.
    let min_similarity = datasets[0].header().default_min_similarity.unwrap_or(1.0);
    if let Some(object) = out.list(None).try_next().await.at(Stage::Dataset)? {
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            format!("{} is there already; merge into an empty place", out.uri(&object.key)),
        )
        .at(Stage::Dataset));
    }
    let lease = lock(out).await.at(Stage::Dataset)?;
    let mut parts = gather(datasets).await?;
    let across_films = dedupe(&mut parts, deduper, min_similarity).await?;
    copy_images(datasets, &parts, out).await?;
    let counts = write(datasets, parts, deduper, min_similarity, out).await?;
    lease.release().await.at(Stage::Dataset)?;
    Ok(Merged { counts, across_films })
}

fn check(datasets: &[Dataset]) -> Result<()> {
    if datasets.len() < 2 {
        return Err(Error::invalid(format!(
            "{} datasets were given; a merge needs two or more",
            datasets.len()
        )));
    }
    let mut films = HashSet::new();
    for source in datasets.iter().flat_map(sources) {
        if !films.insert(source.film.fingerprint.clone()) {
            return Err(Error::invalid(format!(
                "{} ({}) comes twice; each film is merged once",
                source.film.info.name, source.film.fingerprint
            )));
        }
    }
    let embedder = |d: &Dataset| d.header().settings.embedder.clone();
    let first = embedder(&datasets[0]);
    for other in &datasets[1..] {
        let other_embedder = embedder(other);
        if (&first.model, &first.settings) != (&other_embedder.model, &other_embedder.settings) {
            return Err(Error::invalid(format!(
                "the dataset of {} has vectors by {}, that of {} by {}: they cannot be compared. Build both with one \
                 embedder",
                datasets[0].header().film.info.name,
                first.model,
                other.header().film.info.name,
                other_embedder.model
            )));
        }
    }
    Ok(())
}

/// The films of a dataset, whether it was merged itself or not.
fn sources(dataset: &Dataset) -> Vec<Source> {
    let header = dataset.header();
    if header.sources.is_empty() {
        let (film, settings, selection) =
            (header.film.clone(), header.settings.clone(), header.selection.clone());
        vec![Source { film, settings, selection }]
    } else {
        header.sources.clone()
    }
}

/// Everything under ids that are unique: those of a film that shares them with an earlier one say which film.
async fn gather(datasets: &[Dataset]) -> Result<Parts> {
    let (mut records, mut reviews, mut images) = (Vec::new(), Vec::new(), Vec::new());
    let mut matrices: Vec<Array2<f32>> = Vec::new();
    let mut taken = HashSet::new();
    let mut rows = 0;
    for (number, dataset) in datasets.iter().enumerate() {
        let vectors = dataset.embeddings().await?;
        let clash = dataset.records().iter().any(|r| taken.contains(&r.id));
        let name = |id: &str, film: &str| {
            let film = film.rsplit(':').next().unwrap_or(film);
            if clash {
                format!("{id}-{}", slug(&film.chars().take(8).collect::<String>()))
            } else {
                id.to_owned()
            }
        };
        let films: HashMap<&str, &str> =
            dataset.records().iter().map(|r| (r.id.as_str(), r.film.as_str())).collect();
        for record in dataset.records() {
            let mut record = record.clone();
            let id = std::mem::take(&mut record.id);
            record.id = name(&id, &record.film);
            if let Outcome::Duplicate { covered_by, .. } = &mut record.outcome {
                let film = films.get(covered_by.as_str()).copied().unwrap_or(&record.film);
                *covered_by = name(covered_by, film);
            }
            if let Some(embedding) = &mut record.embedding {
                embedding.row = u32::try_from(rows + embedding.row as usize)
                    .map_err(|_| Error::new(ErrorKind::Unsupported, "more than 4 billion candidates"))?;
            }
            if let Some(crop) = &record.crop {
                images.push((number, Key::new(crop.image.as_str())?));
            }
            let cut_again = dataset.judgement(&id).and_then(|judgement| judgement.crop.as_ref());
            if let Some(crop) = cut_again {
                images.push((number, Key::new(crop.image.as_str())?));
            }
            records.push(record);
        }
        for review in dataset.reviews() {
            let film = films.get(review.record.as_str()).copied().unwrap_or_default();
            reviews.push(Review { record: name(&review.record, film), ..review.clone() });
        }
        taken.extend(dataset.records().iter().map(|r| name(&r.id, &r.film)));
        rows += vectors.len();
        matrices.push(vectors.view().to_owned());
    }
    if taken.len() != records.len() {
        return Err(Error::invalid("the datasets share ids that cannot be told apart").at(Stage::Dataset));
    }
    let model = &datasets[0].header().settings.embedder.model;
    let vectors = crate::blocking(move || {
        let views: Vec<_> = matrices.iter().map(|m| m.view()).collect();
        concatenate(Axis(0), &views)
            .map_err(|e| Error::invalid(format!("the datasets' vectors have different lengths: {e}")))
    })
    .await
    .at(Stage::Dataset)?;
    Ok(Parts { records, reviews, vectors: Embeddings::from_unit_rows(model, vectors), images })
}

/// Finds kept images that another's covers, and hands on what they covered.
async fn dedupe(parts: &mut Parts, deduper: &dyn Deduper, min_similarity: f64) -> Result<u64> {
    let row = |record: &Record| record.embedding.as_ref().map(|e| e.row as usize);
    let records = &mut parts.records;
    let kept: Vec<usize> =
        (0..records.len()).filter(|&i| records[i].is_kept() && row(&records[i]).is_some()).collect();
    let rows: Vec<usize> = kept.iter().filter_map(|&i| row(&records[i])).collect();
    let quality = kept
        .iter()
        .map(|&i| {
            records[i].crop.as_ref().map_or(0.0, |c| c.quality.score() * records[i].detection.confidence)
        })
        .collect();
    let candidates =
        Candidates { embeddings: parts.vectors.pick(&rows), quality, default_min_similarity: min_similarity };
    let selection = deduper.dedupe(candidates).await.at(Stage::Dedupe)?;
    if selection.covered_by.len() != kept.len() {
        return Err(Error::internal("the deduper did not answer for every candidate").at(Stage::Dedupe));
    }
    let mut moved: BTreeMap<String, usize> = BTreeMap::new();
    for (position, &i) in kept.iter().enumerate() {
        let cover = kept[selection.covered_by[position] as usize];
        if cover != i {
            moved.insert(records[i].id.clone(), cover);
            let (covered_by, similarity) = (records[cover].id.clone(), selection.similarity[position]);
            records[i].outcome = Outcome::Duplicate { covered_by, similarity };
        }
    }
    let view = parts.vectors.view();
    for i in 0..records.len() {
        let Outcome::Duplicate { covered_by, .. } = &records[i].outcome else { continue };
        let Some(&cover) = moved.get(covered_by) else { continue };
        if let (Some(a), Some(b)) = (row(&records[i]), row(&records[cover])) {
            let similarity = view.row(a).dot(&view.row(b)).clamp(-1.0, 1.0);
            records[i].outcome = Outcome::Duplicate { covered_by: records[cover].id.clone(), similarity };
        }
    }
    for record in records.iter_mut().filter(|r| !r.is_kept()) {
        record.caption = None;
    }
    Ok(moved.len() as u64)
}

async fn copy_images(datasets: &[Dataset], parts: &Parts, out: &Arc<dyn Store>) -> Result<()> {
    let mut seen = BTreeSet::new();
    let copies: Vec<_> = parts
        .images
        .iter()
        .filter(|(_, key)| seen.insert(key))
        .map(|(number, key)| copy(Arc::clone(datasets[*number].store()), key.clone(), Arc::clone(out)))
        .collect();
    stream::iter(copies).buffered(COPIES).try_collect::<()>().await.at(Stage::Dataset)
}

async fn copy(from: Arc<dyn Store>, key: Key, out: Arc<dyn Store>) -> Result<()> {
    let body = from.get(&key).await?;
    out.put(&key, body, PutMode::Overwrite).await
}

async fn write(
    datasets: &[Dataset],
    parts: Parts,
    deduper: &dyn Deduper,
    min_similarity: f64,
    out: &Arc<dyn Store>,
) -> Result<Counts> {
    let sources: Vec<Source> = datasets.iter().flat_map(sources).collect();
    let mut counts = Counts::default();
    let mut usage = Usage::default();
    let mut gaps = Vec::new();
    for header in datasets.iter().map(Dataset::header) {
        counts.frames += header.counts.frames;
        counts.frames_failed += header.counts.frames_failed;
        counts.frames_with_detections += header.counts.frames_with_detections;
        usage += header.usage;
        gaps.extend(header.gaps.iter().cloned());
    }
    counts.recount(&parts.records);
    let first = datasets[0].header();
    let (film, settings) = (joint(&sources, &first.film), first.settings.clone());
    let mut selection = first.selection.clone();
    selection.deduper = deduper.info(min_similarity);
    let mut header = Header {
        schema_version: SCHEMA_VERSION,
        film,
        settings,
        selection,
        counts: counts.clone(),
        gaps,
        usage,
        records: FileHash::default(),
        embeddings: FileHash::default(),
        default_min_similarity: Some(min_similarity),
        // Shots are of one film.
        analysis: None,
        sources,
    };
    let files = crate::blocking(move || {
        let lines = to_jsonl(&parts.records)?;
        let matrix = to_npy(&parts.vectors.view())?;
        let reviews = to_jsonl(&parts.reviews)?;
        (header.records, header.embeddings) = (FileHash::of(&lines), FileHash::of(&matrix));
        let sheet = contact_sheet(&header, &parts.records).into_bytes();
        let mut files = vec![(EMBEDDINGS, matrix), (RECORDS, lines), (CONTACT_SHEET, sheet)];
        if !reviews.is_empty() {
            files.push((REVIEWS, reviews));
        }
        // The header last: with it, the dataset is complete.
        files.push((HEADER, header.to_json()?));
        Ok(files)
    })
    .await
    .at(Stage::Dataset)?;
    for (name, body) in files {
        out.put(&Key::new(name)?, Bytes::from(body), PutMode::Overwrite).await.at(Stage::Dataset)?;
    }
    Ok(counts)
}

/// The films as one, with an identity of its own, so that no film's build takes the merged dataset for its own.
fn joint(sources: &[Source], first: &FilmHeader) -> FilmHeader {
    let prints: Vec<&str> = sources.iter().map(|s| s.film.fingerprint.as_str()).collect();
    let names: Vec<&str> = sources.iter().map(|s| s.film.info.name.as_str()).collect();
    let durations: Option<Vec<_>> = sources.iter().map(|s| s.film.info.duration).collect();
    FilmHeader {
        fingerprint: format!("merged:{}", FileHash::of(prints.join("\n").as_bytes()).short(64)),
        info: MediaInfo {
            name: names.join(" + "),
            duration: durations.map(|d| d.into_iter().sum()),
            frame_rate: None,
            notes: vec![format!("{} films merged", sources.len())],
            ..first.info.clone()
        },
    }
}
