//! From what the service sees to detections: which label boxes are whom, which faces belong to which boxes, and who
//! decided. Plain functions, no service.

use std::collections::BTreeMap;

use super::{
    FaceGrowth,
    look::{Label, Match, Named, Seen},
};
use crate::types::{Alternative, BoundingBox, Cast, Detection};

/// Two label boxes with more in common than this show the same.
const SAME_BOX: f32 = 0.7;
/// How much of a face must lie in a label's box for the box to be its character's.
const FACE_INSIDE: f32 = 0.8;
/// What a further reference that matches adds to a vote.
const VOTE: f32 = 0.01;
/// How much a named box of the trained model and a box must have in common.
const SAME_CHARACTER: f32 = 0.4;

pub(super) const BY_LABELS: &str = "rekognition:labels";
pub(super) const BY_FACES: &str = "rekognition:faces";
pub(super) const BY_CUSTOM_LABELS: &str = "rekognition:custom-labels";

/// The labels that a cast is looked for by: the characters' own, and `common` for those without.
pub(super) fn wanted_labels(cast: &Cast, common: &[String]) -> Vec<String> {
    let mut wanted: Vec<String> = Vec::new();
    for character in &cast.characters {
        let labels = if character.labels.is_empty() { common } else { &character.labels };
        for label in labels {
            if !wanted.iter().any(|w| w.eq_ignore_ascii_case(label)) {
                wanted.push(label.clone());
            }
        }
    }
    wanted
}

/// One detection a box of a wanted label. A label that only one character of the cast can have names it.
pub(super) fn from_labels(labels: &[Label], cast: &Cast, common: &[String]) -> Vec<Detection> {
    let mut found: Vec<(Seen, &Label)> = Vec::new();
    for label in labels {
        for &seen in &label.instances {
            match found.iter_mut().find(|(other, _)| other.bounding_box.iou(seen.bounding_box) > SAME_BOX) {
                // The same figure under two labels, for example Person and Girl: the surer one stays.
                Some(other) if seen.confidence > other.0.confidence => *other = (seen, label),
                Some(_) => {}
                None => found.push((seen, label)),
            }
        }
    }
    found
        .into_iter()
        .map(|(seen, label)| {
            let could_be: Vec<&str> = cast
                .characters
                .iter()
                .filter(|c| {
                    let own = if c.labels.is_empty() { common } else { &c.labels };
                    own.iter().any(|wanted| label.is(wanted))
                })
                .map(|c| c.name.as_str())
                .collect();
            let own_label = |name: &str| cast.get(name).is_some_and(|c| !c.labels.is_empty());
            let character = match could_be[..] {
                [only] if own_label(only) => Some(only.to_owned()),
                _ => None,
            };
            let share = seen.confidence / could_be.len().max(1) as f32;
            let alternatives = if character.is_some() {
                Vec::new()
            } else {
                could_be
                    .iter()
                    .map(|&name| Alternative { character: name.to_owned(), confidence: share })
                    .collect()
            };
            Detection {
                bounding_box: seen.bounding_box,
                character,
                confidence: seen.confidence,
                label: Some(label.name.clone()),
                alternatives,
                decided_by: BY_LABELS.into(),
            }
        })
        .collect()
}

/// Whom a face resembles, by the votes of all references.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Verdict {
    pub(super) character: Option<String>,
    pub(super) confidence: f32,
    pub(super) alternatives: Vec<Alternative>,
}

/// Sums of likenesses are off by this much at the most: a lead that equals the wanted one counts.
const ROUNDING: f32 = 1e-5;

/// Counts the votes: a character's best match, and a little for each further one. The first must lead.
pub(super) fn vote(matches: &[Match], min_lead: f32, who: impl Fn(&str) -> Option<String>) -> Verdict {
    let mut votes: BTreeMap<String, (f32, u32)> = BTreeMap::new();
    for found in matches {
        if let Some(character) = who(&found.id) {
            let vote = votes.entry(character).or_default();
            *vote = (vote.0.max(found.similarity), vote.1 + 1);
        }
    }
    let mut ranked: Vec<(f32, String, f32)> = votes
        .into_iter()
        .map(|(name, (best, count))| (best + VOTE * (count - 1) as f32, name, best))
        .collect();
    // Equal scores go by name, so that equal answers give equal detections.
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let alternatives = |ranked: &[(f32, String, f32)]| {
        ranked
            .iter()
            .map(|(_, name, best)| Alternative { character: name.clone(), confidence: *best })
            .collect()
    };
    match &ranked[..] {
        [] => Verdict::default(),
        [first, rest @ ..] if rest.first().is_none_or(|second| first.0 - second.0 >= min_lead - ROUNDING) => {
            Verdict {
                character: Some(first.1.clone()),
                confidence: first.2,
                alternatives: alternatives(rest),
            }
        }
        all => Verdict { character: None, confidence: all[0].2, alternatives: alternatives(all) },
    }
}

/// Gives each face to the smallest label box that holds it, or grows it to a box of its own.
pub(super) fn add_faces(
    mut detections: Vec<Detection>,
    faces: &[(Seen, Verdict)],
    growth: FaceGrowth,
) -> Vec<Detection> {
    let mut taken = vec![false; detections.len()];
    for (face, verdict) in faces {
        let inside = |d: &Detection| {
            let face_area = face.bounding_box.area();
            face_area > 0.0 && d.bounding_box.overlap(face.bounding_box) >= FACE_INSIDE * face_area
        };
        let holder = (0..taken.len())
            .filter(|&i| !taken[i] && inside(&detections[i]))
            .min_by(|&a, &b| detections[a].bounding_box.area().total_cmp(&detections[b].bounding_box.area()));
        if let Some(i) = holder {
            taken[i] = true;
            // A face that resembles nobody leaves the box what its label made it.
            if verdict.character.is_some()
                || detections[i].character.is_none() && !verdict.alternatives.is_empty()
            {
                decide(&mut detections[i], verdict.clone(), BY_FACES);
            }
        } else if let Some(bounding_box) = grow(face.bounding_box, growth) {
            let mut detection = Detection {
                bounding_box,
                character: None,
                confidence: face.confidence,
                label: Some("Face".into()),
                alternatives: Vec::new(),
                decided_by: BY_FACES.into(),
            };
            if verdict.character.is_some() || !verdict.alternatives.is_empty() {
                decide(&mut detection, verdict.clone(), BY_FACES);
            }
            detections.push(detection);
            taken.push(true);
        }
    }
    detections
}

fn decide(detection: &mut Detection, verdict: Verdict, by: &str) {
    detection.character = verdict.character;
    detection.confidence = verdict.confidence;
    detection.alternatives = verdict.alternatives;
    by.clone_into(&mut detection.decided_by);
}

/// The character's box about its face, inside the picture.
pub(super) fn grow(face: BoundingBox, growth: FaceGrowth) -> Option<BoundingBox> {
    BoundingBox::new(
        face.left - growth.sides * face.width,
        face.top - growth.above * face.height,
        face.width * (1.0 + 2.0 * growth.sides),
        face.height * (1.0 + growth.above + growth.below),
    )
    .clamped()
}

/// Names what is unsure by a trained model's boxes, and adds the characters that nothing else saw.
pub(super) fn add_custom_labels(
    mut detections: Vec<Detection>,
    named: &[Named],
    cast: &Cast,
) -> Vec<Detection> {
    let mut named: Vec<&Named> = named.iter().filter(|n| cast.get(&n.name).is_some()).collect();
    named.sort_by(|a, b| b.seen.confidence.total_cmp(&a.seen.confidence).then_with(|| a.name.cmp(&b.name)));
    for label in named {
        let likeness = |d: &Detection| d.bounding_box.iou(label.seen.bounding_box);
        let nearest = (0..detections.len())
            .filter(|&i| likeness(&detections[i]) >= SAME_CHARACTER)
            .max_by(|&a, &b| likeness(&detections[a]).total_cmp(&likeness(&detections[b])));
        let verdict = Verdict {
            character: Some(label.name.clone()),
            confidence: label.seen.confidence,
            alternatives: Vec::new(),
        };
        match nearest {
            Some(i) if detections[i].character.is_none() => {
                decide(&mut detections[i], verdict, BY_CUSTOM_LABELS);
            }
            // Somebody surer named it already.
            Some(_) => {}
            None => detections.push(Detection {
                bounding_box: label.seen.bounding_box,
                character: verdict.character,
                confidence: verdict.confidence,
                label: None,
                alternatives: Vec::new(),
                decided_by: BY_CUSTOM_LABELS.into(),
            }),
        }
    }
    detections
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Character;

    fn cast() -> Cast {
        let character = |name: &str, labels: &[&str]| Character {
            name: name.into(),
            labels: labels.iter().map(|&l| l.to_owned()).collect(),
            ..Character::default()
        };
        Cast {
            characters: vec![
                character("Mayu", &[]),
                character("Ana", &["Person"]),
                character("Rex", &["Dog"]),
            ],
        }
    }

    fn seen(left: f32, width: f32, confidence: f32) -> Seen {
        Seen { bounding_box: BoundingBox::new(left, 0.1, width, 0.8), confidence }
    }

    fn label(name: &str, parents: &[&str], instances: Vec<Seen>) -> Label {
        Label {
            name: name.into(),
            confidence: 0.9,
            instances,
            parents: parents.iter().map(|&p| p.to_owned()).collect(),
            categories: Vec::new(),
        }
    }

    fn common() -> Vec<String> {
        vec!["Person".into()]
    }

    #[test]
    fn a_label_names_only_whom_it_can_mean() {
        assert_eq!(wanted_labels(&cast(), &common()), ["Person", "Dog"]);
        let labels = [
            label("Person", &[], vec![seen(0.0, 0.3, 0.9)]),
            label("Girl", &["Person"], vec![seen(0.01, 0.3, 0.8)]),
            label("Husky", &["Dog", "Animal"], vec![seen(0.6, 0.3, 0.7)]),
        ];
        let found = from_labels(&labels, &cast(), &common());
        assert_eq!(found.len(), 2, "the same figure under two labels is one");
        assert_eq!((found[0].character.as_deref(), found[0].alternatives.len()), (None, 2));
        assert_eq!((found[1].character.as_deref(), found[1].label.as_deref()), (Some("Rex"), Some("Husky")));
    }

    fn matches(list: &[(&str, f32)]) -> Vec<Match> {
        list.iter().map(|&(id, similarity)| Match { id: id.into(), similarity }).collect()
    }

    #[test]
    fn votes_of_several_references_decide_and_ties_are_unsure() {
        let count = |list: &[(&str, f32)]| vote(&matches(list), 0.03, |id| Some(id.to_owned()));
        let sure = count(&[("Mayu", 0.95), ("Mayu", 0.91), ("Ana", 0.85)]);
        assert_eq!((sure.character.as_deref(), sure.confidence), (Some("Mayu"), 0.95));
        assert_eq!(sure.alternatives[0].character, "Ana");
        let tie = count(&[("Mayu", 0.90), ("Ana", 0.89)]);
        assert_eq!((tie.character, tie.alternatives.len()), (None, 2));
        // Three references against one at the same likeness.
        let more = vote(&matches(&[("Mayu", 0.9), ("Mayu", 0.9), ("Mayu", 0.9), ("Ana", 0.9)]), 0.02, |id| {
            Some(id.to_owned())
        });
        assert_eq!(more.character.as_deref(), Some("Mayu"));
        assert_eq!(count(&[]), Verdict::default());
        assert_eq!(vote(&matches(&[("x", 0.9)]), 0.03, |_| None), Verdict::default());
    }

    #[test]
    fn faces_name_the_boxes_that_hold_them_and_grow_where_none_does() {
        let labels = [label("Person", &[], vec![seen(0.0, 0.3, 0.9), seen(0.4, 0.3, 0.9)])];
        let boxes = from_labels(&labels, &cast(), &common());
        let face =
            |left: f32| Seen { bounding_box: BoundingBox::new(left, 0.15, 0.08, 0.1), confidence: 0.99 };
        let mayu = Verdict { character: Some("Mayu".into()), confidence: 0.9, alternatives: Vec::new() };
        let faces = [(face(0.1), mayu.clone()), (face(0.9), mayu), (face(0.5), Verdict::default())];
        let found = add_faces(boxes, &faces, FaceGrowth::default());
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].character.as_deref(), found[0].decided_by.as_str()), (Some("Mayu"), BY_FACES));
        assert_eq!((found[1].character.as_deref(), found[1].decided_by.as_str()), (None, BY_LABELS));
        let grown = found[2].bounding_box;
        assert!(
            grown.height > 0.4
                && grown.right() <= 1.0 + 1e-6
                && found[2].character.as_deref() == Some("Mayu")
        );
    }

    #[test]
    fn a_trained_model_names_what_is_unsure_and_adds_who_was_not_seen() {
        let labels =
            [label("Person", &[], vec![seen(0.0, 0.3, 0.9)]), label("Dog", &[], vec![seen(0.6, 0.3, 0.9)])];
        let named = |name: &str, left: f32| Named { name: name.into(), seen: seen(left, 0.3, 0.8) };
        let found = add_custom_labels(
            from_labels(&labels, &cast(), &common()),
            &[named("Ana", 0.02), named("Mayu", 0.6), named("Nobody", 0.3), named("Mayu", 0.32)],
            &cast(),
        );
        let who: Vec<_> = found.iter().map(|d| (d.character.as_deref(), d.decided_by.as_str())).collect();
        assert_eq!(
            who,
            [(Some("Ana"), BY_CUSTOM_LABELS), (Some("Rex"), BY_LABELS), (Some("Mayu"), BY_CUSTOM_LABELS)]
        );
    }
}
