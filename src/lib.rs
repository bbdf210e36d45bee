//! picchu: from a film to a character-consistent image model.

pub mod caption;
pub mod detect;
pub mod embed;
mod error;
pub mod generate;
pub mod local;
pub mod review;
pub mod source;
pub mod store;
pub mod train;
pub mod types;

pub use error::{AtStage, BoxError, Error, ErrorKind, Result, Stage};
pub use source::{FrameSource, Interval, Policy, Sampling};

/// Runs work that computes or blocks away from the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(e) if e.is_cancelled() => Err(Error::new(ErrorKind::Cancelled, "the runtime is shutting down")),
        Err(e) => Err(Error::internal(format!("a worker panicked: {e}"))),
    }
}
