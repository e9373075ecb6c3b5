//! How a pass ends, and the passes that run now. Counts only.

use prometheus_client::metrics::gauge::Gauge;

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassResult {
    /// Nothing left to do until something changes.
    Success,
    /// Failed, and is tried again.
    Error,
    /// Panicked; counts as an error too, as in controller-runtime.
    Panic,
    /// Wants to run again at once.
    Requeue,
    /// Wants to run again after a while.
    RequeueAfter,
}

impl PassResult {
    pub(super) const fn result(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error | Self::Panic => "error",
            Self::Requeue => "requeue",
            Self::RequeueAfter => "requeue_after",
        }
    }
}

/// One pass that runs now.
#[derive(Debug)]
#[must_use = "the pass counts as ended as soon as this is dropped"]
pub struct ActiveWorker {
    pub(super) active_workers: Gauge,
}

impl Drop for ActiveWorker {
    fn drop(&mut self) {
        self.active_workers.dec();
    }
}
