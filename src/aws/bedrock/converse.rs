//! Captions over Converse: any model of Bedrock that sees.

use async_trait::async_trait;
use aws_sdk_bedrockruntime::{
    operation::converse::{ConverseOutput, builders::ConverseFluentBuilder},
    primitives::Blob,
    types::{
        ContentBlock, ConversationRole, ImageBlock, ImageFormat, ImageSource, InferenceConfiguration,
        Message, SpecificToolChoice, StopReason, SystemContentBlock, Tool, ToolChoice, ToolConfiguration,
        ToolInputSchema, ToolSpecification,
    },
};
use aws_smithy_types::{Document, Number};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::Bedrock;
use crate::{
    caption::{Answer, CAPTION_TOOL, Prompt, Told, VisionModel},
    crop::Fit,
    error::{Error, Result},
    types::{ProviderInfo, Usage},
};

/// Tokens of the prompt without the picture, and of an answer, about: for estimates and the rate.
const PROMPT_TOKENS: u64 = 700;
const ANSWER_TOKENS: u64 = 120;

/// How a model is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConverseSettings {
    /// Most tokens of an answer.
    pub max_tokens: u32,
    /// 0 gives the same caption for the same picture, as far as the model can.
    pub temperature: f32,
    /// Whether the model takes tools. Without, captions are read from its words.
    pub tools: bool,
}

impl Default for ConverseSettings {
    /// 300 tokens, temperature 0, tools.
    fn default() -> Self {
        Self { max_tokens: 300, temperature: 0.0, tools: true }
    }
}

/// A model of Bedrock that sees, asked over Converse.
#[derive(Clone, Debug)]
pub struct ConverseModel {
    bedrock: Bedrock,
    settings: ConverseSettings,
}

impl ConverseModel {
    /// Amazon Nova Pro.
    pub const NOVA_PRO: &'static str = "amazon.nova-pro-v1:0";
    /// Amazon Nova 2 Lite, which is reached through inference profiles alone: this is that of the United States.
    pub const NOVA_2_LITE: &'static str = "us.amazon.nova-2-lite-v1:0";
    /// What the models look at: nothing is gained above 896 pixels of the shorter side.
    pub const FIT: Fit = Fit { longer: 1792, shorter: 896, quality: 90, bytes: 3_750_000 };

    /// A model, asked by `settings`.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for settings out of range, and for Nova 2 Lite without its
    /// inference profile.
    pub fn new(bedrock: Bedrock, settings: ConverseSettings) -> Result<Self> {
        if bedrock.model().starts_with("amazon.nova-2-lite") {
            return Err(Error::invalid(format!(
                "{} is reached through inference profiles alone; ask for us.{0}, eu.{0}, jp.{0} or global.{0}",
                bedrock.model()
            )));
        }
        if settings.max_tokens == 0 || !(0.0..=1.0).contains(&settings.temperature) {
            return Err(Error::invalid(format!(
                "max_tokens is {} and temperature {}; at least 1 and 0 to 1 are possible",
                settings.max_tokens, settings.temperature
            )));
        }
        Ok(Self { bedrock, settings })
    }

    pub(super) fn id(&self) -> &str {
        self.bedrock.model()
    }

    pub(super) fn price_of(&self, usage: &Usage) -> Option<f64> {
        self.bedrock.price(usage)
    }

    /// Tokens that a picture counts for, about.
    fn picture_tokens(&self) -> u64 {
        if self.bedrock.model().contains("nova-2-lite") { 230 } else { 1_300 }
    }

    /// The question as a record of a batch job takes it: the model's own form, without tools.
    pub fn batch_input(&self, prompt: &Prompt, jpeg: &[u8]) -> Value {
        json!({
            "schemaVersion": "messages-v1",
            "system": [{"text": prompt.system}],
            "messages": [{"role": "user", "content": [
                {"image": {"format": "jpeg", "source": {"bytes": BASE64_STANDARD.encode(jpeg)}}},
                {"text": prompt.user},
            ]}],
            "inferenceConfig": {
                "maxTokens": self.settings.max_tokens,
                "temperature": self.settings.temperature.max(0.00001),
            },
        })
    }

    /// What a batch job brought back for a record.
    pub fn batch_answer(output: &Value) -> Answer {
        match output["stopReason"].as_str() {
            Some("content_filtered" | "guardrail_intervened") => {
                return Answer::Refused("a filter took the answer".to_owned());
            }
            Some("max_tokens") => return Answer::Unreadable("the answer was cut off".to_owned()),
            _ => {}
        }
        let blocks = output.pointer("/output/message/content").and_then(Value::as_array);
        let words: Vec<&str> = blocks.into_iter().flatten().filter_map(|b| b["text"].as_str()).collect();
        Answer::of_text(&words.join("\n"))
    }

    fn fill(
        &self,
        request: ConverseFluentBuilder,
        prompt: &Prompt,
        jpeg: &[u8],
    ) -> Result<ConverseFluentBuilder> {
        let image = ImageBlock::builder()
            .format(ImageFormat::Jpeg)
            .source(ImageSource::Bytes(Blob::new(jpeg)))
            .build()
            .map_err(incomplete)?;
        // Models look better where the picture stands before the question.
        let message = Message::builder()
            .role(ConversationRole::User)
            .content(ContentBlock::Image(image))
            .content(ContentBlock::Text(prompt.user.clone()))
            .build()
            .map_err(incomplete)?;
        let inference = InferenceConfiguration::builder()
            .max_tokens(i32::try_from(self.settings.max_tokens).unwrap_or(i32::MAX))
            .temperature(self.settings.temperature)
            .build();
        let request = request
            .system(SystemContentBlock::Text(prompt.system.clone()))
            .messages(message)
            .inference_config(inference);
        if !self.settings.tools {
            return Ok(request);
        }
        let tool = ToolSpecification::builder()
            .name(CAPTION_TOOL)
            .description("Records the caption of the picture.")
            .input_schema(ToolInputSchema::Json(to_document(&prompt.schema)))
            .build()
            .map_err(incomplete)?;
        let choice = SpecificToolChoice::builder().name(CAPTION_TOOL).build().map_err(incomplete)?;
        let tools = ToolConfiguration::builder()
            .tools(Tool::ToolSpec(tool))
            .tool_choice(ToolChoice::Tool(choice))
            .build()
            .map_err(incomplete)?;
        Ok(request.tool_config(tools))
    }
}

#[async_trait]
impl VisionModel for ConverseModel {
    fn info(&self) -> ProviderInfo {
        let ConverseSettings { max_tokens, temperature, tools } = self.settings;
        ProviderInfo::new("bedrock", self.bedrock.model())
            .settings(format!("converse-v1 tokens={max_tokens} temperature={temperature} tools={tools}"))
    }

    fn price(&self) -> Option<f64> {
        self.bedrock.price(&self.usage_of_one())
    }

    fn usage_of_one(&self) -> Usage {
        Usage {
            requests: 1,
            images: 1,
            input_tokens: PROMPT_TOKENS + self.picture_tokens(),
            output_tokens: ANSWER_TOKENS,
            ..Usage::default()
        }
    }

    fn fit(&self) -> Fit {
        Self::FIT
    }

    async fn ask(&self, prompt: &Prompt, jpeg: Vec<u8>) -> Result<Told> {
        let (answer, usage) =
            self.bedrock.converse(&self.usage_of_one(), |request| self.fill(request, prompt, &jpeg)).await?;
        Ok(Told { answer: understood(&answer), usage })
    }
}

fn incomplete(e: impl std::fmt::Display) -> Error {
    Error::internal(format!("a request of Converse is incomplete: {e}"))
}

/// The answer, by its stop reason and its blocks: the tool's input first, then words.
fn understood(answer: &ConverseOutput) -> Answer {
    let blocks = answer.output().and_then(|o| o.as_message().ok()).map(Message::content).unwrap_or_default();
    let unreadable = |why: &str| Answer::Unreadable(why.to_owned());
    match answer.stop_reason() {
        StopReason::ContentFiltered => {
            return Answer::Refused("the content filter took the answer".to_owned());
        }
        StopReason::GuardrailIntervened => return Answer::Refused("a guardrail took the answer".to_owned()),
        StopReason::MaxTokens => return unreadable("the answer was cut off: max_tokens is too low"),
        StopReason::MalformedModelOutput | StopReason::MalformedToolUse => {
            return unreadable("the model wrote its answer in the wrong form");
        }
        StopReason::ModelContextWindowExceeded => {
            return unreadable("the question is too long for the model");
        }
        // end_turn, tool_use, stop_sequence, and what may come: the blocks tell.
        _ => {}
    }
    if let Some(tool) = blocks.iter().find_map(|b| b.as_tool_use().ok()) {
        return Answer::of_tool(&to_value(tool.input()));
    }
    let words: Vec<&str> = blocks.iter().filter_map(|b| b.as_text().ok()).map(String::as_str).collect();
    Answer::of_text(&words.join("\n"))
}

fn to_document(value: &Value) -> Document {
    match value {
        Value::Null => Document::Null,
        Value::Bool(b) => Document::Bool(*b),
        Value::Number(n) => match n.as_u64() {
            Some(n) => Document::Number(Number::PosInt(n)),
            None => Document::Number(Number::Float(n.as_f64().unwrap_or_default())),
        },
        Value::String(s) => Document::String(s.clone()),
        Value::Array(items) => Document::Array(items.iter().map(to_document).collect()),
        Value::Object(fields) => {
            Document::Object(fields.iter().map(|(k, v)| (k.clone(), to_document(v))).collect())
        }
    }
}

fn to_value(document: &Document) -> Value {
    match document {
        Document::Null => Value::Null,
        Document::Bool(b) => Value::Bool(*b),
        Document::Number(Number::PosInt(n)) => Value::from(*n),
        Document::Number(Number::NegInt(n)) => Value::from(*n),
        Document::Number(Number::Float(n)) => Value::from(*n),
        Document::String(s) => Value::String(s.clone()),
        Document::Array(items) => Value::Array(items.iter().map(to_value).collect()),
        Document::Object(fields) => {
            Value::Object(fields.iter().map(|(k, v)| (k.clone(), to_value(v))).collect())
        }
    }
}
