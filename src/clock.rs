//! The only reader of wall time, and the only source of randomness.
//!
//! Everything else is handed a [`Clock`], or better a value that was read from one. This keeps the decisions pure
//! and lets whole-controller tests run under tokio's paused clock: [`Clock::paused`] derives wall time from
//! `tokio::time`, so it stands still and jumps together with every timer.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Where the present moment comes from.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A start plus the time that tokio's clock has run since; what tests use.
    Tokio {
        /// Wall time at `origin`.
        start: Timestamp,
        /// The moment of tokio's clock that stands for `start`.
        origin: tokio::time::Instant,
    },
}

impl Clock {
    /// A clock that follows tokio's, beginning at `start`.
    #[must_use]
    #[allow(clippy::disallowed_methods)] // the one reader
    pub fn paused(start: Timestamp) -> Self {
        Self::Tokio { start, origin: tokio::time::Instant::now() }
    }

    /// The present moment on this machine. ECS's own clock is another one: see `ecs::ServerClock`.
    #[must_use]
    #[allow(clippy::disallowed_methods)] // the one reader
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Tokio { start, origin } => start.saturating_add(origin.elapsed()).unwrap_or(*start),
        }
    }
}

/// How long from `now` until `then`; zero when it is past. The bridge from stored times to timers.
#[must_use]
pub fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// How long until a moment of tokio's clock, which the limiter speaks in.
#[must_use]
#[allow(clippy::disallowed_methods)] // the one reader
pub fn until_instant(then: tokio::time::Instant) -> Duration {
    then.saturating_duration_since(tokio::time::Instant::now())
}

/// Whole seconds as a signed duration, the form in which `jiff` adds to a timestamp.
#[must_use]
pub fn seconds(seconds: u32) -> SignedDuration {
    SignedDuration::from_secs(i64::from(seconds))
}

/// 128 random bits in hex: a `SignatureNonce`, an attempt's id, a process's id.
///
/// # Panics
/// When the operating system has no randomness to give: nothing may be signed then.
#[must_use]
pub fn nonce() -> String {
    format!("{:032x}", u128::from_be_bytes(random_bytes()))
}

/// Random bytes for a key.
///
/// # Panics
/// When the operating system has no randomness to give.
#[must_use]
#[allow(clippy::expect_used, clippy::disallowed_methods)] // a predictable nonce or key is worse than a stop
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gave no random bytes");
    bytes
}
