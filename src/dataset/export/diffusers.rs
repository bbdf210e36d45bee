//! The image folder that the training scripts of Hugging Face diffusers read.
//!
//! Pass it as `--dataset_name DIR --image_column image --caption_column text` (or as `--train_data_dir DIR` to the
//! scripts `train_text_to_image…`). Not as `--instance_data_dir`: that ignores captions, and opens every file as an
//! image.

use std::path::Path;

use super::{Folder, Format, Picture, Seen, image_folder};
use crate::{
    dataset::{split::Part, validate::PILLOW_PIXELS},
    error::Result,
    types::DatasetRules,
};

/// diffusers: images and `metadata.jsonl` in one folder.
#[derive(Debug)]
pub(crate) struct Diffusers;

impl Format for Diffusers {
    fn name(&self) -> &'static str {
        "diffusers"
    }

    fn rules(&self) -> DatasetRules {
        DatasetRules {
            format: self.name().into(),
            source: "Hugging Face diffusers: \"Create a dataset for training\"; Pillow's limit of pixels"
                .into(),
            records: (1, usize::MAX),
            caption_chars: (1, usize::MAX),
            side: (1, u32::MAX),
            max_pixels: PILLOW_PIXELS,
            max_bytes: u64::MAX,
            max_aspect: f32::INFINITY,
        }
    }

    fn write(&self, out: &Folder, pictures: &mut dyn Iterator<Item = Result<Picture>>) -> Result<()> {
        let lines = pictures.map(|picture| image_folder::put(out, "", &picture?, None));
        image_folder::put_lines(out, "", &lines.collect::<Result<Vec<_>>>()?)
    }

    fn read(&self, folder: &Path) -> Result<Vec<Seen>> {
        image_folder::read(folder, Part::Train)
    }
}
