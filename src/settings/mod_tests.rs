//! Which command lines are taken, and what is said of the others.

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
        allow_short_safety_times: false,
        request_validity: Duration::from_mins(32),
        restart_settle: Duration::from_mins(2),
        describe_interval: Duration::from_secs(3),
        secret_poll: Duration::from_secs(30),
        concurrency: 16,
        kube_request_timeout: Duration::from_secs(10),
        ecs_connect_timeout: Duration::from_secs(5),
        clock_skew_limit: Duration::from_mins(5),
        account_check: Duration::from_mins(1),
        cluster_name: "ecs-password-reset".to_owned(),
        oidc_token_file: "/var/run/secrets/ack.alibabacloud.com/rrsa-tokens/token".into(),
        ecs_metadata_address: "http://100.100.100.200".to_owned(),
        ecs_ca_file: None,
        ecs_use_proxy_variables: false,
        allow_missing_policy: false,
        policy_check: Duration::from_mins(1),
        shutdown_timeout: Duration::from_secs(25),
        leader_elect: true,
        leader_elect_identity: "ecs-password-reset".to_owned(),
        election: ElectionTimes {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        },
        log_filter: "info".to_owned(),
        log_format: LogFormat::Json,
        command_line: settings.command_line.clone(),
    };
    assert_eq!(settings, expected);
}

#[test]
fn the_command_line_of_settings_gives_the_same_settings() {
    let flags = ["--listen-address=:8081", "--log-level=debug", "--ecs-ca-file=/ca.pem", "--concurrency", "3"];
    let settings = parse_flags(&flags).unwrap();
    assert_eq!(settings.listen_address, ([0, 0, 0, 0], 8081).into());
    assert_eq!(settings.log_filter, "debug");
    let flags: Vec<&str> = settings.command_line.split(' ').collect();
    for flag in ["--log-filter=debug", "--concurrency=3", "--leader-elect=true", "--secret-poll-seconds=30"] {
        assert!(flags.contains(&flag), "{flags:?}");
    }
    let again = parse_flags(&flags).unwrap();
    assert_eq!(
        Settings { command_line: settings.command_line.replace(":8081", "0.0.0.0:8081"), ..again },
        Settings { command_line: settings.command_line.replace(":8081", "0.0.0.0:8081"), ..settings }
    );
}

#[test]
fn a_refusal_shows_the_usage_of_the_subcommand() {
    for flags in [["--concurrency=0"], ["--no-such-flag"]] {
        let message = refusal(&flags);
        assert!(message.contains("ecs-password-reset controller"), "{message}");
    }
    let version = parse_flags(&["--version"]).unwrap_err().to_string();
    assert!(version.contains(version::VERSION), "{version}");
}

#[test]
fn a_wrong_address_is_refused_with_what_is_taken() {
    for address in ["8081", "localhost:8081", ":x"] {
        let message = refusal(&[&format!("--listen-address={address}")]);
        assert!(message.contains("it must be an IP address and a port"), "{message}");
    }
}

#[test]
fn number_out_of_range_is_refused_with_range_and_unit() {
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
        ("--policy-check-seconds=3601", "10 to 3600 seconds"),
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
fn polls_are_more_frequent_only_together_with_http_endpoints() {
    for flag in [
        "--describe-interval-milliseconds=999",
        "--secret-poll-seconds=4",
        "--account-check-seconds=9",
        "--policy-check-seconds=9",
    ] {
        let message = refusal(&[flag]);
        assert!(message.contains("less only together with --allow-http-endpoints"), "{message}");
        assert!(parse_flags(&[flag, "--allow-http-endpoints"]).is_ok(), "{flag}");
        assert!(parse_flags(&[flag, "--allow-short-safety-times"]).is_err(), "{flag}");
    }
}

#[test]
fn times_that_protect_machines_have_a_flag_of_their_own() {
    for flag in ["--request-validity-seconds=1919", "--restart-settle-seconds=119"] {
        for more in [&[][..], &["--allow-http-endpoints"]] {
            let message = refusal(&[&[flag], more].concat());
            assert!(message.contains("less only together with --allow-short-safety-times"), "{message}");
        }
        assert!(parse_flags(&[flag, "--allow-short-safety-times"]).is_ok(), "{flag}");
    }
    let message = refusal(&["--request-validity-seconds=0", "--allow-short-safety-times"]);
    assert!(message.contains("it must be 1 to 86400 seconds"), "{message}");
    let help = parse_flags(&["--help"]).unwrap_err().to_string();
    assert!(!help.contains("short-safety-times"), "whoever reads the help has no use for it");
}

#[test]
fn short_leases_are_for_tests() {
    let short = [
        "--leader-elect-lease-duration-seconds=3",
        "--leader-elect-renew-deadline-seconds=2",
        "--leader-elect-retry-period-seconds=1",
        "--ecs-connect-timeout-seconds=1",
    ];
    let message = refusal(&[&short[..], &["--allow-http-endpoints"]].concat());
    assert!(message.contains("less only together with --allow-short-safety-times"), "{message}");
    let settings = parse_flags(&[&short[..], &["--allow-short-safety-times"]].concat()).unwrap();
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
fn identity_that_is_not_a_pod_name_is_refused() {
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

/// The flags of the `controller` subcommand, without clap's own.
fn arguments() -> Vec<clap::Arg> {
    let mut command = Cli::command();
    command.build();
    let controller = command.find_subcommand("controller").unwrap();
    let own = |argument: &&clap::Arg| argument.get_id() != "help" && argument.get_id() != "version";
    controller.get_arguments().filter(own).cloned().collect()
}

#[test]
fn every_flag_has_variable_default_and_help_with_unit() {
    for argument in arguments() {
        let flag = argument.get_long().unwrap();
        let variable = format!("ECS_PASSWORD_RESET_{}", flag.replace('-', "_").to_uppercase());
        assert_eq!(argument.get_env().unwrap(), variable.as_str());
        let optional = flag == "ecs-ca-file";
        assert_eq!(argument.get_default_values().len(), usize::from(!optional), "{flag} has no default");
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
    for argument in arguments().into_iter().filter(|argument| !argument.is_hide_set()) {
        let Some(default) = argument.get_default_values().first() else { continue };
        let default = default.to_str().unwrap();
        let (_, rest) = help.split_once(&format!("--{}", argument.get_long().unwrap())).unwrap();
        let (own, _) = rest.split_once("\n      --").unwrap_or((rest, ""));
        assert!(own.contains(&format!("[default: {default}]")), "{own}");
    }
}

/// Runs `test` once more in a process of its own: changing this one's environment is unsafe.
fn in_a_process_with(variables: &[(&str, &str)], test: &str) {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("settings::tests::{test}")])
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
fn a_refused_variable_is_named() {
    let Some(value) = std::env::var_os("ECS_PASSWORD_RESET_CONCURRENCY") else {
        for value in ["0", "many"] {
            let variables = [("ECS_PASSWORD_RESET_CONCURRENCY", value)];
            in_a_process_with(&variables, "a_refused_variable_is_named");
        }
        return;
    };
    let message = refusal(&[]);
    assert!(message.contains("ECS_PASSWORD_RESET_CONCURRENCY"), "{message}");
    assert!(message.contains("the variable of --concurrency"), "{message}");
    assert!(message.contains(&*value.to_string_lossy()), "{message}");
    let typed = refusal(&[&format!("--concurrency={}", value.to_string_lossy())]);
    assert!(!typed.contains("ECS_PASSWORD_RESET_CONCURRENCY"), "{typed}");
}

#[test]
fn the_commands_are_put_together_soundly() {
    Cli::command().debug_assert();
}
