//! What would make a job fail or waste money, looked for before anything is created.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};

use super::{SageMakerSettings, image::training_image, request::job_folder};
use crate::{
    dataset::export,
    error::{ErrorKind, Result},
    store::{Key, Store},
    train::lora::LoraSettings,
    types::{Finding, PriceTable, TrainingSpec, Unit},
};

/// The dataset's list of images.
pub(super) const METADATA: &str = "metadata.jsonl";
/// Images that a check opens, spread over the dataset.
const OPENED: usize = 64;
/// Images opened at once.
const AT_ONCE: usize = 8;
/// The longest that SageMaker lets a job run, in seconds.
const LONGEST: u64 = 28 * 24 * 60 * 60;

/// What the service, or the program, would refuse without looking at anything.
pub(super) fn request(spec: &TrainingSpec, settings: &SageMakerSettings, region: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Err(e) = LoraSettings::new(&spec.hyperparameters) {
        found.push(Finding::error(e.message(), "set it to what is taken, or leave it out"));
    }
    if settings.image.is_none() && training_image(region).is_none() {
        found.push(Finding::error(
            format!("no container is known for the Region {region}"),
            "give one with --image: an address in ECR that has Python, PyTorch and pip",
        ));
    }
    let folder = job_folder(spec);
    for uri in [&spec.dataset, &spec.output, &folder] {
        if !uri.starts_with("s3://") || uri.len() > 900 || !uri["s3://".len()..].contains('/') {
            found.push(Finding::error(format!("{uri:?} is no folder on S3"), "give s3://bucket/folder"));
        }
    }
    let fits = |t: &String| {
        t.starts_with("ml.")
            && t.len() < 40
            && t.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b))
    };
    match settings.instances.len() {
        0 => found.push(Finding::error(
            "no type of machine is given",
            "give one with --instance, for example ml.g5.2xlarge",
        )),
        1..=5 => {}
        n => found.push(Finding::error(format!("{n} types of machines are given"), "five at most are taken")),
    }
    for wrong in settings.instances.iter().filter(|t| !fits(t)) {
        found.push(Finding::error(
            format!("{wrong:?} is no type of SageMaker's machines"),
            "they begin with ml., for example ml.g5.2xlarge",
        ));
    }
    if settings.spot && settings.instances.len() > 1 {
        found.push(Finding::warning(
            format!("spare capacity is taken of {} alone", settings.instances[0]),
            "SageMaker takes a list of types only without --spot",
        ));
    }
    for (several, least) in [("12xlarge", 4), ("24xlarge", 4), ("48xlarge", 8)] {
        if settings.instances.iter().any(|t| t.ends_with(several)) {
            found.push(Finding::note(
                format!("a machine with {several} has {least} GPUs or more, and the program uses one"),
                "a smaller machine with the same GPU costs less",
            ));
        }
    }
    let (runtime, wait) = (settings.max_runtime.as_secs(), settings.max_wait().as_secs());
    if runtime == 0 || runtime > LONGEST {
        found.push(Finding::error(format!("a job of {runtime} seconds"), "it may run up to 28 days"));
    }
    if settings.spot && (wait < runtime || wait > LONGEST) {
        found.push(Finding::error(
            format!("the job may run {runtime} seconds, and wait and run {wait} seconds"),
            "--max-wait includes the run: at least as long, and up to 28 days",
        ));
    }
    if settings.retries.is_some_and(|n| !(1..=30).contains(&n)) {
        found.push(Finding::error("the job is started again too often", "1 to 30 retries are taken"));
    }
    if settings.subnets.is_empty() != settings.security_groups.is_empty() {
        found.push(Finding::error("a network needs subnets and security groups", "give both, or neither"));
    }
    if settings.isolated {
        if settings.wheels.is_none() {
            found.push(Finding::error(
                "a job that is cut off from every network cannot fetch its packages",
                "lay them on S3 as wheels (`pip download -r requirements.txt`), and give the folder with --wheels",
            ));
        }
        let of_the_hub = !spec.base_model.starts_with("s3://") && !spec.base_model.starts_with("random:");
        if of_the_hub {
            found.push(Finding::error(
                format!("a job that is cut off from every network cannot fetch {}", spec.base_model),
                "lay its folder on S3, and give that address with --base-model",
            ));
        }
    }
    if let Some(uri) = settings.wheels.iter().find(|uri| !uri.starts_with("s3://")) {
        found.push(Finding::error(format!("{uri:?} is no folder on S3"), "give s3://bucket/folder"));
    }
    found
}

/// What is wrong with the dataset as it lies on S3.
pub(super) async fn dataset(data: &dyn Store) -> Result<Vec<Finding>> {
    let body = match data.get(&Key::new(METADATA)?).await {
        Ok(body) => body,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Ok(vec![Finding::error(
                format!("{} does not exist", data.uri(&Key::new(METADATA)?)),
                "write it with `picchu export --to diffusers`, and upload the folder",
            )]);
        }
        Err(e) => return Err(e),
    };
    let lines = match export::image_folder_lines(&body) {
        Ok(lines) => lines,
        Err(e) => return Ok(vec![Finding::error(e.message(), "export the dataset again")]),
    };
    let mut found = Vec::new();
    if lines.is_empty() {
        found.push(Finding::error("the dataset has no image", "export one that has"));
    }
    let there: BTreeMap<String, u64> =
        data.list(None).map_ok(|object| (object.key.to_string(), object.size_bytes)).try_collect().await?;
    let mut keys = Vec::new();
    for (name, caption) in &lines {
        if caption.trim().is_empty() {
            found.push(Finding::error(
                format!("{name} has no caption"),
                "caption the dataset, and export it again",
            ));
        }
        match there.get(name) {
            None => found.push(Finding::error(
                format!("{name} is not there"),
                "upload the whole folder of the export, images too",
            )),
            Some(0) => found.push(Finding::error(format!("{name} is empty"), "upload it again")),
            Some(_) => keys.push(Key::new(name)?),
        }
    }
    let step = keys.len().div_ceil(OPENED).max(1);
    let mut images = stream::iter(keys.iter().step_by(step))
        .map(|key| async move { (key, data.get(key).await) })
        .buffered(AT_ONCE)
        .boxed();
    while let Some((key, body)) = images.next().await {
        let (body, name) = (body?, key.to_string());
        let opened = crate::blocking(move || crate::dataset::decode_image(&body, &name)).await;
        if let Err(e) = opened {
            found.push(Finding::error(format!("{}: {}", data.uri(key), e.message()), "upload it again"));
        }
    }
    if step > 1 {
        let message = format!("{} of {} images were opened", keys.len().div_ceil(step), keys.len());
        found.push(Finding::note(message, "`picchu validate --images` opens all of the dataset"));
    }
    Ok(found)
}

/// What the job costs at most, by the user's own prices.
pub(super) fn price(settings: &SageMakerSettings, prices: &PriceTable) -> Finding {
    let hours = settings.max_runtime.as_secs_f64() / 3600.0;
    let items: Vec<String> = settings.instances.iter().map(|t| format!("sagemaker/{t}/training")).collect();
    let dearest = items.iter().map(|item| prices.usd(item, Unit::Hour)).collect::<Option<Vec<f64>>>();
    match dearest.and_then(|usd| usd.into_iter().reduce(f64::max)) {
        Some(usd) if settings.spot => Finding::note(
            format!(
                "at most {:.2} US dollars, for {hours:.1} hours at {usd:.2}; spare capacity costs less",
                usd * hours
            ),
            "fewer steps take less time; --max-hours bounds it",
        ),
        Some(usd) => Finding::note(
            format!("at most {:.2} US dollars, for {hours:.1} hours at {usd:.2}", usd * hours),
            "fewer steps take less time; --max-hours bounds it",
        ),
        None => Finding::note(
            format!("the job may run {hours:.1} hours; what that costs is not known"),
            format!(
                "read it in Amazon's prices, and give it as {}, unit hour, with --prices",
                items.join(" and ")
            ),
        ),
    }
}
