//! Contact sheets as pictures: the images of a character side by side, to send to somebody who opens no page.

use std::collections::BTreeMap;

use image::Rgb;

use super::Dataset;
use crate::{
    crop::{Sheet, to_png},
    error::{Error, Result},
    store::slug,
    types::Record,
};

/// Images beside and below each other on a sheet.
const COLUMNS: usize = 6;
const ROWS: usize = 5;
/// Between images, as a part of a cell's side: one in so many.
const GAP: u32 = 24;
const PAPER: Rgb<u8> = Rgb([236, 236, 232]);

/// A sheet of images of one character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactSheet {
    /// Whom the images show.
    pub character: String,
    /// Ids of the records, row by row.
    pub records: Vec<String>,
    /// A file name that no other sheet of the dataset has, for example `mayu-01.png`.
    pub file: String,
}

impl Dataset {
    /// The sheets of the images that are good for training, character by character, each in the film's order.
    pub fn contact_sheets(&self) -> Vec<ContactSheet> {
        let mut shown: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        for image in self.training_images() {
            if let Some(name) = image.record.character() {
                shown.entry(name).or_default().push(image.record);
            }
        }
        let mut pages: BTreeMap<String, usize> = BTreeMap::new();
        let mut sheets = Vec::new();
        for (character, records) in shown {
            for page in records.chunks(COLUMNS * ROWS) {
                // Two names may be one in a file's name: they count on.
                let name = slug(character);
                let number = pages.entry(name.clone()).or_default();
                *number += 1;
                sheets.push(ContactSheet {
                    character: character.to_owned(),
                    records: page.iter().map(|record| record.id.clone()).collect(),
                    file: format!("{name}-{number:02}.png"),
                });
            }
        }
        sheets
    }

    /// A sheet as a PNG file, its images in cells of `side` pixels. One image is in memory at a time.
    ///
    /// # Errors
    /// For images that cannot be read, and cells without pixels.
    pub async fn draw_sheet(&self, sheet: &ContactSheet, side: u32) -> Result<Vec<u8>> {
        if !(16..=1024).contains(&side) {
            return Err(Error::invalid(format!("a cell has {side} pixels; 16 to 1,024 are possible")));
        }
        let columns = sheet.records.len().min(COLUMNS);
        let rows = sheet.records.len().div_ceil(COLUMNS);
        let mut paper = Sheet::new((columns, rows), (side, side), side.div_ceil(GAP), PAPER);
        for (place, id) in sheet.records.iter().enumerate() {
            let Some(record) = self.get(id) else { continue };
            let image = self.image(self.corrected(record)).await?;
            paper = crate::blocking(move || {
                paper.put(place % COLUMNS, place / COLUMNS, &image);
                Ok(paper)
            })
            .await?;
        }
        crate::blocking(move || to_png(&paper.into_picture())).await
    }
}
