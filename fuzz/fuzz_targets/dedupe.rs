//! Any bytes as rows: selection and join must be what `float64` says, or an error.
//!
//! `cargo +nightly fuzz run dedupe`

#![no_main]

use libfuzzer_sys::fuzz_target;
use ndarray::ArrayView2;
use picchu::dedupe::{Index, Kernel, Options, join, select};

fuzz_target!(|bytes: &[u8]| {
    let [dim, kernel, threshold, rest @ ..] = bytes else { return };
    let dim = usize::from(dim % 70) + 1;
    let kernels = Kernel::available();
    let options = Options::default().threads(1).kernel(kernels[usize::from(*kernel) % kernels.len()]);
    let min_similarity = f64::from(*threshold) / 255.0;

    // As a saved index: no bytes may do harm.
    let _ = Index::read(&mut &rest[..], options.clone());

    let values: Vec<f32> =
        rest.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let rows = (values.len() / dim).min(200);
    let x = ArrayView2::from_shape((rows, dim), &values[..rows * dim]).expect("the sizes fit");
    let Ok(joined) = join(x, min_similarity, &options) else {
        let valid = |row: ndarray::ArrayView1<'_, f32>| {
            row.iter().all(|value| value.is_finite()) && row.iter().any(|value| *value != 0.0)
        };
        assert!(x.outer_iter().any(|row| !valid(row)));
        return;
    };
    let cosine = |a: usize, b: usize| {
        let dot = |a: usize, b: usize| -> f64 {
            x.row(a).iter().zip(x.row(b)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    let mut pairs = joined.pairs().peekable();
    for a in 0..rows {
        for b in a + 1..rows {
            let found = pairs.next_if(|pair| (pair.a as usize, pair.b as usize) == (a, b)).is_some();
            let similarity = cosine(a, b);
            // The last bits of a sum depend on its order.
            assert!(found == (similarity >= min_similarity) || (similarity - min_similarity).abs() < 1e-12);
        }
    }
    assert_eq!(pairs.next(), None);
    let selection = select(x, min_similarity, None, &options).expect("the rows are valid");
    assert_eq!(selection, joined.select(min_similarity).expect("the threshold is that of the join"));
});
