//! Who seems to be in a film, found without any reference: boxes around whatever stands out, grouped by looks.
//!
//! 1. Frames are sampled over the film; of a scene that stands still, a few are enough.
//! 2. Each frame gives [proposals](super::palette), of which those stay that stand out from their surroundings.
//! 3. What comes again in other scenes, before another background, is somebody; what belongs to one place is not.
//!    The box that is found again best begins a group; a frame has at most one box in a group.
//!
//! The groups have no names: a person looks at them and gives one to those that show a character.

mod group;

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use image::RgbImage;

use self::group::{Look, Spot, groups};
use super::{
    palette::{
        colours::{COLOURS, Palette, Random, scaled_lab},
        grid::{Grid, Window, small},
        propose::Proposer,
    },
    scene::View,
};
use crate::{
    error::{Error, Result, Stage},
    source::{FrameSource, Sampling},
    types::BoundingBox,
};

/// Longer side, in pixels, of the frames in which groups are looked for.
const SEARCH_SIDE: u32 = 320;

/// Pixels of the film from which its palette is learned, about.
const FILM_SAMPLES: usize = 20_000;

/// Mean change of a channel, of 255, from which a box is taken to show somebody who moves.
const LIVELY: f32 = 12.0;

/// How a cast is suggested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuggestOptions {
    /// In how many frames, spread evenly over the film, to look; 2..=500.
    pub frames: usize,
    /// How many groups to give at the most; 1..=50.
    pub groups: usize,
    /// How many pictures of each group to give at the most; 1..=20.
    pub pictures: usize,
}

impl Default for SuggestOptions {
    fn default() -> Self {
        Self { frames: 96, groups: 8, pictures: 5 }
    }
}

impl SuggestOptions {
    /// Checks that every setting lies in its range.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) names the setting, its value and its range.
    pub fn validate(&self) -> Result<()> {
        for (name, value, range) in [
            ("frames", self.frames, 2..=500),
            ("groups", self.groups, 1..=50),
            ("pictures", self.pictures, 1..=20),
        ] {
            if !range.contains(&value) {
                return Err(Error::invalid(format!(
                    "{name} is {value}; it must be {} to {}",
                    range.start(),
                    range.end()
                ))
                .at(Stage::Detect));
            }
        }
        Ok(())
    }
}

/// Boxes that seem to show one character.
#[derive(Clone, Debug)]
pub struct Group {
    /// In how many of the frames that were looked at it was found.
    pub frames: usize,
    /// In how many scenes.
    pub scenes: usize,
    /// The best pictures, in the film's order.
    pub sightings: Vec<Sighting>,
}

/// A box of a group.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// When.
    pub time: Duration,
    /// Where, in ratios of the frame.
    pub bounding_box: BoundingBox,
    /// What is in it, in the film's own size.
    pub image: RgbImage,
}

/// Looks for whoever comes again and again in a film. Groups come best first; equal films and options give equal
/// groups.
///
/// # Errors
/// Those of the options and of the film; [`InvalidInput`](crate::ErrorKind::InvalidInput) if it gives no frame.
///
/// ```no_run
/// # async fn f() -> picchu::Result<()> {
/// use picchu::{detect::{SuggestOptions, suggest_cast}, source::ImageFolder};
///
/// for group in suggest_cast(&ImageFolder::open("stills")?, &SuggestOptions::default()).await? {
///     println!("in {} frames of {} scenes", group.frames, group.scenes);
/// }
/// # Ok(()) }
/// ```
pub async fn suggest_cast(film: &dyn FrameSource, options: &SuggestOptions) -> Result<Vec<Group>> {
    options.validate()?;
    let length = film.probe().await?.duration.filter(|d| !d.is_zero());
    let sampling = match length {
        Some(d) => Sampling::every_secs((d.as_secs_f64() / options.frames as f64).clamp(1e-3, 1e5))?,
        None => Sampling::keyframes(),
    };
    let mut frames = film.frames(&sampling.limit(options.frames as u64).max_side(SEARCH_SIDE));
    let mut stills: Vec<Still> = Vec::new();
    while let Some(frame) = frames.next().await {
        match frame {
            Ok(frame) => stills.push(
                crate::blocking(move || {
                    Ok(Still { time: frame.time, view: View::of(&frame), image: small(&frame.image) })
                })
                .await?,
            ),
            Err(e) if e.gap().is_some() => {}
            Err(e) => return Err(e),
        }
    }
    drop(frames);
    if stills.is_empty() {
        return Err(Error::invalid("the film gave no picture to look at").at(Stage::Detect));
    }
    let (groups, pictures) = (options.groups, options.pictures);
    let found = crate::blocking(move || Ok(look(&stills, groups, pictures))).await?;
    let mut answer = Vec::with_capacity(found.len());
    for (frames, scenes, spots) in found {
        answer.push(Group { frames, scenes, sightings: cut(film, &spots).await? });
    }
    Ok(answer)
}

/// A frame made small.
struct Still {
    time: Duration,
    view: View,
    image: RgbImage,
}

/// A group: its number of frames and of scenes, and its best boxes.
type Found = (usize, usize, Vec<(Duration, BoundingBox)>);

/// Groups what stands out in the stills: for each group its number of frames and scenes, and its best boxes.
fn look(stills: &[Still], most: usize, pictures: usize) -> Vec<Found> {
    let mut random = Random(1);
    let share = (FILM_SAMPLES / stills.len()).max(60);
    let mut samples = Vec::with_capacity(share * stills.len());
    for still in stills {
        let pixels = still.image.as_raw().as_chunks::<3>().0;
        samples.extend((0..share).map(|_| pixels[random.next() as usize % pixels.len()]));
    }
    let labs: Vec<_> = samples.iter().map(|&p| scaled_lab(p)).collect();
    let palette = Palette::learn(&labs, 1);
    let mut shares = [0.0_f32; COLOURS];
    for &pixel in &samples {
        let blend = palette.blend(pixel);
        for (&colour, &parts) in blend.colours.iter().zip(&blend.parts) {
            shares[usize::from(colour)] += f32::from(parts);
        }
    }
    let sum: f32 = shares.iter().sum();
    let weight = shares.map(|s| 1.0 / (s / sum + 0.002).sqrt());

    let (mut grid, mut proposer) = (Grid::default(), Proposer::default());
    let (mut boxes, mut spots, mut scene) = (Vec::new(), Vec::new(), 0);
    for (number, still) in stills.iter().enumerate() {
        if number > 0 && !stills[number - 1].view.goes_on(&still.view) {
            scene += 1;
        }
        grid.load(&still.image, &palette);
        boxes.clear();
        proposer.propose(&grid, &palette, &mut boxes);
        let before = number.checked_sub(1).map(|n| &stills[n]).filter(|s| s.view.goes_on(&still.view));
        let after = stills.get(number + 1).filter(|s| still.view.goes_on(&s.view));
        for (window, mut look) in group::worth_a_look(&grid, &weight, &boxes) {
            look.contrast *= liveliness(still, [before, after], window);
            spots.push(Spot { frame: number, scene, window, look });
        }
    }
    let ratios = |spot: &Spot| {
        let image = &stills[spot.frame].image;
        let Window { left, top, .. } = spot.window;
        let (w, h) = (image.width() as f32, image.height() as f32);
        BoundingBox::new(
            left as f32 / w,
            top as f32 / h,
            spot.window.width() as f32 / w,
            spot.window.height() as f32 / h,
        )
    };
    groups(&spots, most)
        .into_iter()
        .map(|group| {
            let best = group.best(&spots, pictures);
            let boxes = best.into_iter().map(|s| (stills[spots[s].frame].time, ratios(&spots[s]))).collect();
            (group.members.len(), group.scenes(&spots), boxes)
        })
        .collect()
}

/// How likely a box shows somebody rather than the set, by whether its pixels change within the scene, 0..1.
fn liveliness(still: &Still, near: [Option<&Still>; 2], w: Window) -> f32 {
    let changes = near.into_iter().flatten().filter(|n| n.image.dimensions() == still.image.dimensions());
    let changes = changes.map(|other| {
        let (mut sum, mut count) = (0_u32, 0_u32);
        for y in w.top..w.bottom {
            for x in w.left..w.right {
                let (a, b) =
                    (still.image.get_pixel(x as u32, y as u32), other.image.get_pixel(x as u32, y as u32));
                sum += (0..3).map(|c| u32::from(a[c].abs_diff(b[c]))).sum::<u32>();
                count += 3;
            }
        }
        sum as f32 / count.max(1) as f32
    });
    // A scene of which one frame was seen tells nothing.
    changes.reduce(f32::max).map_or(0.6, |change| (change / LIVELY).clamp(0.1, 1.0))
}

/// Cuts boxes out of the film, in its own size.
async fn cut(film: &dyn FrameSource, spots: &[(Duration, BoundingBox)]) -> Result<Vec<Sighting>> {
    let times: Vec<Duration> = spots.iter().map(|(time, _)| *time).collect();
    let mut frames = film.frames(&Sampling::at(times));
    let mut sightings = Vec::with_capacity(spots.len());
    let mut left = spots.iter();
    loop {
        match frames.try_next().await {
            Ok(Some(frame)) => {
                let Some(&(time, bounding_box)) = left.find(|(time, _)| *time >= frame.time) else { break };
                let Some(r) = bounding_box.to_pixels(frame.width(), frame.height()) else { continue };
                let image = image::imageops::crop_imm(&*frame.image, r.x, r.y, r.width, r.height).to_image();
                sightings.push(Sighting { time, bounding_box, image });
            }
            Ok(None) => break,
            Err(e) if e.gap().is_some() => {}
            Err(e) => return Err(e),
        }
    }
    Ok(sightings)
}

impl std::fmt::Debug for Still {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Still").field("time", &self.time).finish_non_exhaustive()
    }
}

impl Look {
    fn bands(grid: &Grid, weight: &[f32; COLOURS], w: Window) -> Self {
        let mut look = Self::default();
        for (b, band) in look.bands.iter_mut().enumerate() {
            let y = |n: usize| w.top + w.height() * n as i32 / group::BANDS as i32;
            let part = Window { top: y(b), bottom: y(b + 1), ..w };
            for ((v, h), weight) in band.iter_mut().zip(grid.histogram(part)).zip(weight) {
                *v = h * weight;
            }
        }
        let sum: f32 = look.bands.iter().flatten().sum();
        look.bands.iter_mut().flatten().for_each(|v| *v /= sum.max(1e-6));
        look
    }
}
