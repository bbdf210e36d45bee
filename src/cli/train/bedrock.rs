//! Fine-tuning on Amazon Bedrock.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Train, account::print_role};
use crate::{
    Result,
    aws::{
        AwsContext,
        bedrock::{Preset, role_policies},
    },
    config::{Access, Training},
};

/// How often a job of the service is looked at.
const POLL: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
#[command(next_help_heading = "On Amazon Bedrock")]
pub(super) struct BedrockArguments {
    /// Where the hyperparameters come from.
    #[arg(long, value_enum, default_value = "suggested")]
    preset: Choice,
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
    pub(super) async fn on_bedrock(&self, access: &Access) -> Result<()> {
        let (account, output) = (&self.account, self.output_on_s3()?);
        if let Some(owner) = &account.print_role {
            let context = AwsContext::from_env(&access.aws).await?;
            return print_role(&role_policies(context.region(), owner, &self.dataset, &output)?);
        }
        let training = Training {
            dataset: self.dataset.clone(),
            output,
            role: account.role()?,
            base_model: self.base_model.clone().unwrap_or_else(|| Training::BASE_MODEL.to_owned()),
            name: self.name.clone(),
            preset: match self.bedrock.preset {
                Choice::Suggested => None,
                Choice::Service => Some(Preset::Service),
                Choice::Characters => Some(Preset::Characters),
            },
            hyperparameters: self.hyperparameters(),
            kms_key: account.kms_key.clone(),
            subnets: account.subnets.clone(),
            security_groups: account.security_groups.clone(),
            allow_unreviewed: self.allow_unreviewed,
        };
        let training = training.open(&access.aws, account.ledger(access)?, account.prices()?).await?;
        let trainer = training.trainer();
        if account.print_request {
            println!("{}", trainer.request(training.spec()).to_json()?);
            return Ok(());
        }
        if let Some(job) = self.start(&training, true).await? {
            self.follow(&job, trainer.watch(&job.id, POLL)).await?;
        }
        Ok(())
    }
}
