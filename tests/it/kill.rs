//! Runs that are killed in the middle: each goes on where it was, ends in the bytes of a run that was never killed, and
//! asks no paid question twice whose answer had been kept.
//!
//! The runs are processes of their own, killed with SIGKILL at random points. What they ask is noted in a file, one
//! line a call, before the answer is given; what they keep, after it is kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{TryStreamExt, stream::BoxStream};
use picchu::{
    Captioner, CharacterDetector, CosineDeduper, Embedder, Pipeline, Result, Store,
    pipeline::Limits,
    store::{FsStore, Key, Lease, ObjectMeta, PutMode},
    testing::{FakeCaptioner, FakeDetector, FakeEmbedder, SyntheticFilm},
    types::{Caption, CaptionRequest, Crop, Detection, Embeddings, Frame, ProviderInfo},
};

const PLACE: &str = "PICCHU_KILL_PLACE";
const NOTES: &str = "PICCHU_KILL_NOTES";
const SECONDS: u64 = 24;
/// Calls under way at once: three batches, and captions.
const IN_FLIGHT: usize = 3;

/// A service that takes a while, bills, and notes what it billed.
#[derive(Debug)]
struct Paid<T>(T, PathBuf);

impl<T> Paid<T> {
    async fn bill(&self, question: &str) {
        tokio::time::sleep(Duration::from_millis(8)).await;
        note(&self.1, &format!("asked {question}"));
    }
}

fn note(notes: &Path, line: &str) {
    let mut file = fs::File::options().append(true).create(true).open(notes).unwrap();
    // One write of a short line: whole or not at all, also when the process is killed.
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

#[async_trait]
impl CharacterDetector for Paid<FakeDetector> {
    fn info(&self) -> ProviderInfo {
        self.0.info().max_batch(2)
    }

    fn price(&self) -> Option<f64> {
        Some(0.001)
    }

    async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
        let times: Vec<String> = frames.iter().map(|f| f.time.as_secs().to_string()).collect();
        self.bill(&format!("detect {}", times.join("+"))).await;
        self.0.detect(frames).await
    }
}

#[async_trait]
impl Embedder for Paid<FakeEmbedder> {
    fn info(&self) -> ProviderInfo {
        self.0.info().max_batch(2)
    }

    fn price(&self) -> Option<f64> {
        Some(0.001)
    }

    fn dimensions(&self) -> usize {
        self.0.dimensions()
    }

    fn default_min_similarity(&self) -> f64 {
        self.0.default_min_similarity()
    }

    async fn embed(&self, crops: &[Crop]) -> Result<Embeddings> {
        let sums: Vec<String> = crops
            .iter()
            .map(|c| {
                c.image.as_raw().iter().fold(0_u64, |s, b| s.wrapping_mul(31) + u64::from(*b)).to_string()
            })
            .collect();
        self.bill(&format!("embed {}", sums.join("+"))).await;
        self.0.embed(crops).await
    }
}

#[async_trait]
impl Captioner for Paid<FakeCaptioner> {
    fn info(&self) -> ProviderInfo {
        self.0.info()
    }

    async fn caption(&self, request: &CaptionRequest) -> Result<Caption> {
        self.bill(&format!("caption {} {}", request.record, request.attempt)).await;
        self.0.caption(request).await
    }
}

/// Notes what was kept.
#[derive(Debug)]
struct Noting(Arc<dyn Store>, PathBuf);

#[async_trait]
impl Store for Noting {
    async fn put(&self, key: &Key, body: Bytes, mode: PutMode) -> Result<()> {
        self.0.put(key, body, mode).await?;
        if key.as_str().starts_with("work/answers/") {
            note(&self.1, &format!("kept {key}"));
        }
        Ok(())
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        self.0.get(key).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.0.delete(key).await
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn try_lock(&self) -> Result<Option<Lease>> {
        self.0.try_lock().await
    }

    fn lease_length(&self) -> Duration {
        self.0.lease_length()
    }

    fn uri(&self, key: &Key) -> String {
        self.0.uri(key)
    }
}

/// A folder, or a service at an address.
fn open(place: &str) -> Arc<dyn Store> {
    #[cfg(feature = "aws-s3")]
    if place.starts_with("http") {
        // The last part is the dataset, the rest the service.
        let (address, name) = place.rsplit_once('/').unwrap();
        let context = picchu::aws::AwsContext::with_keys("us-east-1", address, "an-id", "a-secret");
        let store = picchu::aws::S3Store::new(&format!("s3://bucket/{name}"), &context).unwrap();
        return Arc::new(store.lease(Duration::from_secs(2)));
    }
    Arc::new(FsStore::new(place))
}

/// The run itself; the tests start it as a process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the other tests of this file"]
#[allow(clippy::disallowed_methods)] // a child is told by its environment what to do
async fn child() {
    let (Ok(place), Ok(notes)) = (std::env::var(PLACE), std::env::var(NOTES)) else { return };
    let notes = PathBuf::from(notes);
    let store: Arc<dyn Store> = Arc::new(Noting(open(&place), notes.clone()));
    Pipeline::new(Arc::new(SyntheticFilm::new(SECONDS)))
        .detect(Arc::new(Paid(FakeDetector::new("Mayu"), notes.clone())))
        .dedupe(Arc::new(Paid(FakeEmbedder, notes.clone())), Arc::new(CosineDeduper::at(0.9999).unwrap()))
        .caption(Arc::new(Paid(FakeCaptioner, notes)))
        .limits(Limits { in_flight: IN_FLIGHT, captions_in_flight: IN_FLIGHT, ..Limits::default() })
        .store(store)
        .run()
        .await
        .unwrap();
}

/// When a run is to die: after so many lines of its notes, and then so much later.
#[derive(Clone, Copy, Debug)]
struct Death {
    lines: usize,
    later: Duration,
}

fn lines(notes: &Path) -> usize {
    fs::read_to_string(notes).unwrap_or_default().matches('\n').count()
}

/// Starts a run and kills it on the way, or lets it end. Says whether it ended by itself.
fn run(place: &str, notes: &Path, death: Option<Death>) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--ignored", "--nocapture"])
        .env(PLACE, place)
        .env(NOTES, notes)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if let Some(death) = death {
        while lines(notes) < death.lines && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(death.later);
        // SIGKILL; a process that has just ended is left alone.
        let _ = child.kill();
    }
    let output = child.wait_with_output().unwrap();
    let ended = output.status.code().is_some();
    assert!(
        !ended || output.status.success(),
        "a run failed by itself: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    ended
}

async fn content(store: &Arc<dyn Store>) -> BTreeMap<String, Bytes> {
    let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut all = BTreeMap::new();
    for object in objects {
        all.insert(object.key.to_string(), store.get(&object.key).await.unwrap());
    }
    all
}

/// A number from 0 to 1, the same in every run of the tests.
fn random(seed: u64) -> f64 {
    let mut x = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// What came of many killed runs.
#[derive(Debug, Default)]
struct Account {
    kills: usize,
    datasets: usize,
    asked: usize,
    /// Calls that were billed when the process died before it could keep the answer.
    lost: usize,
    /// How far runs were when they were killed.
    stages: BTreeMap<String, usize>,
}

/// Kills runs until so many are dead; every dataset is then finished by a run that may end.
async fn kill(kills: usize, mut place: impl FnMut(usize) -> String, notes: &Path) -> Account {
    let whole = place(0);
    let notes_of = |n: usize| notes.join(format!("notes-{n}"));
    assert!(run(&whole, &notes_of(0), None));
    let length = lines(&notes_of(0));
    let expected = content(&open(&whole)).await;
    assert!(expected.contains_key("picchu.json"));
    assert!(
        !expected.keys().any(|key| key.starts_with("work/") || key.starts_with("lock/")),
        "{:?}",
        expected.keys()
    );
    let asked = |notes: &Path| -> Vec<String> {
        let text = fs::read_to_string(notes).unwrap_or_default();
        text.lines().filter(|line| line.starts_with("asked ")).map(str::to_owned).collect()
    };
    let kept = |notes: &Path| {
        fs::read_to_string(notes).unwrap_or_default().lines().filter(|line| line.starts_with("kept ")).count()
    };
    let mut account = Account::default();
    while account.kills < kills {
        account.datasets += 1;
        let (here, notes) = (place(account.datasets), notes_of(account.datasets));
        let mut lost = 0;
        // Up to four deaths of one dataset: the later ones come late in its life.
        for death in 0..4 {
            let [share, moment] = [0, 1].map(|n| random((account.datasets * 10 + death) as u64 * 2 + n));
            // Beyond the last line there is the writing of the dataset and the cleaning.
            let target = lines(&notes) as f64 + share * 1.15 * length.saturating_sub(lines(&notes)) as f64;
            let death = Death {
                lines: (target as usize).min(length),
                later: Duration::from_secs_f64(moment * if target as usize >= length { 0.1 } else { 0.012 }),
            };
            let (before, kept_before) = (asked(&notes).len(), kept(&notes));
            if run(&here, &notes, Some(death)) {
                break;
            }
            account.kills += 1;
            let unkept = (asked(&notes).len() - before).saturating_sub(kept(&notes) - kept_before);
            assert!(unkept <= 2 * IN_FLIGHT, "{unkept} answers were not kept");
            lost += unkept;
            let files = content(&open(&here)).await;
            let stage = if files.contains_key("picchu.json") {
                "finishing"
            } else if files.contains_key("records.jsonl") || files.contains_key("embeddings.npy") {
                "writing"
            } else if files.keys().any(|key| key.starts_with("work/answers/caption")) {
                "captioning"
            } else if files.keys().any(|key| key.starts_with("work/")) {
                "collecting"
            } else {
                "starting"
            };
            *account.stages.entry(stage.into()).or_default() += 1;
        }
        assert!(run(&here, &notes, None));
        assert_eq!(content(&open(&here)).await, expected, "dataset {} differs", account.datasets);
        let asked = asked(&notes);
        let once: BTreeSet<&String> = asked.iter().collect();
        // A call can only be asked twice when its first answer died with the process.
        assert!(
            asked.len() - once.len() <= lost,
            "{} calls were repeated, {lost} were lost",
            asked.len() - once.len()
        );
        account.asked += asked.len();
        account.lost += lost;
    }
    account
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_killed_on_a_disk_end_in_the_same_bytes_and_pay_once() {
    let dir = tempfile::tempdir().unwrap();
    let account = kill(12, |n| dir.path().join(n.to_string()).display().to_string(), dir.path()).await;
    println!("{account:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; part of make nightly"]
async fn a_hundred_runs_killed_on_a_disk() {
    let dir = tempfile::tempdir().unwrap();
    let account = kill(100, |n| dir.path().join(n.to_string()).display().to_string(), dir.path()).await;
    println!("{account:?}");
    assert!(account.stages.len() >= 3, "{account:?}");
}

#[cfg(feature = "aws-s3")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_killed_on_s3_end_in_the_same_bytes_and_pay_once() {
    let s3 = crate::fake_s3::FakeS3::start().await;
    let dir = tempfile::tempdir().unwrap();
    let account = kill(6, |n| format!("{}/film-{n}", s3.address()), dir.path()).await;
    println!("{account:?}");
    assert_eq!(s3.open_uploads(), 0);
}

#[cfg(feature = "aws-s3")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; part of make nightly"]
async fn a_hundred_runs_killed_on_s3() {
    let dir = tempfile::tempdir().unwrap();
    let account = if let Some(moto) = crate::moto::Moto::start().await {
        moto.create_bucket("bucket").await;
        kill(100, |n| format!("{}/film-{n}", moto.address()), dir.path()).await
    } else {
        let s3 = crate::fake_s3::FakeS3::start().await;
        kill(100, |n| format!("{}/film-{n}", s3.address()), dir.path()).await
    };
    println!("{account:?}");
    assert!(account.stages.len() >= 3, "{account:?}");
}
