//! Worker threads for one search.

use super::{DedupeError, Options};
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

/// Threads that share jobs. What a job computes may not depend on other jobs of its batch, so that results do not
/// depend on timing.
pub(super) struct Team<'o> {
    options: &'o Options,
    pool: Option<rayon::ThreadPool>,
}

impl<'o> Team<'o> {
    /// As many threads as the options allow and `work` multiply-adds are worth.
    pub(super) fn new(options: &'o Options, work: u64) -> Result<Self, DedupeError> {
        let threads = options.worth_threads(work);
        let pool = if threads == 1 {
            None
        } else {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            Some(pool.map_err(|source| DedupeError::Threads { threads, source })?)
        };
        Ok(Self { options, pool })
    }

    pub(super) fn threads(&self) -> usize {
        self.pool.as_ref().map_or(1, rayon::ThreadPool::current_num_threads)
    }

    /// Does all jobs; the results are in the order of the jobs.
    pub(super) fn map<J, R>(&self, jobs: Vec<J>, f: impl Fn(J) -> R + Sync) -> Result<Vec<R>, DedupeError>
    where
        J: Send,
        R: Send,
    {
        self.try_map(jobs, |job| Ok(f(job)))
    }

    /// Does jobs until one fails or the search is cancelled.
    pub(super) fn try_map<J, R>(
        &self,
        jobs: Vec<J>,
        f: impl Fn(J) -> Result<R, DedupeError> + Sync,
    ) -> Result<Vec<R>, DedupeError>
    where
        J: Send,
        R: Send,
    {
        let checked = |job| {
            self.options.check_cancelled()?;
            f(job)
        };
        match &self.pool {
            Some(pool) if jobs.len() > 1 => {
                pool.install(|| jobs.into_par_iter().with_max_len(1).map(checked).collect())
            }
            _ => jobs.into_iter().map(checked).collect(),
        }
    }
}
