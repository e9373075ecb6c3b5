//! Waiting for something to become true: the one place of these tests that knows a clock.

use std::time::{Duration, Instant};

/// How long anything may take. It bounds a hanging test and does not measure speed.
const LIMIT: Duration = Duration::from_mins(2);
/// Pause between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// Does something and prints how long it took, for people: no test depends on it.
pub fn timed<T>(what: &str, act: impl FnOnce() -> T) -> T {
    measured(what, act).0
}

/// The same for what is promised to be done in a time. Only for a promise that waits for something and not for the machine:
/// its limit has to be several times what the machine adds to the wait.
pub fn timed_within<T>(limit: Duration, what: &str, act: impl FnOnce() -> T) -> T {
    let (done, took) = measured(what, act);
    assert!(took <= limit, "{what}: took {:.1} s, and {} s are promised", took.as_secs_f64(), limit.as_secs());
    done
}

#[allow(clippy::disallowed_methods, reason = "a measurement needs a clock")]
fn measured<T>(what: &str, act: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let done = act();
    let took = began.elapsed();
    println!("{what}: {:.1} s", took.as_secs_f64());
    (done, took)
}

/// Looks again and again until `look` finds something, and returns it. Panics with `what` when it never does.
#[allow(clippy::disallowed_methods, reason = "a bounded poll needs a clock and a pause; no test has another")]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < LIMIT, "waited {} s in vain: {what}", LIMIT.as_secs());
        std::thread::sleep(INTERVAL);
    }
}
