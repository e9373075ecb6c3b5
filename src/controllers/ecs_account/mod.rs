//! One account: gets its credentials, asks STS for their identity, and reports in status whether the account can be used.
//!
//! ```text
//! identity (source ─▶ credentials ─▶ whose are they) ─▶ accounts (what passes sign with) ─▶ record (status)
//! ```
//! Only this reconcile gets credentials for its account, so they are never fetched twice at the same time. It changes
//! nothing at the provider. Credentials go into [`crate::cloud::accounts`] and nowhere else.

mod identity;
mod publish;
#[cfg(test)]
mod words_tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;

use crate::api::conditions::ready;
use crate::clock;
use crate::cloud::accounts::{RECHECK, Term};
use crate::cluster::ClusterError;
use crate::cluster::policies;
use crate::cluster::unreadable;
use crate::cluster::wake::{Waiter, Waker};
use crate::controllers::Context;
use crate::controllers::pass::{self, Subject};
use crate::ecs::{ApiCall, Transport};
use crate::settings::Settings;

const KIND: &str = "ECSAccount";
/// How soon to check again after a failed renewal: the old credentials are still valid.
const AFTER_REFRESH: Duration = Duration::from_secs(5);

/// One pass over an account.
pub async fn reconcile<T: Transport>(context: Arc<Context<T>>, waker: Waker, name: String) -> Action {
    let subject = Subject { controller: "ecs_account", kind: KIND, namespace: None, name: Some(&name), record: None };
    pass::run(&context, subject, check(&context, &waker, &name)).await
}

/// Stops using an account that is gone or cannot be read.
pub fn forget<T>(context: &Context<T>, waker: &Waker, name: &str) {
    context.accounts.forget(name);
    context.metrics.forget(KIND, name);
    context.metrics.forget_account(name, ApiCall::ALL.map(ApiCall::as_str));
    wake_all_of(context, waker, name);
}

async fn check<T: Transport>(context: &Context<T>, waker: &Waker, name: &str) -> Result<Action, ClusterError> {
    let account = match context.cluster.ecs_account(name).await {
        Ok(account) => account,
        Err(ClusterError::NotFound { .. }) => {
            forget(context, waker, name);
            return Ok(Action::await_change());
        }
        Err(ClusterError::Unreadable { why, generation, .. }) => {
            forget(context, waker, name);
            tracing::warn!(error = why, "the object cannot be read");
            let conditions = unreadable::conditions(&why, generation, context.clock.now());
            context.metrics.set_object(KIND, name, ready(&conditions), BTreeMap::new());
            let patch = unreadable::status_patch(&conditions, generation);
            context.cluster.merge_ecs_account_status(name, &patch).await?;
            return Ok(Action::await_change());
        }
        Err(error) => return Err(error),
    };
    context.calls.set_rate(name, account.spec.requests_per_second());
    let before = context.accounts.get(name);
    let learnt = before.as_ref().map_or_else(Arc::default, |account| Arc::clone(&account.learnt));
    let mut changed = false;
    if let Some(before) = before.as_ref().filter(|before| before.spec != account.spec) {
        let principal = identity::carried_over(&before.spec, &before.principal, &account.spec);
        changed = context.accounts.set(name, account.spec.clone(), principal, Arc::clone(&learnt));
    }
    let principal = identity::principal(context, &account, &learnt, before.as_deref()).await;
    // The credentials stay usable without the policies, for what has begun: the start of work asks `policies` itself.
    let Context { settings, policies, cluster, clock, .. } = context;
    if !settings.allow_missing_policy && policies::refresh(policies, cluster, settings.policy_check, clock.now()).await
    {
        wake_all_objects(context, waker);
    }
    let missing = || Some(identity::checked_again(&context.policies.hold_all()?, recheck(&context.settings)));
    let hold = principal.as_ref().err().cloned().or_else(missing);
    let checks = context.settings.account_check.min(context.settings.policy_check);
    let mut pause = if hold.is_none() { checks } else { recheck(&context.settings) };
    let known = principal.as_ref().ok().cloned();
    if let Some(Term { refresh_at, .. }) = known.as_ref().and_then(|principal| principal.term) {
        let now = learnt.clock.now(context.clock.now());
        pause = pause.min(clock::until(now, refresh_at).max(AFTER_REFRESH));
    }
    let missing_permissions = learnt.missing_permissions();
    let throttled = learnt.throttled(learnt.clock.now(clock.now()));
    if let Some(first) = throttled.iter().map(|(_, until)| *until).min() {
        pause = pause.min(clock::until(learnt.clock.now(clock.now()), first).max(AFTER_REFRESH));
    }
    changed |= context.accounts.set(name, account.spec.clone(), principal, learnt);
    if changed {
        wake_all_of(context, waker, name);
    }
    publish::write(context, account, known, missing_permissions, &throttled, hold).await?;
    Ok(Action::requeue(pause))
}

/// How soon an account that is not ready is checked again, at the latest.
fn recheck(settings: &Settings) -> Duration {
    RECHECK.min(settings.account_check).min(settings.policy_check)
}

/// Requests a reconcile of everything that uses the account: objects, and claims that have not ended.
fn wake_all_of<T>(context: &Context<T>, waker: &Waker, account: &str) {
    for key in context.objects.of_account(account) {
        waker.wake(&Waiter::Object { namespace: key.namespace, name: key.name });
    }
    for name in context.ledger.open_of_account(account) {
        waker.wake(&Waiter::Record(name));
    }
}

fn wake_all_objects<T>(context: &Context<T>, waker: &Waker) {
    for key in context.objects.keys() {
        waker.wake(&Waiter::Object { namespace: key.namespace, name: key.name });
    }
}
