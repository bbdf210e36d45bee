//! `picchu generate`: a storyboard, panel by panel.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;

use super::{
    output::{to_json, usage},
    providers::checked_budget,
};
#[cfg(feature = "sagemaker")]
use crate::aws::sagemaker::SageMakerGenerator;
#[cfg(feature = "aws-train")]
use crate::aws::{
    AwsContext,
    bedrock::{CanvasGenerator, CanvasSettings},
};
#[cfg(feature = "local-train")]
use crate::local::lora::{LocalGenerator, LocalGeneratorSettings, LocalTrainer, Python};
use crate::{
    Error, ErrorKind, Generator, Result,
    config::{Access, price_table},
    generate::Storyboard,
    layers::Meter,
};

// Each flag of the command line is a bool.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// The panels, a TOML file: `[[panels]]` with `prompt`, and `seed` and `count` where wanted.
    panels: PathBuf,
    /// Folder for the images and the sheets.
    #[cfg_attr(
        feature = "aws-train",
        arg(long, value_name = "DIR", required_unless_present = "print_request")
    )]
    #[cfg_attr(not(feature = "aws-train"), arg(long, value_name = "DIR", required = true))]
    out: Option<PathBuf>,
    /// Most US dollars to spend; what is drawn is kept, and the same command goes on from there.
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    budget: Option<f64>,
    /// Prices that override the built-in ones, a TOML file.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Say what would be drawn and what it costs; draw nothing.
    #[arg(long)]
    dry_run: bool,
    /// One JSON object a line on standard output.
    #[arg(long)]
    pub(crate) json: bool,
    #[cfg(feature = "local-train")]
    #[command(flatten)]
    local: LocalDrawing,
    #[cfg(feature = "sagemaker")]
    #[command(flatten)]
    sagemaker: SageMakerDrawing,
    #[cfg(feature = "aws-train")]
    #[command(flatten)]
    bedrock: BedrockDrawing,
}

#[cfg(feature = "local-train")]
#[derive(Debug, Args)]
#[command(next_help_heading = "On this machine")]
pub(crate) struct LocalDrawing {
    /// A `LoRA` to draw with: the folder of a finished training job, of a checkpoint, or a file; none draws with the base
    /// model alone.
    #[arg(long, value_name = "PATH")]
    lora: Option<String>,
    /// The base model; the one that the `LoRA` was trained from, unless given.
    #[arg(long, value_name = "ID")]
    base_model: Option<String>,
    /// How strongly the `LoRA` works.
    #[arg(long, value_name = "N", default_value = "1", allow_negative_numbers = true)]
    lora_scale: f64,
    /// Denoising steps.
    #[arg(long, value_name = "N", default_value = "28")]
    steps: u32,
    /// How closely prompts are followed.
    #[arg(long, value_name = "N", default_value = "4")]
    guidance: f64,
    /// Keep parts of the model in the machine's memory until their turn.
    #[arg(long)]
    offload: bool,
    /// The Python with the packages for training; that of the active environment unless given.
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
}

#[cfg(feature = "local-train")]
impl LocalDrawing {
    /// Whether anything was said of who draws.
    pub(crate) fn draws(&self) -> bool {
        self.lora.is_some() || self.base_model.is_some()
    }

    fn generator(&self) -> Result<LocalGenerator> {
        self.with_lora(self.lora.as_deref().unwrap_or_default())
    }

    /// Those who are to be compared: the base model, the checkpoints in their order, the finished `LoRA`.
    pub(crate) fn contestants(&self, checkpoints: bool) -> Result<Vec<(String, LocalGenerator)>> {
        let tuned = self.lora.as_ref().map(|_| self.generator()).transpose()?;
        // The one that the LoRA was trained from.
        let base = match &tuned {
            Some(tuned) => tuned.without_lora(),
            None => self.generator()?,
        };
        let mut found = vec![("base".to_owned(), base)];
        if let Some(job) = self.lora.as_deref().filter(|_| checkpoints) {
            for path in LocalTrainer::checkpoints(job) {
                let name = path.file_name().unwrap_or_default().display().to_string();
                found.push((name, self.with_lora(&path.display().to_string())?));
            }
        }
        found.extend(tuned.map(|tuned| ("lora".to_owned(), tuned)));
        Ok(found)
    }

    fn with_lora(&self, lora: &str) -> Result<LocalGenerator> {
        let settings = LocalGeneratorSettings {
            base_model: self.base_model.clone().unwrap_or_default(),
            lora: lora.to_owned(),
            lora_scale: self.lora_scale,
            steps: self.steps,
            guidance: self.guidance,
            offload: self.offload,
            ..LocalGeneratorSettings::default()
        };
        LocalGenerator::new(self.python.as_ref().map_or_else(Python::from_env, Python::at), settings)
    }
}

#[cfg(feature = "sagemaker")]
#[derive(Debug, Args)]
#[command(next_help_heading = "On Amazon SageMaker")]
struct SageMakerDrawing {
    /// The endpoint that draws, as `picchu deploy` names it. One without a machine gets one first, which takes some minutes.
    #[arg(long, value_name = "ENDPOINT", requires = "images", conflicts_with = "model")]
    endpoint: Option<String>,
    /// Folder on S3 for requests and images, as `picchu deploy` names it.
    #[arg(long, value_name = "S3_FOLDER")]
    images: Option<PathBuf>,
}

#[cfg(feature = "aws-train")]
#[derive(Debug, Args)]
#[command(next_help_heading = "On Amazon Bedrock")]
struct BedrockDrawing {
    /// Who draws on Bedrock: ARN of a deployment, or id of a model; without it, this machine draws.
    #[arg(long, value_name = "ID")]
    model: Option<String>,
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
    #[arg(long, requires = "model")]
    print_request: bool,
}

#[cfg(feature = "aws-train")]
impl BedrockDrawing {
    async fn generator(&self, model: &str, access: &Access, meter: &Arc<Meter>) -> Result<CanvasGenerator> {
        let context = AwsContext::from_env(&access.aws).await?;
        let settings = CanvasSettings {
            cfg_scale: self.cfg_scale,
            premium: !self.standard,
            style: self.style.clone(),
            guide: None,
        };
        CanvasGenerator::new(&context, model, settings, Arc::clone(meter))
    }
}

impl Generate {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let board = storyboard(&self.panels)?;
        let mut meter = Meter::new(price_table(self.prices.as_deref())?);
        if let Some(usd) = self.budget {
            meter = meter.budget(checked_budget(usd)?);
        }
        let meter = Arc::new(meter);
        #[cfg(feature = "aws-train")]
        if let Some(model) = self.bedrock.model.as_deref().filter(|_| self.bedrock.print_request) {
            let generator = self.bedrock.generator(model, access, &meter).await?;
            for request in board.requests() {
                println!("{}", to_json(&generator.cli_input(&request)?)?);
            }
            return Ok(());
        }
        let generator = self.generator(access, &meter).await?;
        let out = self.out.unwrap_or_default();
        let store = access.store(&out)?;
        let open = board.open_requests(&*generator, &store).await?;
        let usd: Option<f64> = open.iter().map(|request| generator.price(request)).sum();
        if self.json {
            println!("{}", serde_json::json!({"event": "plan", "images": open.len(), "usd": usd}));
        } else {
            println!("{} images to draw, {}", open.len(), price(usd));
        }
        if self.dry_run {
            return Ok(());
        }
        let drawn = board.draw(&*generator, &store).await?;
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

    // A build with only one of them waits for nothing.
    #[allow(clippy::unused_async)]
    async fn generator(&self, access: &Access, meter: &Arc<Meter>) -> Result<Arc<dyn Generator>> {
        #[cfg(feature = "sagemaker")]
        if let (Some(endpoint), Some(images)) = (&self.sagemaker.endpoint, &self.sagemaker.images) {
            let context = AwsContext::from_env(&access.aws).await?;
            return Ok(Arc::new(SageMakerGenerator::new(&context, endpoint, access.store(images)?)));
        }
        #[cfg(feature = "aws-train")]
        if let Some(model) = &self.bedrock.model {
            return Ok(Arc::new(self.bedrock.generator(model, access, meter).await?));
        }
        #[cfg(not(feature = "aws-train"))]
        let _ = (access, meter);
        #[cfg(feature = "local-train")]
        {
            Ok(Arc::new(self.local.generator()?))
        }
        #[cfg(not(feature = "local-train"))]
        {
            Err(Error::invalid("name who draws with --model"))
        }
    }
}

/// A storyboard from a file.
pub(crate) fn storyboard(path: &Path) -> Result<Storyboard> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read the panels", path, e))?;
    Storyboard::from_toml(&text)
}

fn price(usd: Option<f64>) -> String {
    match usd {
        Some(0.0) => "at no price for each".into(),
        Some(usd) => format!("about {usd:.2} US dollars"),
        None => "at a price that is not known".into(),
    }
}
