//! Amazon SageMaker with the rules of the service, and what goes with it: S3, Application Auto Scaling, CloudWatch, its logs,
//! Service Quotas, IAM. All behind one address.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Cursor,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};

use crate::{
    fake_aws::{Answer, Recorded},
    train,
};

/// What the services hold.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Jobs by name.
    pub(crate) jobs: BTreeMap<String, Job>,
    pub(crate) models: BTreeMap<String, Value>,
    pub(crate) configs: BTreeMap<String, Value>,
    /// Endpoints by name: status.
    pub(crate) endpoints: BTreeMap<String, String>,
    /// Why endpoints fail.
    pub(crate) reason: Option<String>,
    /// Scalable targets by resource id, with the names of their policies.
    pub(crate) targets: BTreeMap<String, Vec<String>>,
    pub(crate) alarms: BTreeMap<String, Value>,
    /// Tags by ARN.
    pub(crate) tags: BTreeMap<String, Value>,
    /// Objects by bucket and key.
    pub(crate) objects: BTreeMap<String, Bytes>,
    /// Quotas of the account by name; the others are 1.
    pub(crate) quotas: BTreeMap<String, f64>,
    /// How often endpoints were asked.
    asked: usize,
    /// Whether roles are known only later.
    pub(crate) role_is_new: usize,
    identities: train::Held,
}

#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) status: &'static str,
    pub(crate) secondary: &'static str,
    pub(crate) reason: Option<&'static str>,
    pub(crate) interruptions: usize,
    request: Value,
}

impl Held {
    /// Whether nothing is left that bills, or belongs to what does.
    pub(crate) fn is_empty(&self) -> bool {
        self.models.is_empty()
            && self.configs.is_empty()
            && self.endpoints.is_empty()
            && self.targets.is_empty()
            && self.alarms.is_empty()
            && self.identities.roles.is_empty()
            && self.jobs.values().all(|job| !matches!(job.status, "InProgress" | "Stopping"))
    }

    pub(crate) fn roles(&self) -> usize {
        self.identities.roles.len()
    }

    /// The end of the only job, with what it leaves on S3.
    pub(crate) fn complete(&mut self) {
        let (name, job) = self.jobs.iter_mut().next().unwrap();
        (job.status, job.secondary) = ("Completed", "Completed");
        let output = job.request["OutputDataConfig"]["S3OutputPath"].as_str().unwrap();
        let folder = format!("{}/{name}/output/model", output.trim_start_matches("s3://"));
        for (file, body) in [("pytorch_lora_weights.safetensors", "weights"), ("README.md", "a card")] {
            self.objects.insert(format!("{folder}/{file}"), body.into());
        }
    }
}

pub(crate) fn arn(kind: &str, name: &str) -> String {
    format!("arn:aws:sagemaker:us-east-1:123456789012:{kind}/{name}")
}

fn refused(words: &str) -> Answer {
    Answer::error(400, "ValidationException", words)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A service with a dataset of so many images.
pub(crate) fn service(
    images: usize,
) -> (Arc<Mutex<Held>>, impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static) {
    let mut held = Held::default();
    let mut lines = String::new();
    for n in 0..images {
        held.objects.insert(format!("bucket/film/{n}.png"), png(n as u8).into());
        let _ = writeln!(lines, "{}", json!({"file_name": format!("{n}.png"), "text": "Mayu waits."}));
    }
    held.objects.insert("bucket/film/metadata.jsonl".into(), lines.into());
    let mark = json!({"format": "diffusers", "picchu": "0.1.0", "pictures": images, "unreviewed": 0});
    held.objects.insert("bucket/film/.picchu-export.json".into(), mark.to_string().into());
    let held = Arc::new(Mutex::new(held));
    let shared = Arc::clone(&held);
    let script = move |request: &Recorded, _: usize| {
        let mut held = shared.lock().unwrap();
        if request.body.starts_with(b"Action=") {
            return train::identities(&mut held.identities, request);
        }
        match request.operation.split_once(' ') {
            Some(("POST", path)) if path.ends_with("/async-invocations") => invoke(&mut held, path, request),
            Some((method, path)) => objects(&mut held, method, path, request),
            None => answer(&mut held, request),
        }
    };
    (held, script)
}

fn png(shade: u8) -> Vec<u8> {
    let mut body = Cursor::new(Vec::new());
    RgbImage::from_pixel(64, 64, Rgb([shade, 1, 2])).write_to(&mut body, ImageFormat::Png).unwrap();
    body.into_inner()
}

/// S3.
fn objects(held: &mut Held, method: &str, path: &str, request: &Recorded) -> Answer {
    let path = path.trim_start_matches('/');
    let key = path.replace("%2F", "/");
    match (method, held.objects.get(&key)) {
        ("PUT", _) => {
            held.objects.insert(key, request.body.clone());
            Answer::bytes(200, "")
        }
        ("GET", _) if request.query.contains("list-type=2") => {
            let bucket = format!("{}/", path.trim_end_matches('/'));
            let prefix = request.query.split('&').find_map(|pair| pair.strip_prefix("prefix="));
            let prefix = format!("{bucket}{}", prefix.unwrap_or_default().replace("%2F", "/"));
            let mut contents = String::new();
            for (name, body) in held.objects.iter().filter(|(name, _)| name.starts_with(&prefix)) {
                let (key, size) = (&name[bucket.len()..], body.len());
                let _ = write!(contents, "<Contents><Key>{key}</Key><Size>{size}</Size></Contents>");
            }
            Answer::bytes(
                200,
                format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"),
            )
        }
        ("GET", Some(body)) => Answer::bytes(200, body.clone()),
        ("GET", None) => Answer::bytes(404, "<Error><Code>NoSuchKey</Code><Message>no</Message></Error>"),
        (other, _) => panic!("{other} {path}"),
    }
}

/// `InvokeEndpointAsync`: the answer lies on S3 at once.
fn invoke(held: &mut Held, path: &str, request: &Recorded) -> Answer {
    let name = path.trim_start_matches("/endpoints/").trim_end_matches("/async-invocations");
    if held.endpoints.get(name).is_none_or(|status| status != "InService") {
        let words = format!("Endpoint {name} of account 123456789012 not found.");
        return Answer::error(400, "ValidationError", &words);
    }
    let place = |header: &str| request.header(header).unwrap().trim_start_matches("s3://").to_owned();
    let input = held.objects[&place("x-amzn-sagemaker-inputlocation")].clone();
    assert_eq!(request.header("x-amzn-sagemaker-content-type"), Some("application/json"));
    let panel: Value = serde_json::from_slice(&input).unwrap();
    let config = held.configs.values().next().unwrap()["AsyncInferenceConfig"]["OutputConfig"].clone();
    held.asked += 1;
    let id = held.asked;
    let output = format!("{}/{id}.out", text(&config["S3OutputPath"]));
    let failure = format!("{}/{id}-error.out", text(&config["S3FailurePath"]));
    if text(&panel["prompt"]).contains("too large") {
        let words = r#"{"code": 400, "type": "PredictionException", "message": "CUDA out of memory"}"#;
        held.objects.insert(failure.trim_start_matches("s3://").into(), words.into());
    } else if !text(&panel["prompt"]).contains("never") {
        let image = BASE64_STANDARD.encode(png(panel["seed"].as_u64().unwrap() as u8));
        let body = json!({"images": [image]}).to_string();
        held.objects.insert(output.trim_start_matches("s3://").into(), body.into());
    }
    Answer::Whole {
        status: 202,
        headers: vec![
            ("x-amzn-sagemaker-outputlocation", output),
            ("x-amzn-sagemaker-failurelocation", failure),
        ],
        body: json!({"InferenceId": "1"}).to_string().into(),
    }
}

fn fits(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn answer(held: &mut Held, request: &Recorded) -> Answer {
    let body = request.json();
    let name = ["TrainingJobName", "ModelName", "EndpointConfigName", "EndpointName"]
        .iter()
        .find_map(|key| body[*key].as_str().filter(|_| !(request.operation.starts_with("List"))))
        .unwrap_or_default()
        .to_owned();
    match request.operation.as_str() {
        "CreateTrainingJob" => create_job(held, &name, body),
        "DescribeTrainingJob" => describe_job(held, &name),
        "StopTrainingJob" => match held.jobs.get_mut(&name) {
            None => refused("Requested resource not found."),
            Some(job) if job.status == "InProgress" => {
                (job.status, job.secondary) = ("Stopping", "Stopping");
                Answer::bytes(200, "")
            }
            Some(job) => refused(&format!(
                "The request was rejected because the training job is in status {}.",
                job.status
            )),
        },
        "ListTags" => {
            let found = held.tags.get(&text(&body["ResourceArn"])).cloned();
            Answer::json(json!({"Tags": found.unwrap_or(json!([]))}))
        }
        "ListTrainingJobs" => {
            let at_work = held.jobs.iter().filter(|(_, job)| body["StatusEquals"] == job.status);
            listed("TrainingJobSummaries", "TrainingJob", "training-job", at_work.map(|(name, _)| name))
        }
        "ListModels" => listed("Models", "Model", "model", held.models.keys()),
        "ListEndpointConfigs" => {
            listed("EndpointConfigs", "EndpointConfig", "endpoint-config", held.configs.keys())
        }
        "ListEndpoints" => listed("Endpoints", "Endpoint", "endpoint", held.endpoints.keys()),
        "ListServiceQuotas" | "ListAWSDefaultServiceQuotas" => quotas(held, &body),
        "DescribeLogStreams" => {
            let prefix = text(&body["logStreamNamePrefix"]);
            assert!(prefix.ends_with('/'), "{prefix}");
            Answer::json(json!({"logStreams": [
                {"logStreamName": format!("{prefix}algo-1-1"), "lastEventTimestamp": 1},
                {"logStreamName": format!("{prefix}algo-1-2"), "lastEventTimestamp": 2}]}))
        }
        "GetLogEvents" => {
            assert!(text(&body["logStreamName"]).ends_with("algo-1-2"), "the log that was written last");
            Answer::json(json!({"events": [{"message": "{\"step\": 7, \"loss\": 0.5}\n"}]}))
        }
        other if other.contains("Scal") || other.contains("Alarm") => scaling(held, other, &body),
        other => serving(held, other, &name, body),
    }
}

fn listed<'a>(list: &str, member: &str, kind: &str, names: impl Iterator<Item = &'a String>) -> Answer {
    let one = |name: &String| json!({format!("{member}Name"): name, format!("{member}Arn"): arn(kind, name), "CreationTime": 1_795_521_600.5});
    Answer::json(json!({list: names.map(one).collect::<Vec<_>>()}))
}

fn create_job(held: &mut Held, name: &str, body: Value) -> Answer {
    if !fits(name) {
        return refused("TrainingJobName does not satisfy the pattern");
    }
    if held.role_is_new > 0 {
        held.role_is_new -= 1;
        return refused(
            "Could not assume role arn:aws:iam::123456789012:role/tune. Please ensure that the role exists",
        );
    }
    if held.jobs.contains_key(name) {
        return Answer::error(
            400,
            "ResourceInUse",
            "Job name must be unique within an AWS account and region, and a training job with this name already exists",
        );
    }
    let resources = &body["ResourceConfig"];
    if resources.get("InstanceType").is_some() == resources.get("InstancePreferences").is_some() {
        return refused("Exactly one of InstanceType and InstancePreferences is needed");
    }
    let stopping = &body["StoppingCondition"];
    let spot = body["EnableManagedSpotTraining"] == true;
    if spot && stopping["MaxWaitTimeInSeconds"].as_u64() < stopping["MaxRuntimeInSeconds"].as_u64() {
        return refused("MaxWaitTimeInSeconds must be at least MaxRuntimeInSeconds");
    }
    if !spot && stopping.get("MaxWaitTimeInSeconds").is_some() {
        return refused("MaxWaitTimeInSeconds is only for Spot training");
    }
    let instance = text(&resources["InstanceType"]);
    if held.quotas.get(&format!("{instance} for training job usage")) == Some(&0.0) {
        let words =
            format!("The account-level service limit '{instance} for training job usage' is 0 Instances");
        return Answer::error(400, "ResourceLimitExceeded", &words);
    }
    for channel in body["InputDataConfig"].as_array().unwrap() {
        let uri = text(&channel["DataSource"]["S3DataSource"]["S3Uri"]);
        let prefix = uri.trim_start_matches("s3://");
        if !held.objects.keys().any(|key| key.starts_with(prefix)) {
            return refused(&format!("No S3 objects found under S3 URL \"{uri}\""));
        }
    }
    held.tags.insert(arn("training-job", name), body["Tags"].clone());
    let job =
        Job { status: "InProgress", secondary: "Starting", reason: None, interruptions: 0, request: body };
    held.jobs.insert(name.to_owned(), job);
    Answer::json(json!({"TrainingJobArn": arn("training-job", name)}))
}

fn describe_job(held: &mut Held, name: &str) -> Answer {
    let Some(job) = held.jobs.get_mut(name) else { return refused("Requested resource not found.") };
    let seen = job.clone();
    if job.status == "Stopping" {
        (job.status, job.secondary) = ("Stopped", "Stopped");
    }
    let output = text(&seen.request["OutputDataConfig"]["S3OutputPath"]);
    let transition =
        |status: &str, message: &str| json!({"Status": status, "StartTime": 1.5, "StatusMessage": message});
    let mut transitions = vec![transition("Interrupted", "Spot capacity was taken back"); seen.interruptions];
    transitions.push(transition(seen.secondary, "by the service"));
    let done = seen.status == "Completed";
    Answer::json(json!({
        "TrainingJobName": name, "TrainingJobArn": arn("training-job", name), "TrainingJobStatus": seen.status,
        "SecondaryStatus": seen.secondary, "FailureReason": seen.reason, "SecondaryStatusTransitions": transitions,
        "ModelArtifacts": {"S3ModelArtifacts": format!("{output}/{name}/output/model/")},
        "RoleArn": seen.request["RoleArn"], "OutputDataConfig": seen.request["OutputDataConfig"],
        "Environment": seen.request["Environment"], "CheckpointConfig": seen.request["CheckpointConfig"],
        "StoppingCondition": seen.request["StoppingCondition"], "CreationTime": 1_795_521_600.5,
        "FinalMetricDataList": if done { json!([{"MetricName": "train:loss", "Value": 0.125, "Timestamp": 1.0}]) }
                               else { json!([]) },
        "BillableTimeInSeconds": done.then_some(90),
    }))
}

/// Two pages, as there are thousands.
fn quotas(held: &Held, body: &Value) -> Answer {
    assert_eq!(body["ServiceCode"], "sagemaker");
    let quota = |instance: &str, what: &str| {
        let name = format!("ml.{instance} for {what} usage");
        let value = held.quotas.get(&name).copied().unwrap_or(1.0);
        json!({"QuotaName": name, "Value": value, "QuotaCode": "L-1"})
    };
    let kinds = ["training job", "spot training job", "endpoint"];
    if body.get("NextToken").is_none() {
        let first: Vec<_> = kinds.map(|kind| quota("g5.2xlarge", kind)).to_vec();
        return Answer::json(json!({"Quotas": first, "NextToken": "2"}));
    }
    Answer::json(json!({"Quotas": kinds.map(|kind| quota("g6.2xlarge", kind))}))
}

fn serving(held: &mut Held, operation: &str, name: &str, body: Value) -> Answer {
    let made = |what: &str, kind: &str| Answer::json(json!({what: arn(kind, name)}));
    let exists = |what: &str, kind: &str| {
        refused(&format!("Cannot create already existing {what} \"{}\".", arn(kind, name)))
    };
    let absent = |what: &str, kind: &str| refused(&format!("Could not find {what} \"{}\".", arn(kind, name)));
    if operation.starts_with("Create") && !fits(name) {
        return refused("the name does not satisfy the pattern");
    }
    match operation {
        "CreateModel" if held.models.contains_key(name) => exists("model", "model"),
        "CreateModel" => {
            held.tags.insert(arn("model", name), body["Tags"].clone());
            held.models.insert(name.to_owned(), body);
            made("ModelArn", "model")
        }
        "DescribeModel" => match held.models.get(name) {
            Some(model) => Answer::json(model.clone()),
            None => absent("model", "model"),
        },
        "DeleteModel" => {
            held.models.remove(name).map_or_else(|| absent("model", "model"), |_| Answer::bytes(200, ""))
        }
        "CreateEndpointConfig" if held.configs.contains_key(name) => {
            exists("endpoint configuration", "endpoint-config")
        }
        "CreateEndpointConfig" => {
            let model = text(&body["ProductionVariants"][0]["ModelName"]);
            if !held.models.contains_key(&model) {
                return refused(&format!("Could not find model \"{}\".", arn("model", &model)));
            }
            held.tags.insert(arn("endpoint-config", name), body["Tags"].clone());
            held.configs.insert(name.to_owned(), body);
            made("EndpointConfigArn", "endpoint-config")
        }
        "DescribeEndpointConfig" => match held.configs.get(name) {
            Some(config) => Answer::json(config.clone()),
            None => absent("endpoint configuration", "endpoint-config"),
        },
        "DeleteEndpointConfig" => {
            assert!(!held.endpoints.contains_key(name), "an endpoint still needs its configuration");
            held.configs.remove(name).map_or_else(
                || absent("endpoint configuration", "endpoint-config"),
                |_| Answer::bytes(200, ""),
            )
        }
        "CreateEndpoint" if held.endpoints.contains_key(name) => exists("endpoint", "endpoint"),
        "CreateEndpoint" => {
            if !held.configs.contains_key(&text(&body["EndpointConfigName"])) {
                return absent("endpoint configuration", "endpoint-config");
            }
            held.tags.insert(arn("endpoint", name), body["Tags"].clone());
            held.endpoints.insert(name.to_owned(), "Creating".into());
            made("EndpointArn", "endpoint")
        }
        "DescribeEndpoint" => {
            let Some(status) = held.endpoints.get(name).cloned() else {
                return absent("endpoint", "endpoint");
            };
            match status.as_str() {
                "Creating" => drop(held.endpoints.insert(name.to_owned(), "InService".into())),
                "Deleting" => drop(held.endpoints.remove(name)),
                _ => {}
            }
            Answer::json(json!({
                "EndpointName": name, "EndpointArn": arn("endpoint", name), "EndpointConfigName": name,
                "EndpointStatus": status, "FailureReason": held.reason, "CreationTime": 1.0, "LastModifiedTime": 1.0,
            }))
        }
        "DeleteEndpoint" => match held.endpoints.get_mut(name) {
            None => absent("endpoint", "endpoint"),
            Some(status) if status == "Creating" => refused("Cannot update in-progress endpoint"),
            Some(status) => {
                *status = "Deleting".into();
                Answer::bytes(200, "")
            }
        },
        other => panic!("{other}"),
    }
}

/// Application Auto Scaling and the alarms of CloudWatch.
fn scaling(held: &mut Held, operation: &str, body: &Value) -> Answer {
    let resource = text(&body["ResourceId"]);
    let absent = || Answer::error(400, "ObjectNotFoundException", "No scalable target registered");
    match operation {
        "RegisterScalableTarget" => {
            let endpoint = resource.split('/').nth(1).unwrap_or_default();
            if held.endpoints.get(endpoint).is_none_or(|status| status != "InService") {
                return refused("Could not find endpoint or variant, or it is not InService");
            }
            held.targets.entry(resource).or_default();
            Answer::json(json!({"ScalableTargetARN": "arn"}))
        }
        "PutScalingPolicy" => {
            let Some(policies) = held.targets.get_mut(&resource) else { return absent() };
            let policy = text(&body["PolicyName"]);
            if !policies.contains(&policy) {
                policies.push(policy.clone());
            }
            Answer::json(json!({"PolicyARN": format!("arn:aws:autoscaling:policy/{policy}"), "Alarms": []}))
        }
        "DescribeScalableTargets" => {
            let wanted = text(&body["ResourceIds"][0]);
            let found: Vec<_> = held.targets.keys().filter(|id| **id == wanted).collect();
            Answer::json(
                json!({"ScalableTargets": found.iter().map(|id| json!({"ResourceId": id})).collect::<Vec<_>>()}),
            )
        }
        "DeregisterScalableTarget" => match held.targets.remove(&resource) {
            Some(_) => Answer::json(json!({})),
            None => absent(),
        },
        "PutMetricAlarm" => {
            assert!(text(&body["AlarmActions"][0]).contains("policy/"), "{body}");
            held.alarms.insert(text(&body["AlarmName"]), body.clone());
            Answer::bytes(200, "")
        }
        "DescribeAlarms" => {
            let found: Vec<_> = held.alarms.get(&text(&body["AlarmNames"][0])).into_iter().collect();
            Answer::json(json!({"MetricAlarms": found}))
        }
        "DeleteAlarms" => match held.alarms.remove(&text(&body["AlarmNames"][0])) {
            Some(_) => Answer::bytes(200, ""),
            None => Answer::error(404, "ResourceNotFound", "no such alarm"),
        },
        other => panic!("{other}"),
    }
}
