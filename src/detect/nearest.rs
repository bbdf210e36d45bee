//! Names for boxes whose detector knows only kinds: the character whose reference picture is nearest.

use std::sync::Arc;

use async_trait::async_trait;
use image::{RgbImage, RgbaImage, imageops::crop_imm};
use ndarray::ArrayView1;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::CharacterDetector;
use crate::{
    embed::Embedder,
    error::{AtStage, Error, Result, Stage},
    source::FrameSource,
    types::{Alternative, Cast, Crop, Detection, Frame, PixelRect, ProviderInfo},
};

/// What stands for pixels that do not belong to a character.
const BLANK: u8 = 114;

/// Names the boxes that another detector left unsure, such as a `person`, by the likeness of their pixels to the
/// cast's reference pictures.
///
/// A box gets the name of the character whose nearest reference is the most similar, if that similarity is at least
/// [`min_similarity`](Self::min_similarity) and leads the next character's by at least [`margin`](Self::margin);
/// otherwise it stays unsure and lists whom it resembles. A character with
/// [labels](crate::types::Character::labels) is considered only for boxes with one of them.
///
/// The embedder must see identity: CLIP and DINOv2 do to a degree, [`LayoutEmbedder`](crate::embed::LayoutEmbedder)
/// does not. Good values differ from one embedder to another: look at the alternatives of unsure records.
#[derive(Clone, Debug)]
pub struct NearestReference {
    detector: Arc<dyn CharacterDetector>,
    embedder: Arc<dyn Embedder>,
    references: Arc<Vec<NamedReference>>,
    min_similarity: f32,
    margin: f32,
    /// The references' vectors, made when the first box asks for them.
    vectors: Arc<OnceCell<Vec<Vec<f32>>>>,
}

#[derive(Debug)]
struct NamedReference {
    character: String,
    labels: Vec<String>,
    picture: RgbImage,
}

impl NearestReference {
    /// A box less similar than this to every reference is unsure.
    pub const MIN_SIMILARITY: f32 = 0.5;
    /// A lead smaller than this over the next character is unsure.
    pub const MARGIN: f32 = 0.03;

    /// Names what `detector` leaves unsure. Opens the cast's reference pictures.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when the cast has no reference pictures or one cannot be read.
    pub fn new(
        detector: Arc<dyn CharacterDetector>,
        embedder: Arc<dyn Embedder>,
        cast: &Cast,
    ) -> Result<Self> {
        let pictures = cast.reference_pictures()?;
        if pictures.is_empty() {
            return Err(Error::invalid(
                "the cast has no reference pictures; naming by likeness needs one to five a character",
            )
            .at(Stage::Detect));
        }
        let references = pictures.into_iter().map(|reference| NamedReference {
            labels: cast.get(&reference.character).map(|c| c.labels.clone()).unwrap_or_default(),
            picture: without_transparency(&reference.image),
            character: reference.character,
        });
        Ok(Self {
            detector,
            embedder,
            references: Arc::new(references.collect()),
            min_similarity: Self::MIN_SIMILARITY,
            margin: Self::MARGIN,
            vectors: Arc::default(),
        })
    }

    /// Sets the least similarity to the nearest reference, -1..1.
    #[must_use]
    pub fn min_similarity(mut self, min_similarity: f32) -> Self {
        self.min_similarity = min_similarity;
        self
    }

    /// Sets the least lead over the next character.
    #[must_use]
    pub fn margin(mut self, margin: f32) -> Self {
        self.margin = margin;
        self
    }

    /// Unit vectors of some pictures, in their order.
    async fn embed(&self, crops: &[Crop]) -> Result<Vec<Vec<f32>>> {
        let mut vectors = Vec::with_capacity(crops.len());
        for group in crops.chunks(self.embedder.info().max_batch.max(1)) {
            let rows = self.embedder.embed(group).await?;
            vectors.extend(rows.view().rows().into_iter().map(|row| row.to_vec()));
        }
        if vectors.len() == crops.len() {
            Ok(vectors)
        } else {
            Err(Error::internal(format!("the embedder answered {} of {} crops", vectors.len(), crops.len())))
        }
    }

    async fn reference_vectors(&self) -> Result<&Vec<Vec<f32>>> {
        let make = async || {
            let whole = |r: &NamedReference| {
                let (width, height) = r.picture.dimensions();
                let rect = PixelRect::new(0, 0, width, height);
                Crop { rect, scale: 1.0, image: Arc::new(r.picture.clone()) }
            };
            self.embed(&self.references.iter().map(whole).collect::<Vec<_>>()).await
        };
        self.vectors.get_or_try_init(make).await
    }

    /// Decides who a box with this vector is.
    fn name(&self, detection: &mut Detection, vector: &[f32], references: &[Vec<f32>]) {
        let mut candidates: Vec<(&str, f32)> = Vec::new();
        for (reference, other) in self.references.iter().zip(references) {
            let fits = |label: &str| reference.labels.iter().any(|own| own.eq_ignore_ascii_case(label));
            if !reference.labels.is_empty() && !detection.label.as_deref().is_some_and(fits) {
                continue;
            }
            let similarity = ArrayView1::from(vector).dot(&ArrayView1::from(&other[..]));
            match candidates.iter_mut().find(|(name, _)| *name == reference.character) {
                Some((_, best)) => *best = best.max(similarity),
                None => candidates.push((&reference.character, similarity)),
            }
        }
        candidates.sort_by(|a, b| b.1.total_cmp(&a.1));
        let Some(&(best, similarity)) = candidates.first() else { return };
        let lead = candidates.get(1).map_or(f32::INFINITY, |next| similarity - next.1);
        "nearest-reference".clone_into(&mut detection.decided_by);
        let rest = if similarity >= self.min_similarity && lead >= self.margin {
            detection.character = Some(best.to_owned());
            // A lead of the margin alone is little; of three margins, as good as certain.
            detection.confidence *= 1.0 / (1.0 + (-lead / self.margin.max(1e-6)).exp());
            &candidates[1..]
        } else {
            &candidates[..]
        };
        detection.alternatives = rest
            .iter()
            .map(|(name, similarity)| Alternative {
                character: (*name).to_owned(),
                confidence: similarity.clamp(0.0, 1.0),
            })
            .collect();
    }
}

#[async_trait]
impl CharacterDetector for NearestReference {
    fn info(&self) -> ProviderInfo {
        let (detector, embedder) = (self.detector.info(), self.embedder.info());
        let mut hasher = Sha256::new();
        let settings = serde_json::json!([detector, embedder, self.min_similarity, self.margin]);
        hasher.update(settings.to_string());
        for reference in &*self.references {
            let (width, height) = reference.picture.dimensions();
            let about = serde_json::json!([reference.character, reference.labels, width, height]);
            hasher.update(about.to_string());
            hasher.update(reference.picture.as_raw());
        }
        ProviderInfo::new("nearest-reference", format!("{} named by {}", detector.model, embedder.model))
            .settings(crate::source::sha256_string(hasher))
            .max_batch(detector.max_batch)
    }

    async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
        let mut answers = self.detector.detect(frames).await?;
        let mut places = Vec::new();
        for (f, (frame, detections)) in frames.iter().zip(&answers).enumerate() {
            for (d, detection) in detections.iter().enumerate().filter(|(_, d)| d.character.is_none()) {
                if let Some(rect) = detection.bounding_box.to_pixels(frame.width(), frame.height()) {
                    places.push((f, d, rect));
                }
            }
        }
        if places.is_empty() {
            return Ok(answers);
        }
        let (pictures, cut) = (frames.to_vec(), places.clone());
        let crops = crate::blocking(move || {
            let crop = |&(f, _, rect): &(usize, usize, PixelRect)| {
                let image = crop_imm(&*pictures[f].image, rect.x, rect.y, rect.width, rect.height).to_image();
                Crop { rect, scale: 1.0, image: Arc::new(image) }
            };
            Ok(cut.iter().map(crop).collect::<Vec<_>>())
        })
        .await?;
        let references = self.reference_vectors().await.at(Stage::Detect)?;
        for ((f, d, _), vector) in places.into_iter().zip(self.embed(&crops).await.at(Stage::Detect)?) {
            self.name(&mut answers[f][d], &vector, references);
        }
        Ok(answers)
    }

    async fn learn(&self, film: &dyn FrameSource) -> Result<Option<Arc<dyn CharacterDetector>>> {
        let learned = self.detector.learn(film).await?;
        Ok(learned
            .map(|detector| -> Arc<dyn CharacterDetector> { Arc::new(Self { detector, ..self.clone() }) }))
    }
}

/// The picture on a plain ground.
fn without_transparency(picture: &RgbaImage) -> RgbImage {
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [r, g, b, alpha] = picture.get_pixel(x, y).0;
        let over = |v: u8| {
            ((u32::from(v) * u32::from(alpha) + u32::from(BLANK) * (255 - u32::from(alpha)) + 127) / 255)
                as u8
        };
        image::Rgb([over(r), over(g), over(b)])
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use image::Rgb;

    use super::*;
    use crate::{
        embed::LayoutEmbedder,
        types::{BoundingBox, Character},
    };

    /// Finds the left and the right half of every frame, as a person and a dog.
    #[derive(Debug)]
    struct Halves;

    #[async_trait]
    impl CharacterDetector for Halves {
        fn info(&self) -> ProviderInfo {
            ProviderInfo::new("halves", "halves").max_batch(3)
        }

        async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
            let half = |left, label: &str| Detection {
                bounding_box: BoundingBox::new(left, 0.0, 0.5, 1.0),
                character: None,
                confidence: 0.8,
                label: Some(label.to_owned()),
                alternatives: Vec::new(),
                decided_by: "halves".to_owned(),
            };
            Ok(frames.iter().map(|_| vec![half(0.0, "person"), half(0.5, "dog")]).collect())
        }
    }

    fn drawing(kind: u32) -> RgbImage {
        RgbImage::from_fn(64, 96, |x, y| {
            let (x, y) = if kind == 1 { (y, x) } else { (x, y) };
            Rgb(if (x / 16 + kind).is_multiple_of(2) { [220, 60, 40] } else { [20, 90, (y * 2) as u8] })
        })
    }

    fn cast(dir: &std::path::Path, labels: &[&str]) -> Cast {
        let characters = ["Ana", "Bo"].into_iter().zip(0u32..).map(|(name, kind)| {
            let path = dir.join(format!("{name}.png"));
            drawing(kind).save(&path).unwrap();
            let labels = labels.get(kind as usize).map(|l| (*l).to_owned()).into_iter().collect();
            Character { name: name.into(), references: vec![path], labels, ..Character::default() }
        });
        Cast { characters: characters.collect() }
    }

    fn frame(left: u32, right: u32) -> Frame {
        let (left, right) = (drawing(left), drawing(right));
        let both = RgbImage::from_fn(128, 96, |x, y| {
            *if x < 64 { left.get_pixel(x, y) } else { right.get_pixel(x - 64, y) }
        });
        Frame::new(0, Duration::ZERO, both)
    }

    fn named(cast: &Cast) -> NearestReference {
        NearestReference::new(Arc::new(Halves), Arc::new(LayoutEmbedder::new()), cast).unwrap()
    }

    #[tokio::test]
    async fn boxes_get_the_name_of_the_nearest_reference() {
        let dir = tempfile::tempdir().unwrap();
        let detector = named(&cast(dir.path(), &[]));
        let answers = detector.detect(&[frame(0, 1), frame(1, 0)]).await.unwrap();
        let names: Vec<_> = answers.iter().flatten().map(|d| d.character.as_deref()).collect();
        assert_eq!(names, [Some("Ana"), Some("Bo"), Some("Bo"), Some("Ana")]);
        for detection in answers.iter().flatten() {
            assert!(detection.confidence > 0.7 && detection.confidence <= 0.8, "{detection:?}");
            assert_eq!(detection.decided_by, "nearest-reference");
            assert_eq!(detection.alternatives.len(), 1);
        }
    }

    #[tokio::test]
    async fn small_leads_and_strangers_stay_unsure() {
        let dir = tempfile::tempdir().unwrap();
        let cast = cast(dir.path(), &[]);
        let wide = named(&cast).margin(3.0).detect(&[frame(0, 1)]).await.unwrap();
        let strict = named(&cast).min_similarity(1.1).detect(&[frame(0, 1)]).await.unwrap();
        for detection in wide.iter().chain(&strict).flatten() {
            assert_eq!((detection.character.as_deref(), detection.alternatives.len()), (None, 2));
            assert!((detection.confidence - 0.8).abs() < 1e-6);
        }
    }

    #[tokio::test]
    async fn labels_say_who_comes_into_question() {
        let dir = tempfile::tempdir().unwrap();
        let detector = named(&cast(dir.path(), &["Person", "DOG"])).min_similarity(-1.0);
        let answers = detector.detect(&[frame(1, 0)]).await.unwrap();
        let names: Vec<_> = answers[0].iter().map(|d| d.character.as_deref()).collect();
        assert_eq!(names, [Some("Ana"), Some("Bo")], "a person is never the dog, whatever it looks like");
        assert!(answers[0].iter().all(|d| d.alternatives.is_empty()));
    }

    #[test]
    fn settings_tell_references_apart_and_none_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cast_ = cast(dir.path(), &[]);
        let before = named(&cast_).info();
        assert_eq!(before, named(&cast_).info());
        assert_ne!(before, named(&cast_).margin(0.1).info());
        drawing(7).save(dir.path().join("Ana.png")).unwrap();
        assert_ne!(before, named(&cast_).info());
        let nobody = Cast { characters: vec![Character { name: "Ana".into(), ..Character::default() }] };
        let error =
            NearestReference::new(Arc::new(Halves), Arc::new(LayoutEmbedder::new()), &nobody).unwrap_err();
        assert!(error.message().contains("no reference pictures"));
    }
}
