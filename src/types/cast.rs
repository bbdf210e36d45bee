//! Who is in the film.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The characters to look for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cast {
    /// The characters, in the user's order.
    #[serde(default)]
    pub characters: Vec<Character>,
}

/// One character.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Character {
    /// The name that captions use. Unique in its cast.
    pub name: String,
    /// The fixed looks, in words. Captions name the character and leave these out.
    #[serde(default)]
    pub description: String,
    /// Pictures that show the character alone, tightly cut: one to five.
    #[serde(default)]
    pub references: Vec<PathBuf>,
    /// Pictures of what was taken for the character and is not, as review finds them. In `cast.toml`: `not`.
    #[serde(default, rename = "not", skip_serializing_if = "Vec::is_empty")]
    pub negatives: Vec<PathBuf>,
    /// General labels that a label detector may give this character, for example `Person` or `Dog`.
    #[serde(default)]
    pub labels: Vec<String>,
}

impl Cast {
    /// The character with this name.
    pub fn get(&self, name: &str) -> Option<&Character> {
        self.characters.iter().find(|c| c.name == name)
    }

    /// The names, in the user's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.characters.iter().map(|c| c.name.as_str())
    }
}
