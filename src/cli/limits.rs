//! The range of every number that can be set, and the one sentence that refuses another. Sets nothing itself.

/// The range of one number.
pub(super) struct Limit {
    flag: &'static str,
    unit: &'static str,
    minimum: u64,
    maximum: u64,
    /// The minimum that holds with `--allow-http-endpoints`, where simulated machines are as quick as tests want them.
    minimum_for_tests: u64,
}

const fn limit(flag: &'static str, unit: &'static str, minimum: u64, maximum: u64) -> Limit {
    Limit { flag, unit, minimum, maximum, minimum_for_tests: minimum }
}

/// ECS's documents name 15 and 31 minutes; 32 covers both.
pub(super) const REQUEST_VALIDITY: Limit =
    Limit { minimum_for_tests: 1, ..limit("request-validity-seconds", "seconds", 1920, 86_400) };
pub(super) const RESTART_SETTLE: Limit =
    Limit { minimum_for_tests: 1, ..limit("restart-settle-seconds", "seconds", 120, 3600) };
/// ECS counts calls per API, region and account: faster polling is throttled, and helps nobody.
pub(super) const DESCRIBE_INTERVAL: Limit =
    Limit { minimum_for_tests: 10, ..limit("describe-interval-milliseconds", "milliseconds", 1000, 60_000) };
pub(super) const SECRET_POLL: Limit =
    Limit { minimum_for_tests: 1, ..limit("secret-poll-seconds", "seconds", 5, 3600) };
/// Also bounds connections to the API server: kube speaks HTTP/1.1, one request a connection.
pub(super) const CONCURRENCY: Limit = limit("concurrency", "passes", 1, 256);
/// A stored attempt may be sent for 60 s after its Timestamp: the write before it must not eat that up.
pub(super) const KUBE_REQUEST_TIMEOUT: Limit = limit("kube-request-timeout-seconds", "seconds", 1, 30);
pub(super) const ECS_CONNECT_TIMEOUT: Limit = limit("ecs-connect-timeout-seconds", "seconds", 1, 10);
/// ECS refuses a Timestamp that is off by 15 minutes.
pub(super) const CLOCK_SKEW: Limit = limit("clock-skew-limit-seconds", "seconds", 1, 900);
pub(super) const ACCOUNT_CHECK: Limit =
    Limit { minimum_for_tests: 1, ..limit("account-check-seconds", "seconds", 10, 86_400) };
/// A policy is gone for that long before it is noticed: a minute is much, an hour the most.
pub(super) const POLICY_CHECK: Limit =
    Limit { minimum_for_tests: 1, ..limit("policy-check-seconds", "seconds", 10, 3600) };
pub(super) const SHUTDOWN_TIMEOUT: Limit = limit("shutdown-timeout-seconds", "seconds", 1, 600);
/// Shorter than a pause of the API server, and each of those ends a leader.
pub(super) const LEASE_DURATION: Limit =
    Limit { minimum_for_tests: 2, ..limit("leader-elect-lease-duration-seconds", "seconds", 10, 600) };
pub(super) const RENEW_DEADLINE: Limit =
    Limit { minimum_for_tests: 1, ..limit("leader-elect-renew-deadline-seconds", "seconds", 5, 599) };
pub(super) const RETRY_PERIOD: Limit = limit("leader-elect-retry-period-seconds", "seconds", 1, 60);

impl Limit {
    pub(super) fn check(&self, value: u64, allow_http_endpoints: bool) -> Result<u64, String> {
        let Self { flag, unit, minimum, maximum, minimum_for_tests } = self;
        let effective = if allow_http_endpoints { minimum_for_tests } else { minimum };
        if (*effective..=*maximum).contains(&value) {
            return Ok(value);
        }
        let mut message = format!("--{flag} is {value}; it must be {effective} to {maximum} {unit}");
        if value >= *minimum_for_tests && value < *minimum {
            message += ", less only together with --allow-http-endpoints (demos and tests)";
        }
        Err(message)
    }
}
