//! Nothing is asked, and paid for, twice: answers kept by the hash of the whole request.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use image::RgbImage;
use ndarray::{Array2, ArrayView1};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::forward;
use crate::{
    caption::Captioner,
    detect::CharacterDetector,
    embed::Embedder,
    error::{Error, Result},
    source::FrameSource,
    store::{Key, MemoryStore, PutMode, Store, get_opt},
    types::{Caption, CaptionRequest, Crop, Detection, Embeddings, Frame, ProviderInfo},
};

/// Answers by the hash of the request, in a store, below `cache/`.
///
/// An answer is stored before it is given, so a run that is stopped, or crashes, pays again only for what was under
/// way. Equal requests that come at the same time are asked once.
#[derive(Debug)]
pub struct Cache {
    store: Arc<dyn Store>,
    /// Requests that are being asked, so that the same request waits for the answer.
    under_way: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl Cache {
    /// A cache in a store; the store's other objects are not touched.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, under_way: Mutex::new(HashMap::new()) }
    }

    /// The stored answer, or the one that `ask` gives, which is stored first. Stored answers that cannot be read count
    /// as absent.
    ///
    /// # Errors
    /// Those of `ask`, which are not stored, and the store's.
    pub async fn bytes(&self, key: CacheKey, ask: impl Future<Output = Result<Bytes>>) -> Result<Bytes> {
        let hash = key.hash();
        let place = place(&hash)?;
        if let Some(answer) = get_opt(&*self.store, &place).await? {
            return Ok(answer);
        }
        let turn = self.turn(&hash);
        let _held = turn.lock().await;
        // Somebody else may have asked meanwhile.
        if let Some(answer) = get_opt(&*self.store, &place).await? {
            return Ok(answer);
        }
        let answer = ask.await?;
        self.store.put(&place, answer.clone(), PutMode::Overwrite).await?;
        Ok(answer)
    }

    /// As [`bytes`](Self::bytes), for an answer in JSON.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub async fn json<T: Serialize + DeserializeOwned>(
        &self,
        key: CacheKey,
        ask: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let place = place(&key.clone().hash())?;
        let body = self
            .bytes(key, async {
                let body = serde_json::to_vec(&ask.await?)
                    .map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
                Ok(Bytes::from(body))
            })
            .await?;
        serde_json::from_slice(&body)
            .map_err(|e| Error::invalid(format!("{} is broken ({e}); delete it", self.store.uri(&place))))
    }

    /// The hashes of all stored answers.
    #[cfg_attr(not(feature = "aws-bedrock"), allow(dead_code))]
    pub(crate) async fn known(&self) -> Result<HashSet<String>> {
        let folder = Key::new(FOLDER)?;
        let keys = self.store.list(Some(&folder)).map_ok(|object| object.key.as_str().replace('/', ""));
        keys.map_ok(|key| key[FOLDER.len()..].to_owned()).try_collect().await
    }

    /// Stores an answer that came another way.
    #[cfg_attr(not(feature = "aws-bedrock"), allow(dead_code))]
    pub(crate) async fn keep(&self, hash: &str, answer: Bytes) -> Result<()> {
        self.store.put(&place(hash)?, answer, PutMode::Overwrite).await
    }

    fn turn(&self, hash: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = under_way.get(hash).and_then(Weak::upgrade) {
            return turn;
        }
        under_way.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        under_way.insert(hash.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

impl Default for Cache {
    /// A cache in memory.
    fn default() -> Self {
        Self::new(Arc::new(MemoryStore::new()))
    }
}

/// The hash of everything that an answer depends on.
#[derive(Clone, Debug)]
pub struct CacheKey(Sha256);

impl CacheKey {
    /// Begins with who answers: name, model and settings.
    pub fn new(info: &ProviderInfo) -> Self {
        Self(Sha256::new()).part(&info.name).part(&info.model).part(&info.settings)
    }

    /// Adds a part. Parts are told apart by their lengths, so `ab`, `c` is another key than `a`, `bc`.
    #[must_use]
    pub fn part(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// Adds a picture: its size and its pixels.
    #[must_use]
    pub fn picture(self, picture: &RgbImage) -> Self {
        self.part(picture.width().to_le_bytes()).part(picture.as_raw())
    }

    /// The key of the embedding of a picture.
    pub(crate) fn of_embedding(info: &ProviderInfo, picture: &RgbImage) -> Self {
        Self::new(info).picture(picture).part("embedding")
    }

    /// The key of a caption.
    pub(crate) fn of_caption(info: &ProviderInfo, request: &CaptionRequest) -> Result<Self> {
        let CaptionRequest { record, crop, subjects, attempt, refusal } = request;
        let words = serde_json::to_vec(&(record, subjects, attempt, refusal))
            .map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
        Ok(Self::new(info).picture(&crop.image).part(words))
    }

    /// The hash in 64 hexadecimal digits.
    pub(crate) fn hash(self) -> String {
        crate::source::sha256_string(self.0)["sha256:".len()..].to_owned()
    }
}

const FOLDER: &str = "cache";

fn place(hash: &str) -> Result<Key> {
    Key::new(format!("{FOLDER}/{}/{}", &hash[..2], &hash[2..]))
}

/// A unit row as it is stored.
pub(crate) fn row_bytes(row: ArrayView1<'_, f32>) -> Bytes {
    row.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// An implementation whose answers are kept in a [`Cache`].
#[derive(Debug)]
pub struct Cached<T: ?Sized> {
    inner: Arc<T>,
    cache: Arc<Cache>,
}

impl<T: ?Sized> Cached<T> {
    /// Keeps the answers of `inner`.
    pub fn new(inner: Arc<T>, cache: Arc<Cache>) -> Self {
        Self { inner, cache }
    }
}

#[async_trait]
impl<T: CharacterDetector + ?Sized> CharacterDetector for Cached<T> {
    forward!(detector);

    async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
        // Each frame has its own key, whatever else is in its batch.
        // All are waited for, also when one fails: the others are paid, and kept.
        futures::future::join_all(frames.iter().map(|frame| async move {
            // Hashing a picture takes milliseconds: not on an async thread.
            let (info, picture) = (self.info(), Arc::clone(&frame.image));
            let key = crate::blocking(move || Ok(CacheKey::new(&info).picture(&picture))).await?;
            self.cache
                .json(key, async {
                    let mut answers = self.inner.detect(std::slice::from_ref(frame)).await?;
                    answers.pop().ok_or_else(|| Error::internal("the detector gave no answer"))
                })
                .await
        }))
        .await
        .into_iter()
        .collect()
    }

    /// A detector that learned from a film answers by more than its settings say: it is not cached.
    async fn learn(&self, film: &dyn FrameSource) -> Result<Option<Arc<dyn CharacterDetector>>> {
        self.inner.learn(film).await
    }
}

#[async_trait]
impl<T: Embedder + ?Sized> Embedder for Cached<T> {
    forward!(embedder);

    async fn embed(&self, crops: &[Crop]) -> Result<Embeddings> {
        let dimensions = self.dimensions();
        // All are waited for, also when one fails: the others are paid, and kept.
        let rows: Vec<Vec<f32>> = futures::future::join_all(crops.iter().map(|crop| async move {
            let (info, picture) = (self.info(), Arc::clone(&crop.image));
            let key = crate::blocking(move || Ok(CacheKey::of_embedding(&info, &picture))).await?;
            let ask = async {
                let rows = self.inner.embed(std::slice::from_ref(crop)).await?;
                Ok(row_bytes(rows.view().row(0)))
            };
            let body = self.cache.bytes(key, ask).await?;
            let (values, rest) = body.as_chunks::<4>();
            if values.len() != dimensions || !rest.is_empty() {
                return Err(Error::invalid(
                    "a cached embedding has another length; delete the folder \"cache\"",
                ));
            }
            Ok(values.iter().map(|v| f32::from_le_bytes(*v)).collect::<Vec<f32>>())
        }))
        .await
        .into_iter()
        .collect::<Result<_>>()?;
        let matrix = Array2::from_shape_vec((crops.len(), dimensions), rows.concat())
            .map_err(|e| Error::internal(format!("vectors of unequal length: {e}")))?;
        // Unit rows were stored: making them unit again could change their last bits.
        Ok(Embeddings::from_unit_rows(self.info().model, matrix))
    }
}

#[async_trait]
impl<T: Captioner + ?Sized> Captioner for Cached<T> {
    forward!(captioner);

    /// A kept caption tells what it cost when it was made.
    async fn caption(&self, request: &CaptionRequest) -> Result<Caption> {
        let (info, asked) = (self.info(), request.clone());
        let key = crate::blocking(move || CacheKey::of_caption(&info, &asked)).await?;
        self.cache.json(key, self.inner.caption(request)).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::ErrorKind;

    fn key(part: &str) -> CacheKey {
        CacheKey::new(&ProviderInfo::new("p", "m")).part(part)
    }

    #[tokio::test]
    async fn a_request_is_asked_once_also_at_the_same_time_and_after_a_restart() {
        let asked = AtomicUsize::new(0);
        let store = MemoryStore::new();
        let ask = || async {
            asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Ok(7_u32)
        };
        let cache = Cache::new(Arc::new(store.clone()));
        let together = (0..5).map(|_| cache.json(key("a"), ask()));
        assert_eq!(futures::future::try_join_all(together).await.unwrap(), [7; 5]);
        let restarted = Cache::new(Arc::new(store));
        assert_eq!(restarted.json(key("a"), ask()).await.unwrap(), 7);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        restarted.json(key("b"), ask()).await.unwrap();
        assert_eq!(asked.into_inner(), 2);
    }

    #[tokio::test]
    async fn failures_are_not_kept() {
        let cache = Cache::new(Arc::new(MemoryStore::new()));
        let refused = async { Err::<u32, _>(Error::new(ErrorKind::Unavailable, "down")) };
        assert!(cache.json(key("a"), refused).await.is_err());
        assert_eq!(cache.json(key("a"), async { Ok(1) }).await.unwrap(), 1);
    }

    #[test]
    fn parts_do_not_run_together() {
        let hash = CacheKey::hash;
        assert_ne!(hash(key("ab").part("c")), hash(key("a").part("bc")));
        let tall = RgbImage::new(1, 4);
        let wide = RgbImage::new(4, 1);
        assert_ne!(hash(key("").picture(&tall)), hash(key("").picture(&wide)));
    }
}
