//! `picchu generate`: a storyboard, panel by panel.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use picchu::{
    Error, ErrorKind, Result,
    aws::{
        AwsContext,
        bedrock::{CanvasGenerator, CanvasSettings},
    },
    config::{Access, price_table},
    generate::{Generator, Storyboard},
    layers::Meter,
};

use crate::{
    output::{to_json, usage},
    providers::checked_budget,
};

// Each flag of the command line is a bool.
#[allow(clippy::struct_excessive_bools)]
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
    /// Most US dollars to spend; what is drawn is kept, and the same command goes on from there.
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    budget: Option<f64>,
    /// Prices that override the built-in ones, a TOML file.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Say what would be drawn and what it costs; draw nothing.
    #[arg(long)]
    dry_run: bool,
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
        let mut meter = Meter::new(price_table(self.prices.as_deref())?);
        if let Some(usd) = self.budget {
            meter = meter.budget(checked_budget(usd)?);
        }
        let meter = Arc::new(meter);
        let generator = CanvasGenerator::new(&context, &self.model, settings, Arc::clone(&meter))?;
        let Some(out) = self.out.filter(|_| !self.print_request) else {
            for request in board.requests() {
                println!("{}", to_json(&generator.cli_input(&request)?)?);
            }
            return Ok(());
        };
        let store = access.store(&out)?;
        let open = board.open_requests(&generator, &store).await?;
        let usd: Option<f64> = open.iter().map(|request| generator.price(request)).sum();
        if self.json {
            println!("{}", serde_json::json!({"event": "plan", "images": open.len(), "usd": usd}));
        } else {
            println!("{} images to draw, {}", open.len(), price(usd));
        }
        if self.dry_run {
            return Ok(());
        }
        let drawn = board.draw(&generator, &store).await?;
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
        let used = meter.total();
        if self.json {
            println!("{}", serde_json::json!({"event": "usage", "usage": used}));
        } else {
            if let Some(words) = usage(&used) {
                println!("{words}");
            }
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

fn price(usd: Option<f64>) -> String {
    match usd {
        Some(0.0) => "at no price for each".into(),
        Some(usd) => format!("about {usd:.2} US dollars"),
        None => "at a price that is not known".into(),
    }
}
