//! The folder and the settings that ostris' ai-toolkit reads.
//!
//! Rules: ai-toolkit, README ("Dataset Preparation") and `toolkit/dataloader_mixins.py`: PNG and JPEG files with a
//! text file of the same name; `[trigger]` and `[name]` in a caption are replaced by the trigger word.

use std::{collections::BTreeMap, path::Path};

use yaml_rust2::{Yaml, YamlLoader};

use super::{
    Complaint, Folder, Format, Part, Result, Seen, Writer, any_picture, folder,
    kohya::quote,
    sidecar::{self, IMAGES, Sidecars},
    unreadable,
};
use crate::types::DatasetRules;

const CONFIG: &str = "datasets.yaml";
const PLACEHOLDERS: [&str; 2] = ["[trigger]", "[name]"];

/// ai-toolkit: images with text files, and the `datasets:` block for the job's settings.
#[derive(Debug)]
pub(crate) struct AiToolkit;

impl Format for AiToolkit {
    fn name(&self) -> &'static str {
        "ai-toolkit"
    }

    fn rules(&self) -> DatasetRules {
        any_picture(self.name(), "ostris ai-toolkit: README, Dataset Preparation")
    }

    fn check_caption(&self, caption: &str) -> Option<Complaint> {
        let found = PLACEHOLDERS.into_iter().find(|placeholder| caption.contains(placeholder));
        if let Some(placeholder) = found {
            let mended = PLACEHOLDERS
                .into_iter()
                .fold(caption.to_owned(), |text, p| text.replace(p, p.trim_matches(['[', ']'])));
            return Some(Complaint {
                rule: "caption-placeholder",
                message: format!(
                    "caption with {placeholder}, which the trainer replaces by its trigger word"
                ),
                mend: "take the brackets away",
                caption: Some(mended),
            });
        }
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
        let config = YamlLoader::load_from_str(words).map_err(|e| unreadable(&at, e))?;
        let datasets = config.first().and_then(|c| c["datasets"].as_vec()).map_or(&[][..], Vec::as_slice);
        let mut seen = Vec::new();
        for dataset in datasets {
            let text = |member: &str| match &dataset[member] {
                Yaml::String(text) => Some(text.as_str()),
                _ => None,
            };
            let dir = text("folder_path").ok_or_else(|| unreadable(&at, "a dataset has no folder_path"))?;
            // The folder may not be in its place yet: of its name, the last part counts.
            let name = dir.rsplit(['/', '\\']).next().unwrap_or(dir);
            let extension = format!(".{}", text("caption_ext").unwrap_or("txt").trim_start_matches('.'));
            seen.extend(sidecar::read(
                &folder.join(name),
                &[".png", ".jpg", ".jpeg"],
                &extension,
                |words| Some(words.trim().to_owned()).filter(|words| !words.is_empty()),
            )?);
        }
        Ok(seen)
    }
}

fn config(root: &str) -> String {
    let dir = quote(&format!("{}/{IMAGES}", root.trim_end_matches('/')));
    format!(
        "# For ostris' ai-toolkit: the `datasets:` block of a job's process. Written by picchu.\n\
         datasets:\n\
         \x20 - folder_path: {dir}\n\
         \x20   caption_ext: \"txt\"\n\
         \x20   caption_dropout_rate: 0.05\n\
         \x20   shuffle_tokens: false\n\
         \x20   cache_latents_to_disk: true\n\
         \x20   resolution: [512, 768, 1024]\n"
    )
}
