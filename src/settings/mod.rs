//! The command line: flags and environment variables in, validated [`Settings`] out.
//!
//! Every limit and timeout of the process is named here, its default in `args`, and its range in `limits`. Nothing
//! here acts on a setting. Limits that protect real machines can be loosened only together with
//! `--allow-short-safety-times`, and those that save calls with `--allow-http-endpoints`; no production cluster has a use for
//! either.

mod args;
mod given;
mod limits;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::leader::ElectionTimes;
use crate::version;
use args::{Args, ECS_METADATA_ADDRESS};
use limits::{
    ACCOUNT_CHECK, CLOCK_SKEW, CONCURRENCY, DESCRIBE_INTERVAL, ECS_CONNECT_TIMEOUT, KUBE_REQUEST_TIMEOUT,
    LEASE_DURATION, Limit, Loosened, POLICY_CHECK, RENEW_DEADLINE, REQUEST_VALIDITY, RESTART_SETTLE, RETRY_PERIOD,
    SECRET_POLL, SHUTDOWN_TIMEOUT,
};

/// All settings of the controller, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Settings {
    /// Where the records and the fingerprint key live: the controller's own namespace.
    pub namespace: String,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub listen_address: SocketAddr,
    /// Whether an account may name an `http://` endpoint. Danger: passwords then travel in the clear.
    pub allow_http_endpoints: bool,
    /// Whether the times that protect machines may be shorter than ECS's own. Danger: an instance may then be restarted twice.
    pub allow_short_safety_times: bool,
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
    /// The name of this cluster in role session names.
    pub cluster_name: String,
    /// Where the token lies that STS takes for a role (RRSA).
    pub oidc_token_file: PathBuf,
    /// Where the metadata service of the instance is: scheme and host.
    pub ecs_metadata_address: String,
    /// Certificate authorities, in PEM, that are trusted for ECS and STS beside the system's.
    pub ecs_ca_file: Option<PathBuf>,
    /// Whether calls to ECS and STS honour the proxy variables of the environment.
    pub ecs_use_proxy_variables: bool,
    /// Whether resets start although an admission policy is missing. Danger: whoever may write a `PasswordReset` then uses
    /// every account that allows the namespace, with every Secret there that the controller may read.
    pub allow_missing_policy: bool,
    /// How long a look at the admission policies counts.
    pub policy_check: Duration,
    /// How long passes in flight may run on after SIGTERM.
    pub shutdown_timeout: Duration,
    /// Whether this process works only while it leads; else it has to be the only one.
    pub leader_elect: bool,
    /// The name of this process in the Lease, before its random id.
    pub leader_elect_identity: String,
    /// The lengths of the election.
    pub election: ElectionTimes,
    /// The log filter, in `tracing`'s syntax. Parses: it was tried.
    pub log_filter: String,
    /// What a log line looks like.
    pub log_format: LogFormat,
    /// Every flag with its value, wherever that comes from: a command line that gives the same settings. It holds no secret.
    pub command_line: String,
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
#[command(name = "ecs-password-reset", version = version::long(), propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller
    Controller(Args),
}

/// A value that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("--{flag} {problem}")]
struct InvalidSetting {
    /// Without its two hyphens.
    flag: &'static str,
    /// What its value is, and what it must be.
    problem: String,
}

impl TryFrom<Args> for Settings {
    type Error = InvalidSetting;

    fn try_from(args: Args) -> Result<Self, InvalidSetting> {
        // In full, without `..`: a new flag that is not checked here does not compile.
        let Args {
            namespace,
            listen_address,
            allow_http_endpoints,
            allow_short_safety_times,
            request_validity_seconds,
            restart_settle_seconds,
            describe_interval_milliseconds,
            secret_poll_seconds,
            concurrency,
            kube_request_timeout_seconds,
            ecs_connect_timeout_seconds,
            clock_skew_limit_seconds,
            account_check_seconds,
            cluster_name,
            oidc_token_file,
            ecs_metadata_address,
            ecs_ca_file,
            ecs_use_proxy_variables,
            allow_missing_policy,
            policy_check_seconds,
            shutdown_timeout_seconds,
            leader_elect,
            leader_elect_identity,
            leader_elect_lease_duration_seconds,
            leader_elect_renew_deadline_seconds,
            leader_elect_retry_period_seconds,
            log_filter,
            log_format,
        } = args;
        let loosened = Loosened { http_endpoints: allow_http_endpoints, short_safety_times: allow_short_safety_times };
        let seconds = |limit: Limit, value| limit.check(value, loosened).map(Duration::from_secs);
        let milliseconds = |limit: Limit, value| limit.check(value, loosened).map(Duration::from_millis);
        CONCURRENCY.check(concurrency.into(), loosened)?;
        let ecs_connect_timeout = seconds(ECS_CONNECT_TIMEOUT, ecs_connect_timeout_seconds)?;
        let election = ElectionTimes {
            lease_duration: seconds(LEASE_DURATION, leader_elect_lease_duration_seconds)?,
            renew_deadline: seconds(RENEW_DEADLINE, leader_elect_renew_deadline_seconds)?,
            retry_period: seconds(RETRY_PERIOD, leader_elect_retry_period_seconds)?,
        };
        Ok(Self {
            namespace: checked_namespace(namespace)?,
            listen_address,
            allow_http_endpoints,
            allow_short_safety_times,
            request_validity: seconds(REQUEST_VALIDITY, request_validity_seconds)?,
            restart_settle: seconds(RESTART_SETTLE, restart_settle_seconds)?,
            describe_interval: milliseconds(DESCRIBE_INTERVAL, describe_interval_milliseconds)?,
            secret_poll: seconds(SECRET_POLL, secret_poll_seconds)?,
            concurrency,
            kube_request_timeout: seconds(KUBE_REQUEST_TIMEOUT, kube_request_timeout_seconds)?,
            ecs_connect_timeout,
            clock_skew_limit: seconds(CLOCK_SKEW, clock_skew_limit_seconds)?,
            account_check: seconds(ACCOUNT_CHECK, account_check_seconds)?,
            cluster_name,
            oidc_token_file,
            ecs_metadata_address: checked_metadata_address(ecs_metadata_address, allow_http_endpoints)?,
            ecs_ca_file,
            ecs_use_proxy_variables,
            allow_missing_policy,
            policy_check: seconds(POLICY_CHECK, policy_check_seconds)?,
            shutdown_timeout: seconds(SHUTDOWN_TIMEOUT, shutdown_timeout_seconds)?,
            leader_elect,
            leader_elect_identity: checked_identity(leader_elect_identity)?,
            election: checked_election(election, ecs_connect_timeout)?,
            log_filter: checked_log_filter(log_filter)?,
            log_format,
            command_line: String::new(),
        })
    }
}

/// A DNS label, which is what Kubernetes takes as the name of a namespace.
fn checked_namespace(name: String) -> Result<String, InvalidSetting> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edges = !name.starts_with('-') && !name.ends_with('-');
    if (1..=63).contains(&name.len()) && name.bytes().all(inner) && edges {
        return Ok(name);
    }
    let problem = format!("is {name:?}; it must be 1 to 63 of a-z, 0-9 and '-', with no '-' at either end");
    Err(InvalidSetting { flag: "namespace", problem })
}

/// What Kubernetes takes as the name of a pod.
fn checked_identity(name: String) -> Result<String, InvalidSetting> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    if (1..=253).contains(&name.len()) && name.bytes().all(inner) {
        return Ok(name);
    }
    let problem = format!("is {name:?}; it must be 1 to 253 of a-z, 0-9, '-' and '.'");
    Err(InvalidSetting { flag: "leader-elect-identity", problem })
}

/// Credentials come from there: nobody may point it elsewhere but a test.
fn checked_metadata_address(address: String, allow_http_endpoints: bool) -> Result<String, InvalidSetting> {
    if address == ECS_METADATA_ADDRESS || allow_http_endpoints {
        return Ok(address);
    }
    let problem = format!(
        "is {address:?}; it must be {ECS_METADATA_ADDRESS}, another one only together with --allow-http-endpoints (demos and tests)"
    );
    Err(InvalidSetting { flag: "ecs-metadata-address", problem })
}

/// A leader has more than one try before it ends, and what it sent last has left this machine before another one leads.
fn checked_election(times: ElectionTimes, ecs_connect_timeout: Duration) -> Result<ElectionTimes, InvalidSetting> {
    let ElectionTimes { lease_duration, renew_deadline, retry_period } = times;
    if renew_deadline <= retry_period {
        let problem = format!(
            "is {}; it must be more than --leader-elect-retry-period-seconds, which is {}",
            renew_deadline.as_secs(),
            retry_period.as_secs()
        );
        return Err(InvalidSetting { flag: "leader-elect-renew-deadline-seconds", problem });
    }
    if lease_duration < renew_deadline + ecs_connect_timeout {
        let problem = format!(
            "is {}; it must be at least {}, the sum of --leader-elect-renew-deadline-seconds and --ecs-connect-timeout-seconds",
            lease_duration.as_secs(),
            (renew_deadline + ecs_connect_timeout).as_secs()
        );
        return Err(InvalidSetting { flag: "leader-elect-lease-duration-seconds", problem });
    }
    Ok(times)
}

fn checked_log_filter(filter: String) -> Result<String, InvalidSetting> {
    match EnvFilter::builder().with_regex(false).parse(&filter) {
        Ok(_) => Ok(filter),
        Err(error) => {
            let problem = format!("is {filter:?}: {error}; an example that works is \"info\"");
            Err(InvalidSetting { flag: "log-filter", problem })
        }
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
    let typed: Vec<OsString> = command_line.into_iter().map(Into::into).collect();
    let mut command = Cli::command();
    command.build();
    let matches = command.try_get_matches_from_mut(&typed);
    let matches = matches.map_err(|error| given::blamed(error, &mut command, &typed))?;
    let Cli { command: Command::Controller(args) } = Cli::from_arg_matches(&matches)?;
    let Some((name, values)) = matches.subcommand() else {
        return Err(command.error(ErrorKind::MissingSubcommand, ""));
    };
    let Some(command) = command.find_subcommand_mut(name) else {
        return Err(clap::Error::new(ErrorKind::InvalidSubcommand));
    };
    let settings = Settings::try_from(args)
        .map_err(|error| command.error(ErrorKind::ValueValidation, given::source_named(&error, command, values)))?;
    Ok(Settings { command_line: given::all(command, values), ..settings })
}

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
