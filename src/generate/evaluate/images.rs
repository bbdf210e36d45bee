//! Images to be judged, and which character each should show.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures::TryStreamExt;
use serde::Deserialize;

use crate::{
    dataset::from_jsonl,
    error::{AtStage, Error, Result, Stage},
    store::{Key, Store},
};

const IMAGES: [&str; 4] = ["png", "jpg", "jpeg", "webp"];
/// Captions, as Hugging Face's loaders read them.
const METADATA: &str = "metadata.jsonl";
/// What a storyboard was drawn for.
const DRAWN: &str = "drawn.json";

/// An image to be judged.
#[derive(Clone, Debug)]
pub struct JudgedImage {
    /// Its name, for people.
    pub name: String,
    /// What it was drawn for; empty where that is not known.
    pub prompt: String,
    /// Whom it should show; `None` for those whom the prompt names.
    pub characters: Option<Vec<String>>,
    /// The image file; `None` where it could not be drawn.
    pub body: Option<Bytes>,
}

#[derive(Deserialize)]
struct Line {
    file_name: String,
    text: String,
}

#[derive(Deserialize)]
struct Drawn {
    image: String,
    prompt: String,
}

/// The images of a store, in the order of their keys. Whom each should show is told by a caption with the name in it, from
/// `metadata.jsonl`, `drawn.json` or a text file of the same name; or by the folder that it lies in.
///
/// # Errors
/// The store's; [`InvalidInput`](crate::ErrorKind::InvalidInput) for a list that is not understood, or without any image.
pub async fn images_in(store: &dyn Store) -> Result<Vec<JudgedImage>> {
    let read = async {
        let named = store.list(None).map_ok(|object| (object.key.to_string(), object.key));
        let keys: BTreeMap<String, Key> = named.try_collect().await?;
        let mut files = Files::new();
        for (name, key) in keys.iter().filter(|(name, _)| counts(name, &keys)) {
            files.insert(name.clone(), store.get(key).await?);
        }
        let list = Key::new(METADATA)?;
        judged(files, store.uri(&list).trim_end_matches(METADATA))
    };
    read.await.at(Stage::Evaluate)
}

/// The images of a folder on this machine and of the folders in it, whatever their names; otherwise as [`images_in`].
///
/// # Errors
/// As [`images_in`], and what the disk says.
pub async fn images_in_folder(folder: &Path) -> Result<Vec<JudgedImage>> {
    let folder = folder.to_path_buf();
    let read = crate::blocking(move || {
        let mut paths = BTreeMap::new();
        gather(&folder, "", &mut paths)?;
        let mut files = Files::new();
        for (name, path) in paths.iter().filter(|(name, _)| counts(name, &paths)) {
            files.insert(name.clone(), std::fs::read(path).map_err(|e| Error::io("read", path, e))?.into());
        }
        judged(files, &folder.display().to_string())
    });
    read.await.at(Stage::Evaluate)
}

/// Files by their names, which are paths with slashes.
type Files = BTreeMap<String, Bytes>;

/// Whether a file is an image, or tells whom one of them all shows.
fn counts<T>(name: &str, all: &BTreeMap<String, T>) -> bool {
    let beside = || {
        let stem = name.strip_suffix(".txt");
        stem.is_some_and(|stem| {
            all.range(format!("{stem}.")..format!("{stem}/")).any(|(name, _)| is_image(name))
        })
    };
    name == METADATA || name == DRAWN || is_image(name) || beside()
}

fn is_image(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| IMAGES.contains(&ending.to_ascii_lowercase().as_str()))
}

fn gather(folder: &Path, below: &str, paths: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let at = |e| Error::io("look for images in", folder, e);
    for entry in std::fs::read_dir(folder).map_err(at)? {
        let entry = entry.map_err(at)?;
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().map_err(at)?;
        if kind.is_dir() {
            gather(&entry.path(), &format!("{name}/"), paths)?;
        } else if kind.is_file() {
            paths.insert(name, entry.path());
        }
    }
    Ok(())
}

fn judged(mut files: Files, place: &str) -> Result<Vec<JudgedImage>> {
    let mut captions = BTreeMap::new();
    if let Some(body) = files.get(METADATA) {
        let lines: Vec<Line> = from_jsonl(body, METADATA)?;
        captions.extend(lines.into_iter().map(|line| (line.file_name, line.text)));
    }
    if let Some(body) = files.get(DRAWN) {
        let drawn: Vec<Drawn> = serde_json::from_slice(body)
            .map_err(|e| Error::invalid(format!("{DRAWN} is not understood: {e}")))?;
        captions.extend(drawn.into_iter().map(|line| (line.image, line.prompt)));
    }
    let mut found = Vec::new();
    for name in files.keys().filter(|name| is_image(name)).cloned().collect::<Vec<_>>() {
        let beside = name.rsplit_once('.').and_then(|(stem, _)| files.get(&format!("{stem}.txt")));
        let beside = beside.map(|text| String::from_utf8_lossy(text).trim().to_owned());
        let prompt = captions.remove(&name).or(beside);
        // "Mayu/0001.png": the folder is the character.
        let folder = name.rsplit('/').nth(1).map(|name| vec![crate::store::unescape(name)]);
        found.push(JudgedImage {
            characters: if prompt.is_some() { None } else { folder },
            prompt: prompt.unwrap_or_default(),
            body: files.remove(&name),
            name,
        });
    }
    if found.is_empty() {
        return Err(Error::invalid(format!("there is no image in {place}; png, jpg and webp are looked at")));
    }
    Ok(found)
}
