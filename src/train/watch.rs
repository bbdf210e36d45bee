//! Looking at a job again and again.

use std::time::Duration;

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};

use crate::{error::Result, types::JobProgress};

/// How far a job is, by `look`, as often as `poll` says, until it is at its end or an error comes that does not pass.
pub(crate) fn watch<F>(
    poll: Duration,
    look: impl Fn() -> F + Send + 'static,
) -> BoxStream<'static, Result<JobProgress>>
where
    F: Future<Output = Result<JobProgress>> + Send + 'static,
{
    stream::unfold((look, Some(Duration::ZERO)), move |(look, wait)| async move {
        tokio::time::sleep(wait?).await;
        let seen = look().await;
        let ends = match &seen {
            Ok(progress) => progress.job.status.is_final(),
            Err(e) => !e.is_retryable(),
        };
        Some((seen, (look, (!ends).then_some(poll))))
    })
    .boxed()
}
