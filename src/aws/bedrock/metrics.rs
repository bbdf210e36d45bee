//! The loss of a training job, step by step, as the job writes it beside its results.

use aws_sdk_bedrock::Client;

use super::customize::get;
use crate::{
    aws::{AwsContext, S3Store},
    error::{AtStage, Error, ErrorKind, Result, Stage},
    store::{Key, Store},
    types::StepLoss,
};

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
}
