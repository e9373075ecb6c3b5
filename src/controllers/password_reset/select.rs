//! The look-up of an object's selector: what it matches is stored before anything is claimed, and stays for the request.

use std::time::Duration;

use super::observe::ObservedReset;
use super::{key, publish};
use crate::api::password_reset::{PasswordResetStatus, Selector};
use crate::clock;
use crate::cloud::readings;
use crate::cloud::selection::{self, Matches};
use crate::cluster::ClusterError;
use crate::controllers::Context;
use crate::decide::reset::plan::Plan;
use crate::decide::reset::status;
use crate::decide::reset::targets::{self, Found};
use crate::ecs::{DescribeError, Transport};

/// How soon to reconcile again once the targets are stored.
const AT_ONCE: Duration = Duration::from_millis(10);
/// How soon to look up again after a refusal, or without an account.
const AFTER_ERROR: Duration = Duration::from_secs(5);

/// Looks up the selector and stores what it matches, or shows why it cannot be. Returns when to reconcile again.
pub(super) async fn resolve<T: Transport>(
    context: &Context<T>,
    mut observed: ObservedReset,
) -> Result<Duration, ClusterError> {
    let Some(selector) = &observed.object.spec.selector else { return Ok(AT_ONCE) };
    let mut pause = AFTER_ERROR;
    match look_up(context, &observed, selector).await {
        Some(Ok(found)) => {
            store(context, &observed, selector, found).await?;
            return Ok(AT_ONCE);
        }
        // A limiter that is busy is not an error.
        Some(Err(DescribeError::NotBefore(at))) => pause = clock::until_instant(at),
        Some(Err(error)) => observed.read_hold = Some(readings::read_hold_of(&error, &observed.scope)),
        None => {}
    }
    let rows = observed.before.instances.clone();
    let status = status::status(&observed.facts(), &Plan { rows, ..Plan::default() }, observed.now);
    let written = publish::write(context, &observed, status).await?;
    Ok(written.map_or(pause, |written| written.min(pause)))
}

async fn store<T: Transport>(
    context: &Context<T>,
    observed: &ObservedReset,
    selector: &Selector,
    found: Found,
) -> Result<(), ClusterError> {
    let (before, owner) = (observed.before.targets.as_ref(), &observed.request.owner);
    let found = targets::resolved(&observed.object.spec, selector, &observed.request, before, found, observed.now);
    context.looked_up.set(&key(&owner.namespace, &owner.name), observed.now);
    if Some(&found) == before {
        return Ok(());
    }
    tracing::info!(matched = found.matched, "looked up the selector");
    let status = PasswordResetStatus { targets: Some(found), ..observed.before.clone() };
    publish::write_now(context, observed, status).await
}

/// The instances that match and that the account's rules allow for the object's namespace. `None`: the account cannot be used.
async fn look_up<T: Transport>(
    context: &Context<T>,
    observed: &ObservedReset,
    selector: &Selector,
) -> Option<Result<Found, DescribeError>> {
    let account = observed.account.as_ref()?;
    let namespace = &observed.request.owner.namespace;
    let who = key(namespace, &observed.request.owner.name);
    let found = selection::select(&context.calls, account, &observed.scope, selector, &who).await;
    Some(found.map(|Matches { instances, is_cut_off }| {
        let allowed = instances.into_iter().filter(|instance| account.spec.allows_instance(namespace, &instance.tags));
        Found { ids: allowed.map(|instance| instance.instance_id).collect(), is_cut_off }
    }))
}
