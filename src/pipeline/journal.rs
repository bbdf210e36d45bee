//! Finished batches, kept until the dataset is complete, so that a stopped run goes on where it was.
//!
//! Each batch is one object below `work/<hash of the settings>/`, named by its first sample and written atomically:
//! there are no torn lines, on disk or on S3.

use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::{
    detect::Seen,
    error::{Error, Result},
    store::{Key, PutMode, Store},
    types::{Gap, Record},
};

pub(crate) const WORK: &str = "work";

/// The journal of one film under one set of settings.
#[derive(Debug)]
pub(crate) struct Journal<'a> {
    store: &'a dyn Store,
    folder: Key,
}

/// A finished batch of frames.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Segment {
    /// Samples before this number are done.
    pub(crate) next: u64,
    /// Frames in this batch.
    pub(crate) frames: u64,
    /// Frames with at least one detection.
    pub(crate) with_detections: u64,
    /// Frames that could not be searched, with the reason.
    pub(crate) failed: Vec<FailedFrame>,
    /// Stretches that could not be decoded.
    pub(crate) gaps: Vec<Gap>,
    /// The last frames as the detector saw them, for the neighbours that come after them.
    #[serde(default)]
    pub(crate) tail: Vec<Seen>,
    /// Candidates, in order. Named ones are provisionally kept.
    pub(crate) candidates: Vec<Candidate>,
    /// Whether the film ends here.
    pub(crate) end: bool,
}

/// A frame that could not be searched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FailedFrame {
    /// Number of the sample.
    pub(crate) index: u64,
    /// Why, in words.
    pub(crate) reason: String,
}

/// A candidate with its vector, where it has one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Candidate {
    pub(crate) record: Record,
    #[serde(with = "vector", default, skip_serializing_if = "Option::is_none")]
    pub(crate) vector: Option<Vec<f32>>,
}

impl<'a> Journal<'a> {
    pub(crate) fn new(store: &'a dyn Store, settings_hash: &str) -> Result<Self> {
        Ok(Self { store, folder: Key::new(format!("{WORK}/{settings_hash}"))? })
    }

    /// Every finished batch, in order, up to the first hole.
    pub(crate) async fn read(&self) -> Result<Vec<Segment>> {
        let objects: Vec<_> = self.store.list(Some(&self.folder)).try_collect().await?;
        let mut segments: Vec<Segment> = Vec::new();
        for object in objects {
            let first = segments.last().map_or(0, |s| s.next);
            if object.key != self.key(first)? {
                break;
            }
            let body = self.store.get(&object.key).await?;
            let segment = serde_json::from_slice(&body).map_err(|e| {
                Error::invalid(format!(
                    "{} is broken ({e}); delete the folder \"{WORK}\" to begin anew",
                    self.store.uri(&object.key)
                ))
            })?;
            segments.push(segment);
        }
        Ok(segments)
    }

    /// Keeps a finished batch that begins at sample `first`.
    pub(crate) async fn append(&self, first: u64, segment: &Segment) -> Result<()> {
        let body =
            serde_json::to_vec(segment).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
        self.store.put(&self.key(first)?, Bytes::from(body), PutMode::Overwrite).await
    }

    /// Tries to write, and leaves nothing behind.
    pub(crate) async fn probe(&self) -> Result<()> {
        let key = Key::new(format!("{}/writable", self.folder))?;
        self.store.put(&key, Bytes::new(), PutMode::Overwrite).await?;
        self.store.delete(&key).await
    }

    /// Whether unfinished work of any run is left.
    pub(crate) async fn remains(store: &dyn Store) -> Result<bool> {
        Ok(store.list(Some(&Key::new(WORK)?)).try_next().await?.is_some())
    }

    /// Forgets the unfinished work of every run: the dataset is complete.
    pub(crate) async fn clear(store: &dyn Store) -> Result<()> {
        let objects: Vec<_> = store.list(Some(&Key::new(WORK)?)).try_collect().await?;
        for object in objects {
            store.delete(&object.key).await?;
        }
        Ok(())
    }

    fn key(&self, first: u64) -> Result<Key> {
        // Zero-padded: the order of the keys is the order of the film.
        Key::new(format!("{}/{first:012}.json", self.folder))
    }
}

/// Vectors as base64 of little-endian floats: exact and short.
mod vector {
    use serde::{Deserializer, Serializer, de::Error as _};

    use base64::Engine as _;

    use super::{BASE64_STANDARD, Deserialize};

    // serde's `with` hands over a reference to the whole field.
    #[allow(clippy::ref_option)]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Vec<f32>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            None => serializer.serialize_none(),
            Some(values) => {
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
            }
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<f32>>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let bytes = BASE64_STANDARD.decode(text).map_err(D::Error::custom)?;
        let (floats, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(D::Error::custom("a vector of broken length"));
        }
        Ok(Some(floats.iter().map(|b| f32::from_le_bytes(*b)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    fn segment(next: u64) -> Segment {
        Segment { next, frames: 1, ..Segment::default() }
    }

    #[tokio::test]
    async fn batches_are_read_back_up_to_the_first_hole() {
        let store = MemoryStore::new();
        let journal = Journal::new(&store, "abc").unwrap();
        journal.append(0, &segment(8)).await.unwrap();
        journal.append(8, &segment(16)).await.unwrap();
        journal.append(24, &segment(32)).await.unwrap();
        let next: Vec<u64> = journal.read().await.unwrap().iter().map(|s| s.next).collect();
        assert_eq!(next, vec![8, 16]);
        assert!(Journal::new(&store, "other").unwrap().read().await.unwrap().is_empty());
        Journal::clear(&store).await.unwrap();
        assert!(journal.read().await.unwrap().is_empty());
    }

    #[test]
    fn vectors_survive_to_the_bit() {
        let values = vec![0.1_f32, -f32::MIN_POSITIVE, f32::MAX];
        let json = serde_json::to_string(&Wrapper { vector: Some(values.clone()) }).unwrap();
        assert_eq!(serde_json::from_str::<Wrapper>(&json).unwrap().vector, Some(values));
        assert!(serde_json::from_str::<Wrapper>(r#"{"vector":"AAA="}"#).is_err());
    }

    #[derive(Serialize, Deserialize)]
    struct Wrapper {
        #[serde(with = "vector")]
        vector: Option<Vec<f32>>,
    }
}
