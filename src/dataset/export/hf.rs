//! A dataset repository for the Hugging Face hub: `load_dataset(DIR)` gives it with its splits `train` and `test`.

use std::{fmt::Write as _, path::Path};

use super::{Folder, Format, Picture, Seen, image_folder};
use crate::{
    dataset::{split::Part, validate::PILLOW_PIXELS},
    error::Result,
    types::DatasetRules,
};

/// Hugging Face `datasets`: a folder a split, and the card that names them.
#[derive(Debug)]
pub(crate) struct HuggingFace;

fn folder_of(part: Part) -> &'static str {
    match part {
        Part::Train => "train/",
        Part::HeldOut => "test/",
    }
}

impl Format for HuggingFace {
    fn name(&self) -> &'static str {
        "hf"
    }

    fn rules(&self) -> DatasetRules {
        DatasetRules {
            format: self.name().into(),
            source:
                "Hugging Face datasets: \"Create an image dataset\", ImageFolder; Pillow's limit of pixels"
                    .into(),
            records: (1, usize::MAX),
            caption_chars: (1, usize::MAX),
            side: (1, u32::MAX),
            max_pixels: PILLOW_PIXELS,
            max_bytes: u64::MAX,
            max_aspect: f32::INFINITY,
        }
    }

    fn takes_held_out(&self) -> bool {
        true
    }

    fn write(&self, out: &Folder, pictures: &mut dyn Iterator<Item = Result<Picture>>) -> Result<()> {
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for picture in pictures {
            let picture = picture?;
            let more = Some(image_folder::More::of(&picture));
            let line = image_folder::put(out, folder_of(picture.seen.part), &picture, more)?;
            if picture.seen.part == Part::Train { train.push(line) } else { test.push(line) }
        }
        image_folder::put_lines(out, folder_of(Part::Train), &train)?;
        if !test.is_empty() {
            image_folder::put_lines(out, folder_of(Part::HeldOut), &test)?;
        }
        out.put("README.md", card(train.len(), test.len()).as_bytes())
    }

    fn read(&self, folder: &Path) -> Result<Vec<Seen>> {
        let mut seen = image_folder::read(&folder.join(folder_of(Part::Train)), Part::Train)?;
        let test = folder.join(folder_of(Part::HeldOut));
        if test.is_dir() {
            seen.extend(image_folder::read(&test, Part::HeldOut)?);
        }
        Ok(seen)
    }
}

/// The dataset card: the block at its top tells the hub which folder is which split.
fn card(train: usize, test: usize) -> String {
    let mut card = String::from(
        "---\nconfigs:\n- config_name: default\n  drop_labels: true\n  data_files:\n  - split: train\n    path: train/**\n",
    );
    if test > 0 {
        card += "  - split: test\n    path: test/**\n";
    }
    card += "task_categories:\n- text-to-image\n---\n# Characters of a film\n\n";
    let _ = write!(card, "{train} pictures with captions for training");
    if test > 0 {
        let _ = write!(card, ", {test} held out by shot");
    }
    card += ". Written by picchu.\n\nColumns: `image`, `text` (the caption), `character`, `film`, `time` (seconds), `record`.\n";
    card
}
