//! What lies over a whole film, told from a few of its pictures in full size: black bars, logos.

use std::{ops::Range, time::Duration};

use futures::StreamExt;
use image::RgbImage;

use super::{
    Analysis, FrameSource, Sampling,
    compare::unmatched,
    thumbnail::{Grid, Thumbnail},
};
use crate::{
    error::Result,
    types::{Content, PixelRect},
};

/// Pictures that are looked at.
const STILLS: usize = 24;
/// Luma up to which a pixel may belong to a bar.
const BAR: u8 = 24;
/// A picture below this mean luma says nothing about bars.
const DIM: f32 = 24.0;
/// Fewest bright pictures that must agree on bars.
const AGREED: usize = 3;
/// Fewest different pictures from which a logo is told.
const DIFFERENT: usize = 5;
/// Slope of luma, in levels a pixel, that counts as an edge.
const EDGE: i32 = 6;

/// Looks at some pictures of the film and writes into the analysis what lies over all of them.
pub(super) async fn look(source: &dyn FrameSource, analysis: &mut Analysis) -> Result<()> {
    let mut frames = source.frames(&Sampling::at(times(analysis)));
    let mut stills = Stills::default();
    while let Some(frame) = frames.next().await {
        match frame {
            Ok(frame) => {
                stills = crate::blocking(move || {
                    stills.add(&frame.image);
                    Ok(stills)
                })
                .await?;
            }
            Err(error) if error.gap().is_some() => {}
            Err(error) => return Err(error),
        }
    }
    (analysis.picture, analysis.overlays) =
        crate::blocking(move || Ok((stills.picture(), stills.overlays()))).await?;
    Ok(())
}

/// Middles of drawings that show something, spread over the shots.
fn times(analysis: &Analysis) -> Vec<Duration> {
    let shots = analysis.shots.len();
    let each = (STILLS / shots.max(1)).clamp(1, 4);
    let chosen = (0..shots.min(STILLS)).map(|n| &analysis.shots[n * shots / shots.min(STILLS)]);
    let middle = |(start, end): (Duration, Duration)| start + end.saturating_sub(start) / 2;
    let mut times = Vec::new();
    for shot in chosen {
        let step = shot.end.saturating_sub(shot.start) / each as u32;
        for part in 0..each as u32 {
            let time = middle((shot.start + step * part, shot.start + step * (part + 1)));
            let shows = analysis.drawing_at(time).is_some_and(|drawing| drawing.content == Content::Picture);
            if shows && analysis.is_clean_at(time) {
                times.push(time);
            }
        }
    }
    times
}

/// What is kept of the pictures that were looked at.
#[derive(Debug, Default)]
struct Stills {
    width: usize,
    height: usize,
    /// Black rows and columns around each bright picture: top, bottom, left, right.
    bars: Vec<[usize; 4]>,
    /// The different pictures so far.
    seen: Vec<Thumbnail>,
    slopes: Vec<Slope>,
    reduced: (usize, usize),
}

/// What the different pictures have in one place.
#[derive(Clone, Copy, Debug, Default)]
struct Slope {
    across: i32,
    down: i32,
    size: i32,
    edges: u16,
}

/// Longer side of the plane in which logos are looked for.
const PLANE: usize = 960;

impl Stills {
    fn add(&mut self, picture: &RgbImage) {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        if self.width == 0 {
            (self.width, self.height) = (width, height);
            let cell = width.max(height).div_ceil(PLANE).max(1);
            self.reduced = (width / cell, height / cell);
            self.slopes = vec![Slope::default(); self.reduced.0 * self.reduced.1];
        }
        // A film that changes its size has nothing that lies over all of it.
        if (width, height) != (self.width, self.height) {
            return;
        }
        let luma = luma(picture);
        let thumbnail = Thumbnail::new(Grid::of(picture), picture);
        if thumbnail.mean >= DIM {
            self.bars.extend(bars(&luma, width));
        }
        let different = self.seen.iter().all(|seen| unmatched(seen, &thumbnail) > 0.6);
        if different && !thumbnail.is_blank() {
            self.add_slopes(&luma);
            self.seen.push(thumbnail);
        }
    }

    fn add_slopes(&mut self, luma: &[u8]) {
        let (width, height) = self.reduced;
        let plane = reduce(luma, (self.width, self.height), self.reduced);
        for y in 1..height.saturating_sub(1) {
            for x in 1..width.saturating_sub(1) {
                let at = y * width + x;
                let across = i32::from(plane[at + 1]) - i32::from(plane[at - 1]);
                let down = i32::from(plane[at + width]) - i32::from(plane[at - width]);
                let size = across.abs() + down.abs();
                let slope = &mut self.slopes[at];
                slope.across += across;
                slope.down += down;
                slope.size += size;
                slope.edges += u16::from(size > 2 * EDGE);
            }
        }
    }

    /// The part that is not bars, if most bright pictures agree on bars.
    fn picture(&self) -> Option<PixelRect> {
        if self.bars.len() < AGREED {
            return None;
        }
        let agreed = |side: usize| {
            let mut widths: Vec<usize> = self.bars.iter().map(|bars| bars[side]).collect();
            widths.sort_unstable();
            // A fifth may have writing in the bars; dark edges of pictures make bars look wider, never narrower.
            let width = widths[widths.len() / 5];
            let same = widths.iter().filter(|w| w.abs_diff(width) <= 1).count();
            if same * 3 >= widths.len() && same >= AGREED { width } else { 0 }
        };
        let [top, bottom, left, right] = [0, 1, 2, 3].map(agreed);
        if top + bottom + left + right == 0 || left + right >= self.width || top + bottom >= self.height {
            return None;
        }
        let (width, height) = (self.width - left - right, self.height - top - bottom);
        Some(PixelRect::new(left as u32, top as u32, width as u32, height as u32))
    }

    /// Boxes around edges that nearly all the different pictures have in the same place.
    fn overlays(&self) -> Vec<PixelRect> {
        let pictures = self.seen.len();
        if pictures < DIFFERENT {
            return Vec::new();
        }
        let (width, height) = self.reduced;
        let needed = (pictures * 3).div_ceil(4) as u16;
        let fixed = |slope: &Slope| {
            slope.edges >= needed && (slope.across.abs() + slope.down.abs()) * 5 >= slope.size * 4
        };
        let marks: Vec<(usize, usize)> = (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .filter(|&(x, y)| fixed(&self.slopes[y * width + x]) && self.is_inside(x, y))
            .collect();
        let scale = self.width as f32 / width as f32;
        group(&marks, (width.max(height) / 40).max(3))
            .into_iter()
            .filter(|(rows, columns, marks)| {
                // A few pixels are chance; what covers much of the picture is the set, not a logo.
                *marks >= 12 && rows.len() * 3 <= height && columns.len() * 2 <= width
            })
            .map(|(rows, columns, _)| {
                let down = |v: usize| ((v.saturating_sub(1)) as f32 * scale).floor() as u32;
                let up = |v: usize, most: usize| (((v + 1) as f32 * scale).ceil() as u32).min(most as u32);
                let (left, top) = (down(columns.start), down(rows.start));
                let (right, bottom) = (up(columns.end, self.width), up(rows.end, self.height));
                PixelRect::new(left, top, right - left, bottom - top)
            })
            .collect()
    }

    /// Whether a place is away from the edges that bars make.
    fn is_inside(&self, x: usize, y: usize) -> bool {
        let Some(picture) = self.picture() else { return true };
        let scale = self.width as f32 / self.reduced.0 as f32;
        let (x, y) = (x as f32 * scale, y as f32 * scale);
        let away = |v: f32, edge: u32| (v - edge as f32).abs() > 3.0 * scale;
        away(x, picture.x) && away(x, picture.right()) && away(y, picture.y) && away(y, picture.bottom())
    }
}

/// Luma (BT.601) of each pixel.
fn luma(picture: &RgbImage) -> Vec<u8> {
    let pixels = picture.as_raw().as_chunks::<3>().0;
    pixels
        .iter()
        .map(|p| ((u32::from(p[0]) * 77 + u32::from(p[1]) * 150 + u32::from(p[2]) * 29) >> 8) as u8)
        .collect()
}

/// Black rows and columns around a picture, where they end at a straight edge. `None` for one that is black.
fn bars(luma: &[u8], width: usize) -> Option<[usize; 4]> {
    let height = luma.len() / width.max(1);
    let rows: Vec<f32> = luma
        .chunks_exact(width)
        .map(|row| row.iter().filter(|&&l| l > BAR).count() as f32 / width as f32)
        .collect();
    let mut columns = vec![0.0_f32; width];
    for row in luma.chunks_exact(width) {
        row.iter().zip(&mut columns).for_each(|(&l, column)| *column += f32::from(u8::from(l > BAR)));
    }
    let lit_rows = rows.iter().filter(|&&lit| lit > 0.0).count().max(1) as f32;
    for column in &mut columns {
        *column /= lit_rows;
    }
    let mut backwards = (rows.clone(), columns.clone());
    backwards.0.reverse();
    backwards.1.reverse();
    let black = |lines: &[f32]| lines.iter().position(|&lit| lit > 0.01);
    let (top, bottom) = (black(&rows)?, black(&backwards.0)?);
    let (left, right) = (black(&columns)?, black(&backwards.1)?);
    // Night skies end raggedly. Two lines of grace: scaling makes the first ones grey.
    let straight = |lines: &[f32], n: usize| lines[n..(n + 3).min(lines.len())].iter().any(|&lit| lit > 0.4);
    let checked = |lines: &[f32], n: usize| if straight(lines, n) { n } else { 0 };
    debug_assert_eq!(height, rows.len());
    Some([
        checked(&rows, top),
        checked(&backwards.0, bottom),
        checked(&columns, left),
        checked(&backwards.1, right),
    ])
}

/// Means over cells.
fn reduce(luma: &[u8], (width, height): (usize, usize), (to_width, to_height): (usize, usize)) -> Vec<u8> {
    let (cell_width, cell_height) = (width / to_width.max(1), height / to_height.max(1));
    let area = (cell_width * cell_height).max(1) as u32;
    let mut plane = Vec::with_capacity(to_width * to_height);
    for y in 0..to_height {
        for x in 0..to_width {
            let sum: u32 = (0..cell_height)
                .flat_map(|row| {
                    let start = (y * cell_height + row) * width + x * cell_width;
                    &luma[start..start + cell_width]
                })
                .map(|&l| u32::from(l))
                .sum();
            plane.push((sum / area) as u8);
        }
    }
    plane
}

type Group = (Range<usize>, Range<usize>, usize);

/// Groups marks that lie close together: rows, columns and number of marks of each group.
fn group(marks: &[(usize, usize)], near: usize) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for &(x, y) in marks {
        let mut joined: Group = (y..y + 1, x..x + 1, 1);
        groups.retain(|(rows, columns, count)| {
            let touches = rows.start <= joined.0.end + near
                && joined.0.start <= rows.end + near
                && columns.start <= joined.1.end + near
                && joined.1.start <= columns.end + near;
            if touches {
                joined.0 = joined.0.start.min(rows.start)..joined.0.end.max(rows.end);
                joined.1 = joined.1.start.min(columns.start)..joined.1.end.max(columns.end);
                joined.2 += count;
            }
            !touches
        });
        groups.push(joined);
    }
    groups.sort_by_key(|(rows, columns, _)| (rows.start, columns.start));
    groups
}
