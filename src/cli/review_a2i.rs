//! `picchu review --a2i`: people of an Amazon A2I flow decide about a dataset.

use clap::ValueEnum;

use super::output::to_json;
use crate::{
    Error, ErrorKind, Result,
    aws::{
        AwsContext,
        a2i::{A2iReviewer, LoopStatus, TEMPLATE},
    },
    config::Access,
    dataset::Dataset,
    types::Review,
};

/// What to do with the loops of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    /// Print the worker task template
    Template,
    /// Start a loop for each image that nobody decided about; loops that are there are not started again
    Start,
    /// Tell how far the loops are
    Status,
    /// Take over the answers of completed loops
    Read,
    /// Stop the loops that people work on
    Stop,
    /// Delete the loops that ended
    Delete,
}

/// Does it. Gives the decisions that are to be taken over, for [`Action::Read`].
pub(crate) async fn act(
    action: Action,
    flow: Option<&str>,
    dataset: &Dataset,
    access: &Access,
    json: bool,
) -> Result<Option<Vec<Review>>> {
    if action == Action::Template {
        print!("{TEMPLATE}");
        return Ok(None);
    }
    let Some(flow) = flow else {
        return Err(Error::new(
            ErrorKind::Config,
            "--a2i needs --flow: the ARN of the flow definition, arn:aws:sagemaker:…:flow-definition/NAME",
        ));
    };
    let reviewer = A2iReviewer::new(&AwsContext::from_env(&access.aws).await?, flow)?;
    let tell = |event: &str, count: usize, words: &str| {
        if json {
            println!("{}", serde_json::json!({"event": event, "loops": count}));
        } else {
            println!("{count} loops {words}");
        }
    };
    match action {
        Action::Template => {}
        Action::Start => {
            let done = reviewer.start(dataset).await?;
            if json {
                println!(
                    "{}",
                    serde_json::json!({"event": "started", "started": done.started, "there": done.there})
                );
            } else {
                println!("{} loops started, {} were there already", done.started, done.there);
            }
        }
        Action::Status => {
            let loops = reviewer.follow(dataset).await?;
            if json {
                println!("{}", to_json(&serde_json::json!({"event": "status", "loops": loops}))?);
                return Ok(None);
            }
            let count = |status| loops.iter().filter(|human_loop| human_loop.status == status).count();
            println!(
                "{} loops: {} in progress, {} completed, {} failed, {} stopped",
                loops.len(),
                count(LoopStatus::InProgress),
                count(LoopStatus::Completed),
                count(LoopStatus::Failed),
                count(LoopStatus::Stopping) + count(LoopStatus::Stopped)
            );
            for human_loop in &loops {
                if let Some(reason) = &human_loop.reason {
                    println!("{}: {reason}", human_loop.record);
                }
            }
        }
        Action::Read => {
            let answers = reviewer.read(dataset).await?;
            if !json {
                println!(
                    "{} loops read, {} in progress, {} without an answer",
                    answers.read, answers.waiting, answers.without_answer
                );
            }
            return Ok(Some(answers.reviews));
        }
        Action::Stop => tell("stopped", reviewer.stop(dataset).await?, "stopped"),
        Action::Delete => tell("deleted", reviewer.delete(dataset).await?, "deleted"),
    }
    Ok(None)
}
