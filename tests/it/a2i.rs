//! Review by Amazon A2I over real HTTP, against a server that keeps human loops as the service does.

use std::{
    collections::BTreeMap,
    process::{Command, Output},
    sync::{Arc, Mutex},
};

use picchu::{
    Dataset, ErrorKind, Store,
    aws::{
        S3Store,
        a2i::{A2iReviewer, Answers, LoopStatus, Started, TEMPLATE},
    },
    store::MemoryStore,
    types::Decision,
};
use serde_json::{Value, json};

use crate::{
    fake_aws::{Answer, FakeAws, Recorded, SECRET},
    fake_s3::FakeS3,
    review,
};

const FLOW: &str = "arn:aws:sagemaker:us-east-1:123456789012:flow-definition/film";

/// The loops that the service holds: their input, and how far they are.
type Loops = Arc<Mutex<BTreeMap<String, (Value, &'static str)>>>;

fn service(loops: &Loops) -> impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static {
    let loops = Arc::clone(loops);
    move |request, _| {
        let mut loops = loops.lock().unwrap();
        let (method, path) = request.operation.split_once(' ').unwrap();
        let name = path.rsplit('/').next().unwrap().to_owned();
        match (method, path) {
            ("POST", "/human-loops") => {
                let body = request.json();
                assert_eq!(body["FlowDefinitionArn"], FLOW);
                let name = body["HumanLoopName"].as_str().unwrap();
                assert!(name.len() <= 63 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
                let input = serde_json::from_str(body["HumanLoopInput"]["InputContent"].as_str().unwrap());
                assert!(loops.insert(name.into(), (input.unwrap(), "InProgress")).is_none(), "started twice");
                Answer::json(
                    json!({"HumanLoopArn": format!("arn:aws:sagemaker:us-east-1:1:human-loop/{name}")}),
                )
            }
            ("POST", "/human-loops/stop") => {
                let body = request.json();
                loops.get_mut(body["HumanLoopName"].as_str().unwrap()).unwrap().1 = "Stopped";
                Answer::json(json!({}))
            }
            ("GET", path) if path.starts_with("/human-loops/") => match loops.get(&name) {
                None => Answer::error(404, "ResourceNotFoundException", "no such loop"),
                Some((_, status)) => {
                    let output = (*status == "Completed").then(
                        || json!({"OutputS3Uri": format!("s3://out/film/2026/11/24/{name}/output.json")}),
                    );
                    Answer::json(json!({
                        "HumanLoopName": name, "HumanLoopStatus": status, "CreationTime": "2026-11-24T14:34:56Z",
                        "HumanLoopArn": "arn", "FlowDefinitionArn": FLOW, "HumanLoopOutput": output,
                        "FailureReason": (*status == "Failed").then_some("nobody took it in time"),
                    }))
                }
            },
            ("DELETE", _) => {
                loops.remove(&name).unwrap();
                Answer::json(json!({}))
            }
            // Two workers of three think that the image is not good.
            ("GET", path) if path.starts_with("/out/film/") => {
                let name = path.rsplit('/').nth(1).unwrap();
                let worker = |id: &str, second: u32, good: bool, caption: &str| {
                    json!({
                        "workerId": id, "submissionTime": format!("2026-11-24T14:34:{second:02}Z"),
                        "answerContent": {"accept": {"accept": good}, "reject": {"reject": !good},
                            "reason": "cut off", "character": loops[name].0["character"], "caption": caption},
                    })
                };
                Answer::json(json!({
                    "flowDefinitionArn": FLOW, "humanLoopName": name, "inputContent": loops[name].0,
                    "humanAnswers": [worker("w1", 3, true, "Mayu waits."), worker("w2", 1, false, ""),
                                     worker("w3", 2, false, "")],
                }))
            }
            _ => panic!("{}", request.operation),
        }
    }
}

/// A dataset on S3.
async fn build(s3: &FakeS3) -> Dataset {
    let store: Arc<dyn Store> = Arc::new(S3Store::new("s3://films/one", &s3.context()).unwrap());
    review::build(store).await
}

fn kept(dataset: &Dataset) -> usize {
    dataset.records().iter().filter(|r| r.is_kept()).count()
}

#[tokio::test]
async fn loops_are_started_once_followed_and_read() {
    let loops = Loops::default();
    let (aws, s3) = (FakeAws::start(service(&loops)).await, FakeS3::start().await);
    let dataset = build(&s3).await;
    let reviewer = A2iReviewer::new(&aws.context(), FLOW).unwrap();
    let images = kept(&dataset);
    assert!(images >= 3);
    // The service is out of reach once; that is tried again.
    aws.next("POST /human-loops", [Answer::unavailable()]);
    assert_eq!(reviewer.start(&dataset).await.unwrap(), Started { started: images, there: 0 });
    assert_eq!(reviewer.start(&dataset).await.unwrap(), Started { started: 0, there: images });
    let (name, input) = {
        let loops = loops.lock().unwrap();
        let (name, (input, _)) = loops.iter().next().unwrap();
        (name.clone(), input.clone())
    };
    let record = dataset.get(input["record"].as_str().unwrap()).unwrap();
    let image = &record.crop.as_ref().unwrap().image;
    assert_eq!(input["image"], format!("s3://films/one/{image}"));
    assert_eq!((&input["character"], &input["characters"]), (&json!("Mayu"), &json!(["Mayu"])));
    assert!(input["box"]["width"].as_f64().unwrap() > 0.0);
    // Everything that the page shows is sent.
    for (_, rest) in
        TEMPLATE.match_indices("task.input.").map(|(at, found)| (at, &TEMPLATE[at + found.len()..]))
    {
        let field: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
        assert!(!input[&field].is_null(), "{field}");
    }

    assert_eq!(reviewer.read(&dataset).await.unwrap(), Answers { waiting: images, ..Answers::default() });
    loops.lock().unwrap().get_mut(&name).unwrap().1 = "Completed";
    let failed = loops.lock().unwrap().keys().nth(1).unwrap().clone();
    loops.lock().unwrap().get_mut(&failed).unwrap().1 = "Failed";
    let followed = reviewer.follow(&dataset).await.unwrap();
    let lost = followed.iter().find(|l| l.status == LoopStatus::Failed).unwrap();
    assert_eq!(lost.reason.as_deref(), Some("nobody took it in time"));
    let answers = reviewer.read(&dataset).await.unwrap();
    assert_eq!((answers.read, answers.waiting, answers.without_answer), (1, images - 2, 1));
    let who: Vec<_> = answers.reviews.iter().map(|review| review.reviewer.as_str()).collect();
    assert_eq!(who, ["a2i:w2", "a2i:w3", "a2i:w1", "a2i:majority"]);
    assert_eq!(answers.reviews[3].decision, Decision::Reject { reason: "cut off".into() });
    let (merged, conflicts) = dataset.merge_reviews(std::slice::from_ref(&answers.reviews)).await.unwrap();
    assert_eq!(conflicts.len(), 1);
    assert_eq!(merged.judgement(&record.id).unwrap().rejected.as_deref(), Some("cut off"));
    let again = reviewer.read(&merged).await.unwrap();
    assert_eq!(merged.merge_reviews(&[again.reviews]).await.unwrap().0.reviews(), merged.reviews());
    // What a person decided about is not asked again; what was deleted may be started anew.
    assert_eq!(reviewer.start(&merged).await.unwrap(), Started { started: 0, there: images - 1 });
    assert_eq!(reviewer.delete(&merged).await.unwrap(), 2);
    assert_eq!(reviewer.start(&merged).await.unwrap(), Started { started: 1, there: images - 2 });
    assert_eq!(reviewer.stop(&merged).await.unwrap(), images - 1);
    assert_eq!(reviewer.delete(&merged).await.unwrap(), images - 1);
    assert!(loops.lock().unwrap().is_empty());
}

#[tokio::test]
async fn accounts_that_are_not_admitted_are_told_what_works() {
    let refusals = [
        (
            Answer::error(400, "AccessDeniedException", "not available to this account"),
            ErrorKind::PermissionDenied,
        ),
        (Answer::error(400, "ValidationException", "The account is not onboarded"), ErrorKind::InvalidInput),
    ];
    for (refusal, kind) in refusals {
        let aws = FakeAws::start(move |request, _| match request.operation.as_str() {
            "POST /human-loops" => refusal.clone(),
            _ => Answer::error(404, "ResourceNotFoundException", "no such loop"),
        })
        .await;
        let s3 = FakeS3::start().await;
        let dataset = build(&s3).await;
        let error = A2iReviewer::new(&aws.context(), FLOW).unwrap().start(&dataset).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let words = error.to_string();
        assert!(words.contains("closed to new customers") && words.contains("picchu review DIR"), "{words}");
        assert!(!words.contains(SECRET));
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_a_call() {
    let aws = FakeAws::start(|request, _| panic!("{}", request.operation)).await;
    for arn in ["film", "arn:aws:sagemaker:us-east-1:1:endpoint/film", ""] {
        let error = A2iReviewer::new(&aws.context(), arn).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let dataset = review::build(Arc::new(MemoryStore::new())).await;
    let error = A2iReviewer::new(&aws.context(), FLOW).unwrap().start(&dataset).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("aws s3 sync"), "{error}");
    assert!(aws.requests().is_empty());
}

#[tokio::test]
async fn the_command_prints_the_template_and_tells_how_far_it_is() {
    let loops = Loops::default();
    let aws = FakeAws::start(service(&loops)).await;
    let dir = tempfile::tempdir().unwrap();
    let dataset = review::build(Arc::new(picchu::store::FsStore::new(dir.path()))).await;
    let run = |arguments: &'static [&'static str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_picchu"));
        command
            .arg("review")
            .arg(dir.path())
            .args(arguments)
            .args(["--aws-endpoint", aws.endpoint(), "--aws-region", "us-east-1"])
            .env("AWS_ACCESS_KEY_ID", "AKIATESTTESTTEST")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_CONFIG_FILE", "none")
            .env("AWS_SHARED_CREDENTIALS_FILE", "none");
        async move { tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap() }
    };
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text(&run(&["--a2i", "template"]).await).trim(), TEMPLATE.trim());
    // Without a flow there is nothing to ask.
    assert_eq!(run(&["--a2i", "status"]).await.status.code(), Some(2));
    let refused = run(&["--json", "--a2i", "start", "--flow", FLOW]).await;
    assert!(text(&refused).contains("aws s3 sync"), "{refused:?}");
    // A loop that was started from a copy on S3 is the same loop.
    let s3 = FakeS3::start().await;
    let copy = build(&s3).await;
    A2iReviewer::new(&aws.context(), FLOW).unwrap().start(&copy).await.unwrap();
    let status = run(&["--json", "--a2i", "status", "--flow", FLOW]).await;
    let said: Value = serde_json::from_str(&text(&status)).unwrap();
    assert_eq!(said["loops"].as_array().unwrap().len(), kept(&dataset), "{said}");
    for (_, status) in loops.lock().unwrap().values_mut() {
        *status = "Completed";
    }
    let read = run(&["--json", "--a2i", "read", "--flow", FLOW]).await;
    let said: Value = serde_json::from_str(&text(&read)).unwrap();
    assert_eq!(said["added"], kept(&dataset) * 4, "{said}");
}
