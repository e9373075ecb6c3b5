//! One claimed instance: a pass takes one step of the protocol.
//!
//! ```text
//! observe (reads) ─▶ decide::claim::next (pure) ─▶ store (CAS) ─▶ send (one call) ─▶ fold (pure) ─▶ store (CAS)
//! ```
//! A pass decides on the newest version of the record that this process knows; each write replaces exactly that version, so that a pass
//! on an older one comes to nothing. A pass makes at most one changing call, under an attempt that was stored first; whatever goes wrong afterwards, the record says what may have happened.

mod absent;
mod observe;
mod send;
mod store;

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::controller::Action;

use crate::api::reset_record::ResetRecord;
use crate::clock;
use crate::cloud::readings;
use crate::cluster::ClusterError;
use crate::cluster::wake::Waiter;
use crate::controllers::Context;
use crate::controllers::pass::{self, Subject};
use crate::decide::claim::next::{is_done, next};
use crate::decide::claim::step::{Call, Step};
use crate::decide::claim::transition;
use crate::ecs::{ApiCall, RatePermit, Transport};
use observe::ObservedClaim;
use store::Intent;

pub use absent::Absent;

/// How long an interest in readings outlives the moment at which the pass comes back by itself.
const TTL_GRACE: Duration = Duration::from_mins(1);
/// How soon to look again while ECS's time is not known. The account's first look wakes its records.
const WITHOUT_TIME: Duration = Duration::from_secs(5);
/// How soon to look again for a slot that another instance was quicker to take.
const WITHOUT_SLOT: Duration = Duration::from_secs(1);
/// A pass that has written is woken by the watch; this is for the case that the watch is behind.
const AFTER_WRITE: Duration = Duration::from_secs(5);

/// One pass over a record.
pub async fn reconcile<T: Transport + Send + Sync + 'static>(context: Arc<Context<T>>, name: String) -> Action {
    let known = context.ledger.get(&name);
    let owner = known.as_ref().map(|record| &record.spec.owner);
    let subject = Subject {
        controller: "reset_record",
        kind: "ResetRecord",
        namespace: owner.map(|owner| owner.namespace.as_str()),
        name: owner.map(|owner| owner.name.as_str()),
        record: Some(&name),
    };
    pass::run(&context, subject, reconcile_once(&context, &name)).await
}

/// Reads a record of which this process does not know how it is.
///
/// # Errors
/// As any read. One that is unusable is not an error: the watch shows it so too.
pub(super) async fn read_again<T>(context: &Context<T>, name: &str) -> Result<(), ClusterError> {
    match context.cluster.record(name).await {
        Ok(Some(record)) => context.ledger.put(record),
        Ok(None) | Err(ClusterError::Misnamed { .. } | ClusterError::Unreadable { .. }) => context.ledger.forget(name),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The watch does not show a record. One that this process has written is not gone: it is shown later.
pub fn unseen<T>(context: &Context<T>, name: &str) {
    if context.ledger.get(name).is_none() && !context.ledger.is_doubted(name) {
        forget(context, name);
    }
}

/// Forgets a record that is gone, but not that its attempt was sent: a cache that is behind must not
/// make a sent restart look unsent.
fn forget<T>(context: &Context<T>, name: &str) {
    context.instances.unsubscribe(&Waiter::Record(name.to_owned()));
    context.claim_rate_permits.take(name);
    context.owner_missed_since.take(name);
    context.untimed_since.take(name);
    context.absent.take(name);
    context.ledger.forget(name);
}

async fn reconcile_once<T: Transport>(context: &Context<T>, name: &str) -> Result<Action, ClusterError> {
    context.synced.wait().await;
    if context.ledger.is_doubted(name) {
        read_again(context, name).await?;
    }
    // Its owner's row says so too. A repair changes the record, and the watch wakes.
    if let Some(problem) = context.ledger.record_problem(name) {
        tracing::warn!(?problem, "the record cannot be used until a cluster admin repairs it");
        return Ok(Action::await_change());
    }
    let Some(record) = context.ledger.get(name) else {
        forget(context, name);
        return Ok(Action::await_change());
    };
    let record = record.as_ref().clone();
    if is_done(&record) {
        context.instances.unsubscribe(&Waiter::Record(name.to_owned()));
        return Ok(Action::await_change());
    }
    let observed = observe::observe(context, &record).await;
    match next(&observed.facts(context, &record), observed.now) {
        Step::Done => Ok(Action::await_change()),
        Step::Wait { until, fresh_after } => {
            let pause = clock::until(observed.now, until).max(Duration::from_millis(100));
            if !observed.is_timed {
                return Ok(Action::requeue(pause.min(WITHOUT_TIME)));
            }
            Ok(wait(context, &record, &observed, fresh_after, pause))
        }
        Step::Write(change) => {
            let status = transition::apply(&record, change, observed.reading.as_ref(), observed.now);
            store::write(context, record, status).await?;
            Ok(Action::requeue(AFTER_WRITE))
        }
        // Never so by design: without a reading nothing is due.
        Step::Call(_) if !observed.is_timed => Ok(Action::requeue(WITHOUT_TIME)),
        Step::Call(call) => execute(context, record, &observed, call).await,
    }
}

/// Waits for a reading, a change or the time. A reading that is already known does not wake the waiter, so it is checked once more.
fn wait<T>(
    context: &Context<T>,
    record: &ResetRecord,
    observed: &ObservedClaim,
    fresh_after: Option<jiff::Timestamp>,
    pause: Duration,
) -> Action {
    let spec = &record.spec;
    let scope = readings::scope(spec);
    let waiter = Waiter::Record(ResetRecord::name_of(&spec.region_id, &spec.instance_id));
    let ids = std::slice::from_ref(&spec.instance_id);
    context.instances.subscribe(waiter, &scope, ids, fresh_after, pause + TTL_GRACE);
    let seen = observed.reading.as_ref().map(|reading| reading.sent_at);
    let latest = context.instances.latest(&scope, &spec.instance_id).map(|observation| observation.sent_at);
    if latest > seen { Action::requeue(Duration::from_millis(10)) } else { Action::requeue(pause) }
}

/// Stores the attempt unless it is stored already, makes the call, and writes down what became of it.
async fn execute<T: Transport>(
    context: &Context<T>,
    record: ResetRecord,
    observed: &ObservedClaim,
    call: Call,
) -> Result<Action, ClusterError> {
    if matches!(call, Call::Restart { .. }) && !observe::has_slot(context, &record, observed.now) {
        return Ok(Action::requeue(WITHOUT_SLOT));
    }
    let permit = match permit(context, &record, call) {
        Ok(permit) => permit,
        Err(pause) => return Ok(Action::requeue(pause)),
    };
    let replaces_unsent = observed.facts(context, &record).unsent;
    let propose = |record| {
        let (id, process) = (context.clock.nonce(), context.process.clone());
        let attempt = transition::NewAttempt { id, process, timestamp: observed.now, replaces_unsent };
        Intent::propose(record, call, attempt, context.bounds())
    };
    let intent = match call {
        Call::SetPasswordAsStored => Intent::as_stored(record, call),
        Call::SetPassword => propose(record).store(context).await?,
        Call::Restart { .. } => {
            // A restart has its slot from when it is stored, so the slots are counted again: another one may have been stored since.
            let _counting = context.counting_slots.lock().await;
            if !observe::has_slot(context, &record, observed.now) {
                return Ok(Action::requeue(WITHOUT_SLOT));
            }
            propose(record).store(context).await?
        }
    };
    let (record, outcome) = send::perform(context, observed, intent, permit).await;
    let status = transition::fold(&record, call, &outcome, observed.later(context));
    store::write(context, record, status).await?;
    Ok(Action::requeue(AFTER_WRITE))
}

/// The rate limiter's permit, taken before an attempt is stored. The claim took it for the attempt that it stored.
fn permit<T: Transport>(context: &Context<T>, record: &ResetRecord, call: Call) -> Result<RatePermit, Duration> {
    let action = match call {
        Call::Restart { .. } => ApiCall::RebootInstance,
        Call::SetPassword | Call::SetPasswordAsStored => ApiCall::ModifyInstanceAttribute,
    };
    let stored = record.status.as_ref().and_then(|status| status.attempt.as_ref());
    let scope = readings::scope(&record.spec);
    let is_of_claim = |id: &String| call == Call::SetPasswordAsStored && stored.is_some_and(|it| it.id == *id);
    let still_counts = |permit: &RatePermit| context.calls.still_counts(&scope, action, permit);
    match context.claim_rate_permits.take(&record.name_any()) {
        Some((id, permit)) if is_of_claim(&id) && still_counts(&permit) => Ok(permit),
        _ => context.calls.acquire_rate(&scope, action, &record.name_any()).map_err(clock::until_instant),
    }
}
