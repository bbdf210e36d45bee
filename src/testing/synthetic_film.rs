//! A film that is drawn, not decoded.

use std::time::Duration;

use async_trait::async_trait;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use image::{Rgb, RgbImage, imageops::FilterType};

use crate::{
    error::Result,
    source::{FrameSource, Policy, Sampling},
    types::{BoundingBox, Frame, MediaInfo},
};

/// A film of one-second pictures: a red figure walks to the right over a background that changes every five seconds.
#[derive(Clone, Debug)]
pub struct SyntheticFilm {
    seconds: u64,
    width: u32,
    height: u32,
}

impl SyntheticFilm {
    /// A film of so many seconds, 640 × 576 pixels.
    pub fn new(seconds: u64) -> Self {
        Self { seconds, width: 640, height: 576 }
    }

    /// Sets the size of the pictures in pixels.
    #[must_use]
    pub fn size(mut self, width: u32, height: u32) -> Self {
        (self.width, self.height) = (width, height);
        self
    }

    /// Where the figure is at a second.
    pub fn figure(second: u64) -> BoundingBox {
        BoundingBox::new(0.05 + 0.08 * (second % 8) as f32, 0.25, 0.3, 0.6)
    }

    fn draw(&self, second: u64) -> RgbImage {
        let shade = (second / 5 * 47 % 200) as u8;
        let figure = Self::figure(second).to_pixels(self.width, self.height);
        RgbImage::from_fn(self.width, self.height, |x, y| match figure {
            Some(f) if (f.x..f.right()).contains(&x) && (f.y..f.bottom()).contains(&y) => Rgb([220, 30, 40]),
            // Stripes give the backgrounds structure.
            _ if (x / 40 + y / (20 + u32::from(shade))) % 2 == 0 => Rgb([shade, 160, 120]),
            _ => Rgb([shade, 90, 200 - shade]),
        })
    }
}

#[async_trait]
impl FrameSource for SyntheticFilm {
    async fn probe(&self) -> Result<MediaInfo> {
        Ok(MediaInfo {
            name: "synthetic.film".into(),
            container: "memory".into(),
            codec: "drawn".into(),
            width: self.width,
            height: self.height,
            duration: Some(Duration::from_secs(self.seconds)),
            frame_rate: Some(1.0),
            notes: Vec::new(),
        })
    }

    async fn fingerprint(&self) -> Result<String> {
        Ok(format!("synthetic:{}x{}x{}", self.seconds, self.width, self.height))
    }

    fn frames(&self, sampling: &Sampling) -> BoxStream<'static, Result<Frame>> {
        let step = match sampling.policy {
            Policy::Every(interval) => interval.as_secs_f64().ceil() as u64,
            _ => 1,
        };
        let start = sampling.start.unwrap_or_default().as_secs();
        let end = sampling.end.map_or(self.seconds, |e| e.as_secs().min(self.seconds));
        let seconds: Vec<u64> = match &sampling.policy {
            Policy::At(times) => {
                times.iter().map(Duration::as_secs).filter(|s| (start..end).contains(s)).collect()
            }
            _ => (start..end).step_by(step.max(1) as usize).collect(),
        };
        let wanted: Vec<(u64, u64)> = (0..sampling.limit.unwrap_or(u64::MAX))
            .zip(seconds)
            .skip_while(|(index, _)| *index < sampling.skip)
            .collect();
        if sampling.policy.looks() {
            return stream::iter([Err(Policy::not_by_a_source())]).boxed();
        }
        let (film, max_side) = (self.clone(), sampling.max_side);
        stream::iter(wanted)
            .map(move |(index, second)| {
                let mut image = film.draw(second);
                if let Some(side) = max_side.filter(|&side| side < image.width().max(image.height())) {
                    image =
                        image::DynamicImage::from(image).resize(side, side, FilterType::Triangle).into_rgb8();
                }
                Ok(Frame::new(index, Duration::from_secs(second), image))
            })
            .boxed()
    }
}
