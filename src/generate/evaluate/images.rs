//! Images to be judged, and which character each should show.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::TryStreamExt;
use serde::Deserialize;

use crate::{
    dataset::from_jsonl,
    error::{AtStage, Error, Result, Stage},
    store::{Key, Store, get_opt},
};

const IMAGES: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

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

/// The images of a folder, in the order of their keys. Whom each should show is told by a caption with the name in it, from
/// `metadata.jsonl`, `drawn.json` or a text file of the same name; or by the folder that it lies in.
///
/// # Errors
/// The store's; [`InvalidInput`](crate::ErrorKind::InvalidInput) for a list that is not understood, or without any image.
pub async fn images_in(store: &Arc<dyn Store>) -> Result<Vec<JudgedImage>> {
    read(&**store).await.at(Stage::Evaluate)
}

async fn read(store: &dyn Store) -> Result<Vec<JudgedImage>> {
    let mut captions = BTreeMap::new();
    let list = Key::new("metadata.jsonl")?;
    if let Some(body) = get_opt(store, &list).await? {
        let lines: Vec<Line> = from_jsonl(&body, "metadata.jsonl")?;
        captions.extend(lines.into_iter().map(|line| (line.file_name, line.text)));
    }
    if let Some(body) = get_opt(store, &Key::new("drawn.json")?).await? {
        let drawn: Vec<Drawn> = serde_json::from_slice(&body)
            .map_err(|e| Error::invalid(format!("drawn.json is not understood: {e}")))?;
        captions.extend(drawn.into_iter().map(|line| (line.image, line.prompt)));
    }
    let keys: Vec<Key> = store.list(None).map_ok(|object| object.key).try_collect().await?;
    let mut found = Vec::new();
    for key in &keys {
        let Some((stem, ending)) = key.as_str().rsplit_once('.') else { continue };
        if !IMAGES.contains(&ending.to_ascii_lowercase().as_str()) {
            continue;
        }
        let beside = Key::new(format!("{stem}.txt"))?;
        let prompt = match captions.get(key.as_str()) {
            Some(caption) => Some(caption.clone()),
            None if keys.binary_search(&beside).is_ok() => {
                Some(String::from_utf8_lossy(&store.get(&beside).await?).trim().to_owned())
            }
            None => None,
        };
        // "Mayu/0001.png": the folder is the character.
        let folder = key.as_str().rsplit('/').nth(1).map(|name| vec![crate::store::unescape(name)]);
        found.push(JudgedImage {
            name: key.to_string(),
            characters: if prompt.is_some() { None } else { folder },
            prompt: prompt.unwrap_or_default(),
            body: Some(store.get(key).await?),
        });
    }
    if found.is_empty() {
        let place = store.uri(&list);
        let place = place.trim_end_matches(list.as_str());
        return Err(Error::invalid(format!("there is no image in {place}; png, jpg and webp are looked at")));
    }
    Ok(found)
}
