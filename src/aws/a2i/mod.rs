//! Review by the people of an Amazon Augmented AI (A2I) flow: a human loop for each image, and its answers as decisions.
//!
//! Amazon A2I is closed to new customers. Accounts that used it before can still start loops; everybody else reviews on
//! picchu's own page or in Label Studio. Loops take days, so this is no [`Reviewer`](crate::Reviewer), which decides while
//! it is asked: loops are [started](A2iReviewer::start), [followed](A2iReviewer::follow) and [read](A2iReviewer::read).
//!
//! ```no_run
//! # async fn f(context: picchu::aws::AwsContext, dataset: picchu::Dataset) -> picchu::Result<()> {
//! use picchu::aws::a2i::A2iReviewer;
//! let flow = "arn:aws:sagemaker:us-east-1:123456789012:flow-definition/film";
//! let reviewer = A2iReviewer::new(&context, flow)?;
//! let started = reviewer.start(&dataset).await?;
//! println!("{} loops started, {} were there", started.started, started.there);
//! // … days later, in another process:
//! let answers = reviewer.read(&dataset).await?;
//! let (dataset, conflicts) = dataset.merge_reviews(&[answers.reviews]).await?;
//! # Ok(()) }
//! ```

mod answers;
mod input;

use std::fmt;

use aws_sdk_sagemakera2iruntime::{
    Client,
    operation::{describe_human_loop::DescribeHumanLoopError, start_human_loop::StartHumanLoopError},
    types::{HumanLoopInput, HumanLoopStatus},
};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use self::input::{content, loop_name};
use super::{AwsContext, S3Store, service_error};
use crate::{
    dataset::Dataset,
    error::{AtStage, Error, ErrorKind, Result, Stage},
    store::{Key, Store},
    types::{Record, Review},
};

/// The page that workers see: the content of a worker task template (`CreateHumanTaskUi`), in Liquid. The bucket of the
/// images needs a CORS rule that lets browsers read.
pub const TEMPLATE: &str = include_str!("template.html");

/// Calls at a time.
const AT_ONCE: usize = 4;

/// What accounts are told that A2I refuses.
const CLOSED: &str = "Amazon A2I is closed to new customers: only accounts that used it before may start human loops. \
                      Without it, `picchu review DIR` reviews on this machine, and `--to-label-studio` in Label Studio";

/// Asks the people of a flow about a dataset's images.
#[derive(Clone)]
pub struct A2iReviewer {
    context: AwsContext,
    client: Client,
    flow: String,
}

impl fmt::Debug for A2iReviewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("A2iReviewer").field("flow", &self.flow).finish_non_exhaustive()
    }
}

/// What [`A2iReviewer::start`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Started {
    /// Loops that were started.
    pub started: usize,
    /// Loops that were there already, of an earlier start.
    pub there: usize,
}

/// A human loop about an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HumanLoop {
    /// Id of the record.
    pub record: String,
    /// The loop's name, made of the flow, the record and its image.
    pub name: String,
    /// How far it is.
    pub status: LoopStatus,
    /// Why it failed, in the service's words.
    pub reason: Option<String>,
    /// Where its answers lie, once there are any.
    pub output: Option<String>,
}

/// How far a human loop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LoopStatus {
    /// People work on it.
    InProgress,
    /// Everybody who was asked has answered.
    Completed,
    /// It ended without answers, for example because nobody took it in time.
    Failed,
    /// It is being stopped.
    Stopping,
    /// It was stopped.
    Stopped,
}

/// What [`A2iReviewer::read`] read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// For [`merge_reviews`](Dataset::merge_reviews), oldest first. Each worker is a reviewer, `a2i:` and the worker's id.
    /// Where they disagree whether an image is good, the majority decides last, as `a2i:majority`, and the merge tells of
    /// the conflict.
    pub reviews: Vec<Review>,
    /// Loops that were read.
    pub read: usize,
    /// Loops that people work on.
    pub waiting: usize,
    /// Loops that failed or were stopped, and never give an answer.
    pub without_answer: usize,
}

impl A2iReviewer {
    /// Reviews by a flow, given by the ARN of its definition.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for what is no such ARN.
    pub fn new(context: &AwsContext, flow_definition_arn: &str) -> Result<Self> {
        let parts: Vec<&str> = flow_definition_arn.splitn(6, ':').collect();
        let named =
            matches!(&parts[..], ["arn", _, "sagemaker", _, _, name] if name.starts_with("flow-definition/"));
        if !named || flow_definition_arn.len() > 1024 {
            return Err(Error::invalid(format!(
                "{:?} is not the ARN of a flow definition, arn:aws:sagemaker:REGION:ACCOUNT:flow-definition/NAME",
                flow_definition_arn.chars().take(200).collect::<String>()
            ))
            .at(Stage::Review));
        }
        let client = Client::new(context.sdk());
        Ok(Self { context: context.clone(), client, flow: flow_definition_arn.to_owned() })
    }

    /// Starts a loop for each image that people are to decide about and that no person decided about yet. A loop that is
    /// there, of whatever status, is not started again; one about another version of the image is another loop.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) for a dataset that does not lie on S3, from where workers see the images;
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) or [`InvalidInput`](ErrorKind::InvalidInput), with what works
    /// instead, for accounts that A2I does not take. Loops that were started before the error are found next time.
    pub async fn start(&self, dataset: &Dataset) -> Result<Started> {
        let records: Vec<&Record> = dataset.for_review(true).collect();
        let starts: Vec<_> = records.into_iter().map(|record| self.start_one(dataset, record)).collect();
        let fresh: Vec<bool> =
            stream::iter(starts).buffer_unordered(AT_ONCE).try_collect().await.at(Stage::Review)?;
        let started = fresh.iter().filter(|fresh| **fresh).count();
        Ok(Started { started, there: fresh.len() - started })
    }

    async fn start_one(&self, dataset: &Dataset, record: &Record) -> Result<bool> {
        let content = content(dataset, record)?;
        let name = loop_name(&self.flow, dataset.corrected(record));
        if self.describe(record, name.clone()).await?.is_some() {
            return Ok(false);
        }
        let input = HumanLoopInput::builder().input_content(content).build();
        let call = self
            .client
            .start_human_loop()
            .human_loop_name(name)
            .flow_definition_arn(&self.flow)
            .human_loop_input(input);
        match call.send().await {
            Ok(_) => Ok(true),
            // Somebody else started it just now.
            Err(e) if e.as_service_error().is_some_and(StartHumanLoopError::is_conflict_exception) => {
                Ok(false)
            }
            Err(e) => {
                let error = service_error("a2i StartHumanLoop", e).with_context("record", &record.id);
                // The code with which the service refuses other accounts is not documented.
                let refused = matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::InvalidInput);
                Err(if refused { closed(error) } else { error })
            }
        }
    }

    /// The loops about the dataset's images as they are now, in the order of the film.
    ///
    /// # Errors
    /// When the service cannot be asked.
    pub async fn follow(&self, dataset: &Dataset) -> Result<Vec<HumanLoop>> {
        let records: Vec<&Record> = dataset.for_review(false).collect();
        let asked: Vec<_> = records
            .into_iter()
            .map(|record| self.describe(record, loop_name(&self.flow, dataset.corrected(record))))
            .collect();
        let loops: Vec<Option<HumanLoop>> =
            stream::iter(asked).buffered(AT_ONCE).try_collect().await.at(Stage::Review)?;
        Ok(loops.into_iter().flatten().collect())
    }

    /// A loop, if there is one of this name.
    async fn describe(&self, record: &Record, name: String) -> Result<Option<HumanLoop>> {
        let answer = match self.client.describe_human_loop().human_loop_name(&name).send().await {
            Ok(answer) => answer,
            Err(e)
                if e.as_service_error()
                    .is_some_and(DescribeHumanLoopError::is_resource_not_found_exception) =>
            {
                return Ok(None);
            }
            Err(e) => {
                let error = service_error("a2i DescribeHumanLoop", e);
                return Err(if error.kind() == ErrorKind::PermissionDenied { closed(error) } else { error });
            }
        };
        let status = match answer.human_loop_status() {
            Some(HumanLoopStatus::InProgress) => LoopStatus::InProgress,
            Some(HumanLoopStatus::Completed) => LoopStatus::Completed,
            Some(HumanLoopStatus::Failed) => LoopStatus::Failed,
            Some(HumanLoopStatus::Stopping) => LoopStatus::Stopping,
            Some(HumanLoopStatus::Stopped) => LoopStatus::Stopped,
            other => {
                let message = format!("a2i DescribeHumanLoop told a status that is not known: {other:?}");
                return Err(Error::new(ErrorKind::Decode, message).with_context("loop", name));
            }
        };
        let reason =
            answer.failure_reason().or(answer.failure_code()).map(|why| why.chars().take(600).collect());
        let output = answer.human_loop_output().and_then(|output| output.output_s3_uri()).map(str::to_owned);
        Ok(Some(HumanLoop { record: record.id.clone(), name, status, reason, output }))
    }

    /// Reads the answers of the loops that are completed. Reading them again gives the same decisions, which a merge counts
    /// once.
    ///
    /// # Errors
    /// When the service or S3 cannot be asked, and [`Decode`](ErrorKind::Decode) for answers that do not come from
    /// [`TEMPLATE`]; the message names the loop.
    pub async fn read(&self, dataset: &Dataset) -> Result<Answers> {
        let loops = self.follow(dataset).await?;
        let mut answers = Answers::default();
        for human_loop in &loops {
            match human_loop.status {
                LoopStatus::Completed => answers.read += 1,
                LoopStatus::InProgress => answers.waiting += 1,
                LoopStatus::Failed | LoopStatus::Stopping | LoopStatus::Stopped => {
                    answers.without_answer += 1;
                }
            }
        }
        let done = loops.iter().filter(|human_loop| human_loop.status == LoopStatus::Completed);
        let reads: Vec<_> = done.map(|human_loop| self.read_one(human_loop)).collect();
        let reviews: Vec<Vec<Review>> =
            stream::iter(reads).buffered(AT_ONCE).try_collect().await.at(Stage::Review)?;
        answers.reviews = reviews.concat();
        answers.reviews.sort_by_key(|review| review.time_ms);
        Ok(answers)
    }

    async fn read_one(&self, human_loop: &HumanLoop) -> Result<Vec<Review>> {
        let read = async {
            let uri = human_loop.output.as_deref().unwrap_or_default();
            let (folder, file) = uri.rsplit_once('/').unwrap_or_default();
            let store = S3Store::new(folder, &self.context)?;
            if store.place().to_string() != folder {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "its answers lie below a prefix with other characters than letters, digits, '.', '_' and '-'",
                ));
            }
            let body = store.get(&Key::new(file)?).await?;
            answers::reviews(&human_loop.record, &body)
        };
        read.await.map_err(|e| e.with_context("loop", &human_loop.name))
    }

    /// Stops the loops that people work on; how many. What they answered so far is lost.
    ///
    /// # Errors
    /// When the service cannot be asked.
    pub async fn stop(&self, dataset: &Dataset) -> Result<usize> {
        let mut stopped = 0;
        for human_loop in self.follow(dataset).await? {
            if human_loop.status == LoopStatus::InProgress {
                let call = self.client.stop_human_loop().human_loop_name(human_loop.name);
                call.send().await.map_err(|e| service_error("a2i StopHumanLoop", e)).at(Stage::Review)?;
                stopped += 1;
            }
        }
        Ok(stopped)
    }

    /// Deletes the loops that ended; how many. Their answers stay on S3, but only [`read`](Self::read) before finds them.
    /// A loop that is deleted may be started again.
    ///
    /// # Errors
    /// When the service cannot be asked.
    pub async fn delete(&self, dataset: &Dataset) -> Result<usize> {
        let mut deleted = 0;
        for human_loop in self.follow(dataset).await? {
            if !matches!(human_loop.status, LoopStatus::InProgress | LoopStatus::Stopping) {
                let call = self.client.delete_human_loop().human_loop_name(human_loop.name);
                call.send().await.map_err(|e| service_error("a2i DeleteHumanLoop", e)).at(Stage::Review)?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }
}

/// A refusal, with what it may mean and what works instead.
fn closed(error: Error) -> Error {
    Error::new(error.kind(), format!("{}. {CLOSED}", error.message())).with_source(error)
}
