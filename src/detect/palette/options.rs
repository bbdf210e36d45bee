//! What can be set.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, Stage};

/// Settings of a [`PaletteDetector`](super::PaletteDetector). The defaults suit most films.
///
/// ```
/// use picchu::detect::PaletteOptions;
/// let mirrors = PaletteOptions { max_per_frame: 2, ..PaletteOptions::default() };
/// mirrors.validate()?;
/// # Ok::<(), picchu::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PaletteOptions {
    /// From how many frames, spread evenly over the film, to learn; 1..=5000. Shorter films give as many as they
    /// have.
    pub learn_frames: usize,
    /// How often a character may be named in one frame, 1..=16. Higher than 1 for mirrors and clones.
    pub max_per_frame: usize,
    /// Confidence from which a box is named, 0..=1. Half is the threshold that the film itself suggests; higher
    /// names less and errs less.
    pub named_from: f32,
    /// Confidence from which a box is reported as unsure, 0..=1; not above `named_from`.
    pub unsure_from: f32,
    /// Start of the random numbers by which pixels are sampled. Equal seeds give equal answers.
    pub seed: u64,
}

impl Default for PaletteOptions {
    fn default() -> Self {
        Self { learn_frames: 200, max_per_frame: 1, named_from: 0.5, unsure_from: 0.3, seed: 1 }
    }
}

impl PaletteOptions {
    /// Checks that every setting lies in its range.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) names the setting, its value and its range.
    pub fn validate(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::invalid(what).at(Stage::Detect));
        if !(1..=5000).contains(&self.learn_frames) {
            return refuse(format!("learn_frames is {}; it must be 1 to 5000", self.learn_frames));
        }
        if !(1..=16).contains(&self.max_per_frame) {
            return refuse(format!("max_per_frame is {}; it must be 1 to 16", self.max_per_frame));
        }
        for (name, value) in [("named_from", self.named_from), ("unsure_from", self.unsure_from)] {
            if !(0.0..=1.0).contains(&value) {
                return refuse(format!("{name} is {value}; it must be 0 to 1"));
            }
        }
        if self.unsure_from > self.named_from {
            return refuse(format!(
                "unsure_from is {}, above named_from, which is {}",
                self.unsure_from, self.named_from
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        assert!(PaletteOptions::default().validate().is_ok());
        let plain = PaletteOptions::default();
        for (options, name) in [
            (PaletteOptions { learn_frames: 0, ..plain }, "learn_frames"),
            (PaletteOptions { max_per_frame: 17, ..plain }, "max_per_frame"),
            (PaletteOptions { named_from: f32::NAN, ..plain }, "named_from"),
            (PaletteOptions { unsure_from: -0.1, ..plain }, "unsure_from"),
            (PaletteOptions { unsure_from: 0.9, ..plain }, "above named_from"),
        ] {
            assert!(options.validate().unwrap_err().to_string().contains(name), "{options:?}");
        }
    }
}
