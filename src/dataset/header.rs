//! `picchu.json`: what was run. Written last, so a dataset with one is complete.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{HEADER, Source};
use crate::{
    crop::CropPolicy,
    error::{AtStage, Error, ErrorKind, Result, Stage},
    source::{Analysis, Sampling},
    store::{Key, Store, get_opt},
    types::{Flash, Gap, MediaInfo, PixelRect, ProviderInfo, Record, Shot, Usage},
};

/// Version of the dataset's layout. Readers refuse later ones.
pub const SCHEMA_VERSION: u32 = 1;

/// The content of `picchu.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// The film.
    pub film: FilmHeader,
    /// Everything that decides which candidates there are.
    pub settings: Settings,
    /// Everything that decides which candidates are kept, and how they are captioned.
    pub selection: SelectSettings,
    /// What came out.
    pub counts: Counts,
    /// Stretches of the film that could not be decoded.
    pub gaps: Vec<Gap>,
    /// What it cost.
    pub usage: Usage,
    /// `records.jsonl` as it was written.
    pub records: FileHash,
    /// `embeddings.npy` as it was written.
    pub embeddings: FileHash,
    /// The embedder's own threshold: cosine similarity from which two crops are near-duplicates, unless somebody
    /// chose another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_min_similarity: Option<f64>,
    /// What the look at the whole film found, where the sampling needed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<AnalysisHeader>,
    /// The datasets that it was merged from, if it was; `film` and `settings` then stand for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
}

/// The film of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilmHeader {
    /// Its identity.
    pub fingerprint: String,
    /// What it said of itself.
    #[serde(flatten)]
    pub info: MediaInfo,
}

/// What the look at a whole film found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnalysisHeader {
    /// Pictures that the film has.
    pub pictures: u64,
    /// Held drawings that it has.
    pub drawings: u64,
    /// The shots, whose numbers the records name.
    pub shots: Vec<Shot>,
    /// Flashes.
    pub flashes: Vec<Flash>,
    /// The part of the frame that is not black bars, in pixels of a frame in full size; `None` without bars.
    pub picture: Option<PixelRect>,
    /// Places where the same lies over all shots, in pixels of a frame in full size.
    pub overlays: Vec<PixelRect>,
}

impl From<&Analysis> for AnalysisHeader {
    fn from(analysis: &Analysis) -> Self {
        Self {
            pictures: analysis.pictures,
            drawings: analysis.drawings.len() as u64,
            shots: analysis.shots.clone(),
            flashes: analysis.flashes.clone(),
            picture: analysis.picture,
            overlays: analysis.overlays.clone(),
        }
    }
}

/// Everything that decides which candidates a film gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Which frames.
    pub sampling: Sampling,
    /// Who looked for characters.
    pub detector: ProviderInfo,
    /// [`SETTLE_VERSION`](crate::detect::SETTLE_VERSION), where neighbouring frames settled the boxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<u32>,
    /// How crops were cut.
    pub crop: CropPolicy,
    /// Who embedded them.
    pub embedder: ProviderInfo,
    /// [`ANALYSIS_VERSION`](crate::source::ANALYSIS_VERSION), where the sampling needs a look at the whole film.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<u32>,
}

impl Settings {
    /// A short hash by which a run's unfinished work on a film is found again.
    pub(crate) fn hash(&self, fingerprint: &str) -> Result<String> {
        let json = serde_json::to_vec(&(fingerprint, self))
            .map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
        Ok(FileHash::of(&json).short(16).to_owned())
    }
}

/// Everything that decides which candidates are kept, and how they are captioned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelectSettings {
    /// Who chose, with the threshold.
    pub deduper: ProviderInfo,
    /// Who captioned.
    pub captioner: ProviderInfo,
    /// Hash of the rules for captions.
    #[serde(default)]
    pub lint: String,
}

/// What came out of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Frames looked at.
    pub frames: u64,
    /// Frames that a detector or the decoder failed on.
    pub frames_failed: u64,
    /// Frames with at least one detection.
    pub frames_with_detections: u64,
    /// Lines of `records.jsonl`.
    pub records: u64,
    /// Records selected for the dataset.
    pub kept: u64,
    /// Records covered by a kept one.
    pub duplicates: u64,
    /// Records whose character is unsure.
    pub unsure: u64,
    /// Records left out by a rule.
    pub skipped: u64,
    /// Records that were selected, but for which no caption could be had.
    #[serde(default)]
    pub uncaptioned: u64,
    /// Records that could not be processed.
    pub failed: u64,
    /// Kept images in which each character appears, by name.
    pub characters: std::collections::BTreeMap<String, u64>,
}

impl Counts {
    /// Counts the records anew; what is known of the frames stays.
    pub(crate) fn recount(&mut self, records: &[Record]) {
        let of = |name: &str| records.iter().filter(|r| r.outcome.as_str() == name).count() as u64;
        self.records = records.len() as u64;
        self.kept = of("kept");
        self.duplicates = of("duplicate");
        self.unsure = of("unsure");
        self.skipped = of("skipped");
        self.uncaptioned = of("uncaptioned");
        self.failed = of("failed");
        self.characters.clear();
        for subject in records.iter().filter(|r| r.is_kept()).flat_map(|r| &r.subjects) {
            *self.characters.entry(subject.character.clone()).or_default() += 1;
        }
    }
}

/// A file's hash and size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHash {
    /// `sha256:` and the hash.
    pub sha256: String,
    /// Size in bytes.
    pub size_bytes: u64,
}

impl FileHash {
    pub(crate) fn of(body: &[u8]) -> Self {
        let sha256 = crate::source::sha256_string(Sha256::new_with_prefix(body));
        Self { sha256, size_bytes: body.len() as u64 }
    }

    /// The first so many hexadecimal digits of the hash.
    pub(crate) fn short(&self, digits: usize) -> &str {
        &self.sha256["sha256:".len()..][..digits]
    }

    pub(crate) fn matches(&self, body: &[u8]) -> bool {
        *self == Self::of(body)
    }
}

impl Header {
    /// Reads the header of a store, if there is one.
    pub(crate) async fn read(store: &dyn Store) -> Result<Option<Self>> {
        let key = Key::new(HEADER)?;
        let Some(body) = get_opt(store, &key).await.at(Stage::Dataset)? else { return Ok(None) };
        Self::parse(&body).at(Stage::Dataset).map(Some)
    }

    fn parse(body: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema_version: u32,
        }
        let broken = |e| Error::invalid(format!("{HEADER} cannot be read: {e}")).with_source(e);
        let Version { schema_version } = serde_json::from_slice(body).map_err(broken)?;
        if schema_version > SCHEMA_VERSION {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "this dataset has schema version {schema_version}; this picchu reads up to {SCHEMA_VERSION}. \
                     Update picchu"
                ),
            ));
        }
        serde_json::from_slice(body).map_err(broken)
    }

    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        let mut body = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::internal(format!("cannot write {HEADER}: {e}")).with_source(e))?;
        body.push(b'\n');
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datasets_of_a_later_picchu_are_refused_in_words() {
        let error = Header::parse(br#"{"schema_version": 99}"#).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("Update picchu"));
        assert_eq!(Header::parse(b"{").unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
