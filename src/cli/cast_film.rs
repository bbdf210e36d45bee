//! `picchu cast suggest` and `picchu cast add`: a cast from the film itself.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::{
    Cast, Error, Result,
    cast::{Cutting, PAGE, Region},
    config::Access,
    detect::{SuggestOptions, suggest_cast},
};

#[derive(Debug, Args)]
pub(crate) struct Suggest {
    /// A video file, or a folder of pictures.
    film: PathBuf,
    /// Where pictures, page and cast file go.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// At most so many groups.
    #[arg(long, value_name = "N", default_value_t = SuggestOptions::default().groups)]
    groups: usize,
    /// In how many frames to look.
    #[arg(long, value_name = "N", default_value_t = SuggestOptions::default().frames)]
    frames: usize,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The cast file; made if there is none.
    cast: PathBuf,
    /// Name of the character; a new one is added.
    #[arg(long)]
    name: String,
    /// A video file, or a folder of pictures.
    #[arg(long)]
    film: PathBuf,
    /// Time of the frame, in seconds.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    at: f64,
    /// Tightly around the character: left,top,width,height in pixels, or in ratios of the frame.
    #[arg(long = "box", value_name = "BOX", allow_hyphen_values = true)]
    region: Region,
    /// What the box shows is taken for the character and is not.
    #[arg(long)]
    not: bool,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Suggest {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let film = access.film(&self.film)?;
        let options = SuggestOptions { groups: self.groups, frames: self.frames, ..Default::default() };
        let groups = suggest_cast(&*film, &options).await?;
        let path = Cast::write_draft(&groups, &film.probe().await?.name, &self.out)?;
        let page = self.out.join(PAGE);
        if self.json {
            let sizes: Vec<_> =
                groups.iter().map(|g| serde_json::json!({"frames": g.frames, "scenes": g.scenes})).collect();
            println!("{}", serde_json::json!({"cast": path, "page": page, "groups": sizes}));
        } else {
            println!(
                "{} groups. Look at {}, then name them in {}",
                groups.len(),
                page.display(),
                path.display()
            );
        }
        Ok(())
    }
}

impl Add {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let at = Duration::try_from_secs_f64(self.at)
            .map_err(|_| Error::invalid(format!("--at is {}; it must be a time in seconds", self.at)))?;
        let film = access.film(&self.film)?;
        let cutting = Cutting { name: self.name, at, region: self.region, negative: self.not };
        let picture = Cast::add_reference(&self.cast, &*film, &cutting).await?;
        if self.json {
            println!("{}", serde_json::json!({"picture": picture, "cast": self.cast}));
        } else {
            println!("{} is now in {}", picture.display(), self.cast.display());
        }
        Ok(())
    }
}
