//! The request that starts a customization job, as plain data: it can be printed for the AWS CLI before it is sent, and
//! what is printed is what is sent.

use std::collections::BTreeMap;

use aws_sdk_bedrock::{
    operation::create_model_customization_job::builders::CreateModelCustomizationJobFluentBuilder,
    types::{CustomizationType, OutputDataConfig, Tag, TrainingDataConfig, VpcConfig},
};
use serde::Serialize;

use super::hyperparameters::Hyperparameters;
use crate::{
    aws::tagged::TAG,
    error::{Error, Result},
    train::job_name,
    types::TrainingSpec,
};

/// How jobs are run in an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobSettings {
    /// ARN of the role that Bedrock takes on to read the dataset and to write results.
    pub role: String,
    /// Key that the model is encrypted with.
    pub kms_key: Option<String>,
    /// Subnets of the network that the job runs in; none for Bedrock's own.
    pub subnets: Vec<String>,
    /// Security groups in that network.
    pub security_groups: Vec<String>,
    /// Tags of the job and the model, besides `created-by`.
    pub tags: BTreeMap<String, String>,
}

/// `CreateModelCustomizationJob`, with the names of its interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRequest {
    /// Name of the job.
    pub job_name: String,
    /// Name of the model that comes out.
    pub custom_model_name: String,
    /// The role.
    pub role_arn: String,
    /// Equal tokens start one job.
    pub client_request_token: String,
    /// What is trained.
    pub base_model_identifier: String,
    /// Always `FINE_TUNING`.
    pub customization_type: &'static str,
    /// The key of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_model_kms_key_id: Option<String>,
    /// Tags of the job.
    pub job_tags: Vec<RequestTag>,
    /// Tags of the model.
    pub custom_model_tags: Vec<RequestTag>,
    /// The manifest.
    pub training_data_config: S3Address,
    /// Where results go.
    pub output_data_config: S3Address,
    /// The numbers, as text.
    pub hyper_parameters: Hyperparameters,
    /// The network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_config: Option<Network>,
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestTag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// An address on S3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Address {
    /// `s3://bucket/key`.
    pub s3_uri: String,
}

/// The network of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// Its subnets.
    pub subnet_ids: Vec<String>,
    /// Its security groups.
    pub security_group_ids: Vec<String>,
}

impl JobRequest {
    /// The request for a job. Equal specifications give equal names, also in another process.
    pub fn new(spec: &TrainingSpec, settings: &JobSettings) -> Self {
        let name = job_name(spec);
        let mut tags = vec![RequestTag { key: TAG.0.into(), value: TAG.1.into() }];
        tags.extend(settings.tags.iter().map(|(k, v)| RequestTag { key: k.clone(), value: v.clone() }));
        let network = (!settings.subnets.is_empty()).then(|| Network {
            subnet_ids: settings.subnets.clone(),
            security_group_ids: settings.security_groups.clone(),
        });
        Self {
            custom_model_name: name.clone(),
            job_name: name,
            role_arn: settings.role.clone(),
            client_request_token: spec.client_token.clone(),
            base_model_identifier: spec.base_model.clone(),
            customization_type: "FINE_TUNING",
            custom_model_kms_key_id: settings.kms_key.clone(),
            job_tags: tags.clone(),
            custom_model_tags: tags,
            training_data_config: S3Address { s3_uri: spec.dataset.clone() },
            output_data_config: S3Address { s3_uri: spec.output.clone() },
            hyper_parameters: spec.hyperparameters.clone(),
            vpc_config: network,
        }
    }

    /// As the AWS CLI takes it: `aws bedrock create-model-customization-job --cli-input-json file://request.json`.
    ///
    /// # Errors
    /// None that can be caused from outside.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))
    }

    pub(super) fn fill(
        &self,
        request: CreateModelCustomizationJobFluentBuilder,
    ) -> Result<CreateModelCustomizationJobFluentBuilder> {
        let incomplete =
            |e: &dyn std::fmt::Display| Error::internal(format!("a training job is incomplete: {e}"));
        let tags = |tags: &[RequestTag]| -> Result<Vec<Tag>> {
            let tag = |t: &RequestTag| {
                Tag::builder().key(&t.key).value(&t.value).build().map_err(|e| incomplete(&e))
            };
            tags.iter().map(tag).collect()
        };
        let output = OutputDataConfig::builder()
            .s3_uri(&self.output_data_config.s3_uri)
            .build()
            .map_err(|e| incomplete(&e))?;
        let network = match &self.vpc_config {
            None => None,
            Some(network) => Some(
                VpcConfig::builder()
                    .set_subnet_ids(Some(network.subnet_ids.clone()))
                    .set_security_group_ids(Some(network.security_group_ids.clone()))
                    .build()
                    .map_err(|e| incomplete(&e))?,
            ),
        };
        Ok(request
            .job_name(&self.job_name)
            .custom_model_name(&self.custom_model_name)
            .role_arn(&self.role_arn)
            .client_request_token(&self.client_request_token)
            .base_model_identifier(&self.base_model_identifier)
            .customization_type(CustomizationType::FineTuning)
            .set_custom_model_kms_key_id(self.custom_model_kms_key_id.clone())
            .set_job_tags(Some(tags(&self.job_tags)?))
            .set_custom_model_tags(Some(tags(&self.custom_model_tags)?))
            .training_data_config(
                TrainingDataConfig::builder().s3_uri(&self.training_data_config.s3_uri).build(),
            )
            .output_data_config(output)
            .set_hyper_parameters(Some(self.hyper_parameters.clone().into_iter().collect()))
            .set_vpc_config(network))
    }
}

/// A token for a job, of its dataset and settings; see [`train::client_token`](crate::train::client_token). The role is no
/// part of it: it changes nothing in the model.
pub fn client_token(spec: &TrainingSpec, settings: &JobSettings, manifest: &[u8]) -> String {
    let places = settings.kms_key.iter().chain(&settings.subnets).chain(&settings.security_groups);
    crate::train::client_token(spec, places.map(String::as_str), manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> TrainingSpec {
        TrainingSpec {
            name: name.into(),
            base_model: "amazon.nova-canvas-v1:0".into(),
            dataset: "s3://bucket/film/train.jsonl".into(),
            output: "s3://bucket/film/model".into(),
            hyperparameters: BTreeMap::new(),
            client_token: String::new(),
        }
    }

    #[test]
    fn names_fit_both_patterns_and_tokens_tell_jobs_apart() {
        for name in ["Mayu", "Señora Ñandú: part_2 (final)", "映画", &"x".repeat(200), "a--b..c"] {
            let mut spec = spec(name);
            spec.client_token = client_token(&spec, &JobSettings::default(), b"{}");
            let job = job_name(&spec);
            assert!(job.len() <= 63 && !job.contains("--") && !job.starts_with('-'), "{job}");
            assert!(job.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{job}");
            assert!(
                spec.client_token.len() <= 256
                    && spec.client_token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            );
        }
        let plain = JobSettings::default();
        let token = client_token(&spec("a"), &plain, b"one");
        assert_eq!(token, client_token(&spec("a"), &plain, b"one"));
        assert_ne!(token, client_token(&spec("a"), &plain, b"two"));
        assert_ne!(token, client_token(&spec("b"), &plain, b"one"));
        let secret = JobSettings { kms_key: Some("alias/mine".into()), ..JobSettings::default() };
        assert_ne!(token, client_token(&spec("a"), &secret, b"one"));
        let mut other = spec("a");
        other.hyperparameters.insert("stepCount".into(), "500".into());
        assert_ne!(token, client_token(&other, &plain, b"one"));
    }
}
