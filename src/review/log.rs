//! Logs of several people who reviewed copies of one dataset.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Judgement;
use crate::types::Review;

/// Several logs as one.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MergedLog {
    /// Every decision once, oldest first. The order of the logs makes no difference.
    pub reviews: Vec<Review>,
    /// Records about which people do not agree.
    pub conflicts: Vec<Conflict>,
}

/// A record about which people do not agree. The one who decided last prevails until somebody settles it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conflict {
    /// Id of the record.
    pub record: String,
    /// What each of them says by themselves, by name.
    pub says: BTreeMap<String, Judgement>,
}

/// Merges logs. Decisions that are in several logs count once; all come in the order of their times, and those of one
/// moment in an order that is always the same. The result does not depend on the order of the logs.
pub fn merge_logs(logs: &[Vec<Review>]) -> MergedLog {
    let mut merged: BTreeMap<(u64, &str, String, usize), &Review> = BTreeMap::new();
    for log in logs {
        let mut repeats: BTreeMap<String, usize> = BTreeMap::new();
        for review in log {
            let line = serde_json::to_string(review).unwrap_or_default();
            // Twice in one log is two decisions; once in each of two logs is one.
            let repeat = repeats.entry(line.clone()).or_default();
            merged.insert((review.time_ms, &review.reviewer, line, *repeat), review);
            *repeat += 1;
        }
    }
    let reviews: Vec<Review> = merged.into_values().cloned().collect();
    let conflicts = conflicts(&reviews);
    MergedLog { reviews, conflicts }
}

/// The records about which people do not agree.
pub fn conflicts(log: &[Review]) -> Vec<Conflict> {
    let mut by_record: BTreeMap<&str, BTreeMap<&str, Vec<&Review>>> = BTreeMap::new();
    for review in log {
        by_record.entry(&review.record).or_default().entry(&review.reviewer).or_default().push(review);
    }
    by_record
        .into_iter()
        .filter_map(|(record, people)| {
            let says: BTreeMap<String, Judgement> = people
                .into_iter()
                .filter_map(|(who, reviews)| Some((who.to_owned(), Judgement::of(reviews)?)))
                .collect();
            let mut verdicts = says.values().map(substance);
            let first = verdicts.next()?;
            verdicts.any(|other| other != first).then(|| Conflict { record: record.to_owned(), says })
        })
        .collect()
}

/// What people can disagree about.
fn substance(judgement: &Judgement) -> (bool, Option<&str>, Option<&str>, Option<&str>) {
    let crop = judgement.crop.as_ref().map(|crop| crop.image.as_str());
    (judgement.rejected.is_some(), judgement.caption.as_deref(), judgement.character.as_deref(), crop)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::Decision;

    fn said(record: &str, reviewer: &str, time_ms: u64, decision: Decision) -> Review {
        Review { record: record.into(), decision, reviewer: reviewer.into(), time_ms }
    }

    #[test]
    fn what_copies_share_counts_once_and_disagreement_is_shown() {
        let shared = said("a", "ann", 1, Decision::Accept);
        let other = said("a", "bob", 2, Decision::Reject { reason: "not her".into() });
        let merged = merge_logs(&[vec![shared.clone()], vec![shared.clone(), other.clone()]]);
        assert_eq!(merged.reviews, [shared, other]);
        assert_eq!(merged.conflicts.len(), 1);
        assert_eq!(merged.conflicts[0].says.len(), 2);
        let agreed = [said("a", "ann", 1, Decision::Accept), said("a", "bob", 2, Decision::Accept)];
        assert!(conflicts(&agreed).is_empty());
    }

    #[test]
    fn two_undos_at_one_moment_are_two() {
        let log = vec![
            said("a", "ann", 1, Decision::Accept),
            said("a", "ann", 2, Decision::Reject { reason: "x".into() }),
            said("a", "ann", 3, Decision::Undo),
            said("a", "ann", 3, Decision::Undo),
        ];
        let merged = merge_logs(&[log.clone(), log.clone()]);
        assert_eq!(merged.reviews, log);
    }

    fn reviews() -> impl Strategy<Value = Vec<Review>> {
        let decision = prop_oneof![
            Just(Decision::Accept),
            Just(Decision::Undo),
            "[a-c]".prop_map(|reason| Decision::Reject { reason }),
            "[a-c]".prop_map(|caption| Decision::Edit { caption }),
        ];
        prop::collection::vec(("[a-b]", "[x-y]", 0u64..4, decision), 0..8).prop_map(|lines| {
            let mut log: Vec<Review> =
                lines.into_iter().map(|(record, who, at, what)| said(&record, &who, at, what)).collect();
            log.sort_by_key(|review| review.time_ms);
            log
        })
    }

    proptest! {
        #[test]
        fn merging_does_not_depend_on_the_order(a in reviews(), b in reviews(), c in reviews()) {
            let all = merge_logs(&[a.clone(), b.clone(), c.clone()]);
            prop_assert_eq!(&all, &merge_logs(&[c, a.clone(), b.clone()]));
            // Merging again what was merged changes nothing.
            prop_assert_eq!(&all.reviews, &merge_logs(&[all.reviews.clone(), b]).reviews);
        }
    }
}
