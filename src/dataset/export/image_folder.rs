//! Folders of images with a `metadata.jsonl`, as the `imagefolder` loader of Hugging Face `datasets` reads them.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    Picture, Seen,
    folder::{self, Folder},
    unreadable,
};
use crate::{
    dataset::{from_jsonl, split::Part, to_jsonl},
    error::Result,
};

const METADATA: &str = "metadata.jsonl";
/// The extensions that picchu writes, of the many that the loader takes.
const IMAGES: [&str; 2] = [".png", ".jpg"];

/// One line of `metadata.jsonl`. The loader turns every member into a column.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    /// The image, relative to this file.
    pub(super) file_name: String,
    /// The caption: the column that diffusers takes by default.
    pub(super) text: String,
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub(super) more: Option<More>,
}

/// Columns for people and for other trainers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct More {
    record: String,
    character: String,
    film: String,
    time: f64,
}

impl More {
    pub(super) fn of(picture: &Picture) -> Self {
        Self {
            record: picture.record.clone(),
            character: picture.character.clone(),
            film: picture.film.clone(),
            time: picture.time,
        }
    }
}

/// Writes images into `below` (empty: the folder itself) and returns their lines.
pub(super) fn put(out: &Folder, below: &str, picture: &Picture, more: Option<More>) -> Result<Line> {
    let line = Line { file_name: picture.seen.name.clone(), text: picture.seen.caption.clone(), more };
    out.put(&format!("{below}{}", picture.seen.name), &picture.body)?;
    Ok(line)
}

/// Writes the `metadata.jsonl` of a folder.
pub(super) fn put_lines(out: &Folder, below: &str, lines: &[Line]) -> Result<()> {
    out.put(&format!("{below}{METADATA}"), &to_jsonl(lines)?)
}

/// Reads one folder as the loader does: images without a line, and lines without an image, are errors there.
pub(super) fn read(path: &Path, part: Part) -> Result<Vec<Seen>> {
    let at = path.join(METADATA);
    let lines: Vec<Line> = from_jsonl(&folder::read(&at)?, METADATA)?;
    let mut captions: BTreeMap<String, String> =
        lines.into_iter().map(|line| (line.file_name, line.text)).collect();
    let mut seen = Vec::new();
    for name in folder::files(path)? {
        if !IMAGES.iter().any(|extension| name.ends_with(extension)) {
            continue;
        }
        let caption = captions
            .remove(&name)
            .ok_or_else(|| unreadable(&path.join(&name), "has no line in metadata.jsonl"))?;
        let (width, height, file) = folder::open_image(&folder::read(&path.join(&name))?, &name)?;
        seen.push(Seen { name, caption, width, height, file, part });
    }
    match captions.into_keys().next() {
        Some(name) => Err(unreadable(&at, format!("{name} does not exist"))),
        None => Ok(seen),
    }
}
