//! Folders of images with a `metadata.jsonl`, as the `imagefolder` loader of Hugging Face `datasets` reads them.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    Part, Picture, Seen, Writer,
    folder::{self, Folder},
    unreadable,
};
use crate::{
    dataset::{from_jsonl, to_jsonl},
    error::Result,
};

const METADATA: &str = "metadata.jsonl";
/// The extensions that picchu writes, of the many that the loader takes.
const IMAGES: [&str; 2] = [".png", ".jpg"];

/// One line of `metadata.jsonl`. The loader turns every member into a column.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    /// The image, relative to this file.
    file_name: String,
    /// The caption: the column that diffusers takes by default.
    text: String,
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    more: Option<More>,
}

/// Columns for people and for other trainers.
#[derive(Debug, Serialize, Deserialize)]
struct More {
    record: String,
    character: String,
    film: String,
    time: f64,
}

/// Writes images into a folder, and their `metadata.jsonl` at the end.
pub(super) struct ImageFolder<'a> {
    out: &'a Folder,
    below: &'static str,
    more: bool,
    lines: Vec<Line>,
}

impl<'a> ImageFolder<'a> {
    /// `below` ends with a slash, or is empty: the export's folder itself.
    pub(super) fn new(out: &'a Folder, below: &'static str) -> Self {
        Self { out, below, more: false, lines: Vec::new() }
    }

    /// With columns for people and for other trainers.
    pub(super) fn with_more(mut self) -> Self {
        self.more = true;
        self
    }
}

impl Writer for ImageFolder<'_> {
    fn add(&mut self, picture: Picture) -> Result<()> {
        let Picture { seen, body, record, character, film, time } = picture;
        self.out.put(&format!("{}{}", self.below, seen.name), &body)?;
        let more = self.more.then_some(More { record, character, film, time });
        self.lines.push(Line { file_name: seen.name, text: seen.caption, more });
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.out.put(&format!("{}{METADATA}", self.below), &to_jsonl(&self.lines)?)
    }
}

/// The lines of a `metadata.jsonl`: file names and captions.
#[cfg(feature = "sagemaker")]
pub(crate) fn lines(body: &[u8]) -> Result<Vec<(String, String)>> {
    let lines: Vec<Line> = from_jsonl(body, METADATA)?;
    Ok(lines.into_iter().map(|line| (line.file_name, line.text)).collect())
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
