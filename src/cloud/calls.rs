//! One call to ECS with everything around it: the limiter before, the clock, the metrics and the cooling after.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::api::Reason;
use crate::clock::{self, Clock};
use crate::cloud::accounts::{AccountObservations, UsableAccount, not_ready};
use crate::decide::{Hold, later};
use crate::ecs::{
    ApiCall, ApiResponse, CallError, Class, EcsClient, Keys, LimitKey, Limiter, RatePermit, RegionEndpoint, Reply,
    Scope, ServerClock, Signed, Stamp, Transport,
};
use crate::failpoint;
use crate::metrics::Metrics;
use jiff::{SignedDuration, Timestamp};

/// Calls per second of an account that names no rate; see `limits.requestsPerSecond`.
const DEFAULT_PER_SECOND: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// Makes calls.
pub struct Calls<T> {
    client: EcsClient<T>,
    limiter: Limiter,
    clock: Clock,
    metrics: Arc<Metrics>,
    wake_account: Box<dyn Fn(&str) + Send + Sync>,
}

impl<T: Transport> Calls<T> {
    /// Calls through `client`. `wake_account` is called with the name of an account whose credentials ECS refuses, or whose calls it throttles.
    pub fn new(
        client: EcsClient<T>,
        clock: Clock,
        metrics: Arc<Metrics>,
        wake_account: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let wake_account = Box::new(wake_account);
        Self { client, limiter: Limiter::new(DEFAULT_PER_SECOND), clock, metrics, wake_account }
    }

    /// The client, for what is not a call to ECS or STS.
    pub fn client(&self) -> &EcsClient<T> {
        &self.client
    }

    /// ECS's clock for an account.
    pub fn now(&self, account: &UsableAccount) -> Timestamp {
        account.clock().now(self.clock.now())
    }

    /// A Timestamp on ECS's clock with a new nonce, for a call that is not a step of the protocol.
    pub fn stamp(&self, server_clock: &ServerClock) -> Stamp {
        Stamp { timestamp: server_clock.now(self.clock.now()), nonce: self.clock.nonce() }
    }

    /// Sets the rate of an account.
    pub fn set_rate(&self, account: &str, requests_per_second: u32) {
        if let Some(rate) = NonZeroU32::new(requests_per_second) {
            self.limiter.set_rate(account, rate);
        }
    }

    /// Leave for `who` to make one call now, or when to come back.
    ///
    /// # Errors
    /// The moment to come back at.
    pub fn acquire_rate(&self, scope: &Scope, action: ApiCall, who: &str) -> Result<RatePermit, Instant> {
        self.limiter.try_acquire(&key(scope, action), who)
    }

    /// Whether a permit that was taken some time ago still counts.
    pub fn still_counts(&self, scope: &Scope, action: ApiCall, permit: &RatePermit) -> bool {
        self.limiter.still_counts(&key(scope, action), permit)
    }

    /// Until when ECS throttles the changing calls of an account in a region, as far as is known.
    pub fn throttled_until(&self, scope: &Scope) -> Option<Instant> {
        let changing = [ApiCall::ModifyInstanceAttribute, ApiCall::RebootInstance];
        changing.into_iter().filter_map(|action| self.limiter.throttled_until(&key(scope, action))).max()
    }

    /// Sends a signed call, once. `permit` was taken for it, before its attempt was stored.
    pub async fn send<A: ApiResponse>(&self, to: Destination<'_>, permit: RatePermit, signed: Signed<A>) -> Reply<A> {
        let action = signed.action();
        let sent = self.clock.now();
        let reply = failpoint::around("call", action.as_str(), self.client.send(signed)).await;
        let received = self.clock.now();
        if let Some(server_time) = reply.server_time {
            to.learnt.clock.observe(server_time, sent, received);
        }
        let took = Duration::try_from(received.duration_since(sent)).unwrap_or_default();
        let code = reply.result.as_ref().err().map_or("OK", CallError::label);
        self.metrics.provider_call(action.as_str(), code, took);
        self.learn(to, action, &reply.result);
        let key = key(to.scope, action);
        match &reply.result {
            Err(CallError::Refused(refusal)) if refusal.class == Class::Throttled => {
                self.metrics.provider_throttled(&to.scope.account, action.as_str());
                self.limiter.throttled(&key, &permit, refusal.retry_after, reply.server_time);
                self.tell_of_throttling(to, &key);
            }
            Ok(_) | Err(CallError::Refused(_)) => self.limiter.succeeded(&key, &permit),
            Err(CallError::NotSent(_) | CallError::NoAnswer(_)) => {}
        }
        reply
    }

    /// Has the account show that ECS throttles it.
    fn tell_of_throttling(&self, to: Destination<'_>, key: &LimitKey) {
        let pause = self.limiter.throttled_until(key).map(clock::until_instant);
        let Some(pause) = pause.and_then(|pause| SignedDuration::try_from(pause).ok()) else { return };
        if to.learnt.throttle(&to.scope.region_id, later(to.learnt.clock.now(self.clock.now()), pause)) {
            (self.wake_account)(&to.scope.account);
        }
    }

    /// Takes in what an answer of ECS says about the account. Credentials that ECS will not have are looked after at once.
    fn learn<A: ApiResponse>(&self, to: Destination<'_>, action: ApiCall, result: &Result<A, CallError>) {
        if !action.is_of_ecs() {
            return;
        }
        match result {
            Ok(answer) => {
                to.learnt.accept();
                if answer.shows_permission() {
                    to.learnt.set_permitted(&to.scope.region_id, action, true);
                }
            }
            Err(CallError::Refused(refusal)) if refusal.names_a_missing_permission() => {
                to.learnt.set_permitted(&to.scope.region_id, action, false);
            }
            Err(CallError::Refused(refusal)) if refusal.names_bad_credentials() => {
                to.learnt.reject(to.access_key_id, &refusal.code, to.learnt.clock.now(self.clock.now()));
                (self.wake_account)(&to.scope.account);
            }
            Err(_) => {}
        }
    }
}

/// Where a call goes and who makes it, for the limiter and for what its answer tells.
#[derive(Clone, Copy)]
pub struct Destination<'a> {
    /// The account and the region.
    pub scope: &'a Scope,
    /// The access key that signs.
    pub access_key_id: &'a str,
    /// What takes in the answer.
    pub learnt: &'a AccountObservations,
}

/// What a call to a ready account needs at `now`, on its clock; `Err`: why there is none.
///
/// # Errors
/// Why the account cannot be called.
pub fn prepare<'a>(
    account: &'a UsableAccount,
    scope: &'a Scope,
    now: Timestamp,
) -> Result<(RegionEndpoint, &'a Keys, Destination<'a>), Hold> {
    let hold = |message: String| Hold::new(Reason::AccountNotReady, message);
    let principal = account.principal.as_ref().map_err(|hold| not_ready(&account.name, hold.reason))?;
    if principal.has_expired(now) {
        return Err(hold("the credentials have expired, and no new ones could be obtained yet".to_owned()));
    }
    let credentials = &principal.credentials;
    let endpoint = account.endpoint(&scope.region_id).map_err(|error| hold(error.to_string()))?;
    let access_key_id = &credentials.access_key_id;
    let destination = Destination { scope, access_key_id, learnt: &account.learnt };
    Ok((endpoint, credentials, destination))
}

fn key(scope: &Scope, action: ApiCall) -> LimitKey {
    LimitKey { scope: scope.clone(), action }
}
