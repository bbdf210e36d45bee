//! How many machines of a type an account may have at once.

use serde::Deserialize;
use serde_json::json;

use super::calls::QUOTAS;
use crate::{
    aws::{AwsContext, json_service::JsonClient},
    error::{ErrorKind, Result},
    types::{Finding, Severity},
};

/// What a machine is wanted for, as the names of the quotas have it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Use {
    Training,
    SpotTraining,
    Endpoint,
}

impl Use {
    fn words(self) -> &'static str {
        match self {
            Self::Training => "training job usage",
            Self::SpotTraining => "spot training job usage",
            Self::Endpoint => "endpoint usage",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    quotas: Vec<Quota>,
    #[serde(default)]
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Quota {
    #[serde(default)]
    quota_name: String,
    #[serde(default)]
    value: f64,
}

/// What stands against machines of these types: nothing, where one of them may be had.
///
/// # Errors
/// As the service says, but not where it may not be asked.
pub(super) async fn check(context: &AwsContext, instances: &[String], wanted: Use) -> Result<Vec<Finding>> {
    let client = JsonClient::new(context, QUOTAS);
    let names: Vec<String> = instances.iter().map(|one| format!("{one} for {}", wanted.words())).collect();
    let limits = match limits(&client, &names).await {
        Ok(limits) => limits,
        Err(e) if matches!(e.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => {
            return Ok(vec![Finding::note(
                format!("how many {} the account may have could not be read", instances.join(", ")),
                "allow servicequotas:ListServiceQuotas and ListAWSDefaultServiceQuotas to have it checked",
            )]);
        }
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for (name, limit) in names.iter().zip(&limits) {
        let (severity, message) = match limit {
            Some(limit) if *limit >= 1.0 => continue,
            // Another of the list may do.
            Some(_) if limits.iter().flatten().any(|limit| *limit >= 1.0) => {
                (Severity::Note, format!("the account's quota \"{name}\" is 0"))
            }
            Some(_) => (Severity::Error, format!("the account's quota \"{name}\" is 0")),
            None => (Severity::Warning, format!("there is no quota \"{name}\": the Region may not have it")),
        };
        let mend =
            "ask for 1 in the console of Service Quotas, Amazon SageMaker, or take another type".into();
        found.push(Finding { severity, message, mend });
    }
    Ok(found)
}

/// The limit of each, the account's own before the default.
async fn limits(client: &JsonClient, names: &[String]) -> Result<Vec<Option<f64>>> {
    let mut limits = vec![None; names.len()];
    for call in ["servicequotas ListServiceQuotas", "servicequotas ListAWSDefaultServiceQuotas"] {
        let mut token: Option<String> = None;
        while limits.iter().any(Option::is_none) {
            let mut body = json!({"ServiceCode": "sagemaker", "MaxResults": 100});
            if let Some(token) = &token {
                body["NextToken"] = token.as_str().into();
            }
            let page: Page = client.call(call, &body).await?;
            for quota in page.quotas {
                if let Some(place) = names.iter().position(|name| *name == quota.quota_name) {
                    limits[place].get_or_insert(quota.value);
                }
            }
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
    }
    Ok(limits)
}
