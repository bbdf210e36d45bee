//! Moments as services write them.

/// Milliseconds since 1970-01-01 UTC of a moment in RFC 3339, for example `2026-01-31T09:05:00.25Z` or
/// `2026-01-31T10:05:00+01:00`. `None` for anything else, and for what lies before 1970.
pub(crate) fn parse_moment(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let mark = |at: usize, marks: &[u8]| text.as_bytes().get(at).is_some_and(|b| marks.contains(b));
    let marked = mark(4, b"-") && mark(7, b"-") && mark(10, b"T ") && mark(13, b":") && mark(16, b":");
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let real =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !marked || !real {
        return None;
    }
    let rest = text.get(19..)?;
    let fraction = rest.strip_prefix('.').unwrap_or_default();
    let digits = fraction.len() - fraction.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if rest.starts_with('.') && digits == 0 {
        return None;
    }
    let millis: i64 = format!("{:0<3}", &fraction[..digits]).get(..3)?.parse().ok()?;
    let zone = if rest.starts_with('.') { &fraction[digits..] } else { rest };
    let offset_minutes = offset(zone)?;
    // Years begin in March here, so that the leap day comes last; 719,468 days lie between 1 March of year 0 and 1970.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * years + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day - 1 - 719_468;
    let minutes = (days * 24 + hour) * 60 + minute - offset_minutes;
    u64::try_from((minutes * 60 + second) * 1000 + millis).ok()
}

/// Minutes east of UTC: `Z`, `+01:00`, `-0330`.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" || zone == "z" {
        return Some(0);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest.replacen(':', "", 1)),
        ("-", rest) => (-1, rest.replacen(':', "", 1)),
        _ => return None,
    };
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:00.000Z", 951_782_400_000),
            ("2024-02-29T23:59:59.999999Z", 1_709_251_199_999),
            ("2026-11-24T14:34:56.007Z", 1_795_530_896_007),
            ("2026-11-24T15:34:56.007+01:00", 1_795_530_896_007),
            ("2026-11-24 11:04:56.007-0330", 1_795_530_896_007),
            ("2100-03-01T00:00:00.0Z", 4_107_542_400_000),
        ] {
            assert_eq!(parse_moment(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in [
            "",
            "2026-11-24",
            "2026-11-24T14:34:56",
            "2026-13-24T14:34:56Z",
            "2026-11-24T24:34:56Z",
            "2026-11-24T14:34:56.Z",
            "2026-11-24T14:34:56+1",
            "2026-11-24T14:34:56+aa:bb",
            "1969-12-31T23:59:59Z",
            "２026-11-24T14:34:56Z",
            "2026-11-24T14:34:56é",
        ] {
            assert_eq!(parse_moment(text), None, "{text}");
        }
    }
}
