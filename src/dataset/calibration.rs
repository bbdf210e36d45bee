//! Which threshold? What each would do to a dataset, as numbers and as a page to look at.

use serde::{Deserialize, Serialize};

use super::{Dataset, calibration_page};
use crate::{
    dedupe::{
        Calibration, Candidates, CosineDeduper, Deduper, Fit, Keep, Options, Verdict, calibrate,
        fit_threshold,
    },
    error::{AtStage, Error, Result, Stage},
    types::{Embeddings, Record},
};

/// Bars of the histogram.
const BINS: usize = 50;
/// The lowest threshold that is tried.
const LOWEST: f64 = 0.7;
/// Steps from the lowest threshold to 1.
const STEPS: u32 = 60;
/// Halvings in the search for a wanted number.
const HALVINGS: u32 = 24;

impl Point {
    /// Whether no lower threshold is tried: even fewer images may be had below it.
    pub fn is_lowest(&self) -> bool {
        self.min_similarity <= LOWEST
    }
}

/// What to find out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CalibrateOptions {
    /// The threshold to judge; `None` takes that of the dataset.
    pub min_similarity: Option<f64>,
    /// Which of several near-duplicates stays; `None` asks the dataset.
    pub keep: Option<Keep>,
    /// How many images are wanted.
    pub wanted: Option<usize>,
    /// Pairs on each side of the cut; `None` takes 12.
    pub pairs: Option<usize>,
    /// What a person said about pairs.
    pub answers: Vec<PairAnswer>,
}

/// What a person said about two records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairAnswer {
    /// Id of a record.
    pub a: String,
    /// Id of another.
    pub b: String,
    /// Whether they are the same for training.
    pub same: bool,
}

/// What each threshold does to a dataset.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThresholdReport {
    /// Model of the embeddings: thresholds do not carry over to another.
    pub model: String,
    /// Named candidates with an embedding.
    pub candidates: usize,
    /// The threshold that is judged: the cut.
    pub min_similarity: f64,
    /// Images that stay there.
    pub kept: usize,
    /// How many candidates have their nearest other candidate at which similarity.
    pub histogram: Vec<Bin>,
    /// Images that stay at each threshold, rising.
    pub thresholds: Vec<Point>,
    /// Pairs next to the cut: above it they count as near-duplicates, below not. The closest first on each side.
    pub pairs: Vec<PairNearCut>,
    /// The threshold at which the number of images comes closest to the wanted one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Point>,
    /// The threshold that fits the answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fitted: Option<Fit>,
}

/// One bar of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// Similarity from which it counts.
    pub from: f64,
    /// Similarity up to which it counts; the last bar includes it.
    pub until: f64,
    /// Candidates in it.
    pub candidates: usize,
}

/// A threshold and how many images stay there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The threshold.
    pub min_similarity: f64,
    /// Images that stay.
    pub kept: usize,
}

/// A pair next to the cut.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairNearCut {
    /// Id of the earlier record.
    pub a: String,
    /// Id of the later record.
    pub b: String,
    /// Their similarity.
    pub similarity: f64,
    /// Whether they count as near-duplicates.
    pub duplicate: bool,
}

/// The candidates among which near-duplicates are looked for, as a run does.
struct Set<'a> {
    records: Vec<&'a Record>,
    embeddings: Embeddings,
    quality: Vec<f32>,
    keep: Keep,
}

impl Set<'_> {
    async fn kept_at(&self, min_similarity: f64) -> Result<usize> {
        let candidates = Candidates {
            embeddings: self.embeddings.clone(),
            quality: self.quality.clone(),
            default_min_similarity: min_similarity,
        };
        Ok(CosineDeduper::at(min_similarity)?.keep(self.keep).dedupe(candidates).await?.kept.len())
    }
}

impl Dataset {
    /// The deduper that chose its images, where it is known.
    pub(super) fn selected_by(&self) -> Option<CosineDeduper> {
        CosineDeduper::known_as(&self.header().selection.deduper)
    }

    /// Says what each threshold would do, from the stored embeddings: nothing is decoded, embedded or changed.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a threshold out of range, an answer about records that are
    /// not there, or a dataset without named candidates.
    pub async fn calibrate(&self, options: &CalibrateOptions) -> Result<ThresholdReport> {
        let selected_by = self.selected_by();
        let default_cut = selected_by.as_ref().and_then(CosineDeduper::min_similarity).unwrap_or(0.94);
        let keep = options.keep.or(selected_by.map(|d| d.kept())).unwrap_or_default();
        let vectors = self.embeddings().await?;
        let with_row = |r: &&Record| r.embedding.is_some() && r.character().is_some();
        let records: Vec<&Record> = self.records().iter().filter(with_row).collect();
        if records.is_empty() {
            return Err(Error::invalid("the dataset has no named candidates to compare").at(Stage::Dedupe));
        }
        let rows: Vec<usize> =
            records.iter().filter_map(|r| r.embedding.as_ref().map(|e| e.row as usize)).collect();
        if rows.iter().any(|row| *row >= vectors.len()) {
            return Err(Error::invalid("a record's embedding is not in embeddings.npy").at(Stage::Dataset));
        }
        let quality = records
            .iter()
            .map(|r| r.crop.as_ref().map_or(0.0, |c| c.quality.score() * r.detection.confidence))
            .collect();
        let set = Set { embeddings: vectors.pick(&rows), records, quality, keep };
        let cut = options.min_similarity.unwrap_or(default_cut);
        let kept = set.kept_at(cut).await.at(Stage::Dedupe)?;

        let matrix = set.embeddings.clone();
        let calibration = crate::blocking(move || Ok(calibrate(matrix.view(), &Options::default())?)).await?;
        let mut thresholds = Vec::new();
        for step in 0..=STEPS {
            let min_similarity = LOWEST + (1.0 - LOWEST) * f64::from(step) / f64::from(STEPS);
            thresholds.push(Point { min_similarity, kept: set.kept_at(min_similarity).await? });
        }
        let wanted = match options.wanted {
            Some(count) => Some(closest(&set, count).await?),
            None => None,
        };
        Ok(ThresholdReport {
            model: set.embeddings.model().to_owned(),
            candidates: set.records.len(),
            min_similarity: cut,
            kept,
            histogram: histogram(&calibration.nearest),
            thresholds,
            pairs: near_cut(&set, &calibration, cut, options.pairs.unwrap_or(12)),
            wanted,
            fitted: fit_threshold(&verdicts(&set, &options.answers)?),
        })
    }

    /// The report as a page that needs nothing else: curve, histogram, and the pairs to look at, with buttons to answer
    /// whether they are the same.
    ///
    /// # Errors
    /// For images that cannot be read.
    pub async fn calibration_page(&self, report: &ThresholdReport) -> Result<String> {
        let mut pictures = std::collections::BTreeMap::new();
        for id in report.pairs.iter().flat_map(|p| [&p.a, &p.b]) {
            let Some(record) = self.get(id).filter(|_| !pictures.contains_key(id)) else { continue };
            let image = self.image(record).await?;
            let small = crate::blocking(move || calibration_page::thumbnail(&image)).await?;
            pictures.insert(id.clone(), small);
        }
        Ok(calibration_page::page(&self.header().film.info.name, report, &pictures))
    }
}

/// The threshold at which about so many images stay: found by halving, since the number grows with the threshold but
/// for small dips.
async fn closest(set: &Set<'_>, count: usize) -> Result<Point> {
    let (mut low, mut high) = (LOWEST, 1.0);
    let mut best = Point { min_similarity: high, kept: set.kept_at(high).await? };
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        let kept = set.kept_at(middle).await?;
        if kept.abs_diff(count) <= best.kept.abs_diff(count) {
            best = Point { min_similarity: middle, kept };
        }
        match kept.cmp(&count) {
            std::cmp::Ordering::Equal => break,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Less => low = middle,
        }
    }
    Ok(best)
}

/// Equal bars from the lowest similarity to 1.
fn histogram(nearest: &[f32]) -> Vec<Bin> {
    let values: Vec<f64> = nearest.iter().map(|v| f64::from(*v)).filter(|v| v.is_finite()).collect();
    let Some(lowest) = values.iter().copied().min_by(f64::total_cmp) else { return Vec::new() };
    let from = ((lowest * 20.0).floor() / 20.0).clamp(-1.0, 0.95);
    let width = (1.0 - from) / BINS as f64;
    let mut bins: Vec<Bin> = (0..BINS)
        .map(|n| Bin { from: from + width * n as f64, until: from + width * (n + 1) as f64, candidates: 0 })
        .collect();
    for value in values {
        bins[(((value - from) / width) as usize).min(BINS - 1)].candidates += 1;
    }
    bins
}

/// The closest pairs on each side.
fn near_cut(set: &Set<'_>, calibration: &Calibration, cut: f64, count: usize) -> Vec<PairNearCut> {
    let mut sides = [Vec::new(), Vec::new()];
    for pair in calibration.join().pairs() {
        sides[usize::from(pair.similarity >= cut)].push(pair);
    }
    let mut pairs = Vec::new();
    for (side, duplicate) in sides.iter_mut().zip([false, true]).rev() {
        side.sort_by(|p, q| {
            let apart = |s: f64| (s - cut).abs();
            apart(p.similarity).total_cmp(&apart(q.similarity)).then((p.a, p.b).cmp(&(q.a, q.b)))
        });
        pairs.extend(side.iter().take(count).map(|pair| PairNearCut {
            a: set.records[pair.a as usize].id.clone(),
            b: set.records[pair.b as usize].id.clone(),
            similarity: pair.similarity,
            duplicate,
        }));
    }
    pairs
}

/// Answers with the similarities of their pairs. Later answers about a pair win.
fn verdicts(set: &Set<'_>, answers: &[PairAnswer]) -> Result<Vec<Verdict>> {
    let at: std::collections::HashMap<&str, usize> =
        set.records.iter().enumerate().map(|(row, record)| (record.id.as_str(), row)).collect();
    let row = |id: &str| {
        at.get(id).copied().ok_or_else(|| {
            Error::invalid(format!("an answer is about {id:?}, which is no named candidate of this dataset"))
        })
    };
    let mut by_pair = std::collections::BTreeMap::new();
    for answer in answers {
        let (a, b) = (row(&answer.a)?, row(&answer.b)?);
        by_pair.insert((a.min(b), a.max(b)), answer.same);
    }
    let view = set.embeddings.view();
    let similarity = |a: usize, b: usize| -> f64 {
        view.row(a).iter().zip(view.row(b)).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    Ok(by_pair.into_iter().map(|((a, b), same)| Verdict { similarity: similarity(a, b), same }).collect())
}

/// Reads answers from JSON lines, as the page writes them.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) names the line.
pub fn pair_answers(lines: &[u8], name: &str) -> Result<Vec<PairAnswer>> {
    super::from_jsonl(lines, name)
}
