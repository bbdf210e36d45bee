//! Fixed looks in a caption: what the name has to carry, and so must not be said beside it.

use super::names::{Word, in_words};

/// Words that say nothing about looks by themselves.
const EMPTY: &[&str] = &[
    "a",
    "an",
    "and",
    "are",
    "as",
    "at",
    "big",
    "by",
    "character",
    "for",
    "from",
    "has",
    "have",
    "having",
    "he",
    "her",
    "his",
    "in",
    "is",
    "it",
    "its",
    "large",
    "like",
    "little",
    "looks",
    "main",
    "medium",
    "of",
    "on",
    "one",
    "or",
    "over",
    "she",
    "small",
    "that",
    "the",
    "their",
    "they",
    "two",
    "very",
    "wear",
    "wearing",
    "wears",
    "which",
    "who",
    "with",
];

/// Kinds that somebody else in the picture may be as well: alone they give nothing away.
const KINDS: &[&str] = &[
    "animal", "baby", "being", "boy", "child", "creature", "figure", "friend", "girl", "hero", "human",
    "kid", "lady", "man", "person", "people", "teenager", "woman",
];

/// Words that may stand between a thing and its property: "her scarf is red".
const LINKS: &[&str] = &["is", "are", "was", "were", "looks", "in", "of", "being"];

/// How many words a property may be away from its thing.
const REACH: usize = 3;

/// The phrases of a description: each a thing with its properties, such as "red scarf".
#[derive(Clone, Debug, Default)]
pub(super) struct Looks(Vec<Phrase>);

#[derive(Clone, Debug)]
struct Phrase {
    /// Content words in their order; the last is the thing.
    words: Vec<String>,
    /// The phrase as it was written, where its script has no spaces between words.
    unspaced: Option<String>,
}

impl Looks {
    pub(super) fn of(description: &str) -> Self {
        let words = in_words(description, &[]);
        let (mut phrases, mut current, mut clause) = (Vec::new(), Vec::new(), 0);
        let mut end = |current: &mut Vec<String>| {
            if !current.is_empty() {
                phrases.push(Phrase::new(std::mem::take(current)));
            }
        };
        for Word { text, clause: of, .. } in words {
            // "with", "and", commas part one thing from the next; so does every small word.
            if of != clause || EMPTY.contains(&text.as_str()) {
                end(&mut current);
                clause = of;
            }
            if !EMPTY.contains(&text.as_str()) {
                current.push(text);
            }
        }
        end(&mut current);
        Self(phrases)
    }

    /// The first phrase that a caption tells, as the caption has it.
    pub(super) fn leaked(&self, caption: &[Word], text: &str) -> Option<String> {
        self.0.iter().find_map(|phrase| phrase.leaked(caption, text))
    }
}

impl Phrase {
    fn new(words: Vec<String>) -> Self {
        let unspaced = words.iter().find(|w| w.chars().count() > 1 && w.chars().any(is_unspaced)).cloned();
        Self { words, unspaced }
    }

    fn leaked(&self, caption: &[Word], text: &str) -> Option<String> {
        if let Some(phrase) = &self.unspaced {
            return text.contains(phrase.as_str()).then(|| phrase.clone());
        }
        let (thing, properties) = self.words.split_last()?;
        let is = |word: &Word, of: &str| stem(&word.text) == stem(of);
        let things = (0..caption.len()).filter(|&i| is(&caption[i], thing));
        if properties.is_empty() {
            // "glasses" is a look; "girl" may be anybody.
            let tells = !KINDS.contains(&stem(thing)) && thing.chars().count() > 2;
            return things.map(|i| caption[i].text.clone()).next().filter(|_| tells);
        }
        for i in things {
            let clause = caption[i].clause;
            let before = (i.saturating_sub(REACH)..i).filter(|&j| caption[j].clause == clause);
            let linked = caption.get(i + 1).is_some_and(|w| LINKS.contains(&w.text.as_str()));
            let after = (i + 1..caption.len().min(i + 1 + REACH)).filter(|_| linked);
            for j in before.chain(after) {
                if properties.iter().any(|property| is(&caption[j], property)) {
                    let (first, last) = (i.min(j), i.max(j));
                    let said: Vec<&str> = caption[first..=last].iter().map(|w| w.text.as_str()).collect();
                    return Some(said.join(" "));
                }
            }
        }
        None
    }
}

/// Whether words of this script stand without spaces.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{0e00}'..='\u{0e7f}')
}

/// A word without the ending of the plural, roughly: the same for both is enough.
fn stem(word: &str) -> &str {
    let long = word.len() > 3;
    match word {
        w if long && w.ends_with("ss") => w,
        w if w.len() > 4 && (w.ends_with("ches") || w.ends_with("shes") || w.ends_with("xes")) => {
            &w[..w.len() - 2]
        }
        w if long && w.ends_with('s') => &w[..w.len() - 1],
        w => w,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leak(looks: &str, caption: &str) -> Option<String> {
        Looks::of(looks).leaked(&in_words(caption, &[]), caption)
    }

    #[test]
    fn a_thing_with_its_property_is_a_leak() {
        let looks = "a small blue penguin with a yellow scarf, black boots and round glasses";
        for (caption, said) in [
            ("adjusts her Yellow Scarf", "yellow scarf"),
            ("her scarf is bright yellow", "scarf is bright yellow"),
            ("yellow, woollen scarves; black, muddy boots; a black boot", "black boot"),
            ("two blue penguins wave", "blue penguin"),
        ] {
            let found = leak(looks, caption);
            assert!(found.as_deref().is_some_and(|f| f.starts_with(said)), "{caption}: {found:?}");
        }
        for caption in [
            "slides past a yellow wall",
            "a red scarf lies on the floor",
            "black clouds, muddy boots",
            "penguins in the distance, blue sky",
            "a yellow hat and a green scarf",
        ] {
            assert_eq!(leak(looks, caption), None, "{caption}");
        }
    }

    #[test]
    fn things_alone_count_unless_anybody_could_be_one() {
        assert_eq!(leak("a girl, freckles", "freckles on her nose"), Some("freckles".into()));
        assert_eq!(leak("a girl, freckles", "another girl runs"), None);
        assert_eq!(leak("", "anything"), None);
    }

    #[test]
    fn scripts_without_spaces_are_searched_as_they_stand() {
        assert!(leak("赤いスカーフ", "ペニーは赤いスカーフを巻いている").is_some());
        assert!(leak("赤いスカーフ", "ペニーは雪の中").is_none());
        assert!(leak("ein roter Schal", "mit rotem Hut und dem roter Schal").is_some());
    }
}
