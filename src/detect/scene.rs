//! Whether two frames show the same scene, told from the frames alone: for films whose shots are not known.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::types::Frame;

/// Levels that are told apart in each of a pixel's channels.
const LEVELS: usize = 4;

/// Pixels that are looked at, about.
const PIXELS: u32 = 4096;

/// Share of two frames' colours that must agree for them to show one scene.
const SAME: u32 = 76;

/// What must be known of a frame to tell whether another one goes on with its scene.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct View {
    /// Number of the shot, where that is known.
    pub(crate) shot: Option<u32>,
    /// How many of 100 pixels have each of 64 colours.
    colours: Vec<u8>,
}

impl View {
    /// What is to be known of a frame.
    pub(crate) fn of(frame: &Frame) -> Self {
        Self { shot: frame.shot, colours: colours(&frame.image) }
    }

    /// Whether `next`, the next sampled frame, shows the same scene: the same shot, where both are known, and else
    /// nearly the same colours.
    pub(crate) fn goes_on(&self, next: &Self) -> bool {
        if let (Some(a), Some(b)) = (self.shot, next.shot) {
            a == b
        } else {
            let same: u32 = self.colours.iter().zip(&next.colours).map(|(a, b)| u32::from(*a.min(b))).sum();
            same >= SAME
        }
    }
}

/// The share of each colour in a picture, in hundredths, rounded down.
fn colours(image: &RgbImage) -> Vec<u8> {
    let mut counts = [0_u32; LEVELS * LEVELS * LEVELS];
    let step =
        (f64::from(image.width()) * f64::from(image.height()) / f64::from(PIXELS)).sqrt().max(1.0) as usize;
    let mut all = 0;
    for row in image.as_raw().chunks_exact((image.width() as usize * 3).max(3)).step_by(step) {
        for pixel in row.chunks_exact(3).step_by(step) {
            let level = |v: u8| usize::from(v) * LEVELS / 256;
            counts[(level(pixel[0]) * LEVELS + level(pixel[1])) * LEVELS + level(pixel[2])] += 1;
            all += 1;
        }
    }
    counts.iter().map(|c| (c * 100 / all.max(1)) as u8).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use image::Rgb;

    use super::*;

    fn view(shot: Option<u32>, colour: impl Fn(u32, u32) -> [u8; 3]) -> View {
        let image = RgbImage::from_fn(200, 100, |x, y| Rgb(colour(x, y)));
        View::of(&Frame { shot, ..Frame::new(0, Duration::ZERO, image) })
    }

    #[test]
    fn a_pan_goes_on_and_another_place_does_not() {
        let wall = |shift: u32| {
            move |x: u32, _: u32| if (x + shift) % 50 < 20 { [200, 40, 40] } else { [60, 60, 70] }
        };
        let here = view(None, wall(0));
        assert!(here.goes_on(&view(None, wall(13))));
        assert!(!here.goes_on(&view(None, |_, y| if y < 60 { [150, 210, 235] } else { [90, 180, 80] })));
    }

    #[test]
    fn known_shots_decide() {
        let grey = |_: u32, _: u32| [90, 90, 90];
        assert!(!view(Some(1), grey).goes_on(&view(Some(2), grey)));
        assert!(view(Some(1), grey).goes_on(&view(Some(1), |_, _| [250, 0, 0])));
        assert!(view(Some(1), grey).goes_on(&view(None, grey)));
    }

    #[test]
    fn pictures_without_pixels_do_not_panic() {
        let empty = View::of(&Frame::new(0, Duration::ZERO, RgbImage::new(0, 0)));
        assert!(!empty.goes_on(&empty));
    }
}
