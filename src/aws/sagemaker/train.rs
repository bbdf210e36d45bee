//! LoRA training by jobs of Amazon SageMaker: looked at before they cost anything, started once, watched, stopped.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures::{TryStreamExt, stream::BoxStream};
use serde_json::{Value, json};

use super::{
    calls::{SageMaker, found, is_taken},
    check,
    job::{get, job_progress, name_of},
    program,
    quotas::{self, Use},
    request::TrainingJobRequest,
    role::check_role,
    settings::SageMakerSettings,
};
use crate::{
    aws::{AwsContext, bedrock::is_role},
    dataset::export,
    error::{AtStage, Error, ErrorKind, Result, Stage},
    store::{Key, PutMode, Store, get_opt},
    train::{
        Entry, Happened, Ledger, ResourceKind, Trainer, check_reviewed, lora::licence_of, stands_in_the_way,
        watch,
    },
    types::{
        CustomModel, DatasetRules, Finding, JobProgress, JobStatus, PriceTable, ProviderInfo, TrainingJob,
        TrainingSpec,
    },
};

/// How often, and for how long, a job is sent whose role is too new for SageMaker to know it.
const ROLE_POLL: Duration = Duration::from_secs(2);
const ROLE_PATIENCE: Duration = Duration::from_mins(2);

/// Trains LoRAs of open image models in jobs of Amazon SageMaker.
///
/// ```no_run
/// # async fn f(spec: picchu::types::TrainingSpec, ledger: picchu::train::Ledger) -> picchu::Result<()> {
/// use picchu::{Trainer, aws::{AwsContext, AwsSettings, sagemaker::{SageMakerSettings, SageMakerTrainer}}};
/// let context = AwsContext::from_env(&AwsSettings::default()).await?;
/// let data = picchu::config::open_store("s3://my-bucket/film".as_ref())?;
/// let output = picchu::config::open_store("s3://my-bucket/models".as_ref())?;
/// let settings = SageMakerSettings { role: "arn:aws:iam::123456789012:role/tune".into(), ..Default::default() };
/// let trainer = SageMakerTrainer::new(&context, settings, data, output, ledger);
/// for finding in trainer.check(&spec).await? {
///     println!("{:?}: {}; {}", finding.severity, finding.message, finding.mend);
/// }
/// # Ok(()) }
/// ```
pub struct SageMakerTrainer {
    context: AwsContext,
    client: SageMaker,
    settings: SageMakerSettings,
    data: Arc<dyn Store>,
    output: Arc<dyn Store>,
    ledger: Ledger,
    prices: PriceTable,
    role_is_new: bool,
    allow_unreviewed: bool,
}

impl fmt::Debug for SageMakerTrainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SageMakerTrainer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl SageMakerTrainer {
    /// A trainer of the account and the Region of `context`. `data` is the folder on S3 with the export for `diffusers`,
    /// `output` the folder on S3 for results; the ledger notes each job before it is started.
    pub fn new(
        context: &AwsContext,
        settings: SageMakerSettings,
        data: Arc<dyn Store>,
        output: Arc<dyn Store>,
        ledger: Ledger,
    ) -> Self {
        Self {
            context: context.clone(),
            client: SageMaker::new(context),
            settings,
            data,
            output,
            ledger,
            prices: PriceTable::built_in(),
            role_is_new: false,
            allow_unreviewed: false,
        }
    }

    /// Sets the prices that estimates are made with: `sagemaker/ml.g5.2xlarge/training`, by the hour.
    #[must_use]
    pub fn prices(mut self, prices: PriceTable) -> Self {
        self.prices = prices;
        self
    }

    /// Says that the role is made with this job: a check does not look for it, and [`submit`](Trainer::submit) waits up to
    /// two minutes until SageMaker knows it.
    #[must_use]
    pub fn role_is_new(mut self, new: bool) -> Self {
        self.role_is_new = new;
        self
    }

    /// Whether images may be trained on that no person looked at. A check refuses them otherwise; the ledger says so of the
    /// job.
    #[must_use]
    pub fn allow_unreviewed(mut self, allow: bool) -> Self {
        self.allow_unreviewed = allow;
        self
    }

    /// The request that [`submit`](Trainer::submit) sends.
    pub fn request(&self, spec: &TrainingSpec) -> TrainingJobRequest {
        TrainingJobRequest::new(spec, &self.settings, self.context.region())
    }

    /// How far a job is, as often as `poll` says, until it is at its end.
    ///
    /// # Errors
    /// The stream's items are errors where SageMaker did not answer; it goes on after those that may pass.
    pub fn watch(&self, job: &str, poll: Duration) -> BoxStream<'static, Result<JobProgress>> {
        let (context, job) = (self.context.clone(), job.to_owned());
        watch(poll, move || {
            let (context, job) = (context.clone(), job.clone());
            async move { job_progress(&context, &job).await }
        })
    }

    /// Copies everything that a job made into a store: the LoRA, its card, samples, panels. What is there is replaced.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where the job has made nothing; the stores'.
    pub async fn download(&self, job: &str, to: &dyn Store) -> Result<Vec<Key>> {
        self.copy(job, to).await.at(Stage::Train)
    }

    async fn copy(&self, job: &str, to: &dyn Store) -> Result<Vec<Key>> {
        let Some(CustomModel { id, .. }) = get(&self.client, job).await?.progress().job.model else {
            return Err(Error::new(ErrorKind::NotFound, format!("the job {job} has made no model yet")));
        };
        let from = crate::aws::S3Store::new(&id, &self.context)?;
        let objects: Vec<_> = from.list(None).try_collect().await?;
        let mut copied = Vec::new();
        for object in objects {
            to.put(&object.key, from.get(&object.key).await?, PutMode::Overwrite).await?;
            copied.push(object.key);
        }
        if copied.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, format!("there is nothing in {id}")));
        }
        Ok(copied)
    }

    fn check_request(&self, spec: &TrainingSpec) -> Vec<Finding> {
        let mut found = check::request(spec, &self.settings, self.context.region());
        let role = &self.settings.role;
        if !is_role(role) {
            found.push(Finding::error(
                format!("{role:?} is not the ARN of a role"),
                "create a role with the policies of `picchu train --on sagemaker --print-role`, and give its ARN",
            ));
        }
        found
    }

    /// Under which licence the base model is, as far as is known.
    fn licence(&self, spec: &TrainingSpec) -> Finding {
        let licence = licence_of(&spec.base_model, &self.settings.licence);
        Finding::note(
            format!(
                "the base model {}: licence {}",
                spec.base_model,
                licence.as_deref().unwrap_or("unknown")
            ),
            "what may be done with the model follows from it; give it with --licence where you know better",
        )
    }

    /// Whether people looked at what is trained on, by what the export says of itself.
    async fn check_reviewed(&self) -> Result<Option<Finding>> {
        let mark = get_opt(&*self.data, &Key::new(export::MARK)?).await?;
        Ok(check_reviewed(mark.as_deref(), self.allow_unreviewed))
    }

    async fn check_base(&self, spec: &TrainingSpec) -> Result<Option<Finding>> {
        if !spec.base_model.starts_with("s3://") {
            return Ok(None);
        }
        let store = crate::aws::S3Store::new(spec.base_model.trim_end_matches('/'), &self.context)?;
        let there = store.list(None).try_next().await?.is_some();
        Ok((!there).then(|| {
            Finding::error(
                format!("nothing is in {}", spec.base_model),
                "upload the folder of the base model there",
            )
        }))
    }

    async fn submit_once(&self, spec: &TrainingSpec) -> Result<TrainingJob> {
        let refuse = |found: &[Finding]| stands_in_the_way(found).map_err(|e| e.with_provider("sagemaker"));
        refuse(&self.check_request(spec))?;
        refuse(self.check_reviewed().await?.as_slice())?;
        let request = self.request(spec);
        let name = &request.training_job_name;
        let mut entry = Entry::creating(ResourceKind::SageMakerJob, name, self.context.region());
        if self.allow_unreviewed {
            entry.details.insert("unreviewed".into(), "allowed".into());
        }
        if let Some(known) = found(get(&self.client, name).await)? {
            let job = known.progress().job;
            if !job.status.is_final() || job.model.is_some() {
                self.ledger.note_created(&entry).await?;
            }
            return Ok(job);
        }
        program::upload(&*self.output, name, program::files(spec, &self.settings)?).await?;
        self.ledger.note(&entry).await?;
        let begun = Instant::now();
        let created = loop {
            match self.client.call::<Value>("sagemaker CreateTrainingJob", &request).await {
                // "Could not assume role": a new one is not known everywhere at once.
                Err(e)
                    if self.role_is_new
                        && e.message().contains("ould not assume role")
                        && begun.elapsed() < ROLE_PATIENCE =>
                {
                    tokio::time::sleep(ROLE_POLL).await;
                }
                created => break created,
            }
        };
        match created {
            // Taken: an attempt before this one was heard, though its answer was lost.
            Err(e) if !is_taken(&e) => {
                // Refused: there is nothing. Without an answer there may be a job all the same.
                if !e.is_retryable() {
                    self.ledger.note(&entry.now(Happened::Ended)).await?;
                }
                Err(e)
            }
            _ => {
                self.ledger.note(&entry.now(Happened::Created)).await?;
                Ok(get(&self.client, name).await?.progress().job)
            }
        }
    }
}

#[async_trait]
impl Trainer for SageMakerTrainer {
    fn info(&self) -> ProviderInfo {
        ProviderInfo::new("sagemaker", "sagemaker-lora-1")
    }

    fn rules(&self) -> DatasetRules {
        export::diffusers_rules()
    }

    async fn check(&self, spec: &TrainingSpec) -> Result<Vec<Finding>> {
        let look = async {
            let mut found = self.check_request(spec);
            let settings = &self.settings;
            if is_role(&settings.role) && !self.role_is_new {
                found.extend(check_role(&self.context, settings, spec).await?);
            }
            let wanted = if settings.spot { Use::SpotTraining } else { Use::Training };
            found.extend(quotas::check(&self.context, &settings.instances, wanted).await?);
            found.extend(self.check_base(spec).await?);
            found.extend(self.check_reviewed().await?);
            found.extend(check::dataset(&*self.data).await?);
            found.push(self.licence(spec));
            found.push(check::price(settings, &self.prices));
            Ok(found)
        };
        look.await.at(Stage::Train)
    }

    async fn submit(&self, spec: &TrainingSpec) -> Result<TrainingJob> {
        self.submit_once(spec).await.at(Stage::Train)
    }

    async fn describe(&self, job: &str) -> Result<TrainingJob> {
        Ok(get(&self.client, job).await.at(Stage::Train)?.progress().job)
    }

    async fn cancel(&self, job: &str) -> Result<()> {
        stop(&self.client, job).await.at(Stage::Train)
    }
}

/// Stops a job; stopping one that is at its end changes nothing.
pub(super) async fn stop(client: &SageMaker, job: &str) -> Result<()> {
    let body = json!({"TrainingJobName": name_of(job)});
    match client.tell("sagemaker StopTrainingJob", &body).await {
        Err(e) if e.kind() == ErrorKind::InvalidInput => {
            let status = get(client, job).await?.progress().job.status;
            if status.is_final() || status == JobStatus::Stopping { Ok(()) } else { Err(e) }
        }
        answer => answer,
    }
}
