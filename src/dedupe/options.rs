//! How a search runs; no option changes its result.

use super::DedupeError;
use crate::simd::Kernel;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a search runs. No option changes the result, only time and memory.
///
/// ```
/// use picchu::dedupe::Options;
///
/// let options = Options::default().threads(2).memory_budget_bytes(1 << 30);
/// assert_eq!(options.threads, 2);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Worker threads; 0 (the default) takes every core.
    pub threads: usize,
    /// Which kernel computes; `None` (the default) takes the fastest that this machine has.
    pub kernel: Option<Kernel>,
    /// Upper bound for the bytes that found pairs may take, 28 for each while they are sorted; `None` (the
    /// default) is 2 GiB. What needs more fails with [`DedupeError::MemoryBudget`].
    pub memory_budget_bytes: Option<usize>,
    /// Raise it from another thread and the search ends soon with [`DedupeError::Cancelled`].
    pub cancel: Option<Arc<AtomicBool>>,
}

impl Options {
    /// Sets the number of worker threads; 0 takes every core.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Forces a kernel.
    #[must_use]
    pub fn kernel(mut self, kernel: Kernel) -> Self {
        self.kernel = Some(kernel);
        self
    }

    /// Bounds the bytes that found pairs may take.
    #[must_use]
    pub fn memory_budget_bytes(mut self, bytes: usize) -> Self {
        self.memory_budget_bytes = Some(bytes);
        self
    }

    /// Sets the flag that ends the search when it is raised.
    #[must_use]
    pub fn cancel(mut self, flag: Arc<AtomicBool>) -> Self {
        self.cancel = Some(flag);
        self
    }

    pub(super) fn chosen_kernel(&self) -> Kernel {
        self.kernel.unwrap_or_else(Kernel::best)
    }

    /// Threads worth starting for `work` multiply-adds: starting one costs as much as a few million.
    pub(super) fn worth_threads(&self, work: u64) -> usize {
        const WORTH_A_THREAD: u64 = 50_000_000;
        if work < WORTH_A_THREAD {
            return 1;
        }
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            n => n,
        }
    }

    pub(super) fn budget_bytes(&self) -> usize {
        self.memory_budget_bytes.unwrap_or(2 << 30)
    }

    pub(super) fn check_cancelled(&self) -> Result<(), DedupeError> {
        match &self.cancel {
            Some(flag) if flag.load(Ordering::Relaxed) => Err(DedupeError::Cancelled),
            _ => Ok(()),
        }
    }
}

/// Refuses thresholds that no cosine can be compared with.
pub(super) fn check_threshold(min_similarity: f64) -> Result<(), DedupeError> {
    if min_similarity > -1.0 && min_similarity <= 1.0 {
        Ok(())
    } else {
        Err(DedupeError::Threshold { value: min_similarity })
    }
}
