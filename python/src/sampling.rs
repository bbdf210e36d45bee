//! Which frames to take, as the façade asks for them.

use std::time::Duration;

use picchu::{Error, Result, Sampling};
use serde::Deserialize;

/// The options of `sample` and `frames`. Times are in seconds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SamplingOptions {
    rule: Rule,
    start: Option<f64>,
    end: Option<f64>,
    limit: Option<u64>,
    max_side: Option<u32>,
    #[serde(default)]
    lineage: bool,
    approximate: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Rule {
    Every(f64),
    Fps(f64),
    At(Vec<f64>),
    Keyframes,
    All,
    PerShot(u32),
    Sharpest(f64),
    Drawings,
}

impl SamplingOptions {
    pub(crate) fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|e| Error::invalid(format!("the sampling is not understood: {e}")))
    }

    pub(crate) fn build(self) -> Result<Sampling> {
        let mut sampling = match self.rule {
            Rule::Every(interval) => Sampling::every_secs(interval)?,
            Rule::Fps(rate) => Sampling::rate(rate)?,
            Rule::At(times) => {
                Sampling::at(times.into_iter().map(|t| seconds("at", t)).collect::<Result<_>>()?)
            }
            Rule::Keyframes => Sampling::keyframes(),
            Rule::All => Sampling::all(),
            Rule::PerShot(frames) => Sampling::shots(frames)?,
            Rule::Sharpest(window) => Sampling::sharpest(window)?,
            Rule::Drawings => Sampling::drawings(),
        };
        sampling.start = self.start.map(|t| seconds("start", t)).transpose()?;
        sampling.end = self.end.map(|t| seconds("end", t)).transpose()?;
        sampling.limit = self.limit;
        sampling.max_side = self.max_side;
        sampling.lineage = self.lineage;
        sampling.approximate = self.approximate;
        Ok(sampling)
    }
}

fn seconds(option: &str, value: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(value).map_err(|e| {
        Error::invalid(format!("{option} is {value} s; it must be a time in seconds from 0 on: {e}"))
    })
}
