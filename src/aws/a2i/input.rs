//! What a loop is called, and what its workers are shown.

use std::fmt::Write as _;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    dataset::{Dataset, box_in_percent},
    error::{Error, ErrorKind, Result},
    store::Key,
    types::Record,
};

/// Most characters of an input.
const LONGEST: usize = 3_145_728;

/// The name of the loop about a record's image: the same in every run, and unique in the account. At most 63 lower-case
/// letters, digits and hyphens.
pub(super) fn loop_name(flow: &str, record: &Record) -> String {
    let image = record.crop.as_ref().map_or("", |crop| crop.sha256.as_str());
    let mut hash = Sha256::new();
    for part in [flow, &record.film, &record.id, image] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut name = String::from("picchu-");
    for byte in hash.finalize().iter().take(20) {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// The input of a loop, as the template reads it.
pub(super) fn content(dataset: &Dataset, raw: &Record) -> Result<String> {
    let record = dataset.corrected(raw);
    let Some(crop) = &record.crop else {
        return Err(Error::internal(format!("record {} has no image", record.id)));
    };
    let image = dataset.store().uri(&Key::new(crop.image.as_str())?);
    if !image.starts_with("s3://") {
        return Err(Error::new(
            ErrorKind::Config,
            format!(
                "A2I shows its workers images from S3, but {image} is not there: copy the dataset with `aws s3 sync` and \
                 review the copy, s3://bucket/prefix"
            ),
        ));
    }
    let shown = dataset.shown(raw);
    let content = json!({
        "record": raw.id,
        "image": image,
        "sha256": crop.sha256,
        "character": shown.character.unwrap_or_default(),
        "caption": shown.caption.unwrap_or_default(),
        "characters": dataset.names(),
        "box": box_in_percent(record),
    })
    .to_string();
    // A character is at least a byte.
    if content.len() > LONGEST {
        return Err(Error::invalid(format!(
            "what A2I would be told of record {} has {} bytes; it takes {LONGEST} characters",
            raw.id,
            content.len()
        )));
    }
    Ok(content)
}
