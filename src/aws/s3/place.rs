//! Addresses: `s3://bucket/prefix`.

use std::fmt;

use crate::{
    error::{Error, Result, Stage},
    store::{escape, unescape},
};

/// A bucket and a prefix in it, safe for every service that reads from S3.
///
/// Amazon Bedrock takes only letters, digits, `-`, `_` and `.` in addresses. Parts with anything else, for example a
/// film's title in any language, are [escaped](crate::store::escape), and [`title`](Self::title) gives them back.
///
/// ```
/// use picchu::aws::S3Place;
/// let place = S3Place::parse("s3://bucket/films/映画 1")?;
/// assert_eq!(place.to_string(), "s3://bucket/films/x-_E6_98_A0_E7_94_BB_201");
/// assert_eq!(place.title(), "films/映画 1");
/// # Ok::<(), picchu::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct S3Place {
    pub(super) bucket: String,
    /// Empty, or escaped parts with slashes between them.
    prefix: String,
}

impl S3Place {
    /// Takes an address apart.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for what is no address or names no bucket.
    pub fn parse(uri: &str) -> Result<Self> {
        let refuse = |why: &str| {
            let shown: String = uri.chars().take(200).collect();
            Err(Error::invalid(format!("{shown:?} is not a place on S3: {why}")).at(Stage::Dataset))
        };
        let Some(rest) = uri.strip_prefix("s3://") else { return refuse("it must begin with s3://") };
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        if !(3..=63).contains(&bucket.len())
            || !edge(bucket.chars().next())
            || !edge(bucket.chars().last())
            || !bucket.chars().all(inner)
        {
            return refuse("a bucket's name has 3 to 63 lower-case letters, digits, '-' and '.'");
        }
        let mut parts = Vec::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            if matches!(part, "." | "..") {
                return refuse("its parts must not be \".\" or \"..\"");
            }
            parts.push(escape(part));
        }
        let prefix = parts.join("/");
        // Room for the dataset's own names below.
        if prefix.len() > 500 {
            return refuse("it is too long: at most 500 characters after the bucket, escaped");
        }
        Ok(Self { bucket: bucket.to_owned(), prefix })
    }

    /// The bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The prefix as people wrote it.
    pub fn title(&self) -> String {
        self.prefix.split('/').map(unescape).collect::<Vec<_>>().join("/")
    }

    /// The whole key of an object, or the beginning of all for an empty name.
    pub(super) fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) }
    }

    pub(super) fn uri(&self, name: &str) -> String {
        format!("s3://{}/{}", self.bucket, self.key(name))
    }
}

impl fmt::Display for S3Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_checked_and_made_safe() {
        let place = S3Place::parse("s3://my-bucket//films/ep.1/").unwrap();
        assert_eq!(
            (place.to_string(), place.key("a")),
            ("s3://my-bucket/films/ep.1".into(), "films/ep.1/a".into())
        );
        assert_eq!(S3Place::parse("s3://my-bucket").unwrap().key("a"), "a");
        for bad in
            ["my-bucket/film", "s3://", "s3://ab/x", "s3://My-Bucket/x", "s3://bucket/../x", "s3://-bucket"]
        {
            assert!(S3Place::parse(bad).is_err(), "{bad}");
        }
        assert!(S3Place::parse(&format!("s3://bucket/{}", "映".repeat(200))).is_err());
    }
}
