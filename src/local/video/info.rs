//! What a film says of itself.

use std::time::Duration;

use super::protocol::Fields;
use crate::{
    error::{Error, ErrorKind, Result},
    types::MediaInfo,
};

/// What a film says of itself, in detail.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct VideoInfo {
    /// What every source can say.
    pub media: MediaInfo,
    /// Width of a stored picture in pixels, before turning and widening.
    pub stored_width: u32,
    /// Height of a stored picture in pixels.
    pub stored_height: u32,
    /// Length of a tick of the film's clock: numerator and denominator of seconds.
    pub time_base: (u32, u32),
    /// Number of pictures, if the container tells it.
    pub pictures: Option<u64>,
    /// The codec's profile, for example `High`; may be empty.
    pub profile: String,
    /// How pixels are stored, for example `yuv420p`; may be empty.
    pub pixel_format: String,
    /// Bits of one component, if known.
    pub bit_depth: Option<u32>,
    /// Number of video tracks, cover pictures not counted.
    pub tracks: u32,
    /// The chosen one, counted from 0.
    pub track: u32,
}

impl VideoInfo {
    pub(super) fn new(name: String, fields: &Fields) -> Result<Self> {
        let bad = || Error::new(ErrorKind::Internal, "the film decoder's description makes no sense");
        let time_base = fields.fraction("time_base").ok_or_else(bad)?;
        let first_name = |text: &str| text.split(',').next().unwrap_or_default().to_owned();
        Ok(Self {
            media: MediaInfo {
                name,
                container: first_name(fields.text("container")),
                codec: fields.text("codec").to_owned(),
                width: fields.number("width").ok_or_else(bad)?,
                height: fields.number("height").ok_or_else(bad)?,
                duration: fields.number("duration_ns").map(Duration::from_nanos),
                frame_rate: fields.fraction("frame_rate").map(|(n, d)| f64::from(n) / f64::from(d)),
                notes: notes(fields),
            },
            stored_width: fields.number("stored_width").ok_or_else(bad)?,
            stored_height: fields.number("stored_height").ok_or_else(bad)?,
            time_base,
            pictures: fields.number("frames"),
            profile: fields.text("profile").to_owned(),
            pixel_format: fields.text("pixel_format").to_owned(),
            bit_depth: fields.number("bit_depth"),
            tracks: fields.number("tracks").unwrap_or(1),
            track: fields.number("track").unwrap_or(0),
        })
    }
}

fn notes(fields: &Fields) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |when: bool, text: String| {
        if when {
            notes.push(text);
        }
    };
    let turned = ["transpose", "flip_x", "flip_y"].iter().any(|key| fields.is_set(key));
    note(turned, "pictures are turned upright as the container says".into());
    let aspect = fields.fraction("pixel_aspect").unwrap_or((1, 1));
    note(
        aspect.0 != aspect.1,
        format!("pixels are not square ({}:{}); pictures are widened", aspect.0, aspect.1),
    );
    note(
        fields.is_set("interlaced"),
        "interlaced; each picture shows its first field, filled in with what fits of the other".into(),
    );
    let transfer = fields.text("transfer");
    note(transfer == "smpte2084", "high dynamic range (PQ), tone-mapped to an ordinary screen".into());
    note(transfer == "arib-std-b67", "high dynamic range (HLG), tone-mapped to an ordinary screen".into());
    let unlabelled = matches!(fields.text("matrix"), "" | "unknown" | "unspecified");
    note(
        unlabelled && fields.text("pixel_format").starts_with("yuv"),
        "the colour matrix is not labelled; BT.601 is assumed".into(),
    );
    note(fields.is_set("alpha"), "transparent pixels are shown on black".into());
    let tracks: u32 = fields.number("tracks").unwrap_or(1);
    note(tracks > 1, format!("{tracks} video tracks; track {} is read", fields.text("track")));
    notes
}
