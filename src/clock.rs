//! The only reader of wall time, and the only source of randomness.
//!
//! Everything else is handed a [`Clock`], or better a value that was read from one. That keeps the decisions pure, and
//! lets the whole controller run in a simulation: under [`Clock::simulated`] wall time follows tokio's paused clock and
//! every random value follows from one seed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Where the present moment and random values come from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clock and the operating system's randomness.
    System,
    /// Tokio's clock and a seed. Never for a process that talks to a real ECS: its nonces can be guessed.
    Simulated(Arc<Simulated>),
}

/// A simulated machine's clock, which may be set wrong and run wrong, and its seeded randomness.
#[derive(Debug)]
pub struct Simulated {
    /// Wall time at `origin`.
    start: Timestamp,
    /// The moment of tokio's clock that corresponds to `start`.
    origin: tokio::time::Instant,
    /// Seconds of wall time in a second of tokio's clock.
    rate: f64,
    random: Mutex<u64>,
}

impl Clock {
    /// A clock that follows tokio's, beginning at `start` and running `rate` times as fast; 1.0 is right.
    #[allow(clippy::disallowed_methods)] // the one reader
    pub fn simulated(start: Timestamp, rate: f64, seed: u64) -> Self {
        let origin = tokio::time::Instant::now();
        Self::Simulated(Arc::new(Simulated { start, origin, rate, random: Mutex::new(seed) }))
    }

    /// The present moment on this machine. ECS's own clock is another one: see `ecs::ServerClock`.
    #[allow(clippy::disallowed_methods)] // the one reader
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Simulated(simulated) => {
                let elapsed = simulated.origin.elapsed().mul_f64(simulated.rate);
                simulated.start.saturating_add(elapsed).unwrap_or(simulated.start)
            }
        }
    }

    /// 128 random bits in hex: a `SignatureNonce`, an attempt's id, a process's id.
    ///
    /// # Panics
    /// When the operating system has no randomness to give: nothing may be signed then.
    pub fn nonce(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.random_bytes()))
    }

    /// Random bytes for a key.
    ///
    /// # Panics
    /// When the operating system has no randomness to give.
    #[allow(clippy::expect_used, clippy::disallowed_methods)] // a predictable nonce or key is worse than a stop
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match self {
            Self::System => getrandom::fill(&mut bytes).expect("the operating system gave no random bytes"),
            Self::Simulated(simulated) => bytes.fill_with(|| simulated.byte()),
        }
        bytes
    }
}

impl Simulated {
    /// The next byte of a sequence that spreads well (`SplitMix64`).
    fn byte(&self) -> u8 {
        let mut state = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed.to_be_bytes()[0]
    }
}

/// How long from `now` until `then`; zero when it is past. The bridge from stored times to timers.
pub fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// Whether less than `within` has passed since `since`. What lies ahead is of a clock that was set back meanwhile: it is not recent,
/// or it would stay so until the clock had made up for it.
pub fn is_recent(since: Timestamp, now: Timestamp, within: SignedDuration) -> bool {
    let age = now.duration_since(since);
    !age.is_negative() && age < within
}

/// A moment of tokio's clock, which nobody can set: for how long something has been so.
#[allow(clippy::disallowed_methods)] // the one reader
pub fn instant() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// How long until a moment of tokio's clock, which the limiter speaks in.
#[allow(clippy::disallowed_methods)] // the one reader
pub fn until_instant(then: tokio::time::Instant) -> Duration {
    then.saturating_duration_since(tokio::time::Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_noted_before_a_clock_setback_is_not_recent() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let is_recent = |since, now| is_recent(at(since), at(now), SignedDuration::from_secs(60));
        assert!(is_recent(100, 100) && is_recent(100, 159));
        assert!(!is_recent(100, 160) && !is_recent(3_700, 100));
    }
}
