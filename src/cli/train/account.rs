//! What training in an AWS account needs, wherever in it.

use std::path::PathBuf;

use clap::Args;

use crate::cli::output::to_json;
use crate::{
    Error, Result,
    aws::bedrock::RolePolicies,
    config::{Access, price_table},
    train::Ledger,
    types::PriceTable,
};

#[derive(Debug, Args)]
#[command(next_help_heading = "In an AWS account")]
pub(super) struct AccountArguments {
    /// Role that the service takes on; `--print-role` tells what it needs.
    #[arg(long, value_name = "ARN")]
    role: Option<String>,
    /// Make a role for this dataset and this output, or take the one that an earlier run made; `clean` deletes it.
    #[arg(long, conflicts_with = "role")]
    create_role: bool,
    /// Key that results are encrypted with.
    #[arg(long, value_name = "KEY")]
    pub(super) kms_key: Option<String>,
    /// Subnet of the job's network; may come again.
    #[arg(long = "subnet", value_name = "ID")]
    pub(super) subnets: Vec<String>,
    /// Security group of the job's network; may come again.
    #[arg(long = "security-group", value_name = "ID")]
    pub(super) security_groups: Vec<String>,
    /// Folder whose `ledger.jsonl` remembers the job for `picchu status` and `picchu clean`.
    #[arg(long, value_name = "DIR", default_value = ".")]
    ledger: PathBuf,
    /// Prices that override the built-in ones, a TOML file.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Print the request as the AWS CLI's command for it takes it by `--cli-input-json`; create nothing.
    #[arg(long)]
    pub(super) print_request: bool,
    /// Print the two policies of the role, for this account; ask nobody, create nothing.
    #[arg(long, value_name = "ACCOUNT")]
    pub(super) print_role: Option<String>,
}

impl AccountArguments {
    /// The role that was given; none where one is to be made.
    pub(super) fn role(&self) -> Result<Option<String>> {
        if self.role.is_none() && !self.create_role {
            return Err(Error::invalid("this needs a role: give --role, or --create-role to have one made"));
        }
        Ok(self.role.clone())
    }

    pub(super) fn ledger(&self, access: &Access) -> Result<Ledger> {
        Ok(Ledger::new(access.store(&self.ledger)?))
    }

    pub(super) fn prices(&self) -> Result<PriceTable> {
        price_table(self.prices.as_deref())
    }
}

pub(super) fn print_role(role: &RolePolicies) -> Result<()> {
    println!("{}", to_json(&serde_json::json!({"trust": role.trust, "access": role.access}))?);
    Ok(())
}
