//! Films at addresses: the same frames as from the file, with only a part of it read.

use std::sync::Arc;

use futures::TryStreamExt;
use picchu::{
    ErrorKind, FrameSource, Sampling,
    aws::S3Film,
    local::{video::VideoFile, web::WebFilm},
    source::RangeReader,
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
