//! How a film is cut: shots, what lies between them, and held drawings.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::frame::seconds;

/// A stretch of film without a cut. The shots of a film follow one another without holes, from its first picture to
/// its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shot {
    /// Number in the film, from 0. What a frame's lineage names.
    pub number: u32,
    /// Time of its first picture, in seconds in JSON. Where it comes by a dissolve: the middle of that; by a fade:
    /// the first picture that is not of one colour.
    #[serde(with = "seconds")]
    pub start: Duration,
    /// Time from which the next shot is shown; the film's end for the last one.
    #[serde(with = "seconds")]
    pub end: Duration,
    /// How it comes about; `None` for a film's first shot, unless that fades in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition: Option<Transition>,
}

impl Shot {
    /// Whether a picture first shown at `time` belongs to the shot.
    pub fn contains(&self, time: Duration) -> bool {
        (self.start..self.end).contains(&time)
    }
}

/// The way from one shot to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// Its kind.
    pub kind: TransitionKind,
    /// Time of the first picture that is not of the earlier shot alone.
    #[serde(with = "seconds")]
    pub start: Duration,
    /// Time of the first picture of the later shot alone. For a cut the same as `start`.
    #[serde(with = "seconds")]
    pub end: Duration,
}

/// Kinds of [`Transition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransitionKind {
    /// From one picture to the next.
    Cut,
    /// One shot shines through the other.
    Dissolve,
    /// By way of a picture of one colour, mostly black; or light that goes before a cut, or comes after it.
    Fade,
}

impl TransitionKind {
    /// The kind's name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Dissolve => "dissolve",
            Self::Fade => "fade",
        }
    }
}

/// A stretch in which the picture stands still: in animation, as long as one drawing is held.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drawing {
    /// Number in the film, from 0. What a frame's lineage names.
    pub number: u32,
    /// Time of its first picture, in seconds in JSON.
    #[serde(with = "seconds")]
    pub start: Duration,
    /// Time from which another drawing is shown.
    #[serde(with = "seconds")]
    pub end: Duration,
    /// What it shows.
    pub content: Content,
    /// How sharp its first picture is, 0..1. Only drawings of one film can be compared.
    pub sharpness: f32,
}

/// A stretch in which something bright, or another light, lies over a shot. The shot goes on behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flash {
    /// Time of its first picture, in seconds in JSON.
    #[serde(with = "seconds")]
    pub start: Duration,
    /// Time from which the shot is seen again as before.
    #[serde(with = "seconds")]
    pub end: Duration,
}

/// What a picture shows, as far as that is easily told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A picture.
    Picture,
    /// Nothing: black.
    Black,
    /// Nothing: one colour.
    Flat,
    /// Writing on one colour: credits, titles.
    Writing,
}
