//! Whether a worker is alive: a file that it keeps rewriting while its work goes on.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind, Result},
    store::{PutMode, write_file},
};

/// How often the file is rewritten.
const BEAT: Duration = Duration::from_secs(5);
/// A file that is older belongs to a worker that is stuck or gone.
const OLDEST: Duration = Duration::from_mins(1);

/// When the work last went on.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    pub(super) fn beat(&self) {
        self.0.store(crate::now_ms(), Ordering::Relaxed);
    }

    fn age(&self) -> Duration {
        Duration::from_millis(crate::now_ms().saturating_sub(self.0.load(Ordering::Relaxed)))
    }
}

/// What stands in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Sign {
    time_ms: u64,
    process: u32,
}

/// Keeps rewriting the file, until nothing has gone on for as long as `stalled`. Never ends.
pub(super) async fn show(path: PathBuf, pulse: Pulse, stalled: Duration) {
    loop {
        if pulse.age() < stalled {
            let sign = Sign { time_ms: crate::now_ms(), process: std::process::id() };
            let path = path.clone();
            // A disk that is full must not end the work; whoever looks sees an old file.
            let _ = crate::blocking(move || {
                let body = serde_json::to_vec(&sign)
                    .map_err(|e| Error::internal(format!("cannot write JSON: {e}")).with_source(e))?;
                write_file(&path, &body, PutMode::Overwrite)
            })
            .await;
        }
        tokio::time::sleep(BEAT).await;
    }
}

/// Whether the worker that writes this file is alive and its work goes on.
///
/// # Errors
/// [`Unavailable`](ErrorKind::Unavailable) where it is not; [`NotFound`](ErrorKind::NotFound) where none has begun.
pub fn check_health(path: &Path) -> Result<()> {
    let text = std::fs::read(path).map_err(|e| Error::io("read the sign of life", path, e))?;
    let sign: Sign = serde_json::from_slice(&text)
        .map_err(|e| Error::invalid(format!("{} is no worker's sign of life: {e}", path.display())))?;
    let age = Duration::from_millis(crate::now_ms().saturating_sub(sign.time_ms));
    if age > OLDEST {
        return Err(Error::new(
            ErrorKind::Unavailable,
            format!(
                "the worker (process {}) gave its last sign of life {} s ago",
                sign.process,
                age.as_secs()
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_whose_work_goes_on_is_alive_and_a_stuck_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alive");
        assert_eq!(check_health(&path).unwrap_err().kind(), ErrorKind::NotFound);
        let pulse = Pulse::default();
        // Never went on: nothing is written.
        let stuck = tokio::time::timeout(
            Duration::from_millis(50),
            show(path.clone(), pulse.clone(), Duration::from_secs(1)),
        );
        assert!(stuck.await.is_err() && !path.exists());
        pulse.beat();
        let alive = tokio::time::timeout(
            Duration::from_millis(500),
            show(path.clone(), pulse, Duration::from_secs(10)),
        );
        assert!(alive.await.is_err());
        check_health(&path).unwrap();
        let old = Sign { time_ms: crate::now_ms() - 120_000, process: 1 };
        std::fs::write(&path, serde_json::to_vec(&old).unwrap()).unwrap();
        assert_eq!(check_health(&path).unwrap_err().kind(), ErrorKind::Unavailable);
        std::fs::write(&path, "not json").unwrap();
        assert_eq!(check_health(&path).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
