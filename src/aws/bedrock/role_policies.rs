//! The two documents of the role that Bedrock takes on to train: who may take it on, and what it may do.

use serde_json::{Value, json};

use crate::error::{Error, Result};

/// The two documents of a role.
#[derive(Clone, Debug, PartialEq)]
pub struct RolePolicies {
    /// Who may take the role on: Bedrock, for jobs of this account in this Region.
    pub trust: Value,
    /// What it may do: read the dataset's folder, write the output's.
    pub access: Value,
}

/// The least that a training job needs.
///
/// ```
/// let role = picchu::aws::bedrock::role_policies("us-east-1", "123456789012", "s3://bucket/film", "s3://bucket/model")?;
/// assert_eq!(role.trust["Statement"][0]["Principal"]["Service"], "bedrock.amazonaws.com");
/// # Ok::<(), picchu::Error>(())
/// ```
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an account or an address that is none.
pub fn role_policies(region: &str, account: &str, dataset: &str, output: &str) -> Result<RolePolicies> {
    if !is_account(account) {
        return Err(Error::invalid(format!("{account:?} is no account: twelve digits are")));
    }
    let (data, from) = place(dataset)?;
    let (results, to) = place(output)?;
    let jobs = format!("arn:aws:bedrock:{region}:{account}:model-customization-job/*");
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Service": "bedrock.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {
                "StringEquals": {"aws:SourceAccount": account},
                "ArnEquals": {"aws:SourceArn": jobs},
            },
        }],
    });
    let list = |bucket: &str, prefix: &str| {
        json!({
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": format!("arn:aws:s3:::{bucket}"),
            "Condition": {"StringLike": {"s3:prefix": [prefix, format!("{prefix}/*")]}},
        })
    };
    let objects = |bucket: &str, prefix: &str, actions: &[&str]| json!({"Effect": "Allow", "Action": actions, "Resource": format!("arn:aws:s3:::{bucket}/{prefix}/*")});
    let access = json!({
        "Version": "2012-10-17",
        "Statement": [
            list(data, from),
            objects(data, from, &["s3:GetObject"]),
            list(results, to),
            objects(results, to, &["s3:GetObject", "s3:PutObject"]),
        ],
    });
    Ok(RolePolicies { trust, access })
}

/// Whether a text is an account's number.
pub(in crate::aws) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Bucket and folder of an address.
pub(in crate::aws) fn place(address: &str) -> Result<(&str, &str)> {
    address
        .strip_prefix("s3://")
        .and_then(|rest| rest.trim_end_matches('/').split_once('/'))
        .filter(|(bucket, folder)| !bucket.is_empty() && !folder.is_empty())
        .ok_or_else(|| Error::invalid(format!("{address:?} is no folder on S3: s3://bucket/folder is")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_may_do_no_more_than_its_job_needs() {
        let role = role_policies("us-east-1", "123456789012", "s3://data/film/", "s3://models/mayu").unwrap();
        let text = role.access.to_string();
        assert!(!text.contains("Delete") && !text.contains("\"*\"") && !text.contains("s3:*"), "{text}");
        let writes: Vec<&Value> = role.access["Statement"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|s| s["Action"].to_string().contains("PutObject"))
            .map(|s| &s["Resource"])
            .collect();
        assert_eq!(writes, ["arn:aws:s3:::models/mayu/*"]);
        assert!(role_policies("us-east-1", "123", "s3://data/film", "s3://models/mayu").is_err());
        assert!(role_policies("us-east-1", "123456789012", "s3://data", "s3://models/mayu").is_err());
    }
}
