//! A captioner that needs no model: sentences over what was measured.

mod clauses;
mod sentences;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use self::sentences::sentence;
use super::{CAPTION_CHARS, Captioner, facts::Facts};
use crate::{
    blocking,
    error::Result,
    types::{Caption, CaptionRequest, ProviderInfo},
};

/// Words that a caption has at the most, where the names allow it.
const MOST_WORDS: usize = 30;

/// Writes captions from measurements of the crop and of the subjects' boxes in it.
///
/// A caption says who is there, in which order, where in the picture, how large, how close together, in which
/// framing, against which colours and in which light; nothing else. It never tells actions, feelings, objects,
/// clothing or places, for these were not measured. It is as true as the boxes and names that it is given.
///
/// The words are chosen by a hash of the record's id and the attempt: equal requests give equal captions on every
/// machine, another record or attempt gives other words. Typically 20 to 30 words, always 3 to 1,024 characters.
///
/// ```
/// use image::{Rgb, RgbImage};
/// use picchu::{caption::{Captioner, MeasuredCaptioner}, types::*};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> picchu::Result<()> {
/// let image = RgbImage::from_pixel(512, 512, Rgb([120, 190, 100]));
/// let request = CaptionRequest {
///     record: "film-00012000-0".into(),
///     crop: Crop { rect: PixelRect::new(0, 0, 512, 512), scale: 1.0, image: image.into() },
///     subjects: vec![Subject { character: "Penny".into(), bounding_box: BoundingBox::new(0.3, 0.2, 0.4, 0.6) }],
///     attempt: 0,
///     refusal: None,
/// };
/// let caption = MeasuredCaptioner::new().caption(&request).await?;
/// assert!(caption.text.contains("Penny") && caption.text.contains("green"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeasuredCaptioner;

impl MeasuredCaptioner {
    /// Id of the method. Another grammar gets another id.
    pub const MODEL: &'static str = "measured-v4";

    /// The captioner. It has no settings.
    pub fn new() -> Self {
        Self
    }

    /// The text for a request. A sync function for callers that have a thread of their own.
    pub fn describe(request: &CaptionRequest) -> String {
        let facts = Facts::measure(request);
        let mut text = String::new();
        // Each step leaves more out; the names always stay. Some words are shorter than others, so try a few.
        for (brief, roll) in (0..=5).flat_map(|brief| (0..4).map(move |roll| (brief, roll))) {
            text = sentence(&facts, brief, Words::of(request, roll));
            if text.split_whitespace().count() <= MOST_WORDS && text.chars().count() <= CAPTION_CHARS.1 {
                break;
            }
        }
        text
    }
}

#[async_trait]
impl Captioner for MeasuredCaptioner {
    fn info(&self) -> ProviderInfo {
        ProviderInfo::new("measured", Self::MODEL)
    }

    async fn caption(&self, request: &CaptionRequest) -> Result<Caption> {
        let request = request.clone();
        blocking(move || Ok(Caption::new(Self::describe(&request), Self::MODEL))).await
    }
}

/// A repeatable choice of words.
#[derive(Clone, Copy, Debug)]
struct Words {
    /// Of the record alone.
    form: u64,
    attempt: u32,
    /// Of the record and the attempt; moves on with each choice.
    state: u64,
}

impl Words {
    fn of(request: &CaptionRequest, roll: u32) -> Self {
        let hash = |salt: &str, attempt: u32, roll: u32| {
            let mut hasher = Sha256::new();
            hasher.update(MeasuredCaptioner::MODEL);
            hasher.update(salt);
            hasher.update(attempt.to_le_bytes());
            hasher.update(roll.to_le_bytes());
            hasher.update(&request.record);
            hasher.finalize().iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte))
        };
        Self {
            form: hash("form", 0, 0),
            attempt: request.attempt,
            state: hash("words", request.attempt, roll),
        }
    }

    /// One of `count` forms of the sentence. The next attempt takes the next form.
    fn form(&self, count: u64) -> u64 {
        (self.form % count + u64::from(self.attempt)) % count
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[(self.next() % of.len() as u64) as usize]
    }
}
