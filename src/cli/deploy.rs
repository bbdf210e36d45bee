//! `picchu deploy`: a trained model made callable. It bills by the hour until `picchu clean`.

#[cfg(feature = "sagemaker")]
mod sagemaker;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::output::{ask, to_json};
use crate::{
    Deployer, Result,
    aws::{
        AwsContext,
        bedrock::{BedrockDeployer, Commitment},
    },
    config::{Access, price_table},
    train::Ledger,
    types::CustomModel,
};

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// What to serve; `picchu status` tells it. On Bedrock the ARN of a model. On `SageMaker` the job that made it, its name or
    /// its ARN, or the model's folder on S3.
    #[arg(value_name = "MODEL")]
    model: String,
    /// Who serves; as the model says unless given: `SageMaker` for a folder on S3 or a job's ARN, else Bedrock.
    #[cfg(feature = "sagemaker")]
    #[arg(long, value_enum)]
    on: Option<On>,
    /// Name of the deployment.
    #[arg(long, default_value = "picchu")]
    name: String,
    /// Have this deployment serve the model from now on, instead of starting one beside it.
    #[arg(long, value_name = "DEPLOYMENT_ARN", conflicts_with_all = ["units", "commitment"])]
    update: Option<String>,
    /// Model units that serve.
    #[arg(long, value_name = "N", default_value = "1")]
    units: u32,
    /// For how long to pay at least: it cannot be ended before.
    #[arg(long, value_enum, default_value = "none")]
    commitment: Promise,
    /// Folder whose `ledger.jsonl` remembers it for `picchu clean`.
    #[arg(long, value_name = "DIR", default_value = ".")]
    ledger: PathBuf,
    /// Prices that override the built-in ones, a TOML file.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Print the request as `aws bedrock create-provisioned-model-throughput --cli-input-json` takes it, with `--update`
    /// `update-provisioned-model-throughput`, or those of `SageMaker`, one a line with the command that takes it; send
    /// nothing.
    #[arg(long)]
    print_request: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// One JSON object a line on standard output; creates nothing without --yes.
    #[arg(long)]
    pub(crate) json: bool,
    #[cfg(feature = "sagemaker")]
    #[command(flatten)]
    sagemaker: sagemaker::Arguments,
}

#[cfg(feature = "sagemaker")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum On {
    /// Amazon Bedrock.
    Bedrock,
    /// Amazon `SageMaker`.
    Sagemaker,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Promise {
    /// By the hour.
    None,
    /// A month.
    OneMonth,
    /// Six months.
    SixMonths,
}

impl Deploy {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        #[cfg(feature = "sagemaker")]
        {
            let its_own = self.model.starts_with("s3://") || self.model.contains(":sagemaker:");
            if self.on.map_or(its_own, |on| on == On::Sagemaker) {
                return Box::pin(self.on_sagemaker(access)).await;
            }
        }
        let context = AwsContext::from_env(&access.aws).await?;
        let commitment = match self.commitment {
            Promise::None => Commitment::None,
            Promise::OneMonth => Commitment::OneMonth,
            Promise::SixMonths => Commitment::SixMonths,
        };
        let deployer = BedrockDeployer::new(&context, Ledger::new(access.store(&self.ledger)?))
            .units(self.units)
            .commitment(commitment)
            .prices(price_table(self.prices.as_deref())?);
        let model = CustomModel { id: self.model.clone(), base_model: String::new() };
        if self.print_request {
            let request = match &self.update {
                Some(deployment) => to_json(&deployer.update_request(deployment, &self.name, &model))?,
                None => to_json(&deployer.request(&self.name, &model))?,
            };
            println!("{request}");
            return Ok(());
        }
        if !self.json && self.update.is_none() {
            match deployer.usd_per_hour() {
                Some(usd) => println!("{usd:.2} US dollars an hour, used or not, until it is deleted"),
                None => {
                    println!("bills by the hour, used or not, until it is deleted; the price is not known");
                }
            }
            if commitment != Commitment::None {
                println!("with a commitment it cannot be deleted before its end");
            }
        }
        if !self.yes
            && (self.json || !ask(if self.update.is_some() { "Replace its model?" } else { "Deploy it?" })?)
        {
            return Ok(());
        }
        let deployment = match &self.update {
            Some(deployment) => deployer.update(deployment, &self.name, &model).await?,
            None => deployer.deploy(&self.name, &model).await?,
        };
        let deployment = deployer.wait(&deployment.id).await?;
        if self.json {
            println!("{}", to_json(&serde_json::json!({"event": "deployed", "deployment": deployment}))?);
        } else {
            println!("{} serves; end it with: picchu clean {}", deployment.id, self.ledger.display());
        }
        Ok(())
    }
}
