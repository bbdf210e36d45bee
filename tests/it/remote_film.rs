//! Films at addresses: the same frames as from the file, with only a part of it read.

use std::{path::Path, process::Command, sync::Arc};

use futures::TryStreamExt;
use picchu::{
    CosineDeduper, Dataset, ErrorKind, FrameSource, Pipeline, Sampling, Store,
    aws::S3Film,
    local::{video::VideoFile, web::WebFilm},
    source::RangeReader,
    store::MemoryStore,
    testing::{FakeCaptioner, FakeDetector, FakeEmbedder},
    types::Frame,
};

use crate::fake_s3::{FakeS3, Fault};

const FILM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/film/two_friends.mp4");

async fn frames(film: &dyn FrameSource) -> Vec<Frame> {
    let sampling = Sampling::every_secs(7.0).unwrap().limit(3);
    film.frames(&sampling).try_collect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn films_at_addresses_give_the_frames_of_the_file() {
    let s3 = FakeS3::start().await;
    let body = std::fs::read(FILM).unwrap();
    s3.put("bucket/films/two friends.mp4", body.clone());
    let expected = frames(&VideoFile::open(FILM).unwrap()).await;
    let readers: [Arc<dyn RangeReader>; 2] = [
        Arc::new(S3Film::new("s3://bucket/films/two friends.mp4", &s3.context()).unwrap()),
        Arc::new(
            WebFilm::open(&format!("{}/bucket/films/two%20friends.mp4?signature=x", s3.address())).unwrap(),
        ),
    ];
    let mut prints = Vec::new();
    for reader in readers {
        s3.fail(
            "GetObject",
            [None, Some(Fault::Refused(503, "SlowDown")), Some(Fault::CutShort), Some(Fault::Reset)],
        );
        let film = VideoFile::remote(Arc::clone(&reader));
        prints.push(film.fingerprint().await.unwrap());
        let found = frames(&film).await;
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(&expected).all(|(a, b)| a.time == b.time && a.image == b.image));
        let read = film.bytes_read().unwrap();
        println!("{} of {} bytes were read", read, body.len());
        assert!(read > 0 && !reader.name().contains("signature"), "{}", reader.name());
    }
    assert!(
        prints[0].starts_with("sampled:") && prints[0] == prints[1],
        "one film, one identity: {prints:?}"
    );

    // Another version in the middle of the reading ends it.
    let reader = S3Film::new("s3://bucket/films/two friends.mp4", &s3.context()).unwrap();
    reader.read(0..10).await.unwrap();
    s3.put("bucket/films/two friends.mp4", body[1..].to_vec());
    let changed = reader.read(0..10).await.unwrap_err();
    assert!(changed.message().contains("was changed") && !changed.is_retryable(), "{changed}");
    let missing = WebFilm::open(&format!("{}/bucket/none.mp4?signature=x", s3.address())).unwrap();
    let missing = missing.len().await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(!missing.to_string().contains("signature"), "{missing}");
}

/// Runs ffmpeg; says so where it is not installed.
#[allow(clippy::print_stdout)] // a skipped case must be seen
fn ffmpeg(arguments: &[&str], out: &Path) -> bool {
    let Ok(status) = Command::new("ffmpeg").args(["-v", "error"]).args(arguments).arg(out).status() else {
        println!("skipped: ffmpeg is not installed");
        return false;
    };
    assert!(status.success());
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_large_film_only_what_the_samples_need_is_read() {
    let dir = tempfile::tempdir().unwrap();
    // 120 MB with a keyframe every two seconds.
    let whole = dir.path().join("index-last.mp4");
    let source = "testsrc2=size=480x270:rate=25:duration=60,noise=alls=80:allf=t";
    let coded = "-c:v libx264 -preset ultrafast -b:v 16M -g 50 -sc_threshold 0 -pix_fmt yuv420p";
    let made = [&["-f", "lavfi", "-i", source], &coded.split(' ').collect::<Vec<_>>()[..]].concat();
    if !ffmpeg(&made, &whole) {
        return;
    }
    let sparse = Sampling::every_secs(21.0).unwrap();
    let expected: Vec<Frame> = VideoFile::open(&whole).unwrap().frames(&sparse).try_collect().await.unwrap();
    assert_eq!(expected.len(), 3);
    for (name, flags) in [("index-last.mp4", &[][..]), ("index-first.mp4", &["-movflags", "+faststart"])] {
        let path = dir.path().join(name);
        if path != whole {
            let input = whole.to_str().unwrap();
            ffmpeg(&[&["-i", input, "-c", "copy"], flags].concat(), &path);
        }
        let body = std::fs::read(&path).unwrap();
        let size = body.len() as u64;
        assert!(size > 100_000_000, "{name} has {size} bytes");
        let s3 = FakeS3::start().await;
        s3.put(&format!("bucket/{name}"), body);
        let open = || {
            let reader = S3Film::new(&format!("s3://bucket/{name}"), &s3.context()).unwrap();
            VideoFile::remote(Arc::new(reader))
        };
        let share = |bytes: u64| bytes as f64 / size as f64;

        let film = open();
        assert!(film.fingerprint().await.unwrap().starts_with("sampled:"));
        let identity = s3.bytes_out();
        assert!(share(identity) < 0.02, "{identity} of {size} bytes name the film");
        film.probe().await.unwrap();
        let looked = s3.bytes_out() - identity;
        assert!(share(looked) < 0.05, "{name}: {looked} of {size} bytes for a look");

        let found: Vec<Frame> = film.frames(&sparse).try_collect().await.unwrap();
        let sampled = s3.bytes_out() - looked - identity;
        // What was under way ahead of the last picture was sent, but not taken.
        let told = film.bytes_read().unwrap();
        assert!(told <= s3.bytes_out() && told + (4 << 20) > s3.bytes_out(), "{told} of {}", s3.bytes_out());
        assert_eq!(found.len(), 3);
        assert!(found.iter().zip(&expected).all(|(a, b)| a.time == b.time && a.image == b.image), "{name}");
        println!(
            "{name}: {size} bytes; identity {identity}, look {looked}, three frames {sampled} ({:.1} %)",
            100.0 * share(sampled)
        );
        // Each frame needs two groups of two seconds at the most, of sixty.
        assert!(share(sampled) < 0.35, "{name}: {sampled} of {size} bytes for three frames");
    }
}

/// A dataset knows its film wherever it lies now.
#[tokio::test(flavor = "multi_thread")]
async fn crops_are_cut_again_to_the_bit_from_another_copy_of_the_film() {
    let s3 = FakeS3::start().await;
    let body = std::fs::read(FILM).unwrap();
    s3.put("bucket/two_friends.mp4", body.clone());
    let here = || -> Arc<dyn FrameSource> { Arc::new(VideoFile::open(FILM).unwrap()) };
    let there = || -> Arc<dyn FrameSource> {
        let reader = S3Film::new("s3://bucket/two_friends.mp4", &s3.context()).unwrap();
        Arc::new(VideoFile::remote(Arc::new(reader)))
    };
    let build = |film: Arc<dyn FrameSource>, store: Arc<dyn Store>, min_similarity: f64| async move {
        let job = Pipeline::new(film)
            .sample(Sampling::every_secs(7.0).unwrap().limit(3))
            .detect(Arc::new(FakeDetector::new("Mayu")))
            .dedupe(Arc::new(FakeEmbedder), Arc::new(CosineDeduper::at(min_similarity).unwrap()))
            .caption(Arc::new(FakeCaptioner));
        job.store(Arc::clone(&store)).run().await.map(|report| (report, store))
    };
    for (built_from, other) in [(here(), there()), (there(), here())] {
        let kind = built_from.fingerprint().await.unwrap();
        let (_, store) = build(Arc::clone(&built_from), Arc::new(MemoryStore::new()), 0.9999).await.unwrap();
        let dataset = Dataset::open(Arc::clone(&store)).await.unwrap();
        assert_eq!(dataset.header().film.fingerprint, kind);
        assert!(!dataset.records().is_empty());
        for record in dataset.records() {
            for film in [&built_from, &other] {
                let recut = dataset.recut(&record.id, &**film).await.unwrap();
                assert!(recut.identical, "{} of {kind}", record.id);
            }
        }
        // Another threshold selects anew, from either copy, and decodes nothing.
        let (report, store) = build(Arc::clone(&other), store, 0.9).await.unwrap();
        assert!(!report.unchanged && report.counts.frames == 3);
        let again = Dataset::open(store).await.unwrap();
        assert_eq!(again.header().film.fingerprint, kind, "the dataset's name for its film stays");

        // A film that only looks the same is another one.
        let mut edited = body.clone();
        let last = edited.len() - 1;
        edited[last] ^= 1;
        s3.put("bucket/edited.mp4", edited);
        let edited = S3Film::new("s3://bucket/edited.mp4", &s3.context()).unwrap();
        let edited: Arc<dyn FrameSource> = Arc::new(VideoFile::remote(Arc::new(edited)));
        let id = &dataset.records()[0].id;
        let refused = dataset.recut(id, &*edited).await.unwrap_err();
        assert!(refused.message().contains("another one"), "{refused}");
        let refused = build(edited, Arc::clone(again.store()), 0.9).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists, "{refused}");
    }
}
