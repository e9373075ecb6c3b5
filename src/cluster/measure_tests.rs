//! The counts of records and runs, and that nothing is counted twice.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::watcher::Event;
use serde_json::json;

use super::*;
use crate::api::reset_record::Attempt;
use crate::cluster::guarded::Guarded;
use crate::cluster::ledger::Ledger;
use crate::decide::fixtures::{at, claimed};

/// A ledger, and what it has counted.
fn measured() -> (Ledger, impl Fn(&str) -> String) {
    let metrics = Arc::new(Metrics::new());
    let ledger = Ledger::measured(Arc::clone(&metrics));
    (ledger, move |series| value(&metrics, series))
}

fn value(metrics: &Metrics, series: &str) -> String {
    let encoded = metrics.encode();
    let line = encoded.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
    line.unwrap_or_else(|| panic!("no {series} in\n{encoded}"))
}

/// A version of one record: its generation, phase, the second at which it came there, and the number of its last attempt.
fn version(generation: i64, phase: Phase, second: i64, attempt: u32) -> ResetRecord {
    let mut record = claimed();
    record.metadata.uid = Some("u1".to_owned());
    record.metadata.generation = Some(generation);
    let status = record.status.as_mut().unwrap();
    status.phase = phase;
    let row = status.row.as_mut().unwrap();
    row.state_time = Some(Time(at(second)));
    row.state = match phase {
        Phase::SettingPassword => State::SettingPassword,
        Phase::PasswordSet => State::PasswordSet,
        Phase::RestartRequested | Phase::Restarting => State::Restarting,
        _ => State::InEffect,
    };
    status.start_time_before =
        matches!(phase, Phase::RestartRequested | Phase::Restarting | Phase::InEffect).then(|| Time(at(-600)));
    status.attempt = Some(Attempt {
        id: format!("{phase:?}{attempt}"),
        process: "p".to_owned(),
        number: attempt,
        timestamp: Time(at(20)),
        found_unanswered_until: None,
    });
    record
}

fn show(ledger: &Ledger, record: ResetRecord) {
    let _ = ledger.watched(&Event::Apply(Guarded(Ok(record))));
}

#[test]
fn a_reset_is_counted_once_whoever_shows_its_end_first() {
    for watch_is_first in [true, false] {
        let (ledger, counted) = measured();
        ledger.put(version(1, Phase::SettingPassword, 0, 1));
        show(&ledger, version(1, Phase::SettingPassword, 0, 1));
        ledger.put(version(2, Phase::Restarting, 30, 1));
        let end = || version(3, Phase::InEffect, 90, 1);
        if watch_is_first {
            show(&ledger, end());
            ledger.put(end());
        } else {
            ledger.put(end());
            show(&ledger, version(2, Phase::Restarting, 30, 1));
            show(&ledger, end());
        }
        // The slot is free, later.
        ledger.put(version(4, Phase::InEffect, 90, 1));
        assert_eq!(counted("passwordreset_reset_duration_seconds_count{outcome=\"InEffect\"}"), "1");
        assert_eq!(counted("passwordreset_reset_duration_seconds_sum{outcome=\"InEffect\"}"), "90.0");
        assert_eq!(counted("passwordreset_restart_proof_seconds_count"), "1");
        let states = ["SettingPassword", "Restarting", "PasswordSet"];
        let sums =
            states.map(|state| counted(&format!("passwordreset_state_duration_seconds_sum{{state=\"{state}\"}}")));
        assert_eq!(sums, ["30.0", "60.0", "0.0"]);
        assert_eq!(counted("passwordreset_restart_proof_seconds_sum"), "70.0", "from the attempt's Timestamp");
        assert_eq!(counted("passwordreset_retries_total{api=\"RebootInstance\"}"), "0");
    }
}

#[test]
fn what_had_ended_before_this_process_is_not_counted() {
    let (ledger, counted) = measured();
    show(&ledger, version(7, Phase::Unknown, 90, 1));
    ledger.put(version(8, Phase::InEffect, 900, 1));
    assert_eq!(counted("passwordreset_reset_duration_seconds_count{outcome=\"Unknown\"}"), "0");
    assert_eq!(counted("passwordreset_reset_duration_seconds_count{outcome=\"InEffect\"}"), "0");
    assert_eq!(counted("passwordreset_restart_proof_seconds_count"), "0", "a person has resolved it");
}

#[test]
fn second_attempts_are_counted_by_call() {
    let (ledger, counted) = measured();
    ledger.put(version(1, Phase::SettingPassword, 0, 1));
    ledger.put(version(2, Phase::SettingPassword, 0, 2));
    ledger.put(version(3, Phase::SettingPassword, 5, 2));
    ledger.put(version(4, Phase::RestartRequested, 30, 1));
    ledger.put(version(5, Phase::RestartRequested, 60, 2));
    ledger.put(version(6, Phase::RestartRequested, 90, 3));
    assert_eq!(counted("passwordreset_retries_total{api=\"ModifyInstanceAttribute\"}"), "1");
    assert_eq!(counted("passwordreset_retries_total{api=\"RebootInstance\"}"), "2");
}

fn object(number: i64, completion: Option<i64>, failed: u32) -> PasswordReset {
    let counts = json!({"total": 3, "pending": 0, "inProgress": 0, "inEffect": 3 - failed, "effectiveAtNextStart": 0,
        "superseded": 0, "failed": failed, "unknown": 0});
    let time = |second| at(second).to_string();
    let mut run = json!({"number": number, "trigger": "Created", "tokens": [], "startTime": time(0)});
    if let Some(second) = completion {
        run["completionTime"] = json!(time(second));
    }
    let status = if number > 0 { json!({"run": run, "counts": counts}) } else { json!({}) };
    serde_json::from_value(json!({
        "apiVersion": "ecs.password-reset.dev/v1alpha1", "kind": "PasswordReset",
        "metadata": {"name": "web", "namespace": "prod"}, "status": status,
        "spec": {"regionID": "cn-hangzhou", "instanceIDs": ["i-1"], "passwordSecretRef": {"name": "pw"}},
    }))
    .unwrap()
}

#[test]
fn a_run_is_counted_once_by_its_worst_instance() {
    let metrics = Arc::new(Metrics::new());
    let mut runs = Runs::new(Arc::clone(&metrics));
    let counted = |what: &str| value(&metrics, &format!("passwordreset_run_duration_seconds_{what}"));
    runs.see(&object(1, Some(40), 0));
    assert_eq!(counted("count{result=\"Succeeded\"}"), "0", "it had ended when it was first seen");
    runs.see(&object(2, None, 0));
    runs.see(&object(2, Some(300), 0));
    // The watch is behind.
    for late in [object(1, Some(40), 0), object(2, None, 0), object(2, Some(300), 0)] {
        runs.see(&late);
    }
    runs.see(&object(3, Some(60), 1));
    assert_eq!(counted("count{result=\"Succeeded\"}"), "1");
    assert_eq!(counted("sum{result=\"Succeeded\"}"), "300.0");
    assert_eq!(counted("count{result=\"Failed\"}"), "1");
    runs.forget(&ObjectKey::new("prod", "web"));
    runs.see(&object(0, None, 0));
    runs.see(&object(1, None, 0));
    runs.see(&object(1, Some(30), 0));
    assert_eq!(counted("count{result=\"Succeeded\"}"), "2", "another object of the same name");
}
