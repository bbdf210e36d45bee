//! Every kernel against the scalar one, bit by bit.

use super::{CodeRows, Kernel, LANES, Line, Panel, codes_mut};

/// A small generator, so that Miri need not run a large one.
fn numbers(mut seed: u64) -> impl FnMut() -> u32 {
    move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u32
    }
}

fn some_codes(lines: usize, seed: u64, extreme: bool) -> Vec<Line> {
    let mut next = numbers(seed);
    let mut rows = vec![Line::ZERO; lines];
    for code in codes_mut(&mut rows) {
        let number = next();
        *code = if extreme { [127, -127][number as usize % 2] } else { (number % 255) as i8 };
        *code = (*code).max(-127);
    }
    rows
}

fn some_floats(len: usize, seed: u64) -> Vec<f32> {
    let mut next = numbers(seed);
    (0..len).map(|_| next() as f32 / 2.0_f32.powi(30) - 1.0).collect()
}

#[test]
fn dots_are_the_same_bits() {
    for len in [0, 1, 31, 32, 33, 100, 1025] {
        let (a, b) = (some_floats(len, 1), some_floats(len, 2));
        let expected = Kernel::SCALAR.dot(&a, &b);
        let plain: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        assert!((expected - plain).abs() < 1e-9);
        for kernel in Kernel::available() {
            assert_eq!(kernel.dot(&a, &b).to_bits(), expected.to_bits(), "{} {len}", kernel.name());
        }
    }
}

#[test]
fn codes_are_the_same() {
    for len in [1, 31, 64, 100, 257] {
        let (row, mean) = (some_floats(len, 3), some_floats(len, 4));
        let lines = len.div_ceil(64);
        let mut expected = vec![Line([5; 64]); lines];
        let found = Kernel::SCALAR.quantise(&row, &mean, 0.7, 0.01, &mut expected);
        let integers: Vec<i32> = row.iter().map(|value| (value * 1e5) as i32).collect();
        let mut expected_integers = vec![Line([5; 64]); lines];
        let found_integers = Kernel::SCALAR.requantise(&integers, 1000.0, &mut expected_integers);
        for kernel in Kernel::available() {
            let mut to = vec![Line([6; 64]); lines];
            assert_eq!(kernel.quantise(&row, &mean, 0.7, 0.01, &mut to), found, "{} {len}", kernel.name());
            assert!(to.iter().zip(&expected).all(|(a, b)| a.0 == b.0));
            assert_eq!(kernel.requantise(&integers, 1000.0, &mut to), found_integers);
            assert!(to.iter().zip(&expected_integers).all(|(a, b)| a.0 == b.0));
        }
    }
}

#[test]
fn sieves_and_products_are_the_same() {
    for (lines, length, extreme) in [(1, 4, false), (1, 64, false), (2, 100, true), (3, 192, false)] {
        let count = 15;
        let rows = some_codes(count * lines, 5, extreme);
        let rows = CodeRows::new(&rows, lines);
        let others = some_codes(LANES * lines, 6, extreme);
        let others = CodeRows::new(&others, lines);
        let truth = |row: usize, lane: usize| -> i32 {
            let pairs = super::codes(rows.row(row)).iter().zip(super::codes(others.row(lane)));
            pairs.take(length).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
        };
        let sums: Vec<i32> = (0..count)
            .map(|row| super::codes(rows.row(row))[..length].iter().map(|code| i32::from(*code)).sum())
            .collect();
        for kernel in Kernel::available() {
            let mut panel = Panel::new(kernel, length);
            assert_eq!(panel.length(), length);
            let filled = LANES - 3;
            for lane in 0..filled {
                panel.set(lane, others.row(lane), lane as i32 * 100 - 3000);
            }
            let chosen: Vec<u32> = (0..count as u32).rev().collect();
            let limits: Vec<i32> = sums.iter().map(|sum| 1000 + kernel.offset(*sum)).collect();
            let mut hits = vec![0; count];
            kernel.sieve(&panel, rows, &limits, &chosen, &mut hits);
            let mut products = vec![[0; LANES]; count - 1];
            kernel.products(&panel, rows, 1, &mut products);
            #[expect(clippy::needless_range_loop, reason = "lanes number several things")]
            for (hits, row) in hits.iter().zip(&chosen) {
                let row = *row as usize;
                for lane in 0..LANES {
                    let expected = lane < filled && truth(row, lane) >= 1000 + lane as i32 * 100 - 3000;
                    assert_eq!(hits >> lane & 1 == 1, expected, "{} {row} {lane}", kernel.name());
                    if lane < filled && row > 0 {
                        let product = products[row - 1][lane] - kernel.offset(sums[row]);
                        assert_eq!(product, truth(row, lane));
                    }
                }
            }
            if length == lines * 64 {
                let sum = super::codes(others.row(2)).iter().map(|code| i32::from(*code)).sum();
                let product = kernel.dot_codes(rows.row(1), others.row(2), kernel.offset(sum));
                assert_eq!(product, truth(1, 2));
            }
        }
    }
}
