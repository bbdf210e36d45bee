//! Image files of a dataset. They are untrusted: a header may claim any size.

use image::RgbImage;
use serde_json::{Value, json};

use super::FileHash;
use crate::{
    crop::{light, to_png},
    error::{Error, ErrorKind, Result, Stage},
    source::picture_limits,
    types::{BoundingBox, Crop, CropRecord, Quality, Record},
};

fn fail(id: &str, e: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Decode, format!("the image of record {id} cannot be read: {e}")).at(Stage::Dataset)
}

fn reader<'a>(body: &'a [u8], id: &str) -> Result<image::ImageReader<std::io::Cursor<&'a [u8]>>> {
    let mut reader = image::ImageReader::new(std::io::Cursor::new(body))
        .with_guessed_format()
        .map_err(|e| fail(id, &e))?;
    reader.limits(picture_limits());
    Ok(reader)
}

/// The image file of a record's crop, and what the record says of it. Names carry a hash: another crop, another name.
pub(crate) fn encode_crop(id: &str, crop: &Crop, quality: Quality) -> Result<(CropRecord, Vec<u8>)> {
    let body = to_png(&crop.image)?;
    let file = FileHash::of(&body);
    let record = CropRecord {
        image: format!("images/{id}-{}.png", file.short(8)),
        size_bytes: file.size_bytes,
        rect: crop.rect,
        width: crop.image.width(),
        height: crop.image.height(),
        scale: crop.scale,
        quality,
        light: Some(light(&crop.image)),
        sha256: file.sha256,
    };
    Ok((record, body))
}

/// Decodes an image of a dataset, within bounds.
pub(crate) fn decode_image(body: &[u8], id: &str) -> Result<RgbImage> {
    Ok(reader(body, id)?.decode().map_err(|e| fail(id, &e))?.into_rgb8())
}

/// Width and height by the file's own header; nothing is decoded.
pub(crate) fn dimensions(body: &[u8], id: &str) -> Result<(u32, u32)> {
    let (width, height) = reader(body, id)?.into_dimensions().map_err(|e| fail(id, &e))?;
    let limits = picture_limits();
    let most = limits.max_image_width.unwrap_or(u32::MAX).min(limits.max_image_height.unwrap_or(u32::MAX));
    if width.max(height) > most {
        return Err(fail(id, &format!("it claims {width}×{height} pixels; {most} a side are the most")));
    }
    Ok((width, height))
}

/// The detector's box in the record's image, as left and top edge, width and height in percent of it: what pages outside
/// of picchu draw. A box of nothing where nothing of it is in the image.
pub(crate) fn box_in_percent(record: &Record) -> Value {
    let own = record.box_in_image().unwrap_or(BoundingBox::new(0.0, 0.0, 0.0, 0.0));
    let percent = |ratio: f32| (f64::from(ratio) * 1e4).round() / 1e2;
    let (x, width) = (percent(own.left), percent(own.width));
    let (y, height) = (percent(own.top), percent(own.height));
    json!({"x": x, "y": y, "width": width, "height": height})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PNG header that claims a size, with nothing behind it.
    fn claiming(side: u32) -> Vec<u8> {
        let mut body = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        body.extend(side.to_be_bytes());
        body.extend(side.to_be_bytes());
        body.extend([8, 2, 0, 0, 0]);
        body.extend(crc(&body[12..]).to_be_bytes());
        body.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e\0\0\0\0IEND\xae\x42\x60\x82");
        body
    }

    fn crc(data: &[u8]) -> u32 {
        !data.iter().fold(!0, |crc, byte| {
            (0..8)
                .fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { 0xEDB8_8320 ^ (c >> 1) } else { c >> 1 })
        })
    }

    #[test]
    fn a_picture_that_claims_sixty_thousand_pixels_a_side_is_refused_unread() {
        for side in [60_000, u32::MAX >> 1] {
            let body = claiming(side);
            assert_eq!(decode_image(&body, "x").unwrap_err().kind(), ErrorKind::Decode);
            assert_eq!(dimensions(&body, "x").unwrap_err().kind(), ErrorKind::Decode);
        }
        assert_eq!(dimensions(&claiming(600), "x").unwrap(), (600, 600));
    }
}
