//! Captions in a text file beside each image, as the trainers of the `LoRA` community read them.

use std::path::Path;

use super::{Complaint, Folder, Part, Picture, Result, Seen, Writer, folder, unreadable};

/// Below the export's folder, so that settings files stay apart from what trainers walk through.
pub(super) const IMAGES: &str = "images";
pub(super) const CAPTION_EXTENSION: &str = ".txt";

/// The caption that trainers read is the file's first line, or the whole file without its margins.
pub(super) fn check_caption(caption: &str) -> Option<Complaint> {
    (caption.trim() != caption || caption.trim().is_empty()).then(|| Complaint {
        rule: "caption-margins",
        message: "caption that begins or ends with white space; the trainer cuts that off".into(),
        mend: "trim the caption",
        caption: Some(caption.trim().to_owned()).filter(|c| !c.is_empty()),
    })
}

/// Writes each image with its caption beside it.
pub(super) struct Sidecars<'a>(pub(super) &'a Folder);

impl Writer for Sidecars<'_> {
    fn add(&mut self, picture: Picture) -> Result<()> {
        let Seen { name, caption, .. } = picture.seen;
        self.0.put(&format!("{IMAGES}/{name}"), &picture.body)?;
        self.0.put(&format!("{IMAGES}/{}{CAPTION_EXTENSION}", stem(&name)), caption.as_bytes())
    }
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Reads one folder, not those below it: images with these extensions, each with its caption.
pub(super) fn read(
    path: &Path,
    extensions: &[&str],
    caption_extension: &str,
    caption: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Seen>> {
    let mut seen = Vec::new();
    for name in folder::files(path)?.into_iter().filter(|name| !name.contains('/')) {
        if !extensions.iter().any(|extension| name.ends_with(extension)) {
            continue;
        }
        let text = path.join(format!("{}{caption_extension}", stem(&name)));
        let body = folder::read(&text)?;
        let words = std::str::from_utf8(&body).map_err(|e| unreadable(&text, e))?;
        let caption = caption(words).ok_or_else(|| unreadable(&text, "holds no caption"))?;
        let (width, height, file) = folder::open_image(&folder::read(&path.join(&name))?, &name)?;
        seen.push(Seen { name, caption, width, height, file, part: Part::Train });
    }
    Ok(seen)
}
