//! Training and drawing on this machine, by the training program in a process of its own.

mod folder;
mod generator;
mod python;
mod trainer;

pub use self::{
    generator::{LocalGenerator, LocalGeneratorSettings},
    python::Python,
    trainer::LocalTrainer,
};
