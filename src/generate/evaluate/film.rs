//! A dataset's images as a film, for detectors that learn from one before they search.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};

use crate::{
    dataset::Dataset,
    error::Result,
    source::{FrameSource, Sampling},
    types::{Frame, MediaInfo, Record},
};

/// The images that are good for training, one a second.
#[derive(Debug)]
pub(super) struct ImagesAsFilm {
    dataset: Dataset,
    records: Arc<[Record]>,
}

impl ImagesAsFilm {
    pub(super) fn of(dataset: &Dataset) -> Self {
        let records = dataset.training_images().map(|image| image.record.clone()).collect();
        Self { dataset: dataset.clone(), records }
    }
}

#[async_trait]
impl FrameSource for ImagesAsFilm {
    async fn probe(&self) -> Result<MediaInfo> {
        Ok(MediaInfo { duration: None, ..self.dataset.header().film.info.clone() })
    }

    async fn fingerprint(&self) -> Result<String> {
        Ok(self.dataset.header().records.sha256.clone())
    }

    fn frames(&self, sampling: &Sampling) -> BoxStream<'static, Result<Frame>> {
        let count = self.records.len();
        let most = sampling.limit.map_or(count, |limit| usize::try_from(limit).unwrap_or(count));
        let step = count.div_ceil(most.max(1)).max(1);
        let (dataset, records) = (self.dataset.clone(), Arc::clone(&self.records));
        stream::iter((0..count).step_by(step))
            .map(Ok)
            .and_then(move |n| {
                let (dataset, records) = (dataset.clone(), Arc::clone(&records));
                async move {
                    let image = dataset.image(&records[n]).await?;
                    Ok(Frame::new(n as u64, Duration::from_secs(n as u64), image))
                }
            })
            .boxed()
    }
}
