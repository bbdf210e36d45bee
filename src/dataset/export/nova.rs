//! The JSON lines that Amazon Nova Canvas fine-tuning reads: `{"image-ref": "s3://…", "caption": "…"}`.
//!
//! Rules: Nova user guide, "Prepare data for fine-tuning creative content models", and the `s3Uri` pattern of
//! Amazon Bedrock's `CreateModelCustomizationJob`.

use serde::{Deserialize, Serialize};

use crate::{
    dataset::{Dataset, Violation, from_jsonl, to_jsonl, validate},
    error::{AtStage, Error, Result, Stage},
    types::DatasetRules,
};

/// One line of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NovaLine {
    /// Address of the image on S3.
    #[serde(rename = "image-ref")]
    pub image_ref: String,
    /// Caption of 3 to 1,024 characters.
    pub caption: String,
}

/// A manifest that was read back and found to say what the dataset says.
#[derive(Clone, Debug)]
pub struct NovaManifest {
    /// The JSON lines.
    pub body: Vec<u8>,
    /// The lines, in order.
    pub lines: Vec<NovaLine>,
    /// Where each image has to lie: key in the dataset and address on S3.
    pub uploads: Vec<(String, String)>,
}

/// What the service takes.
pub fn rules() -> DatasetRules {
    DatasetRules {
        format: "nova".into(),
        source: "Amazon Nova user guide: fine-tuning creative content models, data preparation".into(),
        records: (5, 10_000),
        caption_chars: (3, 1024),
        side: (512, 4096),
        max_pixels: 12_582_912,
        max_bytes: 50 * 1024 * 1024,
        max_aspect: 4.0,
    }
}

/// Every rule that the dataset breaks.
pub fn check(dataset: &Dataset) -> Vec<Violation> {
    validate(dataset.training_images(), &rules())
}

/// Makes the manifest of a dataset whose files will lie below `uri`, for example `s3://bucket/film`.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an address that Bedrock does not take, for a dataset that
/// breaks a [rule](rules) (the message lists all), or for an image that is not the one that was written.
pub async fn manifest(dataset: &Dataset, uri: &str) -> Result<NovaManifest> {
    let base = uri.trim_end_matches('/');
    check_uri(base).at(Stage::Export)?;
    let violations = check(dataset);
    if !violations.is_empty() {
        return Err(refuse(&violations).at(Stage::Export));
    }
    let (mut lines, mut uploads) = (Vec::new(), Vec::new());
    for image in dataset.training_images() {
        dataset.image_bytes(image.record).await.at(Stage::Export)?;
        let image_ref = format!("{base}/{}", image.image);
        check_uri(&image_ref).at(Stage::Export)?;
        lines.push(NovaLine { image_ref: image_ref.clone(), caption: image.caption.to_owned() });
        uploads.push((image.image.to_owned(), image_ref));
    }
    let body = to_jsonl(&lines).at(Stage::Export)?;
    if read(&body)? != lines {
        return Err(Error::internal("the manifest does not read back as it was written").at(Stage::Export));
    }
    Ok(NovaManifest { body, lines, uploads })
}

/// Reads a manifest as strictly as the service does.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) names the line: blank lines, a byte order mark, unknown or
/// missing members, captions and addresses that the service refuses.
pub fn read(body: &[u8]) -> Result<Vec<NovaLine>> {
    let lines: Vec<NovaLine> = from_jsonl(body, "manifest").at(Stage::Export)?;
    let (fewest, most) = rules().caption_chars;
    for (number, line) in lines.iter().enumerate() {
        let refuse =
            |why: String| Error::invalid(format!("manifest, line {}: {why}", number + 1)).at(Stage::Export);
        check_uri(&line.image_ref).map_err(|e| refuse(e.message().to_owned()))?;
        let chars = line.caption.chars().count();
        if !(fewest..=most).contains(&chars) {
            return Err(refuse(format!("caption of {chars} characters; {fewest} to {most} are allowed")));
        }
    }
    Ok(lines)
}

/// Bedrock's pattern for addresses, and the file names that fine-tuning takes:
/// letters, digits, `_`, `-`, `.` between slashes.
fn check_uri(uri: &str) -> Result<()> {
    let refuse = |why: &str| Err(Error::invalid(format!("{uri:?} cannot be used: {why}")));
    let Some(rest) = uri.strip_prefix("s3://") else {
        return refuse("an address must begin with s3://");
    };
    if uri.len() > 1024 {
        return refuse("an address must have at most 1024 characters");
    }
    let (bucket, path) = rest.split_once('/').map_or((rest, None), |(b, p)| (b, Some(p)));
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    if !(3..=63).contains(&bucket.len())
        || !edge(bucket.chars().next())
        || !edge(bucket.chars().last())
        || !bucket.chars().all(inner)
    {
        return refuse("a bucket's name has 3 to 63 lower-case letters, digits, '-' and '.'");
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if path.is_some_and(|p| p.split('/').any(|part| part.is_empty() || !part.chars().all(allowed))) {
        return refuse("Bedrock takes only letters, digits, '-', '_' and '.' between single slashes");
    }
    Ok(())
}

fn refuse(violations: &[Violation]) -> Error {
    const SHOWN: usize = 20;
    let mut lines = vec![format!("the dataset breaks Nova Canvas's rules in {} places:", violations.len())];
    lines.extend(violations.iter().take(SHOWN).map(|v| {
        let place = v.record.as_deref().unwrap_or("dataset");
        format!("  {place}: {} ({})", v.message, v.mend)
    }));
    if violations.len() > SHOWN {
        lines.push(format!("  … and {} more", violations.len() - SHOWN));
    }
    Error::invalid(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_bedrock_refuses_are_refused_here() {
        for good in ["s3://my-bucket", "s3://my-bucket/film/images/a-1_b.png", "s3://abc/x"] {
            assert!(check_uri(good).is_ok(), "{good}");
        }
        for bad in [
            "my-bucket/film",
            "https://my-bucket/film",
            "s3://ab/film",
            "s3://My-Bucket/film",
            "s3://-bucket/film",
            "s3://my-bucket/film name",
            "s3://my-bucket/a=1",
            "s3://my-bucket//a",
            "s3://my-bucket/映画",
        ] {
            assert!(check_uri(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_reader_is_as_strict_as_the_service() {
        let good = br#"{"image-ref":"s3://my-bucket/a.png","caption":"Ana waits."}"#;
        assert_eq!(read(good).unwrap().len(), 1);
        for bad in [
            &b"\xef\xbb\xbf{\"image-ref\":\"s3://my-bucket/a.png\",\"caption\":\"Ana waits.\"}"[..],
            b"{\"image_ref\":\"s3://my-bucket/a.png\",\"caption\":\"Ana waits.\"}",
            b"{\"image-ref\":\"s3://my-bucket/a.png\",\"caption\":\"no\"}",
            b"{\"image-ref\":\"a.png\",\"caption\":\"Ana waits.\"}",
            b"{\"image-ref\":\"s3://my-bucket/a.png\",\"caption\":\"Ana waits.\"}\n\n",
            b"{\n\"image-ref\":\"s3://my-bucket/a.png\",\"caption\":\"Ana waits.\"}",
        ] {
            assert!(read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
