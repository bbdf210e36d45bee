//! `picchu shots`: how a film is cut, and what lies over it.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::output::to_json;
use crate::{
    Result,
    config::Access,
    source::{Analysis, analyse},
    types::{Content, PixelRect},
};

#[derive(Debug, Args)]
pub(crate) struct Shots {
    /// A video file, or a folder of pictures.
    film: PathBuf,
    /// One JSON object on standard output, with every drawing.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Shots {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let analysis = analyse(&*access.film(&self.film)?).await?;
        if self.json {
            println!("{}", to_json(&analysis)?);
        } else {
            show(&analysis);
        }
        Ok(())
    }
}

fn show(analysis: &Analysis) {
    println!("{:>5}  {:>10}  {:>10}  {:>8}  entered by", "shot", "start", "end", "drawings");
    for shot in &analysis.shots {
        let drawings = analysis.drawings.iter().filter(|drawing| shot.contains(drawing.start)).count();
        let entered = match shot.transition {
            None => String::new(),
            Some(t) if t.start == t.end => t.kind.as_str().to_owned(),
            Some(t) => format!("{} from {} to {}", t.kind.as_str(), seconds(t.start), seconds(t.end)),
        };
        let (start, end) = (seconds(shot.start), seconds(shot.end));
        println!("{:>5}  {start:>10}  {end:>10}  {drawings:>8}  {entered}", shot.number);
    }
    for flash in &analysis.flashes {
        println!("flash from {} to {}", seconds(flash.start), seconds(flash.end));
    }
    let of = |content: Content| analysis.drawings.iter().filter(|d| d.content == content).count();
    println!(
        "{} pictures, {} drawings: {} black, {} of one colour, {} with writing alone",
        analysis.pictures,
        analysis.drawings.len(),
        of(Content::Black),
        of(Content::Flat),
        of(Content::Writing)
    );
    if let Some(picture) = analysis.picture {
        println!("black bars around the picture of {}", rect(picture));
    }
    for overlay in &analysis.overlays {
        println!("the same lies over all shots at {}", rect(*overlay));
    }
    for gap in &analysis.gaps {
        let until = gap.until.map_or_else(|| "the end".into(), seconds);
        println!("gap from {} to {until}: {}", seconds(gap.from), gap.reason);
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

fn rect(rect: PixelRect) -> String {
    format!("{}×{} px at ({}, {})", rect.width, rect.height, rect.x, rect.y)
}
