//! The command line as a user meets it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use image::{Rgb, RgbImage};

const FILM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/film/two_friends.mp4");
const CAST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/film/cast.toml");

fn picchu(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_picchu")).args(arguments).output().unwrap()
}

fn build(film: &str, out: &Path, more: &[&str]) -> Output {
    let out = out.to_str().unwrap();
    picchu(&[&["build", film, "--cast", CAST, "--out", out], more].concat())
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Names and bytes, wherever the folder lies.
fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    files(folder)
        .into_iter()
        .map(|(path, body)| (path.strip_prefix(folder).unwrap().to_owned(), body))
        .collect()
}

#[test]
fn the_projects_film_becomes_the_same_dataset_every_time() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let short = &["--fps", "0.5", "--limit", "14"];
    let first = build(FILM, &a, short);
    assert!(first.status.success(), "{}", text(&first));
    assert!(text(&first).contains("Nilo: in") && text(&first).contains("Wara: in"), "{}", text(&first));
    assert!(build(FILM, &b, short).status.success());
    assert_eq!(content(&a), content(&b));

    let again = build(FILM, &a, short);
    assert!(again.status.success() && text(&again).contains("Nothing to do"), "{}", text(&again));
    let strict = build(FILM, &a, &["--fps", "0.5", "--limit", "14", "--min-similarity", "0.5"]);
    assert!(strict.status.success() && !text(&strict).contains("Nothing to do"));
    assert!(build(FILM, &a, short).status.success());
    assert_eq!(content(&a), content(&b), "there and back again");

    let manifest = dir.path().join("train.jsonl");
    let out = manifest.to_str().unwrap();
    let exported =
        picchu(&["export", a.to_str().unwrap(), "--to", "nova", "--uri", "s3://bucket/film", "--out", out]);
    assert!(exported.status.success(), "{}", text(&exported));
    let lines = picchu::dataset::export::nova::read(&fs::read(&manifest).unwrap()).unwrap();
    assert!(lines.iter().all(|l| l.image_ref.starts_with("s3://bucket/film/images/")));
    assert!(lines.iter().all(|l| l.caption.contains("Nilo") || l.caption.contains("Wara")));
}

#[test]
fn a_dry_run_writes_nothing_and_json_is_one_object_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("dataset");
    let plan = build(FILM, &out, &["--dry-run"]);
    assert!(plan.status.success() && text(&plan).contains("to do"), "{}", text(&plan));
    assert!(!out.exists());
    let run = build(FILM, &out, &["--json", "--fps", "0.2", "--limit", "3"]);
    assert!(run.status.success());
    let events: Vec<serde_json::Value> =
        String::from_utf8(run.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(events[0]["event"], "opened");
    assert_eq!(events.last().unwrap()["event"], "finished");
    let error = build("no-such-film.mp4", &out, &["--json"]);
    let line: serde_json::Value = serde_json::from_slice(&error.stdout).unwrap();
    assert_eq!((line["event"].as_str(), line["kind"].as_str()), (Some("error"), Some("not_found")));
}

#[test]
fn bad_input_is_refused_in_words_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, body: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, body).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let words = file("words.mp4", b"This is not a film.\n");
    let empty = file("empty.mp4", b"");
    let taken = file("taken", b"a file");
    fs::create_dir(dir.path().join("no-pictures")).unwrap();
    let no_pictures = dir.path().join("no-pictures").to_str().unwrap().to_owned();
    let out = dir.path().join("out");
    // (film, place, more, exit code, words in the message)
    let cases: Vec<(&str, &Path, &[&str], i32, &str)> = vec![
        (&words, &out, &[], 2, "words.mp4"),
        (&empty, &out, &[], 2, "empty.mp4"),
        ("missing.mp4", &out, &[], 3, "missing.mp4"),
        (&no_pictures, &out, &[], 2, "no pictures"),
        (FILM, &out, &["--fps", "0"], 2, "sampling rate is 0"),
        (FILM, &out, &["--fps", "nan"], 2, "sampling rate"),
        (FILM, &out, &["--min-similarity", "1.5"], 2, "min_similarity is 1.5"),
        (FILM, &out, &["--pad", "-1"], 2, "pad"),
        (FILM, &out, &["--cast", "none.toml"], 2, "--cast"),
        (FILM, Path::new(&taken), &[], 2, "is a file"),
        // No bucket has such a name: nothing is asked of any service.
        (FILM, Path::new("s3://B/film"), &[], 2, "s3"),
        // Writing there fails even for the superuser.
        (FILM, Path::new("/proc/picchu"), &[], 3, "/proc/picchu"),
    ];
    for (film, place, more, code, words) in cases {
        let output = build(film, place, more);
        assert_eq!(output.status.code(), Some(code), "{film} {more:?}: {}", text(&output));
        assert!(text(&output).contains(words), "{film} {more:?}: {}", text(&output));
        assert!(!out.exists(), "{film} {more:?} left something behind");
    }
}

#[test]
fn another_films_dataset_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let stills = dir.path().join("stills");
    fs::create_dir(&stills).unwrap();
    for n in 0..3 {
        RgbImage::from_fn(640, 600, |x, y| Rgb([(x / 3) as u8, (y / 3) as u8, n * 60]))
            .save(stills.join(format!("{n}.png")))
            .unwrap();
    }
    let out = dir.path().join("out");
    let nobody = build(stills.to_str().unwrap(), &out, &[]);
    assert!(nobody.status.success(), "{}", text(&nobody));
    assert!(text(&nobody).contains("No character of the cast was found"), "{}", text(&nobody));
    let before = content(&out);
    let refused = build(FILM, &out, &["--limit", "2"]);
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused));
    assert!(text(&refused).contains("belongs to another film"));
    assert_eq!(before, content(&out));
}

/// Ctrl-C in a terminal reaches the whole process group.
#[cfg(unix)]
#[test]
fn ctrl_c_keeps_finished_work_and_the_same_command_goes_on() {
    use std::os::unix::process::CommandExt;
    let dir = tempfile::tempdir().unwrap();
    let (stopped, whole) = (dir.path().join("stopped"), dir.path().join("whole"));
    let fast = &["--fps", "2"];
    let mut run = Command::new(env!("CARGO_BIN_EXE_picchu"))
        .args(["build", FILM, "--cast", CAST, "--fps", "2", "--out", stopped.to_str().unwrap()])
        .stderr(std::process::Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    // The first journaled batch says that the run is in the middle of its work.
    while !stopped.join("work").is_dir() || files(&stopped.join("work")).is_empty() {
        assert!(run.try_wait().unwrap().is_none(), "the run ended before it could be stopped");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", "--", &format!("-{}", run.id())]).status().unwrap().success());
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
    assert!(text(&output).contains("goes on from there"), "{}", text(&output));
    assert!(build(FILM, &stopped, fast).status.success());
    assert!(build(FILM, &whole, fast).status.success());
    assert_eq!(content(&stopped), content(&whole));
}

#[test]
fn the_doctor_answers() {
    let output = picchu(&["doctor"]);
    assert!(output.status.success() && text(&output).contains("video"), "{}", text(&output));
}

#[test]
fn frames_are_chosen_by_what_the_film_shows() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("dataset");
    let shots = picchu(&["shots", FILM]);
    assert!(shots.status.success() && text(&shots).contains("dissolve from"), "{}", text(&shots));
    let chosen = &["--sample", "shots", "--per-shot", "1", "--limit", "5"];
    let run = build(FILM, &out, chosen);
    assert!(run.status.success() && text(&run).contains("5 frames"), "{}", text(&run));
    let header: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("picchu.json")).unwrap()).unwrap();
    assert_eq!(header["analysis"]["shots"].as_array().unwrap().len(), 15);
    let records = fs::read_to_string(out.join("records.jsonl")).unwrap();
    let named: Vec<serde_json::Value> = records.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(!named.is_empty() && named.iter().all(|r| r["frame"]["shot"].is_u64()), "{records}");
    assert!(text(&build(FILM, &out, chosen)).contains("Nothing to do"));
    for (more, words) in [
        (&["--sample", "shots", "--per-shot", "0"][..], "at least 1"),
        (&["--sample", "sharpest", "--window", "-1"], "interval is -1"),
        (&["--sample", "sharpest", "--window", "nan"], "interval is NaN"),
        (&["--sample", "guess"], "guess"),
    ] {
        let refused = build(FILM, &dir.path().join("none"), more);
        assert_eq!(refused.status.code(), Some(2), "{more:?}: {}", text(&refused));
        assert!(text(&refused).contains(words), "{more:?}: {}", text(&refused));
    }
}

#[test]
fn a_cast_is_cut_from_a_film_and_suggested_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let cast = dir.path().join("cast.toml");
    let add = |more: &[&str]| {
        picchu(&[&["cast", "add", cast.to_str().unwrap(), "--name", "Wara", "--film", FILM], more].concat())
    };
    let added = add(&["--at", "8", "--box", "0.3,0.3,0.2,0.6"]);
    assert!(added.status.success(), "{}", text(&added));
    assert!(add(&["--at", "9", "--box", "10,10,64,64", "--not", "--json"]).status.success());
    let wara = picchu::Cast::load(&cast).unwrap().characters.remove(0);
    assert_eq!((wara.references.len(), wara.negatives.len()), (1, 1));
    for (wrong, code) in [(["--at", "900", "--box", "0,0,64,64"], 2), (["--at", "8", "--box", "1,2"], 2)] {
        assert_eq!(add(&wrong).status.code(), Some(code));
    }

    let folder = dir.path().join("suggested");
    let suggest = || {
        let out = folder.to_str().unwrap();
        picchu(&["cast", "suggest", FILM, "--out", out, "--frames", "24", "--groups", "4"])
    };
    assert!(suggest().status.success());
    let draft = picchu::Cast::load(folder.join("cast.toml")).unwrap();
    assert!((1..=4).contains(&draft.characters.len()) && folder.join("cast.html").exists());
    assert!(!draft.reference_pictures().unwrap().is_empty());
    assert_eq!(suggest().status.code(), Some(4), "names are not overwritten");
}
