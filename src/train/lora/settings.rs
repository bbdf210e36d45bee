//! What the program is told: hyperparameters, checked as it checks them, and where things lie.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result, Stage};

pub(super) const HYPERPARAMETERS: &str = include_str!("../../../python/picchu/training/hyperparameters.json");
pub(super) const LICENCES: &str = include_str!("../../../python/picchu/training/licences.json");

/// What may be set, and to what.
#[derive(Debug, Deserialize)]
struct Rule {
    default: Value,
    from: Option<f64>,
    to: Option<f64>,
    words: Option<Vec<String>>,
}

static KNOWN_LICENCES: LazyLock<BTreeMap<String, String>> =
    LazyLock::new(|| serde_json::from_str(LICENCES).expect("a file of the program"));

static RULES: LazyLock<BTreeMap<String, Rule>> =
    LazyLock::new(|| serde_json::from_str(HYPERPARAMETERS).expect("a file of the program"));

/// Hyperparameters of a LoRA: those that the user set, each checked, over the program's defaults.
///
/// ```
/// use picchu::train::lora::LoraSettings;
/// let set = [("rank".to_owned(), "32".to_owned())].into();
/// let settings = LoraSettings::new(&set)?;
/// assert_eq!((settings.number("rank"), settings.number("steps")), (32.0, 1500.0));
/// assert!(LoraSettings::new(&[("rank".to_owned(), "0".to_owned())].into()).is_err());
/// # Ok::<(), picchu::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LoraSettings(BTreeMap<String, Value>);

impl LoraSettings {
    /// From texts, as a [`TrainingSpec`](crate::types::TrainingSpec) holds them.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) says which is wrong, and what is taken.
    pub fn new(texts: &BTreeMap<String, String>) -> Result<Self> {
        texts
            .iter()
            .map(|(name, text)| {
                let Some(rule) = RULES.get(name) else {
                    let names: Vec<_> = RULES.keys().map(String::as_str).collect();
                    return Err(invalid(format!(
                        "there is no hyperparameter {name:?}; there are {}",
                        names.join(", ")
                    )));
                };
                Ok((name.clone(), rule.read(name, text)?))
            })
            .collect::<Result<_>>()
            .map(Self)
    }

    /// A hyperparameter that is a number.
    ///
    /// # Panics
    /// Where there is none of that name.
    pub fn number(&self, name: &str) -> f64 {
        self.0.get(name).unwrap_or_else(|| &RULES[name].default).as_f64().expect("a number")
    }

    /// Pictures that all steps look at, on one device.
    pub fn pictures_seen(&self) -> u64 {
        ["steps", "batch_size", "gradient_accumulation"].map(|name| self.number(name) as u64).iter().product()
    }

    /// The given hyperparameters, with how long to train by how many pictures there are where that is not given; why so long
    /// then.
    pub fn suggested(
        pictures: usize,
        given: &BTreeMap<String, String>,
    ) -> (BTreeMap<String, String>, Option<String>) {
        let mut values = given.clone();
        if values.contains_key("steps") {
            return (values, None);
        }
        // What people who train characters report: too few looks and the character is not met, too many and its pictures
        // are drawn again.
        let steps = (pictures * 40).clamp(600, 4000);
        let looks = steps / pictures.max(1);
        values.insert("steps".to_owned(), steps.to_string());
        let reason = format!(
            "{pictures} pictures: {steps} steps, so that each is looked at about {looks} times; compare the checkpoints \
             with `picchu evaluate`"
        );
        (values, Some(reason))
    }
}

impl Rule {
    fn read(&self, name: &str, text: &str) -> Result<Value> {
        let value = match &self.default {
            Value::String(_) => Some(Value::from(text)),
            Value::Bool(_) => text.parse::<bool>().ok().map(Value::from),
            Value::Number(number) if number.is_u64() => text.parse::<u64>().ok().map(Value::from),
            _ => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
        };
        let fits = |value: &Value| match (value.as_f64(), self.from, self.to, &self.words) {
            (Some(number), Some(from), Some(to), _) => (from..=to).contains(&number),
            (_, _, _, Some(words)) => words.iter().any(|word| value == word),
            _ => true,
        };
        value.filter(fits).ok_or_else(|| {
            let taken = match (self.from, self.to, &self.words) {
                (Some(from), Some(to), _) => format!("from {from} to {to}"),
                (_, _, Some(words)) => words.join(", "),
                _ => "true, false".into(),
            };
            invalid(format!("{name} is {text:?}; taken is {taken}"))
        })
    }
}

fn invalid(message: String) -> Error {
    Error::invalid(message).at(Stage::Train)
}

/// One run: where things lie for the program, and what its card says.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LoraRun {
    /// Folder with `metadata.jsonl` and the images.
    pub dataset: String,
    /// Folder for results.
    pub output: String,
    /// Folder for checkpoints; in the output where it is empty.
    pub checkpoints: String,
    /// The base model: a folder, an `s3://` address, an id of the hub, or `random:NAME`.
    pub base_model: String,
    /// Branch, tag or commit on the hub; empty for the newest.
    pub revision: String,
    /// Licence of the base model; empty where the program is to look.
    pub licence: String,
    /// Name of the result.
    pub name: String,
    /// Where the dataset came from, for the card.
    pub lineage: BTreeMap<String, Value>,
    /// What sample images show.
    pub sample_prompts: Vec<String>,
}

impl LoraRun {
    /// The program's `settings.json`.
    pub fn to_json(&self, settings: &LoraSettings) -> String {
        let mut values = match json!(self) {
            Value::Object(values) => values,
            _ => Map::new(),
        };
        values.extend(settings.0.clone());
        format!("{:#}\n", Value::Object(values))
    }
}

/// The licence of a base model, where it is known: as the user gives it, else as its publisher states it.
pub fn licence_of(base_model: &str, given: &str) -> Option<String> {
    let known = || KNOWN_LICENCES.get(base_model).cloned();
    let random = || base_model.starts_with("random:").then(|| "none: random weights".to_owned());
    (!given.is_empty()).then(|| given.to_owned()).or_else(random).or_else(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<LoraSettings> {
        LoraSettings::new(&[(name.to_owned(), text.to_owned())].into())
    }

    #[test]
    fn values_are_checked_and_refused_in_words() {
        for (name, text) in
            [("rank", "4"), ("learning_rate", "1e-5"), ("schedule", "cosine"), ("buckets", "false")]
        {
            read(name, text).unwrap();
        }
        for (name, text, says) in [
            ("rank", "0", "rank is \"0\"; taken is from 1 to 1024"),
            ("rank", "4.5", "from 1 to 1024"),
            ("learning_rate", "NaN", "from 0.000000001 to 1"),
            ("schedule", "step", "constant, linear, cosine"),
            ("buckets", "yes", "true, false"),
            ("ranks", "4", "there is no hyperparameter \"ranks\"; there are alpha, "),
        ] {
            let e = read(name, text).unwrap_err();
            assert!(e.message().contains(says), "{e}");
        }
    }

    #[test]
    fn settings_go_to_the_program_as_their_types() {
        let run = LoraRun { dataset: "in".into(), output: "out".into(), ..LoraRun::default() };
        let text = run.to_json(&read("learning_rate", "2e-4").unwrap());
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["dataset"], &value["learning_rate"]), (&json!("in"), &json!(2e-4)));
        assert_eq!(value.get("rank"), None);
        assert_eq!(read("batch_size", "4").unwrap().pictures_seen(), 6000);
    }

    #[test]
    fn licences_are_known_of_the_models_that_are_offered() {
        assert_eq!(licence_of(super::super::BASE_MODEL, "").as_deref(), Some("apache-2.0"));
        assert_eq!(licence_of("some/model", "mine").as_deref(), Some("mine"));
        assert_eq!(licence_of("some/model", ""), None);
    }
}
