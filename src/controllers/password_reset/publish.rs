//! The record step of an object: its status, paced by its size and only when something changed, and its events,
//! which are the differences between two statuses.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::observe::ObservedReset;
use super::{KIND, key};
use crate::api::conditions;
use crate::api::password_reset::{Counts, PasswordReset, PasswordResetStatus, Run};
use crate::clock;
use crate::cluster::ClusterError;
use crate::controllers::Context;
use crate::decide::reset::events;

/// How far apart two statuses are: a status of many rows costs the API server more. One that changes Ready is written at once.
fn pace(rows: usize) -> SignedDuration {
    let beyond = i64::try_from(rows.saturating_sub(FEW_ROWS)).unwrap_or(i64::MAX);
    SignedDuration::from_millis(beyond.saturating_mul(MILLIS_A_ROW).saturating_add(1_000))
}

/// Up to so many rows a status is written once a second.
const FEW_ROWS: usize = 10;
/// Each row more makes the pause longer by this: five seconds at a hundred.
const MILLIS_A_ROW: i64 = 44;

/// Writes the status where it has changed. Returns when to come back if it was too soon.
pub(super) async fn write<T>(
    context: &Context<T>,
    observed: &ObservedReset,
    status: PasswordResetStatus,
) -> Result<Option<Duration>, ClusterError> {
    let key = key(&observed.request.owner.namespace, &observed.request.owner.name);
    measure(context, &key, &status);
    if status == observed.before {
        return Ok(None);
    }
    let (now, pace) = (context.clock.now(), pace(status.instances.len()));
    // The reason of a wait may change with each step of a claim, and is for people: a second later will do.
    let truth = |status: &PasswordResetStatus| conditions::ready(&status.conditions).0;
    let ready_changes = truth(&status) != truth(&observed.before);
    let is_recent = |last: &Timestamp| clock::is_recent(*last, now, pace);
    if let Some(last) = context.status_writes.get(&key).filter(is_recent).filter(|_| !ready_changes) {
        return Ok(Some(clock::until(now, last + pace)));
    }
    write_now(context, observed, status).await?;
    Ok(None)
}

/// Writes the status, whenever the last one was written.
pub(super) async fn write_now<T>(
    context: &Context<T>,
    observed: &ObservedReset,
    status: PasswordResetStatus,
) -> Result<(), ClusterError> {
    let mut object = PasswordReset::clone(&observed.object);
    object.status = Some(status);
    let written = context.cluster.write_password_reset_status(&object).await?;
    let owner = &observed.request.owner;
    context.status_writes.set(&key(&owner.namespace, &owner.name), context.clock.now());
    let written = context.objects.put(written, observed.object.metadata.resource_version.clone());
    publish(context, &observed.before, &written).await;
    Ok(())
}

async fn publish<T>(context: &Context<T>, before: &PasswordResetStatus, written: &PasswordReset) {
    let Some(after) = &written.status else { return };
    log_run(written, before.run.as_ref(), after);
    log_ready(&before.conditions, &after.conditions);
    for event in events::between(&written.spec, before, after) {
        let published = context.cluster.publish(written, event.kind, event.reason.as_str(), &event.note).await;
        if let Err(error) = published {
            tracing::warn!(%error, reason = %event.reason, "an event was lost");
        }
    }
}

/// One line for a change of Ready: a warning where a person is asked, and where something in the way is retried.
fn log_ready(before: &[Condition], after: &[Condition]) {
    let (was, because) = conditions::ready(before);
    if (was, because) == conditions::ready(after) {
        return;
    }
    let Some(Condition { status, reason, message, .. }) = conditions::find(after, conditions::READY) else { return };
    if status == "False" || conditions::is_retried(after) {
        tracing::warn!(ready = status, reason, detail = message, was, because, "Ready has changed");
    } else {
        tracing::info!(ready = status, reason, detail = message, was, because, "Ready has changed");
    }
}

/// One line for the beginning of a run and one for its end.
fn log_run(object: &PasswordReset, before: Option<&Run>, after: &PasswordResetStatus) {
    let Some(run) = &after.run else { return };
    let (number, trigger, run_id) = (run.number, run.trigger, object.spec.run_id.as_deref());
    let known = before.filter(|before| before.number == number);
    if known.is_none() {
        let instances = after.instances.len();
        tracing::info!(run = number, ?trigger, runID = run_id, instances, "a run has begun");
    }
    if let Some(end) = &run.completion_time
        && known.is_none_or(|known| known.completion_time.is_none())
    {
        let seconds = end.0.duration_since(run.start_time.0).as_secs();
        let Counts { in_effect, effective_at_next_start, superseded, failed, unknown, .. } =
            after.counts.unwrap_or_default();
        tracing::info!(
            run = number,
            runID = run_id,
            seconds,
            inEffect = in_effect,
            effectiveAtNextStart = effective_at_next_start,
            superseded,
            failed,
            unknown,
            "a run has ended"
        );
    }
}

fn measure<T>(context: &Context<T>, key: &str, status: &PasswordResetStatus) {
    let counts = status.counts.unwrap_or_default();
    let rows = BTreeMap::from([
        ("Pending", u64::from(counts.pending)),
        ("InProgress", u64::from(counts.in_progress)),
        ("InEffect", u64::from(counts.in_effect)),
        ("EffectiveAtNextStart", u64::from(counts.effective_at_next_start)),
        ("Superseded", u64::from(counts.superseded)),
        ("Failed", u64::from(counts.failed)),
        ("Unknown", u64::from(counts.unknown)),
        ("Expired", u64::from(counts.expired.unwrap_or_default())),
    ]);
    context.metrics.set_object(KIND, key, conditions::ready(&status.conditions), rows);
}
