//! Points in time in the forms that the API uses. Reads no clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// `seconds` after `at`; a length that no clock can reach means "never".
pub(crate) fn after(at: Timestamp, seconds: f64) -> Timestamp {
    Duration::try_from_secs_f64(seconds.max(0.0))
        .ok()
        .and_then(|length| at.checked_add(length).ok())
        .unwrap_or(Timestamp::MAX)
}

/// `seconds` before `at`.
pub(crate) fn before(at: Timestamp, seconds: f64) -> Timestamp {
    Duration::try_from_secs_f64(seconds.max(0.0))
        .ok()
        .and_then(|age| at.checked_sub(age).ok())
        .unwrap_or(Timestamp::MIN)
}

/// A whole number of seconds as the type that `jiff` subtracts.
pub(crate) fn whole_seconds(seconds: u32) -> SignedDuration {
    SignedDuration::from_secs(i64::from(seconds))
}

/// `2026-11-24T05:21Z`: the minute precision of every time in `DescribeInstances`.
pub(crate) fn to_minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%MZ").to_string()
}

/// `2026-11-24T05:21:07Z`: the form of an expiration.
pub(crate) fn to_second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The `Date` header of an answer.
pub(crate) fn to_http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Reads a request's `Timestamp`: `YYYY-MM-DDThh:mm:ssZ` and nothing looser.
pub(crate) fn from_request(text: &str) -> Option<Timestamp> {
    let parsed: Timestamp = text.parse().ok()?;
    (to_second(parsed) == text).then_some(parsed)
}
