//! Near-duplicate search by cosine similarity: exact, deterministic and fast.
//!
//! Rows are embeddings (`N × D`, `float32`, any norm but zero). Similarity is the cosine of two rows, from
//! −1 to 1; `min_similarity` is the value from which two rows count as near-duplicates, so higher is stricter.
//!
//! | Question | Function |
//! |---|---|
//! | Which rows are worth keeping, and which kept row stands for each of the others? | [`select`](fn@select) |
//! | Which pairs are near-duplicates? | [`join`](fn@join) |
//! | Which groups do they form, however long the chain? | [`components`](fn@components) |
//! | Which threshold should I use? | [`calibrate`](fn@calibrate) |
//! | The same selection, for films that arrive one after another | [`Index`] |
//!
//! **Exact** means: the decisions are those of a `float64` computation of every pair. Cheap tests only ever
//! skip pairs which a proven bound excludes, and every pair within 10⁻⁶ of the threshold is
//! decided in `float64`. Results depend neither on the number of threads nor on the processor.
//!
//! ```
//! use ndarray::array;
//! use picchu::dedupe::{Options, select};
//!
//! let rows = array![[1.0_f32, 0.0], [0.99, 0.05], [0.0, 2.0]];
//! let selection = select(rows.view(), 0.94, None, &Options::default())?;
//! assert_eq!(selection.kept, [0, 2]);
//! assert_eq!(selection.covered_by, [0, 0, 2]);
//! # Ok::<(), picchu::dedupe::DedupeError>(())
//! ```
#![expect(clippy::needless_pass_by_value, reason = "views are passed by value, as in ndarray")]

mod calibrate;
mod cosine;
mod deduper;
mod error;
mod fit;
mod index;
mod join;
mod known_pairs;
mod options;
mod rows;
mod select;
mod space;
mod team;
mod union;

pub use self::{
    calibrate::{Calibration, calibrate},
    cosine::{CosineDeduper, Keep},
    deduper::{Candidates, Deduper},
    error::DedupeError,
    fit::{Fit, Verdict, fit_threshold},
    index::{Admission, Index},
    join::{Components, Join, Pair, components, join},
    known_pairs::KnownPairs,
    options::Options,
    select::{Selection, select},
};
pub use crate::simd::Kernel;
