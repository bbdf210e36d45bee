//! Images drawn by Amazon Nova Canvas, or by a model that was trained from it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{StreamExt, stream};
use image::RgbImage;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::calls::{Bedrock, price_item};
use crate::{
    aws::AwsContext,
    crop::to_png,
    error::{AtStage, Error, ErrorKind, Result, Stage},
    generate::Generator,
    layers::Meter,
    source::picture_limits,
    types::{GenerateRequest, Generated, ProviderInfo, Usage},
};

/// Drawing takes longer than other answers.
const LONGEST_ANSWER: Duration = Duration::from_mins(5);
/// Images drawn side by side.
const AT_ONCE: usize = 4;
/// The last seed.
const LAST_SEED: u64 = 2_147_483_646;
/// Pixels that an image stays below.
const PIXELS: u64 = 4_194_304;
/// Images of a side up to this are the cheaper ones.
const SMALL: u32 = 1024;
/// What one image uses.
const ONE: Usage =
    Usage { requests: 1, images: 1, input_tokens: 0, output_tokens: 0, usd: 0.0, unpriced_requests: 0 };

/// The looks that the model knows by name: Nova user guide, "Image generation request and response structure".
const STYLES: [&str; 8] = [
    "3D_ANIMATED_FAMILY_FILM",
    "DESIGN_SKETCH",
    "FLAT_VECTOR_ILLUSTRATION",
    "GRAPHIC_NOVEL_ILLUSTRATION",
    "MAXIMALISM",
    "MIDCENTURY_RETRO",
    "PHOTOREALISM",
    "SOFT_DIGITAL_PAINTING",
];

/// What an image keeps of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Its edges.
    Edges,
    /// Its regions.
    Regions,
}

/// A picture whose composition images follow.
#[derive(Clone, Debug)]
pub struct Guide {
    /// The picture.
    pub image: Arc<RgbImage>,
    /// What is followed.
    pub control: Control,
    /// How closely, 0 to 1; the service's own default is 0.7.
    pub strength: f32,
}

/// What the model is told beyond the request.
#[derive(Clone, Debug)]
pub struct CanvasSettings {
    /// How closely the prompt is followed, 1.1 to 10.
    pub cfg_scale: f32,
    /// Whether the better, dearer quality is drawn.
    pub premium: bool,
    /// A look that the model knows by name, for example `FLAT_VECTOR_ILLUSTRATION`. A trained model has its own.
    pub style: Option<String>,
    /// A picture whose composition is followed.
    pub guide: Option<Guide>,
}

impl Default for CanvasSettings {
    /// Closely, in the better quality: as storyboards of characters are drawn.
    fn default() -> Self {
        Self { cfg_scale: 8.0, premium: true, style: None, guide: None }
    }
}

/// Draws by Nova Canvas: a model's id, or the ARN of the throughput that serves a trained one.
///
/// Each image is one request with its own seed, so that it can be drawn again alone.
///
/// ```no_run
/// # async fn f(context: picchu::aws::AwsContext) -> picchu::Result<()> {
/// use std::sync::Arc;
/// use picchu::{Generator, aws::bedrock::{CanvasGenerator, CanvasSettings}, layers::Meter, types::GenerateRequest};
/// let meter = Arc::new(Meter::default().budget(2.0));
/// let canvas =
///     CanvasGenerator::new(&context, "amazon.nova-canvas-v1:0", CanvasSettings::default(), Arc::clone(&meter))?;
/// let request = GenerateRequest {
///     prompt: "Mayu waves".into(), negative_prompt: None, count: 1, seed: 7, width: 1024, height: 1024,
/// };
/// println!("{:?} US dollars", canvas.price(&request));
/// canvas.generate(&request).await?;
/// println!("{:.2} US dollars", meter.total().usd);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct CanvasGenerator {
    bedrock: Bedrock,
    settings: CanvasSettings,
    /// The guide as requests carry it.
    guide: Option<String>,
}

impl CanvasGenerator {
    /// What is kept out of images where nobody says otherwise.
    pub const NEGATIVE: &'static str =
        "ugly, deformed, extra limbs, extra fingers, blurry, text, watermark, logo";

    /// A generator by a model, whose images are counted by a meter.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for settings out of range.
    pub fn new(
        context: &AwsContext,
        model: &str,
        settings: CanvasSettings,
        meter: Arc<Meter>,
    ) -> Result<Self> {
        if !(1.1..=10.0).contains(&settings.cfg_scale) {
            return Err(Error::invalid(format!("cfg_scale is {}; it must be 1.1 to 10", settings.cfg_scale))
                .at(Stage::Generate));
        }
        if let Some(style) = settings.style.as_deref().filter(|style| !STYLES.contains(style)) {
            let known = STYLES.join(", ");
            return Err(Error::invalid(format!("there is no style {style:?}: {known}")).at(Stage::Generate));
        }
        let guide = match &settings.guide {
            Some(guide) if !(0.0..=1.0).contains(&guide.strength) => {
                return Err(Error::invalid(format!(
                    "a guide's strength is {}; it must be 0 to 1",
                    guide.strength
                ))
                .at(Stage::Generate));
            }
            Some(guide) => Some(BASE64_STANDARD.encode(to_png(&guide.image).at(Stage::Generate)?)),
            None => None,
        };
        let bedrock = Bedrock::new(&context.with_longest_answer(LONGEST_ANSWER), model, meter);
        Ok(Self { bedrock: bedrock.at(Stage::Generate)?, settings, guide })
    }

    /// The entry of the price table for an image: by quality and size, or by the deployment, which bills by the hour.
    fn item(&self, request: &GenerateRequest) -> String {
        let model = self.bedrock.model();
        if model.contains(":provisioned-model/") {
            return "bedrock/provisioned".into();
        }
        let quality = if self.settings.premium { "premium" } else { "standard" };
        let size = if request.width.max(request.height) <= SMALL { "1024" } else { "2048" };
        format!("{}/{quality}-{size}", price_item(model))
    }

    /// The body of the request for one image.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for what the model does not take.
    pub fn body(&self, request: &GenerateRequest) -> Result<Value> {
        check(request)?;
        let negative = request.negative_prompt.as_deref().unwrap_or(Self::NEGATIVE);
        let mut words = json!({"text": request.prompt});
        // An empty text is refused; leaving it out is not.
        if !negative.is_empty() {
            words["negativeText"] = negative.into();
        }
        if let Some(style) = &self.settings.style {
            words["style"] = style.as_str().into();
        }
        if let (Some(guide), Some(image)) = (&self.settings.guide, &self.guide) {
            words["conditionImage"] = image.as_str().into();
            words["controlMode"] = match guide.control {
                Control::Edges => "CANNY_EDGE".into(),
                Control::Regions => "SEGMENTATION".into(),
            };
            words["controlStrength"] = plain(guide.strength);
        }
        Ok(json!({
            "taskType": "TEXT_IMAGE",
            "textToImageParams": words,
            "imageGenerationConfig": {
                "numberOfImages": 1,
                "width": request.width,
                "height": request.height,
                "quality": if self.settings.premium { "premium" } else { "standard" },
                "cfgScale": plain(self.settings.cfg_scale),
                "seed": request.seed,
            },
        }))
    }

    /// The request for one image as `aws bedrock-runtime invoke-model --cli-input-json` takes it: the body in base64.
    ///
    /// # Errors
    /// As [`body`](Self::body).
    pub fn cli_input(&self, request: &GenerateRequest) -> Result<Value> {
        Ok(json!({
            "modelId": self.bedrock.model(),
            "contentType": "application/json",
            "accept": "application/json",
            "body": BASE64_STANDARD.encode(self.body(request)?.to_string()),
        }))
    }

    async fn one(&self, request: GenerateRequest) -> Result<Generated> {
        let body = self.body(&request)?;
        // What was blocked is answered without an image, and counts as none.
        let used =
            |answer: &Value| Usage { images: answer["images"].as_array().map_or(0, Vec::len) as u64, ..ONE };
        let (answer, _) = self.bedrock.invoke_as(&self.item(&request), &body, &ONE, used).await?;
        let answer: Answer = serde_json::from_value(answer).map_err(|e| {
            Error::new(ErrorKind::Unavailable, format!("the model's answer is not understood: {e}"))
        })?;
        // An error within an answer of status 200: the image was blocked.
        let Some(image) = answer.images.into_iter().flatten().next() else {
            let why = answer.error.unwrap_or_else(|| "the model drew nothing and gave no reason".into());
            return Err(Error::new(ErrorKind::ContentFiltered, why));
        };
        let image = crate::blocking(move || decode(&image)).await?;
        Ok(Generated { image: Arc::new(image), request, model: self.bedrock.model().to_owned() })
    }
}

/// As text and back, so that 8.1 does not become 8.100000381.
fn plain(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

#[derive(Debug, Deserialize)]
struct Answer {
    images: Option<Vec<String>>,
    error: Option<String>,
}

fn decode(base64: &str) -> Result<RgbImage> {
    let fail = |why: String| Error::new(ErrorKind::Decode, format!("the drawn image cannot be read: {why}"));
    let body = BASE64_STANDARD.decode(base64).map_err(|e| fail(e.to_string()))?;
    let mut reader = image::ImageReader::new(std::io::Cursor::new(body))
        .with_guessed_format()
        .map_err(|e| fail(e.to_string()))?;
    reader.limits(picture_limits());
    Ok(reader.decode().map_err(|e| fail(e.to_string()))?.into_rgb8())
}

fn check(request: &GenerateRequest) -> Result<()> {
    let refuse = |why: String| Err(Error::invalid(why));
    let texts = [("prompt", Some(&request.prompt)), ("negative prompt", request.negative_prompt.as_ref())];
    for (name, text) in texts {
        let chars = text.map_or(1, |text| text.chars().count());
        if chars > 1024 || (chars == 0 && name == "prompt") {
            return refuse(format!("the {name} has {chars} characters; 1 to 1024 are possible"));
        }
    }
    let (width, height) = (request.width, request.height);
    if [width, height].iter().any(|side| !(320..=4096).contains(side) || !side.is_multiple_of(16)) {
        return refuse(format!("{width}×{height}: sides are 320 to 4096 pixels, in steps of 16"));
    }
    if width.max(height) > 4 * width.min(height) || u64::from(width) * u64::from(height) > PIXELS {
        return refuse(format!("{width}×{height}: at most four times as long as wide, and {PIXELS} pixels"));
    }
    if request.seed + u64::from(request.count.max(1)) - 1 > LAST_SEED {
        return refuse(format!("seeds go from 0 to {LAST_SEED}"));
    }
    Ok(())
}

#[async_trait]
impl Generator for CanvasGenerator {
    fn info(&self) -> ProviderInfo {
        let CanvasSettings { cfg_scale, premium, style, guide } = &self.settings;
        let mut settings = vec![format!("cfg {cfg_scale} premium {premium}")];
        settings.extend(style.as_ref().map(|style| format!("style {style}")));
        if let (Some(guide), Some(image)) = (guide, &self.guide) {
            let hash = crate::source::sha256_string(Sha256::new_with_prefix(image));
            settings.push(format!("guide {:?} {} {hash}", guide.control, guide.strength));
        }
        ProviderInfo::new("bedrock", self.bedrock.model()).settings(settings.join(" "))
    }

    fn price(&self, request: &GenerateRequest) -> Option<f64> {
        self.bedrock.price_as(&self.item(request), &ONE.times(request.count.into()))
    }

    async fn generate(&self, request: &GenerateRequest) -> Result<Vec<Generated>> {
        check(request).at(Stage::Generate)?;
        let ones = (0..u64::from(request.count)).map(|n| GenerateRequest {
            seed: request.seed + n,
            count: 1,
            ..request.clone()
        });
        let drawn: Vec<Result<Generated>> =
            stream::iter(ones).map(|one| self.one(one)).buffered(AT_ONCE).collect().await;
        let (mut images, mut blocked) = (Vec::new(), None);
        for one in drawn {
            match one {
                Ok(image) => images.push(image),
                Err(e) if e.kind() == ErrorKind::ContentFiltered => blocked = Some(e),
                Err(e) => return Err(e.with_provider("bedrock").at(Stage::Generate)),
            }
        }
        match blocked {
            Some(e) if images.is_empty() => Err(e.with_provider("bedrock").at(Stage::Generate)),
            _ => Ok(images),
        }
    }
}
