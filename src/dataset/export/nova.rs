//! The JSON lines that Amazon Nova Canvas fine-tuning reads: `{"image-ref": "s3://…", "caption": "…"}`.
//!
//! Rules: Nova user guide, "Prepare data for fine-tuning creative content models", and the `s3Uri` pattern of
//! Amazon Bedrock's `CreateModelCustomizationJob`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Folder, Format, Part, Picture, Seen, Writer, folder};
use crate::{
    dataset::{Dataset, Violation, from_jsonl, to_jsonl, validate::refuse},
    error::{AtStage, Error, Result, Stage},
    types::DatasetRules,
};

/// The manifest in an export's folder.
pub(crate) const MANIFEST: &str = "train.jsonl";
/// The images in an export's folder, and below the address that the manifest names.
const IMAGES: &str = "images";

/// Amazon Nova Canvas fine-tuning: a manifest of addresses on S3, with the images that belong there.
#[derive(Debug)]
pub(crate) struct Nova;

impl Format for Nova {
    fn name(&self) -> &'static str {
        "nova"
    }

    fn rules(&self) -> DatasetRules {
        rules()
    }

    /// The folder's root is the address on S3 below which it will lie.
    fn begin<'a>(&self, out: &'a Folder, _: Part) -> Result<Box<dyn Writer + 'a>> {
        let base = out.root().trim_end_matches('/').to_owned();
        check_uri(&base)?;
        Ok(Box::new(Manifest { out, base, lines: Vec::new() }))
    }

    fn read(&self, path: &Path) -> Result<Vec<Seen>> {
        let lines = read(&folder::read(&path.join(MANIFEST))?)?;
        let picture = |line: NovaLine| {
            let name = line.image_ref.rsplit('/').next().unwrap_or_default().to_owned();
            let body = folder::read(&path.join(IMAGES).join(&name))?;
            let (width, height, file) = folder::open_image(&body, &name)?;
            Ok(Seen { name, caption: line.caption, width, height, file, part: Part::Train })
        };
        lines.into_iter().map(picture).collect()
    }
}

/// Writes images, and the manifest at the end.
struct Manifest<'a> {
    out: &'a Folder,
    base: String,
    lines: Vec<NovaLine>,
}

impl Writer for Manifest<'_> {
    fn add(&mut self, picture: Picture) -> Result<()> {
        let Picture { seen, body, .. } = picture;
        let image_ref = format!("{}/{IMAGES}/{}", self.base, seen.name);
        check_uri(&image_ref)?;
        self.out.put(&format!("{IMAGES}/{}", seen.name), &body)?;
        self.lines.push(NovaLine { image_ref, caption: seen.caption });
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.out.put(MANIFEST, &to_jsonl(&self.lines)?)
    }
}

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
    super::check(dataset, &Nova)
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
        return Err(refuse("nova", &violations).at(Stage::Export));
    }
    let (mut lines, mut uploads) = (Vec::new(), Vec::new());
    let (chosen, _) = dataset.parts();
    for (image, _) in chosen.into_iter().filter(|(_, part)| *part == Part::Train) {
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

/// What the service would refuse about an image file.
#[cfg(feature = "aws-train")]
pub(crate) fn unfit(body: &[u8], name: &str) -> Option<String> {
    let rules = rules();
    let (width, height) = match super::dimensions(body, name) {
        Ok(size) => size,
        Err(e) => return Some(e.message().to_owned()),
    };
    let (shorter, longer) = (width.min(height), width.max(height));
    let fits = shorter >= rules.side.0
        && longer <= rules.side.1
        && u64::from(width) * u64::from(height) <= rules.max_pixels
        && longer as f32 <= rules.max_aspect * shorter as f32;
    (!fits).then(|| format!("{width}×{height} pixels are outside what is trained with"))
}

/// Bedrock's pattern for addresses, and the file names that fine-tuning takes:
/// letters, digits, `_`, `-`, `.` between slashes.
pub(crate) fn check_uri(uri: &str) -> Result<()> {
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
