//! Names of objects.

use std::fmt::{self, Write as _};

use crate::error::{Error, Result};

/// A relative, slash-separated name of an object, safe on every store and for every trainer:
/// parts of ASCII letters, digits, `.`, `_` and `-`, none of them `.` or `..`, at most 900 characters in all.
///
/// ```
/// use picchu::store::Key;
/// assert!(Key::new("images/film-00012000-0.png").is_ok());
/// assert!(Key::new("../secrets").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// Checks a name.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) says which part breaks which rule.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let refuse = |why: &str| Err(Error::invalid(format!("{:?} is not a key: {why}", shorten(&name))));
        if name.is_empty() || name.len() > 900 {
            return refuse("it must have 1 to 900 characters");
        }
        for part in name.split('/') {
            if part.is_empty() || part == "." || part == ".." {
                return refuse("its parts must not be empty, \".\" or \"..\"");
            }
            if !part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
                return refuse("only ASCII letters, digits, '.', '_', '-' and '/' may stand in it");
            }
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this key lies below `prefix`.
    pub fn is_below(&self, prefix: &Key) -> bool {
        self.0.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<&str> for Key {
    type Error = Error;

    fn try_from(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

/// Beginning of escaped parts.
const ESCAPED: &str = "x-";

fn shorten(name: &str) -> String {
    name.chars().take(80).collect()
}

/// Makes a part of a key out of any text: lower-case ASCII letters, digits and hyphens, at most 40 characters.
///
/// ```
/// assert_eq!(picchu::store::slug("Penny & Chip (final).mp4"), "penny-chip-final-mp4");
/// assert_eq!(picchu::store::slug("映画"), "film");
/// ```
pub fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        if slug.len() >= 40 {
            break;
        }
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "film".into() } else { slug.into() }
}

/// Makes one part of a key out of any text, so that [`unescape`] gives the text back. Text that is a part already
/// stays as it is; other text begins with `x-`, and bytes that may not stand in a key are `_` and two digits.
///
/// ```
/// use picchu::store::{escape, unescape};
/// assert_eq!(escape("episode_1.mp4"), "episode_1.mp4");
/// assert_eq!(escape("Épisode 1"), "x-_C3_89pisode_201");
/// assert_eq!(unescape(&escape("Épisode 1")), "Épisode 1");
/// ```
pub fn escape(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let dots = matches!(text, "." | "..");
    if !text.is_empty() && !dots && !text.starts_with(ESCAPED) && text.bytes().all(|b| plain(b) || b == b'_')
    {
        return text.to_owned();
    }
    let mut escaped = ESCAPED.to_owned();
    for byte in text.bytes() {
        if plain(byte) && !dots {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "_{byte:02X}");
        }
    }
    escaped
}

/// Gives back what [`escape`] was given; anything else stays as it is.
pub fn unescape(part: &str) -> String {
    let decode = || {
        let mut rest = part.strip_prefix(ESCAPED)?.as_bytes();
        let mut bytes = Vec::with_capacity(rest.len());
        while let Some((&first, more)) = rest.split_first() {
            rest = more;
            if first == b'_' {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &rest[2..];
            } else {
                bytes.push(first);
            }
        }
        String::from_utf8(bytes).ok()
    };
    decode().unwrap_or_else(|| part.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        for name in ["", "/etc/passwd", "a//b", "a/../b", "..", ".", "a\\b", "a\0b", "a b", "ä", "a/", "c:x"]
        {
            assert!(Key::new(name).is_err(), "{name:?}");
        }
        assert!(Key::new("a".repeat(901)).is_err());
    }

    proptest! {
        #[test]
        fn every_text_has_a_slug_that_is_a_key(text in ".{0,200}") {
            prop_assert!(Key::new(slug(&text)).is_ok());
        }

        #[test]
        fn every_text_is_escaped_and_comes_back(text in "(x-)?(.|[_a-z0-9]|\\PC|[\u{0}-\u{20}]){0,60}") {
            prop_assert!(Key::new(escape(&text)).is_ok(), "{}", escape(&text));
            prop_assert_eq!(unescape(&escape(&text)), text);
        }
    }
}
