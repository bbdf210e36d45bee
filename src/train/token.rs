//! What makes a job the same job: its token, and a name with it.

use sha2::{Digest, Sha256};

use crate::{store::slug, types::TrainingSpec};

/// A token for a job: equal for equal datasets and settings, so that neither a crash nor a second run starts a second
/// job. `manifest` is the content of the dataset's manifest, `more` what else makes another model or another place.
pub fn client_token<'a>(
    spec: &TrainingSpec,
    more: impl IntoIterator<Item = &'a str>,
    manifest: &[u8],
) -> String {
    let mut hash = Sha256::new();
    let mut part = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    for text in [&spec.name, &spec.base_model, &spec.dataset, &spec.output] {
        part(text.as_bytes());
    }
    for (name, value) in &spec.hyperparameters {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    for text in more {
        part(text.as_bytes());
    }
    part(manifest);
    format!("picchu-{}", &crate::source::sha256_string(hash)["sha256:".len()..][..40])
}

/// A name of words and single hyphens, at most 63 of them, as every service takes it. The token's hash makes it the name of
/// this job alone.
pub fn job_name(spec: &TrainingSpec) -> String {
    let hash = crate::source::sha256_string(Sha256::new_with_prefix(&spec.client_token));
    format!("{}-{}", slug(&spec.name), &hash["sha256:".len()..][..12])
}
