//! Pictures side by side on one: contact sheets and storyboards.

use image::{Rgb, RgbImage, imageops};

/// A grid of cells on a coloured paper. Cells that nothing is put into stay paper.
pub(crate) struct Sheet {
    paper: RgbImage,
    cell: (u32, u32),
    gap: u32,
}

impl Sheet {
    /// An empty sheet of so many columns and rows.
    pub(crate) fn new((columns, rows): (usize, usize), cell: (u32, u32), gap: u32, paper: Rgb<u8>) -> Self {
        let length = |cells: usize, side: u32| gap + cells.max(1) as u32 * (side + gap);
        let paper = RgbImage::from_pixel(length(columns, cell.0), length(rows, cell.1), paper);
        Self { paper, cell, gap }
    }

    /// Where a cell begins, in pixels.
    fn corner(&self, column: usize, row: usize) -> (u32, u32) {
        let along = |cell: usize, side: u32| self.gap + cell as u32 * (side + self.gap);
        (along(column, self.cell.0), along(row, self.cell.1))
    }

    /// Puts a picture into a cell, whole and in the middle.
    pub(crate) fn put(&mut self, column: usize, row: usize, picture: &RgbImage) {
        let ratio = [(self.cell.0, picture.width()), (self.cell.1, picture.height())]
            .map(|(room, side)| f64::from(room) / f64::from(side.max(1)));
        let ratio = ratio[0].min(ratio[1]);
        let side = |side: u32, room: u32| ((f64::from(side) * ratio).round() as u32).clamp(1, room);
        let (width, height) = (side(picture.width(), self.cell.0), side(picture.height(), self.cell.1));
        let small = if ratio < 1.0 {
            imageops::thumbnail(picture, width, height)
        } else {
            imageops::resize(picture, width, height, imageops::FilterType::Triangle)
        };
        let (x, y) = self.corner(column, row);
        let x = i64::from(x + (self.cell.0 - width) / 2);
        let y = i64::from(y + (self.cell.1 - height) / 2);
        imageops::replace(&mut self.paper, &small, x, y);
    }

    /// Crosses out a cell that should have held a picture.
    pub(crate) fn cross_out(&mut self, column: usize, row: usize, ink: Rgb<u8>) {
        let ((left, top), (width, height)) = (self.corner(column, row), self.cell);
        for x in 0..width {
            let y = top + (u64::from(x) * u64::from(height) / u64::from(width)) as u32;
            self.paper.put_pixel(left + x, y, ink);
            self.paper.put_pixel(left + width - 1 - x, y, ink);
        }
    }

    /// The sheet as a picture.
    pub(crate) fn into_picture(self) -> RgbImage {
        self.paper
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_lie_whole_in_the_middle_of_their_cells() {
        let (paper, ink) = (Rgb([250; 3]), Rgb([180, 0, 0]));
        let mut sheet = Sheet::new((2, 1), (40, 20), 4, paper);
        sheet.put(0, 0, &RgbImage::from_pixel(10, 10, Rgb([1, 2, 3])));
        sheet.cross_out(1, 0, ink);
        let picture = sheet.into_picture();
        assert_eq!(picture.dimensions(), (92, 28));
        // 20 × 20 in a cell of 40 × 20 leaves ten pixels on each side.
        let at = |x, y| *picture.get_pixel(x, y);
        assert_eq!(
            (at(13, 10), at(14, 4), at(33, 23), at(34, 10)),
            (paper, Rgb([1, 2, 3]), Rgb([1, 2, 3]), paper)
        );
        assert_eq!((at(48, 4), at(87, 4), at(48, 14)), (ink, ink, paper));
    }
}
