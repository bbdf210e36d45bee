//! Finds characters by their colours and the vertical order of their colours: no model, no weights, no labels.
//!
//! [`PaletteDetector`] takes one to five [`Reference`] pictures of each character and looks at the film once
//! ([`learn`](CharacterDetector::learn)) to know its palette and what chance can do in it. Then, in each frame:
//!
//! 1. the frame is averaged down to about 160×90 pixels, has its fade to black or white undone, and each pixel becomes
//!    a blend of the film's 64 colours;
//! 2. windows of every size are compared with the references: how much of which colour lies in each of four bands
//!    from top to bottom, where rare colours count more, and whether the surroundings lack the character's colours;
//! 3. the best windows and patches of the character's colours are refined edge by edge until they fit, and widened
//!    around what sticks out of them;
//! 4. a box is named if its evidence exceeds a threshold that comes from the film itself: a character is once in a
//!    frame at the most, so the second best places of frames show how high chance reaches.
//!
//! # What it can and cannot do
//! It knows colours and their vertical order, nothing else. It suits flat or evenly lit animation with stable
//! costumes. Look at its boxes in the review before you train on them; for dark, photoreal or crowded films use a
//! trained detector.
//!
//! | What goes wrong | Example | What helps |
//! |---|---|---|
//! | light changes the palette | night, silhouettes | a reference in that light |
//! | the set has the character's colours | brown fur on a trunk | the threshold removes many; else false boxes |
//! | two characters share a palette | twins, or a rival who is not in the cast | name both, so that they compete |
//! | another pose than the references' | lying, a face alone | a reference in that pose |
//! | too small | below about 12 % of the frame's height | nothing; by design not found |
//! | another costume | a coat in winter | a reference in that costume |
//! | twice in a frame | mirrors, clones | [`PaletteOptions::max_per_frame`] |
//!
//! Characters that the frame's lower edge cuts are found from references of the whole figure.
//!
//! # Being unsure
//! A box below the threshold but near it, or one that two characters claim with equal right, is a
//! [`Detection`] without a character, with the candidates as alternatives. Far below there is no box. A character
//! that is nowhere in plain sight in the frames it learned from is taken to be absent from the film.
//!
//! Confidence is a logistic function of the evidence: 0.5 at the threshold, so every named box has at least 0.5. It
//! orders the boxes of a film; it is not a probability measured on labels.

mod calibrate;
pub(in crate::detect) mod colours;
mod fade;
pub(in crate::detect) mod grid;
mod mask;
mod options;
pub(in crate::detect) mod propose;
mod reference;
mod search;

use std::{
    fmt::{self, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures::StreamExt;
use image::RgbImage;
use sha2::{Digest, Sha256};

use self::{
    calibrate::Observation,
    colours::{COLOURS, Lab, Palette, Random, scaled_lab},
    fade::Fades,
    grid::Window,
    reference::{Model, Pictures, Small},
    search::{Candidate, Workspace},
};
pub use self::{options::PaletteOptions, reference::Reference};
use super::CharacterDetector;
use crate::{
    error::{Error, ErrorKind, Result, Stage},
    source::{FrameSource, Sampling},
    types::{Alternative, BoundingBox, Detection, Frame, ProviderInfo},
};

/// Version of the algorithm and its constants. Any change of either that changes answers changes this.
const MODEL: &str = "palette-v4";

/// Pixels of the film from which its palette is learned, about.
const FILM_SAMPLES: usize = 20_000;

/// Longer side, in pixels, of the frames that are learned from.
const LEARN_SIDE: u32 = 320;

/// Places that a search keeps of each character beyond those it may name, for when another character takes one.
const SPARE: usize = 3;

/// Finds characters by their colours and the vertical order of their colours.
///
/// It must [`learn`](CharacterDetector::learn) from the film before it detects:
///
/// ```no_run
/// # async fn example(penny: image::RgbaImage, frame: picchu::types::Frame) -> picchu::Result<()> {
/// use picchu::{detect::{CharacterDetector, PaletteDetector, Reference}, source::ImageFolder};
///
/// let film = ImageFolder::open("stills")?;
/// let detector = PaletteDetector::new(vec![Reference::new("Penny", penny)])?;
/// let detector = detector.learn(&film).await?.expect("this detector always learns");
/// let found = detector.detect(&[frame]).await?;
/// # Ok(()) }
/// ```
///
/// Answers depend only on the references, the settings and what was learned: equal frames give equal answers in
/// any batch and on any number of threads. One frame of 1280×720 takes a few milliseconds a character on one core.
#[derive(Clone)]
pub struct PaletteDetector {
    names: Arc<[String]>,
    cast: Arc<[Pictures]>,
    references_hash: [u8; 32],
    options: PaletteOptions,
    fitted: Option<Arc<Fitted>>,
}

/// What was learned from the film.
struct Fitted {
    fades: Fades,
    palette: Palette,
    models: Vec<Model>,
    thresholds: Vec<f32>,
    hash: [u8; 32],
    /// Buffers that wait for their next use.
    workspaces: Mutex<Vec<Workspace>>,
}

impl fmt::Debug for PaletteDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaletteDetector")
            .field("names", &self.names)
            .field("options", &self.options)
            .field("learned", &self.fitted.is_some())
            .finish_non_exhaustive()
    }
}

impl PaletteDetector {
    /// A detector for the characters of the reference pictures: one to five pictures a character are enough, and
    /// each may have its own light, pose or costume. Pictures of one character need not follow each other.
    /// [Negative](Reference::not) pictures show what is taken for the character and is not.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), with the character and the number of the picture, for no
    /// references at all, a character without a name or with negative pictures alone, a picture with a side below
    /// 16 pixels (inside its mask), and a fully transparent one.
    pub fn new(references: Vec<Reference>) -> Result<Self> {
        if references.is_empty() {
            return Err(refused("the palette detector needs a reference picture of at least one character"));
        }
        let mut names: Vec<String> = Vec::new();
        let mut cast: Vec<Pictures> = Vec::new();
        let mut hash = Sha256::new();
        for Reference { character, image, negative } in references {
            if character.trim().is_empty() {
                return Err(refused("a reference picture has no character's name"));
            }
            let who = names.iter().position(|n| *n == character).unwrap_or_else(|| {
                names.push(character.clone());
                cast.push(Pictures::default());
                names.len() - 1
            });
            let (list, kind) = if negative {
                (&mut cast[who].not, "negative picture")
            } else {
                (&mut cast[who].own, "reference picture")
            };
            let place = format!("{kind} {} of {character:?}", list.len() + 1);
            list.push(Small::new(&image, &place)?);
            hash.update((character.len() as u64).to_le_bytes());
            hash.update(character.as_bytes());
            hash.update([u8::from(negative)]);
            hash.update(image.width().to_le_bytes());
            hash.update(image.height().to_le_bytes());
            hash.update(image.as_raw());
        }
        if let Some(who) = cast.iter().position(|pictures| pictures.own.is_empty()) {
            return Err(refused(&format!(
                "{:?} has negative pictures alone; add a reference picture that shows the character",
                names[who]
            )));
        }
        Ok(Self {
            names: names.into(),
            cast: cast.into(),
            references_hash: hash.finalize().into(),
            options: PaletteOptions::default(),
            fitted: None,
        })
    }

    /// With other settings than the defaults. Call before [`learn`](CharacterDetector::learn).
    ///
    /// # Errors
    /// As [`PaletteOptions::validate`].
    pub fn options(mut self, options: PaletteOptions) -> Result<Self> {
        options.validate()?;
        self.options = options;
        Ok(self)
    }

    /// The names of the characters, in the order of the references.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Learns from small pictures of the film.
    fn fit(&self, mut film: Vec<RgbImage>) -> Result<Self> {
        if film.is_empty() {
            return Err(refused("the film gave no picture to learn from"));
        }
        let fades = Fades::learn(&film);
        for picture in &mut film {
            fades.undo(picture);
        }
        let mut random = Random(self.options.seed);
        let mut pick = |pixels: &[[u8; 3]]| pixels[random.next() as usize % pixels.len()];
        let share = (FILM_SAMPLES / film.len()).max(60);
        let mut pixels: Vec<[u8; 3]> = Vec::with_capacity(share * film.len());
        for picture in &film {
            let all: Vec<[u8; 3]> = picture.pixels().map(|p| p.0).collect();
            pixels.extend((0..share).map(|_| pick(&all)));
        }
        // The characters' own colours have their place in the palette, however rare they are in the film.
        let mut samples: Vec<Lab> = pixels.iter().map(|&p| scaled_lab(p)).collect();
        let share = (FILM_SAMPLES * 3 / 10 / self.cast.len()).max(200);
        for pictures in self.cast.iter() {
            let own: Vec<[u8; 3]> = pictures.own.iter().flat_map(Small::own_pixels).collect();
            samples.extend((0..share).map(|_| scaled_lab(pick(&own))));
        }
        let palette = Palette::learn(&samples, self.options.seed);
        let mut shares = [0.0_f32; COLOURS];
        for &pixel in &pixels {
            let blend = palette.blend(pixel);
            for (&colour, &parts) in blend.colours.iter().zip(&blend.parts) {
                shares[usize::from(colour)] += f32::from(parts);
            }
        }
        reference::normalise(&mut shares);
        let models = reference::models(&self.cast, &palette, &shares);

        let mut workspace = Workspace::default();
        let mut observations: Vec<Vec<Observation>> = vec![Vec::new(); models.len()];
        for picture in &film {
            workspace.load(picture, &palette);
            for (model, observations) in models.iter().zip(&mut observations) {
                observations.extend(Observation::new(&scores(&workspace.search(model, 2))));
            }
        }
        let thresholds: Vec<f32> = observations.iter().map(|o| calibrate::threshold(o)).collect();

        let mut hash = Sha256::new();
        for value in shares.iter().chain(palette.centres.iter().flatten()).chain(&thresholds) {
            hash.update(value.to_le_bytes());
        }
        fades.bytes().for_each(|picture| hash.update(picture));
        let fitted = Fitted {
            fades,
            palette,
            models,
            thresholds,
            hash: hash.finalize().into(),
            workspaces: Mutex::default(),
        };
        Ok(Self { fitted: Some(Arc::new(fitted)), ..self.clone() })
    }

    /// Answers one frame.
    fn answer(&self, fitted: &Fitted, workspace: &mut Workspace, frame: &Frame) -> Vec<Detection> {
        let mut picture = grid::small(&frame.image);
        fitted.fades.undo(&mut picture);
        workspace.load(&picture, &fitted.palette);
        let mut claims: Vec<Claim> = Vec::new();
        for who in 0..fitted.models.len() {
            let found = workspace.search(&fitted.models[who], self.options.max_per_frame + SPARE);
            let scores = scores(&found);
            for (place, &Candidate { window, .. }) in found.iter().enumerate() {
                let Some(evidence) = calibrate::evidence(&scores, place) else { continue };
                let (model, looks) = (&fitted.models[who], &fitted.models[who].looks);
                let likeness = workspace.resemblance(model, looks, window);
                // What resembles a picture of a mistake more than the character is the mistake again.
                if likeness > workspace.resemblance(model, &model.not, window) {
                    claims.push(Claim { who, window, likeness, evidence, confidence: 0.0, rival: None });
                }
            }
        }
        for at in 0..claims.len() {
            let Claim { who, window, likeness, .. } = claims[at];
            let rivals = claims.iter().filter(|c| c.who != who && contested(c.window, window));
            let likest = rivals
                .map(|c| workspace.resemblance(&fitted.models[c.who], &fitted.models[c.who].looks, window))
                .fold(0.0, f32::max);
            claims[at].evidence -= NAMING * (likest - likeness).max(0.0);
            claims[at].confidence = calibrate::confidence(claims[at].evidence, fitted.thresholds[who]);
        }
        let full = workspace.grid.full();
        let settled = settle(claims, self.options.max_per_frame);
        settled.iter().filter_map(|claim| self.detection(claim, full)).collect()
    }

    /// What a claim amounts to: a named box, an unsure one, or nothing.
    fn detection(&self, claim: &Claim, full: Window) -> Option<Detection> {
        let (w, width, height) = (claim.window, full.width() as f32, full.height() as f32);
        let bounding_box = BoundingBox::new(
            w.left as f32 / width,
            w.top as f32 / height,
            w.width() as f32 / width,
            w.height() as f32 / height,
        )
        .clamped()?;
        let alternative =
            |(who, confidence): (usize, f32)| Alternative { character: self.names[who].clone(), confidence };
        let own = (claim.who, claim.confidence);
        if claim.confidence < self.options.unsure_from {
            return None;
        }
        let (character, alternatives) = match claim.rival {
            Some(rival) => (None, vec![alternative(own), alternative(rival)]),
            None if claim.confidence >= self.options.named_from => {
                (Some(self.names[claim.who].clone()), Vec::new())
            }
            None => (None, vec![alternative(own)]),
        };
        Some(Detection {
            bounding_box,
            character,
            confidence: claim.confidence,
            label: None,
            alternatives,
            decided_by: MODEL.into(),
        })
    }
}

/// The scores of places, in their order.
fn scores(found: &[Candidate]) -> Vec<f32> {
    found.iter().map(|c| c.score).collect()
}

/// An error that blames the caller's data.
fn refused(message: &str) -> Error {
    Error::invalid(message).at(Stage::Detect)
}

/// Overlap from which two characters claim the same place.
const CONTESTED: f32 = 0.4;

/// Share of the smaller of two boxes from which one lies in the other.
const WITHIN: f32 = 0.45;

/// Whether two characters claim the same place: their boxes agree, or one lies mostly in the other.
fn contested(a: Window, b: Window) -> bool {
    a.iou(b) > CONTESTED || a.overlap(b) > WITHIN * a.area().min(b.area())
}

/// How much evidence it costs when a place resembles somebody else who claims it more, a unit of resemblance.
const NAMING: f32 = 3.0;

/// Difference of evidence below which two names for one box are too close to choose.
const CLOSE: f32 = 0.05;

/// A place that a character claims.
#[derive(Clone, Copy, Debug)]
struct Claim {
    who: usize,
    window: Window,
    /// How much the place resembles the character, by a measure that is the same for all.
    likeness: f32,
    evidence: f32,
    confidence: f32,
    /// Another character that claims the same place with as much right, and its confidence.
    rival: Option<(usize, f32)>,
}

/// Gives each character its places: the claim with more evidence takes the place. A claim that overlaps another
/// character's place without being the same one stays, unsure between the two.
fn settle(mut claims: Vec<Claim>, max_per_frame: usize) -> Vec<Claim> {
    claims.sort_unstable_by(|a, b| {
        b.evidence.total_cmp(&a.evidence).then(a.who.cmp(&b.who)).then(a.window.cmp(&b.window))
    });
    let mut taken: Vec<Claim> = Vec::new();
    for mut claim in claims {
        let same = |t: &Claim| same_place(t.window, claim.window);
        if let Some(owner) = taken.iter_mut().find(|t| same(t)) {
            let close = owner.evidence - claim.evidence < CLOSE;
            if close
                && owner.who != claim.who
                && owner.rival.is_none()
                && claim.confidence >= 0.5
                && owner.window.iou(claim.window) > 0.5
            {
                owner.rival = Some((claim.who, claim.confidence));
            }
        } else if taken.iter().filter(|t| t.who == claim.who).count() < max_per_frame {
            let owner = taken.iter().find(|t| t.who != claim.who && contested(t.window, claim.window));
            claim.rival = owner.map(|owner| (owner.who, owner.confidence));
            taken.push(claim);
        }
    }
    taken
}

/// Whether two boxes are so much alike that they show one figure.
fn same_place(a: Window, b: Window) -> bool {
    a.iou(b) > 0.6 || a.overlap(b) > 0.8 * a.area().min(b.area())
}

#[async_trait]
impl CharacterDetector for PaletteDetector {
    fn info(&self) -> ProviderInfo {
        let mut hash = Sha256::new();
        hash.update(self.references_hash);
        let PaletteOptions { learn_frames, max_per_frame, named_from, unsure_from, seed } = self.options;
        for setting in [learn_frames as u64, max_per_frame as u64, seed] {
            hash.update(setting.to_le_bytes());
        }
        for setting in [named_from, unsure_from] {
            hash.update(setting.to_le_bytes());
        }
        if let Some(fitted) = &self.fitted {
            hash.update(fitted.hash);
        }
        let mut settings = String::new();
        for byte in &hash.finalize()[..8] {
            let _ = write!(settings, "{byte:02x}");
        }
        ProviderInfo::new("palette", MODEL).settings(settings).max_batch(8)
    }

    /// # Errors
    /// [`Config`](ErrorKind::Config) before [`learn`](CharacterDetector::learn): a guess from the batch alone would
    /// make equal frames answer differently.
    async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
        let Some(fitted) = self.fitted.clone() else {
            return Err(Error::new(
                ErrorKind::Config,
                "the palette detector has not seen the film yet: call learn() and use the detector that it returns",
            )
            .at(Stage::Detect));
        };
        let (detector, frames) = (self.clone(), frames.to_vec());
        crate::blocking(move || {
            let pool = || fitted.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = pool().pop();
            let mut workspace = idle.unwrap_or_default();
            let answers = frames.iter().map(|f| detector.answer(&fitted, &mut workspace, f)).collect();
            pool().push(workspace);
            Ok(answers)
        })
        .await
    }

    /// Samples frames evenly over the film, at most 320 pixels wide or high, and learns from them. Stretches that
    /// cannot be decoded are left out. One frame is enough, if with less certainty.
    ///
    /// # Errors
    /// Those of the film, and [`InvalidInput`](ErrorKind::InvalidInput) if it gives no frame at all.
    async fn learn(&self, film: &dyn FrameSource) -> Result<Option<Arc<dyn CharacterDetector>>> {
        let length = film.probe().await?.duration.filter(|d| !d.is_zero());
        let sampling = match length {
            Some(d) => {
                Sampling::every_secs((d.as_secs_f64() / self.options.learn_frames as f64).clamp(1e-3, 1e5))?
            }
            None => Sampling::keyframes(),
        };
        let mut frames = film.frames(&sampling.limit(self.options.learn_frames as u64).max_side(LEARN_SIDE));
        let mut pictures: Vec<RgbImage> = Vec::new();
        while let Some(frame) = frames.next().await {
            match frame {
                Ok(frame) => pictures.push(crate::blocking(move || Ok(grid::small(&frame.image))).await?),
                Err(e) if e.gap().is_some() => {}
                Err(e) => return Err(e),
            }
        }
        drop(frames);
        let detector = self.clone();
        let fitted = crate::blocking(move || detector.fit(pictures)).await?;
        Ok(Some(Arc::new(fitted)))
    }
}

#[cfg(test)]
mod tests;
