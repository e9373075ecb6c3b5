//! The record step of an object: its status, at most once a second and only when something changed, and its events,
//! which are the differences between two statuses.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;

use super::observe::Observed;
use super::{KIND, key};
use crate::api::conditions;
use crate::api::password_reset::{PasswordReset, PasswordResetStatus};
use crate::clock;
use crate::cluster::ClusterError;
use crate::controllers::Context;
use crate::decide::reset::events;

/// No status is written more often.
const PACE: SignedDuration = SignedDuration::from_secs(1);

/// Writes the status where it has changed. Returns when to come back if it was too soon.
pub(super) async fn write<T>(
    context: &Context<T>,
    observed: &Observed,
    status: PasswordResetStatus,
) -> Result<Option<Duration>, ClusterError> {
    let key = key(&observed.request.owner.namespace, &observed.request.owner.name);
    measure(context, &key, &status);
    if status == observed.before {
        return Ok(None);
    }
    let now = context.clock.now();
    if let Some(last) = context.status_writes.get(&key).filter(|last| clock::is_recent(*last, now, PACE)) {
        return Ok(Some(clock::until(now, last + PACE)));
    }
    let mut object = observed.object.clone();
    object.status = Some(status);
    let written = context.cluster.write_password_reset_status(&object).await?;
    context.status_writes.set(&key, now);
    publish(context, &observed.before, &written).await;
    Ok(None)
}

async fn publish<T>(context: &Context<T>, before: &PasswordResetStatus, written: &PasswordReset) {
    let Some(after) = &written.status else { return };
    for event in events::between(before, after) {
        let published = context.cluster.publish(written, event.kind, event.reason.as_str(), &event.note).await;
        if let Err(error) = published {
            tracing::warn!(%error, reason = %event.reason, "an event was lost");
        }
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
    ]);
    context.metrics.set_object(KIND, key, conditions::ready(&status.conditions), rows);
}
