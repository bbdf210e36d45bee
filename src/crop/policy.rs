//! Which pixels of a frame become the picture of a character.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    types::{BoundingBox, PixelRect},
};

/// How characters are cut from frames. The defaults obey the strictest trainer that picchu writes for.
///
/// ```
/// use picchu::{crop::CropPolicy, types::{BoundingBox, PixelRect}};
///
/// let plan = CropPolicy::default().plan(BoundingBox::new(0.0, 0.1, 0.2, 0.8), 1920, 1080).unwrap();
/// assert_eq!(plan.rect, PixelRect::new(0, 0, 512, 1080)); // padded, then widened inside the frame
/// assert_eq!((plan.width, plan.height, plan.scale), (512, 1080, 1.0));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CropPolicy {
    /// Room around the character, as a fraction of the box's width on the left and on the right and of its
    /// height above and below. 0 to 4.
    pub pad: f32,
    /// Longest side over shortest side of the picture, at most: 4 allows 1:4 to 4:1.
    pub max_aspect: f32,
    /// Fewest pixels on each side of the picture.
    pub min_side: u32,
    /// Most pixels on each side of the picture.
    pub max_side: u32,
    /// Most pixels of the whole picture.
    pub max_pixels: u64,
    /// Characters with too few pixels in the frame are left out: the visible part of the box must be at least
    /// this long on its longer side, and its area at least that of a square of two thirds of this (for 96: 64 ×
    /// 64). A training picture made from fewer pixels mostly teaches blur. 0 keeps everything.
    pub min_character_side: u32,
}

impl Default for CropPolicy {
    fn default() -> Self {
        Self {
            pad: 0.15,
            max_aspect: 4.0,
            min_side: 512,
            max_side: 4096,
            max_pixels: 12_582_912,
            min_character_side: 96,
        }
    }
}

/// What to cut and how large the picture becomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// The rectangle of the frame, in the frame's pixels; always inside the frame.
    pub rect: PixelRect,
    /// Width of the picture in pixels.
    pub width: u32,
    /// Height of the picture in pixels.
    pub height: u32,
    /// Picture pixels per frame pixel. 1: the pixels are copied. Above 1 only where the frame has fewer than
    /// [`min_side`](CropPolicy::min_side) pixels on a side, below 1 only beyond the largest size.
    pub scale: f32,
}

/// Why a box gives no picture. A reason to skip the box, not a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The box has no area inside the frame.
    #[error("the box has no area inside the frame")]
    Outside,
    /// Too few source pixels show the character.
    #[error(
        "the character is too small: {width}×{height} px in the frame, the least is {least} px on its longer side"
    )]
    TooSmall {
        /// Width of the visible part of the box, in the frame's pixels.
        width: u32,
        /// Height of the visible part of the box, in the frame's pixels.
        height: u32,
        /// The least length of the longer side in pixels; the area must reach that of a square of two thirds of it.
        least: u32,
    },
    /// The frame has no window with an allowed aspect that holds the whole box.
    #[error("a box of {width}×{height} px does not fit into any picture of the allowed aspect in this frame")]
    TooLong {
        /// Width of the visible part of the box, in the frame's pixels.
        width: u32,
        /// Height of the visible part of the box, in the frame's pixels.
        height: u32,
    },
}

impl CropPolicy {
    /// Sets the room around the character, as a fraction of its box on each side.
    #[must_use]
    pub fn pad(mut self, pad: f32) -> Self {
        self.pad = pad;
        self
    }

    /// Sets the largest ratio of the longer to the shorter side.
    #[must_use]
    pub fn max_aspect(mut self, max_aspect: f32) -> Self {
        self.max_aspect = max_aspect;
        self
    }

    /// Sets the fewest pixels on each side.
    #[must_use]
    pub fn min_side(mut self, min_side: u32) -> Self {
        self.min_side = min_side;
        self
    }

    /// Sets the most pixels on each side.
    #[must_use]
    pub fn max_side(mut self, max_side: u32) -> Self {
        self.max_side = max_side;
        self
    }

    /// Sets the most pixels of the whole picture.
    #[must_use]
    pub fn max_pixels(mut self, max_pixels: u64) -> Self {
        self.max_pixels = max_pixels;
        self
    }

    /// Sets how many source pixels a character needs, see [`min_character_side`](Self::min_character_side).
    #[must_use]
    pub fn min_character_side(mut self, min_character_side: u32) -> Self {
        self.min_character_side = min_character_side;
        self
    }

    /// Checks that the settings make sense alone and together. Call it once before planning.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) names the setting, its value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        let Self { pad, max_aspect, min_side, max_side, max_pixels, .. } = *self;
        if !(0.0..=4.0).contains(&pad) {
            return Err(Error::invalid(format!("pad is {pad}; it must be 0 to 4 (a fraction of the box)")));
        }
        if !(1.0..=16.0).contains(&max_aspect) {
            return Err(Error::invalid(format!("max_aspect is {max_aspect}; it must be 1 to 16")));
        }
        if min_side == 0 || max_side > 65_535 {
            return Err(Error::invalid(format!(
                "min_side is {min_side} and max_side is {max_side}; they must be 1 to 65535"
            )));
        }
        let longest = f64::from(min_side) * f64::from(max_aspect);
        if longest > f64::from(max_side) {
            return Err(Error::invalid(format!(
                "max_side is {max_side}; with min_side {min_side} and max_aspect {max_aspect} it must be at least \
                 {longest:.0}"
            )));
        }
        if longest * f64::from(min_side) > max_pixels as f64 {
            return Err(Error::invalid(format!(
                "max_pixels is {max_pixels}; with min_side {min_side} and max_aspect {max_aspect} it must be at \
                 least {:.0}",
                longest * f64::from(min_side)
            )));
        }
        Ok(())
    }

    /// Plans the picture of a character: its box with padding, clamped to the frame, then widened until the
    /// aspect is allowed and each side has [`min_side`](Self::min_side) pixels. The window grows to both sides
    /// alike and is shifted to stay inside the frame. Padding is given up before the character is.
    ///
    /// `bbox` is in ratios of the frame and may leave it; the part inside counts. `frame_width` and
    /// `frame_height` are in pixels.
    ///
    /// # Errors
    /// [`Unfit`] says why no picture can be cut here.
    pub fn plan(&self, bbox: BoundingBox, frame_width: u32, frame_height: u32) -> Result<Plan, Unfit> {
        let character = bbox.to_pixels(frame_width, frame_height).ok_or(Unfit::Outside)?;
        let PixelRect { width, height, .. } = character;
        let least = self.min_character_side;
        if width.max(height) < least || character.area() * 9 < u64::from(least).pow(2) * 4 {
            return Err(Unfit::TooSmall { width, height, least });
        }

        let aspect = f64::from(self.max_aspect);
        let least_side = self.min_side.min(frame_width).min(frame_height);
        let x = Padded::new(character.x, width, frame_width, self.pad);
        let y = Padded::new(character.y, height, frame_height, self.pad);
        let mut window_width = x.length().max(least_side);
        let mut window_height = y.length().max(least_side);
        if f64::from(window_width) > aspect * f64::from(window_height) {
            window_height = grow(window_width, aspect, frame_height);
            window_width = window_width.min(shrink(window_height, aspect));
        } else if f64::from(window_height) > aspect * f64::from(window_width) {
            window_width = grow(window_height, aspect, frame_width);
            window_height = window_height.min(shrink(window_width, aspect));
        }
        if window_width < width || window_height < height {
            return Err(Unfit::TooLong { width, height });
        }
        let rect = PixelRect::new(x.place(window_width), y.place(window_height), window_width, window_height);
        Ok(self.sized(rect))
    }

    /// Like [`plan`](Self::plan), with a picture that is a part of the frame: the rest is black bars, and no crop
    /// reaches into them.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn plan_within(
        &self,
        bbox: BoundingBox,
        frame_width: u32,
        frame_height: u32,
        picture: PixelRect,
    ) -> Result<Plan, Unfit> {
        let within = |at: f32, frame: u32, start: u32, length: u32| {
            (at * frame as f32 - start as f32) / length.max(1) as f32
        };
        let left = within(bbox.left, frame_width, picture.x, picture.width);
        let top = within(bbox.top, frame_height, picture.y, picture.height);
        let right = within(bbox.right(), frame_width, picture.x, picture.width);
        let bottom = within(bbox.bottom(), frame_height, picture.y, picture.height);
        let bbox = BoundingBox::new(left, top, right - left, bottom - top);
        let mut plan = self.plan(bbox, picture.width, picture.height)?;
        plan.rect.x += picture.x;
        plan.rect.y += picture.y;
        Ok(plan)
    }

    /// The size of the picture for a window of the frame.
    fn sized(&self, rect: PixelRect) -> Plan {
        let short = rect.width.min(rect.height);
        let long = rect.width.max(rect.height);
        let (scale, short, long) = if short < self.min_side {
            let scale = f64::from(self.min_side) / f64::from(short);
            let most = shrink(self.min_side, f64::from(self.max_aspect)).max(self.min_side);
            (scale, self.min_side, ((f64::from(long) * scale).round() as u32).min(most))
        } else {
            let by_side = f64::from(self.max_side) / f64::from(long);
            let by_area = (self.max_pixels as f64 / rect.area() as f64).sqrt();
            let scale = by_side.min(by_area).min(1.0);
            // Rounding down keeps to the largest size; the hair keeps 1024.0 from becoming 1023.
            let scaled = |side: u32| (f64::from(side) * scale + 1e-6) as u32;
            let short = scaled(short).max(self.min_side);
            (scale, short, scaled(long).min(shrink(short, f64::from(self.max_aspect))))
        };
        let (width, height) = if rect.width <= rect.height { (short, long) } else { (long, short) };
        Plan { rect, width, height, scale: scale as f32 }
    }
}

/// The shortest side that allows a longer side of `long`, at most `most`.
fn grow(long: u32, aspect: f64, most: u32) -> u32 {
    ((f64::from(long) / aspect).ceil() as u32).min(most)
}

/// The longest side that a shorter side of `short` allows.
fn shrink(short: u32, aspect: f64) -> u32 {
    (f64::from(short) * aspect) as u32
}

/// A box along one axis, with its padding inside the frame.
struct Padded {
    /// First pixel of the character, and the one after its last.
    character: (u32, u32),
    /// The same of the box with its padding, inside the frame.
    with_room: (u32, u32),
    frame: u32,
}

impl Padded {
    fn new(start: u32, length: u32, frame: u32, pad: f32) -> Self {
        let room = (f64::from(length) * f64::from(pad)).round() as u32;
        let end = start + length;
        Self {
            character: (start, end),
            with_room: (start.saturating_sub(room), end.saturating_add(room).min(frame)),
            frame,
        }
    }

    fn length(&self) -> u32 {
        self.with_room.1 - self.with_room.0
    }

    /// First pixel of a window of `length` around the padded box, inside the frame, that holds the character.
    fn place(&self, length: u32) -> u32 {
        let centred =
            (u64::from(self.with_room.0) + u64::from(self.with_room.1)).saturating_sub(length.into()) / 2;
        (centred as u32)
            .max(self.character.1.saturating_sub(length))
            .min(self.character.0)
            .min(self.frame.saturating_sub(length))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keep_all() -> CropPolicy {
        CropPolicy::default().min_character_side(0)
    }

    #[test]
    fn no_crop_reaches_into_black_bars() {
        let picture = PixelRect::new(0, 140, 1920, 800);
        let policy = CropPolicy::default().pad(0.5);
        // From the lower bar up into the picture.
        let bbox = BoundingBox::from_pixels(PixelRect::new(900, 600, 300, 400), 1920, 1080);
        let plan = policy.plan_within(bbox, 1920, 1080, picture).unwrap();
        assert!(plan.rect.y >= 140 && plan.rect.bottom() <= 940, "{plan:?}");
        assert!(policy.plan(bbox, 1920, 1080).unwrap().rect.bottom() > 940);
        let whole = PixelRect::new(0, 0, 1920, 1080);
        assert_eq!(policy.plan_within(bbox, 1920, 1080, whole), policy.plan(bbox, 1920, 1080));
        let bar = BoundingBox::from_pixels(PixelRect::new(0, 0, 300, 130), 1920, 1080);
        assert_eq!(policy.plan_within(bar, 1920, 1080, picture), Err(Unfit::Outside));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let policy = CropPolicy::default();
        policy.validate().unwrap();
        for pad in [f32::NAN, -0.1, 4.1, f32::INFINITY] {
            assert!(policy.clone().pad(pad).validate().unwrap_err().message().contains("pad"));
        }
        assert!(policy.clone().max_aspect(0.5).validate().is_err());
        assert!(policy.clone().min_side(0).validate().is_err());
        let error = policy.clone().min_side(2000).validate().unwrap_err();
        assert!(error.message().contains("max_side is 4096") && error.message().contains("8000"));
        assert!(policy.max_pixels(1000).validate().unwrap_err().message().contains("max_pixels"));
    }

    #[test]
    fn settings_round_trip_and_unknown_ones_are_refused() {
        let policy: CropPolicy = serde_json::from_str(r#"{"pad": 0.5}"#).unwrap();
        assert_eq!(policy, CropPolicy::default().pad(0.5));
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<CropPolicy>(&text).unwrap(), policy);
        assert!(serde_json::from_str::<CropPolicy>(r#"{"padding": 0.5}"#).is_err());
    }

    #[test]
    fn a_large_box_gets_its_padding() {
        let plan = keep_all().plan(BoundingBox::new(0.25, 0.25, 0.5, 0.5), 2000, 2000).unwrap();
        assert_eq!(plan.rect, PixelRect::new(350, 350, 1300, 1300));
        assert!((plan.scale - 1.0).abs() < f32::EPSILON);
    }

    #[test]
    fn a_window_at_the_edge_is_shifted_not_shrunk() {
        let plan = keep_all().plan(BoundingBox::new(0.95, 0.9, 0.05, 0.1), 1920, 1080).unwrap();
        assert_eq!(plan.rect, PixelRect::new(1408, 568, 512, 512));
    }

    #[test]
    fn a_small_frame_is_upscaled_no_more_than_needed() {
        let plan = keep_all().plan(BoundingBox::new(0.4, 0.2, 0.1, 0.6), 854, 480).unwrap();
        assert_eq!((plan.rect.width, plan.rect.height), (480, 480));
        assert_eq!((plan.width, plan.height), (512, 512));
        assert!((plan.scale - 512.0 / 480.0).abs() < 1e-6);
    }

    #[test]
    fn a_huge_box_is_downscaled() {
        let plan = keep_all().plan(BoundingBox::FULL, 7680, 4320).unwrap();
        assert_eq!(plan.rect, PixelRect::new(0, 0, 7680, 4320));
        assert_eq!((plan.width, plan.height), (4096, 2304));
        assert!(plan.scale < 0.54);
    }

    #[test]
    fn small_and_odd_boxes_are_refused() {
        let policy = CropPolicy::default();
        let plan =
            |w: f32, h: f32| policy.plan(BoundingBox::new(0.1, 0.1, w / 1000.0, h / 1000.0), 1000, 1000);
        assert!(matches!(plan(90.0, 90.0), Err(Unfit::TooSmall { least: 96, .. })));
        assert!(matches!(plan(300.0, 10.0), Err(Unfit::TooSmall { .. })));
        assert!(plan(64.0, 96.0).is_ok());
        assert_eq!(policy.plan(BoundingBox::new(1.5, 0.0, 0.1, 0.1), 1000, 1000), Err(Unfit::Outside));
        assert_eq!(policy.plan(BoundingBox::FULL, 0, 0), Err(Unfit::Outside));
        assert!(matches!(policy.plan(BoundingBox::FULL, 2000, 100), Err(Unfit::TooLong { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn every_plan_obeys_every_limit(
            (fw, fh) in (1u32..9000, 1u32..9000),
            (left, top, width, height) in (-0.5f32..1.2, -0.5f32..1.2, 0.0f32..1.6, 0.0f32..1.6),
            pad in 0.0f32..=4.0,
            max_aspect in prop_oneof![Just(4.0f32), 1.0f32..=4.0],
        ) {
            let policy = keep_all().pad(pad).max_aspect(max_aspect);
            policy.validate().unwrap();
            let bbox = BoundingBox::new(left, top, width, height);
            let aspect = f64::from(max_aspect);
            let ratio = |w: u32, h: u32| f64::from(w.max(h)) / f64::from(w.min(h));
            match policy.plan(bbox, fw, fh) {
                Ok(plan) => {
                    let (rect, inside) = (plan.rect, bbox.to_pixels(fw, fh).unwrap());
                    prop_assert!(rect.right() <= fw && rect.bottom() <= fh);
                    prop_assert!(rect.x <= inside.x && rect.right() >= inside.right());
                    prop_assert!(rect.y <= inside.y && rect.bottom() >= inside.bottom());
                    prop_assert!(ratio(rect.width, rect.height) <= aspect + 1e-9);
                    prop_assert!(ratio(plan.width, plan.height) <= aspect + 1e-9);
                    prop_assert!(plan.width.min(plan.height) >= 512 && plan.width.max(plan.height) <= 4096);
                    prop_assert!(u64::from(plan.width) * u64::from(plan.height) <= 12_582_912);
                    if fw.min(fh) >= 512 {
                        prop_assert!(plan.scale <= 1.0);
                    }
                    let copied = (plan.width, plan.height) == (rect.width, rect.height);
                    prop_assert_eq!(copied, (plan.scale - 1.0).abs() < f32::EPSILON);
                    // The picture keeps the window's shape to within a pixel and a half.
                    let squeeze = f64::from(rect.width) * f64::from(plan.scale) - f64::from(plan.width);
                    prop_assert!(squeeze.abs() < 1.5 + aspect, "{:?} {}", plan, squeeze);
                }
                Err(Unfit::Outside) => prop_assert!(bbox.to_pixels(fw, fh).is_none()),
                Err(Unfit::TooLong { width, height }) => {
                    prop_assert!(
                        f64::from(width) > aspect * f64::from(fh) - 1.0
                            || f64::from(height) > aspect * f64::from(fw) - 1.0
                    );
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }
}
