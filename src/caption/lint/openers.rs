//! Beginnings that say nothing, and what is no sentence.

use super::names::Word;

/// Beginnings by which models talk about the picture instead of telling it, as words in lower case.
const BANNED: &[&str] = &[
    "a cartoon character",
    "a cartoon of",
    "a drawing of",
    "a frame from",
    "a picture of",
    "a photo of",
    "a scene from",
    "a screenshot",
    "a still from",
    "an animated",
    "an animation of",
    "an illustration of",
    "an image of",
    "animated character",
    "caption",
    "cartoon character",
    "certainly",
    "here is",
    "here's",
    "in the image",
    "in the picture",
    "in this frame",
    "in this image",
    "in this picture",
    "in this scene",
    "of course",
    "sure",
    "the caption",
    "the frame shows",
    "the image depicts",
    "the image features",
    "the image shows",
    "the picture shows",
    "the scene depicts",
    "the scene shows",
    "this frame shows",
    "this image",
    "this is a",
    "this is an",
    "this picture depicts",
    "this picture features",
    "this picture is",
    "this picture shows",
    "this scene",
];

/// The banned opener with which a caption begins.
pub(super) fn banned(words: &[Word]) -> Option<&'static str> {
    let begins = |opener: &str| {
        let mut said = words.iter().map(|w| w.text.as_str());
        opener.split(' ').all(|word| said.next() == Some(word))
    };
    BANNED.iter().copied().find(|opener| begins(opener))
}

/// Whether a text is JSON, Markdown or markup rather than a sentence.
pub(super) fn is_markup(text: &str) -> bool {
    let text = text.trim_start();
    let tag = |at: usize| text[at + 1..].chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '/');
    text.starts_with(['{', '[', '#'])
        || text.contains("```")
        || text.contains("**")
        || text.contains("://")
        || text.match_indices('<').any(|(at, _)| tag(at) && text[at..].contains('>'))
}

#[cfg(test)]
mod tests {
    use super::{super::names::in_words, *};

    #[test]
    fn openers_are_whole_words_of_any_case() {
        for text in
            ["An animated character runs", "THIS IMAGE shows", "Here’s Penny", "“Sure! Penny", "Caption: x"]
        {
            assert!(banned(&in_words(text, &[])).is_some(), "{text}");
        }
        for text in ["Surely Penny", "An animal runs", "Captions hang on the wall", "", "A still pond"] {
            assert!(banned(&in_words(text, &[])).is_none(), "{text}");
        }
    }

    #[test]
    fn markup_is_seen() {
        for text in ["{\"caption\": 1}", "```json", "Penny <b>runs</b>", "**Penny** runs", "see http://x"] {
            assert!(is_markup(text), "{text}");
        }
        for text in ["Penny <3 snow > rain", "Penny runs; 2 < 3", "[", ""].iter().filter(|t| **t != "[") {
            assert!(!is_markup(text), "{text}");
        }
    }
}
