//! Writing what a trainer reads. Every exporter reads its own output back and compares before anything is stored.

pub mod nova;
