//! How often a call may be made. Waits for nobody: a caller learns when to come back, since a pass never sleeps.
//!
//! ECS counts calls per account, region and API, and so do the buckets here (a GCRA: one instant per bucket, no timer).
//! When ECS throttles all the same, it does so until its fixed minute ends. Calls then stop for everybody until then, and one probe per
//! window goes out until one is not throttled. After that calls go out at half the pace and without a burst, and the pace grows again by a
//! tenth of the account's rate each minute: how much ECS allows is published nowhere, and others may use up part of it.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{ApiCall, Scope};

/// How long ECS counts, from one full minute of its clock to the next; a throttled call is not tried again before that unless the answer
/// says otherwise.
const WINDOW: Duration = Duration::from_mins(1);
/// What each minute without a throttling brings back of the account's rate.
const REGAINED: f64 = 0.1;
/// The slowest pace, as a part of the account's rate: others may use up all that ECS allows for a while.
const SLOWEST: f64 = 0.05;
/// No answer makes us probe more often than this …
const COOLING_MIN: Duration = Duration::from_secs(1);
/// … or keeps us away for longer.
const COOLING_MAX: Duration = Duration::from_mins(10);

/// How soon a caller may come back that asks while a probe is under way.
const PROBE_TAKES: Duration = Duration::from_secs(1);

/// How long a queue is at most. Those who wait may be gone when their moment comes; they must not be waited for.
const QUEUE_MAX: Duration = Duration::from_secs(30);
/// How long a place outlives its moment: a pass comes a little later.
const PLACE_KEPT: Duration = Duration::from_secs(5);

/// The calls that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LimitKey {
    /// The account and the region.
    pub scope: Scope,
    /// The API.
    pub action: ApiCall,
}

/// Leave to make one call. It cannot be given back: a call that is not made after all was merely counted.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub struct RatePermit {
    taken: Instant,
    /// Whether it is the one of a window in which ECS throttles.
    is_probe: bool,
}

/// Counts calls.
pub struct Limiter {
    default_per_second: NonZeroU32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    per_second: HashMap<String, NonZeroU32>,
    buckets: HashMap<LimitKey, Bucket>,
}

struct Bucket {
    /// When the calls made so far would have been made at an even pace.
    paced_until: Instant,
    cooling: Option<Cooling>,
    throttled_last: Option<Instant>,
    slowed: Option<Slowed>,
    /// The moments that were handed out, by who waits for theirs.
    places: HashMap<String, Instant>,
    /// The last of them.
    queued_until: Instant,
    /// Spreads the moments of those without a place.
    spread: Duration,
}

struct Cooling {
    until: Instant,
    /// The one call of this window is out.
    probing: bool,
}

/// A pace that was halved.
struct Slowed {
    /// The part of the account's rate that was left.
    part: f64,
    since: Instant,
}

impl Limiter {
    /// `default_per_second` holds for accounts without a rate of their own. ECS publishes no numbers; 5 is careful.
    pub fn new(default_per_second: NonZeroU32) -> Self {
        Self { default_per_second, state: Mutex::default() }
    }

    /// Sets an account's rate, from the next call on. A second's worth may be used at once.
    pub fn set_rate(&self, account: &str, requests_per_second: NonZeroU32) {
        self.lock().per_second.insert(account.to_owned(), requests_per_second);
    }

    /// A permit for `who` to make one call now, or when to ask again. Each waiter gets a moment of its own: if all got the same
    /// one, they would come back together, and all but one in vain.
    pub fn try_acquire(&self, key: &LimitKey, who: &str) -> Result<RatePermit, Instant> {
        let now = now();
        let mut state = self.lock();
        let per_second = *state.per_second.get(&key.scope.account).unwrap_or(&self.default_per_second);
        let interval = Duration::from_secs(1) / per_second.get();
        let bucket = state.buckets.entry(key.clone()).or_insert_with(|| Bucket::new(now));
        bucket.try_acquire(now, interval, who)
    }

    /// Until when calls are held back because ECS has throttled one.
    pub fn throttled_until(&self, key: &LimitKey) -> Option<Instant> {
        let state = self.lock();
        let cooling = state.buckets.get(key)?.cooling.as_ref().filter(|cooling| !cooling.probing)?;
        Some(cooling.until).filter(|until| *until > now())
    }

    /// Whether a permit that was taken some time ago still counts. If ECS has throttled a call since, it would refuse this one too, or those
    /// that have waited for their moment.
    pub fn still_counts(&self, key: &LimitKey, permit: &RatePermit) -> bool {
        let state = self.lock();
        let last = state.buckets.get(key).and_then(|bucket| bucket.throttled_last);
        last.is_none_or(|last| last < permit.taken)
    }

    /// The call was refused for being one too many. `retry_after` is what the answer said, and the least time to wait; `server_time` is
    /// ECS's clock at that moment.
    pub fn throttled(
        &self,
        key: &LimitKey,
        permit: &RatePermit,
        retry_after: Option<Duration>,
        server_time: Option<Timestamp>,
    ) {
        let now = now();
        let window = server_time.map_or(WINDOW, rest_of_the_minute);
        let mut state = self.lock();
        let Some(bucket) = state.buckets.get_mut(key) else { return };
        // A late answer of the time before a pause that is over.
        let is_of_before = bucket.throttled_last.is_some_and(|last| permit.taken <= last);
        if is_of_before && bucket.cooling.is_none() {
            return;
        }
        // The answer is believed once. If its own probe was throttled too, it did not know better than the window.
        let least = if permit.is_probe { window } else { COOLING_MIN };
        let until = now + retry_after.unwrap_or(window).clamp(least, COOLING_MAX);
        bucket.throttled_last = Some(now);
        match &mut bucket.cooling {
            // One of several that were under way together.
            Some(cooling) if !permit.is_probe => cooling.until = cooling.until.max(until),
            _ => {
                bucket.slow_down(now, until);
                bucket.cooling = Some(Cooling { until, probing: false });
            }
        }
    }

    /// The call was answered, and not with a throttling. Ends the cooling if it was the probe.
    pub fn succeeded(&self, key: &LimitKey, permit: &RatePermit) {
        // A call from before the throttling says nothing about now.
        if permit.is_probe
            && let Some(bucket) = self.lock().buckets.get_mut(key)
        {
            bucket.cooling = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn new(now: Instant) -> Self {
        let places = HashMap::new();
        Self {
            paced_until: now,
            cooling: None,
            throttled_last: None,
            slowed: None,
            places,
            queued_until: now,
            spread: Duration::ZERO,
        }
    }

    /// The part of the account's rate at which calls go out.
    fn part(&self, now: Instant) -> f64 {
        self.slowed.as_ref().map_or(1.0, |slowed| {
            let minutes = now.saturating_duration_since(slowed.since).as_secs_f64() / 60.0;
            (slowed.part + REGAINED * minutes).min(1.0)
        })
    }

    /// From the end of the pause on.
    fn slow_down(&mut self, now: Instant, until: Instant) {
        self.slowed = Some(Slowed { part: (self.part(now) / 2.0).max(SLOWEST), since: until });
    }

    fn try_acquire(&mut self, now: Instant, interval: Duration, who: &str) -> Result<RatePermit, Instant> {
        let part = self.part(now);
        let is_slowed = part < 1.0;
        let interval = interval.div_f64(part);
        let burst = if is_slowed { Duration::ZERO } else { Duration::from_secs(1).saturating_sub(interval) };
        let paced = self.paced_until.checked_sub(burst).unwrap_or(now);
        let again_at = match &self.cooling {
            Some(Cooling { until, probing: true }) if *until > now => (now + PROBE_TAKES).max(paced),
            Some(cooling) => cooling.until.max(paced),
            None => paced,
        };
        let place = self.places.get(who).copied();
        if let Some(place) = place.filter(|place| *place > now) {
            return Err(place.max(again_at));
        }
        // Nobody goes in front of those who wait.
        let is_next = place.is_some() || self.queued_until <= now;
        if again_at > now || !is_next {
            return Err(self.queue(now, again_at, interval, who));
        }
        self.places.remove(who);
        let is_probe = self.cooling.is_some();
        if is_probe {
            // A probe that never reports back costs one window.
            self.cooling = Some(Cooling { until: now + WINDOW, probing: true });
        }
        self.paced_until = self.paced_until.max(now) + interval;
        Ok(RatePermit { taken: now, is_probe })
    }
}

impl Bucket {
    /// The moment at which `who` is to come back.
    fn queue(&mut self, now: Instant, again_at: Instant, interval: Duration, who: &str) -> Instant {
        self.places.retain(|_, place| *place + PLACE_KEPT > now);
        let place = if self.queued_until > now { again_at.max(self.queued_until + interval) } else { again_at };
        if place.saturating_duration_since(again_at.max(now)) > QUEUE_MAX {
            // Those who come back later are spread too, and find a place then.
            self.spread = (self.spread + interval).min(QUEUE_MAX);
            if self.spread == QUEUE_MAX {
                self.spread = Duration::ZERO;
            }
            return again_at.max(now) + QUEUE_MAX + self.spread;
        }
        self.queued_until = place;
        self.places.insert(who.to_owned(), place);
        place
    }
}

/// How long the minute lasts in which ECS counted the call. Its clock is given in whole seconds, cut off: at the end of that time the next
/// minute has begun.
fn rest_of_the_minute(server_time: Timestamp) -> Duration {
    WINDOW.saturating_sub(Duration::from_secs(server_time.as_second().rem_euclid(60).unsigned_abs()))
}

/// Permits are counted on tokio's clock: it never jumps, and tests can pause it.
#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
#[path = "limit_tests.rs"]
mod tests;
