//! The gate that every caption passes before it enters a dataset.

use std::{collections::HashSet, hash::BuildHasher};

use super::{CAPTION_CHARS, facts::clean};

/// Checks a caption against the rules that hold for every trainer.
///
/// - 3 to 1,024 characters, no control characters (so one line), not only white space.
/// - At least one of `subjects` by name, as a whole word (no name is needed where there are no subjects).
/// - No name of the `cast` that is not among the subjects. Names are compared with their case, so that a character
///   called Olive does not forbid olive green, and the longest name counts first, so that "Big Bunny" does not mention
///   "Bunny".
/// - Not equal to a text in `used`.
///
/// # Errors
/// Every rule that is broken, in words fit for a prompt that asks for another wording.
///
/// ```
/// use std::collections::HashSet;
/// use picchu::caption::check;
///
/// let used = HashSet::from(["Penny is on the left.".to_owned()]);
/// assert!(check("Penny is in the centre.", &["Penny"], &["Penny", "Chip"], &used).is_ok());
/// assert!(check("Penny is on the left.", &["Penny"], &["Penny", "Chip"], &used).is_err());
/// let broken = check("Penny and Chip.", &["Penny"], &["Penny", "Chip"], &used).unwrap_err();
/// assert_eq!(broken, ["names Chip, who is not in the picture"]);
/// ```
pub fn check<S: BuildHasher>(
    text: &str,
    subjects: &[impl AsRef<str>],
    cast: &[impl AsRef<str>],
    used: &HashSet<String, S>,
) -> Result<(), Vec<String>> {
    let mut broken = Vec::new();
    let characters = text.chars().count();
    let (fewest, most) = CAPTION_CHARS;
    if characters < fewest || characters > most || text.trim().chars().count() < fewest {
        broken.push(format!("has {characters} characters; {fewest} to {most} are allowed"));
    }
    if text.chars().any(char::is_control) {
        broken.push("has line breaks or other control characters".to_owned());
    }

    let subjects: Vec<String> =
        subjects.iter().map(|s| clean(s.as_ref())).filter(|s| !s.is_empty()).collect();
    let others: Vec<String> = cast.iter().map(|s| clean(s.as_ref())).filter(|s| !s.is_empty()).collect();
    let mut names: Vec<&str> = subjects.iter().chain(&others).map(String::as_str).collect();
    names.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
    names.dedup();
    let mentioned = mentioned(text, &names);
    if !subjects.is_empty() && !subjects.iter().any(|s| mentioned.contains(&s.as_str())) {
        broken.push(format!("does not name {}", subjects.join(" or ")));
    }
    for name in mentioned.iter().filter(|name| !subjects.iter().any(|s| s == *name)) {
        broken.push(format!("names {name}, who is not in the picture"));
    }
    if used.contains(text) {
        broken.push("is equal to another caption".to_owned());
    }
    if broken.is_empty() { Ok(()) } else { Err(broken) }
}

/// Which names stand in a text as whole words. Longer names come first and take their words away from shorter ones.
fn mentioned<'a>(text: &str, longest_first: &[&'a str]) -> Vec<&'a str> {
    let mut taken: Vec<(usize, usize)> = Vec::new();
    let mut found = Vec::new();
    for name in longest_first {
        let before = taken.len();
        for (start, _) in text.match_indices(name) {
            let end = start + name.len();
            let free = taken.iter().all(|&(from, until)| end <= from || start >= until);
            if free && is_word(text, start, end) {
                taken.push((start, end));
            }
        }
        if taken.len() > before {
            found.push(*name);
        }
    }
    found
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

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [&str; 0] = [];

    fn broken(text: &str, subjects: &[&str], cast: &[&str]) -> Vec<String> {
        check(text, subjects, cast, &HashSet::new()).err().unwrap_or_default()
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert!(broken("äöü", &NONE, &NONE).is_empty());
        assert!(broken(&"ö".repeat(1024), &NONE, &NONE).is_empty());
        assert_eq!(broken(&"ö".repeat(1025), &NONE, &NONE).len(), 1);
        assert_eq!(broken("ab", &NONE, &NONE).len(), 1);
        assert_eq!(broken("     ", &NONE, &NONE).len(), 1);
        assert_eq!(broken("One.\nTwo.", &NONE, &NONE), ["has line breaks or other control characters"]);
    }

    #[test]
    fn names_are_whole_words() {
        let cast = ["Ann", "Anna", "Big Anna", "Mr. T.", "Zoë"];
        assert!(broken("Ann's picture.", &["Ann"], &cast).is_empty());
        assert_eq!(broken("Anna is here.", &["Ann"], &cast).len(), 2);
        assert!(broken("Big Anna is here.", &["Big Anna"], &cast).is_empty());
        assert_eq!(broken("Big Anna is here.", &["Anna"], &cast).len(), 2);
        assert!(broken("Here is Mr. T.", &["Mr. T."], &cast).is_empty());
        assert!(broken("Zoë, seen.", &["Zoë"], &cast).is_empty());
        assert!(broken("Channel.", &NONE, &["anne", "han"]).is_empty());
        assert!(broken("An olive picture of Ann.", &["Ann"], &["Olive", "Ann"]).is_empty());
    }

    #[test]
    fn names_with_line_breaks_match_their_clean_form() {
        assert!(broken("Big Bunny is seen.", &["Big\nBunny"], &["Big\nBunny"]).is_empty());
        assert_eq!(broken("Somebody is seen.", &["Bunny"], &["Bunny"]), ["does not name Bunny"]);
    }

    #[test]
    fn used_texts_are_refused() {
        let used = HashSet::from(["Ann is here.".to_owned()]);
        assert_eq!(
            check("Ann is here.", &["Ann"], &["Ann"], &used),
            Err(vec!["is equal to another caption".to_owned()])
        );
    }
}
