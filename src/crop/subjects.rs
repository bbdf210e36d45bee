//! Who is in a picture.

use crate::types::{BoundingBox, Detection, PixelRect, Subject};

/// Share of a character's box that must lie inside a picture for the character to be one of its subjects.
pub const MIN_INSIDE: f32 = 0.6;

/// The named characters in a window of a frame: those with at least [`MIN_INSIDE`] of their box inside it.
///
/// `rect` is the window in pixels of a frame of `frame_width` × `frame_height`; `detections` is everything that was
/// found in that frame and `own` is the number of the one that the window was cut for. That one comes first, the
/// others follow from left to right. Boxes are in ratios of the window. A name appears once: the window's own
/// detection or else the one that fills the most of the window.
pub fn subjects_in(
    rect: PixelRect,
    frame_width: u32,
    frame_height: u32,
    detections: &[Detection],
    own: usize,
) -> Vec<Subject> {
    let mut found: Vec<(bool, Subject)> = Vec::new();
    for (number, detection) in detections.iter().enumerate() {
        let (Some(name), Some(inside)) = (&detection.character, detection.bounding_box.clamped()) else {
            continue;
        };
        let Some(bounding_box) = within(inside, rect, frame_width, frame_height) else { continue };
        let candidate = (number == own, Subject { character: name.clone(), bounding_box });
        let rank = |(own, subject): &(bool, Subject)| (*own, subject.bounding_box.area());
        match found.iter_mut().find(|(_, subject)| subject.character == *name) {
            Some(known) if rank(&candidate) > rank(known) => *known = candidate,
            Some(_) => {}
            None => found.push(candidate),
        }
    }
    let centre = |subject: &Subject| subject.bounding_box.left + subject.bounding_box.width / 2.0;
    found.sort_by(|(own_a, a), (own_b, b)| own_b.cmp(own_a).then(centre(a).total_cmp(&centre(b))));
    found.into_iter().map(|(_, subject)| subject).collect()
}

/// The part of a box inside a window, in ratios of the window, if enough of it is inside.
fn within(bbox: BoundingBox, rect: PixelRect, frame_width: u32, frame_height: u32) -> Option<BoundingBox> {
    let window = BoundingBox::from_pixels(rect, frame_width, frame_height);
    let relative = BoundingBox::new(
        (bbox.left - window.left) / window.width,
        (bbox.top - window.top) / window.height,
        bbox.width / window.width,
        bbox.height / window.height,
    );
    let inside = relative.clamped()?;
    (inside.area() >= MIN_INSIDE * relative.area()).then_some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detection(name: Option<&str>, left: f32, width: f32) -> Detection {
        Detection {
            bounding_box: BoundingBox::new(left, 0.25, width, 0.5),
            character: name.map(str::to_owned),
            confidence: 0.9,
            label: None,
            alternatives: Vec::new(),
            decided_by: "test".to_owned(),
        }
    }

    fn names(subjects: &[Subject]) -> Vec<&str> {
        subjects.iter().map(|s| s.character.as_str()).collect()
    }

    #[test]
    fn own_first_then_left_to_right_and_nobody_outside() {
        let all = [
            detection(Some("Right"), 0.6, 0.1),
            detection(Some("Left"), 0.3, 0.1),
            detection(None, 0.4, 0.1),
            detection(Some("Own"), 0.45, 0.1),
            detection(Some("Away"), 0.9, 0.1),
            detection(Some("Half"), 0.2, 0.11), // 46 % inside
        ];
        let rect = PixelRect::new(260, 0, 480, 1000);
        let subjects = subjects_in(rect, 1000, 1000, &all, 3);
        assert_eq!(names(&subjects), ["Own", "Left", "Right"]);
        let own = subjects[0].bounding_box;
        assert!((own.left - 190.0 / 480.0).abs() < 1e-5 && (own.width - 100.0 / 480.0).abs() < 1e-5);
        assert!((own.top - 0.25).abs() < 1e-5 && (own.height - 0.5).abs() < 1e-5);
    }

    #[test]
    fn boxes_are_clipped_to_the_picture_and_names_appear_once() {
        let all = [
            detection(Some("A"), 0.3, 0.3), // 67 % inside, larger than the window's own
            detection(Some("A"), 0.5, 0.1),
            detection(Some("B"), 0.42, 0.05),
            detection(Some("B"), 0.5, 0.2),
        ];
        let subjects = subjects_in(PixelRect::new(400, 0, 400, 1000), 1000, 1000, &all, 1);
        assert_eq!(names(&subjects), ["A", "B"]);
        assert!((subjects[0].bounding_box.left - 0.25).abs() < 1e-5);
        assert!((subjects[1].bounding_box.width - 0.5).abs() < 1e-5);
        for subject in subjects_in(PixelRect::new(400, 0, 400, 1000), 1000, 1000, &all, 0) {
            let inside = subject.bounding_box;
            assert!(inside.left >= 0.0 && inside.right() <= 1.0 + 1e-6);
        }
    }

    #[test]
    fn without_names_there_are_no_subjects() {
        let all = [detection(None, 0.4, 0.2)];
        assert!(subjects_in(PixelRect::new(0, 0, 1000, 1000), 1000, 1000, &all, 0).is_empty());
        assert!(subjects_in(PixelRect::new(0, 0, 1000, 1000), 1000, 1000, &[], 7).is_empty());
    }
}
