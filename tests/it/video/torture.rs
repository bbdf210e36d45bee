//! Films made to be difficult, compared with an independent decoder: every frame's time and every pixel.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use picchu::{
    Sampling,
    local::video::{Counts, VideoFile},
    types::Frame,
};

use super::make;

const SOURCE: &str = "testsrc2=size=320x180:rate=24:duration=2,noise=alls=8:allf=t";
const X264: &str = "-c:v libx264 -preset veryfast -pix_fmt yuv420p";

/// What must come out at least, in decibels.
const CLOSE: f64 = 45.0;

pub(super) fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let rows = a.chunks(4096).zip(b.chunks(4096)).filter(|(a, b)| a != b);
    let sum: u64 =
        rows.flat_map(|(a, b)| a.iter().zip(b)).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    10.0 * (255.0 * 255.0 * a.len() as f64 / (sum as f64).max(1e-9)).log10()
}

/// Times of all pictures from the first on, in microseconds, as ffprobe tells them.
fn their_times(film: &Path) -> Vec<i64> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=best_effort_timestamp_time"])
        .args(["-of", "csv=p=0"])
        .arg(film)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let times = text.lines().filter_map(|line| line.split(',').next()?.parse::<f64>().ok());
    let micros: Vec<i64> = times.map(|t| (t * 1e6).round() as i64).collect();
    micros.iter().map(|t| t - micros[0]).collect()
}

/// Compares all frames of the film with what the system's ffmpeg makes of it; `filter` is put before.
fn agrees(film: &Path, filter: Option<&str>) {
    let name = film.display();
    let times = their_times(film);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(film);
    if let Some(filter) = filter {
        command.args(["-vf", filter]);
    }
    let mut child = command
        .args(["-map", "0:v:0", "-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut theirs = child.stdout.take().unwrap();
    let mut count = 0;
    for frame in VideoFile::open(film).unwrap().read(&Sampling::all()).unwrap() {
        let frame = frame.unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut pixels = vec![0; frame.image.as_raw().len()];
        theirs.read_exact(&mut pixels).unwrap_or_else(|e| panic!("{name}: frame {count}: {e}"));
        let close = psnr(frame.image.as_raw(), &pixels);
        assert!(close >= CLOSE, "{name}: {close:.1} dB at {:?}", frame.time);
        let theirs = times[count];
        assert!(
            (frame.time.as_micros() as i64 - theirs).abs() <= 1,
            "{name}: frame {count} at {:?}, not {theirs} µs",
            frame.time
        );
        count += 1;
    }
    assert_eq!((count, theirs.read(&mut [0]).unwrap()), (times.len(), 0), "{name}");
    child.wait().unwrap();
}

#[test]
fn times_and_pixels_agree_with_another_decoder() {
    let folder = tempfile::tempdir().unwrap();
    let films = [
        ("variable.mkv", "-vf select='not(eq(mod(n,5),2))',setpts='(N+2*floor(N/4))/24/TB' -vsync vfr"),
        ("late.ts", "-output_ts_offset 3725.5 -bf 3"),
        ("open.mp4", "-g 12 -bf 4 -x264-params open-gop=1:scenecut=0"),
        ("fragmented.mp4", "-g 12 -movflags frag_keyframe+empty_moov"),
        ("no_index.mkv", "-g 12 -live 1"),
        ("full.mp4", "-pix_fmt yuvj420p -color_range pc"),
        ("deep.mkv", "-pix_fmt yuv420p10le -colorspace bt709 -color_primaries bt709 -color_trc bt709"),
        ("whole.mp4", "-pix_fmt yuv444p -vf crop=317:177"),
        ("odd.mp4", "-vf crop=318:178"),
    ];
    let mut made = Vec::new();
    for (name, arguments) in films {
        made.extend(make(folder.path(), name, SOURCE, &format!("{X264} {arguments}")));
    }
    let others = [
        ("hevc.mkv", "-c:v libx265 -preset fast -x265-params log-level=none:keyint=12:open-gop=1:bframes=4"),
        ("hevc_deep.mp4", "-c:v libx265 -preset fast -pix_fmt yuv420p10le -x265-params log-level=none"),
        ("vp9.webm", "-c:v libvpx-vp9 -cpu-used 8 -b:v 800k -g 12"),
        ("vp8.webm", "-c:v libvpx -cpu-used 8 -b:v 800k -g 12"),
        ("mpeg2.ts", "-c:v mpeg2video -q:v 3 -bf 2"),
        ("mpeg4.mp4", "-c:v mpeg4 -q:v 3 -bf 2"),
        ("prores.mov", "-c:v prores_ks -t 0.5"),
        ("picture.gif", "-t 0.5"),
        ("ffv1.mkv", "-c:v ffv1 -t 0.5"),
    ];
    for (name, arguments) in others {
        made.extend(make(folder.path(), name, SOURCE, arguments));
    }
    for film in &made {
        agrees(film, None);
    }
    // An edit list cuts the beginning off; a rotation is applied.
    if let Some(film) = made.iter().find(|film| film.ends_with("open.mp4")) {
        for (name, arguments) in [("edited.mp4", "-ss 0.7"), ("turned.mp4", "")] {
            let path = folder.path().join(name);
            let status = Command::new("ffmpeg")
                .args(["-v", "error", "-nostdin", "-y"])
                .args(arguments.split_whitespace())
                .arg("-i")
                .arg(film)
                .args(["-c", "copy", "-metadata:s:v:0", "rotate=90"])
                .arg(&path)
                .status()
                .unwrap();
            assert!(status.success());
            agrees(&path, None);
        }
    }
}

/// Samples the film by the plan and by decoding everything; returns what the plan counted.
fn plan_agrees(film: &Path, sampling: &Sampling) -> Counts {
    let video = VideoFile::open(film).unwrap();
    let mut planned = video.clone().workers(2).read(sampling).unwrap();
    let frames: Vec<Frame> = planned.by_ref().map(Result::unwrap).collect();
    let plain: Vec<Frame> = video.decode_everything().read(sampling).unwrap().map(Result::unwrap).collect();
    assert_eq!(frames.len(), plain.len(), "{}", film.display());
    for (a, b) in frames.iter().zip(&plain) {
        assert!((a.time, &a.image) == (b.time, &b.image), "{}: {:?}", film.display(), b.time);
    }
    planned.counts().unwrap()
}

#[test]
fn references_that_no_wanted_frame_depends_on_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    // The most pictures of a hundred that may be decoded for one frame in a second.
    for (name, most, parameters) in [
        ("fast.mp4", 35, "ref=1:bframes=3:keyint=48"),
        ("tall.mp4", 30, "ref=1:bframes=8:b-adapt=2:keyint=60"),
        ("many.mp4", 50, "ref=16:bframes=16:b-adapt=2:keyint=72"),
        ("strict.mp4", 35, "ref=2:bframes=4:b-pyramid=strict:weightp=0:keyint=40"),
        ("weights.mp4", 50, "ref=4:bframes=5:weightp=2:weightb=1:keyint=50"),
        ("codes.mp4", 35, "ref=1:cabac=0:bframes=5:keyint=48"),
        ("temporal.mp4", 50, "ref=2:bframes=5:direct=temporal:subme=5:keyint=48"),
        ("open.mkv", 35, "ref=1:bframes=5:open-gop=1:keyint=24"),
        ("refresh.mp4", 50, "ref=1:bframes=3:intra-refresh=1:keyint=48"),
        ("slices.mp4", 60, "slices=4:bframes=3:keyint=48"),
        ("lists.ts", 35, "ref=1:bframes=3:keyint=48"),
    ] {
        let arguments = format!("{X264} -x264-params scenecut=0:{parameters}");
        let source = SOURCE.replace("duration=2", "duration=6");
        let Some(film) = make(folder.path(), name, &source, &arguments) else { continue };
        let counts = plan_agrees(&film, &Sampling::every_secs(1.0).unwrap());
        assert!(counts.planned && counts.decoded * 100 <= counts.packets * most, "{name}: {counts:?}");
        plan_agrees(&film, &Sampling::every_secs(0.37).unwrap());
        plan_agrees(&film, &Sampling::keyframes());
    }
}

#[test]
fn av1_decodes_in_every_container() {
    if !picchu_reads_av1() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, arguments) in [
        ("av1.mp4", "-c:v libsvtav1 -preset 12 -g 12 -pix_fmt yuv420p"),
        ("av1.webm", "-c:v libaom-av1 -cpu-used 8 -g 12 -t 1 -pix_fmt yuv420p"),
        ("av1.ivf", "-c:v libsvtav1 -preset 12 -g 24 -pix_fmt yuv420p10le"),
    ] {
        let Some(film) = make(folder.path(), name, SOURCE, arguments) else { continue };
        agrees(&film, None);
        let counts = plan_agrees(&film, &Sampling::every_secs(0.3).unwrap());
        assert!(counts.planned && counts.decoded < counts.packets, "{name}: {counts:?}");
    }
}

/// The bundled program does, unless its AV1 part could not be built; then it says so.
#[allow(clippy::print_stdout)] // a skipped case must be seen
fn picchu_reads_av1() -> bool {
    let reads = !picchu_decoder::AV1_LICENSE.is_empty();
    if !reads {
        println!("SKIPPED: this build of the decoder has no AV1");
    }
    reads
}

/// All frames of the whole film, by time.
fn whole(film: &Path) -> Vec<Frame> {
    VideoFile::open(film).unwrap().read(&Sampling::all()).unwrap().map(Result::unwrap).collect()
}

#[test]
fn what_comes_before_a_cut_is_right() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["cut.mkv", "cut.ts", "cut.mp4"] {
        let arguments = format!("{X264} -g 12 -bf 3 -movflags frag_keyframe+empty_moov");
        let Some(film) = make(folder.path(), name, SOURCE, &arguments) else { continue };
        let (bytes, frames) = (fs::read(&film).unwrap(), whole(&film));
        let mut most = 0;
        for tenth in 1..=10 {
            let path = folder.path().join(format!("{tenth}{name}"));
            // The last cut takes a single byte.
            fs::write(&path, &bytes[..(bytes.len() * tenth / 10).min(bytes.len() - 1)]).unwrap();
            let Ok(reading) = VideoFile::open(&path).unwrap().read(&Sampling::all()) else { continue };
            let items: Vec<_> = reading.collect();
            let got: Vec<&Frame> = items.iter().filter_map(|item| item.as_ref().ok()).collect();
            for error in items.iter().filter_map(|item| item.as_ref().err()) {
                assert!(error.gap().is_some() || got.is_empty(), "{name} {tenth}: {error}");
            }
            for (at, frame) in got.iter().enumerate() {
                let whole = frames.iter().find(|whole| whole.time == frame.time).unwrap();
                // The pictures at the cut may be damaged: the last packet is half there.
                assert!(
                    frame.image == whole.image || at + 5 > got.len(),
                    "{name} {tenth}: picture {at} of {}",
                    got.len()
                );
            }
            assert!(got.len() >= most, "{name}: {tenth} tenths give fewer frames than one less");
            most = got.len();
        }
        assert!(most + 5 > frames.len(), "{name}: {most} of {}", frames.len());
    }
}

#[test]
fn a_flipped_bit_costs_a_stretch_and_not_the_film() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = format!("{X264} -g 8 -bf 2 -movflags frag_keyframe+empty_moov");
    let Some(film) = make(folder.path(), "flip.mp4", SOURCE, &arguments) else { return };
    let (bytes, frames) = (fs::read(&film).unwrap(), whole(&film));
    let path = folder.path().join("flipped.mp4");
    let (mut sound, mut wanted) = (0, 0);
    for flip in 0..100 {
        let mut bytes = bytes.clone();
        // Spread over the film; the first kilobytes are the description.
        let at = 2000 + (bytes.len() - 2001) * flip / 99;
        bytes[at] ^= 1 << (flip % 8);
        fs::write(&path, &bytes).unwrap();
        wanted += frames.len().div_ceil(6);
        let quarter = Sampling::every_secs(0.25).unwrap();
        let Ok(items) = VideoFile::open(&path).unwrap().read(&quarter) else { continue };
        for item in items {
            match item {
                Ok(frame) => {
                    let at = frames
                        .iter()
                        .rposition(|f| f.time <= Duration::from_millis(250) * frame.index as u32);
                    sound += usize::from(frame.image == frames[at.unwrap()].image);
                }
                Err(error) => assert!(error.gap().is_some(), "{at}: {error}"),
            }
        }
    }
    assert!(sound * 10 >= wanted * 7, "{sound} of {wanted} frames are what they were");
}

#[test]
#[ignore = "long: make nightly runs it"]
#[allow(clippy::print_stdout)] // a skipped case must be seen
fn real_clips_agree_with_another_decoder() {
    let clips = std::env::var_os("PICCHU_TEST_CLIPS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/clips"), PathBuf::from);
    let Ok(entries) = fs::read_dir(&clips) else {
        println!("SKIPPED: no clips in {}", clips.display());
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "mp4" || e == "webm") {
            agrees(&path, None);
        }
    }
}
