//! Selection, join, calibration and index against a naive computation in `float64`.

#![expect(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "test helpers")]

use ndarray::{Array2, ArrayView2, Axis, s};
use picchu::dedupe::{
    Admission, DedupeError, Index, Kernel, Options, Selection, calibrate, components, join, select,
};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Similarities of all pairs, in `float64`.
fn oracle(x: ArrayView2<'_, f32>) -> Array2<f64> {
    let x = x.mapv(f64::from);
    let dot = |a: usize, b: usize| x.row(a).iter().zip(x.row(b)).map(|(a, b)| a * b).sum::<f64>();
    let norms: Vec<f64> = (0..x.nrows()).map(|row| dot(row, row)).collect();
    Array2::from_shape_fn((x.nrows(), x.nrows()), |(a, b)| {
        if a < b { dot(a, b) / (norms[a] * norms[b]).sqrt() } else { f64::NAN }
    })
}

fn at(similarities: &Array2<f64>, a: usize, b: usize) -> f64 {
    similarities[[a.min(b), a.max(b)]]
}

fn oracle_select(similarities: &Array2<f64>, min_similarity: f64, order: &[u32]) -> Selection {
    let rows = similarities.nrows();
    let mut selection =
        Selection { kept: vec![], covered_by: (0..rows as u32).collect(), similarity: vec![1.0; rows] };
    for row in order {
        let cover = selection
            .kept
            .iter()
            .rev()
            .find(|kept| at(similarities, **kept as usize, *row as usize) >= min_similarity);
        match cover {
            Some(cover) => {
                selection.covered_by[*row as usize] = *cover;
                selection.similarity[*row as usize] = at(similarities, *cover as usize, *row as usize) as f32;
            }
            None => selection.kept.push(*row),
        }
    }
    selection.kept.sort_unstable();
    selection
}

fn oracle_components(similarities: &Array2<f64>, min_similarity: f64) -> Vec<u32> {
    let mut labels: Vec<u32> = (0..similarities.nrows() as u32).collect();
    for ((a, b), similarity) in similarities.indexed_iter() {
        if *similarity >= min_similarity && labels[a] != labels[b] {
            let (low, high) = (labels[a].min(labels[b]), labels[a].max(labels[b]));
            labels.iter_mut().filter(|label| **label == high).for_each(|label| *label = low);
        }
    }
    labels
}

/// A small generator: the data of a case follows from its seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }

    fn float(&mut self) -> f32 {
        // The sum of some uniform numbers is close to a normal one.
        (0..6).map(|_| self.below(1 << 24) as f32 / (1 << 24) as f32 - 0.5).sum()
    }

    fn row(&mut self, dim: usize) -> Vec<f32> {
        let mut row: Vec<f32> = (0..dim).map(|_| self.float()).collect();
        row[0] += 1e-3;
        row
    }
}

#[derive(Debug, Clone, Copy)]
enum Data {
    Random,
    Film,
    Equal,
    OneHot,
    Denormal,
    Norms,
    AtThreshold,
    Duplicates,
}

/// Rows of a kind; `AtThreshold` puts pairs at 1e-7 on either side of the threshold.
fn rows(data: Data, len: usize, dim: usize, min_similarity: f64, seed: u64) -> Array2<f32> {
    let mut numbers = Numbers(seed);
    let mut x = Array2::zeros((len, dim));
    let common = numbers.row(dim);
    let mut walk = numbers.row(dim);
    for i in 0..len {
        let row: Vec<f32> = match data {
            Data::Random => numbers.row(dim),
            Data::Film => {
                if numbers.below(20) == 0 {
                    walk = numbers.row(dim);
                }
                let step = numbers.row(dim);
                walk.iter_mut().zip(&step).for_each(|(walk, step)| *walk = 0.97 * *walk + 0.2 * step);
                walk.iter().zip(&common).map(|(walk, common)| walk + common).collect()
            }
            // Powers of two keep the direction to the last bit.
            Data::Equal => common.iter().map(|value| value * 2.0_f32.powi(i as i32 % 40 - 20)).collect(),
            Data::OneHot => {
                let mut row = vec![0.0; dim];
                row[numbers.below(dim)] = [1.0, -2.0][numbers.below(2)];
                row
            }
            Data::Denormal => {
                let mut row: Vec<f32> = (0..dim).map(|_| f32::from_bits(numbers.below(40) as u32)).collect();
                row[numbers.below(dim)] = f32::from_bits(1);
                row
            }
            Data::Norms => {
                // Powers of two: they keep the direction, but for the first, which cuts digits off.
                let size = 2.0_f64.powi([-133, -100, 0, 100, 124][numbers.below(5)]) as f32;
                let mut row = if i % 3 == 0 { common.clone() } else { numbers.row(dim) };
                for value in &mut row {
                    *value *= size;
                }
                if row.iter().all(|value| *value == 0.0) {
                    row[0] = size;
                }
                row
            }
            Data::AtThreshold => {
                let goal = min_similarity + [-1e-7, 1e-7][numbers.below(2)];
                let mut other = numbers.row(dim).iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
                let base: Vec<f64> = common.iter().map(|value| f64::from(*value)).collect();
                let norm = |row: &[f64]| row.iter().map(|value| value * value).sum::<f64>().sqrt();
                let length = norm(&base);
                let dot: f64 = base.iter().zip(&other).map(|(a, b)| a * b).sum::<f64>() / length;
                other.iter_mut().zip(&base).for_each(|(other, base)| *other -= dot * base / length);
                let width = norm(&other).max(1e-30);
                let sine = (1.0 - goal * goal).max(0.0).sqrt();
                let turned = base.iter().zip(&other);
                turned.map(|(base, other)| (goal * base / length + sine * other / width) as f32).collect()
            }
            Data::Duplicates => Numbers(seed + numbers.below(1 + len / 4) as u64).row(dim),
        };
        x.row_mut(i).assign(&ndarray::aview1(&row));
    }
    if matches!(data, Data::AtThreshold) && len > 0 {
        x.row_mut(0).assign(&ndarray::aview1(&common));
    }
    x
}

fn some_order(len: usize, seed: u64) -> Vec<u32> {
    let mut numbers = Numbers(seed);
    let mut order: Vec<u32> = (0..len as u32).collect();
    for i in (1..len).rev() {
        order.swap(i, numbers.below(i + 1));
    }
    order
}

/// Everything that can be asked, against the oracle.
fn check(x: ArrayView2<'_, f32>, min_similarity: f64, options: &Options, seed: u64) {
    let similarities = oracle(x);
    let source_order: Vec<u32> = (0..x.nrows() as u32).collect();
    let expected = oracle_select(&similarities, min_similarity, &source_order);
    let selection = select(x, min_similarity, None, options).unwrap();
    assert_eq!(selection.covered_by, expected.covered_by);
    assert_eq!(selection.kept, expected.kept);
    for (found, expected) in selection.similarity.iter().zip(&expected.similarity) {
        assert!((found - expected).abs() <= 1e-6, "{found} {expected}");
    }

    let order = some_order(x.nrows(), seed);
    let expected = oracle_select(&similarities, min_similarity, &order);
    let ordered = select(x, min_similarity, Some(&order), options).unwrap();
    assert_eq!((&ordered.kept, &ordered.covered_by), (&expected.kept, &expected.covered_by));

    let joined = join(x, min_similarity, options).unwrap();
    let expected: Vec<(u32, u32)> = similarities
        .indexed_iter()
        .filter(|(_, similarity)| **similarity >= min_similarity)
        .map(|((a, b), _)| (a as u32, b as u32))
        .collect();
    assert_eq!(joined.pairs().map(|pair| (pair.a, pair.b)).collect::<Vec<_>>(), expected);
    for pair in joined.pairs() {
        let expected = similarities[[pair.a as usize, pair.b as usize]];
        assert!((pair.similarity - expected).abs() < 1e-12);
    }
    let labels = oracle_components(&similarities, min_similarity);
    assert_eq!(joined.components(), labels);
    assert_eq!(components(x, min_similarity, options).unwrap().labels, labels);
    assert_eq!(joined.select(min_similarity).unwrap(), selection);
    let higher = f64::midpoint(min_similarity, 1.0);
    assert_eq!(joined.rethreshold(higher).unwrap(), join(x, higher, options).unwrap());

    let calibration = calibrate(x, options).unwrap();
    for row in 0..x.nrows() {
        let best = |rows: std::ops::Range<usize>| {
            rows.filter(|other| *other != row)
                .map(|other| at(&similarities, row, other).clamp(-1.0, 1.0))
                .fold(f64::NAN, f64::max)
        };
        let close = |a: f32, b: f64| (a.is_nan() && b.is_nan()) || (f64::from(a) - b).abs() <= 1e-7;
        assert!(close(calibration.nearest_earlier[row], best(0..row)));
        assert!(close(calibration.nearest[row], best(0..x.nrows())));
    }
    let at_higher = 0.9_f64.max(min_similarity).max(calibration.floor());
    let kept = select(x, at_higher, None, options).unwrap().kept.len();
    assert_eq!(calibration.kept_at(at_higher).unwrap(), kept);

    let mut index = Index::new(x.ncols(), min_similarity, options.clone()).unwrap();
    let mut admissions = Vec::new();
    let cuts = [0, x.nrows() / 5, x.nrows() / 2, x.nrows().saturating_sub(1), x.nrows()];
    for cut in cuts.windows(2) {
        admissions.extend(index.add_batch(x.slice(s![cut[0]..cut[1].max(cut[0]), ..]), None).unwrap());
    }
    for (row, admission) in admissions.iter().enumerate() {
        let by = match admission {
            Admission::Kept { row } => *row,
            Admission::Covered { by, .. } => *by,
        };
        assert_eq!(by, u64::from(selection.covered_by[row]));
    }
}

fn all_data() -> impl Strategy<Value = Data> {
    prop_oneof![
        Just(Data::Random),
        Just(Data::Film),
        Just(Data::Equal),
        Just(Data::OneHot),
        Just(Data::Denormal),
        Just(Data::Norms),
        Just(Data::AtThreshold),
        Just(Data::Duplicates),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_that_of_float64(
        data in all_data(),
        len in prop_oneof![0..4_usize, 4..300_usize],
        dim in prop_oneof![1..8_usize, 8..200_usize, Just(1025), Just(4097)],
        min_similarity in prop_oneof![Just(0.92), Just(0.5), Just(1.0), Just(-0.3), 0.6..0.999_f64],
        threads in 1..4_usize,
        kernel in 0..Kernel::available().len(),
        seed in any::<u64>(),
    ) {
        let len = if dim > 1000 { len.min(60) } else { len };
        // Directions that differ in the last bit of a float32 are at 1 up to the rounding of float64 itself.
        let last_bit = min_similarity >= 1.0 && matches!(data, Data::AtThreshold);
        let min_similarity = if last_bit { 0.999 } else { min_similarity };
        let x = rows(data, len, dim, min_similarity, seed);
        let options = Options::default().threads(threads).kernel(Kernel::available()[kernel]);
        check(x.view(), min_similarity, &options, seed);
    }
}

#[test]
fn sketches_change_nothing() {
    let x = rows(Data::Film, 2500, 96, 0.9, 7);
    let similarities = oracle(x.view());
    let order: Vec<u32> = (0..2500).collect();
    let expected = oracle_select(&similarities, 0.9, &order);
    let labels = oracle_components(&similarities, 0.9);
    for kernel in Kernel::available() {
        for threads in [1, 2, 3] {
            let options = Options::default().kernel(kernel).threads(threads);
            let joined = join(x.view(), 0.9, &options).unwrap();
            assert_eq!(joined.select(0.9).unwrap().covered_by, expected.covered_by);
            assert_eq!(components(x.view(), 0.9, &options).unwrap().labels, labels);
        }
    }
}

#[test]
fn results_do_not_depend_on_threads_or_kernel() {
    let x = rows(Data::Film, 7000, 70, 0.9, 3);
    let expected = select(x.view(), 0.9, None, &Options::default().threads(1)).unwrap();
    let joined = join(x.view(), 0.9, &Options::default().threads(1)).unwrap();
    assert_eq!(joined.select(0.9).unwrap(), expected);
    for kernel in Kernel::available() {
        for threads in [1, 2, 3] {
            let options = Options::default().threads(threads).kernel(kernel);
            assert_eq!(select(x.view(), 0.9, None, &options).unwrap(), expected);
        }
    }
}

#[test]
fn any_layout_is_accepted() {
    let x = rows(Data::Film, 80, 30, 0.9, 5);
    let options = Options::default();
    let expected = select(x.slice(s![..;2, ..;3]), 0.9, None, &options).unwrap();
    let plain = x.slice(s![..;2, ..;3]).as_standard_layout().into_owned();
    assert_eq!(select(plain.view(), 0.9, None, &options).unwrap(), expected);
    let mut columns = Array2::zeros((30, 80));
    columns.assign(&x.t());
    assert_eq!(
        select(columns.t(), 0.9, None, &options).unwrap(),
        select(x.view(), 0.9, None, &options).unwrap()
    );
    let mut backwards = x.clone();
    backwards.invert_axis(Axis(0));
    assert_eq!(
        select(backwards.view(), 0.9, None, &options).unwrap().len(),
        select(x.view(), 0.9, None, &options).unwrap().len()
    );
}

#[test]
fn wrong_input_is_refused() {
    let mut x = rows(Data::Random, 300, 20, 0.9, 1);
    let options = Options::default().threads(2);
    for threshold in [f64::NAN, -1.0, 1.1, f64::INFINITY] {
        let found = select(x.view(), threshold, None, &options);
        assert!(matches!(found, Err(DedupeError::Threshold { .. })));
    }
    for order in [vec![0, 1], vec![0; 300], (1..301).collect()] {
        let found = select(x.view(), 0.9, Some(&order), &options);
        assert!(matches!(found, Err(DedupeError::Order { rows: 300, .. })));
    }
    x[[257, 3]] = f32::NAN;
    x[[260, 0]] = f32::INFINITY;
    let found = join(x.view(), 0.9, &options);
    assert!(matches!(found, Err(DedupeError::NonFinite { row: 257 })));
    x.row_mut(100).fill(0.0);
    x[[100, 4]] = -0.0;
    let found = components(x.view(), 0.9, &options);
    assert!(matches!(found, Err(DedupeError::ZeroRow { row: 100 })));
    let none = Array2::<f32>::zeros((2, 0));
    assert!(matches!(select(none.view(), 0.9, None, &options), Err(DedupeError::ZeroRow { row: 0 })));
}

#[test]
fn a_budget_and_a_flag_end_a_search() {
    let x = rows(Data::Equal, 500, 20, 0.9, 1);
    let options = Options::default().memory_budget_bytes(100_000);
    let found = join(x.view(), 0.9, &options);
    assert!(matches!(found, Err(DedupeError::MemoryBudget { budget_bytes: 100_000 })));
    let options = Options::default().cancel(Arc::new(AtomicBool::new(true)));
    assert!(matches!(select(x.view(), 0.9, None, &options), Err(DedupeError::Cancelled)));
    assert!(matches!(join(x.view(), 0.9, &options), Err(DedupeError::Cancelled)));
    assert!(matches!(components(x.view(), 0.9, &options), Err(DedupeError::Cancelled)));
}

#[test]
fn calibration_raises_its_floor_to_its_budget() {
    let x = rows(Data::Film, 400, 40, 0.9, 9);
    let all = calibrate(x.view(), &Options::default()).unwrap();
    let count = all.join().len();
    let options = Options::default().memory_budget_bytes(count * 20);
    let some = calibrate(x.view(), &options).unwrap();
    assert!(some.floor() > all.floor());
    assert!(matches!(some.kept_at(0.8), Err(DedupeError::BelowFloor { .. })));

    let wanted = all.kept_at(0.93).unwrap();
    let (threshold, kept) = all.threshold_for(wanted).unwrap();
    assert_eq!(all.kept_at(threshold).unwrap(), kept);
    assert!(kept.abs_diff(wanted) <= 1, "{kept} {wanted}");
    let near = all.pairs_near(0.9, 10).unwrap();
    let mut apart: Vec<f64> = all.join().pairs().map(|pair| (pair.similarity - 0.9).abs()).collect();
    apart.sort_by(f64::total_cmp);
    assert_eq!(near.iter().map(|pair| (pair.similarity - 0.9).abs()).collect::<Vec<_>>(), apart[..10]);
}

#[test]
fn an_index_is_saved_and_goes_on() {
    let x = rows(Data::Film, 500, 33, 0.9, 11);
    let (first, second) = x.view().split_at(Axis(0), 300);
    let mut index = Index::new(33, 0.9, Options::default()).unwrap();
    index.add_batch(first, None).unwrap();
    let mut bytes = Vec::new();
    index.write(&mut bytes).unwrap();
    let mut read = Index::read(&mut bytes.as_slice(), Options::default()).unwrap();
    assert_eq!(read.kept(), index.kept());
    for row in second.outer_iter() {
        let before = read.query(row).unwrap();
        let admission = read.add(row).unwrap();
        assert_eq!(index.add(row).unwrap(), admission);
        match (before, admission) {
            (None, Admission::Kept { .. }) => {}
            (Some((row, found)), Admission::Covered { by, similarity }) => {
                assert_eq!((row, found), (by, similarity));
            }
            other => panic!("{other:?}"),
        }
    }
    let whole = select(x.view(), 0.9, None, &Options::default()).unwrap();
    assert_eq!(read.kept(), whole.kept.iter().map(|row| u64::from(*row)).collect::<Vec<_>>());
    assert_eq!((read.seen(), read.len()), (500, whole.kept.len()));

    bytes[60] ^= 1;
    assert!(matches!(
        Index::read(&mut bytes.as_slice(), Options::default()),
        Err(DedupeError::Corrupt { .. })
    ));
    assert!(matches!(
        Index::read(&mut &bytes[..bytes.len() - 9], Options::default()),
        Err(DedupeError::Io(_))
    ));
    let wrong = Array2::<f32>::ones((1, 5));
    assert!(matches!(
        index.add_batch(wrong.view(), None),
        Err(DedupeError::Dimension { expected: 33, found: 5 })
    ));
}
