//! Answers that may have cost money, kept as they arrive: a run that is killed between an answer and the end of its
//! batch asks nothing twice.
//!
//! Each call's answers are one object below `work/answers/`, written before the answers are used. A later run of any
//! settings finds them by what was asked: who was asked (with every setting), and about what. They go when the dataset
//! is complete.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use ndarray::Array2;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{collect::is_about_the_item, journal::WORK};
use crate::{
    caption::Captioner,
    dataset::FileHash,
    detect::CharacterDetector,
    embed::Embedder,
    error::{AtStage, Error, ErrorKind, Result, Stage},
    source::FrameSource,
    store::{Key, PutMode, Store},
    types::{Caption, CaptionRequest, Crop, Detection, Embeddings, Frame, ProviderInfo, Usage},
};

/// Objects read at once when a run goes on.
const READS: usize = 16;

/// What earlier runs were told, and where this run's answers go.
#[derive(Debug)]
pub(crate) struct Answers {
    store: Arc<dyn Store>,
    known: HashMap<String, Value>,
}

/// One object: answers by the hash of what was asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Call(BTreeMap<String, Value>);

impl Answers {
    /// Reads what an unfinished run left.
    pub(crate) async fn open(store: &Arc<dyn Store>) -> Result<Arc<Self>> {
        let folder = Key::new(format!("{WORK}/answers"))?;
        let objects: Vec<_> = store.list(Some(&folder)).try_collect().await.at(Stage::Dataset)?;
        let calls: Vec<Call> = stream::iter(objects)
            .map(|object| async move {
                let body = store.get(&object.key).await.at(Stage::Dataset)?;
                // Objects are written whole: what cannot be read is not ours, and is asked again.
                Ok::<_, Error>(serde_json::from_slice(&body).unwrap_or(Call(BTreeMap::new())))
            })
            .buffered(READS)
            .try_collect()
            .await?;
        let known = calls.into_iter().flat_map(|call| call.0).collect();
        Ok(Arc::new(Self { store: Arc::clone(store), known }))
    }

    fn get<T: DeserializeOwned>(&self, question: &str) -> Option<T> {
        self.known.get(question).and_then(|answer| T::deserialize(answer).ok())
    }

    /// Keeps the answers of one call.
    async fn keep<T: Serialize>(
        &self,
        stage: &str,
        answers: impl IntoIterator<Item = (String, T)>,
    ) -> Result<()> {
        let json = |e| Error::internal(format!("cannot write JSON: {e}"));
        let call = answers
            .into_iter()
            .map(|(question, answer)| Ok((question, serde_json::to_value(answer).map_err(json)?)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        let mut name = Sha256::new();
        for question in call.keys() {
            name.update(question);
        }
        let key = Key::new(format!("{WORK}/answers/{stage}-{}.json", &hex(name)[..32]))?;
        let body = serde_json::to_vec(&Call(call)).map_err(json)?;
        self.store.put(&key, Bytes::from(body), PutMode::Overwrite).await.at(Stage::Dataset)
    }
}

fn hex(hash: Sha256) -> String {
    crate::source::sha256_string(hash)["sha256:".len()..].to_owned()
}

/// What a question is known by: who is asked, and about what.
fn question(stage: Stage, who: &ProviderInfo, what: &impl Serialize) -> Result<String> {
    let json = serde_json::to_vec(&(stage.as_str(), &who.name, &who.model, &who.settings, what))
        .map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
    Ok(FileHash::of(&json).short(64).to_owned())
}

/// A picture by its pixels.
fn pixels(crop: &Crop) -> String {
    hex(Sha256::new_with_prefix(crop.image.width().to_le_bytes()).chain_update(crop.image.as_raw()))
}

/// A detector whose answers are kept, frame by frame.
#[derive(Debug)]
pub(crate) struct RememberingDetector {
    pub(crate) inner: Arc<dyn CharacterDetector>,
    pub(crate) answers: Arc<Answers>,
    /// Fingerprint of the film: with a frame's time and size it tells the picture.
    pub(crate) film: String,
}

#[async_trait]
impl CharacterDetector for RememberingDetector {
    fn info(&self) -> ProviderInfo {
        self.inner.info()
    }

    fn price(&self) -> Option<f64> {
        self.inner.price()
    }

    async fn learn(&self, film: &dyn FrameSource) -> Result<Option<Arc<dyn CharacterDetector>>> {
        let learned = self.inner.learn(film).await?;
        Ok(learned.map(|inner| {
            let (answers, film) = (Arc::clone(&self.answers), self.film.clone());
            Arc::new(Self { inner, answers, film }) as Arc<dyn CharacterDetector>
        }))
    }

    async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
        let who = self.info();
        let questions = frames
            .iter()
            .map(|f| question(Stage::Detect, &who, &(&self.film, f.time, f.width(), f.height())))
            .collect::<Result<Vec<_>>>()?;
        let mut found: Vec<Option<Vec<Detection>>> = questions.iter().map(|q| self.answers.get(q)).collect();
        let open: Vec<usize> = (0..frames.len()).filter(|&i| found[i].is_none()).collect();
        if !open.is_empty() {
            let asked: Vec<Frame> = open.iter().map(|&i| frames[i].clone()).collect();
            let told = self.inner.detect(&asked).await?;
            if told.len() != asked.len() {
                // The caller counts too, and says what is wrong.
                return Ok(told);
            }
            self.answers.keep("detect", open.iter().map(|&i| questions[i].clone()).zip(&told)).await?;
            for (i, answer) in open.into_iter().zip(told) {
                found[i] = Some(answer);
            }
        }
        Ok(found.into_iter().flatten().collect())
    }
}

/// An embedder whose vectors are kept, crop by crop.
#[derive(Debug)]
pub(crate) struct RememberingEmbedder {
    pub(crate) inner: Arc<dyn Embedder>,
    pub(crate) answers: Arc<Answers>,
}

#[async_trait]
impl Embedder for RememberingEmbedder {
    fn info(&self) -> ProviderInfo {
        self.inner.info()
    }

    fn price(&self) -> Option<f64> {
        self.inner.price()
    }

    fn dimensions(&self) -> usize {
        self.inner.dimensions()
    }

    fn default_min_similarity(&self) -> f64 {
        self.inner.default_min_similarity()
    }

    async fn embed(&self, crops: &[Crop]) -> Result<Embeddings> {
        let (who, pictures) = (self.info(), crops.to_vec());
        let questions = crate::blocking(move || {
            pictures
                .iter()
                .map(|crop| question(Stage::Embed, &who, &pixels(crop)))
                .collect::<Result<Vec<_>>>()
        })
        .await?;
        let mut rows: Vec<Option<Vec<f32>>> =
            questions.iter().map(|q| self.answers.get::<String>(q).and_then(|text| unpack(&text))).collect();
        let open: Vec<usize> = (0..crops.len()).filter(|&i| rows[i].is_none()).collect();
        if open.len() == crops.len() {
            let told = self.inner.embed(crops).await?;
            if told.len() == crops.len() {
                let packed =
                    told.view().rows().into_iter().map(|row| pack(&row.to_vec())).collect::<Vec<_>>();
                self.answers.keep("embed", questions.into_iter().zip(packed)).await?;
            }
            return Ok(told);
        }
        if !open.is_empty() {
            let asked: Vec<Crop> = open.iter().map(|&i| crops[i].clone()).collect();
            let told = self.inner.embed(&asked).await?;
            if told.len() != asked.len() {
                return Ok(told);
            }
            let told: Vec<Vec<f32>> = told.view().rows().into_iter().map(|row| row.to_vec()).collect();
            self.answers
                .keep(
                    "embed",
                    open.iter().map(|&i| questions[i].clone()).zip(told.iter().map(|row| pack(row))),
                )
                .await?;
            for (i, row) in open.into_iter().zip(told) {
                rows[i] = Some(row);
            }
        }
        let rows: Vec<Vec<f32>> = rows.into_iter().flatten().collect();
        let matrix = Array2::from_shape_vec((rows.len(), self.dimensions()), rows.concat())
            .map_err(|e| Error::internal(format!("remembered vectors of another length: {e}")))?;
        Ok(Embeddings::from_unit_rows(self.info().model, matrix))
    }
}

/// Floats to the bit, and short.
fn pack(row: &[f32]) -> String {
    BASE64_STANDARD.encode(row.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
}

fn unpack(text: &str) -> Option<Vec<f32>> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    let (floats, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| floats.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

/// A captioner whose captions are kept, and its refusals too: they are paid as well.
#[derive(Debug)]
pub(crate) struct RememberingCaptioner {
    pub(crate) inner: Arc<dyn Captioner>,
    pub(crate) answers: Arc<Answers>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    Caption(Caption),
    Refusal {
        kind: String,
        message: String,
        #[serde(default)]
        usage: Usage,
    },
}

#[async_trait]
impl Captioner for RememberingCaptioner {
    fn info(&self) -> ProviderInfo {
        self.inner.info()
    }

    fn price(&self) -> Option<f64> {
        self.inner.price()
    }

    async fn caption(&self, request: &CaptionRequest) -> Result<Caption> {
        let (who, what) = (self.info(), request.clone());
        let question = crate::blocking(move || {
            // Whatever is added to a request belongs to the question.
            let CaptionRequest { record, crop, subjects, attempt, refusal } = &what;
            question(Stage::Caption, &who, &(record, pixels(crop), subjects, attempt, refusal))
        })
        .await?;
        match self.answers.get(&question) {
            Some(Told::Caption(caption)) => return Ok(caption),
            Some(Told::Refusal { kind, message, usage }) => return Err(refusal(&kind, message, usage)),
            None => {}
        }
        match self.inner.caption(request).await {
            Ok(caption) => {
                self.answers.keep("caption", [(question, Told::Caption(caption.clone()))]).await?;
                Ok(caption)
            }
            Err(e) if is_about_the_item(&e) => {
                let (kind, usage) = (e.kind().as_str(), e.usage());
                // The stage is named by whoever asked; a run that goes on has to say the same words.
                let words = e.to_string();
                let message = words.strip_prefix("caption: ").unwrap_or(&words).to_owned();
                let told = Told::Refusal { kind: kind.into(), message: message.clone(), usage };
                self.answers.keep("caption", [(question, told)]).await?;
                Err(refusal(kind, message, usage))
            }
            Err(e) => Err(e),
        }
    }
}

fn refusal(kind: &str, message: String, usage: Usage) -> Error {
    Error::new(kind_of(kind), message).with_usage(usage)
}

/// The kinds that are about the item.
fn kind_of(name: &str) -> ErrorKind {
    [ErrorKind::InvalidInput, ErrorKind::Decode, ErrorKind::ContentFiltered]
        .into_iter()
        .find(|kind| kind.as_str() == name)
        .unwrap_or(ErrorKind::Unsupported)
}
