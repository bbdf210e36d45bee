//! From an upload to a dataset by itself: the program, over HTTP, as a task of a cluster meets it.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use picchu::{
    config::{Config, DetectorChoice},
    detect::PaletteOptions,
};
use serde_json::{Value, json};

use crate::fake_s3::{FakeS3, Fault};

const FILM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/film/two_friends.mp4");
const CAST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/film");
const SETTINGS: &str = "inputs = [\"s3://uploads/in/\"]\noutput = \"s3://data/out\"\nsuffixes = [\".mp4\"]\n\n\
                        [run]\ncast = \"cast.toml\"\nfps = 0.5\nlimit = 8\n\n\
                        [run.detector.palette]\nlearn_frames = 8\n";

/// Everything in the folder of settings, by name.
pub(crate) fn settings() -> Vec<(String, Vec<u8>)> {
    let mut files = vec![
        ("worker.toml".to_owned(), SETTINGS.into()),
        ("cast.toml".into(), fs::read(format!("{CAST}/cast.toml")).unwrap()),
    ];
    for entry in fs::read_dir(format!("{CAST}/cast")).unwrap().map(|e| e.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        files.push((format!("cast/{name}"), fs::read(entry.path()).unwrap()));
    }
    files
}

/// A service with settings, and the film as an upload.
async fn service() -> FakeS3 {
    let s3 = FakeS3::start().await;
    for (name, body) in settings() {
        s3.put(&format!("config/films/{name}"), body);
    }
    s3.put("uploads/in/two friends.mp4", fs::read(FILM).unwrap());
    s3
}

/// As in the S3 user guide, "EventBridge event message structure".
fn event(bucket: &str, key: &str, object: Value) -> String {
    let mut all = json!({"key": key, "size": 5, "sequencer": "617f08299329d189"});
    for (name, value) in object.as_object().unwrap() {
        all[name] = value.clone();
    }
    json!({
        "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": "Object Created",
        "source": "aws.s3", "account": "111122223333", "time": "2026-11-12T00:00:00Z", "region": "us-east-1",
        "resources": [format!("arn:aws:s3:::{bucket}")],
        "detail": {
            "version": "0", "bucket": {"name": bucket}, "object": all, "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012", "source-ip-address": "1.2.3.4", "reason": "PutObject",
        },
    })
    .to_string()
}

fn start(address: &str, arguments: &[&str], input: &str) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_picchu"))
        .args(["worker", "--settings", "s3://config/films", "--grace", "10"])
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", "an-id")
        .env("AWS_SECRET_ACCESS_KEY", "a-secret-that-must-show-nowhere")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ENDPOINT_URL", address)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child
}

/// What a worker said: every line is JSON, and no secret is among them.
struct Told {
    code: Option<i32>,
    lines: Vec<Value>,
    text: String,
}

impl Told {
    fn of(output: Output) -> Self {
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.is_empty(), "{errors}");
        assert!(!text.contains("a-secret"), "{text}");
        let lines =
            text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect();
        Self { code: output.status.code(), lines, text }
    }

    fn events(&self, name: &str) -> Vec<&Value> {
        self.lines.iter().filter(|line| line["event"] == name).collect()
    }

    fn outcome(&self) -> &str {
        self.events("film_ended").last().map_or("none", |line| line["outcome"].as_str().unwrap())
    }
}

fn run(s3: &FakeS3, arguments: &[&str], input: &str) -> Told {
    Told::of(start(s3.address(), arguments, input).wait_with_output().unwrap())
}

/// The objects below a prefix, by what comes after it.
fn below(s3: &FakeS3, prefix: &str) -> BTreeMap<String, Bytes> {
    s3.objects()
        .into_iter()
        .filter_map(|(path, body)| Some((path.strip_prefix(prefix)?.to_owned(), body)))
        .collect()
}

/// The one dataset below the output: its name and its files.
fn dataset(s3: &FakeS3) -> (String, BTreeMap<String, Bytes>) {
    let out = below(s3, "data/out/");
    let names: Vec<&str> = out.keys().filter_map(|key| key.strip_suffix("/picchu.json")).collect();
    assert_eq!(names.len(), 1, "{:?}", out.keys());
    let name = names[0].to_owned();
    let files = below(s3, &format!("data/out/{name}/"));
    (name, files)
}

/// Whether an object lies in a folder of that name.
fn is_in(key: &str, folder: &str) -> bool {
    key.split('/').rev().skip(1).any(|part| part == folder)
}

fn report(s3: &FakeS3, name: &str) -> Value {
    serde_json::from_slice(&s3.objects()[&format!("data/out/reports/{name}.json")]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_becomes_the_dataset_that_a_build_makes_of_it() {
    let s3 = service().await;
    let event = event("uploads", "in/two friends.mp4", json!({"extra": [1, 2]}));
    let told = run(&s3, &["--event", "-"], &event);
    assert_eq!((told.code, told.outcome()), (Some(0), "done"), "{}", told.text);
    let (name, files) = dataset(&s3);
    assert!(name.starts_with("two-friends-"), "{name}");
    assert!(
        !files.keys().any(|key| key.starts_with("work/") || key.starts_with("lock/")),
        "{:?}",
        files.keys()
    );

    // The same as from the command line, but for how the film is known.
    let dir = tempfile::tempdir().unwrap();
    let (film, out) = (dir.path().join("two friends.mp4"), dir.path().join("out"));
    fs::copy(FILM, &film).unwrap();
    let config = Config {
        fps: 0.5,
        limit: Some(8),
        detector: DetectorChoice::Palette(PaletteOptions { learn_frames: 8, ..PaletteOptions::default() }),
        ..Config::new(&film, format!("{CAST}/cast.toml"), &out)
    };
    config.pipeline().await.unwrap().run().await.unwrap();
    assert_eq!(files["embeddings.npy"], fs::read(out.join("embeddings.npy")).unwrap());
    let records = |body: &[u8]| -> Vec<Value> {
        let lines = std::str::from_utf8(body).unwrap().lines();
        lines
            .map(|line| {
                let mut record: Value = serde_json::from_str(line).unwrap();
                record.as_object_mut().unwrap().remove("film");
                record
            })
            .collect()
    };
    assert_eq!(records(&files["records.jsonl"]), records(&fs::read(out.join("records.jsonl")).unwrap()));
    let images: Vec<&String> = files.keys().filter(|key| key.starts_with("images/")).collect();
    assert!(images.len() > 3);
    for image in images {
        assert_eq!(files[image], fs::read(out.join(image)).unwrap(), "{image}");
    }

    // One run id, and numbers for CloudWatch.
    let runs: Vec<&Value> = told.lines.iter().filter_map(|line| line.get("run")).collect();
    assert!(runs.len() > 4 && runs.iter().all(|run| *run == runs[0]), "{runs:?}");
    let metrics = told.events("metrics")[0];
    assert_eq!((&metrics["Outcome"], &metrics["Films"]), (&json!("done"), &json!(1.0)));
    assert!(metrics["Images"].as_f64().unwrap() > 0.0 && metrics["FilmBytesRead"].as_f64().unwrap() > 0.0);
    assert_eq!(metrics["_aws"]["CloudWatchMetrics"][0]["Namespace"], "Picchu");
    let report = report(&s3, &name);
    assert_eq!(
        (&report["outcome"], &report["upload"]["key"]),
        (&json!("done"), &json!("in/two friends.mp4"))
    );
    assert_eq!(report["run"], *runs[0]);

    // The event comes again, from elsewhere and in other ways: nothing is decoded, nothing is written anew.
    let before = s3.objects();
    let again = run(&s3, &["--event", "-"], &event);
    assert_eq!((again.code, again.outcome()), (Some(0), "done"), "{}", again.text);
    assert_eq!(again.events("finished")[0]["unchanged"], true);
    let again = run(&s3, &["s3://uploads/in/two friends.mp4"], "");
    assert_eq!(again.events("finished")[0]["unchanged"], true, "{}", again.text);
    assert_eq!(s3.objects(), before);
    assert_eq!(s3.open_uploads(), 0);
    for path in s3.objects().keys() {
        let own = ["config/films/", "uploads/in/", "data/out/"];
        assert!(own.iter().any(|place| path.starts_with(place)), "{path} was written elsewhere");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_film_for_this_worker_is_left_alone() {
    let s3 = service().await;
    s3.put("data/out/a-1/images/x.mp4", "an image");
    let before = s3.objects();
    for (bucket, key, why) in [
        ("data", "out/a-1/images/x.mp4", "own files"),
        ("config", "films/x.mp4", "own files"),
        ("uploads", "elsewhere/a.mp4", "none of the inputs"),
        ("uploads", "in/notes.txt", "suffixes"),
        ("uploads", "in/folder.mp4/", "folder"),
    ] {
        let told = run(&s3, &["--event", "-"], &event(bucket, key, json!({})));
        assert_eq!((told.code, told.outcome()), (Some(0), "ignored"), "{key}: {}", told.text);
        assert!(told.text.contains(why), "{key}: {}", told.text);
    }
    let deleted =
        event("uploads", "in/two friends.mp4", json!({})).replace("Object Created", "Object Deleted");
    assert_eq!(run(&s3, &["--event", "-"], &deleted).code, Some(0));
    assert_eq!(s3.objects(), before, "nothing is written for what is left alone");

    for (broken, why) in [
        (String::new(), "not an event"),
        ("{\"Records\": [{}]}".into(), "turn EventBridge on"),
        (event("uploads", "in/two friends.mp4", json!({})).replace("aws.s3", "aws.ec2"), "aws.ec2"),
        (event("uploads", "", json!({})), "1 to 1024 bytes"),
    ] {
        let told = run(&s3, &["--event", "-"], &broken);
        assert_eq!(told.code, Some(2), "{}", told.text);
        assert!(told.text.contains(why), "{}", told.text);
    }
    let told = run(&s3, &[], "");
    assert!(told.code == Some(2) && told.text.contains("nothing to do"), "{}", told.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn films_that_are_gone_replaced_or_poison_end_in_a_report() {
    let s3 = service().await;
    let gone = event("uploads", "in/never there.mp4", json!({"etag": "b1946ac92492d2347c6235b4d2611184"}));
    let told = run(&s3, &["--event", "-"], &gone);
    assert_eq!((told.code, told.outcome()), (Some(0), "gone"), "{}", told.text);

    // The event of a film that another one has replaced since: the other one's event comes too.
    let late = event("uploads", "in/two friends.mp4", json!({"etag": "b1946ac92492d2347c6235b4d2611184"}));
    let told = run(&s3, &["--event", "-"], &late);
    assert_eq!((told.code, told.outcome()), (Some(0), "superseded"), "{}", told.text);

    // Deleted while it is read.
    s3.put("uploads/in/short.mp4", fs::read(FILM).unwrap());
    s3.vanish("uploads/in/short.mp4", 4);
    let told = run(&s3, &["--event", "-"], &event("uploads", "in/short.mp4", json!({})));
    assert_eq!((told.code, told.outcome()), (Some(0), "gone"), "{}", told.text);
    assert!(
        !below(&s3, "data/out/").keys().any(|key| is_in(key, "lock")),
        "the right to write was given back"
    );

    // No film at all.
    s3.put("uploads/in/poison.mp4", vec![7; 100_000]);
    let told = run(&s3, &["--event", "-"], &event("uploads", "in/poison.mp4", json!({})));
    assert_eq!((told.code, told.outcome()), (Some(2), "failed"), "{}", told.text);
    assert_eq!(told.events("metrics")[0]["Outcome"], "failed");

    let reports: BTreeMap<String, Value> = below(&s3, "data/out/reports/")
        .into_iter()
        .map(|(name, body)| (name, serde_json::from_slice(&body).unwrap()))
        .collect();
    let of = |start: &str| &reports.iter().find(|(name, _)| name.starts_with(start)).unwrap().1["outcome"];
    assert_eq!((of("never-there-"), of("two-friends-")), (&json!("gone"), &json!("superseded")));
    assert_eq!((of("short-"), of("poison-")), (&json!("gone"), &json!("failed")));
    let poison = reports.iter().find(|(name, _)| name.starts_with("poison-")).unwrap().1;
    assert_eq!(poison["error"]["retryable"], false, "{poison}");
    assert!(!poison["error"]["message"].as_str().unwrap().is_empty());

    // A service that is away is no fault of the film: the command says that another try may help.
    s3.fail("HeadObject", std::iter::repeat_n(Some(Fault::Refused(503, "SlowDown")), 40));
    let told = run(&s3, &["s3://uploads/in/two friends.mp4"], "");
    assert_eq!((told.code, told.outcome()), (Some(7), "failed"), "{}", told.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_on_one_film_make_one_dataset() {
    let s3 = service().await;
    let event = event("uploads", "in/two friends.mp4", json!({}));
    let workers = [0, 1].map(|_| start(s3.address(), &["--event", "-"], &event));
    let told = workers.map(|worker| Told::of(worker.wait_with_output().unwrap()));
    for told in &told {
        assert_eq!((told.code, told.outcome()), (Some(0), "done"), "{}", told.text);
    }
    // One did the work, the other one found it done.
    let unchanged: Vec<bool> =
        told.iter().map(|told| told.events("finished")[0]["unchanged"] == true).collect();
    assert_eq!(unchanged.iter().filter(|u| **u).count(), 1, "{unchanged:?}");
    let (_, files) = dataset(&s3);
    let alone = service().await;
    run(&alone, &["s3://uploads/in/two friends.mp4"], "");
    assert_eq!(files, dataset(&alone).1);
}

/// A number from 0 to 1, the same in every run of the tests.
fn random(seed: u64) -> f64 {
    let mut x = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(unix)]
fn terminate(child: &Child) {
    let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_are_asked_to_end_at_any_moment_keep_their_work_and_end_in_time() {
    let whole = service().await;
    let begun = Instant::now();
    assert_eq!(run(&whole, &["s3://uploads/in/two friends.mp4"], "").code, Some(0));
    let mut length = begun.elapsed();
    let (_, expected) = dataset(&whole);

    let (mut terms, mut stages) = (0_u64, BTreeMap::<&str, usize>::new());
    while terms < 20 {
        let s3 = service().await;
        // Up to four requests to end for one film: the later ones come later in its life.
        for turn in 0..4 {
            let before = below(&s3, "data/out/");
            let mut child = start(s3.address(), &["s3://uploads/in/two friends.mp4"], "");
            let (begun, moment) = (Instant::now(), length.mul_f64(random(terms * 10 + turn) * 1.1));
            while begun.elapsed() < moment && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
            if child.try_wait().unwrap().is_some() {
                // The first run was slow, as on a busy machine: most moments would come after the end.
                if turn == 0 {
                    length = length.min(begun.elapsed());
                }
                break;
            }
            terminate(&child);
            let asked = Instant::now();
            let told = Told::of(child.wait_with_output().unwrap());
            terms += 1;
            // Ten seconds of grace, and the time to go.
            assert!(asked.elapsed() < Duration::from_secs(12), "{:?}: {}", asked.elapsed(), told.text);
            let files = below(&s3, "data/out/");
            assert!(!files.keys().any(|key| is_in(key, "lock")), "{:?}", files.keys());
            if told.code == Some(0) {
                break;
            }
            // Before the program listens, the signal ends it at once: nothing was begun.
            let listening = told.code == Some(130);
            assert!(listening || (told.code.is_none() && files == before), "{:?}: {}", told.code, told.text);
            let stage = if files.keys().any(|key| is_in(key, "answers")) {
                "captioning"
            } else if files.keys().any(|key| is_in(key, "work")) {
                "collecting"
            } else {
                "starting"
            };
            *stages.entry(stage).or_default() += 1;
        }
        let told = run(&s3, &["s3://uploads/in/two friends.mp4"], "");
        assert_eq!((told.code, told.outcome()), (Some(0), "done"), "{}", told.text);
        assert_eq!(dataset(&s3).1, expected);
    }
    println!("{terms} requests to end, {stages:?}, one run takes {length:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn films_of_a_list_are_taken_by_their_number() {
    let s3 = service().await;
    s3.put(
        "config/films.txt",
        "# the films of one job\ns3://uploads/in/none.mp4\n\ns3://uploads/in/two friends.mp4\n",
    );
    let list = ["--list", "s3://config/films.txt", "--index"];
    let told = run(&s3, &[&list[..], &["1"]].concat(), "");
    assert_eq!((told.code, told.outcome()), (Some(0), "done"), "{}", told.text);
    assert_eq!(run(&s3, &[&list[..], &["0"]].concat(), "").outcome(), "gone");
    let told = run(&s3, &[&list[..], &["2"]].concat(), "");
    assert!(told.code == Some(2) && told.text.contains("names 2 films"), "{}", told.text);
    s3.put("config/films.txt", "s3://uploads/in/a.mp4\nin/b.mp4\n");
    let told = run(&s3, &list[..2], "");
    assert!(told.code == Some(2) && told.text.contains("line=2"), "{}", told.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_shows_that_it_is_alive() {
    let s3 = service().await;
    let dir = tempfile::tempdir().unwrap();
    let sign = dir.path().join("alive");
    let check = |path: &Path| {
        let status = Command::new(env!("CARGO_BIN_EXE_picchu"))
            .args(["worker", "--check-health", "--health", path.to_str().unwrap()])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        status.code()
    };
    assert_eq!(check(&sign), Some(3));
    let mut child =
        start(s3.address(), &["s3://uploads/in/two friends.mp4", "--health", sign.to_str().unwrap()], "");
    while !sign.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(check(&sign), Some(0));
    child.kill().unwrap();
    let mut rest = String::new();
    child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    child.wait().unwrap();
}

#[cfg(feature = "aws-sqs")]
mod queue {
    use picchu::{
        Store,
        aws::S3Store,
        store::{Key, PutMode, get_opt},
    };

    use super::*;
    use crate::moto::Moto;

    /// A queue with a dead-letter queue, and a bucket that keeps versions, on a service that others wrote.
    struct Cloud {
        moto: Moto,
        queue: String,
        dead: String,
    }

    impl Cloud {
        async fn start() -> Option<Self> {
            let moto = Moto::start().await?;
            for bucket in ["config", "uploads", "data"] {
                moto.create_bucket(bucket).await;
            }
            moto.send(
                "PUT",
                "/uploads?versioning",
                &[],
                b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
            )
            .await;
            let store = S3Store::new("s3://config/films", &moto.context()).unwrap();
            for (name, body) in settings() {
                store.put(&Key::new(name).unwrap(), body.into(), PutMode::Overwrite).await.unwrap();
            }
            let mut cloud = Self { moto, queue: String::new(), dead: String::new() };
            cloud.dead = cloud.create("dead", json!({})).await;
            let policy = json!({
                "deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:dead", "maxReceiveCount": "3",
            });
            cloud.queue = cloud.create("films", json!({"RedrivePolicy": policy.to_string()})).await;
            Some(cloud)
        }

        async fn sqs(&self, operation: &str, body: Value) -> Value {
            let target = format!("AmazonSQS.{operation}");
            let headers = [
                ("X-Amz-Target", target.as_str()),
                ("Content-Type", "application/x-amz-json-1.0"),
                (
                    "Authorization",
                    "AWS4-HMAC-SHA256 Credential=an-id/20261112/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0",
                ),
            ];
            let answer = self.moto.send("POST", "/", &headers, body.to_string().as_bytes()).await;
            serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{operation}: {e}: {answer:?}"))
        }

        async fn create(&self, name: &str, attributes: Value) -> String {
            let answer = self.sqs("CreateQueue", json!({"QueueName": name, "Attributes": attributes})).await;
            answer["QueueUrl"].as_str().unwrap().to_owned()
        }

        async fn event(&self, body: &str) {
            self.sqs("SendMessage", json!({"QueueUrl": self.queue, "MessageBody": body})).await;
        }

        /// Uploads a film and gives its version.
        async fn upload(&self, key: &str, body: &[u8]) -> String {
            // Unsigned, it may create an object, but not replace one.
            let signed = (
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=an-id/20261112/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
            );
            let answer = self.moto.send("PUT", &format!("/uploads/{key}"), &[signed], body).await;
            answer.headers["x-amz-version-id"].clone()
        }

        async fn waiting(&self, queue: &str) -> usize {
            let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
            let answer =
                self.sqs("GetQueueAttributes", json!({"QueueUrl": queue, "AttributeNames": names})).await;
            names
                .iter()
                .map(|name| answer["Attributes"][name].as_str().unwrap().parse::<usize>().unwrap())
                .sum()
        }

        async fn out(&self) -> BTreeMap<String, Bytes> {
            use futures::TryStreamExt;
            let store = S3Store::new("s3://data/out", &self.moto.context()).unwrap();
            let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
            let mut all = BTreeMap::new();
            for object in objects {
                // A worker that is at work may have removed it since.
                if let Some(body) = get_opt(&store, &object.key).await.unwrap() {
                    all.insert(object.key.to_string(), body);
                }
            }
            all
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn films_of_a_queue_become_datasets_and_poison_is_set_aside() {
        let Some(cloud) = Cloud::start().await else { return };
        let film = fs::read(FILM).unwrap();
        let old = cloud.upload("in/episode.mp4", &film).await;
        // Another cut under the same key: bytes after its end change nothing but what it is.
        let new = cloud.upload("in/episode.mp4", &[&film[..], b"\0\0\0\x08free"].concat()).await;
        let poison = cloud.upload("in/poison.mp4", &vec![7; 50_000]).await;
        let of = |key: &str, version: &str| event("uploads", key, json!({"version-id": version}));
        // Out of order, twice, and among what is no film.
        for body in [
            of("in/episode.mp4", &new),
            "not an event <script>".into(),
            of("in/episode.mp4", &old),
            of("in/poison.mp4", &poison),
            of("in/episode.mp4", &new),
            of("in/never.mp4", &old),
            event("data", "out/a/images/b.mp4", json!({})),
        ] {
            cloud.event(&body).await;
        }
        let child = start(cloud.moto.address(), &["--queue", &cloud.queue, "--until-empty"], "");
        let told = Told::of(child.wait_with_output().unwrap());
        assert_eq!(told.code, Some(0), "{}", told.text);
        assert_eq!(cloud.waiting(&cloud.queue).await, 0, "{}", told.text);
        assert_eq!(cloud.waiting(&cloud.dead).await, 2, "{}", told.text);
        let served = told.events("served")[0];
        assert_eq!((&served["finished"], &served["given_up"]), (&json!(5), &json!(2)), "{served}");

        let out = cloud.out().await;
        let datasets: Vec<&String> = out.keys().filter(|key| key.ends_with("/picchu.json")).collect();
        assert_eq!(datasets.len(), 2, "a dataset for each version: {datasets:?}");
        let outcomes: BTreeMap<String, usize> = out
            .iter()
            .filter(|(key, _)| key.starts_with("reports/"))
            .map(|(_, body)| {
                serde_json::from_slice::<Value>(body).unwrap()["outcome"].as_str().unwrap().to_owned()
            })
            .fold(BTreeMap::new(), |mut all, outcome| {
                *all.entry(outcome).or_default() += 1;
                all
            });
        let expected = [("done", 2), ("failed", 1), ("gone", 1), ("rejected", 1)];
        assert_eq!(outcomes, expected.map(|(name, count)| (name.to_owned(), count)).into());
        // Dead letters say why.
        let request = json!({
            "QueueUrl": cloud.dead, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"],
        });
        let dead = cloud.sqs("ReceiveMessage", request).await;
        for message in dead["Messages"].as_array().unwrap() {
            let reason = message["MessageAttributes"]["Reason"]["StringValue"].as_str().unwrap();
            assert!(!reason.is_empty() && !reason.contains("a-secret"), "{reason}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_worker_at_a_queue_that_is_asked_to_end_gives_its_film_back() {
        let Some(cloud) = Cloud::start().await else { return };
        let version = cloud.upload("in/episode.mp4", &fs::read(FILM).unwrap()).await;
        cloud.event(&event("uploads", "in/episode.mp4", json!({"version-id": version}))).await;
        let mut child = start(cloud.moto.address(), &["--queue", &cloud.queue], "");
        let begun = Instant::now();
        while !cloud.out().await.keys().any(|key| is_in(key, "work")) {
            assert!(begun.elapsed() < Duration::from_mins(1) && child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(30));
        }
        terminate(&child);
        let told = Told::of(child.wait_with_output().unwrap());
        assert_eq!((told.code, told.outcome()), (Some(0), "stopped"), "{}", told.text);
        // For the next worker, at once.
        let child = start(cloud.moto.address(), &["--queue", &cloud.queue, "--until-empty"], "");
        let told = Told::of(child.wait_with_output().unwrap());
        assert_eq!((told.code, told.outcome()), (Some(0), "done"), "{}", told.text);
        assert_eq!(told.events("received")[0]["attempt"], 2);
        assert!(!told.events("resumed").is_empty(), "{}", told.text);
        assert_eq!(cloud.waiting(&cloud.queue).await, 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_queue_without_a_dead_letter_queue_is_refused() {
        let Some(cloud) = Cloud::start().await else { return };
        let child = start(cloud.moto.address(), &["--queue", &cloud.dead, "--until-empty"], "");
        let told = Told::of(child.wait_with_output().unwrap());
        assert_eq!(told.code, Some(2), "{}", told.text);
        assert!(told.text.contains("RedrivePolicy"), "{}", told.text);
    }
}
