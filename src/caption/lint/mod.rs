//! The gate that every caption passes before it enters a dataset, and the report over all of them.
//!
//! | Rule | A caption breaks it when |
//! |---|---|
//! | length | it has fewer than 3 or more than 1,024 characters |
//! | plain | it has line breaks, control characters or markup |
//! | name | it names none of the subjects |
//! | stranger | it names somebody of the cast who is not in the picture |
//! | looks | it tells a subject's fixed looks, which the name has to carry |
//! | opener | it begins like a machine ("This image shows") |
//! | equal | another caption has the same text |
//! | `near_identical` | nearly all its words are those of another caption |
//! | `worn_opener`, `worn_phrase` | its beginning, or four words in a row, are in too many captions already |
//! | `worn_opener` | one of the 8 records before or after it begins with the same three words, names counting as one |
//!
//! The first seven are **strict**: such a caption never enters a dataset. The others are about variety: a caption that
//! breaks only those is asked for anew, and in the end taken, with the fault written beside it.

mod looks;
mod names;
mod openers;
mod report;
mod variety;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::report::{Counted, LengthReport, LintFinding, LintReport, NearIdentical};
pub(crate) use self::report::{Item, report};
use self::{
    looks::Looks,
    names::{Names, in_words},
    variety::Variety,
};
use super::CAPTION_CHARS;
use crate::types::{Cast, Fault, LintRule};

/// Those of these names that stand in a text as whole words, in the order in which they are given. A name that is part of
/// another that stands there does not count.
pub(crate) fn mentioned<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let known: Vec<&str> = known.into_iter().collect();
    let names = Names::new(known.iter().copied());
    let text = names::clean(text);
    let there = names.mentioned(&text);
    let stands = |name: &&str| there.iter().any(|mention| mention.name == names::clean(name));
    known.into_iter().filter(stands).map(str::to_owned).collect()
}

/// What is allowed. Built from the cast, where there is one: only then can leaked looks be seen.
///
/// ```
/// use picchu::{Cast, Character, caption::{Linter, LintRules}, types::LintRule};
///
/// let penny = Character {
///     name: "Penny".into(),
///     description: "a small penguin with a yellow scarf".into(),
///     ..Character::default()
/// };
/// let rules = LintRules::for_cast(&Cast { characters: vec![penny] });
/// let linter = Linter::new(rules, 1);
/// assert!(linter.check("Penny slides down a snowy hill.", &["Penny"]).is_empty());
/// let faults = linter.check("Penny slides by, her yellow scarf flying.", &["Penny"]);
/// assert_eq!(faults[0].rule, LintRule::Looks);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LintRules {
    /// Everybody who could be named, with the fixed looks that captions leave out.
    pub cast: Vec<Look>,
    /// Share of all captions that may begin with the same three words, 0..1; names count as one word.
    pub opener_share: f64,
    /// Share of all captions in which the same four words in a row may stand, 0..1.
    pub phrase_share: f64,
    /// Share of common words from which two captions are nearly identical, 0..1 (Jaccard).
    pub near_identical: f64,
}

/// A name and the fixed looks behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Look {
    /// The name.
    pub name: String,
    /// The looks, in words; may be empty.
    pub looks: String,
}

impl Default for LintRules {
    /// Nobody is known; an opener may begin a tenth of the captions, a phrase stand in a quarter of them.
    fn default() -> Self {
        Self { cast: Vec::new(), opener_share: 0.1, phrase_share: 0.25, near_identical: 0.85 }
    }
}

impl LintRules {
    /// The default rules for a cast.
    pub fn for_cast(cast: &Cast) -> Self {
        let look = |c: &crate::Character| Look { name: c.name.clone(), looks: c.description.clone() };
        Self { cast: cast.characters.iter().map(look).collect(), ..Self::default() }
    }

    /// A hash: equal rules, equal judgements.
    pub(crate) fn settings(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let hash = Sha256::digest(&json);
        hash.iter().take(6).fold("lint-v1-".to_owned(), |text, byte| format!("{text}{byte:02x}"))
    }

    /// Adds names that captions may not use unless they are subjects.
    pub(crate) fn know(&mut self, names: impl IntoIterator<Item = String>) {
        for name in names {
            if !self.cast.iter().any(|c| c.name == name) {
                self.cast.push(Look { name, looks: String::new() });
            }
        }
    }
}

/// Judges the captions of one dataset, one after another: what was accepted counts for those that follow.
#[derive(Clone, Debug)]
pub struct Linter {
    rules: LintRules,
    looks: Vec<(String, Looks)>,
    cast: Names,
    variety: Variety,
    texts: HashSet<String>,
    /// Place of the record whose caption is looked at.
    place: usize,
}

impl Linter {
    /// A linter for about `total` captions, from which the budgets follow.
    pub fn new(rules: LintRules, total: usize) -> Self {
        let looks = rules.cast.iter().map(|c| (names::clean(&c.name), Looks::of(&c.looks))).collect();
        let cast = Names::new(rules.cast.iter().map(|c| c.name.as_str()));
        let variety = Variety::new(&rules, total);
        Self { rules, looks, cast, variety, texts: HashSet::new(), place: 0 }
    }

    /// The rules.
    pub fn rules(&self) -> &LintRules {
        &self.rules
    }

    /// Every rule that a text breaks, in words fit for a prompt that asks for another wording. `subjects` are the
    /// names of those in the picture; no name is needed where there are none.
    pub fn check(&self, text: &str, subjects: &[impl AsRef<str>]) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |rule, message: String| faults.push(Fault { rule, message });
        let (characters, (fewest, most)) = (text.chars().count(), CAPTION_CHARS);
        if characters < fewest || characters > most || text.trim().chars().count() < fewest {
            fault(LintRule::Length, format!("has {characters} characters; {fewest} to {most} are allowed"));
        }
        if text.chars().any(char::is_control) {
            fault(LintRule::Plain, "has line breaks or other control characters".to_owned());
        }
        if openers::is_markup(text) {
            fault(LintRule::Plain, "has markup; plain sentences are asked for".to_owned());
        }

        let subjects = Names::new(subjects.iter().map(AsRef::as_ref));
        let everybody = subjects.and(&self.cast);
        let seen = everybody.mentioned(text);
        if !subjects.is_empty() && !seen.iter().any(|m| subjects.contains(m.name)) {
            fault(LintRule::Name, format!("does not name {}", subjects.joined(" or ")));
        }
        let mut strangers: Vec<&str> =
            seen.iter().map(|m| m.name).filter(|name| !subjects.contains(name)).collect();
        strangers.dedup();
        for name in strangers {
            fault(LintRule::Stranger, format!("names {name}, who is not in the picture"));
        }

        let words = in_words(text, &seen);
        for (name, looks) in self.looks.iter().filter(|(name, _)| subjects.contains(name)) {
            if let Some(leak) = looks.leaked(&words, text) {
                fault(
                    LintRule::Looks,
                    format!("tells the fixed looks of {name} (“{leak}”), which the name stands for"),
                );
            }
        }
        if let Some(opener) = openers::banned(&words) {
            fault(LintRule::Opener, format!("begins with “{opener}”; begin with what happens"));
        }
        if self.texts.contains(text) {
            fault(LintRule::Equal, "is equal to another caption".to_owned());
        } else {
            faults.extend(self.variety.check(&words, self.place));
        }
        faults
    }

    /// Sets the place of the record whose caption comes next, for captions that come out of order: neighbours may not
    /// begin alike. Each accepted text moves on by one.
    pub fn at(&mut self, place: usize) {
        self.place = place;
    }

    /// Counts a text as taken.
    pub fn accept(&mut self, text: &str, subjects: &[impl AsRef<str>]) {
        let everybody = Names::new(subjects.iter().map(AsRef::as_ref)).and(&self.cast);
        self.variety.accept(&in_words(text, &everybody.mentioned(text)), self.place);
        self.texts.insert(text.to_owned());
        self.place += 1;
    }

    /// Openers that are used up, for prompts that ask for other words.
    pub fn worn_openers(&self) -> Vec<String> {
        self.variety.worn_openers()
    }
}

/// Checks one caption by itself against the rules that hold for every trainer; see [`Linter`] for whole datasets.
///
/// Names are whole words and compared with their case, so that a character called Olive does not forbid olive green;
/// the longest name counts first, so that "Big Bunny" does not mention "Bunny".
///
/// # Errors
/// Every rule that is broken.
///
/// ```
/// use picchu::caption::check;
///
/// assert!(check("Penny is in the centre.", &["Penny"], &["Penny", "Chip"]).is_ok());
/// let broken = check("Penny and Chip.", &["Penny"], &["Penny", "Chip"]).unwrap_err();
/// assert_eq!(broken[0].message, "names Chip, who is not in the picture");
/// ```
pub fn check(text: &str, subjects: &[impl AsRef<str>], cast: &[impl AsRef<str>]) -> Result<(), Vec<Fault>> {
    let mut rules = LintRules::default();
    rules.know(cast.iter().map(|name| name.as_ref().to_owned()));
    let faults = Linter::new(rules, 1).check(text, subjects);
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

#[cfg(test)]
mod tests;
