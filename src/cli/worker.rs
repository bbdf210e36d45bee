//! `picchu worker`: films that were uploaded become datasets, by themselves.

use std::{io::Read, path::PathBuf, time::Duration};

use clap::Args;

use crate::{
    Error, ErrorKind, Result,
    config::Access,
    worker::{Halt, Log, Settings, Upload, Worker, check_health},
};

/// An event is far shorter.
const LONGEST_EVENT: u64 = 1 << 20;

#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(crate) struct WorkerCommand {
    /// The film: `s3://bucket/key`.
    film: Option<String>,
    /// The film's bucket, with --key; as the environment of a task that an event started says it.
    #[arg(long, env = "PICCHU_BUCKET", requires = "key", hide_env_values = true)]
    bucket: Option<String>,
    /// The film's key.
    #[arg(long, env = "PICCHU_KEY", hide_env_values = true)]
    key: Option<String>,
    /// The film's version; the newest unless given.
    #[arg(long, env = "PICCHU_VERSION", hide_env_values = true)]
    version_id: Option<String>,
    /// The film's entity tag, for buckets that keep no versions: another object in its place is left to its own event.
    #[arg(long, env = "PICCHU_ETAG", hide_env_values = true)]
    etag: Option<String>,
    /// An event of Amazon EventBridge that tells of the film: a file, or - for standard input.
    #[arg(long, value_name = "FILE")]
    event: Option<PathBuf>,
    /// A queue of Amazon SQS with such events. It needs a dead-letter queue.
    #[cfg(feature = "aws-sqs")]
    #[arg(long, value_name = "URL", env = "PICCHU_QUEUE")]
    queue: Option<String>,
    /// A list of films, one `s3://bucket/key` a line, here or on S3; --index says which one, otherwise all are worked on.
    #[arg(long, value_name = "PLACE", env = "PICCHU_FILMS")]
    list: Option<String>,
    /// Which film of the list, from 0.
    #[arg(long, value_name = "N", env = "AWS_BATCH_JOB_ARRAY_INDEX")]
    index: Option<usize>,
    /// The folder with `worker.toml`, here or on S3.
    #[arg(long, value_name = "PLACE", env = "PICCHU_SETTINGS", default_value = "/etc/picchu")]
    settings: String,
    /// Below where datasets and reports go, instead of the place that `worker.toml` names.
    #[arg(long, value_name = "PLACE", env = "PICCHU_OUTPUT")]
    output: Option<String>,
    /// End when nothing waits in the queue any more.
    #[cfg(feature = "aws-sqs")]
    #[arg(long, requires = "queue")]
    until_empty: bool,
    /// How long to go on with what is under way after SIGTERM.
    #[arg(long, value_name = "SECONDS", env = "PICCHU_GRACE", default_value_t = 25)]
    grace: u64,
    /// A file to keep rewriting while the work goes on.
    #[arg(long, value_name = "FILE", env = "PICCHU_HEALTH")]
    health: Option<PathBuf>,
    /// How long the work may stand still before the file is rewritten no more.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    stalled: u64,
    /// Say by the exit code whether the worker that writes --health is alive, and do nothing else.
    #[arg(long, requires = "health")]
    check_health: bool,
}

const AFTER: &str = "\
Where several are given, in this order: a film, an event, bucket and key, a list, a queue.
One JSON object a line on standard output; lines with \"_aws\" are metrics. What became of a film stands in
OUTPUT/reports/NAME.json, its dataset in OUTPUT/NAME; the name follows from bucket, key and version alone.
docs/worker.md says how a worker is deployed.";

/// What a worker is given to do.
enum Work {
    Films(Vec<Upload>),
    #[cfg(feature = "aws-sqs")]
    Queue(String),
}

impl WorkerCommand {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        if let (true, Some(path)) = (self.check_health, &self.health) {
            return check_health(path);
        }
        let settings = Settings::load(&self.settings, self.output.as_deref(), access).await?;
        let worker =
            Worker::new(settings, Log::new(std::io::stdout())).grace(Duration::from_secs(self.grace));
        halt_on_signals(worker.halt())?;
        if let Some(path) = &self.health {
            tokio::spawn(worker.show_health(path.clone(), Duration::from_secs(self.stalled)));
        }
        let ended = match self.work(&worker).await? {
            Work::Films(films) => self.films(&worker, films).await,
            #[cfg(feature = "aws-sqs")]
            Work::Queue(url) => {
                let context = crate::aws::AwsContext::from_env(&access.aws).await?;
                let queue = crate::aws::Queue::open(&url, &context).await?;
                worker.serve(&queue, self.until_empty).await.map(drop)
            }
        };
        worker.farewell(match &ended {
            Ok(()) => "done",
            Err(e) => e.kind().as_str(),
        });
        ended
    }

    async fn work(&self, worker: &Worker) -> Result<Work> {
        let version = || (self.version_id.clone(), self.etag.clone());
        let film = if let Some(address) = &self.film {
            let Upload { bucket, key, .. } = Upload::at(address)?;
            let (version, etag) = version();
            Upload::new(bucket, key, version, etag)?
        } else if let Some(event) = &self.event {
            match Upload::from_event(&read_event(event)?)? {
                Some(upload) => upload,
                None => return Ok(Work::Films(Vec::new())),
            }
        } else if let (Some(bucket), Some(key)) = (&self.bucket, &self.key) {
            let (version, etag) = version();
            Upload::new(bucket, key, version, etag)?
        } else if let Some(list) = &self.list {
            let mut films = worker.list(list).await?;
            let Some(index) = self.index else { return Ok(Work::Films(films)) };
            if index >= films.len() {
                return Err(Error::invalid(format!(
                    "{list} names {} films; there is no number {index}",
                    films.len()
                )));
            }
            films.swap_remove(index)
        } else {
            #[cfg(feature = "aws-sqs")]
            if let Some(url) = &self.queue {
                return Ok(Work::Queue(url.clone()));
            }
            return Err(Error::new(
                ErrorKind::Config,
                "nothing to do: give a film, --event, --queue or --list, or set PICCHU_BUCKET and PICCHU_KEY",
            ));
        };
        Ok(Work::Films(vec![film]))
    }

    /// Every film, whatever becomes of the others; the first failure is the command's.
    async fn films(&self, worker: &Worker, films: Vec<Upload>) -> Result<()> {
        let mut ended = Ok(());
        for film in films {
            let outcome = worker.one(film).await.into_result();
            if outcome.as_ref().is_err_and(|e| e.kind() == ErrorKind::Cancelled) {
                return outcome;
            }
            ended = ended.and(outcome);
        }
        ended
    }
}

fn read_event(path: &std::path::Path) -> Result<String> {
    let fail = |e: std::io::Error| Error::io("read the event", path, e);
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(LONGEST_EVENT).read_to_string(&mut text).map_err(fail)?;
    } else {
        std::fs::File::open(path)
            .map_err(fail)?
            .take(LONGEST_EVENT)
            .read_to_string(&mut text)
            .map_err(fail)?;
    }
    Ok(text)
}

/// SIGTERM, with which Amazon ECS and others end a task, and Ctrl-C.
fn halt_on_signals(halt: Halt) -> Result<()> {
    #[cfg(unix)]
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|e| Error::internal(format!("cannot listen for signals: {e}")))?;
    tokio::spawn(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = terminated.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
        halt.request();
    });
    Ok(())
}
