//! What the captions of a dataset look like as a whole.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;

use super::{
    LintRules, Linter,
    names::{Names, in_words},
    variety::{Likeness, opener, phrases},
};
use crate::types::LintRule;

/// Openers and phrases that a report lists.
const LISTED: usize = 20;

/// A caption to judge.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) record: String,
    pub(crate) text: String,
    pub(crate) subjects: Vec<String>,
}

/// The distribution of lengths, names and words of some captions, and every rule that is broken. Shows itself as text.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LintReport {
    /// Captions looked at.
    pub captions: u64,
    /// Their lengths in characters.
    pub characters: LengthReport,
    /// Their lengths in words.
    pub words: LengthReport,
    /// Captions that use each name.
    pub names: BTreeMap<String, u64>,
    /// Different openers: the first three words, names as one.
    pub different_openers: u64,
    /// The most common openers.
    pub openers: Vec<Counted>,
    /// The most common phrases of four words that stand in more than one caption.
    pub phrases: Vec<Counted>,
    /// Captions that nearly repeat an earlier one.
    pub near_identical: Vec<NearIdentical>,
    /// Every broken rule, in the order of the captions.
    pub findings: Vec<LintFinding>,
}

/// Shortest, median and longest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LengthReport {
    /// The least.
    pub shortest: u64,
    /// Half are at most this.
    pub median: u64,
    /// The most.
    pub longest: u64,
}

/// Some words and how many captions have them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// The words.
    pub text: String,
    /// How many captions.
    pub captions: u64,
}

/// A caption with nearly the words of an earlier one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NearIdentical {
    /// The later record.
    pub record: String,
    /// The earlier record.
    pub like: String,
    /// Common words over all words, 0..1.
    pub similarity: f64,
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LintFinding {
    /// Whose caption.
    pub record: String,
    /// Which rule.
    pub rule: LintRule,
    /// What is wrong, in words.
    pub message: String,
}

/// Judges captions in their order.
pub(crate) fn report(rules: &LintRules, items: &[Item]) -> LintReport {
    let mut linter = Linter::new(rules.clone(), items.len());
    let mut likeness = Likeness::new(rules.near_identical);
    let (mut characters, mut lengths) = (Vec::new(), Vec::new());
    let (mut openers, mut said): (BTreeMap<String, u64>, BTreeMap<String, u64>) = Default::default();
    let mut report = LintReport { captions: items.len() as u64, ..LintReport::default() };
    for item in items {
        for fault in linter.check(&item.text, &item.subjects) {
            let record = item.record.clone();
            report.findings.push(LintFinding { record, rule: fault.rule, message: fault.message });
        }
        linter.accept(&item.text, &item.subjects);
        let everybody = Names::new(item.subjects.iter().map(String::as_str)).and(&linter.cast);
        let mentions = everybody.mentioned(&item.text);
        for name in mentions.iter().map(|m| m.name).collect::<BTreeSet<_>>() {
            *report.names.entry(name.to_owned()).or_default() += 1;
        }
        let words = in_words(&item.text, &mentions);
        characters.push(item.text.chars().count() as u64);
        lengths.push(words.len() as u64);
        if let Some(opener) = opener(&words) {
            *openers.entry(opener).or_default() += 1;
        }
        for phrase in phrases(&words) {
            *said.entry(phrase).or_default() += 1;
        }
        if let Some((at, similarity)) = likeness.nearest(&words) {
            let (record, like) = (item.record.clone(), items[at].record.clone());
            report.near_identical.push(NearIdentical { record, like, similarity });
        }
        likeness.add(&words);
    }
    report.characters = LengthReport::of(characters);
    report.words = LengthReport::of(lengths);
    report.different_openers = openers.len() as u64;
    report.openers = most_common(openers, 1);
    report.phrases = most_common(said, 2);
    report
}

impl LengthReport {
    fn of(mut lengths: Vec<u64>) -> Self {
        lengths.sort_unstable();
        let at = |i: usize| lengths.get(i).copied().unwrap_or(0);
        let last = lengths.len().saturating_sub(1);
        Self { shortest: at(0), median: at(last / 2), longest: at(last) }
    }
}

fn most_common(counts: BTreeMap<String, u64>, at_least: u64) -> Vec<Counted> {
    let mut counted: Vec<Counted> = counts
        .into_iter()
        .filter(|(_, captions)| *captions >= at_least)
        .map(|(text, captions)| Counted { text, captions })
        .collect();
    counted.sort_by(|a, b| (Reverse(a.captions), &a.text).cmp(&(Reverse(b.captions), &b.text)));
    counted.truncate(LISTED);
    counted
}

impl LintReport {
    /// Whether a rule is broken that keeps a caption out of a dataset.
    pub fn is_broken(&self) -> bool {
        self.findings.iter().any(|f| f.rule.is_strict())
    }

    /// How often each rule is broken.
    pub fn by_rule(&self) -> BTreeMap<LintRule, u64> {
        let mut counts = BTreeMap::new();
        for finding in &self.findings {
            *counts.entry(finding.rule).or_default() += 1;
        }
        counts
    }
}

impl fmt::Display for LintReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |l: &LengthReport| format!("{} to {}, median {}", l.shortest, l.longest, l.median);
        writeln!(f, "{} captions", self.captions)?;
        writeln!(f, "  characters  {}", length(&self.characters))?;
        writeln!(f, "  words       {}", length(&self.words))?;
        for (name, captions) in &self.names {
            writeln!(f, "  {name}: named in {captions}")?;
        }
        writeln!(f, "  {} different openers; the most common:", self.different_openers)?;
        for Counted { text, captions } in self.openers.iter().take(5) {
            writeln!(f, "    {captions:>5}  {text}")?;
        }
        if !self.phrases.is_empty() {
            writeln!(f, "  the most common phrases:")?;
            for Counted { text, captions } in self.phrases.iter().take(5) {
                writeln!(f, "    {captions:>5}  {text}")?;
            }
        }
        if self.findings.is_empty() {
            return writeln!(f, "  no rule is broken");
        }
        for (rule, count) in self.by_rule() {
            let weight = if rule.is_strict() { "strict" } else { "variety" };
            writeln!(f, "  {:<16} broken by {count} ({weight})", rule.as_str())?;
        }
        for LintFinding { record, message, .. } in self.findings.iter().take(LISTED) {
            writeln!(f, "    {record}: {message}")?;
        }
        match self.findings.len().saturating_sub(LISTED) {
            0 => Ok(()),
            more => writeln!(f, "    and {more} more; --json has all"),
        }
    }
}
