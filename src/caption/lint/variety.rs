//! Budgets over a whole dataset: beginnings and phrases that wear out, and captions that nearly repeat others.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
};

use super::{LintRules, names::Word};
use crate::types::{Fault, LintRule};

/// Words of an opener.
const OPENER: usize = 3;
/// Words of a phrase.
const PHRASE: usize = 4;
/// Captions in which an opener or a phrase may stand, however few there are.
const AT_LEAST: usize = 4;
/// Records to either side among which no two captions begin alike.
const NEIGHBOURS: usize = 8;
/// Most openers that a prompt is told to avoid.
const TOLD: usize = 8;

/// What the accepted captions have used up.
#[derive(Clone, Debug)]
pub(super) struct Variety {
    opener_budget: usize,
    phrase_budget: usize,
    /// The places of the captions that begin so.
    openers: BTreeMap<String, Vec<usize>>,
    phrases: HashMap<String, usize>,
    likeness: Likeness,
}

impl Variety {
    pub(super) fn new(rules: &LintRules, total: usize) -> Self {
        let budget = |share: f64| ((share * total as f64).ceil() as usize).max(AT_LEAST);
        Self {
            opener_budget: budget(rules.opener_share),
            phrase_budget: budget(rules.phrase_share),
            openers: BTreeMap::new(),
            phrases: HashMap::new(),
            likeness: Likeness::new(rules.near_identical),
        }
    }

    /// Checks a caption for the record at a place in the dataset.
    pub(super) fn check(&self, words: &[Word], place: usize) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |rule, message| faults.push(Fault { rule, message });
        let opener = opener(words).and_then(|opener| Some((self.openers.get(&opener)?, opener)));
        if let Some((places, opener)) = opener {
            let others = places.len();
            if others >= self.opener_budget {
                fault(LintRule::WornOpener, format!("begins “{opener}” like {others} other captions"));
            } else if places.iter().any(|other| other.abs_diff(place) <= NEIGHBOURS) {
                fault(LintRule::WornOpener, format!("begins “{opener}” like that of a neighbour"));
            }
        }
        let worn = phrases(words)
            .into_iter()
            .filter_map(|p| self.phrases.get(&p).map(|n| (*n, p)))
            .filter(|(n, _)| *n >= self.phrase_budget)
            .max_by(|a, b| a.0.cmp(&b.0).then_with(|| b.1.cmp(&a.1)));
        if let Some((others, phrase)) = worn {
            fault(LintRule::WornPhrase, format!("says “{phrase}” like {others} other captions"));
        }
        if let Some((_, similarity)) = self.likeness.nearest(words) {
            let percent = (similarity * 100.0).round();
            fault(
                LintRule::NearIdentical,
                format!("has {percent} % of its words in common with another caption"),
            );
        }
        faults
    }

    pub(super) fn accept(&mut self, words: &[Word], place: usize) {
        if let Some(opener) = opener(words) {
            self.openers.entry(opener).or_default().push(place);
        }
        for phrase in phrases(words) {
            *self.phrases.entry(phrase).or_default() += 1;
        }
        self.likeness.add(words);
    }

    pub(super) fn worn_openers(&self) -> Vec<String> {
        let mut worn: Vec<_> =
            self.openers.iter().filter(|(_, at)| at.len() * 2 >= self.opener_budget).collect();
        worn.sort_by_key(|(opener, at)| (Reverse(at.len()), *opener));
        worn.into_iter().take(TOLD).map(|(opener, _)| opener.clone()).collect()
    }
}

/// The first words, names as one word; `None` for shorter captions.
pub(super) fn opener(words: &[Word]) -> Option<String> {
    (words.len() >= OPENER).then(|| joined(&words[..OPENER]))
}

/// Every run of four words, each once.
pub(super) fn phrases(words: &[Word]) -> Vec<String> {
    let mut all: Vec<String> = words.windows(PHRASE).map(joined).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn joined(words: &[Word]) -> String {
    words.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ")
}

/// Finds captions whose sets of words nearly agree: exact, by the words that two such captions must share.
#[derive(Clone, Debug)]
pub(super) struct Likeness {
    least: f64,
    /// Numbers of the words that were seen.
    numbers: HashMap<String, u32>,
    /// The words of each caption as ordered numbers.
    sets: Vec<Vec<u32>>,
    /// The sets that `leading` knows: of equal ones the earliest is enough.
    known: HashSet<Vec<u32>>,
    /// Captions by each of their leading words, in an order that puts rare words first.
    leading: HashMap<u32, Vec<usize>>,
}

impl Likeness {
    pub(super) fn new(least: f64) -> Self {
        Self {
            least,
            numbers: HashMap::new(),
            sets: Vec::new(),
            known: HashSet::new(),
            leading: HashMap::new(),
        }
    }

    /// The words of a caption, each once, long ones first: those are the rarest. Names stand for themselves.
    fn set(words: &[Word]) -> Vec<&str> {
        let mut set: Vec<&str> = words.iter().map(|w| w.name.as_deref().unwrap_or(&w.text)).collect();
        set.sort_unstable_by(|a, b| (Reverse(a.len()), a).cmp(&(Reverse(b.len()), b)));
        set.dedup();
        set
    }

    /// Two sets whose Jaccard index is `least` share one of so many leading words.
    fn leading(&self, set: &[&str]) -> usize {
        (set.len() - (self.least * set.len() as f64).ceil() as usize + 1).min(set.len())
    }

    /// The most similar caption added before, with the Jaccard index of the words, if it reaches the threshold. Of
    /// equally similar ones the earliest.
    pub(super) fn nearest(&self, words: &[Word]) -> Option<(usize, f64)> {
        let set = Self::set(words);
        let number = |word: &&str| self.numbers.get(*word).copied();
        let mut candidates: Vec<usize> = set[..self.leading(&set)]
            .iter()
            .filter_map(|word| self.leading.get(&number(word)?))
            .flatten()
            .copied()
            .collect();
        candidates.sort_unstable();
        candidates.dedup();
        // Words without a number are in no other caption.
        let mut seen: Vec<u32> = set.iter().filter_map(number).collect();
        seen.sort_unstable();
        let mut best: Option<(usize, f64)> = None;
        for at in candidates {
            let similarity = jaccard(&seen, &self.sets[at], set.len());
            if similarity >= self.least && best.is_none_or(|(_, s)| similarity > s) {
                best = Some((at, similarity));
            }
        }
        best
    }

    pub(super) fn add(&mut self, words: &[Word]) {
        let set = Self::set(words);
        let leading = self.leading(&set);
        let mut numbers = Vec::with_capacity(set.len());
        for word in set {
            let next = self.numbers.len() as u32;
            numbers.push(*self.numbers.entry(word.to_owned()).or_insert(next));
        }
        let mut ordered = numbers.clone();
        ordered.sort_unstable();
        if self.known.insert(ordered.clone()) {
            for &number in &numbers[..leading] {
                self.leading.entry(number).or_default().push(self.sets.len());
            }
        }
        self.sets.push(ordered);
    }
}

/// Common over all elements of two ordered sets, the first of which has `size` elements with those that the second
/// cannot have; empty sets have nothing in common.
fn jaccard(a: &[u32], b: &[u32], size: usize) -> f64 {
    let (mut i, mut j, mut common) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        common += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    let all = size + b.len() - common;
    if all == 0 { 0.0 } else { common as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{super::names::in_words, *};

    fn words(text: &str) -> Vec<Word> {
        in_words(text, &[])
    }

    #[test]
    fn budgets_follow_from_the_whole_and_never_starve_small_datasets() {
        let mut variety = Variety::new(&LintRules::default(), 100);
        let text = |n: usize| format!("they all run to place {n} q{n} w{n} e{n} r{n} t{n}");
        for n in 0..10 {
            assert!(variety.check(&words(&text(n)), n * 9).is_empty(), "{n}");
            variety.accept(&words(&text(n)), n * 9);
        }
        let faults = variety.check(&words(&text(10)), 90);
        assert_eq!(faults.iter().map(|f| f.rule).collect::<Vec<_>>(), [LintRule::WornOpener]);
        assert_eq!(variety.worn_openers(), ["they all run"]);
        for n in 10..25 {
            variety.accept(&words(&text(n)), n * 9);
        }
        assert_eq!(variety.check(&words(&text(30)), 300)[1].rule, LintRule::WornPhrase);
    }

    #[test]
    fn neighbours_do_not_begin_alike() {
        let mut variety = Variety::new(&LintRules::default(), 1000);
        variety.accept(&words("they all run to place q w e r t"), 100);
        let again = words("they all run away from home a s d f g");
        for (place, allowed) in [(91, true), (92, false), (101, false), (108, false), (109, true)] {
            assert_eq!(variety.check(&again, place).is_empty(), allowed, "{place}");
        }
    }

    proptest! {
        #[test]
        fn likeness_is_that_of_every_pair(
            captions in proptest::collection::vec(proptest::collection::vec("[a-e]{1,2}", 0..12), 0..30),
            least in 0.3..1.0f64,
        ) {
            let mut fast = Likeness::new(least);
            let mut sets: Vec<BTreeSet<String>> = Vec::new();
            for caption in captions {
                let words = words(&caption.join(" "));
                let set: BTreeSet<String> = Likeness::set(&words).into_iter().map(str::to_owned).collect();
                let mut slow: Option<(usize, f64)> = None;
                for (at, other) in sets.iter().enumerate() {
                    let all = set.union(other).count();
                    let similarity = if all == 0 { 0.0 } else { set.intersection(other).count() as f64 / all as f64 };
                    if similarity >= least && slow.is_none_or(|(_, s)| similarity > s) {
                        slow = Some((at, similarity));
                    }
                }
                prop_assert_eq!(fast.nearest(&words), slow);
                fast.add(&words);
                sets.push(set);
            }
        }
    }
}
