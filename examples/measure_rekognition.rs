//! How fast and in how much memory a film goes through Rekognition: against a server on this machine that answers every
//! call after a while, as the service does.
//!
//! ```text
//! cargo run --release --features testing,aws-rekognition --example measure_rekognition -- [FRAMES] [CALLS_PER_SECOND] [ANSWER_MS]
//! ```
//! Prints the time that the quota allows, the time taken, and the most memory that the process had.

// An example talks to the terminal, and ends where it cannot go on.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Json, Router, extract::State};
use picchu::{
    Cast, Character, Pipeline,
    aws::{
        AwsContext,
        rekognition::{Parts, RekognitionDetector, RekognitionOptions},
    },
    dedupe::CosineDeduper,
    layers::Cache,
    store::{FsStore, Store},
    testing::{FakeCaptioner, FakeEmbedder, SyntheticFilm},
};
use serde_json::{Value, json};

/// Sees one person, always at the same place.
async fn answer(State(wait): State<Duration>, _request: axum::body::Bytes) -> Json<Value> {
    tokio::time::sleep(wait).await;
    let bounding_box = json!({"Left": 0.3, "Top": 0.2, "Width": 0.3, "Height": 0.7});
    Json(json!({"Labels": [{
        "Name": "Person", "Confidence": 95.0, "Instances": [{"BoundingBox": bounding_box, "Confidence": 95.0}],
    }]}))
}

#[tokio::main]
async fn main() -> picchu::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|n| n.parse::<u64>().expect("a whole number"));
    let frames = numbers.next().unwrap_or(600);
    let rate = numbers.next().unwrap_or(50);
    let wait = Duration::from_millis(numbers.next().unwrap_or(100));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let limit = axum::extract::DefaultBodyLimit::max(16 << 20);
    let app = Router::new().fallback(answer).layer(limit).with_state(wait);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });

    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(FsStore::new(folder.path()));
    let parts = Parts { cache: Arc::new(Cache::new(Arc::clone(&store))), ..Parts::default() };
    let context = AwsContext::with_keys("us-east-1", &endpoint, "an-id", "a-secret");
    let cast = Cast { characters: vec![Character { name: "Mayu".into(), ..Character::default() }] };
    let options = RekognitionOptions { calls_per_second: Some(rate as f64), ..RekognitionOptions::default() };
    let detector = RekognitionDetector::with_parts(&context, cast, options, parts).await?;

    let begun = Instant::now();
    let report = Pipeline::new(Arc::new(SyntheticFilm::new(frames).size(1280, 720)))
        .detect(Arc::new(detector))
        .dedupe(Arc::new(FakeEmbedder), Arc::new(CosineDeduper::at(0.99)?))
        .caption(Arc::new(FakeCaptioner))
        .store(store)
        .run()
        .await?;
    let (took, allowed) = (begun.elapsed().as_secs_f64(), frames as f64 / rate as f64);
    println!(
        "{} frames: {took:.2} s, the quota allows {allowed:.2} s ({:.3} times); {} at the most",
        report.counts.frames,
        took / allowed,
        peak_memory()
    );
    Ok(())
}

/// The most memory that this process had, as Linux counts it.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".into(), |rest| rest.trim().to_owned())
}
