//! `picchu doctor`: what is installed, what is missing, how to get it.

use std::{fs::File, path::Path, time::Duration};

use clap::Args;
use futures::TryStreamExt;
use image::{Delay, Frame, RgbaImage, codecs::gif::GifEncoder};
use serde::Serialize;

use crate::{
    Error, Result, Sampling,
    config::{Access, open_film},
    dedupe::Kernel,
};

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Ask Amazon's services too: whose credentials are used, which services answer, which models are still alive.
    /// Costs nothing.
    #[cfg(feature = "aws")]
    #[arg(long)]
    aws: bool,
    /// One more model of Amazon Bedrock to ask about.
    #[cfg(feature = "aws-bedrock")]
    #[arg(long = "model", value_name = "ID", requires = "aws")]
    models: Vec<String>,
    /// A configuration, a TOML file with what `Config` or `Training` of the Rust interface hold: asks about its models of
    /// Amazon Bedrock.
    #[cfg(feature = "aws-train")]
    #[arg(long, value_name = "FILE", requires = "aws")]
    config: Option<std::path::PathBuf>,
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

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, ok: true, found: found.into(), mend: None }
    }

    fn problem(name: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, ok: false, found: found.into(), mend: Some(mend.into()) }
    }
}

impl Doctor {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        for check in self.checks(access).await? {
            if self.json {
                println!("{}", serde_json::json!(check));
            } else {
                println!(
                    "{} {:<16} {}",
                    if check.ok { "ok     " } else { "problem" },
                    check.name,
                    check.found
                );
                if let Some(mend) = check.mend {
                    println!("        {:<16} {mend}", "");
                }
            }
        }
        Ok(())
    }

    async fn checks(&self, access: &Access) -> Result<Vec<Check>> {
        #[cfg(not(feature = "aws"))]
        let _ = access;
        #[cfg_attr(not(any(feature = "aws", feature = "onnx")), allow(unused_mut))]
        let mut checks = vec![version(), video().await, dedupe(), temporary_files()];
        #[cfg(feature = "onnx")]
        checks.push(onnx().await);
        #[cfg(feature = "aws")]
        checks.extend(self.amazon(&access.aws, &self.named_models()?).await);
        Ok(checks)
    }
}

/// Loads the library: says more than that a file is there.
#[cfg(feature = "onnx")]
async fn onnx() -> Check {
    let name = "onnx runtime";
    let loaded = tokio::task::spawn_blocking(crate::local::onnx::OnnxRuntime::from_env).await;
    match loaded.map_err(|e| Error::internal(e.to_string())).and_then(|loaded| loaded) {
        Ok(runtime) => Check::ok(name, format!("{}, {}", runtime.version(), runtime.library().display())),
        Err(e) => {
            Check::problem(name, e.to_string(), "needed only for models of your own: see docs/models.md")
        }
    }
}

#[cfg(feature = "aws")]
impl Doctor {
    /// The models that the arguments name.
    fn named_models(&self) -> Result<Vec<String>> {
        #[cfg_attr(not(feature = "aws-bedrock"), allow(unused_mut))]
        let mut models = Vec::new();
        #[cfg(feature = "aws-train")]
        if let Some(file) = &self.config {
            models.extend(crate::config::bedrock_models_in(file)?);
        }
        #[cfg(feature = "aws-bedrock")]
        models.extend(self.models.iter().cloned());
        Ok(models)
    }

    async fn amazon(&self, settings: &crate::aws::AwsSettings, named: &[String]) -> Vec<Check> {
        use crate::aws::{AwsContext, ask_services};

        if !self.aws {
            let region = match &settings.region {
                Some(region) => Some(region.clone()),
                None => AwsContext::region_from_env().await,
            };
            return vec![match region {
                Some(region) => Check::ok("aws", format!("Region {region}; --aws asks the services")),
                None => Check::problem(
                    "aws",
                    "no Region is set",
                    "needed only for Amazon's services: set AWS_REGION or a profile, or give --aws-region",
                ),
            }];
        }
        let context = match AwsContext::from_env(settings).await {
            Ok(context) => context,
            Err(e) => return vec![Check::problem("aws", e.to_string(), "give --aws-region")],
        };
        let mut checks = vec![Check::ok("aws", format!("Region {}", context.region()))];
        match context.access_key_id().await {
            // The end is enough to tell keys apart.
            Ok(id) => {
                let end: String = id.chars().skip(id.chars().count().saturating_sub(4)).collect();
                checks.push(Check::ok("credentials", format!("access key …{end}")));
            }
            Err(e) => {
                checks.push(Check::problem("credentials", e.to_string(), "the services need them"));
                return checks;
            }
        }
        for answer in ask_services(&context).await {
            checks.push(match &answer.answer {
                Ok(()) => Check::ok(answer.service, "answers"),
                Err(_) if answer.only_refused() => {
                    Check::ok(answer.service, format!("answers, and does not allow {}", answer.asked))
                }
                Err(e) => Check::problem(
                    answer.service,
                    e.to_string(),
                    "check Region, endpoint and credentials; not every service is in every Region",
                ),
            });
        }
        #[cfg(feature = "aws-bedrock")]
        checks.extend(lives(&context, named).await);
        #[cfg(not(feature = "aws-bedrock"))]
        let _ = named;
        checks
    }
}

/// Whether the models that are named here, and those that picchu uses unless told otherwise, are still alive.
#[cfg(feature = "aws-bedrock")]
async fn lives(context: &crate::aws::AwsContext, named: &[String]) -> Vec<Check> {
    use crate::aws::bedrock::{Lifecycle, MODELS, model_life};

    let others = MODELS.iter().copied().filter(|model| !named.iter().any(|name| name == model));
    let models = named.iter().map(String::as_str).chain(others);
    let lives = models.map(|model| async move {
        match model_life(context, model).await {
            Ok(life) if matches!(life.lifecycle, Lifecycle::Active { .. }) => {
                Check::ok("model", life.to_string())
            }
            Ok(life) => Check::problem("model", life.to_string(), "name another model"),
            Err(e) => Check::problem(
                "model",
                format!("{model}: {e}"),
                "needs bedrock:GetFoundationModel; is the model in this Region?",
            ),
        }
    });
    futures::future::join_all(lives).await
}

fn version() -> Check {
    let found =
        format!("{} on {}-{}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS);
    Check::ok("picchu", found)
}

/// Decodes a film made on the spot: says more than that a program is there.
async fn video() -> Check {
    match decode_three_pictures().await {
        Ok(()) => Check::ok("video", "decodes, in a process of its own"),
        Err(e) => Check::problem(
            "video",
            e.to_string(),
            "build with the feature \"video\" (a C compiler, make and Python 3.11 are needed), or name a \
             picchu-decode program in PICCHU_DECODER; folders of pictures work without",
        ),
    }
}

async fn decode_three_pictures() -> Result<()> {
    let folder =
        tempfile::tempdir().map_err(|e| Error::io("create a folder in", &std::env::temp_dir(), e))?;
    let path = folder.path().join("test.gif");
    write_gif(&path)?;
    let frames: Vec<_> = open_film(&path)?.frames(&Sampling::all()).try_collect().await?;
    if frames.len() == 3 {
        Ok(())
    } else {
        Err(Error::internal(format!("{} of 3 pictures came back", frames.len())))
    }
}

fn write_gif(path: &Path) -> Result<()> {
    let file = File::create(path).map_err(|e| Error::io("write", path, e))?;
    let pictures = (0..3_u8).map(|n| {
        let picture = RgbaImage::from_pixel(64, 48, image::Rgba([80 * n, 40, 200, 255]));
        Frame::from_parts(picture, 0, 0, Delay::from_saturating_duration(Duration::from_secs(1)))
    });
    GifEncoder::new(file)
        .encode_frames(pictures)
        .map_err(|e| Error::internal(format!("cannot write a GIF: {e}")))
}

fn dedupe() -> Check {
    Check::ok("dedupe", format!("{:?} kernel", Kernel::best()))
}

/// The decoder and the stores write there.
fn temporary_files() -> Check {
    let place = std::env::temp_dir();
    match tempfile::tempfile() {
        Ok(_) => Check::ok("temporary files", place.display().to_string()),
        Err(e) => Check::problem(
            "temporary files",
            format!("{}: {e}", place.display()),
            "point TMPDIR at a folder that can be written",
        ),
    }
}
