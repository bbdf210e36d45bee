//! What the frames around a frame say about its boxes.
//!
//! In one scene a character stays near its place from one sampled frame to the next. So a box that a detector is
//! unsure of may be named by sure boxes before and after it (a back view between two front views), a name that
//! nothing around confirms is doubtful, and the edges of boxes that agree are steadied. Only frames of the same
//! scene are heard, and only about boxes that lie where theirs lie and whose colours the detector itself took for
//! the same character: nothing is named across a cut, and nothing because of its place alone.
//!
//! [`settle`] is a pure function of a frame and its [`REACH`] neighbours on either side. What becomes of a frame
//! therefore depends neither on batches nor on threads, nor on where a stopped run goes on.

use serde::{Deserialize, Serialize};

use super::scene::View;
use crate::types::{Alternative, BoundingBox, Detection};

/// Version of the settling of boxes by neighbouring frames. Any change that changes boxes changes this.
pub const SETTLE_VERSION: u32 = 2;

/// How many sampled frames before and after a frame are heard.
pub(crate) const REACH: usize = 2;

/// What is written into a box's lineage where its neighbours named it, doubted it or moved its edges.
const NAMED: &str = "track";
const DOUBTED: &str = "track-doubt";

/// Confidence from which a box names its neighbours.
const SURE: f32 = 0.6;

/// Confidence up to which a name that nothing around confirms is doubted.
const DOUBTFUL: f32 = 0.8;

/// Overlap from which two boxes are taken for one that stands still, so that its edges are steadied.
const STILL: f32 = 0.6;

/// A frame with what a detector found in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// What the frame looks like.
    pub(crate) view: View,
    /// What the detector found.
    pub(crate) found: Vec<Detection>,
}

/// The detections of frame `at` of a run of sampled frames, after its neighbours were heard. The answer has the same
/// boxes in the same order.
pub(crate) fn settle(frames: &[&Seen], at: usize) -> Vec<Detection> {
    let own = &frames[at].found;
    let near = scene_around(frames, at);
    let mut settled = own.clone();
    for (detection, raw) in settled.iter_mut().zip(own) {
        match &raw.character {
            None => name(detection, raw, own, frames, &near),
            Some(character) => {
                let support = near.iter().filter_map(|&n| linked(raw, character, &frames[n].found));
                let support: Vec<&Detection> = support.collect();
                if support.is_empty() && near.len() >= REACH && raw.confidence < DOUBTFUL {
                    detection.alternatives =
                        vec![Alternative { character: character.clone(), confidence: raw.confidence }];
                    detection.character = None;
                    detection.decided_by = format!("{} {DOUBTED}", raw.decided_by);
                } else {
                    detection.bounding_box = steadied(raw.bounding_box, &support);
                }
            }
        }
    }
    settled
}

/// The neighbours that show the scene of frame `at`, nearest first.
fn scene_around(frames: &[&Seen], at: usize) -> Vec<usize> {
    let goes_on = |earlier: usize| frames[earlier].view.goes_on(&frames[earlier + 1].view);
    let before = (1..=REACH.min(at)).take_while(|d| goes_on(at - d)).map(|d| (d, at - d));
    let after =
        (1..=REACH.min(frames.len() - 1 - at)).take_while(|d| goes_on(at + d - 1)).map(|d| (d, at + d));
    let mut near: Vec<(usize, usize)> = before.chain(after).collect();
    near.sort_unstable();
    near.into_iter().map(|(_, n)| n).collect()
}

/// Names an unsure box after the sure boxes around it, if they are of one mind and the name is free in the frame.
fn name(detection: &mut Detection, raw: &Detection, own: &[Detection], frames: &[&Seen], near: &[usize]) {
    let mut votes: Vec<(&str, f32)> = Vec::new();
    for alternative in &raw.alternatives {
        let who = alternative.character.as_str();
        let sure = near.iter().filter_map(|&n| linked(raw, who, &frames[n].found));
        let best = sure.filter(|d| d.confidence >= SURE).map(|d| d.confidence).fold(0.0, f32::max);
        if best > 0.0 {
            votes.push((who, best));
        }
    }
    if let [(who, confidence)] = votes[..] {
        let taken = own.iter().any(|d| d.character.as_deref() == Some(who));
        if !taken {
            detection.character = Some(who.to_owned());
            detection.confidence = confidence.min(0.5 + raw.confidence / 2.0);
            detection.alternatives.retain(|a| a.character != who);
            detection.decided_by = format!("{} {NAMED}", raw.decided_by);
        }
    }
}

/// The box named `who` in another frame that goes on with a box of this one.
fn linked<'a>(raw: &Detection, who: &str, found: &'a [Detection]) -> Option<&'a Detection> {
    let near =
        |d: &&Detection| d.character.as_deref() == Some(who) && goes_on(raw.bounding_box, d.bounding_box);
    let closer = |a: &&Detection, b: &&Detection| {
        a.bounding_box.iou(raw.bounding_box).total_cmp(&b.bounding_box.iou(raw.bounding_box))
    };
    found.iter().filter(near).max_by(closer)
}

/// Whether two boxes of neighbouring frames can be one character: they overlap, or lie less than their size apart
/// and are about equally large.
fn goes_on(a: BoundingBox, b: BoundingBox) -> bool {
    let centre = |v: BoundingBox| (v.left + v.width / 2.0, v.top + v.height / 2.0);
    let ((ax, ay), (bx, by)) = (centre(a), centre(b));
    let (wide, tall) = (a.width.max(b.width), a.height.max(b.height));
    let apart = ((ax - bx) / wide.max(1e-6)).abs().max(((ay - by) / tall.max(1e-6)).abs());
    let ratio = (a.area() / b.area().max(1e-9)).max(b.area() / a.area().max(1e-9));
    a.iou(b) >= 0.3 || (apart < 0.8 && ratio < 2.0)
}

/// A box with its edges drawn halfway to the mean of the boxes that stand still with it, where at least two do.
fn steadied(own: BoundingBox, support: &[&Detection]) -> BoundingBox {
    let still: Vec<BoundingBox> =
        support.iter().map(|d| d.bounding_box).filter(|b| b.iou(own) >= STILL).collect();
    if still.len() < 2 {
        return own;
    }
    let mean = |edge: fn(&BoundingBox) -> f32| still.iter().map(edge).sum::<f32>() / still.len() as f32;
    let half = |own: f32, mean: f32| f32::midpoint(own, mean);
    let left = half(own.left, mean(|b| b.left));
    let top = half(own.top, mean(|b| b.top));
    let right = half(own.right(), mean(|b| b.right()));
    let bottom = half(own.bottom(), mean(|b| b.bottom()));
    BoundingBox::new(left, top, right - left, bottom - top).clamped().unwrap_or(own)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use image::{Rgb, RgbImage};
    use proptest::prelude::*;

    use super::*;
    use crate::types::Frame;

    fn view(shot: u32) -> View {
        let image = RgbImage::from_pixel(8, 8, Rgb([1, 2, 3]));
        View::of(&Frame { shot: Some(shot), ..Frame::new(0, Duration::ZERO, image) })
    }

    fn detection(name: Option<&str>, maybe: &[&str], left: f32, confidence: f32) -> Detection {
        Detection {
            bounding_box: BoundingBox::new(left, 0.2, 0.2, 0.6),
            character: name.map(Into::into),
            confidence,
            label: None,
            alternatives: maybe.iter().map(|n| Alternative { character: (*n).into(), confidence }).collect(),
            decided_by: "test".into(),
        }
    }

    fn seen(shot: u32, found: Vec<Detection>) -> Seen {
        Seen { view: view(shot), found }
    }

    fn settled(frames: &[Seen], at: usize) -> Vec<Detection> {
        settle(&frames.iter().collect::<Vec<_>>(), at)
    }

    #[test]
    fn a_back_view_between_front_views_gets_their_name_and_says_so() {
        let front = |left| detection(Some("Ana"), &[], left, 0.9);
        let frames = [
            seen(1, vec![front(0.30)]),
            seen(1, vec![detection(None, &["Ana"], 0.34, 0.4), detection(None, &["Ben"], 0.7, 0.4)]),
            seen(1, vec![front(0.38)]),
        ];
        let answer = settled(&frames, 1);
        assert_eq!(answer[0].character.as_deref(), Some("Ana"));
        assert!(answer[0].decided_by.contains("track") && answer[0].confidence < 0.9);
        assert_eq!(answer[1], frames[1].found[1], "nobody vouches for Ben");
    }

    #[test]
    fn nothing_is_named_across_a_cut_or_without_likeness() {
        let front = detection(Some("Ana"), &[], 0.3, 0.9);
        let unsure = detection(None, &["Ana"], 0.3, 0.4);
        let cut = [seen(1, vec![front.clone()]), seen(2, vec![unsure])];
        assert_eq!(settled(&cut, 1), cut[1].found);
        let other = [seen(1, vec![front]), seen(1, vec![detection(None, &["Ben"], 0.3, 0.4)])];
        assert_eq!(settled(&other, 1), other[1].found);
    }

    #[test]
    fn a_box_between_two_sure_characters_stays_unsure() {
        let sure = |name, left| detection(Some(name), &[], left, 0.9);
        let doubtful = detection(None, &["Ana", "Ben"], 0.34, 0.55);
        let frames = [
            seen(1, vec![sure("Ana", 0.30), sure("Ben", 0.40)]),
            seen(1, vec![doubtful]),
            seen(1, vec![sure("Ana", 0.32), sure("Ben", 0.42)]),
        ];
        assert_eq!(settled(&frames, 1), frames[1].found);
    }

    #[test]
    fn a_lone_weak_name_becomes_unsure_and_a_strong_one_stays() {
        let nobody = || seen(1, vec![]);
        for (confidence, stays) in [(0.6, false), (0.95, true)] {
            let hit = seen(1, vec![detection(Some("Ana"), &[], 0.3, confidence)]);
            let answer = settled(&[nobody(), hit, nobody()], 1).remove(0);
            assert_eq!(answer.character.is_some(), stays);
            assert!(stays || answer.alternatives[0].character == "Ana");
        }
        let alone = [seen(1, vec![detection(Some("Ana"), &[], 0.3, 0.6)])];
        assert_eq!(settled(&alone, 0), alone[0].found, "no neighbours, no doubt");
    }

    #[test]
    fn edges_are_steadied_where_boxes_stand_still() {
        let at = |left| seen(1, vec![detection(Some("Ana"), &[], left, 0.9)]);
        let frames = [at(0.30), at(0.34), at(0.30)];
        let moved = settled(&frames, 1)[0].bounding_box;
        assert!((moved.left - 0.32).abs() < 1e-5 && (moved.width - 0.2).abs() < 1e-5);
    }

    prop_compose! {
        fn any_seen()(shot in 0_u32..2, boxes in proptest::collection::vec(
            (0.0_f32..0.9, 0.0_f32..0.9, 0.01_f32..1.0, 0.01_f32..1.0, 0..3_usize, 0.0_f32..1.0), 0..4)) -> Seen {
            let found = boxes.into_iter().filter_map(|(l, t, w, h, who, confidence)| {
                let name = ["Ana", "Ben"].get(who).copied();
                let bounding_box = BoundingBox::new(l, t, w, h).clamped()?;
                Some(Detection { bounding_box, ..detection(name, &["Ana"], 0.0, confidence) })
            });
            seen(shot, found.collect())
        }
    }

    proptest! {
        #[test]
        fn only_near_frames_count_and_boxes_stay_inside(
            frames in proptest::collection::vec(any_seen(), 1..9), at in 0_usize..9,
        ) {
            let at = at % frames.len();
            let answer = settled(&frames, at);
            prop_assert_eq!(answer.len(), frames[at].found.len());
            for d in &answer {
                let b = d.bounding_box;
                prop_assert!(b.left >= 0.0 && b.top >= 0.0 && b.right() <= 1.0001 && b.bottom() <= 1.0001);
                prop_assert!((0.0..=1.0).contains(&d.confidence));
            }
            let (from, to) = (at.saturating_sub(REACH), (at + REACH + 1).min(frames.len()));
            prop_assert_eq!(settled(&frames[from..to], at - from), answer);
        }
    }
}
