//! The numbers that Nova Canvas training takes, as exact decimal strings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::types::Finding;

/// How many steps are trained.
const STEPS: &str = "stepCount";
/// Pictures of a step.
const BATCH: &str = "batchSize";
/// How far a step goes.
const RATE: &str = "learningRate";

/// What one of the numbers may be: Bedrock user guide, "Custom model hyperparameters", Amazon Nova Canvas.
#[derive(Clone, Copy, Debug)]
struct Range {
    name: &'static str,
    least: f64,
    most: f64,
    usual: &'static str,
    whole: bool,
}

const RANGES: [Range; 3] = [
    Range { name: STEPS, least: 10.0, most: 20_000.0, usual: "500", whole: true },
    Range { name: BATCH, least: 8.0, most: 192.0, usual: "8", whole: true },
    Range { name: RATE, least: 1e-7, most: 1e-4, usual: "0.00001", whole: false },
];

/// Numbers by their names.
pub type Hyperparameters = BTreeMap<String, String>;

/// A set of numbers with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// The service's own defaults.
    Service,
    /// A long, careful run, with which characters of an animated film were trained: 14,000 steps of 64 pictures at a
    /// rate of 0.000001.
    Characters,
}

impl Preset {
    /// Its numbers.
    ///
    /// ```
    /// use picchu::aws::bedrock::Preset;
    /// assert_eq!(Preset::Characters.values()["learningRate"], "0.000001");
    /// ```
    pub fn values(self) -> Hyperparameters {
        match self {
            Self::Service => RANGES.iter().map(|r| (r.name.to_owned(), r.usual.to_owned())).collect(),
            Self::Characters => values("14000", "64", "0.000001"),
        }
    }
}

fn values(steps: &str, batch: &str, rate: &str) -> Hyperparameters {
    [(STEPS, steps), (BATCH, batch), (RATE, rate)].map(|(name, v)| (name.to_owned(), v.to_owned())).into()
}

/// Everything that the service would refuse: names that it does not know, numbers out of range, and numbers that are no
/// plain decimals, such as `1e-6`.
pub(super) fn check(given: &Hyperparameters) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, text) in given {
        let Some(range) = RANGES.iter().find(|r| r.name == name) else {
            let names: Vec<_> = RANGES.iter().map(|r| r.name).collect();
            findings.push(Finding::error(
                format!("there is no hyperparameter {name}"),
                format!("use {}", names.join(", ")),
            ));
            continue;
        };
        let allowed = format!(
            "{} to {}{}",
            plain(range.least),
            plain(range.most),
            if range.whole { ", whole" } else { "" }
        );
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let decimal =
            text.split_once('.').map_or(digits(text), |(whole, rest)| digits(whole) && digits(rest));
        if !decimal || (range.whole && text.contains('.')) {
            findings.push(Finding::error(format!("{name} is {text:?}, not a plain decimal number"), allowed));
        } else if !text.parse().is_ok_and(|value: f64| (range.least..=range.most).contains(&value)) {
            findings.push(Finding::error(format!("{name} is {text}"), allowed));
        }
    }
    findings
}

/// How many pictures a job looks at, which is what it is paid by: steps times pictures of a step.
pub(super) fn pictures_seen(given: &Hyperparameters) -> u64 {
    let number = |name: &str| {
        let range = RANGES.iter().find(|r| r.name == name);
        given.get(name).map(String::as_str).or(range.map(|r| r.usual)).and_then(|v| v.parse::<u64>().ok())
    };
    number(STEPS).unwrap_or(0) * number(BATCH).unwrap_or(0)
}

/// A suggestion with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    /// The numbers.
    pub values: Hyperparameters,
    /// Why these.
    pub reason: String,
}

/// How often each picture is seen where nobody says otherwise: a rule of thumb, to be judged by the pictures that come
/// out.
const LOOKS: u64 = 200;

/// Numbers for a dataset of so many pictures: a start, not an answer.
pub fn suggest(pictures: usize) -> Suggestion {
    let pictures = pictures.max(1) as u64;
    let batch: u64 = if pictures < 200 { 8 } else { 64 };
    let steps = (pictures * LOOKS).div_ceil(batch).clamp(500, 14_000);
    let seen = steps * batch / pictures;
    Suggestion {
        values: values(
            &steps.to_string(),
            &batch.to_string(),
            if batch == 8 { "0.00001" } else { "0.000001" },
        ),
        reason: format!(
            "{pictures} pictures, each seen about {seen} times; {}. A rule of thumb: judge by the pictures, and change \
             the steps first",
            if batch == 8 {
                "few pictures train in the service's smallest batches"
            } else {
                "many pictures train in large batches at a low rate"
            }
        ),
    }
}

/// Further tries around a set of numbers, each with one change, in the order in which they are worth their money: steps
/// first, then the batch, then the rate.
pub fn sweep(base: &Hyperparameters) -> Vec<Hyperparameters> {
    let mut tries = Vec::new();
    for (name, factors) in [(STEPS, [0.5, 1.5]), (BATCH, [0.5, 2.0]), (RATE, [0.3, 3.0])] {
        let Some(range) = RANGES.iter().find(|r| r.name == name) else { continue };
        let Ok(value) = base.get(name).map_or(range.usual, String::as_str).parse::<f64>() else { continue };
        for factor in factors {
            let changed = (value * factor).clamp(range.least, range.most);
            let changed = if range.whole { changed.round() } else { changed };
            if (changed - value).abs() > value * 1e-9 {
                let mut one = base.clone();
                one.insert(name.to_owned(), plain(changed));
                tries.push(one);
            }
        }
    }
    tries
}

/// A number in plain decimals, without an exponent and without the dust of binary fractions.
fn plain(value: f64) -> String {
    let text = format!("{value:.10}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_suggestions_and_sweeps_are_what_the_service_takes() {
        let mut all = vec![Preset::Service.values(), Preset::Characters.values()];
        all.extend([1, 5, 60, 199, 200, 10_000].map(|n| suggest(n).values));
        all.extend(sweep(&Preset::Characters.values()));
        all.extend(sweep(&Preset::Service.values()));
        for values in &all {
            assert_eq!(check(values), [], "{values:?}");
            assert_eq!(values.len(), 3);
        }
        let tries = sweep(&Preset::Characters.values());
        assert_eq!(
            (tries.len(), tries[0][STEPS].as_str(), tries[4][RATE].as_str()),
            (6, "7000", "0.0000003")
        );
        assert_eq!(pictures_seen(&Preset::Characters.values()), 896_000);
    }

    #[test]
    fn what_the_service_refuses_is_told() {
        for (name, value) in [
            (STEPS, "9"),
            (STEPS, "20001"),
            (STEPS, "500.0"),
            (BATCH, "7"),
            (RATE, "1e-6"),
            (RATE, "0.00000009"),
            (RATE, ".00001"),
            (RATE, "+0.00001"),
            (RATE, "NaN"),
            ("epochs", "3"),
        ] {
            let found = check(&[(name.to_owned(), value.to_owned())].into());
            assert_eq!(found.len(), 1, "{name}={value}");
        }
    }
}
