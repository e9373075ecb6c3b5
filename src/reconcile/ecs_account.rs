//! One account: loads its credentials, asks ECS who they speak for, and says in status whether it can be used.
//!
//! It makes one read-only call, `GetCallerIdentity`. Credentials go into [`super::accounts`] and nowhere else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::Context;
use super::accounts;
use super::calls::Destination;
use super::cluster::ClusterError;
use super::pass::{self, Subject};
use super::passwords::RawSecret;
use super::policies;
use super::unreadable;
use super::wake::Waker;
use crate::api::conditions::{self, Claim, Truth};
use crate::api::ecs_account::{ECSAccount, ECSAccountSpec, ECSAccountStatus, RegionStatus};
use crate::api::password_reset::PasswordReset;
use crate::api::reasons;
use crate::credentials;
use crate::decide::rollout::Block;
use crate::decide::start_time;
use crate::ecs::{
    Action as EcsAction, CallerIdentity, Class, Credentials, ServerClock, Transport, get_caller_identity,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// How soon an account that is not ready is looked at again.
const RETRY: Duration = Duration::from_secs(15);
/// The region whose endpoints are asked where an account names none.
const DEFAULT_REGION: &str = "cn-hangzhou";

/// One pass over an account.
pub async fn reconcile<T: Transport>(context: Arc<Context<T>>, waker: Waker, name: String) -> Action {
    let subject = Subject { controller: "ecs_account", kind: "ECSAccount", namespace: "", name: &name };
    pass::run(&context, subject, check(&context, &waker, &name)).await
}

async fn check<T: Transport>(context: &Context<T>, waker: &Waker, name: &str) -> Result<Action, ClusterError> {
    let account = match context.cluster.ecs_account(name).await {
        Ok(account) => account,
        Err(ClusterError::NotFound { .. }) => {
            context.accounts.forget(name);
            wake_objects(context, waker, name);
            return Ok(Action::await_change());
        }
        Err(ClusterError::Unreadable { why, generation, .. }) => {
            context.accounts.forget(name);
            wake_objects(context, waker, name);
            let patch = unreadable::status_patch(&why, generation, context.clock.now());
            context.cluster.merge_ecs_account_status(name, &patch).await?;
            return Ok(Action::await_change());
        }
        Err(error) => return Err(error),
    };
    context.calls.set_rate(name, account.spec.requests_per_second());
    let clock = context.accounts.get(name).map_or_else(Arc::default, |account| Arc::clone(&account.clock));
    let (usable, identity) = match identify(context, &account, &clock).await {
        Ok((credentials, identity)) => (Ok(credentials), Some(identity)),
        Err(block) => (Err(block), None),
    };
    // The credentials stay usable without the policies, for what has begun: the start of work asks `policies` itself.
    if policies::look(context).await {
        wake_all_objects(context, waker);
    }
    let block = usable.as_ref().err().cloned().or_else(|| context.policies.block());
    let checks = context.settings.account_check.min(context.settings.policy_check);
    let pause = if block.is_none() { checks } else { RETRY.min(checks) };
    if context.accounts.set(name, account.spec.clone(), usable, clock) {
        wake_objects(context, waker, name);
    }
    write_status(context, account, identity, block).await?;
    Ok(Action::requeue(pause))
}

fn wake_objects<T>(context: &Context<T>, waker: &Waker, account: &str) {
    wake_objects_that(context, waker, |object| object.spec.account_name() == account);
}

fn wake_all_objects<T>(context: &Context<T>, waker: &Waker) {
    wake_objects_that(context, waker, |_| true);
}

fn wake_objects_that<T>(context: &Context<T>, waker: &Waker, concerned: impl Fn(&PasswordReset) -> bool) {
    for guard in context.password_resets.state() {
        if let Ok(object) = &guard.0
            && concerned(object)
        {
            waker.wake(&super::wake::Waiter::Object {
                namespace: object.namespace().unwrap_or_default(),
                name: object.name_any(),
            });
        }
    }
}

/// The credentials and who they speak for; else what is in the way.
async fn identify<T: Transport>(
    context: &Context<T>,
    account: &ECSAccount,
    clock: &ServerClock,
) -> Result<(Credentials, CallerIdentity), Block> {
    let name = account.name_any();
    let spec = &account.spec;
    let block = |reason, message| Block { reason, message };
    let region = spec.regions.as_ref().and_then(|regions| regions.first()).map_or(DEFAULT_REGION, String::as_str);
    let endpoint =
        accounts::endpoint(spec, region).map_err(|error| block(reasons::ENDPOINT_REFUSED, error.to_string()))?;
    let plain = [&endpoint.ecs_url, &endpoint.sts_url].iter().any(|url| url.starts_with("http://"));
    if plain && !context.settings.allow_http_endpoints {
        let message = "endpoint.url must be https; http is for demos and tests, with --allow-http-endpoints".to_owned();
        return Err(block(reasons::ENDPOINT_REFUSED, message));
    }
    let credentials = load(context, spec).await.map_err(|why| block(reasons::CREDENTIALS_NOT_FOUND, why))?;
    let permit = context
        .calls
        .permit(&name, region, EcsAction::GetCallerIdentity)
        .map_err(|_| block(reasons::THROTTLED, "waiting for the rate limit".to_owned()))?;
    let signed = get_caller_identity(&endpoint, &credentials, &context.calls.stamp(clock));
    let destination = Destination { account: &name, region, server_clock: clock };
    let identity = context.calls.send(destination, permit, signed).await.result.map_err(|error| {
        let reason = match error.class() {
            Class::Auth | Class::Denied => reasons::CREDENTIALS_REFUSED,
            Class::Throttled => reasons::THROTTLED,
            _ => reasons::ECS_UNAVAILABLE,
        };
        block(reason, format!("GetCallerIdentity: {error}"))
    })?;
    let limit = SignedDuration::try_from(context.settings.clock_skew_limit).unwrap_or(SignedDuration::MAX);
    match clock.skew() {
        Some(skew) if skew.abs() > limit => {
            let message = format!(
                "this machine's clock is {} s off ECS's, more than {} s; nothing is started until it is set right",
                skew.as_secs().abs(),
                limit.as_secs()
            );
            Err(block(reasons::CLOCK_SKEW, message))
        }
        _ => Ok((credentials, identity)),
    }
}

async fn load<T>(context: &Context<T>, spec: &ECSAccountSpec) -> Result<Credentials, String> {
    let Some(reference) = &spec.credentials.secret_ref else {
        return credentials::from_environment(|name| std::env::var(name).ok()).map_err(|error| error.to_string());
    };
    let namespace = context.cluster.namespace();
    let secret: RawSecret = context
        .cluster
        .get(namespace, &reference.name)
        .await
        .map_err(|error| format!("{error} (namespace {namespace})"))?;
    credentials::from_secret(&reference.name, |key| secret.text(key)).map_err(|error| error.to_string())
}

async fn write_status<T>(
    context: &Context<T>,
    mut account: ECSAccount,
    identity: Option<CallerIdentity>,
    block: Option<Block>,
) -> Result<(), ClusterError> {
    let before = account.status.clone().unwrap_or_default();
    let claim = |kind, truth, reason, message: String| Claim { kind, truth, reason, message };
    let claims = match block {
        None => {
            let message = "the credentials are accepted".to_owned();
            vec![claim(conditions::READY, Truth::True, reasons::ACCOUNT_READY, message)]
        }
        Some(Block { reason, message }) if is_for_a_person(reason) => vec![
            claim(conditions::READY, Truth::False, reason, message.clone()),
            claim(conditions::STALLED, Truth::True, reason, message),
        ],
        Some(Block { reason, message }) => vec![
            claim(conditions::READY, Truth::Unknown, reason, message.clone()),
            claim(conditions::RECONCILING, Truth::True, reasons::PROGRESSING_WITH_RETRY, message),
        ],
    };
    let generation = account.metadata.generation;
    let (account_id, identity_arn) = match identity {
        Some(CallerIdentity { account_id, identity_arn, .. }) => (Some(account_id), Some(identity_arn)),
        None => (before.account_id.clone(), before.identity_arn.clone()),
    };
    let status = ECSAccountStatus {
        observed_generation: generation,
        conditions: conditions::set(&before.conditions, claims, generation, &Time(context.clock.now())),
        account_id,
        identity_arn,
        credentials_expire_time: None,
        missing_permissions: Vec::new(),
        regions: regions(context, &account.name_any(), &before),
    };
    if status == before {
        return Ok(());
    }
    account.status = Some(status);
    context.cluster.write_ecs_account_status(&account).await.map(|_| ())
}

/// What was learnt about each region, from the records and from what was known before.
fn regions<T>(context: &Context<T>, account_name: &str, before: &ECSAccountStatus) -> Vec<RegionStatus> {
    context.ledger.look(|records| {
        let of_account = records.iter().filter(|record| record.spec.account_name == account_name);
        let known = before.regions.iter().map(|region| &region.region_id);
        let ids: BTreeSet<&String> = of_account.map(|record| &record.spec.region_id).chain(known).collect();
        let learnt = |region_id: &String| {
            let known = before.start_time_follows_reboot(region_id);
            let start_time_follows_reboot = start_time::learn(known, account_name, region_id, records);
            RegionStatus { region_id: region_id.clone(), start_time_follows_reboot }
        };
        ids.into_iter().map(learnt).collect()
    })
}

/// Whether a person has to see to it: nothing that the controller retries will mend it.
fn is_for_a_person(reason: &str) -> bool {
    [reasons::CREDENTIALS_REFUSED, reasons::ENDPOINT_REFUSED, reasons::CLOCK_SKEW, reasons::POLICY_MISSING]
        .contains(&reason)
}
