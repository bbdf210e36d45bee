//! The end of what bills, when its guard is dropped.

use std::time::Duration;

use super::AwsContext;
use crate::error::Result;

/// How long a guard that is dropped tries to end what it guards; the ledger keeps what it could not.
const LAST_TRY: Duration = Duration::from_secs(30);

/// Finishes work now, whatever becomes of the caller. The caller's runtime may be ending or blocked here: the work gets a
/// thread, a runtime and connections of its own, and is waited for, since it bills until it is done.
pub(super) fn finish<F: Future<Output = Result<()>>>(
    context: &AwsContext,
    work: impl FnOnce(AwsContext) -> F + Send + 'static,
) {
    let context = context.with_own_connections();
    let finishing = std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return;
        };
        runtime.block_on(async {
            let _ = tokio::time::timeout(LAST_TRY, work(context)).await;
        });
    });
    let _ = finishing.join();
}
