//! Whether a dataset obeys a trainer's rules: every violation at once, each with its rule, its source and its mend.

use serde::Serialize;

use super::TrainingImage;
use crate::{error::Error, types::DatasetRules};

/// Pictures with more pixels are refused by Pillow, which most trainers open pictures with: twice its
/// `Image.MAX_IMAGE_PIXELS`.
pub(crate) const PILLOW_PIXELS: u64 = 178_956_970;

/// A rule that a dataset breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Violation {
    /// The record, or `None` when it is about the dataset as a whole.
    pub record: Option<String>,
    /// The rule's short name, for example `caption-length`.
    pub rule: &'static str,
    /// What is wrong and what the rule asks.
    pub message: String,
    /// Where the rule is written down.
    pub source: String,
    /// What to do about it.
    pub mend: String,
    /// What would mend it without asking anybody, where that is possible.
    pub fix: Option<Fix>,
}

/// A mend that needs no judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fix {
    /// Another wording of the record's caption.
    Caption(String),
    /// Leaving the broken lines out of this file.
    DropLines(String),
}

/// What a format has to say against a caption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The rule's short name.
    pub rule: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub mend: &'static str,
    /// The caption as it should be, where that is plain.
    pub caption: Option<String>,
}

/// Holds images against a trainer's rules. `check_caption` adds what the rules cannot say.
pub fn validate<'a>(
    images: impl IntoIterator<Item = TrainingImage<'a>>,
    rules: &DatasetRules,
    check_caption: impl Fn(&str) -> Option<Complaint>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut count = 0;
    for image in images {
        count += 1;
        let mut report = |rule, message: String, mend: &str, caption: Option<String>| {
            violations.push(Violation {
                record: Some(image.record.id.clone()),
                rule,
                message,
                source: rules.source.clone(),
                mend: mend.into(),
                fix: caption.map(Fix::Caption),
            });
        };
        check_text(image.caption, rules, &mut report);
        if let Some(complaint) = check_caption(image.caption) {
            report(complaint.rule, complaint.message, complaint.mend, complaint.caption);
        }
        check_image(&image, rules, &mut report);
    }
    let (fewest, most) = rules.records;
    if !(fewest..=most).contains(&count) {
        let mend = if count < fewest {
            "raise min_similarity or sample more often to keep more images, or add films"
        } else {
            "lower min_similarity or sample less often to keep fewer images, or split with a cap"
        };
        violations.push(Violation {
            record: None,
            rule: "records",
            message: format!("{count} images; {} takes {}", rules.format, range(fewest, most)),
            source: rules.source.clone(),
            mend: mend.into(),
            fix: None,
        });
    }
    violations
}

fn range(fewest: usize, most: usize) -> String {
    if most == usize::MAX { format!("{fewest} or more") } else { format!("{fewest} to {most}") }
}

type Report<'a> = dyn FnMut(&'static str, String, &str, Option<String>) + 'a;

fn check_text(caption: &str, rules: &DatasetRules, report: &mut Report<'_>) {
    let chars = caption.chars().count();
    let (fewest, most) = rules.caption_chars;
    if !(fewest..=most).contains(&chars) {
        report(
            "caption-length",
            format!("caption of {chars} characters; {} are allowed", range(fewest, most)),
            if chars > most { "shorten the caption" } else { "edit the caption in review" },
            (chars > most).then(|| shorten(caption, most)),
        );
    }
    if caption.chars().any(char::is_control) {
        report(
            "caption-lines",
            "caption with control characters or line breaks".into(),
            "put the caption on one line",
            Some(one_line(caption)).filter(|c| !c.is_empty()),
        );
    }
}

fn check_image(image: &TrainingImage<'_>, rules: &DatasetRules, report: &mut Report<'_>) {
    let Some(crop) = &image.record.crop else { return };
    let (shortest, longest) = (crop.width.min(crop.height), crop.width.max(crop.height));
    let size = format!("image of {}×{} pixels", crop.width, crop.height);
    let recut = "cut the crops anew with another crop policy";
    if shortest < rules.side.0 || longest > rules.side.1 {
        let sides = format!("{size}; each side must have {} to {} pixels", rules.side.0, rules.side.1);
        report("image-side", sides, recut, None);
    }
    if u64::from(crop.width) * u64::from(crop.height) > rules.max_pixels {
        report("image-pixels", format!("{size}; {} pixels are the most", rules.max_pixels), recut, None);
    }
    // In whole numbers: the ratio's limit itself is allowed.
    if f64::from(longest) > f64::from(shortest) * f64::from(rules.max_aspect) {
        let ratio = format!("{size}; the sides' ratio must be within 1:{0} and {0}:1", rules.max_aspect);
        report("image-ratio", ratio, recut, None);
    }
    if crop.size_bytes > rules.max_bytes {
        let bytes = format!("image file of {} bytes; {} are the most", crop.size_bytes, rules.max_bytes);
        report("image-bytes", bytes, recut, None);
    }
}

/// The same words without line breaks and other control characters.
fn one_line(caption: &str) -> String {
    let plain: String = caption.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// As many whole sentences as fit, or as many whole words.
fn shorten(caption: &str, most: usize) -> String {
    let fits: String = caption.chars().take(most).collect();
    let sentence = fits.rfind(['.', '!', '?', '。']).map(|at| {
        let end = at + fits[at..].chars().next().map_or(0, char::len_utf8);
        &fits[..end]
    });
    let word = fits.rsplit_once(char::is_whitespace).map(|(words, _)| words.trim_end());
    // A first sentence of half the length says more than a torn one.
    sentence.filter(|s| s.chars().count() * 2 >= most).or(word).unwrap_or(&fits).to_owned()
}

/// The error of an exporter that refuses a dataset: the first violations in words.
pub(crate) fn refuse(format: &str, violations: &[Violation]) -> Error {
    const SHOWN: usize = 20;
    let mut lines = vec![format!("the dataset breaks the rules of {format} in {} places:", violations.len())];
    lines.extend(violations.iter().take(SHOWN).map(|v| {
        let place = v.record.as_deref().unwrap_or("dataset");
        format!("  {place}: {} ({})", v.message, v.mend)
    }));
    if violations.len() > SHOWN {
        lines.push(format!("  … and {} more", violations.len() - SHOWN));
    }
    if violations.iter().any(|v| v.fix.is_some()) {
        lines.push(format!("  `picchu validate DIR --for {format} --fix` mends what needs no judgement"));
    }
    Error::invalid(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_captions_end_with_a_sentence_or_a_word() {
        assert_eq!(shorten("Mayu waits. She smiles at him.", 20), "Mayu waits.");
        assert_eq!(shorten("Mayu waits for the train", 12), "Mayu waits");
        assert_eq!(shorten("熊熊熊熊熊", 3), "熊熊熊");
        assert_eq!(one_line(" Mayu\r\n\twaits\u{7}. "), "Mayu waits .");
    }
}
