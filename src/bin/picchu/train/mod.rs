//! `picchu train`: a model from an exported dataset, looked at before anything is created.

#[cfg(feature = "aws-train")]
mod bedrock;
#[cfg(feature = "local-train")]
mod local;

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use futures::{StreamExt, stream::BoxStream};
use picchu::{
    Result,
    config::Access,
    types::{Finding, JobProgress, Severity, TrainingJob},
};

use crate::output::to_json;

// Each flag of the command line is a bool.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Args)]
pub(crate) struct Train {
    /// What to train on. On this machine: a dataset, or an export for `diffusers`. On Bedrock: a folder on S3 with an export
    /// for `nova`.
    #[arg(value_name = "DATASET")]
    dataset: String,
    /// Who trains; on Bedrock unless given where the dataset lies on S3, else on this machine.
    #[arg(long, value_enum)]
    on: Option<On>,
    /// The model to start from.
    #[arg(long, value_name = "ID")]
    base_model: Option<String>,
    /// Folder for results: on S3 for Bedrock; `models` on this machine unless given.
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
    #[cfg(feature = "local-train")]
    #[command(flatten)]
    local: local::LocalArguments,
    #[cfg(feature = "aws-train")]
    #[command(flatten)]
    bedrock: bedrock::BedrockArguments,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum On {
    /// This machine: a `LoRA`, with diffusers.
    #[cfg(feature = "local-train")]
    Local,
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
        let lies_on_s3 = self.dataset.starts_with("s3://");
        match self.on {
            #[cfg(feature = "local-train")]
            Some(On::Local) => self.run_local(access).await,
            #[cfg(feature = "aws-train")]
            Some(On::Bedrock) => Box::pin(self.run_bedrock(access)).await,
            #[cfg(feature = "aws-train")]
            None if lies_on_s3 || cfg!(not(feature = "local-train")) => {
                Box::pin(self.run_bedrock(access)).await
            }
            #[cfg(feature = "local-train")]
            None => {
                let _ = lies_on_s3;
                self.run_local(access).await
            }
        }
    }

    fn hyperparameters(&self) -> BTreeMap<String, String> {
        self.set.iter().cloned().collect()
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

    /// Tells what changes, until the job is at its end.
    async fn watch(&self, mut seen: BoxStream<'static, Result<JobProgress>>) -> Result<()> {
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
