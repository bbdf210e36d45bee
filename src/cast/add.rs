//! Reference pictures that are cut from a film or a dataset, and named in the cast file.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use futures::TryStreamExt;
use image::{RgbImage, imageops::crop_imm};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, value};

use super::not_a_cast;
use crate::{
    crop::to_png,
    dataset::FileHash,
    error::{AtStage, Error, ErrorKind, Result, Stage},
    source::{FrameSource, Sampling},
    store::{PutMode, slug, write_file},
    types::{BoundingBox, Cast, Character, Frame, PixelRect},
};

/// Shortest allowed side of a reference picture, in pixels.
pub(crate) const SHORTEST: u32 = 16;

/// A part of a frame, in pixels or in ratios of the frame.
///
/// From text: `left,top,width,height`; numbers that all lie in 0..1 are ratios, others are pixels.
///
/// ```
/// use picchu::{cast::Region, types::PixelRect};
/// assert_eq!("320,80,200,400".parse(), Ok(Region::Pixels(PixelRect::new(320, 80, 200, 400))));
/// assert!(matches!("0.25,0.1,0.2,0.6".parse(), Ok(Region::Ratios(_))));
/// assert!("1,2,3".parse::<Region>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Region {
    /// In whole pixels.
    Pixels(PixelRect),
    /// In ratios of the frame.
    Ratios(BoundingBox),
}

impl Region {
    /// From left, top, width and height: ratios if all lie in 0..=1, else pixels.
    ///
    /// # Errors
    /// A message for numbers that are neither.
    pub fn new(numbers: [f64; 4]) -> std::result::Result<Self, String> {
        let [left, top, width, height] = numbers;
        if !(width > 0.0 && height > 0.0 && left >= 0.0 && top >= 0.0) {
            return Err(format!(
                "the box {left},{top},{width},{height} has no area, or begins outside the frame"
            ));
        }
        if numbers.iter().all(|v| *v <= 1.0) {
            let [left, top, width, height] = numbers.map(|v| v as f32);
            return Ok(Self::Ratios(BoundingBox::new(left, top, width, height)));
        }
        if numbers.iter().any(|v| v.fract() != 0.0 || *v > f64::from(u16::MAX)) {
            return Err("a box has whole pixels, or ratios that all lie in 0..1".into());
        }
        let [left, top, width, height] = numbers.map(|v| v as u32);
        Ok(Self::Pixels(PixelRect::new(left, top, width, height)))
    }

    /// The pixels of the region in a frame.
    fn in_frame(self, frame: &Frame) -> Option<PixelRect> {
        match self {
            Self::Pixels(r) => (r.right() <= frame.width() && r.bottom() <= frame.height()).then_some(r),
            Self::Ratios(b) => (b.right() <= 1.001 && b.bottom() <= 1.001)
                .then(|| b.to_pixels(frame.width(), frame.height()))
                .flatten(),
        }
    }
}

impl FromStr for Region {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let numbers: Vec<f64> = text
            .split(',')
            .map(|part| part.trim().parse().map_err(|_| format!("{part:?} is not a number")))
            .collect::<std::result::Result<_, String>>()?;
        let numbers: [f64; 4] =
            numbers.try_into().map_err(|_| "a box is left,top,width,height".to_owned())?;
        Self::new(numbers)
    }
}

/// Where in a film a character is to be seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Cutting {
    /// Name of the character; a new one is added to the cast.
    pub name: String,
    /// When: the frame shown at this time.
    pub at: Duration,
    /// Where, tightly around the character.
    pub region: Region,
    /// Whether it shows what is taken for the character and is not.
    pub negative: bool,
}

/// A picture that tells who somebody is, or who is not.
#[derive(Clone, Debug, PartialEq)]
pub struct Lesson {
    /// Name of the character; a new one is added to the cast.
    pub name: String,
    /// Whether it shows what is taken for the character and is not.
    pub negative: bool,
    /// The picture, tightly around the character.
    pub picture: RgbImage,
}

impl Cast {
    /// Puts pictures beside the cast file and names them there. The file is made if there is none; comments and order in
    /// it stay. A picture that was put there before is not put there again. Gives the path of each picture, and whether it
    /// is new.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a wrong name, and a file that is no cast; those of the disk.
    pub fn learn(path: impl AsRef<Path>, lessons: &[Lesson]) -> Result<Vec<(PathBuf, bool)>> {
        let path = path.as_ref();
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut document = read(path)?;
        let mut pictures = Vec::new();
        for lesson in lessons {
            let body = to_png(&lesson.picture)?;
            let kind = if lesson.negative { "-not" } else { "" };
            // Equal pictures have equal names.
            let content = FileHash::of(&body);
            let file = format!("{}{kind}-{}.png", slug(&lesson.name), content.short(12));
            let place = folder.join(&file);
            let new = list(&mut document, path, &lesson.name, lesson.negative, &file)?;
            pictures.push((place, new, body));
        }
        let text = document.to_string();
        check(path, &text)?;
        // The pictures first: a cast file never names what is not there.
        for (place, _, body) in &pictures {
            if !place.exists() {
                write_file(place, body, PutMode::CreateOnly)?;
            }
        }
        if pictures.iter().any(|(_, new, _)| *new) {
            write_file(path, text.as_bytes(), PutMode::Overwrite)?;
        }
        Ok(pictures.into_iter().map(|(place, new, _)| (place, new)).collect())
    }

    /// Cuts a reference picture from a film, puts it beside the cast file and names it there. The file is made if
    /// there is none; comments and order in it stay. Gives the picture's path.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a time outside the film, a box that leaves the frame or is
    /// smaller than 16 pixels, a wrong name, and a file that is no cast; those of the film and the disk.
    ///
    /// ```no_run
    /// # async fn f() -> picchu::Result<()> {
    /// use std::time::Duration;
    /// use picchu::{Cast, cast::{Cutting, Region}, config::open_film, types::PixelRect};
    ///
    /// let film = open_film("film.mp4".as_ref())?;
    /// let region = Region::Pixels(PixelRect::new(320, 80, 200, 400));
    /// let cutting =
    ///     Cutting { name: "Mayu".into(), at: Duration::from_millis(12_500), region, negative: false };
    /// Cast::add_reference("cast.toml", &*film, &cutting).await?;
    /// # Ok(()) }
    /// ```
    pub async fn add_reference(
        path: impl AsRef<Path>,
        film: &dyn FrameSource,
        cutting: &Cutting,
    ) -> Result<PathBuf> {
        let path = path.as_ref();
        let character = Character { name: cutting.name.clone(), ..Character::default() };
        let named = Self { characters: vec![character] };
        named.check().at(Stage::Detect)?;
        let mut document = read(path)?;
        let picture = cut(film, cutting).await?;
        let file = free_name(path, cutting)?;
        list(&mut document, path, &cutting.name, cutting.negative, &file)?;
        let body = document.to_string();
        check(path, &body)?;
        // The picture first: a cast file never names what is not there.
        let place = path.parent().unwrap_or(Path::new("")).join(&file);
        write_file(&place, &to_png(&picture)?, PutMode::CreateOnly)?;
        write_file(path, body.as_bytes(), PutMode::Overwrite)?;
        Ok(place)
    }
}

/// Whether a text is a cast.
fn check(path: &Path, text: &str) -> Result<()> {
    toml::from_str::<Cast>(text)
        .map_err(|e| not_a_cast(path, &e))
        .and_then(|cast| cast.check().map_err(|e| not_a_cast(path, &e.message())))
}

/// The cast file as it stands, or an empty one.
fn read(path: &Path) -> Result<DocumentMut> {
    match std::fs::read_to_string(path) {
        Ok(text) => text.parse().map_err(|e: toml_edit::TomlError| not_a_cast(path, &e)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(DocumentMut::new()),
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
            Err(not_a_cast(path, &"it is not text in UTF-8"))
        }
        Err(e) => Err(Error::io("read the cast", path, e).at(Stage::Detect)),
    }
}

async fn cut(film: &dyn FrameSource, cutting: &Cutting) -> Result<RgbImage> {
    let refuse = |what: String| Error::invalid(what).at(Stage::Detect);
    let seconds = cutting.at.as_secs_f64();
    if film.probe().await?.duration.is_some_and(|length| cutting.at >= length) {
        return Err(refuse(format!("the film has no frame at {seconds} s: it ends before")));
    }
    let frame = film.frames(&Sampling::at(vec![cutting.at])).try_next().await?;
    let frame = frame.ok_or_else(|| refuse(format!("the film has no frame at {seconds} s")))?;
    let (width, height) = (frame.width(), frame.height());
    let part = cutting
        .region
        .in_frame(&frame)
        .ok_or_else(|| refuse(format!("the box leaves the frame, which has {width}×{height} pixels")))?;
    if part.width < SHORTEST || part.height < SHORTEST {
        return Err(refuse(format!(
            "the box has {}×{} pixels; each side needs at least {SHORTEST}",
            part.width, part.height
        )));
    }
    Ok(crop_imm(&*frame.image, part.x, part.y, part.width, part.height).to_image())
}

/// A file name beside the cast file that is not taken.
fn free_name(path: &Path, cutting: &Cutting) -> Result<String> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let kind = if cutting.negative { "-not" } else { "" };
    let name = match slug(&cutting.name) {
        name if name.is_empty() => "character".to_owned(),
        name => name,
    };
    let stem = format!("{name}{kind}-{:09.3}", cutting.at.as_secs_f64());
    (1..1000)
        .map(|n| if n == 1 { format!("{stem}.png") } else { format!("{stem}-{n}.png") })
        .find(|file| !folder.join(file).exists())
        .ok_or_else(|| Error::new(ErrorKind::AlreadyExists, format!("{stem}.png is there a thousand times")))
}

/// Names the picture in the document; whether it was not named there before.
fn list(document: &mut DocumentMut, path: &Path, name: &str, negative: bool, file: &str) -> Result<bool> {
    let wrong = |what: &str| not_a_cast(path, &format!("{what} is not what a cast has"));
    let characters = document.entry("characters").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    let characters = characters.as_array_of_tables_mut().ok_or_else(|| wrong("\"characters\""))?;
    let known = characters.iter().position(|c| c.get("name").and_then(Item::as_str) == Some(name));
    let at = known.unwrap_or_else(|| {
        let mut table = Table::new();
        table.insert("name", value(name));
        characters.push(table);
        characters.len() - 1
    });
    let key = if negative { "not" } else { "references" };
    let table = characters.get_mut(at).ok_or_else(|| Error::internal("a character disappeared"))?;
    let pictures = table.entry(key).or_insert(value(Array::new()));
    let pictures = pictures.as_array_mut().ok_or_else(|| wrong(key))?;
    let new = !pictures.iter().any(|known| known.as_str() == Some(file));
    if new {
        pictures.push(file);
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;
    use crate::source::ImageFolder;

    fn film(folder: &Path) -> ImageFolder {
        let still = RgbImage::from_fn(100, 60, |x, y| Rgb([x as u8, y as u8, 7]));
        std::fs::create_dir_all(folder).unwrap();
        still.save(folder.join("a.png")).unwrap();
        ImageFolder::open(folder).unwrap()
    }

    fn cutting(name: &str, region: &str) -> Cutting {
        Cutting { name: name.into(), at: Duration::ZERO, region: region.parse().unwrap(), negative: false }
    }

    #[tokio::test]
    async fn pictures_are_cut_exactly_and_comments_stay() {
        let dir = tempfile::tempdir().unwrap();
        let film = film(&dir.path().join("film"));
        let path = dir.path().join("cast.toml");
        std::fs::write(&path, "# the heroes\n[[characters]]\nname = \"Ana\" # she\n").unwrap();
        let first = Cast::add_reference(&path, &film, &cutting("Ana", "10,20,30,40")).await.unwrap();
        let second = Cast::add_reference(&path, &film, &cutting("Ana", "0.1,0.2,0.5,0.5")).await.unwrap();
        let not = Cutting { negative: true, ..cutting("Bo\"b", "0,0,20,20") };
        Cast::add_reference(&path, &film, &not).await.unwrap();
        let cut = image::open(&first).unwrap().into_rgb8();
        assert_eq!((cut.dimensions(), cut.get_pixel(0, 0).0), ((30, 40), [10, 20, 7]));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# the heroes\n") && text.contains("# she"), "{text}");
        let cast = Cast::load(&path).unwrap();
        assert_eq!(cast.characters[0].references, [first, second]);
        assert_eq!((cast.characters[1].name.as_str(), cast.characters[1].negatives.len()), ("Bo\"b", 1));
        assert_eq!(cast.negative_pictures().unwrap()[0].character, "Bo\"b");
    }

    #[tokio::test]
    async fn what_cannot_be_cut_is_refused_and_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let film = film(&dir.path().join("film"));
        let path = dir.path().join("cast.toml");
        for (name, region, expected) in [
            ("Ana", "90,20,30,40", "leaves the frame, which has 100×60"),
            ("Ana", "0.9,0.1,0.2,0.2", "leaves the frame"),
            ("Ana", "0,0,15,40", "15×40"),
            (" ", "0,0,20,40", "has no name"),
        ] {
            let error = Cast::add_reference(&path, &film, &cutting(name, region)).await.unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        std::fs::write(&path, "characters = 3").unwrap();
        let error = Cast::add_reference(&path, &film, &cutting("Ana", "0,0,20,40")).await.unwrap_err();
        assert!(error.to_string().contains("not a valid cast"), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn boxes_are_pixels_or_ratios() {
        for wrong in ["", "1,2,3", "a,0,1,1", "0,0,0,5", "-1,0,5,5", "0.5,0,20,20", "nan,0,1,1", "0,0,1e9,1"]
        {
            assert!(wrong.parse::<Region>().is_err(), "{wrong}");
        }
    }
}
