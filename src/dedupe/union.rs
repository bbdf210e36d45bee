//! Which rows are connected, for several threads at once.

use std::sync::atomic::{AtomicU32, Ordering};

/// Disjoint sets of rows. Roots are the smallest members, so the outcome does not depend on the order in which
/// threads unite sets. Only the numbers themselves are shared: relaxed ordering is enough.
#[derive(Debug)]
pub(super) struct Union {
    parents: Vec<AtomicU32>,
}

impl Union {
    pub(super) fn new(len: usize) -> Self {
        Self { parents: (0..len as u32).map(AtomicU32::new).collect() }
    }

    /// The smallest member of the row's set, as far as other threads have come.
    pub(super) fn find(&self, mut row: u32) -> u32 {
        loop {
            let parent = self.parents[row as usize].load(Ordering::Relaxed);
            if parent == row {
                return row;
            }
            let above = self.parents[parent as usize].load(Ordering::Relaxed);
            if above != parent {
                // Shorten the path; parents only ever move closer to the root, so losing a race does no harm.
                self.parents[row as usize].store(above, Ordering::Relaxed);
            }
            row = parent;
        }
    }

    pub(super) fn unite(&self, a: u32, b: u32) {
        let (mut a, mut b) = (self.find(a), self.find(b));
        while a != b {
            let (low, high) = (a.min(b), a.max(b));
            let parent = &self.parents[high as usize];
            if parent.compare_exchange(high, low, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return;
            }
            // Another thread was faster: `high` is a root no more.
            (a, b) = (self.find(low), self.find(high));
        }
    }

    /// For each row the smallest member of its set.
    pub(super) fn labels(&self) -> Vec<u32> {
        (0..self.parents.len() as u32).map(|row| self.find(row)).collect()
    }
}
