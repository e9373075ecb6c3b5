//! One pass of any controller: its span, its measurements, and what follows from its end.
//!
//! A panic in a pass would stop the whole controller's stream; here only that object is affected.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use kube::runtime::controller::Action;
use tracing::Instrument;

use crate::cluster::ClusterError;
use crate::controllers::Context;
use crate::metrics::PassResult;

/// How soon a pass that lost a race looks again.
const AFTER_CONFLICT: Duration = Duration::from_millis(200);
/// How soon a pass that failed at the API server is tried again.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// How soon an object whose pass panicked is reconciled again.
const AFTER_PANIC: Duration = Duration::from_mins(1);

/// What a pass is about, as its log lines say it.
pub struct Subject<'a> {
    /// The controller, for logs and metrics.
    pub controller: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// The object's namespace; of a record, its owner's. A cluster-scoped object has none.
    pub namespace: Option<&'a str>,
    /// The object's name; of a record, its owner's, so that a search for an object finds what was done for it.
    pub name: Option<&'a str>,
    /// The name of the record, if it is one.
    pub record: Option<&'a str>,
}

/// Runs one pass and says when the next is due. It cannot fail: whatever happens stays with this object.
pub async fn run<T>(
    context: &Context<T>,
    subject: Subject<'_>,
    pass: impl Future<Output = Result<Action, ClusterError>>,
) -> Action {
    let Subject { controller, kind, namespace, name, record } = subject;
    let span = tracing::info_span!(
        "pass",
        controller,
        controllerKind = kind,
        namespace,
        name,
        record,
        reconcileID = context.clock.nonce(),
    );
    let _worker = context.metrics.reconciling(controller);
    let began = context.clock.now();
    let (action, outcome) = AssertUnwindSafe(pass)
        .catch_unwind()
        .map(|ended| match ended {
            Ok(Ok(action)) if action == Action::await_change() => (action, PassResult::Success),
            Ok(Ok(action)) => (action, PassResult::RequeueAfter),
            Ok(Err(ClusterError::Conflict { what })) => {
                tracing::debug!(object = what, "the object was changed in the meantime; the pass is repeated");
                (Action::requeue(AFTER_CONFLICT), PassResult::Requeue)
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the pass ended early; it is repeated");
                (Action::requeue(AFTER_ERROR), PassResult::Error)
            }
            Err(_) => {
                tracing::error!(seconds = AFTER_PANIC.as_secs(), "the pass panicked; it is repeated after a pause");
                (Action::requeue(AFTER_PANIC), PassResult::Panic)
            }
        })
        .instrument(span)
        .await;
    let took = Duration::try_from(context.clock.now().duration_since(began)).unwrap_or_default();
    context.metrics.reconciled(controller, outcome, took);
    action
}
