//! The role that a service takes on to train: made in the account, found again, looked at, deleted.

use std::time::{Duration, Instant};

use aws_sdk_iam::{
    Client,
    types::{PolicyEvaluationDecisionType as Decision, Tag},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::role_policies::{RolePolicies, role_policies};
use crate::{
    aws::{
        AwsContext, service_error,
        tagged::{TAG, existing},
    },
    error::{AtStage, Error, ErrorKind, Result, Stage},
    train::{Entry, Happened, Ledger, ResourceKind},
    types::Finding,
};

/// What the names of roles begin with.
const PREFIX: &str = "picchu-train-";
/// The policy within the role.
const POLICY: &str = "dataset-and-output";
/// A new role is not known everywhere at once: how often it is asked for, and for how long.
const POLL: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_mins(1);

/// A role for the jobs of one dataset with one output, and nothing else.
#[derive(Clone, Debug)]
pub struct TrainingRole {
    context: AwsContext,
    policies: RolePolicies,
    name: String,
    arn: String,
}

impl TrainingRole {
    /// The role for a folder of data and a folder of results, whether it exists or not. Asks whose credentials these are,
    /// and nothing else. Equal folders have one role in an account.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an address that is none; as the service says.
    pub async fn plan(context: &AwsContext, dataset: &str, output: &str) -> Result<Self> {
        let account = account(context).await.at(Stage::Train)?;
        let policies = role_policies(context.region(), &account, dataset, output).at(Stage::Train)?;
        Ok(Self::of(context, &account, policies))
    }

    /// The role with these documents.
    pub(in crate::aws) fn of(context: &AwsContext, account: &str, policies: RolePolicies) -> Self {
        let hash =
            Sha256::new_with_prefix(policies.trust.to_string()).chain_update(policies.access.to_string());
        let hash = crate::source::sha256_string(hash);
        let name = format!("{PREFIX}{}", &hash["sha256:".len()..][..12]);
        let partition = if context.region().starts_with("cn-") { "aws-cn" } else { "aws" };
        let arn = format!("arn:{partition}:iam::{account}:role/{name}");
        Self { context: context.clone(), policies, name, arn }
    }

    /// Its ARN.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// What it may do, and for whom.
    pub fn policies(&self) -> &RolePolicies {
        &self.policies
    }

    /// Makes it, or finishes what an earlier run began; the ledger has a line about it before. The service that takes it on
    /// may need a while more to know it: see [`BedrockTrainer::role_is_new`](super::BedrockTrainer::role_is_new).
    ///
    /// # Errors
    /// As the service says, for example [`PermissionDenied`](ErrorKind::PermissionDenied).
    pub async fn ensure(&self, ledger: &Ledger) -> Result<()> {
        self.make(ledger).await.map_err(|e| e.with_provider("iam")).at(Stage::Train)
    }

    async fn make(&self, ledger: &Ledger) -> Result<()> {
        let client = Client::new(self.context.sdk());
        let entry = Entry::creating(ResourceKind::Role, &self.name, self.context.region());
        if find(&client, &self.name).await?.is_none() {
            ledger.note(&entry).await?;
            let tag = Tag::builder().key(TAG.0).value(TAG.1).build();
            let tag = tag.map_err(|e| Error::internal(format!("a tag is incomplete: {e}")))?;
            let created = client
                .create_role()
                .role_name(&self.name)
                .assume_role_policy_document(self.policies.trust.to_string())
                .description("Training reads a dataset and writes a model's results with this")
                .tags(tag)
                .send()
                .await;
            match created.map_err(|e| service_error("iam CreateRole", e)) {
                Ok(_) => {}
                // Made a moment ago, by a run that was cut off.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => {
                    if !e.is_retryable() {
                        ledger.note(&entry.now(Happened::Ended)).await?;
                    }
                    return Err(e);
                }
            }
        }
        // Also where it existed: a run may have ended between the two calls.
        let begun = Instant::now();
        loop {
            let put = client
                .put_role_policy()
                .role_name(&self.name)
                .policy_name(POLICY)
                .policy_document(self.policies.access.to_string())
                .send()
                .await;
            match put.map_err(|e| service_error("iam PutRolePolicy", e)) {
                Ok(_) => break,
                Err(e) if e.kind() == ErrorKind::NotFound && begun.elapsed() < PATIENCE => {
                    tokio::time::sleep(POLL).await;
                }
                Err(e) => return Err(e),
            }
        }
        ledger.note_created(&entry).await
    }
}

/// The account whose credentials these are.
pub(in crate::aws) async fn account(context: &AwsContext) -> Result<String> {
    let identity = aws_sdk_sts::Client::new(context.sdk()).get_caller_identity().send().await;
    let identity = identity.map_err(|e| service_error("sts GetCallerIdentity", e))?;
    identity
        .account
        .ok_or_else(|| Error::new(ErrorKind::Unavailable, "sts GetCallerIdentity named no account"))
}

/// A role's trust policy, percent-encoded; `None` where there is no role.
async fn find(client: &Client, name: &str) -> Result<Option<String>> {
    match client.get_role().role_name(name).send().await.map_err(|e| service_error("iam GetRole", e)) {
        Ok(answer) => {
            let role = answer.role.and_then(|role| role.assume_role_policy_document);
            Ok(Some(role.unwrap_or_default()))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

pub(super) async fn role_exists(context: &AwsContext, name: &str) -> Result<bool> {
    Ok(find(&Client::new(context.sdk()), name).await?.is_some())
}

/// The roles that were made here, by their names.
pub(super) async fn roles(context: &AwsContext) -> Result<Vec<Entry>> {
    let mut roles = Client::new(context.sdk()).list_roles().into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(role) = roles.next().await {
        let role = role.map_err(|e| service_error("iam ListRoles", e))?;
        if role.role_name().starts_with(PREFIX) {
            found.push(existing(
                ResourceKind::Role,
                role.role_name(),
                context.region(),
                Some(role.create_date()),
            ));
        }
    }
    Ok(found)
}

/// Deletes a role that [`TrainingRole::ensure`] made. What is gone is no error.
pub(super) async fn delete_role(context: &AwsContext, name: &str) -> Result<()> {
    let client = Client::new(context.sdk());
    let gone = |e: Error| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e.with_provider("iam")) };
    let emptied = client.delete_role_policy().role_name(name).policy_name(POLICY).send().await;
    emptied.map(drop).map_err(|e| service_error("iam DeleteRolePolicy", e)).or_else(gone)?;
    let deleted = client.delete_role().role_name(name).send().await;
    deleted.map(drop).map_err(|e| service_error("iam DeleteRole", e)).or_else(gone)
}

/// A service that takes on roles.
#[derive(Clone, Copy, Debug)]
pub(in crate::aws) struct Principal {
    /// Its name for people.
    pub(in crate::aws) name: &'static str,
    /// Its name in policies.
    pub(in crate::aws) service: &'static str,
    /// What to do about a role that does not suit it.
    pub(in crate::aws) mend: &'static str,
}

const BEDROCK: Principal = Principal {
    name: "Bedrock",
    service: "bedrock.amazonaws.com",
    mend: "give the role the policies of `picchu train --print-role`, or let --create-role make one",
};

/// As [`check_role_of`], for Bedrock.
pub(super) async fn check_role(
    context: &AwsContext,
    arn: &str,
    manifest: &str,
    output: &str,
) -> Result<Vec<Finding>> {
    check_role_of(context, &BEDROCK, arn, manifest, output).await
}

/// What stands against a role, as far as the caller may read it: whether it exists, whether the service may take it on,
/// whether its own policies let it read the manifest and write results.
pub(in crate::aws) async fn check_role_of(
    context: &AwsContext,
    principal: &Principal,
    arn: &str,
    manifest: &str,
    output: &str,
) -> Result<Vec<Finding>> {
    let client = Client::new(context.sdk());
    let unread = |asked: &str| {
        Finding::note(
            format!("what {arn} may do could not be read"),
            format!("allow {asked} to have it checked; the job needs no such permission"),
        )
    };
    let name = arn.rsplit('/').next().unwrap_or(arn);
    let mend = principal.mend;
    let trust = match find(&client, name).await {
        Ok(Some(trust)) => trust,
        Ok(None) => {
            return Ok(vec![Finding::error(format!("the role {arn} does not exist"), mend)]);
        }
        Err(e) if e.kind() == ErrorKind::PermissionDenied => return Ok(vec![unread("iam:GetRole")]),
        Err(e) => return Err(e.with_provider("iam")),
    };
    let mut found = Vec::new();
    if !trusts(&trust, principal.service) {
        found.push(Finding::error(format!("{arn} may not be taken on by {}", principal.name), mend));
    }
    let object = |uri: &str| format!("arn:aws:s3:::{}", uri.trim_start_matches("s3://"));
    let result = format!("{}/model", output.trim_end_matches('/'));
    let wanted = [("s3:GetObject", manifest), ("s3:PutObject", result.as_str())];
    let answer = client
        .simulate_principal_policy()
        .policy_source_arn(arn)
        .set_action_names(Some(wanted.iter().map(|(action, _)| (*action).to_owned()).collect()))
        .set_resource_arns(Some(wanted.iter().map(|(_, uri)| object(uri)).collect()))
        .send()
        .await;
    let answer = match answer.map_err(|e| service_error("iam SimulatePrincipalPolicy", e)) {
        Ok(answer) => answer,
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            found.push(unread("iam:SimulatePrincipalPolicy"));
            return Ok(found);
        }
        Err(e) => return Err(e.with_provider("iam")),
    };
    for (action, uri) in wanted {
        let denied = answer.evaluation_results().iter().any(|result| {
            result.eval_action_name() == action
                && result.eval_resource_name() == Some(&object(uri))
                && *result.eval_decision() != Decision::Allowed
        });
        if denied {
            // The bucket's own policy may allow it all the same.
            found.push(Finding::warning(format!("{arn} has no {action} on {uri}"), mend));
        }
    }
    Ok(found)
}

/// Whether a trust policy, percent-encoded, names a service.
fn trusts(encoded: &str, service: &str) -> bool {
    let Ok(Value::Object(policy)) = serde_json::from_slice(&percent_decoded(encoded)) else { return false };
    let holds = |value: Option<&Value>, wanted: &str| match value {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(many)) => many.iter().any(|one| one == wanted),
        _ => false,
    };
    let statements = match policy.get("Statement") {
        Some(Value::Array(many)) => many.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    statements.iter().any(|statement| {
        statement["Effect"] == "Allow"
            && holds(statement["Principal"].get("Service"), service)
            && holds(statement.get("Action"), "sts:AssumeRole")
    })
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().iter();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(&byte) = bytes.next() {
        let escaped = (byte == b'%').then(|| bytes.as_slice().get(..2)).flatten();
        match escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()) {
            Some(value) => {
                decoded.push(value);
                bytes.nth(1);
            }
            None => decoded.push(byte),
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trust_policy_names_a_service_or_not() {
        let yes = "%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B%22Service%22%3A%5B%22\
                   ec2.amazonaws.com%22%2C%22bedrock.amazonaws.com%22%5D%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%7D";
        assert!(trusts(yes, BEDROCK.service));
        assert!(!trusts(yes, "sagemaker.amazonaws.com"));
        for no in
            [&yes.replace("bedrock", "lambda"), &yes.replace("Allow", "Deny"), "%7B%7D", "%", "%zz{}", ""]
        {
            assert!(!trusts(no, BEDROCK.service), "{no}");
        }
    }
}
