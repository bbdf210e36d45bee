//! The folder and the `dataset_config.toml` that kohya's sd-scripts read: `--dataset_config DIR/dataset_config.toml`.
//!
//! Rules: sd-scripts, `docs/config_README-en.md`. With such a file, a folder's `NN_name` prefix means nothing, folders
//! below are not walked, and the caption extension is `.caption` unless it is set. A caption is its file's first line.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::{
    Complaint, Folder, Format, Part, Result, Seen, Writer, any_picture, folder,
    sidecar::{self, CAPTION_EXTENSION, IMAGES, Sidecars},
    unreadable,
};
use crate::types::DatasetRules;

const CONFIG: &str = "dataset_config.toml";

/// kohya sd-scripts: images with text files, and the settings that name them.
#[derive(Debug)]
pub(crate) struct Kohya;

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    general: Subset,
    datasets: Vec<DatasetTable>,
}

#[derive(Deserialize)]
struct DatasetTable {
    #[serde(default)]
    caption_extension: Option<String>,
    subsets: Vec<Subset>,
}

#[derive(Default, Deserialize)]
struct Subset {
    image_dir: Option<String>,
    caption_extension: Option<String>,
}

impl Format for Kohya {
    fn name(&self) -> &'static str {
        "kohya"
    }

    fn rules(&self) -> DatasetRules {
        any_picture(self.name(), "kohya sd-scripts: docs/config_README-en.md")
    }

    fn check_caption(&self, caption: &str) -> Option<Complaint> {
        sidecar::check_caption(caption)
    }

    fn begin<'a>(&self, out: &'a Folder, _: Part) -> Result<Box<dyn Writer + 'a>> {
        Ok(Box::new(Sidecars(out)))
    }

    fn finish(&self, out: &Folder, _: &BTreeMap<Part, usize>) -> Result<()> {
        out.put(CONFIG, config(out.root()).as_bytes())
    }

    fn read(&self, folder: &Path) -> Result<Vec<Seen>> {
        let at = folder.join(CONFIG);
        let body = folder::read(&at)?;
        let words = std::str::from_utf8(&body).map_err(|e| unreadable(&at, e))?;
        let config: Config = toml::from_str(words).map_err(|e| unreadable(&at, e.message()))?;
        let mut seen = Vec::new();
        for table in &config.datasets {
            for subset in &table.subsets {
                let dir = subset
                    .image_dir
                    .as_deref()
                    .ok_or_else(|| unreadable(&at, "a subset has no image_dir"))?;
                // The folder may not be in its place yet: of its name, the last part counts.
                let name = dir.rsplit(['/', '\\']).next().unwrap_or(dir);
                let extension =
                    [&subset.caption_extension, &table.caption_extension, &config.general.caption_extension]
                        .into_iter()
                        .find_map(Option::as_deref)
                        .unwrap_or(".caption");
                seen.extend(sidecar::read(
                    &folder.join(name),
                    &[".png", ".jpg", ".jpeg", ".webp", ".bmp"],
                    extension,
                    |words| {
                        words
                            .lines()
                            .next()
                            .map(|line| line.trim().to_owned())
                            .filter(|line| !line.is_empty())
                    },
                )?);
            }
        }
        Ok(seen)
    }
}

fn config(root: &str) -> String {
    let dir = quote(&format!("{}/{IMAGES}", root.trim_end_matches('/')));
    format!(
        "# For kohya sd-scripts: --dataset_config {CONFIG}. Written by picchu; set resolution and batch_size to taste.\n\
         [general]\n\
         caption_extension = \"{CAPTION_EXTENSION}\"\n\
         enable_bucket = true\n\
         bucket_no_upscale = true\n\
         shuffle_caption = false\n\
         \n\
         [[datasets]]\n\
         resolution = 1024\n\
         batch_size = 1\n\
         \n\
         \x20 [[datasets.subsets]]\n\
         \x20 image_dir = {dir}\n\
         \x20 num_repeats = 1\n"
    )
}

/// Text between double quotes, as TOML, YAML and JSON all read it.
pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
