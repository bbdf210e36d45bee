//! The role that SageMaker takes on to train and to serve: its two documents, and what is looked at in one that is there.

use serde_json::{Value, json};

use super::{SageMakerSettings, check::METADATA};
use crate::{
    aws::{
        AwsContext,
        bedrock::{Principal, RolePolicies, TrainingRole, account, check_role_of, is_account, place},
    },
    error::{AtStage, Error, Result, Stage},
    types::{Finding, TrainingSpec},
};

const SAGEMAKER: Principal = Principal {
    name: "SageMaker",
    service: "sagemaker.amazonaws.com",
    mend: "give the role the policies of `picchu train --on sagemaker --print-role`, or let --create-role make one",
};

/// The folders on S3 that a job reads and writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFolders<'a> {
    /// The dataset.
    pub dataset: &'a str,
    /// Results.
    pub output: &'a str,
    /// The base model, where it lies on S3.
    pub base_model: Option<&'a str>,
    /// Packages of Python, where they lie on S3.
    pub wheels: Option<&'a str>,
    /// Whether the job runs in a network of the account's own.
    pub in_network: bool,
}

/// The least that training and serving need.
///
/// ```
/// use picchu::aws::sagemaker::{JobFolders, sagemaker_role_policies};
/// let folders = JobFolders { dataset: "s3://bucket/film", output: "s3://bucket/model", ..JobFolders::default() };
/// let role = sagemaker_role_policies("us-east-1", "123456789012", &folders)?;
/// assert_eq!(role.trust["Statement"][0]["Principal"]["Service"], "sagemaker.amazonaws.com");
/// # Ok::<(), picchu::Error>(())
/// ```
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an account or an address that is none.
pub fn sagemaker_role_policies(region: &str, owner: &str, folders: &JobFolders<'_>) -> Result<RolePolicies> {
    if !is_account(owner) {
        return Err(Error::invalid(format!("{owner:?} is no account: twelve digits are")));
    }
    let partition = if region.starts_with("cn-") { "aws-cn" } else { "aws" };
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Service": SAGEMAKER.service},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": owner}},
        }],
    });
    let mut statements: Vec<Value> = Vec::new();
    let read = [Some(folders.dataset), folders.base_model, folders.wheels];
    let parts = read.into_iter().flatten().map(|uri| (uri, ["s3:GetObject"].as_slice()));
    // Checkpoints are written, and read again by a job that was interrupted.
    for (uri, actions) in parts.chain([(folders.output, ["s3:GetObject", "s3:PutObject"].as_slice())]) {
        let (bucket, prefix) = place(uri)?;
        statements.push(json!({
            "Effect": "Allow", "Action": "s3:ListBucket", "Resource": format!("arn:{partition}:s3:::{bucket}"),
            "Condition": {"StringLike": {"s3:prefix": [prefix, format!("{prefix}/*")]}},
        }));
        statements.push(json!({
            "Effect": "Allow", "Action": actions, "Resource": format!("arn:{partition}:s3:::{bucket}/{prefix}/*"),
        }));
    }
    let allow =
        |actions: Value, resource: Value| json!({"Effect": "Allow", "Action": actions, "Resource": resource});
    statements.push(allow(
        json!([
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
            "logs:DescribeLogStreams"
        ]),
        json!(format!("arn:{partition}:logs:{region}:{owner}:log-group:/aws/sagemaker/*")),
    ));
    let mut metrics = allow(json!("cloudwatch:PutMetricData"), json!("*"));
    metrics["Condition"] =
        json!({"StringLike": {"cloudwatch:namespace": ["/aws/sagemaker/*", "AWS/SageMaker"]}});
    statements.push(metrics);
    statements.push(allow(json!("ecr:GetAuthorizationToken"), json!("*")));
    // Amazon's containers lie in accounts of Amazon's.
    statements.push(allow(
        json!(["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]),
        json!(format!("arn:{partition}:ecr:{region}:*:repository/*")),
    ));
    if folders.in_network {
        statements.push(allow(
            json!([
                "ec2:CreateNetworkInterface",
                "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface",
                "ec2:DeleteNetworkInterfacePermission",
                "ec2:DescribeDhcpOptions",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
            ]),
            json!("*"),
        ));
    }
    Ok(RolePolicies { trust, access: json!({"Version": "2012-10-17", "Statement": statements}) })
}

/// The role for a job's folders, whether it exists or not. Asks whose credentials these are, and nothing else. Equal folders
/// have one role in an account; `picchu clean` deletes it.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an address that is none; as the service says.
pub async fn sagemaker_role(context: &AwsContext, folders: &JobFolders<'_>) -> Result<TrainingRole> {
    let owner = account(context).await.at(Stage::Train)?;
    let policies = sagemaker_role_policies(context.region(), &owner, folders).at(Stage::Train)?;
    Ok(TrainingRole::of(context, &owner, policies))
}

/// What stands against a role, as far as the caller may read it.
pub(super) async fn check_role(
    context: &AwsContext,
    settings: &SageMakerSettings,
    spec: &TrainingSpec,
) -> Result<Vec<Finding>> {
    let metadata = format!("{}/{METADATA}", spec.dataset.trim_end_matches('/'));
    check_role_of(context, &SAGEMAKER, &settings.role, &metadata, &spec.output).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_may_do_no_more_than_its_jobs_need() {
        let folders = JobFolders {
            dataset: "s3://data/film/",
            output: "s3://models/mayu",
            base_model: Some("s3://weights/klein"),
            wheels: None,
            in_network: false,
        };
        let role = sagemaker_role_policies("us-east-1", "123456789012", &folders).unwrap();
        let text = role.access.to_string();
        assert!(!text.contains("s3:*") && !text.contains("Delete") && !text.contains("ec2:"), "{text}");
        let writes: Vec<&Value> = role.access["Statement"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|s| s["Action"].to_string().contains("PutObject"))
            .map(|s| &s["Resource"])
            .collect();
        assert_eq!(writes, ["arn:aws:s3:::models/mayu/*"]);
        assert!(text.contains("arn:aws:s3:::weights/klein/*"), "{text}");
        assert!(sagemaker_role_policies("us-east-1", "123", &folders).is_err());
        let nowhere = JobFolders { output: "s3://models", ..folders.clone() };
        assert!(sagemaker_role_policies("us-east-1", "123456789012", &nowhere).is_err());
        let inside = JobFolders { in_network: true, ..folders };
        let role = sagemaker_role_policies("cn-north-1", "123456789012", &inside).unwrap();
        assert!(
            role.access.to_string().contains("arn:aws-cn:s3") && role.access.to_string().contains("ec2:")
        );
    }
}
