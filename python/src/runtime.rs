//! The two doors through which Python waits for Rust: [`wait`] for futures, [`compute`] for work that keeps the
//! processor busy. Both detach the interpreter, look for Ctrl-C twenty times a second, drop the work when it comes,
//! and turn panics into exceptions.

use std::{
    any::Any,
    cell::RefCell,
    panic::AssertUnwindSafe,
    pin::pin,
    process,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    time::Duration,
};

use futures::FutureExt as _;
use picchu::{Error, ErrorKind, Result};
use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};

use crate::errors::to_py;

/// How long Ctrl-C may have to wait.
const TICK: Duration = Duration::from_millis(50);

thread_local! {
    /// What ends the calls of this thread from another one.
    static CANCEL: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Ends the calls of one thread from another: those made between `enter` and `leave` raise `picchu.Cancelled` soon after
/// `cancel`, as they raise `KeyboardInterrupt` after Ctrl-C.
#[pyclass(frozen, module = "picchu._picchu")]
pub(crate) struct CancelToken {
    flag: Arc<AtomicBool>,
}

#[pymethods]
impl CancelToken {
    #[new]
    fn new() -> Self {
        Self { flag: Arc::default() }
    }

    fn cancel(&self) {
        self.flag.store(true, Ordering::Relaxed);
    }

    fn enter(&self) {
        CANCEL.set(Some(Arc::clone(&self.flag)));
    }

    #[staticmethod]
    fn leave() {
        CANCEL.set(None);
    }
}

/// The exception of Ctrl-C, of another signal that Python handles, or of a [`CancelToken`].
fn look(py: Python<'_>) -> PyResult<()> {
    py.check_signals()?;
    // Once, as Ctrl-C: what cleans up after it goes through.
    let cancelled =
        CANCEL.with_borrow(|flag| flag.as_ref().is_some_and(|flag| flag.swap(false, Ordering::Relaxed)));
    if cancelled {
        return Err(to_py(py, &Error::new(ErrorKind::Cancelled, "the call was cancelled")));
    }
    Ok(())
}

/// How waiting ended: with an answer, or with an exception that Python raised meanwhile.
enum Outcome<T> {
    Answer(Result<T>),
    Raised(PyErr),
}

impl<T> Outcome<T> {
    fn into_py(self, py: Python<'_>) -> PyResult<T> {
        match self {
            // Ctrl-C reaches child processes too: their end is then no news, the interrupt is.
            Self::Answer(Err(error)) => py.check_signals().and(Err(to_py(py, &error))),
            Self::Answer(Ok(answer)) => Ok(answer),
            Self::Raised(exception) => Err(exception),
        }
    }
}

/// Waits for a future. Ctrl-C drops it.
pub(crate) fn wait<T: Send>(py: Python<'_>, future: impl Future<Output = Result<T>> + Send) -> PyResult<T> {
    wait_with(py, future, |_| Ok(()))
}

/// Like [`wait`]; calls `tick`, attached, now and then and once at the end. An exception that it raises drops the
/// future.
pub(crate) fn wait_with<T: Send>(
    py: Python<'_>,
    future: impl Future<Output = Result<T>> + Send,
    tick: impl Fn(Python<'_>) -> PyResult<()> + Send + Sync,
) -> PyResult<T> {
    // A loop of short calls ends too.
    look(py)?;
    let runtime = runtime(py)?;
    let look = || Python::attach(|py| look(py).and_then(|()| tick(py)));
    // The future is polled on this thread, which is Python's own, while the interpreter is detached. Its helpers
    // run on threads of the runtime, which never attach.
    let outcome = py.detach(|| {
        runtime.block_on(async {
            let mut future = pin!(AssertUnwindSafe(future).catch_unwind());
            loop {
                match tokio::time::timeout(TICK, &mut future).await {
                    Ok(answer) => {
                        return Outcome::Answer(answer.unwrap_or_else(|panic| Err(panicked(&*panic))));
                    }
                    Err(_) => {
                        if let Err(exception) = look() {
                            return Outcome::Raised(exception);
                        }
                    }
                }
            }
        })
    });
    let answer = outcome.into_py(py)?;
    tick(py)?;
    Ok(answer)
}

/// Computes on a thread of its own. Ctrl-C raises the flag that is passed in, and the work should end soon after.
pub(crate) fn compute<T: Send, E: Into<Error> + Send>(
    py: Python<'_>,
    work: impl FnOnce(Arc<AtomicBool>) -> Result<T, E> + Send,
) -> PyResult<T> {
    let cancel = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancel);
    compute_until(py, &cancel, || work(flag))
}

/// Like [`compute`], for work that looks at a flag of its own.
pub(crate) fn compute_until<T: Send, E: Into<Error> + Send>(
    py: Python<'_>,
    cancel: &AtomicBool,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> PyResult<T> {
    look(py)?;
    let outcome = py.detach(|| {
        std::thread::scope(|scope| {
            // Nothing is ever sent: the channel closes when the work ends, however it ends.
            let (open, ended) = sync_channel::<()>(0);
            let worker =
                std::thread::Builder::new().name("picchu-compute".into()).spawn_scoped(scope, move || {
                    let _open = open;
                    work()
                });
            let worker = match worker {
                Ok(worker) => worker,
                Err(e) => {
                    return Outcome::Answer(Err(Error::internal(format!("cannot start a thread: {e}"))));
                }
            };
            let mut raised = None;
            while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                if raised.is_none() {
                    raised = interrupted();
                    cancel.store(raised.is_some(), Ordering::Relaxed);
                }
            }
            match (raised, worker.join()) {
                (Some(exception), _) => Outcome::Raised(exception),
                (None, Ok(answer)) => Outcome::Answer(answer.map_err(Into::into)),
                (None, Err(panic)) => Outcome::Answer(Err(panicked(&*panic))),
            }
        })
    });
    outcome.into_py(py)
}

fn interrupted() -> Option<PyErr> {
    Python::attach(look).err()
}

/// The runtime of this process. A forked child inherits one whose threads do not exist: it starts its own and leaves
/// the inherited one alone.
pub(crate) fn runtime(py: Python<'_>) -> PyResult<&'static Runtime> {
    static SLOT: Mutex<Option<(u32, &'static Runtime)>> = Mutex::new(None);
    // Held only while attached, so that no other thread can fork meanwhile.
    let mut slot = SLOT.lock().unwrap_or_else(PoisonError::into_inner);
    match *slot {
        Some((owner, runtime)) if owner == process::id() => Ok(runtime),
        _ => {
            let runtime = Builder::new_multi_thread()
                .thread_name("picchu")
                .enable_all()
                .build()
                .map_err(|e| to_py(py, &Error::internal(format!("cannot start the runtime: {e}"))))?;
            // Never dropped: dropping would wait for threads, at exit and in forked children.
            let runtime: &'static Runtime = Box::leak(Box::new(runtime));
            *slot = Some((process::id(), runtime));
            Ok(runtime)
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let words = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message");
    Error::internal(format!("a bug in picchu: it panicked: {words}"))
}
