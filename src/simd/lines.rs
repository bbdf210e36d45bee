//! Memory for codes.

use super::{Line, codes, codes_mut};
use std::ops::{Deref, DerefMut};

/// Lines that begin as zeros.
///
/// A `Vec<Line>` would be zeroed by one thread before others fill it. Bytes that come zeroed from the system are not
/// touched until they are written, so each thread pays for its own pages; alignment is made up by hand.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    /// Bytes before the first line.
    start: usize,
    len: usize,
    /// Lines that were in use at some time.
    used: usize,
}

impl Lines {
    pub(crate) fn zeroed(len: usize) -> Self {
        let bytes = vec![0; (len + 1) * size_of::<Line>()];
        let start = bytes.as_ptr().align_offset(align_of::<Line>());
        // Miri may refuse to align; then there is no room to make up for it.
        assert!(start <= size_of::<Line>());
        Self { bytes, start, len, used: len }
    }

    /// Cuts lines off, or adds zeros.
    pub(crate) fn resize(&mut self, len: usize) {
        if (len + 1) * size_of::<Line>() > self.bytes.len() {
            let mut grown = Self::zeroed(if self.len == 0 { len } else { len.max(2 * self.len) });
            (grown.len, grown.used) = (self.len, self.len);
            codes_mut(&mut grown).copy_from_slice(codes(self));
            *self = grown;
        }
        let old = std::mem::replace(&mut self.len, len);
        let dirty = old..self.used.min(len);
        if !dirty.is_empty() {
            self[dirty].fill(Line::ZERO);
        }
        self.used = self.used.max(len);
    }
}

impl Clone for Lines {
    fn clone(&self) -> Self {
        let mut lines = Self::zeroed(self.len);
        codes_mut(&mut lines).copy_from_slice(codes(self));
        lines
    }
}

impl Deref for Lines {
    type Target = [Line];

    fn deref(&self) -> &[Line] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: `zeroed` left room for `len` lines after `start`, where the bytes are aligned; they are
        // never moved, and any bytes are a valid line.
        unsafe { std::slice::from_raw_parts(self.bytes.as_ptr().add(self.start).cast(), self.len) }
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut [Line] {
        if self.len == 0 {
            return &mut [];
        }
        // SAFETY: as for `deref`; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.bytes.as_mut_ptr().add(self.start).cast(), self.len) }
    }
}
