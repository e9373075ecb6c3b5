//! What `/metrics` shows.

use super::*;

#[track_caller]
fn assert_line(encoded: &str, line: &str) {
    assert!(encoded.lines().any(|found| found == line), "no line {line} in\n{encoded}");
}

#[test]
fn every_metric_has_the_name_and_labels_that_dashboards_know() {
    let metrics = Metrics::new();
    metrics.controller_started("resetrecord", 16);
    metrics.reconciled("resetrecord", PassResult::Success, Duration::from_millis(2));
    metrics.provider_call("RebootInstance", "OK", Duration::from_secs(2));
    metrics.provider_throttled("default", "RebootInstance");
    metrics.kube_write("ResetRecord", "replace");
    metrics.set_leader("a-lease", true);
    metrics.set_object("PasswordReset", "a/b", ("False", "PausedOnFailure"), [("InEffect", 2)].into());
    let encoded = metrics.encode();
    for line in [
        r#"controller_runtime_reconcile_total{controller="resetrecord",result="success"} 1"#,
        r#"controller_runtime_reconcile_total{controller="resetrecord",result="error"} 0"#,
        r#"controller_runtime_reconcile_total{controller="resetrecord",result="requeue"} 0"#,
        r#"controller_runtime_reconcile_total{controller="resetrecord",result="requeue_after"} 0"#,
        r#"controller_runtime_reconcile_errors_total{controller="resetrecord"} 0"#,
        r#"controller_runtime_reconcile_panics_total{controller="resetrecord"} 0"#,
        r#"controller_runtime_reconcile_time_seconds_count{controller="resetrecord"} 1"#,
        r#"controller_runtime_reconcile_time_seconds_bucket{le="0.005",controller="resetrecord"} 1"#,
        r#"controller_runtime_max_concurrent_reconciles{controller="resetrecord"} 16"#,
        r#"controller_runtime_active_workers{controller="resetrecord"} 0"#,
        r#"passwordreset_provider_api_calls_total{api="RebootInstance",code="OK"} 1"#,
        r#"passwordreset_provider_api_duration_seconds_count{api="RebootInstance"} 1"#,
        r#"passwordreset_provider_api_throttled_total{account="default",api="RebootInstance"} 1"#,
        r#"passwordreset_kube_writes_total{kind="ResetRecord",verb="replace"} 1"#,
        r#"leader_election_master_status{name="a-lease"} 1"#,
        r#"passwordreset_objects{namespace="a",kind="PasswordReset",ready="False",reason="PausedOnFailure"} 1"#,
        r#"passwordreset_instances{namespace="a",state="InEffect"} 2"#,
        &format!(r#"passwordreset_build_info{{version="{}",revision="{}"}} 1"#, version::VERSION, version::REVISION),
    ] {
        assert_line(&encoded, line);
    }
    assert!(encoded.ends_with("# EOF\n"));
}

#[test]
fn a_panic_counts_as_an_error_too() {
    let metrics = Metrics::new();
    metrics.reconciled("c", PassResult::Panic, Duration::ZERO);
    metrics.reconciled("c", PassResult::Error, Duration::ZERO);
    let encoded = metrics.encode();
    assert_line(&encoded, r#"controller_runtime_reconcile_total{controller="c",result="error"} 2"#);
    assert_line(&encoded, r#"controller_runtime_reconcile_errors_total{controller="c"} 2"#);
    assert_line(&encoded, r#"controller_runtime_reconcile_panics_total{controller="c"} 1"#);
}

#[test]
fn a_pass_is_active_until_its_guard_is_dropped() {
    let metrics = Metrics::new();
    let (first, second) = (metrics.reconciling("c"), metrics.reconciling("c"));
    assert_line(&metrics.encode(), r#"controller_runtime_active_workers{controller="c"} 2"#);
    drop(first);
    assert_line(&metrics.encode(), r#"controller_runtime_active_workers{controller="c"} 1"#);
    drop(second);
    assert_line(&metrics.encode(), r#"controller_runtime_active_workers{controller="c"} 0"#);
}

#[test]
fn what_happens_seldom_is_there_from_the_start() {
    let encoded = Metrics::new().encode();
    for line in [
        r#"passwordreset_reset_duration_seconds_count{outcome="Unknown"} 0"#,
        r#"passwordreset_run_duration_seconds_count{result="Succeeded"} 0"#,
        "passwordreset_restart_proof_seconds_count 0",
        r#"passwordreset_retries_total{api="RebootInstance"} 0"#,
    ] {
        assert_line(&encoded, line);
    }
}

#[test]
fn durations_of_resets_are_distinguished_up_to_an_hour() {
    let metrics = Metrics::new();
    for minutes in [1, 59, 61] {
        metrics.reset_ended("InEffect", Duration::from_mins(minutes));
        metrics.restart_proven(Duration::from_mins(minutes));
        metrics.run_ended("Failed", Duration::from_mins(minutes));
    }
    let encoded = metrics.encode();
    for line in [
        r#"passwordreset_reset_duration_seconds_bucket{le="60.0",outcome="InEffect"} 1"#,
        r#"passwordreset_reset_duration_seconds_bucket{le="3600.0",outcome="InEffect"} 2"#,
        r#"passwordreset_restart_proof_seconds_bucket{le="3600.0"} 2"#,
        r#"passwordreset_run_duration_seconds_bucket{le="+Inf",result="Failed"} 3"#,
    ] {
        assert_line(&encoded, line);
    }
}

#[test]
fn a_pass_that_is_tried_again_is_a_retry_and_a_timer_is_not() {
    let metrics = Metrics::new();
    for ended in [PassResult::Success, PassResult::RequeueAfter] {
        metrics.reconciled("c", ended, Duration::ZERO);
    }
    assert!(!metrics.encode().contains("workqueue_retries_total{"));
    for ended in [PassResult::Requeue, PassResult::Error, PassResult::Panic] {
        metrics.reconciled("c", ended, Duration::ZERO);
    }
    let encoded = metrics.encode();
    assert_line(&encoded, r#"workqueue_retries_total{name="c"} 3"#);
    assert_line(&encoded, r#"workqueue_work_duration_seconds_count{name="c"} 5"#);
}

/// Everything that comes from outside, in numbers and forms that nobody expects, makes no more series than this.
#[test]
fn the_number_of_series_is_bounded_whatever_comes_from_outside() {
    const NAMESPACES: usize = 3;
    let metrics = Metrics::new();
    let fill = |from: usize, to: usize| {
        for n in from..to {
            let name = format!("namespace-{}/object-{n}", n % NAMESPACES);
            let rows = BTreeMap::from([("InEffect", n as u64), ("Failed", 1)]);
            metrics.set_object("PasswordReset", &name, ("True", "Succeeded"), rows);
            let account = format!("account-{n}");
            metrics.set_object("ECSAccount", &account, ("False", "Failed"), BTreeMap::new());
            metrics.provider_throttled(&account, "RebootInstance");
            metrics.forget_account(&account, ["RebootInstance"]);
            let method = http::Method::from_bytes(format!("VERB{n}").as_bytes()).unwrap();
            metrics.kube_request("10.0.0.1:443", &method, u16::try_from(600 + n % 400).ok(), Duration::ZERO);
            metrics.kube_request(
                "10.0.0.1:443",
                &http::Method::GET,
                u16::try_from(n).ok(),
                Duration::from_secs(n as u64),
            );
            metrics.reset_ended("InEffect", Duration::from_secs(n as u64));
        }
        metrics.encode().lines().filter(|line| !line.starts_with('#')).count()
    };
    let series = fill(0, 1_000);
    assert_eq!(fill(1_000, 20_000), series, "more objects and instances make no more series");
    // One of each object's namespace, kind, status and reason; of each state; the histograms; and one for each HTTP status.
    assert!(series < 760, "{series} series");
    assert!(!metrics.encode().contains("object-") && !metrics.encode().contains("account-"));
}

#[test]
fn objects_and_their_instances_are_summed_and_follow_deletes() {
    let (metrics, one) = (Metrics::new(), "PasswordReset");
    let works = ("Unknown", "Pending");
    metrics.set_object(one, "a/one", works, [("Pending", 2), ("InEffect", 1)].into());
    metrics.set_object(one, "a/two", works, [("Pending", 3)].into());
    metrics.set_object(one, "b/two", works, [("Pending", 1)].into());
    metrics.set_object("ECSAccount", "two", works, BTreeMap::new());
    let encoded = metrics.encode();
    assert_line(&encoded, r#"passwordreset_instances{namespace="a",state="Pending"} 5"#);
    assert_line(&encoded, r#"passwordreset_instances{namespace="b",state="Pending"} 1"#);
    assert_line(
        &encoded,
        r#"passwordreset_objects{namespace="a",kind="PasswordReset",ready="Unknown",reason="Pending"} 2"#,
    );
    assert_line(
        &encoded,
        r#"passwordreset_objects{namespace="",kind="ECSAccount",ready="Unknown",reason="Pending"} 1"#,
    );
    metrics.set_object(one, "a/one", ("True", "Succeeded"), [("InEffect", 3)].into());
    let encoded = metrics.encode();
    assert_line(&encoded, r#"passwordreset_instances{namespace="a",state="Pending"} 3"#);
    assert_line(&encoded, r#"passwordreset_instances{namespace="a",state="InEffect"} 3"#);
    assert_line(
        &encoded,
        r#"passwordreset_objects{namespace="a",kind="PasswordReset",ready="Unknown",reason="Pending"} 1"#,
    );
    assert_line(
        &encoded,
        r#"passwordreset_objects{namespace="a",kind="PasswordReset",ready="True",reason="Succeeded"} 1"#,
    );
    metrics.forget(one, "a/one");
    metrics.forget(one, "a/two");
    metrics.forget(one, "b/two");
    metrics.forget("ECSAccount", "two");
    let encoded = metrics.encode();
    assert!(!encoded.contains("passwordreset_instances{") && !encoded.contains("passwordreset_objects{"));
}
