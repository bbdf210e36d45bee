//! The arguments that say how films, datasets and services elsewhere are reached: those of every command.

use clap::Args;

use crate::config::Access;

/// What is not given comes from the environment and the AWS files. Ids of their own: these stand beside every command's.
#[derive(Debug, Args)]
pub(crate) struct AccessArgs {
    /// AWS Region
    #[cfg(feature = "aws")]
    #[arg(
        id = "aws_region",
        long = "aws-region",
        value_name = "REGION",
        global = true,
        help_heading = "Amazon's services"
    )]
    region: Option<String>,
    /// Profile of the AWS files
    #[cfg(feature = "aws")]
    #[arg(
        id = "aws_profile",
        long = "aws-profile",
        value_name = "NAME",
        global = true,
        help_heading = "Amazon's services"
    )]
    profile: Option<String>,
    /// Address that takes the place of every AWS service's own
    #[cfg(feature = "aws")]
    #[arg(
        id = "aws_endpoint",
        long = "aws-endpoint",
        value_name = "URL",
        global = true,
        help_heading = "Amazon's services"
    )]
    endpoint: Option<String>,
}

impl From<AccessArgs> for Access {
    #[cfg(feature = "aws")]
    fn from(args: AccessArgs) -> Self {
        let AccessArgs { region, profile, endpoint } = args;
        Self { aws: crate::aws::AwsSettings { region, profile, endpoint }, ..Self::default() }
    }

    #[cfg(not(feature = "aws"))]
    fn from(AccessArgs {}: AccessArgs) -> Self {
        Self::default()
    }
}
