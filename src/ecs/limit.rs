//! How often a call may be made. Waits for nobody: a caller is told when to come back, since a pass never sleeps.
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

use super::ApiCall;

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

/// How long a queue is at most. Those who wait may be gone when their turn comes; they must not be waited for.
const QUEUE_MAX: Duration = Duration::from_secs(30);
/// How long a place outlives its moment: a pass comes a little later.
const PLACE_KEPT: Duration = Duration::from_secs(5);

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LimitKey {
    /// The account's name in this program.
    pub account: String,
    /// The region.
    pub region_id: String,
    /// The API.
    pub action: ApiCall,
}

/// Leave to make one call. It cannot be given back: a call that is not made after all was merely counted.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub struct RatePermit(());

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
    #[must_use]
    pub fn new(default_per_second: NonZeroU32) -> Self {
        Self { default_per_second, state: Mutex::default() }
    }

    /// Sets an account's rate, from the next call on. A second's worth may be used at once.
    pub fn set_rate(&self, account: &str, requests_per_second: NonZeroU32) {
        self.lock().per_second.insert(account.to_owned(), requests_per_second);
    }

    /// Leave for `who` to make one call now, or when to ask again. Each who waits is given a moment of its own: if all were told the same
    /// one, they would come back together, and all but one in vain.
    pub fn try_acquire(&self, key: &LimitKey, who: &str) -> Result<RatePermit, Instant> {
        let now = now();
        let mut state = self.lock();
        let per_second = *state.per_second.get(&key.account).unwrap_or(&self.default_per_second);
        let interval = Duration::from_secs(1) / per_second.get();
        let bucket = state.buckets.entry(key.clone()).or_insert_with(|| Bucket::new(now));
        bucket.try_acquire(now, interval, who)
    }

    /// Until when calls are held back because ECS has throttled one.
    #[must_use]
    pub fn throttled_until(&self, key: &LimitKey) -> Option<Instant> {
        let state = self.lock();
        let cooling = state.buckets.get(key)?.cooling.as_ref().filter(|cooling| !cooling.probing)?;
        Some(cooling.until).filter(|until| *until > now())
    }

    /// The call was refused for being one too many. `retry_after` is what the answer said, and the least time to wait; `server_time` is
    /// ECS's clock at that moment.
    pub fn throttled(&self, key: &LimitKey, retry_after: Option<Duration>, server_time: Option<Timestamp>) {
        let now = now();
        let window = server_time.map_or(WINDOW, rest_of_the_minute);
        let mut state = self.lock();
        let Some(bucket) = state.buckets.get_mut(key) else { return };
        // The answer is believed once. If its own probe was throttled too, it did not know better than the window.
        let probed_in_vain = bucket.cooling.as_ref().is_some_and(|cooling| cooling.probing);
        let least = if probed_in_vain { window } else { COOLING_MIN };
        let until = now + retry_after.unwrap_or(window).clamp(least, COOLING_MAX);
        if bucket.cooling.is_none() || probed_in_vain {
            bucket.slow_down(now, until);
        }
        let until = match &bucket.cooling {
            // One of several that were under way together.
            Some(cooling) if !cooling.probing => until.max(cooling.until),
            _ => until,
        };
        bucket.cooling = Some(Cooling { until, probing: false });
    }

    /// The call was answered, and not with a throttling. Ends the cooling if it was the probe.
    pub fn succeeded(&self, key: &LimitKey) {
        if let Some(bucket) = self.lock().buckets.get_mut(key) {
            // A call from before the throttling says nothing about now.
            bucket.cooling = bucket.cooling.take().filter(|cooling| !cooling.probing);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn new(now: Instant) -> Self {
        let places = HashMap::new();
        Self { paced_until: now, cooling: None, slowed: None, places, queued_until: now, spread: Duration::ZERO }
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
        let is_in_turn = place.is_some() || self.queued_until <= now;
        if again_at > now || !is_in_turn {
            return Err(self.queue(now, again_at, interval, who));
        }
        self.places.remove(who);
        if let Some(cooling) = &mut self.cooling {
            // A probe that never reports back costs one window.
            *cooling = Cooling { until: now + WINDOW, probing: true };
        }
        self.paced_until = self.paced_until.max(now) + interval;
        Ok(RatePermit(()))
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

/// How long the minute lasts in which ECS counted the call. Its clock is told in whole seconds, cut off: at the end of that time the next
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
mod tests {
    use tokio::time::advance;

    use super::*;

    fn limiter(per_second: u32) -> Limiter {
        Limiter::new(NonZeroU32::new(per_second).unwrap())
    }

    fn key(account: &str) -> LimitKey {
        LimitKey { account: account.into(), region_id: "eu-central-1".into(), action: ApiCall::DescribeInstances }
    }

    fn granted(limiter: &Limiter, account: &str) -> usize {
        (0..100).take_while(|_| limiter.try_acquire(&key(account), "one").is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_s_worth_at_once_and_then_an_even_pace() {
        let limiter = limiter(5);
        assert_eq!(granted(&limiter, "a"), 5);
        let again = limiter.try_acquire(&key("a"), "one").unwrap_err();
        assert_eq!(again - now(), Duration::from_millis(200));
        advance(Duration::from_millis(400)).await;
        assert_eq!(granted(&limiter, "a"), 2);
        advance(Duration::from_hours(1)).await;
        assert_eq!(granted(&limiter, "a"), 5, "idle time is not saved up");
    }

    #[tokio::test(start_paused = true)]
    async fn accounts_do_not_share_and_have_rates_of_their_own() {
        let limiter = limiter(1);
        limiter.set_rate("b", NonZeroU32::new(10).unwrap());
        assert_eq!((granted(&limiter, "a"), granted(&limiter, "b")), (1, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_throttling_one_probe_goes_out_per_window() {
        let limiter = limiter(5);
        assert_eq!(granted(&limiter, "a"), 5);
        limiter.throttled(&key("a"), None, None);
        assert_eq!(limiter.try_acquire(&key("a"), "one"), Err(now() + WINDOW));
        assert_eq!(limiter.throttled_until(&key("a")), Some(now() + WINDOW));
        advance(WINDOW).await;
        assert_eq!(limiter.throttled_until(&key("a")), None);
        assert_eq!(granted(&limiter, "a"), 1);
        limiter.throttled(&key("a"), Some(Duration::from_millis(10)), None);
        assert_eq!(limiter.try_acquire(&key("a"), "one"), Err(now() + WINDOW), "its probe failed: a window at least");
        advance(WINDOW).await;
        assert_eq!(granted(&limiter, "a"), 1);
        limiter.succeeded(&key("a"));
        advance(WINDOW * 10).await;
        assert_eq!(granted(&limiter, "a"), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_ends_with_the_minute_in_which_ecs_counts() {
        let limiter = limiter(5);
        assert_eq!(granted(&limiter, "a"), 5);
        limiter.throttled(&key("a"), None, Some("2026-11-30T05:21:48Z".parse().unwrap()));
        assert_eq!(limiter.throttled_until(&key("a")), Some(now() + Duration::from_secs(12)));
        advance(Duration::from_secs(12)).await;
        assert_eq!(granted(&limiter, "a"), 1);
        limiter.throttled(&key("a"), Some(Duration::from_secs(1)), Some("2026-11-30T05:22:00Z".parse().unwrap()));
        assert_eq!(
            limiter.throttled_until(&key("a")),
            Some(now() + WINDOW),
            "its probe was throttled: the next minute"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_throttling_the_pace_is_halved_and_grows_again() {
        let limiter = limiter(10);
        assert_eq!(granted(&limiter, "a"), 10);
        // The second of two that were under way together halves nothing more.
        limiter.throttled(&key("a"), None, None);
        limiter.throttled(&key("a"), None, None);
        advance(WINDOW).await;
        assert_eq!(granted(&limiter, "a"), 1);
        let told = limiter.try_acquire(&key("a"), "late").map_err(|at| at - now());
        assert!(told.as_ref().is_err_and(|wait| *wait < PROBE_TAKES * 2), "the probe is soon back: {told:?}");
        limiter.succeeded(&key("a"));
        let mut sent = 0;
        for _ in 0..100 {
            advance(Duration::from_millis(100)).await;
            sent += granted(&limiter, "a");
        }
        assert!((40..=65).contains(&sent), "{sent} in ten seconds, of 100 at full pace");
        advance(WINDOW).await;
        assert_eq!(granted(&limiter, "a"), 1, "no burst");
        advance(WINDOW * 4).await;
        assert_eq!(granted(&limiter, "a"), 10, "the whole pace again");
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_answer_says_is_the_least_time_to_wait() {
        let limiter = limiter(5);
        assert_eq!(granted(&limiter, "a"), 5);
        limiter.throttled(&key("a"), Some(Duration::from_secs(12)), None);
        limiter.throttled(&key("a"), Some(Duration::from_secs(3)), None);
        assert_eq!(limiter.try_acquire(&key("a"), "one"), Err(now() + Duration::from_secs(12)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_from_before_the_throttling_does_not_end_it() {
        let limiter = limiter(5);
        assert_eq!(granted(&limiter, "a"), 5);
        limiter.throttled(&key("a"), None, None);
        limiter.succeeded(&key("a"));
        advance(WINDOW / 2).await;
        assert_eq!(granted(&limiter, "a"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_never_reports_back_costs_one_window() {
        let limiter = limiter(5);
        assert_eq!(granted(&limiter, "a"), 5);
        limiter.throttled(&key("a"), None, None);
        advance(WINDOW).await;
        assert_eq!(granted(&limiter, "a"), 1);
        advance(WINDOW).await;
        assert_eq!(granted(&limiter, "a"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn each_who_waits_has_a_moment_of_its_own_and_keeps_it() {
        let limiter = limiter(5);
        assert_eq!(granted(&limiter, "a"), 5);
        let told = |who: &str| limiter.try_acquire(&key("a"), who).map_err(|at| at - now());
        let millis = |n| Err(Duration::from_millis(n));
        assert_eq!([told("one"), told("two"), told("three")], [millis(200), millis(400), millis(600)]);
        assert_eq!([told("three"), told("one")], [millis(600), millis(200)], "whoever asks again loses nothing");
        advance(Duration::from_millis(200)).await;
        assert_eq!(told("four"), millis(600), "nobody goes in front of those who wait");
        assert!(told("one").is_ok());
        advance(Duration::from_millis(200)).await;
        assert!(told("two").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn abandoned_waiters_hold_no_longer_than_a_queue() {
        let limiter = limiter(1);
        assert_eq!(granted(&limiter, "a"), 1);
        for who in 0..1_000 {
            let at = limiter.try_acquire(&key("a"), &who.to_string()).unwrap_err();
            assert!(at - now() <= QUEUE_MAX * 2 + Duration::from_secs(1), "{who}");
        }
        assert!(limiter.lock().buckets.values().all(|bucket| bucket.places.len() <= 31));
        advance(QUEUE_MAX + Duration::from_secs(1)).await;
        assert!(limiter.try_acquire(&key("a"), "another").is_ok());
    }
}
