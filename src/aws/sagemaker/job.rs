//! A job as SageMaker tells of it: how far it is, what came out, why it failed and what to do about that.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{calls::SageMaker, request::BASE_MODEL};
use crate::{
    aws::{AwsContext, S3Store},
    error::{AtStage, Result, Stage},
    store::{Key, get_opt},
    types::{CustomModel, JobProgress, JobStatus, StepLoss, TrainingJob},
};

/// `DescribeTrainingJob`, as far as it is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    training_job_name: String,
    training_job_arn: String,
    training_job_status: String,
    #[serde(default)]
    secondary_status: String,
    #[serde(default)]
    failure_reason: Option<String>,
    #[serde(default)]
    model_artifacts: Option<Artifacts>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    checkpoint_config: Option<Checkpoints>,
    #[serde(default)]
    secondary_status_transitions: Vec<Transition>,
    #[serde(default)]
    final_metric_data_list: Vec<Metric>,
    #[serde(default)]
    billable_time_in_seconds: Option<u64>,
    #[serde(default)]
    role_arn: String,
    #[serde(default)]
    output_data_config: Option<Output>,
}

#[derive(Debug, Deserialize)]
struct Output {
    #[serde(rename = "S3OutputPath")]
    path: String,
}

/// What a job ran with, which serving its model needs too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobPlaces {
    /// ARN of its role.
    pub role: String,
    /// The folder on S3 for its results.
    pub output: String,
}

/// What a job ran with. It is named by its ARN or its name.
///
/// # Errors
/// [`NotFound`](crate::ErrorKind::NotFound) for an unknown job.
pub async fn job_places(context: &AwsContext, job: &str) -> Result<JobPlaces> {
    let told = get(&SageMaker::new(context), job).await.at(Stage::Train)?;
    let output = told.output_data_config.map(|output| output.path.trim_end_matches('/').to_owned());
    Ok(JobPlaces { role: told.role_arn, output: output.unwrap_or_default() })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Artifacts {
    s3_model_artifacts: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Checkpoints {
    s3_uri: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Transition {
    status: String,
    #[serde(default)]
    status_message: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    #[serde(default)]
    metric_name: String,
    #[serde(default)]
    value: Option<f32>,
}

/// A job's name, of its name or its ARN.
pub(super) fn name_of(job: &str) -> &str {
    job.rsplit('/').next().unwrap_or(job)
}

pub(super) async fn get(client: &SageMaker, job: &str) -> Result<Described> {
    client.call("sagemaker DescribeTrainingJob", &json!({"TrainingJobName": name_of(job)})).await
}

/// How far a job is. It is named by its ARN or its name.
///
/// # Errors
/// [`NotFound`](crate::ErrorKind::NotFound) for an unknown job.
pub async fn job_progress(context: &AwsContext, job: &str) -> Result<JobProgress> {
    progress(context, job).await.at(Stage::Train)
}

async fn progress(context: &AwsContext, job: &str) -> Result<JobProgress> {
    let told = get(&SageMaker::new(context), job).await?;
    let mut progress = told.progress();
    if progress.job.status == JobStatus::InProgress
        && let Ok(Some(status)) = told.live(context, "status.json").await
        && let Ok(status) = serde_json::from_slice::<Value>(&status)
    {
        // What the program says of itself, a few seconds old.
        let word = |name: &str| status[name].as_str().map(str::to_owned);
        if let Some(doing) = word("doing").or_else(|| word("state")) {
            progress.phases.push(("program".into(), doing));
        }
        progress.steps = status["step"].as_u64().zip(status["steps"].as_u64());
        progress.loss = status["loss"].as_f64().map(|loss| loss as f32).or(progress.loss);
    }
    Ok(progress)
}

/// The losses that a job has told so far; none where it has told none yet. The job is named by its ARN or its name.
///
/// # Errors
/// [`NotFound`](crate::ErrorKind::NotFound) for an unknown job;
/// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) where its checkpoints may not be read.
pub async fn training_losses(context: &AwsContext, job: &str) -> Result<Vec<StepLoss>> {
    let losses = async {
        let told = get(&SageMaker::new(context), job).await?;
        let metrics = told.live(context, "metrics.jsonl").await?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&metrics).lines().filter_map(loss_of).collect())
    };
    losses.await.at(Stage::Train)
}

/// The loss of a line, if it tells one; the last line may be half a line.
fn loss_of(line: &str) -> Option<StepLoss> {
    let line: Value = serde_json::from_str(line).ok()?;
    Some(StepLoss {
        step: line["step"].as_u64()?,
        loss: line["loss"].as_f64().filter(|loss| loss.is_finite())?,
    })
}

impl Described {
    /// A file that the job shows while it runs.
    async fn live(&self, context: &AwsContext, name: &str) -> Result<Option<bytes::Bytes>> {
        let Some(checkpoints) = &self.checkpoint_config else { return Ok(None) };
        let store = S3Store::new(checkpoints.s3_uri.trim_end_matches('/'), context)?;
        get_opt(&store, &Key::new(format!("run/{name}"))?).await
    }

    /// Seconds that are paid.
    pub(super) fn paid_seconds(&self) -> Option<u64> {
        self.billable_time_in_seconds
    }

    pub(super) fn progress(&self) -> JobProgress {
        let status = match (self.training_job_status.as_str(), self.secondary_status.as_str()) {
            ("Completed", _) => JobStatus::Completed,
            ("Failed", _) => JobStatus::Failed,
            ("Stopping", _) => JobStatus::Stopping,
            ("Stopped" | "Deleting", _) => JobStatus::Stopped,
            (_, "Starting" | "Pending" | "LaunchingMLInstances" | "PreparingTrainingStack") => {
                JobStatus::Pending
            }
            _ => JobStatus::InProgress,
        };
        let artifacts = self.model_artifacts.as_ref().filter(|_| status == JobStatus::Completed);
        let model = artifacts.map(|artifacts| CustomModel {
            id: artifacts.s3_model_artifacts.trim_end_matches('/').to_owned(),
            base_model: self.environment.get(BASE_MODEL).cloned().unwrap_or_default(),
        });
        let message = self.secondary_status_transitions.last().and_then(|last| {
            (last.status == self.secondary_status).then_some(last.status_message.as_deref()).flatten()
        });
        let standing = match message.filter(|message| !message.is_empty()) {
            Some(message) => format!("{}: {message}", self.secondary_status),
            None => self.secondary_status.clone(),
        };
        let interruptions =
            self.secondary_status_transitions.iter().filter(|t| t.status == "Interrupted").count();
        let mut phases = vec![("SageMaker".to_owned(), standing)];
        if interruptions > 0 {
            phases.push((
                "interrupted".into(),
                format!("{interruptions} times, and goes on from its checkpoint"),
            ));
        }
        if let Some(seconds) = self.paid_seconds() {
            phases.push(("paid".into(), format!("{seconds} seconds")));
        }
        let failure = match self.secondary_status.as_str() {
            "MaxRuntimeExceeded" => {
                Some(with_mend("it reached the longest time that it may run (MaxRuntimeExceeded)"))
            }
            "MaxWaitTimeExceeded" => {
                Some(with_mend("it waited for spare capacity for too long (MaxWaitTimeExceeded)"))
            }
            _ => self.failure_reason.as_deref().filter(|why| !why.is_empty()).map(with_mend),
        };
        let job = TrainingJob {
            id: self.training_job_arn.clone(),
            name: self.training_job_name.clone(),
            status,
            model,
            failure,
        };
        let loss = self.final_metric_data_list.iter().find(|metric| metric.metric_name == "train:loss");
        JobProgress { job, phases, steps: None, loss: loss.and_then(|metric| metric.value) }
    }
}

/// Signs in the words about a failure, and the likely mend; the first that is found counts.
const MENDS: [(&[&str], &str); 11] = [
    (
        &["CapacityError", "InsufficientCapacity", "insufficient capacity", "Unable to provision"],
        "no such machine is free: submit it again later under another name, name several types with --instance, or try \
         another Region",
    ),
    (
        &["MaxWaitTimeExceeded"],
        "no spare capacity was there for long enough: wait longer with --max-wait, or go without --spot; under another \
         name it starts anew",
    ),
    (
        &["MaxRuntimeExceeded"],
        "allow more with --max-hours, or take fewer steps; its last checkpoint is on S3",
    ),
    (
        &["ResourceLimitExceeded", "account-level service limit", "quota"],
        "ask for more of this machine's type in the console of Service Quotas, or take another type",
    ),
    (
        &["out_of_memory:", "OutOfMemory", "out of memory", "exit code: 137"],
        "take a machine with more memory, or a smaller resolution or batch_size; gradient_checkpointing saves memory too",
    ),
    (&["disk_full:", "No space left"], "give the machine a larger disk with --volume"),
    (
        &["could not be installed", "No module named"],
        "let the job reach the internet, or give the packages as wheels on S3 with --wheels",
    ),
    (&["bad_input:"], "mend the dataset or the settings, and export the dataset again where it is at fault"),
    (
        &["AccessDenied", "is not authorized to perform", "403"],
        "give the role the policies of `picchu train --on sagemaker --print-role`; the bucket must be in the job's Region",
    ),
    (
        &["ECR", "CannotPull", "pull the image"],
        "check the container's address, and that the role may pull it",
    ),
    (
        &["InternalServerError", "internal error", "unexpected error"],
        "submit it again under another name; with --retries SageMaker does so itself",
    ),
];

/// The service's words about a failure, with the likely mend.
fn with_mend(words: &str) -> String {
    match MENDS.iter().find(|(signs, _)| signs.iter().any(|sign| words.contains(sign))) {
        Some((_, mend)) => format!("{words} [{mend}]"),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart() {
        for (words, mend) in [
            (
                "CapacityError: Unable to provision requested ML compute capacity. Please retry.",
                "no such machine is free",
            ),
            ("ResourceLimitExceeded: The account-level service limit", "Service Quotas"),
            (
                "AlgorithmError: out_of_memory: OutOfMemoryError: CUDA out of memory, exit code: 1",
                "more memory",
            ),
            ("AlgorithmError: , exit code: 137", "more memory"),
            ("AlgorithmError: bad_input: metadata.jsonl, line 3: no caption", "mend the dataset"),
            ("ClientError: Data download failed: AccessDenied: s3:GetObject", "--print-role"),
            ("AlgorithmError: disk_full: OSError: No space left on device", "--volume"),
            ("InternalServerError: We encountered an internal error. Please try again.", "--retries"),
            ("something new", ""),
        ] {
            let told = with_mend(words);
            assert!(told.starts_with(words) && told.contains(mend), "{told}");
            assert_eq!(told.contains('['), !mend.is_empty(), "{told}");
        }
    }

    #[test]
    fn only_whole_lines_with_a_loss_count() {
        let lines = "{\"step\": 1, \"loss\": 0.5}\n{\"step\": 1, \"fixed_loss\": 0.4}\n{\"step\": 2, \"lo";
        let losses: Vec<_> = lines.lines().filter_map(loss_of).collect();
        assert_eq!(losses, [StepLoss { step: 1, loss: 0.5 }]);
    }
}
