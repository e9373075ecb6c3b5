//! Which instances may be claimed, and what the others wait for.

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::api::password_reset::{PasswordResetSpec, PlannedAction, Requested, RestartSpec};
use crate::api::reset_record::{Phase, ResetRecordStatus};
use crate::decide::fixtures::{at, claimed, holder, owner, request, reset_facts, reset_spec, row, run, target};
use crate::decide::history::Request;
use crate::decide::reset::facts::BadRecord;
use crate::decide::reset::rows::{hold_up, initial_row};
use crate::decide::{InstanceView, Power, Reading};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// What the status of before answers.
pub(super) fn requested() -> &'static Requested {
    static REQUESTED: LazyLock<Requested> =
        LazyLock::new(|| Requested { tokens: vec!["run:1".to_owned()], retry: None, fingerprint: None });
    &REQUESTED
}

pub(super) fn reading(power: Power) -> Reading {
    Reading {
        sent_at: at(0),
        since: at(0),
        seen: Some(InstanceView {
            power,
            start_time: Some(at(-600)),
            name: "web".to_owned(),
            zone_id: "cn-hangzhou-h".to_owned(),
            os_type: "linux".to_owned(),
            key_pair_name: None,
            locks: Vec::new(),
            expires: None,
            permitted: true,
        }),
    }
}

pub(super) fn targets<'a>(spec: &'a PasswordResetSpec, reading: Option<&'a Reading>) -> Vec<Target<'a>> {
    spec.instance_ids.iter().flatten().map(|id| target(id, reading)).collect()
}

pub(super) fn claims(plan: &Plan) -> Vec<&str> {
    plan.claims.iter().map(|claim| claim.instance_id.as_str()).collect()
}

#[test]
fn row_of_a_claim_shows_no_planned_action() {
    let (spec, request, running) = (reset_spec(1), request(), reading(Power::Running));
    let plan = plan(&reset_facts(&spec, &request), &targets(&spec, Some(&running)), at(0));
    let planned = plan.claims[0].row.planned_action;
    assert_eq!((planned, plan.rows[0].planned_action), (Some(PlannedAction::ResetAndRestart), planned));
    assert_eq!(initial_row(&plan.claims[0], 1, at(0)).planned_action, None);
}

#[test]
fn an_instance_whose_record_another_claim_lost_is_not_claimed() {
    let (spec, request, reading) = (reset_spec(1), request(), reading(Power::Running));
    let mut targets = targets(&spec, Some(&reading));
    assert_eq!(plan(&reset_facts(&spec, &request), &targets, at(0)).claims.len(), 1);
    targets[0].claimed_by_another = true;
    let held = plan(&reset_facts(&spec, &request), &targets, at(0));
    assert_eq!((held.claims.len(), held.rows[0].reason().unwrap()), (0, Reason::InstanceBusy));
}

#[test]
fn an_account_out_of_use_is_shown_where_its_call_is_next() {
    let account = Hold::new(Reason::AccountNotReady, "not ready (CredentialsRefused)");
    let row_in = |state| InstanceRow { state, reason: Reason::ECSUnavailable.to_string(), ..row(state) };
    let states =
        [State::Pending, State::SettingPassword, State::PasswordSet, State::Restarting, State::InEffect, State::Failed];
    let mut rows: Vec<InstanceRow> = states.map(row_in).into();
    hold_up(&mut rows, &account);
    let held: Vec<State> = rows.iter().filter(|row| row.reason == account.reason).map(|row| row.state).collect();
    assert_eq!(held, [State::SettingPassword, State::PasswordSet]);
    assert_eq!(rows[1].message, account.message);
    assert!(
        rows[3].message.ends_with("once the account works again: not ready (CredentialsRefused)"),
        "{}",
        rows[3].message
    );
    let once = rows.clone();
    hold_up(&mut rows, &account);
    assert_eq!(rows, once, "a row of the pass before does not grow");
}

#[test]
fn as_many_are_claimed_as_there_are_free_slots() {
    let (spec, request, running) = (reset_spec(4), request(), reading(Power::Running));
    let all_free = plan(&reset_facts(&spec, &request), &targets(&spec, Some(&running)), at(1));
    assert_eq!(claims(&all_free), ["i-bp1a0000", "i-bp1a0001"]);
    assert_eq!(all_free.rows[2].reason, Reason::WaitingForSlot);
    let holders = [holder("i-x", Outlook::Frees), holder("i-y", Outlook::Frees)];
    let one_free = ResetFacts { slot_holders: &holders[..1], ..reset_facts(&spec, &request) };
    assert_eq!(claims(&plan(&one_free, &targets(&spec, Some(&running)), at(1))), ["i-bp1a0000"]);
    let none_free = ResetFacts { slot_holders: &holders, ..reset_facts(&spec, &request) };
    let plan = plan(&none_free, &targets(&spec, Some(&running)), at(1));
    assert!(plan.claims.is_empty());
    assert_eq!(plan.rows[0].message, "waiting for a slot; maxUnavailable allows 2, held by i-x, i-y");
}

#[test]
fn a_percentage_rounds_down_but_not_to_nothing() {
    let mut spec = reset_spec(7);
    let mut with = |text: &str| {
        spec.restart =
            Some(RestartSpec { max_unavailable: Some(IntOrString::String(text.to_owned())), ..RestartSpec::default() });
        spec.max_unavailable(7)
    };
    assert_eq!((with("50%"), with("1%"), with("100%")), (3, 1, 7));
}

#[test]
fn nothing_is_claimed_without_a_fresh_reading() {
    let (spec, request, running) = (reset_spec(1), request(), reading(Power::Running));
    for (reading, now) in [(None, 1), (Some(&running), 61)] {
        let plan = plan(&reset_facts(&spec, &request), &targets(&spec, reading), at(now));
        assert!(plan.claims.is_empty());
        assert_eq!(plan.watch, ["i-bp1a0000"]);
    }
}

#[test]
fn unstable_instance_fails_at_the_deadline() {
    let (spec, request, run) = (reset_spec(1), request(), run());
    let starting = reading(Power::Transitional("Starting".to_owned()));
    let object = ResetFacts { run: Some(&run), requested: Some(requested()), ..reset_facts(&spec, &request) };
    let first = plan(&object, &targets(&spec, Some(&starting)), at(1));
    let waits = (State::WaitingForStableState, Reason::WaitingForStableState);
    assert_eq!((first.rows[0].state, first.rows[0].reason().unwrap()), waits);
    assert_eq!(first.wake, Some(at(61)));
    let mut target = targets(&spec, Some(&starting));
    target[0].before = Some(&first.rows[0]);
    let late = Reading { sent_at: at(60), ..starting.clone() };
    target[0].reading = Some(&late);
    assert_eq!(plan(&object, &target, at(60)).rows[0].state, State::WaitingForStableState);
    let failed = plan(&object, &target, at(61)).rows.remove(0);
    assert_eq!((failed.state, failed.reason().unwrap()), (State::Failed, Reason::StableStateTimeout));
    target[0].before = Some(&failed);
    let running = reading(Power::Running);
    target[0].reading = Some(&running);
    assert_eq!(plan(&object, &target, at(70)).rows[0].state, State::Failed, "it stays failed in this run");
    let retry = Request { retry: Some("retry:1".to_owned()), ..request.clone() };
    let again = ResetFacts { request: &retry, ..object };
    assert_eq!(claims(&plan(&again, &target, at(59))), ["i-bp1a0000"]);
}

#[test]
fn describe_permission_decides_what_absence_means() {
    let (spec, request, run) = (reset_spec(1), request(), run());
    let nothing = Reading { seen: None, ..reading(Power::Running) };
    for (may_describe, reason) in
        [(None, Reason::InstanceNotFound), (Some(true), Reason::InstanceNotFound), (Some(false), Reason::NotPermitted)]
    {
        let object =
            ResetFacts { run: Some(&run), requested: Some(requested()), may_describe, ..reset_facts(&spec, &request) };
        let row = plan(&object, &targets(&spec, Some(&nothing)), at(1)).rows.remove(0);
        assert_eq!((row.state, row.reason().unwrap()), (State::WaitingForStableState, reason));
        assert!(row.message.contains("cn-hangzhou"), "{}", row.message);
    }
}

/// Machines of others, each of which would say something of itself.
pub(super) fn not_permitted() -> Vec<Reading> {
    let mut all = vec![reading(Power::Running), reading(Power::Transitional("Stopping".to_owned()))];
    let mut locked = reading(Power::Stopped);
    let seen = locked.seen.as_mut().unwrap();
    (seen.locks, seen.expires) = (vec!["security".to_owned()], Some(at(-60)));
    (seen.key_pair_name, seen.os_type) = (Some("ops".to_owned()), "windows".to_owned());
    all.push(locked);
    for reading in &mut all {
        reading.seen.as_mut().unwrap().permitted = false;
    }
    all
}

#[test]
fn unpermitted_instance_looks_missing_under_rules() {
    let (spec, request, run) = (reset_spec(1), request(), run());
    let bad = Some(BadRecord::OfAnotherInstance);
    let busy = claimed();
    let mut restarted = claimed();
    restarted.spec.owner = owner("other");
    let status = restarted.status.as_mut().unwrap();
    (status.phase, status.last_restart_time) = (Phase::InEffect, Some(Time(at(0))));
    let mut foreign = busy.clone();
    foreign.spec.owner = owner("other");
    let records = [None, Some(&restarted), Some(&foreign)];
    let rows = |now| {
        let mut rows = Vec::new();
        for reading in not_permitted()
            .into_iter()
            .map(Reading::redacted)
            .chain([Reading { seen: None, ..reading(Power::Running) }])
        {
            for record in records {
                for (bad_record, may_describe) in [(None, None), (None, Some(true)), (bad, Some(false))] {
                    let object = ResetFacts {
                        hides_unpermitted: true,
                        may_describe,
                        run: Some(&run),
                        requested: Some(requested()),
                        ..reset_facts(&spec, &request)
                    };
                    let mut target = targets(&spec, Some(&reading));
                    (target[0].record, target[0].bad_record) = (record, bad_record);
                    let plan = plan(&object, &target, at(now));
                    assert!(plan.claims.is_empty());
                    assert_eq!(plan.watch, ["i-bp1a0000"]);
                    rows.push((plan.rows, plan.wake));
                }
            }
        }
        rows
    };
    let seen = rows(1);
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:#?}");
    let row = &seen[0].0[0];
    assert_eq!((row.state, row.reason().unwrap()), (State::WaitingForStableState, Reason::InstanceNotAllowed));
    for named in ["cn-hangzhou", "ECSAccount default", "namespace prod", "owner"] {
        assert!(row.message.contains(named), "{named} is missing: {}", row.message);
    }
    assert_eq!((&row.name, &row.os_type, &row.key_pair_name, &row.initial_status), (&None, &None, &None, &None));
    let unread = rows(61);
    assert!(unread.iter().all(|one| *one == unread[0]), "nor before a fresh reading: {unread:#?}");
}

#[test]
fn unpermitted_instance_is_not_claimed_even_if_shown() {
    let (spec, request) = (reset_spec(1), request());
    for reading in not_permitted() {
        let object = ResetFacts { hides_unpermitted: true, ..reset_facts(&spec, &request) };
        assert!(plan(&object, &targets(&spec, Some(&reading)), at(1)).claims.is_empty());
    }
}

#[test]
fn unpermitted_instance_fails_at_deadline_until_retry() {
    let (spec, request, run) = (reset_spec(1), request(), run());
    let guarded = ResetFacts {
        hides_unpermitted: true,
        run: Some(&run),
        requested: Some(requested()),
        ..reset_facts(&spec, &request)
    };
    let redacted = not_permitted().remove(0).redacted();
    let mut idle = claimed();
    idle.spec.owner = owner("other");
    idle.status = Some(ResetRecordStatus::default());
    let first = plan(&guarded, &targets(&spec, Some(&redacted)), at(1)).rows.remove(0);
    let (late, running) = (Reading { sent_at: at(61), ..redacted }, reading(Power::Running));
    let mut target = targets(&spec, Some(&running));
    target[0].before = Some(&first);
    assert_eq!(claims(&plan(&guarded, &target, at(59))), ["i-bp1a0000"], "a tag or a rule may come in time");
    target[0].reading = Some(&late);
    let failed = plan(&guarded, &target, at(61)).rows.remove(0);
    assert_eq!((failed.state, failed.reason().unwrap()), (State::Failed, Reason::InstanceNotAllowed));
    // With the record of another owner in place the object's own status is not a second memory.
    (target[0].before, target[0].reading, target[0].record) = (Some(&failed), Some(&running), Some(&idle));
    assert!(plan(&guarded, &target, at(59)).claims.is_empty(), "it stays failed in this run");
    let retry = Request { retry: Some("retry:1".to_owned()), ..request.clone() };
    assert_eq!(claims(&plan(&ResetFacts { request: &retry, ..guarded }, &target, at(59))), ["i-bp1a0000"]);
}

#[test]
fn waiting_permitted_instance_is_still_read_under_rules() {
    let (spec, request, running) = (reset_spec(1), request(), reading(Power::Running));
    let mut foreign = claimed();
    foreign.spec.owner = owner("other");
    let mut target = targets(&spec, Some(&running));
    target[0].record = Some(&foreign);
    let guarded = ResetFacts { hides_unpermitted: true, ..reset_facts(&spec, &request) };
    let busy = plan(&guarded, &target, at(1));
    assert_eq!((busy.rows[0].reason().unwrap(), busy.watch.len()), (Reason::InstanceBusy, 1));
    let hold = Hold::new(Reason::SecretNotFound, "no Secret");
    target[0].reading = None;
    let mut broken = targets(&spec, None);
    broken[0].bad_record = Some(BadRecord::Unreadable);
    let shown = plan(&reset_facts(&spec, &request), &broken, at(1));
    assert_eq!((shown.rows[0].reason().unwrap(), shown.watch.len()), (Reason::RecordUnusable, 1));
    let blocked = plan(&ResetFacts { secret_hold: Some(&hold), ..guarded }, &target, at(1));
    assert_eq!(
        (blocked.rows[0].reason().unwrap(), blocked.watch.len()),
        (Reason::SecretNotFound, 0),
        "nor is ECS asked then"
    );
}

#[test]
fn locked_and_expired_instances_are_named_and_not_claimed() {
    let (spec, request) = (reset_spec(1), request());
    let mut locked = reading(Power::Running);
    locked.seen.as_mut().unwrap().locks = vec!["security".to_owned()];
    let mut expired = reading(Power::Stopped);
    expired.seen.as_mut().unwrap().expires = Some(at(-60));
    for (reading, reason) in [(locked, Reason::InstanceLocked), (expired, Reason::InstanceExpired)] {
        let plan = plan(&reset_facts(&spec, &request), &targets(&spec, Some(&reading)), at(1));
        assert!(plan.claims.is_empty());
        assert_eq!(plan.rows[0].reason, reason);
    }
}
