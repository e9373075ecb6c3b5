//! The flags and environment variables as they are typed, with their defaults and their help. Checks nothing.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::LogFormat;

/// Where an ECS instance finds its metadata service.
pub(super) const ECS_METADATA_ADDRESS: &str = "http://100.100.100.200";

/// One field per flag, as typed; [`super::Settings`] is the same after the checks.
// The comments are printed as they are by `--help`, where backticks have no meaning.
#[allow(clippy::doc_markdown)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Namespace of the controller's records and fingerprint key; the default is that of the pod, if POD_NAMESPACE is set
    #[arg(long, env = "ECS_PASSWORD_RESET_NAMESPACE", value_name = "NAME", default_value_t = default_namespace())]
    pub(super) namespace: String,

    /// Address and port that serve /livez, /readyz and /metrics; without an address, such as :8081, all addresses
    #[arg(
        long,
        env = "ECS_PASSWORD_RESET_LISTEN_ADDRESS",
        value_name = "ADDRESS:PORT",
        value_parser = listen_address,
        default_value = "0.0.0.0:8080"
    )]
    pub(super) listen_address: SocketAddr,

    /// Accept http:// endpoints in accounts, and more frequent polls: for demos and tests only, passwords travel in the clear
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
    pub(super) allow_http_endpoints: bool,

    /// Accept times below those of ECS for the validity of a request, the settling of a restart and the Lease: for tests against
    /// the simulator only, a real instance may then be restarted twice
    // Hidden: whoever needs it reads how tests are run.
    #[arg(
        long,
        hide = true,
        env = "ECS_PASSWORD_RESET_ALLOW_SHORT_SAFETY_TIMES",
        value_name = "BOOLEAN",
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true"
    )]
    pub(super) allow_short_safety_times: bool,

    /// Seconds after its Timestamp in which ECS may still execute a signed request; 1920 is what ECS needs, less is refused
    #[arg(long, env = "ECS_PASSWORD_RESET_REQUEST_VALIDITY_SECONDS", value_name = "SECONDS", default_value_t = 1920)]
    pub(super) request_validity_seconds: u64,

    /// Seconds that bound how late a read may lag plus how late an accepted reboot may begin; 120 is what ECS needs, less
    /// is refused
    #[arg(long, env = "ECS_PASSWORD_RESET_RESTART_SETTLE_SECONDS", value_name = "SECONDS", default_value_t = 120)]
    pub(super) restart_settle_seconds: u64,

    /// Milliseconds between two DescribeInstances rounds of one account and region, while anybody waits for an instance
    #[arg(
        long,
        env = "ECS_PASSWORD_RESET_DESCRIBE_INTERVAL_MILLISECONDS",
        value_name = "MILLISECONDS",
        default_value_t = 3000
    )]
    pub(super) describe_interval_milliseconds: u64,

    /// Seconds between two looks at a password Secret, while its object has open work
    #[arg(long, env = "ECS_PASSWORD_RESET_SECRET_POLL_SECONDS", value_name = "SECONDS", default_value_t = 30)]
    pub(super) secret_poll_seconds: u64,

    /// Number of passes that run at once, per kind
    #[arg(long, env = "ECS_PASSWORD_RESET_CONCURRENCY", value_name = "NUMBER", default_value_t = 16)]
    pub(super) concurrency: u16,

    /// Seconds that one request to the Kubernetes API server may take
    #[arg(long, env = "ECS_PASSWORD_RESET_KUBE_REQUEST_TIMEOUT_SECONDS", value_name = "SECONDS", default_value_t = 10)]
    pub(super) kube_request_timeout_seconds: u64,

    /// Seconds that connecting to ECS may take, TLS included
    #[arg(long, env = "ECS_PASSWORD_RESET_ECS_CONNECT_TIMEOUT_SECONDS", value_name = "SECONDS", default_value_t = 5)]
    pub(super) ecs_connect_timeout_seconds: u64,

    /// Seconds that the local clock may be off from the clock of ECS; beyond that nothing new is started
    #[arg(long, env = "ECS_PASSWORD_RESET_CLOCK_SKEW_LIMIT_SECONDS", value_name = "SECONDS", default_value_t = 300)]
    pub(super) clock_skew_limit_seconds: u64,

    /// Seconds between two looks at an account's credentials and the identity behind them, at most; whenever the policies are
    /// looked at, so are the accounts
    #[arg(long, env = "ECS_PASSWORD_RESET_ACCOUNT_CHECK_SECONDS", value_name = "SECONDS", default_value_t = 60)]
    pub(super) account_check_seconds: u64,

    /// Name of this cluster in the names of role sessions, by which ActionTrail shows who acted; the account's name is added
    #[arg(long, env = "ECS_PASSWORD_RESET_CLUSTER_NAME", value_name = "NAME", default_value = "ecs-password-reset")]
    pub(super) cluster_name: String,

    /// File with the token that STS takes for a role, for accounts with `rrsa`
    #[arg(
        long,
        env = "ECS_PASSWORD_RESET_OIDC_TOKEN_FILE",
        value_name = "FILE",
        default_value = "/var/run/secrets/ack.alibabacloud.com/rrsa-tokens/token"
    )]
    pub(super) oidc_token_file: PathBuf,

    /// Address of the metadata service of the ECS instance, for accounts with `ecsRAMRole`; another one than ECS's is refused
    /// unless http endpoints are allowed
    #[arg(
        long,
        env = "ECS_PASSWORD_RESET_ECS_METADATA_ADDRESS",
        value_name = "URL",
        default_value = ECS_METADATA_ADDRESS
    )]
    pub(super) ecs_metadata_address: String,

    /// File with certificate authorities in PEM that are trusted for ECS and STS beside the system's
    #[arg(long, env = "ECS_PASSWORD_RESET_ECS_CA_FILE", value_name = "FILE")]
    pub(super) ecs_ca_file: Option<PathBuf>,

    /// Honour HTTPS_PROXY, HTTP_PROXY and NO_PROXY for calls to ECS and STS; a proxy then learns which hosts are called
    #[arg(
        long,
        env = "ECS_PASSWORD_RESET_ECS_USE_PROXY_VARIABLES",
        value_name = "BOOLEAN",
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true"
    )]
    pub(super) ecs_use_proxy_variables: bool,

    /// Start resets although the admission policies of deploy/base are not installed. Without them, whoever may create a
    /// PasswordReset can use any account that allows the namespace
    #[arg(
        long,
        env = "ECS_PASSWORD_RESET_ALLOW_MISSING_POLICY",
        value_name = "BOOLEAN",
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true"
    )]
    pub(super) allow_missing_policy: bool,

    /// Seconds between two looks whether the admission policies are installed; while one is missing, nothing is started
    #[arg(long, env = "ECS_PASSWORD_RESET_POLICY_CHECK_SECONDS", value_name = "SECONDS", default_value_t = 60)]
    pub(super) policy_check_seconds: u64,

    /// Seconds that passes in flight may run on after SIGTERM; keep it 30 below the pod's terminationGracePeriodSeconds, since a
    /// slow API server takes as long to take the Lease back
    #[arg(long, env = "ECS_PASSWORD_RESET_SHUTDOWN_TIMEOUT_SECONDS", value_name = "SECONDS", default_value_t = 25)]
    pub(super) shutdown_timeout_seconds: u64,

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
    pub(super) leader_elect: bool,

    /// Name of this process in the Lease, to which a random id is added; the default is that of the pod, if POD_NAME is set
    #[arg(
        long,
        env = "ECS_PASSWORD_RESET_LEADER_ELECT_IDENTITY",
        value_name = "NAME",
        default_value_t = default_identity()
    )]
    pub(super) leader_elect_identity: String,

    /// Seconds that the others wait after the last renewal they saw before one of them takes the Lease
    #[arg(
        long,
        env = "ECS_PASSWORD_RESET_LEADER_ELECT_LEASE_DURATION_SECONDS",
        value_name = "SECONDS",
        default_value_t = 15
    )]
    pub(super) leader_elect_lease_duration_seconds: u64,

    /// Seconds after its last renewal in which a leader that cannot renew ends
    #[arg(
        long,
        env = "ECS_PASSWORD_RESET_LEADER_ELECT_RENEW_DEADLINE_SECONDS",
        value_name = "SECONDS",
        default_value_t = 10
    )]
    pub(super) leader_elect_renew_deadline_seconds: u64,

    /// Seconds between two renewals
    #[arg(
        long,
        env = "ECS_PASSWORD_RESET_LEADER_ELECT_RETRY_PERIOD_SECONDS",
        value_name = "SECONDS",
        default_value_t = 2
    )]
    pub(super) leader_elect_retry_period_seconds: u64,

    /// Log filter, such as "info,ecs_password_reset=debug"; other crates never log below their ceiling, whatever it says
    #[arg(
        long,
        alias = "log-level",
        env = "ECS_PASSWORD_RESET_LOG_FILTER",
        value_name = "FILTER",
        default_value = "info"
    )]
    pub(super) log_filter: String,

    /// Format of a log line
    #[arg(long, env = "ECS_PASSWORD_RESET_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value = "json")]
    pub(super) log_format: LogFormat,
}

/// `:8081` is what other controllers take.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let whole = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    whole.parse().map_err(|_| "it must be an IP address and a port such as 0.0.0.0:8080, or only :8080".to_owned())
}

/// The pod's own namespace, as the downward API tells it.
fn default_namespace() -> String {
    std::env::var("POD_NAMESPACE").unwrap_or_else(|_| "ecs-password-reset-system".to_owned())
}

/// The pod's name, as the downward API tells it.
fn default_identity() -> String {
    std::env::var("POD_NAME").unwrap_or_else(|_| "ecs-password-reset".to_owned())
}
