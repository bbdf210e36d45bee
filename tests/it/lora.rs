//! Training, drawing and judging on this machine, from the command line, with the real training program on a small model
//! with random weights. They need a Python with the packages for training, named by `PICCHU_PYTHON` (`make test` gets it);
//! without it the tests say that they were skipped.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use picchu::{
    ErrorKind, Generator as _, Trainer as _,
    local::lora::{LocalGenerator, LocalGeneratorSettings, LocalTrainer, Python},
    types::{GenerateRequest, JobStatus, Severity, TrainingSpec},
};
use serde_json::Value;

const FILM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/film/two_friends.mp4");
const CAST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/film/cast.toml");
const PATIENCE: Duration = Duration::from_mins(5);

/// The Python for training, or a word on why the test is skipped.
fn python() -> Option<Python> {
    let named = std::env::var_os("PICCHU_PYTHON").filter(|path| !path.is_empty());
    if named.is_none() {
        #[allow(clippy::print_stderr)]
        {
            eprintln!("skipped, PICCHU_PYTHON names no Python with the packages for training");
        }
    }
    named.map(Python::at)
}

fn picchu(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_picchu")).args(arguments).env("HF_HUB_OFFLINE", "1").output().unwrap()
}

fn done(arguments: &[&str]) -> String {
    let output = picchu(arguments);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A dataset of the project's own film, of which some is held out.
fn dataset(place: &Path) -> PathBuf {
    let dataset = place.join("dataset");
    done(&[
        "build",
        FILM,
        "--cast",
        CAST,
        "--out",
        text(&dataset),
        "--lineage",
        "--fps",
        "1",
        "--limit",
        "24",
    ]);
    done(&["split", text(&dataset), "--held-out", "0.3"]);
    dataset
}

fn status(job: &Path) -> Value {
    let line = done(&["status", text(job), "--json"]);
    serde_json::from_str::<Value>(line.lines().next().unwrap()).unwrap()["job"].clone()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_killed_job_goes_on_is_drawn_with_and_judged() {
    if python().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (dataset, models) = (dataset(dir.path()), dir.path().join("models"));
    let train = |more: &[&'static str]| {
        let common = [
            "train",
            text(&dataset),
            "--output",
            text(&models),
            "--base-model",
            "random:flux2-klein",
            "--json",
            "--set",
            "resolution=64",
            "--set",
            "rank=4",
            "--set",
            "steps=40",
            "--set",
            "checkpoint_every=20",
            "--set",
            "caption_tokens=32",
            "--set",
            "device=cpu",
            "--set",
            "sample_every=0",
            "--set",
            "validate_every=0",
        ];
        picchu(&[&common[..], more].concat())
    };
    // Nobody looked at the images.
    let refused = train(&[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stdout).contains("were not looked at by a person"));
    assert!(!models.exists());

    let begun = train(&["--allow-unreviewed"]);
    let said = String::from_utf8_lossy(&begun.stdout).into_owned();
    assert!(begun.status.success(), "{said}");
    let job = std::fs::read_dir(&models).unwrap().next().unwrap().unwrap().path();
    assert!(said.contains("licence none: random weights") && said.contains(text(&job)), "{said}");

    // The command has ended; the job goes on, is killed without warning, and says so.
    let checkpoint = job.join("checkpoints/step-000020/resume.pt");
    wait_until("a checkpoint", || checkpoint.exists());
    let said: Value = serde_json::from_slice(&std::fs::read(job.join("status.json")).unwrap()).unwrap();
    if said["state"] == "running" {
        let killed = Command::new("kill").args(["-9", &said["pid"].to_string()]).status().unwrap();
        assert!(killed.success());
        wait_until("an end", || status(&job)["status"] == "failed");
        assert!(status(&job)["failure"].as_str().unwrap().contains("ended without a word"));
    }
    let again = train(&["--allow-unreviewed", "--watch"]);
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(again.status.success(), "{said}");
    assert_eq!(status(&job)["status"], "completed", "{said}");
    assert_eq!(status(&job)["steps"], serde_json::json!([40, 40]));
    assert_eq!(std::fs::read_dir(&models).unwrap().count(), 1, "one job, whatever happened");
    let steps = std::fs::read_to_string(job.join("metrics.jsonl")).unwrap();
    assert_eq!(steps.lines().count(), 40, "each step is told once");

    // A storyboard with what was trained; the base model is known from the job.
    let panels = dir.path().join("panels.toml");
    let board = "width = 64\nheight = 64\n[[panels]]\nprompt = \"Nilo waves\"\ncount = 2\n";
    std::fs::write(&panels, board).unwrap();
    let board = dir.path().join("board");
    done(&["generate", text(&panels), "--lora", text(&job), "--steps", "2", "--out", text(&board)]);
    assert!(board.join("storyboard.png").is_file());
    let drawn = std::fs::read_to_string(board.join("storyboard.json")).unwrap();
    assert!(drawn.contains("\"seed\": 1") && drawn.contains(text(&job)), "{drawn}");

    let report = dir.path().join("report");
    let said = done(&[
        "evaluate",
        text(&dataset),
        "--cast",
        CAST,
        "--lora",
        text(&job),
        "--checkpoints",
        "--captions",
        "2",
        "--side",
        "64",
        "--steps",
        "2",
        "--panels",
        text(&panels),
        "--out",
        text(&report),
        "--json",
    ]);
    let said: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let names: Vec<&str> =
        said["contestants"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["base", "step-000020", "step-000040", "lora"]);
    let images = said["contestants"][0]["images"].as_array().unwrap();
    assert_eq!(images.len(), 4, "two captions, and a panel of two");
    // The last checkpoint is what the job ended with.
    assert_eq!(said["contestants"][2]["score"], said["contestants"][3]["score"]);
    assert_ne!(said["contestants"][0]["images"][0]["image"], Value::Null);
    assert!(report.join("evaluation.html").is_file());
}

#[tokio::test]
async fn a_job_is_stopped_and_what_is_wrong_is_told() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let export = dir.path().join("export");
    std::fs::create_dir(&export).unwrap();
    let spec = TrainingSpec {
        name: "stop me".into(),
        base_model: "random:flux2-klein".into(),
        dataset: export.display().to_string(),
        output: dir.path().join("models").display().to_string(),
        hyperparameters: [("resolution", "64"), ("steps", "100000"), ("device", "cpu"), ("rank", "2")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        client_token: "one".into(),
    };
    let trainer = LocalTrainer::new(python.clone());
    let found = trainer.check(&spec).await.unwrap();
    let errors: Vec<_> = found.iter().filter(|f| f.severity == Severity::Error).collect();
    assert!(errors.len() == 1 && errors[0].message.contains("metadata.jsonl"), "{found:?}");
    assert_eq!(trainer.submit(&spec).await.unwrap_err().kind(), ErrorKind::Config);

    image::RgbImage::from_pixel(64, 64, image::Rgb([9, 90, 200])).save(export.join("a.png")).unwrap();
    std::fs::write(export.join("metadata.jsonl"), "{\"file_name\":\"a.png\",\"text\":\"Nilo\"}\n").unwrap();
    let found = trainer.check(&spec).await.unwrap();
    assert!(found.iter().all(|f| f.severity < Severity::Error), "{found:?}");
    let wrong = [("rank".to_owned(), "0".to_owned())].into();
    let wrong = TrainingSpec { hyperparameters: wrong, ..spec.clone() };
    assert!(trainer.check(&wrong).await.unwrap().iter().any(|f| f.message.contains("from 1 to 1024")));

    let job = trainer.submit(&spec).await.unwrap();
    assert_eq!(trainer.submit(&spec).await.unwrap().id, job.id, "the same job");
    assert_ne!(job.status, JobStatus::Failed, "{:?}", job.failure);
    trainer.cancel(&job.id).await.unwrap();
    LocalTrainer::end(&job.id, PATIENCE).await.unwrap();
    let ended = trainer.describe(&job.id).await.unwrap();
    assert_eq!((ended.status, ended.model), (JobStatus::Stopped, None), "{:?}", ended.failure);
    trainer.cancel(&job.id).await.unwrap();
    assert_eq!(trainer.describe("nowhere").await.unwrap_err().kind(), ErrorKind::NotFound);

    let nobody = LocalTrainer::new(Python::at("no-such-python"));
    let found = nobody.check(&spec).await.unwrap();
    assert!(found.iter().any(|f| f.message.contains("cannot start no-such-python")), "{found:?}");

    // Drawing: without a LoRA, with what is none, and with a model that is none.
    let settings = LocalGeneratorSettings {
        base_model: "random:flux2-klein".into(),
        steps: 1,
        device: "cpu".into(),
        ..LocalGeneratorSettings::default()
    };
    let request = GenerateRequest {
        prompt: "Nilo".into(),
        negative_prompt: None,
        count: 2,
        seed: 5,
        width: 64,
        height: 48,
    };
    let generator = LocalGenerator::new(python.clone(), settings.clone()).unwrap();
    let drawn = generator.generate(&request).await.unwrap();
    assert_eq!(drawn.iter().map(|d| d.request.seed).collect::<Vec<_>>(), [5, 6]);
    assert_eq!(drawn[0].image.dimensions(), (64, 48));
    let second = GenerateRequest { seed: 6, count: 1, ..request.clone() };
    assert_eq!(generator.generate(&second).await.unwrap()[0].image, drawn[1].image, "the seed decides");
    let blank = GenerateRequest { prompt: " ".into(), ..request.clone() };
    let refused = generator.generate(&blank).await.unwrap_err();
    assert!(refused.message().contains("prompt is missing"), "{refused}");
    assert_eq!(generator.generate(&second).await.unwrap().len(), 1, "a refusal ends nothing");

    let lora = LocalGeneratorSettings { lora: text(&export).into(), ..settings.clone() };
    assert_eq!(LocalGenerator::new(python.clone(), lora).unwrap_err().kind(), ErrorKind::NotFound);
    let other = LocalGeneratorSettings { base_model: "random:nothing".into(), ..settings };
    let refused = LocalGenerator::new(python, other).unwrap().generate(&request).await.unwrap_err();
    assert!(refused.message().contains("there are flux2-klein, sdxl"), "{refused}");
}
