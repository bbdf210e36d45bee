//! A model together with how pictures go into it: pictures in, one answer a picture out, in groups.

use image::RgbImage;

use super::{
    OnnxOptions, OnnxRuntime,
    model::{Answer, Model},
    picture::{Placement, Preparation},
    spec::{Channels, Fit, Layout, ModelSpec, Resample},
};
use crate::error::{Error, ErrorKind, Result};

/// Most pictures in one call of a model that leaves their number open.
const MAX_GROUP: usize = 8;
/// Most values of one call's input: 256 MiB.
const MAX_INPUT: usize = 1 << 26;

/// How pictures go in where the description does not say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    pub(super) fit: Fit,
    pub(super) resample: Resample,
    pub(super) size: Option<[u32; 2]>,
}

/// A model that takes pictures.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) model: Model,
    pub(super) preparation: Preparation,
    /// Pictures in one call.
    group: usize,
    /// Whether a call must have exactly so many; blank ones fill it up.
    fixed: bool,
}

/// A model's answer to one picture.
#[derive(Clone, Debug)]
pub(super) struct PictureAnswer {
    pub(super) placement: Placement,
    /// Without the axis of the pictures.
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl Network {
    /// Loads a model and runs it once, so that what does not fit shows now and not after an hour.
    pub(super) fn load(
        runtime: &OnnxRuntime,
        options: &OnnxOptions,
        spec: &ModelSpec,
        defaults: impl FnOnce(&Model) -> Defaults,
    ) -> Result<Self> {
        let model = Model::load(runtime, options, spec)?;
        let defaults = defaults(&model);
        let preparation = preparation(&model, spec, defaults)?;
        let most = MAX_INPUT / preparation.len();
        let (group, fixed) = match model.input_shape[0] {
            open if open < 0 => (MAX_GROUP.min(most).max(1), false),
            n if n >= 1 && n as usize <= most.clamp(1, 64) => (n as usize, true),
            n => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("the model takes {n} pictures at once; export it for 1 or for any number"),
                ));
            }
        };
        let mut network = Self { model, preparation, group, fixed };
        network.try_out()?;
        Ok(network)
    }

    /// Most pictures in one call.
    pub(super) fn group(&self) -> usize {
        self.group
    }

    /// Runs noise through the model. A model whose answer to a picture depends on the others of its group, or that
    /// cannot take groups whatever it says, gets one picture at a time: equal pictures must give equal answers.
    fn try_out(&mut self) -> Result<()> {
        let noise = [noise(1, self.preparation), noise(2, self.preparation)];
        let alone = self.forward(&[&noise[1]])?;
        if !self.fixed && self.group > 1 {
            let same = self.forward(&[&noise[0], &noise[1]]).is_ok_and(|together| {
                together[1].shape == alone[0].shape && together[1].values == alone[0].values
            });
            if !same {
                self.group = 1;
            }
        }
        Ok(())
    }

    /// The answers to some pictures, in their order.
    pub(super) fn forward(&self, pictures: &[&RgbImage]) -> Result<Vec<PictureAnswer>> {
        let Preparation { width, height, layout, .. } = self.preparation;
        let (width, height, len) = (width as usize, height as usize, self.preparation.len());
        let mut answers = Vec::with_capacity(pictures.len());
        let mut input = Vec::new();
        for group in pictures.chunks(self.group) {
            let count = if self.fixed { self.group } else { group.len() };
            input.clear();
            input.resize(count * len, 0.0);
            let placements: Vec<Placement> = group
                .iter()
                .zip(input.chunks_exact_mut(len))
                .map(|(picture, to)| self.preparation.write(picture, to))
                .collect();
            let shape = match layout {
                Layout::Nchw => [count, 3, height, width],
                Layout::Nhwc => [count, height, width, 3],
            };
            let Answer { shape, values } = self.model.run(shape, &input)?;
            if shape.first() != Some(&count) || values.is_empty() && shape[1..].iter().all(|n| *n > 0) {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!("the model answered the shape {shape:?} to {count} pictures"),
                ));
            }
            let each = values.len() / count;
            for (number, placement) in placements.into_iter().enumerate() {
                answers.push(PictureAnswer {
                    placement,
                    shape: shape[1..].to_vec(),
                    values: values[number * each..][..each].to_vec(),
                });
            }
        }
        Ok(answers)
    }
}

/// Everything that the description, the model and the defaults say together about the input.
fn preparation(model: &Model, spec: &ModelSpec, defaults: Defaults) -> Result<Preparation> {
    let shape = &model.input_shape;
    let wrong = |why: &str| Error::invalid(format!("the model's input has the shape {shape:?}; {why}"));
    let [_, second, third, fourth] = shape[..] else {
        return Err(wrong("pictures × 3 × height × width (or pictures × height × width × 3) is needed"));
    };
    let layout = spec.layout.unwrap_or(if fourth == 3 && second != 3 { Layout::Nhwc } else { Layout::Nchw });
    let (channels, height, width) = match layout {
        Layout::Nchw => (second, third, fourth),
        Layout::Nhwc => (fourth, second, third),
    };
    if channels != 3 && channels >= 0 {
        return Err(wrong(&format!(
            "3 channels are needed, not {channels} (\"layout\" says where they are)"
        )));
    }
    let side = |axis: i64, place: usize| match (axis, spec.size.or(defaults.size)) {
        (open, Some(size)) if open < 0 => Ok(size[place]),
        (open, None) if open < 0 => Err(wrong(&format!(
            "it leaves its size open: say \"size\": [width, height] in the description ({})",
            super::DESCRIPTION
        ))),
        (fixed, _) if !(1..=4096).contains(&fixed) => Err(wrong("each side must be 1 to 4096")),
        (fixed, _) => match spec.size {
            Some(size) if i64::from(size[place]) != fixed => {
                Err(wrong(&format!("\"size\" in the description says {size:?} (width, height)")))
            }
            _ => Ok(fixed as u32),
        },
    };
    Ok(Preparation {
        width: side(width, 0)?,
        height: side(height, 1)?,
        fit: spec.fit.unwrap_or(defaults.fit),
        resample: spec.resample.unwrap_or(defaults.resample),
        fill: spec.fill.unwrap_or(114),
        scale: spec.scale.unwrap_or(1.0 / 255.0),
        mean: spec.mean.unwrap_or([0.0; 3]),
        std: spec.std.unwrap_or([1.0; 3]),
        layout,
        color: spec.color.unwrap_or(Channels::Rgb),
    })
}

/// A picture that is the same on every machine.
fn noise(seed: u32, preparation: Preparation) -> RgbImage {
    let mut state = seed.wrapping_mul(2_654_435_761);
    RgbImage::from_fn(preparation.width, preparation.height, |_, _| {
        image::Rgb(std::array::from_fn(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        }))
    })
}
