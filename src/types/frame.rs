//! Frames of a film and what is known of the film before decoding it.

use std::{sync::Arc, time::Duration};

use image::RgbImage;
use serde::{Deserialize, Serialize};

/// One sampled picture of a film, with its time. Cloning is cheap: the pixels are shared.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Number of the sample in its stream, from 0. Samples that fall into a gap keep their number.
    pub index: u64,
    /// When the picture is first shown, from the film's first shown picture. The only clock.
    pub time: Duration,
    /// Whether the film's decoder can start at this picture.
    pub keyframe: bool,
    /// Number of the [`Shot`](super::Shot) it belongs to, where the film was looked at for shots.
    pub shot: Option<u32>,
    /// Number of the [`Drawing`](super::Drawing) it shows, where the film was looked at for shots.
    pub drawing: Option<u32>,
    /// The pixels, 8-bit RGB (sRGB transfer), rows from top to bottom, already upright and with square pixels.
    pub image: Arc<RgbImage>,
}

impl Frame {
    /// A frame from its pixels.
    pub fn new(index: u64, time: Duration, image: RgbImage) -> Self {
        Self { index, time, keyframe: false, shot: None, drawing: None, image: Arc::new(image) }
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.image.width()
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.image.height()
    }
}

/// A stretch of film that could not be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Time at which the stretch begins, in seconds from the film's start, as nanosecond-exact duration.
    #[serde(with = "seconds")]
    pub from: Duration,
    /// Time at which pictures come again; `None` if none come.
    #[serde(with = "seconds_option")]
    pub until: Option<Duration>,
    /// Why, in words.
    pub reason: String,
}

/// What a film says of itself, read without decoding it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MediaInfo {
    /// A short name for people, for example the file's name.
    pub name: String,
    /// Container format, for example `mov`.
    pub container: String,
    /// Codec of the pictures, for example `h264`.
    pub codec: String,
    /// Width of the delivered pictures in pixels (upright, square pixels).
    pub width: u32,
    /// Height of the delivered pictures in pixels.
    pub height: u32,
    /// Length, if the film tells it.
    #[serde(with = "seconds_option")]
    pub duration: Option<Duration>,
    /// Average pictures per second, if the film tells it. Informative only: times come from the pictures.
    pub frame_rate: Option<f64>,
    /// Remarks for the user, for example that the film is interlaced.
    pub notes: Vec<String>,
}

impl MediaInfo {
    /// Whether both can be of one film, whatever it is called.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let Self { name: _, container, codec, width, height, duration, frame_rate, notes: _ } = self;
        (container, codec, width, height) == (&other.container, &other.codec, &other.width, &other.height)
            && (duration, frame_rate) == (&other.duration, &other.frame_rate)
    }
}

/// Durations as seconds in JSON: exact to the nanosecond up to 100 days.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(value.as_secs_f64())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Like [`seconds`], for a duration that may be absent.
pub(crate) mod seconds_option {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    // serde's `with` hands over a reference to the whole field.
    #[allow(clippy::ref_option)]
    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_f64(value.as_secs_f64()),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<f64>::deserialize(deserializer)?
            .map(|s| Duration::try_from_secs_f64(s).map_err(serde::de::Error::custom))
            .transpose()
    }
}
