//! `picchu train`: a model from an exported dataset, looked at before anything is created.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use futures::StreamExt;
use picchu::{
    Result,
    aws::{
        AwsContext,
        bedrock::{BedrockTrainer, Preset, role_policies},
    },
    config::{Access, Training, price_table},
    train::{Ledger, stands_in_the_way},
    types::{Finding, Severity},
};

use crate::output::{ask, to_json};

/// How often a job is looked at.
const POLL: Duration = Duration::from_secs(30);

// Each flag of the command line is a bool.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Args)]
pub(crate) struct Train {
    /// Where the export for `nova` lies: a folder on S3 with a `train.jsonl`.
    #[arg(value_name = "S3_FOLDER")]
    dataset: String,
    /// The model to start from.
    #[arg(long, value_name = "ID", default_value = Training::BASE_MODEL)]
    base_model: String,
    /// Role that Bedrock takes on; `--print-role` tells what it needs.
    #[arg(long, value_name = "ARN", required_unless_present_any = ["create_role", "print_role"])]
    role: Option<String>,
    /// Make a role for this dataset and this output, or take the one that an earlier run made; `clean` deletes it.
    #[arg(long, conflicts_with = "role")]
    create_role: bool,
    /// Folder on S3 for results.
    #[arg(long, value_name = "S3_FOLDER")]
    output: String,
    /// Name of the job and of the model; the end of it says which dataset and settings it is of.
    #[arg(long, default_value = Training::NAME)]
    name: String,
    /// Where the hyperparameters come from.
    #[arg(long, value_enum, default_value = "suggested")]
    preset: Choice,
    /// One hyperparameter, for example `stepCount=8000`.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Key that the model is encrypted with.
    #[arg(long, value_name = "KEY")]
    kms_key: Option<String>,
    /// Subnet of the job's network; may come again.
    #[arg(long, value_name = "ID")]
    subnet: Vec<String>,
    /// Security group of the job's network; may come again.
    #[arg(long, value_name = "ID")]
    security_group: Vec<String>,
    /// Folder whose `ledger.jsonl` remembers the job for `picchu status` and `picchu clean`.
    #[arg(long, value_name = "DIR", default_value = ".")]
    ledger: PathBuf,
    /// Prices that override the built-in ones, a TOML file.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Train also on images that no person looked at; the ledger says so of the job.
    #[arg(long)]
    allow_unreviewed: bool,
    /// Look, and create nothing.
    #[arg(long)]
    check: bool,
    /// Print the request as `aws bedrock create-model-customization-job --cli-input-json` takes it; create nothing.
    #[arg(long)]
    print_request: bool,
    /// Print the two policies of the role, for this account; ask nobody, create nothing.
    #[arg(long, value_name = "ACCOUNT")]
    print_role: Option<String>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Stay until the job is at its end.
    #[arg(long)]
    watch: bool,
    /// One JSON object a line on standard output; submits nothing without --yes.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Choice {
    /// By the size of the dataset.
    Suggested,
    /// The service's defaults.
    Service,
    /// 14,000 steps of 64 pictures at a rate of 0.000001.
    Characters,
}

fn pair(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".into()),
    }
}

impl Train {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        if let Some(account) = &self.print_role {
            let context = AwsContext::from_env(&access.aws).await?;
            let role = role_policies(context.region(), account, &self.dataset, &self.output)?;
            println!("{}", to_json(&serde_json::json!({"trust": role.trust, "access": role.access}))?);
            return Ok(());
        }
        let ledger = Ledger::new(access.store(&self.ledger)?);
        let prices = price_table(self.prices.as_deref())?;
        let training = self.training().open(&access.aws, ledger, prices).await?;
        if self.print_request {
            println!("{}", training.request().to_json()?);
            return Ok(());
        }
        if let Some(reason) = training.reason().filter(|_| !self.json) {
            println!("{reason}");
        }
        let findings = training.check().await?;
        for finding in &findings {
            self.tell(finding)?;
        }
        stands_in_the_way(&findings)?;
        if self.check || (!self.yes && (self.json || !ask("Start this job?")?)) {
            return Ok(());
        }
        let job = training.submit().await?;
        if self.json {
            println!("{}", to_json(&serde_json::json!({"event": "submitted", "job": job}))?);
        } else {
            println!("{} ({})", job.name, job.id);
            if job.status.is_final() {
                println!("An earlier run started this job; another --name starts a new one");
            }
        }
        if self.watch || job.status.is_final() {
            self.watch(training.trainer(), &job.id).await?;
        }
        Ok(())
    }

    fn training(&self) -> Training {
        Training {
            dataset: self.dataset.clone(),
            output: self.output.clone(),
            role: self.role.clone(),
            base_model: self.base_model.clone(),
            name: self.name.clone(),
            preset: match self.preset {
                Choice::Suggested => None,
                Choice::Service => Some(Preset::Service),
                Choice::Characters => Some(Preset::Characters),
            },
            hyperparameters: self.set.iter().cloned().collect(),
            kms_key: self.kms_key.clone(),
            subnets: self.subnet.clone(),
            security_groups: self.security_group.clone(),
            allow_unreviewed: self.allow_unreviewed,
        }
    }

    fn tell(&self, finding: &Finding) -> Result<()> {
        if self.json {
            println!("{}", to_json(&serde_json::json!({"event": "finding", "finding": finding}))?);
            return Ok(());
        }
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        println!("{severity}: {}\n    {}", finding.message, finding.mend);
        Ok(())
    }

    async fn watch(&self, trainer: &BedrockTrainer, job: &str) -> Result<()> {
        let mut seen = trainer.watch(job, POLL);
        while let Some(progress) = seen.next().await {
            let progress = match progress {
                Err(e) if e.is_retryable() => continue,
                progress => progress?,
            };
            if self.json {
                println!("{}", to_json(&serde_json::json!({"event": "job", "job": progress}))?);
            } else {
                println!("{progress}");
            }
        }
        Ok(())
    }
}
