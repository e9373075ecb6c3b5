//! The range of every number that can be set, and the one sentence that refuses another. Sets nothing itself.

use super::InvalidSetting;

/// The range of one number.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    flag: &'static str,
    unit: &'static str,
    minimum: u64,
    maximum: u64,
    /// What loosens the minimum, and what holds then.
    for_tests: ForTests,
}

/// What loosens a minimum, where simulated machines are as quick as tests want them.
#[derive(Clone, Copy)]
enum ForTests {
    /// Nothing.
    Never,
    /// `--allow-http-endpoints`: a shorter time costs calls, and no safety.
    WithHttpEndpoints(u64),
    /// `--allow-short-safety-times`: no instance is restarted twice because of this time.
    WithShortSafetyTimes(u64),
}

/// Which of the flags that loosen minimums are given.
#[derive(Clone, Copy)]
pub(super) struct Loosened {
    pub(super) http_endpoints: bool,
    pub(super) short_safety_times: bool,
}

const fn limit(flag: &'static str, unit: &'static str, minimum: u64, maximum: u64) -> Limit {
    Limit { flag, unit, minimum, maximum, for_tests: ForTests::Never }
}

/// A limit whose minimum saves calls.
const fn paced(limit: Limit, minimum: u64) -> Limit {
    Limit { for_tests: ForTests::WithHttpEndpoints(minimum), ..limit }
}

/// A limit whose minimum protects machines.
const fn safety(limit: Limit, minimum: u64) -> Limit {
    Limit { for_tests: ForTests::WithShortSafetyTimes(minimum), ..limit }
}

/// ECS's documents name 15 and 31 minutes; 32 covers both.
pub(super) const REQUEST_VALIDITY: Limit = safety(limit("request-validity-seconds", "seconds", 1920, 86_400), 1);
pub(super) const RESTART_SETTLE: Limit = safety(limit("restart-settle-seconds", "seconds", 120, 3600), 1);
/// ECS counts calls per API, region and account: faster polling is throttled, and helps nobody.
pub(super) const DESCRIBE_INTERVAL: Limit =
    paced(limit("describe-interval-milliseconds", "milliseconds", 1000, 60_000), 10);
pub(super) const SECRET_POLL: Limit = paced(limit("secret-poll-seconds", "seconds", 5, 3600), 1);
/// Also bounds connections to the API server: kube speaks HTTP/1.1, one request a connection.
pub(super) const CONCURRENCY: Limit = limit("concurrency", "passes", 1, 256);
/// A stored attempt may be sent for 60 s after its Timestamp: the write before it must not eat that up.
pub(super) const KUBE_REQUEST_TIMEOUT: Limit = limit("kube-request-timeout-seconds", "seconds", 1, 30);
pub(super) const ECS_CONNECT_TIMEOUT: Limit = limit("ecs-connect-timeout-seconds", "seconds", 1, 10);
/// ECS refuses a Timestamp that is off by 15 minutes.
pub(super) const CLOCK_SKEW: Limit = limit("clock-skew-limit-seconds", "seconds", 1, 900);
pub(super) const ACCOUNT_CHECK: Limit = paced(limit("account-check-seconds", "seconds", 10, 86_400), 1);
/// A policy is gone for that long before it is noticed: a minute is much, an hour the most.
pub(super) const POLICY_CHECK: Limit = paced(limit("policy-check-seconds", "seconds", 10, 3600), 1);
pub(super) const SHUTDOWN_TIMEOUT: Limit = limit("shutdown-timeout-seconds", "seconds", 1, 600);
/// Shorter than a pause of the API server, and each of those ends a leader.
pub(super) const LEASE_DURATION: Limit = safety(limit("leader-elect-lease-duration-seconds", "seconds", 10, 600), 2);
pub(super) const RENEW_DEADLINE: Limit = safety(limit("leader-elect-renew-deadline-seconds", "seconds", 5, 599), 1);
pub(super) const RETRY_PERIOD: Limit = limit("leader-elect-retry-period-seconds", "seconds", 1, 60);

impl Limit {
    pub(super) fn check(&self, value: u64, loosened: Loosened) -> Result<u64, InvalidSetting> {
        let Self { flag, unit, minimum, maximum, for_tests } = self;
        let (for_tests, is_given, with) = match for_tests {
            ForTests::Never => (*minimum, false, ""),
            ForTests::WithHttpEndpoints(for_tests) => (*for_tests, loosened.http_endpoints, "--allow-http-endpoints"),
            ForTests::WithShortSafetyTimes(for_tests) => {
                (*for_tests, loosened.short_safety_times, "--allow-short-safety-times")
            }
        };
        let effective = if is_given { for_tests } else { *minimum };
        if (effective..=*maximum).contains(&value) {
            return Ok(value);
        }
        let mut problem = format!("is {value}; it must be {effective} to {maximum} {unit}");
        if (for_tests..*minimum).contains(&value) {
            problem = format!("{problem}, less only together with {with} (demos and tests)");
        }
        Err(InvalidSetting { flag, problem })
    }
}
