//! The labeling interface of the project.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{ACCEPT, BOX, CAPTION, CHARACTER, IMAGE, REASON, REJECT, VERDICT};
use crate::{
    dataset::{Dataset, NOT_THE_CHARACTER},
    error::{Error, Result, Stage},
};

/// What picchu's own page offers as reasons.
const REASONS: [&str; 6] =
    [NOT_THE_CHARACTER, "blurred", "cut off", "too small", "near-duplicate", "wrong style"];

/// The characters of a dataset by the text of their choice.
pub(super) fn choices(dataset: &Dataset) -> Result<BTreeMap<String, String>> {
    let mut choices = BTreeMap::new();
    for name in dataset.names() {
        let choice = choice(&name);
        if let Some(other) = choices.insert(choice.clone(), name.clone()) {
            let message = format!("Label Studio would show {other:?} and {name:?} alike, as {choice:?}");
            return Err(Error::invalid(message).at(Stage::Review));
        }
    }
    Ok(choices)
}

/// A name as Label Studio shows it and gives it back. Names are data there too: spaces are single, as XML makes them,
/// `$`, which would insert a field of the task, becomes the full-width `＄`, and what XML cannot hold becomes `�`.
pub(super) fn choice(name: &str) -> String {
    let spaced: Vec<&str> = name.split_whitespace().collect();
    let held = |c: char| match c {
        '$' => '＄',
        c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    spaced.join(" ").chars().map(held).collect()
}

/// The interface, for a project's settings.
pub(super) fn config(characters: &BTreeMap<String, String>) -> String {
    let mut xml = String::new();
    let mut line = |text: String| {
        let _ = writeln!(xml, "{text}");
    };
    line("<View>".into());
    line(format!("  <Image name=\"{IMAGE}\" value=\"${IMAGE}\" zoom=\"true\"/>"));
    line(format!("  <Rectangle name=\"{BOX}\" toName=\"{IMAGE}\"/>"));
    line("  <Header value=\"Is this image good for training?\" size=\"5\"/>".into());
    line(format!(
        "  <Choices name=\"{VERDICT}\" toName=\"{IMAGE}\" choice=\"single-radio\" showInline=\"true\" required=\"true\">"
    ));
    line(format!("    <Choice value=\"{ACCEPT}\" hotkey=\"a\"/>"));
    line(format!("    <Choice value=\"{REJECT}\" hotkey=\"x\"/>"));
    line("  </Choices>".into());
    line(format!(
        "  <Choices name=\"{REASON}\" toName=\"{IMAGE}\" choice=\"single-radio\" showInline=\"true\" \
         visibleWhen=\"choice-selected\" whenTagName=\"{VERDICT}\" whenChoiceValue=\"{REJECT}\">"
    ));
    for reason in REASONS {
        line(format!("    <Choice value=\"{reason}\"/>"));
    }
    line("  </Choices>".into());
    if !characters.is_empty() {
        line("  <Header value=\"Whom does the box show?\" size=\"5\"/>".into());
        line(format!(
            "  <Choices name=\"{CHARACTER}\" toName=\"{IMAGE}\" choice=\"single-radio\" showInline=\"true\">"
        ));
        for choice in characters.keys() {
            line(format!("    <Choice value=\"{}\"/>", attribute(choice)));
        }
        line("  </Choices>".into());
    }
    line("  <Header value=\"Caption\" size=\"5\"/>".into());
    line(format!(
        "  <TextArea name=\"{CAPTION}\" toName=\"{IMAGE}\" rows=\"3\" maxSubmissions=\"1\" editable=\"true\"/>"
    ));
    line("</View>".into());
    xml
}

/// Text as the value of an attribute.
fn attribute(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_those_of_the_page() {
        let words = REASONS.map(|reason| format!("'{reason}'")).join(", ");
        assert!(crate::dataset::review_page::SCRIPT.contains(&words), "{words}");
    }

    #[test]
    fn names_stay_data() {
        let name = "\"/><Style>*{}</Style>\u{1}\u{0} $image &amp;\n '";
        let shown = choice(name);
        assert_eq!(shown, "\"/><Style>*{}</Style>�� ＄image &amp; '");
        let xml = config(&BTreeMap::from([(shown, name.to_owned())]));
        let value = "value=\"&quot;/&gt;&lt;Style&gt;*{}&lt;/Style&gt;�� ＄image &amp;amp; &apos;\"/>";
        assert!(xml.contains(value), "{xml}");
        assert_eq!(xml.matches('<').count(), config(&BTreeMap::new()).matches('<').count() + 4);
    }
}
