//! The command line: flags and environment variables in, validated [`Settings`] out.
//!
//! Every limit and timeout of the process is named here, with its unit, default and range, and nowhere else. Nothing
//! here acts on a setting. Limits that protect real machines can be loosened only together with
//! `--allow-http-endpoints`, which no production cluster has a use for.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::leader::Timing;

/// Everything that a start of the controller can be told, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the records and the fingerprint key live: the controller's own namespace.
    pub namespace: String,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub listen_address: SocketAddr,
    /// Whether an account may name an `http://` endpoint. Danger: passwords then travel in the clear.
    pub allow_http_endpoints: bool,
    /// V: how long after its `Timestamp` a signed request may still be executed by ECS.
    pub request_validity: Duration,
    /// M: bounds how late a read may lag plus how late an accepted reboot may begin.
    pub restart_settle: Duration,
    /// Pause between two looks at the instances of one account and region, while anybody waits for them.
    pub describe_interval: Duration,
    /// Pause between two looks at a Secret, while its object has open work.
    pub secret_poll: Duration,
    /// Passes that run at once, per kind; the unit that kube's `controller::Config` takes.
    pub concurrency: u16,
    /// How long one request to the API server may take before it counts as unanswered.
    pub kube_request_timeout: Duration,
    /// How long connecting to ECS may take, TLS included. A request that has not left by then never does.
    pub ecs_connect_timeout: Duration,
    /// How far the local clock may be from ECS's before nothing new is started.
    pub clock_skew_limit: Duration,
    /// Pause between two looks at the identity behind an account.
    pub account_check: Duration,
    /// How long passes in flight may run on after SIGTERM.
    pub shutdown_timeout: Duration,
    /// Whether this process works only while it leads; else it has to be the only one.
    pub leader_elect: bool,
    /// The name of this process in the Lease, before its random id.
    pub leader_elect_identity: String,
    /// The lengths of the election.
    pub election: Timing,
    /// What is logged, in `tracing`'s filter syntax. Parses: it was tried.
    pub log_filter: String,
    /// What a log line looks like.
    pub log_format: LogFormat,
}

/// What a log line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line, for collectors.
    Json,
    /// For a person at a terminal.
    Text,
}

/// Resets the logon passwords of Alibaba Cloud ECS instances declaratively.
#[derive(Debug, Parser)]
#[command(name = "ecs-password-reset", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller
    Controller(Args),
}

/// One field per flag, as typed; [`Settings`] is the same after the checks.
// The comments are printed as they are by `--help`, where backticks have no meaning.
#[allow(clippy::doc_markdown)]
#[derive(Debug, clap::Args)]
struct Args {
    /// Namespace of the controller's records and fingerprint key; the default is that of the pod, if POD_NAMESPACE is set
    #[arg(long, env = "ECS_PASSWORD_RESET_NAMESPACE", value_name = "NAME", default_value_t = default_namespace())]
    namespace: String,

    /// Address and port that serve /livez, /readyz and /metrics
    #[arg(
        long,
        env = "ECS_PASSWORD_RESET_LISTEN_ADDRESS",
        value_name = "ADDRESS:PORT",
        default_value = "0.0.0.0:8080"
    )]
    listen_address: SocketAddr,

    /// Accept http:// endpoints in accounts and limits below those of ECS: for demos and tests only, passwords travel in
    /// the clear
    // Not a plain switch: clap takes every unknown word in the variable of a switch for "true".
    #[arg(
        long,
        env = "ECS_PASSWORD_RESET_ALLOW_HTTP_ENDPOINTS",
        value_name = "BOOLEAN",
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true"
    )]
    allow_http_endpoints: bool,

    /// Seconds after its Timestamp in which ECS may still execute a signed request; 1920 is what ECS needs, less is
    /// refused unless http endpoints are allowed
    #[arg(long, env = "ECS_PASSWORD_RESET_REQUEST_VALIDITY_SECONDS", value_name = "SECONDS", default_value_t = 1920)]
    request_validity_seconds: u64,

    /// Seconds that bound how late a read may lag plus how late an accepted reboot may begin; 120 is what ECS needs, less
    /// is refused unless http endpoints are allowed
    #[arg(long, env = "ECS_PASSWORD_RESET_RESTART_SETTLE_SECONDS", value_name = "SECONDS", default_value_t = 120)]
    restart_settle_seconds: u64,

    /// Milliseconds between two DescribeInstances rounds of one account and region, while anybody waits for an instance
    #[arg(
        long,
        env = "ECS_PASSWORD_RESET_DESCRIBE_INTERVAL_MILLISECONDS",
        value_name = "MILLISECONDS",
        default_value_t = 3000
    )]
    describe_interval_milliseconds: u64,

    /// Seconds between two looks at a password Secret, while its object has open work
    #[arg(long, env = "ECS_PASSWORD_RESET_SECRET_POLL_SECONDS", value_name = "SECONDS", default_value_t = 30)]
    secret_poll_seconds: u64,

    /// Number of passes that run at once, per kind
    #[arg(long, env = "ECS_PASSWORD_RESET_CONCURRENCY", value_name = "NUMBER", default_value_t = 16)]
    concurrency: u16,

    /// Seconds that one request to the Kubernetes API server may take
    #[arg(long, env = "ECS_PASSWORD_RESET_KUBE_REQUEST_TIMEOUT_SECONDS", value_name = "SECONDS", default_value_t = 10)]
    kube_request_timeout_seconds: u64,

    /// Seconds that connecting to ECS may take, TLS included
    #[arg(long, env = "ECS_PASSWORD_RESET_ECS_CONNECT_TIMEOUT_SECONDS", value_name = "SECONDS", default_value_t = 5)]
    ecs_connect_timeout_seconds: u64,

    /// Seconds that the local clock may be off from the clock of ECS; beyond that nothing new is started
    #[arg(long, env = "ECS_PASSWORD_RESET_CLOCK_SKEW_LIMIT_SECONDS", value_name = "SECONDS", default_value_t = 300)]
    clock_skew_limit_seconds: u64,

    /// Seconds between two looks at an account's credentials and the identity behind them
    #[arg(long, env = "ECS_PASSWORD_RESET_ACCOUNT_CHECK_SECONDS", value_name = "SECONDS", default_value_t = 60)]
    account_check_seconds: u64,

    /// Seconds that passes in flight may run on after SIGTERM; keep it below the pod's terminationGracePeriodSeconds
    #[arg(long, env = "ECS_PASSWORD_RESET_SHUTDOWN_TIMEOUT_SECONDS", value_name = "SECONDS", default_value_t = 25)]
    shutdown_timeout_seconds: u64,

    /// Work only while holding the Lease ecs-password-reset, so that replicas can stand by; false is for a single replica
    #[arg(
        long,
        env = "ECS_PASSWORD_RESET_LEADER_ELECT",
        value_name = "BOOLEAN",
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true"
    )]
    leader_elect: bool,

    /// Name of this process in the Lease, to which a random id is added; the default is that of the pod, if POD_NAME is set
    #[arg(
        long,
        env = "ECS_PASSWORD_RESET_LEADER_ELECT_IDENTITY",
        value_name = "NAME",
        default_value_t = default_identity()
    )]
    leader_elect_identity: String,

    /// Seconds that the others wait after the last renewal they saw before one of them takes the Lease
    #[arg(
        long,
        env = "ECS_PASSWORD_RESET_LEADER_ELECT_LEASE_DURATION_SECONDS",
        value_name = "SECONDS",
        default_value_t = 15
    )]
    leader_elect_lease_duration_seconds: u64,

    /// Seconds after its last renewal in which a leader that cannot renew ends
    #[arg(
        long,
        env = "ECS_PASSWORD_RESET_LEADER_ELECT_RENEW_DEADLINE_SECONDS",
        value_name = "SECONDS",
        default_value_t = 10
    )]
    leader_elect_renew_deadline_seconds: u64,

    /// Seconds between two renewals
    #[arg(
        long,
        env = "ECS_PASSWORD_RESET_LEADER_ELECT_RETRY_PERIOD_SECONDS",
        value_name = "SECONDS",
        default_value_t = 2
    )]
    leader_elect_retry_period_seconds: u64,

    /// Log filter, such as "info,ecs_password_reset=debug"; other crates never log below their ceiling, whatever it says
    #[arg(long, env = "ECS_PASSWORD_RESET_LOG_FILTER", value_name = "FILTER", default_value = "info")]
    log_filter: String,

    /// Format of a log line
    #[arg(long, env = "ECS_PASSWORD_RESET_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value = "json")]
    log_format: LogFormat,
}

/// The pod's own namespace, as the downward API tells it.
fn default_namespace() -> String {
    std::env::var("POD_NAMESPACE").unwrap_or_else(|_| "ecs-password-reset-system".to_owned())
}

/// The pod's name, as the downward API tells it.
fn default_identity() -> String {
    std::env::var("POD_NAME").unwrap_or_else(|_| "ecs-password-reset".to_owned())
}

/// The range of one number.
struct Limit {
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
const REQUEST_VALIDITY: Limit =
    Limit { minimum_for_tests: 1, ..limit("request-validity-seconds", "seconds", 1920, 86_400) };
const RESTART_SETTLE: Limit = Limit { minimum_for_tests: 1, ..limit("restart-settle-seconds", "seconds", 120, 3600) };
/// ECS counts calls per API, region and account: faster polling is throttled, and helps nobody.
const DESCRIBE_INTERVAL: Limit =
    Limit { minimum_for_tests: 10, ..limit("describe-interval-milliseconds", "milliseconds", 1000, 60_000) };
const SECRET_POLL: Limit = Limit { minimum_for_tests: 1, ..limit("secret-poll-seconds", "seconds", 5, 3600) };
/// Also bounds connections to the API server: kube speaks HTTP/1.1, one request a connection.
const CONCURRENCY: Limit = limit("concurrency", "passes", 1, 256);
/// A stored attempt may be sent for 60 s after its Timestamp: the write before it must not eat that up.
const KUBE_REQUEST_TIMEOUT: Limit = limit("kube-request-timeout-seconds", "seconds", 1, 30);
const ECS_CONNECT_TIMEOUT: Limit = limit("ecs-connect-timeout-seconds", "seconds", 1, 10);
/// ECS refuses a Timestamp that is off by 15 minutes.
const CLOCK_SKEW: Limit = limit("clock-skew-limit-seconds", "seconds", 1, 900);
const ACCOUNT_CHECK: Limit = Limit { minimum_for_tests: 1, ..limit("account-check-seconds", "seconds", 10, 86_400) };
const SHUTDOWN_TIMEOUT: Limit = limit("shutdown-timeout-seconds", "seconds", 1, 600);
/// Shorter than a pause of the API server, and each of those ends a leader.
const LEASE_DURATION: Limit =
    Limit { minimum_for_tests: 2, ..limit("leader-elect-lease-duration-seconds", "seconds", 10, 600) };
const RENEW_DEADLINE: Limit =
    Limit { minimum_for_tests: 1, ..limit("leader-elect-renew-deadline-seconds", "seconds", 5, 599) };
const RETRY_PERIOD: Limit = limit("leader-elect-retry-period-seconds", "seconds", 1, 60);

impl Limit {
    fn check(&self, value: u64, allow_http_endpoints: bool) -> Result<u64, String> {
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

impl TryFrom<Args> for Settings {
    type Error = String;

    fn try_from(args: Args) -> Result<Self, String> {
        // In full, without `..`: a new flag that is not checked here does not compile.
        let Args {
            namespace,
            listen_address,
            allow_http_endpoints,
            request_validity_seconds,
            restart_settle_seconds,
            describe_interval_milliseconds,
            secret_poll_seconds,
            concurrency,
            kube_request_timeout_seconds,
            ecs_connect_timeout_seconds,
            clock_skew_limit_seconds,
            account_check_seconds,
            shutdown_timeout_seconds,
            leader_elect,
            leader_elect_identity,
            leader_elect_lease_duration_seconds,
            leader_elect_renew_deadline_seconds,
            leader_elect_retry_period_seconds,
            log_filter,
            log_format,
        } = args;
        let seconds = |limit: Limit, value| limit.check(value, allow_http_endpoints).map(Duration::from_secs);
        let milliseconds = |limit: Limit, value| limit.check(value, allow_http_endpoints).map(Duration::from_millis);
        CONCURRENCY.check(concurrency.into(), allow_http_endpoints)?;
        let ecs_connect_timeout = seconds(ECS_CONNECT_TIMEOUT, ecs_connect_timeout_seconds)?;
        let election = Timing {
            lease_duration: seconds(LEASE_DURATION, leader_elect_lease_duration_seconds)?,
            renew_deadline: seconds(RENEW_DEADLINE, leader_elect_renew_deadline_seconds)?,
            retry_period: seconds(RETRY_PERIOD, leader_elect_retry_period_seconds)?,
        };
        Ok(Self {
            namespace: checked_namespace(namespace)?,
            listen_address,
            allow_http_endpoints,
            request_validity: seconds(REQUEST_VALIDITY, request_validity_seconds)?,
            restart_settle: seconds(RESTART_SETTLE, restart_settle_seconds)?,
            describe_interval: milliseconds(DESCRIBE_INTERVAL, describe_interval_milliseconds)?,
            secret_poll: seconds(SECRET_POLL, secret_poll_seconds)?,
            concurrency,
            kube_request_timeout: seconds(KUBE_REQUEST_TIMEOUT, kube_request_timeout_seconds)?,
            ecs_connect_timeout,
            clock_skew_limit: seconds(CLOCK_SKEW, clock_skew_limit_seconds)?,
            account_check: seconds(ACCOUNT_CHECK, account_check_seconds)?,
            shutdown_timeout: seconds(SHUTDOWN_TIMEOUT, shutdown_timeout_seconds)?,
            leader_elect,
            leader_elect_identity: checked_identity(leader_elect_identity)?,
            election: checked_election(election, ecs_connect_timeout)?,
            log_filter: checked_log_filter(log_filter)?,
            log_format,
        })
    }
}

/// A DNS label, which is what Kubernetes takes as the name of a namespace.
fn checked_namespace(name: String) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edges = !name.starts_with('-') && !name.ends_with('-');
    if (1..=63).contains(&name.len()) && name.bytes().all(inner) && edges {
        return Ok(name);
    }
    Err(format!("--namespace is {name:?}; it must be 1 to 63 of a-z, 0-9 and '-', with no '-' at either end"))
}

/// What Kubernetes takes as the name of a pod.
fn checked_identity(name: String) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    if (1..=253).contains(&name.len()) && name.bytes().all(inner) {
        return Ok(name);
    }
    Err(format!("--leader-elect-identity is {name:?}; it must be 1 to 253 of a-z, 0-9, '-' and '.'"))
}

/// A leader has more than one try before it ends, and what it sent last has left this machine before another one leads.
fn checked_election(timing: Timing, ecs_connect_timeout: Duration) -> Result<Timing, String> {
    let Timing { lease_duration, renew_deadline, retry_period } = timing;
    if renew_deadline <= retry_period {
        return Err(format!(
            "--leader-elect-renew-deadline-seconds is {}; it must be more than \
             --leader-elect-retry-period-seconds, which is {}",
            renew_deadline.as_secs(),
            retry_period.as_secs()
        ));
    }
    if lease_duration < renew_deadline + ecs_connect_timeout {
        return Err(format!(
            "--leader-elect-lease-duration-seconds is {}; it must be at least {}, the sum of \
             --leader-elect-renew-deadline-seconds and --ecs-connect-timeout-seconds",
            lease_duration.as_secs(),
            (renew_deadline + ecs_connect_timeout).as_secs()
        ));
    }
    Ok(timing)
}

fn checked_log_filter(filter: String) -> Result<String, String> {
    match EnvFilter::builder().with_regex(false).parse(&filter) {
        Ok(_) => Ok(filter),
        Err(error) => Err(format!("--log-filter is {filter:?}: {error}; an example that works is \"info\"")),
    }
}

/// Reads a whole command line, the program's name first, and the environment.
///
/// # Errors
/// Holds what to print, also for `--help` and `--version`, and the exit code: [`clap::Error::exit`] does both.
pub fn parse<A>(command_line: impl IntoIterator<Item = A>) -> Result<Settings, clap::Error>
where
    A: Into<OsString> + Clone,
{
    let Cli { command: Command::Controller(args) } = Cli::try_parse_from(command_line)?;
    Settings::try_from(args).map_err(|message| Cli::command().error(ErrorKind::ValueValidation, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_flags(flags: &[&str]) -> Result<Settings, clap::Error> {
        parse(["ecs-password-reset", "controller"].iter().chain(flags))
    }

    fn refusal(flags: &[&str]) -> String {
        parse_flags(flags).expect_err("must be refused").to_string()
    }

    #[test]
    fn the_defaults_are_valid() {
        let settings = parse_flags(&[]).unwrap();
        let expected = Settings {
            namespace: "ecs-password-reset-system".to_owned(),
            listen_address: ([0, 0, 0, 0], 8080).into(),
            allow_http_endpoints: false,
            request_validity: Duration::from_mins(32),
            restart_settle: Duration::from_mins(2),
            describe_interval: Duration::from_secs(3),
            secret_poll: Duration::from_secs(30),
            concurrency: 16,
            kube_request_timeout: Duration::from_secs(10),
            ecs_connect_timeout: Duration::from_secs(5),
            clock_skew_limit: Duration::from_mins(5),
            account_check: Duration::from_mins(1),
            shutdown_timeout: Duration::from_secs(25),
            leader_elect: true,
            leader_elect_identity: "ecs-password-reset".to_owned(),
            election: Timing {
                lease_duration: Duration::from_secs(15),
                renew_deadline: Duration::from_secs(10),
                retry_period: Duration::from_secs(2),
            },
            log_filter: "info".to_owned(),
            log_format: LogFormat::Json,
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn a_number_outside_its_range_is_refused_with_flag_range_and_unit() {
        for (flag, range) in [
            ("--request-validity-seconds=86401", "1920 to 86400 seconds"),
            ("--restart-settle-seconds=3601", "120 to 3600 seconds"),
            ("--describe-interval-milliseconds=60001", "1000 to 60000 milliseconds"),
            ("--secret-poll-seconds=3601", "5 to 3600 seconds"),
            ("--concurrency=0", "1 to 256 passes"),
            ("--concurrency=257", "1 to 256 passes"),
            ("--kube-request-timeout-seconds=0", "1 to 30 seconds"),
            ("--kube-request-timeout-seconds=31", "1 to 30 seconds"),
            ("--ecs-connect-timeout-seconds=0", "1 to 10 seconds"),
            ("--ecs-connect-timeout-seconds=11", "1 to 10 seconds"),
            ("--clock-skew-limit-seconds=0", "1 to 900 seconds"),
            ("--clock-skew-limit-seconds=901", "1 to 900 seconds"),
            ("--account-check-seconds=86401", "10 to 86400 seconds"),
            ("--shutdown-timeout-seconds=0", "1 to 600 seconds"),
            ("--shutdown-timeout-seconds=601", "1 to 600 seconds"),
            ("--leader-elect-lease-duration-seconds=601", "10 to 600 seconds"),
            ("--leader-elect-renew-deadline-seconds=600", "5 to 599 seconds"),
            ("--leader-elect-retry-period-seconds=0", "1 to 60 seconds"),
            ("--leader-elect-retry-period-seconds=61", "1 to 60 seconds"),
        ] {
            let (name, value) = flag.split_once('=').unwrap();
            let message = refusal(&[flag]);
            assert!(message.contains(&format!("{name} is {value}; it must be {range}")), "{message}");
            assert!(!message.contains("less only"), "{message}");
        }
    }

    #[test]
    fn limits_of_ecs_are_loosened_only_together_with_http_endpoints() {
        for flag in [
            "--request-validity-seconds=1919",
            "--restart-settle-seconds=119",
            "--describe-interval-milliseconds=999",
            "--secret-poll-seconds=4",
            "--account-check-seconds=9",
        ] {
            let message = refusal(&[flag]);
            assert!(message.contains("less only together with --allow-http-endpoints"), "{message}");
            assert!(parse_flags(&[flag, "--allow-http-endpoints"]).is_ok(), "{flag}");
        }
        let message = refusal(&["--request-validity-seconds=0", "--allow-http-endpoints"]);
        assert!(message.contains("it must be 1 to 86400 seconds"), "{message}");
    }

    #[test]
    fn short_leases_are_for_tests() {
        let short = [
            "--leader-elect-lease-duration-seconds=3",
            "--leader-elect-renew-deadline-seconds=2",
            "--leader-elect-retry-period-seconds=1",
            "--ecs-connect-timeout-seconds=1",
        ];
        let message = refusal(&short);
        assert!(message.contains("less only together with --allow-http-endpoints"), "{message}");
        let settings = parse_flags(&[&short[..], &["--allow-http-endpoints"]].concat()).unwrap();
        assert_eq!(settings.election.lease_duration, Duration::from_secs(3));
    }

    #[test]
    fn lengths_of_an_election_that_do_not_fit_together_are_refused() {
        let message = refusal(&["--leader-elect-retry-period-seconds=10"]);
        assert!(message.contains("--leader-elect-renew-deadline-seconds is 10; it must be more than"), "{message}");
        assert!(message.contains("--leader-elect-retry-period-seconds, which is 10"), "{message}");
        for flags in [
            &["--leader-elect-lease-duration-seconds=14"][..],
            &["--leader-elect-renew-deadline-seconds=11"],
            &["--ecs-connect-timeout-seconds=6"],
        ] {
            let message = refusal(flags);
            assert!(message.contains("it must be at least 1"), "{message}");
            assert!(message.contains("the sum of --leader-elect-renew-deadline-seconds and"), "{message}");
        }
    }

    #[test]
    fn an_identity_that_is_no_name_of_a_pod_is_refused() {
        for name in ["", "a_b", "A", "a b", &"a".repeat(254)] {
            let message = refusal(&[&format!("--leader-elect-identity={name}")]);
            assert!(message.contains("1 to 253 of a-z"), "{message}");
        }
        assert!(!parse_flags(&["--leader-elect=false"]).unwrap().leader_elect);
    }

    #[test]
    fn a_namespace_that_kubernetes_would_refuse_is_refused() {
        for name in ["", "-a", "a-", "Prod", "a.b", "a/b", &"a".repeat(64)] {
            let message = refusal(&[&format!("--namespace={name}")]);
            assert!(message.contains("1 to 63 of a-z"), "{message}");
        }
        assert_eq!(parse_flags(&["--namespace=a-1"]).unwrap().namespace, "a-1");
    }

    #[test]
    fn a_log_filter_that_does_not_parse_is_refused() {
        let message = refusal(&["--log-filter=ecs_password_reset=loud"]);
        assert!(message.contains("--log-filter is \"ecs_password_reset=loud\""), "{message}");
    }

    #[test]
    fn a_misspelt_boolean_is_refused_instead_of_taken_for_true() {
        assert!(parse_flags(&["--allow-http-endpoints=flase"]).is_err());
        assert!(!parse_flags(&["--allow-http-endpoints=false"]).unwrap().allow_http_endpoints);
        assert!(parse_flags(&["--allow-http-endpoints"]).unwrap().allow_http_endpoints);
    }

    /// The `controller` subcommand, without clap's own help flag.
    fn arguments() -> Vec<clap::Arg> {
        let mut command = Cli::command();
        command.build();
        let controller = command.find_subcommand("controller").unwrap();
        controller.get_arguments().filter(|argument| argument.get_id() != "help").cloned().collect()
    }

    #[test]
    fn every_flag_has_an_environment_variable_a_default_and_help_with_its_unit() {
        for argument in arguments() {
            let flag = argument.get_long().unwrap();
            let variable = format!("ECS_PASSWORD_RESET_{}", flag.replace('-', "_").to_uppercase());
            assert_eq!(argument.get_env().unwrap(), variable.as_str());
            assert_eq!(argument.get_default_values().len(), 1, "{flag} has no default");
            let help = argument.get_help().expect(flag).to_string();
            for unit in ["seconds", "milliseconds"] {
                let named = flag.ends_with(&format!("-{unit}"));
                assert_eq!(help.to_lowercase().starts_with(unit), named, "{flag}: {help}");
            }
        }
    }

    #[test]
    fn help_shows_each_default() {
        let help = parse_flags(&["--help"]).unwrap_err().to_string();
        for argument in arguments() {
            let default = argument.get_default_values()[0].to_str().unwrap();
            let (_, rest) = help.split_once(&format!("--{}", argument.get_long().unwrap())).unwrap();
            let (own, _) = rest.split_once("\n      --").unwrap_or((rest, ""));
            assert!(own.contains(&format!("[default: {default}]")), "{own}");
        }
    }

    /// Runs `test` once more in a process of its own: changing this one's environment is unsafe.
    fn in_a_process_with(variables: &[(&str, &str)], test: &str) {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("cli::tests::{test}")])
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && output.contains("1 passed"), "{output}");
    }

    #[test]
    fn environment_variables_are_read_and_flags_win() {
        if std::env::var_os("ECS_PASSWORD_RESET_CONCURRENCY").is_none() {
            let variables = [
                ("POD_NAMESPACE", "of-the-pod"),
                ("POD_NAME", "pod-1"),
                ("ECS_PASSWORD_RESET_CONCURRENCY", "7"),
                ("ECS_PASSWORD_RESET_ALLOW_HTTP_ENDPOINTS", "true"),
                ("ECS_PASSWORD_RESET_SECRET_POLL_SECONDS", "1"),
            ];
            return in_a_process_with(&variables, "environment_variables_are_read_and_flags_win");
        }
        let settings = parse_flags(&["--secret-poll-seconds=2"]).unwrap();
        assert_eq!(settings.namespace, "of-the-pod");
        assert_eq!(settings.leader_elect_identity, "pod-1");
        assert_eq!(settings.concurrency, 7);
        assert!(settings.allow_http_endpoints);
        assert_eq!(settings.secret_poll, Duration::from_secs(2));
    }

    #[test]
    fn the_commands_are_put_together_soundly() {
        Cli::command().debug_assert();
    }
}
