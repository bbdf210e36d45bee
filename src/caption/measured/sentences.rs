//! Whole sentences: which clauses a caption has, and in which order.

use super::{
    Words,
    clauses::{
        LEAST_NAMED, Pairing, background, capital, edge, extent, gap, larger, light, list, place, size, view,
        when,
    },
};
use crate::caption::facts::{Facts, Named};

/// Characters that the names of a caption may take together.
const NAMES_CHARS: usize = 700;

/// The sentence for some facts. `brief` is 0 for everything there is to say, up to 5 for the least.
pub(super) fn sentence(facts: &Facts, brief: u8, mut words: Words) -> String {
    let background = background(facts, brief, &mut words);
    let light = when(brief < 5, light(facts, brief, &mut words));
    let mut people = facts.subjects.iter().collect::<Vec<_>>();
    let mut room = NAMES_CHARS;
    people.retain(|person| {
        let fits = person.name.chars().count() + 2 <= room;
        room -= if fits { person.name.chars().count() + 2 } else { 0 };
        fits
    });
    let clauses = match people.as_slice() {
        [] => match facts.subjects.first() {
            // Not even one name fits: its beginning stands for it.
            Some(own) => {
                let name: String = own.name.chars().take(NAMES_CHARS).collect();
                one(&Named { name, bounds: own.bounds }, background, light, brief, &mut words)
            }
            None => none(facts, light, &mut words),
        },
        [own] => one(own, background, light, brief, &mut words),
        [own, other] => two(own, other, background, light, brief, &mut words),
        many => several(many, background, light, &mut words),
    };
    let kept: Vec<String> = clauses.into_iter().filter(|clause| !clause.is_empty()).collect();
    format!("{}.", kept.join(", "))
}

/// One subject.
pub(super) fn one(
    own: &Named,
    background: String,
    light: String,
    brief: u8,
    words: &mut Words,
) -> Vec<String> {
    let name = own.name.clone();
    let view = view(size(own), words);
    let place = place(own, words);
    let extent = when(brief < 4, extent(own, words));
    let edge = when(brief < 1, edge(own, words));
    let seen = words.pick(&["is shown", "is seen", "appears", "is placed", "can be seen", "is pictured"]);
    let shows = words.pick(&["shows", "presents", "has", "holds"]);
    let form = words.form(12);
    match form {
        0 => vec![format!("{name} {seen} {place} in {view}"), extent, edge, background, light],
        1 => vec![format!("{} {shows} {name} {place}", capital(&view)), extent, edge, background, light],
        2 => vec![format!("{} of {name} {place}", capital(&view)), extent, edge, background, light],
        3 if !light.is_empty() => {
            vec![capital(&light), format!("{name} {seen} {place} in {view}"), extent, edge, background]
        }
        4 if !background.is_empty() => {
            vec![capital(&background), format!("{name} {seen} {place} in {view}"), extent, edge, light]
        }
        5 => vec![format!("{} is {name} in {view}", capital(&place)), extent, edge, background, light],
        6 if !extent.is_empty() => {
            vec![capital(&extent), format!("{name} {seen} {place} in {view}"), edge, background, light]
        }
        7 => vec![format!("There is {name} {place} in {view}"), extent, edge, background, light],
        8 => vec![format!("{name}, {place}"), extent, edge, format!("in {view}"), background, light],
        9 => {
            let picture = words.pick(&["One look at", "A glimpse of", "A moment of", "One view of"]);
            vec![format!("{picture} {name} {place}"), format!("in {view}"), extent, edge, background, light]
        }
        10 => {
            let framed = words.pick(&["Framed in", "Seen in", "Shown in", "Pictured in"]);
            let is = words.pick(&["is", "appears", "is placed"]);
            vec![format!("{framed} {view}"), format!("{name} {is} {place}"), extent, edge, background, light]
        }
        _ => vec![format!("{name} in {view}"), place, extent, edge, background, light],
    }
}

/// Two subjects.
pub(super) fn two(
    own: &Named,
    other: &Named,
    background: String,
    light: String,
    brief: u8,
    words: &mut Words,
) -> Vec<String> {
    let view = view(size(own).max(size(other)), words);
    let Pairing { first, second, relation, inverse, order } = Pairing::of(own, other, words);
    let (a, b) = (&first.name, &second.name);
    let gap = gap(first, second, relation, words);
    let larger = when(brief < 1, larger(first, second, words));
    let gap = when(brief < 4, gap);
    let shows = words.pick(&["shows", "presents", "has", "holds"]);
    let seen = words.pick(&["is", "is shown", "is seen", "appears"]);
    match words.form(9) {
        0 => {
            let both = words.pick(&["are both in view in", "share", "appear together in", "are seen in"]);
            vec![format!("{a} and {b} {both} {view}"), gap, order, larger, background, light]
        }
        1 => vec![format!("{} {shows} {a} {relation} {b}", capital(&view)), gap, larger, background, light],
        2 => vec![format!("{b} {seen} {inverse} {a} in {view}"), gap, larger, background, light],
        3 if !light.is_empty() => {
            vec![capital(&light), format!("{a} {seen} {relation} {b} in {view}"), gap, larger, background]
        }
        4 if !background.is_empty() => {
            vec![capital(&background), format!("{a} {seen} {relation} {b} in {view}"), gap, larger, light]
        }
        5 => {
            let two = words.pick(&["Two characters", "A pair", "Two figures", "Two named characters"]);
            vec![format!("{two} in {view}"), format!("{a} {relation} {b}"), gap, larger, background, light]
        }
        6 => {
            let here = words.pick(&["There are", "Together are", "In view are", "Together in view are"]);
            vec![format!("{here} {b} and {a}"), gap, order, format!("in {view}"), larger, background, light]
        }
        7 => vec![format!("{} of {a} and {b}", capital(&view)), order, gap, larger, background, light],
        _ => vec![format!("{a} {seen} {relation} {b}"), gap, format!("in {view}"), larger, background, light],
    }
}

/// Three subjects or more, in the order of the picture.
pub(super) fn several(
    people: &[&Named],
    background: String,
    light: String,
    words: &mut Words,
) -> Vec<String> {
    let largest = people.iter().map(|p| size(p)).fold(0.0, f32::max);
    let view = view(largest, words);
    let mut in_order = people.to_vec();
    in_order.sort_by(|a, b| a.centre().0.total_cmp(&b.centre().0));
    let clear = in_order.windows(2).all(|p| p[1].centre().0 - p[0].centre().0 >= 0.04);
    let names = list(&in_order.iter().map(|p| p.name.as_str()).collect::<Vec<_>>());
    let order = if clear { words.pick(&["from left to right", "in order from the left"]) } else { "" };
    let spaced = if order.is_empty() { String::new() } else { format!(" {order}") };
    let count = match people.len() {
        3 => "three".to_owned(),
        4 => "four".to_owned(),
        5 => "five".to_owned(),
        n => n.to_string(),
    };
    let shows = words.pick(&["shows", "presents", "has", "holds"]);
    let seen = words.pick(&["are seen", "are shown", "appear", "are pictured"]);
    match words.form(6) {
        0 => vec![format!("{names} {seen}{spaced} in {view}"), background, light],
        1 => vec![format!("{} {shows} {names}{spaced}", capital(&view)), background, light],
        2 => vec![
            format!("{} with {count} characters", capital(&view)),
            format!("{names}{spaced}"),
            background,
            light,
        ],
        3 if !light.is_empty() => {
            vec![capital(&light), format!("{names} {seen}{spaced} in {view}"), background]
        }
        4 if !background.is_empty() => {
            vec![capital(&background), format!("{names} {seen}{spaced} in {view}"), light]
        }
        _ => {
            let here = words.pick(&["There are", "In view are", "Together are"]);
            vec![format!("{here} {names}{spaced}"), format!("in {view}"), background, light]
        }
    }
}

/// No subject: the picture itself.
pub(super) fn none(facts: &Facts, light: String, words: &mut Words) -> Vec<String> {
    let plate = words.pick(&["background plate", "setting", "scene without a named character", "backdrop"]);
    let listed = list(&facts.overall.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let named: f32 = facts.overall.iter().map(|(_, share)| share).sum();
    let among = words.pick(&["with LIST among its colours", "partly in LIST", "with LIST in it"]);
    let colours = if named < LEAST_NAMED { among } else { words.pick(&["in LIST", "mostly in LIST"]) };
    let colours = if listed.is_empty() { String::new() } else { colours.replace("LIST", &listed) };
    match words.form(4) {
        0 => vec![format!("A {plate} {colours}"), light],
        1 => vec!["No character is named in this picture".to_owned(), format!("a {plate} {colours}"), light],
        2 => vec![format!("{}, a {plate} {colours}", capital(&light))],
        _ => vec![format!("Nothing but a {plate} {colours}"), light],
    }
}
