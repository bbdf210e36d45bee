//! What captions say, over many requests.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use image::{Rgb, RgbImage};
use proptest::prelude::*;

use super::*;
use crate::{
    caption::{LintRules, Linter, check},
    types::{BoundingBox, Crop, LintRule, PixelRect, Subject},
};

fn request(record: &str, subjects: &[(&str, BoundingBox)]) -> CaptionRequest {
    let image = RgbImage::from_fn(120, 120, |x, y| {
        Rgb(if (30..90).contains(&x) && y > 20 { [180, 60, 50] } else { [150, 205, 240] })
    });
    CaptionRequest {
        record: record.to_owned(),
        crop: Crop { rect: PixelRect::new(0, 0, 120, 120), scale: 1.0, image: Arc::new(image) },
        subjects: subjects
            .iter()
            .map(|(name, bounding_box)| Subject {
                character: (*name).to_owned(),
                bounding_box: *bounding_box,
            })
            .collect(),
        attempt: 0,
        refusal: None,
    }
}

const LEFT: BoundingBox = BoundingBox::new(0.05, 0.2, 0.3, 0.7);
const MIDDLE: BoundingBox = BoundingBox::new(0.3, 0.2, 0.4, 0.6);
const RIGHT: BoundingBox = BoundingBox::new(0.65, 0.25, 0.25, 0.6);

fn ids(count: u32) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("film-{:08}-0", n * 1000))
}

#[test]
fn facts_are_said_as_measured() {
    for id in ids(200) {
        let text = MeasuredCaptioner::describe(&request(&id, &[("Penny", LEFT)]));
        assert!(text.contains("left") && !text.contains("right"), "{text}");
        assert!(text.contains("light blue"), "{text}");
        let text = MeasuredCaptioner::describe(&request(&id, &[("Penny", RIGHT), ("Chip", LEFT)]));
        let wrong = ["Penny to the left", "Penny on the left", "Chip on the right", "Chip to the right"];
        assert!(wrong.iter().all(|w| !text.contains(w)), "{text}");
        assert!(text.contains("left") || text.contains("right"), "{text}");
    }
}

#[test]
fn captions_have_the_usual_length_and_pass_the_gate() {
    let mut used = HashSet::new();
    let cast = ["Penny", "Chip", "Bo"];
    for id in ids(200) {
        for subjects in [
            vec![("Penny", MIDDLE)],
            vec![("Penny", LEFT), ("Chip", RIGHT)],
            vec![("Penny", MIDDLE), ("Chip", LEFT), ("Bo", RIGHT)],
        ] {
            let text = MeasuredCaptioner::describe(&request(&id, &subjects));
            let words = text.split_whitespace().count();
            assert!((14..=30).contains(&words), "{words}: {text}");
            let names: Vec<_> = subjects.iter().map(|(name, _)| *name).collect();
            // Equal facts may be worded alike now and then; that is what attempts are for.
            check(&text, &names, &cast).unwrap();
            assert!(names.iter().all(|name| text.contains(name)), "{text}");
            assert!(!text.contains(", ,") && !text.contains("  "), "{text}");
            used.insert(text);
        }
    }
    assert!(used.len() > 575, "{}", used.len());
}

#[test]
fn equal_requests_give_equal_words_and_attempts_differ() {
    for id in ids(50) {
        for subjects in [vec![], vec![("Penny", MIDDLE)], vec![("Penny", LEFT), ("Chip", RIGHT)]] {
            let mut request = request(&id, &subjects);
            let first = MeasuredCaptioner::describe(&request);
            assert_eq!(first, MeasuredCaptioner::describe(&request));
            let mut seen = HashSet::from([first]);
            for attempt in 1..4 {
                request.attempt = attempt;
                assert!(seen.insert(MeasuredCaptioner::describe(&request)), "{id} {attempt}");
            }
        }
    }
}

#[test]
fn openers_are_spread() {
    let opener = |id: &String| {
        let text = MeasuredCaptioner::describe(&request(id, &[("Penny", MIDDLE)]));
        text.split_whitespace().take(4).collect::<Vec<_>>().join(" ")
    };
    let openers: Vec<_> = ids(400).map(|id| opener(&id)).collect();
    let mut counts = HashMap::new();
    for opener in &openers {
        *counts.entry(opener).or_insert(0u32) += 1;
    }
    assert!(counts.len() > 70, "{}", counts.len());
    assert!(counts.values().all(|n| *n < 24), "{counts:?}");
    // Repeats within 8 neighbours are about as rare as anywhere.
    let rate = |gaps: std::ops::Range<usize>| {
        let pairs = gaps.clone().map(|gap| openers.len() - gap).sum::<usize>();
        let same = gaps.map(|gap| (gap..openers.len()).filter(|i| openers[*i] == openers[i - gap]).count());
        same.sum::<usize>() as f64 / pairs as f64
    };
    assert!(rate(1..9) < 1.5 * rate(1..400) + 0.005, "{} {}", rate(1..9), rate(1..400));
}

#[test]
fn no_subject_is_a_background() {
    for id in ids(40) {
        let text = MeasuredCaptioner::describe(&request(&id, &[]));
        check(&text, &[] as &[&str], &["Penny"]).unwrap();
        assert!(text.contains("light blue"), "{text}");
    }
}

#[test]
fn a_box_that_fills_the_picture_has_no_background() {
    for id in ids(40) {
        let text = MeasuredCaptioner::describe(&request(&id, &[("Penny", BoundingBox::FULL)]));
        assert!(!text.contains("background") && !text.contains("behind"), "{text}");
    }
}

#[tokio::test]
async fn the_trait_answers_the_same() {
    let request = request("r", &[("Penny", MIDDLE)]);
    let caption = MeasuredCaptioner::new().caption(&request).await.unwrap();
    assert_eq!(caption.text, MeasuredCaptioner::describe(&request));
    assert_eq!(caption.model, "measured-v4");
    assert!(caption.usage.is_free());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Asked again as the pipeline asks, no caption begins like one of the eight before it.
    #[test]
    fn neighbours_do_not_begin_alike(
        film in "[a-z]{3,8}",
        boxes in proptest::collection::vec((0.0f32..0.4, 0.0f32..0.4, 0.3f32..0.6, 0.3f32..0.6), 40),
        both in proptest::collection::vec(any::<bool>(), 40),
    ) {
        let mut linter = Linter::new(LintRules::default(), boxes.len());
        let mut openers: Vec<String> = Vec::new();
        for (number, (b, both)) in boxes.iter().zip(both).enumerate() {
            let mut subjects = vec![("Penny", BoundingBox::new(b.0, b.1, b.2, b.3)), ("Chip", RIGHT)];
            subjects.truncate(if both { 2 } else { 1 });
            let names: Vec<_> = subjects.iter().map(|(name, _)| *name).collect();
            let mut request = request(&format!("{film}-{number:05}.000000-0"), &subjects);
            let opener = |text: &str| {
                let text = text.replace("Penny", "N").replace("Chip", "N").replace(',', "").to_lowercase();
                text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
            };
            let text = (0..24).find_map(|attempt| {
                request.attempt = attempt;
                let text = MeasuredCaptioner::describe(&request);
                let refused = [LintRule::WornOpener, LintRule::Equal];
                let faults = linter.check(&text, &names);
                (!faults.iter().any(|f| refused.contains(&f.rule))).then_some(text)
            });
            let text = text.expect("24 attempts are enough");
            linter.accept(&text, &names);
            let opener = opener(&text);
            prop_assert!(!openers.iter().rev().take(8).any(|o| *o == opener), "{}", text);
            openers.push(opener);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_names_and_boxes_give_a_caption_within_limits(
        names in proptest::collection::vec("\\PC{0,40}|[\"'\\\\\n\r\t{}<>]{1,10}|(Ä🦊x){300,600}", 0..12),
        boxes in proptest::collection::vec((-0.5f32..1.2, -0.5f32..1.2, 0.0f32..1.5, 0.0f32..1.5), 12),
        record in "\\PC{0,20}",
        attempt in 0u32..100,
    ) {
        let subjects: Vec<_> = names.iter().zip(&boxes)
            .map(|(name, b)| (name.as_str(), BoundingBox::new(b.0, b.1, b.2, b.3)))
            .collect();
        let mut request = request(&record, &subjects);
        request.attempt = attempt;
        let text = MeasuredCaptioner::describe(&request);
        let characters = text.chars().count();
        prop_assert!((3..=1024).contains(&characters), "{} {}", characters, text);
        prop_assert!(!text.chars().any(char::is_control));
    }
}
