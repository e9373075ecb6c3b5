//! Which instances may be claimed, and what the others wait for.

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::api::password_reset::{PasswordResetSpec, PlannedAction, Requested, RestartSpec};
use crate::api::reset_record::{Fingerprint, Phase, ResetRecord, ResetRecordStatus};
use crate::decide::budget;
use crate::decide::claim::step::Change;
use crate::decide::claim::transition;
use crate::decide::fixtures::{
    self, at, bounds, claimed, holder, of_another, owner, request, reset_facts, reset_spec, row, run, target,
};
use crate::decide::history::Request;
use crate::decide::reset::facts::{BadRecord, ReadHold};
use crate::decide::reset::password_rules::Broken;
use crate::decide::reset::password_rules::LineBreak;
use crate::decide::reset::rows::hold_up;
use crate::decide::resolution::Resolution;
use crate::decide::{InstanceView, Power, Reading};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// What the status of before answers.
fn requested() -> &'static Requested {
    static REQUESTED: LazyLock<Requested> =
        LazyLock::new(|| Requested { tokens: vec!["run:1".to_owned()], retry: None, fingerprint: None });
    &REQUESTED
}

fn reading(power: Power) -> Reading {
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

fn targets<'a>(spec: &'a PasswordResetSpec, reading: Option<&'a Reading>) -> Vec<Target<'a>> {
    spec.instance_ids.iter().flatten().map(|id| target(id, reading)).collect()
}

fn claims(plan: &Plan) -> Vec<&str> {
    plan.claims.iter().map(|claim| claim.instance_id.as_str()).collect()
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
fn absent_instance_is_told_apart_by_describe_permission() {
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
fn not_permitted() -> Vec<Reading> {
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
    // With the record of another owner in place the object's own status is no second memory.
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
    let blocked = plan(&ResetFacts { secret_trouble: Some(&hold), ..guarded }, &target, at(1));
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

#[test]
fn more_failures_than_allowed_pause_the_rest() {
    let (mut spec, request, running, run) = (reset_spec(3), request(), reading(Power::Running), run());
    let failed = InstanceRow { reason: Reason::InstanceNotFound.to_string(), attempts: 0, ..row(State::Failed) };
    let paused = |spec: &PasswordResetSpec| {
        let object = ResetFacts { run: Some(&run), requested: Some(requested()), ..reset_facts(spec, &request) };
        let mut targets = targets(spec, Some(&running));
        targets[0].before = Some(&failed);
        plan(&object, &targets, at(1))
    };
    let plan = paused(&spec);
    assert!(plan.paused && plan.claims.is_empty());
    assert_eq!(plan.rows[1].reason, Reason::PausedOnFailure);
    spec.max_failures = Some(1);
    let plan = paused(&spec);
    assert_eq!(claims(&plan), ["i-bp1a0001", "i-bp1a0002"]);
}

#[test]
fn unknown_outcome_pauses_the_rest_until_retry() {
    let (spec, request, running, mut record) = (reset_spec(2), request(), reading(Power::Running), completed());
    record.status.as_mut().unwrap().completed[0].row = row(State::Unknown);
    let paused = |request: &Request| {
        let mut targets = targets(&spec, Some(&running));
        targets[0].record = Some(&record);
        plan(&reset_facts(&spec, request), &targets, at(1))
    };
    assert!(paused(&request).paused);
    let retry = Request { retry: Some("retry:1".to_owned()), ..request };
    let plan = paused(&retry);
    assert_eq!((plan.paused, claims(&plan)), (false, vec!["i-bp1a0001"]));
    assert_eq!(plan.rows[0].state, State::Unknown, "nothing is done about it");
}

#[test]
fn a_bad_password_fails_what_is_not_done_and_is_judged_anew() {
    let (spec, request, running, run) = (reset_spec(1), request(), reading(Power::Running), run());
    let bad = ResetFacts {
        broken: Some(Broken::TrailingNewline(LineBreak::Lf)),
        run: Some(&run),
        requested: Some(requested()),
        ..reset_facts(&spec, &request)
    };
    let failed = plan(&bad, &targets(&spec, Some(&running)), at(1)).rows.remove(0);
    assert_eq!((failed.state, failed.reason().unwrap()), (State::Failed, Reason::InvalidPassword));
    let good = ResetFacts { run: Some(&run), requested: Some(requested()), ..reset_facts(&spec, &request) };
    let mut mended = targets(&spec, Some(&running));
    mended[0].before = Some(&failed);
    assert_eq!(claims(&plan(&good, &mended, at(2))), ["i-bp1a0000"]);
}

#[test]
fn the_rule_for_windows_holds_for_windows_alone() {
    let (spec, request, linux) = (reset_spec(1), request(), reading(Power::Running));
    let mut windows = linux.clone();
    windows.seen.as_mut().unwrap().os_type = "windows".to_owned();
    let object = ResetFacts { broken_on_windows: Some(Broken::LeadingSlash), ..reset_facts(&spec, &request) };
    assert_eq!(claims(&plan(&object, &targets(&spec, Some(&linux)), at(1))), ["i-bp1a0000"]);
    let mut targets = targets(&spec, Some(&windows));
    let failed = plan(&object, &targets, at(1)).rows.remove(0);
    assert_eq!(failed.reason, Reason::InvalidPassword);
    targets[0].reading = None;
    targets[0].before = Some(&failed);
    assert_eq!(plan(&object, &targets, at(100)).rows[0].reason, Reason::InvalidPassword, "nobody asks any more");
}

#[test]
fn objects_that_name_one_instance_take_turns() {
    let (spec, running, record) = (reset_spec(1), reading(Power::Running), claimed());
    let other = Request { owner: owner("other"), ..request() };
    let mut targets = targets(&spec, Some(&running));
    targets[0].record = Some(&record);
    let waits = plan(&reset_facts(&spec, &other), &targets, at(1));
    assert_eq!(waits.rows[0].reason, Reason::InstanceBusy);
    let own = request();
    let works = plan(&reset_facts(&spec, &own), &targets, at(1));
    assert_eq!(works.rows[0].state, State::SettingPassword);
    assert!(works.claims.is_empty() && waits.claims.is_empty());
}

/// The record of an instance that `web` has had reset, last restarted at second 0.
fn completed() -> ResetRecord {
    let mut record = claimed();
    let done = InstanceRow { password_set_time: Some(Time(at(0))), ..row(State::InEffect) };
    let status = record.status.as_mut().unwrap();
    status.phase = Phase::InEffect;
    status.unanswered_until = None;
    status.last_restart_time = Some(Time(at(0)));
    status.row = Some(done.clone());
    status.completed = history::complete(&[], &record.spec, done);
    record
}

#[test]
fn a_second_run_waits_for_the_accounts_pause_between_restarts() {
    let (spec, running, record) = (reset_spec(1), reading(Power::Running), completed());
    let second = Request { tokens: vec!["run:2".to_owned()], ..request() };
    let mut targets = targets(&spec, Some(&running));
    targets[0].record = Some(&record);
    let early = plan(&reset_facts(&spec, &second), &targets, at(30));
    assert_eq!((early.rows[0].reason().unwrap(), early.wake), (Reason::MinRestartInterval, Some(at(600))));
    let no_pause = ResetFacts { min_restart_interval_seconds: 0, ..reset_facts(&spec, &second) };
    assert_eq!(claims(&plan(&no_pause, &targets, at(30))), ["i-bp1a0000"]);
}

#[test]
fn an_unanswered_request_holds_back_the_next_claim() {
    let (spec, running, mut record) = (reset_spec(1), reading(Power::Running), completed());
    record.status.as_mut().unwrap().unanswered_until = Some(Time(at(1_920)));
    let second = Request { tokens: vec!["run:2".to_owned()], ..request() };
    let mut targets = targets(&spec, Some(&running));
    targets[0].record = Some(&record);
    let no_pause = ResetFacts { min_restart_interval_seconds: 0, ..reset_facts(&spec, &second) };
    let plan = plan(&no_pause, &targets, at(30));
    assert_eq!((plan.rows[0].reason().unwrap(), plan.wake), (Reason::AnswerOutstanding, Some(at(1_920))));
}

#[test]
fn done_instance_shows_when_another_object_resets_it() {
    let (spec, request, running, mut record) = (reset_spec(1), request(), reading(Power::Running), completed());
    let state = |record: &ResetRecord| {
        let mut targets = targets(&spec, Some(&running));
        targets[0].record = Some(record);
        let plan = plan(&reset_facts(&spec, &request), &targets, at(1));
        assert!(plan.claims.is_empty() && plan.watch.is_empty());
        plan.rows[0].state
    };
    assert_eq!(state(&record), State::InEffect);
    record.spec.owner = owner("other");
    record.status.as_mut().unwrap().phase = Phase::SettingPassword;
    assert_eq!(state(&record), State::InEffect, "the other has not set a password yet");
    let status = record.status.as_mut().unwrap();
    status.phase = Phase::PasswordSet;
    status.password_acknowledged_at = Some(Time(at(1)));
    assert_eq!(state(&record), State::Superseded);
    let status = record.status.as_mut().unwrap();
    status.phase = Phase::Failed;
    status.completed = history::complete(&status.completed, &record.spec, row(State::Failed));
    assert_eq!(state(&record), State::InEffect, "it failed, with nothing set in its entry");
    let done = InstanceRow { password_set_time: Some(Time(at(2))), ..row(State::InEffect) };
    record.status.as_mut().unwrap().completed = history::complete(&record.progress().completed, &record.spec, done);
    assert_eq!(state(&record), State::Superseded);
}

#[test]
fn who_was_superseded_stays_so_when_the_other_one_fails_later() {
    let (spec, request, running) = (reset_spec(1), request(), reading(Power::Running));
    let done = |second| InstanceRow { password_set_time: Some(Time(at(second))), ..row(State::InEffect) };
    let state = |ends: &[(&str, InstanceRow)]| {
        let mut record = completed();
        let completed = ends.iter().fold(Vec::new(), |before, (name, row)| {
            record.spec.owner = owner(name);
            history::complete(&before, &record.spec, row.clone())
        });
        record.status.as_mut().unwrap().completed = completed;
        let mut targets = targets(&spec, Some(&running));
        targets[0].record = Some(&record);
        plan(&reset_facts(&spec, &request), &targets, at(9)).rows[0].state
    };
    let (failed, other) = (row(State::Failed), "other");
    assert_eq!(state(&[("web", done(1)), (other, done(2)), (other, failed.clone())]), State::Superseded);
    assert_eq!(state(&[(other, done(1)), ("web", done(2)), (other, failed)]), State::InEffect);
}

#[test]
fn unknown_is_not_superseded_by_an_earlier_password() {
    let (spec, request, running) = (reset_spec(1), request(), reading(Power::Running));
    let unknown = InstanceRow { state_time: Some(Time(at(2))), ..row(State::Unknown) };
    let set = |second| InstanceRow { password_set_time: Some(Time(at(second))), ..row(State::InEffect) };
    let state = |later: InstanceRow| {
        let mut record = completed();
        let completed = [("other", set(1)), ("web", unknown.clone()), ("other", later)].into_iter();
        record.status.as_mut().unwrap().completed = completed.fold(Vec::new(), |before, (name, row)| {
            record.spec.owner = owner(name);
            history::complete(&before, &record.spec, row)
        });
        let mut targets = targets(&spec, Some(&running));
        targets[0].record = Some(&record);
        plan(&reset_facts(&spec, &request), &targets, at(9)).rows[0].state
    };
    assert_eq!(state(row(State::Failed)), State::Unknown, "a person decides");
    assert_eq!(state(set(3)), State::Superseded);
}

#[test]
fn failed_claim_is_retried_with_another_password() {
    let (spec, request, running, run, mut record) =
        (reset_spec(1), request(), reading(Power::Running), run(), completed());
    for reason in [Reason::NotPermitted, Reason::StableStateTimeout, Reason::PasswordRefused] {
        let failed = InstanceRow { reason: reason.to_string(), ..row(State::Failed) };
        let status = record.status.as_mut().unwrap();
        status.row = Some(failed.clone());
        status.completed = history::complete(&[], &record.spec, failed.clone());
        let claims = |fingerprint: &str| {
            let fingerprint = Some(Fingerprint { key_id: "k1".to_owned(), value: fingerprint.to_owned() });
            let request = Request { fingerprint, ..request.clone() };
            let mut targets = targets(&spec, Some(&running));
            (targets[0].record, targets[0].before) = (Some(&record), Some(&failed));
            let object = ResetFacts {
                run: Some(&run),
                requested: Some(requested()),
                min_restart_interval_seconds: 0,
                ..reset_facts(&spec, &request)
            };
            plan(&object, &targets, at(9)).claims.len()
        };
        assert_eq!((claims("f"), claims("g")), (0, 1), "{reason}");
    }
}

#[test]
fn record_recreated_for_another_owner_starts_nothing() {
    let (spec, request, running, run, done) =
        (reset_spec(1), request(), reading(Power::Running), run(), row(State::InEffect));
    let mut record = completed();
    record.spec.owner = owner("other");
    let state = |record: &ResetRecord, request: &Request| {
        let mut targets = targets(&spec, Some(&running));
        (targets[0].before, targets[0].record) = (Some(&done), Some(record));
        let object = ResetFacts {
            run: Some(&run),
            requested: Some(requested()),
            min_restart_interval_seconds: 0,
            ..reset_facts(&spec, request)
        };
        let plan = plan(&object, &targets, at(9));
        (plan.rows[0].state, plan.claims.len())
    };
    let status = record.status.as_mut().unwrap();
    (status.phase, status.completed) = (Phase::SettingPassword, Vec::new());
    assert_eq!(state(&record, &request), (State::InEffect, 0), "the other has set nothing");
    record.status.as_mut().unwrap().phase = Phase::InEffect;
    let set = InstanceRow { password_set_time: Some(Time(at(5))), ..row(State::InEffect) };
    record.status.as_mut().unwrap().completed = history::complete(&[], &record.spec, set);
    assert_eq!(state(&record, &request), (State::Superseded, 0));
    let second = Request { tokens: vec!["run:2".to_owned()], ..request };
    assert_eq!(state(&record, &second), (State::Pending, 1), "a new run is a new run");
}

#[test]
fn a_retry_annotation_that_is_removed_ends_no_pause() {
    let (spec, running, mut record) = (reset_spec(2), reading(Power::Running), completed());
    record.spec.retry = Some("retry:a".to_owned());
    record.status.as_mut().unwrap().completed = history::complete(&[], &record.spec, row(State::Failed));
    let is_paused = |retry: Option<&str>| {
        let request = Request { retry: retry.map(str::to_owned), ..request() };
        let mut targets = targets(&spec, Some(&running));
        targets[0].record = Some(&record);
        let no_pause = ResetFacts { min_restart_interval_seconds: 0, ..reset_facts(&spec, &request) };
        let plan = plan(&no_pause, &targets, at(9));
        (plan.paused, plan.claims.len())
    };
    assert_eq!(is_paused(Some("retry:a")), (true, 0));
    assert_eq!(is_paused(None), (true, 0), "that it is gone asks for nothing");
    assert_eq!(is_paused(Some("retry:b")), (false, 2));
}

#[test]
fn the_objects_own_status_remembers_when_the_record_is_lost() {
    let (spec, request, running, run, done) =
        (reset_spec(1), request(), reading(Power::Running), run(), row(State::EffectiveAtNextStart));
    let mut targets = targets(&spec, Some(&running));
    targets[0].before = Some(&done);
    let remembered = ResetFacts { run: Some(&run), requested: Some(requested()), ..reset_facts(&spec, &request) };
    assert!(plan(&remembered, &targets, at(1)).claims.is_empty());
    let second = Request { tokens: vec!["run:2".to_owned()], ..request.clone() };
    let asked_anew = ResetFacts { run: Some(&run), requested: Some(requested()), ..reset_facts(&spec, &second) };
    assert_eq!(claims(&plan(&asked_anew, &targets, at(1))), ["i-bp1a0000"]);
}

#[test]
fn a_block_holds_back_what_has_not_begun() {
    let (spec, request, running) = (reset_spec(2), request(), reading(Power::Running));
    let hold = Hold::new(Reason::SecretNotFound, "no Secret");
    let object = ResetFacts { secret_trouble: Some(&hold), ..reset_facts(&spec, &request) };
    let plan = plan(&object, &targets(&spec, Some(&running)), at(1));
    assert!(plan.claims.is_empty());
    assert!(plan.rows.iter().all(|row| row.reason == Reason::SecretNotFound));
    assert_eq!(plan.rows[0].planned_action, Some(PlannedAction::Blocked));
}

#[test]
fn unusable_record_takes_no_slot_from_other_instances() {
    let (spec, request, reading) = (reset_spec(4), request(), reading(Power::Running));
    for (bad, says) in [(BadRecord::Unreadable, "cannot read"), (BadRecord::OfAnotherInstance, "different instance")] {
        let mut targets = targets(&spec, Some(&reading));
        targets[0].bad_record = Some(bad);
        let plan = plan(&reset_facts(&spec, &request), &targets, at(0));
        let row = &plan.rows[0];
        assert_eq!((row.state, row.reason().unwrap()), (State::Pending, Reason::InvalidSpec));
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
        // Nothing of the claims of others is told.
        let told = plan_for(record, "i-bp1a0000/9=Happened").misdirected;
        assert_eq!(told.as_deref(), Some("names claim 9 of i-bp1a0000"));
    }
}

#[test]
fn a_person_s_word_ends_an_unknown_and_frees_its_slot() {
    let (spec, running, record) = (reset_spec(1), reading(Power::Running), unknown_record());
    let request = decided("i-bp1a0000/1=Happened");
    let target = Target { record: Some(&record), ..targets(&spec, Some(&running)).remove(0) };
    let plan = plan(&reset_facts(&spec, &request), &[target], at(1));
    assert_eq!((plan.happened.as_deref(), plan.claims.len()), (Some("i-bp1a0000"), 0));
    let status = transition::apply(&record, Change::Happened, None, at(1));
    assert_eq!((status.phase, status.completed[0].row.state), (Phase::InEffect, State::InEffect));
    assert_eq!(status.completed[0].row.reason, Reason::ResolvedByPerson);
    assert!(!budget::holds_slot(&status, at(1)));
    let holders = |request| budget::holders(&[&record], request, |_| None, bounds(), at(1));
    assert_eq!(holders(&request).len(), 0);
    assert_eq!(holders(&fixtures::request()), [holder("i-bp1a0000", Outlook::Frees)]);
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
        budget::holders(&[record], &request(), |_| reading.clone(), bounds(), at(1_000)).remove(0).outlook
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
    assert_eq!((plan.rows[0].state, plan.rows[0].reason().unwrap()), (State::Pending, Reason::InvalidSpec));
    assert!(plan.claims.is_empty());
}

// === Reads ===

fn refused() -> ReadHold {
    let message = "instances in cn-hangzou cannot be read: refused with InvalidRegionId.NotFound".to_owned();
    ReadHold { hold: Hold::new(Reason::ReadRefused, message), is_for_a_person: true }
}

/// The plan for one instance without a reading, whose row was `before`.
fn unread_plan(trouble: Option<&ReadHold>, before: Option<&InstanceRow>, reading: Option<&Reading>, now: i64) -> Plan {
    let (spec, request, run) = (reset_spec(1), request(), run());
    let object = ResetFacts {
        read_trouble: trouble,
        run: Some(&run),
        requested: Some(requested()),
        ..reset_facts(&spec, &request)
    };
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
    let trouble = refused();
    let first = unread_plan(Some(&trouble), None, None, 0);
    let row = &first.rows[0];
    assert_eq!((row.state, row.reason().unwrap()), (State::WaitingForStableState, Reason::ReadRefused));
    assert!(row.message.contains("InvalidRegionId.NotFound"), "{row:?}");
    assert_eq!((first.wake, first.unread_for_too_long), (Some(at(60)), false));
    assert_eq!(first.watch, ["i-bp1a0000"], "nobody would notice that the answer has changed");

    // The next process does not know of the trouble yet, or ECS does not answer: the time goes on.
    let second = unread_plan(None, Some(row), None, 30);
    assert_eq!((second.rows[0].state_time.clone(), &second.rows[0].message), (Some(Time(at(0))), &row.message));
    let last = unread_plan(Some(&trouble), Some(&second.rows[0]), None, 60);
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
fn trouble_that_passes_has_no_deadline() {
    let hold = Hold::new(Reason::ECSUnavailable, "no answer in time");
    let trouble = ReadHold { hold, is_for_a_person: false };
    let plan = unread_plan(Some(&trouble), None, None, 0);
    assert_eq!((plan.rows[0].state, plan.wake, plan.unread_for_too_long), (State::Pending, None, false));
}
