//! Builds `picchu-decode`: our C files over a small FFmpeg.
//!
//! In this order: a ready-made program named by `PICCHU_DECODE_PROGRAM`; the system's FFmpeg (feature
//! `system-ffmpeg`); FFmpeg built here from the crate `ffmpeg-src` (feature `bundled`, three targets); none, with a
//! warning, so that the rest of picchu still builds.

// A build script talks to cargo on standard output, reads its settings from the environment and stops by panicking.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

mod av1;

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

const SOURCES: [&str; 17] = [
    "main",
    "wire",
    "request",
    "bytes",
    "remote",
    "complaints",
    "input",
    "shape",
    "describe",
    "deinterlace",
    "convert",
    "sandbox",
    "plain",
    "plan",
    "pictures",
    "h264",
    "av1",
];

const DEMUXERS: &str = "mov,matroska,mpegts,mpegps,mpegvideo,avi,flv,ogg,gif,h264,hevc,m4v,ivf,obu,asf,mxf,\
                        yuv4mpegpipe,mp3,wav,flac,aac";
const DECODERS: &str = "h264,hevc,vp8,vp9,mpeg1video,mpeg2video,mpeg4,msmpeg4v1,msmpeg4v2,msmpeg4v3,h263,flv,wmv1,\
                        wmv2,wmv3,vc1,prores,mjpeg,gif,ffv1,rawvideo,theora,dvvideo,dnxhd,huffyuv,ffvhuff,qtrle,\
                        cinepak";
const PARSERS: &str = "h264,hevc,vp8,vp9,mpegvideo,mpeg4video,mjpeg,av1,h263,vc1,dnxhd,gif";
const BITSTREAM_FILTERS: &str = "vp9_superframe_split,extract_extradata,av1_frame_merge";

fn main() {
    for file in ["build", "c"] {
        println!("cargo:rerun-if-changed={file}");
    }
    for name in ["PICCHU_DECODE_PROGRAM", "CC", "CFLAGS", "DOCS_RS"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let program = out.join("picchu-decode");
    for licence in ["COPYING.LGPLv2.1", "COPYING.dav1d"] {
        fs::write(out.join(licence), "").expect("OUT_DIR is writable");
    }
    let origin = if let Some(given) = env::var_os("PICCHU_DECODE_PROGRAM") {
        println!("cargo:rerun-if-changed={}", Path::new(&given).display());
        fs::copy(&given, &program).unwrap_or_else(|e| {
            panic!("PICCHU_DECODE_PROGRAM names {}, which cannot be copied: {e}", Path::new(&given).display())
        });
        "given"
    } else if env::var_os("DOCS_RS").is_none() && (system_ffmpeg(&program) || bundled(&out, &program)) {
        if cfg!(feature = "system-ffmpeg") { "system-ffmpeg" } else { "bundled" }
    } else {
        fs::write(&program, "").expect("OUT_DIR is writable");
        println!(
            "cargo:warning=built without a film decoder: this target needs the feature `system-ffmpeg` or \
             PICCHU_DECODE_PROGRAM=/path/to/picchu-decode at build time"
        );
        "none"
    };
    println!("cargo:rustc-env=PICCHU_DECODER_ORIGIN={origin}");
}

#[cfg(feature = "system-ffmpeg")]
fn system_ffmpeg(program: &Path) -> bool {
    let mut flags = Vec::new();
    for (library, version) in
        [("libavformat", "61"), ("libavcodec", "61"), ("libswscale", "8"), ("libavutil", "59")]
    {
        let found = pkg_config::Config::new()
            .atleast_version(version)
            .cargo_metadata(false)
            .probe(library)
            .unwrap_or_else(|e| {
                panic!("feature `system-ffmpeg`: {library} {version} or later is needed: {e}")
            });
        flags.extend(found.include_paths.iter().map(|p| format!("-I{}", p.display())));
        flags.extend(found.link_paths.iter().map(|p| format!("-L{}", p.display())));
        flags.extend(found.libs.iter().map(|l| format!("-l{l}")));
    }
    link(program, &flags);
    true
}

#[cfg(not(feature = "system-ffmpeg"))]
fn system_ffmpeg(_: &Path) -> bool {
    false
}

/// The source that `ffmpeg-src` has unpacked.
#[cfg(all(
    feature = "bundled",
    any(
        all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"),
        all(target_arch = "aarch64", target_os = "macos")
    )
))]
fn ffmpeg_source(out: &Path) -> Option<PathBuf> {
    // A build script runs on the host; its FFmpeg is of use only there.
    if env::var_os("TARGET") != env::var_os("HOST") {
        return None;
    }
    let unpacked = ffmpeg_src::artifacts().prefix().parent()?;
    // Where it was unpacked, or beside us, when the target folder has been moved or restored from a cache since.
    let moved = out.ancestors().nth(2)?.join(unpacked.parent()?.file_name()?).join("out");
    [unpacked, &moved]
        .map(|folder| folder.join("sources/ffmpeg"))
        .into_iter()
        .find(|source| source.join("configure").is_file())
}

#[cfg(not(all(
    feature = "bundled",
    any(
        all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"),
        all(target_arch = "aarch64", target_os = "macos")
    )
)))]
fn ffmpeg_source(_: &Path) -> Option<PathBuf> {
    None
}

fn bundled(out: &Path, program: &Path) -> bool {
    let Some(source) = ffmpeg_source(out) else { return false };
    let sdk = ffmpeg(&source, out);
    let library = |name: &str| sdk.join("lib").join(format!("lib{name}.a")).display().to_string();
    let mut flags = vec![format!("-I{}", sdk.join("include").display())];
    flags.extend(["avformat", "avcodec", "swscale", "avutil"].map(library));
    if sdk.join("lib/libdav1d.a").is_file() {
        flags.push(library("dav1d"));
        fs::copy(sdk.join("COPYING.dav1d"), out.join("COPYING.dav1d")).expect("rav1d comes with its licence");
    }
    flags.extend(["-lm", "-lpthread", "-ldl"].map(str::to_owned));
    if cfg!(target_os = "linux") {
        flags.push("-static-libgcc".to_owned());
    }
    link(program, &flags);
    fs::copy(source.join("COPYING.LGPLv2.1"), out.join("COPYING.LGPLv2.1"))
        .expect("FFmpeg comes with its licence");
    true
}

/// FFmpeg's libraries and headers, from the cache or built now.
fn ffmpeg(source: &Path, out: &Path) -> PathBuf {
    let assembler = !cfg!(target_arch = "x86_64") || runs("nasm", "-v");
    if !assembler {
        println!(
            "cargo:warning=nasm was not found: films will decode two to four times slower. Install it \
             (`apt install nasm`, `dnf install nasm`, `brew install nasm`) and build picchu-decoder again"
        );
    }
    assert!(
        runs("make", "--version"),
        "building FFmpeg needs `make`; install it, or set PICCHU_DECODE_PROGRAM"
    );
    let compiler = compiler();
    let mut options: Vec<String> = [
        "--disable-everything",
        "--disable-autodetect",
        "--disable-network",
        "--disable-programs",
        "--disable-doc",
        "--disable-debug",
        "--disable-avdevice",
        "--disable-avfilter",
        "--disable-swresample",
        "--disable-iamf",
        "--disable-shared",
        "--enable-static",
        "--enable-pic",
    ]
    .map(str::to_owned)
    .into();
    options.push(format!("--cc={}", compiler.path().display()));
    options.push(format!("--enable-demuxer={DEMUXERS}"));
    options.push(format!("--enable-decoder={DECODERS}"));
    options.push(format!("--enable-parser={PARSERS}"));
    options.push(format!("--enable-bsf={BITSTREAM_FILTERS}"));
    if !assembler {
        options.push("--disable-x86asm".to_owned());
    }

    let cache = cache_folder(out);
    let mut hasher = DefaultHasher::new();
    options.hash(&mut hasher);
    let av1 = cfg!(feature = "av1");
    (av1, av1::VERSION).hash(&mut hasher);
    env::var_os("CFLAGS").hash(&mut hasher);
    fs::read_to_string(source.join("RELEASE")).unwrap_or_default().hash(&mut hasher);
    output(compiler.path(), "--version").hash(&mut hasher);
    let finished = cache.join(format!("{:016x}", hasher.finish()));

    // Two builds may run at once, in two profiles: the second waits here and then finds the libraries.
    fs::create_dir_all(&cache).expect("the target folder is writable");
    let lock = fs::File::create(cache.join("lock")).expect("the target folder is writable");
    lock.lock().expect("the target folder can be locked");
    if finished.join("lib/libavformat.a").is_file() {
        return finished;
    }
    let work = cache.join("work");
    if work.exists() {
        fs::remove_dir_all(&work).expect("a half-finished build can be removed");
    }
    fs::create_dir_all(&work).expect("the target folder is writable");
    let sdk = work.join("sdk");
    let dav1d = work.join("dav1d");
    let av1 = av1
        && av1::build(&dav1d, assembler)
            .inspect_err(|why| {
                println!(
                    "cargo:warning=films in AV1 will not be read: the AV1 decoder cannot be built ({why})"
                );
            })
            .is_ok();
    if av1 {
        options.push("--enable-libdav1d".to_owned());
        options.push("--enable-decoder=libdav1d".to_owned());
        options.push(format!("--pkg-config={}", dav1d.join("bin/pkg-config").display()));
    }
    run(Command::new("sh")
        .arg(source.join("configure"))
        .arg(format!("--prefix={}", sdk.display()))
        .args(&options)
        .current_dir(&work));
    let jobs = env::var("NUM_JOBS").unwrap_or_else(|_| "2".to_owned());
    run(make(&work).arg(format!("-j{jobs}")));
    run(make(&work).args(["install-libs", "install-headers"]));
    if av1 {
        for (from, to) in [("lib/libdav1d.a", "lib/libdav1d.a"), ("COPYING.dav1d", "COPYING.dav1d")] {
            fs::copy(dav1d.join(from), sdk.join(to)).expect("the target folder is writable");
        }
    }
    // Complete or absent, never half: the name is given last.
    fs::rename(&sdk, &finished).expect("the finished libraries can be renamed");
    let _ = fs::remove_dir_all(&work);
    finished
}

/// A folder that the profiles (dev, release) share: beside them in the target folder.
fn cache_folder(out: &Path) -> PathBuf {
    let target = out
        .ancestors()
        .find(|folder| folder.file_name().is_some_and(|name| name == "build"))
        .and_then(|build| build.parent()?.parent());
    target.unwrap_or(out).join("picchu-ffmpeg")
}

fn make(folder: &Path) -> Command {
    let mut command = Command::new("make");
    // Cargo's own job server is not meant for this `make`.
    command.current_dir(folder).env_remove("MAKEFLAGS").env_remove("MFLAGS");
    command
}

fn compiler() -> cc::Tool {
    cc::Build::new()
        .opt_level(2)
        .debug(false)
        .try_get_compiler()
        .unwrap_or_else(|e| panic!("building the film decoder needs a C compiler (`apt install gcc`): {e}"))
}

fn link(program: &Path, flags: &[String]) {
    let mut command = compiler().to_command();
    command.args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-fPIE", "-fstack-protector-strong"]);
    command.args(SOURCES.map(|name| format!("c/{name}.c"))).arg("-o").arg(program).args(flags);
    if cfg!(target_os = "linux") {
        command.args(["-pie", "-Wl,-z,relro,-z,now", "-Wl,--gc-sections", "-s"]);
    }
    run(&mut command);
}

fn runs(program: &str, argument: &str) -> bool {
    Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success())
}

fn output(program: &Path, argument: &str) -> Vec<u8> {
    Command::new(program).arg(argument).output().map(|output| output.stdout).unwrap_or_default()
}

/// Runs a tool; shows what it said only when it fails.
fn run(command: &mut Command) {
    let shown = format!("{command:?}");
    let output = command.output().unwrap_or_else(|e| panic!("cannot start {shown}: {e}"));
    let tail = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    };
    assert!(
        output.status.success(),
        "{shown} failed ({}):\n{}\n{}",
        output.status,
        tail(&output.stdout),
        tail(&output.stderr)
    );
}
