//! What a YOLO export says of itself: names and sizes, written as Python literals.

use std::collections::BTreeMap;

/// Longest text that is looked at.
const MAX_BYTES: usize = 4 << 20;

/// Reads `{0: 'person', 1: "bird's nest"}`. `None` for anything else.
pub(super) fn names(text: &str) -> Option<BTreeMap<usize, String>> {
    let mut rest = Rest::of(text)?;
    rest.take('{')?;
    let mut names = BTreeMap::new();
    while !rest.found('}') {
        let number = rest.number()?;
        rest.take(':')?;
        let name = rest.string()?;
        if names.insert(number, name).is_some() {
            return None;
        }
        if !rest.found(',') {
            rest.take('}')?;
            break;
        }
    }
    rest.is_empty().then_some(names)
}

/// Reads `[480, 640]`: height and width. `None` for anything else.
pub(super) fn size(text: &str) -> Option<[u32; 2]> {
    let mut rest = Rest::of(text)?;
    rest.take('[')?;
    let height = rest.number()?;
    rest.take(',')?;
    let width = rest.number()?;
    rest.take(']')?;
    let sides = [u32::try_from(width).ok()?, u32::try_from(height).ok()?];
    rest.is_empty().then_some(sides)
}

/// The text that is left to read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn of(text: &'a str) -> Option<Self> {
        (text.len() <= MAX_BYTES).then_some(Self(text))
    }

    fn found(&mut self, sign: char) -> bool {
        match self.0.trim_start().strip_prefix(sign) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn take(&mut self, sign: char) -> Option<()> {
        self.found(sign).then_some(())
    }

    fn is_empty(&self) -> bool {
        self.0.trim().is_empty()
    }

    fn number(&mut self) -> Option<usize> {
        let text = self.0.trim_start();
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number = text[..end].parse().ok()?;
        self.0 = &text[end..];
        Some(number)
    }

    fn string(&mut self) -> Option<String> {
        let quote = if self.found('\'') { '\'' } else { self.take('"').map(|()| '"')? };
        let mut name = String::new();
        let mut letters = self.0.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\\' => name.push(letters.next()?.1),
                end if end == quote => {
                    self.0 = &self.0[at + 1..];
                    return Some(name);
                }
                other => name.push(other),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn python_literals_are_read() {
        let read = names(r#"{0: 'person', 1: "bird's nest", 2: 'it\'s'}"#).unwrap();
        assert_eq!(read.into_values().collect::<Vec<_>>(), ["person", "bird's nest", "it's"]);
        assert_eq!(names("{}"), Some(BTreeMap::new()));
        assert_eq!(names("{0: 'a',}").unwrap().len(), 1);
        assert_eq!(size("[480, 640]"), Some([640, 480]));
        for wrong in
            ["", "{", "{0}", "{0: a}", "{0: 'a'", "{0: 'a'} x", "{0: 'a', 0: 'b'}", "{-1: 'a'}", "['a']"]
        {
            assert_eq!(names(wrong), None, "{wrong}");
        }
        for wrong in ["", "640", "[640]", "[1, 2, 3]", "[99999999999999999999, 1]", "(1, 2)"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}|[{}\\[\\]0-9:,'\"a\\\\ ]{0,60}") {
            let _ = (names(&text), size(&text));
        }

        #[test]
        fn what_python_writes_comes_back(list in proptest::collection::vec("[a-zäß熊 \"]{0,8}", 0..6)) {
            let text: Vec<String> = list.iter().enumerate().map(|(n, name)| format!("{n}: '{name}'")).collect();
            let read = names(&format!("{{{}}}", text.join(", "))).unwrap();
            prop_assert_eq!(read.into_values().collect::<Vec<_>>(), list);
        }
    }
}
