//! The native half of `import picchu`: thin, private, without decisions of its own.
//!
//! Everything that people see is the typed façade in `python/picchu`. Plans come in as JSON and results go out as
//! JSON or as numpy arrays, so that this crate knows neither options nor defaults twice.
//!
//! Two rules keep the interpreter safe: threads that Rust starts never attach to Python, and every wait goes
//! through one of the two doors in `runtime.rs`.

mod cast;
mod cli;
mod cloud;
mod curate;
mod dataset;
mod dedupe;
mod errors;
mod frames;
mod lora;
mod pipeline;
mod pixels;
mod plugins;
mod review;
mod runtime;
mod sagemaker;
mod sampling;
mod session;
mod training;

#[pyo3::pymodule]
mod _picchu {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::cast::{add_reference, learn_cast, suggest_cast};
    #[pymodule_export]
    use super::cli::main;
    #[pymodule_export]
    use super::cloud::{batch, delete_collection, enrol, resources};
    #[pymodule_export]
    use super::curate::{export, export_custom_labels, lineage, merge, recut, split, stats, validate};
    #[pymodule_export]
    use super::dataset::Dataset;
    #[pymodule_export]
    use super::dedupe::{Calibration, Index, Join, calibrate, components, join, select};
    #[pymodule_export]
    use super::frames::{Film, Frame, Frames};
    #[pymodule_export]
    use super::lora::{
        LocalArtist, check_local_training, evaluate, local_checkpoints, local_training_status,
        stop_local_job, train_locally,
    };
    #[pymodule_export]
    use super::pipeline::{check_crop, check_sampling, explain, load_cast, run};
    #[pymodule_export]
    use super::pixels::thumbnail;
    #[pymodule_export]
    use super::review::ReviewPage;
    #[pymodule_export]
    use super::runtime::CancelToken;
    #[pymodule_export]
    use super::sagemaker::{
        check_sagemaker_training, delete_sagemaker_endpoint, deploy_on_sagemaker, draw_on_sagemaker,
        sagemaker_job, sagemaker_log, sagemaker_serving_requests, sagemaker_training_request,
        train_on_sagemaker, wait_for_sagemaker_endpoint,
    };
    #[pymodule_export]
    use super::session::use_session;
    #[pymodule_export]
    use super::training::{
        check_training, delete_deployment, deploy, drawing_requests, estimate_drawing, generate,
        hyperparameters, sweep_hyperparameters, train, training_progress, training_request, training_status,
        update_deployment, wait_for_deployment,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
