//! What earlier claims, other runs and other objects come to.

use super::tests::{claims, reading, requested, targets};
use super::*;
use crate::api::password_reset::PasswordResetSpec;
use crate::api::reset_record::{Fingerprint, Phase, ResetRecord};
use crate::decide::Power;
use crate::decide::fixtures::{at, claimed, owner, request, reset_facts, reset_spec, row, run};
use crate::decide::history::Request;
use crate::decide::reset::password_rules::Broken;
use crate::decide::reset::password_rules::LineBreak;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

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
fn a_retry_that_has_to_wait_tells_when_a_password_was_set() {
    let (spec, request, running) = (reset_spec(2), request(), reading(Power::Running));
    let request = Request { retry: Some("retry:1".to_owned()), ..request };
    let mut refused = completed();
    let entry = &mut refused.status.as_mut().unwrap().completed[0];
    (entry.row, entry.last_password_set_time) = (row(State::Failed), Some(Time(at(-60))));
    let mut failed_again = completed();
    failed_again.spec.instance_id = "i-bp1a0001".to_owned();
    let entry = &mut failed_again.status.as_mut().unwrap().completed[0];
    (entry.row, entry.retry) = (row(State::Failed), request.retry.clone());
    let mut targets = targets(&spec, Some(&running));
    (targets[0].record, targets[1].record) = (Some(&refused), Some(&failed_again));
    let facts = ResetFacts { min_restart_interval_seconds: 0, ..reset_facts(&spec, &request) };
    let waits = plan(&facts, &targets, at(1)).rows.remove(0);
    assert_eq!((waits.reason().unwrap(), waits.password_set_time), (Reason::PausedOnFailure, None));
    assert!(waits.message.ends_with("this object last set its password at 2027-01-15T07:59:00Z"), "{}", waits.message);
}

#[test]
fn bad_password_fails_open_instances_and_is_judged_again() {
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
fn objects_that_name_one_instance_alternate() {
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
fn superseded_row_stays_when_the_other_object_fails_later() {
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
fn superseded_row_keeps_the_time_of_the_first_reset_by_another() {
    let (spec, request, running) = (reset_spec(1), request(), reading(Power::Running));
    let mut record = completed();
    record.spec.owner = owner("other");
    let mut reset_by_other = |second: i64, before: Option<&InstanceRow>| {
        let done = InstanceRow { password_set_time: Some(Time(at(second))), ..row(State::InEffect) };
        record.status.as_mut().unwrap().completed = history::complete(&record.progress().completed, &record.spec, done);
        let mut targets = targets(&spec, Some(&running));
        (targets[0].record, targets[0].before) = (Some(&record), before);
        plan(&reset_facts(&spec, &request), &targets, at(second + 9)).rows.remove(0)
    };
    let first = reset_by_other(5, None);
    assert_eq!((first.state, &first.state_time), (State::Superseded, &Some(Time(at(5)))));
    let later = reset_by_other(600, Some(&first));
    assert_eq!((later.state, &later.state_time), (State::Superseded, &Some(Time(at(5)))));
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
