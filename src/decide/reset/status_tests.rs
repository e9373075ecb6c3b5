//! The table from situations to conditions, and the bookkeeping of runs.

use std::sync::LazyLock;

use super::runs::Begun;
use super::*;
use crate::api::conditions::find;
use crate::api::password_reset::{PasswordResetSpec, Trigger};
use crate::api::reset_record::Fingerprint;
use crate::decide::Hold;
use crate::decide::fixtures::{at, owner, reset_spec, row};
use crate::decide::history::Request;
use crate::decide::reset::facts::ReadHold;

fn request(run: &str) -> Request {
    Request {
        owner: owner("web"),
        tokens: vec![format!("run:{run}")],
        retry: None,
        fingerprint: None,
        resets_on_change: false,
        resolution: None,
    }
}

fn plan(rows: Vec<InstanceRow>) -> Plan {
    Plan { rows, ..Plan::default() }
}

/// An object that nothing holds back, with this status.
fn facts<'a>(before: &'a PasswordResetStatus, request: &'a Request) -> ResetFacts<'a> {
    static SPEC: LazyLock<PasswordResetSpec> =
        LazyLock::new(|| PasswordResetSpec { stable_state_timeout_seconds: None, ..reset_spec(1) });
    ResetFacts { generation: Some(1), ..ResetFacts::new(&SPEC, before, request) }
}

fn with(state: State, reason: Reason) -> InstanceRow {
    InstanceRow { reason: reason.to_string(), ..row(state) }
}

/// Ready, Reconciling, Stalled, Succeeded (empty: absent) and the reason of Ready.
fn table(status: &PasswordResetStatus) -> [&str; 5] {
    let truth = |kind| find(&status.conditions, kind).map_or("", |condition| condition.status.as_str());
    [
        truth(conditions::READY),
        truth(conditions::RECONCILING),
        truth(conditions::STALLED),
        truth(conditions::SUCCEEDED),
        find(&status.conditions, conditions::READY).map_or("", |condition| condition.reason.as_str()),
    ]
}

#[test]
fn every_situation_has_its_conditions() {
    let before = PasswordResetStatus::default();
    let request = request("1");
    let show = |rows: Vec<InstanceRow>, change: &dyn Fn(&mut ResetFacts)| {
        let mut plan = plan(rows);
        plan.paused = plan.rows.iter().any(|row| row.reason == Reason::PausedOnFailure);
        let mut facts = facts(&before, &request);
        change(&mut facts);
        table(&status(&facts, &plan, at(0))).map(str::to_owned)
    };
    let nothing = |_: &mut ResetFacts| {};
    let working = ["Unknown", "True", "", "Unknown"];
    for (state, reason) in [
        (State::Pending, Reason::Pending),
        (State::WaitingForStableState, Reason::WaitingForStableState),
        (State::SettingPassword, Reason::SettingPasswords),
        (State::PasswordSet, Reason::SettingPasswords),
        (State::Restarting, Reason::Restarting),
    ] {
        let shown = show(vec![row(State::InEffect), row(state)], &nothing);
        assert_eq!((&shown[..4], shown[4].as_str()), (&working.map(str::to_owned)[..], reason.as_str()));
    }
    let done = show(vec![row(State::InEffect), row(State::EffectiveAtNextStart), row(State::Superseded)], &nothing);
    assert_eq!(done, ["True", "", "", "True", "Succeeded"]);
    let failed = |reason| with(State::Failed, reason);
    let human = |rows, reason: &str| {
        assert_eq!(show(rows, &nothing), ["False", "", "True", "False", reason]);
    };
    human(vec![failed(Reason::InstanceNotFound)], "InstanceNotFound");
    human(vec![row(State::InEffect), failed(Reason::InstanceNotFound)], "PartiallyFailed");
    human(vec![failed(Reason::NotPermitted), failed(Reason::InstanceLocked)], "Failed");
    human(vec![row(State::InEffect), failed(Reason::InvalidPassword)], "InvalidPassword");
    human(vec![row(State::InEffect), row(State::Unknown)], "OutcomeUnknown");
    human(vec![failed(Reason::RestartRefused), with(State::Pending, Reason::PausedOnFailure)], "PausedOnFailure");
    let suspended = Box::leak(Box::new(PasswordResetSpec { suspend: Some(true), ..reset_spec(1) }));
    let suspended = show(vec![row(State::Pending)], &|facts| facts.spec = suspended);
    assert_eq!(suspended, ["Unknown", "True", "", "Unknown", "Suspended"]);
}

#[test]
fn retried_hold_shows_in_ready_and_reconciling() {
    let (before, request, plan) = (PasswordResetStatus::default(), request("1"), plan(vec![row(State::Pending)]));
    let hold = Hold::new(Reason::SecretNotFound, "no Secret");
    let facts = ResetFacts { secret_hold: Some(&hold), ..facts(&before, &request) };
    let status = status(&facts, &plan, at(0));
    assert_eq!(table(&status), ["Unknown", "True", "", "Unknown", "SecretNotFound"]);
    let reconciling = find(&status.conditions, conditions::RECONCILING).unwrap();
    assert_eq!(reconciling.reason, Reason::ProgressingWithRetry);
}

#[test]
fn a_namespace_that_is_not_allowed_needs_a_person() {
    let (before, request, plan) = (PasswordResetStatus::default(), request("1"), plan(vec![row(State::Pending)]));
    let hold = Hold::new(Reason::NamespaceNotAllowed, "not allowed");
    let facts = ResetFacts { account_hold: Some(&hold), ..facts(&before, &request) };
    assert_eq!(table(&status(&facts, &plan, at(0))), ["False", "", "True", "False", "NamespaceNotAllowed"]);
}

#[test]
fn refused_reads_need_a_person_and_failed_reads_do_not() {
    let (before, request, plan) = (PasswordResetStatus::default(), request("1"), plan(vec![row(State::Pending)]));
    let show = |reason| {
        let hold = Hold::new(reason, "refused");
        let read_hold = ReadHold { hold, is_for_a_person: reason == Reason::NotPermitted };
        let facts = ResetFacts { read_hold: Some(&read_hold), ..facts(&before, &request) };
        table(&status(&facts, &plan, at(0))).map(str::to_owned)
    };
    assert_eq!(show(Reason::NotPermitted), ["False", "", "True", "False", "NotPermitted"]);
    assert_eq!(show(Reason::Throttled), ["Unknown", "True", "", "Unknown", "Throttled"]);
}

#[test]
fn run_is_counted_only_when_something_new_is_needed() {
    let mut before = PasswordResetStatus::default();
    let mut see = |request: &Request, state: State, is_claimed: bool| {
        let begun =
            is_claimed.then_some(Begun { time: at(0), last: at(0), adds_instances: false, changes_password: false });
        let plan = Plan { begun, ..plan(vec![row(state)]) };
        before = status(&facts(&before, request), &plan, at(0));
        before.run.as_ref().map(|run| (run.number, run.trigger, run.completion_time.is_some()))
    };
    assert_eq!(see(&request("1"), State::Pending, false), None, "a run begins with its first claim");
    assert_eq!(see(&request("1"), State::SettingPassword, true), Some((1, Trigger::Created, false)));
    assert_eq!(see(&request("1"), State::InEffect, false), Some((1, Trigger::Created, true)));
    assert_eq!(see(&request("2"), State::Pending, false), Some((1, Trigger::Created, true)), "nothing is claimed yet");
    assert_eq!(see(&request("2"), State::SettingPassword, true), Some((2, Trigger::RunID, false)));
    assert_eq!(see(&request("2"), State::InEffect, false), Some((2, Trigger::RunID, true)));
    assert_eq!(
        see(&request("1"), State::InEffect, false),
        Some((2, Trigger::RunID, true)),
        "an earlier runID needs nothing"
    );
    let rerun = Request { tokens: vec!["run:1".to_owned(), "rerun:a".to_owned()], ..request("1") };
    assert_eq!(see(&rerun, State::SettingPassword, true), Some((3, Trigger::RerunRequested, false)));
    let removed = see(&request("1"), State::SettingPassword, false);
    assert_eq!(removed, Some((3, Trigger::RerunRequested, false)), "the annotation was removed");
    assert_eq!(see(&request("1"), State::Failed, false), Some((3, Trigger::RerunRequested, true)));
    assert_eq!(
        see(&request("1"), State::Pending, false),
        Some((3, Trigger::RerunRequested, true)),
        "another object is at work"
    );
    let retry = Request { retry: Some("retry:a".to_owned()), ..request("1") };
    assert_eq!(see(&retry, State::SettingPassword, true), Some((4, Trigger::Retry, false)));
}

#[test]
fn secret_is_in_sync_only_if_all_passwords_are_comparable() {
    let (before, fingerprint) =
        (PasswordResetStatus::default(), Fingerprint { key_id: "k1".to_owned(), value: "f".to_owned() });
    let request = Request { fingerprint: Some(fingerprint), ..request("1") };
    let show = |state, uncompared| {
        let set = InstanceRow { password_set_time: Some(Time(at(0))), ..row(State::InEffect) };
        let plan = Plan { uncompared, ..plan(vec![row(state), set]) };
        let status = status(&facts(&before, &request), &plan, at(0));
        find(&status.conditions, conditions::SECRET_IN_SYNC).unwrap().status.clone()
    };
    assert_eq!(show(State::InEffect, false), "True");
    assert_eq!(show(State::InEffect, true), "Unknown");
    assert_eq!(show(State::Superseded, false), "Unknown", "it has the password of another object");
}

#[test]
fn nothing_new_means_the_very_same_status() {
    let (request, plan) = (request("1"), plan(vec![row(State::Restarting)]));
    let first = status(&facts(&PasswordResetStatus::default(), &request), &plan, at(0));
    assert_eq!(status(&facts(&first, &request), &plan, at(50)), first);
}

#[test]
fn counts_and_progress_follow_the_rows() {
    let (before, request) = (PasswordResetStatus::default(), request("1"));
    let plan = plan(vec![row(State::InEffect), row(State::Superseded), row(State::Failed), row(State::Restarting)]);
    let status = status(&facts(&before, &request), &plan, at(0));
    assert_eq!(status.progress.as_deref(), Some("2/4"));
    let counts = status.counts.unwrap();
    assert_eq!((counts.total, counts.failed, counts.in_progress), (4, 1, 1));
}

#[test]
fn long_refused_read_asks_a_person_when_idle() {
    let (before, request) = (PasswordResetStatus::default(), request("1"));
    let hold = Hold::new(Reason::ReadRefused, "cn-hangzou: InvalidRegionId.NotFound");
    let read_hold = ReadHold { hold, is_for_a_person: true };
    let show = |rows: Vec<InstanceRow>, unread_for_too_long, read_hold| {
        let plan = Plan { unread_for_too_long, ..plan(rows) };
        let status = status(&ResetFacts { read_hold, ..facts(&before, &request) }, &plan, at(0));
        (table(&status).map(str::to_owned), find(&status.conditions, conditions::READY).unwrap().message.clone())
    };
    let refused = || with(State::WaitingForStableState, Reason::ReadRefused);
    let retried = ["Unknown", "True", "", "Unknown", "ReadRefused"];
    assert_eq!(show(vec![refused()], false, Some(&read_hold)).0, retried);
    let (stalled, message) = show(vec![refused()], true, Some(&read_hold));
    assert_eq!(stalled, ["False", "", "True", "False", "ReadRefused"]);
    assert!(message.contains("InvalidRegionId.NotFound") && message.contains("600 s"), "{message}");
    assert_eq!(show(vec![refused()], true, None).0, stalled, "the next process has not asked yet");
    assert_eq!(show(vec![refused(), row(State::Restarting)], true, Some(&read_hold)).0, retried);
}

#[test]
fn an_account_that_stays_unusable_asks_a_person() {
    let (request, plan) = (request("1"), plan(vec![row(State::Pending)]));
    let hold = Hold::new(Reason::AccountNotReady, "CredentialsRefused");
    let see = |before: &PasswordResetStatus, now| {
        let facts = ResetFacts { account_hold: Some(&hold), ..facts(before, &request) };
        status(&facts, &plan, at(now))
    };
    let first = see(&PasswordResetStatus::default(), 0);
    assert_eq!(table(&first), ["Unknown", "True", "", "Unknown", "AccountNotReady"]);
    assert_eq!(table(&see(&first, 599))[0], "Unknown");
    assert_eq!(table(&see(&first, 600)), ["False", "", "True", "False", "AccountNotReady"]);
    let works = status(&facts(&first, &request), &plan, at(601));
    assert_eq!(table(&works)[0], "Unknown", "it goes on");
}

#[test]
fn object_without_free_slots_stalls_once_idle() {
    let (before, request) = (PasswordResetStatus::default(), request("1"));
    let hold = Hold::new(Reason::SlotHeld, "no slot");
    let show = |rows| {
        let plan = Plan { held_up: Some(hold.clone()), ..plan(rows) };
        table(&status(&facts(&before, &request), &plan, at(0))).map(str::to_owned)
    };
    let waits = with(State::Pending, Reason::WaitingForSlot);
    assert_eq!(show(vec![row(State::InEffect), waits.clone()]), ["False", "", "True", "False", "SlotHeld"]);
    let first = with(State::WaitingForStableState, Reason::WaitingForStableState);
    assert_eq!(show(vec![first, waits])[0], "Unknown", "that one ends by itself");
}
