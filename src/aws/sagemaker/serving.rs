//! What serving asks for: a model, a configuration, an endpoint, and the rules by which its machines come and go. Plain
//! data: what is printed is what is sent.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    image::inference_image,
    request::{BASE_MODEL, tags},
    settings::vpc,
};
use crate::{store::slug, types::CustomModel};

/// The one variant of an endpoint.
const VARIANT: &str = "all";
/// Where a base model from S3 lies in the container.
const BASE_FOLDER: &str = "/opt/ml/additional-model-data-sources/base";
/// What the service calls the number of machines.
const DIMENSION: &str = "sagemaker:variant:DesiredInstanceCount";

/// How a model is served.
///
/// ```
/// use picchu::aws::sagemaker::ServingSettings;
/// let settings = ServingSettings { instance: "ml.g6.2xlarge".into(), ..ServingSettings::default() };
/// assert!(settings.scale_to_zero);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ServingSettings {
    /// ARN of the role that SageMaker takes on to read the model and to write images.
    pub role: String,
    /// The folder on S3 for requests and images.
    pub output: String,
    /// The container; that of Hugging Face in the Region unless given.
    pub image: Option<String>,
    /// Type of machine.
    pub instance: String,
    /// Most machines at once.
    pub most_instances: u32,
    /// Whether the last machine goes when there is nothing to draw. One that is needed then has to be waited for, for some
    /// minutes.
    pub scale_to_zero: bool,
    /// How long a machine is kept that has nothing to draw.
    pub idle: Duration,
    /// Denoising steps of an image.
    pub steps: u32,
    /// How closely prompts are followed.
    pub guidance: f32,
    /// Whether the container is cut off from every network. The model must have been trained with wheels then, and from a
    /// base model on S3.
    pub isolated: bool,
    /// Key that images and disks are encrypted with.
    pub kms_key: Option<String>,
    /// Subnets of the network that the endpoint runs in; none for SageMaker's own.
    pub subnets: Vec<String>,
    /// Security groups in that network.
    pub security_groups: Vec<String>,
    /// Tags, besides `created-by`.
    pub tags: BTreeMap<String, String>,
}

impl Default for ServingSettings {
    fn default() -> Self {
        Self {
            role: String::new(),
            output: String::new(),
            image: None,
            instance: "ml.g5.2xlarge".into(),
            most_instances: 1,
            scale_to_zero: true,
            idle: Duration::from_mins(10),
            steps: 28,
            guidance: 4.0,
            isolated: false,
            kms_key: None,
            subnets: Vec::new(),
            security_groups: Vec::new(),
            tags: BTreeMap::new(),
        }
    }
}

/// A request, by the name under which the AWS CLI takes it: `aws sagemaker create-model --cli-input-json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServingRequest {
    /// The service and the operation, as the AWS CLI names them.
    pub call: &'static str,
    /// The request.
    pub request: Value,
}

/// A name in the service's alphabet, equal for equal names and models.
pub(super) fn endpoint_name(name: &str, model: &str) -> String {
    let hash =
        crate::source::sha256_string(Sha256::new_with_prefix(name).chain_update([0]).chain_update(model));
    format!("{}-{}", slug(name), &hash["sha256:".len()..][..12])
}

/// Name of the alarm that wakes an endpoint without machines.
pub(super) fn alarm_name(endpoint: &str) -> String {
    format!("{endpoint}-has-backlog")
}

/// What Application Auto Scaling calls the machines of an endpoint.
pub(super) fn scalable(endpoint: &str) -> Value {
    json!({
        "ServiceNamespace": "sagemaker", "ResourceId": format!("endpoint/{endpoint}/variant/{VARIANT}"),
        "ScalableDimension": DIMENSION,
    })
}

/// `scalable`, with more.
fn scalable_with(endpoint: &str, more: Value) -> Value {
    let mut body = scalable(endpoint);
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}

impl ServingSettings {
    pub(super) fn model(&self, name: &str, model: &CustomModel, region: &str) -> Value {
        let of_s3 = model.base_model.starts_with("s3://");
        let folder = |uri: &str| json!({"S3Uri": format!("{}/", uri.trim_end_matches('/')), "S3DataType": "S3Prefix", "CompressionType": "None"});
        let drawing = json!({
            "base_model": if of_s3 { BASE_FOLDER } else { &model.base_model },
            "steps": self.steps, "guidance": self.guidance,
        });
        let mut environment = json!({
            BASE_MODEL: model.base_model,
            "PICCHU_DRAWING": drawing.to_string(),
            "SAGEMAKER_PROGRAM": "inference.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
            // A model on a GPU once, not once for each processor.
            "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
            "SAGEMAKER_MODEL_SERVER_TIMEOUT": "3600",
            "MMS_DEFAULT_RESPONSE_TIMEOUT": "3600",
            "MMS_MAX_RESPONSE_SIZE": "200000000",
            "HF_HOME": "/tmp/huggingface",
        });
        if self.isolated {
            environment["PIP_NO_INDEX"] = "1".into();
            environment["PIP_FIND_LINKS"] = "/opt/ml/model/code/wheels".into();
        }
        let mut container = json!({
            "Image": self.image.clone().or_else(|| inference_image(region)).unwrap_or_default(),
            "ModelDataSource": {"S3DataSource": folder(&model.id)},
            "Environment": environment,
        });
        if of_s3 {
            let base = json!({"ChannelName": "base", "S3DataSource": folder(&model.base_model)});
            container["AdditionalModelDataSources"] = json!([base]);
        }
        let mut body = json!({
            "ModelName": name, "ExecutionRoleArn": self.role, "PrimaryContainer": container,
            "EnableNetworkIsolation": self.isolated, "Tags": tags(&self.tags),
        });
        if let Some(vpc) = vpc(&self.subnets, &self.security_groups) {
            body["VpcConfig"] = json!(vpc);
        }
        body
    }

    pub(super) fn endpoint_config(&self, name: &str) -> Value {
        let output = self.output.trim_end_matches('/');
        let mut variant = json!({
            "VariantName": VARIANT, "ModelName": name, "InitialInstanceCount": 1, "InstanceType": self.instance,
            // A base model has gigabytes, and packages are installed before the first answer.
            "ModelDataDownloadTimeoutInSeconds": 3600, "ContainerStartupHealthCheckTimeoutInSeconds": 3600,
        });
        if self.image.is_none() {
            // The driver that the container's CUDA 12.4 asks for.
            variant["InferenceAmiVersion"] = "al2-ami-sagemaker-inference-gpu-3-1".into();
        }
        let mut answers = json!({
            "S3OutputPath": format!("{output}/answers"), "S3FailurePath": format!("{output}/failures"),
        });
        let mut body = json!({"EndpointConfigName": name, "Tags": tags(&self.tags)});
        if let Some(key) = &self.kms_key {
            answers["KmsKeyId"] = key.as_str().into();
        }
        body["ProductionVariants"] = json!([variant]);
        body["AsyncInferenceConfig"] =
            json!({"ClientConfig": {"MaxConcurrentInvocationsPerInstance": 1}, "OutputConfig": answers});
        body
    }

    pub(super) fn endpoint(&self, name: &str) -> Value {
        json!({"EndpointName": name, "EndpointConfigName": name, "Tags": tags(&self.tags)})
    }

    pub(super) fn scaling_target(&self, name: &str) -> Value {
        scalable_with(name, json!({"MinCapacity": 0, "MaxCapacity": self.most_instances}))
    }

    /// Machines by the length of the queue, down to none.
    pub(super) fn follow_backlog(&self, name: &str) -> Value {
        let idle = self.idle.as_secs();
        let policy = json!({
            "TargetValue": 5.0,
            "CustomizedMetricSpecification": {
                "MetricName": "ApproximateBacklogSizePerInstance", "Namespace": "AWS/SageMaker",
                "Dimensions": [{"Name": "EndpointName", "Value": name}], "Statistic": "Average",
            },
            "ScaleInCooldown": idle, "ScaleOutCooldown": 300,
        });
        scalable_with(
            name,
            json!({
                "PolicyName": format!("{name}-follows-backlog"), "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": policy,
            }),
        )
    }

    /// One machine more. With none, the rule above waits until its queue has more than five; an alarm asks for this one.
    pub(super) fn wake(name: &str) -> Value {
        scalable_with(
            name,
            json!({
                "PolicyName": format!("{name}-wakes"), "PolicyType": "StepScaling",
                "StepScalingPolicyConfiguration": {
                    "AdjustmentType": "ChangeInCapacity", "MetricAggregationType": "Average", "Cooldown": 300,
                    "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
                },
            }),
        )
    }

    /// The alarm of an endpoint that is asked and has no machine; `policy` is the ARN of [`wake`](Self::wake).
    pub(super) fn alarm(&self, name: &str, policy: &str) -> Value {
        json!({
            "AlarmName": alarm_name(name), "AlarmDescription": "An endpoint is asked to draw and has no machine",
            "MetricName": "HasBacklogWithoutCapacity", "Namespace": "AWS/SageMaker", "Statistic": "Average",
            "Dimensions": [{"Name": "EndpointName", "Value": name}],
            "Period": 60, "EvaluationPeriods": 2, "DatapointsToAlarm": 2, "Threshold": 1.0,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold", "TreatMissingData": "missing",
            "AlarmActions": [policy], "Tags": tags(&self.tags),
        })
    }

    /// Every request of a deployment, in its order.
    pub(super) fn requests(&self, name: &str, model: &CustomModel, region: &str) -> Vec<ServingRequest> {
        let mut requests = vec![
            ServingRequest { call: "sagemaker create-model", request: self.model(name, model, region) },
            ServingRequest { call: "sagemaker create-endpoint-config", request: self.endpoint_config(name) },
            ServingRequest { call: "sagemaker create-endpoint", request: self.endpoint(name) },
        ];
        if self.scale_to_zero {
            let scaling = "application-autoscaling put-scaling-policy";
            requests.extend([
                ServingRequest {
                    call: "application-autoscaling register-scalable-target",
                    request: self.scaling_target(name),
                },
                ServingRequest { call: scaling, request: self.follow_backlog(name) },
                ServingRequest { call: scaling, request: Self::wake(name) },
                ServingRequest {
                    call: "cloudwatch put-metric-alarm",
                    request: self.alarm(name, "the PolicyARN of the answer before"),
                },
            ]);
        }
        requests
    }
}
