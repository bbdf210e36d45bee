//! What is read of a dataset may come from anywhere: keys, records, reviews, splits, manifests.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use picchu::{
    Dataset, Store,
    dataset::export::nova,
    store::{Key, MemoryStore, PutMode, escape, slug, unescape},
};

const HEADER: &[u8] = include_bytes!("../seeds/picchu.json");

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    assert!(Key::new(slug(&text)).is_ok());
    // An escaped character may take twelve bytes, and a key has 900 at the most.
    let short: String = text.chars().take(70).collect();
    assert!(Key::new(escape(&short)).is_ok());
    assert_eq!(unescape(&escape(&short)), short);
    if let Ok(key) = Key::new(text.as_ref()) {
        assert!(!key.as_str().split('/').any(|part| matches!(part, "" | "." | "..")));
    }
    let _ = nova::read(data);

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for name in ["picchu.json", "records.jsonl", "reviews.jsonl", "split.json", "embeddings.npy"] {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
            let put = async |name: &str, body: &[u8]| {
                let key = Key::new(name).unwrap();
                store.put(&key, body.to_vec().into(), PutMode::Overwrite).await.unwrap();
            };
            put("picchu.json", HEADER).await;
            put("records.jsonl", b"").await;
            put(name, data).await;
            let Ok((dataset, damage)) = Dataset::salvage(Arc::clone(&store)).await else { continue };
            let _ = dataset.embeddings().await;
            let _ = dataset.stats();
            for record in dataset.records().iter().take(4) {
                let _ = dataset.image_bytes(record).await;
                let _ = dataset.lineage(&record.id).map(|lineage| lineage.to_string());
            }
            if let Ok((mended, _)) = dataset.mend(&damage, 0).await {
                assert_eq!(mended.records().len(), dataset.records().len());
            }
        }
    });
});
