//! Reading a cast from `cast.toml` and its reference pictures.
//!
//! ```toml
//! [[characters]]
//! name = "Mayu"
//! description = "a girl with a red scarf"      # fixed looks; captions leave them out
//! references = ["mayu-front.png"]              # relative to this file
//! not = ["a-scarf-on-a-hook.png"]              # optional: what was taken for her and is not
//! labels = ["Person"]                          # optional, for label detectors
//! ```

mod add;
mod draft;

use std::path::{Path, PathBuf};

pub(crate) use add::SHORTEST;
pub use add::{Cutting, Lesson, Region};
pub use draft::PAGE;
use image::{ImageReader, RgbaImage};

use crate::{
    error::{Error, ErrorKind, Result, Stage},
    types::{Cast, Character},
};

/// Most characters of a name: captions have to hold it.
const MAX_NAME_CHARS: usize = 100;

/// A reference picture of a character, decoded.
#[derive(Clone, Debug)]
pub struct ReferencePicture {
    /// Name of the character.
    pub character: String,
    /// Where the picture lies.
    pub path: PathBuf,
    /// The pixels; transparent ones do not belong to the character.
    pub image: RgbaImage,
}

impl Cast {
    /// Reads a cast file. Paths of references are made relative to the working directory.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for a missing file, [`InvalidInput`](ErrorKind::InvalidInput) for one that
    /// is not a cast or whose names are empty, doubled or too long. Pictures are not opened here:
    /// see [`reference_pictures`](Self::reference_pictures).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("cast.toml");
    /// std::fs::write(&path, "[[characters]]\nname = \"Mayu\"\nreferences = [\"mayu.png\"]\n").unwrap();
    /// let cast = picchu::Cast::load(&path)?;
    /// assert_eq!(cast.characters[0].references[0], dir.path().join("mayu.png"));
    /// # Ok::<(), picchu::Error>(())
    /// ```
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::InvalidData => not_a_cast(path, &"it is not text in UTF-8"),
            _ => Error::io("read the cast", path, e).at(Stage::Detect),
        })?;
        let mut cast: Self = toml::from_str(&text).map_err(|e| not_a_cast(path, &e))?;
        cast.check().map_err(|e| not_a_cast(path, &e.message()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let pictures =
            cast.characters.iter_mut().flat_map(|c| c.references.iter_mut().chain(&mut c.negatives));
        for reference in pictures {
            *reference = folder.join(&*reference);
        }
        Ok(cast)
    }

    /// Checks that there are characters and that their names are usable and unique.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) names the character and the rule.
    pub fn check(&self) -> Result<()> {
        if self.characters.is_empty() {
            return Err(Error::invalid("the cast has no characters; add a [[characters]] entry with a name"));
        }
        for (number, character) in self.characters.iter().enumerate() {
            let name = &character.name;
            let refuse =
                |why: &str| Err(Error::invalid(format!("character {} ({name:?}) {why}", number + 1)));
            if name.trim().is_empty() {
                return refuse("has no name");
            }
            if name.trim() != name || name.chars().any(char::is_control) {
                return refuse("has a name with surrounding spaces or control characters");
            }
            if name.chars().count() > MAX_NAME_CHARS {
                return refuse(&format!("has a name of more than {MAX_NAME_CHARS} characters"));
            }
            let lower = name.to_lowercase();
            if let Some(first) = self.characters[..number].iter().position(|c| c.name.to_lowercase() == lower)
            {
                return refuse(&format!("has the same name as character {}; names must differ", first + 1));
            }
        }
        Ok(())
    }

    /// Opens every reference picture, in the cast's order. Negative ones are not among them.
    ///
    /// # Errors
    /// The first picture that is missing or unreadable, with the character it belongs to.
    pub fn reference_pictures(&self) -> Result<Vec<ReferencePicture>> {
        self.pictures(|character| &character.references)
    }

    /// Opens every negative picture, in the cast's order: what was taken for a character and is not.
    ///
    /// # Errors
    /// The first picture that is missing or unreadable, with the character it belongs to.
    pub fn negative_pictures(&self) -> Result<Vec<ReferencePicture>> {
        self.pictures(|character| &character.negatives)
    }

    fn pictures(&self, of: impl Fn(&Character) -> &Vec<PathBuf>) -> Result<Vec<ReferencePicture>> {
        let mut pictures = Vec::new();
        for character in &self.characters {
            for path in of(character) {
                let image = open_picture(path)
                    .map_err(|e| e.at(Stage::Detect).with_context("character", &character.name))?;
                pictures.push(ReferencePicture {
                    character: character.name.clone(),
                    path: path.clone(),
                    image,
                });
            }
        }
        Ok(pictures)
    }
}

fn not_a_cast(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("{} is not a valid cast: {why}", path.display())).at(Stage::Detect)
}

fn open_picture(path: &Path) -> Result<RgbaImage> {
    let mut reader = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(|e| Error::io("open the reference picture", path, e))?;
    reader.limits(crate::source::picture_limits());
    let picture = reader.decode().map_err(|e| {
        Error::new(
            ErrorKind::InvalidInput,
            format!("cannot read the reference picture {}: {e}", path.display()),
        )
    })?;
    Ok(picture.into_rgba8())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Cast> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cast.toml");
        std::fs::write(&path, text).unwrap();
        Cast::load(path)
    }

    #[test]
    fn wrong_casts_say_what_is_wrong() {
        let doubled = "[[characters]]\nname = \"Ana\"\n[[characters]]\nname = \"ANA\"\n";
        for (text, expected) in [
            ("", "no characters"),
            ("characters = 3", "not a valid cast"),
            ("[[characters]]\nname = \" \"", "has no name"),
            ("[[characters]]\nname = \"a\\nb\"", "control characters"),
            ("[[characters]]\nnom = \"Ana\"", "nom"),
            (doubled, "same name as character 1"),
        ] {
            let error = load(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn missing_and_unreadable_pictures_name_the_character() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cast.toml");
        std::fs::write(&path, "[[characters]]\nname = \"Ana\"\nreferences = [\"ana.png\"]\n").unwrap();
        let cast = Cast::load(&path).unwrap();
        let error = cast.reference_pictures().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("ana.png") && error.to_string().contains("character=Ana"));
        std::fs::write(dir.path().join("ana.png"), "no picture").unwrap();
        let error = cast.reference_pictures().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(Cast::load(dir.path().join("none.toml")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
