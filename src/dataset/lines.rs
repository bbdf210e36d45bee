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
}
