//! The whole job over fakes: order, resuming, re-selecting, failures that stay alone.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, future::ready, stream::BoxStream};
use picchu::{
    CharacterDetector, Error, ErrorKind, FrameSource, Pipeline, Result, Sampling, Store,
    dataset::Dataset,
    dedupe::CosineDeduper,
    pipeline::{Event, Limits, Stop},
    source::analyse,
    store::{Key, MemoryStore, PutMode},
    testing::{FakeCaptioner, FakeDetector, FakeEmbedder, FaultyStore, Join, Montage, Scene, SyntheticFilm},
    types::{Alternative, BoundingBox, Detection, Frame, Gap, MediaInfo, Outcome, ProviderInfo},
};

fn job(seconds: u64, store: &Arc<dyn Store>) -> Pipeline {
    over(Arc::new(SyntheticFilm::new(seconds)), store)
}

fn over(source: Arc<dyn FrameSource>, store: &Arc<dyn Store>) -> Pipeline {
    Pipeline::new(source)
        .detect(Arc::new(FakeDetector::new("Mayu")))
        .dedupe(Arc::new(FakeEmbedder), Arc::new(CosineDeduper::at(0.9999).unwrap()))
        .caption(Arc::new(FakeCaptioner))
        .store(Arc::clone(store))
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

/// Everything in a store, as bytes.
async fn content(store: &Arc<dyn Store>) -> Vec<(String, Bytes)> {
    let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut all = Vec::new();
    for object in objects {
        all.push((object.key.to_string(), store.get(&object.key).await.unwrap()));
    }
    all
}

/// A film of three shots, whose frames stop coming after so many.
#[derive(Debug)]
struct Stopping {
    film: Montage,
    left: Arc<AtomicUsize>,
    /// How often the whole film was asked for.
    looks: AtomicUsize,
}

impl Stopping {
    fn after(frames: usize) -> Self {
        let film = Montage::new(Scene::new(1).hold(2), 40).then(Join::Cut, Scene::new(2).pan(1.5), 36).then(
            Join::Dissolve(10),
            Scene::new(3).grain(3.0),
            40,
        );
        Self { film, left: Arc::new(AtomicUsize::new(frames)), looks: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl FrameSource for Stopping {
    async fn probe(&self) -> Result<MediaInfo> {
        self.film.probe().await
    }

    async fn fingerprint(&self) -> Result<String> {
        self.film.fingerprint().await
    }

    fn frames(&self, sampling: &Sampling) -> BoxStream<'static, Result<Frame>> {
        if *sampling == Sampling::all().max_side(320) {
            self.looks.fetch_add(1, Ordering::Relaxed);
        }
        let left = Arc::clone(&self.left);
        let frames = self.film.frames(sampling).map(move |frame| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .map_err(|_| Error::new(ErrorKind::Unavailable, "the film stops coming"))
                .and(frame)
        });
        // Like any source: an error that is no gap is the last thing.
        frames
            .scan(false, |over, item| {
                ready(!std::mem::replace(over, item.is_err())).map(|go| go.then_some(item))
            })
            .boxed()
    }
}

/// Finds somebody in the middle of every frame.
#[derive(Debug)]
struct Everywhere;

#[async_trait]
impl CharacterDetector for Everywhere {
    fn info(&self) -> ProviderInfo {
        ProviderInfo::new("test", "everywhere").max_batch(2)
    }

    async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
        let found = Detection {
            bounding_box: BoundingBox::new(0.2, 0.1, 0.5, 0.8),
            character: Some("Mayu".into()),
            confidence: 0.9,
            label: None,
            alternatives: Vec::new(),
            decided_by: "test".into(),
        };
        Ok(vec![vec![found]; frames.len()])
    }
}

#[tokio::test]
async fn a_stopped_run_that_looks_at_the_film_ends_in_the_same_dataset() {
    let film = Stopping::after(usize::MAX);
    analyse(&film).await.unwrap();
    let look = usize::MAX - film.left.load(Ordering::Relaxed);
    // A frame is finished once two more were searched; among the sharpest, each is one of up to four.
    for (sampling, some) in [
        (Sampling::shots(3).unwrap(), 6),
        (Sampling::sharpest(0.25).unwrap(), 18),
        (Sampling::drawings(), 6),
        (Sampling::every_secs(0.25).unwrap().lineage(), 6),
    ] {
        let job = |film: &Arc<Stopping>, store: &Arc<dyn Store>| {
            let film: Arc<dyn FrameSource> = Arc::<Stopping>::clone(film);
            over(film, store).detect(Arc::new(Everywhere)).sample(sampling.clone())
        };
        let (whole, store) = (Arc::new(Stopping::after(usize::MAX)), memory());
        let report = job(&whole, &store).run().await.unwrap();
        assert!(report.counts.records >= 8, "{sampling}: {:?}", report.counts);
        let expected = content(&store).await;

        let (film, store) = (Arc::new(Stopping::after(0)), memory());
        let mut stops = 0;
        // At the beginning and at the end of the look at the film, after it, and then again and again.
        for frames in [50, look - 1, look + some].into_iter().chain(std::iter::repeat(some)) {
            film.left.store(frames, Ordering::Relaxed);
            match job(&film, &store).run().await {
                Ok(_) => break,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{sampling}: {error}"),
            }
            stops += 1;
            assert!(stops < 100, "{sampling}: no progress");
        }
        assert!(stops > 2, "{sampling}: {stops}");
        assert_eq!(content(&store).await, expected, "{sampling}");
        assert_eq!(film.looks.load(Ordering::Relaxed), 3, "{sampling}: a finished look is kept");
    }
}

#[tokio::test]
async fn a_film_becomes_a_dataset_with_its_lineage() {
    let store = memory();
    let report = job(12, &store).run().await.unwrap();
    assert_eq!((report.counts.frames, report.counts.records), (12, 12));
    assert!(report.counts.kept > 0 && report.counts.kept + report.counts.duplicates == 12);
    let dataset = Dataset::open(store).await.unwrap();
    assert_eq!(dataset.embeddings().await.unwrap().len(), 12);
    for record in dataset.records() {
        let crop = record.crop.as_ref().unwrap();
        let image = dataset.image(record).await.unwrap();
        assert_eq!((image.width(), image.height()), (crop.width, crop.height));
        assert_eq!(record.subjects[0].character, "Mayu");
        match &record.outcome {
            Outcome::Kept => assert!(record.caption.as_ref().unwrap().text.contains("Mayu")),
            Outcome::Duplicate { covered_by, similarity } => {
                assert!(dataset.get(covered_by).unwrap().is_kept() && *similarity >= 0.9999);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn equal_jobs_give_equal_bytes_whatever_is_in_flight() {
    let mut contents = Vec::new();
    for in_flight in [1, 2, 5] {
        let store = memory();
        let limits = Limits { in_flight, frame_bytes: 4 << 20, captions_in_flight: in_flight };
        job(15, &store).limits(limits).run().await.unwrap();
        contents.push(content(&store).await);
    }
    assert_eq!(contents[0], contents[1]);
    assert_eq!(contents[0], contents[2]);
    assert!(contents[0].iter().all(|(key, _)| !key.starts_with("work/")), "nothing unfinished is left");
}

/// A film that counts how many frames were taken from it.
#[derive(Debug)]
struct Counted(SyntheticFilm, Arc<AtomicUsize>);

#[async_trait]
impl FrameSource for Counted {
    async fn probe(&self) -> Result<MediaInfo> {
        self.0.probe().await
    }

    async fn fingerprint(&self) -> Result<String> {
        self.0.fingerprint().await
    }

    fn frames(&self, sampling: &Sampling) -> BoxStream<'static, Result<Frame>> {
        let taken = Arc::clone(&self.1);
        Box::pin(self.0.frames(sampling).inspect_ok(move |_| {
            taken.fetch_add(1, Ordering::SeqCst);
        }))
    }
}

#[tokio::test]
async fn a_second_run_does_nothing_and_another_threshold_decodes_nothing() {
    let store = memory();
    let taken = Arc::new(AtomicUsize::new(0));
    let run = |min_similarity: f64| {
        over(Arc::new(Counted(SyntheticFilm::new(20), Arc::clone(&taken))), &store)
            .dedupe(Arc::new(FakeEmbedder), Arc::new(CosineDeduper::at(min_similarity).unwrap()))
            .run()
    };
    let strict = run(0.9999).await.unwrap();
    assert_eq!(taken.load(Ordering::SeqCst), 20);
    let before = content(&store).await;
    assert!(run(0.9999).await.unwrap().unchanged);
    assert_eq!(before, content(&store).await);
    let loose = run(0.9).await.unwrap();
    assert!(!loose.unchanged && loose.counts.kept < strict.counts.kept);
    run(0.9999).await.unwrap();
    assert_eq!(before, content(&store).await, "back to the first threshold, back to the first bytes");
    assert_eq!(taken.load(Ordering::SeqCst), 20, "nothing was decoded again");
}

#[tokio::test]
async fn a_run_that_is_stopped_anywhere_ends_in_the_same_bytes() {
    let whole = memory();
    job(14, &whole).run().await.unwrap();
    let expected = content(&whole).await;
    for writes in 0..90 {
        let store = memory();
        let faulty: Arc<dyn Store> =
            Arc::new(FaultyStore::new(Arc::clone(&store), writes, ErrorKind::QuotaExceeded));
        let stopped = job(14, &faulty).run().await;
        if let Err(e) = &stopped {
            assert_eq!(e.kind(), ErrorKind::QuotaExceeded);
        }
        job(14, &store).run().await.unwrap();
        assert_eq!(content(&store).await, expected, "stopped after {writes} writes");
    }
}

#[tokio::test]
async fn a_stopped_run_goes_on_where_it_was() {
    let store = memory();
    let faulty: Arc<dyn Store> = Arc::new(FaultyStore::new(Arc::clone(&store), 13, ErrorKind::Unavailable));
    job(14, &faulty).run().await.unwrap_err();
    let taken = Arc::new(AtomicUsize::new(0));
    over(Arc::new(Counted(SyntheticFilm::new(14), Arc::clone(&taken))), &store).run().await.unwrap();
    let taken = taken.load(Ordering::SeqCst);
    assert!((1..14).contains(&taken), "{taken} frames were taken again");
}

/// At whatever event a run is asked to end, it keeps every frame that was searched but those that wait for their
/// neighbours, and the next run ends in the same bytes.
#[tokio::test]
async fn a_run_that_is_asked_to_end_finishes_what_is_under_way() {
    let whole = memory();
    let events = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&events);
    let limits = Limits { in_flight: 2, captions_in_flight: 2, ..Limits::default() };
    let count = move |_: &Event| {
        counting.fetch_add(1, Ordering::SeqCst);
    };
    job(40, &whole).limits(limits).on_event(count).run().await.unwrap();
    let expected = content(&whole).await;
    let (mut cancelled, mut kept) = (0, 0);
    for nth in 0..events.load(Ordering::SeqCst) {
        let (store, stop, seen) = (memory(), Stop::new(), AtomicUsize::new(0));
        let taken = Arc::new(AtomicUsize::new(0));
        let asked = stop.clone();
        let observe = move |_: &Event| {
            if seen.fetch_add(1, Ordering::SeqCst) == nth {
                asked.request();
            }
        };
        let film = Arc::new(Counted(SyntheticFilm::new(40), Arc::clone(&taken)));
        let ended = over(film, &store).limits(limits).stop(stop).on_event(observe).run().await;
        let first = taken.load(Ordering::SeqCst);
        if let Err(e) = ended {
            assert_eq!(e.kind(), ErrorKind::Cancelled, "{e}");
            cancelled += 1;
        }
        let film = Arc::new(Counted(SyntheticFilm::new(40), Arc::clone(&taken)));
        over(film, &store).run().await.unwrap();
        assert_eq!(content(&store).await, expected, "asked at event {nth}");
        // Two frames wait for their neighbours, and one was taken when the request came.
        let again = taken.load(Ordering::SeqCst) - 40;
        assert!(again <= 3 + 1, "{again} of {first} frames were taken again after event {nth}");
        kept += first - again.min(first);
    }
    assert!(cancelled > 4 && kept > 0, "{cancelled} runs were cancelled, {kept} frames kept");
}

#[tokio::test]
async fn another_films_dataset_is_left_alone() {
    let store = memory();
    job(5, &store).run().await.unwrap();
    let before = content(&store).await;
    let error = job(6, &store).run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("belongs to another film"));
    assert_eq!(before, content(&store).await);
}

#[tokio::test]
async fn other_settings_make_the_dataset_anew_and_leave_no_orphans() {
    let store = memory();
    job(10, &store).run().await.unwrap();
    let crop = picchu::CropPolicy::default().pad(0.4);
    job(10, &store).crop(crop.clone()).run().await.unwrap();
    let fresh = memory();
    job(10, &fresh).crop(crop).run().await.unwrap();
    assert_eq!(content(&store).await, content(&fresh).await);
}

/// Knows the character, but is unsure of her in every third frame.
#[derive(Debug)]
struct Blinking(FakeDetector);

#[async_trait]
impl CharacterDetector for Blinking {
    fn info(&self) -> ProviderInfo {
        self.0.info()
    }

    async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
        let mut answers = self.0.detect(frames).await?;
        for (frame, found) in frames.iter().zip(&mut answers).filter(|(f, _)| f.index % 3 == 1) {
            assert!(!found.is_empty(), "frame {} shows her", frame.index);
            for detection in found {
                let character = detection.character.take().unwrap();
                detection.alternatives = vec![Alternative { character, confidence: 0.4 }];
                detection.confidence = 0.4;
            }
        }
        Ok(answers)
    }
}

#[tokio::test]
async fn neighbours_settle_boxes_unless_told_not_to_and_each_is_its_own_dataset() {
    let run = |store: &Arc<dyn Store>, settle: bool| {
        job(10, store).detect(Arc::new(Blinking(FakeDetector::new("Mayu")))).settle(settle).run()
    };
    let store = memory();
    let settled = run(&store, true).await.unwrap();
    assert_eq!(settled.counts.unsure, 0, "{settled:?}");
    let raw = run(&store, false).await.unwrap();
    assert_eq!(
        (raw.unchanged, raw.counts.unsure),
        (false, 3),
        "the finished dataset is not the one asked for"
    );
    let fresh = memory();
    run(&fresh, false).await.unwrap();
    assert_eq!(content(&store).await, content(&fresh).await);
}

/// Refuses every batch that holds one frame, like a service that cannot read a picture.
#[derive(Debug)]
struct Refuses(u64, FakeDetector);

#[async_trait]
impl CharacterDetector for Refuses {
    fn info(&self) -> ProviderInfo {
        self.1.info()
    }

    async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
        if frames.iter().any(|f| f.index == self.0) {
            return Err(Error::invalid("this picture cannot be read"));
        }
        self.1.detect(frames).await
    }
}

#[tokio::test]
async fn one_bad_frame_stays_alone() {
    let store = memory();
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let report = job(9, &store)
        .detect(Arc::new(Refuses(6, FakeDetector::new("Mayu"))))
        .on_event(move |e| seen.lock().unwrap().push(e.clone()))
        .run()
        .await
        .unwrap();
    assert_eq!((report.counts.frames, report.counts.frames_failed, report.counts.records), (9, 1, 8));
    let events = events.lock().unwrap();
    assert!(events.iter().any(|e| matches!(e, Event::FrameFailed { index: 6, .. })));
    assert!(matches!(events.last(), Some(Event::Finished { .. })));
}

/// A film with a stretch that cannot be decoded, and an optional bad end.
#[derive(Debug)]
struct Broken {
    fatal: bool,
}

#[async_trait]
impl FrameSource for Broken {
    async fn probe(&self) -> Result<MediaInfo> {
        SyntheticFilm::new(8).probe().await
    }

    async fn fingerprint(&self) -> Result<String> {
        Ok("sha256:broken".into())
    }

    fn frames(&self, sampling: &Sampling) -> BoxStream<'static, Result<Frame>> {
        let fatal = self.fatal;
        let frames = SyntheticFilm::new(8).frames(sampling);
        Box::pin(futures::StreamExt::map(frames, move |frame| {
            let frame = frame?;
            match frame.index {
                3 => {
                    let gap = Gap { from: frame.time, until: None, reason: "flipped bits".into() };
                    Err(Error::new(ErrorKind::Decode, "flipped bits").with_gap(gap))
                }
                7 if fatal => Err(Error::new(ErrorKind::Unavailable, "the disk went away")),
                _ => Ok(frame),
            }
        }))
    }
}

#[tokio::test]
async fn a_gap_is_reported_and_the_rest_is_delivered() {
    let store = memory();
    let report = over(Arc::new(Broken { fatal: false }), &store).run().await.unwrap();
    assert_eq!((report.counts.frames, report.gaps.len()), (7, 1));
    assert_eq!(report.gaps[0].reason, "flipped bits");
    assert!(over(Arc::new(Broken { fatal: false }), &store).run().await.unwrap().unchanged);
}

#[tokio::test]
async fn a_fatal_error_keeps_what_was_done() {
    let store = memory();
    let error = over(Arc::new(Broken { fatal: true }), &store).run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.is_retryable());
    assert!(content(&store).await.iter().any(|(key, _)| key.starts_with("work/")));
    assert_eq!(Dataset::open(Arc::clone(&store)).await.unwrap_err().kind(), ErrorKind::NotFound);
    let report = over(Arc::new(Broken { fatal: false }), &store).run().await.unwrap();
    assert_eq!(report.counts.frames, 7);
}

#[tokio::test]
async fn a_film_without_the_cast_gives_a_valid_empty_dataset() {
    /// Sees nobody.
    #[derive(Debug)]
    struct Nobody;

    #[async_trait]
    impl CharacterDetector for Nobody {
        fn info(&self) -> ProviderInfo {
            ProviderInfo::new("nobody", "nobody").max_batch(8)
        }

        async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
            Ok(vec![Vec::new(); frames.len()])
        }
    }
    let store = memory();
    let report = job(6, &store).detect(Arc::new(Nobody)).run().await.unwrap();
    assert_eq!((report.counts.frames, report.counts.records), (6, 0));
    let dataset = Dataset::open(store).await.unwrap();
    assert_eq!(dataset.embeddings().await.unwrap().view().dim(), (0, 12));
}

#[tokio::test]
async fn a_broken_dataset_is_named_and_mended_by_the_same_run() {
    let store = memory();
    job(6, &store).run().await.unwrap();
    let before = content(&store).await;
    let records = Key::new("records.jsonl").unwrap();
    let mut body = store.get(&records).await.unwrap().to_vec();
    body.truncate(body.len() - 20);
    store.put(&records, body.into(), PutMode::Overwrite).await.unwrap();
    let error = Dataset::open(Arc::clone(&store)).await.unwrap_err();
    assert!(error.to_string().contains("records.jsonl"), "{error}");
    let error = job(6, &store).run().await.unwrap_err();
    assert!(error.to_string().contains("records.jsonl, line 6"), "{error}");
    store
        .put(
            &records,
            before.iter().find(|(k, _)| k == "records.jsonl").unwrap().1.clone(),
            PutMode::Overwrite,
        )
        .await
        .unwrap();
    assert!(job(6, &store).run().await.unwrap().unchanged);
}

#[tokio::test]
async fn explaining_writes_nothing() {
    let store = memory();
    let explanation = job(6, &store).explain().await.unwrap();
    assert_eq!(explanation.expected_frames, Some(6));
    assert!(explanation.to_string().contains("to do"));
    assert!(content(&store).await.is_empty());
    job(6, &store).run().await.unwrap();
    assert!(!job(6, &store).explain().await.unwrap().to_string().contains("to do"));
}

/// Words as bad as a model's: refuses, never names anybody, or says the same of everything.
#[derive(Debug)]
struct Stubborn(&'static str);

#[async_trait]
impl picchu::Captioner for Stubborn {
    fn info(&self) -> ProviderInfo {
        ProviderInfo::new("stubborn", self.0)
    }

    async fn caption(&self, request: &picchu::types::CaptionRequest) -> Result<picchu::types::Caption> {
        let text = match self.0 {
            "refuses" => return Err(Error::new(ErrorKind::ContentFiltered, "no")),
            "is silent" => return Err(Error::new(ErrorKind::Decode, "the answer is empty")),
            "names nobody" => "Somebody walks.".to_owned(),
            _ => format!("Mayu walks along the river number {} x{0} y{0}.", request.record),
        };
        Ok(picchu::types::Caption::new(text, self.0))
    }
}

#[tokio::test]
async fn images_without_a_caption_are_marked_and_worn_words_are_noted() {
    use picchu::types::{LintRule, NoCaption};
    for (mood, expected) in [
        ("refuses", NoCaption::Refused),
        ("is silent", NoCaption::Failed),
        ("names nobody", NoCaption::Unfit),
    ] {
        let store = memory();
        let report = job(9, &store).caption(Arc::new(Stubborn(mood))).run().await.unwrap();
        assert_eq!(report.counts.kept, 0, "{mood}");
        assert!(report.counts.uncaptioned > 0, "{mood}");
        let dataset = Dataset::open(Arc::clone(&store)).await.unwrap();
        for record in dataset.records() {
            if let Outcome::Uncaptioned { why, reason } = &record.outcome {
                assert!(*why == expected && reason.contains("no usable caption"), "{reason}");
                assert!(record.caption.is_none());
            }
        }
        assert_eq!(dataset.training_images().count(), 0, "never an image with an empty caption");
        // Another captioner selects anew, and finds all of them again.
        let mended = job(9, &store).run().await.unwrap();
        assert_eq!((mended.counts.kept, mended.counts.uncaptioned), (report.counts.uncaptioned, 0));
    }
    let store = memory();
    job(30, &store).caption(Arc::new(Stubborn("repeats itself"))).run().await.unwrap();
    let dataset = Dataset::open(store).await.unwrap();
    let noted = |rule| {
        dataset
            .records()
            .iter()
            .filter_map(|r| r.caption.as_ref())
            .filter(move |c| c.faults.iter().any(|f| f.rule == rule))
    };
    assert!(noted(LintRule::WornOpener).count() > 0);
    assert!(dataset.lint(&picchu::caption::LintRules::default()).by_rule()[&LintRule::WornOpener] > 0);
}
