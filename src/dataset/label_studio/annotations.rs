//! What people answered in Label Studio, read from its export.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{
    ACCEPT, BOX, CAPTION, CHARACTER, REASON, REJECT, VERDICT,
    config::{choice, choices},
};
use crate::{
    dataset::Dataset,
    error::{AtStage, Error, ErrorKind, Result, Stage},
    review::{Form, Shown, parse_moment},
    types::Review,
};

/// The decisions of an export.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// For [`merge_reviews`](Dataset::merge_reviews), oldest first. Several people who annotated one task have decisions
    /// each; where they differ, the merge tells.
    pub reviews: Vec<Review>,
    /// Tasks that nobody annotated.
    pub unanswered: usize,
    /// Annotations that somebody skipped or cancelled: no decisions.
    pub skipped: usize,
    /// Annotations in which nothing was said.
    pub empty: usize,
}

#[derive(Debug, Deserialize)]
struct Task {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    meta: Value,
    annotations: Option<Vec<Annotation>>,
}

#[derive(Debug, Deserialize)]
struct Annotation {
    #[serde(default)]
    completed_by: Value,
    #[serde(default)]
    was_cancelled: bool,
    created_at: Option<String>,
    updated_at: Option<String>,
    #[serde(default)]
    result: Vec<Region>,
}

#[derive(Debug, Deserialize)]
struct Region {
    #[serde(default)]
    from_name: String,
    #[serde(default)]
    value: Value,
}

impl Dataset {
    /// Reads annotations from Label Studio's export in the format *JSON*; `name` is the file's, for messages. Answers that
    /// leave a name or a caption as the task showed it change nothing, and moved boxes are not taken over: images are cut
    /// anew on picchu's own page. Reviewers are called by their e-mail addresses, or by `label-studio:` and their number.
    /// Reading the same annotations again gives the same decisions, which a merge counts once.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for what is no such export, or for answers that the project's interface
    /// does not give; [`NotFound`](ErrorKind::NotFound) for a task about a record that the dataset does not have. The
    /// message names the task.
    pub fn read_label_studio(&self, body: &[u8], name: &str) -> Result<Answers> {
        self.answers(body).map_err(|e| e.with_context("file", name)).at(Stage::Review)
    }

    fn answers(&self, body: &[u8]) -> Result<Answers> {
        let tasks: Vec<Value> = serde_json::from_slice(body).map_err(|e| {
            Error::invalid(format!("this is not what Label Studio exports as JSON, a list of tasks: {e}"))
        })?;
        let characters = choices(self)?;
        let mut answers = Answers::default();
        for (number, task) in tasks.into_iter().enumerate() {
            let place = format!("number {} of the file", number + 1);
            let task: Task = serde_json::from_value(task).map_err(|e| {
                Error::invalid(format!("the task is not understood: {e}")).with_context("task", &place)
            })?;
            let place = if task.id.is_null() { place } else { task.id.to_string() };
            self.read_task(&task, &characters, &mut answers).map_err(|e| e.with_context("task", place))?;
        }
        answers.reviews.sort_by_key(|review| review.time_ms);
        Ok(answers)
    }

    fn read_task(
        &self,
        task: &Task,
        characters: &BTreeMap<String, String>,
        answers: &mut Answers,
    ) -> Result<()> {
        let Some(annotations) = &task.annotations else {
            return Err(Error::invalid(
                "it has no list of annotations: export the project as JSON, not as JSON-MIN or in another format",
            ));
        };
        let record = self.record_of(task)?;
        let text = |field: &str| task.data.get(field).and_then(Value::as_str).map(str::to_owned);
        let shown = Shown { character: text(CHARACTER), caption: text(CAPTION) };
        if annotations.is_empty() {
            answers.unanswered += 1;
        }
        for annotation in annotations {
            if annotation.was_cancelled {
                answers.skipped += 1;
                continue;
            }
            let form = form(annotation, &shown, characters)?;
            let reviews = form.reviews(&record, &shown, &who(&annotation.completed_by), when(annotation)?)?;
            answers.empty += usize::from(reviews.is_empty());
            answers.reviews.extend(reviews);
        }
        Ok(())
    }

    /// The record that a task is about: `data` says, or `meta` where somebody cut the data down.
    fn record_of(&self, task: &Task) -> Result<String> {
        let said = |value: &Value| value.get("record").and_then(Value::as_str).map(str::to_owned);
        let id = match (said(&task.data), said(&task.meta)) {
            (Some(data), Some(meta)) if data != meta => {
                return Err(Error::invalid(format!(
                    "its data is about record {data:?}, its meta about {meta:?}"
                )));
            }
            (Some(id), _) | (None, Some(id)) => id,
            (None, None) => {
                return Err(Error::invalid("it names no record: it was not made by picchu"));
            }
        };
        if self.get(&id).is_none() {
            let message = format!("this dataset has no record {id:?}: the task was made from another one");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        Ok(id)
    }
}

fn form(annotation: &Annotation, shown: &Shown, characters: &BTreeMap<String, String>) -> Result<Form> {
    let mut form = Form::default();
    for region in &annotation.result {
        let name = region.from_name.as_str();
        match name {
            VERDICT => {
                form.good = match one(region, "choices")?.as_deref() {
                    Some(ACCEPT) => Some(true),
                    Some(REJECT) => Some(false),
                    None => None,
                    Some(other) => {
                        return Err(Error::invalid(format!("{other:?} is no verdict: {ACCEPT} or {REJECT}")));
                    }
                }
            }
            REASON => form.reason = one(region, "choices")?,
            CHARACTER => {
                // A name that is not in the dataset was added to the interface by hand: it is taken as it is.
                let chosen = one(region, "choices")?;
                form.character = chosen.map(|chosen| characters.get(&chosen).cloned().unwrap_or(chosen));
            }
            CAPTION => form.caption = one(region, "text")?,
            BOX => {}
            other => {
                return Err(Error::invalid(format!("there is no control {other:?} in picchu's interface")));
            }
        }
    }
    // The choice of a name that Label Studio cannot show as it is, left as it was.
    if let (Some(chosen), Some(before)) = (&form.character, &shown.character)
        && choice(before) == choice(chosen)
    {
        form.character = None;
    }
    Ok(form)
}

/// The one text of an answer: Label Studio gives a list, or the text itself.
fn one(region: &Region, field: &str) -> Result<Option<String>> {
    let wrong = |what: &str| Error::invalid(format!("the answer to {:?} is {what}", region.from_name));
    match region.value.get(field) {
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Array(texts)) => match texts.as_slice() {
            [] => Ok(None),
            [Value::String(text)] => Ok(Some(text.clone())),
            [_] => Err(wrong("not a text")),
            several => Err(wrong(&format!("{} texts; one is asked for", several.len()))),
        },
        _ => Err(wrong("not a text")),
    }
}

/// Who annotated: a number, or an object with what the server tells of people.
fn who(completed_by: &Value) -> String {
    let named = completed_by.get("email").and_then(Value::as_str).filter(|email| !email.trim().is_empty());
    let number = completed_by.as_u64().or_else(|| completed_by.get("id")?.as_u64());
    match (named, number) {
        (Some(email), _) => email.trim().chars().take(200).collect(),
        (None, Some(number)) => format!("label-studio:{number}"),
        (None, None) => "label-studio".into(),
    }
}

/// When the annotation came to say what it says.
fn when(annotation: &Annotation) -> Result<u64> {
    let Some(text) = annotation.updated_at.as_ref().or(annotation.created_at.as_ref()) else {
        return Err(Error::invalid("an annotation does not say when it was made"));
    };
    parse_moment(text)
        .ok_or_else(|| Error::invalid(format!("an annotation was made at {text:?}, which is no time")))
}
