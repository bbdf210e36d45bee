//! Fine-tuning, serving and drawing by Amazon Bedrock over real HTTP, against a server that keeps jobs, models and
//! throughput as the service does: from a dataset on S3 to images, and back to nothing.

use std::{
    collections::BTreeMap,
    io::Cursor,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::TryStreamExt;
use image::{ImageFormat, Rgb, RgbImage};
use picchu::dataset::export::MARK;
use picchu::{
    Deployer, ErrorKind, Generator, Store, Trainer,
    aws::{
        AwsContext, S3Store,
        bedrock::{
            BedrockDeployer, BedrockTrainer, CanvasGenerator, CanvasSettings, Commitment, Control, Guide,
            JobSettings, Preset, TrainingRole, client_token, end_resource, resource_exists, tagged_resources,
        },
    },
    generate::{Panel, Storyboard},
    layers::Meter,
    store::{Key, MemoryStore, PutMode},
    testing::conformance,
    train::{Happened, Ledger, ResourceKind},
    types::{CustomModel, DeploymentStatus, GenerateRequest, JobStatus, Severity, TrainingSpec},
};
use serde_json::{Value, json};

use crate::{
    fake_aws::{Answer, FakeAws, Recorded},
    fake_s3::FakeS3,
};

const CANVAS: &str = "amazon.nova-canvas-v1:0";
pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/tune";
const TRUST: &str = r#"{"Statement": [{"Effect": "Allow",
    "Principal": {"Service": ["bedrock.amazonaws.com", "sagemaker.amazonaws.com"]}, "Action": "sts:AssumeRole"}]}"#;

/// What the service holds.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Jobs by name: status, and whether a model came out.
    pub(crate) jobs: BTreeMap<String, String>,
    models: Vec<String>,
    /// Models that were made, deleted ones too.
    made: Vec<String>,
    /// Throughput by name: status.
    throughput: BTreeMap<String, String>,
    /// The models of throughput by name.
    serves: BTreeMap<String, String>,
    /// Other names of throughput, by the one that its ARN ends with.
    renamed: BTreeMap<String, String>,
    /// Tags by ARN.
    tags: BTreeMap<String, Value>,
    /// Roles by name: who may take them on, and what they may do, once that is put.
    pub(crate) roles: BTreeMap<String, (String, Option<String>)>,
}

impl Held {
    /// The ARN of a throughput, which ends with its first name.
    fn arn_of(&self, name: &str) -> String {
        let first = self.renamed.iter().find(|(_, now)| *now == name).map_or(name, |(first, _)| first);
        arn("provisioned-model", first)
    }

    /// How many models were made, deleted ones too.
    pub(crate) fn made(&self) -> usize {
        self.made.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.models.is_empty()
            && self.throughput.is_empty()
            && self.roles.is_empty()
            && self.jobs.values().all(|status| status != "InProgress" && status != "Stopping")
    }
}

pub(crate) fn arn(kind: &str, name: &str) -> String {
    format!("arn:aws:bedrock:us-east-1:123456789012:{kind}/{name}")
}

fn absent() -> Answer {
    Answer::error(404, "ResourceNotFoundException", "The provided identifier was not found")
}

fn picture(seed: u64) -> Value {
    let mut body = Cursor::new(Vec::new());
    RgbImage::from_pixel(64, 64, Rgb([seed as u8, 90, 120])).write_to(&mut body, ImageFormat::Png).unwrap();
    BASE64_STANDARD.encode(body.into_inner()).into()
}

/// A job as the service tells of it.
fn job(name: &str, status: &str) -> Answer {
    let done = status == "Completed";
    Answer::json(json!({
        "jobArn": arn("model-customization-job", name), "jobName": name, "outputModelName": name,
        "outputModelArn": done.then(|| arn("custom-model", name)), "roleArn": ROLE, "status": status,
        "statusDetails": {"validationDetails": {"status": "Completed"},
                          "trainingDetails": {"status": status}},
        "failureMessage": (status == "Failed").then_some(
            "Could not validate GetObject permissions to access Amazon S3 bucket: bucket at key K"),
        "creationTime": "2026-11-24T12:00:00Z", "baseModelArn": CANVAS,
        "trainingDataConfig": {"s3Uri": "s3://bucket/film/train.jsonl"},
        "validationDataConfig": {"validators": []}, "outputDataConfig": {"s3Uri": "s3://bucket/model"},
        "trainingMetrics": done.then(|| json!({"trainingLoss": 0.125})),
    }))
}

/// IAM and STS.
pub(crate) fn identities(held: &mut Held, request: &Recorded) -> Answer {
    let operation = request.operation.as_str();
    if operation == "GetCallerIdentity" {
        let me =
            "<Account>123456789012</Account><Arn>arn:aws:iam::123456789012:user/me</Arn><UserId>U</UserId>";
        return Answer::xml(operation, me);
    }
    if operation == "SimulatePrincipalPolicy" {
        let wanted = |n: usize| {
            (
                request.field(&format!("ActionNames.member.{n}")),
                request.field(&format!("ResourceArns.member.{n}")),
            )
        };
        let members = [wanted(1), wanted(2)]
            .map(|(action, resource)| {
                let decision = if resource.contains("/forbidden/") { "implicitDeny" } else { "allowed" };
                format!("<member><EvalActionName>{action}</EvalActionName><EvalResourceName>{resource}</EvalResourceName>\
                         <EvalDecision>{decision}</EvalDecision></member>")
            })
            .concat();
        return Answer::xml(operation, &format!("<EvaluationResults>{members}</EvaluationResults>"));
    }
    let role = |name: &str, trust: &str| {
        let trust = trust.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
        format!(
            "<Role><Path>/</Path><RoleName>{name}</RoleName><RoleId>R</RoleId><Arn>arn:aws:iam::123456789012:role/{name}</Arn>\
                 <CreateDate>2026-11-24T12:00:00Z</CreateDate><AssumeRolePolicyDocument>{trust}</AssumeRolePolicyDocument></Role>"
        )
    };
    if operation == "ListRoles" {
        let roles: Vec<String> = held.roles.iter().map(|(name, (trust, _))| role(name, trust)).collect();
        let roles = roles.concat().replace("<Role>", "<member>").replace("</Role>", "</member>");
        return Answer::xml(operation, &format!("<IsTruncated>false</IsTruncated><Roles>{roles}</Roles>"));
    }
    let name = request.field("RoleName");
    match (operation, held.roles.get_mut(&name)) {
        // The role of whoever brings one.
        ("GetRole", None) if name == "tune" => Answer::xml(operation, &role(&name, TRUST)),
        ("CreateRole", Some(_)) => Answer::xml_error(409, "EntityAlreadyExists"),
        ("CreateRole", None) => {
            let trust = request.field("AssumeRolePolicyDocument");
            let answer = Answer::xml(operation, &role(&name, &trust));
            held.roles.insert(name.clone(), (trust, None));
            answer
        }
        (_, None) => Answer::xml_error(404, "NoSuchEntity"),
        ("GetRole", Some((trust, _))) => Answer::xml(operation, &role(&name, trust)),
        ("PutRolePolicy", Some((_, policy))) => {
            *policy = Some(request.field("PolicyDocument"));
            Answer::xml(operation, "")
        }
        ("DeleteRolePolicy", Some((_, policy))) => match policy.take() {
            Some(_) => Answer::xml(operation, ""),
            None => Answer::xml_error(404, "NoSuchEntity"),
        },
        ("DeleteRole", Some((_, Some(_)))) => Answer::xml_error(409, "DeleteConflict"),
        ("DeleteRole", Some((_, None))) => {
            held.roles.remove(&name);
            Answer::xml(operation, "")
        }
        (other, _) => panic!("{other}"),
    }
}

/// What the service lists, and the tags of what it lists.
fn listed(held: &Held, request: &Recorded) -> Option<Answer> {
    // SageMaker's lists, whose targets name the operation alone.
    if request.operation.starts_with("List") {
        return Some(Answer::json(json!({})));
    }
    let answer = match request.operation.split_once(" /")? {
        ("POST", "listTagsForResource") => {
            let asked = request.json()["resourceARN"].as_str().unwrap().to_owned();
            Answer::json(json!({"tags": held.tags.get(&asked).cloned().unwrap_or(json!([]))}))
        }
        ("GET", "provisioned-model-throughputs") => {
            let one = |name: &String| {
                json!({
                "provisionedModelName": name, "provisionedModelArn": held.arn_of(name),
                "modelArn": "m", "desiredModelArn": "m", "foundationModelArn": "m", "modelUnits": 2,
                "desiredModelUnits": 2, "status": "InService", "creationTime": "2026-11-24T12:00:00Z",
                "lastModifiedTime": "2026-11-24T12:00:00Z"})
            };
            Answer::json(
                json!({"provisionedModelSummaries": held.throughput.keys().map(one).collect::<Vec<_>>()}),
            )
        }
        ("GET", "model-customization-jobs") => {
            let one = |(name, status): (&String, &String)| {
                json!({
                "jobArn": arn("model-customization-job", name), "jobName": name, "customModelName": name,
                "baseModelArn": CANVAS, "status": status, "creationTime": "2026-11-24T12:00:00Z"})
            };
            let at_work = held.jobs.iter().filter(|(_, status)| *status == "InProgress");
            Answer::json(json!({"modelCustomizationJobSummaries": at_work.map(one).collect::<Vec<_>>()}))
        }
        ("GET", "custom-models") => {
            let one = |name: &String| {
                json!({
                "modelArn": arn("custom-model", name), "modelName": name, "baseModelArn": CANVAS,
                "baseModelName": "Canvas", "creationTime": "2026-11-24T12:00:00Z"})
            };
            Answer::json(json!({"modelSummaries": held.models.iter().map(one).collect::<Vec<_>>()}))
        }
        _ => return None,
    };
    Some(answer)
}

/// Throughput: made, looked at, changed, deleted.
fn throughput(held: &mut Held, method: &str, name: String, request: &Recorded) -> Answer {
    match method {
        "POST" => {
            let name = request.json()["provisionedModelName"].as_str().unwrap().to_owned();
            held.throughput.entry(name.clone()).or_insert_with(|| "Creating".into());
            held.serves.insert(name.clone(), request.json()["modelId"].as_str().unwrap().to_owned());
            held.tags.insert(arn("provisioned-model", &name), request.json()["tags"].clone());
            Answer::bytes(201, json!({"provisionedModelArn": arn("provisioned-model", &name)}).to_string())
        }
        "GET" => {
            let Some(status) = held.throughput.get_mut(&name) else { return absent() };
            let seen = status.clone();
            if seen == "Creating" {
                *status = "InService".into();
            }
            let model = held.serves.get(&name).cloned().unwrap_or_else(|| arn("custom-model", "mayu"));
            Answer::json(json!({
                "modelUnits": 1, "desiredModelUnits": 1, "provisionedModelName": name,
                "provisionedModelArn": arn("provisioned-model", &name), "modelArn": model,
                "desiredModelArn": model, "foundationModelArn": CANVAS, "status": seen,
                "failureMessage": (seen == "Failed").then_some("no capacity"),
                "creationTime": "2026-11-24T12:00:00Z", "lastModifiedTime": "2026-11-24T12:00:00Z",
            }))
        }
        "PATCH" => {
            let (wanted, taken) = (request.json(), held.throughput.contains_key(&name));
            let Some(new) = wanted["desiredProvisionedModelName"].as_str().filter(|_| taken) else {
                return absent();
            };
            if wanted["desiredModelId"].as_str().unwrap().contains("of-another-base") {
                return Answer::error(400, "ValidationException", "The model has another base model");
            }
            held.throughput.remove(&name);
            held.renamed.retain(|_, to| *to != name);
            held.renamed.insert(name, new.to_owned());
            held.throughput.insert(new.to_owned(), "Creating".into());
            held.serves.insert(new.to_owned(), wanted["desiredModelId"].as_str().unwrap().to_owned());
            Answer::json(json!({}))
        }
        "DELETE" => match held.throughput.remove(&name) {
            Some(_) => Answer::json(json!({})),
            None => absent(),
        },
        other => panic!("{other}"),
    }
}

/// The service, with a model that can be fine-tuned where `alive` says so.
pub(crate) fn service(
    alive: bool,
) -> (Arc<Mutex<Held>>, impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static) {
    let held = Arc::new(Mutex::new(Held::default()));
    let shared = Arc::clone(&held);
    let script = move |request: &Recorded, _: usize| {
        let mut held = shared.lock().unwrap();
        match request.operation.as_str() {
            _ if request.body.starts_with(b"Action=") => return identities(&mut held, request),
            "ListCollections" => return Answer::json(json!({"CollectionIds": []})),
            "DescribeProjects" => return Answer::json(json!({"ProjectDescriptions": []})),
            _ => {}
        }
        if let Some(answer) = listed(&held, request) {
            return answer;
        }
        let operation = request.operation.replace("%3A", ":").replace("%2F", "/");
        let (method, path) = operation.split_once(' ').unwrap();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        // Names and ARNs mean the same, until a throughput gets another name: its ARN stays.
        let name = parts.get(1..).unwrap_or_default().last().copied().unwrap_or_default().to_owned();
        let renamed = held.renamed.get(&name).filter(|_| path.contains(":provisioned-model/")).cloned();
        let name = renamed.unwrap_or(name);
        match (method, parts[0]) {
            ("GET", "foundation-models") if alive => Answer::json(json!({"modelDetails": {
                "modelArn": "arn", "modelId": CANVAS, "outputModalities": ["IMAGE"],
                "customizationsSupported": ["FINE_TUNING"], "modelLifecycle": {"status": "ACTIVE"}}})),
            ("POST", "model-customization-jobs") if parts.last() == Some(&"stop") => {
                let job = parts[parts.len() - 2];
                match held.jobs.get_mut(job) {
                    Some(status) if status == "InProgress" => {
                        *status = "Stopped".into();
                        Answer::json(json!({}))
                    }
                    Some(_) => Answer::error(400, "ConflictException", "The job is not running"),
                    None => absent(),
                }
            }
            ("POST", "model-customization-jobs") => {
                let name = request.json()["jobName"].as_str().unwrap().to_owned();
                held.jobs.entry(name.clone()).or_insert_with(|| "InProgress".into());
                held.tags.insert(arn("model-customization-job", &name), request.json()["jobTags"].clone());
                held.tags.insert(arn("custom-model", &name), request.json()["customModelTags"].clone());
                Answer::bytes(201, json!({"jobArn": arn("model-customization-job", &name)}).to_string())
            }
            ("GET", "model-customization-jobs") => {
                let Some(status) = held.jobs.get(&name).cloned() else { return absent() };
                if status == "Completed" && !held.made.contains(&name) {
                    held.made.push(name.clone());
                    held.models.push(name.clone());
                }
                job(&name, &status)
            }
            ("GET", "custom-models") if held.models.contains(&name) => Answer::json(json!({
                "modelArn": arn("custom-model", &name), "modelName": name, "creationTime": "2026-11-24T12:00:00Z"})),
            ("GET", "foundation-models" | "custom-models") => absent(),
            ("DELETE", "custom-models") => {
                if !held.models.contains(&name) {
                    return absent();
                }
                if !held.throughput.is_empty() {
                    return Answer::error(400, "ConflictException", "The model is in use");
                }
                held.models.retain(|model| *model != name);
                Answer::json(json!({}))
            }
            (_, "provisioned-model-throughput") => throughput(&mut held, method, name, request),
            ("POST", "model") => {
                let body = request.json();
                if body["textToImageParams"]["text"].as_str().unwrap().contains("blocked") {
                    return Answer::json(
                        json!({"images": [], "error": "This request was blocked by the filters"}),
                    );
                }
                let seed = body["imageGenerationConfig"]["seed"].as_u64().unwrap();
                Answer::json(json!({"images": [picture(seed)]}))
            }
            _ => panic!("{operation}"),
        }
    };
    (held, script)
}

/// A dataset on S3: a manifest and its images.
async fn data(s3: &FakeS3, images: usize) -> Arc<dyn Store> {
    let store: Arc<dyn Store> = Arc::new(S3Store::new("s3://bucket/film", &s3.context()).unwrap());
    let mut manifest = String::new();
    for n in 0..images {
        let mut body = Cursor::new(Vec::new());
        RgbImage::from_pixel(512, 640, Rgb([n as u8, 1, 2])).write_to(&mut body, ImageFormat::Png).unwrap();
        put(&store, &format!("images/{n}.png"), body.into_inner()).await;
        manifest +=
            &json!({"image-ref": format!("s3://bucket/film/images/{n}.png"), "caption": "Mayu waits."})
                .to_string();
        manifest.push('\n');
    }
    put(&store, "train.jsonl", manifest.into_bytes()).await;
    put_mark(&store, images, 0).await;
    store
}

/// What the export says of itself.
async fn put_mark(store: &Arc<dyn Store>, pictures: usize, unreviewed: usize) {
    let mark = json!({"format": "nova", "picchu": "0.1.0", "pictures": pictures, "unreviewed": unreviewed});
    put(store, MARK, mark.to_string().into_bytes()).await;
}

async fn put(store: &Arc<dyn Store>, name: &str, body: Vec<u8>) {
    store.put(&Key::new(name).unwrap(), Bytes::from(body), PutMode::Overwrite).await.unwrap();
}

fn spec() -> TrainingSpec {
    let mut spec = TrainingSpec {
        name: "Mayu: first try".into(),
        base_model: CANVAS.into(),
        dataset: "s3://bucket/film/train.jsonl".into(),
        output: "s3://bucket/model".into(),
        hyperparameters: Preset::Characters.values(),
        client_token: String::new(),
    };
    spec.client_token = client_token(&spec, &settings(), b"the manifest");
    spec
}

fn settings() -> JobSettings {
    JobSettings { role: ROLE.into(), ..JobSettings::default() }
}

fn ledger() -> Ledger {
    Ledger::new(Arc::new(MemoryStore::new()))
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_dataset_to_images_and_back_to_nothing() {
    let (held, script) = service(true);
    let (aws, s3) = (FakeAws::start(script).await, FakeS3::start().await);
    let (ledger, data) = (ledger(), data(&s3, 6).await);
    let trainer = BedrockTrainer::new(&aws.context(), settings(), data, ledger.clone());
    let found = trainer.check(&spec()).await.unwrap();
    assert!(found.iter().all(|f| f.severity == Severity::Note), "{found:?}");
    assert!(found.iter().any(|f| f.message.contains("896000 pictures")), "{found:?}");
    assert_eq!(aws.count("POST /model-customization-jobs"), 0, "looking creates nothing");

    let job = trainer.submit(&spec()).await.unwrap();
    assert_eq!(job.status, JobStatus::InProgress);
    let sent = aws.requests_of("POST /model-customization-jobs")[0].json();
    let printed: Value = serde_json::from_str(&trainer.request(&spec()).to_json().unwrap()).unwrap();
    assert_eq!(sent, printed, "what is printed is what is sent");
    assert_eq!(
        sent["hyperParameters"],
        json!({"stepCount": "14000", "batchSize": "64", "learningRate": "0.000001"})
    );
    assert_eq!((&sent["jobName"], &sent["customizationType"]), (&json!(job.name), &json!("FINE_TUNING")));

    let name = job.name.clone();
    let changing = Arc::clone(&held);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(80)).await;
        changing.lock().unwrap().jobs.insert(name, "Completed".into());
    });
    let seen: Vec<_> = trainer.watch(&job.id, Duration::from_millis(10)).try_collect().await.unwrap();
    let last = seen.last().unwrap();
    assert!(seen.len() > 1 && last.job.status == JobStatus::Completed, "{seen:?}");
    assert_eq!((last.loss, last.phases[1].1.as_str()), (Some(0.125), "NotStarted"));
    let model = last.job.model.clone().unwrap();

    let deployer = BedrockDeployer::new(&aws.context(), ledger.clone())
        .patience(Duration::from_millis(5), Duration::from_secs(5));
    assert_eq!(deployer.usd_per_hour(), Some(60.5));
    let serving = deployer.serve("board", &model).await.unwrap();
    let deployment = serving.deployment().unwrap().clone();
    assert_eq!(deployment.status, DeploymentStatus::InService);
    let open = ledger.open().await.unwrap();
    assert_eq!(
        open.iter().map(|e| e.kind).collect::<Vec<_>>(),
        [ResourceKind::ProvisionedThroughput, ResourceKind::TrainingJob,]
    );
    assert_eq!(open[0].usd_per_hour, Some(60.5));

    let canvas =
        CanvasGenerator::new(&aws.context(), &deployment.id, CanvasSettings::default(), Arc::default())
            .unwrap();
    let panel = |prompt: &str, count| Panel { prompt: prompt.into(), seed: None, count };
    let board = Storyboard {
        panels: vec![panel("Mayu waves", 2), panel("something <blocked>", 1), panel("Mayu sleeps", 1)],
        negative_prompt: None,
        width: 1024,
        height: 1024,
    };
    let kept: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let drawn = board.draw(&canvas, &kept).await.unwrap();
    let images: Vec<usize> = drawn.iter().map(|panel| panel.images.len()).collect();
    assert_eq!(images, [2, 0, 1]);
    assert!(drawn[1].failure.as_ref().unwrap().contains("blocked by the filters"));
    let invoke = |aws: &FakeAws| aws.requests().iter().filter(|r| r.operation.contains("/invoke")).count();
    assert_eq!(invoke(&aws), 4);
    board.draw(&canvas, &kept).await.unwrap();
    assert_eq!(invoke(&aws), 5, "only the panel that failed is drawn again");
    let page = kept.get(&Key::new("storyboard.html").unwrap()).await.unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert!(
        page.contains("Not drawn")
            && page.contains("&lt;blocked&gt;")
            && page.contains(&drawn[0].images[1].image)
    );
    let sheet = kept.get(&Key::new("storyboard.png").unwrap()).await.unwrap();
    assert_eq!(image::load_from_memory(&sheet).unwrap().into_rgb8().dimensions(), (664, 992));

    // The guard goes where the runtime is blocked, as it is in a panic.
    tokio::task::spawn_blocking(move || drop(serving)).await.unwrap();
    assert!(held.lock().unwrap().throughput.is_empty());
    for entry in ledger.open().await.unwrap() {
        assert!(resource_exists(&aws.context(), &entry).await.unwrap());
        end_resource(&aws.context(), &entry, Duration::from_millis(5)).await.unwrap();
        assert!(!resource_exists(&aws.context(), &entry).await.unwrap());
    }
    assert!(held.lock().unwrap().is_empty(), "{held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_at_its_end_is_refused_before_anything_is_created_or_read() {
    let (_, script) = service(false);
    let (aws, s3) = (FakeAws::start(script).await, FakeS3::start().await);
    let (ledger, data) = (ledger(), data(&s3, 0).await);
    let trainer = BedrockTrainer::new(&aws.context(), settings(), data, ledger.clone());
    let read = s3.count("GetObject");
    let found = trainer.check(&spec()).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].severity, found[0].message.as_str()),
        (
            Severity::Error,
            "amazon.nova-canvas-v1:0 reached the end of its life on 2026-09-30 and cannot be trained"
        )
    );
    assert!(found[0].mend.contains("diffusers"), "{found:?}");
    let error = trainer.submit(&spec()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Config, false));
    assert!(error.to_string().contains("end of its life on 2026-09-30"), "{error}");
    assert!(aws.requests().iter().all(|r| r.operation.starts_with("GET /foundation-models/")));
    assert_eq!(s3.count("GetObject"), read);
    assert!(ledger.entries().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_tells_what_would_fail_all_at_once() {
    let (_, script) = service(true);
    let (aws, s3) = (FakeAws::start(script).await, FakeS3::start().await);
    let data = data(&s3, 4).await;
    let mut small = Cursor::new(Vec::new());
    RgbImage::new(300, 600).write_to(&mut small, ImageFormat::Png).unwrap();
    put(&data, "images/1.png", small.into_inner()).await;
    data.delete(&Key::new("images/2.png").unwrap()).await.unwrap();
    let mut spec = spec();
    spec.hyperparameters.insert("learningRate".into(), "1e-6".into());
    spec.output = "s3://bucket/a b".into();
    let settings =
        JobSettings { role: "tune".into(), subnets: vec!["subnet-1".into()], ..JobSettings::default() };
    let trainer = BedrockTrainer::new(&aws.context(), settings, Arc::clone(&data), ledger());
    let found = trainer.check(&spec).await.unwrap();
    let errors: Vec<&str> =
        found.iter().filter(|f| f.severity == Severity::Error).map(|f| f.message.as_str()).collect();
    for words in [
        "learningRate is \"1e-6\"",
        "\"tune\" is not the ARN of a role",
        "a b",
        "a network needs",
        "4 records",
        "images/2.png is not there",
        "images/1.png: 300×600",
    ] {
        assert_eq!(errors.iter().filter(|e| e.contains(words)).count(), 1, "{words}: {errors:?}");
    }
    assert_eq!(errors.len(), 7, "{errors:?}");
    assert_eq!(trainer.submit(&spec).await.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(aws.count("POST /model-customization-jobs"), 0);

    aws.next(
        "GET /foundation-models/amazon.nova-canvas-v1%3A0",
        [Answer::json(
            json!({"modelDetails": {"modelArn": "arn", "modelId": CANVAS, "outputModalities": ["IMAGE"],
            "customizationsSupported": ["FINE_TUNING"], "modelLifecycle": {"status": "LEGACY",
            "legacyTime": "2026-03-30T00:00:00Z", "endOfLifeTime": "2026-09-30T00:00:00Z"}}}),
        )],
    );
    let legacy = trainer.check(&spec).await.unwrap();
    assert!(
        legacy[0].message.contains("legacy since 2026-03-30, ends 2026-09-30: nothing new"),
        "{legacy:?}"
    );
}

/// The role is made once, by whichever run comes to its end, and goes with the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_made_for_one_dataset_once_and_deleted() {
    let (held, script) = service(true);
    let (aws, s3) = (FakeAws::start(script).await, FakeS3::start().await);
    let (ledger, data) = (ledger(), data(&s3, 6).await);
    let context = aws.context();
    let plan = |output| TrainingRole::plan(&context, "s3://bucket/film", output);
    let role = plan("s3://bucket/model").await.unwrap();
    assert_ne!(role.arn(), plan("s3://bucket/other").await.unwrap().arn());
    let settings = JobSettings { role: role.arn().into(), ..JobSettings::default() };
    let trainer = BedrockTrainer::new(&aws.context(), settings, data, ledger.clone()).role_is_new(true);
    let found = trainer.check(&spec()).await.unwrap();
    assert!(found.iter().all(|f| f.severity == Severity::Note), "{found:?}");
    assert!(held.lock().unwrap().roles.is_empty() && ledger.entries().await.unwrap().is_empty());

    // Refused: nothing is left open. Cut off between the two calls: the next run finishes what is there.
    aws.next("CreateRole", [Answer::xml_error(403, "AccessDenied")]);
    assert_eq!(role.ensure(&ledger).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert!(ledger.open().await.unwrap().is_empty());
    aws.next("PutRolePolicy", [Answer::xml("PutRolePolicy", "").after(Duration::from_secs(20))]);
    let cut = tokio::spawn({
        let (role, ledger) = (role.clone(), ledger.clone());
        async move { role.ensure(&ledger).await }
    });
    while aws.count("PutRolePolicy") == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cut.abort();
    assert!(cut.await.unwrap_err().is_cancelled());
    assert_eq!(ledger.open().await.unwrap()[0].happened, Happened::Creating);
    // Not known everywhere at once: neither to IAM, nor to Bedrock.
    aws.next("PutRolePolicy", [Answer::xml_error(404, "NoSuchEntity")]);
    role.ensure(&ledger).await.unwrap();
    role.ensure(&ledger).await.unwrap();
    assert_eq!((aws.count("CreateRole"), held.lock().unwrap().roles.len()), (2, 1));
    let (trust, access) = held.lock().unwrap().roles.values().next().unwrap().clone();
    assert_eq!(serde_json::from_str::<Value>(&trust).unwrap(), role.policies().trust);
    assert_eq!(serde_json::from_str::<Value>(&access.unwrap()).unwrap(), role.policies().access);
    let too_new = || Answer::error(400, "ValidationException", "Could not assume provided IAM role.");
    aws.next("POST /model-customization-jobs", [too_new()]);
    let job = trainer.submit(&spec()).await.unwrap();
    assert_eq!(job.status, JobStatus::InProgress);
    let known = trainer.role_is_new(false);
    aws.next("POST /model-customization-jobs", [too_new()]);
    let other = TrainingSpec { client_token: "another".into(), ..spec() };
    assert!(known.submit(&other).await.unwrap_err().to_string().contains("assume provided IAM role"));

    let open = ledger.open().await.unwrap();
    let kinds: Vec<_> = open.iter().map(|e| (e.kind, e.happened)).collect();
    assert_eq!(
        kinds,
        [(ResourceKind::TrainingJob, Happened::Created), (ResourceKind::Role, Happened::Created)]
    );
    for entry in open {
        assert!(resource_exists(&aws.context(), &entry).await.unwrap());
        end_resource(&aws.context(), &entry, Duration::from_millis(5)).await.unwrap();
        end_resource(&aws.context(), &entry, Duration::from_millis(5)).await.expect("twice is no error");
        assert!(!resource_exists(&aws.context(), &entry).await.unwrap());
    }
    assert!(held.lock().unwrap().is_empty(), "{held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_trains_on_unreviewed_images_without_saying_so() {
    let (held, script) = service(true);
    let (aws, s3) = (FakeAws::start(script).await, FakeS3::start().await);
    let data = data(&s3, 6).await;
    let ledger = ledger();
    let trainer = || BedrockTrainer::new(&aws.context(), settings(), Arc::clone(&data), ledger.clone());
    let severity = async |trainer: &BedrockTrainer, words: &str| {
        let found = trainer.check(&spec()).await.unwrap();
        found.into_iter().find(|f| f.message.contains(words)).map(|f| f.severity)
    };
    data.delete(&Key::new(MARK).unwrap()).await.unwrap();
    assert_eq!(
        severity(&trainer(), "looked at the images is not known").await,
        Some(Severity::Warning),
        "an export of unknown origin"
    );

    put_mark(&data, 6, 2).await;
    let words = "2 of 6 images were not looked at by a person";
    assert_eq!(severity(&trainer(), words).await, Some(Severity::Error));
    let refused = trainer().submit(&spec()).await.unwrap_err();
    assert!(
        refused.message().contains(words) && refused.message().contains("--allow-unreviewed"),
        "{refused}"
    );
    assert!(
        held.lock().unwrap().is_empty() && ledger.entries().await.unwrap().is_empty(),
        "nothing is created"
    );

    let allowed = trainer().allow_unreviewed(true);
    assert_eq!(severity(&allowed, words).await, Some(Severity::Note));
    allowed.submit(&spec()).await.unwrap();
    let line = ledger.open().await.unwrap().remove(0);
    assert_eq!(line.details.get("unreviewed").map(String::as_str), Some("allowed"), "{line:?}");

    put_mark(&data, 6, 0).await;
    assert_eq!(severity(&trainer(), "by a person").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_looked_at_as_far_as_it_can_be_read() {
    let (held, script) = service(true);
    let (aws, s3) = (FakeAws::start(script).await, FakeS3::start().await);
    let data = data(&s3, 6).await;
    let found = async |role: &str, output: &str| {
        let settings =
            JobSettings { role: format!("arn:aws:iam::123456789012:role/{role}"), ..JobSettings::default() };
        let trainer = BedrockTrainer::new(&aws.context(), settings, Arc::clone(&data), ledger());
        let found = trainer.check(&TrainingSpec { output: output.into(), ..spec() }).await.unwrap();
        found
            .into_iter()
            .filter(|f| f.message.contains("role/"))
            .map(|f| (f.severity, f.message))
            .collect::<Vec<_>>()
    };
    assert_eq!(found("tune", "s3://bucket/model").await, []);
    let (severity, words) = found("path/nobody", "s3://bucket/model").await.remove(0);
    assert!(severity == Severity::Error && words.ends_with("role/path/nobody does not exist"), "{words}");
    let (severity, words) = found("tune", "s3://bucket/forbidden").await.remove(0);
    assert!(
        severity == Severity::Warning
            && words.ends_with("has no s3:PutObject on s3://bucket/forbidden/model"),
        "{words}"
    );
    held.lock().unwrap().roles.insert("lambda".into(), (TRUST.replace("bedrock", "lambda"), None));
    let (severity, words) = found("lambda", "s3://bucket/model").await.remove(0);
    assert!(severity == Severity::Error && words.contains("may not be taken on by Bedrock"), "{words}");
    for (operation, role) in [("GetRole", "tune"), ("SimulatePrincipalPolicy", "tune")] {
        aws.next(operation, [Answer::xml_error(403, "AccessDenied")]);
        let found = found(role, "s3://bucket/model").await;
        assert!(found.len() == 1 && found[0].0 == Severity::Note, "{found:?}");
    }
}

/// A process that dies after each call that the service has heard, and a second run: one role, one job, one model, one
/// throughput, and in the end none.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cut_off_at_any_call_starts_nothing_twice_and_leaves_nothing() {
    let s3 = FakeS3::start().await;
    let data = data(&s3, 6).await;
    let (mut cut, mut creations) = (0, 0);
    loop {
        let (held, script) = service(true);
        let calls = AtomicUsize::new(0);
        let slow = move |request: &Recorded, nth: usize| {
            let answer = script(request, nth);
            // The service did it, and the answer comes too late.
            let this = calls.fetch_add(1, Ordering::SeqCst) == cut;
            if this { answer.after(Duration::from_mins(1)) } else { answer }
        };
        let aws = FakeAws::start(slow).await;
        let life = Life {
            context: aws.context(),
            held: Arc::clone(&held),
            data: Arc::clone(&data),
            ledger: ledger(),
        };
        let served = Arc::new(AtomicBool::new(false));
        let first = tokio::spawn({
            let (life, served) = (life.clone(), Arc::clone(&served));
            async move {
                life.work().await;
                served.store(true, Ordering::SeqCst);
                life.clean().await;
            }
        });
        while aws.requests().len() <= cut && !first.is_finished() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if first.is_finished() {
            first.await.unwrap();
            break;
        }
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let call = aws.requests().pop().unwrap().operation;
        creations +=
            usize::from(call == "CreateRole" || call.ends_with("-jobs") || call.ends_with("-throughput"));
        if !served.load(Ordering::SeqCst) {
            life.work().await;
            let (roles, jobs, serving) = {
                let held = held.lock().unwrap();
                (held.roles.len(), held.jobs.len(), held.throughput.len())
            };
            assert_eq!((roles, jobs, serving), (1, 1, 1), "{cut}: {call}");
            let open = life.ledger.open().await.unwrap();
            assert!(
                open.len() == 3 && open.iter().all(|e| e.happened == Happened::Created),
                "{call}: {open:?}"
            );
        }
        life.clean().await;
        for created in ["CreateRole", "POST /model-customization-jobs", "POST /provisioned-model-throughput"]
        {
            assert_eq!(aws.count(created), 1, "{cut}: {call}: {created}");
        }
        let held = held.lock().unwrap();
        assert!(held.is_empty() && held.made.len() == 1, "{cut}: {call}: {held:?}");
        cut += 1;
    }
    assert!(creations == 3 && cut >= 15, "{cut} calls, {creations} of them create");
}

/// A ledger that is lost: the tag finds what was made, and nothing of others.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_ledger_knows_is_found_by_its_tag() {
    let (held, script) = service(true);
    let (aws, s3) = (FakeAws::start(script).await, FakeS3::start().await);
    let life =
        Life { context: aws.context(), held: Arc::clone(&held), data: data(&s3, 6).await, ledger: ledger() };
    life.work().await;
    let settings = JobSettings { tags: [("team".to_owned(), "film".to_owned())].into(), ..settings() };
    let trainer = BedrockTrainer::new(&aws.context(), settings, Arc::clone(&life.data), ledger());
    trainer.submit(&TrainingSpec { client_token: "another".into(), ..spec() }).await.unwrap();
    {
        let mut held = held.lock().unwrap();
        held.jobs.insert("others-job".into(), "InProgress".into());
        held.models.push("others-model".into());
        held.roles.insert("others-role".into(), (TRUST.into(), None));
        let others = json!([{"key": "created-by", "value": "others"}]);
        held.tags.insert(arn("custom-model", "others-model"), others);
    }
    let tagged = tagged_resources(&aws.context()).await;
    assert_eq!(tagged.unread, [""; 0]);
    let mut found = tagged.found;
    found.sort_by_key(|entry| entry.kind);
    let kinds: Vec<_> = found.iter().map(|entry| entry.kind).collect();
    let (job, role) = (ResourceKind::TrainingJob, ResourceKind::Role);
    assert_eq!(kinds, [ResourceKind::ProvisionedThroughput, job, job, role], "{found:?}");
    assert_eq!((found[0].usd_per_hour, found[0].time_ms), (Some(121.0), 1_795_521_600_000));
    for entry in found {
        end_resource(&aws.context(), &entry, Duration::from_millis(5)).await.unwrap();
    }
    {
        let held = held.lock().unwrap();
        assert_eq!((held.models.as_slice(), held.roles.len()), (&["others-model".to_owned()][..], 1));
        assert!(held.throughput.is_empty() && held.jobs["others-job"] == "InProgress");
        assert_eq!(held.jobs.values().filter(|status| *status == "InProgress").count(), 1);
    }
    aws.next("ListRoles", [Answer::xml_error(403, "AccessDenied")]);
    let tagged = tagged_resources(&aws.context()).await;
    assert!(tagged.found.is_empty() && tagged.unread.len() == 1, "{tagged:?}");
    assert!(tagged.unread[0].contains("iam ListRoles"), "{tagged:?}");
}

/// A run from nothing to a deployment, and back.
#[derive(Clone)]
struct Life {
    context: AwsContext,
    held: Arc<Mutex<Held>>,
    data: Arc<dyn Store>,
    ledger: Ledger,
}

impl Life {
    async fn work(&self) {
        let role = TrainingRole::plan(&self.context, "s3://bucket/film", "s3://bucket/model").await.unwrap();
        role.ensure(&self.ledger).await.unwrap();
        let settings = JobSettings { role: role.arn().into(), ..JobSettings::default() };
        let trainer =
            BedrockTrainer::new(&self.context, settings, Arc::clone(&self.data), self.ledger.clone());
        let job = trainer.submit(&spec()).await.unwrap();
        self.held.lock().unwrap().jobs.insert(job.name.clone(), "Completed".into());
        let model = trainer.describe(&job.id).await.unwrap().model.unwrap();
        let deployer = BedrockDeployer::new(&self.context, self.ledger.clone())
            .patience(Duration::from_millis(5), Duration::from_secs(5));
        let deployment = deployer.deploy("board", &model).await.unwrap();
        deployer.wait(&deployment.id).await.unwrap();
    }

    /// As `picchu clean` does it.
    async fn clean(&self) {
        for entry in self.ledger.open().await.unwrap() {
            end_resource(&self.context, &entry, Duration::from_millis(5)).await.unwrap();
            self.ledger.note(&entry.now(Happened::Ended)).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_come_with_their_mend_and_stuck_things_with_a_time_out() {
    let (held, script) = service(true);
    let (aws, s3) = (FakeAws::start(script).await, FakeS3::start().await);
    let (ledger, data) = (ledger(), data(&s3, 6).await);
    let trainer = BedrockTrainer::new(&aws.context(), settings(), data, ledger.clone());
    let job = trainer.submit(&spec()).await.unwrap();
    held.lock().unwrap().jobs.insert(job.name.clone(), "Failed".into());
    let failed = trainer.describe(&job.id).await.unwrap();
    assert_eq!(failed.status, JobStatus::Failed);
    let why = failed.failure.unwrap();
    assert!(why.contains("GetObject permissions") && why.contains("[give the role s3:GetObject"), "{why}");

    // One that is stuck is watched for as long as the caller wants; one that is stopped ends.
    let stuck = trainer.submit(&TrainingSpec { client_token: "another".into(), ..spec() }).await.unwrap();
    let watch = || trainer.watch(&stuck.id, Duration::from_millis(5)).try_collect::<Vec<_>>();
    assert!(tokio::time::timeout(Duration::from_millis(60), watch()).await.is_err());
    trainer.cancel(&stuck.id).await.unwrap();
    assert_eq!(watch().await.unwrap().last().unwrap().job.status, JobStatus::Stopped);

    let model = CustomModel { id: arn("custom-model", "mayu"), base_model: CANVAS.into() };
    let deployer = BedrockDeployer::new(&aws.context(), ledger.clone())
        .patience(Duration::from_millis(5), Duration::from_millis(60));
    let deployment = deployer.deploy("stuck", &model).await.unwrap();
    let name = deployment.id.rsplit('/').next().unwrap().to_owned();
    for (status, kind, words) in [
        ("Updating", ErrorKind::Timeout, "is Updating for too long"),
        ("Failed", ErrorKind::Unavailable, "no capacity"),
        ("SomethingNew", ErrorKind::Timeout, "is SomethingNew for too long"),
    ] {
        held.lock().unwrap().throughput.insert(name.clone(), status.into());
        let error = deployer.wait(&deployment.id).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    deployer.delete(&deployment.id).await.unwrap();
    deployer.deploy("stuck", &model).await.unwrap();
    let made = aws.requests_of("POST /provisioned-model-throughput");
    let (one, two) = (made[0].json(), made[1].json());
    assert_eq!(one["provisionedModelName"], two["provisionedModelName"]);
    assert_ne!(one["clientRequestToken"], two["clientRequestToken"], "a spent token makes nothing new");
    deployer.delete(&deployment.id).await.unwrap();
    assert!(!ledger.open().await.unwrap().iter().any(|e| e.kind == ResourceKind::ProvisionedThroughput));

    // A guard whose wait fails ends what it began; one with a commitment is refused.
    aws.next(
        "POST /provisioned-model-throughput",
        [Answer::error(400, "ServiceQuotaExceededException", "0 units")],
    );
    let error = deployer.serve("board", &model).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    let promised = BedrockDeployer::new(&aws.context(), ledger.clone()).commitment(Commitment::OneMonth);
    assert_eq!(promised.serve("board", &model).await.unwrap_err().kind(), ErrorKind::Config);
    assert!(held.lock().unwrap().throughput.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_serves_another_model_without_a_second_bill() {
    let (held, script) = service(true);
    let aws = FakeAws::start(script).await;
    let ledger = ledger();
    let model = |name: &str| CustomModel { id: arn("custom-model", name), base_model: CANVAS.into() };
    let deployer = BedrockDeployer::new(&aws.context(), ledger.clone())
        .patience(Duration::from_millis(5), Duration::from_secs(5));
    let serving = deployer.serve("board", &model("first")).await.unwrap();
    let first = serving.deployment().unwrap().id.clone();
    let open = || async { ledger.open().await.unwrap().into_iter().map(|e| e.id).collect::<Vec<_>>() };
    let before = open().await;

    let updated = deployer.update(&first, "board", &model("second")).await.unwrap();
    assert_eq!((updated.status, &updated.model), (DeploymentStatus::Updating, &model("second")));
    let name = deployer.update_request(&first, "board", &model("second")).desired_provisioned_model_name;
    assert_eq!(deployer.request("board", &model("second")).provisioned_model_name, name);
    assert_ne!(open().await, before);
    assert_eq!(open().await, std::slice::from_ref(&name), "the ledger follows the name");
    let sent = aws.requests().into_iter().find(|r| r.operation.starts_with("PATCH ")).unwrap().json();
    let asked = json!({"desiredProvisionedModelName": name, "desiredModelId": model("second").id});
    assert_eq!(sent, asked, "and the deployment is in the address");
    let waited = deployer.wait(&first).await.unwrap();
    assert_eq!((waited.status, waited.model.id), (DeploymentStatus::InService, model("second").id));

    // The same again, and the deployment of the same name and model, are what is there.
    deployer.update(&name, "board", &model("second")).await.unwrap();
    deployer.deploy("board", &model("second")).await.unwrap();
    let count = |method: &str| aws.requests().iter().filter(|r| r.operation.starts_with(method)).count();
    assert_eq!((count("PATCH "), count("POST /provisioned-model-throughput")), (1, 1));

    // What is refused changes nothing, and what is unknown cannot be changed.
    let refused = deployer.update(&name, "board", &model("of-another-base")).await.unwrap_err();
    assert!(refused.to_string().contains("another base model"), "{refused}");
    assert_eq!(open().await, std::slice::from_ref(&name));
    let unknown = deployer.update("nothing", "board", &model("second")).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    // An answer that is lost leaves both names open: one of them bills.
    aws.next(&format!("PATCH /provisioned-model-throughput/{name}"), vec![Answer::unavailable(); 9]);
    deployer.update(&name, "board", &model("third")).await.unwrap_err();
    assert_eq!(open().await.len(), 2);
    for entry in ledger.open().await.unwrap() {
        end_resource(&aws.context(), &entry, Duration::from_millis(5)).await.unwrap();
    }
    assert!(held.lock().unwrap().throughput.is_empty());
    drop(serving);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_traits_contracts_are_kept() {
    let (_, script) = service(true);
    let (aws, s3) = (FakeAws::start(script).await, FakeS3::start().await);
    let data = data(&s3, 6).await;
    let trainer = BedrockTrainer::new(&aws.context(), settings(), data, ledger());
    conformance::trainer(&trainer, &spec()).await;
    let deployer = BedrockDeployer::new(&aws.context(), ledger());
    let model = CustomModel { id: arn("custom-model", "mayu"), base_model: CANVAS.into() };
    conformance::deployer(&deployer, &model).await;
    let canvas =
        CanvasGenerator::new(&aws.context(), CANVAS, CanvasSettings::default(), Arc::default()).unwrap();
    conformance::generator(&canvas).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_asked_as_documented_one_seed_a_request() {
    let (_, script) = service(true);
    let aws = FakeAws::start(script).await;
    let canvas = CanvasGenerator::new(
        &aws.context(),
        CANVAS,
        CanvasSettings { cfg_scale: 8.1, premium: false, ..CanvasSettings::default() },
        Arc::default(),
    )
    .unwrap();
    let request = GenerateRequest {
        prompt: "Mayu waves".into(),
        negative_prompt: Some("fog".into()),
        count: 2,
        seed: 7,
        width: 1280,
        height: 720,
    };
    let images = canvas.generate(&request).await.unwrap();
    assert_eq!(images.iter().map(|i| i.request.seed).collect::<Vec<_>>(), [7, 8]);
    assert_eq!(images[1].image.get_pixel(0, 0)[0], 8, "each image is that of its own seed");
    let mut bodies: Vec<Value> = aws.requests().iter().map(Recorded::json).collect();
    bodies.sort_by_key(|body| body["imageGenerationConfig"]["seed"].as_u64());
    assert_eq!(
        bodies[0],
        json!({
            "taskType": "TEXT_IMAGE",
            "textToImageParams": {"text": "Mayu waves", "negativeText": "fog"},
            "imageGenerationConfig": {"numberOfImages": 1, "width": 1280, "height": 720, "quality": "standard",
                                      "cfgScale": 8.1, "seed": 7},
        })
    );
    let guide = Guide { image: Arc::new(RgbImage::new(32, 32)), control: Control::Regions, strength: 0.3 };
    let look = Some("GRAPHIC_NOVEL_ILLUSTRATION".to_owned());
    let styled = CanvasSettings { style: look, guide: Some(guide.clone()), ..CanvasSettings::default() };
    let styled = CanvasGenerator::new(&aws.context(), CANVAS, styled, Arc::default()).unwrap();
    let words = styled.body(&request).unwrap()["textToImageParams"].take();
    assert_eq!(
        (&words["style"], &words["controlMode"]),
        (&json!("GRAPHIC_NOVEL_ILLUSTRATION"), &json!("SEGMENTATION"))
    );
    assert_eq!(words["controlStrength"], 0.3);
    let shown = BASE64_STANDARD.decode(words["conditionImage"].as_str().unwrap()).unwrap();
    assert_eq!(image::load_from_memory(&shown).unwrap().into_rgb8().dimensions(), (32, 32));
    assert_ne!(styled.info().settings, canvas.info().settings, "what changes the image is part of who draws");
    for wrong in [
        CanvasSettings { style: Some("CUBISM".into()), ..CanvasSettings::default() },
        CanvasSettings { guide: Some(Guide { strength: 1.1, ..guide }), ..CanvasSettings::default() },
        CanvasSettings { cfg_scale: 11.0, ..CanvasSettings::default() },
    ] {
        let error = CanvasGenerator::new(&aws.context(), CANVAS, wrong, Arc::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    assert_eq!(canvas.price(&request), Some(0.12), "two images of over 1,024 pixels");
    assert_eq!(styled.price(&GenerateRequest { count: 1, width: 1024, ..request.clone() }), Some(0.06));
    let blocked = GenerateRequest { prompt: "blocked".into(), ..request.clone() };
    assert_eq!(canvas.generate(&blocked).await.unwrap_err().kind(), ErrorKind::ContentFiltered);
    let sent = aws.requests().len();
    for wrong in [
        GenerateRequest { prompt: String::new(), ..request.clone() },
        GenerateRequest { prompt: "x".repeat(1025), ..request.clone() },
        GenerateRequest { width: 1000, ..request.clone() },
        GenerateRequest { width: 304, ..request.clone() },
        GenerateRequest { width: 4096, height: 960, ..request.clone() },
        GenerateRequest { width: 4096, height: 2048, ..request.clone() },
        GenerateRequest { seed: 2_147_483_646, ..request.clone() },
    ] {
        assert_eq!(canvas.generate(&wrong).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{wrong:?}");
    }
    assert_eq!(aws.requests().len(), sent, "what cannot be drawn is not asked");
}

/// Drawing goes through the layers of every call to a model: within its rate, tried again, metered, ended by a budget.
#[tokio::test(flavor = "multi_thread")]
async fn drawing_is_tried_again_metered_and_ended_by_a_budget() {
    let (_, script) = service(true);
    let aws = FakeAws::start(script).await;
    let invoke = "POST /model/amazon.nova-canvas-v1%3A0/invoke";
    let meter = Arc::new(Meter::default().budget(0.2));
    let canvas =
        CanvasGenerator::new(&aws.context(), CANVAS, CanvasSettings::default(), Arc::clone(&meter)).unwrap();
    let panel = |prompt: &str| Panel { prompt: prompt.into(), seed: None, count: 2 };
    let board = Storyboard {
        panels: vec![panel("Mayu waves"), panel("Mayu sleeps")],
        negative_prompt: None,
        width: 1024,
        height: 1024,
    };
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let open = board.open_requests(&canvas, &store).await.unwrap();
    let usd: f64 = open.iter().filter_map(|request| canvas.price(request)).sum();
    assert!(open.len() == 4 && (usd - 0.24).abs() < 1e-9, "{usd}");
    aws.next(invoke, [Answer::throttled(), Answer::malformed()]);
    let drawn = board.draw(&canvas, &store).await.unwrap();
    assert_eq!(drawn.iter().map(|panel| panel.images.len()).collect::<Vec<_>>(), [2, 1]);
    assert!(drawn[1].failure.as_ref().unwrap().contains("budget of 0.20"), "{drawn:?}");
    assert_eq!(aws.count(invoke), 5, "two answers were of no use");
    let used = meter.total();
    assert_eq!((used.images, used.requests), (3, 3));
    assert!((used.usd - 0.18).abs() < 1e-9, "{used:?}");
    assert_eq!(board.open_requests(&canvas, &store).await.unwrap().len(), 1);

    // What is blocked has no image to pay for.
    let blocked = GenerateRequest { prompt: "blocked".into(), ..open[0].clone() };
    let meter = Arc::new(Meter::default());
    let canvas =
        CanvasGenerator::new(&aws.context(), CANVAS, CanvasSettings::default(), Arc::clone(&meter)).unwrap();
    canvas.generate(&blocked).await.unwrap_err();
    assert_eq!((meter.total().requests, meter.total().images, meter.total().usd), (1, 0, 0.0));
    // A deployment is paid by the hour, whatever it draws.
    let deployed = arn("provisioned-model", "board");
    let canvas =
        CanvasGenerator::new(&aws.context(), &deployed, CanvasSettings::default(), Arc::clone(&meter));
    assert_eq!(canvas.unwrap().price(&blocked), Some(0.0));
    let other = CanvasGenerator::new(&aws.context(), "a.new-model", CanvasSettings::default(), meter);
    assert_eq!(other.unwrap().price(&blocked), None);
}
