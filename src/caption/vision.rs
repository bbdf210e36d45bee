//! Captions by a model that sees: prompt, question, answer, and a gentler second try after a refusal.

use async_trait::async_trait;

use super::{Answer, CaptionPrompt, Captioner, Prompt, Tone};
use crate::{
    crop::{Fit, to_jpeg},
    error::{Error, ErrorKind, Result, Stage},
    types::{Asked, Caption, CaptionRequest, ProviderInfo, Usage},
};

/// A model that answers a question about a picture. One call is one question; whatever waits, tries again or counts
/// money is inside.
#[async_trait]
pub trait VisionModel: std::fmt::Debug + Send + Sync + 'static {
    /// Which model this is, with its settings.
    fn info(&self) -> ProviderInfo;

    /// What one question costs in US dollars, about.
    fn price(&self) -> Option<f64>;

    /// What one question uses, about.
    fn usage_of_one(&self) -> Usage;

    /// How large pictures may be. What is larger is scaled down.
    fn fit(&self) -> Fit;

    /// Asks about a picture in JPEG.
    ///
    /// # Errors
    /// As the service says; a refusal is no error but an [`Answer`].
    async fn ask(&self, prompt: &Prompt, jpeg: Vec<u8>) -> Result<Told>;
}

/// An answer and what it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The answer.
    pub answer: Answer,
    /// What it cost.
    pub usage: Usage,
}

/// Words captions by a [`VisionModel`].
#[derive(Debug)]
pub struct VisionCaptioner<M> {
    model: M,
    prompt: CaptionPrompt,
}

impl<M: VisionModel> VisionCaptioner<M> {
    /// Asks `model` by `prompt`.
    pub fn new(model: M, prompt: CaptionPrompt) -> Self {
        Self { model, prompt }
    }

    /// The model.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The prompt.
    pub fn prompt(&self) -> &CaptionPrompt {
        &self.prompt
    }
}

#[async_trait]
impl<M: VisionModel> Captioner for VisionCaptioner<M> {
    fn info(&self) -> ProviderInfo {
        let info = self.model.info();
        let settings = format!("{} {}", info.settings, self.prompt.settings());
        info.settings(settings.trim())
    }

    fn price(&self) -> Option<f64> {
        self.model.price()
    }

    fn usage_of_one(&self) -> Usage {
        self.model.usage_of_one()
    }

    async fn caption(&self, request: &CaptionRequest) -> Result<Caption> {
        let (image, fit) = (std::sync::Arc::clone(&request.crop.image), self.model.fit());
        let jpeg = crate::blocking(move || to_jpeg(&image, fit)).await?;
        let model = self.model.info().model;
        let mut usage = Usage::default();
        let mut refusal = String::new();
        for tone in [Tone::Full, Tone::Gentle] {
            let prompt = self.prompt.build(request, tone);
            let told = match self.model.ask(&prompt, jpeg.clone()).await {
                Ok(told) => told,
                // Filters of what is sent are refusals too.
                Err(e) if e.kind() == ErrorKind::ContentFiltered => {
                    Told { answer: Answer::Refused(e.message().to_owned()), usage: e.usage() }
                }
                Err(e) => {
                    let usage_of_all = usage + e.usage();
                    return Err(e.with_usage(usage_of_all));
                }
            };
            usage += told.usage;
            match told.answer {
                Answer::Caption(text) => {
                    return Ok(self.said(text, &prompt, request, usage));
                }
                Answer::Refused(words) => refusal = words,
                Answer::Unreadable(why) => {
                    let error =
                        Error::new(ErrorKind::Decode, format!("the answer of {model} is unusable: {why}"));
                    return Err(self.about(error, request, usage));
                }
            }
        }
        let error = Error::new(ErrorKind::ContentFiltered, format!("{model} refused twice: {refusal}"));
        Err(self.about(error, request, usage))
    }
}

impl<M: VisionModel> VisionCaptioner<M> {
    /// The model's words as the caption of a request, with the prompt that they answer.
    pub(crate) fn said(
        &self,
        text: String,
        prompt: &Prompt,
        request: &CaptionRequest,
        usage: Usage,
    ) -> Caption {
        let asked = Asked { prompt: Some(prompt.hash()), ..Asked::new(&self.info(), request) };
        Caption { asked: Some(asked), ..Caption::new(text, self.model.info().model).with_usage(usage) }
    }

    fn about(&self, error: Error, request: &CaptionRequest, usage: Usage) -> Error {
        error
            .at(Stage::Caption)
            .with_provider(self.model.info().name)
            .with_context("record", &request.record)
            .with_usage(usage)
    }
}
