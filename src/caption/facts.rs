//! What can be measured of a crop and said honestly.

use image::RgbImage;

use crate::{
    lab::lab,
    types::{BoundingBox, CaptionRequest},
};

/// Points across and down at which the picture is looked at.
const GRID: usize = 48;
/// Least share of the picture outside the boxes for it to be called a background.
const LEAST_OUTSIDE: f32 = 0.08;
/// Least share of a colour to be named after the first.
const LEAST_COLOUR: f32 = 0.1;
/// A box this close to the picture's edge reaches it.
const REACH: f32 = 0.01;

/// Everything that a caption may say.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The subjects, the crop's own first; no name is empty or appears twice.
    pub(super) subjects: Vec<Named>,
    /// Colours outside the subjects' boxes, the most common first: one to three, with their shares. Empty if the
    /// boxes leave too little.
    pub(super) background: Vec<(&'static str, f32)>,
    /// Colours of the whole picture, the same way.
    pub(super) overall: Vec<(&'static str, f32)>,
    pub(super) brightness: Brightness,
    pub(super) contrast: Contrast,
    pub(super) warmth: Warmth,
}

/// A subject as captions write it.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) bounds: BoundingBox,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Brightness {
    VeryDark,
    Dark,
    Dim,
    Medium,
    Bright,
    VeryBright,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contrast {
    Low,
    Medium,
    High,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Warmth {
    Cool,
    Neutral,
    Warm,
}

/// A name on one line without control characters, as captions write it and the lint looks for it.
pub(super) fn clean(name: &str) -> String {
    let visible: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Facts {
    pub(super) fn measure(request: &CaptionRequest) -> Self {
        let mut subjects: Vec<Named> = Vec::new();
        for subject in &request.subjects {
            let name = clean(&subject.character);
            let known = name.is_empty() || subjects.iter().any(|s| s.name == name);
            if let (false, Some(bounds)) = (known, subject.bounding_box.clamped()) {
                subjects.push(Named { name, bounds });
            }
        }
        let (all, outside) = sample(&request.crop.image, &subjects);
        let mean = |channel: usize| all.iter().map(|p| p[channel]).sum::<f32>() / all.len().max(1) as f32;
        let (light, a, b) = (mean(0), mean(1), mean(2));
        let mut lights: Vec<f32> = all.iter().map(|p| p[0]).collect();
        lights.sort_by(f32::total_cmp);
        let at = |percent: usize| lights.get(lights.len() * percent / 100).copied().unwrap_or(0.0);
        let enough = outside.len() as f32 >= LEAST_OUTSIDE * all.len() as f32;
        Self {
            subjects,
            background: if enough { colours(&outside) } else { Vec::new() },
            overall: colours(&all),
            brightness: match light {
                l if l < 14.0 => Brightness::VeryDark,
                l if l < 30.0 => Brightness::Dark,
                l if l < 45.0 => Brightness::Dim,
                l if l < 66.0 => Brightness::Medium,
                l if l < 82.0 => Brightness::Bright,
                _ => Brightness::VeryBright,
            },
            contrast: match at(95) - at(5) {
                range if range < 25.0 => Contrast::Low,
                range if range > 75.0 => Contrast::High,
                _ => Contrast::Medium,
            },
            warmth: match (a, b) {
                (a, b) if a > 4.0 && b > 10.0 => Warmth::Warm,
                (_, b) if b < -8.0 => Warmth::Cool,
                _ => Warmth::Neutral,
            },
        }
    }
}

impl Named {
    pub(super) fn centre(&self) -> (f32, f32) {
        (self.bounds.left + self.bounds.width / 2.0, self.bounds.top + self.bounds.height / 2.0)
    }

    /// Which edges of the picture the box reaches.
    pub(super) fn edges(&self) -> Vec<&'static str> {
        let b = self.bounds;
        [
            (b.left <= REACH, "left"),
            (b.top <= REACH, "upper"),
            (b.right() >= 1.0 - REACH, "right"),
            (b.bottom() >= 1.0 - REACH, "lower"),
        ]
        .into_iter()
        .filter_map(|(reaches, edge)| reaches.then_some(edge))
        .collect()
    }
}

/// Colours on a grid: of the whole picture, and of what no box covers.
fn sample(image: &RgbImage, subjects: &[Named]) -> (Vec<[f32; 3]>, Vec<[f32; 3]>) {
    let (mut all, mut outside) = (Vec::with_capacity(GRID * GRID), Vec::with_capacity(GRID * GRID));
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 {
        return (all, outside);
    }
    for row in 0..GRID {
        for column in 0..GRID {
            let (x, y) = ((column as f32 + 0.5) / GRID as f32, (row as f32 + 0.5) / GRID as f32);
            let pixel = image.get_pixel((x * width as f32) as u32, (y * height as f32) as u32);
            let colour = lab(pixel.0.map(f32::from));
            all.push(colour);
            let inside = |s: &Named| {
                let b = s.bounds;
                x >= b.left && x <= b.right() && y >= b.top && y <= b.bottom()
            };
            if !subjects.iter().any(inside) {
                outside.push(colour);
            }
        }
    }
    (all, outside)
}

/// Names of the one to three most common colours, with their shares. Each point is named by itself: the mean of a
/// group of points would name colours that are nowhere in the picture.
fn colours(points: &[[f32; 3]]) -> Vec<(&'static str, f32)> {
    let table = COLOURS.map(|(_, rgb)| lab(rgb.map(f32::from)));
    let mut counts = [0usize; COLOURS.len()];
    for point in points {
        counts[nearest(*point, &table)] += 1;
    }
    let share = |count: usize| count as f32 / points.len() as f32;
    let mut named: Vec<_> =
        COLOURS.iter().zip(counts).filter(|(_, n)| *n > 0).map(|((name, _), n)| (*name, share(n))).collect();
    named.sort_by(|a, b| b.1.total_cmp(&a.1));
    let rest = named.iter().skip(1).take(2).take_while(|(_, share)| *share >= LEAST_COLOUR).count();
    named.truncate(1 + rest);
    named
}

fn apart(a: [f32; 3], b: [f32; 3]) -> f32 {
    (0.7 * (a[0] - b[0])).powi(2) + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)
}

fn nearest(colour: [f32; 3], table: &[[f32; 3]]) -> usize {
    let mut best = (0, f32::INFINITY);
    for (i, other) in table.iter().enumerate() {
        let d = apart(colour, *other);
        if d < best.1 {
            best = (i, d);
        }
    }
    best.0
}

/// Colours that captions name, in sRGB.
const COLOURS: [(&str, [u8; 3]); 33] = [
    ("black", [8, 8, 9]),
    ("charcoal", [50, 50, 53]),
    ("grey", [125, 126, 128]),
    ("light grey", [190, 191, 193]),
    ("white", [248, 248, 248]),
    ("cream", [250, 238, 205]),
    ("beige", [222, 202, 166]),
    ("tan", [194, 152, 106]),
    ("brown", [130, 82, 46]),
    ("dark brown", [64, 42, 28]),
    ("peach", [248, 190, 152]),
    ("red", [205, 35, 40]),
    ("dark red", [112, 22, 26]),
    ("pink", [240, 165, 190]),
    ("orange", [238, 130, 38]),
    ("yellow", [246, 222, 60]),
    ("golden yellow", [214, 166, 44]),
    ("olive", [112, 112, 46]),
    ("lime green", [160, 220, 66]),
    ("green", [70, 155, 62]),
    ("dark green", [30, 72, 40]),
    ("mint green", [165, 226, 190]),
    ("teal", [26, 118, 120]),
    ("turquoise", [72, 200, 196]),
    ("light blue", [152, 205, 240]),
    ("blue", [48, 112, 212]),
    ("navy blue", [26, 34, 88]),
    ("grey-blue", [104, 122, 150]),
    ("purple", [112, 56, 142]),
    ("lavender", [190, 172, 220]),
    ("magenta", [200, 50, 140]),
    ("pale green", [205, 225, 180]),
    ("pale pink", [250, 216, 216]),
];

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn names(points: &[[u8; 3]]) -> Vec<&'static str> {
        let points: Vec<_> = points.iter().map(|p| lab(p.map(f32::from))).collect();
        colours(&points).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn every_colour_has_its_own_name() {
        for (name, rgb) in COLOURS {
            assert_eq!(names(&[rgb]), [name]);
        }
    }

    #[test]
    fn colours_come_by_share() {
        let mut points = vec![[250, 250, 250]; 60];
        points.extend(vec![[50, 110, 210]; 30]);
        points.extend(vec![[205, 30, 40]; 8]);
        assert_eq!(names(&points), ["white", "blue"]);
        assert!(names(&[]).is_empty());
    }

    #[test]
    fn the_background_leaves_the_boxes_out() {
        let image =
            RgbImage::from_fn(100, 100, |x, _| Rgb(if x < 50 { [200, 30, 40] } else { [30, 70, 40] }));
        let left = Named { name: "A".into(), bounds: BoundingBox::new(0.0, 0.0, 0.5, 1.0) };
        let (all, outside) = sample(&image, &[left]);
        assert_eq!(all.len(), GRID * GRID);
        assert_eq!(colours(&outside)[0].0, "dark green");
        assert_eq!(outside.len() * 2, all.len());
    }

    #[test]
    fn names_are_cleaned() {
        assert_eq!(clean(" Big\n Buck\t\u{7}Bunny "), "Big Buck Bunny");
        assert_eq!(clean("\r\n"), "");
    }
}
