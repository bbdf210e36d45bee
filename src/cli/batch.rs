//! `picchu batch`: a dataset's embeddings and captions in jobs, at half the price.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::output::{ask, to_json};
use crate::{
    Cast, Error, Result,
    aws::bedrock::{BatchProgress, DatasetBatch},
    config::{
        Access, BatchPlace, BatchQuestions, CaptionerChoice, EmbedderChoice, Shared, open_batch, price_table,
    },
    layers::Meter,
};

/// How often jobs are looked at with --wait. They take hours.
const POLL: Duration = Duration::from_mins(1);

#[derive(Debug, Args)]
pub(crate) struct Batch {
    /// What is asked for.
    #[arg(value_enum)]
    what: What,
    /// The dataset.
    dir: PathBuf,
    /// Where the jobs read and write, in their Region.
    #[arg(long, value_name = "s3://BUCKET/PREFIX")]
    s3: PathBuf,
    /// The role that Bedrock takes on to read and write there.
    #[arg(long, value_name = "ARN")]
    role: String,
    /// The cast, for captions: the file that the dataset was built with.
    #[arg(long, value_name = "FILE", required_if_eq("what", "captions"))]
    cast: Option<PathBuf>,
    /// titan or nova.
    #[arg(long, value_name = "NAME", default_value = "titan")]
    embedder: String,
    /// nova, nova-lite, `bedrock:MODEL`.
    #[arg(long, value_name = "NAME", default_value = "nova")]
    captioner: String,
    /// When Bedrock gives a job up.
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(24..=168))]
    timeout_hours: u32,
    /// Most US dollars to spend; what would cost more is not submitted.
    #[arg(long = "budget", value_name = "USD")]
    max_usd: Option<f64>,
    /// Prices that override the built-in ones, a TOML file.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Wait for the jobs and read their answers.
    #[arg(long)]
    wait: bool,
    /// One JSON object a line on standard output; submits nothing without --yes.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Embeddings of all images.
    Embeddings,
    /// First captions of the selected images.
    Captions,
}

impl Batch {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        if let Some(usd) = self.max_usd.filter(|usd| !(usd.is_finite() && *usd >= 0.0)) {
            return Err(Error::invalid(format!("the budget is {usd}; it must be 0 or more")));
        }
        let batch = self.open(access).await?;
        let mut progress = batch.look().await?;
        self.tell(&progress)?;
        if progress.can_submit() && self.consents()? {
            progress = batch.submit(self.max_usd).await?;
            self.tell(&progress)?;
        }
        while self.wait && !progress.jobs.is_empty() {
            tokio::time::sleep(POLL).await;
            let before = progress;
            progress = batch.look().await?;
            if progress != before {
                self.tell(&progress)?;
            }
        }
        if !self.json {
            self.say_what_is_next(&progress);
        }
        Ok(())
    }

    async fn open(&self, access: &Access) -> Result<DatasetBatch> {
        let (questions, cast) = match self.what {
            What::Embeddings => {
                (BatchQuestions::Embeddings(EmbedderChoice::named(&self.embedder)?), Cast::default())
            }
            What::Captions => {
                let cast = self.cast.as_ref().map(Cast::load).transpose()?.unwrap_or_default();
                (BatchQuestions::Captions(CaptionerChoice::named(&self.captioner)?), cast)
            }
        };
        let mut shared = Shared::new(cast);
        shared.meter = Meter::new(price_table(self.prices.as_deref())?).into();
        shared.aws = access.aws.clone();
        let place = BatchPlace {
            s3: self.s3.clone(),
            role_arn: self.role.clone(),
            timeout_hours: self.timeout_hours,
        };
        open_batch(&self.dir, &questions, &place, access, shared).await
    }

    fn consents(&self) -> Result<bool> {
        Ok(self.yes || (!self.json && ask("Submit them?")?))
    }

    fn tell(&self, progress: &BatchProgress) -> Result<()> {
        if self.json {
            println!("{}", to_json(progress)?);
            return Ok(());
        }
        for job in &progress.ended_badly {
            let message = job.message.as_deref().unwrap_or("without a reason");
            println!("{} is {}: {message}", job.arn, job.state);
        }
        for (record, reason) in &progress.failed {
            println!("{record}: {reason}");
        }
        if progress.spent.requests > 0 {
            let (answers, usd) = (progress.spent.requests, progress.spent.usd);
            println!("{answers} answers came back, for {usd:.4} US dollars");
        }
        for job in &progress.jobs {
            println!("{} is {}: {} of {}", job.arn, job.state, job.processed, job.total);
        }
        let BatchProgress { questions, answered, under_way, open, estimate, .. } = progress;
        print!("{questions} images: {answered} answered, {under_way} under way, {open} open");
        if progress.can_submit() {
            if estimate.unpriced_requests > 0 {
                print!("; what those cost is not known");
            } else {
                print!("; those cost about {:.4} US dollars", estimate.usd);
            }
        }
        println!();
        Ok(())
    }

    fn say_what_is_next(&self, progress: &BatchProgress) {
        let flag = match self.what {
            What::Embeddings => format!("--embedder {}", self.embedder),
            What::Captions => format!("--captioner {}", self.captioner),
        };
        if !progress.jobs.is_empty() {
            println!("The same command reads the answers when the jobs are done, or --wait does.");
        } else if progress.can_submit() {
            println!("Nothing is submitted.");
        } else if progress.open > 0 {
            println!("Fewer than 100 are open: picchu build … {flag} asks those, one at a time.");
        } else {
            println!("All are answered: picchu build … {flag} finds them.");
        }
    }
}
