//! Every implementation passes the suite of its trait.

use picchu::{
    caption::MeasuredCaptioner,
    dedupe::{CosineDeduper, Keep},
    embed::LayoutEmbedder,
    source::{ImageFolder, Sampling},
    store::{FsStore, MemoryStore},
    testing::{
        FakeCaptioner, FakeDeployer, FakeDetector, FakeEmbedder, FakeGenerator, FakeReviewer, FakeTrainer,
        SyntheticFilm, conformance,
    },
    types::{BoundingBox, CustomModel, FrameRecord, Outcome, Record, TrainingSpec},
};

#[tokio::test]
async fn stores() {
    conformance::store(&MemoryStore::new()).await;
    let dir = tempfile::tempdir().unwrap();
    conformance::store(&FsStore::new(dir.path().join("new"))).await;
}

#[tokio::test]
async fn frame_sources() {
    conformance::frame_source(&SyntheticFilm::new(6)).await;
    let dir = tempfile::tempdir().unwrap();
    let mut frames = picchu::FrameSource::frames(&SyntheticFilm::new(6).size(64, 48), &Sampling::all());
    while let Some(frame) = futures::StreamExt::next(&mut frames).await {
        let frame = frame.unwrap();
        frame.image.save(dir.path().join(format!("{:03}.png", frame.index))).unwrap();
    }
    conformance::frame_source(&ImageFolder::open(dir.path()).unwrap()).await;
}

#[tokio::test]
async fn detectors() {
    conformance::detector(&FakeDetector::new("Mayu"), &SyntheticFilm::new(6)).await;
}

#[tokio::test]
async fn embedders() {
    conformance::embedder(&FakeEmbedder).await;
    conformance::embedder(&LayoutEmbedder::new()).await;
}

#[tokio::test]
async fn dedupers() {
    conformance::deduper(&CosineDeduper::default()).await;
    conformance::deduper(&CosineDeduper::at(0.99).unwrap().keep(Keep::First)).await;
}

#[tokio::test]
async fn captioners() {
    conformance::captioner(&FakeCaptioner).await;
    conformance::captioner(&MeasuredCaptioner::new()).await;
}

#[tokio::test]
async fn reviewers_trainers_deployers_generators() {
    let record = Record {
        id: "film-00000.000000-0".into(),
        film: "sha256:0".into(),
        frame: FrameRecord {
            index: 0,
            time: std::time::Duration::ZERO,
            width: 640,
            height: 576,
            shot: None,
            drawing: None,
        },
        detection: conformance::detection(Some("Mayu"), BoundingBox::FULL),
        outcome: Outcome::Kept,
        crop: None,
        subjects: Vec::new(),
        embedding: None,
        caption: None,
    };
    conformance::reviewer(&FakeReviewer { min_quality: 0.0 }, &record).await;
    let spec = TrainingSpec {
        name: "mayu".into(),
        base_model: "base".into(),
        dataset: "data".into(),
        output: "out".into(),
        hyperparameters: [("stepCount".into(), "500".into())].into(),
        client_token: "abc".into(),
    };
    conformance::trainer(&FakeTrainer::default(), &spec).await;
    let model = CustomModel { id: "m".into(), base_model: "base".into() };
    conformance::deployer(&FakeDeployer::default(), &model).await;
    conformance::generator(&FakeGenerator).await;
}
