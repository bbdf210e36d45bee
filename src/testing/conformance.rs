//! One suite per trait: call it from a test of your own implementation. A broken rule panics with its name.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! picchu::testing::conformance::store(&picchu::store::MemoryStore::new()).await;
//! # }
//! ```

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use crate::{
    caption::{CAPTION_CHARS, Captioner},
    dedupe::{Candidates, Deduper},
    detect::CharacterDetector,
    embed::Embedder,
    error::ErrorKind,
    generate::Generator,
    review::Reviewer,
    source::{FrameSource, Sampling},
    store::{Key, PutMode, Store},
    train::{Deployer, Trainer},
    types::{
        BoundingBox, CaptionRequest, Crop, CustomModel, Detection, Embeddings, Frame, GenerateRequest,
        JobStatus, PixelRect, Record, Subject, TrainingSpec,
    },
};

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

async fn keys(store: &dyn Store, prefix: Option<&Key>) -> Vec<String> {
    store.list(prefix).map_ok(|o| o.key.to_string()).try_collect().await.unwrap()
}

/// The rules of [`Store`], on an empty store.
pub async fn store(store: &dyn Store) {
    let a = key("images/a.png");
    assert_eq!(store.get(&a).await.unwrap_err().kind(), ErrorKind::NotFound, "an absent key is not found");
    store.delete(&a).await.expect("deleting an absent key is no error");
    store.put(&a, Bytes::from_static(b"one"), PutMode::CreateOnly).await.unwrap();
    let taken = store.put(&a, Bytes::from_static(b"two"), PutMode::CreateOnly).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists, "CreateOnly fails on a taken key");
    assert_eq!(store.get(&a).await.unwrap(), "one", "a refused put changes nothing");
    store.put(&a, Bytes::from_static(b"three"), PutMode::Overwrite).await.unwrap();
    assert_eq!(store.get(&a).await.unwrap(), "three", "Overwrite replaces the whole object");

    for name in ["images/b.png", "images2/c.png", "images/sub/d.png", "z.json"] {
        store.put(&key(name), Bytes::new(), PutMode::Overwrite).await.unwrap();
    }
    assert_eq!(
        keys(store, None).await,
        ["images/a.png", "images/b.png", "images/sub/d.png", "images2/c.png", "z.json"],
        "all objects, ordered by key"
    );
    assert_eq!(
        keys(store, Some(&key("images"))).await,
        ["images/a.png", "images/b.png", "images/sub/d.png"],
        "a prefix is whole parts"
    );
    assert!(keys(store, Some(&key("none"))).await.is_empty(), "nothing below an absent prefix");
    let size = store.list(Some(&key("images"))).next().await.unwrap().unwrap().size_bytes;
    assert_eq!(size, 5, "sizes are in bytes");
    assert_eq!(
        store.get(&key("images")).await.unwrap_err().kind(),
        ErrorKind::NotFound,
        "a prefix is not an object"
    );
    let big = Bytes::from(vec![7_u8; 9 << 20]);
    store.put(&a, big.clone(), PutMode::Overwrite).await.unwrap();
    assert_eq!(store.get(&a).await.unwrap(), big, "nine mebibytes come back");
    store.delete(&a).await.unwrap();
    assert_eq!(store.get(&a).await.unwrap_err().kind(), ErrorKind::NotFound, "deleted objects are gone");
}

async fn all(source: &dyn FrameSource, sampling: &Sampling) -> Vec<Frame> {
    source.frames(sampling).try_collect().await.unwrap()
}

/// The rules of [`FrameSource`], on a film of at least four seconds without gaps.
pub async fn frame_source(source: &dyn FrameSource) {
    let info = source.probe().await.unwrap();
    assert_eq!(info, source.probe().await.unwrap(), "probing twice tells the same");
    assert_eq!(
        source.fingerprint().await.unwrap(),
        source.fingerprint().await.unwrap(),
        "a film has one identity"
    );
    let sampling = Sampling::every_secs(1.0).unwrap();
    let frames = all(source, &sampling).await;
    assert!(frames.len() >= 4, "the suite needs a film of four seconds");
    for (number, frame) in frames.iter().enumerate() {
        assert_eq!(frame.index, number as u64, "samples are numbered from 0");
        assert!(frame.time <= Duration::from_secs(number as u64), "a frame is the one shown at its time");
        assert_eq!((frame.width(), frame.height()), (info.width, info.height), "frames have the film's size");
    }
    assert!(frames.windows(2).all(|w| w[0].time < w[1].time), "presentation order");
    let again = all(source, &sampling).await;
    assert!(
        frames.iter().zip(&again).all(|(a, b)| a.time == b.time && a.image == b.image),
        "equal samplings give equal frames"
    );
    let two = all(source, &sampling.clone().limit(2)).await;
    assert_eq!(two.len(), 2, "the limit is kept");
    let late = all(source, &sampling.clone().limit(3).skip(1)).await;
    assert_eq!(
        late.iter().map(|f| f.index).collect::<Vec<_>>(),
        [1, 2],
        "skipped samples keep their numbers"
    );
    assert!(late.iter().zip(&frames[1..]).all(|(a, b)| a.image == b.image), "skipping changes no frame");
    let range = sampling.clone().start(Duration::from_secs(1)).end(Duration::from_secs(3));
    let inside = all(source, &range).await;
    assert_eq!(inside.len(), 2, "a range holds its start and not its end");
    assert_eq!(inside[0].image, frames[1].image, "a range begins at its start");
    let side = info.width.max(info.height) / 2;
    let small = all(source, &sampling.limit(1).max_side(side)).await;
    assert!(small[0].width().max(small[0].height()) <= side, "frames are scaled down on request");
}

/// The rules of [`CharacterDetector`], on a film that it can search.
pub async fn detector(detector: &dyn CharacterDetector, film: &dyn FrameSource) {
    let learned = detector.learn(film).await.unwrap();
    let detector = learned.as_deref().unwrap_or(detector);
    let frames = all(film, &Sampling::every_secs(1.0).unwrap().limit(detector.info().max_batch as u64)).await;
    let answers = detector.detect(&frames).await.unwrap();
    assert_eq!(answers.len(), frames.len(), "one answer a frame");
    for detection in answers.iter().flatten() {
        let b = detection.bounding_box;
        assert_eq!(b.clamped().map(|c| c.iou(b) > 0.999), Some(true), "boxes lie inside the frame");
        assert!((0.0..=1.0).contains(&detection.confidence), "confidences lie in 0..1");
        assert!(!detection.decided_by.is_empty(), "a detection says who decided");
    }
    for (frame, answer) in frames.chunks(1).zip(&answers) {
        assert_eq!(
            &detector.detect(frame).await.unwrap()[0],
            answer,
            "equal frames give equal answers in any batch"
        );
    }
    assert!(detector.detect(&[]).await.unwrap().is_empty(), "no frames, no answers");
}

fn crops() -> Vec<Crop> {
    (0..5_u32)
        .map(|n| {
            let image = image::RgbImage::from_fn(512, 600, |x, y| {
                image::Rgb([(x / (n + 2)) as u8, (y / 3 + n * 40) as u8, ((x * y) >> (n + 4)) as u8])
            });
            Crop { rect: PixelRect::new(0, 0, 512, 600), scale: 1.0, image: image.into() }
        })
        .collect()
}

/// The rules of [`Embedder`].
pub async fn embedder(embedder: &dyn Embedder) {
    let crops: Vec<Crop> = crops().into_iter().take(embedder.info().max_batch).collect();
    let rows = embedder.embed(&crops).await.unwrap();
    assert_eq!(rows.view().dim(), (crops.len(), embedder.dimensions()), "one row a crop");
    assert_eq!(rows.model(), embedder.info().model, "rows carry the model");
    for row in rows.view().rows() {
        assert!((row.dot(&row) - 1.0).abs() < 1e-4, "rows have length 1");
    }
    for (number, crop) in crops.chunks(1).enumerate() {
        let alone = embedder.embed(crop).await.unwrap();
        assert_eq!(alone.view().row(0), rows.view().row(number), "equal crops give equal rows in any batch");
    }
    assert!((-1.0..=1.0).contains(&embedder.default_min_similarity()), "the threshold is a cosine");
}

/// The rules of [`Deduper`], at thresholds up to 0.999.
pub async fn deduper(deduper: &dyn Deduper) {
    let rows = ndarray::arr2(&[
        [1.0, 0.0, 0.0],
        [1.0, 1e-4, 0.0],
        [0.0, 1.0, 0.0],
        [1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0],
    ]);
    let embeddings = Embeddings::new("test", rows).unwrap();
    let candidates =
        Candidates { embeddings, quality: vec![0.2, 0.9, 0.5, 0.9, 0.1], default_min_similarity: 0.999 };
    let selection = deduper.dedupe(candidates.clone()).await.unwrap();
    assert_eq!(selection.covered_by.len(), 5, "an answer for every candidate");
    assert_eq!(selection.kept.len(), 3, "three different directions stay");
    for row in 0..5_u32 {
        let cover = selection.covered_by[row as usize];
        assert!(selection.kept.contains(&cover), "covers are kept ones");
        assert_eq!(cover == row, selection.kept.contains(&row), "kept ones cover themselves");
    }
    assert_eq!(selection.kept, deduper.dedupe(candidates).await.unwrap().kept, "equal input, equal choice");
    let none = Candidates {
        embeddings: Embeddings::new("test", ndarray::Array2::zeros((0, 3))).unwrap(),
        quality: Vec::new(),
        default_min_similarity: 0.9,
    };
    assert!(deduper.dedupe(none).await.unwrap().kept.is_empty(), "nothing from nothing");
}

/// The rules of [`Captioner`].
pub async fn captioner(captioner: &dyn Captioner) {
    let subject = |name: &str, left| Subject {
        character: name.into(),
        bounding_box: BoundingBox::new(left, 0.2, 0.3, 0.7),
    };
    for (number, crop) in crops().into_iter().enumerate() {
        let mut subjects = vec![subject("Ana", 0.05)];
        if number % 2 == 1 {
            subjects.push(subject("Beno \"der Bär\" 熊", 0.6));
        }
        let request =
            CaptionRequest { record: format!("film-{number}"), crop, subjects, attempt: 0, refusal: None };
        let caption = captioner.caption(&request).await.unwrap();
        let chars = caption.text.chars().count();
        assert!(
            (CAPTION_CHARS.0..=CAPTION_CHARS.1).contains(&chars),
            "3 to 1024 characters: {}",
            caption.text
        );
        for subject in &request.subjects {
            assert!(caption.text.contains(&subject.character), "subjects are named: {}", caption.text);
        }
        assert!(!caption.model.is_empty(), "captions carry the model");
    }
}

/// The rules of [`Reviewer`], on a record that it may decide about.
pub async fn reviewer(reviewer: &dyn Reviewer, record: &Record) {
    for crop in crops().into_iter().take(1) {
        if let Some(review) = reviewer.review(record, &crop).await.unwrap() {
            assert_eq!(review.record, record.id, "a review names its record");
            assert!(!review.reviewer.is_empty(), "a review names its reviewer");
        }
    }
}

/// The rules of [`Trainer`]. Submits `spec` and cancels the job: **give a fake or a sandbox, this may cost money**.
pub async fn trainer(trainer: &dyn Trainer, spec: &TrainingSpec) {
    let rules = trainer.rules();
    assert!(
        rules.records.0 <= rules.records.1 && !rules.source.is_empty(),
        "rules are ordered and have a source"
    );
    trainer.check(spec).await.expect("a check answers with findings");
    let job = trainer.submit(spec).await.unwrap();
    assert_eq!(trainer.submit(spec).await.unwrap().id, job.id, "the same token gives the same job");
    assert_eq!(trainer.describe(&job.id).await.unwrap().id, job.id, "the id finds the job");
    trainer.cancel(&job.id).await.unwrap();
    trainer.cancel(&job.id).await.expect("cancelling twice is no error");
    let status = trainer.describe(&job.id).await.unwrap().status;
    assert!(status.is_final() || status == JobStatus::Stopping, "a cancelled job stops");
    let unknown = trainer.describe("no-such-job").await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound, "unknown jobs are not found");
}

/// The rules of [`Deployer`]. **Give a fake or a sandbox: deployments bill.**
pub async fn deployer(deployer: &dyn Deployer, model: &CustomModel) {
    let deployment = deployer.deploy("conformance", model).await.unwrap();
    let again = deployer.deploy("conformance", model).await.unwrap();
    assert_eq!(deployment.id, again.id, "the same name and model give the same deployment");
    assert_eq!(
        deployer.describe(&deployment.id).await.unwrap().model,
        *model,
        "a deployment names its model"
    );
    deployer.delete(&deployment.id).await.unwrap();
    deployer.delete(&deployment.id).await.expect("deleting twice is no error");
}

/// The rules of [`Generator`].
pub async fn generator(generator: &dyn Generator) {
    let request = GenerateRequest {
        prompt: "Ana waves at sunrise".into(),
        negative_prompt: None,
        count: 2,
        seed: 7,
        width: 512,
        height: 512,
    };
    let images = generator.generate(&request).await.unwrap();
    assert!(!images.is_empty() && images.len() <= 2, "at most as many images as asked for");
    for image in &images {
        assert_eq!(image.request.count, 1, "each image carries the request that makes it again");
        assert_eq!(image.request.prompt, request.prompt, "with its prompt");
    }
}

/// A named detection for tests.
pub fn detection(character: Option<&str>, bounding_box: BoundingBox) -> Detection {
    Detection {
        bounding_box,
        character: character.map(Into::into),
        confidence: 0.8,
        label: None,
        alternatives: Vec::new(),
        decided_by: "test".into(),
    }
}
