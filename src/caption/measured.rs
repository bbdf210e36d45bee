//! A captioner that needs no model: sentences over what was measured.

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use super::{
    CAPTION_CHARS, Captioner,
    facts::{Brightness, Contrast, Facts, Named, Warmth},
};
use crate::{
    blocking,
    error::Result,
    types::{Caption, CaptionRequest, ProviderInfo},
};

/// Words that a caption has at the most, where the names allow it.
const MOST_WORDS: usize = 30;
/// Share of the background that its named colours must make up to stand for it.
const LEAST_NAMED: f32 = 0.5;
/// Characters that the names of a caption may take together.
const NAMES_CHARS: usize = 700;

/// Writes captions from measurements of the crop and of the subjects' boxes in it.
///
/// A caption says who is there, in which order, where in the picture, how large, how close together, in which
/// framing, against which colours and in which light; nothing else. It never tells actions, feelings, objects,
/// clothing or places, for these were not measured. It is as true as the boxes and names that it is given.
///
/// The words are chosen by a hash of the record's id and the attempt: equal requests give equal captions on every
/// machine, another record or attempt gives other words. Typically 20 to 30 words, always 3 to 1,024 characters.
///
/// ```
/// use image::{Rgb, RgbImage};
/// use picchu::{caption::{Captioner, MeasuredCaptioner}, types::*};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> picchu::Result<()> {
/// let image = RgbImage::from_pixel(512, 512, Rgb([120, 190, 100]));
/// let request = CaptionRequest {
///     record: "film-00012000-0".into(),
///     crop: Crop { rect: PixelRect::new(0, 0, 512, 512), scale: 1.0, image: image.into() },
///     subjects: vec![Subject { character: "Penny".into(), bounding_box: BoundingBox::new(0.3, 0.2, 0.4, 0.6) }],
///     attempt: 0,
///     refusal: None,
/// };
/// let caption = MeasuredCaptioner::new().caption(&request).await?;
/// assert!(caption.text.contains("Penny") && caption.text.contains("green"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeasuredCaptioner;

impl MeasuredCaptioner {
    /// Id of the method. Another grammar gets another id.
    pub const MODEL: &'static str = "measured-v2";

    /// The captioner. It has no settings.
    pub fn new() -> Self {
        Self
    }

    /// The text for a request. A sync function for callers that have a thread of their own.
    pub fn describe(request: &CaptionRequest) -> String {
        let facts = Facts::measure(request);
        let mut text = String::new();
        // Each step leaves more out; the names always stay. Some words are shorter than others, so try a few.
        for (brief, roll) in (0..=5).flat_map(|brief| (0..4).map(move |roll| (brief, roll))) {
            text = sentence(&facts, brief, Words::of(request, roll));
            if text.split_whitespace().count() <= MOST_WORDS && text.chars().count() <= CAPTION_CHARS.1 {
                break;
            }
        }
        text
    }
}

#[async_trait]
impl Captioner for MeasuredCaptioner {
    fn info(&self) -> ProviderInfo {
        ProviderInfo::new("measured", Self::MODEL)
    }

    async fn caption(&self, request: &CaptionRequest) -> Result<Caption> {
        let request = request.clone();
        blocking(move || Ok(Caption::new(Self::describe(&request), Self::MODEL))).await
    }
}

/// A repeatable choice of words.
#[derive(Clone, Copy, Debug)]
struct Words {
    /// Of the record alone.
    form: u64,
    attempt: u32,
    /// Of the record and the attempt; moves on with each choice.
    state: u64,
}

impl Words {
    fn of(request: &CaptionRequest, roll: u32) -> Self {
        let hash = |salt: &str, attempt: u32, roll: u32| {
            let mut hasher = Sha256::new();
            hasher.update(MeasuredCaptioner::MODEL);
            hasher.update(salt);
            hasher.update(attempt.to_le_bytes());
            hasher.update(roll.to_le_bytes());
            hasher.update(&request.record);
            hasher.finalize().iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte))
        };
        Self {
            form: hash("form", 0, 0),
            attempt: request.attempt,
            state: hash("words", request.attempt, roll),
        }
    }

    /// One of `count` forms of the sentence. The next attempt takes the next form.
    fn form(&self, count: u64) -> u64 {
        (self.form % count + u64::from(self.attempt)) % count
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[(self.next() % of.len() as u64) as usize]
    }
}

/// The sentence for some facts. `brief` is 0 for everything there is to say, up to 5 for the least.
fn sentence(facts: &Facts, brief: u8, mut words: Words) -> String {
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
fn one(own: &Named, background: String, light: String, brief: u8, words: &mut Words) -> Vec<String> {
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
fn two(
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
fn several(people: &[&Named], background: String, light: String, words: &mut Words) -> Vec<String> {
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
fn none(facts: &Facts, light: String, words: &mut Words) -> Vec<String> {
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

/// Share of the picture's height or width that a subject takes, whichever is larger.
fn size(person: &Named) -> f32 {
    person.bounds.height.max(person.bounds.width)
}

/// The framing, as a noun.
fn view(size: f32, words: &mut Words) -> String {
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
fn place(person: &Named, words: &mut Words) -> String {
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

/// How much of the picture's height (or width, if it is more) a subject takes.
fn extent(person: &Named, words: &mut Words) -> String {
    let share = size(person);
    let side = if person.bounds.height >= person.bounds.width { "height" } else { "width" };
    let verb = words.pick(&["spanning", "taking up", "filling", "covering"]);
    if share >= 0.97 {
        return format!("{verb} the full {side} of the picture");
    }
    if share >= 0.92 {
        return format!("{verb} nearly the full {side} of the picture");
    }
    let amount = if words.next().is_multiple_of(2) {
        format!("{} percent", (share * 20.0).round() * 5.0)
    } else {
        fraction(share).to_owned()
    };
    let about = words.pick(&["about", "roughly", "around"]);
    format!("{verb} {about} {amount} of the picture's {side}")
}

fn fraction(share: f32) -> &'static str {
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
fn edge(person: &Named, words: &mut Words) -> String {
    let verb = words.pick(&["reaching", "touching", "up to"]);
    match person.edges().as_slice() {
        [edge] => format!("{verb} the {edge} edge"),
        [a, b] => format!("{verb} the {a} and {b} edges"),
        _ => String::new(),
    }
}

/// Two subjects in an order that can be seen.
struct Pairing<'a> {
    first: &'a Named,
    second: &'a Named,
    /// The first to the second, and the second to the first.
    relation: &'static str,
    inverse: &'static str,
    /// The order as a clause; empty where there is none.
    order: String,
}

impl<'a> Pairing<'a> {
    fn of(own: &'a Named, other: &'a Named, words: &mut Words) -> Self {
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
fn gap(a: &Named, b: &Named, relation: &str, words: &mut Words) -> String {
    let across = (a.bounds.left - b.bounds.right()).max(b.bounds.left - a.bounds.right());
    let down = (a.bounds.top - b.bounds.bottom()).max(b.bounds.top - a.bounds.bottom());
    let shared = a.bounds.overlap(b.bounds) / a.bounds.area().min(b.bounds.area());
    let options: &[&str] = match across.max(down) {
        _ if shared > 0.25 => &["very close together", "close up together", "close up against each other"],
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
fn larger(a: &Named, b: &Named, words: &mut Words) -> String {
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
fn background(facts: &Facts, brief: u8, words: &mut Words) -> String {
    let whole = facts.background.is_empty();
    let colours = if whole { &facts.overall } else { &facts.background };
    let most = if brief < 2 { 3 } else { 2 };
    let names: Vec<&str> = colours.iter().take(most).map(|(name, _)| *name).collect();
    let listed = list(&names);
    let Some((first, share)) = colours.first() else { return String::new() };
    if whole {
        let with =
            words.pick(&["with mostly LIST overall", "in mainly LIST overall", "the picture mostly LIST"]);
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
                "surrounded by LIST",
            ])
            .replace("LIST", &listed),
    }
}

/// How bright, how contrasted and how warm the picture is.
fn light(facts: &Facts, brief: u8, words: &mut Words) -> String {
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
fn when(room: bool, clause: String) -> String {
    if room { clause } else { String::new() }
}

fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [start @ .., last] => format!("{} and {last}", start.join(", ")),
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// The text with a capital first letter. Only for words of the grammar: names stay as the cast writes them.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{HashMap, HashSet},
        sync::Arc,
    };

    use image::{Rgb, RgbImage};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        caption::check,
        types::{BoundingBox, Crop, PixelRect, Subject},
    };

    fn request(record: &str, subjects: &[(&str, BoundingBox)]) -> CaptionRequest {
        let image = RgbImage::from_fn(120, 120, |x, y| {
            Rgb(if (30..90).contains(&x) && y > 20 { [180, 60, 50] } else { [150, 205, 240] })
        });
        CaptionRequest {
            record: record.to_owned(),
            crop: Crop { rect: PixelRect::new(0, 0, 120, 120), scale: 1.0, image: Arc::new(image) },
            subjects: subjects
                .iter()
                .map(|(name, bounding_box)| Subject {
                    character: (*name).to_owned(),
                    bounding_box: *bounding_box,
                })
                .collect(),
            attempt: 0,
            refusal: None,
        }
    }

    const LEFT: BoundingBox = BoundingBox::new(0.05, 0.2, 0.3, 0.7);
    const MIDDLE: BoundingBox = BoundingBox::new(0.3, 0.2, 0.4, 0.6);
    const RIGHT: BoundingBox = BoundingBox::new(0.65, 0.25, 0.25, 0.6);

    fn ids(count: u32) -> impl Iterator<Item = String> {
        (0..count).map(|n| format!("film-{:08}-0", n * 1000))
    }

    #[test]
    fn facts_are_said_as_measured() {
        for id in ids(200) {
            let text = MeasuredCaptioner::describe(&request(&id, &[("Penny", LEFT)]));
            assert!(text.contains("left") && !text.contains("right"), "{text}");
            assert!(text.contains("light blue"), "{text}");
            let text = MeasuredCaptioner::describe(&request(&id, &[("Penny", RIGHT), ("Chip", LEFT)]));
            let wrong = ["Penny to the left", "Penny on the left", "Chip on the right", "Chip to the right"];
            assert!(wrong.iter().all(|w| !text.contains(w)), "{text}");
            assert!(text.contains("left") || text.contains("right"), "{text}");
        }
    }

    #[test]
    fn captions_have_the_usual_length_and_pass_the_gate() {
        let mut used = HashSet::new();
        let cast = ["Penny", "Chip", "Bo"];
        for id in ids(200) {
            for subjects in [
                vec![("Penny", MIDDLE)],
                vec![("Penny", LEFT), ("Chip", RIGHT)],
                vec![("Penny", MIDDLE), ("Chip", LEFT), ("Bo", RIGHT)],
            ] {
                let text = MeasuredCaptioner::describe(&request(&id, &subjects));
                let words = text.split_whitespace().count();
                assert!((14..=30).contains(&words), "{words}: {text}");
                let names: Vec<_> = subjects.iter().map(|(name, _)| *name).collect();
                // Equal facts may be worded alike now and then; that is what attempts are for.
                check(&text, &names, &cast).unwrap();
                assert!(names.iter().all(|name| text.contains(name)), "{text}");
                assert!(!text.contains(", ,") && !text.contains("  "), "{text}");
                used.insert(text);
            }
        }
        assert!(used.len() > 575, "{}", used.len());
    }

    #[test]
    fn equal_requests_give_equal_words_and_attempts_differ() {
        for id in ids(50) {
            for subjects in [vec![], vec![("Penny", MIDDLE)], vec![("Penny", LEFT), ("Chip", RIGHT)]] {
                let mut request = request(&id, &subjects);
                let first = MeasuredCaptioner::describe(&request);
                assert_eq!(first, MeasuredCaptioner::describe(&request));
                let mut seen = HashSet::from([first]);
                for attempt in 1..4 {
                    request.attempt = attempt;
                    assert!(seen.insert(MeasuredCaptioner::describe(&request)), "{id} {attempt}");
                }
            }
        }
    }

    #[test]
    fn openers_are_spread() {
        let opener = |id: &String| {
            let text = MeasuredCaptioner::describe(&request(id, &[("Penny", MIDDLE)]));
            text.split_whitespace().take(4).collect::<Vec<_>>().join(" ")
        };
        let openers: Vec<_> = ids(400).map(|id| opener(&id)).collect();
        let mut counts = HashMap::new();
        for opener in &openers {
            *counts.entry(opener).or_insert(0u32) += 1;
        }
        assert!(counts.len() > 70, "{}", counts.len());
        assert!(counts.values().all(|n| *n < 24), "{counts:?}");
        // Repeats within 8 neighbours are about as rare as anywhere.
        let rate = |gaps: std::ops::Range<usize>| {
            let pairs = gaps.clone().map(|gap| openers.len() - gap).sum::<usize>();
            let same =
                gaps.map(|gap| (gap..openers.len()).filter(|i| openers[*i] == openers[i - gap]).count());
            same.sum::<usize>() as f64 / pairs as f64
        };
        assert!(rate(1..9) < 1.5 * rate(1..400) + 0.005, "{} {}", rate(1..9), rate(1..400));
    }

    #[test]
    fn no_subject_is_a_background() {
        for id in ids(40) {
            let text = MeasuredCaptioner::describe(&request(&id, &[]));
            check(&text, &[] as &[&str], &["Penny"]).unwrap();
            assert!(text.contains("light blue"), "{text}");
        }
    }

    #[test]
    fn a_box_that_fills_the_picture_has_no_background() {
        for id in ids(40) {
            let text = MeasuredCaptioner::describe(&request(&id, &[("Penny", BoundingBox::FULL)]));
            assert!(!text.contains("background") && !text.contains("behind"), "{text}");
        }
    }

    #[tokio::test]
    async fn the_trait_answers_the_same() {
        let request = request("r", &[("Penny", MIDDLE)]);
        let caption = MeasuredCaptioner::new().caption(&request).await.unwrap();
        assert_eq!(caption.text, MeasuredCaptioner::describe(&request));
        assert_eq!(caption.model, "measured-v2");
        assert!(caption.usage.is_free());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        #[test]
        fn any_names_and_boxes_give_a_caption_within_limits(
            names in proptest::collection::vec("\\PC{0,40}|[\"'\\\\\n\r\t{}<>]{1,10}|(Ä🦊x){300,600}", 0..12),
            boxes in proptest::collection::vec((-0.5f32..1.2, -0.5f32..1.2, 0.0f32..1.5, 0.0f32..1.5), 12),
            record in "\\PC{0,20}",
            attempt in 0u32..100,
        ) {
            let subjects: Vec<_> = names.iter().zip(&boxes)
                .map(|(name, b)| (name.as_str(), BoundingBox::new(b.0, b.1, b.2, b.3)))
                .collect();
            let mut request = request(&record, &subjects);
            request.attempt = attempt;
            let text = MeasuredCaptioner::describe(&request);
            let characters = text.chars().count();
            prop_assert!((3..=1024).contains(&characters), "{} {}", characters, text);
            prop_assert!(!text.chars().any(char::is_control));
        }
    }
}
