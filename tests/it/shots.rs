//! Films are looked at before frames are chosen: cuts, dissolves, fades and flashes are told apart, drawings are told
//! from one another, and the chosen frames are the right ones.

use std::{sync::Arc, time::Duration};

use futures::TryStreamExt;
use picchu::{
    FrameSource, Sampling,
    source::{Analysis, ImageFolder, analyse, sample},
    testing::{Join, Montage, Scene},
    types::{Content, Frame, PixelRect, TransitionKind},
};
use proptest::prelude::*;

async fn look(film: &Montage) -> Analysis {
    analyse(film).await.unwrap()
}

async fn frames(film: &Montage, sampling: &Sampling) -> Vec<Frame> {
    let film: Arc<dyn FrameSource> = Arc::new(film.clone());
    sample(film, sampling).try_collect().await.unwrap()
}

/// Times of a kind of transition, as numbers of pictures.
fn found(analysis: &Analysis, kind: TransitionKind) -> Vec<(u64, u64)> {
    let picture = |time: Duration| (time.as_secs_f64() * 24.0).round() as u64;
    let transitions = analysis.shots.iter().filter_map(|shot| shot.transition);
    transitions.filter(|t| t.kind == kind).map(|t| (picture(t.start), picture(t.end))).collect()
}

fn cuts(analysis: &Analysis) -> Vec<u64> {
    found(analysis, TransitionKind::Cut).into_iter().map(|(at, _)| at).collect()
}

/// Shots follow one another without holes, and so do drawings.
fn assert_whole(analysis: &Analysis, end: Duration) {
    let shots = &analysis.shots;
    assert_eq!(shots.first().map(|shot| shot.start), Some(Duration::ZERO));
    assert_eq!(shots.last().map(|shot| shot.end), Some(end));
    assert!(
        shots.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].number + 1 == pair[1].number)
    );
    assert!(shots.iter().all(|shot| shot.start < shot.end));
    let drawings = &analysis.drawings;
    assert_eq!(drawings.first().map(|drawing| drawing.start), Some(Duration::ZERO));
    assert_eq!(drawings.last().map(|drawing| drawing.end), Some(end));
    assert!(drawings.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].start < pair[0].end));
}

#[tokio::test]
async fn cuts_dissolves_fades_and_flashes_are_told_apart() {
    let film = Montage::new(Scene::new(1), 40)
        .then(Join::Cut, Scene::new(2), 40)
        .then(Join::Dissolve(14), Scene::new(3), 60)
        .then(Join::Cut, Scene::new(4).light(0.3), 40)
        .then(Join::Cut, Scene::new(5).light(0.3).hold(2), 40)
        .then(Join::Fade(24), Scene::new(6), 60)
        .then(Join::Cut, Scene::new(7).grain(12.0), 40)
        .then(Join::Cut, Scene::new(8).pan(30.0), 40)
        .flash(20, 3)
        .flash(235, 4);
    let analysis = look(&film).await;
    assert_whole(&analysis, Montage::time(film.pictures()));
    assert_eq!(cuts(&analysis), [40, 126, 166, 266, 306], "{:?}", analysis.shots);
    let dissolves = found(&analysis, TransitionKind::Dissolve);
    assert!(matches!(dissolves[..], [(65..=68, 79..=82)]), "{dissolves:?}");
    let fades = found(&analysis, TransitionKind::Fade);
    assert!(matches!(fades[..], [(193..=196, 216..=220)]), "{fades:?}");
    let flashes: Vec<u64> =
        analysis.flashes.iter().map(|f| (f.start.as_secs_f64() * 24.0).round() as u64).collect();
    assert_eq!(flashes, [20, 235]);
}

#[tokio::test]
async fn no_motion_and_no_change_of_light_is_a_cut() {
    for scene in [
        Scene::new(1).pan(45.0),
        Scene::new(2).pan(12.0).hold(3),
        Scene::new(3).grain(25.0),
        Scene::new(4).light(0.05).grain(2.0),
    ] {
        let analysis = look(&Montage::new(scene, 120)).await;
        assert_eq!(analysis.shots.len(), 1, "{scene:?}");
    }
    // A slow camera is no dissolve either.
    let slow = look(&Montage::new(Scene::new(9).pan(1.5), 160)).await;
    assert_eq!(slow.shots.len(), 1);
}

#[tokio::test]
async fn each_held_drawing_is_taken_once() {
    let film = Montage::new(Scene::new(1).hold(2), 48)
        .then(Join::Cut, Scene::card([0; 3]), 24)
        .then(Join::Cut, Scene::new(2).hold(3).grain(4.0), 48)
        .then(Join::Cut, Scene::card([30, 60, 200]), 24);
    let drawn = frames(&film, &Sampling::drawings()).await;
    assert_eq!(drawn.len(), 24 + 16);
    let pictures: Vec<u64> = drawn.iter().map(|f| (f.time.as_secs_f64() * 24.0) as u64).collect();
    assert!(pictures.iter().all(|n| (0..48).contains(n) || (72..120).contains(n)), "{pictures:?}");
    let analysis = look(&film).await;
    let contents: Vec<Content> = analysis.drawings.iter().map(|d| d.content).collect();
    assert_eq!(contents.iter().filter(|c| **c == Content::Black).count(), 1);
    assert_eq!(contents.iter().filter(|c| **c == Content::Flat).count(), 1);
}

#[tokio::test]
async fn frames_of_shots_are_spread_and_keep_their_numbers() {
    let film = Montage::new(Scene::new(1), 60)
        .then(Join::Dissolve(12), Scene::new(2), 72)
        .then(Join::Cut, Scene::new(3), 60)
        .flash(150, 4);
    let sampling = Sampling::shots(3).unwrap();
    let all = frames(&film, &sampling).await;
    let analysis = look(&film).await;
    let shots: Vec<u32> = all.iter().map(|f| f.shot.unwrap()).collect();
    assert_eq!(shots, [0, 0, 0, 1, 1, 1, 2, 2, 2], "{:?}", analysis.shots);
    assert_eq!(all.iter().map(|f| f.index).collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());
    assert!(all.iter().all(|frame| analysis.is_clean_at(frame.time)));
    let rest = frames(&film, &sampling.clone().skip(4)).await;
    let of = |frames: &[Frame]| frames.iter().map(|f| (f.index, f.time, f.shot)).collect::<Vec<_>>();
    assert_eq!(of(&rest), of(&all[4..]));
    assert_eq!(of(&frames(&film, &sampling.limit(2)).await), of(&all[..2]));
}

#[tokio::test]
async fn lineage_is_told_of_plain_samples_too() {
    let film = Montage::new(Scene::new(1), 48).then(Join::Cut, Scene::new(2), 48);
    let plain = frames(&film, &Sampling::every_secs(1.0).unwrap()).await;
    let marked = frames(&film, &Sampling::every_secs(1.0).unwrap().lineage()).await;
    assert_eq!(marked.iter().map(|f| f.shot).collect::<Vec<_>>(), [Some(0), Some(0), Some(1), Some(1)]);
    assert!(marked.iter().all(|f| f.drawing.is_some()) && plain.iter().all(|f| f.shot.is_none()));
    let of = |frames: &[Frame]| frames.iter().map(|f| (f.index, f.time)).collect::<Vec<_>>();
    assert_eq!(of(&plain), of(&marked));
}

#[tokio::test]
async fn bars_and_logos_are_found_and_pictures_without_have_none() {
    let mut film = Montage::new(Scene::new(1), 30);
    for seed in 2..9 {
        film = film.then(Join::Cut, Scene::new(seed), 30);
    }
    let bare = look(&film).await;
    assert_eq!((bare.picture, bare.overlays.len()), (None, 0));
    let analysis = look(&film.bars(22).logo()).await;
    let [logo] = analysis.overlays[..] else { panic!("{:?}", analysis.overlays) };
    let around = PixelRect::new(272, 14, 40, 26);
    assert!(logo.x >= around.x && logo.right() <= around.right(), "{logo:?}");
    assert!(logo.y >= around.y && logo.bottom() <= around.bottom(), "{logo:?}");
    assert_eq!(analysis.picture.map(picchu::types::PixelRect::bottom), Some(158));
    let night = Montage::new(Scene::new(1).light(0.04), 40).then(Join::Cut, Scene::new(2).light(0.03), 40);
    assert_eq!(look(&night.bars(22)).await.picture, None, "in the dark nobody can tell");
}

#[tokio::test]
async fn small_black_and_empty_films_have_an_answer() {
    let one = look(&Montage::new(Scene::new(1), 1)).await;
    assert_eq!((one.shots.len(), one.drawings.len()), (1, 1));
    let film = Montage::new(Scene::new(1), 1);
    for sampling in [Sampling::shots(5).unwrap(), Sampling::sharpest(1e6).unwrap(), Sampling::drawings()] {
        assert_eq!(frames(&film, &sampling).await.len(), 1, "{sampling}");
    }
    let black = Montage::new(Scene::card([0; 3]), 50);
    for sampling in [Sampling::shots(5).unwrap(), Sampling::sharpest(1e-6).unwrap(), Sampling::drawings()] {
        assert!(frames(&black, &sampling).await.is_empty(), "{sampling}");
    }
    assert_eq!(frames(&black, &Sampling::all().lineage()).await.len(), 50);
    let empty = analyse(&Montage::new(Scene::new(1), 0)).await.unwrap();
    assert!(empty.shots.is_empty() && empty.drawings.is_empty());
}

#[tokio::test]
async fn a_broken_picture_is_a_gap_of_the_analysis() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..6_u8 {
        let picture = image::RgbImage::from_fn(64, 48, |x, y| {
            image::Rgb([if (n < 3) == (x < 32) { (y * 5) as u8 } else { 200 }; 3])
        });
        picture.save(dir.path().join(format!("p{n}.png"))).unwrap();
    }
    std::fs::write(dir.path().join("p4.png"), "broken").unwrap();
    let film: Arc<dyn FrameSource> = Arc::new(ImageFolder::open(dir.path()).unwrap());
    let analysis = analyse(&*film).await.unwrap();
    assert_eq!((analysis.pictures, analysis.gaps.len()), (5, 1));
    assert_eq!(analysis.shots.len(), 2);
    // The hold of the fourth picture goes on over the broken one: it is asked for where it can be seen.
    let drawn: Vec<Frame> = sample(film, &Sampling::drawings()).try_collect().await.unwrap();
    assert_eq!(drawn.iter().map(|f| f.shot).collect::<Vec<_>>(), [Some(0), Some(1)]);
}

#[tokio::test]
async fn a_source_alone_refuses_what_needs_a_look_at_the_film() {
    let film = Montage::new(Scene::new(1), 5);
    let error = film.frames(&Sampling::drawings()).try_collect::<Vec<_>>().await.unwrap_err();
    assert!(error.message().contains("source::sample"), "{error}");
    assert!(Sampling::shots(0).is_err());
    for window in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
        assert!(Sampling::sharpest(window).is_err(), "{window}");
    }
}

fn scene() -> impl Strategy<Value = Scene> {
    let pan = prop_oneof![Just(0.0_f32), 0.5..12.0_f32];
    (1..500_u64, pan, 1..4_u64, 0.2..1.2_f32)
        .prop_map(|(seed, pan, hold, light)| Scene::new(seed).pan(pan).hold(hold).light(light))
}

fn join() -> impl Strategy<Value = Join> {
    prop_oneof![3 => Just(Join::Cut), 1 => (6..16_u64).prop_map(Join::Dissolve), 1 => (12..20_u64).prop_map(Join::Fade)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn every_sample_lies_in_its_shot_and_in_its_drawing(
        takes in prop::collection::vec((join(), scene(), 24..40_u64), 1..4),
        per_shot in 1..5_u32,
        window in 0.1..3.0_f64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut film = Montage::new(Scene::new(0), 30);
            for (join, scene, pictures) in takes {
                film = film.then(join, scene, pictures);
            }
            let analysis = look(&film).await;
            assert_whole(&analysis, Montage::time(film.pictures()));
            for sampling in [
                Sampling::shots(per_shot).unwrap(),
                Sampling::sharpest(window).unwrap(),
                Sampling::drawings(),
                Sampling::every_secs(window).unwrap().lineage(),
            ] {
                let frames = frames(&film, &sampling).await;
                assert!(frames.windows(2).all(|pair| pair[0].time < pair[1].time && pair[0].index < pair[1].index));
                for frame in &frames {
                    let shot = &analysis.shots[frame.shot.unwrap() as usize];
                    assert!(shot.contains(frame.time), "{sampling}");
                    let drawing = &analysis.drawings[frame.drawing.unwrap() as usize];
                    assert!(drawing.start <= frame.time && frame.time < drawing.end, "{sampling}");
                }
                if let Some(count) = analysis.count(&sampling) {
                    assert_eq!(count, frames.len() as u64, "{sampling}");
                }
            }
        });
    }
}

/// The project's own film says itself where it is cut.
#[cfg(feature = "video")]
#[tokio::test]
async fn the_projects_film_is_cut_where_it_says() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/film");
    let labels: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("shots.json")).unwrap()).unwrap();
    let film = picchu::config::open_film(&folder.join("two_friends.mp4")).unwrap();
    let analysis = analyse(&*film).await.unwrap();
    let near = |a: Duration, b: &serde_json::Value| (a.as_secs_f64() - b.as_f64().unwrap()).abs() < 0.05;
    let of = |kind: TransitionKind| {
        let transitions = analysis.shots.iter().filter_map(|shot| shot.transition);
        transitions.filter(|t| t.kind == kind).collect::<Vec<_>>()
    };
    let cuts = of(TransitionKind::Cut);
    let labelled = labels["cuts"].as_array().unwrap();
    assert_eq!(cuts.len(), labelled.len());
    assert!(cuts.iter().zip(labelled).all(|(cut, label)| near(cut.start, label)), "{cuts:?}");
    let [dissolve] = of(TransitionKind::Dissolve)[..] else { panic!("one dissolve") };
    let label = &labels["dissolves"][0];
    assert!(near(dissolve.start, &label["start"]) && near(dissolve.end, &label["end"]), "{dissolve:?}");
    let [fade] = of(TransitionKind::Fade)[..] else { panic!("one fade") };
    let label = &labels["fades"][0];
    assert!(near(fade.start, &label["out_start"]) && near(fade.end, &label["in_end"]), "{fade:?}");
    let [flash] = analysis.flashes[..] else { panic!("one flash") };
    assert!(near(flash.start, &labels["flashes"][0]["start"]), "{flash:?}");
}
