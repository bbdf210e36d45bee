//! Whether the characters held: images of a generator, judged by the detector and the embedder that made the dataset.
//!
//! Every image is looked at as a frame of the film would be. Each character that was asked for is looked for in it; what is
//! found is compared with crops that were held out of training, on a scale on which 0 is as unlike as the film's other
//! characters and 1 as alike as the film's own crops of the character. What is nearly a training image is told.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # async fn f(
//! #     dataset: picchu::Dataset, detector: Arc<dyn picchu::CharacterDetector>, embedder: Arc<dyn picchu::Embedder>,
//! #     base: Arc<dyn picchu::Generator>, tuned: Arc<dyn picchu::Generator>, out: Arc<dyn picchu::store::Store>,
//! # ) -> picchu::Result<()> {
//! use picchu::generate::evaluate::{Evaluator, Options};
//! let evaluator = Evaluator::new(&dataset, detector, embedder, None, Options::default()).await?;
//! let board = evaluator.board(&[]);
//! let mut report = evaluator.report();
//! for (name, generator) in [("base", base), ("lora", tuned)] {
//!     let images = evaluator.draw(name, &*generator, &board, &out).await?;
//!     report.add(evaluator.judge(name, images, &out).await?);
//! }
//! report.write(&*out).await?;
//! println!("{}", report.ranking()[0].name);
//! # Ok(()) }
//! ```

mod film;
mod gallery;
mod images;
mod page;
mod report;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use self::{film::ImagesAsFilm, gallery::Gallery};
pub use self::{
    images::{JudgedImage, images_in, images_in_folder},
    report::{CharacterScore, Contestant, Copy, Found, ImageScore, Report},
};
use super::{Generator, Panel, Storyboard};
use crate::{
    caption::mentioned,
    dataset::Dataset,
    detect::CharacterDetector,
    embed::Embedder,
    error::{AtStage, Error, Result, Stage},
    source::FrameSource,
    store::{Below, Key, PutMode, Store, get_opt},
    types::{Detection, Frame},
};

/// How to judge.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Most captions of held-out images that are drawn.
    pub captions: usize,
    /// Width and height of what is drawn, in pixels.
    pub side: u32,
    /// From which cosine similarity to a training image an image is a copy; the dataset's own threshold for
    /// near-duplicates unless given.
    pub copy_similarity: Option<f64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { captions: 24, side: 768, copy_similarity: None }
    }
}

/// Judges images by a dataset.
#[derive(Debug)]
pub struct Evaluator {
    detector: Arc<dyn CharacterDetector>,
    embedder: Arc<dyn Embedder>,
    gallery: Gallery,
    crop: crate::crop::CropPolicy,
    options: Options,
    /// Captions of held-out images, spread over them.
    captions: Vec<String>,
}

impl Evaluator {
    /// Embeds the dataset's images, unless they were embedded by this embedder. A detector that learns from a film learns
    /// from the one that is given, otherwise from the dataset's images, which show less of its backgrounds.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a dataset without images of named characters; the store's, the
    /// embedder's.
    pub async fn new(
        dataset: &Dataset,
        detector: Arc<dyn CharacterDetector>,
        embedder: Arc<dyn Embedder>,
        film: Option<&dyn FrameSource>,
        options: Options,
    ) -> Result<Self> {
        let images = ImagesAsFilm::of(dataset);
        let learned = detector.learn(film.unwrap_or(&images)).await.at(Stage::Evaluate)?;
        let detector = learned.unwrap_or(detector);
        let gallery = Gallery::of(dataset, &*embedder).await.at(Stage::Evaluate)?;
        let captions = gallery.captions(options.captions);
        Ok(Self {
            detector,
            embedder,
            gallery,
            crop: dataset.header().settings.crop.clone(),
            options,
            captions,
        })
    }

    /// What is to be drawn: the captions of held-out images, then prompts of the user's own.
    pub fn board(&self, prompts: &[Panel]) -> Storyboard {
        let of_captions =
            self.captions.iter().map(|caption| Panel { prompt: caption.clone(), seed: None, count: 1 });
        Storyboard {
            panels: of_captions.chain(prompts.iter().cloned()).collect(),
            negative_prompt: None,
            width: self.options.side,
            height: self.options.side,
        }
    }

    /// Draws a board into the folder of this name; what is there already is not drawn again.
    ///
    /// # Errors
    /// The store's. A panel that is not drawn counts as one without the character.
    pub async fn draw(
        &self,
        name: &str,
        generator: &dyn Generator,
        board: &Storyboard,
        out: &Arc<dyn Store>,
    ) -> Result<Vec<JudgedImage>> {
        let folder = folder_of(name);
        let store: Arc<dyn Store> = Arc::new(Below::new(out, Key::new(&folder)?));
        let panels = board.draw(generator, &store).await?;
        let mut images = Vec::new();
        for panel in &panels {
            for image in &panel.images {
                let body = store.get(&Key::new(&image.image)?).await.at(Stage::Evaluate)?;
                images.push(JudgedImage {
                    name: format!("{folder}/{}", image.image),
                    prompt: panel.panel.prompt.clone(),
                    characters: None,
                    body: Some(body),
                });
            }
            for _ in panel.images.len()..panel.panel.count as usize {
                images.push(JudgedImage {
                    name: String::new(),
                    prompt: panel.panel.prompt.clone(),
                    characters: None,
                    body: None,
                });
            }
        }
        Ok(images)
    }

    /// Judges images. Those that the report's page is to show, and that lie elsewhere, are put into `out`.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) where no image says which character it should show; the detector's,
    /// the embedder's, the store's.
    pub async fn judge(
        &self,
        name: &str,
        images: Vec<JudgedImage>,
        out: &Arc<dyn Store>,
    ) -> Result<Contestant> {
        self.judge_all(name, images, out).await.at(Stage::Evaluate)
    }

    async fn judge_all(
        &self,
        name: &str,
        images: Vec<JudgedImage>,
        out: &Arc<dyn Store>,
    ) -> Result<Contestant> {
        let mut scores = Vec::new();
        for image in images {
            let characters = self.asked(&image);
            if characters.is_empty() {
                continue;
            }
            scores.push(self.look(name, image, characters, out).await?);
        }
        if scores.is_empty() {
            return Err(Error::invalid(format!(
                "{name}: no image says which character of the dataset it should show; put captions with their names into \
                 metadata.jsonl or into text files beside the images, or the images into a folder for each character"
            )));
        }
        Ok(Contestant::of(name, scores, self.gallery.characters()))
    }

    /// A report without contestants yet.
    pub fn report(&self) -> Report {
        Report {
            detector: self.detector.info(),
            embedder: self.embedder.info(),
            held_out: self.gallery.held_out,
            notes: self.gallery.notes(),
            copy_similarity: self.copy_similarity(),
            contestants: Vec::new(),
        }
    }

    fn copy_similarity(&self) -> f64 {
        self.options.copy_similarity.unwrap_or_else(|| self.embedder.default_min_similarity())
    }

    /// Whom an image should show.
    fn asked(&self, image: &JudgedImage) -> Vec<String> {
        let known = self.gallery.characters();
        match &image.characters {
            Some(named) => named.iter().filter(|name| known.contains(*name)).cloned().collect(),
            None => mentioned(&image.prompt, known.iter().map(String::as_str)),
        }
    }

    async fn look(
        &self,
        contestant: &str,
        image: JudgedImage,
        asked: Vec<String>,
        out: &Arc<dyn Store>,
    ) -> Result<ImageScore> {
        let empty = |failure| ImageScore {
            image: None,
            prompt: image.prompt.clone(),
            asked: asked.iter().map(|name| (name.clone(), None)).collect(),
            found: Vec::new(),
            copies: Vec::new(),
            failure: Some(failure),
        };
        let Some(body) = image.body.clone() else { return Ok(empty("was not drawn".into())) };
        let id = image.name.clone();
        let picture = match crate::blocking(move || crate::dataset::decode_image(&body, &id)).await {
            Ok(picture) => picture,
            // One broken file must not end the judgement of the rest.
            Err(e) => return Ok(empty(e.message().to_owned())),
        };
        let frame = Frame::new(0, std::time::Duration::ZERO, picture);
        let detections = self.detector.detect(std::slice::from_ref(&frame)).await?.remove(0);
        let mut crops = vec![gallery::whole(Arc::clone(&frame.image))];
        let mut named: Vec<Detection> = Vec::new();
        for detection in detections.into_iter().filter(|d| d.character.is_some()) {
            if let Ok(plan) = self.crop.plan(detection.bounding_box, frame.width(), frame.height()) {
                crops.push(crate::crop::cut(&frame, &plan));
                named.push(detection);
            }
        }
        let rows = gallery::embed(&*self.embedder, &crops).await?;
        let likeness: Vec<BTreeMap<String, f64>> =
            rows.view().rows().into_iter().map(|row| self.gallery.likeness(row)).collect();
        let found = named
            .iter()
            .enumerate()
            .map(|(n, detection)| Found {
                character: detection.character.clone().unwrap_or_default(),
                confidence: detection.confidence,
                bounding_box: detection.bounding_box,
                likeness: likeness[n + 1].clone(),
            })
            .collect::<Vec<_>>();
        let asked = asked
            .into_iter()
            .map(|name| {
                let own: Vec<&Found> = found.iter().filter(|f| f.character == name).collect();
                let sure = own.iter().map(|f| f64::from(f.confidence)).fold(0.0, f64::max);
                let alike = own.iter().filter_map(|f| f.likeness.get(&name)).copied().reduce(f64::max);
                let score = if own.is_empty() {
                    // Somebody else, or nobody.
                    let rows = rows.view();
                    let all = rows.rows().into_iter().map(|row| self.gallery.shortfall(row, &name));
                    all.fold(-1.0, f64::max)
                } else {
                    alike.unwrap_or(sure).clamp(0.0, 1.0)
                };
                (name, Some(score))
            })
            .collect();
        let limit = self.copy_similarity();
        let mut copies: Vec<Copy> = rows
            .view()
            .rows()
            .into_iter()
            .filter_map(|row| self.gallery.nearest_trained(row, limit))
            .collect();
        copies.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then_with(|| a.record.cmp(&b.record)));
        copies.dedup_by(|a, b| a.record == b.record);
        for copy in &copies {
            self.gallery.show(copy, out).await?;
        }
        Ok(ImageScore {
            image: Some(shown(contestant, &image, out).await?),
            prompt: image.prompt,
            asked,
            found,
            copies,
            failure: None,
        })
    }
}

/// Where the page finds an image: where it is, or beside the page.
async fn shown(contestant: &str, image: &JudgedImage, out: &Arc<dyn Store>) -> Result<String> {
    let folder = folder_of(contestant);
    if image.name.starts_with(&format!("{folder}/"))
        && let Ok(key) = Key::new(&image.name)
        && get_opt(&**out, &key).await? == image.body
    {
        return Ok(image.name.clone());
    }
    let body = image.body.clone().unwrap_or_default();
    let key = format!("{folder}/{}", gallery::file_name(&image.name, &body));
    out.put(&Key::new(&key)?, body, PutMode::Overwrite).await?;
    Ok(key)
}

/// The folder of a contestant.
fn folder_of(name: &str) -> String {
    crate::store::slug(name)
}
