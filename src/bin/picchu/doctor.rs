//! `picchu doctor`: what is installed, what is missing, how to get it.

use std::{fs::File, path::Path, time::Duration};

use clap::Args;
use futures::TryStreamExt;
use image::{Delay, Frame, RgbaImage, codecs::gif::GifEncoder};
use picchu::{Error, Result, Sampling, config::open_film, dedupe::Kernel};
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
    pub(crate) async fn run(self) -> Result<()> {
        for check in checks().await {
            if self.json {
                println!("{}", serde_json::json!(check));
            } else {
                println!(
                    "{} {:<16} {}",
                    if check.ok { "ok     " } else { "missing" },
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
}

async fn checks() -> Vec<Check> {
    vec![
        version(),
        video().await,
        dedupe(),
        temporary_files(),
        #[cfg(feature = "aws")]
        aws().await,
    ]
}

/// Without a network: whether a Region is set. Credentials are looked for by the first call.
#[cfg(feature = "aws")]
async fn aws() -> Check {
    let name = "aws";
    match picchu::aws::AwsContext::region_from_env().await {
        Some(region) => {
            let found = format!("Region {region}; credentials are looked for at the first call");
            Check { name, ok: true, found, mend: None }
        }
        None => Check {
            name,
            ok: false,
            found: "no Region is set".into(),
            mend: Some(
                "needed only for Amazon's services: set AWS_REGION or a profile, or give --aws-region".into(),
            ),
        },
    }
}

fn version() -> Check {
    let found =
        format!("{} on {}-{}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS);
    Check { name: "picchu", ok: true, found, mend: None }
}

/// Decodes a film made on the spot: says more than that a program is there.
async fn video() -> Check {
    let name = "video";
    match decode_three_pictures().await {
        Ok(()) => Check { name, ok: true, found: "decodes, in a process of its own".into(), mend: None },
        Err(e) => Check {
            name,
            ok: false,
            found: e.to_string(),
            mend: Some(
                "build with the feature \"video\" (a C compiler, make and Python 3.11 are needed), or name a \
                 picchu-decode program in PICCHU_DECODER; folders of pictures work without"
                    .into(),
            ),
        },
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
    Check { name: "dedupe", ok: true, found: format!("{:?} kernel", Kernel::best()), mend: None }
}

/// The decoder and the stores write there.
fn temporary_files() -> Check {
    let place = std::env::temp_dir();
    let (ok, found, mend) = match tempfile::tempfile() {
        Ok(_) => (true, place.display().to_string(), None),
        Err(e) => (
            false,
            format!("{}: {e}", place.display()),
            Some("point TMPDIR at a folder that can be written".into()),
        ),
    };
    Check { name: "temporary files", ok, found, mend }
}
