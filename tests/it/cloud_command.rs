//! The command line with Amazon's services, as a user meets it: the program in a process of its own, the services played
//! by a server.

use std::{
    fmt::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use image::{Rgb, RgbImage};
use picchu::{
    dataset::Dataset,
    store::FsStore,
    train::{Entry, Happened, Ledger, ResourceKind},
};
use serde_json::{Value, json};

#[cfg(feature = "sagemaker")]
use crate::fake_sagemaker::service;
#[cfg(feature = "aws-train")]
use crate::train;
use crate::{
    fake_aws::{Answer, FakeAws, Recorded, SECRET},
    rekognition::{PROJECT, VERSION, bounding_box, cast, collection, label, version, with_references},
};

/// The program with credentials for the server and nothing of the user's own.
fn command(aws: &FakeAws, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_picchu"));
    command
        .args(arguments)
        .args(["--aws-endpoint", aws.endpoint(), "--aws-region", "us-east-1"])
        .env("AWS_ACCESS_KEY_ID", "AKIATESTTESTTEST")
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "none")
        .env("AWS_SHARED_CREDENTIALS_FILE", "none")
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_SESSION_TOKEN")
        .stdin(Stdio::null());
    command
}

async fn picchu(aws: &FakeAws, arguments: &[&str]) -> Output {
    let mut command = command(aws, arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// What it said; nothing of that may hold a secret.
fn text(output: &Output) -> String {
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains(SECRET), "{text}");
    text
}

async fn succeeds(aws: &FakeAws, arguments: &[&str]) -> String {
    let output = picchu(aws, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    text(&output)
}

fn ledger(folder: &Path) -> Ledger {
    Ledger::new(Arc::new(FsStore::new(folder)))
}

/// A cast file with one reference picture of each character.
fn cast_file(folder: &Path) -> String {
    let mut file = String::new();
    for character in with_references(&cast(), folder).characters {
        let picture = character.references[0].file_name().unwrap().to_str().unwrap();
        let _ = write!(file, "[[characters]]\nname = {:?}\nreferences = [{picture:?}]\n", character.name);
        if !character.labels.is_empty() {
            let _ = writeln!(file, "labels = {:?}", character.labels);
        }
    }
    let path = folder.join("cast.toml");
    std::fs::write(&path, file).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A folder of pictures, all different.
fn film(folder: &Path, pictures: u8) -> String {
    let film = folder.join("film");
    std::fs::create_dir(&film).unwrap();
    for n in 0..pictures {
        RgbImage::from_fn(960, 720, |x, y| Rgb([(x / 4) as u8, (y / 3) as u8, n * 40]))
            .save(film.join(format!("{n}.png")))
            .unwrap();
    }
    film.to_str().unwrap().to_owned()
}

/// An account in which Bedrock has nothing of picchu's and IAM does not answer.
fn beside_nothing_else(
    script: impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static,
) -> impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static {
    move |request, nth| match request.operation.as_str() {
        "GET /provisioned-model-throughputs" | "GET /model-customization-jobs" | "GET /custom-models" => {
            Answer::json(json!({}))
        }
        "ListRoles" => Answer::xml_error(403, "AccessDenied"),
        _ => script(request, nth),
    }
}

/// What a folder that knows of nothing finds.
async fn scan(aws: &FakeAws) -> (tempfile::TempDir, String) {
    let other = tempfile::tempdir().unwrap();
    let scanned = picchu(aws, &["clean", other.path().to_str().unwrap(), "--scan"]).await;
    (other, text(&scanned))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cast_is_enrolled_once_looked_at_and_deleted() {
    let aws = FakeAws::start(beside_nothing_else(collection(false))).await;
    let dir = tempfile::tempdir().unwrap();
    let (cast, folder) = (cast_file(dir.path()), dir.path().to_str().unwrap());
    let enrol = ["cast", "enrol", &cast, "--collection", "my-film"];
    let first = succeeds(&aws, &enrol).await;
    for words in ["my-film (new)", "Mayu", "enrolled; 1 smaller", "rejected: EXTREME_POSE", "3 paid calls"] {
        assert!(first.contains(words), "{words}: {first}");
    }
    let second = succeeds(&aws, &enrol).await;
    assert_eq!(second.matches("known already").count(), 2, "{second}");
    assert!(second.contains("1 paid calls"), "only the rejected picture is asked again: {second}");

    let looked = picchu(&aws, &["clean", folder]).await;
    assert_eq!(looked.status.code(), Some(2), "nobody is there to ask: {}", text(&looked));
    assert!(text(&looked).contains("face collection my-film in us-east-1: exists"), "{}", text(&looked));
    let line: Value = serde_json::from_str(&succeeds(&aws, &["clean", folder, "--json"]).await).unwrap();
    assert_eq!((&line["kind"], &line["exists"]), (&json!("face_collection"), &json!(true)));
    assert!(!succeeds(&aws, &["clean", folder, "--hourly"]).await.contains("my-film"));
    assert_eq!(aws.count("DeleteCollection"), 0, "looking removes nothing");
    let (elsewhere, scanned) = scan(&aws).await;
    assert!(scanned.contains("face collection my-film in us-east-1: exists"), "{scanned}");
    assert!(
        scanned.contains("not everything could be asked") && scanned.contains("iam ListRoles"),
        "{scanned}"
    );
    let older = ["clean", elsewhere.path().to_str().unwrap(), "--scan", "--older-than", "3650d"];
    assert!(text(&picchu(&aws, &older).await).contains("Nothing"), "it is younger");

    succeeds(&aws, &["cast", "delete", "--collection", "my-film", "--ledger", folder]).await;
    assert!(succeeds(&aws, &["clean", folder]).await.contains("Nothing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_tells_what_is_gone_and_what_it_may_not_ask() {
    let aws = FakeAws::start(collection(false)).await;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let entry = Entry::creating(ResourceKind::FaceCollection, "my-film", "us-east-1");
    ledger(dir.path()).note(&entry.now(Happened::Created)).await.unwrap();
    aws.next("DescribeCollection", [Answer::error(400, "AccessDeniedException", "not yours")]);
    let unknown = picchu(&aws, &["clean", folder]).await;
    assert!(
        text(&unknown).contains("may exist") && text(&unknown).contains("not yours"),
        "{}",
        text(&unknown)
    );
    assert!(succeeds(&aws, &["clean", folder, "--yes"]).await.contains("is gone"));
    assert!(ledger(dir.path()).open().await.unwrap().is_empty());
}

/// All of Amazon's services that a build needs, for people whom labels see and nobody else.
fn services() -> impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static {
    let faces = collection(false);
    let ana = Mutex::new(String::new());
    move |request, nth| match request.operation.as_str() {
        "DetectLabels" => Answer::json(json!({"Labels": [
            label("Person", &[], &[bounding_box(0.1, 0.1, 0.5, 0.85)])]})),
        "DetectFaces" => Answer::json(json!({"FaceDetails": [
            {"BoundingBox": bounding_box(0.25, 0.15, 0.15, 0.25), "Confidence": 99.0}]})),
        "SearchFacesByImage" => Answer::json(json!({"FaceMatches": [
            {"Similarity": 97.0, "Face": {"FaceId": "1", "ExternalImageId": ana.lock().unwrap().clone()}}]})),
        "IndexFaces" => {
            let id = request.json()["ExternalImageId"].as_str().unwrap().to_owned();
            if id.starts_with("mayu") {
                ana.lock().unwrap().clone_from(&id);
            }
            faces(request, nth)
        }
        "POST /model/amazon.titan-embed-image-v1/invoke" => {
            let values: Vec<f64> = (0..1024).map(|i| f64::from((i * (nth as i32 + 1)) % 7) + 1.0).collect();
            Answer::json(json!({"embedding": values, "inputTextTokenCount": 0, "message": null}))
        }
        "POST /model/amazon.nova-pro-v1%3A0/converse" => {
            let places = ["by the door", "under a lamp", "near the old wall", "at the gate", "on the stairs"];
            let caption = format!("Mayu waits {}, looking up.", places[nth % places.len()]);
            Answer::json(json!({
                "output": {"message": {"role": "assistant", "content": [{"toolUse": {
                    "toolUseId": "t1", "name": "record_caption", "input": {"caption": caption, "names": ["Mayu"]},
                }}]}},
                "stopReason": "tool_use",
                "usage": {"inputTokens": 1900, "outputTokens": 60, "totalTokens": 1960},
                "metrics": {"latencyMs": 5},
            }))
        }
        _ => faces(request, nth),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_becomes_a_dataset_by_amazons_services_alone() {
    let aws = FakeAws::start(services()).await;
    let dir = tempfile::tempdir().unwrap();
    let (cast, film, out) = (cast_file(dir.path()), film(dir.path(), 4), dir.path().join("dataset"));
    let out = out.to_str().unwrap();
    succeeds(&aws, &["cast", "enrol", &cast, "--collection", "my-film"]).await;
    let build = |more: &[&'static str]| {
        let build =
            ["build", &film, "--cast", &cast, "--out", out, "--providers", "aws", "--collection", "my-film"];
        let build: Vec<String> = build.iter().chain(more).map(ToString::to_string).collect();
        let aws = &aws;
        async move {
            let build: Vec<&str> = build.iter().map(String::as_str).collect();
            picchu(aws, &build).await
        }
    };
    let before = aws.requests().len();
    let plan = build(&["--dry-run"]).await;
    assert!(plan.status.success() && text(&plan).contains("rekognition"), "{}", text(&plan));
    let asked: Vec<_> = aws.requests()[before..].iter().map(|r| r.operation.clone()).collect();
    assert!(asked.iter().all(|operation| operation == "ListFaces"), "a plan pays nothing: {asked:?}");

    let poor = build(&["--budget", "0.002"]).await;
    assert_eq!(poor.status.code(), Some(6), "{}", text(&poor));
    let run = build(&[]).await;
    assert!(run.status.success(), "{}", text(&run));
    assert!(text(&run).contains("Mayu: in 4 images"), "{}", text(&run));
    assert!(text(&run).contains("paid calls"), "{}", text(&run));
    assert_eq!(aws.count("DetectLabels"), 4, "what the poor run paid is not paid again");
    let dataset = Dataset::open(Arc::new(FsStore::new(out))).await.unwrap();
    assert!(dataset.records().iter().all(|r| r.detection.decided_by == "rekognition:faces"));
    assert!(dataset.training_images().all(|image| image.caption.contains("Mayu waits")));

    let before = aws.requests().len();
    assert!(text(&build(&[]).await).contains("Nothing to do"));
    let asked: Vec<_> = aws.requests()[before..].iter().map(|r| r.operation.clone()).collect();
    assert!(asked.iter().all(|operation| operation == "ListFaces"), "{asked:?}");
}

/// A process that is killed stops nothing; its ledger does.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_model_left_running_by_a_killed_run_is_stopped_by_clean() {
    let (state, script) = version("STOPPED");
    let slow = move |request: &Recorded, nth: usize| {
        let answer = script(request, nth);
        if request.operation == "DetectCustomLabels" { answer.after(Duration::from_secs(30)) } else { answer }
    };
    let aws = FakeAws::start(beside_nothing_else(slow)).await;
    let dir = tempfile::tempdir().unwrap();
    let (cast, film, out) = (cast_file(dir.path()), film(dir.path(), 2), dir.path().join("dataset"));
    let folder = out.to_str().unwrap();
    let mut run = command(
        &aws,
        &[
            "build",
            &film,
            "--cast",
            &cast,
            "--out",
            folder,
            "--detector",
            "rekognition",
            "--custom-labels",
            VERSION,
            "--project",
            PROJECT,
            "--start-model",
        ],
    )
    .stdout(Stdio::null())
    .stderr(Stdio::null())
    .spawn()
    .unwrap();
    while aws.count("DetectCustomLabels") == 0 {
        assert!(run.try_wait().unwrap().is_none(), "the run ended before it could be killed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    run.kill().unwrap();
    run.wait().unwrap();
    assert_eq!(*state.lock().unwrap(), "RUNNING", "it bills on");

    let looked = picchu(&aws, &["clean", folder]).await;
    assert!(text(&looked).contains("exists; 4.00 US dollars an hour"), "{}", text(&looked));
    assert_eq!(*state.lock().unwrap(), "RUNNING", "looking stops nothing");
    let (_elsewhere, scanned) = scan(&aws).await;
    assert!(scanned.contains(&format!("running Custom Labels version {VERSION}")), "{scanned}");
    assert!(scanned.contains("8.00 US dollars an hour in all"), "two units run: {scanned}");
    assert!(succeeds(&aws, &["clean", folder, "--yes", "--hourly"]).await.contains("is removed"));
    assert_eq!(*state.lock().unwrap(), "STOPPING");
    *state.lock().unwrap() = "RUNNING".into();
    assert!(!scan(&aws).await.1.contains(VERSION), "what others start later is not picchu's");
    assert!(ledger(&out).open().await.unwrap().is_empty());
    assert!(succeeds(&aws, &["clean", folder]).await.contains("Nothing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_asks_the_services_and_pays_nothing() {
    let aws = FakeAws::start(|request, _| match request.operation.as_str() {
        "ListCollections" => Answer::error(400, "AccessDeniedException", "not allowed to list"),
        "GET /foundation-models" => Answer::json(json!({"modelSummaries": []})),
        "GET /" => Answer::bytes(503, "<Error><Code>ServiceUnavailable</Code></Error>"),
        model if model.contains("titan-embed") => Answer::json(json!({"modelDetails": {
            "modelArn": "arn", "modelId": "amazon.titan-embed-image-v1", "outputModalities": ["EMBEDDING"],
            "modelLifecycle": {"status": "LEGACY", "legacyTime": "2026-10-01T00:00:00Z",
                               "endOfLifeTime": "2027-05-01T00:00:00Z"}}})),
        model if model.contains("nova-canvas") => {
            Answer::error(404, "ResourceNotFoundException", "Could not resolve the foundation model")
        }
        model if model.starts_with("GET /foundation-models/") => Answer::json(json!({"modelDetails": {
            "modelArn": "arn", "modelId": "m", "outputModalities": ["TEXT"],
            "modelLifecycle": {"status": "ACTIVE"}}})),
        other => panic!("{other}"),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let run = file(
        "run.toml",
        "film = \"film.mp4\"\ncast = \"cast.toml\"\nout = \"out\"\n[embedder.titan]\n[captioner.nova]\n\
         model = \"a.new-model\"\n",
    );
    let told = succeeds(&aws, &["doctor", "--aws", "--config", &run]).await;
    assert_eq!(told.matches("amazon.titan-embed-image-v1 is legacy").count(), 1, "{told}");
    assert!(told.contains("ends 2027-05-01; instead: amazon.nova-2-multimodal-embeddings-v1:0"), "{told}");
    assert!(told.contains("a.new-model is active, no end announced"), "{told}");
    let training = file("train.toml", "dataset = \"s3://bucket/film\"\noutput = \"s3://bucket/model\"\n");
    let told = succeeds(&aws, &["doctor", "--aws", "--config", &training]).await;
    assert!(told.contains("amazon.nova-canvas-v1:0 reached the end of its life on 2026-09-30"), "{told}");
    for (wrong, words) in
        [("width = 3\n", "neither a run"), ("film = 3\n", "not understood"), ("=", "not understood")]
    {
        let refused = picchu(&aws, &["doctor", "--aws", "--config", &file("wrong.toml", wrong)]).await;
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused).contains(words), "{}", text(&refused));
    }
    let told = succeeds(&aws, &["doctor", "--aws", "--model", "amazon.nova-canvas-v1:0"]).await;
    for words in [
        "Region us-east-1",
        "access key …TEST",
        "Rekognition      answers, and does not allow rekognition:ListCollections",
        "Bedrock          answers",
        "problem S3",
        "amazon.titan-embed-image-v1 is legacy since 2026-10-01, ends 2027-05-01",
        "amazon.nova-pro-v1:0 is active",
        "amazon.nova-2-lite-v1:0 is active",
        "amazon.nova-canvas-v1:0 reached the end of its life on 2026-09-30; instead: an open model",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(succeeds(&aws, &["doctor"]).await.contains("--aws asks the services"));
}

/// Bedrock that trains, and an exported dataset on S3, behind one address.
#[cfg(feature = "aws-train")]
fn training(
    alive: bool,
) -> (Arc<Mutex<train::Held>>, impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static) {
    let (held, bedrock) = train::service(alive);
    let mut png = std::io::Cursor::new(Vec::new());
    RgbImage::from_pixel(512, 640, Rgb([9, 1, 2])).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let png = png.into_inner();
    let line =
        |n: usize| json!({"image-ref": format!("s3://bucket/film/images/{n}.png"), "caption": "Mayu waits."});
    let (mut manifest, mut contents, size) = (String::new(), String::new(), png.len());
    for n in 0..5 {
        let _ = writeln!(manifest, "{}", line(n));
        let _ = write!(contents, "<Contents><Key>film/images/{n}.png</Key><Size>{size}</Size></Contents>");
    }
    let list = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>");
    let script = move |request: &Recorded, nth: usize| match request.operation.as_str() {
        "GET /bucket/film/train.jsonl" => Answer::bytes(200, manifest.clone()),
        "GET /bucket/film/.picchu-export.json" => {
            Answer::bytes(200, r#"{"format": "nova", "picchu": "0.1.0", "pictures": 6, "unreviewed": 0}"#)
        }
        "GET /bucket" | "GET /bucket/" => Answer::bytes(200, list.clone()),
        image if image.starts_with("GET /bucket/film/images/") => Answer::bytes(200, png.clone()),
        metrics if metrics.ends_with("/step_wise_training_metrics.csv") => {
            assert!(metrics.starts_with("GET /bucket/model/model-customization-job-picchu-"), "{metrics}");
            Answer::bytes(200, "step_number,epoch_number,training_loss\n1,,0.75\n2,,0.25\n")
        }
        _ => bedrock(request, nth),
    };
    (held, script)
}

/// A storyboard of three images, one of them blocked.
#[cfg(feature = "aws-train")]
async fn draw(aws: &FakeAws, dir: &Path, deployment: &str) {
    let panels = dir.join("panels.toml");
    std::fs::write(
        &panels,
        "[[panels]]\nprompt = \"Mayu waves\"\ncount = 2\n[[panels]]\nprompt = \"blocked\"\n",
    )
    .unwrap();
    let board = dir.join("board");
    let draw =
        ["generate", panels.to_str().unwrap(), "--model", deployment, "--out", board.to_str().unwrap()];
    let printed = succeeds(aws, &[&draw[..4], &["--print-request"]].concat()).await;
    let printed: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let planned = succeeds(aws, &[&draw[..], &["--dry-run"]].concat()).await;
    assert!(planned.contains("3 images to draw, at no price for each"), "{planned}");
    let by_the_image =
        [&draw[..2], &["--model", "amazon.nova-canvas-v1:0"], &draw[4..], &["--dry-run"]].concat();
    let planned = succeeds(aws, &by_the_image).await;
    assert!(planned.contains("3 images to draw, about 0.18 US dollars"), "{planned}");
    let drawn = picchu(aws, &draw).await;
    assert_eq!(drawn.status.code(), Some(1), "{}", text(&drawn));
    assert!(text(&drawn).contains("3 paid calls, 0.0000 US dollars"), "{}", text(&drawn));
    assert!(text(&drawn).contains("panel 1: 2 images") && text(&drawn).contains("blocked by the filters"));
    assert_eq!(std::fs::read_dir(board.join("panels")).unwrap().count(), 2);
    let sent: Vec<_> = aws.requests().into_iter().filter(|r| r.operation.ends_with("/invoke")).collect();
    assert_eq!((printed.len(), sent.len()), (3, 3), "what was printed was not sent then");
    for (printed, sent) in printed.iter().zip(&sent) {
        let body = BASE64_STANDARD.decode(printed["body"].as_str().unwrap()).unwrap();
        assert_eq!((&printed["modelId"], &body[..]), (&json!(deployment), &sent.body[..]));
    }
    assert!(board.join("storyboard.html").exists() && board.join("storyboard.png").exists());
}

#[cfg(feature = "aws-train")]
#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_trained_served_asked_to_draw_and_cleaned_away() {
    let (held, script) = training(true);
    let aws = FakeAws::start(script).await;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let train = [
        "train",
        "s3://bucket/film",
        "--output",
        "s3://bucket/model",
        "--role",
        train::ROLE,
        "--ledger",
        folder,
    ];
    let with = |more: &[&'static str]| [&train[..], more].concat();
    let looked = succeeds(&aws, &with(&["--check", "--preset", "characters"])).await;
    assert!(looked.contains("896000 pictures are looked at; what that costs is not known"), "{looked}");
    let printed = succeeds(&aws, &with(&["--print-request", "--set", "stepCount=700"])).await;
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["hyperParameters"]["stepCount"], "700");
    let role = succeeds(&aws, &with(&["--print-role", "123456789012"])).await;
    assert!(role.contains("s3:PutObject") && role.contains("bedrock.amazonaws.com"), "{role}");
    let unasked = picchu(&aws, &with(&[])).await;
    assert_eq!(unasked.status.code(), Some(2), "nobody is there to ask: {}", text(&unasked));
    assert_eq!(aws.count("POST /model-customization-jobs"), 0);

    succeeds(&aws, &with(&["--yes"])).await;
    succeeds(&aws, &with(&["--yes"])).await;
    assert_eq!(aws.count("POST /model-customization-jobs"), 1, "the second run finds the first one's job");
    let job = held.lock().unwrap().jobs.keys().next().unwrap().clone();
    assert!(succeeds(&aws, &["status", folder]).await.contains("in progress"));
    held.lock().unwrap().jobs.insert(job.clone(), "Completed".into());
    let status = succeeds(&aws, &["status", folder]).await;
    let model = train::arn("custom-model", &job);
    assert!(status.contains("completed") && status.contains(&model), "{status}");
    assert!(status.contains("\n    0.75 █▁ 0.25 at step 2"), "{status}");

    let printed = succeeds(&aws, &["deploy", &model, "--ledger", folder, "--print-request"]).await;
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&printed["modelId"], aws.count("POST /provisioned-model-throughput")), (&json!(model), 0));
    let deploy = ["deploy", &model, "--ledger", folder, "--yes", "--json"];
    let deployed: Value = serde_json::from_str(&succeeds(&aws, &deploy).await).unwrap();
    let deployment = deployed["deployment"]["id"].as_str().unwrap();
    let better = train::arn("custom-model", "better");
    let update = ["deploy", &better, "--update", deployment, "--ledger", folder];
    let printed = succeeds(&aws, &[&update[..], &["--print-request"]].concat()).await;
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        (&printed["provisionedModelId"], &printed["desiredModelId"]),
        (&json!(deployment), &json!(better))
    );
    assert!(succeeds(&aws, &[&update[..], &["--yes"]].concat()).await.contains("serves"));
    assert_eq!(aws.count("POST /provisioned-model-throughput"), 1);
    draw(&aws, dir.path(), deployment).await;

    // Another job, with a role of its own making.
    let second =
        ["train", "s3://bucket/film", "--output", "s3://bucket/model", "--name", "second", "--create-role"];
    let second = |more: &[&'static str]| [&second[..], &["--ledger", folder], more].concat();
    let printed: Value = serde_json::from_str(&succeeds(&aws, &second(&["--print-request"])).await).unwrap();
    assert!(held.lock().unwrap().roles.is_empty());
    succeeds(&aws, &second(&["--yes"])).await;
    let role = held.lock().unwrap().roles.keys().next().unwrap().clone();
    assert_eq!(printed["roleArn"], format!("arn:aws:iam::123456789012:role/{role}"));
    assert!(role.starts_with("picchu-train-"), "{role}");

    let looked = picchu(&aws, &["clean", folder]).await;
    assert!(
        text(&looked).contains("provisioned throughput")
            && text(&looked).contains(&role)
            && text(&looked).contains("60.50 US dollars an hour in all")
    );
    assert!(succeeds(&aws, &["clean", folder, "--older-than", "1h", "--yes"]).await.contains("Nothing"));
    let other = tempfile::tempdir().unwrap();
    let other = other.path().to_str().unwrap();
    assert!(succeeds(&aws, &["clean", other]).await.contains("Nothing"));
    let scanned = picchu(&aws, &["clean", other, "--scan"]).await;
    assert!(text(&scanned).contains(&job) && text(&scanned).contains(&role), "{}", text(&scanned));
    assert!(text(&scanned).contains("121.00 US dollars an hour in all"), "{}", text(&scanned));
    succeeds(&aws, &["clean", folder, "--yes"]).await;
    assert!(held.lock().unwrap().is_empty(), "{held:?}");
    assert!(succeeds(&aws, &["clean", other, "--scan"]).await.contains("Nothing"));
    assert!(succeeds(&aws, &["status", folder]).await.contains("Nothing is at work"));
}

#[cfg(feature = "sagemaker")]
#[tokio::test(flavor = "multi_thread")]
async fn a_lora_is_trained_and_served_on_sagemaker_and_cleaned_away() {
    let (held, script) = service(4);
    let aws = FakeAws::start(script).await;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let panels = dir.path().join("panels.toml");
    std::fs::write(&panels, "[[panels]]\nprompt = \"Mayu waves\"\nseed = 7\n").unwrap();
    let panels = panels.to_str().unwrap();
    let train = ["train", "s3://bucket/film", "--on", "sagemaker", "--output", "s3://bucket/model"];
    let rest = ["--ledger", folder, "--spot", "--instance", "ml.g5.2xlarge", "--set", "steps=700"];
    let with = |more: &[&'static str]| [&train[..], &rest, more].concat();

    let refused = text(&picchu(&aws, &with(&["--check"])).await);
    assert!(refused.contains("give --role, or --create-role"), "{refused}");
    let role = succeeds(&aws, &with(&["--print-role", "123456789012"])).await;
    assert!(role.contains("sagemaker.amazonaws.com") && role.contains("arn:aws:s3:::bucket/film"), "{role}");
    let printed = succeeds(&aws, &with(&["--print-request", "--role", train::ROLE])).await;
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["EnableManagedSpotTraining"], true);
    let looked = succeeds(&aws, &with(&["--check", "--role", train::ROLE])).await;
    assert!(looked.contains("licence apache-2.0"), "{looked}");
    let unasked = picchu(&aws, &with(&["--role", train::ROLE])).await;
    assert_eq!(unasked.status.code(), Some(2), "nobody is there to ask: {}", text(&unasked));
    assert_eq!(aws.count("CreateTrainingJob"), 0);

    for _ in 0..2 {
        succeeds(&aws, &with(&["--yes", "--role", train::ROLE])).await;
    }
    assert_eq!(aws.count("CreateTrainingJob"), 1, "the second run finds the first one's job");
    let sent: Value = serde_json::from_slice(&aws.requests_of("CreateTrainingJob")[0].body).unwrap();
    assert_eq!(sent, printed, "what was printed is what was sent");
    let status = succeeds(&aws, &["status", folder]).await;
    assert!(status.contains("SageMaker training job") && status.contains("waiting"), "{status}");
    held.lock().unwrap().complete();
    let watched = succeeds(&aws, &with(&["--yes", "--role", train::ROLE, "--watch"])).await;
    assert!(watched.contains("completed"), "{watched}");

    let job = held.lock().unwrap().jobs.keys().next().unwrap().clone();
    let deploy = ["deploy", &job, "--on", "sagemaker", "--ledger", folder, "--yes", "--json"];
    let deployed: Value = serde_json::from_str(&succeeds(&aws, &deploy).await).unwrap();
    let (endpoint, images) = (deployed["deployment"]["id"].as_str(), deployed["images"].as_str());
    let board = dir.path().join("board");
    let generate = ["generate", panels, "--out", board.to_str().unwrap(), "--endpoint", endpoint.unwrap()];
    let alone = text(&picchu(&aws, &generate).await);
    assert!(alone.contains("--images"), "{alone}");
    let drawn = succeeds(&aws, &[&generate[..], &["--images", images.unwrap()]].concat()).await;
    assert!(drawn.contains("1 images to draw, at no price for each"), "{drawn}");
    assert_eq!(std::fs::read_dir(board.join("panels")).unwrap().count(), 1);

    succeeds(&aws, &["clean", folder, "--yes"]).await;
    assert!(held.lock().unwrap().is_empty(), "{held:?}");
}

#[cfg(feature = "aws-train")]
#[tokio::test(flavor = "multi_thread")]
async fn a_model_at_its_end_is_told_before_anything_is_read_or_created() {
    let (_, script) = training(false);
    let aws = FakeAws::start(script).await;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let refused = picchu(
        &aws,
        &[
            "train",
            "s3://bucket/film",
            "--output",
            "s3://bucket/model",
            "--role",
            train::ROLE,
            "--ledger",
            folder,
            "--yes",
        ],
    )
    .await;
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert!(text(&refused).contains("reached the end of its life on 2026-09-30 and cannot be trained"));
    assert!(text(&refused).contains("picchu export --to diffusers"), "{}", text(&refused));
    assert!(aws.requests().iter().all(|r| r.operation.starts_with("GET /foundation-models/")));
    assert!(!dir.path().join("ledger.jsonl").exists());
}

/// What `train`, `deploy` and `clean` do in a folder, one after the other.
#[cfg(all(unix, feature = "aws-train"))]
struct Commands {
    aws: FakeAws,
    held: Arc<Mutex<train::Held>>,
    folder: tempfile::TempDir,
}

#[cfg(all(unix, feature = "aws-train"))]
impl Commands {
    /// Against a service that does what its request number `cut` wants and never answers it.
    async fn new(cut: usize) -> Self {
        let (held, script) = training(true);
        let number = std::sync::atomic::AtomicUsize::new(0);
        let aws = FakeAws::start(move |request, nth| {
            let answer = script(request, nth);
            let this = number.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == cut;
            if this { answer.after(Duration::from_mins(10)) } else { answer }
        })
        .await;
        Self { aws, held, folder: tempfile::tempdir().unwrap() }
    }

    fn job(&self) -> Option<String> {
        self.held.lock().unwrap().jobs.keys().next().cloned()
    }

    fn arguments(&self, step: usize) -> Vec<String> {
        let model = train::arn("custom-model", &self.job().unwrap_or_default());
        let words: &[&str] = match step {
            0 => &["train", "s3://bucket/film", "--output", "s3://bucket/model", "--create-role", "--ledger"],
            1 => &["deploy", &model, "--ledger"],
            _ => &["clean"],
        };
        let folder = self.folder.path().to_str().unwrap();
        words.iter().chain(&[folder, "--yes"]).map(ToString::to_string).collect()
    }

    /// Runs a command, which dies as soon as the service has heard the request that it does not answer. Whether it lived.
    async fn step(&self, step: usize, cut: usize) -> bool {
        let arguments = self.arguments(step);
        let mut child = command(&self.aws, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        loop {
            if self.aws.requests().len() > cut {
                child.kill().unwrap();
                child.wait().unwrap();
                return false;
            }
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{arguments:?}");
                return true;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    /// The job is through as soon as it is there.
    fn complete(&self) {
        let job = self.job().unwrap();
        self.held.lock().unwrap().jobs.insert(job, "Completed".into());
    }

    async fn again(&self, steps: impl Iterator<Item = usize>) {
        for step in steps {
            let arguments = self.arguments(step);
            succeeds(&self.aws, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;
            if step == 0 {
                self.complete();
            }
            if step == 1 {
                let open = ledger(self.folder.path()).open().await.unwrap();
                let created = open.iter().filter(|entry| entry.happened == Happened::Created).count();
                assert_eq!((open.len(), created), (3, 3), "{open:?}");
            }
        }
    }
}

/// SIGKILL to the program at each request that the service hears, and the same commands once more: one role, one job, one
/// model, one throughput, and in the end none.
#[cfg(all(unix, feature = "aws-train"))]
#[tokio::test(flavor = "multi_thread")]
async fn programs_killed_at_any_request_start_nothing_twice_and_leave_nothing() {
    use futures::StreamExt;

    let whole = Commands::new(usize::MAX).await;
    whole.again(0..3).await;
    let requests = whole.aws.requests().len();
    let lives = (0..requests).map(|cut| async move {
        let life = Commands::new(cut).await;
        let mut died = 0;
        while life.step(died, cut).await {
            if died == 0 {
                life.complete();
            }
            died += 1;
        }
        let heard = life.aws.requests().pop().unwrap().operation;
        // What was to be cleaned away when the program died is not wanted again.
        life.again(if died == 2 { 2..3 } else { 0..3 }).await;
        for created in ["CreateRole", "POST /model-customization-jobs", "POST /provisioned-model-throughput"]
        {
            assert_eq!(life.aws.count(created), 1, "{created}, killed at request {cut}: {heard}");
        }
        let held = life.held.lock().unwrap();
        assert!(held.is_empty() && held.made() == 1, "killed at request {cut}: {heard}: {held:?}");
        heard
    });
    let heard: Vec<String> = futures::stream::iter(lives).buffer_unordered(6).collect().await;
    for killed_at in
        ["CreateRole", "POST /model-customization-jobs", "POST /provisioned-model-throughput", "DeleteRole"]
    {
        assert!(heard.iter().any(|heard| heard == killed_at), "{killed_at}: {heard:?}");
    }
    println!("{requests} requests, killed at each");
}
