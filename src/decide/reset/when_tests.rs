//! When an instance may begin, and what is said while it may not: suspensions, times, windows, throttling, plans.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::facts::{ResetFacts, Target};
use super::plan::{Plan, plan};
use super::slots_tests::{in_all, in_zone};
use super::status::status;
use crate::api::Reason;
use crate::api::conditions::{self, find};
use crate::api::password_reset::PlannedAction::{Blocked, ResetAndRestart, ResetOnly};
use crate::api::password_reset::{
    InstanceRow, Mode, PasswordResetSpec, PasswordResetStatus, PlannedAction, Requested, Run, State,
};
use crate::api::reset_record::{Phase, ResetRecord};
use crate::decide::budget::{AccountSlots, Holder, Outlook};
use crate::decide::fixtures::{
    at, claimed, holder, no_status, reading, request, reset_facts, reset_spec, row, run, target,
};
use crate::decide::history::Request;
use crate::decide::reset::password_rules::Broken;
use crate::decide::windows::{Opening, WindowState};
use crate::decide::words_tests::Words;
use crate::decide::{Hold, Power, Reading};
use jiff::SignedDuration;

pub(super) fn running() -> Reading {
    reading(0, -600, Power::Running, -600)
}

pub(super) fn closed() -> WindowState {
    WindowState::Closed(Opening { start: at(3_600), end: at(7_200) })
}

pub(super) fn open() -> WindowState {
    WindowState::Open(Opening { start: at(-60), end: at(7_200) })
}

pub(super) fn planning(instances: usize) -> PasswordResetSpec {
    PasswordResetSpec { mode: Some(Mode::Plan), ..reset_spec(instances) }
}

pub(super) fn targets<'a>(spec: &'a PasswordResetSpec, reading: &'a Reading) -> Vec<Target<'a>> {
    spec.instance_ids.iter().flatten().map(|id| target(id, Some(reading))).collect()
}

/// A record of the object's claim whose password is set, and whose restart is not requested.
pub(super) fn password_set() -> ResetRecord {
    let mut record = claimed();
    let status = record.status.as_mut().unwrap();
    status.phase = Phase::PasswordSet;
    status.unanswered_until = None;
    status.password_acknowledged_at = Some(Time(at(-30)));
    let set = row(State::PasswordSet);
    status.row = Some(InstanceRow { reason: Reason::PasswordSet.to_string(), ..set });
    record
}

pub(super) fn only(plan: &Plan) -> (Option<Reason>, usize) {
    (plan.rows[0].reason(), plan.claims.len())
}

pub(super) fn ready(facts: &ResetFacts, plan: &Plan) -> (String, String, String) {
    let status = status(facts, plan, at(0));
    let ready = find(&status.conditions, conditions::READY).unwrap();
    (ready.status.clone(), ready.reason.clone(), ready.message.clone())
}

#[test]
fn nothing_is_claimed_outside_the_times_that_are_allowed() {
    let (spec, request, running) = (reset_spec(1), request(), running());
    let plan_for = |facts: &ResetFacts| plan(facts, &targets(&spec, &running), at(0));
    let facts = || reset_facts(&spec, &request);
    assert_eq!(only(&plan_for(&ResetFacts { window: open(), ..facts() })), (Some(Reason::Pending), 1));
    let waits = plan_for(&ResetFacts { window: closed(), ..facts() });
    assert_eq!(only(&waits), (Some(Reason::WaitingForWindow), 0));
    assert_eq!((waits.wake, waits.next_transition, waits.watch.len()), (Some(at(3_600)), Some(at(3_600)), 0));
    let unusable = WindowState::Unusable(Hold::new(Reason::InvalidSpec, "spec.windows[0]: no such zone"));
    assert_eq!(only(&plan_for(&ResetFacts { window: unusable, ..facts() })), (Some(Reason::InvalidSpec), 0));
    let suspended = ResetFacts { suspended_account: Some("default"), ..facts() };
    assert_eq!(only(&plan_for(&suspended)), (Some(Reason::Suspended), 0));
    let throttled = plan_for(&ResetFacts { throttled_until: Some(at(60)), ..facts() });
    assert_eq!((only(&throttled), throttled.wake), ((Some(Reason::HeldBack), 0), Some(at(60))));
    let passed = ResetFacts { throttled_until: Some(at(0)), ..facts() };
    assert_eq!(only(&plan_for(&passed)), (Some(Reason::Pending), 1));
    let later = PasswordResetSpec { not_before: Some(Time(at(90))), ..spec.clone() };
    let early = plan(&reset_facts(&later, &request), &targets(&later, &running), at(89));
    assert_eq!((only(&early), early.wake), ((Some(Reason::NotBefore), 0), Some(at(90))));
}

#[test]
fn a_bad_password_is_named_before_the_window_opens() {
    let (spec, request, running) = (reset_spec(1), request(), running());
    let facts = ResetFacts { window: closed(), broken: Some(Broken::Length), ..reset_facts(&spec, &request) };
    assert_eq!(only(&plan(&facts, &targets(&spec, &running), at(0))).0, Some(Reason::InvalidPassword));
}

#[test]
fn instance_not_begun_by_not_after_never_begins() {
    let spec = PasswordResetSpec { not_after: Some(Time(at(60))), ..reset_spec(2) };
    let (request, running) = (request(), reading(59, -600, Power::Running, -600));
    let before = plan(&reset_facts(&spec, &request), &targets(&spec, &running), at(59));
    assert_eq!((before.claims.len(), before.wake), (2, Some(at(60))));
    let facts = reset_facts(&spec, &request);
    let after = plan(&facts, &targets(&spec, &running), at(60));
    assert!(after.claims.is_empty() && after.rows.iter().all(|row| row.state == State::Expired));
    let (truth, reason, message) = ready(&facts, &after);
    assert_eq!((truth.as_str(), reason.as_str()), ("True", "Expired"), "{message}");
    let shown = status(&facts, &after, at(60));
    assert!(find(&shown.conditions, conditions::SUCCEEDED).is_none() && shown.run.is_none());

    // One that was claimed goes on, and the end is what happened.
    let mut record = claimed();
    let mut all = targets(&spec, &running);
    all[0].record = Some(&record);
    let some = plan(&reset_facts(&spec, &request), &all, at(60));
    assert_eq!([some.rows[0].state, some.rows[1].state], [State::SettingPassword, State::Expired]);
    record.status.as_mut().unwrap().phase = Phase::Failed;
    let done = [row(State::InEffect), InstanceRow { state: State::Expired, ..row(State::Expired) }];
    let ended = Plan { rows: done.to_vec(), ..Plan::default() };
    assert_eq!(
        ready(&facts, &ended),
        ready_of("True", "Succeeded", "1 of 2 instances done: 1 in effect, 1 not begun by notAfter")
    );
}

fn ready_of(truth: &str, reason: &str, message: &str) -> (String, String, String) {
    (truth.to_owned(), reason.to_owned(), message.to_owned())
}

#[test]
fn expired_instance_may_begin_after_a_later_not_after() {
    let spec = PasswordResetSpec { not_after: Some(Time(at(600))), ..reset_spec(1) };
    let (request, running) = (request(), running());
    let expired = InstanceRow { attempts: 0, claim: None, ..row(State::Expired) };
    let expired = InstanceRow { reason: Reason::Expired.to_string(), ..expired };
    let requested = Requested { tokens: request.tokens.clone(), retry: None, fingerprint: None };
    let mut all = targets(&spec, &running);
    all[0].before = Some(&expired);
    let facts = ResetFacts { requested: Some(&requested), ..reset_facts(&spec, &request) };
    assert_eq!(plan(&facts, &all, at(1)).claims.len(), 1);
}

#[test]
fn row_of_a_claim_says_what_its_restart_waits_for() {
    let (mut spec, request) = (reset_spec(1), request());
    let record = password_set();
    let recent = reading(0, -20, Power::Running, 0);
    let of = |facts: &ResetFacts, reading| {
        let mut target = target("i-bp1a0000", Some(reading));
        target.record = Some(&record);
        let plan = plan(facts, &[target], at(1));
        (plan.rows[0].reason(), plan.next_transition)
    };
    let old = running();
    assert_eq!(of(&reset_facts(&spec, &request), &old), (Some(Reason::PasswordSet), None));
    assert_eq!(of(&reset_facts(&spec, &request), &recent), (Some(Reason::WaitingForRestart), Some(at(60))));
    let throttled = ResetFacts { throttled_until: Some(at(50)), ..reset_facts(&spec, &request) };
    assert_eq!(of(&throttled, &old), (Some(Reason::HeldBack), Some(at(50))));
    let account = ResetFacts { suspended_account: Some("default"), ..reset_facts(&spec, &request) };
    assert_eq!(of(&account, &recent).0, Some(Reason::Suspended));
    spec.suspend = Some(true);
    assert_eq!(of(&reset_facts(&spec, &request), &recent).0, Some(Reason::Suspended));
    (spec.suspend, spec.mode) = (None, Some(Mode::Plan));
    assert_eq!(of(&reset_facts(&spec, &request), &old).0, Some(Reason::Planned), "a plan changes nothing more");
}

#[test]
fn plan_claims_nothing_and_shows_what_would_be_done() {
    let (spec, request, running) = (planning(4), request(), running());
    let stopped = reading(0, -600, Power::Stopped, -600);
    let starting = reading(0, 0, Power::Transitional("Starting".to_owned()), -600);
    let mut all = targets(&spec, &running);
    all[1].reading = Some(&stopped);
    all[2].reading = Some(&starting);
    let facts = ResetFacts { window: closed(), ..reset_facts(&spec, &request) };
    let planned = plan(&facts, &all, at(0));
    assert!(planned.claims.is_empty() && planned.watch.is_empty());
    let actions: Vec<_> = planned.rows.iter().map(|row| row.planned_action.unwrap()).collect();
    assert_eq!(actions, [ResetAndRestart, ResetOnly, Blocked, ResetAndRestart]);
    assert!(planned.rows.iter().all(|row| row.state == State::Pending));
    assert_eq!(planned.wake, Some(at(300)), "it is made again after five minutes");
    let (truth, reason, _) = ready(&facts, &planned);
    assert_eq!((truth.as_str(), reason.as_str()), ("True", "Planned"));
    let long_after = plan(&facts, &all, at(10_000));
    assert!(long_after.rows.iter().all(|row| row.state == State::Pending), "no deadline runs");
    assert_eq!(long_after.watch.len(), 4, "it is read again");
}

#[test]
fn the_bounds_of_the_account_lengthen_a_plan() {
    let (spec, request, running) = (planning(4), request(), running());
    let takes = |account_slots: AccountSlots| {
        let usual_restart = Some(SignedDuration::from_secs(90));
        let facts = ResetFacts { account_slots, usual_restart, ..reset_facts(&spec, &request) };
        ready(&facts, &plan(&facts, &targets(&spec, &running), at(0))).2
    };
    // Two waves, four, and four: 90 s and minReadySeconds of 30 s each.
    for (slots, minutes) in [(AccountSlots::default(), 4), (in_all(&[], 1, 0), 8), (in_zone(&[], 1), 8)] {
        let said = takes(slots);
        assert!(said.contains(&format!("about {minutes} min in all")), "{said}");
    }
}

#[test]
fn plan_that_is_read_again_says_nothing_else_meanwhile() {
    let (spec, request, running) = (planning(1), request(), running());
    let first = plan(&reset_facts(&spec, &request), &targets(&spec, &running), at(0));
    let again = [Target { before: Some(&first.rows[0]), ..target("i-bp1a0000", None) }];
    let meanwhile = plan(&reset_facts(&spec, &request), &again, at(400));
    assert_eq!((&meanwhile.rows, meanwhile.watch.len()), (&first.rows, 1));
}

#[test]
fn plan_that_cannot_be_made_is_not_ready() {
    let (spec, request, running) = (planning(1), request(), running());
    let hold = Hold::new(Reason::SecretNotFound, "no Secret");
    let facts = ResetFacts { secret_hold: Some(&hold), ..reset_facts(&spec, &request) };
    let planned = plan(&facts, &targets(&spec, &running), at(0));
    assert_eq!(ready(&facts, &planned).1, "SecretNotFound");
    let unread = [target("i-bp1a0000", None)];
    let facts = reset_facts(&spec, &request);
    let (truth, reason, _) = ready(&facts, &plan(&facts, &unread, at(0)));
    assert_eq!((truth.as_str(), reason.as_str()), ("Unknown", "Pending"));
}

#[test]
fn bad_password_blocks_a_plan_and_fails_nothing() {
    let (spec, request, running) = (planning(1), request(), running());
    let facts = ResetFacts { broken: Some(Broken::Length), ..reset_facts(&spec, &request) };
    let planned = plan(&facts, &targets(&spec, &running), at(0));
    let row = &planned.rows[0];
    let is = (row.state, row.reason().unwrap(), row.planned_action.unwrap());
    assert_eq!(is, (State::Pending, Reason::InvalidPassword, PlannedAction::Blocked));
    assert_eq!(ready(&facts, &planned).1, "Planned", "a failure pauses no plan");
}

#[test]
fn estimate_stays_while_nothing_happens() {
    let (spec, request) = (reset_spec(4), request());
    let running = run();
    let waits = |reason: Reason| InstanceRow { reason: reason.to_string(), ..row(State::Pending) };
    let rows =
        |reason| vec![row(State::InEffect), row(State::Restarting), waits(Reason::WaitingForSlot), waits(reason)];
    let mut plan = Plan { rows: rows(Reason::WaitingForSlot), ..Plan::default() };
    let usual_restart = Some(SignedDuration::from_secs(90));
    let estimate_of = |plan: &Plan, before: &PasswordResetStatus, window: WindowState, now| {
        let facts =
            ResetFacts { run: Some(&running), window, usual_restart, ..ResetFacts::new(&spec, before, &request) };
        status(&facts, plan, at(now))
    };
    for of_others in [Reason::InstanceBusy, Reason::WaitingForAccountSlot, Reason::PausedOnFailure] {
        plan.rows = rows(of_others);
        let told = estimate_of(&plan, no_status(), WindowState::AnyTime, 0).estimated_completion_time;
        assert_eq!(told, None, "nobody knows: {of_others}");
    }
    plan.rows = rows(Reason::WaitingForSlot);
    let estimate = |before: &PasswordResetStatus, window, now| estimate_of(&plan, before, window, now);
    let first = estimate(no_status(), WindowState::AnyTime, 0);
    // Three are open, two at once, 90 s and minReadySeconds of 30 s each.
    assert_eq!(first.estimated_completion_time, Some(Time(at(300))));
    let same = estimate(&first, WindowState::AnyTime, 100);
    assert_eq!(same.estimated_completion_time, first.estimated_completion_time);
    let late = estimate(&first, WindowState::AnyTime, 301);
    assert_eq!(late.estimated_completion_time, None, "it was wrong");
    let short = WindowState::Open(Opening { start: at(0), end: at(200) });
    assert_eq!(estimate(no_status(), short, 0).estimated_completion_time, None, "it does not fit into the window");

    let rows = vec![row(State::InEffect), row(State::Pending)];
    let held_up = Some(Hold::new(Reason::SlotHeld, "<why>"));
    for (held_up, expected) in [(None, true), (held_up, false)] {
        let plan = Plan { rows: rows.clone(), held_up, ..Plan::default() };
        let facts = ResetFacts { run: Some(&running), usual_restart, ..ResetFacts::new(&spec, no_status(), &request) };
        assert_eq!(status(&facts, &plan, at(0)).estimated_completion_time.is_some(), expected, "Stalled has no end");
    }
}

#[test]
fn words_of_waiting_and_planning() {
    let mut words = Words::of("when");
    let (request, running) = (request(), running());
    let spec = reset_spec(1);
    let of = |facts: &ResetFacts| plan(facts, &[target("i-bp1a0000", Some(&running))], at(0)).rows.remove(0);
    let facts = || reset_facts(&spec, &request);
    words.row("account suspended", &of(&ResetFacts { suspended_account: Some("default"), ..facts() }));
    words.row("no window open", &of(&ResetFacts { window: closed(), ..facts() }));
    words.row("throttled", &of(&ResetFacts { throttled_until: Some(at(61)), ..facts() }));
    let later = PasswordResetSpec { not_before: Some(Time(at(90))), ..spec.clone() };
    words.row("not before", &of(&reset_facts(&later, &request)));
    let ended = PasswordResetSpec { not_after: Some(Time(at(0))), ..spec.clone() };
    words.row("not after", &of(&reset_facts(&ended, &request)));
    let restarted = [Holder { ready_at: Some(at(30)), ..holder("i-bp1b", Outlook::Frees) }];
    let one = PasswordResetSpec { restart: None, ..reset_spec(2) };
    words.row("minReadySeconds", &of(&ResetFacts { slot_holders: &restarted, ..reset_facts(&one, &request) }));

    let mut theirs = claimed();
    theirs.spec.owner.namespace = "other".to_owned();
    let held = [claimed(), theirs];
    words.row("account slot", &of(&ResetFacts { account_slots: in_all(&held, 2, 0), ..facts() }));
    words.row("account slot, of an older waiter", &of(&ResetFacts { account_slots: in_all(&[], 1, 1), ..facts() }));
    words.row("zone slot", &of(&ResetFacts { account_slots: in_zone(&held, 2), ..facts() }));

    let record = password_set();
    let recent = reading(0, -20, Power::Running, 0);
    let in_flight = |facts: &ResetFacts| {
        let mut target = target("i-bp1a0000", Some(&recent));
        target.record = Some(&record);
        plan(facts, &[target], at(1)).rows.remove(0)
    };
    words.row("restart, in the minute of the start", &in_flight(&facts()));
    words.row("restart, suspended", &in_flight(&ResetFacts { suspended_account: Some("default"), ..facts() }));
    let with = |change: &dyn Fn(&mut ResetRecord)| {
        let (mut record, mut target) = (password_set(), target("i-bp1a0000", Some(&recent)));
        change(&mut record);
        target.record = Some(&record);
        let facts = ResetFacts { throttled_until: Some(at(61)), ..facts() };
        plan(&facts, &[target], at(1)).rows.remove(0)
    };
    let told = |record: &mut ResetRecord, reason: Reason| {
        let row = record.status.as_mut().unwrap().row.as_mut().unwrap();
        reason.as_str().clone_into(&mut row.reason);
        "<the row's message>".clone_into(&mut row.message);
    };
    words.row("restart, throttled", &with(&|record| told(record, Reason::Throttled)));
    words.row("restart, behind a throttled one", &with(&|record| told(record, Reason::PasswordSet)));
    words.row(
        "restart, accepted",
        &with(&|record| {
            told(record, Reason::Restarting);
            let status = record.status.as_mut().unwrap();
            (status.phase, status.accepted_at) = (Phase::Restarting, Some(Time(at(0))));
        }),
    );

    let spec = planning(3);
    let mut keyed = running.clone();
    keyed.seen.as_mut().unwrap().key_pair_name = Some("ops".to_owned());
    let stopped = reading(0, -600, Power::Stopped, -600);
    let mut all = targets(&spec, &keyed);
    all[1].reading = Some(&stopped);
    let usual_restart = Some(SignedDuration::from_secs(90));
    let facts = ResetFacts { usual_restart, window: closed(), ..reset_facts(&spec, &request) };
    let planned = plan(&facts, &all, at(0));
    for row in &planned.rows {
        words.row("planned", row);
    }
    words.say("plan, Ready", ready(&facts, &planned).2);

    let two = PasswordResetSpec { suspend: Some(true), ..reset_spec(2) };
    let rows = vec![row(State::Pending), row(State::SettingPassword), row(State::PasswordSet), row(State::Restarting)];
    let facts = reset_facts(&two, &request);
    words.say("suspended, Ready", ready(&facts, &Plan { rows, ..Plan::default() }).2);
    words.say("expired, Ready", {
        let facts = reset_facts(&ended, &request);
        ready(&facts, &Plan { rows: vec![row(State::Expired)], ..Plan::default() }).2
    });
    words.assert();
}

#[test]
fn run_keeps_the_run_id_it_began_with() {
    let (mut spec, request, record) = (reset_spec(1), request(), claimed());
    spec.run_id = Some("2026-11".to_owned());
    let mut target = target("i-bp1a0000", None);
    target.record = Some(&record);
    let facts = reset_facts(&spec, &request);
    let begun: Run = status(&facts, &plan(&facts, &[target], at(1)), at(1)).run.unwrap();
    assert_eq!(begun.run_id.as_deref(), Some("2026-11"));
    let unheard = Request { tokens: vec!["run:2".to_owned()], ..request.clone() };
    assert_ne!(unheard.tokens, begun.tokens);
}
