//! A cast to be named: what [`suggest_cast`](crate::detect::suggest_cast) found, as files.

use std::path::{Path, PathBuf};

use maud::{DOCTYPE, PreEscaped, html};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, value};

use crate::{
    crop::to_png,
    detect::Group,
    error::{Error, Result},
    store::{PutMode, write_file},
    types::Cast,
};

/// Name of the page that shows the groups.
pub const PAGE: &str = "cast.html";

const STYLE: &str = "
:root { color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; }
img { height: 14rem; max-width: 22rem; object-fit: contain; background: #8882; display: block; }
figcaption { opacity: .7; }
";

const HEAD: &str = "\
# Who seems to be in the film. Give the groups that show a character its name, delete the others, and delete
# pictures that show something else.
";

impl Cast {
    /// Writes suggested groups into a folder: their pictures, a page to look at (`cast.html`), and `cast.toml` with
    /// made-up names to be replaced. Gives the path of `cast.toml`.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) where the folder has a `cast.toml`: it may hold names by
    /// now. Otherwise as the disk says.
    pub fn write_draft(groups: &[Group], film: &str, folder: impl AsRef<Path>) -> Result<PathBuf> {
        let folder = folder.as_ref();
        let path = folder.join("cast.toml");
        let make = |folder: &Path| {
            std::fs::create_dir_all(folder).map_err(|e| Error::io("make the folder", folder, e))
        };
        make(folder)?;
        let mut characters = ArrayOfTables::new();
        let mut files: Vec<Vec<String>> = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            let name = format!("character-{}", number + 1);
            let mut table = Table::new();
            table.insert("name", value(format!("Character {}", number + 1)));
            let own: Vec<String> = (1..=group.sightings.len()).map(|n| format!("{name}/{n}.png")).collect();
            table.insert("references", value(own.iter().collect::<Array>()));
            characters.push(table);
            files.push(own);
        }
        let mut document = DocumentMut::new();
        if characters.is_empty() {
            document.insert("characters", value(Array::new()));
        } else {
            document.insert("characters", Item::ArrayOfTables(characters));
        }
        // First of all the file that must not be there: nothing else is written if it is.
        write_file(&path, format!("{HEAD}{document}").as_bytes(), PutMode::CreateOnly)?;
        for (group, own) in groups.iter().zip(&files) {
            for (sighting, file) in group.sightings.iter().zip(own) {
                let place = folder.join(file);
                make(place.parent().unwrap_or(folder))?;
                write_file(&place, &to_png(&sighting.image)?, PutMode::Overwrite)?;
            }
        }
        write_file(&folder.join(PAGE), page(groups, &files, film).as_bytes(), PutMode::Overwrite)?;
        Ok(path)
    }
}

fn page(groups: &[Group], files: &[Vec<String>], film: &str) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { "Who is in " (film) "?" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Who is in " (film) "?" }
                p {
                    "Give those that are somebody a name in " code { "cast.toml" } ", and delete the others there. "
                    "One to five pictures that show the character alone and whole are enough."
                }
                @if groups.is_empty() { p { "Nobody comes again and again in this film." } }
                @for (number, (group, own)) in groups.iter().zip(files).enumerate() {
                    h2 { "Character " (number + 1) }
                    p { "in " (group.frames) " frames of " (group.scenes) " scenes" }
                    div.row {
                        @for (sighting, file) in group.sightings.iter().zip(own) {
                            figure {
                                img src=(file) alt=(file);
                                figcaption { (format!("{:.3} s", sighting.time.as_secs_f64())) }
                            }
                        }
                    }
                }
            }
        }
    }
    .into_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use image::RgbImage;

    use super::*;
    use crate::{ErrorKind, detect::Sighting, types::BoundingBox};

    #[test]
    fn a_draft_is_a_cast_whose_names_are_not_overwritten() {
        let sighting = || Sighting {
            time: Duration::from_secs(3),
            bounding_box: BoundingBox::FULL,
            image: RgbImage::new(20, 30),
        };
        let group = || Group { frames: 4, scenes: 2, sightings: vec![sighting(), sighting()] };
        let dir = tempfile::tempdir().unwrap();
        let path = Cast::write_draft(&[group(), group()], "<film>", dir.path().join("new")).unwrap();
        let cast = Cast::load(&path).unwrap();
        assert_eq!(cast.names().collect::<Vec<_>>(), ["Character 1", "Character 2"]);
        assert_eq!(cast.reference_pictures().unwrap().len(), 4);
        let page = std::fs::read_to_string(dir.path().join("new").join(PAGE)).unwrap();
        assert!(page.contains("&lt;film&gt;") && page.contains("character-2/1.png"));
        let again = Cast::write_draft(&[group()], "film", dir.path().join("new")).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        assert!(Cast::write_draft(&[], "film", dir.path().join("none")).is_ok());
    }
}
