//! Pictures on their way to or from black or white. The film shows what they were before, and so how far they have
//! faded: undone, they have the character's colours again.

use image::RgbImage;

use super::grid::shrink;

/// Columns and rows to which pictures are averaged to be compared.
const SIZE: (usize, usize) = (16, 9);

/// Channels of such a picture.
const VALUES: usize = SIZE.0 * SIZE.1 * 3;

/// Share of a picture's contrast that must come from the other picture.
const ALIKE: f32 = 0.96;

/// Share of a picture's distance from black (or white) that is left: what has faded further shows too little, what has
/// faded less needs no mending.
const LEFT: std::ops::RangeInclusive<f32> = 0.2..=0.9;

/// Where a fade ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Black,
    White,
}

impl End {
    const BOTH: [Self; 2] = [Self::Black, Self::White];

    /// How far a channel is from the end.
    fn distance(self, v: u8) -> f32 {
        f32::from(if self == Self::Black { v } else { 255 - v })
    }
}

/// A picture of the film.
#[derive(Clone, Debug)]
struct Known {
    values: [u8; VALUES],
    /// How much is left of what it was before, towards either end.
    left: [f32; 2],
}

/// The pictures of a film, to which faded ones are compared.
#[derive(Debug, Default)]
pub(super) struct Fades {
    pictures: Vec<Known>,
}

impl Fades {
    /// Takes the film's pictures.
    pub(super) fn learn(film: &[RgbImage]) -> Self {
        let known = |picture| Known { values: thumbnail(picture), left: [1.0; 2] };
        let mut pictures: Vec<Known> = film.iter().map(known).collect();
        // Pictures of one fade come from each other step by step: those that are furthest from its end go first.
        for end in End::BOTH {
            let total = |p: &Known| p.values.iter().map(|&v| end.distance(v)).sum::<f32>();
            pictures.sort_by(|a, b| total(b).total_cmp(&total(a)));
            for n in 1..pictures.len() {
                let (before, rest) = pictures.split_at_mut(n);
                if let Some(left) = share_left(before, &rest[0].values, end) {
                    rest[0].left[end as usize] = left;
                }
            }
        }
        Self { pictures }
    }

    /// What the answers depend on.
    pub(super) fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.pictures.iter().map(|p| &p.values[..])
    }

    /// If a picture is a faded one of the film's, gives it the colours that it had before.
    pub(super) fn undo(&self, picture: &mut RgbImage) {
        let faded = thumbnail(picture);
        let fades =
            End::BOTH.into_iter().filter_map(|end| Some((end, share_left(&self.pictures, &faded, end)?)));
        let fades = fades.filter(|(_, left)| LEFT.contains(left));
        let Some((end, left)) = fades.min_by(|a, b| a.1.total_cmp(&b.1)) else { return };
        let before = |v: usize| (end.distance(v as u8) / left).round().min(255.0) as u8;
        let table: [u8; 256] = std::array::from_fn(|v| end.distance(before(v)) as u8);
        for v in picture.iter_mut() {
            *v = table[usize::from(*v)];
        }
    }
}

/// How much is left of what a picture was before it faded, if one of the others is alike and has faded less.
fn share_left(others: &[Known], faded: &[u8; VALUES], end: End) -> Option<f32> {
    let faded = faded.map(|v| end.distance(v));
    let energy: f32 = faded.iter().map(|v| v * v).sum();
    let contrast = energy - faded.iter().sum::<f32>().powi(2) / VALUES as f32;
    if contrast < VALUES as f32 {
        return None; // Flat pictures are all alike.
    }
    let lefts = others.iter().filter_map(|other| {
        let (mut both, mut whole) = (0.0, 0.0);
        for (&v, faded) in other.values.iter().zip(&faded) {
            let before = end.distance(v);
            both += before * faded;
            whole += before * before;
        }
        let step = both / whole.max(1.0);
        let alike = energy - step * both < (1.0 - ALIKE) * contrast;
        (alike && (*LEFT.start()..=1.0).contains(&step)).then_some(step * other.left[end as usize])
    });
    lefts.min_by(f32::total_cmp)
}

/// The averages of a picture, channel by channel.
fn thumbnail(picture: &RgbImage) -> [u8; VALUES] {
    let (mut row, mut pixels) = (Vec::new(), Vec::with_capacity(SIZE.0 * SIZE.1));
    shrink(picture, SIZE, &mut row, &mut pixels);
    let mut values = [0; VALUES];
    for (to, from) in values.chunks_exact_mut(3).zip(&pixels) {
        to.copy_from_slice(from);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(shift: u32) -> RgbImage {
        RgbImage::from_fn(160, 90, |x, y| {
            image::Rgb([
                (60 + (x + shift) % 140) as u8,
                (200 - y) as u8,
                if (x / 20 + y / 15) % 2 == 0 { 40 } else { 160 },
            ])
        })
    }

    fn faded(picture: &RgbImage, left: f32, end: f32) -> RgbImage {
        let mut faded = picture.clone();
        for v in faded.iter_mut() {
            *v = (end + left * (f32::from(*v) - end)).round() as u8;
        }
        faded
    }

    fn difference(a: &RgbImage, b: &RgbImage) -> u8 {
        a.iter().zip(b.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
    }

    #[test]
    fn what_has_faded_gets_its_colours_back() {
        let film = [scene(0), scene(70), faded(&scene(0), 0.5, 0.0)];
        let fades = Fades::learn(&film);
        for (left, end) in [(0.8, 0.0), (0.3, 0.0), (0.7, 255.0), (0.4, 255.0)] {
            let mut picture = faded(&scene(0), left, end);
            fades.undo(&mut picture);
            assert!(difference(&picture, &scene(0)) <= 8, "{left} from {end}");
        }
    }

    #[test]
    fn what_has_not_faded_stays() {
        let fades = Fades::learn(&[scene(0), scene(70)]);
        let black = RgbImage::new(160, 90);
        let flat = RgbImage::from_pixel(160, 90, image::Rgb([90, 60, 40]));
        let unknown = faded(&scene(35), 0.5, 0.0);
        for picture in [scene(0), scene(35), faded(&scene(0), 0.95, 0.0), unknown, black, flat] {
            let mut same = picture.clone();
            fades.undo(&mut same);
            assert!(same == picture);
        }
        let mut alone = faded(&scene(0), 0.5, 0.0);
        Fades::default().undo(&mut alone);
        assert!(alone == faded(&scene(0), 0.5, 0.0), "nothing learned is no panic");
    }
}
