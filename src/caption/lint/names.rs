//! Names in texts, as whole words.

pub(super) use crate::caption::facts::clean;

/// Names to look for, the longest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Vec<String>);

/// A name and where it stands in a text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mention<'a> {
    pub(super) name: &'a str,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Names {
    pub(super) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names: Vec<String> = names.into_iter().map(clean).filter(|n| !n.is_empty()).collect();
        names.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        names.dedup();
        Self(names)
    }

    pub(super) fn and(&self, others: &Self) -> Self {
        Self::new(self.0.iter().chain(&others.0).map(String::as_str))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|n| n == name)
    }

    pub(super) fn joined(&self, by: &str) -> String {
        self.0.join(by)
    }

    /// Where names stand in a text as whole words, grouped by name. Longer names come first and take their words away
    /// from shorter ones.
    pub(super) fn mentioned(&self, text: &str) -> Vec<Mention<'_>> {
        let mut found: Vec<Mention<'_>> = Vec::new();
        for name in &self.0 {
            for (start, _) in text.match_indices(name.as_str()) {
                let end = start + name.len();
                let free = found.iter().all(|m| end <= m.start || start >= m.end);
                if free && is_word(text, start, end) {
                    found.push(Mention { name, start, end });
                }
            }
        }
        found
    }
}

/// Whether no letter or digit continues the word at either end.
fn is_word(text: &str, start: usize, end: usize) -> bool {
    let joins = |outer: Option<char>, inner: Option<char>| {
        outer.is_some_and(char::is_alphanumeric) && inner.is_some_and(char::is_alphanumeric)
    };
    let name = &text[start..end];
    !joins(text[..start].chars().next_back(), name.chars().next())
        && !joins(text[end..].chars().next(), name.chars().next_back())
}

/// The word that stands for any name.
pub(super) const NAME: &str = "⟨name⟩";

/// A word of a caption, in lower case and without its ending for possession; a name is [`NAME`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// Which clause it belongs to: clauses end at a full stop, comma, semicolon, colon, dash or bracket.
    pub(super) clause: usize,
    /// What was written, for names.
    pub(super) name: Option<String>,
}

/// The words of a text, with the names in it replaced.
pub(super) fn in_words(text: &str, mentions: &[Mention<'_>]) -> Vec<Word> {
    let mut mentions = mentions.to_vec();
    mentions.sort_by_key(|m| m.start);
    let (mut words, mut clause, mut at) = (Vec::new(), 0, 0);
    for mention in &mentions {
        split(&text[at..mention.start], &mut words, &mut clause);
        words.push(Word { text: NAME.to_owned(), clause, name: Some(mention.name.to_owned()) });
        at = mention.end;
        // "Penny's" is the name alone.
        for possession in ["'s", "’s"] {
            at += if text[at..].starts_with(possession) { possession.len() } else { 0 };
        }
    }
    split(&text[at..], &mut words, &mut clause);
    words
}

fn split(text: &str, words: &mut Vec<Word>, clause: &mut usize) {
    let mut word = String::new();
    let mut end = |word: &mut String, clause: usize| {
        let text = word.trim_matches(['\'', '-']);
        let text = match text.strip_suffix("'s") {
            // "is" in short, not a possession.
            Some("here" | "it" | "let" | "that" | "there" | "what") | None => text,
            Some(owner) => owner,
        };
        if !text.is_empty() {
            words.push(Word { text: text.to_owned(), clause, name: None });
        }
        word.clear();
    };
    for c in text.chars() {
        match c {
            c if c.is_alphanumeric() => word.extend(c.to_lowercase()),
            '\'' | '’' => word.push('\''),
            '-' if !word.is_empty() => word.push('-'),
            c => {
                end(&mut word, *clause);
                if matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '—' | '–' | '(' | ')') {
                    *clause += 1;
                }
            }
        }
    }
    end(&mut word, *clause);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, names: &[&str]) -> Vec<String> {
        let names = Names::new(names.iter().copied());
        in_words(text, &names.mentioned(text)).into_iter().map(|w| w.text).collect()
    }

    #[test]
    fn words_are_lower_case_and_names_stand_apart() {
        assert_eq!(
            texts("Penny's scarf, a RED-hot one.", &["Penny"]),
            [NAME, "scarf", "a", "red-hot", "one"]
        );
        assert_eq!(
            texts("The dog’s ball — 'Mr. T.' waves 🎈!", &["Mr. T."]),
            ["the", "dog", "ball", NAME, "waves"]
        );
        assert_eq!(texts("Größe ÜBER alles", &[]), ["größe", "über", "alles"]);
    }

    #[test]
    fn clauses_end_at_commas() {
        let words = in_words("a b, c", &[]);
        assert_eq!(words.iter().map(|w| w.clause).collect::<Vec<_>>(), [0, 0, 1]);
    }
}
