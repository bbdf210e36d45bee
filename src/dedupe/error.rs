//! What can go wrong.

/// Why a search for near-duplicates could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DedupeError {
    /// A row has no direction: every value is zero (or the rows have no columns).
    #[error("row {row} is zero: it has no direction, so no similarity")]
    ZeroRow {
        /// Number of the first such row.
        row: usize,
    },
    /// A row holds a NaN or an infinity.
    #[error("row {row} holds a NaN or an infinity")]
    NonFinite {
        /// Number of the first such row.
        row: usize,
    },
    /// Rows do not have the number of columns that is asked for.
    #[error("rows have {found} columns, expected {expected}")]
    Dimension {
        /// Columns expected.
        expected: usize,
        /// Columns found.
        found: usize,
    },
    /// More rows than a 32-bit number can name.
    #[error("{rows} rows are more than the {max} supported", max = u32::MAX)]
    TooManyRows {
        /// Rows given.
        rows: usize,
    },
    /// The threshold is not in (−1, 1].
    #[error("min_similarity is {value}, expected a number above -1 and at most 1")]
    Threshold {
        /// The value given.
        value: f64,
    },
    /// A lower threshold is asked for than the one that was searched.
    #[error("min_similarity is {value}, but only pairs of at least {floor} are known")]
    BelowFloor {
        /// The value asked for.
        value: f64,
        /// The lowest similarity that is known.
        floor: f64,
    },
    /// The admission order is not a permutation of the rows.
    #[error("the admission order is not a permutation of {rows} rows: {reason}")]
    Order {
        /// Rows to order.
        rows: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The pairs do not fit into the memory budget.
    #[error("the pairs need more than {budget_bytes} bytes: raise min_similarity or the memory budget")]
    MemoryBudget {
        /// The budget that was passed.
        budget_bytes: usize,
    },
    /// The cancel flag was raised.
    #[error("cancelled")]
    Cancelled,
    /// The worker threads could not be started.
    #[error("cannot start {threads} worker threads")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// What the system said.
        source: rayon::ThreadPoolBuildError,
    },
    /// A saved index could not be read or written.
    #[error("cannot read or write the index")]
    Io(#[from] std::io::Error),
    /// The bytes are not a saved index.
    #[error("not a saved index: {reason}")]
    Corrupt {
        /// What is wrong with them.
        reason: String,
    },
}
