//! People's decisions: what they do to a dataset, and the server that takes them.

use std::{sync::Arc, time::Duration};

use picchu::{
    Cast, CosineDeduper, Dataset, ErrorKind, FrameSource, Pipeline, Store,
    caption::LintRules,
    cast::Lesson,
    dataset::NOT_THE_CHARACTER,
    local::review::{ReviewOptions, ReviewServer},
    store::{FsStore, MemoryStore},
    testing::{FakeCaptioner, FakeDetector, FakeEmbedder, SyntheticFilm},
    types::{Decision, Outcome, Review},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

fn film() -> Arc<dyn FrameSource> {
    Arc::new(SyntheticFilm::new(12))
}

/// A dataset in which some images are kept and some are near-duplicates.
pub(crate) async fn build(store: Arc<dyn Store>) -> Dataset {
    Pipeline::new(film())
        .detect(Arc::new(FakeDetector::new("Mayu")))
        .dedupe(Arc::new(FakeEmbedder), Arc::new(CosineDeduper::at(0.99).unwrap()))
        .caption(Arc::new(FakeCaptioner))
        .store(Arc::clone(&store))
        .run()
        .await
        .unwrap();
    Dataset::open(store).await.unwrap()
}

fn said(record: &str, time_ms: u64, decision: Decision) -> Review {
    Review { record: record.into(), decision, reviewer: "ann".into(), time_ms }
}

fn kept(dataset: &Dataset) -> Vec<String> {
    dataset.records().iter().filter(|r| r.is_kept()).map(|r| r.id.clone()).collect()
}

#[tokio::test]
async fn corrections_become_reference_pictures_once() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = build(Arc::new(MemoryStore::new())).await;
    let ids = kept(&dataset);
    let duplicate = dataset
        .records()
        .iter()
        .find_map(|r| match &r.outcome {
            Outcome::Duplicate { covered_by, .. } if *covered_by != ids[0] => {
                Some((r.id.clone(), covered_by.clone()))
            }
            _ => None,
        })
        .unwrap();
    let rename = || Decision::Rename { character: "Chip".into() };
    let free = ids.iter().find(|id| **id != duplicate.1 && **id != ids[0]).unwrap();
    let dataset = dataset
        .decide(&[
            said(&ids[0], 1, Decision::Reject { reason: "blurred".into() }),
            said(&duplicate.0, 2, rename()),
            said(&duplicate.1, 3, rename()),
            said(free, 4, Decision::Reject { reason: NOT_THE_CHARACTER.into() }),
        ])
        .await
        .unwrap();
    let corrections = dataset.corrections(5).await.unwrap();
    let told: Vec<_> = corrections.iter().map(|c| (c.character.as_str(), c.negative)).collect();
    // One of the two near-duplicates tells who it is, and who it is not; a blurred picture tells nothing of who it shows.
    assert_eq!(told, [("Chip", false), ("Mayu", true), ("Mayu", true)]);
    assert_eq!(dataset.corrections(1).await.unwrap().len(), 2);
    let own = &corrections[0];
    let record = dataset.corrected(dataset.get(&own.record).unwrap());
    let frame = &record.frame;
    let part = record.detection.bounding_box.to_pixels(frame.width, frame.height).unwrap();
    let scale = record.crop.as_ref().unwrap().scale;
    assert!(
        (f64::from(own.picture.width()) - f64::from(part.width) * f64::from(scale)).abs() <= 2.0,
        "tightly around"
    );

    let lessons: Vec<_> = corrections
        .into_iter()
        .map(|c| Lesson { name: c.character, negative: c.negative, picture: c.picture })
        .collect();
    let path = folder.path().join("cast.toml");
    std::fs::write(&path, "# the heroes\n[[characters]]\nname = \"Mayu\"\n").unwrap();
    let first = Cast::learn(&path, &lessons).unwrap();
    assert!(first.iter().all(|(picture, new)| *new && picture.exists()));
    let text = std::fs::read_to_string(&path).unwrap();
    let again = Cast::learn(&path, &lessons).unwrap();
    assert!(again.iter().zip(&first).all(|(again, first)| again.0 == first.0 && !again.1));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    let cast = Cast::load(&path).unwrap();
    assert!(text.starts_with("# the heroes"));
    assert_eq!((cast.characters[0].negatives.len(), cast.characters[1].references.len()), (2, 1));
    let wrong = Lesson { name: " ".into(), ..lessons[0].clone() };
    assert_eq!(Cast::learn(&path, &[wrong]).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4, "nothing is written then");
}

#[tokio::test]
async fn contact_sheets_show_what_is_trained_on() {
    let dataset = build(Arc::new(MemoryStore::new())).await;
    let ids = kept(&dataset);
    let dataset = dataset
        .decide(&[
            said(&ids[0], 1, Decision::Reject { reason: "blurred".into() }),
            said(&ids[1], 2, Decision::Rename { character: "Ma yu".into() }),
            said(&ids[2], 2, Decision::Rename { character: "Ma-yu".into() }),
        ])
        .await
        .unwrap();
    let sheets = dataset.contact_sheets();
    let files: Vec<_> =
        sheets.iter().map(|s| (s.character.as_str(), s.file.as_str(), s.records.len())).collect();
    let rest = dataset.training_images().count() - 2;
    assert_eq!(
        files,
        [("Ma yu", "ma-yu-01.png", 1), ("Ma-yu", "ma-yu-02.png", 1), ("Mayu", "mayu-01.png", rest)]
    );
    let picture =
        image::load_from_memory(&dataset.draw_sheet(&sheets[2], 96).await.unwrap()).unwrap().into_rgb8();
    let cell = 96 + 4;
    assert_eq!(picture.dimensions(), (rest.min(6) as u32 * cell + 4, rest.div_ceil(6) as u32 * cell + 4));
    let first = dataset.image(dataset.get(&sheets[2].records[0]).unwrap()).await.unwrap();
    let (middle, shown) = (first.get_pixel(first.width() / 2, first.height() / 2), picture.get_pixel(52, 52));
    assert!(middle.0.iter().zip(shown.0).all(|(a, b)| a.abs_diff(b) < 24), "{middle:?} {shown:?}");
    assert_eq!(dataset.draw_sheet(&sheets[0], 8).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn decisions_change_what_is_trained_on() {
    let dataset = build(Arc::new(MemoryStore::new())).await;
    let ids = kept(&dataset);
    let duplicate =
        dataset.records().iter().find(|r| matches!(r.outcome, Outcome::Duplicate { .. })).unwrap();
    let before = dataset.training_images().count();
    let dataset = dataset
        .decide(&[
            said(&ids[0], 1, Decision::Reject { reason: "blurred".into() }),
            said(&ids[1], 2, Decision::Rename { character: "Chip".into() }),
            said(&ids[1], 2, Decision::Edit { caption: "Chip waits.".into() }),
            said(&duplicate.id, 3, Decision::Edit { caption: "Mayu turns.".into() }),
        ])
        .await
        .unwrap();
    assert_eq!(dataset.training_images().count(), before, "one went, one came");
    let renamed = dataset.training_images().find(|image| image.record.id == ids[1]).unwrap();
    assert_eq!((renamed.record.character(), renamed.caption), (Some("Chip"), "Chip waits."));
    assert_eq!(renamed.record.subjects[0].character, "Chip");
    assert!(renamed.reviewed);
    assert_eq!(dataset.get(&ids[1]).unwrap().character(), Some("Mayu"), "the record keeps what was detected");
    // A fresh look at the store says the same.
    let again = Dataset::open(Arc::clone(dataset.store())).await.unwrap();
    assert_eq!(again.training_images().collect::<Vec<_>>(), dataset.training_images().collect::<Vec<_>>());
    let undone = again.decide(&[said(&ids[0], 4, Decision::Undo)]).await.unwrap();
    assert_eq!(undone.training_images().count(), before + 1);
    let error = undone.decide(&[said("nobody", 5, Decision::Accept)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// A server, and its address taken apart.
struct Served {
    address: String,
    token: String,
    stop: tokio::sync::oneshot::Sender<()>,
    done: tokio::task::JoinHandle<picchu::Result<()>>,
}

async fn serve(dataset: Dataset) -> Served {
    let options = ReviewOptions {
        reviewer: Some("ann".into()),
        film: Some(film()),
        rules: LintRules::default(),
        port: 0,
    };
    let server = ReviewServer::start(dataset, options).await.unwrap();
    let rest = server.url().strip_prefix("http://").unwrap().trim_end_matches('/');
    let (address, token) = rest.split_once('/').map(|(a, t)| (a.to_owned(), t.to_owned())).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let done = tokio::spawn(server.serve(async {
        let _ = stopped.await;
    }));
    Served { address, token, stop, done }
}

impl Served {
    /// Sends a request as it is, and gives status and body back.
    async fn raw(&self, head: &str, body: &str) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let length = body.len();
        let text = format!("{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let at = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
        (status, answer[at + 4..].to_vec())
    }

    async fn get(&self, path: &str) -> (u16, Vec<u8>) {
        self.raw(&format!("GET /{}/{path} HTTP/1.1\r\nHost: {}", self.token, self.address), "").await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let head = format!(
            "POST /{}/{path} HTTP/1.1\r\nHost: {1}\r\nOrigin: http://{1}\r\nContent-Type: application/json",
            self.token, self.address
        );
        let (status, body) = self.raw(&head, &body.to_string()).await;
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }
}

#[tokio::test]
async fn the_page_decides_and_takes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(FsStore::new(dir.path()));
    let dataset = build(Arc::clone(&store)).await;
    let ids = kept(&dataset);
    let server = serve(dataset.clone()).await;

    let (status, page) = server.get("").await;
    assert!(status == 200 && String::from_utf8_lossy(&page).contains("<dialog id=\"single\""));
    let (_, shown) = server.get("api/dataset").await;
    let shown: Value = serde_json::from_slice(&shown).unwrap();
    assert_eq!(shown["records"].as_array().unwrap().len(), dataset.records().len());
    assert_eq!((&shown["reviewer"], &shown["frames"]), (&json!("ann"), &json!(true)));

    let reject = json!([{"record": ids[0], "decision": "reject", "reason": "blurred"}]);
    let (status, changed) = server.post("api/decide", &reject).await;
    assert_eq!((status, &changed["undoable"]), (200, &json!(1)), "{changed}");
    assert_eq!(changed["records"][0]["training"], json!(false));
    // It is on disk before the page hears of it: whoever kills the server now loses nothing.
    let on_disk = Dataset::open(Arc::clone(&store)).await.unwrap();
    assert_eq!(on_disk.judgement(&ids[0]).unwrap().rejected.as_deref(), Some("blurred"));

    let both = json!([
        {"record": ids[1], "decision": "rename", "character": "Chip"},
        {"record": ids[1], "decision": "edit", "caption": "Chip waits."},
    ]);
    let (_, changed) = server.post("api/decide", &both).await;
    assert_eq!(changed["records"].as_array().unwrap().len(), 1);
    let (_, changed) = server.post("api/undo", &json!({})).await;
    assert_eq!(changed["records"][0]["judgement"], Value::Null, "both were taken back together: {changed}");
    let (_, changed) = server.post("api/undo", &json!({})).await;
    assert_eq!((&changed["records"][0]["training"], &changed["undoable"]), (&json!(true), &json!(0)));
    let (_, changed) = server.post("api/undo", &json!({})).await;
    assert_eq!(changed["records"], json!([]), "there is nothing left to take back");

    let bad = json!({"record": ids[0], "caption": "Somebody walks."});
    let (_, lint) = server.post("api/lint", &bad).await;
    assert!(lint["faults"][0].as_str().unwrap().contains("does not name Mayu"), "{lint}");
    let (_, report) = server.get("api/thresholds").await;
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert!(report["thresholds"].as_array().unwrap().len() > 10);

    server.stop.send(()).unwrap();
    server.done.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_image_is_cut_anew_from_its_frame_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(FsStore::new(dir.path()));
    let dataset = build(Arc::clone(&store)).await;
    let id = kept(&dataset).remove(0);
    let number = dataset.records().iter().position(|r| r.id == id).unwrap();
    let server = serve(dataset.clone()).await;
    let (_, before) = server.get(&format!("image/{number}/full")).await;
    let frame = &dataset.get(&id).unwrap().frame;
    let rect = json!({"x": 0, "y": 0, "width": frame.width / 2, "height": frame.height / 2});
    let (status, changed) = server.post("api/recut", &json!({"record": id, "rect": rect})).await;
    assert_eq!(status, 200, "{changed}");
    let (_, after) = server.get(&format!("image/{number}/full?v=2")).await;
    assert_ne!(before, after);
    let (status, whole) = server.get(&format!("frame/{number}")).await;
    assert!(status == 200 && whole.starts_with(&[0xff, 0xd8]));

    let again = Dataset::open(Arc::clone(&store)).await.unwrap();
    let image = again.training_images().find(|image| image.record.id == id).unwrap();
    let crop = image.record.crop.clone().unwrap();
    assert_eq!((crop.rect.x, crop.rect.y), (0, 0));
    assert!(
        again.recut(&id, &*film()).await.unwrap().identical,
        "the new image too comes from the film, to the bit"
    );

    let outside = json!({"x": frame.width - 5, "y": 0, "width": 10, "height": u32::MAX});
    let (status, refused) = server.post("api/recut", &json!({"record": id, "rect": outside})).await;
    assert!(status == 400 && refused["message"].as_str().unwrap().contains("not inside"), "{refused}");
}

#[tokio::test]
async fn strangers_are_refused() {
    let dataset = build(Arc::new(MemoryStore::new())).await;
    let ids = kept(&dataset);
    let store = Arc::clone(dataset.store());
    let server = serve(dataset).await;
    let (host, token) = (server.address.clone(), server.token.clone());
    let wrong = "0".repeat(32);
    let accept = json!([{"record": ids[0], "decision": "accept"}]).to_string();
    for head in [
        format!("GET / HTTP/1.1\r\nHost: {host}"),
        format!("GET /{wrong}/api/dataset HTTP/1.1\r\nHost: {host}"),
        format!("GET /{token}x/api/dataset HTTP/1.1\r\nHost: {host}"),
        format!("GET /{token}/api/dataset HTTP/1.1\r\nHost: evil.example"),
        format!("GET /{token}/api/dataset HTTP/1.1\r\nHost: {host}\r\nOrigin: https://evil.example"),
        format!(
            "POST /{token}/api/decide HTTP/1.1\r\nHost: {host}\r\nOrigin: null\r\nContent-Type: application/json"
        ),
    ] {
        let (status, _) = server.raw(&head, &accept).await;
        assert_eq!(status, 403, "{head}");
    }
    // A form of another page cannot send this kind of body.
    let form = format!("POST /{token}/api/decide HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain");
    assert_eq!(server.raw(&form, &accept).await.0, 400);
    for path in
        ["image/../../Cargo.toml", "image/%2e%2e%2fpicchu.json/full", "image/999999/full", "image/-1/small"]
    {
        let (status, body) = server.get(path).await;
        assert!(matches!(status, 400 | 404), "{path}: {status}");
        assert!(!String::from_utf8_lossy(&body).contains("[package]"));
    }
    let long = json!([{"record": ids[0], "decision": "edit", "caption": "x".repeat(30_000)}]);
    assert_eq!(server.post("api/decide", &long).await.0, 400);
    let forged = json!([{"record": ids[0], "decision": "recrop", "crop": {"image": "../../etc/passwd"}}]);
    assert_eq!(server.post("api/decide", &forged).await.0, 400);
    assert!(Dataset::open(store).await.unwrap().reviews().is_empty(), "nothing of that was kept");
}

#[tokio::test]
async fn two_reviews_of_one_dataset_exclude_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = build(Arc::new(FsStore::new(dir.path()))).await;
    let server = serve(dataset.clone()).await;
    let error = ReviewServer::start(dataset.clone(), ReviewOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    let late = vec![said(&kept(&dataset)[0], 1, Decision::Accept)];
    let error = dataset.merge_reviews(&[late]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    server.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), server.done).await.unwrap().unwrap().unwrap();
    ReviewServer::start(dataset, ReviewOptions::default()).await.unwrap();
}

#[tokio::test]
async fn reports_hold_everything_and_nothing_from_outside_becomes_markup() {
    let dataset = build(Arc::new(MemoryStore::new())).await;
    let id = kept(&dataset).remove(0);
    let evil = "Mayu </script><script>alert(1)</script><!-- \u{202e} & \"quoted\"";
    let dataset = dataset.decide(&[said(&id, 1, Decision::Edit { caption: evil.into() })]).await.unwrap();
    let page = dataset.report(&LintRules::default(), 128).await.unwrap();
    assert_eq!(page.matches("</script>").count(), 2, "the page's own two scripts");
    assert!(!page.contains("<script>alert") && !page.contains("http://") && !page.contains("https://"));
    let data = page.split("type=\"application/json\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    let records = data["view"]["records"].as_array().unwrap();
    let edited = records.iter().find(|record| record["id"] == json!(id)).unwrap();
    assert_eq!(edited["caption"], json!(evil));
    assert_eq!(data["pictures"].as_array().unwrap().len(), records.len());
}

#[tokio::test]
async fn logs_of_copies_are_merged() {
    let dataset = build(Arc::new(MemoryStore::new())).await;
    let ids = kept(&dataset);
    let mine = dataset.decide(&[said(&ids[0], 1, Decision::Accept)]).await.unwrap();
    let theirs =
        Review { reviewer: "bob".into(), ..said(&ids[0], 2, Decision::Reject { reason: "not her".into() }) };
    let (merged, conflicts) = mine.merge_reviews(&[vec![theirs.clone()]]).await.unwrap();
    assert_eq!((merged.reviews().len(), conflicts.len()), (2, 1));
    let (again, _) = merged.merge_reviews(&[vec![theirs]]).await.unwrap();
    assert_eq!(again.reviews(), merged.reviews(), "merging the same again changes nothing");
    let stranger = said("nobody", 3, Decision::Accept);
    assert_eq!(merged.merge_reviews(&[vec![stranger]]).await.unwrap_err().kind(), ErrorKind::NotFound);
}
