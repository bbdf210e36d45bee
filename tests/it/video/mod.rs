//! Films as files: the right picture at each time, from every container and codec, and a clear word where none comes.
//!
//! The clips of `tests/fixtures/video` show their picture's number, so these tests ask no second decoder.

mod colours;
mod remote;
mod torture;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use futures::StreamExt;
use picchu::{
    ErrorKind, FrameSource, Interval, Sampling,
    local::video::{Decoder, Limits, VideoFile},
    testing::conformance,
    types::Frame,
};

fn clip(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/video").join(name)
}

fn open(name: &str) -> VideoFile {
    VideoFile::open(clip(name)).unwrap()
}

/// The number that a picture shows: a column of 8 pixels for each bit.
fn number(frame: &Frame) -> u32 {
    let (width, height) = (frame.width(), frame.height());
    assert_eq!((width, height), (64, 48));
    (0..8).map(|bit| u32::from(frame.image.get_pixel(bit * 8 + 4, height / 2).0[1] > 128) << bit).sum()
}

/// Numbers and times in milliseconds, rounded.
fn numbers(film: &VideoFile, sampling: &Sampling) -> Vec<(u32, u128)> {
    let frames = film.read(sampling).unwrap().map(Result::unwrap);
    frames.map(|frame| (number(&frame), (frame.time.as_micros() + 500) / 1000)).collect()
}

fn seconds(interval: f64) -> Sampling {
    Sampling::every_secs(interval).unwrap()
}

/// Clips of 72 pictures, 12 a second, from picture 0.
const REGULAR: [&str; 8] = [
    "h264.mp4",
    "h264_open.mkv",
    "h264.ts",
    "h264_fragmented.mp4",
    "hevc.mp4",
    "vp9.webm",
    "mpeg4.mp4",
    "mpeg2.mkv",
];

#[test]
fn each_sample_is_the_picture_shown_at_its_time() {
    for name in REGULAR {
        let film = open(name);
        let got = numbers(&film, &seconds(1.0));
        assert_eq!(got, (0..6).map(|k| (12 * k, 1000 * u128::from(k))).collect::<Vec<_>>(), "{name}");
        // Off the grid of pictures: the last one not after the time.
        let got: Vec<u32> = numbers(&film, &seconds(0.7)).into_iter().map(|(n, _)| n).collect();
        assert_eq!(got, [0, 8, 16, 25, 33, 42, 50, 58, 67], "{name}");
    }
}

#[test]
fn planned_and_plain_decoding_give_the_same_frames() {
    let mut films: Vec<&str> = REGULAR.to_vec();
    films.extend(["variable.mp4", "cut.mp4", "turned.mp4", "wide_pixels.mp4"]);
    let samplings = [
        seconds(1.0),
        seconds(0.3).start(Duration::from_millis(700)).end(Duration::from_millis(4100)),
        seconds(0.25).skip(3).limit(9),
        Sampling::all(),
        Sampling::all().start(Duration::from_secs(2)).limit(10),
        Sampling::keyframes(),
        Sampling::at([0, 90, 1234, 3999, 4000, 5916].map(Duration::from_millis).to_vec()),
        seconds(1.0).max_side(24),
    ];
    for name in films {
        for sampling in &samplings {
            let planned: Vec<Frame> =
                open(name).workers(2).read(sampling).unwrap().map(Result::unwrap).collect();
            let plain = open(name).workers(1).decode_everything();
            let plain: Vec<Frame> = plain.read(sampling).unwrap().map(Result::unwrap).collect();
            assert_eq!(planned.len(), plain.len(), "{name} {sampling:?}");
            for (a, b) in planned.iter().zip(&plain) {
                assert_eq!(
                    (a.index, a.time, a.keyframe),
                    (b.index, b.time, b.keyframe),
                    "{name} {sampling:?}"
                );
                assert!(a.image == b.image, "{name} {sampling:?}: picture at {:?} differs", a.time);
            }
        }
    }
}

#[test]
fn few_pictures_are_decoded_for_few_samples() {
    for name in ["h264.mp4", "h264.ts", "h264_open.mkv", "hevc.mp4", "mpeg4.mp4"] {
        let mut frames = open(name).read(&seconds(1.0)).unwrap();
        assert_eq!(frames.by_ref().map(Result::unwrap).count(), 6);
        let counts = frames.counts().unwrap();
        assert!(counts.planned && counts.decoded <= 30, "{name}: {counts:?}");
    }
}

#[test]
fn all_pictures_key_pictures_and_ranges() {
    let film = open("h264.mp4");
    let all: Vec<u32> = numbers(&film, &Sampling::all()).into_iter().map(|(n, _)| n).collect();
    assert_eq!(all, (0..72).collect::<Vec<_>>());
    assert_eq!(numbers(&film, &Sampling::keyframes()), [(0, 0), (24, 2000), (48, 4000)]);
    let range = Sampling::all().start(Duration::from_secs(2)).end(Duration::from_millis(2250));
    assert_eq!(numbers(&film, &range), [(24, 2000), (25, 2083), (26, 2167)]);
    let indices = |s: &Sampling| film.read(s).unwrap().map(|f| f.unwrap().index).collect::<Vec<_>>();
    assert_eq!(indices(&range), [0, 1, 2]);
    assert_eq!(indices(&seconds(1.0).skip(2).limit(4)), [2, 3]);
    assert_eq!(indices(&seconds(1.0).limit(0)), Vec::<u64>::new());
}

#[test]
fn a_frame_is_found_again_by_its_own_time() {
    for name in REGULAR {
        let film = open(name);
        let frames: Vec<Frame> = film.read(&Sampling::all()).unwrap().map(Result::unwrap).collect();
        let times = frames.iter().step_by(7).map(|f| f.time).collect();
        let again: Vec<Frame> = film.read(&Sampling::at(times)).unwrap().map(Result::unwrap).collect();
        for (a, b) in frames.iter().step_by(7).zip(&again) {
            assert_eq!(a.time, b.time, "{name}");
            assert!(a.image == b.image, "{name}");
        }
    }
}

#[test]
fn a_held_picture_is_given_for_each_of_its_samples() {
    // Picture n is shown at (n + 3 * (n / 8)) / 12 seconds.
    let shown =
        |time_ms: u64| (0..72).rev().find(|n| (n + 3 * (n / 8)) * 1000 <= time_ms * 12).unwrap() as u32;
    let got: Vec<u32> =
        numbers(&open("variable.mp4"), &seconds(0.1)).into_iter().map(|(number, _)| number).collect();
    let last_ms = (71 + 3 * 8) * 1000 / 12;
    assert_eq!(got, (0..=last_ms / 100).map(|k| shown(k * 100)).collect::<Vec<_>>());
}

#[test]
fn an_edit_list_hides_what_was_cut_off() {
    let film = open("cut.mp4");
    assert_eq!(numbers(&film, &seconds(1.0)), [(30, 0), (42, 1000), (54, 2000), (66, 3000)]);
    assert_eq!(numbers(&film, &Sampling::all()).len(), 42);
}

#[test]
fn pictures_are_turned_upright_and_widened() {
    let turned = open("turned.mp4");
    let info = turned.describe().unwrap();
    assert_eq!((info.media.width, info.media.height), (48, 64));
    assert_eq!((info.stored_width, info.stored_height), (64, 48));
    assert!(info.media.notes.iter().any(|note| note.contains("upright")), "{:?}", info.media.notes);
    for frame in turned.read(&seconds(1.0)).unwrap().map(Result::unwrap) {
        // A quarter turn clockwise: the first column is the top row.
        let bits = (0..8)
            .map(|bit| u32::from(frame.image.get_pixel(24, bit * 8 + 4).0[1] > 128) << bit)
            .sum::<u32>();
        assert_eq!(u64::from(bits), frame.index * 12);
    }
    let wide = open("wide_pixels.mp4").read(&seconds(1.0)).unwrap().next().unwrap().unwrap();
    assert_eq!((wide.width(), wide.height()), (128, 48));
    let small = open("wide_pixels.mp4").read(&seconds(1.0).max_side(32)).unwrap().next().unwrap().unwrap();
    assert_eq!((small.width(), small.height()), (32, 12));
}

#[test]
fn the_film_is_described_without_decoding() {
    let info = open("hevc.mp4").describe().unwrap();
    assert_eq!((info.media.container.as_str(), info.media.codec.as_str()), ("mov", "hevc"));
    assert_eq!(info.media.duration, Some(Duration::from_secs(6)));
    assert_eq!(info.media.frame_rate, Some(12.0));
    assert_eq!((info.pictures, info.tracks, info.bit_depth), (Some(72), 1, Some(8)));
    assert_eq!(info.media.name, "hevc.mp4");
}

#[test]
fn what_is_no_film_is_refused_in_clear_words() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let film = fs::read(clip("h264.mp4")).unwrap();
    let cases = [
        (make("text.mp4", b"this is a text, whatever it is called\n"), "not a video"),
        (make("empty.mp4", b""), "the file is empty"),
        (make("header.mp4", &film[..200]), "not a video"),
        (clip("sound.m4a"), "sound but no picture"),
        (clip("cover.m4a"), "cover art"),
    ];
    for (path, words) in cases {
        let error = VideoFile::open(&path).unwrap().read(&seconds(1.0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.message().contains(words), "{error}");
        assert_eq!(VideoFile::open(&path).unwrap().describe().unwrap_err().message(), error.message());
    }
    assert_eq!(VideoFile::open(folder.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(VideoFile::open(folder.path()).unwrap_err().kind(), ErrorKind::InvalidInput);
    let error = open("h264.mp4").track(3).describe().unwrap_err();
    assert!(error.message().contains("1 video track"), "{error}");
}

#[test]
fn pictures_beyond_the_limit_are_refused() {
    let film = open("h264.mp4").limits(Limits::default().max_pixels(64 * 47));
    let error = film.read(&seconds(1.0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    assert!(error.message().contains("64 x 48"), "{error}");
    // The header says 64 x 48, the pictures would be gigantic: whatever happens stays in the decoder's memory limit.
    let film = open("wide_pixels.mp4").limits(Limits::default().max_pixels(64 * 48));
    let error = film.read(&seconds(1.0)).unwrap().next().unwrap().unwrap_err();
    assert!(error.message().contains("128 x 48"), "{error}");
}

#[test]
fn a_decoder_without_memory_says_so() {
    let film = open("h264.mp4").limits(Limits::default().memory_bytes(20 << 20));
    let error = film
        .read(&seconds(1.0))
        .map(|frames| frames.map(Result::unwrap_err).next())
        .map_or_else(|e| e, Option::unwrap);
    assert!(matches!(error.kind(), ErrorKind::QuotaExceeded | ErrorKind::Decode), "{error:?}");
}

#[test]
fn another_program_can_decode() {
    let film = open("h264.mp4").decoder(Decoder::at("/bin/cat"));
    let error = film.describe().unwrap_err();
    assert!(error.message().contains("decoder"), "{error}");
}

#[test]
fn a_truncated_film_gives_its_frames_and_then_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.mp4");
    // The fragmented clip keeps its index beside the pictures, so its beginning is a film.
    let film = fs::read(clip("h264_fragmented.mp4")).unwrap();
    for tenth in 5..10 {
        fs::write(&path, &film[..film.len() * tenth / 10]).unwrap();
        let items: Vec<_> = VideoFile::open(&path).unwrap().read(&seconds(0.5)).unwrap().collect();
        let frames: Vec<&Frame> = items.iter().filter_map(|item| item.as_ref().ok()).collect();
        assert!(!frames.is_empty(), "{tenth}");
        for frame in &frames {
            assert_eq!(u64::from(number(frame)), frame.index * 6, "{tenth}");
        }
        for error in items.iter().filter_map(|item| item.as_ref().err()) {
            assert!(error.gap().is_some(), "{tenth}: {error}");
        }
    }
}

#[test]
fn damage_never_breaks_more_than_the_film() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged");
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for name in ["h264.mp4", "h264.ts", "hevc.mp4", "vp9.webm", "mpeg2.mkv"] {
        let film = fs::read(clip(name)).unwrap();
        for _ in 0..20 {
            let mut bytes = film.clone();
            for _ in 0..4 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (seed >> 20) as usize % bytes.len();
                bytes[at] ^= 1 << (seed >> 61);
            }
            fs::write(&path, &bytes).unwrap();
            let items = match VideoFile::open(&path).unwrap().read(&seconds(0.5)) {
                Ok(frames) => frames.collect(),
                Err(error) => vec![Err(error)],
            };
            for error in items.into_iter().filter_map(Result::err) {
                assert_ne!(error.kind(), ErrorKind::Internal, "{name}: {error}");
                assert!(!error.message().contains("signal"), "{name}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn a_film_is_a_frame_source() {
    for name in ["h264.mp4", "vp9.webm", "variable.mp4"] {
        conformance::frame_source(&open(name)).await;
    }
}

#[tokio::test]
async fn dropping_the_stream_stops_the_decoder() {
    let film = open("h264.mp4");
    let started = Instant::now();
    for _ in 0..20 {
        let mut frames = film.frames(&Sampling::all());
        frames.next().await.unwrap().unwrap();
    }
    drop(film.frames(&Sampling::all()));
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn exact_fractions_never_drift() {
    // 1/12 s as a fraction hits every picture; the nearest decimal would miss some.
    let every = Sampling::every(Interval::new(1, 12).unwrap());
    for name in ["h264.mp4", "h264.ts", "hevc.mp4"] {
        let got: Vec<u32> = numbers(&open(name), &every).into_iter().map(|(n, _)| n).collect();
        assert_eq!(got, (0..72).collect::<Vec<_>>(), "{name}");
    }
}

/// Makes a film with the system's ffmpeg; `None` without one, said aloud.
fn synthesise(folder: &Path, name: &str, arguments: &str) -> Option<PathBuf> {
    make(folder, name, "testsrc2=size=320x180:rate=24:duration=3,noise=alls=10:allf=t", arguments)
}

/// The same from another picture source.
#[allow(clippy::print_stdout)] // a skipped case must be seen
fn make(folder: &Path, name: &str, source: &str, arguments: &str) -> Option<PathBuf> {
    let path = folder.join(name);
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", source])
        .args(arguments.split_whitespace())
        .arg(&path)
        .stderr(std::process::Stdio::null())
        .status();
    if made.is_ok_and(|status| status.success()) {
        return Some(path);
    }
    println!("SKIPPED {name}: needs ffmpeg with the right encoder");
    None
}

#[test]
fn torture_films_decode_by_plan_as_they_do_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let films = [
        ("gop48.mp4", "-c:v libx264 -preset veryfast -g 48 -bf 3 -pix_fmt yuv420p"),
        (
            "open.mp4",
            "-c:v libx264 -preset veryfast -g 24 -bf 4 -x264-params open-gop=1:scenecut=0 -pix_fmt yuv420p",
        ),
        (
            "open.ts",
            "-c:v libx264 -preset veryfast -g 24 -bf 4 -x264-params open-gop=1:scenecut=0 -pix_fmt yuv420p",
        ),
        (
            "refresh.mp4",
            "-c:v libx264 -preset veryfast -x264-params intra-refresh=1:keyint=24 -pix_fmt yuv420p",
        ),
        ("ten.mkv", "-c:v libx264 -preset veryfast -g 48 -pix_fmt yuv420p10le"),
        (
            "interlaced.mp4",
            "-c:v libx264 -preset veryfast -g 48 -flags +ilme+ildct -x264-params tff=1 -pix_fmt yuv420p",
        ),
        ("odd.mp4", "-vf crop=317:177 -c:v libx264 -preset veryfast -g 48 -pix_fmt yuv444p"),
        (
            "hevc_open.mkv",
            "-c:v libx265 -preset fast -x265-params log-level=none:keyint=24:open-gop=1:bframes=4",
        ),
        (
            "hevc_layers.ts",
            "-c:v libx265 -preset fast -x265-params log-level=none:keyint=48:temporal-layers=3:bframes=4",
        ),
        ("alt.webm", "-c:v libvpx-vp9 -g 48 -cpu-used 8 -auto-alt-ref 1 -lag-in-frames 16 -b:v 500k"),
        ("vp8.webm", "-c:v libvpx -g 48 -cpu-used 8 -auto-alt-ref 1 -lag-in-frames 16 -b:v 500k"),
        ("mpeg2.ts", "-c:v mpeg2video -g 15 -bf 2 -q:v 5"),
        ("mpeg4.avi", "-c:v mpeg4 -g 24 -bf 2 -q:v 5"),
        ("prores.mov", "-c:v prores_ks -t 1"),
    ];
    for (name, arguments) in films {
        let Some(path) = synthesise(folder.path(), name, arguments) else { continue };
        for sampling in [seconds(0.7), Sampling::all(), Sampling::keyframes()] {
            let film = VideoFile::open(&path).unwrap();
            let plain = film.clone().workers(1).decode_everything();
            let mut count = 0;
            let mut plain = plain.read(&sampling).unwrap();
            for frame in film.workers(3).read(&sampling).unwrap() {
                let (a, b) = (frame.unwrap(), plain.next().unwrap().unwrap());
                assert_eq!((a.index, a.time), (b.index, b.time), "{name}");
                assert!(a.image == b.image, "{name}: picture at {:?} differs", a.time);
                count += 1;
            }
            assert!(plain.next().is_none() && count > 0, "{name}");
        }
    }
}
