//! A film put together from drawn shots, whose cuts are known.

use std::time::Duration;

use async_trait::async_trait;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use image::{DynamicImage, Rgb, RgbImage, imageops::FilterType};

use crate::{
    error::Result,
    source::{FrameSource, Policy, Sampling},
    types::{Frame, MediaInfo},
};

/// Pictures a second.
const RATE: u64 = 24;

/// A film of drawn shots, joined by cuts, dissolves and fades, 24 pictures a second, 320 × 180 pixels.
///
/// ```
/// use picchu::testing::{Join, Montage, Scene};
/// let film = Montage::new(Scene::new(1), 30).then(Join::Cut, Scene::new(2), 40).then(Join::Dissolve(12), Scene::new(3), 40);
/// assert_eq!(film.pictures(), 98); // the dissolve shares 12
/// ```
#[derive(Clone, Debug)]
pub struct Montage {
    takes: Vec<Take>,
    flashes: Vec<(u64, u64)>,
    bars: u32,
    logo: bool,
}

/// What a shot shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scene {
    seed: u64,
    pan: f32,
    hold: u64,
    light: f32,
    grain: f32,
    card: Option<[u8; 3]>,
}

/// How a shot follows another. Numbers of pictures, which both shots share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// From one picture to the next.
    Cut,
    /// One shines through the other.
    Dissolve(u64),
    /// To black in half of the pictures, from black in the other half.
    Fade(u64),
}

#[derive(Clone, Copy, Debug)]
struct Take {
    join: Join,
    scene: Scene,
    start: u64,
    end: u64,
}

impl Scene {
    /// A patchwork of colours with a figure that moves at each picture. Equal seeds draw equal scenes.
    pub fn new(seed: u64) -> Self {
        Self { seed, pan: 0.0, hold: 1, light: 1.0, grain: 0.0, card: None }
    }

    /// A card of one colour.
    pub fn card(colour: [u8; 3]) -> Self {
        Self { card: Some(colour), ..Self::new(0) }
    }

    /// The camera moves by so many pixels a picture.
    #[must_use]
    pub fn pan(mut self, pixels: f32) -> Self {
        self.pan = pixels;
        self
    }

    /// Each drawing is held for so many pictures.
    #[must_use]
    pub fn hold(mut self, pictures: u64) -> Self {
        self.hold = pictures.max(1);
        self
    }

    /// Scales the brightness.
    #[must_use]
    pub fn light(mut self, light: f32) -> Self {
        self.light = light;
        self
    }

    /// Adds grain of so many levels of 0..=255.
    #[must_use]
    pub fn grain(mut self, levels: f32) -> Self {
        self.grain = levels;
        self
    }

    fn draw(&self, picture: u64) -> RgbImage {
        let n = picture / self.hold * self.hold;
        let shift = (n as f32 * self.pan) as u64;
        let cell = 12 + mix(self.seed) % 25;
        let figure = (40 + 5 * n) % 280;
        RgbImage::from_fn(320, 180, |x, y| {
            let inside = (u64::from(x).abs_diff(figure) < 14) && (60..150).contains(&y);
            let colour = match self.card {
                Some(colour) => colour,
                None if inside => [220, 40, 50],
                None => {
                    let patch = mix(self.seed
                        ^ mix((u64::from(x) + shift) / cell)
                        ^ mix(1 + u64::from(y) / cell).rotate_left(7));
                    [patch as u8 / 2 + 40, (patch >> 8) as u8 / 2 + 40, (patch >> 16) as u8 / 2 + 40]
                }
            };
            let noise = mix(u64::from(y * 320 + x) ^ mix(picture ^ self.seed << 20)) % 2001;
            let noise = (noise as f32 / 1000.0 - 1.0) * self.grain;
            Rgb(colour.map(|value| (f32::from(value) * self.light + noise).clamp(0.0, 255.0) as u8))
        })
    }
}

/// Scatters the bits of a number.
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 31)).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (n ^ (n >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 16
}

impl Montage {
    /// Begins with a shot of so many pictures.
    pub fn new(scene: Scene, pictures: u64) -> Self {
        let take = Take { join: Join::Cut, scene, start: 0, end: pictures };
        Self { takes: vec![take], flashes: Vec::new(), bars: 0, logo: false }
    }

    /// Goes on with a shot; what a dissolve shares belongs to both.
    #[must_use]
    pub fn then(mut self, join: Join, scene: Scene, pictures: u64) -> Self {
        let shared = match join {
            Join::Cut | Join::Fade(_) => 0,
            Join::Dissolve(shared) => shared,
        };
        let start = self.pictures().saturating_sub(shared);
        self.takes.push(Take { join, scene, start, end: start + pictures });
        self
    }

    /// Makes so many pictures white.
    #[must_use]
    pub fn flash(mut self, at: u64, pictures: u64) -> Self {
        self.flashes.push((at, at + pictures));
        self
    }

    /// Puts black bars of so many rows above and below.
    #[must_use]
    pub fn bars(mut self, rows: u32) -> Self {
        self.bars = rows;
        self
    }

    /// Puts a logo over all shots, at (280, 20), 24 × 12 pixels.
    #[must_use]
    pub fn logo(mut self) -> Self {
        self.logo = true;
        self
    }

    /// Length in pictures.
    pub fn pictures(&self) -> u64 {
        self.takes.last().map_or(0, |take| take.end)
    }

    /// When a picture is first shown.
    pub fn time(picture: u64) -> Duration {
        Duration::from_nanos((picture * 1_000_000_000).div_ceil(RATE))
    }

    /// Where a shot begins, how it does, and from which to which picture it comes. Without the first shot.
    pub fn joins(&self) -> Vec<(u64, Join)> {
        self.takes[1..].iter().map(|take| (take.start, take.join)).collect()
    }

    fn draw(&self, picture: u64) -> RgbImage {
        let number = self.takes.iter().rposition(|take| take.start <= picture).unwrap_or(0);
        let take = self.takes[number];
        let mut drawn = take.scene.draw(picture - take.start);
        let before = number.checked_sub(1).map(|n| self.takes[n]);
        if let (Join::Dissolve(shared), Some(before)) = (take.join, before) {
            let share = (picture - take.start + 1) as f32 / (shared + 1) as f32;
            if share < 1.0 {
                let other = before.scene.draw(picture - before.start);
                drawn = blend(&other, &drawn, share);
            }
        }
        // Each side of a fade has half of its pictures.
        let fading = |take: Take, at: u64| match take.join {
            Join::Fade(pictures) if at < pictures / 2 => at as f32 / (pictures / 2) as f32,
            _ => 1.0,
        };
        let left = take.end - 1 - picture;
        let next = self.takes.get(number + 1).map_or(1.0, |next| fading(*next, left));
        let light = fading(take, picture - take.start).min(next);
        let white = self.flashes.iter().any(|&(from, to)| (from..to).contains(&picture));
        for (x, y, pixel) in drawn.enumerate_pixels_mut() {
            let bar = y < self.bars || y >= 180 - self.bars;
            let logo =
                self.logo && (280..304).contains(&x) && (20..32).contains(&y) && (x / 3 + y / 3) % 2 == 0;
            pixel.0 = match () {
                () if logo => [250; 3],
                () if bar => [0; 3],
                () if white => [255; 3],
                () => pixel.0.map(|value| (f32::from(value) * light) as u8),
            };
        }
        drawn
    }
}

fn blend(a: &RgbImage, b: &RgbImage, share: f32) -> RgbImage {
    let mix = |a: u8, b: u8| (f32::from(a) * (1.0 - share) + f32::from(b) * share) as u8;
    RgbImage::from_fn(a.width(), a.height(), |x, y| {
        let (a, b) = (a[(x, y)], b[(x, y)]);
        Rgb(std::array::from_fn(|channel| mix(a[channel], b[channel])))
    })
}

#[async_trait]
impl FrameSource for Montage {
    async fn probe(&self) -> Result<MediaInfo> {
        Ok(MediaInfo {
            name: "montage.film".into(),
            container: "memory".into(),
            codec: "drawn".into(),
            width: 320,
            height: 180,
            duration: Some(Self::time(self.pictures())),
            frame_rate: Some(RATE as f64),
            notes: Vec::new(),
        })
    }

    async fn fingerprint(&self) -> Result<String> {
        Ok(format!("montage:{self:?}"))
    }

    fn frames(&self, sampling: &Sampling) -> BoxStream<'static, Result<Frame>> {
        if sampling.policy.looks() {
            return stream::iter([Err(Policy::not_by_a_source())]).boxed();
        }
        let end = sampling.end.unwrap_or(Duration::MAX).min(Self::time(self.pictures()));
        let range = sampling.start.unwrap_or_default()..end;
        let shown = |time: Duration| (time.as_nanos() * u128::from(RATE) / 1_000_000_000) as u64;
        let pictures: Vec<u64> = match &sampling.policy {
            Policy::Every(interval) => (0..u32::MAX)
                .map(|k| range.start + Duration::from_secs_f64(interval.as_secs_f64() * f64::from(k)))
                .take_while(|time| range.contains(time))
                .map(shown)
                .collect(),
            Policy::At(times) => {
                times.iter().copied().filter(|time| range.contains(time)).map(shown).collect()
            }
            _ => (0..self.pictures()).filter(|&n| range.contains(&Self::time(n))).collect(),
        };
        let limit = sampling.limit.unwrap_or(u64::MAX);
        let (film, max_side) = (self.clone(), sampling.max_side);
        let wanted: Vec<(u64, u64)> =
            (0..limit).zip(pictures).skip_while(|(index, _)| *index < sampling.skip).collect();
        stream::iter(wanted)
            .map(move |(index, picture)| {
                let mut image = film.draw(picture);
                if let Some(side) = max_side.filter(|&side| side < image.width()) {
                    image = DynamicImage::from(image).resize(side, side, FilterType::Triangle).into_rgb8();
                }
                Ok(Frame::new(index, Self::time(picture), image))
            })
            .boxed()
    }
}
