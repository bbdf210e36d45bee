//! The loss of a training job as a line of text.

use std::fmt::Write as _;

use crate::types::StepLoss;

/// Most columns of a curve.
const WIDTH: usize = 48;

/// The losses as a line of blocks, the first and the last in numbers: `0.91 █▆▄▃▂▁▁ 0.12 at step 700`. Each block is the
/// mean of its steps. Empty where there are none.
///
/// ```
/// use picchu::{train::loss_curve, types::StepLoss};
/// let losses = [(1, 0.9), (2, 0.5), (3, 0.2)].map(|(step, loss)| StepLoss { step, loss });
/// assert_eq!(loss_curve(&losses), "0.9 █▄▁ 0.2 at step 3");
/// ```
pub fn loss_curve(losses: &[StepLoss]) -> String {
    let (Some(first), Some(last)) = (losses.first(), losses.last()) else { return String::new() };
    let means: Vec<f64> = losses
        .chunks(losses.len().div_ceil(WIDTH))
        .map(|chunk| chunk.iter().map(|at| at.loss).sum::<f64>() / chunk.len() as f64)
        .collect();
    let low = means.iter().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let blocks: String = means
        .iter()
        .map(|mean| {
            let share = if high > low { (mean - low) / (high - low) } else { 0.0 };
            BLOCKS[(share * (BLOCKS.len() - 1) as f64).round() as usize]
        })
        .collect();
    let mut curve = String::new();
    // Writing into a string does not fail.
    let _ = write!(curve, "{} {blocks} {} at step {}", first.loss, last.loss, last.step);
    curve
}

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_as_wide_as_a_line_and_goes_where_the_loss_goes() {
        let falling: Vec<_> = (1..=1000).map(|step| StepLoss { step, loss: 1.0 / step as f64 }).collect();
        let curve = loss_curve(&falling);
        assert!(curve.starts_with("1 █") && curve.ends_with("▁ 0.001 at step 1000"), "{curve}");
        assert!(curve.chars().filter(|c| BLOCKS.contains(c)).count() <= WIDTH);
        assert_eq!(loss_curve(&[StepLoss { step: 7, loss: 0.5 }; 3]), "0.5 ▁▁▁ 0.5 at step 7");
        assert_eq!(loss_curve(&[]), "");
    }
}
