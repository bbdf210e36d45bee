//! Finds characters by their colours and the vertical order of their colours.

mod calibrate;
mod grid;
mod lab;
mod reference;
mod search;
mod tuning;

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures::StreamExt;
use sha2::{Digest, Sha256};

pub use self::reference::Reference;
use self::{
    calibrate::Observation,
    grid::{Window, grid_size},
    lab::{COLOURS, Lab, Palette, Random},
    reference::{Model, Small},
    search::{Candidate, Rules, Workspace},
    tuning::tune,
};
use super::CharacterDetector;
use crate::{
    error::{Error, ErrorKind, Result, Stage},
    source::{FrameSource, Sampling},
    types::{Alternative, BoundingBox, Detection, Frame, ProviderInfo},
};

/// Finds characters by their colours and the vertical order of their colours.
#[derive(Clone, Debug)]
pub struct PaletteDetector {
    names: Vec<String>,
    cast: Arc<[Vec<Small>]>,
    references_hash: [u8; 32],
    learn_frames: usize,
    max_per_frame: usize,
    seed: u64,
    rules: Rules,
    fitted: Option<Arc<Fitted>>,
}

/// What was learned from the film.
#[derive(Debug)]
struct Fitted {
    palette: Palette,
    models: Vec<Model>,
    thresholds: Vec<f32>,
    hash: [u8; 32],
    workspaces: Mutex<Vec<Workspace>>,
}

impl PaletteDetector {
    /// A detector for the characters of the reference pictures, one to five a character.
    pub fn new(references: Vec<Reference>) -> Result<Self> {
        if references.is_empty() {
            return Err(Error::invalid(
                "the palette detector needs a reference picture of at least one character",
            )
            .at(Stage::Detect));
        }
        let mut names: Vec<String> = Vec::new();
        let mut cast: Vec<Vec<Small>> = Vec::new();
        let mut hash = Sha256::new();
        for reference in references {
            let who = names.iter().position(|n| *n == reference.character).unwrap_or_else(|| {
                names.push(reference.character.clone());
                cast.push(Vec::new());
                names.len() - 1
            });
            let place = format!("reference picture {} of {:?}", cast[who].len() + 1, reference.character);
            hash.update(reference.character.as_bytes());
            hash.update([0]);
            hash.update(reference.image.width().to_le_bytes());
            hash.update(reference.image.as_raw());
            cast[who].push(Small::new(&reference.image, &place)?);
        }
        Ok(Self {
            names,
            cast: cast.into(),
            references_hash: hash.finalize().into(),
            learn_frames: 200,
            max_per_frame: 1,
            seed: 1,
            rules: Rules::default(),
            fitted: None,
        })
    }

    /// Learns from pictures of the film.
    fn fit(&self, frames: &[Frame]) -> Result<Self> {
        if frames.is_empty() {
            return Err(Error::invalid("the film holds no picture to learn from").at(Stage::Detect));
        }
        let mut random = Random(self.seed);
        let per_frame = (20_000 / frames.len()).clamp(60, 4_000);
        let mut film_pixels: Vec<[u8; 3]> = Vec::with_capacity(per_frame * frames.len());
        let (mut row, mut small) = (Vec::new(), Vec::new());
        for frame in frames {
            let size = grid_size(frame.width(), frame.height(), 14_400.0);
            grid::shrink(&frame.image, size, &mut row, &mut small);
            film_pixels.extend((0..per_frame).map(|_| small[random.next() as usize % small.len()]));
        }
        let mut samples: Vec<Lab> = film_pixels.iter().map(|&p| lab::lab(p)).collect();
        // The characters' own colours must have their place in the palette, however rare they are.
        let per_character = (film_pixels.len() as f32 * tune("own_share", 0.3)) as usize / self.cast.len();
        for smalls in self.cast.iter() {
            let own: Vec<[u8; 3]> = smalls.iter().flat_map(Small::own_pixels).collect();
            samples.extend((0..per_character).map(|_| lab::lab(own[random.next() as usize % own.len()])));
        }
        let palette = Palette::learn(&samples, self.seed);
        let mut film = [0.0_f32; COLOURS];
        for &pixel in &film_pixels {
            let blend = palette.blend(pixel);
            for (&colour, &parts) in blend.colours.iter().zip(&blend.parts) {
                film[usize::from(colour)] += f32::from(parts);
            }
        }
        reference::normalise(&mut film);
        let models = reference::models(&self.cast, &palette, &film);
        let mut workspace = Workspace::default();
        let mut observations: Vec<Vec<Observation>> = vec![Vec::new(); models.len()];
        for frame in frames {
            workspace.load(&frame.image, &palette);
            for (model, observations) in models.iter().zip(&mut observations) {
                let found = workspace.search(model, &self.rules, 2);
                let scores: Vec<f32> = found.iter().map(|c| c.score).collect();
                observations.extend(Observation::new(&scores));
            }
        }
        let thresholds: Vec<f32> = observations.iter().map(|o| calibrate::threshold(o)).collect();
        if tune("debug", 0.0) > 0.0 {
            for (n, o) in self.names.iter().zip(&observations) {
                let mut b: Vec<f32> = o.iter().map(|o| o.best).collect();
                let mut s: Vec<f32> = o.iter().filter_map(|o| o.second).collect();
                b.sort_by(f32::total_cmp);
                s.sort_by(f32::total_cmp);
                let q = |v: &[f32]| -> Vec<f32> { (0..=10).map(|i| v[(i * (v.len() - 1)) / 10]).collect() };
                eprintln!("{n} best {:.2?}\n    second {:.2?}", q(&b), q(&s));
            }
            eprintln!("thresholds {thresholds:?}");
        }
        let mut hash = Sha256::new();
        for value in film.iter().chain(palette.centres.iter().flatten()).chain(&thresholds) {
            hash.update(value.to_le_bytes());
        }
        let fitted = Fitted {
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
        workspace.load(&frame.image, &fitted.palette);
        let found: Vec<Vec<Candidate>> =
            fitted.models.iter().map(|m| { if tune("debug", 0.0) > 1.0 { eprintln!("F {}", frame.index); } workspace.search(m, &self.rules, 4) }).collect();
        let full = workspace.grid.full();
        let mut claims: Vec<Claim> = Vec::new();
        for (who, candidates) in found.iter().enumerate() {
            let scores: Vec<f32> = candidates.iter().map(|c| c.score).collect();
            claims.extend(candidates.iter().enumerate().filter_map(|(place, c)| {
                let evidence = calibrate::evidence(&scores, place)?;
                let confidence = calibrate::confidence(evidence, fitted.thresholds[who]);
                Some(Claim { who, window: c.window, evidence, confidence, rival: None })
            }));
        }
        settle(claims, self.max_per_frame)
            .into_iter()
            .filter_map(|claim| {
                let w = claim.window;
                let bounding_box = BoundingBox::new(
                    w.left as f32 / full.right as f32,
                    w.top as f32 / full.bottom as f32,
                    w.width() as f32 / full.right as f32,
                    w.height() as f32 / full.bottom as f32,
                )
                .clamped()?;
                let alternative =
                    |who: usize, confidence: f32| Alternative { character: self.names[who].clone(), confidence };
                let (character, confidence, alternatives) = if tune("all", 0.0) > 0.0 {
                    (Some(self.names[claim.who].clone()), claim.evidence / 2.0, vec![])
                } else { match claim.rival {
                    Some((rival, theirs)) => (None, claim.confidence, vec![alternative(claim.who, claim.confidence), alternative(rival, theirs)]),
                    None if claim.confidence >= 0.5 => (Some(self.names[claim.who].clone()), claim.confidence, Vec::new()),
                    None if claim.confidence >= UNSURE => (None, claim.confidence, vec![alternative(claim.who, claim.confidence)]),
                    None => return None,
                }};
                Some(Detection {
                    bounding_box,
                    character,
                    confidence,
                    label: None,
                    alternatives,
                    decided_by: "palette".into(),
                })
            })
            .collect()
    }
}

/// Confidence from which a box is worth reporting without a name.
const UNSURE: f32 = 0.3;

/// Difference of evidence below which two names for one box are too close to choose.
const CLOSE: f32 = 0.05;

/// A place that a character claims.
#[derive(Clone, Copy, Debug)]
struct Claim {
    who: usize,
    window: Window,
    evidence: f32,
    confidence: f32,
    /// Another character that claims the same place with as much right, and its confidence.
    rival: Option<(usize, f32)>,
}

/// Gives each character its places: the claim with more evidence takes the place.
fn settle(mut claims: Vec<Claim>, max_per_frame: usize) -> Vec<Claim> {
    claims.sort_unstable_by(|a, b| {
        b.evidence.total_cmp(&a.evidence).then(a.who.cmp(&b.who)).then(a.window.cmp(&b.window))
    });
    let mut taken: Vec<Claim> = Vec::new();
    for claim in claims {
        let shared = |t: &Claim| t.window.overlap(claim.window);
        let smaller = |t: &Claim| t.window.area().min(claim.window.area());
        if let Some(owner) = taken
            .iter_mut()
            .find(|t| t.window.iou(claim.window) > 0.6 || shared(t) > 0.8 * smaller(t))
        {
            let close = owner.evidence - claim.evidence < tune("close", CLOSE);
            if close && owner.who != claim.who && owner.rival.is_none() && claim.confidence >= 0.5 && owner.window.iou(claim.window) > 0.5 {
                owner.rival = Some((claim.who, claim.confidence));
            }
        } else if taken.iter().filter(|t| t.who == claim.who).count() < max_per_frame {
            taken.push(claim);
        }
    }
    taken
}

#[async_trait]
impl CharacterDetector for PaletteDetector {
    fn info(&self) -> ProviderInfo {
        let mut hash = Sha256::new();
        hash.update(self.references_hash);
        hash.update((self.learn_frames as u64).to_le_bytes());
        hash.update((self.max_per_frame as u64).to_le_bytes());
        hash.update(self.seed.to_le_bytes());
        if let Some(fitted) = &self.fitted {
            hash.update(fitted.hash);
        }
        let mut settings = String::new();
        for byte in &hash.finalize()[..8] {
            let _ = write!(settings, "{byte:02x}");
        }
        ProviderInfo::new("palette", "palette-v1").settings(settings).max_batch(8)
    }

    async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
        let Some(fitted) = self.fitted.clone() else {
            return Err(Error::new(
                ErrorKind::Config,
                "the palette detector must learn from the film before it detects; call learn() first",
            )
            .at(Stage::Detect));
        };
        let (detector, frames) = (self.clone(), frames.to_vec());
        crate::blocking(move || {
            let pool = || fitted.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
            let mut workspace = pool().pop().unwrap_or_default();
            let answers = frames.iter().map(|f| detector.answer(&fitted, &mut workspace, f)).collect();
            pool().push(workspace);
            Ok(answers)
        })
        .await
    }

    async fn learn(&self, film: &dyn FrameSource) -> Result<Option<Arc<dyn CharacterDetector>>> {
        let duration = film.probe().await?.duration;
        let sampling = match duration {
            Some(d) if !d.is_zero() => {
                Sampling::every_secs((d.as_secs_f64() / self.learn_frames as f64).clamp(1e-3, 1e5))?
            }
            _ => Sampling::keyframes().limit(self.learn_frames as u64),
        };
        let mut stream = film.frames(&sampling.max_side(320));
        let mut frames = Vec::new();
        while let Some(frame) = stream.next().await {
            match frame {
                Ok(frame) => frames.push(frame),
                Err(e) if e.gap().is_some() => {}
                Err(e) => return Err(e),
            }
        }
        let detector = self.clone();
        let fitted = crate::blocking(move || detector.fit(&frames)).await?;
        Ok(Some(Arc::new(fitted)))
    }
}
