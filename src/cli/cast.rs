//! `picchu cast`: the cast from a film, and where a service keeps it.

use clap::{Args, Subcommand};

#[cfg(feature = "aws-rekognition")]
use super::cast_faces::{Delete, Enrol};
use super::{
    cast_film::{Add, Suggest},
    cast_learn::Learn,
};
use crate::{Result, config::Access};

#[derive(Debug, Args)]
pub(crate) struct CastCommand {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Look for whoever comes again and again in a film; write their pictures and a cast file to be named.
    Suggest(Suggest),
    /// Cut a reference picture from a film by time and box, and name it in a cast file.
    Add(Add),
    /// Make reference pictures of what people corrected in a dataset: who a box really shows, and who it does not.
    Learn(Learn),
    #[cfg(feature = "aws-rekognition")]
    /// Put the faces of the cast's reference pictures into an Amazon Rekognition collection.
    Enrol(Enrol),
    #[cfg(feature = "aws-rekognition")]
    /// Delete a collection with its faces.
    Delete(Delete),
}

impl CastCommand {
    pub(crate) fn json(&self) -> bool {
        match &self.command {
            What::Suggest(suggest) => suggest.json,
            What::Add(add) => add.json,
            What::Learn(learn) => learn.json,
            #[cfg(feature = "aws-rekognition")]
            What::Enrol(enrol) => enrol.json,
            #[cfg(feature = "aws-rekognition")]
            What::Delete(delete) => delete.json,
        }
    }

    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        match self.command {
            What::Suggest(suggest) => suggest.run(access).await,
            What::Add(add) => add.run(access).await,
            What::Learn(learn) => learn.run(access).await,
            #[cfg(feature = "aws-rekognition")]
            What::Enrol(enrol) => enrol.run(access).await,
            #[cfg(feature = "aws-rekognition")]
            What::Delete(delete) => delete.run(access).await,
        }
    }
}
