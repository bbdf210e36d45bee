//! A dataset repository for the Hugging Face hub: `load_dataset(DIR)` gives it with its splits `train` and `test`.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use super::{
    Folder, Format, Part, Seen, Writer, any_picture,
    image_folder::{self, ImageFolder},
};
use crate::{error::Result, types::DatasetRules};

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
        any_picture(self.name(), "Hugging Face datasets: \"Create an image dataset\", ImageFolder")
    }

    fn takes_held_out(&self) -> bool {
        true
    }

    fn begin<'a>(&self, out: &'a Folder, part: Part) -> Result<Box<dyn Writer + 'a>> {
        Ok(Box::new(ImageFolder::new(out, folder_of(part)).with_more()))
    }

    fn finish(&self, out: &Folder, pictures: &BTreeMap<Part, usize>) -> Result<()> {
        let count = |part| pictures.get(&part).copied().unwrap_or_default();
        out.put("README.md", card(count(Part::Train), count(Part::HeldOut)).as_bytes())
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
