//! `picchu cast enrol` and `picchu cast delete`: the cast's faces where a service finds them.

use std::path::{Path, PathBuf};

use clap::Args;

use super::output::{to_json, usage};
use crate::{
    Cast, Result,
    config::{Access, CastService},
    train::Ledger,
};

#[derive(Debug, Args)]
pub(crate) struct Enrol {
    /// The cast file.
    cast: PathBuf,
    /// Id of the collection; it is made if it does not exist.
    #[arg(long, value_name = "ID")]
    collection: String,
    /// Join the faces of each character to a user, for `--search-users`.
    #[arg(long)]
    users: bool,
    /// Folder whose `ledger.jsonl` remembers the collection for `picchu clean`. Default: the cast file's.
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Id of the collection.
    #[arg(long, value_name = "ID")]
    collection: String,
    /// Folder whose `ledger.jsonl` remembers the collection.
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Enrol {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let cast = Cast::load(&self.cast)?;
        let folder = self.cast.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let ledger = Ledger::new(access.store(self.ledger.as_deref().unwrap_or(folder))?);
        let service = CastService::open(&access.aws, &self.collection).await?;
        let enrolment = service.enrol(&cast, self.users, &ledger).await?;
        if self.json {
            println!("{}", to_json(&enrolment)?);
            return Ok(());
        }
        println!("collection {}{}", enrolment.collection, if enrolment.created { " (new)" } else { "" });
        for reference in &enrolment.references {
            println!("  {} {}: {}", reference.character, reference.picture, reference.outcome);
        }
        for (name, faces) in &enrolment.users {
            println!("  {name}: {faces} faces joined to a user");
        }
        if let Some(words) = usage(&service.usage()) {
            println!("{words}");
        }
        Ok(())
    }
}

impl Delete {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let ledger = match &self.ledger {
            Some(folder) => Some(Ledger::new(access.store(folder)?)),
            None => None,
        };
        CastService::open(&access.aws, &self.collection).await?.delete(ledger.as_ref()).await?;
        if self.json {
            println!("{}", serde_json::json!({"event": "deleted", "collection": self.collection}));
        } else {
            println!("collection {} is deleted", self.collection);
        }
        Ok(())
    }
}
