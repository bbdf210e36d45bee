//! Review in Label Studio: tasks out, annotations in.

use std::{process::Command, sync::Arc};

use picchu::{
    Dataset, ErrorKind, Store,
    dataset::label_studio::{Options, Pictures},
    store::{FsStore, MemoryStore},
    types::{Decision, Review},
};
use serde_json::{Value, json};

/// A dataset with hostile words: of its two first images, one has a hostile caption and the other a hostile name.
async fn build(store: Arc<dyn Store>) -> Dataset {
    let dataset = crate::review::build(store).await;
    let ids = kept(&dataset);
    let said = |record: &String, decision| Review {
        record: record.clone(),
        decision,
        reviewer: "ann".into(),
        time_ms: 1,
    };
    let log = [
        said(&ids[0], Decision::Edit { caption: CAPTION.into() }),
        said(&ids[1], Decision::Rename { character: NAME.into() }),
    ];
    dataset.decide(&log).await.unwrap()
}

const CAPTION: &str = "Mayu <script>alert(1)</script> \"onerror=\u{202E} $image";
const NAME: &str = "\"/><Style>*{}</Style> $image & Söhne";

fn kept(dataset: &Dataset) -> Vec<String> {
    dataset.records().iter().filter(|r| r.is_kept()).map(|r| r.id.clone()).collect()
}

async fn tasks(dataset: &Dataset) -> Vec<Value> {
    let pictures = Pictures::At("/data/local-files/?d=film/dataset".into());
    let project = dataset.label_studio_project(&Options { pictures, ..Options::default() }).await.unwrap();
    let tasks: Vec<Value> = serde_json::from_slice(&project.tasks).unwrap();
    assert_eq!(tasks.len(), project.count);
    tasks
}

fn answer(name: &str, kind: &str, text: &str) -> Value {
    let field = if kind == "textarea" { "text" } else { "choices" };
    json!({"id": name, "from_name": name, "to_name": "image", "type": kind, "value": {field: [text]}})
}

fn annotation(who: Value, at: &str, result: Value) -> Value {
    json!({"id": 1, "completed_by": who, "was_cancelled": false, "created_at": "2026-11-01T00:00:00.5Z",
           "updated_at": at, "result": result, "ground_truth": false, "lead_time": 3.5})
}

fn export(tasks: &[Value]) -> Vec<u8> {
    serde_json::to_vec(tasks).unwrap()
}

fn with(task: &Value, annotations: &[Value]) -> Value {
    let mut task = task.clone();
    task.as_object_mut().unwrap().remove("predictions");
    task["id"] = json!(7);
    task["annotations"] = json!(annotations);
    task
}

const AT: &str = "2026-11-24T14:34:56.007000Z";

#[tokio::test]
async fn tasks_tell_what_counts() {
    let dataset = build(Arc::new(MemoryStore::new())).await;
    let tasks = tasks(&dataset).await;
    assert_eq!(tasks.len(), kept(&dataset).len());
    for (task, id) in tasks.iter().zip(kept(&dataset)) {
        let record = dataset.get(&id).unwrap();
        let crop = record.crop.as_ref().unwrap();
        assert_eq!((&task["data"]["record"], &task["meta"]["record"]), (&json!(id), &json!(id)));
        let image = format!("/data/local-files/?d=film/dataset/{}", crop.image);
        assert_eq!(task["data"]["image"], image);
        let own = &task["predictions"][0]["result"][0]["value"];
        // The box in the image is the box in the frame.
        let x = own["x"].as_f64().unwrap() / 100.0 * f64::from(crop.rect.width) + f64::from(crop.rect.x);
        let left = f64::from(record.detection.bounding_box.left) * f64::from(record.frame.width);
        assert!((x - left).abs() < 1.0, "{x} {left}");
    }
    assert_eq!(tasks[0]["data"]["caption"], CAPTION);
    assert_eq!(tasks[1]["data"]["character"], NAME);
    let project =
        dataset.label_studio_project(&Options { unreviewed: true, ..Options::default() }).await.unwrap();
    assert_eq!(project.count, tasks.len() - 2);
    let embedded: Vec<Value> = serde_json::from_slice(&project.tasks).unwrap();
    assert!(embedded[0]["data"]["image"].as_str().unwrap().starts_with("data:image/jpeg;base64,/9j/"));
}

#[tokio::test]
async fn annotations_become_decisions() {
    let dataset = build(Arc::new(MemoryStore::new())).await;
    let (tasks, ids) = (tasks(&dataset).await, kept(&dataset));
    let untouched = tasks[1]["predictions"][0]["result"].clone();
    let renamed = untouched[1].clone();
    let mut accepted = untouched.as_array().unwrap().clone();
    accepted.push(answer("verdict", "choices", "accept"));
    let body = export(&[
        // What the prediction said, left as it is, and accepted.
        with(&tasks[1], &[annotation(json!(3), AT, json!(accepted))]),
        // Two people who do not agree, and one who skipped.
        with(
            &tasks[2],
            &[
                annotation(
                    json!({"id": 4, "email": "bob@example.com"}),
                    AT,
                    json!([answer("verdict", "choices", "reject"), answer("reason", "choices", "blurred"),]),
                ),
                annotation(
                    json!(3),
                    "2026-11-24T14:34:57Z",
                    json!([
                        renamed,
                        answer("caption", "textarea", CAPTION),
                        answer("verdict", "choices", "accept"),
                    ]),
                ),
                json!({"completed_by": 5, "was_cancelled": true, "result": []}),
            ],
        ),
        with(&tasks[3], &[]),
        with(&tasks[0], &[annotation(json!(3), AT, json!([]))]),
    ]);
    let answers = dataset.read_label_studio(&body, "export.json").unwrap();
    assert_eq!((answers.unanswered, answers.skipped, answers.empty), (1, 1, 1));
    let at = 1_795_530_896_007;
    let said = |record: &String, reviewer: &str, time_ms, decision| Review {
        record: record.clone(),
        decision,
        reviewer: reviewer.into(),
        time_ms,
    };
    assert_eq!(
        answers.reviews,
        [
            said(&ids[1], "label-studio:3", at, Decision::Accept),
            said(&ids[2], "bob@example.com", at, Decision::Reject { reason: "blurred".into() }),
            said(&ids[2], "label-studio:3", at + 993, Decision::Rename { character: NAME.into() }),
            said(&ids[2], "label-studio:3", at + 994, Decision::Edit { caption: CAPTION.into() }),
        ]
    );
    let (merged, conflicts) = dataset.merge_reviews(std::slice::from_ref(&answers.reviews)).await.unwrap();
    assert_eq!(conflicts.iter().map(|c| &c.record).collect::<Vec<_>>(), [&ids[1], &ids[2]]);
    let image = merged.training_images().find(|image| image.record.id == ids[2]).unwrap();
    assert_eq!((image.record.character(), image.caption), (Some(NAME), CAPTION));
    let (again, _) = merged.merge_reviews(&[answers.reviews]).await.unwrap();
    assert_eq!(again.reviews(), merged.reviews(), "taking over twice changes nothing");
}

#[tokio::test]
async fn what_is_no_answer_is_refused_whole() {
    let dataset = build(Arc::new(MemoryStore::new())).await;
    let tasks = tasks(&dataset).await;
    let one = |result: Value| export(&[with(&tasks[0], &[annotation(json!(1), AT, result)])]);
    let mut stranger = with(&tasks[0], &[]);
    stranger["data"]["record"] = json!("other-1");
    let torn = stranger.clone();
    stranger["meta"]["record"] = json!("other-1");
    let mut nameless = with(&tasks[0], &[]);
    nameless["data"] = json!({});
    nameless["meta"] = json!({});
    let undated = json!({"completed_by": 1, "result": [answer("verdict", "choices", "accept")]});
    for (body, kind, words) in [
        (b"[{".to_vec(), ErrorKind::InvalidInput, "a list of tasks"),
        (b"{\"tasks\": []}".to_vec(), ErrorKind::InvalidInput, "a list of tasks"),
        (b"[3]".to_vec(), ErrorKind::InvalidInput, "not understood"),
        (export(&tasks), ErrorKind::InvalidInput, "not as JSON-MIN"),
        (export(&[stranger]), ErrorKind::NotFound, "\"other-1\""),
        (export(&[torn]), ErrorKind::InvalidInput, "its meta about"),
        (export(&[nameless]), ErrorKind::InvalidInput, "names no record"),
        (export(&[with(&tasks[0], &[undated])]), ErrorKind::InvalidInput, "when it was made"),
        (one(json!([answer("verdict", "choices", "maybe")])), ErrorKind::InvalidInput, "\"maybe\""),
        (one(json!([answer("mood", "choices", "good")])), ErrorKind::InvalidInput, "\"mood\""),
        (
            one(json!([{"from_name": "caption", "value": {"text": ["a", "b"]}}])),
            ErrorKind::InvalidInput,
            "2 texts",
        ),
        (
            one(json!([answer("caption", "textarea", &"x".repeat(20_001))])),
            ErrorKind::InvalidInput,
            "1 to 20000 bytes",
        ),
    ] {
        let error = dataset.read_label_studio(&body, "export.json").unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words) && error.to_string().contains("export.json"), "{error}");
    }
}

#[tokio::test]
async fn the_command_goes_there_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let (place, out) = (dir.path().join("dataset"), dir.path().join("new/project"));
    let dataset = build(Arc::new(FsStore::new(&place))).await;
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_picchu"))
            .args(["review", place.to_str().unwrap(), "--json"])
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), serde_json::from_str::<Value>(&text).unwrap())
    };
    let (code, said) = run(&["--to-label-studio", out.to_str().unwrap(), "--pictures", "s3://bucket/film/"]);
    assert_eq!((code, &said["tasks"]), (0, &json!(kept(&dataset).len())), "{said}");
    assert!(std::fs::read_to_string(out.join("config.xml")).unwrap().contains("&lt;Style&gt;"));
    let tasks: Vec<Value> = serde_json::from_slice(&std::fs::read(out.join("tasks.json")).unwrap()).unwrap();
    assert!(tasks[0]["data"]["image"].as_str().unwrap().starts_with("s3://bucket/film/images/"));
    let file = dir.path().join("export.json");
    let reject = annotation(json!(2), AT, json!([answer("verdict", "choices", "reject")]));
    std::fs::write(&file, export(&[with(&tasks[0], &[reject])])).unwrap();
    let (code, said) = run(&["--from-label-studio", file.to_str().unwrap()]);
    assert_eq!((code, &said["added"]), (0, &json!(1)), "{said}");
    assert_eq!(said["conflicts"][0]["record"], kept(&dataset)[0]);
    std::fs::write(&file, "[").unwrap();
    let (code, said) = run(&["--from-label-studio", file.to_str().unwrap()]);
    assert_eq!((code, &said["kind"]), (2, &json!("invalid_input")), "{said}");
}
