//! How long to wait before the next try: a pure function of how many there were.

use jiff::SignedDuration;

/// The first delay, in milliseconds.
const FIRST_MILLISECONDS: i64 = 1_000;
/// No delay is longer, in milliseconds.
const LONGEST_MILLISECONDS: i64 = 60_000;

/// The delay after `tries` tries: doubling from one second to a minute, spread over a quarter of itself by `key`, so that
/// many instances that failed together do not come back together.
pub fn delay(tries: u32, key: &str) -> SignedDuration {
    let doublings = tries.saturating_sub(1).min(16);
    let full = (FIRST_MILLISECONDS << doublings).min(LONGEST_MILLISECONDS);
    let hash = key.bytes().chain(tries.to_le_bytes()).fold(7_i64, |hash, byte| (hash * 31 + i64::from(byte)) % 1_009);
    SignedDuration::from_millis(full - full / 4 * hash / 1_009)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_minute_and_differ_by_key() {
        let delays: Vec<_> = (1..=10).map(|tries| delay(tries, "i-bp1a").as_millis()).collect();
        assert!((750..=1_000).contains(&delays[0]), "{delays:?}");
        assert!(delays.windows(2).take(5).all(|pair| pair[1] > pair[0]), "{delays:?}");
        assert!(delays.iter().all(|delay| *delay <= 60_000), "{delays:?}");
        assert_ne!(delay(3, "i-bp1a"), delay(3, "i-bp1b"));
        assert!(delay(u32::MAX, "").as_millis() >= 45_000);
    }
}
