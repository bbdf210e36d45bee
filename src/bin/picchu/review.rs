//! `picchu review`: people decide about a dataset, on a page of this machine.

use std::path::PathBuf;

use clap::Args;
use picchu::{
    Error, Result,
    config::Access,
    dataset::{Dataset, from_jsonl},
    local::review::{ReviewOptions, ReviewServer},
    types::Review as Decided,
};

use crate::{lint::rules, output::to_json};

#[derive(Debug, Args)]
pub(crate) struct Review {
    /// The dataset: a folder or an address.
    dataset: PathBuf,
    /// The film: shows whole frames, and lets images be cut anew.
    #[arg(long, value_name = "FILM")]
    film: Option<PathBuf>,
    /// The cast: shows captions that tell fixed looks, and names nobody has been found by yet.
    #[arg(long, value_name = "FILE")]
    cast: Option<PathBuf>,
    /// Who decides: stands beside each decision.
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    reviewer: Option<String>,
    /// Port on this machine; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Take over what was decided on copies: other datasets' reviews.jsonl, or patches that reports saved. No page.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["film", "port"])]
    merge: Vec<PathBuf>,
    /// One JSON object a line on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Review {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let dataset = Dataset::open(access.store(&self.dataset)?).await?;
        if !self.merge.is_empty() {
            return self.merge(&dataset).await;
        }
        let rules = rules(self.cast.as_deref())?;
        let film = self.film.as_deref().map(|film| access.film(film)).transpose()?;
        let options = ReviewOptions { reviewer: self.reviewer.clone(), film, rules, port: self.port };
        let server = ReviewServer::start(dataset, options).await?;
        if self.json {
            println!("{}", serde_json::json!({"event": "serving", "url": server.url()}));
        } else {
            println!("open {}", server.url());
            println!("Each decision is kept at once; Ctrl-C ends the review.");
        }
        server
            .serve(async {
                let _ = tokio::signal::ctrl_c().await;
            })
            .await
    }

    async fn merge(&self, dataset: &Dataset) -> Result<()> {
        let mut logs = Vec::new();
        for path in &self.merge {
            let body = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
            logs.push(from_jsonl::<Decided>(&body, &path.display().to_string())?);
        }
        let before = dataset.reviews().len();
        let (dataset, conflicts) = dataset.merge_reviews(&logs).await?;
        let added = dataset.reviews().len() - before;
        if self.json {
            println!("{}", serde_json::json!({"event": "merged", "added": added, "conflicts": conflicts}));
            return Ok(());
        }
        println!("{added} decisions taken over");
        for conflict in &conflicts {
            println!("{}: {}", conflict.record, to_json(&conflict.says)?);
        }
        if !conflicts.is_empty() {
            println!(
                "Reviewers disagree about {} images; the last decision counts. `picchu review` shows them under \
                 \"reviewers disagree\".",
                conflicts.len()
            );
        }
        Ok(())
    }
}
