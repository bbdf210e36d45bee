//! What the commands print and ask.

#[cfg(any(feature = "aws-rekognition", feature = "aws-bedrock", feature = "local-train"))]
use std::io::{BufRead, IsTerminal, Write};

#[cfg(any(feature = "aws-rekognition", feature = "aws-bedrock", feature = "local-train"))]
use crate::ErrorKind;
use crate::{Error, Result, types::Usage};

/// A value as one line of JSON.
pub(crate) fn to_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))
}

/// What paid calls used and cost; nothing where there were none.
pub(crate) fn usage(usage: &Usage) -> Option<String> {
    let unpriced = match usage.unpriced_requests {
        0 => String::new(),
        n => format!(" and {n} calls whose price is not known"),
    };
    (usage.requests > 0)
        .then(|| format!("{} paid calls, {:.4} US dollars{unpriced}", usage.requests, usage.usd))
}

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Asks on the terminal whether to go on.
#[cfg(any(feature = "aws-rekognition", feature = "aws-bedrock", feature = "local-train"))]
pub(crate) fn ask(question: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::new(ErrorKind::Config, "nobody is there to ask; give --yes to go on"));
    }
    print!("{question} [y/N] ");
    let fail = |e: std::io::Error| Error::internal(format!("cannot ask: {e}"));
    std::io::stdout().flush().map_err(fail)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(fail)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
