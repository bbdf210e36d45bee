//! The request to end.

use std::sync::Arc;

use tokio::sync::watch;

use crate::pipeline::Stop;

/// Asks a worker to end: it takes no further film, and what is under way is finished and kept, as far as its grace
/// period allows. Clones are the same request.
#[derive(Clone, Debug)]
pub struct Halt {
    stop: Stop,
    said: Arc<watch::Sender<bool>>,
}

impl Halt {
    pub(super) fn new() -> Self {
        Self { stop: Stop::new(), said: Arc::new(watch::channel(false).0) }
    }

    /// Makes the request. It cannot be taken back.
    pub fn request(&self) {
        self.stop.request();
        self.said.send_replace(true);
    }

    /// Whether it was made.
    pub fn is_requested(&self) -> bool {
        self.stop.is_requested()
    }

    /// Waits until it is made.
    pub(super) async fn requested(&self) {
        // The sender lives as long as this value.
        let _ = self.said.subscribe().wait_for(|said| *said).await;
    }

    pub(super) fn stop(&self) -> Stop {
        self.stop.clone()
    }
}
