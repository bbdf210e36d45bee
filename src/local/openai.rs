//! Captions by any server that speaks the `OpenAI` chat interface: Ollama, vLLM, llama.cpp, LM Studio.
//!
//! Servers differ in what they send beside the answer, so only what is needed is read.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::{Client, StatusCode, Url};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    caption::{Answer, CAPTION_TOOL, Prompt, Told, VisionModel},
    crop::Fit,
    error::{Error, ErrorKind, Result},
    layers::{Meter, Retry},
    types::{ProviderInfo, Usage},
};

/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 4 << 20;
/// Most characters of a server's words that an error repeats.
const MAX_WORDS: usize = 300;

/// Which server, which model, how to ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenAiSettings {
    /// Address up to the version, for example `http://localhost:11434/v1`.
    pub base_url: String,
    /// Name of the model on that server.
    pub model: String,
    /// Most tokens of an answer.
    #[serde(default = "max_tokens")]
    pub max_tokens: u32,
    /// Seconds until an answer has to be there.
    #[serde(default = "timeout")]
    pub timeout: f64,
    /// Attempts in all where the server is busy, slow or gone.
    #[serde(default = "attempts")]
    pub attempts: u32,
    /// Whether to demand the caption through a tool; for servers and models that take tools.
    #[serde(default)]
    pub tools: bool,
}

fn max_tokens() -> u32 {
    300
}

fn timeout() -> f64 {
    120.0
}

fn attempts() -> u32 {
    5
}

impl OpenAiSettings {
    /// A server and a model, everything else as usual.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            model: model.into(),
            max_tokens: max_tokens(),
            timeout: timeout(),
            attempts: attempts(),
            tools: false,
        }
    }
}

/// A vision model behind an OpenAI-compatible server.
///
/// The key of the server, if it wants one, is in no setting, no message and no file.
#[derive(Clone)]
pub struct OpenAiModel {
    client: Client,
    address: Url,
    settings: OpenAiSettings,
    api_key: Option<Arc<str>>,
    meter: Arc<Meter>,
}

impl OpenAiModel {
    /// The environment variable with the key.
    pub const KEY_VARIABLE: &'static str = "OPENAI_API_KEY";

    /// A model on a server that wants no key, or the given one.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an address that is none or settings out of range.
    pub fn new(settings: OpenAiSettings, api_key: Option<&str>, meter: Arc<Meter>) -> Result<Self> {
        let wrong = |why: &str| Error::invalid(format!("the captioner's {why}"));
        let base = settings.base_url.trim_end_matches('/');
        let address = Url::parse(&format!("{base}/chat/completions"))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| wrong("base_url is no http address; give one as http://localhost:11434/v1"))?;
        if address.password().is_some() || !address.username().is_empty() {
            return Err(wrong(
                "base_url holds a password; set the environment variable OPENAI_API_KEY instead",
            ));
        }
        let sane = settings.timeout.is_finite() && (0.001..=3600.0).contains(&settings.timeout);
        if settings.model.is_empty() || settings.max_tokens == 0 || settings.attempts == 0 || !sane {
            return Err(wrong(
                "settings are out of range: a model, max_tokens and attempts from 1, a timeout up to 3600 s are needed",
            ));
        }
        // Two parts of a program may do this; the first one counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs_f64(settings.timeout))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| Error::internal(format!("cannot start the HTTP client: {e}")))?;
        Ok(Self { client, address, settings, api_key: api_key.map(Arc::from), meter })
    }

    /// As [`new`](Self::new), with the key of the environment variable `OPENAI_API_KEY`, if it is set.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_env(settings: OpenAiSettings, meter: Arc<Meter>) -> Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "a `from_env` constructor reads the environment")]
        let key = std::env::var(Self::KEY_VARIABLE).ok().filter(|key| !key.is_empty());
        Self::new(settings, key.as_deref(), meter)
    }

    fn body(&self, prompt: &Prompt, jpeg: &[u8]) -> Value {
        let picture = format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(jpeg));
        let mut body = json!({
            "model": self.settings.model,
            "max_tokens": self.settings.max_tokens,
            "temperature": 0,
            "stream": false,
            "messages": [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": [
                    {"type": "image_url", "image_url": {"url": picture}},
                    {"type": "text", "text": prompt.user},
                ]},
            ],
        });
        if self.settings.tools {
            body["tools"] = json!([{"type": "function", "function": {
                "name": CAPTION_TOOL,
                "description": "Records the caption of the picture.",
                "parameters": prompt.schema,
            }}]);
            body["tool_choice"] = json!({"type": "function", "function": {"name": CAPTION_TOOL}});
        }
        body
    }

    async fn post(&self, body: &Value) -> Result<Reply> {
        let mut request = self.client.post(self.address.clone()).json(body);
        if let Some(key) = &self.api_key {
            request = request.bearer_auth(key);
        }
        let mut response = request.send().await.map_err(|e| self.lost(&e))?;
        let status = response.status();
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.lost(&e))? {
            if text.len() + chunk.len() > MAX_ANSWER {
                return Err(Error::new(ErrorKind::Decode, "the server's answer is larger than any caption"));
            }
            text.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            return Err(self.refused(status, &text));
        }
        serde_json::from_slice(&text).map_err(|e| {
            Error::new(ErrorKind::Unavailable, format!("the answer of {} is no JSON: {e}", self.address))
        })
    }

    fn lost(&self, e: &reqwest::Error) -> Error {
        let kind = if e.is_timeout() { ErrorKind::Timeout } else { ErrorKind::Unavailable };
        let what = match kind {
            ErrorKind::Timeout => format!("did not answer in {} s", self.settings.timeout),
            _ if e.is_connect() => "cannot be reached; is the server running?".to_owned(),
            _ => "broke its answer off".to_owned(),
        };
        Error::new(kind, format!("{} {what}", self.address))
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Error {
        let words = serde_json::from_slice::<Value>(body).ok().and_then(|v| {
            let error = v.get("error").unwrap_or(&v);
            error.get("message").unwrap_or(error).as_str().map(str::to_owned)
        });
        let words = words.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
        let words: String = words.chars().filter(|c| !c.is_control()).take(MAX_WORDS).collect();
        // Some servers repeat the key that they refuse.
        let words = match &self.api_key {
            Some(key) => words.replace(&**key, "***"),
            None => words,
        };
        let lower = words.to_lowercase();
        let kind = match status.as_u16() {
            _ if lower.contains("content filter") || lower.contains("content_filter") => {
                ErrorKind::ContentFiltered
            }
            401 | 403 => ErrorKind::PermissionDenied,
            402 => ErrorKind::QuotaExceeded,
            404 => ErrorKind::NotFound,
            408 => ErrorKind::Timeout,
            429 if lower.contains("quota") => ErrorKind::QuotaExceeded,
            429 => ErrorKind::Throttled,
            500.. | 424 => ErrorKind::Unavailable,
            300..=399 => ErrorKind::Config,
            _ => ErrorKind::InvalidInput,
        };
        let hint = match kind {
            ErrorKind::NotFound => "; is the model there, and does base_url end in /v1?",
            ErrorKind::PermissionDenied => "; is OPENAI_API_KEY set?",
            ErrorKind::Config => "; it points elsewhere: give that address as base_url",
            _ => "",
        };
        Error::new(kind, format!("{} answered {}: {words}{hint}", self.address, status.as_u16()))
    }

    fn item(&self) -> String {
        format!("openai/{}", self.settings.model)
    }
}

impl fmt::Debug for OpenAiModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiModel").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[async_trait]
impl VisionModel for OpenAiModel {
    fn info(&self) -> ProviderInfo {
        let OpenAiSettings { max_tokens, tools, .. } = self.settings;
        ProviderInfo::new("openai", &self.settings.model)
            .settings(format!("openai-v1 {} tokens={max_tokens} tools={tools}", self.address))
    }

    /// Servers of one's own cost nothing that is known here; a price table may say otherwise.
    fn price(&self) -> Option<f64> {
        Some(self.meter.prices().cost(&self.item(), &self.usage_of_one()).unwrap_or(0.0))
    }

    fn usage_of_one(&self) -> Usage {
        Usage { requests: 1, images: 1, input_tokens: 1_500, output_tokens: 120, ..Usage::default() }
    }

    fn fit(&self) -> Fit {
        Fit { longer: 1536, shorter: 1024, quality: 90, bytes: 8 << 20 }
    }

    async fn ask(&self, prompt: &Prompt, jpeg: Vec<u8>) -> Result<Told> {
        let body = self.body(prompt, &jpeg);
        let item = self.item();
        let retry = Retry { attempts: self.settings.attempts, ..Retry::default() };
        let (reply, used) = retry
            .run(|| async {
                let charge = self.meter.begin(&item, &self.usage_of_one())?;
                let reply = self.post(&body).await?;
                let used = reply.used();
                charge.settle(&used);
                Ok((reply, used))
            })
            .await?;
        let usd = self.meter.prices().cost(&item, &used).unwrap_or(0.0);
        Ok(Told { answer: reply.understood(), usage: Usage { usd, ..used } })
    }
}

/// What is read of an answer; everything may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reply {
    choices: Vec<Choice>,
    usage: Option<Tokens>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    message: Option<Words>,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Words {
    /// A string, or a list of parts with texts.
    content: Value,
    refusal: Option<String>,
    tool_calls: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tokens {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

impl Reply {
    fn used(&self) -> Usage {
        let tokens = |count: Option<u64>| count.unwrap_or(0);
        let usage = self.usage.as_ref();
        Usage {
            requests: 1,
            images: 1,
            input_tokens: tokens(usage.and_then(|u| u.prompt_tokens)),
            output_tokens: tokens(usage.and_then(|u| u.completion_tokens)),
            ..Usage::default()
        }
    }

    fn understood(&self) -> Answer {
        let Some(choice) = self.choices.first() else {
            return Answer::Unreadable("the server gave no choice".to_owned());
        };
        match choice.finish_reason.as_deref() {
            Some("length") => {
                return Answer::Unreadable("the answer was cut off: max_tokens is too low".to_owned());
            }
            Some("content_filter") => {
                return Answer::Refused("the content filter took the answer".to_owned());
            }
            _ => {}
        }
        let Some(words) = &choice.message else {
            return Answer::Unreadable("the server gave no message".to_owned());
        };
        if let Some(refusal) = words.refusal.as_ref().filter(|r| !r.is_empty()) {
            return Answer::Refused(refusal.clone());
        }
        if let Some(input) = words.tool_calls.pointer("/0/function/arguments") {
            return Answer::of_tool(input);
        }
        match &words.content {
            Value::String(text) => Answer::of_text(text),
            Value::Array(parts) => {
                let texts: Vec<&str> = parts.iter().filter_map(|p| p["text"].as_str()).collect();
                Answer::of_text(&texts.join("\n"))
            }
            _ => Answer::Unreadable("the answer is empty".to_owned()),
        }
    }
}
