//! For tests of picchu and of implementations of its traits: fakes, faults, and a conformance suite per trait.
//!
//! Outside semantic versioning. Enabled by the feature `testing`.

// The suites are assertions about somebody else's code: a panic is their answer.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used)]

pub mod conformance;
mod fakes;
mod faults;
mod montage;
mod synthetic_film;

pub use fakes::{
    FakeCaptioner, FakeDeployer, FakeDetector, FakeEmbedder, FakeGenerator, FakeReviewer, FakeTrainer,
};
pub use faults::FaultyStore;
pub use montage::{Join, Montage, Scene};
pub use synthetic_film::SyntheticFilm;
