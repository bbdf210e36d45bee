//! The loss of a training job, step by step, as the job writes it beside its results.

use std::fmt::Write as _;

use aws_sdk_bedrock::Client;
use serde::Serialize;

use super::customize::get;
use crate::{
    aws::{AwsContext, S3Store},
    error::{AtStage, Error, ErrorKind, Result, Stage},
    store::{Key, Store},
};

/// The loss at a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepLoss {
    /// The step, from 1.
    pub step: u64,
    /// The loss of training there.
    pub loss: f64,
}

/// The losses that a job has written; none where it has written none yet. The job is named by its ARN or its whole name.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) for an unknown job; [`PermissionDenied`](ErrorKind::PermissionDenied) where the
/// results may not be read; [`Decode`](ErrorKind::Decode) for a file that is not understood.
pub async fn training_losses(context: &AwsContext, job: &str) -> Result<Vec<StepLoss>> {
    read(context, job).await.at(Stage::Train)
}

async fn read(context: &AwsContext, job: &str) -> Result<Vec<StepLoss>> {
    let answer = get(&Client::new(context.sdk()), job).await?;
    let Some(output) = answer.output_data_config() else { return Ok(Vec::new()) };
    let id = answer.job_arn().rsplit('/').next().unwrap_or_default();
    let store = S3Store::new(output.s3_uri().trim_end_matches('/'), context)?;
    let name = format!("model-customization-job-{id}/training_artifacts/step_wise_training_metrics.csv");
    match store.get(&Key::new(name)?).await {
        Ok(body) => losses(&String::from_utf8_lossy(&body)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

/// Reads the columns by their names: which others there are differs between models, and some are left empty.
fn losses(csv: &str) -> Result<Vec<StepLoss>> {
    let mut lines = csv.trim_start_matches('\u{feff}').lines().map(fields);
    let header = lines.next().unwrap_or_default();
    let column = |name: &str| {
        header.iter().position(|title| *title == name).ok_or_else(|| {
            Error::new(
                ErrorKind::Decode,
                format!("the job's metrics have no column {name}: {}", header.join(", ")),
            )
        })
    };
    let (step, loss) = (column("step_number")?, column("training_loss")?);
    Ok(lines
        .filter_map(|line| {
            let loss: f64 = line.get(loss)?.parse().ok()?;
            // Steps may be written as "1.0".
            let step: f64 = line.get(step)?.parse().ok()?;
            (loss.is_finite() && step >= 0.0).then_some(StepLoss { step: step as u64, loss })
        })
        .collect())
}

fn fields(line: &str) -> Vec<&str> {
    line.split(',').map(|field| field.trim().trim_matches('"')).collect()
}

/// Most columns of a curve.
const WIDTH: usize = 48;

/// The losses as a line of blocks, the first and the last in numbers: `0.91 █▆▄▃▂▁▁ 0.12 at step 700`. Each block is the
/// mean of its steps. Empty where there are none.
///
/// ```
/// use picchu::aws::bedrock::{StepLoss, loss_curve};
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
    fn columns_are_found_by_name_and_blanks_are_left_out() {
        let csv = "\u{feff}epoch_number, \"training_loss\",step_number,perplexity\r\n,0.5,1,\r\n,,2,\n,0.25,3.0,\n,NaN,4,\n\n";
        let found = losses(csv).unwrap();
        assert_eq!(found, [StepLoss { step: 1, loss: 0.5 }, StepLoss { step: 3, loss: 0.25 }]);
        assert!(
            losses("step,loss\n1,2\n").unwrap_err().message().contains("no column step_number: step, loss")
        );
        assert_eq!(losses("step_number,training_loss\n").unwrap(), []);
        assert!(losses("").is_err());
    }

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
