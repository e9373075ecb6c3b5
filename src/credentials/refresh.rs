//! When temporary credentials are renewed. Pure: the time and the chance are handed in.
//!
//! Before they expire, so that nothing waits for them, and not all accounts of a cluster at the same moment.

use jiff::{SignedDuration, Timestamp};

/// Official clients take credentials for stale 3 (Go) and 15 (Python) minutes before they expire.
const EARLY: SignedDuration = SignedDuration::from_mins(15);

/// When to renew credentials that were obtained at `obtained` and expire at `expires`: in the last quarter of their life, and in
/// the last quarter of an hour if that is shorter; up to a third of that earlier by `chance`.
pub fn refresh_at(obtained: Timestamp, expires: Timestamp, chance: u8) -> Timestamp {
    let early = (expires.duration_since(obtained) / 4).min(EARLY).max(SignedDuration::ZERO);
    let earlier = early / 3 * i32::from(chance) / i32::from(u8::MAX);
    expires.saturating_sub(early + earlier).unwrap_or(obtained)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_renewed_in_time_but_not_all_at_once() {
        let obtained: Timestamp = "2026-01-02T03:00:00Z".parse().unwrap();
        let at = |minutes, chance| {
            let expires = obtained + SignedDuration::from_mins(minutes);
            expires.duration_since(refresh_at(obtained, expires, chance)).as_secs()
        };
        assert_eq!(at(60, 0), 15 * 60);
        assert_eq!(at(60, u8::MAX), 20 * 60);
        assert_eq!(at(720, 0), 15 * 60);
        assert_eq!(at(16, 0), 4 * 60);
        assert!((15 * 60..20 * 60).contains(&at(60, 100)));
        assert_eq!(
            refresh_at(obtained, obtained - SignedDuration::from_mins(1), 9),
            obtained - SignedDuration::from_mins(1)
        );
    }
}
