//! A sampling as the decoder's arguments.

use std::{ffi::OsString, time::Duration};

use crate::{
    error::{Error, Result, Stage},
    source::{Policy, Sampling},
};

/// Most explicit times in one request: they travel on a command line.
const MAX_TIMES: usize = 100_000;
/// Bytes of times in one argument: below what any system takes.
const TIMES_PER_ARGUMENT: usize = 64 * 1024;

/// A sampling as the decoder's arguments.
pub(super) fn request(sampling: &Sampling) -> Result<Vec<OsString>> {
    let too_far = || Error::invalid("the sampling's times are too large").at(Stage::Sample);
    let nanoseconds = |time: Duration| {
        i64::try_from(time.as_nanos()).ok().filter(|ns| *ns < i64::MAX / 4).ok_or_else(too_far)
    };
    let start = nanoseconds(sampling.start.unwrap_or_default())?;
    let mut arguments: Vec<OsString> = Vec::new();
    match &sampling.policy {
        Policy::Every(interval) => {
            // Start and interval over one denominator, so that no time is ever rounded.
            let (top, bottom) = (u128::from(interval.numerator()), u128::from(interval.denominator()));
            let second = 1_000_000_000;
            let den = if start == 0 { bottom } else { bottom / gcd(bottom, second) * second };
            let fits = |n: Option<u128>| n.filter(|n| *n < i64::MAX as u128 / 4).ok_or_else(too_far);
            let den = fits(Some(den))?;
            let step = fits(top.checked_mul(den / bottom))?;
            let from = if start == 0 { 0 } else { fits((start as u128).checked_mul(den / second))? };
            arguments.push(format!("--grid={from},{step},{den}").into());
        }
        Policy::At(times) => {
            if times.len() > MAX_TIMES {
                return Err(Error::invalid(format!(
                    "{} times were asked for; one request takes at most {MAX_TIMES}",
                    times.len()
                ))
                .at(Stage::Sample));
            }
            let mut text = String::from("--times=");
            let mut last = 0;
            for time in times.iter().filter(|time| sampling.start.is_none_or(|start| **time >= start)) {
                let time = nanoseconds(*time)?;
                if sampling.end.is_some_and(|end| Duration::from_nanos(time as u64) >= end) {
                    break;
                }
                // `Policy::At` is public: its times may be unordered.
                let step = time.checked_sub(last).filter(|step| *step >= 0).ok_or_else(|| {
                    Error::invalid("explicit times must be in order; Sampling::at puts them so")
                        .at(Stage::Sample)
                })?;
                if text.len() > TIMES_PER_ARGUMENT {
                    arguments.push(std::mem::replace(&mut text, String::from("--times=")).into());
                }
                if !text.ends_with('=') {
                    text.push(',');
                }
                text.push_str(&step.to_string());
                last = time;
            }
            arguments.push(text.into());
        }
        Policy::Keyframes => arguments.push("--keys".into()),
        Policy::All => arguments.push("--all".into()),
        Policy::Shots { .. } | Policy::Sharpest { .. } | Policy::Drawings => {
            return Err(Policy::not_by_a_source());
        }
    }
    if start > 0 {
        arguments.push(format!("--start-ns={start}").into());
    }
    if let Some(end) = sampling.end {
        arguments.push(format!("--end-ns={}", nanoseconds(end)?).into());
    }
    if let Some(limit) = sampling.limit {
        arguments.push(format!("--limit={}", limit.min(i64::MAX as u64)).into());
    }
    if sampling.approximate {
        arguments.push("--approximate".into());
    }
    if sampling.skip > 0 {
        arguments.push(format!("--skip={}", sampling.skip.min(i64::MAX as u64)).into());
    }
    Ok(arguments)
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::ErrorKind, source::Interval};

    fn arguments(sampling: &Sampling) -> Vec<String> {
        request(sampling).unwrap().into_iter().map(|a| a.into_string().unwrap()).collect()
    }

    #[test]
    fn grids_are_exact_fractions() {
        let ntsc = Sampling::every(Interval::new(1001, 30000).unwrap());
        assert_eq!(arguments(&ntsc), ["--grid=0,1001,30000"]);
        let late = ntsc.start(Duration::from_millis(500)).limit(7).skip(2);
        assert_eq!(
            arguments(&late),
            ["--grid=1500000000,100100000,3000000000", "--start-ns=500000000", "--limit=7", "--skip=2"]
        );
    }

    #[test]
    fn times_travel_as_differences_within_the_range() {
        let s = Duration::from_secs;
        let sampling = Sampling::at(vec![s(1), s(3), s(4), s(9)]).start(s(2)).end(s(9));
        assert_eq!(
            arguments(&sampling),
            ["--times=3000000000,1000000000", "--start-ns=2000000000", "--end-ns=9000000000"]
        );
        let many = Sampling::at((0..50_000).map(Duration::from_secs).collect());
        assert!(arguments(&many).iter().all(|a| a.len() < 70_000));
        let mut unordered = Sampling::at(vec![]);
        unordered.policy = Policy::At(vec![s(2), s(1)]);
        assert!(request(&unordered).unwrap_err().message().contains("in order"));
        assert!(request(&Sampling::at((0..200_000).map(s).collect())).is_err());
    }

    #[test]
    fn impossible_times_are_refused() {
        let far = Sampling::every_secs(1.0).unwrap().start(Duration::MAX);
        assert_eq!(request(&far).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
