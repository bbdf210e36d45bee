//! Amazon itself. These tests run only where `PICCHU_LIVE_AWS` is set to the most US dollars that each may spend, for
//! example `PICCHU_LIVE_AWS=0.05 cargo test --features … --test it live_aws`. Region and credentials come from the
//! environment. They delete what they create, also when they fail.

use std::{future::Future, panic::AssertUnwindSafe, path::Path, sync::Arc, time::Duration};

use futures::FutureExt;
use image::RgbImage;
use picchu::{
    Cast, CharacterDetector, Store,
    aws::{
        AwsContext, AwsSettings, ask_services,
        rekognition::{FaceCollection, Parts, RekognitionDetector, RekognitionOptions},
    },
    layers::Meter,
    store::MemoryStore,
    train::Ledger,
    types::{Frame, PriceTable},
};

/// The most that a test may spend; `None` where nobody asked for live tests.
// The environment asks, and a skipped case must be seen.
#[allow(clippy::disallowed_methods, clippy::print_stderr)]
fn asked() -> Option<f64> {
    let Ok(budget) = std::env::var("PICCHU_LIVE_AWS") else {
        eprintln!("not asked: set PICCHU_LIVE_AWS to the most US dollars that each test may spend");
        return None;
    };
    Some(budget.parse().expect("PICCHU_LIVE_AWS is a number of US dollars"))
}

/// Runs a test, then the clean-up whatever came of it, then tells what came of it.
async fn cleaning_up<T>(
    test: impl Future<Output = T>,
    clean_up: impl Future<Output = picchu::Result<()>>,
) -> T {
    let outcome = AssertUnwindSafe(test).catch_unwind().await;
    clean_up.await.expect("what the test created is deleted");
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

async fn context() -> AwsContext {
    AwsContext::from_env(&AwsSettings::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_answer() {
    if asked().is_none() {
        return;
    }
    for answer in ask_services(&context().await).await {
        assert!(answer.answer.is_ok() || answer.only_refused(), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cast_is_enrolled_a_frame_is_searched_and_the_collection_is_deleted() {
    let Some(budget) = asked() else { return };
    let context = context().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/film");
    let cast = Cast::load(folder.join("cast.toml")).unwrap();
    let meter = Arc::new(Meter::new(PriceTable::built_in()).budget(budget));
    let id = format!("picchu-live-test-{}", std::process::id());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = Ledger::new(store);
    let faces = FaceCollection::new(&context, &id, Arc::clone(&meter)).unwrap();
    let test = async {
        let enrolment = faces.enrol(&cast, false, Some(&ledger)).await.unwrap();
        assert!(enrolment.created && !enrolment.references.is_empty());
        let again = faces.enrol(&cast, false, Some(&ledger)).await.unwrap();
        assert!(!again.created && faces.exists().await.unwrap());
        let parts = Parts { meter: Arc::clone(&meter), ..Parts::default() };
        let options = RekognitionOptions { labels_first: false, ..RekognitionOptions::default() };
        let detector = RekognitionDetector::with_parts(&context, cast.clone(), options, parts).await.unwrap();
        let frame = Frame::new(0, Duration::ZERO, RgbImage::from_pixel(320, 240, image::Rgb([90, 120, 90])));
        assert!(detector.detect(&[frame]).await.unwrap()[0].is_empty(), "a plain green picture shows nobody");
    };
    cleaning_up(test, faces.delete(Some(&ledger))).await;
    assert!(!faces.exists().await.unwrap());
    assert!(ledger.open().await.unwrap().is_empty());
    assert!(meter.total().usd <= budget);
}
