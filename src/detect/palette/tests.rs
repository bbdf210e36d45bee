use std::time::Duration;

use futures::stream::{self, BoxStream};
use image::{Rgb, Rgba, RgbaImage};

use super::*;
use crate::types::MediaInfo;

/// A film of pictures in memory.
#[derive(Debug)]
struct Stills(Vec<Frame>);

#[async_trait]
impl FrameSource for Stills {
    async fn probe(&self) -> Result<MediaInfo> {
        Ok(MediaInfo {
            name: "stills".into(),
            container: "memory".into(),
            codec: "raw".into(),
            width: 320,
            height: 180,
            duration: None,
            frame_rate: None,
            notes: Vec::new(),
        })
    }

    async fn fingerprint(&self) -> Result<String> {
        Ok("sha256:0".into())
    }

    fn frames(&self, _: &Sampling) -> BoxStream<'static, Result<Frame>> {
        stream::iter(self.0.clone().into_iter().map(Ok)).boxed()
    }
}

type Colours = [[u8; 3]; 4];

/// Hair, face, shirt and trousers.
const ANA: Colours = [[90, 50, 20], [230, 180, 140], [200, 30, 40], [30, 50, 140]];
const BEN: Colours = [[240, 220, 60], [240, 190, 160], [40, 150, 60], [60, 60, 60]];

/// The colour of a figure at a place within its box, both 0..1; `None` beside it.
fn figure(colours: Colours, x: f32, y: f32) -> Option<[u8; 3]> {
    let from_middle = (x - 0.5).abs() * 2.0;
    match y {
        y if y < 0.18 => (from_middle < 0.6).then_some(colours[0]),
        y if y < 0.38 => (from_middle < 0.5).then_some(colours[1]),
        y if y < 0.7 => (from_middle < 1.0).then_some(colours[2]),
        _ => (from_middle > 0.15 && from_middle < 0.8).then_some(colours[3]),
    }
}

/// Four settings: meadow, room, dusk and a checked wall.
fn setting(kind: usize, x: f32, y: f32) -> [u8; 3] {
    match kind % 4 {
        0 if y > 0.6 => [120, 200, 90],
        0 => [150, 210, 235],
        1 if y > 0.75 => [140, 110, 90],
        1 => [220, 210, 190],
        2 => [120 + (y * 60.0) as u8, 90, 150],
        _ if (x * 8.0) as u32 % 2 == (y * 5.0) as u32 % 2 => [170, 170, 175],
        _ => [200, 205, 210],
    }
}

fn picture(kind: usize, figures: &[(Colours, BoundingBox)]) -> RgbImage {
    RgbImage::from_fn(320, 180, |px, py| {
        let (x, y) = ((px as f32 + 0.5) / 320.0, (py as f32 + 0.5) / 180.0);
        let colour = figures.iter().find_map(|(colours, b)| {
            let (u, v) = ((x - b.left) / b.width, (y - b.top) / b.height);
            ((0.0..1.0).contains(&u) && (0.0..1.0).contains(&v)).then(|| figure(*colours, u, v))?
        });
        Rgb(colour.unwrap_or_else(|| setting(kind, x, y)))
    })
}

/// The figure in the middle of a plain picture.
fn reference(name: &str, colours: Colours) -> Reference {
    let image = RgbaImage::from_fn(60, 120, |x, y| {
        let [r, g, b] = figure(colours, x as f32 / 60.0, y as f32 / 120.0).unwrap_or([150, 210, 235]);
        Rgba([r, g, b, 255])
    });
    Reference::new(name, image)
}

fn cast() -> Vec<Reference> {
    vec![reference("Ana", ANA), reference("Ben", BEN)]
}

/// A figure's box: half as wide as high, in pixels.
fn place(left: f32, top: f32, height: f32) -> BoundingBox {
    BoundingBox::new(left, top, height * 0.5 * 180.0 / 320.0, height)
}

type Scene = (usize, Vec<(Colours, &'static str, BoundingBox)>);

fn scenes() -> Vec<Scene> {
    (0..12)
        .map(|i| {
            let shift = i as f32 * 0.02;
            let ana = (ANA, "Ana", place(0.1 + shift, 0.2, 0.55 + shift));
            let ben = (BEN, "Ben", place(0.55 + shift, 0.3 - shift, 0.5));
            let figures = match i % 4 {
                0 | 1 => vec![ana, ben],
                2 => vec![ana],
                _ => vec![],
            };
            (i / 2, figures)
        })
        .collect()
}

fn frames(scenes: &[Scene]) -> Vec<Frame> {
    scenes
        .iter()
        .enumerate()
        .map(|(i, (kind, figures))| {
            let figures: Vec<_> = figures.iter().map(|(c, _, b)| (*c, *b)).collect();
            Frame::new(i as u64, Duration::from_secs(i as u64), picture(*kind, &figures))
        })
        .collect()
}

async fn learned(references: Vec<Reference>, frames: &[Frame]) -> Arc<dyn CharacterDetector> {
    let detector = PaletteDetector::new(references).unwrap();
    detector.learn(&Stills(frames.to_vec())).await.unwrap().unwrap()
}

fn named(found: &[Detection]) -> Vec<&Detection> {
    found.iter().filter(|d| d.character.is_some()).collect()
}

#[tokio::test]
async fn figures_are_found_and_named_and_nobody_is_seen_where_nobody_is() {
    let scenes = scenes();
    let frames = frames(&scenes);
    let detector = learned(cast(), &frames).await;
    let answers = detector.detect(&frames).await.unwrap();
    assert_eq!(answers.len(), frames.len());
    for (i, (found, (_, figures))) in answers.iter().zip(&scenes).enumerate() {
        let found = named(found);
        assert_eq!(found.len(), figures.len(), "frame {i}: {found:?}");
        for (_, name, truth) in figures {
            let own = found.iter().find(|d| d.character.as_deref() == Some(name)).unwrap();
            assert!(own.bounding_box.iou(*truth) > 0.6, "frame {i}: {own:?}, not {truth:?}");
            assert!((0.5..=1.0).contains(&own.confidence));
        }
    }
}

#[tokio::test]
async fn a_film_without_the_cast_gives_no_names() {
    let scenes: Vec<Scene> = scenes().into_iter().map(|(kind, _)| (kind, Vec::new())).collect();
    let mut frames = frames(&scenes);
    // Somebody else, and plain pictures.
    let stranger = [[20, 20, 20], [120, 80, 60], [240, 240, 240], [150, 60, 160]];
    frames[0] = Frame::new(0, Duration::ZERO, picture(0, &[(stranger, place(0.4, 0.2, 0.6))]));
    for (i, value) in [(1, 0), (2, 255)] {
        frames[i] = Frame::new(i as u64, Duration::ZERO, RgbImage::from_pixel(320, 180, Rgb([value; 3])));
    }
    let detector = learned(cast(), &frames).await;
    let answers = detector.detect(&frames).await.unwrap();
    assert!(answers.iter().all(|found| named(found).is_empty()), "{answers:?}");
}

#[tokio::test]
async fn one_frame_is_enough_to_learn_from() {
    let frames = frames(&scenes()[..1]);
    let detector = learned(cast(), &frames).await;
    let answers = detector.detect(&frames).await.unwrap();
    assert_eq!(named(&answers[0]).len(), 2, "{answers:?}");
    let other = self::frames(&scenes()[3..4]);
    assert!(named(&detector.detect(&other).await.unwrap()[0]).is_empty());
}

#[tokio::test]
async fn the_lower_edge_may_cut_a_character() {
    let mut scenes = scenes();
    let close = BoundingBox::new(0.3, 0.1, 0.45, 1.6);
    scenes.push((1, vec![(ANA, "Ana", close)]));
    let frames = frames(&scenes);
    let detector = learned(cast(), &frames).await;
    let found = detector.detect(&frames[12..]).await.unwrap().remove(0);
    let found = named(&found);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].bounding_box.iou(close.clamped().unwrap()) > 0.6, "{found:?}");
}

#[tokio::test]
async fn boxes_reach_to_the_ends_of_arms() {
    let detector = learned(cast(), &frames(&scenes())).await;
    let body = place(0.4, 0.3, 0.55);
    let arms = BoundingBox::new(body.left - 0.4 * body.width, 0.53, 1.8 * body.width, 0.05);
    let mut image = picture(0, &[(ANA, body)]);
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let (x, y) = (x as f32 / 320.0, y as f32 / 180.0);
        if (arms.left..arms.left + arms.width).contains(&x) && (arms.top..arms.top + arms.height).contains(&y)
        {
            *pixel = Rgb(ANA[2]);
        }
    }
    let found = detector.detect(&[Frame::new(0, Duration::ZERO, image)]).await.unwrap().remove(0);
    let whole = BoundingBox::new(arms.left, body.top, arms.width, body.height);
    assert!(named(&found)[0].bounding_box.iou(whole) > 0.85, "{found:?}");
}

#[tokio::test]
async fn equal_frames_give_equal_answers_whatever_the_batch() {
    let frames = frames(&scenes());
    let detector = learned(cast(), &frames).await;
    let all = detector.detect(&frames).await.unwrap();
    for (frame, expected) in frames.iter().zip(&all).rev() {
        assert_eq!(&detector.detect(std::slice::from_ref(frame)).await.unwrap()[0], expected);
    }
    let again = learned(cast(), &frames).await;
    assert_eq!(again.info(), detector.info());
    assert_eq!(again.detect(&frames).await.unwrap(), all);
    assert!(detector.detect(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn boxes_stay_inside_frames_of_any_shape() {
    let frames: Vec<Frame> = [(1, 1), (3, 400), (900, 5), (64, 64), (33, 17)]
        .iter()
        .map(|&(w, h)| {
            let noise = RgbImage::from_fn(w, h, |x, y| Rgb(ANA[((x * 7 + y * 13) % 4) as usize]));
            Frame::new(0, Duration::ZERO, noise)
        })
        .collect();
    let detector = learned(cast(), &frames).await;
    let answers = detector.detect(&frames).await.unwrap();
    assert_eq!(answers.len(), frames.len());
    for d in answers.iter().flatten() {
        assert_eq!(d.bounding_box.clamped(), Some(d.bounding_box), "{d:?}");
        assert!((0.0..=1.0).contains(&d.confidence));
    }
}

#[tokio::test]
async fn twins_are_not_guessed() {
    let scenes = scenes();
    let frames = frames(&scenes);
    let detector = learned(vec![reference("Ana", ANA), reference("Twin", ANA)], &frames).await;
    let found = detector.detect(&frames[2..3]).await.unwrap().remove(0);
    assert!(named(&found).is_empty(), "{found:?}");
    let names: Vec<&str> = found[0].alternatives.iter().map(|a| a.character.as_str()).collect();
    assert_eq!(names, ["Ana", "Twin"]);
}

#[tokio::test]
async fn who_fades_to_black_or_white_is_named_until_hardly_seen() {
    let scenes = scenes();
    let frames = frames(&scenes);
    let detector = learned(cast(), &frames).await;
    let faded = |towards: f32, left: f32| {
        let mut image = (*frames[0].image).clone();
        for v in image.iter_mut() {
            *v = (towards + (f32::from(*v) - towards) * left).round() as u8;
        }
        Frame::new(0, Duration::ZERO, image)
    };
    let whole = detector.detect(&[frames[0].clone()]).await.unwrap().remove(0);
    assert_eq!(named(&whole).len(), 2);
    for towards in [0.0, 255.0] {
        for left in [0.9, 0.5, 0.25] {
            let half = detector.detect(&[faded(towards, left)]).await.unwrap().remove(0);
            for one in &whole {
                let again = half.iter().find(|d| d.character == one.character);
                let overlap = again.map_or(0.0, |d| d.bounding_box.iou(one.bounding_box));
                assert!(overlap > 0.8, "{left} of {towards}: {half:?}, not {whole:?}");
            }
            assert_eq!(half.len(), 2, "{left}");
        }
        let found = detector.detect(&[faded(towards, 0.05)]).await.unwrap().remove(0);
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn a_place_within_anothers_is_unsure_and_the_same_place_is_one() {
    let claim = |who, left, right, evidence| Claim {
        who,
        window: Window { left, top: 0, right, bottom: 40 },
        likeness: 0.5,
        evidence,
        confidence: 0.9,
        rival: None,
    };
    let apart = settle(vec![claim(0, 0, 20, 1.2), claim(1, 15, 35, 1.0)], 1);
    assert!(apart.len() == 2 && apart.iter().all(|c| c.rival.is_none()), "{apart:?}");
    let half = settle(vec![claim(0, 0, 20, 1.2), claim(1, 10, 30, 1.0)], 1);
    assert_eq!((half[0].rival, half[1].rival), (None, Some((0, 0.9))));
    let same = settle(vec![claim(0, 0, 20, 1.2), claim(1, 2, 22, 1.0)], 1);
    assert_eq!(same.len(), 1);
}

#[tokio::test]
async fn detecting_before_learning_is_refused() {
    let detector = PaletteDetector::new(cast()).unwrap();
    let error = detector.detect(&frames(&scenes()[..1])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("learn"));
    let error = detector.learn(&Stills(Vec::new())).await.unwrap_err();
    assert!(error.message().contains("no picture"), "{error}");
}

#[test]
fn bad_references_are_refused_by_name() {
    let refusal = |references| PaletteDetector::new(references).unwrap_err().to_string();
    assert!(refusal(vec![]).contains("at least one character"));
    let tiny = Reference::new("Ben", RgbaImage::from_pixel(15, 40, Rgba([9, 9, 9, 255])));
    let message = refusal(vec![reference("Ana", ANA), reference("Ben", BEN), tiny]);
    assert!(message.contains("picture 2 of \"Ben\"") && message.contains("15×40"), "{message}");
    let clear = Reference::new("Ana", RgbaImage::new(40, 40));
    assert!(refusal(vec![clear]).contains("fully transparent"));
    let mut sliver = RgbaImage::new(40, 40);
    sliver.put_pixel(3, 3, Rgba([1, 2, 3, 255]));
    assert!(refusal(vec![Reference::new("Ana", sliver)]).contains("inside its mask"));
    assert!(refusal(vec![reference(" ", ANA)]).contains("name"));
}

#[test]
fn settings_and_pixels_tell_detectors_apart() {
    let plain = PaletteDetector::new(cast()).unwrap();
    let with = |options| plain.clone().options(options).unwrap().info();
    assert_eq!(plain.info(), PaletteDetector::new(cast()).unwrap().info());
    assert_ne!(plain.info(), with(PaletteOptions { max_per_frame: 2, ..PaletteOptions::default() }));
    assert_ne!(plain.info(), with(PaletteOptions { seed: 2, ..PaletteOptions::default() }));
    let mut other = cast();
    other[1].image.put_pixel(0, 0, Rgba([1, 2, 3, 255]));
    assert_ne!(plain.info(), PaletteDetector::new(other).unwrap().info());
    assert!((2..=16).contains(&plain.info().max_batch));
}

#[tokio::test]
async fn what_is_not_the_character_is_not_named_for_her() {
    // A stranger with Ana's shirt and hair passes; the picture of a mistake keeps her from being named.
    let stranger = [[90, 50, 20], [90, 60, 50], [200, 30, 40], [240, 240, 240]];
    let mut scenes = scenes();
    for (i, scene) in scenes.iter_mut().enumerate().filter(|(i, _)| i % 4 == 3) {
        scene.1.push((stranger, "Stranger", place(0.3 + i as f32 * 0.01, 0.25, 0.6)));
    }
    let frames = frames(&scenes);
    let mut references = cast();
    references.push(Reference { negative: true, ..reference("Ana", stranger) });
    let detector = learned(references, &frames).await;
    for (found, (_, figures)) in detector.detect(&frames).await.unwrap().iter().zip(&scenes) {
        let anas = named(found).iter().filter(|d| d.character.as_deref() == Some("Ana")).count();
        let expected = figures.iter().filter(|(_, name, _)| *name == "Ana").count();
        assert_eq!(anas, expected, "{found:?}");
    }
    let alone = vec![Reference { negative: true, ..reference("Ana", ANA) }];
    assert!(PaletteDetector::new(alone).unwrap_err().to_string().contains("negative pictures alone"));
}
