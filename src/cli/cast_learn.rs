//! `picchu cast learn`: people's corrections become reference pictures.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;

use crate::{Cast, Result, cast::Lesson, config::Access, dataset::Dataset};

#[derive(Debug, Args)]
pub(crate) struct Learn {
    /// The cast file that the next run will have; made if there is none.
    cast: PathBuf,
    /// A dataset that people reviewed.
    dataset: PathBuf,
    /// At most so many new pictures of a character, and as many of what is taken for it and is not.
    #[arg(long, value_name = "N", default_value_t = 3)]
    per_character: usize,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Learn {
    pub(crate) async fn run(self, access: &Access) -> Result<()> {
        let dataset = Dataset::open(access.store(&self.dataset)?).await?;
        let corrections = dataset.corrections(self.per_character).await?;
        let (records, lessons): (Vec<_>, Vec<_>) = corrections
            .into_iter()
            .map(|c| (c.record, Lesson { name: c.character, negative: c.negative, picture: c.picture }))
            .unzip();
        let pictures = Cast::learn(&self.cast, &lessons)?;
        if self.json {
            let told = records.iter().zip(&lessons).zip(&pictures).map(|((record, lesson), (path, new))| {
                serde_json::json!({
                    "record": record, "character": lesson.name, "negative": lesson.negative,
                    "picture": path, "new": new,
                })
            });
            println!("{}", serde_json::json!({"cast": self.cast, "pictures": told.collect::<Vec<_>>()}));
            return Ok(());
        }
        let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (lesson, _) in lessons.iter().zip(&pictures).filter(|(_, (_, new))| *new) {
            let (positive, negative) = counts.entry(&lesson.name).or_default();
            *(if lesson.negative { negative } else { positive }) += 1;
        }
        for (name, (positive, negative)) in &counts {
            println!("{name}: {positive} new pictures, {negative} of what is taken for {name} and is not");
        }
        if counts.is_empty() {
            println!(
                "Nothing new to learn: a box teaches when somebody renames it, or rejects it as \"not the character\"."
            );
        } else {
            println!("The next build with {} looks for the cast by them.", self.cast.display());
        }
        Ok(())
    }
}
