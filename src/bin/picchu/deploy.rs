//! `picchu deploy`: a trained model made callable. It bills by the hour until `picchu clean`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use picchu::{
    Deployer, Result,
    aws::{
        AwsContext,
        bedrock::{BedrockDeployer, Commitment},
    },
    config::{Access, price_table},
    train::Ledger,
    types::CustomModel,
};

use crate::output::{ask, to_json};

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// ARN of the trained model; `picchu status` tells it.
    #[arg(value_name = "MODEL_ARN")]
    model: String,
    /// Name of the deployment.
    #[arg(long, default_value = "picchu")]
    name: String,
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
    /// Print the request as `aws bedrock create-provisioned-model-throughput --cli-input-json` takes it; create nothing.
    #[arg(long)]
    print_request: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// One JSON object a line on standard output; creates nothing without --yes.
    #[arg(long)]
    pub(crate) json: bool,
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
            println!("{}", to_json(&deployer.request(&self.name, &model))?);
            return Ok(());
        }
        if !self.json {
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
        if !self.yes && (self.json || !ask("Deploy it?")?) {
            return Ok(());
        }
        let deployment = deployer.deploy(&self.name, &model).await?;
        let deployment = deployer.wait(&deployment.id).await?;
        if self.json {
            println!("{}", to_json(&serde_json::json!({"event": "deployed", "deployment": deployment}))?);
        } else {
            println!("{} serves; end it with: picchu clean {}", deployment.id, self.ledger.display());
        }
        Ok(())
    }
}
