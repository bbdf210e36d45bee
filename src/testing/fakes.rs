//! Simple implementations of every trait that do something checkable without any model.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use image::{Rgb, RgbImage};
use ndarray::Array2;

use crate::{
    caption::Captioner,
    detect::CharacterDetector,
    embed::Embedder,
    error::{Error, ErrorKind, Result},
    generate::Generator,
    review::Reviewer,
    train::{Deployer, Trainer},
    types::{
        BoundingBox, Caption, CaptionRequest, Crop, CustomModel, DatasetRules, Decision, Deployment,
        DeploymentStatus, Detection, Embeddings, Finding, Frame, GenerateRequest, Generated, JobStatus,
        ProviderInfo, Record, Review, Severity, TrainingJob, TrainingSpec,
    },
};

/// Finds the red figure of a [`SyntheticFilm`](super::SyntheticFilm) and gives it a name.
#[derive(Clone, Debug)]
pub struct FakeDetector {
    character: String,
}

impl FakeDetector {
    /// A detector that calls the figure `character`.
    pub fn new(character: impl Into<String>) -> Self {
        Self { character: character.into() }
    }
}

#[async_trait]
impl CharacterDetector for FakeDetector {
    fn info(&self) -> ProviderInfo {
        ProviderInfo::new("fake", "fake-detector-v1").settings(self.character.clone()).max_batch(4)
    }

    async fn detect(&self, frames: &[Frame]) -> Result<Vec<Vec<Detection>>> {
        Ok(frames
            .iter()
            .map(|frame| red_box(&frame.image).map(|b| self.detection(b)).into_iter().collect())
            .collect())
    }
}

impl FakeDetector {
    fn detection(&self, bounding_box: BoundingBox) -> Detection {
        Detection {
            bounding_box,
            character: Some(self.character.clone()),
            confidence: 0.9,
            label: None,
            alternatives: Vec::new(),
            decided_by: "fake".into(),
        }
    }
}

fn red_box(image: &RgbImage) -> Option<BoundingBox> {
    let red = image.enumerate_pixels().filter(|(_, _, p)| p[0] > 200 && p[1] < 60 && p[2] < 60);
    let (mut x0, mut y0, mut x1, mut y1) = (u32::MAX, u32::MAX, 0, 0);
    for (x, y, _) in red {
        (x0, y0, x1, y1) = (x0.min(x), y0.min(y), x1.max(x + 1), y1.max(y + 1));
    }
    let (w, h) = (image.width() as f32, image.height() as f32);
    (x1 > x0)
        .then(|| BoundingBox::new(x0 as f32 / w, y0 as f32 / h, (x1 - x0) as f32 / w, (y1 - y0) as f32 / h))
}

/// Embeds by the mean colour of the four quarters.
#[derive(Clone, Debug, Default)]
pub struct FakeEmbedder;

#[async_trait]
impl Embedder for FakeEmbedder {
    fn info(&self) -> ProviderInfo {
        ProviderInfo::new("fake", "fake-embedder-v1").max_batch(4)
    }

    fn dimensions(&self) -> usize {
        12
    }

    fn default_min_similarity(&self) -> f64 {
        0.99
    }

    async fn embed(&self, crops: &[Crop]) -> Result<Embeddings> {
        let mut vectors = Array2::from_elem((crops.len(), self.dimensions()), 1.0);
        for (mut row, crop) in vectors.rows_mut().into_iter().zip(crops) {
            let (w, h) = (crop.image.width(), crop.image.height());
            for (x, y, pixel) in crop.image.enumerate_pixels() {
                let quarter = usize::from(x * 2 >= w) + 2 * usize::from(y * 2 >= h);
                for channel in 0..3 {
                    row[quarter * 3 + channel] += f32::from(pixel[channel]);
                }
            }
        }
        Embeddings::new(self.info().model, vectors)
    }
}

/// Says who is there, with the attempt's number where it had to be worded anew.
#[derive(Clone, Debug, Default)]
pub struct FakeCaptioner;

#[async_trait]
impl Captioner for FakeCaptioner {
    fn info(&self) -> ProviderInfo {
        ProviderInfo::new("fake", "fake-captioner-v1")
    }

    async fn caption(&self, request: &CaptionRequest) -> Result<Caption> {
        let names: Vec<&str> = request.subjects.iter().map(|s| s.character.as_str()).collect();
        let text = format!("{} in {} ({}).", names.join(" and "), request.record, request.attempt);
        Ok(Caption::new(text, self.info().model))
    }
}

/// Accepts what is at least as good as a limit, and decides nothing about the rest.
#[derive(Clone, Debug)]
pub struct FakeReviewer {
    /// The lowest quality that is accepted.
    pub min_quality: f32,
}

#[async_trait]
impl Reviewer for FakeReviewer {
    async fn review(&self, record: &Record, _crop: &Crop) -> Result<Option<Review>> {
        let quality = record.crop.as_ref().map_or(0.0, |c| c.quality.score());
        Ok((quality >= self.min_quality).then(|| Review {
            record: record.id.clone(),
            decision: Decision::Accept,
            reviewer: "fake".into(),
            time_ms: 0,
        }))
    }
}

/// Keeps jobs in memory; each completes the second time it is looked at.
#[derive(Debug, Default)]
pub struct FakeTrainer {
    jobs: Mutex<BTreeMap<String, (TrainingJob, TrainingSpec)>>,
}

impl FakeTrainer {
    fn change<T>(&self, job: &str, change: impl FnOnce(&mut TrainingJob, &TrainingSpec) -> T) -> Result<T> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let (job, spec) = jobs
            .get_mut(job)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no training job {job:?}")))?;
        Ok(change(job, spec))
    }
}

#[async_trait]
impl Trainer for FakeTrainer {
    fn info(&self) -> ProviderInfo {
        ProviderInfo::new("fake", "fake-trainer-v1")
    }

    fn rules(&self) -> DatasetRules {
        crate::dataset::export::nova::rules()
    }

    async fn check(&self, spec: &TrainingSpec) -> Result<Vec<Finding>> {
        Ok(if spec.base_model.is_empty() {
            vec![Finding {
                severity: Severity::Error,
                message: "no base model".into(),
                mend: "name a base model".into(),
            }]
        } else {
            Vec::new()
        })
    }

    async fn submit(&self, spec: &TrainingSpec) -> Result<TrainingJob> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let id = format!("job-{}", spec.client_token);
        let job = TrainingJob {
            id: id.clone(),
            name: spec.name.clone(),
            status: JobStatus::InProgress,
            model: None,
            failure: None,
        };
        Ok(jobs.entry(id).or_insert((job, spec.clone())).0.clone())
    }

    async fn describe(&self, job: &str) -> Result<TrainingJob> {
        self.change(job, |job, spec| {
            let seen = job.clone();
            if job.status == JobStatus::InProgress {
                job.status = JobStatus::Completed;
                job.model = Some(CustomModel {
                    id: format!("model-of-{}", job.id),
                    base_model: spec.base_model.clone(),
                });
            }
            seen
        })
    }

    async fn cancel(&self, job: &str) -> Result<()> {
        self.change(job, |job, _| {
            if !job.status.is_final() {
                job.status = JobStatus::Stopped;
            }
        })
    }
}

/// Keeps deployments in memory.
#[derive(Debug, Default)]
pub struct FakeDeployer {
    deployments: Mutex<BTreeMap<String, Deployment>>,
}

#[async_trait]
impl Deployer for FakeDeployer {
    async fn deploy(&self, name: &str, model: &CustomModel) -> Result<Deployment> {
        let mut deployments = self.deployments.lock().unwrap_or_else(PoisonError::into_inner);
        let id = format!("deployment-{name}");
        let deployment =
            Deployment { id: id.clone(), model: model.clone(), status: DeploymentStatus::InService };
        Ok(deployments.entry(id).or_insert(deployment).clone())
    }

    async fn describe(&self, deployment: &str) -> Result<Deployment> {
        let deployments = self.deployments.lock().unwrap_or_else(PoisonError::into_inner);
        deployments
            .get(deployment)
            .cloned()
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no deployment {deployment:?}")))
    }

    async fn delete(&self, deployment: &str) -> Result<()> {
        self.deployments.lock().unwrap_or_else(PoisonError::into_inner).remove(deployment);
        Ok(())
    }
}

/// Draws plain pictures whose colour is the seed.
#[derive(Clone, Debug, Default)]
pub struct FakeGenerator;

#[async_trait]
impl Generator for FakeGenerator {
    fn info(&self) -> ProviderInfo {
        ProviderInfo::new("fake", "fake-generator-v1")
    }

    async fn generate(&self, request: &GenerateRequest) -> Result<Vec<Generated>> {
        Ok((0..u64::from(request.count))
            .map(|n| {
                let seed = request.seed + n;
                let [r, g, b, ..] = seed.to_le_bytes();
                Generated {
                    image: RgbImage::from_pixel(request.width, request.height, Rgb([r, g, b])).into(),
                    request: GenerateRequest { seed, count: 1, ..request.clone() },
                    model: self.info().model,
                }
            })
            .collect())
    }
}
