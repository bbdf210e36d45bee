//! A dataset's captions and embeddings by batch jobs, from the command line, with jobs and files on services over real HTTP.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use picchu::{
    Captioner, Cast, Character, Embedder, Pipeline,
    aws::bedrock::{Bedrock, ConverseModel, ConverseSettings, Quota, TitanEmbedder},
    caption::{CaptionPrompt, LintRules, MeasuredCaptioner, VisionCaptioner},
    dataset::Dataset,
    dedupe::CosineDeduper,
    layers::{Cache, Cached},
    store::FsStore,
    testing::{FakeDetector, FakeEmbedder, SyntheticFilm},
    train::{Happened, Ledger},
};
use serde_json::{Value, json};

use crate::{
    bedrock::varied_caption,
    fake_aws::{Answer, FakeAws, Recorded, SECRET},
    fake_s3::FakeS3,
};

const ROLE: &str = "arn:aws:iam::123456789012:role/Batch";
const CREATE: &str = "POST /model-invocation-job";
const CONVERSE: &str = "POST /model/amazon.nova-pro-v1%3A0/converse";
const TITAN: &str = "POST /model/amazon.titan-embed-image-v1/invoke";
const FRAMES: u32 = 130;

/// Both services, and the state of the one job.
struct Cloud {
    aws: FakeAws,
    s3: FakeS3,
    state: Arc<Mutex<&'static str>>,
}

impl Cloud {
    async fn start() -> Self {
        let state = Arc::new(Mutex::new("Scheduled"));
        let now = Arc::clone(&state);
        let aws = FakeAws::start(move |request, _| {
            if request.operation == CREATE {
                let token = request.json()["clientRequestToken"].as_str().unwrap().to_owned();
                return Answer::json(json!({"jobArn": arn(&token)}));
            }
            if request.operation.starts_with("GET /model-invocation-job/") {
                let state = *now.lock().unwrap();
                return Answer::json(
                    json!({"status": state, "totalRecordCount": FRAMES, "message": "see the output"}),
                );
            }
            if request.operation == TITAN { embedded(request) } else { told(request) }
        })
        .await;
        Self { aws, s3: FakeS3::start().await, state }
    }

    async fn picchu(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_picchu"));
        command
            .args(arguments)
            .args(["--aws-region", "us-east-1"])
            .env("AWS_ENDPOINT_URL_S3", self.s3.address())
            .env("AWS_ENDPOINT_URL_BEDROCK", self.aws.endpoint())
            .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", self.aws.endpoint())
            .env("AWS_ACCESS_KEY_ID", "AKIATESTTESTTEST")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_CONFIG_FILE", "none")
            .env("AWS_SHARED_CREDENTIALS_FILE", "none")
            .env_remove("AWS_PROFILE")
            .stdin(Stdio::null());
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    async fn batch(&self, what: &str, dataset: &Path, more: &[&str]) -> Value {
        let mut arguments = vec![
            "batch",
            what,
            dataset.to_str().unwrap(),
            "--s3",
            "s3://bucket/jobs",
            "--role",
            ROLE,
            "--json",
        ];
        arguments.extend(more);
        let output = self.picchu(&arguments).await;
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }

    /// The job ends: an answer for each of its records, by `answer`; none for none.
    fn finish(&self, state: &'static str, answer: impl Fn(usize, &Value) -> Option<Value>) {
        let objects = self.s3.objects();
        let (key, input) = objects.iter().find(|(key, _)| key.ends_with("/input/records.jsonl")).unwrap();
        let mut lines: Vec<String> = std::str::from_utf8(input)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .enumerate()
            .filter_map(|(n, line)| {
                let mut answer = answer(n, &line["modelInput"])?;
                answer["recordId"] = line["recordId"].clone();
                Some(answer.to_string())
            })
            .collect();
        lines.reverse();
        let output = key.replace("/input/records.jsonl", "/output/abc/records.jsonl.out");
        self.s3.put(&output, Bytes::from(lines.join("\n")));
        *self.state.lock().unwrap() = state;
    }

    /// What the command line calls `nova`, for a run in this process.
    fn captioner(&self, store: &Arc<FsStore>) -> Arc<dyn Captioner> {
        let bedrock = Bedrock::new(&self.aws.context(), ConverseModel::NOVA_PRO, Arc::default()).unwrap();
        let model = ConverseModel::new(bedrock.quota(PLENTY).unwrap(), ConverseSettings::default()).unwrap();
        let captioner = VisionCaptioner::new(model, CaptionPrompt::new(&cast()));
        Arc::new(Cached::new(Arc::new(captioner), Arc::new(Cache::new(Arc::<FsStore>::clone(store)))))
    }

    /// What the command line calls `titan`.
    fn embedder(&self, store: &Arc<FsStore>) -> Arc<dyn Embedder> {
        let bedrock = Bedrock::new(&self.aws.context(), TitanEmbedder::MODEL, Arc::default()).unwrap();
        let embedder = TitanEmbedder::new(bedrock.quota(PLENTY).unwrap(), 1024).unwrap();
        Arc::new(Cached::new(Arc::new(embedder), Arc::new(Cache::new(Arc::<FsStore>::clone(store)))))
    }
}

const PLENTY: Quota = Quota { requests_a_minute: 1e6, tokens_a_minute: None, concurrency: 8 };

fn arn(token: &str) -> String {
    format!("arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/{token}")
}

fn told(request: &Recorded) -> Answer {
    let text = varied_caption(&request.json()).unwrap_or_else(|bad| bad);
    Answer::json(message(&text))
}

fn message(text: &str) -> Value {
    json!({
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 2000, "outputTokens": 50, "totalTokens": 2050},
        "metrics": {"latencyMs": 5},
    })
}

/// Of a picture, whichever way it comes: different vectors for different pictures.
fn vector(body: &Value) -> Vec<f64> {
    let bytes = body["inputImage"].as_str().unwrap().bytes();
    let seed = bytes.fold(7_u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b)));
    (0..1024_u64).map(|n| ((seed.wrapping_mul(n * 2 + 1) >> 40) as f64 / f64::from(1 << 24)) - 0.5).collect()
}

fn embedded(request: &Recorded) -> Answer {
    Answer::json(json!({"embedding": vector(&request.json()), "inputTextTokenCount": 0}))
}

fn cast() -> Cast {
    let mayu = Character {
        name: "Mayu".into(),
        description: "a girl with a red scarf".into(),
        ..Character::default()
    };
    Cast { characters: vec![mayu] }
}

fn job(store: &Arc<FsStore>, embedder: Arc<dyn Embedder>, captioner: Arc<dyn Captioner>) -> Pipeline {
    Pipeline::new(Arc::new(SyntheticFilm::new(FRAMES.into())))
        .detect(Arc::new(FakeDetector::new("Mayu")))
        .dedupe(embedder, Arc::new(CosineDeduper::at(1.0).unwrap()))
        .caption(captioner)
        .lint(LintRules::for_cast(&cast()))
        .store(Arc::<FsStore>::clone(store))
}

/// A dataset without a cloud, and its cast file.
async fn dataset(folder: &Path) -> (Arc<FsStore>, String) {
    let store = Arc::new(FsStore::new(folder.join("dataset")));
    job(&store, Arc::new(FakeEmbedder), Arc::new(MeasuredCaptioner::new())).run().await.unwrap();
    let file = folder.join("cast.toml");
    std::fs::write(&file, "[[characters]]\nname = \"Mayu\"\ndescription = \"a girl with a red scarf\"\n")
        .unwrap();
    (store, file.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn captions_come_by_a_batch_job_and_a_run_asks_only_for_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = Cloud::start().await;
    let (store, cast) = dataset(folder.path()).await;
    let dataset = folder.path().join("dataset");
    let kept = Dataset::open(Arc::<FsStore>::clone(&store)).await.unwrap().header().counts.kept;
    let cast = ["--cast", &cast];

    // Nobody agreed, or it costs too much: nothing is created.
    let looked = cloud.batch("captions", &dataset, &cast).await;
    assert_eq!((&looked["open"], &looked["answered"]), (&json!(kept), &json!(0)));
    // Half of 2,000 tokens in at 0.0008 and 120 out at 0.0032 a thousand.
    let usd = looked["estimate"]["usd"].as_f64().unwrap();
    assert!((usd - kept as f64 * (2.0 * 0.0008 + 0.12 * 0.0032) / 2.0).abs() < 1e-6, "{usd}");
    let poor = [
        &["batch", "captions", dataset.to_str().unwrap(), "--s3", "s3://bucket/jobs", "--role", ROLE][..],
        &cast,
        &["--yes", "--budget", "0.01"],
    ]
    .concat();
    let refused = cloud.picchu(&poor).await;
    assert_eq!(refused.status.code(), Some(6), "{refused:?}");
    assert!(cloud.s3.objects().is_empty() && cloud.aws.requests().is_empty());

    // The service is away when the job is created; the next try is the same job.
    cloud.aws.next(CREATE, (0..3).map(|_| Answer::unavailable()));
    let yes = [&cast[..], &["--yes"]].concat();
    let away = [&poor[..7], &yes].concat();
    assert_eq!(cloud.picchu(&away).await.status.code(), Some(7));
    let under_way = cloud.batch("captions", &dataset, &yes).await;
    assert_eq!((&under_way["under_way"], &under_way["open"]), (&json!(kept), &json!(0)));
    let again = cloud.batch("captions", &dataset, &yes).await;
    assert_eq!(again["under_way"], json!(kept));
    let created = cloud.aws.requests_of(CREATE);
    assert_eq!(created.len(), 4, "three refusals and the job");
    assert!(created.iter().all(|r| r.json() == created[0].json()), "always with the same token");
    let sent = created[0].json();
    let (input, output) =
        (&sent["inputDataConfig"]["s3InputDataConfig"], &sent["outputDataConfig"]["s3OutputDataConfig"]);
    let uri = input["s3Uri"].as_str().unwrap();
    assert!(
        uri.starts_with("s3://bucket/jobs/picchu-batch/") && uri.ends_with("/input/records.jsonl"),
        "{uri}"
    );
    assert!(cloud.s3.objects().contains_key(uri.trim_start_matches("s3://")));
    assert!(output["s3Uri"].as_str().unwrap().ends_with("/output/"));
    let ledger = Ledger::new(Arc::<FsStore>::clone(&store));
    assert_eq!(ledger.open().await.unwrap().len(), 1);

    // It ends with a refusal, an error, a gap and a broken answer.
    cloud.finish("PartiallyCompleted", |n, question| match n {
        3 => Some(json!({"modelOutput": {"stopReason": "content_filtered", "usage": {"inputTokens": 2000, "outputTokens": 0}}})),
        4 => Some(json!({"error": {"errorCode": 400, "errorMessage": "bad picture"}})),
        5 => None,
        6 => Some(json!({"modelOutput": {"output": "?"}})),
        _ => Some(json!({"modelOutput": message(&varied_caption(question).unwrap_or_else(|bad| bad))})),
    });
    let done = cloud.batch("captions", &dataset, &yes).await;
    assert_eq!(
        (&done["answered"], &done["open"], &done["under_way"]),
        (&json!(kept - 4), &json!(4), &json!(0))
    );
    assert_eq!(done["failed"].as_object().unwrap().len(), 4, "{done}");
    assert!(done["failed"].to_string().contains("bad picture"));
    assert_eq!(done["ended_badly"][0]["message"], "see the output");
    assert_eq!(cloud.aws.count(CREATE), 4, "four are too few for another job");
    assert!(ledger.open().await.unwrap().is_empty());
    let line = ledger.entries().await.unwrap().pop().unwrap();
    assert_eq!(line.happened, Happened::Ended);
    let spent: f64 = line.details["usd"].parse().unwrap();
    assert!(
        spent > 0.1 && (spent - done["spent"]["usd"].as_f64().unwrap()).abs() < 1e-4 || spent > 0.09,
        "{spent}"
    );

    // A run takes the answers for its own, and the dataset is that of a run which asked by itself.
    job(&store, Arc::new(FakeEmbedder), cloud.captioner(&store)).run().await.unwrap();
    let asked = cloud.aws.count(CONVERSE);
    let alone = Arc::new(FsStore::new(folder.path().join("alone")));
    job(&alone, Arc::new(FakeEmbedder), cloud.captioner(&alone)).run().await.unwrap();
    let asked_alone = cloud.aws.count(CONVERSE) - asked;
    assert_eq!(asked_alone - asked, kept as usize - 4, "only first answers come by jobs");
    let texts = async |store: &Arc<FsStore>| {
        let dataset = Dataset::open(Arc::<FsStore>::clone(store)).await.unwrap();
        let captions =
            dataset.records().iter().map(|r| r.caption.as_ref().map(|c| (c.text.clone(), c.asked.clone())));
        (captions.collect::<Vec<_>>(), dataset.header().usage.usd)
    };
    let ((by_job, cheap), (by_itself, dear)) = (texts(&store).await, texts(&alone).await);
    assert_eq!(by_job, by_itself);
    assert!(cheap < dear * 0.8, "{cheap} {dear}");
}

#[tokio::test]
async fn embeddings_come_by_a_batch_job() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = Cloud::start().await;
    let (store, _) = dataset(folder.path()).await;
    let dataset = folder.path().join("dataset");
    let submitted = cloud.batch("embeddings", &dataset, &["--yes"]).await;
    assert_eq!(submitted["jobs"].as_array().unwrap().len(), 1);
    // A job that fails as a whole can be submitted anew.
    *cloud.state.lock().unwrap() = "Failed";
    let failed = cloud.batch("embeddings", &dataset, &[]).await;
    assert_eq!((&failed["open"], &failed["ended_badly"][0]["state"]), (&json!(FRAMES), &json!("Failed")));
    *cloud.state.lock().unwrap() = "Scheduled";
    cloud.batch("embeddings", &dataset, &["--yes"]).await;
    let tokens: Vec<_> =
        cloud.aws.requests_of(CREATE).iter().map(|r| r.json()["clientRequestToken"].clone()).collect();
    assert!(tokens.len() == 2 && tokens[0] != tokens[1], "{tokens:?}");

    // The fake has both inputs, which are the same.
    cloud.finish("Completed", |_, question| {
        Some(json!({"modelOutput": {"embedding": vector(question), "inputTextTokenCount": 0}}))
    });
    let output = cloud.s3.objects().into_iter().find(|(key, _)| key.contains("/output/")).unwrap();
    let other = output.0.replace(tokens[0].as_str().unwrap(), tokens[1].as_str().unwrap());
    cloud.s3.put(&other, output.1);
    let done = cloud.batch("embeddings", &dataset, &["--yes"]).await;
    assert_eq!((&done["answered"], &done["open"]), (&json!(FRAMES), &json!(0)), "{done}");
    assert!(
        (done["spent"]["usd"].as_f64().unwrap() - f64::from(FRAMES) * 0.00003).abs() < 1e-9,
        "half of 0.00006"
    );

    job(&store, cloud.embedder(&store), Arc::new(MeasuredCaptioner::new())).run().await.unwrap();
    assert_eq!(cloud.aws.count(TITAN), 0, "all were answered");
    let alone = Arc::new(FsStore::new(folder.path().join("alone")));
    job(&alone, cloud.embedder(&alone), Arc::new(MeasuredCaptioner::new())).run().await.unwrap();
    assert_eq!(cloud.aws.count(TITAN), FRAMES as usize);
    let rows = async |store: &Arc<FsStore>| {
        Dataset::open(Arc::<FsStore>::clone(store))
            .await
            .unwrap()
            .embeddings()
            .await
            .unwrap()
            .view()
            .to_owned()
    };
    assert_eq!(rows(&store).await, rows(&alone).await);
}
