//! From what was noted of each picture to shots and the transitions between them.

use std::{ops::Range, time::Duration};

use super::watch::{Dissolve, Note, SUSPICIOUS};
use crate::types::{Shot, Transition, TransitionKind};

/// Pictures on each side that show how much moves anyway.
const AROUND: usize = 4;
/// Pictures further apart than this do not show motion.
const STILLS: Duration = Duration::from_millis(200);
/// A gap of one colour shorter than this belongs to a cut.
const BLINK: Duration = Duration::from_millis(250);
/// Fewest pictures in which a shot goes or comes for a fade.
const RAMP: usize = 3;

/// Where a shot begins.
#[derive(Clone, Copy, Debug)]
struct Boundary {
    /// Its first picture.
    at: usize,
    kind: TransitionKind,
    /// The first picture that is not of the earlier shot alone, and the first of the later shot alone.
    extent: (usize, usize),
}

/// Stretches of pictures that are flashes.
pub(super) fn flashes(notes: &[Note]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, note) in notes.iter().enumerate().filter(|(_, note)| note.flash > 0) {
        // The way back from a flash is not another one.
        if found.last().is_none_or(|last| at > last.end) {
            found.push(at..at + note.flash);
        }
    }
    found
}

/// The film's shots. They follow one another without holes from the first picture to `end`.
pub(super) fn shots(notes: &[Note], dissolves: &[Dissolve], end: Duration) -> Vec<Shot> {
    let Some(first) = notes.first() else { return Vec::new() };
    let flashes = flashes(notes);
    let mut cuts: Vec<usize> = (1..notes.len())
        .filter(|&at| {
            is_cut(notes, at) && !flashes.iter().any(|flash| (flash.start..=flash.end).contains(&at))
        })
        .collect();
    let mut found = fades(notes, &mut cuts, &flashes);
    for dissolve in best(dissolves) {
        let within = dissolve.start.saturating_sub(1)..=dissolve.end + 1;
        let extent = (dissolve.start, dissolve.end);
        let free = !found
            .iter()
            .any(|other: &Boundary| other.extent.0 <= *within.end() && *within.start() <= other.extent.1);
        // A hard cut inside is something else that only looks blended.
        if free && !cuts.iter().any(|cut| within.contains(cut)) {
            found.push(Boundary {
                at: dissolve.start.midpoint(dissolve.end),
                kind: TransitionKind::Dissolve,
                extent,
            });
        }
    }
    found.extend(cuts.iter().map(|&at| match dimmed(notes, at) {
        (start, end) if start < end => Boundary { at, kind: TransitionKind::Fade, extent: (start, end) },
        extent => Boundary { at, kind: TransitionKind::Cut, extent },
    }));
    found.sort_by_key(|boundary| boundary.at);
    found.dedup_by_key(|boundary| boundary.at);

    let plain = found.first().is_none_or(|boundary| boundary.at > 0);
    let starts = plain.then_some((first.time, None)).into_iter().chain(found.iter().map(|boundary| {
        let time = |n: usize| notes[n.min(notes.len() - 1)].time;
        let (start, end) = (time(boundary.extent.0), time(boundary.extent.1));
        (time(boundary.at), Some(Transition { kind: boundary.kind, start, end }))
    }));
    let ends = found.iter().map(|boundary| notes[boundary.at].time).skip(usize::from(!plain)).chain([end]);
    let shots = (0..).zip(starts.zip(ends));
    shots.map(|(number, ((start, transition), end))| Shot { number, start, end, transition }).collect()
}

/// Whether most of a picture is gone in the next, more than by the motion around.
fn is_cut(notes: &[Note], at: usize) -> bool {
    let (before, here) = (&notes[at - 1], &notes[at]);
    let both_blank = before.deviation.max(here.deviation) < 2.0 && (before.mean - here.mean).abs() < 20.0;
    if here.unmatched < SUSPICIOUS || here.correlation > 0.93 || both_blank {
        return false;
    }
    if here.time.saturating_sub(before.time) > STILLS {
        return here.unmatched > 0.5;
    }
    let around = |reach: usize| {
        let (from, to) = (at.saturating_sub(reach).max(1), (at + 1 + reach).min(notes.len()));
        (from..to).filter(move |&n| n != at).map(|n| &notes[n])
    };
    let motion = around(AROUND).map(|note| note.unmatched).fold(0.0, f32::max);
    // In the wildest motion pictures still resemble their neighbours a little; across a cut they do not.
    let likeness = around(AROUND).map(|note| note.correlation).fold(1.0, f32::min);
    here.unmatched > 0.45_f32.max(motion + 0.25)
        || here.unmatched > 0.7 && here.correlation < 0.3_f32.min(likeness - 0.3)
}

/// The fades; cuts that they contain are taken out of `cuts`.
fn fades(notes: &[Note], cuts: &mut Vec<usize>, flashes: &[Range<usize>]) -> Vec<Boundary> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < notes.len() {
        if !notes[at].blank {
            at += 1;
            continue;
        }
        let (from, mut to) = (at, at);
        while to < notes.len() && notes[to].blank {
            to += 1;
        }
        at = to;
        if flashes.iter().any(|flash| flash.start < to && from < flash.end) {
            continue;
        }
        // Contrast goes as the colour comes, and the other way round.
        let grows = |dark: usize, light: usize| {
            notes[light].deviation > notes[dark].deviation * 1.004
                && (notes[dark].blank || notes[dark.max(light)].unmatched < 0.6)
        };
        let mut out = from;
        while out > 0 && grows(out, out - 1) {
            out -= 1;
        }
        let mut lit = to.saturating_sub(1);
        while lit + 1 < notes.len() && grows(lit, lit + 1) {
            lit += 1;
        }
        // The picture next to the blank one is half gone already; a hard cut shows all of it.
        let half = |near: usize, far: usize| notes[near].deviation < 0.55 * notes[far].deviation;
        let leaves = from - out >= RAMP && half(from - 1, out);
        let comes = lit + 1 - to >= RAMP && half(to, lit);
        let (inner, outer) = (from > 0, to < notes.len());
        if leaves || comes {
            let (start, end) = (if leaves { out + 1 } else { from }, if comes { lit } else { to });
            cuts.retain(|cut| !(start..=end).contains(cut));
            if outer && (inner || comes) {
                // The film's first shot is there from the beginning, however it comes.
                let at = if inner { to } else { 0 };
                found.push(Boundary { at, kind: TransitionKind::Fade, extent: (start, end) });
            }
        } else if inner && outer && notes[to].time.saturating_sub(notes[from].time) < BLINK {
            // Black between two pictures: one cut, at the later shot's first picture.
            if cuts.contains(&to) {
                cuts.retain(|&cut| cut != from);
            }
        }
    }
    found
}

/// How far a shot dims towards a cut, or brightens after it, without getting to black: from the first picture that is
/// dimmed to the first that is not. Empty for a plain cut.
fn dimmed(notes: &[Note], cut: usize) -> (usize, usize) {
    // Light that goes takes brightness and contrast alike; motion changes one or the other.
    let ramp = |near: usize, step: &dyn Fn(usize) -> Option<usize>| {
        let grows = |dark: usize, light: usize| {
            notes[light].deviation > notes[dark].deviation * 1.004
                && notes[light].mean > notes[dark].mean
                && notes[dark.max(light)].unmatched < 0.6
        };
        let mut far = near;
        while let Some(next) = step(far).filter(|&next| grows(far, next)) {
            far = next;
        }
        let (contrast, light) =
            (notes[near].deviation / notes[far].deviation, notes[near].mean / notes[far].mean.max(1.0));
        let fades = near.abs_diff(far) >= RAMP && contrast < 0.55 && (contrast - light).abs() < 0.15;
        fades.then_some(far)
    };
    let start = ramp(cut - 1, &|n| n.checked_sub(1)).map_or(cut, |far| far + 1);
    let end = ramp(cut, &|n| Some(n + 1).filter(|&n| n < notes.len())).unwrap_or(cut);
    (start, end)
}

/// Of the dissolves that overlap, the one that blends explain best.
fn best(dissolves: &[Dissolve]) -> Vec<Dissolve> {
    let mut groups: Vec<(usize, Dissolve)> = Vec::new();
    for found in dissolves {
        match groups.last_mut() {
            Some((end, best)) if found.start < *end => {
                *end = (*end).max(found.end);
                if found.rest < best.rest {
                    *best = *found;
                }
            }
            _ => groups.push((found.end, *found)),
        }
    }
    groups.into_iter().map(|(_, best)| best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_film_that_comes_out_of_black_says_so_of_its_first_shot() {
        let notes: Vec<Note> = (0..30)
            .map(|n| {
                let light = (n as f32 / 20.0).min(1.0);
                Note {
                    time: Duration::from_millis(40) * n,
                    unmatched: 0.05,
                    correlation: 0.99,
                    mean: 90.0 * light,
                    deviation: 50.0 * light,
                    blank: n < 3,
                    flash: 0,
                }
            })
            .collect();
        let [shot] = shots(&notes, &[], Duration::from_millis(1200))[..] else { panic!("one shot") };
        let t = shot.transition.unwrap();
        assert_eq!((t.kind, shot.start, t.start), (TransitionKind::Fade, Duration::ZERO, Duration::ZERO));
        assert_eq!(t.end, Duration::from_millis(800));
    }

    /// Pictures of two shots, a cut between them; `light` of each picture, 1.0 is all of it.
    fn two_shots(light: impl Fn(usize) -> f32) -> Vec<Shot> {
        let notes: Vec<Note> = (0..40)
            .map(|n| Note {
                time: Duration::from_millis(40) * n as u32,
                unmatched: if n == 20 { 0.95 } else { 0.05 },
                correlation: if n == 20 { 0.1 } else { 0.99 },
                mean: 90.0 * light(n),
                deviation: 50.0 * light(n),
                blank: false,
                flash: 0,
            })
            .collect();
        shots(&notes, &[], Duration::from_millis(1600))
    }

    #[test]
    fn a_shot_that_dims_until_the_cut_fades() {
        let transition = |light: &dyn Fn(usize) -> f32| {
            let shots = two_shots(light);
            assert_eq!(shots.len(), 2);
            let t = shots[1].transition.unwrap();
            (t.kind, t.start.as_millis() / 40, t.end.as_millis() / 40)
        };
        let leaves = |n: usize| if (10..20).contains(&n) { 1.0 - 0.07 * (n - 9) as f32 } else { 1.0 };
        assert_eq!(transition(&leaves), (TransitionKind::Fade, 10, 20));
        let comes = |n: usize| if (20..30).contains(&n) { 0.3 + 0.07 * (n - 20) as f32 } else { 1.0 };
        assert_eq!(transition(&comes), (TransitionKind::Fade, 20, 30));
        assert_eq!(transition(&|_| 1.0), (TransitionKind::Cut, 20, 20));
        // A cloud is no fade.
        let cloud = |n: usize| if (10..20).contains(&n) { 1.0 - 0.02 * (n - 9) as f32 } else { 1.0 };
        assert_eq!(transition(&cloud), (TransitionKind::Cut, 20, 20));
    }
}
