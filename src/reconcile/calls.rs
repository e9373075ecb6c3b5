//! One call to ECS with everything around it: the limiter before, the clock, the metrics and the cooling after.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::accounts::Account;
use crate::clock::Clock;
use crate::ecs::{
    Action, Answer, CallError, Class, Client, Credentials, Endpoint, LimitKey, LimitPermit, Limiter, Reply,
    ServerClock, Signed, Stamp, Transport,
};
use crate::failpoint;
use crate::metrics::Metrics;
use jiff::Timestamp;

/// Calls per second of an account that names no rate; see `limits.requestsPerSecond`.
const DEFAULT_PER_SECOND: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// Makes calls.
pub struct Calls<T> {
    client: Client<T>,
    limiter: Limiter,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl<T: Transport> Calls<T> {
    /// Calls through `client`.
    #[must_use]
    pub fn new(client: Client<T>, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self { client, limiter: Limiter::new(DEFAULT_PER_SECOND), clock, metrics }
    }

    /// ECS's clock for an account.
    pub fn now(&self, account: &Account) -> Timestamp {
        account.clock.now(self.clock.now())
    }

    /// A Timestamp on ECS's clock with a fresh nonce, for a call that is no step of the protocol.
    pub fn stamp(&self, server_clock: &ServerClock) -> Stamp {
        Stamp { timestamp: server_clock.now(self.clock.now()), nonce: self.clock.nonce() }
    }

    /// Sets the rate of an account.
    pub fn set_rate(&self, account: &str, requests_per_second: u32) {
        if let Some(rate) = NonZeroU32::new(requests_per_second) {
            self.limiter.set_rate(account, rate);
        }
    }

    /// Leave to make one call now, or when to come back.
    ///
    /// # Errors
    /// The moment to come back at.
    pub fn permit(&self, account: &str, region: &str, action: Action) -> Result<LimitPermit, Instant> {
        self.limiter.try_acquire(&key(account, region, action))
    }

    /// Sends a signed call, once. `permit` was taken for it, before its attempt was stored.
    pub async fn send<A: Answer>(&self, to: Destination<'_>, _permit: LimitPermit, signed: Signed<A>) -> Reply<A> {
        let action = signed.action();
        let sent = self.clock.now();
        let reply = failpoint::around("call", action.as_str(), self.client.send(signed)).await;
        let received = self.clock.now();
        if let Some(server_time) = reply.server_time {
            to.server_clock.observe(server_time, sent, received);
        }
        let took = Duration::try_from(received.duration_since(sent)).unwrap_or_default();
        self.metrics.provider_call(action.as_str(), code(reply.result.as_ref().err()), took);
        let key = key(to.account, to.region, action);
        match &reply.result {
            Err(CallError::Refused(refusal)) if refusal.class == Class::Throttled => {
                self.metrics.provider_throttled(action.as_str());
                self.limiter.throttled(&key, refusal.retry_after);
            }
            Ok(_) | Err(CallError::Refused(_)) => self.limiter.succeeded(&key),
            Err(CallError::NotSent(_) | CallError::Unknown(_)) => {}
        }
        reply
    }
}

/// Where a call goes, for the limiter and the clock.
#[derive(Clone, Copy)]
pub struct Destination<'a> {
    /// The account's name.
    pub account: &'a str,
    /// The region.
    pub region: &'a str,
    /// The clock to keep.
    pub server_clock: &'a ServerClock,
}

/// What a call to a ready account needs; `Err`: why there is none.
///
/// # Errors
/// In words for people.
pub fn prepare<'a>(
    account: &'a Account,
    region: &'a str,
) -> Result<(Endpoint, &'a Credentials, Destination<'a>), String> {
    let credentials = account.credentials.as_ref().map_err(|block| block.message.clone())?;
    let endpoint = account.endpoint(region).map_err(|error| error.to_string())?;
    let destination = Destination { account: &account.name, region, server_clock: &account.clock };
    Ok((endpoint, credentials, destination))
}

fn key(account: &str, region: &str, action: Action) -> LimitKey {
    LimitKey { account: account.to_owned(), region_id: region.to_owned(), action }
}

/// A label: the error code, or what stands for it.
fn code(error: Option<&CallError>) -> &str {
    match error {
        None => "OK",
        Some(CallError::Refused(refusal)) => &refusal.code,
        Some(CallError::NotSent(_)) => "NotSent",
        Some(CallError::Unknown(_)) => "NoAnswer",
    }
}
