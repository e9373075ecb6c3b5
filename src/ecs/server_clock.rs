//! What time it is for ECS. Reads no clock: it is given both sides of every answer.
//!
//! ECS refuses a request whose Timestamp is too far off, and the `Date` of its answers is the only view of its clock.
//! That has a resolution of a second, and the answer was written somewhere between send and receipt: each answer
//! therefore bounds the offset on both sides, and several of them bound it ever tighter.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// The resolution of a `Date` header, which cuts fractions off.
const DATE_RESOLUTION: SignedDuration = SignedDuration::from_secs(1);

/// How far ECS's clock is from this machine's; one for each account, told by ECS and STS alike.
#[derive(Debug, Default)]
pub struct ServerClock {
    /// The least and the greatest offset that all answers agree with.
    bounds: Mutex<Option<(SignedDuration, SignedDuration)>>,
}

impl ServerClock {
    /// Takes in an answer that was dated `server`, and when, on the local clock, its request was sent and itself
    /// received. An answer that contradicts the earlier ones replaces them: one of the clocks has been set.
    pub fn observe(&self, server: Timestamp, local_sent: Timestamp, local_received: Timestamp) {
        let low = server.duration_since(local_received);
        let high = server.duration_since(local_sent) + DATE_RESOLUTION;
        if low > high {
            return; // The local clock was set back in between: nothing can be learnt.
        }
        let mut bounds = self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        let known = bounds.unwrap_or((low, high));
        let both = (known.0.max(low), known.1.min(high));
        *bounds = Some(if both.0 <= both.1 { both } else { (low, high) });
    }

    /// ECS's time at the local time `local`; the local time itself while nothing is known.
    pub fn now(&self, local: Timestamp) -> Timestamp {
        local.saturating_add(self.skew().unwrap_or_default()).unwrap_or(local)
    }

    /// How far ECS's clock is ahead of this machine's, to better than a second or so; `None` while nothing is known.
    pub fn skew(&self) -> Option<SignedDuration> {
        let (low, high) = (*self.bounds.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(low + (high - low) / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_767_323_045_000 + millis).unwrap()
    }

    #[test]
    fn local_time_is_used_while_nothing_is_known() {
        let clock = ServerClock::default();
        assert_eq!((clock.now(at(5)), clock.skew()), (at(5), None));
    }

    #[test]
    fn answers_bound_the_offset_ever_tighter() {
        let clock = ServerClock::default();
        // ECS is 90.4 s ahead; its Date cuts the fraction off.
        for sent in [0, 500, 1_550] {
            let server = (sent + 50 + 90_400) / 1000 * 1000;
            clock.observe(at(server), at(sent), at(sent + 100));
        }
        let error = clock.skew().unwrap().as_millis() - 90_400;
        assert!(error.abs() <= 100, "off by {error} ms");
        assert_eq!(clock.now(at(0)), at(i64::try_from(90_400 + error).unwrap()));
    }

    #[test]
    fn a_clock_that_was_set_is_believed_at_once() {
        let clock = ServerClock::default();
        clock.observe(at(0), at(0), at(10));
        clock.observe(at(-600_000), at(20), at(30));
        let skew = clock.skew().unwrap().as_secs();
        assert!((-601..=-599).contains(&skew), "{skew}");
    }

    #[test]
    fn a_local_clock_set_back_in_mid_call_teaches_nothing() {
        let clock = ServerClock::default();
        clock.observe(at(0), at(60_000), at(0));
        assert_eq!(clock.skew(), None);
    }
}
