//! Which frames of a film to take.

use std::{fmt, num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result, Stage};

/// Which frames to take: a policy, a range, a limit and a size.
///
/// ```
/// use std::time::Duration;
/// use picchu::Sampling;
/// let two_a_second = Sampling::rate(2.0)?.start(Duration::from_secs(60)).limit(100).max_side(1024);
/// assert_eq!(two_a_second.limit, Some(100));
/// # Ok::<(), picchu::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// The rule.
    pub policy: Policy,
    /// Nothing before this time. Sample 0 of [`Policy::Every`] is at this time.
    pub start: Option<Duration>,
    /// Nothing at or after this time.
    pub end: Option<Duration>,
    /// At most so many frames; decoding stops there.
    pub limit: Option<u64>,
    /// Scales frames down so that the longer side has at most so many pixels.
    pub max_side: Option<u32>,
    /// Leaves out the first samples, as a resumed run does. The others keep their numbers.
    pub skip: u64,
    /// Says of each frame to which shot and drawing it belongs, whatever the policy. Costs a look at the whole film.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lineage: bool,
    /// The caller's choice of speed over exactness: a time may be answered by the last frame before it at which the
    /// decoder can start. Never by a later one, and the frame tells its own time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approximate: bool,
}

/// The rule by which frames are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The frame shown at each multiple of the interval.
    Every(Interval),
    /// The frames shown at these times.
    At(Vec<Duration>),
    /// Every frame at which the decoder can start.
    Keyframes,
    /// Every frame.
    All,
    /// So many frames of each shot, spread over it, each the sharpest around its place.
    Shots {
        /// Frames of a shot, at most: a shot has no more than it has drawings.
        per_shot: NonZeroU32,
    },
    /// The sharpest frame of each stretch of this length. Stretches begin anew with each shot.
    Sharpest {
        /// Length of a stretch.
        window: Interval,
    },
    /// One frame of each held drawing.
    Drawings,
}

impl Policy {
    /// Whether frames are chosen by what they show, after a look at the whole film. Such a policy is served by
    /// [`sample`](super::sample), not by a source alone.
    ///
    /// Black, cards of one colour, writing on one colour, flashes and blends of two shots are left out.
    pub fn looks(&self) -> bool {
        matches!(self, Self::Shots { .. } | Self::Sharpest { .. } | Self::Drawings)
    }

    /// What a source answers to a policy that it cannot serve alone.
    pub(crate) fn not_by_a_source() -> Error {
        Error::new(
            ErrorKind::Unsupported,
            "frames chosen by what they show need a look at the whole film; read them with picchu::source::sample",
        )
        .at(Stage::Sample)
    }
}

/// An exact interval: `numerator / denominator` seconds, in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interval {
    numerator: u64,
    denominator: u64,
}

impl Interval {
    /// `numerator / denominator` seconds.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) unless both are positive.
    pub fn new(numerator: u64, denominator: u64) -> Result<Self> {
        if numerator == 0 || denominator == 0 {
            return Err(Error::invalid("a sampling interval must be longer than zero"));
        }
        let divisor = gcd(numerator, denominator);
        Ok(Self { numerator: numerator / divisor, denominator: denominator / divisor })
    }

    /// The simplest fraction that a decimal number of seconds stands for: 0.04 becomes 1/25, 1001/24000 survives.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) unless `seconds` lies in 0.000001..=1,000,000.
    pub fn from_secs_f64(seconds: f64) -> Result<Self> {
        if !(1e-6..=1e6).contains(&seconds) {
            return Err(Error::invalid(format!(
                "the sampling interval is {seconds} s; it must lie between 0.000001 and 1000000 s"
            )));
        }
        // Continued fraction, until the fraction is as exact as the decimal number itself.
        let (mut p0, mut q0, mut p1, mut q1) = (0_u64, 1_u64, 1_u64, 0_u64);
        let mut rest = seconds;
        for _ in 0..40 {
            let whole = rest.floor();
            let (p, q) = (whole as u64 * p1 + p0, whole as u64 * q1 + q0);
            if q > 1_000_000_000 {
                break;
            }
            (p0, q0, p1, q1) = (p1, q1, p, q);
            if (p1 as f64 / q1 as f64 - seconds).abs() <= seconds * 1e-12 || rest - whole < 1e-12 {
                break;
            }
            rest = 1.0 / (rest - whole);
        }
        Self::new(p1, q1)
    }

    /// Numerator of the seconds.
    pub fn numerator(self) -> u64 {
        self.numerator
    }

    /// Denominator of the seconds.
    pub fn denominator(self) -> u64 {
        self.denominator
    }

    /// As seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

impl Sampling {
    fn new(policy: Policy) -> Self {
        Self {
            policy,
            start: None,
            end: None,
            limit: None,
            max_side: None,
            skip: 0,
            lineage: false,
            approximate: false,
        }
    }

    /// The frame shown at each multiple of `interval`, from time 0.
    pub fn every(interval: Interval) -> Self {
        Self::new(Policy::Every(interval))
    }

    /// The frame shown every so many seconds.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) unless `seconds` lies in 0.000001..=1,000,000.
    pub fn every_secs(seconds: f64) -> Result<Self> {
        Interval::from_secs_f64(seconds).map(Self::every)
    }

    /// So many frames a second, each the one shown at its time.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) unless `fps` lies in 0.000001..=1,000,000.
    pub fn rate(fps: f64) -> Result<Self> {
        if !(1e-6..=1e6).contains(&fps) {
            return Err(Error::invalid(format!(
                "the sampling rate is {fps} frames a second; it must lie between 0.000001 and 1000000"
            )));
        }
        let rate = Interval::from_secs_f64(fps)?;
        Interval::new(rate.denominator, rate.numerator).map(Self::every)
    }

    /// The frames shown at these times. Times are put in order; equal ones count once.
    pub fn at(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        times.dedup();
        Self::new(Policy::At(times))
    }

    /// Every frame at which the decoder can start: cheap, at the film's own rhythm.
    pub fn keyframes() -> Self {
        Self::new(Policy::Keyframes)
    }

    /// Every frame.
    pub fn all() -> Self {
        Self::new(Policy::All)
    }

    /// So many frames of each shot, spread over it: `per_shot` must be at least 1.
    ///
    /// ```
    /// use picchu::Sampling;
    /// assert_eq!(Sampling::shots(3)?.to_string(), "3 frames of each shot");
    /// # Ok::<(), picchu::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for 0.
    pub fn shots(per_shot: u32) -> Result<Self> {
        let per_shot = NonZeroU32::new(per_shot)
            .ok_or_else(|| Error::invalid("0 frames of each shot were asked for; it must be at least 1"))?;
        Ok(Self::new(Policy::Shots { per_shot }))
    }

    /// The sharpest frame of each stretch of so many seconds; stretches begin anew with each shot.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) unless `seconds` lies in 0.000001..=1,000,000.
    pub fn sharpest(seconds: f64) -> Result<Self> {
        Ok(Self::new(Policy::Sharpest { window: Interval::from_secs_f64(seconds)? }))
    }

    /// One frame of each held drawing: in animation on twos and threes, each drawing once.
    pub fn drawings() -> Self {
        Self::new(Policy::Drawings)
    }

    /// Says of each frame to which shot and drawing it belongs, whatever the policy.
    #[must_use]
    pub fn lineage(mut self) -> Self {
        self.lineage = true;
        self
    }

    /// Whether the whole film must be looked at before the first frame comes.
    pub fn looks(&self) -> bool {
        self.lineage || self.policy.looks()
    }

    /// Nothing before `time`.
    #[must_use]
    pub fn start(mut self, time: Duration) -> Self {
        self.start = Some(time);
        self
    }

    /// Nothing at or after `time`.
    #[must_use]
    pub fn end(mut self, time: Duration) -> Self {
        self.end = Some(time);
        self
    }

    /// At most `frames` frames.
    #[must_use]
    pub fn limit(mut self, frames: u64) -> Self {
        self.limit = Some(frames);
        self
    }

    /// Frames scaled down so that the longer side has at most `pixels` pixels.
    #[must_use]
    pub fn max_side(mut self, pixels: u32) -> Self {
        self.max_side = Some(pixels);
        self
    }

    /// Leaves out the first `samples` samples; the others keep their numbers.
    #[must_use]
    pub fn skip(mut self, samples: u64) -> Self {
        self.skip = samples;
        self
    }

    /// Takes the nearest frame before each time at which the decoder can start, instead of the one shown: many times
    /// faster, seconds off. For [`Policy::Every`] and [`Policy::At`]; sources that lose nothing stay exact.
    #[must_use]
    pub fn approximate(mut self) -> Self {
        self.approximate = true;
        self
    }
}

impl Default for Sampling {
    /// One frame a second.
    fn default() -> Self {
        Self::every(Interval { numerator: 1, denominator: 1 })
    }
}

impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.policy {
            Policy::Every(interval) => write!(f, "every {} s", interval.as_secs_f64())?,
            Policy::At(times) => write!(f, "at {} times", times.len())?,
            Policy::Keyframes => f.write_str("keyframes")?,
            Policy::All => f.write_str("every frame")?,
            Policy::Shots { per_shot } if per_shot.get() == 1 => f.write_str("1 frame of each shot")?,
            Policy::Shots { per_shot } => write!(f, "{per_shot} frames of each shot")?,
            Policy::Sharpest { window } => {
                write!(f, "the sharpest frame of each {} s", window.as_secs_f64())?;
            }
            Policy::Drawings => f.write_str("each drawing once")?,
        }
        if self.lineage && !self.policy.looks() {
            f.write_str(", with shots and drawings")?;
        }
        if let Some(start) = self.start {
            write!(f, ", from {} s", start.as_secs_f64())?;
        }
        if let Some(end) = self.end {
            write!(f, ", to {} s", end.as_secs_f64())?;
        }
        if let Some(limit) = self.limit {
            write!(f, ", at most {limit}")?;
        }
        if let Some(side) = self.max_side {
            write!(f, ", longer side {side} px")?;
        }
        Ok(())
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fraction(seconds: f64) -> (u64, u64) {
        let i = Interval::from_secs_f64(seconds).unwrap();
        (i.numerator(), i.denominator())
    }

    #[test]
    fn decimal_seconds_become_the_fraction_they_stand_for() {
        assert_eq!(fraction(1.0), (1, 1));
        assert_eq!(fraction(0.04), (1, 25));
        assert_eq!(fraction(1.0 / 30.0), (1, 30));
        assert_eq!(fraction(1001.0 / 24000.0), (1001, 24000));
        assert_eq!(fraction(2.5), (5, 2));
        assert_eq!(fraction(1e6), (1_000_000, 1));
    }

    #[test]
    fn rates_are_intervals_upside_down() {
        let Policy::Every(interval) = Sampling::rate(30000.0 / 1001.0).unwrap().policy else {
            unreachable!()
        };
        assert_eq!((interval.numerator(), interval.denominator()), (1001, 30000));
    }

    #[test]
    fn zero_negative_and_infinite_rates_are_refused() {
        for fps in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e7] {
            assert!(Sampling::rate(fps).unwrap_err().message().contains("frames a second"), "{fps}");
            assert!(Sampling::every_secs(fps).is_err(), "{fps}");
        }
    }

    #[test]
    fn times_are_ordered_and_counted_once() {
        let s = |n| Duration::from_secs(n);
        assert_eq!(Sampling::at(vec![s(3), s(1), s(3)]).policy, Policy::At(vec![s(1), s(3)]));
    }
}
