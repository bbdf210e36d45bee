//! The command line: arguments become a [`Config`](crate::config::Config), which runs.

// This is the one place that talks to a terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod access;
#[cfg(feature = "aws-bedrock")]
mod batch;
mod build;
mod calibrate;
mod cast;
#[cfg(feature = "aws-rekognition")]
mod cast_faces;
mod cast_film;
mod cast_learn;
#[cfg(any(feature = "aws-rekognition", feature = "aws-bedrock"))]
mod clean;
mod curate;
#[cfg(feature = "aws-train")]
mod deploy;
mod doctor;
mod evaluate;
mod export;
#[cfg(any(feature = "aws-train", feature = "local-train"))]
mod generate;
mod lint;
mod output;
mod providers;
mod report;
mod review;
#[cfg(feature = "aws-a2i")]
mod review_a2i;
mod shots;
mod show;
#[cfg(any(feature = "aws-train", feature = "local-train"))]
mod status;
#[cfg(feature = "local-train")]
mod stop;
#[cfg(any(feature = "aws-train", feature = "local-train"))]
mod train;
mod validate;
#[cfg(all(feature = "aws-s3", feature = "video"))]
mod worker;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use crate::{Error, ErrorKind};

/// From a film to a character-consistent image model.
#[derive(Debug, Parser)]
#[command(name = "picchu", version, about, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    access: access::AccessArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Turn a film and a cast into a dataset of named, cropped, deduplicated, captioned characters.
    Build(Box<build::Build>),
    /// Ask for a dataset's embeddings or captions in batch jobs of Amazon Bedrock, at half the price; then build finds them.
    #[cfg(feature = "aws-bedrock")]
    Batch(Box<batch::Batch>),
    /// Write what a trainer reads.
    Export(export::Export),
    /// Choose a threshold: what each would keep, and the pairs next to the cut as a page to look at.
    Calibrate(calibrate::Calibrate),
    /// Show how long, how varied and how true to the rules the captions of a dataset are.
    Lint(lint::Lint),
    /// Say what is wrong with a dataset, with its mend: every broken rule at once.
    Validate(validate::Validate),
    /// Show where an image comes from and what became of it, from the frame to the caption.
    Show(show::Show),
    /// Review the images on a page of this machine: accept, reject, name, edit, cut anew.
    Review(review::Review),
    /// Write the dataset as one page that needs no server, to send to somebody.
    Report(report::Report),
    /// Merge the datasets of several films, without near-duplicates across films.
    Merge(curate::Merge),
    /// Decide which images train, which are held out, and how many of a character there may be.
    Split(curate::Split),
    /// Count what the images show of each character, and say what is missing.
    Stats(curate::Stats),
    /// Find out who is in a film, cut reference pictures, keep the cast where a service finds it.
    Cast(cast::CastCommand),
    /// Train a model on a dataset: on this machine, on Amazon `SageMaker`, or on Amazon Bedrock if the model can be trained there.
    #[cfg(any(feature = "aws-train", feature = "local-train"))]
    Train(Box<train::Train>),
    /// Show how far training jobs and deployments are.
    #[cfg(any(feature = "aws-train", feature = "local-train"))]
    Status(status::Status),
    /// Stop a training job of this machine; the same `train` goes on with it.
    #[cfg(feature = "local-train")]
    Stop(stop::Stop),
    /// Make a trained model callable; it bills by the hour until `clean`.
    #[cfg(feature = "aws-train")]
    Deploy(deploy::Deploy),
    /// Draw a storyboard, panel by panel.
    #[cfg(any(feature = "aws-train", feature = "local-train"))]
    Generate(generate::Generate),
    /// Score whether the characters held: images of any generator, of a `LoRA` and its base model, of checkpoints.
    Evaluate(Box<evaluate::Evaluate>),
    /// Show what was created in the cloud and what it costs, and remove it.
    #[cfg(any(feature = "aws-rekognition", feature = "aws-bedrock"))]
    Clean(clean::Clean),
    /// Make datasets of films that are uploaded to S3, as events, a queue or a list name them.
    #[cfg(all(feature = "aws-s3", feature = "video"))]
    Worker(Box<worker::WorkerCommand>),
    /// Show how a film is cut: shots, transitions, flashes, black bars, logos.
    Shots(shots::Shots),
    /// Say what is installed, what is missing, and how to get it.
    Doctor(doctor::Doctor),
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed for another reason
  2  wrong arguments or input
  3  something named does not exist
  4  something exists that must not, for example another film's dataset
  5  access refused
  6  a disk, quota or budget is full
  7  a service or storage did not answer; trying again may help
  130  stopped by Ctrl-C; the same command goes on from there";

fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::InvalidInput | ErrorKind::Config | ErrorKind::Decode | ErrorKind::Unsupported => 2,
        ErrorKind::NotFound => 3,
        ErrorKind::AlreadyExists => 4,
        ErrorKind::PermissionDenied => 5,
        ErrorKind::QuotaExceeded => 6,
        ErrorKind::Throttled | ErrorKind::Timeout | ErrorKind::Unavailable => 7,
        ErrorKind::Cancelled => 130,
        _ => 1,
    }
}

/// Runs the command line with these arguments, the program's name first, and gives its exit code.
///
/// ```
/// assert_eq!(picchu::cli::main(["picchu", "show", "no-dataset"].map(Into::into)), 3);
/// ```
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(e) => {
            // Help goes to standard output, what is wrong to standard error; where that is closed, nobody reads it.
            let _ = e.print();
            return u8::try_from(e.exit_code()).unwrap_or(2);
        }
    };
    let access = crate::config::Access::from(cli.access);
    let (json, outcome) = match cli.command {
        Command::Build(command) => (command.json, run(command.run(&access))),
        Command::Export(command) => (command.json, run(command.run(&access))),
        Command::Calibrate(command) => (command.json, run(command.run(&access))),
        Command::Lint(command) => (command.json, run(command.run(&access))),
        Command::Validate(command) => (command.json, run(command.run(&access))),
        Command::Show(command) => (command.json, run(command.run(&access))),
        Command::Review(command) => (command.json, run(command.run(&access))),
        Command::Report(command) => (command.json, run(command.run(&access))),
        Command::Merge(command) => (command.json, run(command.run(&access))),
        Command::Split(command) => (command.json, run(command.run(&access))),
        Command::Stats(command) => (command.json, run(command.run(&access))),
        Command::Cast(command) => (command.json(), run(command.run(&access))),
        #[cfg(feature = "aws-bedrock")]
        Command::Batch(command) => (command.json, run(command.run(&access))),
        #[cfg(any(feature = "aws-train", feature = "local-train"))]
        Command::Train(command) => (command.json, run(command.run(&access))),
        #[cfg(any(feature = "aws-train", feature = "local-train"))]
        Command::Status(command) => (command.json, run(command.run(&access))),
        #[cfg(feature = "local-train")]
        Command::Stop(command) => (command.json, run(command.run(&access))),
        #[cfg(feature = "aws-train")]
        Command::Deploy(command) => (command.json, run(command.run(&access))),
        #[cfg(any(feature = "aws-train", feature = "local-train"))]
        Command::Generate(command) => (command.json, run(command.run(&access))),
        #[cfg(any(feature = "aws-rekognition", feature = "aws-bedrock"))]
        Command::Clean(command) => (command.json, run(command.run(&access))),
        Command::Evaluate(command) => (command.json, run(command.run(&access))),
        #[cfg(all(feature = "aws-s3", feature = "video"))]
        Command::Worker(command) => (true, run(command.run(&access))),
        Command::Shots(command) => (command.json, run(command.run(&access))),
        Command::Doctor(command) => (command.json, run(command.run(&access))),
    };
    match outcome {
        Ok(()) => 0,
        Err(e) => {
            report(&e, json);
            exit_code(e.kind())
        }
    }
}

fn run(command: impl Future<Output = crate::Result<()>>) -> crate::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::internal(format!("cannot start the runtime: {e}")))?
        .block_on(command)
}

fn report(error: &Error, json: bool) {
    if json {
        let line = serde_json::json!({
            "event": "error",
            "kind": error.kind().as_str(),
            "stage": error.stage().map(crate::Stage::as_str),
            "message": error.to_string(),
            "retryable": error.is_retryable(),
        });
        println!("{line}");
    } else {
        eprintln!("error: {error}");
        if matches!(error.kind(), ErrorKind::QuotaExceeded | ErrorKind::Unavailable | ErrorKind::Timeout) {
            eprintln!(
                "Finished work is kept: once there is room or an answer, the same command goes on from there."
            );
        }
    }
}
