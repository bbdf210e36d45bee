//! The image folder that the training scripts of Hugging Face diffusers read.
//!
//! Pass it as `--dataset_name DIR --image_column image --caption_column text` (or as `--train_data_dir DIR` to the
//! scripts `train_text_to_image…`). Not as `--instance_data_dir`: that ignores captions, and opens every file as an
//! image.

use std::path::Path;

use super::{
    Folder, Format, Part, Seen, Writer, any_picture,
    image_folder::{self, ImageFolder},
};
use crate::{error::Result, types::DatasetRules};

/// diffusers: images and `metadata.jsonl` in one folder.
#[derive(Debug)]
pub(crate) struct Diffusers;

impl Format for Diffusers {
    fn name(&self) -> &'static str {
        "diffusers"
    }

    fn rules(&self) -> DatasetRules {
        any_picture(self.name(), "Hugging Face diffusers: \"Create a dataset for training\"")
    }

    fn begin<'a>(&self, out: &'a Folder, _: Part) -> Result<Box<dyn Writer + 'a>> {
        Ok(Box::new(ImageFolder::new(out, "")))
    }

    fn read(&self, folder: &Path) -> Result<Vec<Seen>> {
        image_folder::read(folder, Part::Train)
    }
}
