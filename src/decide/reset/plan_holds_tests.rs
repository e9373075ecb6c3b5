//! What holds back an instance, who decides on an Unknown, and reads that are refused.

use super::super::slots_tests::in_all;
use super::tests::{claims, reading, requested, targets};
use super::*;
use crate::api::password_reset::{InstanceRow, PasswordResetSpec, PlannedAction};
use crate::api::reset_record::{Phase, ResetRecord, ResetRecordStatus};
use crate::decide::budget;
use crate::decide::claim::step::Change;
use crate::decide::claim::transition;
use crate::decide::fixtures::{at, bounds, claimed, holder, of_another, request, reset_facts, reset_spec, run};
use crate::decide::history::Request;
use crate::decide::reset::facts::{BadRecord, ReadHold};
use crate::decide::resolution::Resolution;
use crate::decide::{Power, Reading};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

#[test]
fn a_block_holds_back_what_has_not_begun() {
    let (spec, request, running) = (reset_spec(2), request(), reading(Power::Running));
    let hold = Hold::new(Reason::SecretNotFound, "no Secret");
    let object = ResetFacts { secret_hold: Some(&hold), ..reset_facts(&spec, &request) };
    let plan = plan(&object, &targets(&spec, Some(&running)), at(1));
    assert!(plan.claims.is_empty());
    assert!(plan.rows.iter().all(|row| row.reason == Reason::SecretNotFound));
    assert_eq!(plan.rows[0].planned_action, Some(PlannedAction::Blocked));
}

/// The row is the only memory of the claim then: it must not be taken for one that waits for another.
#[test]
fn claim_whose_record_is_unusable_goes_on_once_repaired() {
    let (spec, request, running) = (reset_spec(1), request(), reading(Power::Running));
    let (mut record, unknown) = (claimed(), Some(BadRecord::Unreadable));
    let before = record.row().unwrap().clone();
    record.status.as_mut().unwrap().phase = Phase::Unrecognized;
    let expires = PasswordResetSpec { not_after: Some(Time(at(1))), ..spec.clone() };
    let whole = claimed();
    let plan_of = |spec: &PasswordResetSpec,
                   record: Option<&ResetRecord>,
                   bad_record: Option<BadRecord>,
                   before: &InstanceRow| {
        let target = Target { record, bad_record, before: Some(before), ..targets(spec, Some(&running)).remove(0) };
        plan(&reset_facts(spec, &request), &[target], at(2))
    };
    for (record, bad) in [(None, unknown), (Some(&record), None)] {
        for spec in [&spec, &expires] {
            let shown = plan_of(spec, record, bad, &before).rows.remove(0);
            assert_eq!((shown.state, shown.reason()), (State::Pending, Some(Reason::RecordUnusable)));
            assert_eq!((shown.claim, shown.attempts), (before.claim, before.attempts));
            let repaired = plan_of(spec, Some(&whole), None, &shown);
            assert_eq!((repaired.lost.len(), repaired.rows[0].state), (0, State::SettingPassword));
            let deleted = plan_of(spec, None, None, &shown);
            assert_eq!((deleted.lost.len(), deleted.claims.len()), (1, 0), "its request may be alive");
        }
    }
}

#[test]
fn unusable_record_takes_no_slot_from_other_instances() {
    let (spec, request, reading) = (reset_spec(4), request(), reading(Power::Running));
    for (bad, says) in [(BadRecord::Unreadable, "cannot be read"), (BadRecord::OfAnotherInstance, "different instance")]
    {
        let mut targets = targets(&spec, Some(&reading));
        targets[0].bad_record = Some(bad);
        let plan = plan(&reset_facts(&spec, &request), &targets, at(0));
        let row = &plan.rows[0];
        assert_eq!((row.state, row.reason().unwrap()), (State::Pending, Reason::RecordUnusable));
        assert_eq!(row.planned_action, Some(PlannedAction::Blocked), "whether it was read or not");
        assert!(row.message.contains("ResetRecord") && row.message.contains(says), "{}", row.message);
        assert_eq!(plan.claims.len(), 2);
    }
}

/// The record of an instance whose restart ended as Unknown, drained.
fn unknown_record() -> ResetRecord {
    let mut record = claimed();
    let before = record.progress();
    let mut status = ResetRecordStatus { start_time_before: Some(Time(at(-600))), unanswered_until: None, ..before };
    status.phase = Phase::RestartRequested;
    record.status = Some(status);
    let change = Change::Unknown(Reason::RestartOutcomeUnknown, String::new());
    record.status = Some(transition::apply(&record, change, None, at(-1_000)));
    record
}

fn decided(text: &str) -> Request {
    Request { resolution: Resolution::parse(text), ..request() }
}

#[test]
fn unknown_is_claimed_once_more_only_by_restart_again() {
    let (spec, running, mut record) = (reset_spec(1), reading(Power::Running), unknown_record());
    let plan_for = |record: &ResetRecord, request: &Request| {
        let target = Target { record: Some(record), ..targets(&spec, Some(&running)).remove(0) };
        plan(&ResetFacts { min_restart_interval_seconds: 0, ..reset_facts(&spec, request) }, &[target], at(1))
    };
    assert!(plan_for(&record, &request()).claims.is_empty());
    assert!(plan_for(&record, &decided("i-bp1a0000/2=RestartAgain")).claims.is_empty());
    assert_eq!(claims(&plan_for(&record, &decided("i-bp1a0000/1=RestartAgain"))), ["i-bp1a0000"]);
    record.spec.claim = 2;
    assert!(plan_for(&record, &decided("i-bp1a0000/1=RestartAgain")).claims.is_empty(), "that was another claim");
}

#[test]
fn decision_on_a_claim_to_come_keeps_it_from_being_made() {
    let (spec, running) = (reset_spec(1), reading(Power::Running));
    let plan_for = |record: Option<&ResetRecord>, text: &str| {
        let (request, target) = (decided(text), Target { record, ..targets(&spec, Some(&running)).remove(0) });
        plan(&ResetFacts { min_restart_interval_seconds: 0, ..reset_facts(&spec, &request) }, &[target], at(1))
    };
    let (mut of_before, reason) = (of_another(), |plan: &Plan| plan.rows[0].reason.clone());
    of_before.spec.claim = 2;
    for (record, beforehand, on_the_last) in [
        (None, "i-bp1a0000/1=Happened", None),
        (Some(&of_before), "i-bp1a0000/3=RestartAgain", Some("i-bp1a0000/2=RestartAgain")),
        (Some(&of_before), "i-bp1a0000/4=Happened", Some("i-bp1a0000/1=Happened")),
    ] {
        let held = plan_for(record, beforehand);
        assert!(held.claims.is_empty(), "{beforehand}");
        assert_eq!(reason(&held), "DecidedBeforehand", "{beforehand}");
        let others = ["i-bp1b0000/9=Happened", "of another form"].into_iter().chain(on_the_last);
        for text in others {
            assert_eq!(claims(&plan_for(record, text)), ["i-bp1a0000"], "{text}");
        }
        // Nothing of the claims of others is shown.
        let told = plan_for(record, "i-bp1a0000/9=Happened").misdirected;
        assert_eq!(told.as_deref(), Some("names claim 9 of i-bp1a0000"));
    }
}

#[test]
fn a_decided_unknown_ends_and_its_slot_waits_for_running() {
    let (spec, running, record) = (reset_spec(1), reading(Power::Running), unknown_record());
    let request = decided("i-bp1a0000/1=Happened");
    let target = Target { record: Some(&record), ..targets(&spec, Some(&running)).remove(0) };
    let plan = plan(&reset_facts(&spec, &request), &[target], at(1));
    assert_eq!((plan.happened.as_deref(), plan.claims.len()), (Some("i-bp1a0000"), 0));
    let status = transition::apply(&record, Change::Happened, None, at(1));
    assert_eq!((status.phase, status.completed[0].row.state), (Phase::InEffect, State::InEffect));
    assert_eq!(status.completed[0].row.reason, Reason::ResolvedByPerson);
    let ended = ResetRecord { status: Some(status.clone()), ..record.clone() };
    let holders =
        |record: &ResetRecord| budget::holders(std::slice::from_ref(record), &request.owner, |_| None, bounds(), at(1));
    let held = [holder("i-bp1a0000", Outlook::Frees)];
    // The machine may be on its way back only.
    assert_eq!((holders(&record), holders(&ended)), (held.to_vec(), held.to_vec()));
    let back = transition::apply(&ended, Change::Available, None, at(2));
    assert!(budget::holds_slot(&status, at(2)) && !budget::holds_slot(&back, at(2)));
}

/// Another that took it would wait for the machine to be back, and the machine for the slot.
#[test]
fn the_slot_of_an_instance_to_be_reset_again_is_its_own() {
    let (mut spec, running, record) = (reset_spec(2), reading(Power::Running), unknown_record());
    spec.restart.get_or_insert_default().max_unavailable = Some(IntOrString::Int(1));
    spec.max_failures = Some(1);
    let held = [holder("i-bp1a0000", Outlook::Frees)];
    let plan_for = |request: &Request| {
        let mut targets = targets(&spec, Some(&running));
        targets[0].record = Some(&record);
        targets.reverse();
        let facts = reset_facts(&spec, request);
        let account_slots = in_all(std::slice::from_ref(&record), 1, 0);
        let facts = ResetFacts { slot_holders: &held, account_slots, min_restart_interval_seconds: 0, ..facts };
        plan(&facts, &targets, at(1))
    };
    assert!(plan_for(&request()).claims.is_empty());
    assert_eq!(claims(&plan_for(&decided("i-bp1a0000/1=RestartAgain"))), ["i-bp1a0000"]);
}

#[test]
fn held_slots_stall_the_object_and_name_their_holders() {
    let (spec, request, running) = (reset_spec(3), request(), reading(Power::Running));
    let plan_with = |holders: &[Holder]| {
        plan(
            &ResetFacts { slot_holders: holders, ..reset_facts(&spec, &request) },
            &targets(&spec, Some(&running)),
            at(1),
        )
    };
    let stays = |id| holder(id, Outlook::Stays("it is Stopped; start it".to_owned()));
    let held = plan_with(&[stays("i-bp1a0000"), stays("i-y")]).held_up.unwrap();
    assert_eq!(held.reason, Reason::SlotHeld);
    let message = "no slot becomes free by itself (maxUnavailable is 2); i-bp1a0000: it is Stopped; start it; i-y: it is Stopped; start it";
    assert_eq!(held.message, message);
    // One of two goes on.
    let until = holder("i-y", Outlook::FreesUntil(at(77)));
    let goes_on = plan_with(&[stays("i-bp1a0000"), until]);
    assert_eq!((&goes_on.held_up, goes_on.wake), (&None, Some(at(77) + SOON)));
    assert!(goes_on.watch.contains(&"i-bp1a0000".to_owned()), "a change of it is looked at");
    assert_eq!(plan_with(&[stays("i-bp1a0000"), holder("i-y", Outlook::Frees)]).held_up, None);
    assert_eq!(plan_with(&[stays("i-bp1a0000")]).held_up, None, "there is a free slot");
}

#[test]
fn slot_stays_held_if_readings_m_apart_show_not_running() {
    let mut record = unknown_record();
    record.status.as_mut().unwrap().unanswered_until = None;
    record.status.as_mut().unwrap().row.as_mut().unwrap().state_time = Some(Time(at(100)));
    let outlook = |record: &ResetRecord, reading: Option<Reading>| {
        budget::holders(&[record], &request().owner, |_| reading.clone(), bounds(), at(1_000)).remove(0).outlook
    };
    let shown = |sent, power| Some(Reading { sent_at: at(sent), since: at(50), ..reading(power) });
    assert_eq!(outlook(&record, None), Outlook::Frees, "nothing is known");
    assert_eq!(outlook(&record, shown(900, Power::Running)), Outlook::Frees);
    assert_eq!(outlook(&record, shown(219, Power::Stopped)), Outlook::FreesUntil(at(220)));
    let why = |outlook| if let Outlook::Stays(why) = outlook { why } else { panic!("{outlook:?}") };
    assert!(why(outlook(&record, shown(220, Power::Stopped))).contains("Stopped; start it"));
    let absent = shown(220, Power::Stopped).map(|reading| Reading { seen: None, ..reading });
    assert!(why(outlook(&record, absent)).contains("ecs:DescribeInstances"));
    let forbidden = shown(220, Power::Stopped).map(|mut reading| {
        reading.seen.as_mut().unwrap().permitted = false;
        reading
    });
    assert!(!why(outlook(&record, forbidden)).contains("Stopped"), "it is not the user's to know");
    // A copy may restart it, and be seen only later.
    record.status.as_mut().unwrap().unanswered_until = Some(Time(at(500)));
    assert_eq!(outlook(&record, shown(700, Power::Stopped)), Outlook::FreesUntil(at(740)));
    record.status.as_mut().unwrap().phase = Phase::Unrecognized;
    assert!(why(outlook(&record, shown(900, Power::Running))).contains("phase"));
}

#[test]
fn a_record_in_a_phase_of_another_version_is_waited_for_by_name() {
    let (spec, request, running, mut record) = (reset_spec(1), request(), reading(Power::Running), claimed());
    record.status.as_mut().unwrap().phase = Phase::Unrecognized;
    let target = Target { record: Some(&record), ..targets(&spec, Some(&running)).remove(0) };
    let plan = plan(&reset_facts(&spec, &request), &[target], at(1));
    assert_eq!((plan.rows[0].state, plan.rows[0].reason().unwrap()), (State::Pending, Reason::RecordUnusable));
    assert!(plan.claims.is_empty());
}

// === Reads ===

fn refused() -> ReadHold {
    let message = "instances in cn-hangzou cannot be read: refused with InvalidRegionId.NotFound".to_owned();
    ReadHold { hold: Hold::new(Reason::ReadRefused, message), is_for_a_person: true }
}

/// The plan for one instance without a reading, whose row was `before`.
fn unread_plan(
    read_hold: Option<&ReadHold>,
    before: Option<&InstanceRow>,
    reading: Option<&Reading>,
    now: i64,
) -> Plan {
    let (spec, request, run) = (reset_spec(1), request(), run());
    let object =
        ResetFacts { read_hold, run: Some(&run), requested: Some(requested()), ..reset_facts(&spec, &request) };
    let target = Target {
        instance_id: "i-bp1a0000",
        record: None,
        bad_record: None,
        claimed_by_another: false,
        before,
        reading,
        own_password: None,
    };
    plan(&object, &[target], at(now))
}

#[test]
fn a_read_refused_for_good_has_a_deadline_and_stays_open() {
    let read_hold = refused();
    let first = unread_plan(Some(&read_hold), None, None, 0);
    let row = &first.rows[0];
    assert_eq!((row.state, row.reason().unwrap()), (State::WaitingForStableState, Reason::ReadRefused));
    assert!(row.message.contains("InvalidRegionId.NotFound"), "{row:?}");
    assert_eq!((first.wake, first.unread_for_too_long), (Some(at(60)), false));
    assert_eq!(first.watch, ["i-bp1a0000"], "nobody would notice that the answer has changed");

    // The next process does not know of the refusal yet, or ECS does not answer: the time goes on.
    let second = unread_plan(None, Some(row), None, 30);
    assert_eq!((second.rows[0].state_time.clone(), &second.rows[0].message), (Some(Time(at(0))), &row.message));
    let last = unread_plan(Some(&read_hold), Some(&second.rows[0]), None, 60);
    assert!(last.unread_for_too_long && !last.rows[0].state.has_ended(), "{:?}", last.rows);
}

#[test]
fn what_ecs_shows_after_a_refused_read_has_time_of_its_own() {
    let row = unread_plan(Some(&refused()), None, None, -900).rows.remove(0);
    let shown = unread_plan(None, Some(&row), Some(&reading(Power::Running)), 1);
    assert_eq!(shown.claims.len(), 1, "{:?}", shown.rows);
    let starting = reading(Power::Transitional("Starting".to_owned()));
    let shown = unread_plan(None, Some(&row), Some(&starting), 1);
    assert_eq!((shown.rows[0].state, shown.wake), (State::WaitingForStableState, Some(at(61))), "{:?}", shown.rows);
}

#[test]
fn hold_that_passes_has_no_deadline() {
    let hold = Hold::new(Reason::ECSUnavailable, "no answer in time");
    let read_hold = ReadHold { hold, is_for_a_person: false };
    let plan = unread_plan(Some(&read_hold), None, None, 0);
    assert_eq!((plan.rows[0].state, plan.wake, plan.unread_for_too_long), (State::Pending, None, false));
}
