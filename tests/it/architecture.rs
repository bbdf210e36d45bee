//! The rules of ARCHITECTURE.md that a machine can check, each worded as an absence.

use std::{fs, path::Path, process::Command};

/// Modules by layer, lowest first: a module may use its own layer's siblings only where that is said below.
const TYPES: &[&str] = &["types", "error", "simd"];
const STAGES: &[&str] = &[
    "source", "cast", "detect", "crop", "embed", "dedupe", "caption", "dataset", "review", "store", "train",
    "generate", "layers",
];
const LEAVES: &[&str] = &["aws", "local"];
/// What starts runs, and tests: nobody below may know of it.
const TOP: &[&str] = &["worker", "cli", "testing"];

/// Every Rust file below a path, with its text.
fn files(path: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(path) else { return found };
    for entry in entries.map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else if entry.extension().is_some_and(|e| e == "rs") {
            found.push((entry.display().to_string(), fs::read_to_string(&entry).unwrap()));
        }
    }
    found
}

fn module(name: &str) -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = files(&src.join(name));
    if let Ok(text) = fs::read_to_string(src.join(format!("{name}.rs"))) {
        found.push((format!("src/{name}.rs"), text));
    }
    found
}

/// Code without comments and without the unit tests at its end.
fn code(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap();
    text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Top-level modules of the crate that a file names, as `crate::name` or inside `use crate::{name::…}`.
fn imports(text: &str) -> Vec<String> {
    let code = code(text);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let (mut depth, mut item) = (0, String::new());
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => found.push(std::mem::take(&mut item)),
                    _ if depth == 0 => item.push(c),
                    _ => {}
                }
            }
            found.push(item);
        } else {
            found.push(rest.to_owned());
        }
    }
    let first =
        |s: &String| s.trim().split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap().to_owned();
    found.iter().map(first).filter(|s| !s.is_empty()).collect()
}

fn assert_absent(modules: &[&str], forbidden: &[&str]) {
    for name in modules {
        for (file, text) in module(name) {
            for import in imports(&text) {
                assert!(
                    !forbidden.contains(&import.as_str()),
                    "{file} uses crate::{import}: imports go down only"
                );
            }
        }
    }
}

#[test]
fn the_lowest_layer_knows_nobody_above() {
    assert_absent(TYPES, &[STAGES, LEAVES, &["pipeline", "config"], TOP].concat());
}

#[test]
fn stages_know_neither_leaves_nor_the_pipeline() {
    assert_absent(STAGES, &[LEAVES, &["pipeline", "config"], TOP].concat());
}

#[test]
fn leaves_know_neither_each_other_nor_the_pipeline() {
    assert_absent(&["aws"], &[&["local", "pipeline", "config"], TOP].concat());
    assert_absent(&["local"], &[&["aws", "pipeline", "config"], TOP].concat());
    assert_absent(&["pipeline"], &[LEAVES, &["config"], TOP].concat());
    assert_absent(&["config"], TOP);
    assert_absent(&["worker"], &["cli", "testing"]);
}

#[test]
fn the_lowest_layer_does_no_input_output_and_no_async() {
    for name in ["types", "simd"] {
        for (file, text) in module(name) {
            for word in ["std::fs", "std::net", "std::process", "std::env", "tokio", "async ", ".await"] {
                assert!(!code(&text).contains(word), "{file} names {word}");
            }
        }
    }
}

#[test]
fn unsafe_code_lives_in_simd_alone() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (file, text) in files(&src) {
        let inside = file.contains("/simd/");
        assert!(inside || !code(&text).contains("unsafe "), "{file} has unsafe code");
    }
}

/// The packages that a build of the root crate pulls.
fn dependencies(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "-p", "picchu"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn default_builds_pull_no_cloud_and_the_smallest_no_network() {
    for line in dependencies(&[]).lines() {
        assert!(!line.starts_with("aws-"), "the default build pulls {line}");
        assert!(!line.starts_with("pyo3"), "the root crate depends on {line}");
    }
    for line in dependencies(&["--no-default-features"]).lines() {
        for word in ["aws-", "hyper", "reqwest", "rustls", "openssl", "native-tls", "pyo3"] {
            assert!(!line.starts_with(word), "--no-default-features pulls {line}");
        }
    }
}

#[test]
fn no_absolute_path_of_a_machine_stands_in_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "python", "examples", "benches", "tests", "docs", "decoder"] {
        for (file, text) in files(&root.join(folder)) {
            for home in
                [concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/ro", "ot/"), concat!("/wo", "rk/")]
            {
                assert!(!text.contains(home), "{file} names {home}");
            }
        }
    }
}

#[test]
fn what_is_handed_on_carries_the_licences_of_the_decoder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/licenses");
    for (file, licence) in [
        ("FFmpeg-LGPL-2.1.txt", picchu_decoder::FFMPEG_LICENSE),
        ("rav1d-BSD-2-Clause.txt", picchu_decoder::AV1_LICENSE),
    ] {
        let handed_on = fs::read_to_string(folder.join(file)).unwrap();
        assert!(
            licence.is_empty() || handed_on == licence,
            "{file} is not the text that came with the source"
        );
    }
}
