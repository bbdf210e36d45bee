//! `picchu generate`: a storyboard, panel by panel.

use std::path::PathBuf;

use clap::Args;
use picchu::{
    Error, ErrorKind, Result,
    aws::{
        AwsContext,
        bedrock::{CanvasGenerator, CanvasSettings},
    },
    config::Access,
    generate::Storyboard,
};

use crate::output::to_json;

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// The panels, a TOML file: `[[panels]]` with `prompt`, and `seed` and `count` where wanted.
    panels: PathBuf,
    /// Who draws: ARN of a deployment, or id of a model.
    #[arg(long, value_name = "ID")]
    model: String,
    /// Folder for the images and the sheets.
    #[arg(long, value_name = "DIR", required_unless_present = "print_request")]
    out: Option<PathBuf>,
    /// How closely prompts are followed, 1.1 to 10.
    #[arg(long, value_name = "N", default_value = "8")]
    cfg_scale: f32,
    /// A look that the model knows by name, for example `FLAT_VECTOR_ILLUSTRATION`.
    #[arg(long, value_name = "NAME")]
    style: Option<String>,
    /// Draw in the cheaper quality.
    #[arg(long)]
    standard: bool,
    /// Print the requests, one a line, as `aws bedrock-runtime invoke-model --cli-input-json` takes them; draw nothing.
    #[arg(long)]
    print_request: bool,
    /// One JSON object a line on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Generate {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let text = std::fs::read_to_string(&self.panels)
            .map_err(|e| Error::io("read the panels", &self.panels, e))?;
        let board = Storyboard::from_toml(&text)?;
        let context = AwsContext::from_env(&access.aws).await?;
        let settings = CanvasSettings {
            cfg_scale: self.cfg_scale,
            premium: !self.standard,
            style: self.style,
            guide: None,
        };
        let generator = CanvasGenerator::new(&context, &self.model, settings)?;
        let Some(out) = self.out.filter(|_| !self.print_request) else {
            for request in board.requests() {
                println!("{}", to_json(&generator.cli_input(&request)?)?);
            }
            return Ok(());
        };
        let drawn = board.draw(&generator, &access.store(&out)?).await?;
        let mut failed = 0;
        for (number, panel) in (1..).zip(&drawn) {
            failed += usize::from(panel.failure.is_some());
            if self.json {
                println!("{}", to_json(&serde_json::json!({"event": "panel", "panel": panel}))?);
            } else {
                match &panel.failure {
                    None => println!("panel {number}: {} images", panel.images.len()),
                    Some(why) => println!("panel {number}: {} images; {why}", panel.images.len()),
                }
            }
        }
        if !self.json {
            println!("Look at {}", out.join("storyboard.html").display());
        }
        if failed > 0 {
            return Err(Error::new(
                ErrorKind::ContentFiltered,
                format!(
                    "{failed} of {} panels are not whole; the same command draws them again",
                    drawn.len()
                ),
            ));
        }
        Ok(())
    }
}
