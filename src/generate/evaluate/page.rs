//! The report as a page: no scripts, no network; its images lie beside it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Contestant, ImageScore, Report};

const STYLE: &str = "
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 90rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .35rem .8rem; text-align: left; border-bottom: 1px solid #8884; font-variant-numeric: tabular-nums; }
.bar { display: inline-block; height: .7rem; background: #3a7; border-radius: 2px; vertical-align: middle; }
.alarm { color: #c22; font-weight: 600; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid #8884; border-radius: .5rem; overflow: hidden; }
.picture { position: relative; background: #8882; }
.picture img { width: 100%; display: block; }
.picture span { position: absolute; border: 2px solid #3a7; }
.picture span b { position: absolute; top: 0; left: 0; background: #3a7; color: #fff; font-size: .7rem; padding: 0 .3rem; }
figcaption { padding: .5rem .7rem; overflow-wrap: anywhere; }
figcaption img { width: 100%; }
small { opacity: .75; }
svg text { fill: currentColor; font-size: 12px; }
";
/// Images of a contestant that are shown.
const SHOWN: usize = 60;

pub(super) fn page(report: &Report) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { "Evaluation · picchu" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Do the characters hold?" }
                p {
                    "1 is as consistent as the film itself, 0 as unlike as its other characters, below 0 like nobody. "
                    (report.held_out) " images were held out of training to compare with."
                }
                @for note in &report.notes { p class="alarm" { (note) } }
                (ranking(report))
                (curve(&report.contestants))
                (characters(report))
                @for contestant in &report.contestants { (gallery(contestant)) }
                p { small { "Found by " (report.detector.name) " " (report.detector.model) ", compared by " (report.embedder.name)
                    " " (report.embedder.model) "; copies from a similarity of " (format!("{:.3}", report.copy_similarity)) "." } }
            }
        }
    }
    .into_string()
}

fn ranking(report: &Report) -> Markup {
    html! {
        table {
            tr { th { "Who" } th { "Score" } th {} th { "Images" } th { "Nearly training images" } }
            @for contestant in report.ranking() {
                tr {
                    td { a href=(format!("#{}", crate::store::slug(&contestant.name))) { (contestant.name) } }
                    td { (number(contestant.score)) }
                    td { span class="bar" style=(format!("width:{:.1}rem", contestant.score.clamp(0.0, 1.0) * 12.0)) {} }
                    td { (contestant.images.len()) }
                    td { @if contestant.copies > 0 { span class="alarm" { (contestant.copies) } } @else { "0" } }
                }
            }
        }
    }
}

/// The scores in the order in which they were judged: over checkpoints, where those were.
fn curve(contestants: &[Contestant]) -> Markup {
    if contestants.len() < 3 {
        return html! {};
    }
    let x = |n: usize| 60.0 + n as f64 * 560.0 / (contestants.len() - 1) as f64;
    let y = |score: f64| 170.0 - score.clamp(-0.25, 1.0) * 130.0;
    let points: Vec<String> =
        contestants.iter().enumerate().map(|(n, c)| format!("{:.1},{:.1}", x(n), y(c.score))).collect();
    html! {
        svg viewBox="0 0 680 240" width="680" role="img" aria-label="Scores" {
            @for mark in [0.0, 0.5, 1.0] {
                line x1="60" x2="620" y1=(y(mark)) y2=(y(mark)) stroke="#8886" {}
                text x="20" y=(y(mark) + 4.0) { (format!("{mark:.1}")) }
            }
            polyline points=(points.join(" ")) fill="none" stroke="#3a7" stroke-width="2" {}
            @for (n, contestant) in contestants.iter().enumerate() {
                circle cx=(x(n)) cy=(y(contestant.score)) r="3.5" fill="#3a7" {}
                text x=(x(n)) y="222" text-anchor="middle" { (contestant.name.chars().take(14).collect::<String>()) }
            }
        }
    }
}

fn characters(report: &Report) -> Markup {
    html! {
        table {
            tr {
                th { "Who" } th { "Character" } th { "Score" } th { "Appears" } th { "Likeness where it does" }
                th { "Shows instead" }
            }
            @for contestant in report.ranking() {
                @for (name, score) in &contestant.characters {
                    tr {
                        td { (contestant.name) }
                        td { (name) }
                        td { (number(score.score)) }
                        td { (score.appeared) " of " (score.asked) }
                        td { (score.likeness.map_or_else(|| "–".to_owned(), number)) }
                        td {
                            @for (other, times) in &score.mistaken_for { (other) " " (times) "× " }
                        }
                    }
                }
            }
        }
    }
}

fn gallery(contestant: &Contestant) -> Markup {
    html! {
        h2 id=(crate::store::slug(&contestant.name)) { (contestant.name) " " small { (number(contestant.score)) } }
        div.grid { @for image in contestant.images.iter().take(SHOWN) { (card(image)) } }
        @if contestant.images.len() > SHOWN {
            p { small { (contestant.images.len() - SHOWN) " more are in evaluation.json." } }
        }
    }
}

fn card(image: &ImageScore) -> Markup {
    html! {
        figure {
            @if let Some(key) = &image.image {
                div.picture {
                    img src=(key) loading="lazy" alt=(image.prompt);
                    @for found in &image.found {
                        @let b = found.bounding_box;
                        span style=(format!(
                            "left:{:.2}%;top:{:.2}%;width:{:.2}%;height:{:.2}%",
                            b.left * 100.0, b.top * 100.0, b.width * 100.0, b.height * 100.0
                        )) { b { (found.character) } }
                    }
                }
            }
            figcaption {
                @for (name, score) in &image.asked {
                    strong { (name) " " (score.map_or_else(|| "–".to_owned(), number)) } " "
                }
                @if let Some(why) = &image.failure { p class="alarm" { (why) } }
                br; small { (image.prompt) }
                @for copy in &image.copies {
                    p class="alarm" { "Nearly the training image " (copy.record) " (" (format!("{:.3}", copy.similarity)) ")" }
                    img src=(copy.image) loading="lazy" alt=(copy.record);
                }
            }
        }
    }
}

fn number(value: f64) -> String {
    format!("{value:.2}")
}
