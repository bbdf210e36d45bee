//! Writing what trainers read. Each format is one file here: how it is written, how its trainer reads it, and what
//! the trainer asks. Every export is read back as the trainer does, and fails where anything differs.
//!
//! ```no_run
//! # async fn f(dataset: picchu::Dataset) -> picchu::Result<()> {
//! use picchu::dataset::export::{self, Options};
//! let done = export::write(&dataset, export::format("kohya")?, "lora/mayu", &Options::default()).await?;
//! println!("{} pictures with captions in {}", done.pictures, done.folder.display());
//! # Ok(()) }
//! ```

mod ai_toolkit;
pub mod custom_labels;
mod diffusers;
mod folder;
mod hf;
mod image_folder;
mod kohya;
pub mod nova;
mod sidecar;
mod webdataset;

use std::{
    collections::{BTreeMap, HashSet, btree_map::Entry},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use self::folder::{Folder, absolute};
pub use self::folder::{MARK, Mark};
#[cfg(feature = "sagemaker")]
pub(crate) use self::image_folder::lines as image_folder_lines;
use super::{
    Dataset, FileHash, TrainingImage,
    picture::dimensions,
    split::Part,
    validate::{Complaint, PILLOW_PIXELS, Violation, refuse, validate},
};
use crate::{
    error::{AtStage, Error, ErrorKind, Result, Stage},
    types::DatasetRules,
};

/// Pictures read ahead of the one that is being written.
const READ_AHEAD: usize = 8;

/// What a trainer reads: how to write it, how the trainer reads it, what the trainer asks of it.
pub trait Format: std::fmt::Debug + Send + Sync {
    /// Its name, as the command line takes it.
    fn name(&self) -> &'static str;

    /// What the trainer asks of pictures and captions, and where that is written down.
    fn rules(&self) -> DatasetRules;

    /// What the trainer asks of a caption beyond its length.
    fn check_caption(&self, caption: &str) -> Option<Complaint> {
        let _ = caption;
        None
    }

    /// Begins the pictures of one part in a new folder.
    ///
    /// # Errors
    /// Where the export cannot be as it should, for example for an address that the trainer does not take.
    fn begin<'a>(&self, out: &'a Folder, part: Part) -> Result<Box<dyn Writer + 'a>>;

    /// Writes what stands beside the pictures, when all are there; how many each part has.
    ///
    /// # Errors
    /// When a file cannot be written.
    fn finish(&self, out: &Folder, pictures: &BTreeMap<Part, usize>) -> Result<()> {
        let _ = (out, pictures);
        Ok(())
    }

    /// Reads a folder as the trainer does: what it would train on, and nothing else.
    ///
    /// # Errors
    /// Where the trainer would stop.
    fn read(&self, folder: &Path) -> Result<Vec<Seen>>;

    /// Whether the pictures that are held out of training have a place in it.
    fn takes_held_out(&self) -> bool {
        false
    }
}

/// Writes the pictures of one part, in order.
pub trait Writer {
    /// Writes the next one.
    ///
    /// # Errors
    /// When a file cannot be written.
    fn add(&mut self, picture: Picture) -> Result<()>;

    /// Writes what lists them, when all are there.
    ///
    /// # Errors
    /// When a file cannot be written.
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Every format.
pub fn formats() -> [&'static dyn Format; 6] {
    [
        &nova::Nova,
        &diffusers::Diffusers,
        &kohya::Kohya,
        &ai_toolkit::AiToolkit,
        &webdataset::WebDataset,
        &hf::HuggingFace,
    ]
}

/// The format of this name.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) lists the names that there are.
pub fn format(name: &str) -> Result<&'static dyn Format> {
    formats().into_iter().find(|f| f.name() == name).ok_or_else(|| {
        let names: Vec<_> = formats().iter().map(|f| f.name()).collect();
        Error::invalid(format!("there is no format {name:?}; there are {}", names.join(", ")))
            .at(Stage::Export)
    })
}

/// What the format for diffusers asks of a dataset.
#[cfg(feature = "sagemaker")]
pub(crate) fn diffusers_rules() -> DatasetRules {
    diffusers::Diffusers.rules()
}

/// A picture on its way into an export.
#[derive(Clone, Debug)]
pub struct Picture {
    /// What the trainer is to see.
    pub seen: Seen,
    /// The image file.
    pub body: Bytes,
    /// Id of the record.
    pub record: String,
    /// Whom the picture was cut for.
    pub character: String,
    /// Fingerprint of its film.
    pub film: String,
    /// Presentation time of its frame in seconds.
    pub time: f64,
}

/// A picture as a trainer sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Name of the image file, without folders.
    pub name: String,
    /// Its caption.
    pub caption: String,
    /// Width in pixels, by the file's own header.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Hash and size of the file.
    pub file: FileHash,
    /// Whether it is for training or held out.
    pub part: Part,
}

/// How to export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Where the trainer will find the export: written into the settings files of trainers that have some. `None`:
    /// where it is written. For Nova Canvas, the address on S3 below which the dataset's files will lie.
    pub root: Option<String>,
}

/// What was written, read back and found right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Name of the format.
    pub format: String,
    /// The folder.
    pub folder: PathBuf,
    /// Pictures for training.
    pub pictures: usize,
    /// Pictures held out of training: in the export where the format has a place for them, left out elsewhere.
    pub held_out: usize,
    /// Pictures left out to balance the characters.
    pub left_out: usize,
    /// Pictures for training that no person looked at.
    pub unreviewed: usize,
    /// Training pictures of each character.
    pub characters: BTreeMap<String, usize>,
    /// Bytes of all image files.
    pub image_bytes: u64,
}

/// Every rule of a trainer that the dataset breaks.
pub fn check(dataset: &Dataset, format: &dyn Format) -> Vec<Violation> {
    validate(dataset.training_images(), &format.rules(), |caption| format.check_caption(caption))
}

/// Writes a dataset for a trainer into a folder, whole or not at all, reads it back as the trainer does, and fails
/// where anything differs. An earlier export in that folder is replaced; any other folder is left alone. Equal
/// datasets and options give equal bytes.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) for a dataset that breaks a rule of the trainer (the message lists all)
/// or for an image that is not the one that was written, [`AlreadyExists`](ErrorKind::AlreadyExists) for a folder
/// with something else in it.
pub async fn write(
    dataset: &Dataset,
    format: &'static dyn Format,
    out: impl AsRef<Path>,
    options: &Options,
) -> Result<Exported> {
    let violations = check(dataset, format);
    if !violations.is_empty() {
        return Err(refuse(format.name(), &violations).at(Stage::Export));
    }
    let target = out.as_ref().to_owned();
    let root = match &options.root {
        Some(root) => root.clone(),
        None => absolute(&target)?,
    };
    let folder = crate::blocking(move || Folder::begin(&target, root)).await.at(Stage::Export)?;

    let (chosen, left_out) = dataset.parts();
    let mut names = Names::default();
    let mut exported = Exported {
        format: format.name().into(),
        folder: out.as_ref().to_owned(),
        pictures: 0,
        held_out: 0,
        left_out: left_out.len(),
        unreviewed: 0,
        characters: BTreeMap::new(),
        image_bytes: 0,
    };
    let mut wanted = Vec::new();
    for (image, part) in chosen {
        match part {
            Part::Train => {
                exported.pictures += 1;
                exported.unreviewed += usize::from(!image.reviewed);
                let character = image.record.character().unwrap_or_default().to_owned();
                *exported.characters.entry(character).or_default() += 1;
            }
            Part::HeldOut => exported.held_out += 1,
        }
        if part == Part::Train || format.takes_held_out() {
            let name = names.of(&image);
            wanted.push((image, part, name));
        }
    }
    let mark = Mark {
        format: format.name().into(),
        picchu: env!("CARGO_PKG_VERSION").into(),
        pictures: exported.pictures,
        unreviewed: exported.unreviewed,
    };

    let (send, mut receive) = mpsc::channel::<Result<Picture>>(READ_AHEAD);
    let writer = tokio::task::spawn_blocking(move || {
        let pictures = std::iter::from_fn(|| receive.blocking_recv());
        let expected = put(format, &folder, pictures)?;
        prove(format, &folder, &expected)?;
        folder.finish(&mark)?;
        Ok(expected)
    });
    let mut bodies = stream::iter(wanted)
        .map(|(image, part, name)| async move { picture(dataset, &image, part, name).await })
        .buffered(READ_AHEAD)
        .boxed();
    while let Some(picture) = bodies.next().await {
        // A closed channel: the writer failed, and says why below.
        if send.send(picture).await.is_err() {
            break;
        }
    }
    drop((bodies, send));
    let expected = match writer.await {
        Ok(outcome) => outcome.at(Stage::Export)?,
        Err(e) => {
            return Err(Error::internal(format!("the writer of an export panicked: {e}")).at(Stage::Export));
        }
    };
    exported.image_bytes = expected.iter().map(|seen| seen.file.size_bytes).sum();
    Ok(exported)
}

async fn picture(dataset: &Dataset, image: &TrainingImage<'_>, part: Part, name: String) -> Result<Picture> {
    let body = dataset.image_bytes(image.record).await?;
    let (width, height) = dimensions(&body, &image.record.id)?;
    Ok(Picture {
        seen: Seen {
            name,
            caption: image.caption.to_owned(),
            width,
            height,
            file: FileHash::of(&body),
            part,
        },
        body,
        record: image.record.id.clone(),
        character: image.record.character().unwrap_or_default().to_owned(),
        film: image.record.film.clone(),
        time: image.record.frame.time.as_secs_f64(),
    })
}

/// Writes the pictures, and says what the trainer should see.
fn put(
    format: &dyn Format,
    folder: &Folder,
    pictures: impl Iterator<Item = Result<Picture>>,
) -> Result<Vec<Seen>> {
    let mut seen = Vec::new();
    let mut counts = BTreeMap::from([(Part::Train, 0)]);
    let mut writers = BTreeMap::from([(Part::Train, format.begin(folder, Part::Train)?)]);
    for picture in pictures {
        let picture = picture?;
        let part = picture.seen.part;
        seen.push(picture.seen.clone());
        *counts.entry(part).or_default() += 1;
        match writers.entry(part) {
            Entry::Occupied(writer) => writer.into_mut(),
            Entry::Vacant(place) => place.insert(format.begin(folder, part)?),
        }
        .add(picture)?;
    }
    for writer in writers.into_values() {
        writer.finish()?;
    }
    format.finish(folder, &counts)?;
    Ok(seen)
}

/// Reads back as the trainer does, and compares.
fn prove(format: &dyn Format, folder: &Folder, expected: &[Seen]) -> Result<()> {
    let by_name = |list: &[Seen]| -> BTreeMap<String, Seen> {
        list.iter().map(|seen| (seen.name.clone(), seen.clone())).collect()
    };
    let read = format.read(folder.path())?;
    let (seen, wanted) = (by_name(&read), by_name(expected));
    let mut differences = Vec::new();
    if read.len() != expected.len() {
        differences.push(format!("{} pictures instead of {}", read.len(), expected.len()));
    }
    for (name, wanted) in &wanted {
        match seen.get(name) {
            None => differences.push(format!("{name} is not seen")),
            Some(seen) if seen != wanted => {
                differences.push(format!("{name}: {seen:?} instead of {wanted:?}"));
            }
            Some(_) => {}
        }
    }
    differences.extend(
        seen.keys().filter(|name| !wanted.contains_key(*name)).map(|name| format!("{name} is extra")),
    );
    if differences.is_empty() {
        return Ok(());
    }
    differences.truncate(10);
    Err(Error::internal(format!(
        "the trainer {} would not read what was written: {}",
        format.name(),
        differences.join("; ")
    )))
}

/// File names that every trainer reads alike: no dots but the extension's, no long ones, none twice.
#[derive(Debug, Default)]
struct Names(HashSet<String>);

impl Names {
    const LONGEST: usize = 120;

    fn of(&mut self, image: &TrainingImage<'_>) -> String {
        let file = image.image.rsplit('/').next().unwrap_or_default();
        let (stem, extension) = file.rsplit_once('.').unwrap_or((file, "png"));
        let mut stem = stem.replace('.', "-");
        // Keys are ASCII: bytes are characters.
        stem.truncate(Self::LONGEST);
        let mut name = format!("{stem}.{extension}");
        let mut number = 2;
        while !self.0.insert(name.to_ascii_lowercase()) {
            name = format!("{stem}-{number}.{extension}");
            number += 1;
        }
        name
    }
}

/// What trainers ask who take any picture that Pillow opens, with any caption.
fn any_picture(format: &str, source: &str) -> DatasetRules {
    DatasetRules {
        format: format.into(),
        source: format!("{source}; Pillow's limit of pixels"),
        records: (1, usize::MAX),
        caption_chars: (1, usize::MAX),
        side: (1, u32::MAX),
        max_pixels: PILLOW_PIXELS,
        max_bytes: u64::MAX,
        max_aspect: f32::INFINITY,
    }
}

/// An error of a reader: the trainer would stop here.
pub(crate) fn unreadable(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("{}: {why}", path.display())).at(Stage::Export)
}
