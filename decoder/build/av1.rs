//! The AV1 decoder for FFmpeg: dav1d's port to Rust (`re_rav1d`), as the C library that FFmpeg expects.
//!
//! A program in C needs a static library, and cargo makes one only of a package that it builds itself. So a package of
//! three lines is written into the target folder, from `av1.toml` and `av1.lock`, and built there by the same cargo.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Part of the name under which FFmpeg's libraries are kept.
pub(crate) const VERSION: &str = "re_rav1d 0.1.3, with the alignment of its structures";

/// The Rust side aligns this structure to 16 bytes, and so what holds it; the header does not say so, and the type of a
/// picture, among others, would be read from the wrong place.
const UNALIGNED: &str = "} Dav1dFilmGrainData;";
const ALIGNED: &str = "} __attribute__((aligned(16))) Dav1dFilmGrainData;";

const MANIFEST: &str = include_str!("av1.toml");
const LOCK: &str = include_str!("av1.lock");

/// Builds the library in `folder`, laid out for FFmpeg's `configure`: its `bin/pkg-config` knows nothing but dav1d.
/// The reason, where it cannot be built: films in AV1 are then refused, all others are read.
pub(crate) fn build(folder: &Path, assembler: bool) -> Result<(), String> {
    let at = |error: std::io::Error| error.to_string();
    let package = folder.join("package");
    for sub in ["package", "lib", "bin", "include/dav1d"] {
        fs::create_dir_all(folder.join(sub)).map_err(at)?;
    }
    fs::write(package.join("Cargo.toml"), MANIFEST).map_err(at)?;
    fs::write(package.join("lib.rs"), "pub use re_rav1d::src::lib::dav1d_version;\n").map_err(at)?;
    fs::write(package.join("Cargo.lock"), LOCK).map_err(at)?;

    let target = env::var("TARGET").map_err(|e| e.to_string())?;
    let mut build = cargo(&package, "build");
    build.args(["--release", "--locked", "--target", &target]);
    build.arg("--target-dir").arg(package.join("target"));
    build.args(["--jobs", &env::var("NUM_JOBS").unwrap_or_else(|_| "2".to_owned())]);
    if assembler || !cfg!(target_arch = "x86_64") {
        build.args(["--features", "asm"]);
    }
    said(&mut build)?;
    let library = package.join("target").join(&target).join("release/libpicchu_av1.a");
    fs::rename(&library, folder.join("lib/libdav1d.a")).map_err(at)?;

    let source = source(&package, &target)?;
    for header in ["common.h", "data.h", "dav1d.h", "headers.h", "picture.h"] {
        let text = fs::read_to_string(source.join("include/dav1d").join(header)).map_err(at)?;
        if header == "headers.h" && !text.contains(UNALIGNED) {
            return Err("headers.h of re_rav1d is not the one whose layout is known".to_owned());
        }
        fs::write(folder.join("include/dav1d").join(header), text.replace(UNALIGNED, ALIGNED)).map_err(at)?;
    }
    // The interface's version, which dav1d's own build writes.
    let version = "#define DAV1D_API_VERSION_MAJOR 7\n#define DAV1D_API_VERSION_MINOR 0\n\
                   #define DAV1D_API_VERSION_PATCH 0\n";
    fs::write(folder.join("include/dav1d/version.h"), version).map_err(at)?;
    fs::copy(source.join("COPYING"), folder.join("COPYING.dav1d")).map_err(at)?;
    fs::remove_dir_all(&package).map_err(at)?;
    pkg_config(&folder.join("bin/pkg-config"), folder).map_err(at)
}

/// FFmpeg finds dav1d through pkg-config only, which need not be installed.
fn pkg_config(script: &Path, folder: &Path) -> std::io::Result<()> {
    let folder = folder.display();
    let text = format!(
        "#!/bin/sh\n\
         case \"$*\" in\n\
         --version) echo 1.0 ;;\n\
         *--exists*dav1d*) ;;\n\
         *--cflags*dav1d*) echo \"-I{folder}/include\" ;;\n\
         *--libs*dav1d*) echo \"-L{folder}/lib -ldav1d -lpthread -ldl -lm\" ;;\n\
         *--variable=includedir*dav1d*) echo \"{folder}/include\" ;;\n\
         *) exit 1 ;;\n\
         esac\n"
    );
    fs::write(script, text)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(script, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Where cargo keeps the source: the headers and the licence are there.
fn source(package: &Path, target: &str) -> Result<PathBuf, String> {
    let described = said(cargo(package, "metadata").args([
        "--format-version=1",
        "--locked",
        "--offline",
        "--filter-platform",
        target,
    ]))?;
    described
        .split("\"manifest_path\":\"")
        .filter_map(|rest| rest.split('"').next())
        .map(Path::new)
        .filter_map(Path::parent)
        .find(|folder| folder.join("include/dav1d/dav1d.h").is_file())
        .map(Path::to_path_buf)
        .ok_or_else(|| "the source of re_rav1d was not found".to_owned())
}

/// The cargo that builds this, free of what it told this build script alone.
fn cargo(package: &Path, verb: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let kept = ["CARGO_HOME", "CARGO_HTTP", "CARGO_NET", "CARGO_REGISTR", "CARGO_SOURCE"];
        let ours = text.starts_with("CARGO") || text.starts_with("RUSTC_W") || text == "RUSTFLAGS";
        if ours && !kept.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command.arg(verb).arg("--manifest-path").arg(package.join("Cargo.toml"));
    command
}

fn said(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(words.lines().rev().find(|line| line.starts_with("error")).unwrap_or("cargo failed").to_owned())
}
