//! JSON lines: one compact object a line, no blank lines, a newline at the end.

use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, Result};

/// Writes objects as JSON lines.
///
/// # Errors
/// [`Internal`](crate::ErrorKind::Internal) for data that JSON cannot express.
pub fn to_jsonl<'a, T: Serialize + 'a>(items: impl IntoIterator<Item = &'a T>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    for item in items {
        serde_json::to_writer(&mut body, item)
            .map_err(|e| Error::internal(format!("cannot write JSON: {e}")).with_source(e))?;
        body.push(b'\n');
    }
    Ok(body)
}

/// Reads JSON lines. `file` names them in messages.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) names the first line that cannot be read.
pub fn from_jsonl<T: DeserializeOwned>(body: &[u8], file: &str) -> Result<Vec<T>> {
    let lines = body.strip_suffix(b"\n").unwrap_or(body);
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    lines
        .split(|&b| b == b'\n')
        .enumerate()
        .map(|(number, line)| {
            serde_json::from_slice(line)
                .map_err(|e| Error::invalid(format!("{file}, line {}: {e}", number + 1)).with_source(e))
        })
        .collect()
}

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrokenLine {
    /// Its number in the file, from 1.
    pub(crate) number: usize,
    /// Why, in words.
    pub(crate) reason: String,
}

/// Reads the lines that can be read, and says which cannot.
pub(crate) fn salvage_jsonl<T: DeserializeOwned>(body: &[u8]) -> (Vec<T>, Vec<BrokenLine>) {
    let (mut items, mut broken) = (Vec::new(), Vec::new());
    let lines = body.strip_suffix(b"\n").unwrap_or(body);
    if lines.is_empty() {
        return (items, broken);
    }
    let last = lines.split(|&b| b == b'\n').count();
    for (number, line) in (1..).zip(lines.split(|&b| b == b'\n')) {
        match serde_json::from_slice(line) {
            Ok(item) => items.push(item),
            Err(e) if number == last && !body.ends_with(b"\n") => {
                broken.push(BrokenLine { number, reason: format!("the last line is torn ({e})") });
            }
            Err(e) => broken.push(BrokenLine { number, reason: e.to_string() }),
        }
    }
    (items, broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_round_trip_and_errors_name_the_line() {
        let body = to_jsonl(&[1, 2, 3]).unwrap();
        assert_eq!(body, b"1\n2\n3\n");
        assert_eq!(from_jsonl::<i32>(&body, "x").unwrap(), vec![1, 2, 3]);
        assert_eq!(from_jsonl::<i32>(b"", "x").unwrap(), Vec::<i32>::new());
        let error = from_jsonl::<i32>(b"1\n{", "records.jsonl").unwrap_err();
        assert!(error.message().starts_with("records.jsonl, line 2"), "{error}");
        assert!(from_jsonl::<i32>(b"1\n\n2\n", "x").is_err());
    }

    #[test]
    fn torn_and_broken_lines_are_named_and_the_others_kept() {
        let (items, broken) = salvage_jsonl::<i32>(b"1\n{\n\n4\n5");
        assert_eq!(items, [1, 4, 5]);
        assert_eq!(broken.iter().map(|b| b.number).collect::<Vec<_>>(), [2, 3]);
        let (items, broken) = salvage_jsonl::<i32>(b"1\n2\n[3");
        assert_eq!((items.len(), broken[0].number), (2, 3));
        assert!(broken[0].reason.contains("torn"), "{}", broken[0].reason);
        assert_eq!(salvage_jsonl::<i32>(b"").0.len(), 0);
        let bytes = [b"1\n".as_slice(), &[0xff, 0, b'\n'], b"2\n"].concat();
        assert_eq!(salvage_jsonl::<i32>(&bytes).0, [1, 2]);
    }
}
