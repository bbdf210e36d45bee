//! Training a LoRA with diffusers: the program that does it, and what it is told. Where it runs is a leaf's affair.

mod settings;

pub use self::settings::{LoraRun, LoraSettings, licence_of};

/// The model that is trained where no other is named; its licence lets anybody use what it draws.
pub const BASE_MODEL: &str = "black-forest-labs/FLUX.2-klein-base-4B";

/// The file of a finished run that holds the LoRA.
pub const WEIGHTS: &str = "pytorch_lora_weights.safetensors";

/// Name of the package that [`PROGRAM`] is written out as: `python -m picchu_training train settings.json`.
pub const PACKAGE: &str = "picchu_training";

/// What the program needs beside Python 3.11, as `pip install` takes it.
pub const REQUIREMENTS: &str = include_str!("../../../python/picchu/training/requirements.txt");

/// The program's files: name and text.
pub const PROGRAM: &[(&str, &str)] = &[
    ("__init__.py", include_str!("../../../python/picchu/training/__init__.py")),
    ("__main__.py", include_str!("../../../python/picchu/training/__main__.py")),
    ("card.py", include_str!("../../../python/picchu/training/card.py")),
    ("checkpoints.py", include_str!("../../../python/picchu/training/checkpoints.py")),
    ("devices.py", include_str!("../../../python/picchu/training/devices.py")),
    ("draw.py", include_str!("../../../python/picchu/training/draw.py")),
    ("encoded.py", include_str!("../../../python/picchu/training/encoded.py")),
    ("failures.py", include_str!("../../../python/picchu/training/failures.py")),
    ("family.py", include_str!("../../../python/picchu/training/family.py")),
    ("flux2.py", include_str!("../../../python/picchu/training/flux2.py")),
    ("folder.py", include_str!("../../../python/picchu/training/folder.py")),
    ("hyperparameters.json", settings::HYPERPARAMETERS),
    ("licences.json", settings::LICENCES),
    ("pictures.py", include_str!("../../../python/picchu/training/pictures.py")),
    ("random_weights.py", include_str!("../../../python/picchu/training/random_weights.py")),
    ("requirements.txt", REQUIREMENTS),
    ("sdxl.py", include_str!("../../../python/picchu/training/sdxl.py")),
    ("settings.py", include_str!("../../../python/picchu/training/settings.py")),
    ("train.py", include_str!("../../../python/picchu/training/train.py")),
    ("weights.py", include_str!("../../../python/picchu/training/weights.py")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_whole() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("python/picchu/training");
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "__pycache__")
            .collect();
        there.sort();
        assert_eq!(PROGRAM.iter().map(|(name, _)| *name).collect::<Vec<_>>(), there);
    }
}
