//! What generated images are compared with: the dataset's crops of each character, and the scale that they give.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use image::RgbImage;
use ndarray::{ArrayView1, ArrayView2, Axis};

use super::Copy;
use crate::{
    dataset::{Dataset, FileHash, Part},
    embed::Embedder,
    error::{Error, Result},
    store::{Key, PutMode, Store},
    types::{Crop, Embeddings, PixelRect},
};

/// As how many of its best likenesses an image's likeness to a character is the mean.
const BEST: usize = 3;
/// Images decoded and embedded at once.
const BATCH: usize = 16;

/// A dataset's images with their rows.
#[derive(Debug)]
pub(super) struct Gallery {
    dataset: Dataset,
    images: Vec<Image>,
    rows: Embeddings,
    scales: BTreeMap<String, Scale>,
    characters: BTreeSet<String>,
    /// How many images were held out of training.
    pub(super) held_out: usize,
}

#[derive(Debug)]
struct Image {
    record: String,
    character: String,
    caption: String,
    /// Whether generated images are compared with it.
    compared: bool,
    trained: bool,
}

/// The cosine similarities that stand for 0 and for 1, and what they are worth.
#[derive(Clone, Copy, Debug)]
struct Scale {
    floor: f64,
    ceiling: f64,
    /// In how many of all pairs of a crop of the character and a crop of another the first is the more alike one, 0.5 where
    /// likeness says nothing.
    tells: f64,
}

impl Scale {
    fn is_worth_something(self) -> bool {
        self.tells >= TELLING && self.ceiling > self.floor
    }
}

impl Gallery {
    pub(super) async fn of(dataset: &Dataset, embedder: &dyn Embedder) -> Result<Self> {
        let (parts, _) = dataset.parts();
        let held_out = parts.iter().filter(|(_, part)| *part == Part::HeldOut).count();
        let mut images = Vec::new();
        let mut records = Vec::new();
        for (image, part) in &parts {
            let Some(character) = image.record.character() else { continue };
            images.push(Image {
                record: image.record.id.clone(),
                character: character.to_owned(),
                caption: image.caption.to_owned(),
                compared: held_out == 0 || *part == Part::HeldOut,
                trained: *part == Part::Train,
            });
            records.push(image.record);
        }
        if images.is_empty() {
            return Err(Error::invalid("the dataset has no image of a named character"));
        }
        let known = dataset.header().settings.embedder.model == embedder.info().model;
        let of_dataset = records.iter().map(|r| r.embedding.as_ref().map(|e| e.row as usize));
        let rows = if let Some(rows) = of_dataset.collect::<Option<Vec<_>>>().filter(|_| known) {
            dataset.embeddings().await?.pick(&rows)
        } else {
            let mut crops = Vec::new();
            for record in &records {
                crops.push(whole(Arc::new(dataset.image(record).await?)));
            }
            embed(embedder, &crops).await?
        };
        let characters: BTreeSet<String> =
            images.iter().filter(|i| i.compared).map(|i| i.character.clone()).collect();
        let mut gallery =
            Self { dataset: dataset.clone(), images, rows, scales: BTreeMap::new(), characters, held_out };
        gallery.scales = gallery.measure();
        Ok(gallery)
    }

    /// The characters that images can be judged by.
    pub(super) fn characters(&self) -> &BTreeSet<String> {
        &self.characters
    }

    /// Captions of the images that are compared with, spread over them.
    pub(super) fn captions(&self, most: usize) -> Vec<String> {
        let all: Vec<&Image> = self.images.iter().filter(|i| i.compared && !i.caption.is_empty()).collect();
        let count = all.len().min(most);
        (0..count).map(|n| all[n * all.len() / count].caption.clone()).collect()
    }

    /// What a reader of the report should know of the scale.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.held_out == 0 {
            notes.push(
                "Nothing is held out of training, so images are compared with the training images themselves: a model that \
                 learned them by heart looks good. Hold some out with `picchu split --held-out 0.1`, and train again."
                    .to_owned(),
            );
        }
        for (name, scale) in &self.scales {
            if !scale.is_worth_something() {
                notes.push(format!(
                    "{name}: this embedder takes the film's own crops of this character for more alike than those of the \
                     others in {:.0} % of pairs only, so the detector's confidence counts instead of likeness; an embedder \
                     that sees who somebody is tells more",
                    scale.tells * 100.0
                ));
            }
        }
        notes
    }

    /// How alike a picture is to each character: 0 as the other characters are, 1 as the character's own crops are. Those
    /// are left out of whom the embedder does not tell from others.
    pub(super) fn likeness(&self, row: ArrayView1<'_, f32>) -> BTreeMap<String, f64> {
        self.scales
            .iter()
            .filter(|(_, scale)| scale.is_worth_something())
            .map(|(name, scale)| {
                let similarity = self.similarity(row, name, None);
                (name.clone(), (similarity - scale.floor) / (scale.ceiling - scale.floor))
            })
            .collect()
    }

    /// By how much a picture is less alike to a character than the other characters are, from 0 down to -1.
    pub(super) fn shortfall(&self, row: ArrayView1<'_, f32>, character: &str) -> f64 {
        let Some(scale) = self.scales.get(character).filter(|scale| scale.floor > 0.0) else { return 0.0 };
        ((self.similarity(row, character, None) - scale.floor) / scale.floor).clamp(-1.0, 0.0)
    }

    /// The training image that a picture nearly is, where there is one.
    pub(super) fn nearest_trained(&self, row: ArrayView1<'_, f32>, limit: f64) -> Option<Copy> {
        let trained = self.images.iter().enumerate().filter(|(_, image)| image.trained);
        let (image, similarity) = trained
            .map(|(n, image)| (image, dot(self.rows.view(), n, row)))
            .max_by(|a, b| a.1.total_cmp(&b.1))?;
        (similarity >= limit).then(|| Copy {
            record: image.record.clone(),
            image: format!("training/{}.png", crate::store::escape(&image.record)),
            similarity,
        })
    }

    /// Puts the training image of a copy beside the report.
    pub(super) async fn show(&self, copy: &Copy, out: &Arc<dyn Store>) -> Result<()> {
        let Some(record) = self.dataset.get(&copy.record) else { return Ok(()) };
        let body = self.dataset.image_bytes(record).await?;
        out.put(&Key::new(&copy.image)?, body, PutMode::Overwrite).await
    }

    /// The mean of the best similarities to the compared crops of a character, without one of them where it is asked.
    fn similarity(&self, row: ArrayView1<'_, f32>, character: &str, without: Option<usize>) -> f64 {
        let mut all: Vec<f64> = self
            .images
            .iter()
            .enumerate()
            .filter(|(n, image)| image.compared && image.character == character && Some(*n) != without)
            .map(|(n, _)| dot(self.rows.view(), n, row))
            .collect();
        all.sort_by(|a, b| b.total_cmp(a));
        all.truncate(BEST);
        if all.is_empty() { 0.0 } else { all.iter().sum::<f64>() / all.len() as f64 }
    }

    /// What the dataset's own crops give: a character's against the others of the same character, and all others' against
    /// those.
    fn measure(&self) -> BTreeMap<String, Scale> {
        let view = self.rows.view();
        self.characters
            .iter()
            .map(|name| {
                let of = |own: bool| -> Vec<f64> {
                    let rows = self.images.iter().enumerate().filter(|(_, i)| (i.character == *name) == own);
                    rows.map(|(n, image)| self.similarity(view.row(n), name, image.compared.then_some(n)))
                        .collect()
                };
                let (own, other) = (of(true), of(false));
                let more = |a: f64, b: f64| match a.total_cmp(&b) {
                    Ordering::Greater => 1.0,
                    Ordering::Equal => 0.5,
                    Ordering::Less => 0.0,
                };
                let pairs = own.iter().flat_map(|&a| other.iter().map(move |&b| more(a, b)));
                let tells = mean(&pairs.collect::<Vec<_>>()).unwrap_or(0.5);
                let (floor, ceiling) = (mean(&other).unwrap_or(0.0), mean(&own).unwrap_or(1.0));
                (name.clone(), Scale { floor, ceiling, tells })
            })
            .collect()
    }
}

pub(super) fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() { None } else { Some(values.iter().sum::<f64>() / values.len() as f64) }
}

/// From which share of pairs an embedder counts as telling a character from others.
const TELLING: f64 = 0.8;

fn dot(rows: ArrayView2<'_, f32>, n: usize, row: ArrayView1<'_, f32>) -> f64 {
    rows.row(n).iter().zip(row).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// A whole picture as a crop.
pub(super) fn whole(image: Arc<RgbImage>) -> Crop {
    Crop { rect: PixelRect::new(0, 0, image.width(), image.height()), scale: 1.0, image }
}

/// Embeds crops in batches that the embedder takes.
pub(super) async fn embed(embedder: &dyn Embedder, crops: &[Crop]) -> Result<Embeddings> {
    let size = embedder.info().max_batch.clamp(1, BATCH);
    let mut rows = ndarray::Array2::zeros((0, embedder.dimensions()));
    for batch in crops.chunks(size) {
        let part = embedder.embed(batch).await?;
        rows.append(Axis(0), part.view()).map_err(|e| Error::internal(format!("rows do not fit: {e}")))?;
    }
    Embeddings::new(embedder.info().model, rows)
}

/// A name for a file that is put beside the report: of its content, with the ending that it had.
pub(super) fn file_name(name: &str, body: &Bytes) -> String {
    let ending = name.rsplit_once('.').map_or("png", |(_, ending)| ending);
    let ending = if ending.bytes().all(|b| b.is_ascii_alphanumeric()) { ending } else { "png" };
    format!("{}.{}", FileHash::of(body).short(16), ending.to_ascii_lowercase())
}
