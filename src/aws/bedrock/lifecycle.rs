//! Whether a model may still be used: asked of Bedrock first, and of the published dates where Bedrock knows it no more.

use std::fmt;

use aws_sdk_bedrock::{
    Client,
    types::{FoundationModelLifecycle, FoundationModelLifecycleStatus as Status, ModelCustomization},
};
use aws_smithy_types::DateTime;

use super::{ConverseModel, NovaEmbedder, TitanEmbedder};
use crate::{
    aws::{AwsContext, service_error},
    error::{ErrorKind, Result},
};

/// Where a model stands in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// May be used and trained.
    Active {
        /// When it ends, where that is announced.
        until: Option<String>,
    },
    /// May be used by those who used it already, until it ends. Nothing new may be trained or provisioned on it.
    Legacy {
        /// Since when.
        since: Option<String>,
        /// When it ends.
        until: Option<String>,
    },
    /// Requests fail.
    Ended {
        /// Since when, where that is known.
        since: Option<String>,
    },
}

/// What Bedrock says of a base model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelLife {
    /// The model's id, without the profile of a part of the world.
    pub model: String,
    /// Where it stands.
    pub lifecycle: Lifecycle,
    /// Whether it can be fine-tuned.
    pub fine_tunable: bool,
    /// Whether it draws.
    pub draws: bool,
    /// What does the same work.
    pub instead: Option<&'static str>,
}

/// A model that has ended: its id, since when, and what does the same work. Bedrock itself forgets ended models.
struct Past {
    model: &'static str,
    ended: &'static str,
    instead: &'static str,
}

/// Trainers of image models that are not Bedrock's.
const TRAIN_ELSEWHERE: &str = "an open model trained with what `picchu export --to diffusers`, `kohya` or `ai-toolkit` \
                               writes; Bedrock has no image model that can be fine-tuned";

/// Bedrock user guide, "Model lifecycle", as of 2026-11.
const PAST: [Past; 6] = [
    Past { model: "amazon.nova-canvas-v1", ended: "2026-09-30", instead: TRAIN_ELSEWHERE },
    Past { model: "amazon.titan-image-generator-v2", ended: "2026-06-30", instead: TRAIN_ELSEWHERE },
    Past { model: "amazon.nova-reel-v1:0", ended: "2026-09-30", instead: "no model of Amazon's" },
    Past { model: "amazon.nova-reel-v1:1", ended: "2026-09-30", instead: "no model of Amazon's" },
    Past { model: "amazon.nova-premier-v1", ended: "2026-09-14", instead: "amazon.nova-pro-v1:0" },
    Past { model: "amazon.nova-sonic-v1", ended: "2026-09-14", instead: "no model of Amazon's" },
];

/// What does the work of models that are still alive, should they end.
const SUCCESSORS: [(&str, &str); 4] = [
    ("amazon.titan-embed-image-v1", "amazon.nova-2-multimodal-embeddings-v1:0"),
    ("amazon.nova-2-multimodal-embeddings-v1", "amazon.titan-embed-image-v1"),
    ("amazon.nova-pro-v1", "us.amazon.nova-2-lite-v1:0"),
    ("amazon.nova-lite-v1", "us.amazon.nova-2-lite-v1:0"),
];

/// The models that picchu uses where no other is named.
pub const MODELS: [&str; 4] =
    [TitanEmbedder::MODEL, NovaEmbedder::MODEL, ConverseModel::NOVA_PRO, ConverseModel::NOVA_2_LITE];

/// Asks Bedrock for a model's life. That question is not billed.
///
/// ```no_run
/// # async fn f(context: picchu::aws::AwsContext) -> picchu::Result<()> {
/// let life = picchu::aws::bedrock::model_life(&context, "amazon.nova-canvas-v1:0").await?;
/// println!("{life}");
/// # Ok(()) }
/// ```
///
/// # Errors
/// As the service says; a model that it does not know is [`Ended`](Lifecycle::Ended), not an error, where its end was
/// published, and [`NotFound`](ErrorKind::NotFound) otherwise.
pub async fn model_life(context: &AwsContext, model: &str) -> Result<ModelLife> {
    let model = base_model(model);
    let past = PAST.iter().find(|past| model.starts_with(past.model));
    let successor = SUCCESSORS.iter().find(|(old, _)| model.starts_with(old)).map(|(_, new)| *new);
    let instead = past.map(|past| past.instead).or(successor);
    let client = Client::new(context.sdk());
    let answer = client.get_foundation_model().model_identifier(model).send().await;
    let ended = |since: Option<String>| ModelLife {
        model: model.to_owned(),
        lifecycle: Lifecycle::Ended { since },
        fine_tunable: false,
        draws: false,
        instead,
    };
    let details = match answer.map_err(|e| service_error("bedrock GetFoundationModel", e)) {
        Ok(answer) => answer.model_details,
        Err(e) => {
            return match past {
                // Not all Regions had every model: the dates decide, not the answer's words.
                Some(past)
                    if matches!(
                        e.kind(),
                        ErrorKind::NotFound | ErrorKind::Config | ErrorKind::InvalidInput
                    ) =>
                {
                    Ok(ended(Some(past.ended.to_owned())))
                }
                // The service's own words for a model that it has retired.
                None if e.kind() == ErrorKind::Config && e.message().contains("ResourceNotFound") => {
                    Ok(ended(None))
                }
                _ => Err(e.with_provider("bedrock").with_context("model", model)),
            };
        }
    };
    let Some(details) = details else { return Ok(ended(None)) };
    let life = details.model_lifecycle();
    let day = |time: Option<&DateTime>| time.map(day_of);
    let until = day(life.and_then(|l| l.end_of_life_time()));
    let lifecycle = match life.map(FoundationModelLifecycle::status) {
        Some(Status::Legacy) => Lifecycle::Legacy { since: day(life.and_then(|l| l.legacy_time())), until },
        _ => Lifecycle::Active { until },
    };
    let fine_tunable = details.customizations_supported().contains(&ModelCustomization::FineTuning);
    let draws = details.output_modalities().iter().any(|modality| modality.as_str() == "IMAGE");
    Ok(ModelLife { model: model.to_owned(), lifecycle, fine_tunable, draws, instead })
}

/// The id without an ARN about it and without the profile of a part of the world before it.
fn base_model(model: &str) -> &str {
    let id = model.rsplit('/').next().unwrap_or(model);
    let profile = ["us.", "eu.", "apac.", "jp.", "au.", "ca.", "us-gov.", "global."];
    profile.iter().find_map(|place| id.strip_prefix(place)).unwrap_or(id)
}

fn day_of(time: &DateTime) -> String {
    let text = time.to_string();
    text.split('T').next().unwrap_or(&text).to_owned()
}

impl fmt::Display for ModelLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since =
            |day: &Option<String>| day.as_ref().map_or_else(String::new, |day| format!(" since {day}"));
        let on = |day: &Option<String>| day.as_ref().map_or_else(String::new, |day| format!(" on {day}"));
        let until = |day: &Option<String>| match day {
            Some(day) => format!(", ends {day}"),
            None => ", no end announced".to_owned(),
        };
        match &self.lifecycle {
            Lifecycle::Active { until: end } => write!(f, "{} is active{}", self.model, until(end))?,
            Lifecycle::Legacy { since: from, until: end } => {
                write!(f, "{} is legacy{}{}", self.model, since(from), until(end))?;
            }
            Lifecycle::Ended { since: from } => {
                write!(f, "{} reached the end of its life{}", self.model, on(from))?;
            }
        }
        match self.instead {
            Some(instead) if !matches!(self.lifecycle, Lifecycle::Active { until: None }) => {
                write!(f, "; instead: {instead}")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_and_arns_name_their_model() {
        for (name, model) in [
            ("amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
            ("us.amazon.nova-2-lite-v1:0", "amazon.nova-2-lite-v1:0"),
            (
                "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-canvas-v1:0",
                "amazon.nova-canvas-v1:0",
            ),
            ("arn:aws:bedrock:us-east-1:1:inference-profile/eu.amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
        ] {
            assert_eq!(base_model(name), model);
        }
    }
}
