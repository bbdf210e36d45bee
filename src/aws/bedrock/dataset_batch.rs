//! A dataset's images asked about in batch jobs; the answers lie in the cache afterwards, where a run looks before it asks
//! and pays by itself.
//!
//! What is asked, and under which key its answer is kept, is that of a run: nothing in the pipeline knows of batches.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{
    BatchJobs, BatchRecord, ConverseModel, MIN_RECORDS, NovaEmbedder, TitanEmbedder,
    batch::MAX_RECORDS,
    embed::{matrix, whole},
};
use crate::{
    caption::{Answer, Captioner, Tone, VisionCaptioner, VisionModel},
    crop::{Fit, to_jpeg},
    dataset::Dataset,
    embed::Embedder,
    error::{Error, ErrorKind, Result},
    layers::{Cache, CacheKey, row_bytes},
    store::lock,
    types::{CaptionRequest, Outcome, ProviderInfo, Record, Usage},
};

/// What an answer costs in a batch job, as a part of what it costs alone.
const PRICE_SHARE: f64 = 0.5;
/// From this size on, an input file is full: it is held in memory while it is written.
const FULL: usize = 96 << 20;
/// Images worked on at once.
const AT_ONCE: usize = 4;

/// A model that answers about images in batch jobs: what it is asked, and how its answers are kept.
pub trait BatchModel: fmt::Debug + Send + Sync + 'static {
    /// Whose answers these are: what a run with the same settings asks by itself.
    fn info(&self) -> ProviderInfo;

    /// Id of the model.
    fn model(&self) -> &str;

    /// Whether something is asked about a record.
    fn wants(&self, record: &Record) -> bool;

    /// What one question uses, about.
    fn usage_of_one(&self) -> Usage;

    /// What a use costs alone, in US dollars, where that is known.
    fn price(&self, usage: &Usage) -> Option<f64>;

    /// The hash under which a run looks for the answer.
    ///
    /// # Errors
    /// None that input could cause.
    fn key(&self, request: &CaptionRequest) -> Result<String>;

    /// The question in the model's own form.
    ///
    /// # Errors
    /// For a picture that cannot be sent.
    fn question(&self, request: &CaptionRequest) -> Result<Value>;

    /// What a run will find, and what was used. The money is filled in by the caller.
    ///
    /// # Errors
    /// For an answer that is none; it is asked again by the run.
    fn answer(&self, request: &CaptionRequest, output: &Value, usage: Usage) -> Result<Bytes>;

    /// What an answer says it used.
    fn used(&self, output: &Value) -> Usage;
}

/// How far the questions about a dataset are.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BatchProgress {
    /// Questions: different images that something is asked about.
    pub questions: usize,
    /// Those that a run will find answered.
    pub answered: usize,
    /// Those in jobs that are at work.
    pub under_way: usize,
    /// Those that nobody was asked yet, or that came back without a usable answer.
    pub open: usize,
    /// What asking the open ones in jobs costs, about.
    pub estimate: Usage,
    /// What the answers that came back now did cost.
    pub spent: Usage,
    /// Records that came back now without a usable answer, and why.
    pub failed: BTreeMap<String, String>,
    /// The jobs that are at work.
    pub jobs: Vec<BatchJobState>,
    /// The jobs that ended badly, with what Bedrock says.
    pub ended_badly: Vec<BatchJobState>,
}

impl BatchProgress {
    /// Whether a job can be made of what is open: fewer than 100 are asked by the run itself.
    pub fn can_submit(&self) -> bool {
        self.open >= MIN_RECORDS
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BatchJobState {
    /// Its ARN.
    pub arn: String,
    /// Bedrock's word for its state.
    pub state: String,
    /// Records that are done.
    pub processed: u64,
    /// Records in all.
    pub total: u64,
    /// What Bedrock says about a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The questions of one model about one dataset.
#[derive(Debug)]
pub struct DatasetBatch {
    dataset: Dataset,
    model: Arc<dyn BatchModel>,
    cache: Arc<Cache>,
    jobs: BatchJobs,
    /// Found once: that takes a look at every image.
    questions: OnceCell<Questions>,
}

/// The questions by their hashes, which are the records' ids in the jobs, in the order of the film.
#[derive(Debug)]
struct Questions {
    places: HashMap<String, usize>,
    order: Vec<String>,
}

impl DatasetBatch {
    /// For a dataset, and the cache of the runs that write it.
    pub fn new(dataset: Dataset, model: Arc<dyn BatchModel>, cache: Arc<Cache>, jobs: BatchJobs) -> Self {
        Self { dataset, model, cache, jobs, questions: OnceCell::new() }
    }

    /// Reads what jobs have finished into the cache, and tells how far the rest is. Submits nothing that was not
    /// submitted before, and costs nothing.
    ///
    /// # Errors
    /// As the stores and the service say, and [`AlreadyExists`](ErrorKind::AlreadyExists) while somebody else is at work on
    /// the dataset. One answer that is none ends nothing.
    pub async fn look(&self) -> Result<BatchProgress> {
        self.alone(Box::pin(async { Ok(self.look_at(self.questions().await?).await?.0) })).await
    }

    /// As [`look`](Self::look), and submits what is open, in as few jobs as the files allow, if that costs at most
    /// `max_usd`. Nothing is submitted for fewer than 100 questions. A crash and a second call pay nothing twice.
    ///
    /// # Errors
    /// As [`look`](Self::look); [`QuotaExceeded`](ErrorKind::QuotaExceeded) for what would cost more, about.
    pub async fn submit(&self, max_usd: Option<f64>) -> Result<BatchProgress> {
        self.alone(Box::pin(async {
            let questions = self.questions().await?;
            let (mut progress, open) = self.look_at(questions).await?;
            if progress.can_submit() {
                self.submit_all(questions, open, max_usd, &mut progress).await?;
            }
            Ok(progress)
        }))
        .await
    }

    /// Works while nobody else is at work on the dataset. The lock is given back whatever comes of it.
    async fn alone<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let lease = lock(self.dataset.store()).await?;
        let outcome = work.await;
        let released = lease.release().await;
        let done = outcome?;
        released.map(|()| done)
    }

    async fn submit_all(
        &self,
        questions: &Questions,
        open: Vec<String>,
        max_usd: Option<f64>,
        progress: &mut BatchProgress,
    ) -> Result<()> {
        let usd = progress.estimate.usd;
        if let Some(max) = max_usd.filter(|max| usd > max * (1.0 + 1e-9)) {
            return Err(Error::new(
                ErrorKind::QuotaExceeded,
                format!(
                    "{} questions cost about {usd:.4} US dollars, more than {max:.4}; nothing was submitted",
                    open.len()
                ),
            ));
        }
        let mut rest = open.len();
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut written = stream::iter(open)
            .map(|hash| async {
                let request = self.request(questions.places[&hash]).await?;
                let model = Arc::clone(&self.model);
                let input = crate::blocking(move || model.question(&request)).await?;
                Ok::<_, Error>(BatchRecord { id: hash, input })
            })
            .buffered(AT_ONCE);
        while let Some(record) = written.try_next().await? {
            bytes += record.input.to_string().len();
            records.push(record);
            rest -= 1;
            let full =
                (bytes >= FULL || records.len() >= MAX_RECORDS - MIN_RECORDS) && records.len() >= MIN_RECORDS;
            // The last job must not be left with too few.
            if rest == 0 || (full && rest >= MIN_RECORDS) {
                let job = self.jobs.submit(&records).await?;
                progress.under_way += records.len();
                progress.open -= records.len();
                progress.jobs.push(BatchJobState {
                    arn: job.arn().to_owned(),
                    state: "Submitted".to_owned(),
                    processed: 0,
                    total: records.len() as u64,
                    message: None,
                });
                records.clear();
                bytes = 0;
            }
        }
        progress.estimate = Usage::default();
        Ok(())
    }

    /// Progress, and the open questions in the film's order.
    async fn look_at(&self, questions: &Questions) -> Result<(BatchProgress, Vec<String>)> {
        let mut progress = BatchProgress { questions: questions.order.len(), ..BatchProgress::default() };
        let mut asked = HashSet::new();
        for job in self.jobs.open().await? {
            let status = job.status().await?;
            let state = BatchJobState {
                arn: job.arn().to_owned(),
                state: status.state.clone(),
                processed: status.processed,
                total: status.total,
                message: status.message.clone(),
            };
            if !status.is_final() {
                asked.extend(job.records().iter().cloned());
                progress.jobs.push(state);
                continue;
            }
            if status.state != "Completed" {
                progress.ended_badly.push(state);
            }
            let outcome = job.outcome().await?;
            let mut spent = Usage::default();
            for (hash, output) in outcome.answers {
                // Not of this dataset as it is now: the film, the crops or the prompt are others than they were.
                let Some(&place) = questions.places.get(&hash) else { continue };
                let usage = self.priced(self.model.used(&output));
                spent += usage;
                if let Err(e) = self.take(place, &hash, output, usage).await? {
                    progress.failed.insert(self.dataset.records()[place].id.clone(), e.to_string());
                }
            }
            for (hash, reason) in outcome.failed {
                if let Some(&place) = questions.places.get(&hash) {
                    progress.failed.insert(self.dataset.records()[place].id.clone(), reason);
                }
            }
            job.taken(spent.usd).await?;
            progress.spent += spent;
        }
        let known = self.cache.known().await?;
        let (answered, rest): (Vec<_>, Vec<_>) =
            questions.order.iter().cloned().partition(|hash| known.contains(hash));
        let open: Vec<String> = rest.into_iter().filter(|hash| !asked.contains(hash)).collect();
        progress.answered = answered.len();
        progress.open = open.len();
        progress.under_way = progress.questions - progress.answered - progress.open;
        progress.estimate = self.priced(self.model.usage_of_one().times(open.len() as u64));
        Ok((progress, open))
    }

    /// Keeps an answer. The inner error is that of an answer which is none.
    async fn take(&self, place: usize, hash: &str, output: Value, usage: Usage) -> Result<Result<()>> {
        let request = self.request(place).await?;
        let model = Arc::clone(&self.model);
        match crate::blocking(move || model.answer(&request, &output, usage)).await {
            Ok(body) => self.cache.keep(hash, body).await.map(Ok),
            Err(e) => Ok(Err(e)),
        }
    }

    async fn questions(&self) -> Result<&Questions> {
        self.questions.get_or_try_init(|| self.find_questions()).await
    }

    async fn find_questions(&self) -> Result<Questions> {
        let records = self.dataset.records();
        let wanted = (0..records.len()).filter(|&place| {
            let record = &records[place];
            record.crop.is_some() && self.model.wants(record)
        });
        let hashed: Vec<(usize, String)> = stream::iter(wanted)
            .map(|place| async move {
                let request = self.request(place).await?;
                let model = Arc::clone(&self.model);
                let hash = crate::blocking(move || model.key(&request)).await?;
                Ok::<_, Error>((place, hash))
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let mut questions = Questions { places: HashMap::new(), order: Vec::new() };
        for (place, hash) in hashed {
            // Equal pictures are one question.
            if questions.places.insert(hash.clone(), place).is_none() {
                questions.order.push(hash);
            }
        }
        Ok(questions)
    }

    async fn request(&self, place: usize) -> Result<CaptionRequest> {
        let record = &self.dataset.records()[place];
        let image = self.dataset.image(record).await?;
        CaptionRequest::first(record, image)
            .ok_or_else(|| Error::internal(format!("record {} has no image", record.id)))
    }

    /// A use at the price of batch jobs.
    fn priced(&self, usage: Usage) -> Usage {
        match self.model.price(&usage) {
            Some(usd) => Usage { usd: usd * PRICE_SHARE, unpriced_requests: 0, ..usage },
            None => Usage { usd: 0.0, unpriced_requests: usage.requests, ..usage },
        }
    }
}

impl BatchModel for VisionCaptioner<ConverseModel> {
    fn info(&self) -> ProviderInfo {
        Captioner::info(self)
    }

    fn model(&self) -> &str {
        self.model().id()
    }

    /// What was selected, captioned or not.
    fn wants(&self, record: &Record) -> bool {
        record.is_kept() || matches!(record.outcome, Outcome::Uncaptioned { .. })
    }

    fn usage_of_one(&self) -> Usage {
        self.model().usage_of_one()
    }

    fn price(&self, usage: &Usage) -> Option<f64> {
        self.model().price_of(usage)
    }

    fn key(&self, request: &CaptionRequest) -> Result<String> {
        Ok(CacheKey::of_caption(&BatchModel::info(self), request)?.hash())
    }

    fn question(&self, request: &CaptionRequest) -> Result<Value> {
        let prompt = self.prompt().build(request, Tone::Full);
        Ok(self.model().batch_input(&prompt, &to_jpeg(&request.crop.image, ConverseModel::FIT)?))
    }

    fn answer(&self, request: &CaptionRequest, output: &Value, usage: Usage) -> Result<Bytes> {
        let text = match ConverseModel::batch_answer(output) {
            Answer::Caption(text) => text,
            Answer::Refused(words) => return Err(Error::new(ErrorKind::ContentFiltered, words)),
            Answer::Unreadable(why) => return Err(Error::new(ErrorKind::Decode, why)),
        };
        let prompt = self.prompt().build(request, Tone::Full);
        let caption = self.said(text, &prompt, request, usage);
        let body =
            serde_json::to_vec(&caption).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
        Ok(Bytes::from(body))
    }

    fn used(&self, output: &Value) -> Usage {
        let tokens = |name: &str| output["usage"][name].as_u64().unwrap_or(0);
        Usage {
            requests: 1,
            images: 1,
            input_tokens: tokens("inputTokens"),
            output_tokens: tokens("outputTokens"),
            ..Usage::default()
        }
    }
}

/// What both embedders have in common.
macro_rules! embedder {
    ($embedder:ty) => {
        impl BatchModel for $embedder {
            fn info(&self) -> ProviderInfo {
                Embedder::info(self)
            }

            fn model(&self) -> &str {
                self.bedrock().model()
            }

            fn wants(&self, _: &Record) -> bool {
                true
            }

            fn usage_of_one(&self) -> Usage {
                Usage { requests: 1, images: 1, ..Usage::default() }
            }

            fn price(&self, usage: &Usage) -> Option<f64> {
                self.bedrock().price(usage)
            }

            fn key(&self, request: &CaptionRequest) -> Result<String> {
                Ok(CacheKey::of_embedding(&BatchModel::info(self), &request.crop.image).hash())
            }

            fn question(&self, request: &CaptionRequest) -> Result<Value> {
                const FIT: Fit = <$embedder>::FIT;
                Ok(Self::body(&to_jpeg(&request.crop.image, FIT)?, self.dimensions()))
            }

            fn answer(&self, _: &CaptionRequest, output: &Value, _: Usage) -> Result<Bytes> {
                let row = whole(Self::vector(output)?, self.dimensions())?;
                let row = matrix(BatchModel::info(self).model, self.dimensions(), vec![row])?;
                Ok(row_bytes(row.view().row(0)))
            }

            fn used(&self, output: &Value) -> Usage {
                let input_tokens = output["inputTextTokenCount"].as_u64().unwrap_or(0);
                Usage { input_tokens, ..BatchModel::usage_of_one(self) }
            }
        }
    };
}

embedder!(TitanEmbedder);
embedder!(NovaEmbedder);
