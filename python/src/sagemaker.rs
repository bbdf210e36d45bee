//! Training, serving and drawing on Amazon SageMaker.

use std::path::{Path, PathBuf};

use picchu::{
    Deployer as _, Result,
    aws::{
        AwsContext, AwsSettings,
        sagemaker::{
            SageMakerDeployer, SageMakerGenerator, SageMakerTrainer, ServingSettings, job_progress, log_tail,
        },
    },
    config::{Prepared, SageMakerServingPlan, SageMakerTraining, open_store},
    generate::Storyboard,
    train::{Ledger, stands_in_the_way},
    types::PriceTable,
};
use pyo3::prelude::*;

use crate::{
    cloud::json,
    runtime::wait,
    training::{read, seconds, start},
};

async fn context() -> Result<AwsContext> {
    AwsContext::from_env(&AwsSettings::default()).await
}

async fn open(training: &str, ledger: &Path) -> Result<Prepared<SageMakerTrainer>> {
    let training: SageMakerTraining = read("the training", training)?;
    let ledger = Ledger::new(open_store(ledger)?);
    training.open(&AwsSettings::default(), ledger, PriceTable::built_in()).await
}

/// What was found about a job before it is created, as JSON.
#[pyfunction]
pub(crate) fn check_sagemaker_training(py: Python<'_>, training: &str) -> PyResult<String> {
    wait(py, async { json(&open(training, Path::new(".")).await?.check().await?) })
}

/// The request that would start a job, as JSON.
#[pyfunction]
pub(crate) fn sagemaker_training_request(py: Python<'_>, training: &str) -> PyResult<String> {
    wait(py, async {
        let training = open(training, Path::new(".")).await?;
        training.trainer().request(training.spec()).to_json()
    })
}

/// Checks a job and starts it, or finds the one that the same training started; as JSON.
#[pyfunction]
pub(crate) fn train_on_sagemaker(py: Python<'_>, training: &str, ledger: PathBuf) -> PyResult<String> {
    wait(py, async { start(&open(training, &ledger).await?).await })
}

/// How far a job is, as JSON.
#[pyfunction]
pub(crate) fn sagemaker_job(py: Python<'_>, job: &str) -> PyResult<String> {
    wait(py, async { json(&job_progress(&context().await?, job).await?) })
}

/// The last lines of a job's log, as JSON.
#[pyfunction]
pub(crate) fn sagemaker_log(py: Python<'_>, job: &str, lines: u32) -> PyResult<String> {
    wait(py, async { json(&log_tail(&context().await?, job, lines).await?) })
}

async fn serving(
    plan: &str,
    ledger: &Path,
) -> Result<(SageMakerDeployer, picchu::types::CustomModel, String)> {
    let plan: SageMakerServingPlan = read("the plan", plan)?;
    let ledger = Ledger::new(open_store(ledger)?);
    let (deployer, model) = plan.open(&AwsSettings::default(), ledger, PriceTable::built_in()).await?;
    Ok((deployer, model, plan.name))
}

/// The requests that would make an endpoint, as JSON.
#[pyfunction]
pub(crate) fn sagemaker_serving_requests(py: Python<'_>, plan: &str) -> PyResult<String> {
    wait(py, async {
        let (deployer, model, name) = serving(plan, Path::new(".")).await?;
        json(&deployer.requests(&name, &model))
    })
}

/// Makes an endpoint: the deployment as JSON, its price an hour, and where it answers.
#[pyfunction]
pub(crate) fn deploy_on_sagemaker(
    py: Python<'_>,
    plan: &str,
    ledger: PathBuf,
) -> PyResult<(String, Option<f64>, String)> {
    wait(py, async {
        let (deployer, model, name) = serving(plan, &ledger).await?;
        stands_in_the_way(&deployer.check(&model).await?)?;
        let deployment = deployer.deploy(&name, &model).await?;
        Ok((json(&deployment)?, deployer.usd_per_hour(), deployer.output().to_owned()))
    })
}

/// Waits until an endpoint serves, and lets its machines come and go.
#[pyfunction]
pub(crate) fn wait_for_sagemaker_endpoint(
    py: Python<'_>,
    endpoint: &str,
    plan: &str,
    poll: f64,
    timeout: f64,
    ledger: PathBuf,
) -> PyResult<()> {
    wait(py, async {
        let (deployer, ..) = serving(plan, &ledger).await?;
        deployer.patience(seconds(poll)?, seconds(timeout)?).wait(endpoint).await.map(drop)
    })
}

/// Deletes an endpoint and what belongs to it.
#[pyfunction]
pub(crate) fn delete_sagemaker_endpoint(py: Python<'_>, endpoint: &str, ledger: PathBuf) -> PyResult<()> {
    wait(py, async {
        let ledger = Ledger::new(open_store(&ledger)?);
        SageMakerDeployer::new(&context().await?, ServingSettings::default(), ledger).delete(endpoint).await
    })
}

/// Draws a storyboard, given as JSON, and tells what became of each panel, as JSON.
#[pyfunction]
pub(crate) fn draw_on_sagemaker(
    py: Python<'_>,
    board: &str,
    endpoint: &str,
    images: &str,
    out: PathBuf,
) -> PyResult<String> {
    wait(py, async {
        let board: Storyboard = read("the storyboard", board)?;
        let artist = SageMakerGenerator::new(&context().await?, endpoint, open_store(images.as_ref())?);
        json(&board.draw(&artist, &open_store(&out)?).await?)
    })
}
