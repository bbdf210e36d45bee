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
    found.extend(cuts.iter().map(|&at| Boundary { at, kind: TransitionKind::Cut, extent: (at, at) }));
    found.sort_by_key(|boundary| boundary.at);
    found.dedup_by_key(|boundary| boundary.at);

    let starts = std::iter::once((first.time, None)).chain(found.iter().map(|boundary| {
        let time = |n: usize| notes[n.min(notes.len() - 1)].time;
        let (start, end) = (time(boundary.extent.0), time(boundary.extent.1));
        (time(boundary.at), Some(Transition { kind: boundary.kind, start, end }))
    }));
    let ends = found.iter().map(|boundary| notes[boundary.at].time).chain([end]);
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
            if inner && outer {
                found.push(Boundary { at: to, kind: TransitionKind::Fade, extent: (start, end) });
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
