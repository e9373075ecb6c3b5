//! What a changed Secret does, and passwords of single instances.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::facts::{OwnPassword, ResetFacts, Target};
use super::password_rules::Broken;
use super::plan::{Plan, plan};
use super::runs;
use super::status::status;
use super::targets::{self, Targets};
use crate::api::Reason;
use crate::api::conditions::{self, find};
use crate::api::password_reset::{
    InstanceRow, KeyPolicy, OnSecretChange, PasswordResetSpec, PasswordResetStatus, Requested, Run, State, Trigger,
};
use crate::api::reset_record::{Phase, ResetRecord};
use crate::decide::fixtures::{at, claimed, fingerprint, reading, request, reset_facts, reset_spec, row, run, target};
use crate::decide::history::{self, Request};
use crate::decide::{Hold, Power, Reading};

const FIRST: &str = "i-bp1a0000";
const SECOND: &str = "i-bp1a0001";

/// A request for the password `g`, where `f` was set before.
fn changed(on_secret_change: OnSecretChange) -> Request {
    let resets_on_change = on_secret_change == OnSecretChange::Reset;
    Request { fingerprint: Some(fingerprint("g")), resets_on_change, ..request() }
}

fn done() -> ResetRecord {
    let mut record = claimed();
    let done =
        InstanceRow { password_set_time: Some(Time(at(0))), claim: Some(1), attempts: 2, ..row(State::InEffect) };
    let status = record.status.as_mut().unwrap();
    (status.phase, status.unanswered_until, status.row) = (Phase::InEffect, None, Some(done.clone()));
    status.completed = history::complete(&[], &record.spec, done);
    record
}

/// The first claim's password is set, and its restart is still to come.
fn set() -> ResetRecord {
    let mut record = claimed();
    let status = record.status.as_mut().unwrap();
    (status.phase, status.unanswered_until) = (Phase::PasswordSet, None);
    status.password_acknowledged_at = Some(Time(at(5)));
    status.row = Some(row(State::PasswordSet));
    record
}

/// A run with the password `f`.
fn run_of_f(has_ended: bool) -> Run {
    Run { fingerprint: Some(fingerprint("f")), completion_time: has_ended.then(|| Time(at(9))), ..run() }
}

fn of_before(has_ended: bool) -> PasswordResetStatus {
    PasswordResetStatus {
        run: Some(run_of_f(has_ended)),
        requested: Some(Requested { tokens: vec!["run:1".to_owned()], retry: None, fingerprint: None }),
        ..PasswordResetStatus::default()
    }
}

fn running() -> Reading {
    reading(60, 0, Power::Running, -600)
}

/// The plan for the first instance with `record`, and the second without any.
fn decide(request: &Request, before: &PasswordResetStatus, record: &ResetRecord, instances: usize) -> Plan {
    let (spec, running) = (reset_spec(instances), running());
    let facts = facts_of(&spec, before, request);
    let targets = [Target { record: Some(record), ..target(FIRST, Some(&running)) }, target(SECOND, Some(&running))];
    plan(&facts, &targets[..instances], at(60))
}

fn facts_of<'a>(spec: &'a PasswordResetSpec, before: &'a PasswordResetStatus, request: &'a Request) -> ResetFacts<'a> {
    ResetFacts {
        before,
        run: before.run.as_ref(),
        requested: before.requested.as_ref(),
        min_restart_interval_seconds: 0,
        ..reset_facts(spec, request)
    }
}

fn claims(plan: &Plan) -> Vec<&str> {
    plan.claims.iter().map(|claim| claim.instance_id.as_str()).collect()
}

#[test]
fn changed_secret_asks_for_a_run_only_where_told_to() {
    let (before, record) = (of_before(true), done());
    let ignored = decide(&changed(OnSecretChange::Ignore), &before, &record, 1);
    assert_eq!((claims(&ignored), ignored.rows[0].state), (vec![], State::InEffect));
    assert_eq!(ignored.out_of_sync, [FIRST]);
    let reset = decide(&changed(OnSecretChange::Reset), &before, &record, 1);
    assert_eq!((claims(&reset), reset.rows[0].state), (vec![FIRST], State::Pending));
    for same in [
        Request { fingerprint: Some(fingerprint("f")), ..changed(OnSecretChange::Reset) },
        Request { fingerprint: None, ..changed(OnSecretChange::Reset) },
    ] {
        let plan = decide(&same, &before, &record, 1);
        assert_eq!((claims(&plan), plan.rows[0].state), (vec![], State::InEffect), "{same:?}");
    }
    let mut other_key = changed(OnSecretChange::Reset);
    other_key.fingerprint.as_mut().unwrap().key_id = "k2".to_owned();
    assert!(decide(&other_key, &before, &record, 1).claims.is_empty(), "it cannot be compared");
}

#[test]
fn change_is_a_run_of_its_own_and_is_counted_with_its_claim() {
    let (spec, running, before, request) = (reset_spec(1), running(), of_before(true), changed(OnSecretChange::Reset));
    let facts = facts_of(&spec, &before, &request);
    let mut record = done();
    let unclaimed = [Target { record: Some(&record), ..target(FIRST, Some(&running)) }];
    let shown = status(&facts, &plan(&facts, &unclaimed, at(60)), at(60));
    assert_eq!(shown.run.as_ref().map(|run| run.number), Some(1), "not before its first claim");
    (record.spec.claim, record.spec.claim_time) = (2, Time(at(61)));
    let status_of = record.status.as_mut().unwrap();
    (status_of.phase, status_of.row) = (Phase::PasswordSet, Some(row(State::PasswordSet)));
    status_of.password_acknowledged_at = Some(Time(at(62)));
    let retried = [Target { record: Some(&record), ..target(FIRST, Some(&running)) }];
    let shown = status(&facts, &plan(&facts, &retried, at(63)), at(63));
    assert_eq!(shown.run.as_ref().map(|run| run.number), Some(1), "not with a claim from before the change");
    record.spec.fingerprint = fingerprint("g");
    let claimed = [Target { record: Some(&record), ..target(FIRST, Some(&running)) }];
    let shown = status(&facts, &plan(&facts, &claimed, at(63)), at(63));
    let run = shown.run.unwrap();
    assert_eq!((run.number, run.trigger, run.fingerprint), (2, Trigger::SecretChanged, Some(fingerprint("g"))));
}

#[test]
fn change_in_mid_run_halts_it_or_begins_another() {
    let (before, record) = (of_before(false), set());
    let halted = decide(&changed(OnSecretChange::Ignore), &before, &record, 2);
    assert_eq!((claims(&halted), halted.rows[1].reason()), (vec![], Some(Reason::SecretChangedDuringRun)));
    let goes_on = decide(&changed(OnSecretChange::Reset), &before, &record, 2);
    assert_eq!(claims(&goes_on), [SECOND], "the first ends with its claim");
    assert_eq!(goes_on.rows[0].state, State::PasswordSet);
    assert!(!goes_on.password.is_mixed);
    let being_set = decide(&changed(OnSecretChange::Reset), &before, &claimed(), 2);
    assert_eq!(claims(&being_set), Vec::<&str>::new(), "two passwords are not set at once");
}

#[test]
fn changed_value_that_breaks_the_rules_starts_nothing() {
    let (spec, running, before, request, record) =
        (reset_spec(1), running(), of_before(true), changed(OnSecretChange::Reset), done());
    let facts = ResetFacts { broken: Some(Broken::Length), ..facts_of(&spec, &before, &request) };
    let targets = [Target { record: Some(&record), ..target(FIRST, Some(&running)) }];
    let made = plan(&facts, &targets, at(60));
    assert_eq!((claims(&made), made.rows[0].reason()), (vec![], Some(Reason::InvalidPassword)));
    let again = PasswordResetStatus { instances: made.rows, ..before };
    let first = Request { fingerprint: Some(fingerprint("f")), ..request };
    let put_back = decide(&first, &again, &record, 1);
    assert_eq!((claims(&put_back), put_back.rows[0].state), (vec![], State::InEffect));
}

#[test]
fn old_failure_without_a_claim_is_tried_again_after_a_change() {
    let missing = InstanceRow { reason: Reason::InstanceNotFound.to_string(), attempts: 0, ..row(State::Failed) };
    let before = of_before(true);
    let running = running();
    let spec = reset_spec(1);
    let of = |request: &Request| {
        let facts = facts_of(&spec, &before, request);
        plan(&facts, &[Target { before: Some(&missing), ..target(FIRST, Some(&running)) }], at(60)).claims.len()
    };
    assert_eq!((of(&changed(OnSecretChange::Ignore)), of(&changed(OnSecretChange::Reset))), (0, 1));
}

#[test]
fn selector_is_looked_up_again_for_a_changed_secret() {
    let mut spec = reset_spec(1);
    (spec.instance_ids, spec.selector) =
        (None, Some(serde_json::from_value(serde_json::json!({"tags": {"app": "web"}, "maxTargets": 5})).unwrap()));
    let selector = spec.selector.clone().unwrap();
    let of_first = || targets::Found { ids: vec![FIRST.to_owned()], is_cut_off: false };
    let found_for = |request: &Request| Some(targets::resolved(&spec, &selector, request, None, of_first(), at(0)));
    let first = Request { fingerprint: Some(fingerprint("f")), ..changed(OnSecretChange::Reset) };
    let status = PasswordResetStatus { targets: found_for(&first), ..of_before(true) };
    let is_known = |status: &PasswordResetStatus, request: &Request| {
        matches!(targets::targets(&spec, status, request, None, at(9)), Targets::Known(_))
    };
    assert!(is_known(&status, &first));
    assert!(is_known(&status, &changed(OnSecretChange::Ignore)), "nothing asks for a run");
    let second = changed(OnSecretChange::Reset);
    assert!(!is_known(&status, &second));
    let again = PasswordResetStatus { targets: found_for(&second), ..status.clone() };
    assert!(is_known(&again, &second), "it is not looked up once more in front of the first claim");
    let next = Request { tokens: vec!["run:2".to_owned()], ..changed(OnSecretChange::Ignore) };
    let found = PasswordResetStatus { targets: found_for(&next), ..of_before(true) };
    assert!(is_known(&found, &next), "a new runID is looked up once, with the run of before still in the status");
    let unclaimed = PasswordResetStatus { run: None, ..status };
    assert!(is_known(&unclaimed, &second), "before the first claim a change is free");
}

fn own_spec(instances: usize) -> PasswordResetSpec {
    let mut spec = reset_spec(instances);
    spec.password_secret_ref.key_policy = Some(KeyPolicy::InstanceID);
    spec
}

fn own(value: &str) -> OwnPassword {
    OwnPassword { fingerprint: Some(fingerprint(value)), ..OwnPassword::default() }
}

#[test]
fn missing_or_bad_key_fails_its_own_row_alone() {
    let (spec, running) = (own_spec(2), running());
    let request = Request { fingerprint: None, ..request() };
    let missing = OwnPassword { hold: Some(Hold::new(Reason::SecretKeyNotFound, "no key")), ..OwnPassword::default() };
    let too_short = OwnPassword { broken: Some(Broken::Length), ..own("f") };
    for (bad, reason) in [(missing, Reason::SecretKeyNotFound), (too_short, Reason::InvalidPassword)] {
        let good = own("g");
        let facts = reset_facts(&spec, &request);
        let targets = [
            Target { own_password: Some(&bad), ..target(FIRST, Some(&running)) },
            Target { own_password: Some(&good), ..target(SECOND, Some(&running)) },
        ];
        let made = plan(&facts, &targets, at(60));
        assert_eq!(claims(&made), [SECOND], "{reason}");
        assert_eq!((made.rows[0].state, made.rows[0].reason()), (State::Failed, Some(reason)));
        let shown = status(&facts, &made, at(60));
        let ready = find(&shown.conditions, conditions::PASSWORD_READY).unwrap();
        assert!(ready.status == "False" && ready.message.contains(FIRST), "{ready:?}");
    }
}

#[test]
fn own_passwords_are_compared_one_by_one() {
    let (spec, running) = (own_spec(2), running());
    let before =
        PasswordResetStatus { run: Some(Run { completion_time: Some(Time(at(9))), ..run() }), ..of_before(true) };
    let record = |id: &str, password: &str| {
        let mut record = done();
        (record.spec.instance_id, record.spec.fingerprint) = (id.to_owned(), fingerprint(password));
        let done = InstanceRow { instance_id: id.to_owned(), ..record.row().unwrap().clone() };
        let status = record.status.as_mut().unwrap();
        status.completed = history::complete(&[], &record.spec, done.clone());
        status.row = Some(done);
        record
    };
    let records = [record(FIRST, "f"), record(SECOND, "g")];
    let decide = |resets_on_change: bool, second: &str| {
        let request = Request { fingerprint: None, resets_on_change, ..request() };
        let (f, s) = (own("f"), own(second));
        let targets = [
            Target { record: Some(&records[0]), own_password: Some(&f), ..target(FIRST, Some(&running)) },
            Target { record: Some(&records[1]), own_password: Some(&s), ..target(SECOND, Some(&running)) },
        ];
        let facts = facts_of(&spec, &before, &request);
        let made = plan(&facts, &targets, at(60));
        let shown = status(&facts, &made, at(60));
        let find = |kind| find(&shown.conditions, kind).unwrap().status.clone();
        let claims: Vec<String> = claims(&made).into_iter().map(str::to_owned).collect();
        (claims, find(conditions::READY), find(conditions::SECRET_IN_SYNC))
    };
    let told = |claims: &[&str], ready: &str, in_sync: &str| {
        (claims.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>(), ready.to_owned(), in_sync.to_owned())
    };
    assert_eq!(decide(true, "g"), told(&[], "True", "True"));
    assert_eq!(decide(false, "h"), told(&[], "True", "False"));
    assert_eq!(decide(true, "h"), told(&[SECOND], "Unknown", "False"));
    let facts_request = Request { fingerprint: None, ..request() };
    let facts = facts_of(&spec, &before, &facts_request);
    let targets = [
        Target { record: Some(&records[0]), ..target(FIRST, Some(&running)) },
        Target { record: Some(&records[1]), ..target(SECOND, Some(&running)) },
    ];
    assert_eq!(runs::password(&facts, &targets, None), runs::RunPassword::default());
}

#[test]
fn instance_that_cannot_begin_after_a_change_meets_its_deadline() {
    let (spec, request, record) = (reset_spec(1), changed(OnSecretChange::Reset), done());
    let mut locked = running();
    locked.seen.as_mut().unwrap().locks = vec!["security".to_owned()];
    let mut before = PasswordResetStatus { instances: vec![record.row().unwrap().clone()], ..of_before(true) };
    for second in [60, 90, 110, 130] {
        locked.sent_at = at(second);
        let facts = facts_of(&spec, &before, &request);
        let target = Target { record: Some(&record), before: before.row(FIRST), ..target(FIRST, Some(&locked)) };
        let made = plan(&facts, &[target], at(second));
        before = status(&facts, &made, at(second));
    }
    let row = before.row(FIRST).unwrap();
    assert_eq!((row.state, row.reason()), (State::Failed, Some(Reason::InstanceLocked)), "{row:?}");
}

#[test]
fn changed_secret_of_a_lost_record_is_a_run_and_no_loss() {
    let (spec, running, request) = (reset_spec(1), running(), changed(OnSecretChange::Reset));
    let row = InstanceRow { password_set_time: Some(Time(at(5))), claim: Some(1), attempts: 2, ..row(State::InEffect) };
    let mut before = PasswordResetStatus { instances: vec![row], ..of_before(true) };
    for _ in 0..3 {
        let facts = facts_of(&spec, &before, &request);
        let made = plan(&facts, &[Target { before: before.row(FIRST), ..target(FIRST, Some(&running)) }], at(60));
        assert_eq!((claims(&made), made.lost.len()), (vec![FIRST], 0));
        before = status(&facts, &made, at(60));
    }
}
