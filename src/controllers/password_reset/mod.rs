//! One object: resolves its instances, claims those that may start now, and shows where all of them stand.
//!
//! ```text
//! observe (reads) ─▶ decide::reset::plan (pure) ─▶ claim (CAS) ─▶ decide::reset::status (pure) ─▶ publish (status)
//! ```
//! A pass decides on the newest version of the object that this process knows, and reads object and Secret again in front of claims.
//! It never calls ECS with a change: a claim is a write of a record, and the record's reconciler takes it from there.

mod claim;
mod denials;
mod observe;
mod pace;
mod password;
mod publish;
mod select;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::controller::Action;

use crate::api::conditions::ready;
use crate::api::password_reset::{PasswordReset, State};
use crate::clock;
use crate::cluster::ClusterError;
use crate::cluster::objects::ObjectKey;
use crate::cluster::unreadable;
use crate::cluster::wake::Waiter;
use crate::controllers::Context;
use crate::controllers::pass::{self, Subject};
use crate::controllers::turns;
use crate::decide::reset::plan::{Plan, plan};
use crate::decide::reset::targets::Targets;
use crate::decide::reset::{rows, status};
use crate::ecs::Transport;
use observe::ObservedReset;

pub use denials::LoggedDenials;
pub use pace::LastPass;

const KIND: &str = "PasswordReset";
/// How soon to reconcile again while the account is checked for the first time. That check wakes its objects.
const AFTER_START: Duration = Duration::from_secs(5);
/// How soon to look again where it is not certain that a memory is lost.
const AFTER_DOUBT: Duration = Duration::from_secs(1);
/// The Secret is not read again sooner than this.
const SECRET_POLL_MIN: Duration = Duration::from_millis(100);
/// How long an interest in readings outlives the next pass that is due anyway.
const TTL_GRACE: Duration = Duration::from_mins(1);

/// One pass over an object.
pub async fn reconcile<T: Transport>(context: Arc<Context<T>>, namespace: String, name: String) -> Action {
    let subject = Subject {
        controller: "password_reset",
        kind: KIND,
        namespace: Some(&namespace),
        name: Some(&name),
        record: None,
    };
    let pass = async {
        let ended = reconcile_once(&context, &namespace, &name).await;
        if ended.as_ref().is_err_and(ClusterError::shows_another_version) {
            // The object is not what was known of it, or may not be.
            context.objects.doubt(&ObjectKey::new(&namespace, &name));
        }
        ended
    };
    pass::run(&context, subject, pass).await
}

/// Forgets an object that is gone. Its claims in flight are driven to their ends all the same.
pub fn forget<T>(context: &Context<T>, namespace: &str, name: &str) {
    context.instances.unsubscribe(&waiter(namespace, name));
    context.objects.forget(&ObjectKey::new(namespace, name));
    context.urgent.take(&ObjectKey::new(namespace, name));
    context.status_writes.take(&key(namespace, name));
    context.last_passes.take(&key(namespace, name));
    context.looked_up.take(&key(namespace, name));
    context.turns.forget(&key(namespace, name));
    context.at_rest.forget(&ObjectKey::new(namespace, name));
    context.denials.take(&key(namespace, name));
    context.metrics.forget(KIND, &key(namespace, name));
}

fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

fn waiter(namespace: &str, name: &str) -> Waiter {
    Waiter::Object { namespace: namespace.to_owned(), name: name.to_owned() }
}

async fn reconcile_once<T: Transport>(
    context: &Context<T>,
    namespace: &str,
    name: &str,
) -> Result<Action, ClusterError> {
    context.synced.wait().await;
    let object = match known(context, namespace, name).await {
        Ok(object) if object.metadata.deletion_timestamp.is_none() => object,
        Ok(_) | Err(ClusterError::NotFound { .. }) => {
            forget(context, namespace, name);
            return Ok(Action::await_change());
        }
        Err(ClusterError::Unreadable { why, generation, .. }) => {
            tracing::warn!(error = why, "the object cannot be read");
            context.turns.forget(&key(namespace, name));
            let conditions = unreadable::conditions(&why, generation, context.clock.now());
            context.metrics.set_object(KIND, &key(namespace, name), ready(&conditions), BTreeMap::new());
            let patch = unreadable::status_patch(&conditions, generation);
            context.cluster.merge_password_reset_status(namespace, name, &patch).await?;
            return Ok(Action::await_change());
        }
        Err(error) => return Err(error),
    };
    if let Some(pause) = pace::not_yet(context, &ObjectKey::new(namespace, name), &object) {
        return Ok(Action::requeue(pause));
    }
    let began = clock::instant();
    let Some(observed) = observe::observe(context, object).await else {
        return Ok(Action::requeue(AFTER_START));
    };
    if observed.targets == Targets::ToResolve && !observed.facts().has_expired(observed.now) {
        // It has nothing to take a slot for yet, and keeps none from others.
        context.turns.forget(&key(namespace, name));
        return select::resolve(context, observed).await.map(Action::requeue);
    }
    let mut plan = plan(&observed.facts(), &observed.targets(), observed.now);
    claim::record_decision(context, &observed, &mut plan).await?;
    if !claim::record_losses(context, &observed, &mut plan).await {
        return Ok(Action::requeue(AFTER_DOUBT));
    }
    let claimed = claim::make_claims(context, &observed, &mut plan).await;
    note_turn(context, &observed, &plan);
    note_rest(context, &observed, &plan);
    if let Some(account) = observed.account_out_of_use() {
        rows::hold_up(&mut plan.rows, account);
    }
    let next = next_requeue(context, &observed, &plan);
    // Before the status: what it waits for is on its way meanwhile.
    ask(context, &observed, &plan, [claimed, next].into_iter().flatten().min());
    let status = status::status(&observed.facts(), &plan, observed.now);
    let written = publish::write(context, &observed, status).await?;
    let pause = [claimed, written, next].into_iter().flatten().min();
    pace::note(context, began, &observed.object, &plan, pause);
    Ok(pause.map_or_else(Action::await_change, Action::requeue))
}

/// Notes where the object waits for a slot of its account.
fn note_turn<T>(context: &Context<T>, observed: &ObservedReset, plan: &Plan) {
    let (account, owner) = (&observed.scope.account, &observed.request.owner);
    let queues = plan.waits_for_account.iter().map(|zone| turns::queue(account, zone.as_deref())).collect();
    context.turns.wait(&key(&owner.namespace, &owner.name), &queues, plan.claimed > 0);
}

/// The object in its newest known form; read, where it is not known how it is.
async fn known<T>(context: &Context<T>, namespace: &str, name: &str) -> Result<Arc<PasswordReset>, ClusterError> {
    let key = ObjectKey::new(namespace, name);
    let known = context.objects.get(&key);
    if !context.objects.is_doubted(&key) {
        return known;
    }
    let object = context.cluster.password_reset(namespace, name).await?;
    Ok(context.objects.put(object, known.ok().and_then(|known| known.metadata.resource_version.clone())))
}

/// When to look again by itself: at the next deadline, and while work is open for the sake of the Secret.
fn next_requeue<T>(context: &Context<T>, observed: &ObservedReset, plan: &Plan) -> Option<Duration> {
    let is_open = is_open(observed, plan);
    let deadline = plan.wake.map(|wake: Timestamp| clock::until(observed.now, wake) + Duration::from_millis(50));
    let age = context.secrets.age(&observed.secret).unwrap_or_default();
    let secret = is_open.then(|| context.settings.secret_poll.saturating_sub(age).max(SECRET_POLL_MIN));
    [deadline, secret].into_iter().flatten().min()
}

/// Whether the object itself reads its Secret again. A failure counts: another password is a reason to try again. A plan reads it again only
/// while it could not be read.
fn is_open(observed: &ObservedReset, plan: &Plan) -> bool {
    let is_open = plan.rows.iter().any(|row| !row.state.has_ended() || row.state == State::Failed);
    is_open && (!observed.object.spec.is_plan() || observed.secret_hold.is_some())
}

/// Notes whether a changed Secret concerns the object at rest.
fn note_rest<T>(context: &Context<T>, observed: &ObservedReset, plan: &Plan) {
    let object = ObjectKey::new(&observed.request.owner.namespace, &observed.request.owner.name);
    if observed.request.resets_on_change && !is_open(observed, plan) {
        context.at_rest.note(object, observed.secret.clone(), observed.secret_version.clone());
    } else {
        context.at_rest.forget(&object);
    }
}

/// Asks for readings of the instances that wait for one.
fn ask<T>(context: &Context<T>, observed: &ObservedReset, plan: &Plan, pause: Option<Duration>) {
    let waiter = waiter(&observed.request.owner.namespace, &observed.request.owner.name);
    if plan.watch.is_empty() {
        context.instances.unsubscribe(&waiter);
        return;
    }
    let ttl = pause.unwrap_or_default() + context.settings.secret_poll + TTL_GRACE;
    context.instances.subscribe(waiter, &observed.scope, &plan.watch, None, ttl);
}
