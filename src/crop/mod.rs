//! From a box in a frame to a picture that a trainer accepts.
//!
//! Three steps, all pure: a [`CropPolicy`] plans which pixels to take, [`cut`] takes them, and [`measure`]
//! says how good the character looks in them. [`subjects_in`] tells who else is in the picture.
//!
//! ```
//! use std::time::Duration;
//! use image::{Rgb, RgbImage};
//! use picchu::{crop::{CropPolicy, cut}, types::{BoundingBox, Frame}};
//!
//! let frame = Frame::new(0, Duration::ZERO, RgbImage::from_pixel(1280, 720, Rgb([90, 120, 60])));
//! let policy = CropPolicy::default().pad(0.2);
//! policy.validate()?;
//! let plan = policy.plan(BoundingBox::new(0.4, 0.3, 0.1, 0.4), frame.width(), frame.height()).unwrap();
//! let crop = cut(&frame, &plan);
//! assert_eq!(crop.image.dimensions(), (512, 512)); // widened inside the frame, not upscaled
//! assert_eq!(crop.scale, 1.0);
//! # Ok::<(), picchu::Error>(())
//! ```

mod cut;
mod encode;
mod policy;
mod quality;
mod sheet;
mod subjects;

pub use cut::cut;
pub(crate) use cut::to_png;
pub use encode::{Fit, to_jpeg};
pub use policy::{CropPolicy, Plan, Unfit};
pub use quality::{TRAINING_SIDE, light, measure};
pub(crate) use sheet::Sheet;
pub use subjects::{MIN_INSIDE, subjects_in};
