//! The page of a calibration: self-contained, everything from outside escaped.

use std::{collections::BTreeMap, fmt::Write as _};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use image::RgbImage;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::calibration::{PairNearCut, ThresholdReport};
use crate::{
    crop::{Fit, to_jpeg},
    error::Result,
};

/// Drawing area in user units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;

/// A small picture, as the address of an `img`.
pub(super) fn thumbnail(image: &RgbImage) -> Result<String> {
    let fit = Fit { longer: 220, shorter: 220, quality: 80, bytes: 64 << 10 };
    Ok(format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(to_jpeg(image, fit)?)))
}

pub(super) fn page(film: &str, report: &ThresholdReport, pictures: &BTreeMap<String, String>) -> String {
    let (above, below): (Vec<&PairNearCut>, Vec<_>) = report.pairs.iter().partition(|p| p.duplicate);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { (film) " · threshold · picchu" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Threshold for " (film) }
                p {
                    "At " code { "--min-similarity " (format!("{:.4}", report.min_similarity)) } " "
                    strong { (report.kept) } " of " (report.candidates) " candidates stay. Embeddings: "
                    (report.model) "; thresholds do not carry over to another model."
                }
                @if let Some(wanted) = &report.wanted {
                    p { "Closest to the wanted number: " strong { (wanted.kept) " images" } " at "
                        code { (format!("{:.4}", wanted.min_similarity)) }
                        @if wanted.is_lowest() { ", the lowest threshold that is tried" } "." }
                }
                @if let Some(fit) = &report.fitted {
                    p { "By your " (fit.answers) " answers: " code { (format!("{:.4}", fit.min_similarity)) }
                        ", between " (format!("{:.4}", fit.low)) " and " (format!("{:.4}", fit.high)) " with 95 %; "
                        (fit.contradicted) " answers contradict it." }
                }
                h2 { "Nearest other candidate" }
                (histogram(report))
                h2 { "Images that stay at each threshold" }
                (curve(report))
                h2 { "Just above the cut: near-duplicates, one of each pair goes" }
                (pairs(&above, pictures))
                h2 { "Just below the cut: both stay" }
                (pairs(&below, pictures))
                p {
                    button id="save" { "Save answers" }
                    " and fit the threshold: " code { "picchu calibrate DATASET --answers answers.jsonl" }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

fn pairs(pairs: &[&PairNearCut], pictures: &BTreeMap<String, String>) -> Markup {
    let picture = |id: &String| pictures.get(id).map_or("", String::as_str);
    html! {
        @if pairs.is_empty() { p { "None." } }
        div.pairs {
            @for pair in pairs {
                figure data-a=(pair.a) data-b=(pair.b) {
                    img src=(picture(&pair.a)) alt=(pair.a);
                    img src=(picture(&pair.b)) alt=(pair.b);
                    figcaption {
                        (format!("{:.4} ", pair.similarity))
                        button { "same" } " " button { "different" }
                        br;
                        small { (pair.a) " · " (pair.b) }
                    }
                }
            }
        }
    }
}

/// Bars, with the cut as a line.
fn histogram(report: &ThresholdReport) -> Markup {
    let bins = &report.histogram;
    let (Some(first), Some(last)) = (bins.first(), bins.last()) else {
        return html! { p { "There is only one candidate." } };
    };
    let most = bins.iter().map(|b| b.candidates).max().unwrap_or(1).max(1) as f64;
    let x = |similarity: f64| (similarity - first.from) / (last.until - first.from) * WIDTH;
    let mut bars = String::new();
    for bin in bins {
        let height = bin.candidates as f64 / most * HEIGHT;
        let (left, width) = (x(bin.from), x(bin.until) - x(bin.from));
        let _ = write!(
            bars,
            "<rect x='{left:.1}' y='{:.1}' width='{:.1}' height='{height:.1}'><title>{:.3} to {:.3}: {}</title></rect>",
            HEIGHT - height,
            (width - 1.0).max(0.5),
            bin.from,
            bin.until,
            bin.candidates,
        );
    }
    chart(&bars, x(report.min_similarity), first.from, last.until, most)
}

/// Images over thresholds, with the cut as a line.
fn curve(report: &ThresholdReport) -> Markup {
    let points = &report.thresholds;
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return html! {} };
    let most = points.iter().map(|p| p.kept).max().unwrap_or(1).max(1) as f64;
    let x = |s: f64| (s - first.min_similarity) / (last.min_similarity - first.min_similarity) * WIDTH;
    let mut line = String::new();
    for point in points {
        let _ =
            write!(line, "{:.1},{:.1} ", x(point.min_similarity), HEIGHT * (1.0 - point.kept as f64 / most));
    }
    let body = format!("<polyline points='{}'/>", line.trim_end());
    chart(&body, x(report.min_similarity), first.min_similarity, last.min_similarity, most)
}

/// A drawing of numbers alone: nothing in it comes from outside.
fn chart(body: &str, cut: f64, from: f64, until: f64, most: f64) -> Markup {
    let mut marks = String::new();
    for n in 0..=5 {
        let share = f64::from(n) / 5.0;
        let anchor = ["start", "middle", "middle", "middle", "middle", "end"][n as usize];
        let _ = write!(
            marks,
            "<text x='{:.0}' y='{:.0}' text-anchor='{anchor}'>{:.3}</text>",
            share * WIDTH,
            HEIGHT + 16.0,
            from + share * (until - from)
        );
    }
    let cut = if (0.0..=WIDTH).contains(&cut) {
        format!("<line class='cut' x1='{cut:.1}' x2='{cut:.1}' y1='0' y2='{HEIGHT}'/>")
    } else {
        String::new()
    };
    PreEscaped(format!(
        "<svg viewBox='-4 -14 {:.0} {:.0}' role='img'><text x='0' y='-3'>{most:.0}</text>{body}{cut}\
         <line class='axis' x1='0' x2='{WIDTH}' y1='{HEIGHT}' y2='{HEIGHT}'/>{marks}</svg>",
        WIDTH + 8.0,
        HEIGHT + 38.0
    ))
}

const STYLE: &str = "
body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color:#222;background:#fff}
svg{width:100%;max-width:760px;fill:#5b7fa6}svg text{font:11px system-ui;fill:#666}
polyline{fill:none;stroke:#5b7fa6;stroke-width:2}.cut{stroke:#c33;stroke-width:1.5}.axis{stroke:#999}
.pairs{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:1em}
figure{margin:0;border:2px solid #ddd;border-radius:6px;padding:6px}figure img{width:49%;height:150px;object-fit:contain}
figure.same{border-color:#2a7}figure.different{border-color:#c63}small{color:#777;overflow-wrap:anywhere}
";

/// Buttons colour their pair; saving gives JSON lines.
const SCRIPT: &str = "
const answers=new Map();
document.querySelectorAll('figure').forEach(f=>f.querySelectorAll('button').forEach(b=>b.onclick=()=>{
const same=b.textContent==='same';f.className=same?'same':'different';
answers.set(f.dataset.a+' '+f.dataset.b,{a:f.dataset.a,b:f.dataset.b,same});}));
document.getElementById('save').onclick=()=>{const lines=[...answers.values()].map(a=>JSON.stringify(a)+'\\n').join('');
const link=document.createElement('a');link.href=URL.createObjectURL(new Blob([lines],{type:'application/jsonl'}));
link.download='answers.jsonl';link.click();};
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::calibration::{Bin, Point};

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let evil = "<script>alert('1')</script>\"&";
        let report = ThresholdReport {
            model: evil.into(),
            candidates: 2,
            min_similarity: 0.9,
            kept: 1,
            histogram: vec![Bin { from: 0.5, until: 1.0, candidates: 2 }],
            thresholds: vec![Point { min_similarity: 0.7, kept: 1 }, Point { min_similarity: 1.0, kept: 2 }],
            pairs: vec![PairNearCut { a: evil.into(), b: evil.into(), similarity: 0.95, duplicate: true }],
            wanted: None,
            fitted: None,
        };
        let page = page(evil, &report, &BTreeMap::new());
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(page.contains("&lt;script&gt;"));
        assert!(page.matches("<rect").count() == 1 && page.contains("polyline"));
    }
}
