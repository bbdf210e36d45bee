//! Datasets on S3: the suite of stores over HTTP, faults, and whole runs.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use picchu::{
    ErrorKind, Store,
    aws::{Encryption, S3Store},
    store::{Key, PutMode, lock},
    testing::conformance,
};

use crate::{
    fake_s3::{FakeS3, Fault},
    moto::Moto,
};

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn store(s3: &FakeS3) -> S3Store {
    S3Store::new("s3://bucket/films/映画", &s3.context()).unwrap().lease(Duration::from_secs(2))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_stores() {
    let s3 = FakeS3::start().await;
    conformance::store(&store(&s3)).await;
    assert!(s3.count("UploadPart") >= 2, "nine mebibytes go in parts");
    assert_eq!(s3.open_uploads(), 0);
    assert!(
        s3.objects().keys().all(|k| k.starts_with("bucket/films/x-_E6_98_A0_E7_94_BB/")),
        "{:?}",
        s3.objects()
    );
    for headers in s3.headers("PutObject").iter().chain(&s3.headers("UploadPart")) {
        assert!(headers.keys().any(|name| name.as_str().starts_with("x-amz-checksum-")), "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_lose_nothing_and_leave_nothing_half() {
    let s3 = FakeS3::start().await;
    let store = store(&s3);
    let slow = || Some(Fault::Refused(503, "SlowDown"));
    let a = key("a.bin");
    s3.fail("PutObject", [slow(), slow(), Some(Fault::Reset), None]);
    store.put(&a, Bytes::from_static(b"one"), PutMode::Overwrite).await.unwrap();
    s3.fail("GetObject", [slow(), Some(Fault::Reset), None]);
    assert_eq!(store.get(&a).await.unwrap(), "one");
    s3.fail("ListObjectsV2", [slow()]);
    s3.fail("DeleteObject", [slow(), Some(Fault::LostAnswer)]);
    store.delete(&a).await.unwrap();
    assert!(s3.objects().is_empty());

    // The answer to a conditional write is lost: the object that is there then is this one.
    s3.fail("PutObject", [Some(Fault::LostAnswer), None]);
    store.put(&a, Bytes::from_static(b"mine"), PutMode::CreateOnly).await.unwrap();
    let taken = store.put(&a, Bytes::from_static(b"mine"), PutMode::CreateOnly).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists, "equal bytes are taken all the same");
    // A conflict with a delete is tried again.
    store.delete(&a).await.unwrap();
    s3.fail("PutObject", [Some(Fault::Refused(409, "ConditionalRequestConflict")), None]);
    store.put(&a, Bytes::from_static(b"mine"), PutMode::CreateOnly).await.unwrap();

    // In parts: a part that breaks is sent again, a conflict begins anew, a refusal leaves nothing.
    let big = Bytes::from((0..20_u32 << 20).map(|n| (n % 251) as u8).collect::<Vec<u8>>());
    let b = key("b.bin");
    s3.fail("UploadPart", [Some(Fault::Reset), slow(), None, Some(Fault::LostAnswer)]);
    s3.fail("CompleteMultipartUpload", [Some(Fault::Refused(409, "ConditionalRequestConflict")), None]);
    store.put(&b, big.clone(), PutMode::CreateOnly).await.unwrap();
    assert_eq!(store.get(&b).await.unwrap(), big);
    s3.fail("CompleteMultipartUpload", [Some(Fault::LostAnswer), None]);
    let c = key("c.bin");
    store.put(&c, big.clone(), PutMode::CreateOnly).await.unwrap();
    assert_eq!(s3.open_uploads(), 0);
    s3.fail("UploadPart", [Some(Fault::Refused(403, "AccessDenied"))]);
    let refused = store.put(&key("d.bin"), big.clone(), PutMode::Overwrite).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{refused}");
    assert_eq!(
        (s3.open_uploads(), store.get(&key("d.bin")).await.unwrap_err().kind()),
        (0, ErrorKind::NotFound)
    );

    // A body that breaks off is taken up where it broke.
    let before = s3.bytes_out();
    s3.fail("GetObject", [Some(Fault::CutShort), None]);
    assert_eq!(store.get(&b).await.unwrap(), big);
    assert!(s3.bytes_out() - before < 2 * big.len() as u64, "{}", s3.bytes_out() - before);
    // What does not mend ends in words.
    s3.fail("GetObject", std::iter::repeat_n(slow(), 5));
    let slow = store.get(&a).await.unwrap_err();
    assert_eq!(slow.kind(), ErrorKind::Throttled, "{slow}");
    assert!(!slow.to_string().contains("a-secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_encrypted_as_asked_and_addresses_signed() {
    let s3 = FakeS3::start().await;
    let kms = store(&s3).encryption(Encryption::Kms("alias/films".into()));
    kms.put(&key("a"), Bytes::new(), PutMode::Overwrite).await.unwrap();
    kms.put(&key("b"), Bytes::from(vec![0; 9 << 20]), PutMode::Overwrite).await.unwrap();
    for operation in ["PutObject", "CreateMultipartUpload"] {
        let headers = &s3.headers(operation)[0];
        assert_eq!(headers["x-amz-server-side-encryption"], "aws:kms");
        assert_eq!(headers["x-amz-server-side-encryption-aws-kms-key-id"], "alias/films");
    }
    let address = kms.presign(&key("a"), Duration::from_mins(1)).await.unwrap();
    assert!(address.contains("X-Amz-Signature=") && !address.contains("a-secret"), "{address}");
    assert!(kms.presign(&key("a"), Duration::from_hours(192)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_on_one_prefix_exclude_each_other() {
    let s3 = FakeS3::start().await;
    let one: Arc<dyn Store> = Arc::new(store(&s3));
    let two: Arc<dyn Store> = Arc::new(store(&s3));
    let lease = lock(&one).await.unwrap();
    let refused = lock(&two).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists, "{refused}");
    assert!(refused.message().contains("is at work on s3://bucket/films/"), "{refused}");
    lease.release().await.unwrap();
    lock(&two).await.unwrap().release().await.unwrap();
    assert!(s3.objects().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_stores_on_a_service_that_others_wrote() {
    let Some(moto) = Moto::start().await else { return };
    let context = moto.context();
    moto.create_bucket("bucket").await;
    let store = S3Store::new("s3://bucket/films/映画", &context).unwrap();
    conformance::store(&store).await;
    let missing = S3Store::new("s3://no-such-bucket/film", &context).unwrap();
    let error = missing.put(&key("a"), Bytes::new(), PutMode::Overwrite).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    // In parts: what stood there before is not replaced.
    let body = Bytes::from(vec![3_u8; 9 << 20]);
    store.put(&key("big"), body.clone(), PutMode::CreateOnly).await.unwrap();
    let taken =
        store.put(&key("big"), Bytes::from(vec![4_u8; 9 << 20]), PutMode::CreateOnly).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists, "{taken}");
    assert_eq!(store.get(&key("big")).await.unwrap(), body);
}
