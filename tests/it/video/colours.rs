//! Colours, fields and transparency: what is stored in many ways comes out as what was meant.

use std::{fs, path::Path, process::Command, time::Duration};

use picchu::{ErrorKind, Sampling, local::video::VideoFile, types::Frame};

use super::{make, torture::psnr};

fn frames(film: &Path) -> Vec<Frame> {
    VideoFile::open(film).unwrap().read(&Sampling::all()).unwrap().map(Result::unwrap).collect()
}

fn notes(film: &Path) -> String {
    VideoFile::open(film).unwrap().describe().unwrap().media.notes.join("; ")
}

fn middle(film: &Path) -> [u8; 3] {
    let frame = frames(film).remove(0);
    frame.image.get_pixel(frame.width() / 2, frame.height() / 2).0
}

fn near(got: [u8; 3], meant: [u8; 3], tolerance: u8, name: &str) {
    let far = got.iter().zip(meant).any(|(a, b)| a.abs_diff(b) > tolerance);
    assert!(!far, "{name}: {got:?} instead of {meant:?}");
}

#[test]
fn matrix_and_range_are_those_of_the_label() {
    let folder = tempfile::tempdir().unwrap();
    let source = "color=c=0x30A0D0:size=64x48:rate=5:duration=0.6";
    let label = |matrix: &str, range: &str, format: &str| {
        let scale = if matrix == "bt2020nc" { "bt2020" } else { matrix };
        format!(
            "-vf scale=out_color_matrix={scale}:out_range={range},format={format} -c:v libx264 -qp 0 -colorspace \
             {matrix} -color_range {range} -pix_fmt {format}"
        )
    };
    for (name, arguments) in [
        ("709.mp4", label("bt709", "tv", "yuv444p")),
        ("601.mp4", label("smpte170m", "tv", "yuv444p")),
        ("2020.mp4", label("bt2020nc", "tv", "yuv444p10le")),
        ("full.mp4", label("bt709", "pc", "yuv444p")),
        ("420.mp4", label("bt709", "tv", "yuv420p")),
    ] {
        let Some(film) = make(folder.path(), name, source, &arguments) else { continue };
        // Halved colour is converted by the fast code that all of FFmpeg's users get.
        near(middle(&film), [0x30, 0xA0, 0xD0], if name == "420.mp4" { 6 } else { 3 }, name);
        assert!(!notes(&film).contains("not labelled"), "{name}");
    }
    // Without a label: BT.601, whatever the size, and it is said.
    for size in ["64x48", "1280x720"] {
        let source = format!("color=c=0x30A0D0:size={size}:rate=5:duration=0.4");
        let arguments = "-vf scale=out_color_matrix=smpte170m,format=yuv420p -c:v libx264 -qp 4";
        let Some(film) = make(folder.path(), "none.mp4", &source, arguments) else { return };
        near(middle(&film), [0x30, 0xA0, 0xD0], 6, size);
        assert!(notes(&film).contains("not labelled"), "{}", notes(&film));
    }
}

#[test]
fn high_dynamic_range_is_brought_down() {
    let folder = tempfile::tempdir().unwrap();
    for (name, transfer, white) in [("pq.mp4", "smpte2084", 148), ("hlg.mp4", "arib-std-b67", 191)] {
        // A ramp of greys, as the signal has them.
        let source =
            "gradients=size=256x64:c0=black:c1=white:x0=0:y0=0:x1=255:y1=0:rate=5:duration=0.4:speed=0.00001";
        let arguments = format!(
            "-vf scale=out_color_matrix=bt2020,format=yuv420p10le -c:v libx264 -qp 2 -colorspace bt2020nc \
             -color_primaries bt2020 -color_trc {transfer}"
        );
        let Some(film) = make(folder.path(), name, source, &arguments) else { continue };
        assert!(notes(&film).contains("tone-mapped"), "{}", notes(&film));
        let frame = frames(&film).remove(0);
        let at = |x: u32| frame.image.get_pixel(x, 32).0;
        for x in 1..256 {
            let [r, g, b] = at(x);
            assert!(r.abs_diff(g) <= 3 && g.abs_diff(b) <= 3, "{name}: grey is {:?} at {x}", at(x));
            assert!(u16::from(g) + 2 >= u16::from(at(x - 1)[1]), "{name}: darker again at {x}");
        }
        assert!(at(0)[1] < 6 && at(255)[1] > 225, "{name}: {:?} to {:?}", at(0), at(255));
        // Reference white, 203 nits, stays bright; half of the signal does not look like half of the range.
        assert!(at(white)[1] > 200, "{name}: {:?}", at(white));
    }
}

#[test]
fn fields_are_taken_apart() {
    let folder = tempfile::tempdir().unwrap();
    let source = "testsrc2=size=320x180:rate=50:duration=1,gblur=sigma=1.2,scroll=h=0.012";
    let x264 = "-c:v libx264 -preset veryfast -crf 8 -pix_fmt yuv420p";
    for (order, flag) in [("top", "tff=1"), ("bottom", "bff=1")] {
        let woven = format!(
            "-vf tinterlace=interleave_{order}:flags=0 {x264} -flags +ilme+ildct -x264-params {flag}"
        );
        let (Some(moments), Some(woven)) = (
            make(folder.path(), "moments.mp4", source, x264),
            make(folder.path(), &format!("{order}.mp4"), source, &woven),
        ) else {
            return;
        };
        assert!(notes(&woven).contains("interlaced"), "{}", notes(&woven));
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(&woven)
            .args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
            .output()
            .unwrap();
        let (meant, got) = (frames(&moments), frames(&woven));
        let stored: Vec<&[u8]> = output.stdout.chunks_exact(320 * 180 * 3).collect();
        assert!(got.len() >= 20, "{}", got.len());
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let quality = |pictures: &mut dyn Iterator<Item = &[u8]>| {
            let each = pictures.zip(meant.iter().step_by(2)).map(|(p, m)| psnr(p, m.image.as_raw()));
            mean(&each.collect::<Vec<_>>())
        };
        let ours = quality(&mut got.iter().map(|f| f.image.as_raw().as_slice()));
        let theirs = quality(&mut stored.into_iter());
        assert!(ours > theirs + 2.0, "{order} field first: {ours:.1} dB, {theirs:.1} dB as stored");
    }
}

#[test]
fn transparency_is_shown_on_black() {
    let folder = tempfile::tempdir().unwrap();
    let source = "color=c=white:size=64x48:rate=5:duration=0.4,format=argb,colorchannelmixer=aa=0.5";
    let Some(film) = make(folder.path(), "alpha.mov", source, "-c:v qtrle -pix_fmt argb") else { return };
    near(middle(&film), [128, 128, 128], 2, "alpha");
    assert!(notes(&film).contains("on black"), "{}", notes(&film));
}

#[test]
fn a_change_of_size_is_kept_and_noted() {
    let folder = tempfile::tempdir().unwrap();
    let x264 = "-c:v libx264 -preset veryfast -pix_fmt yuv420p";
    let (Some(small), Some(large)) = (
        make(folder.path(), "small.ts", "testsrc2=size=160x90:rate=24:duration=1", x264),
        make(
            folder.path(),
            "large.ts",
            "testsrc2=size=320x180:rate=24:duration=1",
            &format!("{x264} -output_ts_offset 1"),
        ),
    ) else {
        return;
    };
    let both = folder.path().join("both.ts");
    fs::write(&both, [fs::read(small).unwrap(), fs::read(large).unwrap()].concat()).unwrap();
    let mut reading = VideoFile::open(&both).unwrap().read(&Sampling::all()).unwrap();
    let sizes: Vec<(u32, u32)> =
        reading.by_ref().filter_map(Result::ok).map(|f| (f.width(), f.height())).collect();
    assert!(sizes.contains(&(160, 90)) && sizes.contains(&(320, 180)), "{sizes:?}");
    assert!(reading.notes().iter().any(|note| note.contains("size changes")), "{:?}", reading.notes());
}

#[test]
fn tracks_are_chosen_and_locked_ones_refused() {
    let folder = tempfile::tempdir().unwrap();
    let x264 = "-c:v libx264 -preset veryfast -pix_fmt yuv420p";
    let source = "color=c=red:size=64x48:rate=5:duration=1";
    let second = "-f lavfi -i color=c=blue:size=64x48:rate=5:duration=1 -map 0 -map 1";
    if let Some(film) = make(folder.path(), "two.mkv", source, &format!("{second} {x264}")) {
        assert!(notes(&film).contains("2 video tracks"), "{}", notes(&film));
        assert!(middle(&film)[0] > 200);
        let other = VideoFile::open(&film).unwrap().track(1);
        let frame = other.read(&Sampling::all()).unwrap().next().unwrap().unwrap();
        assert!(frame.image.get_pixel(32, 24).0[2] > 200);
    }
    let key = "00112233445566778899aabbccddeeff";
    let locked =
        format!("{x264} -encryption_scheme cenc-aes-ctr -encryption_key {key} -encryption_kid {key}");
    if let Some(film) = make(folder.path(), "locked.mp4", source, &locked) {
        let first = VideoFile::open(&film).unwrap().read(&Sampling::all()).map(|mut frames| frames.next());
        let error = first.map_or_else(|e| e, |item| item.unwrap().unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.message().contains("encrypted"), "{error}");
    }
    if let Some(film) = make(folder.path(), "one.mp4", source, &format!("{x264} -frames:v 1")) {
        let got = VideoFile::open(&film).unwrap().read(&Sampling::every_secs(0.1).unwrap()).unwrap();
        let times: Vec<Duration> = got.map(|f| f.unwrap().time).collect();
        assert_eq!(times, [Duration::ZERO]);
    }
}

#[test]
fn streams_without_beginning_or_end_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 12 -bf 2";
    let source = "testsrc2=size=320x180:rate=24:duration=4";
    let Some(film) = make(folder.path(), "live.ts", source, arguments) else { return };
    let bytes = fs::read(&film).unwrap();
    let all = frames(&film).len();
    // Tuned in late, in the middle of a packet.
    let late = folder.path().join("late.ts");
    fs::write(&late, &bytes[bytes.len() * 2 / 5 + 61..]).unwrap();
    let got: Vec<Frame> =
        VideoFile::open(&late).unwrap().read(&Sampling::all()).unwrap().filter_map(Result::ok).collect();
    assert!(got.len() * 3 > all && got[0].time == Duration::ZERO, "{} of {all}", got.len());
    // Still growing: what is there when it is read comes, and nothing is wrong with that.
    let growing = folder.path().join("growing.ts");
    fs::write(&growing, &bytes[..bytes.len() / 188 / 2 * 188]).unwrap();
    let mut reading = VideoFile::open(&growing).unwrap().read(&Sampling::all()).unwrap();
    reading.next().unwrap().unwrap();
    fs::write(&growing, &bytes).unwrap();
    let rest = reading.filter_map(Result::ok).count();
    assert!(rest * 3 > all, "{rest} of {all}");
}

#[test]
fn headers_that_promise_too_much_cost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let film = fs::read(super::clip("h264.mp4")).unwrap();
    let find = |name: &[u8]| film.windows(4).position(|window| window == name).unwrap();
    for (name, offset) in [(b"stsz", 12), (b"stts", 12), (b"stsc", 12), (b"stco", 8), (b"mdhd", 20)] {
        let mut bytes = film.clone();
        let at = find(name) + offset;
        bytes[at..at + 4].copy_from_slice(&1_000_000_000_u32.to_be_bytes());
        let path = folder.path().join("billion.mp4");
        fs::write(&path, &bytes).unwrap();
        let name = String::from_utf8_lossy(name);
        let items = match VideoFile::open(&path).unwrap().read(&Sampling::every_secs(1.0).unwrap()) {
            Ok(frames) => frames.take(1000).collect(),
            Err(error) => vec![Err(error)],
        };
        assert!(items.len() < 1000, "{name}");
        for error in items.into_iter().filter_map(Result::err) {
            assert_ne!(error.kind(), ErrorKind::Internal, "{name}: {error}");
            assert!(!error.message().contains("signal"), "{name}: {error}");
        }
    }
    // A film with a description and no picture.
    let mut bytes = film.clone();
    for name in [b"stsz", b"stts", b"stsc", b"stco", b"stss", b"ctts"] {
        let at = find(name) + if name == b"stsz" { 12 } else { 8 };
        bytes[at..at + 4].fill(0);
    }
    let path = folder.path().join("none.mp4");
    fs::write(&path, &bytes).unwrap();
    let first = VideoFile::open(&path).unwrap().read(&Sampling::all()).map(|mut frames| frames.next());
    let error = first.map_or_else(|e| e, |item| item.unwrap().unwrap_err());
    assert_eq!((error.kind(), error.gap().is_some()), (ErrorKind::Decode, false), "{error}");
}

#[test]
fn approximate_frames_come_before_their_time_and_say_when() {
    for name in ["h264.mp4", "hevc.mp4", "vp9.webm"] {
        let film = super::open(name);
        let keys: Vec<Duration> =
            film.read(&Sampling::keyframes()).unwrap().map(|f| f.unwrap().time).collect();
        let every = super::seconds(0.5);
        let exact = film.read(&every).unwrap().count();
        let mut reading = film.read(&every.approximate()).unwrap();
        let got: Vec<Frame> = reading.by_ref().map(Result::unwrap).collect();
        assert_eq!(got.len(), exact, "{name}");
        for frame in &got {
            let wanted = Duration::from_millis(500) * frame.index as u32;
            let before = keys.iter().rev().find(|key| **key <= wanted).unwrap();
            assert_eq!(frame.time, *before, "{name}");
        }
        let counts = reading.counts().unwrap();
        assert!(counts.decoded <= keys.len() as u64, "{name}: {counts:?}");
    }
}
