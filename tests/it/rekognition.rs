//! Amazon Rekognition over real HTTP, against a server that plays it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use image::{Rgb, RgbImage, Rgba, RgbaImage};
use picchu::{
    Cast, Character, CharacterDetector, ErrorKind, Pipeline, Result, Store,
    aws::rekognition::{
        CustomLabelsOptions, FaceCollection, FramesAt, Parts, ReferenceOutcome, RekognitionDetector,
        RekognitionOptions,
    },
    dataset::Dataset,
    dedupe::CosineDeduper,
    layers::{Cache, Meter},
    store::MemoryStore,
    testing::{FakeCaptioner, FakeEmbedder, SyntheticFilm, conformance},
    train::{Happened, Ledger},
    types::{BoundingBox, Frame, PriceTable},
};
use serde_json::{Value, json};

use crate::fake_aws::{Answer, FakeAws, Recorded, SECRET};

pub(crate) const PROJECT: &str = "arn:aws:rekognition:us-east-1:123456789012:project/film/1700000000000";
pub(crate) const VERSION: &str =
    "arn:aws:rekognition:us-east-1:123456789012:project/film/version/v1/1700000000001";

pub(crate) fn character(name: &str, labels: &[&str]) -> Character {
    Character {
        name: name.into(),
        labels: labels.iter().map(|&l| l.to_owned()).collect(),
        ..Character::default()
    }
}

pub(crate) fn cast() -> Cast {
    Cast { characters: vec![character("Mayu", &[]), character("Ana", &[]), character("Rex", &["Dog"])] }
}

fn frame(index: u64) -> Frame {
    let shade = index as u8;
    Frame::new(
        index,
        Duration::from_secs(index),
        RgbImage::from_fn(320, 180, |x, y| Rgb([x as u8, y as u8, shade])),
    )
}

pub(crate) fn bounding_box(left: f64, top: f64, width: f64, height: f64) -> Value {
    json!({"Left": left, "Top": top, "Width": width, "Height": height})
}

pub(crate) fn label(name: &str, parents: &[&str], boxes: &[Value]) -> Value {
    let instances: Vec<Value> = boxes.iter().map(|b| json!({"BoundingBox": b, "Confidence": 91.5})).collect();
    let parents: Vec<Value> = parents.iter().map(|p| json!({"Name": p})).collect();
    json!({"Name": name, "Confidence": 93.0, "Instances": instances, "Parents": parents, "Aliases": [],
           "Categories": [{"Name": "Person Description"}]})
}

/// A collection with a face of each name, in the form in which the cast is enrolled.
async fn enrolled_ids(cast: &Cast) -> Vec<String> {
    let ids = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&ids);
    let aws = FakeAws::start(move |request, _| match request.operation.as_str() {
        "DescribeCollection" => Answer::json(json!({"FaceCount": 0})),
        "ListFaces" => Answer::json(json!({"Faces": []})),
        "IndexFaces" => {
            let id = request.json()["ExternalImageId"].as_str().unwrap().to_owned();
            seen.lock().unwrap().push(id.clone());
            Answer::json(json!({"FaceRecords": [{"Face": {"FaceId": id, "ExternalImageId": id}}]}))
        }
        other => panic!("{other}"),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let cast = with_references(cast, dir.path());
    FaceCollection::new(&aws.context(), "c", Arc::default())
        .unwrap()
        .enrol(&cast, false, None)
        .await
        .unwrap();
    drop(aws);
    let ids = ids.lock().unwrap().clone();
    assert_eq!(ids.len(), cast.characters.len());
    ids
}

/// The cast with one reference picture each, all different.
pub(crate) fn with_references(cast: &Cast, folder: &std::path::Path) -> Cast {
    let mut cast = cast.clone();
    for (number, character) in cast.characters.iter_mut().enumerate() {
        let path = folder.join(format!("{number}.png"));
        RgbaImage::from_pixel(120, 160, Rgba([40 * number as u8, 90, 200, 255])).save(&path).unwrap();
        character.references = vec![path];
    }
    cast
}

fn faces_options() -> RekognitionOptions {
    RekognitionOptions { collection: Some("my-film".into()), ..RekognitionOptions::default() }
}

/// Where a cut-out was taken from, by its size and its pixels: red and green of the test frames tell x and y.
fn cut_of(request: &Recorded) -> (u32, u32, u32, u32) {
    let body = BASE64_STANDARD.decode(request.json()["Image"]["Bytes"].as_str().unwrap()).unwrap();
    let picture = image::load_from_memory(&body).unwrap().into_rgb8();
    let corner = picture.get_pixel(0, 0);
    (u32::from(corner[0]), u32::from(corner[1]), picture.width(), picture.height())
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_asked_by_the_cast_and_boxes_come_back_clamped() {
    let aws = FakeAws::start(|request, _| match request.operation.as_str() {
        "DetectLabels" => Answer::json(json!({
            "Labels": [
                label("Person", &[], &[bounding_box(-0.1, 0.2, 0.4, 0.9)]),
                label("Husky", &["Dog", "Animal"], &[bounding_box(0.7, 0.5, 0.2, 0.3)]),
            ],
            "LabelModelVersion": "3.0",
        })),
        other => panic!("{other}"),
    })
    .await;
    let meter = Arc::new(Meter::new(PriceTable::built_in()));
    let parts = Parts { meter: Arc::clone(&meter), ..Parts::default() };
    let options = RekognitionOptions { min_confidence: 0.6, max_labels: 40, ..RekognitionOptions::default() };
    let detector = RekognitionDetector::with_parts(&aws.context(), cast(), options, parts).await.unwrap();
    let found = detector.detect(&[frame(0)]).await.unwrap().remove(0);
    assert_eq!(found.len(), 2);
    let person = &found[0];
    assert_eq!((person.bounding_box.left, person.bounding_box.bottom()), (0.0, 1.0));
    assert_eq!((person.character.as_deref(), person.alternatives.len()), (None, 2));
    assert_eq!((found[1].character.as_deref(), found[1].label.as_deref()), (Some("Rex"), Some("Husky")));
    assert_eq!(found[1].decided_by, "rekognition:labels");
    assert!((found[1].confidence - 0.915).abs() < 1e-6);

    let request = &aws.requests()[0];
    assert_eq!(request.header("x-amz-target"), Some("RekognitionService.DetectLabels"));
    assert!(request.header("authorization").unwrap().contains("/us-east-1/rekognition/aws4_request"));
    let mut body = request.json();
    let bytes = BASE64_STANDARD.decode(body["Image"]["Bytes"].take().as_str().unwrap()).unwrap();
    assert!(bytes.starts_with(&[0xff, 0xd8]), "a JPEG");
    assert_eq!(
        body,
        json!({
            "Image": {"Bytes": null},
            "Features": ["GENERAL_LABELS"],
            "MinConfidence": 60.0,
            "MaxLabels": 40,
            "Settings": {"GeneralLabels": {"LabelInclusionFilters": ["Person", "Dog"]}},
        })
    );
    let total = meter.total();
    assert_eq!((total.requests, total.images), (1, 1));
    assert!((total.usd - 0.001).abs() < 1e-9);
    assert!(!format!("{detector:?}").contains(SECRET));
}

/// Two faces, one of them at the edge of the frame: each is searched alone, the references vote.
#[tokio::test(flavor = "multi_thread")]
async fn every_face_is_cut_out_and_searched_alone() {
    let ids = enrolled_ids(&cast()).await;
    let known = ids.clone();
    let aws = FakeAws::start(move |request, _| match request.operation.as_str() {
        "ListFaces" => {
            let faces: Vec<Value> =
                known.iter().map(|id| json!({"FaceId": id, "ExternalImageId": id})).collect();
            Answer::json(json!({"Faces": faces, "FaceModelVersion": "7.0"}))
        }
        "DetectLabels" => Answer::json(json!({"Labels": [
            label("Person", &[], &[bounding_box(0.0, 0.1, 0.4, 0.9)]),
        ]})),
        "DetectFaces" => Answer::json(json!({"FaceDetails": [
            {"BoundingBox": bounding_box(0.15, 0.2, 0.1, 0.2), "Confidence": 99.0},
            {"BoundingBox": bounding_box(0.95, 0.0, 0.1, 0.2), "Confidence": 98.0},
            {"BoundingBox": bounding_box(0.6, 0.4, 0.1, 0.2), "Confidence": 97.0},
        ]})),
        "SearchFacesByImage" => {
            let (x, y, _, _) = cut_of(request);
            let found = |id: &str, similarity: f64| {
                json!({"Similarity": similarity, "Face": {"FaceId": id, "ExternalImageId": id}})
            };
            match x {
                0..100 => Answer::json(json!({"FaceMatches": [found(&known[0], 95.0), found(&known[1], 84.0)]})),
                230.. => Answer::json(json!({"FaceMatches": [found(&known[1], 90.0)]})),
                // The service finds no face in the third cut-out, and says so by an error.
                _ => {
                    assert!(y > 0);
                    Answer::error(
                        400,
                        "InvalidParameterException",
                        "There are no faces in the image. Should be at least 1.",
                    )
                }
            }
        }
        other => panic!("{other}"),
    })
    .await;
    let detector = RekognitionDetector::open(&aws.context(), cast(), faces_options()).await.unwrap();
    let found = detector.detect(&[frame(0)]).await.unwrap().remove(0);
    let who: Vec<_> = found.iter().map(|d| (d.character.as_deref(), d.decided_by.as_str())).collect();
    assert_eq!(
        who,
        [
            (Some("Mayu"), "rekognition:faces"),
            (Some("Ana"), "rekognition:faces"),
            (None, "rekognition:faces")
        ]
    );
    assert!((found[0].confidence - 0.95).abs() < 1e-6);
    assert_eq!(found[0].alternatives[0].character, "Ana");
    assert_eq!(found[0].label.as_deref(), Some("Person"), "the label's box, named by its face");
    for detection in &found {
        let b = detection.bounding_box;
        assert!(b.left >= 0.0 && b.right() <= 1.0 + 1e-6 && b.bottom() <= 1.0 + 1e-6, "{b:?}");
    }
    let searches = aws.requests_of("SearchFacesByImage");
    assert_eq!(searches.len(), 3, "one search a face");
    for search in &searches {
        let (_, _, width, height) = cut_of(search);
        assert!(width >= 80 && height >= 80, "{width}×{height}");
        let body = search.json();
        assert_eq!(body["CollectionId"], "my-film");
        assert_eq!((&body["FaceMatchThreshold"], &body["MaxFaces"]), (&json!(80.0), &json!(20)));
        assert_eq!(body["QualityFilter"], "NONE");
    }
    let faces = aws.requests_of("DetectFaces")[0].json();
    assert_eq!(faces["Attributes"], json!(["DEFAULT"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_searched_on_request_and_an_empty_answer_is_nobody() {
    let ids = enrolled_ids(&cast()).await;
    let user = |id: &str| id.split(':').next().unwrap().to_owned();
    let listed = ids.clone();
    let aws = FakeAws::start(move |request, nth| match request.operation.as_str() {
        "ListFaces" => Answer::json(json!({"Faces": listed.iter()
            .map(|id| json!({"FaceId": id, "ExternalImageId": id, "UserId": user(id)})).collect::<Vec<_>>()})),
        "DetectFaces" => Answer::json(json!({"FaceDetails": [
            {"BoundingBox": bounding_box(0.1, 0.2, 0.2, 0.3), "Confidence": 99.0},
            {"BoundingBox": bounding_box(0.6, 0.2, 0.2, 0.3), "Confidence": 99.0},
        ]})),
        "SearchUsersByImage" if nth == 0 => Answer::json(json!({"UserMatches": [
            {"Similarity": 97.0, "User": {"UserId": user(&listed[1]), "UserStatus": "ACTIVE"}}]})),
        "SearchUsersByImage" => Answer::json(json!({"UserMatches": [], "UnsearchedFaces": []})),
        other => panic!("{other}"),
    })
    .await;
    let options =
        RekognitionOptions { search_users: true, labels_first: false, labels: Vec::new(), ..faces_options() };
    let people = Cast { characters: cast().characters[..2].to_vec() };
    let detector = RekognitionDetector::open(&aws.context(), people, options).await.unwrap();
    let found = detector.detect(&[frame(0)]).await.unwrap().remove(0);
    let named: Vec<_> = found.iter().filter_map(|d| d.character.as_deref()).collect();
    assert_eq!((found.len(), named), (2, vec!["Ana"]));
    assert_eq!(aws.count("DetectLabels"), 0, "no labels were asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_with_nobody_costs_one_call_and_an_equal_frame_none() {
    let ids = enrolled_ids(&cast()).await;
    let aws = FakeAws::start(move |request, _| match request.operation.as_str() {
        "ListFaces" => Answer::json(json!({"Faces": [{"FaceId": "1", "ExternalImageId": ids[0]}]})),
        "DetectLabels" => Answer::json(json!({"Labels": []})),
        other => panic!("{other}"),
    })
    .await;
    let store = MemoryStore::new();
    for _ in 0..2 {
        // The second round is another process with the same store.
        let parts = Parts { cache: Arc::new(Cache::new(Arc::new(store.clone()))), ..Parts::default() };
        let detector =
            RekognitionDetector::with_parts(&aws.context(), cast(), faces_options(), parts).await.unwrap();
        let frames = [frame(1), frame(2), Frame { index: 3, ..frame(1) }];
        assert_eq!(detector.detect(&frames).await.unwrap(), vec![Vec::new(); 3]);
    }
    assert_eq!(aws.count("DetectLabels"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn throttles_server_errors_and_broken_answers_are_recovered() {
    let aws = FakeAws::start(|_, _| Answer::json(json!({"Labels": []}))).await;
    aws.next(
        "DetectLabels",
        [
            Answer::throttled(),
            Answer::error(400, "ProvisionedThroughputExceededException", "slower"),
            Answer::unavailable(),
            Answer::BreaksOff,
            Answer::malformed(),
        ],
    );
    let meter = Arc::new(Meter::new(PriceTable::built_in()));
    let parts = Parts { meter: Arc::clone(&meter), ..Parts::default() };
    let options = RekognitionOptions::default();
    let detector = RekognitionDetector::with_parts(&aws.context(), cast(), options, parts).await.unwrap();
    assert!(detector.detect(&[frame(0)]).await.unwrap()[0].is_empty());
    assert_eq!(aws.count("DetectLabels"), 6);
    assert_eq!(meter.total().requests, 1, "only the answer is paid");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_trying_again_cannot_mend_is_not_tried_again() {
    let aws = FakeAws::start(|_, _| Answer::json(json!({"Labels": []}))).await;
    let detector =
        RekognitionDetector::open(&aws.context(), cast(), RekognitionOptions::default()).await.unwrap();
    for (number, (code, kind)) in [
        ("AccessDeniedException", ErrorKind::PermissionDenied),
        ("InvalidImageFormatException", ErrorKind::InvalidInput),
        ("ImageTooLargeException", ErrorKind::InvalidInput),
        ("LimitExceededException", ErrorKind::QuotaExceeded),
    ]
    .into_iter()
    .enumerate()
    {
        aws.next("DetectLabels", [Answer::error(400, code, "the service's own words")]);
        let error = detector.detect(&[frame(0)]).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (kind, false), "{code}");
        assert!(error.to_string().contains("the service's own words"), "{error}");
        assert!(error.context().iter().any(|(k, v)| *k == "request_id" && v == "req-1"), "{error}");
        assert!(!format!("{error:?}").contains(SECRET));
        assert_eq!(aws.count("DetectLabels"), number + 1, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_ends_the_spending() {
    let aws = FakeAws::start(|_, _| Answer::json(json!({"Labels": []}))).await;
    let meter = Arc::new(Meter::new(PriceTable::built_in()).budget(0.002));
    let parts = Parts { meter: Arc::clone(&meter), ..Parts::default() };
    let options = RekognitionOptions::default();
    let detector = RekognitionDetector::with_parts(&aws.context(), cast(), options, parts).await.unwrap();
    let frames: Vec<Frame> = (0..5).map(frame).collect();
    let error = detector.detect(&frames).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    assert!(aws.count("DetectLabels") <= 2);
}

/// A collection that remembers, as the service does.
pub(crate) fn collection(exists: bool) -> impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static {
    let state = Mutex::new((exists, Vec::<(String, Option<String>)>::new(), Value::Null));
    move |request, _| {
        let mut state = state.lock().unwrap();
        let (exists, faces, tags) = &mut *state;
        match request.operation.as_str() {
            "DescribeCollection" if *exists => Answer::json(json!({
                "FaceCount": faces.len(), "CollectionARN": "arn:collection", "CreationTimestamp": 1_795_521_600.0})),
            "ListCollections" => Answer::json(json!({
                "CollectionIds": exists.then_some("my-film").into_iter().collect::<Vec<_>>()})),
            "DescribeProjects" => Answer::json(json!({"ProjectDescriptions": []})),
            "ListTagsForResource" => Answer::json(json!({"Tags": tags})),
            "DescribeCollection" => {
                Answer::error(400, "ResourceNotFoundException", "The collection id: my-film does not exist")
            }
            "CreateCollection" => {
                *exists = true;
                *tags = request.json()["Tags"].clone();
                Answer::json(json!({"StatusCode": 200, "CollectionArn": "arn", "FaceModelVersion": "7.0"}))
            }
            "ListFaces" => Answer::json(json!({"Faces": faces.iter().map(|(id, user)| json!({
                "FaceId": format!("face-{id}"), "ExternalImageId": id, "UserId": user})).collect::<Vec<_>>()})),
            "IndexFaces" => {
                let id = request.json()["ExternalImageId"].as_str().unwrap().to_owned();
                if id.starts_with("ana") {
                    return Answer::json(json!({"FaceRecords": [], "UnindexedFaces": [
                        {"Reasons": ["EXTREME_POSE", "LOW_SHARPNESS"], "FaceDetail": {}}]}));
                }
                faces.push((id.clone(), None));
                Answer::json(json!({
                    "FaceRecords": [{"Face": {"FaceId": format!("face-{id}"), "ExternalImageId": id}}],
                    "UnindexedFaces": [{"Reasons": ["EXCEEDS_MAX_FACES"], "FaceDetail": {}}],
                }))
            }
            "CreateUser" => Answer::error(400, "ConflictException", "the user exists"),
            "AssociateFaces" => {
                let body = request.json();
                for face in faces.iter_mut().filter(|(id, _)| {
                    body["FaceIds"].as_array().unwrap().contains(&json!(format!("face-{id}")))
                }) {
                    face.1 = Some(body["UserId"].as_str().unwrap().to_owned());
                }
                Answer::json(json!({"AssociatedFaces": body["FaceIds"].as_array().unwrap().iter()
                    .map(|id| json!({"FaceId": id})).collect::<Vec<_>>(), "UserStatus": "UPDATING"}))
            }
            "DeleteCollection" => {
                *exists = false;
                Answer::json(json!({"StatusCode": 200}))
            }
            // A look for what no ledger knows asks SageMaker too.
            "ListEndpoints" | "ListEndpointConfigs" | "ListModels" | "ListTrainingJobs" => {
                Answer::json(json!({}))
            }
            other => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cast_is_enrolled_once_and_rejected_references_say_why() {
    let aws = FakeAws::start(collection(false)).await;
    let dir = tempfile::tempdir().unwrap();
    let cast = with_references(&cast(), dir.path());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = Ledger::new(Arc::clone(&store));
    let meter = Arc::new(Meter::new(PriceTable::built_in()));
    let faces = FaceCollection::new(&aws.context(), "my-film", Arc::clone(&meter)).unwrap();
    let first = faces.enrol(&cast, true, Some(&ledger)).await.unwrap();
    assert!(first.created);
    let outcomes: Vec<_> = first.references.iter().map(|r| (&*r.character, &r.outcome)).collect();
    assert_eq!(outcomes[0], ("Mayu", &ReferenceOutcome::Enrolled { other_faces: 1 }));
    assert_eq!(
        outcomes[1],
        ("Ana", &ReferenceOutcome::Rejected { reason: "EXTREME_POSE, LOW_SHARPNESS".into() })
    );
    assert_eq!(first.users.keys().collect::<Vec<_>>(), ["Mayu", "Rex"]);
    let index = aws.requests_of("IndexFaces")[0].json();
    assert_eq!((&index["MaxFaces"], &index["QualityFilter"]), (&json!(1), &json!("AUTO")));
    assert_eq!(index["CollectionId"], "my-film");
    assert_eq!(meter.total().images, 3);
    let open = ledger.open().await.unwrap();
    assert_eq!((open.len(), open[0].happened), (1, Happened::Created));

    // The rejected picture is asked again, what is enrolled is not.
    let second = faces.enrol(&cast, true, Some(&ledger)).await.unwrap();
    assert!(!second.created && second.users.is_empty());
    assert_eq!(second.references[0].outcome, ReferenceOutcome::Known);
    assert_eq!(second.references[2].outcome, ReferenceOutcome::Known);
    assert_eq!((aws.count("IndexFaces"), aws.count("AssociateFaces")), (4, 2));
    assert_eq!(aws.count("CreateCollection"), 1);

    faces.delete(Some(&ledger)).await.unwrap();
    assert!(ledger.open().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_exists_already_is_used_and_one_that_does_not_is_named() {
    let aws = FakeAws::start(collection(true)).await;
    let dir = tempfile::tempdir().unwrap();
    let cast = with_references(&cast(), dir.path());
    let faces = FaceCollection::new(&aws.context(), "my-film", Arc::default()).unwrap();
    let ledger = Ledger::new(Arc::new(MemoryStore::new()));
    assert!(!faces.enrol(&cast, false, Some(&ledger)).await.unwrap().created);
    assert_eq!(aws.count("CreateCollection"), 0);
    assert!(ledger.open().await.unwrap().is_empty(), "what others made is not cleaned");

    aws.next("ListFaces", [Answer::error(400, "ResourceNotFoundException", "does not exist")]);
    let error = RekognitionDetector::open(&aws.context(), cast.clone(), faces_options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("picchu cast enrol"), "{error}");
    let strangers = Cast { characters: vec![character("Somebody", &[])] };
    let error = RekognitionDetector::open(&aws.context(), strangers, faces_options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

fn model(start: bool) -> RekognitionOptions {
    RekognitionOptions {
        custom_labels: Some(CustomLabelsOptions {
            start,
            project: Some(PROJECT.into()),
            inference_units: 2,
            poll_seconds: 0.02,
            ..CustomLabelsOptions::running(VERSION)
        }),
        ..RekognitionOptions::default()
    }
}

/// A version with its state, and the frames' labels: one person whom only the model can name.
pub(crate) fn version(
    first: &'static str,
) -> (Arc<Mutex<String>>, impl Fn(&Recorded, usize) -> Answer + Send + Sync) {
    let state = Arc::new(Mutex::new(first.to_owned()));
    let (shared, tags) = (Arc::clone(&state), Mutex::new(json!({})));
    let script = move |request: &Recorded, _: usize| {
        let (mut state, mut tags) = (shared.lock().unwrap(), tags.lock().unwrap());
        match request.operation.as_str() {
            "ListCollections" => Answer::json(json!({"CollectionIds": []})),
            "DescribeProjects" => Answer::json(json!({"ProjectDescriptions": [{"ProjectArn": PROJECT}]})),
            "ListTagsForResource" => Answer::json(json!({"Tags": *tags})),
            "TagResource" => {
                tags.as_object_mut().unwrap().extend(request.json()["Tags"].as_object().unwrap().clone());
                Answer::json(json!({}))
            }
            "UntagResource" => {
                for key in request.json()["TagKeys"].as_array().unwrap() {
                    tags.as_object_mut().unwrap().remove(key.as_str().unwrap());
                }
                Answer::json(json!({}))
            }
            "DetectLabels" => Answer::json(json!({"Labels": [
                label("Person", &[], &[bounding_box(0.1, 0.1, 0.3, 0.8)])]})),
            "DetectCustomLabels" if *state == "RUNNING" => Answer::json(json!({"CustomLabels": [
                {"Name": "Ana", "Confidence": 88.0,
                 "Geometry": {"BoundingBox": bounding_box(0.11, 0.1, 0.3, 0.8)}}]})),
            "DetectCustomLabels" => {
                Answer::error(400, "ResourceNotReadyException", "ProjectVersion is not ready")
            }
            "DescribeProjectVersions" => {
                let now = state.clone();
                if now == "STARTING" {
                    *state = "RUNNING".into();
                }
                Answer::json(json!({"ProjectVersionDescriptions": [
                    {"ProjectVersionArn": VERSION, "Status": now, "MinInferenceUnits": 2}]}))
            }
            "StartProjectVersion" => {
                *state = "STARTING".into();
                Answer::json(json!({"Status": "STARTING"}))
            }
            "StopProjectVersion" => {
                *state = "STOPPING".into();
                Answer::json(json!({"Status": "STOPPING"}))
            }
            // A look for what no ledger knows asks SageMaker too.
            "ListEndpoints" | "ListEndpointConfigs" | "ListModels" | "ListTrainingJobs" => {
                Answer::json(json!({}))
            }
            other => panic!("{other}"),
        }
    };
    (state, script)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trained_model_names_what_labels_leave_unsure() {
    let (_, script) = version("RUNNING");
    let aws = FakeAws::start(script).await;
    let detector = RekognitionDetector::open(&aws.context(), cast(), model(false)).await.unwrap();
    let found = detector.detect(&[frame(0)]).await.unwrap().remove(0);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].character.as_deref(), found[0].decided_by.as_str()),
        (Some("Ana"), "rekognition:custom-labels")
    );
    let request = aws.requests_of("DetectCustomLabels")[0].json();
    assert_eq!(request["ProjectVersionArn"], VERSION);
    assert!(request.get("MinConfidence").is_none(), "the model's own thresholds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_does_not_run_is_told_with_what_to_do() {
    let (_, script) = version("STOPPED");
    let aws = FakeAws::start(script).await;
    let detector = RekognitionDetector::open(&aws.context(), cast(), model(false)).await.unwrap();
    let error = detector.detect(&[frame(0)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("is not running"), "{error}");
    assert_eq!(aws.count("DetectCustomLabels"), 1);
}

/// Faces turn away for one frame in three: only the label's box is left then, and the faces around it name it.
#[tokio::test(flavor = "multi_thread")]
async fn a_face_names_its_character_also_where_it_turns_away() {
    let ids = enrolled_ids(&cast()).await;
    let boxed = |b: BoundingBox| bounding_box(b.left.into(), b.top.into(), b.width.into(), b.height.into());
    let aws = FakeAws::start(move |request, _| {
        // The figure is where the film drew it, as the service would see it: seconds are told by its place.
        let second = || {
            let body = BASE64_STANDARD.decode(request.json()["Image"]["Bytes"].as_str().unwrap()).unwrap();
            let picture = image::load_from_memory(&body).unwrap().into_rgb8();
            let red = |x: u32| picture.get_pixel(x, picture.height() / 2)[0] > 190;
            let left = (0..picture.width()).find(|&x| red(x)).unwrap() as f32 / picture.width() as f32;
            (0..8).find(|&s| (SyntheticFilm::figure(s).left - left).abs() < 0.02).unwrap()
        };
        match request.operation.as_str() {
            "ListFaces" => Answer::json(json!({"Faces": [{"FaceId": "1", "ExternalImageId": ids[0]}]})),
            "DetectLabels" => Answer::json(json!({"Labels": [
                label("Person", &[], &[boxed(SyntheticFilm::figure(second()))])]})),
            "DetectFaces" if second() % 3 == 1 => Answer::json(json!({"FaceDetails": []})),
            "DetectFaces" => {
                let b = SyntheticFilm::figure(second());
                let face = BoundingBox::new(b.left + 0.1, b.top + 0.05, 0.1, 0.15);
                Answer::json(json!({"FaceDetails": [{"BoundingBox": boxed(face), "Confidence": 99.0}]}))
            }
            "SearchFacesByImage" => Answer::json(json!({"FaceMatches": [
                {"Similarity": 96.0, "Face": {"FaceId": "1", "ExternalImageId": ids[0]}}]})),
            // A look for what no ledger knows asks SageMaker too.
            "ListEndpoints" | "ListEndpointConfigs" | "ListModels" | "ListTrainingJobs" => {
                Answer::json(json!({}))
            }
            other => panic!("{other}"),
        }
    })
    .await;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let detector = RekognitionDetector::open(&aws.context(), cast(), faces_options()).await.unwrap();
    Pipeline::new(Arc::new(SyntheticFilm::new(5).size(640, 576)))
        .detect(Arc::new(detector))
        .dedupe(Arc::new(FakeEmbedder), Arc::new(CosineDeduper::at(0.9999).unwrap()))
        .caption(Arc::new(FakeCaptioner))
        .store(Arc::clone(&store))
        .run()
        .await
        .unwrap();
    let dataset = Dataset::open(store).await.unwrap();
    let decided: Vec<_> =
        dataset.records().iter().map(|r| (r.character(), r.detection.decided_by.as_str())).collect();
    let (face, track) = ((Some("Mayu"), "rekognition:faces"), (Some("Mayu"), "rekognition:labels track"));
    assert_eq!(decided, [face, track, face, face, track]);
    assert_eq!(aws.count("SearchFacesByImage"), 3, "nothing was paid for what the neighbours told");
}

fn job(detector: RekognitionDetector, store: &Arc<dyn Store>) -> Pipeline {
    Pipeline::new(Arc::new(SyntheticFilm::new(30).size(320, 288)))
        .detect(Arc::new(detector))
        .dedupe(Arc::new(FakeEmbedder), Arc::new(CosineDeduper::at(0.9999).unwrap()))
        .caption(Arc::new(FakeCaptioner))
        .store(Arc::clone(store))
}

async fn starting(aws: &FakeAws, store: &Arc<dyn Store>) -> Result<RekognitionDetector> {
    let parts = Parts { ledger: Some(Ledger::new(Arc::clone(store))), ..Parts::default() };
    RekognitionDetector::with_parts(&aws.context(), cast(), model(true), parts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_started_for_the_run_and_stopped_after() {
    let (state, script) = version("STOPPED");
    let aws = FakeAws::start(script).await;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let detector = starting(&aws, &store).await.unwrap();
    assert_eq!(aws.count("StartProjectVersion"), 0, "nothing bills before the run");
    let report = job(detector, &store).run().await.unwrap();
    assert_eq!(report.counts.characters.keys().collect::<Vec<_>>(), ["Ana"]);
    assert_eq!(*state.lock().unwrap(), "STOPPING");
    let start = aws.requests_of("StartProjectVersion")[0].json();
    assert_eq!(start, json!({"ProjectVersionArn": VERSION, "MinInferenceUnits": 2}));
    let ledger = Ledger::new(store);
    let happened: Vec<_> = ledger.entries().await.unwrap().iter().map(|e| e.happened).collect();
    assert_eq!(happened, [Happened::Creating, Happened::Created, Happened::Ended]);
    assert_eq!(ledger.entries().await.unwrap()[0].usd_per_hour, Some(8.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_in_mid_flight_stops_a_started_model() {
    // Once while it starts, once while frames are searched.
    for wait_for in ["StartProjectVersion", "DetectCustomLabels"] {
        let (state, script) = version("STOPPED");
        let slow = move |request: &Recorded, nth: usize| {
            let answer = script(request, nth);
            let slow = request.operation == wait_for;
            if slow { answer.after(Duration::from_secs(20)) } else { answer }
        };
        let aws = FakeAws::start(slow).await;
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let detector = starting(&aws, &store).await.unwrap();
        let run = tokio::spawn(job(detector, &store).run());
        while aws.count(wait_for) == 0 {
            assert!(!run.is_finished(), "{wait_for}: {:?}", run.await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        run.abort();
        assert!(run.await.unwrap_err().is_cancelled());
        assert_eq!(*state.lock().unwrap(), "STOPPING", "{wait_for}");
        assert!(Ledger::new(store).open().await.unwrap().is_empty(), "{wait_for}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_runs_is_used_and_not_stopped() {
    let (state, script) = version("RUNNING");
    let aws = FakeAws::start(script).await;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let detector = starting(&aws, &store).await.unwrap();
    job(detector, &store).run().await.unwrap();
    assert_eq!(*state.lock().unwrap(), "RUNNING");
    assert_eq!(aws.count("StartProjectVersion") + aws.count("StopProjectVersion"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_may_lie_in_s3() {
    let aws = FakeAws::start(|_, _| Answer::json(json!({"Labels": []}))).await;
    let store = MemoryStore::new();
    let at = FramesAt { bucket: "my-bucket".into(), prefix: "frames/film".into() };
    let options = RekognitionOptions { frames_at: Some(at), ..RekognitionOptions::default() };
    let parts = Parts { frames: Some(Arc::new(store.clone())), ..Parts::default() };
    let detector = RekognitionDetector::with_parts(&aws.context(), cast(), options, parts).await.unwrap();
    detector.detect(&[frame(0)]).await.unwrap();
    let image = aws.requests()[0].json()["Image"].clone();
    assert_eq!(image["S3Object"]["Bucket"], "my-bucket");
    let name = image["S3Object"]["Name"].as_str().unwrap().strip_prefix("frames/film/").unwrap();
    let body = store.get(&name.try_into().unwrap()).await.unwrap();
    assert!(image::load_from_memory(&body).is_ok());
    assert!(image.get("Bytes").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_detector_keeps_the_traits_contract() {
    let (_, script) = version("RUNNING");
    let aws = FakeAws::start(script).await;
    let detector = RekognitionDetector::open(&aws.context(), cast(), model(false)).await.unwrap();
    conformance::detector(&detector, &SyntheticFilm::new(20).size(320, 288)).await;
    let infos: BTreeSet<String> = [
        detector.info().settings,
        RekognitionDetector::open(&aws.context(), cast(), RekognitionOptions::default())
            .await
            .unwrap()
            .info()
            .settings,
    ]
    .into();
    assert_eq!(infos.len(), 2, "other options are other settings");
}
