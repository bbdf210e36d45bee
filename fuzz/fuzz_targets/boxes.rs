//! Whatever numbers a detector's ONNX model answers, decoding them ends in sound boxes or an error, and never panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

// The decoding itself, which is no part of the public interface, and what it refers to.
mod error {
    pub(crate) use picchu::{Error, ErrorKind, Result};
}
#[path = "../../src/local/onnx/boxes.rs"]
mod boxes;

use boxes::{best_first, decode_end2end, decode_raw, suppress};

const MOST: usize = 300;

fuzz_target!(|input: (u8, f32, f32, Vec<f32>)| {
    let (classes, min_confidence, max_iou, values) = input;
    let (classes, min_confidence) = (usize::from(classes).max(1), min_confidence.clamp(0.0, 1.0));
    let min_confidence = if min_confidence.is_nan() { 0.25 } else { min_confidence };
    let columns = values.len() / (4 + classes);
    let raw = decode_raw(&values[..columns * (4 + classes)], classes, columns, min_confidence);
    let end = decode_end2end(&values, classes, min_confidence);
    let found = raw.map(|found| suppress(found, max_iou, MOST)).into_iter();
    for boxes in found.chain(end.map(|found| best_first(found, MOST))) {
        assert!(boxes.len() <= MOST);
        for found in &boxes {
            let [left, top, right, bottom] = found.corners;
            assert!(found.corners.iter().all(|v| v.is_finite()) && right > left && bottom > top, "{found:?}");
            assert!((min_confidence..=1.0).contains(&found.score) && found.class < classes, "{found:?}");
        }
        assert!(boxes.windows(2).all(|pair| pair[0].score >= pair[1].score));
    }
});
