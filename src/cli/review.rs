//! `picchu review`: people decide about a dataset, on a page of this machine or elsewhere.

use std::path::{Path, PathBuf};

use clap::Args;

#[cfg(feature = "aws-a2i")]
use super::review_a2i::{self, Action};
use super::{lint::rules, output::to_json};
use crate::{
    Error, Result,
    config::Access,
    dataset::{
        Dataset, from_jsonl,
        label_studio::{Options, Pictures},
    },
    local::review::{ReviewOptions, ReviewServer},
    store::{PutMode, write_file},
    types::Review as Decided,
};

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
    /// Write a project for Label Studio into this folder: tasks.json to import, config.xml for its interface. No page.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["film", "port", "merge"])]
    to_label_studio: Option<PathBuf>,
    /// For `--to-label-studio`: where the pictures lie for Label Studio, for example `/data/local-files/?d=film/dataset`,
    /// `s3://bucket/film` or `https://…`. Default: in the tasks, made smaller.
    #[arg(long, value_name = "ADDRESS", requires = "to_label_studio")]
    pictures: Option<String>,
    /// For `--to-label-studio`: only images that no person decided about yet.
    #[arg(long, requires = "to_label_studio")]
    unreviewed: bool,
    /// Take over what was decided in Label Studio: its exports in the format JSON. No page.
    #[arg(
        long,
        value_name = "FILE",
        num_args = 1..,
        conflicts_with_all = ["film", "port", "merge", "to_label_studio"]
    )]
    from_label_studio: Vec<PathBuf>,
    /// People of an Amazon A2I flow decide, for accounts that A2I still takes. No page.
    #[cfg(feature = "aws-a2i")]
    #[arg(
        long,
        value_enum,
        value_name = "ACTION",
        conflicts_with_all = ["film", "port", "merge", "to_label_studio", "from_label_studio"]
    )]
    a2i: Option<Action>,
    /// For `--a2i`: the ARN of the flow definition.
    #[cfg(feature = "aws-a2i")]
    #[arg(long, value_name = "ARN", requires = "a2i")]
    flow: Option<String>,
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
        if let Some(out) = &self.to_label_studio {
            return self.to_label_studio(&dataset, out).await;
        }
        if !self.from_label_studio.is_empty() {
            return self.take_over_label_studio(&dataset).await;
        }
        #[cfg(feature = "aws-a2i")]
        if let Some(action) = self.a2i {
            let flow = self.flow.as_deref();
            return match review_a2i::act(action, flow, &dataset, access, self.json).await? {
                Some(answers) => self.take_over(&dataset, &[answers]).await,
                None => Ok(()),
            };
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
        self.take_over(dataset, &logs).await
    }

    async fn to_label_studio(&self, dataset: &Dataset, out: &Path) -> Result<()> {
        let pictures = self.pictures.clone().map(Pictures::At).unwrap_or_default();
        let options = Options { pictures, unreviewed: self.unreviewed };
        let project = dataset.label_studio_project(&options).await?;
        std::fs::create_dir_all(out).map_err(|e| Error::io("make", out, e))?;
        write_file(&out.join("tasks.json"), &project.tasks, PutMode::Overwrite)?;
        write_file(&out.join("config.xml"), project.config.as_bytes(), PutMode::Overwrite)?;
        if self.json {
            println!("{}", serde_json::json!({"event": "exported", "tasks": project.count, "out": out}));
            return Ok(());
        }
        println!("{}: {} tasks, and the interface in config.xml", out.display(), project.count);
        println!(
            "In Label Studio: Settings, Labeling Interface, Code: paste config.xml; then import tasks.json."
        );
        println!(
            "Afterwards: Export, JSON; picchu review {} --from-label-studio FILE",
            self.dataset.display()
        );
        Ok(())
    }

    async fn take_over_label_studio(&self, dataset: &Dataset) -> Result<()> {
        let mut logs = Vec::new();
        for path in &self.from_label_studio {
            let body = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
            let answers = dataset.read_label_studio(&body, &path.display().to_string())?;
            if !self.json {
                let ways = [
                    (answers.unanswered, "tasks without an annotation"),
                    (answers.skipped, "annotations that were skipped or cancelled"),
                    (answers.empty, "annotations that say nothing"),
                ];
                for (count, what) in ways.into_iter().filter(|(count, _)| *count > 0) {
                    println!("{}: {count} {what}", path.display());
                }
            }
            logs.push(answers.reviews);
        }
        self.take_over(dataset, &logs).await
    }

    async fn take_over(&self, dataset: &Dataset, logs: &[Vec<Decided>]) -> Result<()> {
        let before = dataset.reviews().len();
        let (dataset, conflicts) = dataset.merge_reviews(logs).await?;
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
