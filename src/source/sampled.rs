//! The identity of a film that is too far away to be read whole.

use sha2::{Digest, Sha256};

use super::{RangeReader, read_exactly};
use crate::error::Result;

/// Blocks that are looked at, evenly over the film: the first and the last are among them.
const BLOCKS: u64 = 17;
/// Bytes of a block.
const BLOCK: u64 = 64 << 10;

/// How such an identity begins.
pub(crate) const SAMPLED: &str = "sampled:";

/// `sampled:` and a hash of the film's length and of blocks all over it: about a mebibyte is read. The same film has the
/// same identity wherever it lies. Another one has another: encoded film differs everywhere.
pub(crate) async fn sampled_fingerprint(reader: &(impl RangeReader + ?Sized)) -> Result<String> {
    let length = reader.len().await?;
    let mut hash = Sha256::new_with_prefix(length.to_le_bytes());
    let last = length.saturating_sub(BLOCK);
    for number in 0..BLOCKS {
        // In wide numbers: the product may not fit.
        let start = (u128::from(last) * u128::from(number) / u128::from(BLOCKS - 1)) as u64;
        hash.update(read_exactly(reader, start..length.min(start + BLOCK)).await?);
    }
    Ok(super::sha256_string(hash).replacen("sha256:", SAMPLED, 1))
}
