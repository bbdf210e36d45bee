//! What is done with finished datasets: exports that prove themselves, validation and mending, lineage, merging,
//! splitting.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{TryStreamExt, stream::BoxStream};
use picchu::{
    CosineDeduper, ErrorKind, FrameSource, Pipeline, Result, Sampling, Store,
    dataset::{
        Dataset, Fix, Part, SplitOptions, View,
        export::{self, Options, custom_labels, formats},
        merge, to_jsonl,
    },
    store::{FsStore, Key, MemoryStore, PutMode},
    testing::{FakeCaptioner, FakeDetector, FakeEmbedder, SyntheticFilm},
    types::{BoundingBox, Decision, Frame, MediaInfo, Outcome, Review},
};

/// The synthetic film, with a cut every five seconds and a name of its own.
#[derive(Debug)]
struct Cut(SyntheticFilm, &'static str);

#[async_trait]
impl FrameSource for Cut {
    async fn probe(&self) -> Result<MediaInfo> {
        Ok(MediaInfo { name: format!("{}.film", self.1), ..self.0.probe().await? })
    }

    async fn fingerprint(&self) -> Result<String> {
        Ok(format!("{}:{}", self.1, self.0.fingerprint().await?))
    }

    fn frames(&self, sampling: &Sampling) -> BoxStream<'static, Result<Frame>> {
        let cut = |mut frame: Frame| {
            frame.shot = Some((frame.time.as_secs() / 5) as u32);
            frame
        };
        Box::pin(self.0.frames(sampling).map_ok(cut))
    }
}

fn film(seconds: u64, name: &'static str) -> Arc<dyn FrameSource> {
    Arc::new(Cut(SyntheticFilm::new(seconds), name))
}

async fn build(film: Arc<dyn FrameSource>, store: &Arc<dyn Store>, min_similarity: f64) -> Dataset {
    Pipeline::new(film)
        .detect(Arc::new(FakeDetector::new("Mayu")))
        .dedupe(Arc::new(FakeEmbedder), Arc::new(CosineDeduper::at(min_similarity).unwrap()))
        .caption(Arc::new(FakeCaptioner))
        .store(Arc::clone(store))
        .run()
        .await
        .unwrap();
    Dataset::open(Arc::clone(store)).await.unwrap()
}

async fn dataset() -> Dataset {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    build(film(20, "walk"), &store, 0.9999).await
}

async fn review(dataset: &Dataset, record: &str, decision: Decision) -> Dataset {
    let review = Review { record: record.into(), decision, reviewer: "somebody".into(), time_ms: 1 };
    put(dataset, "reviews.jsonl", to_jsonl(&[review]).unwrap()).await;
    Dataset::open(Arc::clone(dataset.store())).await.unwrap()
}

async fn put(dataset: &Dataset, name: &str, body: Vec<u8>) {
    dataset.store().put(&Key::new(name).unwrap(), Bytes::from(body), PutMode::Overwrite).await.unwrap();
}

async fn get(dataset: &Dataset, name: &str) -> Vec<u8> {
    dataset.store().get(&Key::new(name).unwrap()).await.unwrap().to_vec()
}

/// Every file below a folder, hidden ones too, with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let below =
                files(&path).into_iter().map(|(p, b)| (Path::new(path.file_name().unwrap()).join(p), b));
            found.extend(below);
        } else {
            found.insert(PathBuf::from(path.file_name().unwrap()), fs::read(&path).unwrap());
        }
    }
    found
}

fn options(format: &str) -> Options {
    // The same wherever the export is written: equal bytes can be compared.
    Options { root: Some(if format == "nova" { "s3://bucket/film".into() } else { "/data/mayu".into() }) }
}

#[tokio::test]
async fn every_format_is_written_read_back_and_the_same_each_time() {
    let dataset = dataset().await;
    let dataset = dataset.split(SplitOptions { held_out: 0.3, cap: None }).await.unwrap();
    let (chosen, _) = dataset.parts();
    let train: BTreeSet<&str> =
        chosen.iter().filter(|(_, part)| *part == Part::Train).map(|(image, _)| image.caption).collect();
    let held_out = chosen.len() - train.len();
    assert!(held_out > 0 && train.len() >= 5, "{held_out} {}", train.len());
    let dir = tempfile::tempdir().unwrap();
    for format in formats() {
        let name = format.name();
        let out = dir.path().join(name);
        let done = export::write(&dataset, format, &out, &options(name)).await.unwrap();
        assert_eq!(
            (done.pictures, done.held_out, done.unreviewed),
            (train.len(), held_out, train.len()),
            "{name}"
        );
        let mark = std::fs::read(done.folder.join(export::MARK)).unwrap();
        let mark: export::Mark = serde_json::from_slice(&mark).unwrap();
        assert_eq!((mark.pictures, mark.unreviewed), (done.pictures, done.unreviewed));
        let seen = format.read(&out).unwrap();
        let captions: BTreeSet<&str> =
            seen.iter().filter(|s| s.part == Part::Train).map(|s| s.caption.as_str()).collect();
        assert_eq!(captions, train, "{name}");
        let expected = train.len() + if format.takes_held_out() { held_out } else { 0 };
        assert_eq!(seen.len(), expected, "{name}");
        for picture in &seen {
            assert!(
                picture.width >= 512 && picture.height >= 512 && picture.file.size_bytes > 0,
                "{picture:?}"
            );
            assert_eq!(
                picture.name.matches('.').count(),
                1,
                "one dot, whatever reads names: {}",
                picture.name
            );
        }
        let first = files(&out);
        assert!(first.contains_key(Path::new(".picchu-export.json")), "{name}");
        export::write(&dataset, format, &out, &options(name)).await.unwrap();
        assert_eq!(first, files(&out), "{name} is the same when it is written again");
        let elsewhere = dir.path().join("else where").join(name);
        export::write(&dataset, format, &elsewhere, &options(name)).await.unwrap();
        assert_eq!(first, files(&elsewhere), "{name} is the same elsewhere");
    }
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
}

#[tokio::test]
async fn a_reader_sees_what_a_trainer_would_miss() {
    let dataset = dataset().await;
    let dir = tempfile::tempdir().unwrap();
    for (name, damage) in [
        ("diffusers", "metadata.jsonl"),
        ("hf", "train/metadata.jsonl"),
        ("kohya", "dataset_config.toml"),
        ("ai-toolkit", "datasets.yaml"),
        ("nova", "train.jsonl"),
    ] {
        let format = export::format(name).unwrap();
        let out = dir.path().join(name);
        export::write(&dataset, format, &out, &options(name)).await.unwrap();
        let whole = format.read(&out).unwrap().len();
        let at = out.join(damage);
        let text = fs::read_to_string(&at).unwrap();
        // Another caption extension, a missing line: what made trainers train without captions.
        let broken = text.replace(".txt\"", ".caption\"").replace("\"txt\"", "\"caption\"");
        let lines: Vec<&str> = broken.lines().collect();
        let cut = lines[..lines.len() - usize::from(broken == text)].join("\n");
        fs::write(&at, cut).unwrap();
        let after = format.read(&out);
        assert!(after.as_ref().map_or(0, Vec::len) < whole, "{name} did not notice: {after:?}");
    }
}

#[tokio::test]
async fn exports_never_replace_what_is_not_theirs() {
    let dataset = dataset().await;
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("mine");
    fs::create_dir(&out).unwrap();
    let format = export::format("kohya").unwrap();
    export::write(&dataset, format, &out, &Options::default()).await.unwrap();
    let config = fs::read_to_string(out.join("dataset_config.toml")).unwrap();
    assert!(config.contains(&format!("image_dir = \"{}/images\"", out.display())), "{config}");

    let theirs = dir.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    fs::write(theirs.join("thesis.txt"), "years of work").unwrap();
    let error = export::write(&dataset, format, &theirs, &Options::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    assert_eq!(files(&theirs).len(), 1);
    assert_eq!(export::format("excel").unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn an_image_that_was_changed_stops_the_export_and_leaves_nothing() {
    let dataset = dataset().await;
    let image = dataset.training_images().nth(2).unwrap().image.to_owned();
    put(&dataset, &image, b"not a picture".to_vec()).await;
    let dir = tempfile::tempdir().unwrap();
    for format in formats() {
        let out = dir.path().join(format.name());
        let error = export::write(&dataset, format, &out, &options(format.name())).await.unwrap_err();
        assert!(error.to_string().contains(&image), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
    let found = dataset.check_images().await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].rule, found[0].fix.as_ref()), ("image-file", None));
}

#[tokio::test]
async fn every_violation_is_told_at_once_and_what_needs_no_judgement_is_mended() {
    let dataset = dataset().await;
    let ids: Vec<String> = dataset.training_images().map(|i| i.record.id.clone()).collect();
    let edits = [
        (&ids[0], "Mayu waits. ".repeat(120)),
        (&ids[1], "Mayu walks\nand\twaits.".to_owned()),
        (&ids[2], " Mayu [trigger] smiles. ".to_owned()),
        (&ids[3], "no".to_owned()),
    ];
    let reviews: Vec<Review> = edits
        .iter()
        .map(|(id, caption)| Review {
            record: (*id).clone(),
            decision: Decision::Edit { caption: caption.clone() },
            reviewer: "somebody".into(),
            time_ms: 1,
        })
        .collect();
    put(&dataset, "reviews.jsonl", to_jsonl(&reviews).unwrap()).await;
    let dataset = Dataset::open(Arc::clone(dataset.store())).await.unwrap();
    let rules = |name: &str| -> Vec<(String, &str)> {
        export::check(&dataset, export::format(name).unwrap())
            .into_iter()
            .map(|v| (v.record.unwrap_or_default(), v.rule))
            .collect()
    };
    let nova = rules("nova");
    for expected in [
        (ids[0].clone(), "caption-length"),
        (ids[1].clone(), "caption-lines"),
        (ids[3].clone(), "caption-length"),
    ] {
        assert!(nova.contains(&expected), "{nova:?}");
    }
    assert!(rules("ai-toolkit").contains(&(ids[2].clone(), "caption-placeholder")));
    assert!(rules("kohya").contains(&(ids[2].clone(), "caption-margins")));

    let out = tempfile::tempdir().unwrap();
    let format = export::format("nova").unwrap();
    let refused = export::write(&dataset, format, out.path().join("x"), &options("nova")).await.unwrap_err();
    assert!(refused.message().contains(&ids[0]) && refused.message().contains(&ids[3]), "{refused}");

    let (mended, count) = dataset.mend(&export::check(&dataset, format), 7).await.unwrap();
    assert_eq!(count, 2, "too short a caption needs a person");
    let left = export::check(&mended, format);
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!((left[0].record.as_deref(), left[0].fix.as_ref()), (Some(ids[3].as_str()), None));
    let caption = |d: &Dataset, id: &str| {
        d.training_images().find(|i| i.record.id == id).map(|i| (i.caption.to_owned(), i.reviewed)).unwrap()
    };
    assert_eq!(caption(&mended, &ids[1]), ("Mayu walks and waits.".into(), false));
    assert!(caption(&mended, &ids[0]).0.ends_with("waits."));
    let (mended, _) =
        mended.mend(&export::check(&mended, export::format("ai-toolkit").unwrap()), 8).await.unwrap();
    let (mended, _) =
        mended.mend(&export::check(&mended, export::format("ai-toolkit").unwrap()), 8).await.unwrap();
    assert_eq!(caption(&mended, &ids[2]).0, "Mayu trigger smiles.");
}

#[tokio::test]
async fn broken_lines_are_named_and_the_rest_is_kept() {
    let dataset = dataset().await;
    let whole = get(&dataset, "records.jsonl").await;
    let total = dataset.records().len();
    // A break in the middle of an uncovered record, and a torn end.
    let lines: Vec<&[u8]> = whole.split(|&b| b == b'\n').collect();
    let covered: BTreeSet<&str> = dataset
        .records()
        .iter()
        .filter_map(|r| match &r.outcome {
            Outcome::Duplicate { covered_by, .. } => Some(covered_by.as_str()),
            _ => None,
        })
        .collect();
    let middle = (0..total - 1).find(|&i| !covered.contains(dataset.records()[i].id.as_str())).unwrap();
    let mut broken: Vec<u8> = Vec::new();
    for (number, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
        broken.extend(if number == middle { &line[..line.len() / 2] } else { line });
        broken.push(b'\n');
    }
    broken.truncate(broken.len() - 30);
    put(&dataset, "records.jsonl", broken).await;
    let error = Dataset::open(Arc::clone(dataset.store())).await.unwrap_err();
    assert!(error.message().contains(&format!("records.jsonl, line {}", middle + 1)), "{error}");
    assert!(error.message().contains("validate DIR --fix"), "{error}");

    let (rest, damage) = Dataset::salvage(Arc::clone(dataset.store())).await.unwrap();
    let lost: Vec<_> = damage.iter().filter(|v| v.rule == "broken-line").collect();
    assert_eq!(lost.len(), 2, "{damage:?}");
    assert!(
        lost[1].message.contains(&format!("line {total}")) && lost[1].message.contains("torn"),
        "{lost:?}"
    );
    assert_eq!(lost[0].fix, Some(Fix::DropLines("records.jsonl".into())));
    assert_eq!(rest.records().len(), total - 2);
    let (mended, _) = rest.mend(&damage, 1).await.unwrap();
    let opened = Dataset::open(Arc::clone(dataset.store())).await;
    // A duplicate whose cover is gone needs a build; here the last record is not a cover.
    let opened = opened.unwrap();
    assert_eq!(opened.records(), mended.records());
    assert_eq!(opened.header().counts.records as usize, total - 2);

    put(&opened, "reviews.jsonl", b"{\"record\": 1}\n{\"rec".to_vec()).await;
    let (opened, damage) = Dataset::salvage(Arc::clone(opened.store())).await.unwrap();
    assert_eq!(damage.len(), 2);
    let (_, count) = opened.mend(&damage, 1).await.unwrap();
    assert_eq!(count, 2);
    Dataset::open(Arc::clone(opened.store())).await.unwrap();
}

#[tokio::test]
async fn an_image_tells_its_whole_lineage_and_is_cut_again_to_the_bit() {
    let dataset = dataset().await;
    let duplicate = dataset
        .records()
        .iter()
        .find_map(|r| match &r.outcome {
            Outcome::Duplicate { covered_by, .. } => Some((r.id.clone(), covered_by.clone())),
            _ => None,
        })
        .expect("the walk repeats itself");
    let dataset =
        review(&dataset, &duplicate.1, Decision::Edit { caption: "Mayu \u{1b}[31m walks.".into() }).await;
    let lineage = dataset.lineage(&duplicate.1).unwrap();
    assert!(lineage.covers.iter().any(|(id, similarity)| *id == duplicate.0 && *similarity > 0.99));
    assert_eq!(lineage.part, Some(Part::Train));
    let page = lineage.to_string();
    let expected = [
        "walk.film",
        "fake-detector-v1",
        "shot ",
        "row ",
        "covers",
        "caption changed to",
        "sha256:",
        "asked by fake",
        ", try 1",
    ];
    for words in expected {
        assert!(page.contains(words), "{words} is missing: {page}");
    }
    assert!(!page.contains('\u{1b}'), "nothing steers the terminal");
    for record in dataset.records() {
        let recut = dataset.recut(&record.id, &*film(20, "walk")).await.unwrap();
        assert!(recut.identical, "{}", record.id);
        assert_eq!(recut.body, dataset.image_bytes(record).await.unwrap());
    }
    let other = dataset.recut(&duplicate.1, &*film(20, "another")).await.unwrap_err();
    assert!(other.message().contains("another one"), "{other}");
    assert_eq!(dataset.lineage("nobody").unwrap_err().kind(), ErrorKind::NotFound);

    // A record of an earlier version does not say what was asked.
    let mut old = serde_json::to_value(dataset.get(&duplicate.1).unwrap()).unwrap();
    assert!(old["caption"].as_object_mut().unwrap().remove("asked").is_some());
    let old: picchu::types::Record = serde_json::from_value(old).unwrap();
    assert_eq!(old.caption.unwrap().asked, None);
}

#[tokio::test]
async fn frames_of_one_shot_stay_together_and_nobody_drowns_the_others() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let dataset = build(film(60, "walk"), &store, 0.999_999).await;
    let split = dataset.split(SplitOptions { held_out: 0.25, cap: Some(12) }).await.unwrap();
    let (chosen, left_out) = split.parts();
    let shots = |part: Part| -> BTreeSet<u32> {
        chosen.iter().filter(|(_, p)| *p == part).filter_map(|(image, _)| image.record.frame.shot).collect()
    };
    assert!(shots(Part::Train).is_disjoint(&shots(Part::HeldOut)));
    let held_out = chosen.iter().filter(|(_, part)| *part == Part::HeldOut).count();
    let all = dataset.training_images().count();
    assert!((1..=all / 4 + 1).contains(&held_out), "{held_out} of {all}");
    assert_eq!(chosen.len() - held_out, 12);
    assert_eq!(left_out.len(), all - 12 - held_out);
    assert!(shots(Part::Train).len() >= 8, "the cap spreads over shots: {:?}", shots(Part::Train));

    // What was decided stays, whatever is rejected later.
    let gone = chosen.iter().find(|(_, part)| *part == Part::Train).unwrap().0.record.id.clone();
    let reopened = review(&split, &gone, Decision::Reject { reason: "blurred".into() }).await;
    let held_again: BTreeSet<u32> = reopened
        .parts()
        .0
        .iter()
        .filter(|(_, part)| *part == Part::HeldOut)
        .filter_map(|(image, _)| image.record.frame.shot)
        .collect();
    assert_eq!(held_again, shots(Part::HeldOut));
    for wrong in [0.6, -0.1, f64::NAN] {
        let error = dataset.split(SplitOptions { held_out: wrong, cap: None }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    let plain: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let without_shots = build(Arc::new(SyntheticFilm::new(8)), &plain, 0.9999).await;
    let error = without_shots.split(SplitOptions { held_out: 0.2, cap: None }).await.unwrap_err();
    assert!(error.message().contains("does not know its shot"), "{error}");
}

#[tokio::test]
async fn films_merge_without_near_duplicates_across_them() {
    let stores: Vec<Arc<dyn Store>> =
        (0..3).map(|_| Arc::new(MemoryStore::new()) as Arc<dyn Store>).collect();
    let a = build(film(12, "one"), &stores[0], 0.9999).await;
    // The same pictures under the same name: ids clash, images are the same.
    let b = build(Arc::new(Cut(SyntheticFilm::new(20), "one")), &stores[1], 0.9999).await;
    let b = review(&b, &b.records()[19].id, Decision::Accept).await;
    let dir = tempfile::tempdir().unwrap();
    let mut contents = Vec::new();
    for n in 0..2 {
        let place = dir.path().join(n.to_string());
        let out: Arc<dyn Store> = Arc::new(FsStore::new(&place));
        let merged = merge(&[a.clone(), b.clone()], &CosineDeduper::at(0.9999).unwrap(), &out).await.unwrap();
        assert!(merged.across_films > 0);
        assert_eq!(merged.counts.records, 32);
        let dataset = Dataset::open(out).await.unwrap();
        let ids: BTreeSet<&str> = dataset.records().iter().map(|r| r.id.as_str()).collect();
        assert_eq!(ids.len(), 32);
        assert_eq!(dataset.embeddings().await.unwrap().len(), 32);
        assert!(dataset.check_images().await.unwrap().is_empty());
        // The second film begins like the first: what it adds is its end.
        assert!(merged.counts.kept < a.header().counts.kept + b.header().counts.kept);
        assert_eq!(dataset.reviews().len(), 1);
        for record in dataset.records() {
            if let Outcome::Duplicate { covered_by, .. } = &record.outcome {
                assert!(dataset.get(covered_by).unwrap().is_kept());
            }
        }
        let second = &dataset.records()[20];
        assert!(second.id.ends_with("-0-20x640x5"), "an id that clashes says which film: {}", second.id);
        let lineage = dataset.lineage(&second.id).unwrap();
        assert_eq!(lineage.film.fingerprint, second.film);
        assert!(dataset.recut(&second.id, &*film(20, "one")).await.unwrap().identical);
        contents.push(files(&place));
    }
    assert_eq!(contents[0], contents[1]);
    let twice = merge(&[a.clone(), a.clone()], &CosineDeduper::default(), &stores[2]).await.unwrap_err();
    assert!(twice.message().contains("comes twice"), "{twice}");
    let full = merge(&[a.clone(), b.clone()], &CosineDeduper::default(), &stores[0]).await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::AlreadyExists);
    let alone = merge(&[a], &CosineDeduper::default(), &stores[2]).await.unwrap_err();
    assert_eq!(alone.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn stats_say_what_is_missing_and_where_there_is_some() {
    let dataset = dataset().await;
    let stats = dataset.stats();
    let mayu = &stats.characters["Mayu"];
    assert_eq!(mayu.images, dataset.training_images().count());
    for view in [View::Medium, View::Alone] {
        assert_eq!(mayu.views[&view], mayu.images, "{view:?}");
    }
    for aspect in View::ASPECTS {
        assert_eq!(aspect.iter().map(|view| mayu.views[view]).sum::<usize>(), mayu.images, "{aspect:?}");
    }
    assert!(mayu.shots >= 3);
    // Sizes are missed in any case; a place, a light, a company only where candidates have it.
    assert_eq!(mayu.advice.iter().map(|a| a.view).collect::<Vec<_>>(), [View::Close, View::Wide]);
    assert!(stats.to_string().contains("0 wide: none among the candidates"), "{stats}");

    // Candidates that were dropped, or whose character is unsure, fill what is missing, each from another shot.
    let mut records = dataset.records().to_vec();
    let kept: Vec<usize> = (0..records.len()).filter(|&i| records[i].is_kept()).collect();
    let (unsure, other) = (kept[0], kept[1]);
    records[unsure].outcome = Outcome::Unsure;
    records[unsure].detection.alternatives =
        vec![picchu::types::Alternative { character: "Mayu".into(), confidence: 0.4 }];
    records[unsure].detection.character = None;
    records[unsure].detection.bounding_box = BoundingBox::new(0.8, 0.4, 0.1, 0.2);
    records[unsure].crop.as_mut().unwrap().light = Some(0.05);
    records[unsure].subjects.clear();
    records[unsure].caption = None;
    // A dataset of an earlier version has no light.
    records[other].crop.as_mut().unwrap().light = None;
    put(&dataset, "records.jsonl", picchu::dataset::to_jsonl(&records).unwrap()).await;
    let (changed, _) = Dataset::salvage(Arc::clone(dataset.store())).await.unwrap();
    let stats = changed.stats();
    let mayu = &stats.characters["Mayu"];
    for view in [View::Wide, View::Dark] {
        let advice =
            mayu.advice.iter().find(|a| a.view == view).unwrap_or_else(|| panic!("{view:?}: {stats}"));
        assert_eq!((advice.images, advice.more.len()), (0, 1), "{view:?}");
        assert_eq!(advice.more[0].record, records[unsure].id);
        assert_eq!(advice.more[0].outcome, "unsure");
    }
    assert!(stats.to_string().contains("0 dark: there are some at 0:"), "{stats}");
    assert!(stats.to_string().contains(", unsure)"), "{stats}");
}

/// Names that come from outside: the film's title and the ids in a file.
#[tokio::test]
async fn hostile_titles_and_records_stay_inside_the_dataset() {
    for title in ["../../etc/passwd", "/etc/passwd", "a\u{0}b\n\u{1b}[2J", "映画 🎬", ".", ""] {
        let title: &'static str = Box::leak(title.to_owned().into_boxed_str());
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let dataset = build(film(3, title), &store, 0.9999).await;
        assert!(dataset.records().iter().all(|r| Key::new(r.id.as_str()).is_ok()), "{title:?}");
        assert!(dataset.header().film.info.name.starts_with(title), "the title itself is recorded");
    }
    let long: &'static str = Box::leak("x".repeat(1000).into_boxed_str());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    build(film(3, long), &store, 0.9999).await;

    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(FsStore::new(dir.path().join("d")));
    let dataset = build(film(8, "walk"), &store, 0.9999).await;
    let text = String::from_utf8(get(&dataset, "records.jsonl").await).unwrap();
    let image = dataset.records()[0].crop.as_ref().unwrap().image.clone();
    for hostile in ["../../outside.png", "/etc/passwd", "images/\\u0000.png", &"y".repeat(1000)] {
        let edited = text.replace(&image, hostile);
        put(&dataset, "records.jsonl", edited.into_bytes()).await;
        let (salvaged, damage) = Dataset::salvage(Arc::clone(&store)).await.unwrap();
        assert!(damage.iter().any(|v| v.rule == "records-hash"), "{damage:?}");
        let error = salvaged.image_bytes(&salvaged.records()[0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        for format in formats() {
            let out = dir.path().join("out");
            let refused = export::write(&salvaged, format, &out, &options(format.name())).await;
            assert!(refused.is_err() && !out.exists(), "{hostile:?} in {}", format.name());
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{hostile:?} left something outside");
    }
}

/// The lines of a manifest in a store.
async fn manifest(store: &Arc<dyn Store>, name: &str) -> Vec<custom_labels::ManifestLine> {
    custom_labels::read(&store.get(&Key::new(name).unwrap()).await.unwrap()).unwrap()
}

#[tokio::test]
async fn custom_labels_learn_from_whole_frames_in_which_everybody_is_known() {
    use custom_labels::{ManifestOptions, TEST, TRAIN, write};

    let dataset = dataset().await;
    let film = film(20, "walk");
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let given = |unreviewed| ManifestOptions { uri: Some("s3://bucket/walk/".into()), unreviewed };
    let films = [Arc::clone(&film)];
    let nobody = write(&dataset, &films, &store, &given(false)).await.unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::InvalidInput);
    let kept: Vec<String> = dataset.records().iter().filter(|r| r.is_kept()).map(|r| r.id.clone()).collect();
    assert!(nobody.message().contains(&format!("{} were not looked at", kept.len())), "{nobody}");

    // The first is left alone, the second is rejected, the others are accepted; a shot is held out.
    let decided: Vec<Review> = kept[1..]
        .iter()
        .enumerate()
        .map(|(n, record)| Review {
            record: record.clone(),
            decision: if n == 0 { Decision::Reject { reason: "not her".into() } } else { Decision::Accept },
            reviewer: "somebody".into(),
            time_ms: 1_700_000_000_000 + n as u64,
        })
        .collect();
    put(&dataset, "reviews.jsonl", to_jsonl(&decided).unwrap()).await;
    let dataset = Dataset::open(Arc::clone(dataset.store())).await.unwrap();
    let dataset = dataset.split(SplitOptions { held_out: 0.3, cap: None }).await.unwrap();
    let done = write(&dataset, &films, &store, &given(false)).await.unwrap();
    assert_eq!((done.unreviewed, done.uncertain), (1, 1));
    let frames = kept.len() - 2;
    assert!(done.test_frames > 0 && done.train_frames + done.test_frames == frames, "{done:?}");
    assert_eq!(done.characters, BTreeMap::from([("Mayu".into(), frames)]));
    assert_eq!(done.train, "s3://bucket/walk/train.manifest");

    let (train, test) = (manifest(&store, TRAIN).await, manifest(&store, TEST).await);
    assert_eq!((train.len(), test.len()), (done.train_frames, done.test_frames));
    for line in train.iter().chain(&test) {
        let key = Key::new(line.source_ref.strip_prefix("s3://bucket/walk/").unwrap()).unwrap();
        let frame = image::load_from_memory(&store.get(&key).await.unwrap()).unwrap().into_rgb8();
        assert_eq!(frame.dimensions(), (640, 576), "the whole frame, not the crop");
        let [b] = line.boxes.annotations[..] else { panic!("{line:?}") };
        let middle = frame.get_pixel(b.left + b.width / 2, b.top + b.height / 2);
        assert!(middle[0] > 190 && middle[1] < 70, "the box holds the figure: {middle:?}");
        assert!(frame.get_pixel(b.left.saturating_sub(8), b.top + b.height / 2)[0] < 190, "and no more");
        assert_eq!(line.metadata.class_map, BTreeMap::from([(0, "Mayu".into())]));
        assert_eq!(line.metadata.human_annotated, "yes");
        assert!(line.metadata.creation_date.starts_with("2023-11-14T22:13:20"), "{line:?}");
    }

    // The same again; without a split there is no test manifest; unreviewed frames say so.
    let content = |store: Arc<dyn Store>| async move {
        let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
        let mut all = BTreeMap::new();
        for object in objects {
            all.insert(object.key.to_string(), store.get(&object.key).await.unwrap());
        }
        all
    };
    let before = content(Arc::clone(&store)).await;
    write(&dataset, &films, &store, &given(false)).await.unwrap();
    assert_eq!(content(Arc::clone(&store)).await, before);
    let dataset = dataset.split(SplitOptions::default()).await.unwrap();
    let done = write(&dataset, &films, &store, &given(true)).await.unwrap();
    assert_eq!((done.train_frames, done.test), (frames + 1, None));
    assert_eq!(store.get(&Key::new(TEST).unwrap()).await.unwrap_err().kind(), ErrorKind::NotFound);
    let unreviewed = &manifest(&store, TRAIN).await[0];
    assert_eq!(unreviewed.metadata.human_annotated, "no");
    assert!((unreviewed.metadata.objects[0].confidence - 0.9).abs() < 1e-6);
}

/// The film with its name kept and its end cut off.
#[derive(Debug)]
struct Shorter(Arc<dyn FrameSource>);
#[async_trait]
impl FrameSource for Shorter {
    async fn probe(&self) -> Result<MediaInfo> {
        self.0.probe().await
    }
    async fn fingerprint(&self) -> Result<String> {
        self.0.fingerprint().await
    }
    fn frames(&self, sampling: &Sampling) -> BoxStream<'static, Result<Frame>> {
        self.0.frames(&sampling.clone().limit(20))
    }
}

#[tokio::test]
async fn custom_labels_need_the_film_and_a_place_on_s3() {
    use custom_labels::{ManifestOptions, write};

    let dataset = dataset().await;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let options = ManifestOptions { unreviewed: true, ..ManifestOptions::default() };
    let error = write(&dataset, &[film(20, "walk")], &store, &options).await.unwrap_err();
    assert!(error.message().contains("is not on S3"), "{error}");
    let options = ManifestOptions { uri: Some("s3://bucket/walk".into()), ..options };
    let error = write(&dataset, &[film(20, "other")], &store, &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("walk.film"), "{error}");
    let error = write(&dataset, &[Arc::new(Shorter(film(20, "walk")))], &store, &options).await.unwrap_err();
    assert!(error.message().contains("has no frame that begins at"), "{error}");
}
