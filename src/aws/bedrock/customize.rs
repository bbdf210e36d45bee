//! Fine-tuning by Amazon Bedrock: looked at before it costs anything, submitted once, watched, stopped.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use aws_sdk_bedrock::{
    Client,
    operation::get_model_customization_job::GetModelCustomizationJobOutput,
    types::{JobStatusDetails, ModelCustomizationJobStatus as Status, TrainingMetrics},
};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};

use super::{
    hyperparameters,
    lifecycle::{Lifecycle, ModelLife, model_life},
    request::{JobRequest, JobSettings},
    role::check_role,
};
use crate::{
    aws::{AwsContext, service_error},
    dataset::export::{MARK, nova},
    error::{AtStage, ErrorKind, Result, Stage},
    store::{Key, Store, get_opt},
    train::{Entry, Happened, Ledger, ResourceKind, Trainer, check_reviewed, stands_in_the_way, watch},
    types::{
        CustomModel, DatasetRules, Finding, JobProgress, JobStatus, PriceTable, ProviderInfo, TrainingJob,
        TrainingSpec, Unit,
    },
};

/// Images that a check opens, spread over the dataset: their sizes are in their files alone.
const OPENED: usize = 64;
/// How often, and for how long, a job is sent whose role is too new for Bedrock to know it.
const ROLE_POLL: Duration = Duration::from_secs(2);
const ROLE_PATIENCE: Duration = Duration::from_mins(2);
/// Images opened at once.
const AT_ONCE: usize = 8;

/// Trains image models of Amazon Bedrock.
///
/// ```no_run
/// # async fn f(spec: picchu::types::TrainingSpec, ledger: picchu::train::Ledger) -> picchu::Result<()> {
/// use picchu::{Trainer, aws::{AwsContext, AwsSettings, bedrock::{BedrockTrainer, JobSettings}}, types::Severity};
/// let context = AwsContext::from_env(&AwsSettings::default()).await?;
/// let data = picchu::config::open_store("s3://my-bucket/film".as_ref())?;
/// let settings = JobSettings { role: "arn:aws:iam::123456789012:role/tune".into(), ..JobSettings::default() };
/// let trainer = BedrockTrainer::new(&context, settings, data, ledger);
/// for finding in trainer.check(&spec).await? {
///     println!("{:?}: {}; {}", finding.severity, finding.message, finding.mend);
/// }
/// # Ok(()) }
/// ```
pub struct BedrockTrainer {
    context: AwsContext,
    client: Client,
    settings: JobSettings,
    data: Arc<dyn Store>,
    ledger: Ledger,
    prices: PriceTable,
    role_is_new: bool,
    allow_unreviewed: bool,
}

impl fmt::Debug for BedrockTrainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BedrockTrainer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// How far a job is, phase by phase. The job is named by its ARN or its whole name.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) for an unknown job.
pub async fn job_progress(context: &AwsContext, job: &str) -> Result<JobProgress> {
    get_progress(&Client::new(context.sdk()), job).await.at(Stage::Train)
}

impl BedrockTrainer {
    /// A trainer of the account and the Region of `context`. `data` is the folder on S3 in which the manifest lies;
    /// the ledger notes each job before it is started.
    pub fn new(context: &AwsContext, settings: JobSettings, data: Arc<dyn Store>, ledger: Ledger) -> Self {
        Self {
            context: context.clone(),
            client: Client::new(context.sdk()),
            settings,
            data,
            ledger,
            prices: PriceTable::built_in(),
            role_is_new: false,
            allow_unreviewed: false,
        }
    }

    /// Sets the prices that estimates are made with.
    #[must_use]
    pub fn prices(mut self, prices: PriceTable) -> Self {
        self.prices = prices;
        self
    }

    /// Says that the role is made with this job: a check does not look for it, and [`submit`](Trainer::submit) waits up to
    /// two minutes until Bedrock knows it.
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
    pub fn request(&self, spec: &TrainingSpec) -> JobRequest {
        JobRequest::new(spec, &self.settings)
    }

    /// How far a job is, as often as `poll` says, until it is at its end.
    ///
    /// # Errors
    /// The stream's items are errors where Bedrock did not answer; it goes on after those that may pass.
    pub fn watch(&self, job: &str, poll: Duration) -> BoxStream<'static, Result<JobProgress>> {
        let (client, job) = (self.client.clone(), job.to_owned());
        watch(poll, move || {
            let (client, job) = (client.clone(), job.clone());
            async move { get_progress(&client, &job).await }
        })
    }

    /// What stands against training a model; `None` where it may be trained. Asks nothing else, and costs nothing.
    ///
    /// # Errors
    /// As [`model_life`].
    pub async fn refusal(context: &AwsContext, model: &str) -> Result<Option<Finding>> {
        model_life(context, model).await.map(|life| refusal(&life)).at(Stage::Train)
    }

    /// What the service would refuse without looking at anything.
    fn check_request(&self, spec: &TrainingSpec) -> Vec<Finding> {
        let mut found = if spec.base_model.contains("nova-canvas") {
            hyperparameters::check(&spec.hyperparameters)
        } else {
            vec![Finding::note(
                format!(
                    "which hyperparameters {} takes is not known; they are sent as they are",
                    spec.base_model
                ),
                "read the model's page in the Bedrock user guide",
            )]
        };
        let role = &self.settings.role;
        if !is_role(role) {
            found.push(Finding::error(
                format!("{role:?} is not the ARN of a role"),
                "create a role with the policies of `picchu train --print-role`, and give its ARN",
            ));
        }
        for uri in [&spec.dataset, &spec.output] {
            if let Err(e) = nova::check_uri(uri) {
                found.push(Finding::error(e.message(), "choose another place on S3"));
            }
        }
        let token = &spec.client_token;
        if token.is_empty()
            || token.len() > 256
            || !token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        {
            found.push(Finding::error(
                format!("{token:?} is no token"),
                "use picchu::aws::bedrock::client_token",
            ));
        }
        if self.settings.subnets.is_empty() != self.settings.security_groups.is_empty() {
            found
                .push(Finding::error("a network needs subnets and security groups", "give both, or neither"));
        }
        found
    }

    /// Whether people looked at what is trained on, by what the export says of itself.
    async fn check_reviewed(&self) -> Result<Option<Finding>> {
        let mark = get_opt(&*self.data, &Key::new(MARK)?).await?;
        Ok(check_reviewed(mark.as_deref(), self.allow_unreviewed))
    }

    /// What is wrong with the dataset as it lies on S3.
    async fn check_dataset(&self, spec: &TrainingSpec) -> Result<Vec<Finding>> {
        let Some(manifest) = self.below(&spec.dataset) else {
            return Ok(vec![Finding::error(
                format!("{} is not in the folder that was opened", spec.dataset),
                "give the manifest's own folder",
            )]);
        };
        let body = match self.data.get(&manifest).await {
            Ok(body) => body,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Ok(vec![Finding::error(
                    format!("{} does not exist", spec.dataset),
                    "write it with `picchu export --to nova`, and upload the folder",
                )]);
            }
            Err(e) => return Err(e),
        };
        let lines = match nova::read(&body) {
            Ok(lines) => lines,
            Err(e) => return Ok(vec![Finding::error(e.message(), "export the dataset again")]),
        };
        let (rules, mut found) = (self.rules(), Vec::new());
        if !(rules.records.0..=rules.records.1).contains(&lines.len()) {
            let (fewest, most) = rules.records;
            found.push(Finding::error(
                format!("{} records", lines.len()),
                format!("{fewest} to {most} are taken"),
            ));
        }
        let there: BTreeMap<String, u64> = self
            .data
            .list(None)
            .map_ok(|object| (object.key.to_string(), object.size_bytes))
            .try_collect()
            .await?;
        let mut keys = Vec::new();
        for line in &lines {
            let key = self.below(&line.image_ref);
            match key.as_ref().and_then(|key| there.get(key.as_str())) {
                None => found.push(Finding::error(
                    format!("{} is not there", line.image_ref),
                    "upload the images to where the manifest says, in the manifest's folder",
                )),
                Some(&size) if size == 0 || size > rules.max_bytes => {
                    found.push(Finding::error(
                        format!("{} has {size} bytes", line.image_ref),
                        "export the dataset again",
                    ));
                }
                Some(_) => keys.extend(key),
            }
        }
        let step = keys.len().div_ceil(OPENED).max(1);
        let mut images = stream::iter(keys.iter().step_by(step))
            .map(|key| async move { (key, self.data.get(key).await) })
            .buffered(AT_ONCE)
            .boxed();
        while let Some((key, body)) = images.next().await {
            if let Some(why) = nova::unfit(&body?, key.as_str()) {
                found.push(Finding::error(
                    format!("{}: {why}", self.data.uri(key)),
                    "export the dataset again",
                ));
            }
        }
        if step > 1 {
            let message = format!("{} of {} images were opened", keys.len().div_ceil(step), keys.len());
            found.push(Finding::note(message, "`picchu validate --images` opens all of the dataset"));
        }
        Ok(found)
    }

    /// The key of an address in the folder.
    fn below(&self, address: &str) -> Option<Key> {
        let any = self.data.uri(&Key::new("a").ok()?);
        Key::new(address.strip_prefix(any.strip_suffix('a')?)?).ok()
    }

    fn price(&self, spec: &TrainingSpec) -> Finding {
        let seen = hyperparameters::pictures_seen(&spec.hyperparameters);
        let item = format!("bedrock/{}/training", spec.base_model);
        match self.prices.usd(&item, Unit::Image) {
            Some(usd) => Finding::note(
                format!("{seen} pictures are looked at, about {:.2} US dollars", usd * seen as f64),
                "fewer steps or smaller batches cost less",
            ),
            None => Finding::note(
                format!("{seen} pictures are looked at; what that costs is not known"),
                format!("read it in your account's prices, and give it as {item}, unit image, with --prices"),
            ),
        }
    }
}

/// Whether a text is the ARN of a role.
pub(in crate::aws) fn is_role(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    matches!(parts[..], ["arn", _, "iam", "", account, name]
        if account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) && name.starts_with("role/"))
}

/// What stands against training a model; nothing, where it may be trained.
fn refusal(life: &ModelLife) -> Option<Finding> {
    let instead = life.instead.unwrap_or("name a model that Bedrock lists as fine-tunable");
    match &life.lifecycle {
        Lifecycle::Ended { .. } => {
            Some(Finding::error(format!("{} and cannot be trained", plain(life)), instead))
        }
        Lifecycle::Legacy { .. } => {
            Some(Finding::error(format!("{}: nothing new may be trained on it", plain(life)), instead))
        }
        Lifecycle::Active { .. } if !life.fine_tunable => {
            Some(Finding::error(format!("{} cannot be fine-tuned", life.model), instead))
        }
        Lifecycle::Active { .. } if !life.draws => {
            Some(Finding::error(format!("{} draws no images", life.model), "name a model that does"))
        }
        Lifecycle::Active { .. } => None,
    }
}

/// A model's life without what does the same work, which the mend tells.
fn plain(life: &ModelLife) -> String {
    ModelLife { instead: None, ..life.clone() }.to_string()
}

#[async_trait]
impl Trainer for BedrockTrainer {
    fn info(&self) -> ProviderInfo {
        ProviderInfo::new("bedrock", "bedrock-customization-1")
    }

    fn rules(&self) -> DatasetRules {
        nova::rules()
    }

    /// The model's life comes first: where it cannot be trained, nothing else is looked at.
    async fn check(&self, spec: &TrainingSpec) -> Result<Vec<Finding>> {
        let life = model_life(&self.context, &spec.base_model).await.at(Stage::Train)?;
        if let Some(refusal) = refusal(&life) {
            return Ok(vec![refusal]);
        }
        let mut found = self.check_request(spec);
        if let Lifecycle::Active { until: Some(day) } = &life.lifecycle {
            found.push(Finding::warning(
                format!("{} ends on {day}, and models made from it end with it", life.model),
                "train a model that lives longer, if there is one",
            ));
        }
        if is_role(&self.settings.role) && !self.role_is_new {
            let role = check_role(&self.context, &self.settings.role, &spec.dataset, &spec.output).await;
            found.extend(role.at(Stage::Train)?);
        }
        found.extend(self.check_reviewed().await.at(Stage::Train)?);
        found.extend(self.check_dataset(spec).await.at(Stage::Train)?);
        found.push(self.price(spec));
        Ok(found)
    }

    async fn submit(&self, spec: &TrainingSpec) -> Result<TrainingJob> {
        self.submit_once(spec).await.at(Stage::Train)
    }

    async fn describe(&self, job: &str) -> Result<TrainingJob> {
        get_progress(&self.client, job).await.map(|progress| progress.job).at(Stage::Train)
    }

    async fn cancel(&self, job: &str) -> Result<()> {
        stop_job(&self.client, job).await.at(Stage::Train)
    }
}

impl BedrockTrainer {
    async fn submit_once(&self, spec: &TrainingSpec) -> Result<TrainingJob> {
        // Neither money nor a line in the ledger for what cannot be.
        let life = model_life(&self.context, &spec.base_model).await?;
        let found: Vec<_> = refusal(&life).into_iter().chain(self.check_request(spec)).collect();
        let refuse = |found: &[Finding]| stands_in_the_way(found).map_err(|e| e.with_provider("bedrock"));
        refuse(&found)?;
        refuse(self.check_reviewed().await?.as_slice())?;
        let request = self.request(spec);
        let mut entry = Entry::creating(ResourceKind::TrainingJob, &request.job_name, self.context.region());
        entry.details.insert(MODEL.into(), request.custom_model_name.clone());
        if self.allow_unreviewed {
            entry.details.insert("unreviewed".into(), "allowed".into());
        }
        match get(&self.client, &request.job_name).await {
            Ok(answer) => {
                let job = progress(&answer).job;
                if !job.status.is_final() || job.model.is_some() {
                    self.ledger.note_created(&entry).await?;
                }
                return Ok(job);
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        self.ledger.note(&entry).await?;
        let begun = Instant::now();
        let created = loop {
            let created = request.fill(self.client.create_model_customization_job())?.send().await;
            match created.map_err(|e| service_error("bedrock CreateModelCustomizationJob", e)) {
                // "Could not assume provided IAM role": a new one is not known everywhere at once.
                Err(e)
                    if self.role_is_new
                        && e.message().contains("assume provided IAM role")
                        && begun.elapsed() < ROLE_PATIENCE =>
                {
                    tokio::time::sleep(ROLE_POLL).await;
                }
                created => break created,
            }
        };
        match created {
            Ok(answer) => {
                self.ledger.note(&entry.now(Happened::Created)).await?;
                self.describe(answer.job_arn()).await
            }
            Err(e) => {
                // Refused: there is nothing. Without an answer there may be a job all the same.
                if !e.is_retryable() {
                    self.ledger.note(&entry.now(Happened::Ended)).await?;
                }
                Err(e.with_provider("bedrock"))
            }
        }
    }
}

/// Key of a ledger line's detail: the name of the model that a job makes.
pub(super) const MODEL: &str = "model";

pub(super) async fn get(client: &Client, job: &str) -> Result<GetModelCustomizationJobOutput> {
    client
        .get_model_customization_job()
        .job_identifier(job)
        .send()
        .await
        .map_err(|e| service_error("bedrock GetModelCustomizationJob", e).with_provider("bedrock"))
}

fn progress(answer: &GetModelCustomizationJobOutput) -> JobProgress {
    let details = answer.status_details();
    let phase = |name: &str, status: Option<&JobStatusDetails>| {
        (name.to_owned(), status.map_or("NotStarted", JobStatusDetails::as_str).to_owned())
    };
    let phases = vec![
        phase("validation", details.and_then(|d| d.validation_details()?.status())),
        phase("data processing", details.and_then(|d| d.data_processing_details()?.status())),
        phase("training", details.and_then(|d| d.training_details()?.status())),
    ];
    let begun = details.is_some_and(|_| phases.iter().any(|(_, status)| status != "NotStarted"));
    let status = match answer.status() {
        Some(Status::Completed) => JobStatus::Completed,
        Some(Status::Failed) => JobStatus::Failed,
        Some(Status::Stopping) => JobStatus::Stopping,
        Some(Status::Stopped) => JobStatus::Stopped,
        _ if begun => JobStatus::InProgress,
        _ => JobStatus::Pending,
    };
    let model = answer
        .output_model_arn()
        .map(|arn| CustomModel { id: arn.to_owned(), base_model: answer.base_model_arn().to_owned() });
    let job = TrainingJob {
        id: answer.job_arn().to_owned(),
        name: answer.job_name().to_owned(),
        status,
        model,
        failure: answer.failure_message().map(with_mend),
    };
    JobProgress {
        job,
        phases,
        steps: None,
        loss: answer.training_metrics().and_then(TrainingMetrics::training_loss),
    }
}

/// The service's words about a failure, with the likely mend.
fn with_mend(words: &str) -> String {
    let mend = [
        ("GetObject", "give the role s3:GetObject and s3:ListBucket on the dataset; the bucket must be in the job's Region"),
        ("PutObject", "give the role s3:PutObject on the output"),
        ("JSONL format", "export the dataset again: a blank line, a byte order mark or a broken line is in the manifest"),
        ("Input size exceeded", "shorten the captions, or scale the images down"),
        ("KMS", "give the role kms:Decrypt on the bucket's key"),
        ("unexpected error", "submit the job again under another name"),
    ]
    .into_iter()
    .find(|(sign, _)| words.contains(sign));
    match mend {
        Some((_, mend)) => format!("{words} [{mend}]"),
        None => words.to_owned(),
    }
}

pub(super) async fn get_progress(client: &Client, job: &str) -> Result<JobProgress> {
    Ok(progress(&get(client, job).await?))
}

/// Stops a job; stopping one that is at its end changes nothing.
pub(super) async fn stop_job(client: &Client, job: &str) -> Result<()> {
    let stopped = client.stop_model_customization_job().job_identifier(job).send().await;
    match stopped.map_err(|e| service_error("bedrock StopModelCustomizationJob", e)) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::NotFound => Err(e),
        Err(e) => {
            let now = progress(&get(client, job).await?).job.status;
            if now.is_final() || now == JobStatus::Stopping {
                Ok(())
            } else {
                Err(e.with_provider("bedrock"))
            }
        }
    }
}
