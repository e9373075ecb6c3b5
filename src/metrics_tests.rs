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
    metrics.provider_throttled("RebootInstance");
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
        r#"passwordreset_provider_api_throttled_total{api="RebootInstance"} 1"#,
        r#"passwordreset_kube_writes_total{kind="ResetRecord",verb="replace"} 1"#,
        r#"leader_election_master_status{name="a-lease"} 1"#,
        r#"passwordreset_objects{kind="PasswordReset",ready="False",reason="PausedOnFailure"} 1"#,
        r#"passwordreset_instances{state="InEffect"} 2"#,
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
fn what_does_not_look_like_an_error_code_counts_as_other() {
    for code in ["IncorrectInstanceStatus.Initializing", "HTTP 502"] {
        assert_eq!(bounded(code), code);
    }
    for code in ["", "HTTP ", "Das war nichts", "zurück", "a\nb", "\"", &"a".repeat(65)] {
        assert_eq!(bounded(code), "other", "{code:?}");
    }
}

#[test]
fn objects_and_their_instances_are_summed_and_follow_deletes() {
    let (metrics, one) = (Metrics::new(), "PasswordReset");
    let works = ("Unknown", "Pending");
    metrics.set_object(one, "a/one", works, [("Pending", 2), ("InEffect", 1)].into());
    metrics.set_object(one, "a/two", works, [("Pending", 3)].into());
    metrics.set_object("ECSAccount", "a/two", works, BTreeMap::new());
    let encoded = metrics.encode();
    assert_line(&encoded, r#"passwordreset_instances{state="Pending"} 5"#);
    assert_line(&encoded, r#"passwordreset_objects{kind="PasswordReset",ready="Unknown",reason="Pending"} 2"#);
    assert_line(&encoded, r#"passwordreset_objects{kind="ECSAccount",ready="Unknown",reason="Pending"} 1"#);
    metrics.set_object(one, "a/one", ("True", "Succeeded"), [("InEffect", 3)].into());
    let encoded = metrics.encode();
    assert_line(&encoded, r#"passwordreset_instances{state="Pending"} 3"#);
    assert_line(&encoded, r#"passwordreset_instances{state="InEffect"} 3"#);
    assert_line(&encoded, r#"passwordreset_objects{kind="PasswordReset",ready="Unknown",reason="Pending"} 1"#);
    assert_line(&encoded, r#"passwordreset_objects{kind="PasswordReset",ready="True",reason="Succeeded"} 1"#);
    metrics.forget(one, "a/one");
    metrics.forget(one, "a/two");
    metrics.forget("ECSAccount", "a/two");
    let encoded = metrics.encode();
    assert!(!encoded.contains("passwordreset_instances{") && !encoded.contains("passwordreset_objects{"));
}
