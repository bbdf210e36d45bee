//! What a job's container is given: the training program, the script that runs it, the settings, the panels.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::settings::SageMakerSettings;
use crate::{
    error::{Error, Result},
    store::{Key, PutMode, Store},
    train::lora::{LoraRun, LoraSettings, PACKAGE, PROGRAM, REQUIREMENTS, WEIGHTS, licence_of},
    types::{GenerateRequest, TrainingSpec},
};

/// The root of everything that SageMaker lays into a container.
pub(super) const ROOT: &str = "/opt/ml";
/// What the container runs.
pub(super) const ENTRY: [&str; 2] = ["sh", "/opt/ml/input/data/program/start.sh"];
/// The channel of a base model that comes from S3.
pub(super) const MODEL_CHANNEL: &str = "model";
/// The folder of the program within a job's own folder.
pub(super) const PROGRAM_FOLDER: &str = "program";

const START: &str = include_str!("start.sh");
const INFERENCE: &str = include_str!("inference.py");

/// Files sent at once.
const AT_ONCE: usize = 8;

/// Every file of the channel `program`, by its name in it.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) for hyperparameters that the program does not take.
pub(super) fn files(spec: &TrainingSpec, settings: &SageMakerSettings) -> Result<Vec<(String, Bytes)>> {
    let lora = LoraSettings::new(&spec.hyperparameters)?;
    // Relative to the root, which is the script's working directory.
    let base = if spec.base_model.starts_with("s3://") { "input/data/model" } else { &spec.base_model };
    let run = LoraRun {
        dataset: "input/data/dataset".into(),
        output: "work/run".into(),
        checkpoints: "checkpoints".into(),
        base_model: base.into(),
        revision: settings.revision.clone(),
        licence: licence_of(&spec.base_model, &settings.licence).unwrap_or_default(),
        name: spec.name.clone(),
        lineage: lineage(spec),
        sample_prompts: settings.sample_prompts.clone(),
    };
    let mut files: Vec<(String, Bytes)> = PROGRAM
        .iter()
        .map(|(name, text)| (format!("{PACKAGE}/{name}"), Bytes::from_static(text.as_bytes())))
        .collect();
    for (name, text) in [("start.sh", START), ("inference.py", INFERENCE), ("requirements.txt", REQUIREMENTS)]
    {
        files.push((name.into(), Bytes::from_static(text.as_bytes())));
    }
    files.push(("settings.json".into(), Bytes::from(run.to_json(&lora))));
    if let Some(board) = &settings.storyboard {
        let drawing = json!({
            "base_model": base, "revision": settings.revision, "lora": format!("model/{WEIGHTS}"),
            "out": "model/storyboard", "panels": board.requests().map(|r| panel(&r)).collect::<Vec<_>>(),
        });
        files.push(("draw.json".into(), pretty(&drawing)?));
    }
    Ok(files)
}

/// Where the dataset came from, for the model's card.
fn lineage(spec: &TrainingSpec) -> BTreeMap<String, Value> {
    [("dataset", &spec.dataset), ("base model", &spec.base_model), ("token", &spec.client_token)]
        .map(|(name, value)| (name.to_owned(), value.as_str().into()))
        .into()
}

/// What the program is asked for by a request.
pub(super) fn panel(request: &GenerateRequest) -> Value {
    json!({
        "prompt": request.prompt, "negative_prompt": request.negative_prompt.as_deref().unwrap_or_default(),
        "count": request.count, "seed": request.seed, "width": request.width, "height": request.height,
    })
}

fn pretty(value: &Value) -> Result<Bytes> {
    let body = serde_json::to_vec_pretty(value);
    body.map(Bytes::from).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))
}

/// Lays the files into a job's folder. Doing it twice changes nothing.
///
/// # Errors
/// The store's.
pub(super) async fn upload(store: &dyn Store, job: &str, files: Vec<(String, Bytes)>) -> Result<()> {
    let keys = files
        .into_iter()
        .map(|(name, body)| Ok((Key::new(format!("{job}/{PROGRAM_FOLDER}/{name}"))?, body)))
        .collect::<Result<Vec<_>>>()?;
    stream::iter(keys)
        .map(|(key, body)| async move { store.put(&key, body, PutMode::Overwrite).await })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}
