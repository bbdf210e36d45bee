//! From a picture to a model's input, and from the model's coordinates back to the picture.

use image::{
    RgbImage,
    imageops::{FilterType, resize},
};

use super::spec::{Channels, Fit, Layout, Resample};
use crate::types::BoundingBox;

/// How pictures become input; everything resolved.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(super) struct Preparation {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) fit: Fit,
    pub(super) resample: Resample,
    pub(super) fill: u8,
    pub(super) scale: f32,
    pub(super) mean: [f32; 3],
    pub(super) std: [f32; 3],
    pub(super) layout: Layout,
    pub(super) color: Channels,
}

/// Where a picture lies in the input, in the input's pixels: parts of it may lie outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Placement {
    left: i64,
    top: i64,
    width: u32,
    height: u32,
}

impl Placement {
    /// Places a picture of `width` × `height` pixels.
    pub(super) fn of(preparation: &Preparation, width: u32, height: u32) -> Self {
        let (to_width, to_height) = (preparation.width, preparation.height);
        let across = f64::from(to_width) / f64::from(width.max(1));
        let down = f64::from(to_height) / f64::from(height.max(1));
        let scaled = |side: u32, scale: f64| ((f64::from(side) * scale).round() as u32).max(1);
        let (width, height) = match preparation.fit {
            Fit::Stretch => (to_width, to_height),
            Fit::Letterbox => {
                let scale = across.min(down);
                (scaled(width, scale).min(to_width), scaled(height, scale).min(to_height))
            }
            Fit::ShorterSideCrop => {
                let scale = across.max(down);
                (scaled(width, scale).max(to_width), scaled(height, scale).max(to_height))
            }
        };
        let middle = |to: u32, side: u32| (i64::from(to) - i64::from(side)).div_euclid(2);
        Self { left: middle(to_width, width), top: middle(to_height, height), width, height }
    }

    /// A box between two corners in the input's pixels, in ratios of the picture. It may leave the picture.
    pub(super) fn to_picture(self, [left, top, right, bottom]: [f32; 4]) -> BoundingBox {
        let x = |at: f32| (f64::from(at) - self.left as f64) / f64::from(self.width);
        let y = |at: f32| (f64::from(at) - self.top as f64) / f64::from(self.height);
        BoundingBox::new(
            x(left) as f32,
            y(top) as f32,
            (x(right) - x(left)) as f32,
            (y(bottom) - y(top)) as f32,
        )
    }
}

impl Preparation {
    /// Values of one picture's input.
    pub(super) fn len(&self) -> usize {
        self.width as usize * self.height as usize * 3
    }

    /// Writes a picture's input to `to`, [`len`](Self::len) values, and tells where the picture lies in it.
    pub(super) fn write(&self, picture: &RgbImage, to: &mut [f32]) -> Placement {
        let placement = Placement::of(self, picture.width(), picture.height());
        let filter = match self.resample {
            Resample::Bilinear => FilterType::Triangle,
            Resample::Bicubic => FilterType::CatmullRom,
        };
        let resized;
        let picture = if picture.dimensions() == (placement.width, placement.height) {
            picture
        } else {
            resized = resize(picture, placement.width, placement.height, filter);
            &resized
        };
        // Each channel has 256 possible values.
        let tables: [[f32; 256]; 3] = std::array::from_fn(|channel| {
            std::array::from_fn(|value| (value as f32 * self.scale - self.mean[channel]) / self.std[channel])
        });
        let plane = self.width as usize * self.height as usize;
        for y in 0..self.height {
            let row = i64::from(y) - placement.top;
            let inside_rows = (0..i64::from(placement.height)).contains(&row);
            for x in 0..self.width {
                let column = i64::from(x) - placement.left;
                let inside = inside_rows && (0..i64::from(placement.width)).contains(&column);
                let pixel =
                    if inside { picture.get_pixel(column as u32, row as u32).0 } else { [self.fill; 3] };
                let at = y as usize * self.width as usize + x as usize;
                for channel in 0..3 {
                    // `mean` and `std` are in the order in which the model takes the channels.
                    let from = if self.color == Channels::Bgr { 2 - channel } else { channel };
                    let value = tables[channel][usize::from(pixel[from])];
                    match self.layout {
                        Layout::Nchw => to[channel * plane + at] = value,
                        Layout::Nhwc => to[at * 3 + channel] = value,
                    }
                }
            }
        }
        placement
    }
}

#[cfg(test)]
pub(super) mod tests {
    use image::Rgb;
    use proptest::prelude::*;

    use super::*;

    fn is(a: f32, b: f32) -> bool {
        (a - b).abs() < 1e-6
    }

    pub(in super::super) fn plain(width: u32, height: u32, fit: Fit) -> Preparation {
        Preparation {
            width,
            height,
            fit,
            resample: Resample::Bilinear,
            fill: 114,
            scale: 1.0,
            mean: [0.0; 3],
            std: [1.0; 3],
            layout: Layout::Nchw,
            color: Channels::Rgb,
        }
    }

    #[test]
    fn a_letterbox_keeps_the_aspect_and_fills_the_rest() {
        let preparation = plain(8, 8, Fit::Letterbox);
        let mut input = vec![0.0; preparation.len()];
        let placement = preparation.write(&RgbImage::from_pixel(16, 8, Rgb([200, 100, 50])), &mut input);
        assert_eq!(placement, Placement { left: 0, top: 2, width: 8, height: 4 });
        let red: Vec<f32> = input[..64].to_vec();
        assert!(red[..16].iter().chain(&red[48..]).all(|v| is(*v, 114.0)));
        assert!(red[16..48].iter().all(|v| is(*v, 200.0)));
        assert!(input[64 + 16..64 + 48].iter().all(|v| is(*v, 100.0)));
    }

    #[test]
    fn channels_layouts_and_norms_are_as_described() {
        let picture = RgbImage::from_fn(2, 1, |x, _| Rgb(if x == 0 { [255, 0, 0] } else { [0, 255, 51] }));
        let mut preparation = plain(2, 1, Fit::Stretch);
        preparation.scale = 1.0 / 255.0;
        preparation.mean = [0.5, 0.25, 0.0];
        preparation.std = [0.5, 1.0, 2.0];
        let gives = |preparation: Preparation, expected: [f32; 6]| {
            let mut input = vec![0.0; 6];
            preparation.write(&picture, &mut input);
            assert!(input.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{input:?}");
        };
        gives(preparation, [1.0, -1.0, -0.25, 0.75, 0.0, 0.1]);
        preparation.layout = Layout::Nhwc;
        gives(preparation, [1.0, -0.25, 0.0, -1.0, 0.75, 0.1]);
        preparation.color = Channels::Bgr;
        gives(preparation, [-1.0, -0.25, 0.5, -0.6, 0.75, 0.0]);
    }

    #[test]
    fn the_shorter_side_fits_and_the_longer_is_cut() {
        let preparation = plain(4, 4, Fit::ShorterSideCrop);
        let picture = RgbImage::from_fn(12, 4, |x, _| Rgb([x as u8 * 10; 3]));
        let mut input = vec![0.0; preparation.len()];
        preparation.write(&picture, &mut input);
        assert_eq!(input[..4], [40.0, 50.0, 60.0, 70.0]);
    }

    proptest! {
        /// A point of the picture, carried into the input by the definition of each fit, comes back.
        #[test]
        fn boxes_come_back_to_where_they_were(
            (width, height) in (1u32..3000, 1u32..3000),
            (to_width, to_height) in (16u32..1300, 16u32..1300),
            fit in prop_oneof![Just(Fit::Letterbox), Just(Fit::Stretch), Just(Fit::ShorterSideCrop)],
            (x, y) in (0.0f64..1.0, 0.0f64..1.0),
            (w, h) in (0.01f64..1.0, 0.01f64..1.0),
        ) {
            let preparation = plain(to_width, to_height, fit);
            let placement = Placement::of(&preparation, width, height);
            // The naive oracle: the picture's size in the input, and its middle on the input's middle.
            let (across, down) = (f64::from(to_width) / f64::from(width), f64::from(to_height) / f64::from(height));
            let (sx, sy) = match fit {
                Fit::Stretch => (across, down),
                Fit::Letterbox => (across.min(down), across.min(down)),
                Fit::ShorterSideCrop => (across.max(down), across.max(down)),
            };
            let (pw, ph) = ((f64::from(width) * sx).round().max(1.0), (f64::from(height) * sy).round().max(1.0));
            let (left, top) = (((f64::from(to_width) - pw) / 2.0).floor(), ((f64::from(to_height) - ph) / 2.0).floor());
            let corner = |u: f64, v: f64| [(left + u * pw) as f32, (top + v * ph) as f32];
            let ([x1, y1], [x2, y2]) = (corner(x, y), corner(x + w, y + h));
            let back = placement.to_picture([x1, y1, x2, y2]);
            // A float holds seven digits of a coordinate; that much of the placed picture may be lost.
            let near = |a: f32, b: f64, side: f64| (f64::from(a) - b).abs() <= 1e-6 + 3e-7 * (4.0 * side + 6000.0) / side;
            prop_assert!(near(back.left, x, pw) && near(back.top, y, ph), "{:?}", back);
            prop_assert!(near(back.width, w, pw) && near(back.height, h, ph), "{:?}", back);
        }

        #[test]
        fn any_picture_fills_the_whole_input(
            (width, height) in (1u32..70, 1u32..70),
            (to_width, to_height) in (1u32..40, 1u32..40),
            fit in prop_oneof![Just(Fit::Letterbox), Just(Fit::Stretch), Just(Fit::ShorterSideCrop)],
        ) {
            let preparation = plain(to_width, to_height, fit);
            let mut input = vec![-1.0; preparation.len()];
            preparation.write(&RgbImage::from_pixel(width, height, Rgb([9; 3])), &mut input);
            prop_assert!(input.iter().all(|v| is(*v, 9.0) || is(*v, 114.0)));
            prop_assert!(fit == Fit::Letterbox || input.iter().all(|v| is(*v, 9.0)));
        }
    }
}
