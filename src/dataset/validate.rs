//! Whether a dataset obeys a trainer's rules: every violation at once, each with its mend.

use serde::Serialize;

use super::TrainingImage;
use crate::types::DatasetRules;

/// A rule that a dataset breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The record, or `None` when it is about the dataset as a whole.
    pub record: Option<String>,
    /// What is wrong and what the rule asks.
    pub message: String,
    /// What to do about it.
    pub mend: String,
}

/// Holds images against a trainer's rules.
pub fn validate<'a>(
    images: impl IntoIterator<Item = TrainingImage<'a>>,
    rules: &DatasetRules,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut count = 0;
    for image in images {
        count += 1;
        check_image(&image, rules, &mut violations);
    }
    let (fewest, most) = rules.records;
    if !(fewest..=most).contains(&count) {
        let mend = if count < fewest {
            "raise min_similarity or sample more often to keep more images, or add films"
        } else {
            "lower min_similarity or sample less often to keep fewer images"
        };
        violations.push(Violation {
            record: None,
            message: format!("{count} images; {} takes {fewest} to {most}", rules.format),
            mend: mend.into(),
        });
    }
    violations
}

fn check_image(image: &TrainingImage<'_>, rules: &DatasetRules, violations: &mut Vec<Violation>) {
    let mut report = |message: String, mend: &str| {
        violations.push(Violation { record: Some(image.record.id.clone()), message, mend: mend.into() });
    };
    let chars = image.caption.chars().count();
    let (fewest, most) = rules.caption_chars;
    if !(fewest..=most).contains(&chars) {
        report(
            format!("caption of {chars} characters; {fewest} to {most} are allowed"),
            "edit the caption in review",
        );
    }
    if image.caption.chars().any(char::is_control) {
        report("caption with control characters or line breaks".into(), "edit the caption in review");
    }
    let Some(crop) = &image.record.crop else { return };
    let (shortest, longest) = (crop.width.min(crop.height), crop.width.max(crop.height));
    let size = format!("image of {}×{} pixels", crop.width, crop.height);
    let recut = "cut the crops anew with another crop policy";
    if shortest < rules.side.0 || longest > rules.side.1 {
        report(format!("{size}; each side must have {} to {} pixels", rules.side.0, rules.side.1), recut);
    }
    if u64::from(crop.width) * u64::from(crop.height) > rules.max_pixels {
        report(format!("{size}; {} pixels are the most", rules.max_pixels), recut);
    }
    // In whole numbers: the ratio's limit itself is allowed.
    if f64::from(longest) > f64::from(shortest) * f64::from(rules.max_aspect) {
        report(format!("{size}; the sides' ratio must be within 1:{0} and {0}:1", rules.max_aspect), recut);
    }
    if crop.size_bytes > rules.max_bytes {
        report(format!("image file of {} bytes; {} are the most", crop.size_bytes, rules.max_bytes), recut);
    }
}
