//! Parts of sentences, each over one measured fact.

use super::Words;
use crate::caption::facts::{Brightness, Contrast, Facts, Named, Warmth};

/// Share of the background that its named colours must make up to stand for it.
pub(super) const LEAST_NAMED: f32 = 0.5;

/// Share of the picture's height or width that a subject takes, whichever is larger.
pub(super) fn size(person: &Named) -> f32 {
    person.bounds.height.max(person.bounds.width)
}

/// The framing, as a noun.
pub(super) fn view(size: f32, words: &mut Words) -> String {
    let options: &[&str] = match size {
        s if s >= 0.85 => {
            &["a tight framing", "a tightly framed view", "a close framing", "a closely framed picture"]
        }
        s if s >= 0.6 => &["a medium framing", "a medium view", "a mid-range view", "a mid-range framing"],
        s if s >= 0.35 => &["an open framing", "a fairly wide view", "a wider view", "a loose framing"],
        _ => &["a wide view", "a wide framing", "a distant view", "a far view"],
    };
    words.pick(options).to_owned()
}

/// Where the middle of a subject is.
pub(super) fn place(person: &Named, words: &mut Words) -> String {
    const NEAR: f32 = 0.06;
    const FAR: f32 = 0.17;
    let (x, y) = person.centre();
    let (dx, dy) = (x - 0.5, y - 0.5);
    let row = match dy {
        d if d < -0.12 => "upper",
        d if d > 0.12 => "lower",
        _ => "",
    };
    let side = if dx < 0.0 { "left" } else { "right" };
    let half = |words: &mut Words| match row {
        "" => String::new(),
        row => {
            words.pick(&[" in the half", " in the part"]).replacen(" in the ", &format!(" in the {row} "), 1)
        }
    };
    if dx.abs() >= FAR {
        if !row.is_empty() {
            let corner = words.pick(&[
                "at the ROW SIDE",
                "in the ROW SIDE part of the picture",
                "towards the ROW SIDE",
            ]);
            return corner.replace("ROW", row).replace("SIDE", side);
        }
        let at = words.pick(&[
            "on the SIDE",
            "at the SIDE of the picture",
            "in the SIDE part of the picture",
            "to the SIDE",
        ]);
        return at.replace("SIDE", side);
    }
    if dx.abs() >= NEAR {
        let at = words.pick(&["slightly SIDE of centre", "a little to the SIDE", "just SIDE of the middle"]);
        return at.replace("SIDE", side) + &half(words);
    }
    let at = match row {
        "" => {
            words.pick(&["in the centre", "in the middle of the picture", "at the centre", "near the middle"])
        }
        _ => words.pick(&[
            "in the middle of the ROW half",
            "centrally in the ROW part",
            "midway across the ROW half",
        ]),
    };
    at.replace("ROW", row)
}

/// How much of the picture's height (or width, if it is more) a subject takes; now and then nothing, since a fact
/// that every caption tells wears out its words.
pub(super) fn extent(person: &Named, words: &mut Words) -> String {
    let share = size(person);
    let upright = person.bounds.height >= person.bounds.width;
    let [side, tall, ends] =
        if upright { ["height", "tall", "top to bottom"] } else { ["width", "wide", "side to side"] };
    let verb = words.pick(&["spanning", "taking up", "filling", "covering"]);
    if share >= 0.92 {
        let nearly = if share >= 0.97 { "" } else { "nearly " };
        return words
            .pick(&[
                "VERB NEARLY the full SIDE of the picture",
                "NEARLY as TALL as the picture",
                "reaching NEARLY from ENDS",
                "",
            ])
            .replace("VERB", verb)
            .replace("NEARLY ", nearly)
            .replace("SIDE", side)
            .replace("TALL", tall)
            .replace("ENDS", ends);
    }
    let amount = if words.next().is_multiple_of(2) {
        format!("{} percent", (share * 20.0).round() * 5.0)
    } else {
        fraction(share).to_owned()
    };
    let about = words.pick(&["about", "roughly", "around"]);
    words
        .pick(&[
            "VERB ABOUT AMOUNT of the picture's SIDE",
            "ABOUT AMOUNT as TALL as the picture",
            "VERB ABOUT AMOUNT of the frame from ENDS",
            "with a SIDE of ABOUT AMOUNT of the frame's",
            "",
            "",
        ])
        .replace("VERB", verb)
        .replace("ABOUT", about)
        .replace("AMOUNT", &amount)
        .replace("SIDE", side)
        .replace("TALL", tall)
        .replace("ENDS", ends)
}

pub(super) fn fraction(share: f32) -> &'static str {
    const FRACTIONS: [(f32, &str); 11] = [
        (0.1, "a tenth"),
        (0.2, "a fifth"),
        (0.25, "a quarter"),
        (0.333, "a third"),
        (0.4, "two fifths"),
        (0.5, "half"),
        (0.6, "three fifths"),
        (0.667, "two thirds"),
        (0.75, "three quarters"),
        (0.8, "four fifths"),
        (0.9, "nine tenths"),
    ];
    let off = |f: &(f32, &str)| (f.0 - share).abs();
    FRACTIONS.iter().min_by(|a, b| off(a).total_cmp(&off(b))).map_or("some", |f| f.1)
}

/// Which edges of the picture a subject reaches, if one or two, unless its extent says so already.
pub(super) fn edge(person: &Named, words: &mut Words) -> String {
    let verb = words.pick(&["reaching", "touching", "up to"]);
    match person.edges().as_slice() {
        [edge] => format!("{verb} the {edge} edge"),
        [a, b] => format!("{verb} the {a} and {b} edges"),
        _ => String::new(),
    }
}

/// Two subjects in an order that can be seen.
pub(super) struct Pairing<'a> {
    pub(super) first: &'a Named,
    pub(super) second: &'a Named,
    /// The first to the second, and the second to the first.
    pub(super) relation: &'static str,
    pub(super) inverse: &'static str,
    /// The order as a clause; empty where there is none.
    pub(super) order: String,
}

impl<'a> Pairing<'a> {
    pub(super) fn of(own: &'a Named, other: &'a Named, words: &mut Words) -> Self {
        let ((ax, ay), (bx, by)) = (own.centre(), other.centre());
        if (ax - bx).abs() >= 0.06 {
            let (first, second) = if ax < bx { (own, other) } else { (other, own) };
            let (relation, inverse) = match words.next() % 2 {
                0 => ("to the left of", "to the right of"),
                _ => ("on the left of", "on the right of"),
            };
            let (a, b) = (&first.name, &second.name);
            let order = match words.next() % 3 {
                0 => format!("with {a} on the left"),
                1 => format!("with {b} on the right"),
                _ => format!("{a} left and {b} right"),
            };
            return Self { first, second, relation, inverse, order };
        }
        if (ay - by).abs() >= 0.12 {
            let (first, second) = if ay < by { (own, other) } else { (other, own) };
            let order = format!("with {} higher in the picture", first.name);
            return Self { first, second, relation: "above", inverse: "below", order };
        }
        Self {
            first: own,
            second: other,
            relation: "together with",
            inverse: "together with",
            order: String::new(),
        }
    }
}

/// How far apart two subjects are.
pub(super) fn gap(a: &Named, b: &Named, relation: &str, words: &mut Words) -> String {
    let across = (a.bounds.left - b.bounds.right()).max(b.bounds.left - a.bounds.right());
    let down = (a.bounds.top - b.bounds.bottom()).max(b.bounds.top - a.bounds.bottom());
    let shared = a.bounds.overlap(b.bounds) / a.bounds.area().min(b.bounds.area());
    let options: &[&str] = match across.max(down) {
        _ if shared > 0.25 => {
            &["very close together", "overlapping in the picture", "right beside each other"]
        }
        g if g < 0.04 && relation.ends_with("of") => {
            &["close together", "side by side", "next to each other"]
        }
        g if g < 0.04 => &["close together", "near each other"],
        g if g < 0.2 => &["a little apart", "with a small gap between them", "a short way apart"],
        _ => &["well apart", "with a wide gap between them", "far from each other"],
    };
    words.pick(options).to_owned()
}

/// Who is the larger of two in the picture, if it is clear and both are whole.
pub(super) fn larger(a: &Named, b: &Named, words: &mut Words) -> String {
    let clearly = |x: &Named, y: &Named| {
        x.bounds.height >= 1.25 * y.bounds.height && x.bounds.area() >= 1.3 * y.bounds.area()
    };
    let (large, small) = if clearly(a, b) {
        (a, b)
    } else if clearly(b, a) {
        (b, a)
    } else {
        return String::new();
    };
    if !small.edges().is_empty() {
        return String::new();
    }
    let (x, y) = (&large.name, &small.name);
    match words.next() % 2 {
        0 => format!("{x} appearing larger than {y}"),
        _ => format!("with {x} the larger of the two"),
    }
}

/// The colours behind the subjects, or of the whole picture where the subjects leave too little of it.
pub(super) fn background(facts: &Facts, brief: u8, words: &mut Words) -> String {
    let whole = facts.background.is_empty();
    let colours = if whole { &facts.overall } else { &facts.background };
    let most = if brief < 2 { 3 } else { 2 };
    let names: Vec<&str> = colours.iter().take(most).map(|(name, _)| *name).collect();
    let listed = list(&names);
    let Some((first, share)) = colours.first() else { return String::new() };
    if whole {
        let with =
            words.pick(&["with mostly LIST overall", "in mainly LIST colours", "the picture mostly LIST"]);
        return with.replace("LIST", &listed);
    }
    let named: f32 = colours.iter().take(most).map(|(_, share)| share).sum();
    if named < LEAST_NAMED {
        // Many colours: these are only some of them.
        return words
            .pick(&[
                "with LIST in the background",
                "with LIST behind",
                "with some LIST behind",
                "with LIST in parts of the background",
                "the background partly LIST",
            ])
            .replace("LIST", &listed);
    }
    let choice = words.next() % 6;
    match names.as_slice() {
        [_, second, ..] if choice < 2 && *share >= 0.5 => {
            let touches = words.pick(&["touches of", "some", "parts in"]);
            format!("against {} {first} background with {touches} {second}", article(first))
        }
        [only] if choice < 4 => format!("against {} {only} background", article(only)),
        _ => words
            .pick(&[
                "against LIST",
                "set against LIST",
                "with LIST behind",
                "with LIST in the background",
                "with a background of LIST",
                "with LIST around",
            ])
            .replace("LIST", &listed),
    }
}

/// How bright, how contrasted and how warm the picture is.
pub(super) fn light(facts: &Facts, brief: u8, words: &mut Words) -> String {
    let level: &[&str] = match facts.brightness {
        Brightness::VeryDark => &["very dark tones", "very low light"],
        Brightness::Dark => &["dark tones", "low light"],
        Brightness::Dim => &["dim tones", "subdued light"],
        Brightness::Medium => &["medium tones", "balanced light"],
        Brightness::Bright => &["bright tones", "bright light", "clear, bright tones"],
        Brightness::VeryBright => &["very bright tones", "very bright light"],
    };
    let level = words.pick(level);
    let warmth = match facts.warmth {
        Warmth::Warm => "warm, ",
        Warmth::Cool => "cool, ",
        Warmth::Neutral => "",
    };
    let contrast: &[&str] = match facts.contrast {
        Contrast::Low => &[" with little contrast", " with soft contrast", " of low contrast"],
        Contrast::Medium => &[""],
        Contrast::High => &[" with strong contrast", " with high contrast", " of strong contrast"],
    };
    let contrast = words.pick(contrast);
    format!("in {warmth}{level}{}", if brief < 3 { contrast } else { "" })
}

/// The clause if there is room for it.
pub(super) fn when(room: bool, clause: String) -> String {
    if room { clause } else { String::new() }
}

pub(super) fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [start @ .., last] => format!("{} and {last}", start.join(", ")),
    }
}

pub(super) fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// The text with a capital first letter. Only for words of the grammar: names stay as the cast writes them.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
