//! Whether an evaluation tells good images from bad ones: the film's own crops, the wrong character's, noise, copies.

use std::{collections::BTreeMap, path::Path, process::Command, sync::Arc};

use image::RgbImage;
use picchu::{
    Dataset, Store,
    config::{Config, open_store},
    dataset::{Part, SplitOptions},
    generate::evaluate::{Evaluator, JudgedImage, Options, Report, images_in, images_in_folder},
    store::{FsStore, MemoryStore},
};

const FILM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/film/two_friends.mp4");
const CAST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/film/cast.toml");

async fn dataset(folder: &Path) -> Dataset {
    let mut config = Config::new(FILM, CAST, folder);
    config.fps = 1.0;
    config.limit = Some(36);
    config.lineage = true;
    config.pipeline().await.unwrap().run().await.unwrap();
    let dataset = Dataset::open(open_store(folder).unwrap()).await.unwrap();
    dataset.split(SplitOptions { held_out: 0.3, cap: None }).await.unwrap()
}

/// Pictures of one part that show at most so many, with whom they were cut for.
async fn crops(dataset: &Dataset, wanted: Part, most: usize) -> Vec<(String, RgbImage)> {
    let mut found = Vec::new();
    for (image, part) in dataset.parts().0 {
        if part == wanted && image.record.subjects.len() <= most {
            let name = image.record.character().unwrap().to_owned();
            found.push((name, dataset.image(image.record).await.unwrap()));
        }
    }
    found
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn png(image: &RgbImage) -> Vec<u8> {
    let mut body = std::io::Cursor::new(Vec::new());
    image.write_to(&mut body, image::ImageFormat::Png).unwrap();
    body.into_inner()
}

/// Writes images into a folder for each character, as any generator's may lie.
fn write(folder: &Path, images: &[(String, RgbImage)]) {
    for (n, (name, image)) in images.iter().enumerate() {
        let place = folder.join(name);
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join(format!("{n:03}.png")), png(image)).unwrap();
    }
}

/// Pixels without any order.
fn noise(seed: u32, side: u32) -> RgbImage {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    RgbImage::from_fn(side, side, |_, _| {
        image::Rgb(std::array::from_fn(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        }))
    })
}

#[tokio::test]
async fn the_films_own_crops_beat_the_wrong_character_and_that_beats_noise() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("dataset");
    let dataset = dataset(&place).await;
    let held_out = crops(&dataset, Part::HeldOut, 9).await;
    let trained = crops(&dataset, Part::Train, 9).await;
    let alone = crops(&dataset, Part::HeldOut, 1).await;
    assert!(alone.len() > 3);
    let by_name = held_out.iter().fold(BTreeMap::<&str, usize>::new(), |mut all, (name, _)| {
        *all.entry(name).or_default() += 1;
        all
    });
    assert_eq!(by_name.len(), 2, "both characters have to be held out: {by_name:?}");

    let names: Vec<&str> = by_name.keys().copied().collect();
    let other = |name: &str| names.iter().find(|n| **n != name).unwrap().to_string();
    let wrong: Vec<_> = alone.iter().map(|(name, image)| (other(name), image.clone())).collect();
    let random: Vec<_> = (0..).zip(&held_out).map(|(n, (name, _))| (name.clone(), noise(n, 512))).collect();
    let copies: Vec<_> = trained.iter().take(4).cloned().collect();
    let sets = [("wrong", &wrong), ("noise", &random), ("own", &held_out), ("copies", &copies)];
    let mut arguments =
        ["evaluate", text(&place), "--film", FILM, "--cast", CAST, "--json"].map(str::to_owned).to_vec();
    for (name, images) in sets {
        let folder = dir.path().join(name);
        write(&folder, images);
        arguments.extend(["--images".into(), format!("{name}={}", folder.display())]);
    }
    let out = dir.path().join("report");
    arguments.extend(["--out".into(), out.display().to_string()]);
    let done = Command::new(env!("CARGO_BIN_EXE_picchu")).args(&arguments).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let report: Report = serde_json::from_slice(&done.stdout).unwrap();

    let score = |name: &str| report.contestants.iter().find(|c| c.name == name).unwrap();
    let ranked: Vec<&str> =
        report.ranking().iter().map(|c| c.name.as_str()).filter(|name| *name != "copies").collect();
    assert_eq!(ranked, ["own", "wrong", "noise"], "{:?}", scores(&report));
    // Crops of one character often show a part of the other, whom the detector then finds.
    let [own, wrong_ones, nobody] = ["own", "wrong", "noise"].map(|name| score(name).score);
    assert!(own > 0.8 && own - wrong_ones > 0.3 && nobody < -0.3, "{:?}", scores(&report));
    assert!(score("own").characters.values().all(|c| c.appeared * 4 >= c.asked * 3));
    let mistaken: usize = score("wrong").characters.values().flat_map(|c| c.mistaken_for.values()).sum();
    assert!(mistaken > 0, "the other character was never seen");
    assert_eq!(score("copies").copies, copies.len());
    assert_eq!([score("own").copies, score("noise").copies], [0, 0]);

    // The page shows every image and the training image of a copy, from beside it.
    let page = std::fs::read_to_string(out.join("evaluation.html")).unwrap();
    for part in page.split("src=\"").skip(1) {
        let image = part.split('"').next().unwrap();
        assert!(out.join(image).is_file(), "{image}");
    }
    assert!(page.contains("Nearly the training image"));
}

fn scores(report: &Report) -> Vec<(&str, f64)> {
    report.contestants.iter().map(|c| (c.name.as_str(), c.score)).collect()
}

#[tokio::test]
async fn images_say_whom_they_should_show_or_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let image = png(&noise(1, 64));
    let store: Arc<dyn Store> = Arc::new(FsStore::new(dir.path()));
    assert!(images_in(&*store).await.unwrap_err().message().contains("there is no image"));
    std::fs::write(dir.path().join("a.png"), &image).unwrap();
    std::fs::write(dir.path().join("b.png"), &image).unwrap();
    std::fs::write(dir.path().join("b.txt"), "Nilo waves\n").unwrap();
    std::fs::write(dir.path().join("c.jpg"), b"not an image").unwrap();
    std::fs::create_dir(dir.path().join("Wara")).unwrap();
    std::fs::write(dir.path().join("Wara/d.png"), &image).unwrap();
    let line = "{\"file_name\":\"c.jpg\",\"text\":\"Wara & Nilo\"}\n";
    std::fs::write(dir.path().join("metadata.jsonl"), line).unwrap();
    let images = images_in(&*store).await.unwrap();
    let told: Vec<_> =
        images.iter().map(|i| (i.name.as_str(), i.prompt.as_str(), i.characters.clone())).collect();
    let of = |names: &[&str]| Some(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
    assert_eq!(
        told,
        [
            ("Wara/d.png", "", of(&["Wara"])),
            ("a.png", "", None),
            ("b.png", "Nilo waves", None),
            ("c.jpg", "Wara & Nilo", None)
        ]
    );

    // On this machine files may have names that no store would give them.
    let local = tempfile::tempdir().unwrap();
    std::fs::create_dir(local.path().join("Nilo (old)")).unwrap();
    std::fs::write(local.path().join("Nilo (old)/ö 1.PNG"), &image).unwrap();
    let odd = images_in_folder(local.path()).await.unwrap();
    assert_eq!((odd[0].name.as_str(), &odd[0].characters), ("Nilo (old)/ö 1.PNG", &of(&["Nilo (old)"])));
    let missing = images_in_folder(&local.path().join("none")).await.unwrap_err();
    assert!(missing.message().contains("none"), "{missing}");

    let place = dir.path().join("dataset");
    let dataset = dataset(&place).await;
    let config = Config::new(FILM, CAST, &place);
    let mut shared = config.shared().unwrap();
    let embedder = shared.embedder(&config.embedder).await.unwrap();
    let detector = config.detector.open(&shared).await.unwrap();
    let evaluator = Evaluator::new(&dataset, detector, embedder, None, Options::default()).await.unwrap();
    let out: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let contestant = evaluator.judge("mixed", images, &out).await.unwrap();
    // "a" says nobody; the file that is no image is told, and the rest is judged.
    assert_eq!(contestant.images.len(), 3);
    let broken = contestant.images.iter().find(|i| i.asked.len() == 2).unwrap();
    assert!(broken.failure.as_ref().unwrap().contains("c.jpg"), "{:?}", broken.failure);

    let nobody = JudgedImage { name: "x.png".into(), prompt: "a tree".into(), characters: None, body: None };
    let error = evaluator.judge("nobody", vec![nobody], &out).await.unwrap_err();
    assert!(error.message().contains("no image says which character"), "{error}");
}
