//! Batch jobs about a dataset, as the command line and Python ask for them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};

use super::{Access, CaptionerChoice, EmbedderChoice, Shared, bedrock::BedrockEmbedder};
use crate::{
    aws::bedrock::{BatchJobs, BatchModel, BatchSettings, DatasetBatch},
    dataset::Dataset,
    error::{Error, ErrorKind, Result},
    store::Key,
};

/// Which answers are asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchQuestions {
    /// Embeddings of all images.
    Embeddings(EmbedderChoice),
    /// First captions of the selected images.
    Captions(CaptionerChoice),
}

impl BatchQuestions {
    async fn model(&self, shared: &Shared) -> Result<Arc<dyn BatchModel>> {
        match self {
            Self::Embeddings(EmbedderChoice::Titan(choice)) => {
                choice.batch(BedrockEmbedder::Titan, shared).await
            }
            Self::Embeddings(EmbedderChoice::Nova(choice)) => {
                choice.batch(BedrockEmbedder::Nova, shared).await
            }
            Self::Captions(CaptionerChoice::Nova(choice)) => choice.batch(shared).await,
            Self::Embeddings(_) => Err(Error::new(
                ErrorKind::Config,
                "batch jobs are for the embedders of Amazon Bedrock: titan, nova",
            )),
            Self::Captions(_) => Err(Error::new(
                ErrorKind::Config,
                "batch jobs are for the captioners of Amazon Bedrock: nova, nova-lite, bedrock:MODEL",
            )),
        }
    }
}

/// Where jobs read and write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPlace {
    /// `s3://bucket/prefix`, in the Region of the jobs.
    pub s3: PathBuf,
    /// The role that Bedrock takes on to read and write there.
    pub role_arn: String,
    /// When Bedrock gives a job up: 24 to 168 hours.
    pub timeout_hours: u32,
}

/// Opens the questions about a dataset. Answers go into the dataset's cache, jobs into its ledger.
///
/// # Errors
/// [`Config`](ErrorKind::Config) for models that take no batch jobs, [`InvalidInput`](ErrorKind::InvalidInput) for a place
/// that is not on S3; as [`Dataset::open`].
pub async fn open_batch(
    dataset: &Path,
    questions: &BatchQuestions,
    place: &BatchPlace,
    access: &Access,
    shared: Shared,
) -> Result<DatasetBatch> {
    if !place.s3.to_str().is_some_and(|s3| s3.starts_with("s3://")) {
        return Err(Error::invalid(format!(
            "batch jobs read and write on S3 alone; {} is not s3://bucket/prefix",
            place.s3.display()
        )));
    }
    let store = access.store(dataset)?;
    let dataset = Dataset::open(Arc::clone(&store)).await?;
    let shared = shared.keep_answers_in(store);
    let model = questions.model(&shared).await?;
    let info = model.info();
    let whose =
        format!("{} {} {} {}", dataset.header().film.fingerprint, info.name, info.model, info.settings);
    let whose = crate::source::sha256_string(Sha256::new_with_prefix(whose));
    let folder = Key::new(format!("picchu-batch/{}", &whose["sha256:".len()..][..16]))?;
    let settings = BatchSettings {
        model: model.model().to_owned(),
        role_arn: place.role_arn.clone(),
        timeout_hours: place.timeout_hours,
    };
    let mut jobs = BatchJobs::new(shared.aws().await?, access.store(&place.s3)?, folder, settings)?;
    if let Some(ledger) = &shared.ledger {
        jobs = jobs.ledger(ledger.clone());
    }
    Ok(DatasetBatch::new(dataset, model, Arc::clone(&shared.cache), jobs))
}
