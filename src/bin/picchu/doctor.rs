//! `picchu doctor`: what is installed, what is missing, how to get it.

use clap::Args;
use picchu::Result;
use serde::Serialize;

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// One JSON object a line on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    found: String,
    /// What to do, where something is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Doctor {
    // Like its siblings, which do wait for something.
    #[allow(clippy::unused_async)]
    pub(crate) async fn run(self) -> Result<()> {
        for check in checks().await {
            if self.json {
                println!("{}", serde_json::json!(check));
            } else {
                println!("{} {:<16} {}", if check.ok { "ok     " } else { "missing" }, check.name, check.found);
                if let Some(mend) = check.mend {
                    println!("        {:<16} {mend}", "");
                }
            }
        }
        Ok(())
    }
}
