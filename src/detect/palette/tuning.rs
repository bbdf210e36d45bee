//! Temporary.
use std::{collections::HashMap, sync::OnceLock};
pub(super) fn tune(name: &str, default: f32) -> f32 {
    static T: OnceLock<HashMap<String, f32>> = OnceLock::new();
    #[allow(clippy::disallowed_methods)]
    let t = T.get_or_init(|| {
        std::env::var("TUNE")
            .unwrap_or_default()
            .split(',')
            .filter_map(|kv| kv.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.parse().unwrap()))
            .collect()
    });
    t.get(name).copied().unwrap_or(default)
}
