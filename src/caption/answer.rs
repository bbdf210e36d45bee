//! What a model answered: a tool's input, JSON in any wrapping, prose, or a refusal.

use serde_json::Value;

/// Longest answer that is looked at, in bytes; captions have at most 1,024 characters.
const MAX_BYTES: usize = 64 * 1024;
/// Places in an answer where JSON is looked for.
const MAX_PLACES: usize = 16;

/// An answer, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A caption, on one line. Whether it is a good one, the gate decides.
    Caption(String),
    /// The model will not describe this picture; its words.
    Refused(String),
    /// Neither; why, in words.
    Unreadable(String),
}

/// Beginnings of refusals, in lower case.
const REFUSALS: &[&str] = &[
    "as an ai",
    "i am not able",
    "i am sorry",
    "i am unable",
    "i apologi",
    "i can not",
    "i can't",
    "i cannot",
    "i could not",
    "i couldn't",
    "i do not feel comfortable",
    "i don't feel comfortable",
    "i must decline",
    "i won't",
    "i'm afraid",
    "i'm not able",
    "i'm sorry",
    "i'm unable",
    "my apologies",
    "sorry, but",
    "sorry, i",
    "the generated text has been blocked",
    "this request has been blocked",
    "unfortunately, i",
];

impl Answer {
    /// Understands the text of an answer: JSON, JSON in a fence or among prose, or prose.
    ///
    /// ```
    /// use picchu::caption::Answer;
    ///
    /// let caption = Answer::Caption("Penny waves.".to_owned());
    /// assert_eq!(Answer::of_text("```json\n{\"caption\": \"Penny waves.\"}\n```"), caption);
    /// assert_eq!(Answer::of_text("Sure! Here is a caption:\n\n\"Penny waves.\""), caption);
    /// assert!(matches!(Answer::of_text("I'm sorry, but I can't help with that."), Answer::Refused(_)));
    /// ```
    pub fn of_text(text: &str) -> Self {
        let mut end = text.len().min(MAX_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = without_thoughts(&text[..end]);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        if text.is_empty() {
            return Self::Unreadable("the answer is empty".to_owned());
        }
        // A model that was asked for JSON: the first value in the text that has a caption counts.
        for (at, _) in text.match_indices(['{', '[']).take(MAX_PLACES) {
            let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
            if let Some(caption) = values.next().and_then(Result::ok).as_ref().and_then(caption_in) {
                return Self::worded(caption);
            }
        }
        if let Ok(Value::String(caption)) = serde_json::from_str(text) {
            return Self::worded(&caption);
        }
        if text.starts_with(['{', '[']) || text.contains("\"caption\"") {
            return Self::Unreadable("the answer is JSON that is cut off or has no caption".to_owned());
        }
        Self::worded(&prose(text))
    }

    /// Understands the input of the tool: an object, or an object written as a string.
    pub fn of_tool(input: &Value) -> Self {
        match input {
            Value::String(text) => Self::of_text(text),
            input => match caption_in(input) {
                Some(caption) => Self::worded(caption),
                None => Self::Unreadable("the tool was called without a caption".to_owned()),
            },
        }
    }

    fn worded(text: &str) -> Self {
        let text = one_line(text);
        if text.is_empty() {
            return Self::Unreadable("the caption is empty".to_owned());
        }
        let lower = text.chars().take(80).collect::<String>().to_lowercase().replace('’', "'");
        if REFUSALS.iter().any(|begin| lower.starts_with(begin)) {
            return Self::Refused(text.chars().take(200).collect());
        }
        Self::Caption(text)
    }
}

/// The caption of an object, of the first object of a list, or of an object in an object.
fn caption_in(value: &Value) -> Option<&str> {
    match value {
        Value::Object(fields) => ["caption", "text", "description"]
            .iter()
            .find_map(|key| fields.get(*key))
            .and_then(|v| v.as_str().or_else(|| caption_in(v)))
            .or_else(|| {
                ["parameters", "input", "arguments"].iter().find_map(|k| caption_in(fields.get(*k)?))
            }),
        Value::Array(items) => caption_in(items.first()?),
        _ => None,
    }
}

/// Leaves out what models with open thoughts think.
fn without_thoughts(text: &str) -> String {
    let mut text = text.to_owned();
    for (open, close) in [("<think>", "</think>"), ("<thinking>", "</thinking>")] {
        // Some servers swallow the opening mark.
        if let Some(at) = text.rfind(close) {
            let from = text.find(open).filter(|from| *from < at).unwrap_or(0);
            text.replace_range(from..at + close.len(), "");
        } else if let Some(at) = text.find(open) {
            text.truncate(at);
        }
    }
    text
}

/// The caption in an answer of prose: without greeting, label, fence, emphasis, quotation marks and afterword.
fn prose(text: &str) -> String {
    let fenced = text.split("```").nth(1).filter(|_| text.matches("```").count() > 1);
    let text = fenced.map_or(text, |inner| inner.split_once('\n').map_or(inner, |(_, rest)| rest));
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty()).peekable();
    let mut words = String::new();
    while let Some(line) = lines.next() {
        // "Here is the caption:" announces what follows.
        if words.is_empty() && line.ends_with([':', '：']) && lines.peek().is_some() {
            continue;
        }
        if !words.is_empty() {
            break;
        }
        line.clone_into(&mut words);
    }
    let mut words = words.as_str();
    for label in ["**caption:**", "**caption**:", "caption:", "- ", "* ", "> "] {
        if words.get(..label.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(label)) {
            words = words[label.len()..].trim_start();
        }
    }
    unquoted(words.trim_matches('*').trim()).to_owned()
}

/// Without quotation marks around the whole.
fn unquoted(text: &str) -> &str {
    const PAIRS: [(char, char); 8] =
        [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('‘', '’'), ('„', '“'), ('«', '»'), ('「', '」')];
    for (open, close) in PAIRS {
        let inner = text.strip_prefix(open).and_then(|t| t.strip_suffix(close));
        if let Some(inner) = inner.filter(|inner| !inner.contains([open, close])) {
            return inner.trim();
        }
    }
    text
}

/// Line breaks, tabs and runs of spaces become one space; other control characters go.
fn one_line(text: &str) -> String {
    let visible: String =
        text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !c.is_control()).collect();
    unquoted(&visible.split(' ').filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn caption(text: &str) -> String {
        match Answer::of_text(text) {
            Answer::Caption(caption) => caption,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn captions_are_found_in_every_wrapping() {
        for text in [
            "Penny waves.",
            "  Penny\n  waves.  \n",
            "\u{feff}Penny waves.",
            "\"Penny waves.\"",
            "“Penny waves.”",
            "«Penny waves.»",
            "Caption: Penny waves.",
            "**Caption:** Penny waves.",
            "**Penny waves.**",
            "{\"caption\": \"Penny waves.\"}",
            "{\"caption\": \"Penny waves.\", \"names\": [\"Penny\"]}\n\nI hope this helps!",
            "[{\"caption\": \"Penny waves.\"}]",
            "{\"caption\": {\"text\": \"Penny waves.\"}}",
            "{\"name\": \"record_caption\", \"parameters\": {\"caption\": \"Penny waves.\"}}",
            "```json\n{\"caption\": \"Penny waves.\"}\n```",
            "```\nPenny waves.\n```",
            "Sure! [1] Here is it:\n```json\n{\n  \"caption\": \"Penny\\nwaves.\"\n}\n```\nAnything else?",
            "Here is the caption:\n\nPenny waves.\n\nLet me know if you want another.",
            "<think>The user wants {\"caption\": \"no\"}.</think>\n{\"caption\": \"Penny waves.\"}",
            "thoughts without a beginning</think>Penny waves.",
        ] {
            // A sentence over two lines keeps its first line in prose; JSON keeps all.
            let found = caption(text);
            assert!(
                found == "Penny waves." || (found == "Penny" && !text.contains('{')),
                "{text:?}: {found:?}"
            );
        }
    }

    #[test]
    fn other_languages_emoji_and_quotes_stay() {
        assert_eq!(caption("ペニーは「やあ」と手を振る 🐧"), "ペニーは「やあ」と手を振る 🐧");
        assert_eq!(caption("{\"caption\": \"Penny says \\\"hi\\\" to Chip\"}"), "Penny says \"hi\" to Chip");
        assert_eq!(caption("\"Hi\", says Penny, \"hello\""), "\"Hi\", says Penny, \"hello\"");
        assert_eq!(caption("{\"caption\": \"Penny \\ud83d\\udc27\"}"), "Penny 🐧");
        assert_eq!(
            caption(&"Penny runs. ".repeat(250)).chars().count(),
            2999,
            "the gate judges, not the parser"
        );
    }

    #[test]
    fn refusals_are_seen_in_every_wrapping() {
        for text in [
            "I'm sorry, but I can't identify people in images.",
            "I’m unable to help with that.",
            "{\"caption\": \"I cannot describe this image.\"}",
            "This request has been blocked by our content filters.",
            "As an AI language model, I …",
        ] {
            assert!(matches!(Answer::of_text(text), Answer::Refused(_)), "{text}");
        }
        assert!(matches!(Answer::of_text("Icy wind: Penny shivers."), Answer::Caption(_)));
    }

    #[test]
    fn what_is_no_answer_says_why() {
        for text in [
            "",
            " \n ",
            "{\"caption\": \"Penny wav",
            "{\"caption\": 3}",
            "[]",
            "{}",
            "\"\"",
            "```json\n{\"caption\":\n```",
            "<think>for ever",
        ] {
            assert!(
                matches!(Answer::of_text(text), Answer::Unreadable(_)),
                "{text:?}: {:?}",
                Answer::of_text(text)
            );
        }
        assert_eq!(
            Answer::of_tool(&json!({"caption": "Penny waves."})),
            Answer::Caption("Penny waves.".into())
        );
        assert_eq!(
            Answer::of_tool(&json!("{\"caption\": \"Penny waves.\"}")),
            Answer::Caption("Penny waves.".into())
        );
        assert!(matches!(Answer::of_tool(&json!({"names": []})), Answer::Unreadable(_)));
        assert!(matches!(Answer::of_tool(&Value::Null), Answer::Unreadable(_)));
        let deep = "[".repeat(5000);
        assert!(matches!(Answer::of_text(&deep), Answer::Unreadable(_)));
    }
}
