//! `picchu train`: a model from an exported dataset, looked at before anything is created.

#[cfg(feature = "aws-train")]
mod account;
#[cfg(feature = "aws-train")]
mod bedrock;
#[cfg(feature = "local-train")]
mod local;
#[cfg(feature = "sagemaker")]
mod sagemaker;

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use futures::{StreamExt, stream::BoxStream};

use crate::cli::output::{ask, to_json};
use crate::{
    Result,
    config::{Access, Prepared},
    train::{Trainer, stands_in_the_way},
    types::{Finding, JobProgress, Severity, TrainingJob},
};

// Each flag of the command line is a bool.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Args)]
pub(crate) struct Train {
    /// What to train on. On this machine: a dataset, or an export for `diffusers`. On `SageMaker`: a folder on S3 with an
    /// export for `diffusers`. On Bedrock: a folder on S3 with an export for `nova`.
    #[arg(value_name = "DATASET")]
    dataset: String,
    /// Who trains; on Bedrock unless given where the dataset lies on S3, else on this machine.
    #[arg(long, value_enum)]
    on: Option<On>,
    /// The model to start from.
    #[arg(long, value_name = "ID")]
    base_model: Option<String>,
    /// Folder for results: on S3 for the services of AWS; `models` on this machine unless given.
    #[arg(long, value_name = "FOLDER")]
    output: Option<String>,
    /// Name of the job and of the model; the end of it says which dataset and settings it is of.
    #[arg(long, default_value = "picchu")]
    name: String,
    /// One hyperparameter, for example `steps=800` here or `stepCount=8000` on Bedrock; may come again.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Train also on images that no person looked at.
    #[arg(long)]
    allow_unreviewed: bool,
    /// Look, and create nothing.
    #[arg(long)]
    check: bool,
    /// Do not ask before something that costs money.
    #[arg(long)]
    yes: bool,
    /// Stay until the job is at its end.
    #[arg(long)]
    watch: bool,
    /// One JSON object a line on standard output; submits nothing that costs money without --yes.
    #[arg(long)]
    pub(crate) json: bool,
    #[cfg(any(feature = "local-train", feature = "sagemaker"))]
    #[command(flatten)]
    lora: LoraArguments,
    #[cfg(feature = "local-train")]
    #[command(flatten)]
    local: local::LocalArguments,
    #[cfg(feature = "aws-train")]
    #[command(flatten)]
    account: account::AccountArguments,
    #[cfg(feature = "sagemaker")]
    #[command(flatten)]
    sagemaker: sagemaker::SageMakerArguments,
    #[cfg(feature = "aws-train")]
    #[command(flatten)]
    bedrock: bedrock::BedrockArguments,
}

#[cfg(any(feature = "local-train", feature = "sagemaker"))]
#[derive(Debug, Args)]
#[command(next_help_heading = "Of a LoRA, here and on SageMaker")]
struct LoraArguments {
    /// Licence of the base model, where it is not known.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    licence: String,
    /// Branch, tag or commit of a base model on the hub.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    revision: String,
    /// What sample images show that are drawn while it trains; may come again.
    #[arg(long = "sample", value_name = "PROMPT")]
    samples: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum On {
    /// This machine: a `LoRA`, with diffusers.
    #[cfg(feature = "local-train")]
    Local,
    /// Amazon `SageMaker`: the same `LoRA`, on a machine of an AWS account.
    #[cfg(feature = "sagemaker")]
    Sagemaker,
    /// Amazon Bedrock.
    #[cfg(feature = "aws-train")]
    Bedrock,
}

fn pair(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".into()),
    }
}

impl Train {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        match self.on.unwrap_or_else(|| self.usual()) {
            #[cfg(feature = "local-train")]
            On::Local => self.on_this_machine(access).await,
            #[cfg(feature = "sagemaker")]
            On::Sagemaker => Box::pin(self.on_sagemaker(access)).await,
            #[cfg(feature = "aws-train")]
            On::Bedrock => Box::pin(self.on_bedrock(access)).await,
        }
    }

    /// Who trains where nobody is named.
    // A build with one of them has no choice.
    #[allow(clippy::unused_self)]
    fn usual(&self) -> On {
        #[cfg(all(feature = "aws-train", feature = "local-train"))]
        if self.dataset.starts_with("s3://") {
            return On::Bedrock;
        }
        #[cfg(feature = "local-train")]
        {
            On::Local
        }
        #[cfg(not(feature = "local-train"))]
        {
            On::Bedrock
        }
    }

    fn hyperparameters(&self) -> BTreeMap<String, String> {
        self.set.iter().cloned().collect()
    }

    #[cfg(feature = "aws-train")]
    fn output_on_s3(&self) -> Result<String> {
        self.output
            .clone()
            .ok_or_else(|| crate::Error::invalid("results need a folder on S3: give --output s3://…"))
    }

    /// Tells what was found about a job, and starts it where that is wanted and possible.
    async fn start<T: Trainer>(&self, training: &Prepared<T>, costs: bool) -> Result<Option<TrainingJob>> {
        if let Some(reason) = training.reason().filter(|_| !self.json) {
            println!("{reason}");
        }
        let findings = training.check().await?;
        self.tell_findings(&findings)?;
        stands_in_the_way(&findings)?;
        if self.check || (costs && !self.yes && (self.json || !ask("Start this job?")?)) {
            return Ok(None);
        }
        let job = training.submit().await?;
        self.tell_submitted(&job)?;
        Ok(Some(job))
    }

    fn tell_findings(&self, findings: &[Finding]) -> Result<()> {
        for finding in findings {
            if self.json {
                println!("{}", to_json(&serde_json::json!({"event": "finding", "finding": finding}))?);
                continue;
            }
            let severity = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => "note",
            };
            println!("{severity}: {}\n    {}", finding.message, finding.mend);
        }
        Ok(())
    }

    fn tell_submitted(&self, job: &TrainingJob) -> Result<()> {
        if self.json {
            println!("{}", to_json(&serde_json::json!({"event": "submitted", "job": job}))?);
            return Ok(());
        }
        println!("{} ({})", job.name, job.id);
        if job.status.is_final() {
            println!("An earlier run started this job; another --name starts a new one");
        }
        Ok(())
    }

    /// Tells what changes until the job is at its end, where that is wanted, or how it ended.
    async fn follow(
        &self,
        job: &TrainingJob,
        mut seen: BoxStream<'static, Result<JobProgress>>,
    ) -> Result<()> {
        if !self.watch && !job.status.is_final() {
            return Ok(());
        }
        let mut told = None;
        while let Some(progress) = seen.next().await {
            let progress = match progress {
                Err(e) if e.is_retryable() => continue,
                progress => progress?,
            };
            if told.as_ref() == Some(&progress) {
                continue;
            }
            if self.json {
                println!("{}", to_json(&serde_json::json!({"event": "job", "job": progress}))?);
            } else {
                println!("{progress}");
            }
            told = Some(progress);
        }
        Ok(())
    }
}
