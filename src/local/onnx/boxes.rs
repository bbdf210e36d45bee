//! From a detector's output to boxes: decoding and suppression, safe for whatever a model answers.

use crate::error::{Error, ErrorKind, Result};

/// Most boxes that are compared with each other; of more, the best stay.
const MAX_COMPARED: usize = 4096;
/// Scores end at 1; this much is rounding.
const MAX_SCORE: f32 = 1.001;

/// A box that a model found, in the input's pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    /// Left, top, right, bottom.
    pub(super) corners: [f32; 4],
    /// 0..1.
    pub(super) score: f32,
    pub(super) class: usize,
}

impl Found {
    /// A box with an area and only finite numbers.
    fn checked(corners: [f32; 4], score: f32, class: usize) -> Option<Self> {
        let sides = [corners[2] - corners[0], corners[3] - corners[1]];
        let finite = corners.iter().chain(&sides).chain([&score]).all(|v| v.is_finite());
        (finite && sides.iter().all(|v| *v > 0.0)).then_some(Self { corners, score: score.min(1.0), class })
    }

    fn area(&self) -> f64 {
        let [left, top, right, bottom] = self.corners.map(f64::from);
        (right - left) * (bottom - top)
    }

    fn iou(&self, other: &Self) -> f64 {
        let (a, b) = (self.corners.map(f64::from), other.corners.map(f64::from));
        let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
        let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
        let shared = width * height;
        shared / (self.area() + other.area() - shared)
    }
}

/// Reads (4 + classes) rows of `boxes` columns: centre x, centre y, width, height, then a score a class. Each box has
/// the class of its best score. Boxes without an area, with numbers that are not finite or with a score below
/// `min_confidence` are left out.
///
/// # Errors
/// [`Config`](ErrorKind::Config) for scores beyond 1: the export lacks its last step.
pub(super) fn decode_raw(
    values: &[f32],
    classes: usize,
    boxes: usize,
    min_confidence: f32,
) -> Result<Vec<Found>> {
    let mut best = vec![(f32::NEG_INFINITY, 0usize); boxes];
    if boxes == 0 {
        return Ok(Vec::new());
    }
    for (class, row) in values[4 * boxes..].chunks_exact(boxes).take(classes).enumerate() {
        for (best, &score) in best.iter_mut().zip(row) {
            if score > best.0 {
                *best = (score, class);
            }
        }
    }
    let mut found = Vec::new();
    for (number, (score, class)) in best.into_iter().enumerate() {
        check_score(score)?;
        if score >= min_confidence {
            let [x, y, w, h]: [f32; 4] = std::array::from_fn(|row| values[row * boxes + number]);
            let corners = [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0];
            found.extend(Found::checked(corners, score, class));
        }
    }
    Ok(found)
}

/// Reads rows of six: left, top, right, bottom, score, class. Rows without an area, with numbers that are not finite,
/// with an unknown class or with a score below `min_confidence` are left out; models fill up with such rows.
///
/// # Errors
/// [`Config`](ErrorKind::Config) for scores beyond 1.
pub(super) fn decode_end2end(values: &[f32], classes: usize, min_confidence: f32) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for row in values.chunks_exact(6) {
        let (score, class) = (row[4], row[5]);
        check_score(score)?;
        if score >= min_confidence && class >= 0.0 && class < classes as f32 {
            found.extend(Found::checked([row[0], row[1], row[2], row[3]], score, class as usize));
        }
    }
    Ok(found)
}

fn check_score(score: f32) -> Result<()> {
    if score.is_finite() && score > MAX_SCORE {
        return Err(Error::new(
            ErrorKind::Config,
            format!(
                "the model gave the score {score}; scores must lie in 0..1. Does the export end with its sigmoid, \
                 and does \"kind\" fit the model?"
            ),
        ));
    }
    Ok(())
}

/// Best first, at most `most`; equal scores keep the model's order.
pub(super) fn best_first(mut found: Vec<Found>, most: usize) -> Vec<Found> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(most);
    found
}

/// Of boxes of one class that overlap by more than `max_iou`, only the best stays. Best first, at most `most`.
pub(super) fn suppress(found: Vec<Found>, max_iou: f32, most: usize) -> Vec<Found> {
    let mut kept: Vec<Found> = Vec::new();
    for candidate in best_first(found, MAX_COMPARED) {
        if kept.len() == most {
            break;
        }
        let covered =
            |better: &Found| better.class == candidate.class && better.iou(&candidate) > f64::from(max_iou);
        if !kept.iter().any(covered) {
            kept.push(candidate);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers as a broken model may answer them.
    fn number() -> impl Strategy<Value = f32> {
        prop_oneof![
            8 => -50.0f32..700.0,
            1 => prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY)],
            1 => prop_oneof![Just(0.0f32), Just(-0.0), Just(f32::MAX), Just(f32::MIN), Just(1e-40)],
        ]
    }

    fn score() -> impl Strategy<Value = f32> {
        prop_oneof![9 => 0.0f32..1.0, 1 => prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(-1.0f32)]]
    }

    fn found() -> impl Strategy<Value = Found> {
        (0.0f32..100.0, 0.0f32..100.0, 1.0f32..60.0, 1.0f32..60.0, 0u8..20, 0usize..3).prop_map(
            |(x, y, w, h, score, class)| Found {
                corners: [x, y, x + w, y + h],
                score: f32::from(score) / 20.0,
                class,
            },
        )
    }

    /// The definition: walk down the scores; a box goes if an earlier one that stayed covers it.
    fn oracle(found: &[Found], max_iou: f32) -> Vec<Found> {
        let mut order: Vec<usize> = (0..found.len()).collect();
        order.sort_by(|&a, &b| found[b].score.partial_cmp(&found[a].score).unwrap().then(a.cmp(&b)));
        let mut gone = vec![false; found.len()];
        let mut kept = Vec::new();
        for (place, &i) in order.iter().enumerate() {
            if gone[i] {
                continue;
            }
            kept.push(found[i]);
            for &j in &order[place + 1..] {
                let (a, b) = (found[i].corners.map(f64::from), found[j].corners.map(f64::from));
                let overlap = |k: usize| (a[k + 2].min(b[k + 2]) - a[k].max(b[k])).max(0.0);
                let area = |c: [f64; 4]| (c[2] - c[0]) * (c[3] - c[1]);
                let shared = overlap(0) * overlap(1);
                let iou = shared / (area(a) + area(b) - shared);
                gone[j] |= found[i].class == found[j].class && iou > f64::from(max_iou);
            }
        }
        kept
    }

    #[test]
    fn a_box_has_the_class_of_its_best_score() {
        // Two boxes of three classes: columns are boxes.
        let values = [
            10.0, 50.0, // centre x
            20.0, 60.0, // centre y
            4.0, 8.0, // width
            6.0, 2.0, // height
            0.1, 0.3, // class 0
            0.9, 0.2, // class 1
            0.3, 0.1, // class 2
        ];
        let found = decode_raw(&values, 3, 2, 0.25).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], Found { corners: [8.0, 17.0, 12.0, 23.0], score: 0.9, class: 1 });
        assert_eq!(found[1], Found { corners: [46.0, 59.0, 54.0, 61.0], score: 0.3, class: 0 });
        assert_eq!(decode_raw(&values, 3, 2, 0.5).unwrap().len(), 1);
    }

    #[test]
    fn rows_that_fill_up_are_left_out() {
        let values = [
            [1.0, 2.0, 30.0, 40.0, 0.8, 1.0],
            [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            [5.0, 5.0, 5.0, 9.0, 0.9, 0.0],
            [5.0, 5.0, 8.0, 9.0, 0.9, 7.0],
            [5.0, 5.0, 8.0, 9.0, 0.9, -1.0],
            [f32::NAN, 5.0, 8.0, 9.0, 0.9, 0.0],
            [5.0, 5.0, 8.0, 9.0, f32::NAN, 0.0],
        ];
        let found = decode_end2end(&values.concat(), 2, 0.25).unwrap();
        assert_eq!(found, [Found { corners: [1.0, 2.0, 30.0, 40.0], score: 0.8, class: 1 }]);
        assert!(decode_end2end(&[], 2, 0.25).unwrap().is_empty());
        assert!(decode_raw(&[], 2, 0, 0.25).unwrap().is_empty());
    }

    #[test]
    fn scores_beyond_one_name_the_missing_sigmoid() {
        let error = decode_raw(&[1.0, 1.0, 1.0, 1.0, 7.5], 1, 1, 0.25).unwrap_err();
        assert!(error.message().contains("sigmoid"), "{error}");
        assert!(decode_end2end(&[0.0, 0.0, 1.0, 1.0, 3.0, 0.0], 1, 0.25).is_err());
    }

    #[test]
    fn many_equal_boxes_end_quickly_and_within_the_limit() {
        let one = Found { corners: [0.0, 0.0, 10.0, 10.0], score: 0.5, class: 0 };
        assert_eq!(suppress(vec![one; 100_000], 0.7, 300).len(), 1);
        let apart = |n: u16| {
            let at = f32::from(n) * 20.0;
            Found { corners: [at, 0.0, at + 10.0, 10.0], score: 0.5, class: 0 }
        };
        assert_eq!(suppress((0..1000).map(apart).collect(), 0.7, 300).len(), 300);
    }

    proptest! {
        #[test]
        fn suppression_is_its_definition(all in proptest::collection::vec(found(), 0..60), max_iou in 0.0f32..1.0) {
            prop_assert_eq!(suppress(all.clone(), max_iou, usize::MAX), oracle(&all, max_iou));
        }

        #[test]
        fn any_answer_gives_sound_boxes(
            coordinates in proptest::collection::vec(number(), 4 * 12),
            scores in proptest::collection::vec(score(), 3 * 12),
            rows in proptest::collection::vec((proptest::collection::vec(number(), 4), score(), number()), 0..12),
        ) {
            let raw = decode_raw(&[coordinates, scores].concat(), 3, 12, 0.25).unwrap();
            let rows: Vec<f32> = rows.into_iter().flat_map(|(c, s, k)| [c, vec![s, k]].concat()).collect();
            let end = decode_end2end(&rows, 3, 0.25).unwrap();
            for found in suppress(raw, 0.7, 300).iter().chain(&best_first(end, 300)) {
                prop_assert!(found.corners.iter().all(|v| v.is_finite()) && found.class < 3);
                prop_assert!(found.corners[2] > found.corners[0] && found.corners[3] > found.corners[1]);
                prop_assert!((0.25..=1.0).contains(&found.score));
            }
        }
    }
}
