//! The result at a glance: one page, no scripts, no network.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Header;
use crate::types::{Outcome, Record};

const STYLE: &str = "
:root { color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 90rem; padding: 0 1rem; }
h2 { margin-top: 2.5rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid #8884; border-radius: .5rem; overflow: hidden; }
img { width: 100%; height: 15rem; object-fit: contain; background: #8882; display: block; }
figcaption { padding: .5rem .7rem; overflow-wrap: anywhere; }
small { opacity: .7; }
";

/// The page of a dataset. Everything that comes from outside is escaped.
pub(crate) fn contact_sheet(header: &Header, records: &[Record]) -> String {
    let mut by_character: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    let mut covers: BTreeMap<&str, usize> = BTreeMap::new();
    for record in records {
        match &record.outcome {
            Outcome::Kept => {
                by_character.entry(record.character().unwrap_or_default()).or_default().push(record);
            }
            Outcome::Duplicate { covered_by, .. } => *covers.entry(covered_by).or_default() += 1,
            _ => {}
        }
    }
    let unsure: Vec<&Record> = records.iter().filter(|r| r.outcome == Outcome::Unsure).collect();
    let wordless = |r: &&Record| matches!(r.outcome, Outcome::Uncaptioned { .. });
    let wordless: Vec<&Record> = records.iter().filter(wordless).collect();
    let c = &header.counts;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { (header.film.info.name) " · picchu" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (header.film.info.name) }
                p {
                    (c.frames) " frames · " (c.records) " candidates · " strong { (c.kept) " kept" } " · "
                    (c.duplicates) " near-duplicates · " (c.unsure) " unsure · " (c.skipped) " skipped · "
                    (c.uncaptioned) " without a caption · " (c.failed) " failed"
                }
                @if by_character.is_empty() {
                    p { "No character of the cast was found in this film." }
                }
                @for (name, records) in &by_character {
                    h2 { (name) " " small { (records.len()) } }
                    div.grid {
                        @for record in records { (card(record, covers.get(record.id.as_str()).copied())) }
                    }
                }
                @if !wordless.is_empty() {
                    h2 { "Without a caption " small { (wordless.len()) " · not in the dataset until somebody writes one" } }
                    div.grid { @for record in wordless { (card(record, None)) } }
                }
                @if !unsure.is_empty() {
                    h2 { "Unsure " small { (unsure.len()) " · not in the dataset until somebody names them" } }
                    div.grid { @for record in unsure { (card(record, None)) } }
                }
            }
        }
    }
    .into_string()
}

fn card(record: &Record, covers: Option<usize>) -> Markup {
    let seconds = record.frame.time.as_secs_f64();
    html! {
        figure {
            @if let Some(crop) = &record.crop {
                img src=(crop.image) loading="lazy" alt=(record.character().unwrap_or("unsure"));
            }
            figcaption {
                @if let Some(caption) = &record.caption { (caption.text) br; }
                @if let Outcome::Uncaptioned { reason, .. } = &record.outcome { (reason) br; }
                small {
                    (format!("{}:{:06.3}", (seconds / 60.0).floor(), seconds % 60.0))
                    (format!(" · confidence {:.2}", record.detection.confidence))
                    @if let Some(crop) = &record.crop {
                        (format!(" · {}×{} · quality {:.2}", crop.width, crop.height, crop.quality.score()))
                    }
                    @if let Some(n) = covers { (format!(" · covers {n}")) }
                    @for other in &record.detection.alternatives {
                        (format!(" · {} {:.2}?", other.character, other.confidence))
                    }
                }
            }
        }
    }
}
