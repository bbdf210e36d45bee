//! Fine-tuning on Amazon Bedrock.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use picchu::{
    Error, Result,
    aws::{
        AwsContext,
        bedrock::{Preset, role_policies},
    },
    config::{Access, Training, price_table},
    train::{Ledger, stands_in_the_way},
};

use super::Train;
use crate::output::{ask, to_json};

/// How often a job of the service is looked at.
const POLL: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
#[command(next_help_heading = "On Amazon Bedrock")]
pub(super) struct BedrockArguments {
    /// Role that Bedrock takes on; `--print-role` tells what it needs.
    #[arg(long, value_name = "ARN")]
    role: Option<String>,
    /// Make a role for this dataset and this output, or take the one that an earlier run made; `clean` deletes it.
    #[arg(long, conflicts_with = "role")]
    create_role: bool,
    /// Where the hyperparameters come from.
    #[arg(long, value_enum, default_value = "suggested")]
    preset: Choice,
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
    /// Print the request as `aws bedrock create-model-customization-job --cli-input-json` takes it; create nothing.
    #[arg(long)]
    print_request: bool,
    /// Print the two policies of the role, for this account; ask nobody, create nothing.
    #[arg(long, value_name = "ACCOUNT")]
    print_role: Option<String>,
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

impl Train {
    pub(super) async fn run_bedrock(&self, access: &Access) -> Result<()> {
        let arguments = &self.bedrock;
        let output = self.output.clone().ok_or_else(|| {
            Error::invalid("Bedrock needs a folder on S3 for results: give --output s3://…")
        })?;
        if let Some(account) = &arguments.print_role {
            let context = AwsContext::from_env(&access.aws).await?;
            let role = role_policies(context.region(), account, &self.dataset, &output)?;
            println!("{}", to_json(&serde_json::json!({"trust": role.trust, "access": role.access}))?);
            return Ok(());
        }
        if arguments.role.is_none() && !arguments.create_role {
            return Err(Error::invalid(
                "Bedrock needs a role: give --role, or --create-role to have one made",
            ));
        }
        let ledger = Ledger::new(access.store(&arguments.ledger)?);
        let prices = price_table(arguments.prices.as_deref())?;
        let training = self.training(output).open(&access.aws, ledger, prices).await?;
        if arguments.print_request {
            println!("{}", training.request().to_json()?);
            return Ok(());
        }
        if let Some(reason) = training.reason().filter(|_| !self.json) {
            println!("{reason}");
        }
        let findings = training.check().await?;
        self.tell_findings(&findings)?;
        stands_in_the_way(&findings)?;
        if self.check || (!self.yes && (self.json || !ask("Start this job?")?)) {
            return Ok(());
        }
        let job = training.submit().await?;
        self.tell_submitted(&job)?;
        if self.watch || job.status.is_final() {
            self.watch(training.trainer().watch(&job.id, POLL)).await?;
        }
        Ok(())
    }

    fn training(&self, output: String) -> Training {
        let arguments = &self.bedrock;
        Training {
            dataset: self.dataset.clone(),
            output,
            role: arguments.role.clone(),
            base_model: self.base_model.clone().unwrap_or_else(|| Training::BASE_MODEL.to_owned()),
            name: self.name.clone(),
            preset: match arguments.preset {
                Choice::Suggested => None,
                Choice::Service => Some(Preset::Service),
                Choice::Characters => Some(Preset::Characters),
            },
            hyperparameters: self.hyperparameters(),
            kms_key: arguments.kms_key.clone(),
            subnets: arguments.subnet.clone(),
            security_groups: arguments.security_group.clone(),
            allow_unreviewed: self.allow_unreviewed,
        }
    }
}
