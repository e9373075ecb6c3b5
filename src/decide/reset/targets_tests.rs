//! Which instances an object is about, and when its selector is looked up again.

use std::borrow::Cow;

use super::*;
use crate::api::password_reset::{Mode, State};
use crate::decide::fixtures::{at, no_status, request, reset_spec, row};
use crate::decide::reset::facts::ResetFacts;
use crate::decide::reset::plan::plan;
use crate::decide::reset::status::status;
use crate::decide::words_tests::Words;

fn selecting(max_targets: u32) -> PasswordResetSpec {
    let selector =
        serde_json::json!({"tags": {"app": "web"}, "excludeInstanceIDs": ["i-0"], "maxTargets": max_targets});
    PasswordResetSpec { instance_ids: None, selector: Some(serde_json::from_value(selector).unwrap()), ..reset_spec(1) }
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

fn all(ids: Vec<String>) -> Found {
    Found { ids, is_cut_off: false }
}

/// The status after a look-up at second 0 that found these.
fn found(spec: &PasswordResetSpec, found: &[&str]) -> PasswordResetStatus {
    let selector = spec.selector.as_ref().unwrap();
    let targets = resolved(spec, selector, &request(), None, all(ids(found)), at(0));
    PasswordResetStatus { targets: Some(targets), ..PasswordResetStatus::default() }
}

fn now(spec: &PasswordResetSpec, status: &PasswordResetStatus, second: i64) -> Targets {
    targets(spec, status, &request(), None, at(second))
}

#[test]
fn listed_ids_are_the_targets_in_their_order() {
    let spec = PasswordResetSpec { instance_ids: Some(ids(&["i-2", "i-1"])), ..reset_spec(1) };
    assert_eq!(now(&spec, no_status(), 0), Targets::Known(ids(&["i-1", "i-2"])));
    assert!(lists(&spec, None, "i-2") && !lists(&spec, None, "i-3"));
}

#[test]
fn what_was_found_stays_for_the_request() {
    let spec = selecting(3);
    assert_eq!(now(&spec, no_status(), 0), Targets::ToResolve);
    let status = found(&spec, &["i-2", "i-0", "i-1", "i-1"]);
    let known = Targets::Known(ids(&["i-1", "i-2"]));
    assert_eq!(now(&spec, &status, 1_000_000), known, "sorted, each once, without those that are excluded");
    let second = Request { tokens: vec!["run:2".to_owned()], ..request() };
    assert_eq!(targets(&spec, &status, &second, None, at(1)), Targets::ToResolve, "a new run");
    let retry = Request { retry: Some("retry:a".to_owned()), ..request() };
    assert_eq!(targets(&spec, &status, &retry, None, at(1)), known, "a retry goes on with the run");
}

#[test]
fn another_selector_is_looked_up() {
    let (mut spec, status) = (selecting(3), found(&selecting(3), &["i-1"]));
    spec.selector.as_mut().unwrap().names = Some(vec!["web-*".to_owned()]);
    assert_eq!(now(&spec, &status, 1), Targets::ToResolve);
    let mut other = selecting(3);
    other.account_ref = Some(crate::api::password_reset::AccountRef { name: "other".to_owned() });
    assert_eq!(now(&other, &status, 1), Targets::ToResolve);
}

#[test]
fn too_many_or_none_begin_nothing_and_are_looked_up_again() {
    for (matched, reason) in [(&["i-1", "i-2"][..], Reason::TooManyTargets), (&["i-0"], Reason::NoTargets)] {
        let spec = selecting(1);
        let status = found(&spec, matched);
        let Targets::Unfit(hold) = now(&spec, &status, 59) else { panic!("{matched:?}") };
        assert_eq!((hold.reason, hold.until), (reason, Some(at(60))));
        assert_eq!(now(&spec, &status, 60), Targets::ToResolve);
        let looked_up = targets(&spec, &status, &request(), Some(at(60)), at(100));
        assert!(matches!(looked_up, Targets::Unfit(_)), "this process has looked since, and nothing has changed");
        assert!(status.targets.unwrap().instance_ids.is_empty());
    }
}

#[test]
fn plan_is_looked_up_every_five_minutes_and_apply_takes_it_over() {
    let plan = PasswordResetSpec { mode: Some(Mode::Plan), ..selecting(3) };
    let status = found(&plan, &["i-1"]);
    assert_eq!(now(&plan, &status, 299), Targets::Known(ids(&["i-1"])));
    assert_eq!(now(&plan, &status, 300), Targets::ToResolve);
    assert_eq!(now(&selecting(3), &status, 300), Targets::Known(ids(&["i-1"])));
}

#[test]
fn a_selection_that_ecs_may_have_cut_off_is_unfit() {
    let spec = selecting(3);
    let selector = spec.selector.as_ref().unwrap();
    let found = Found { ids: ids(&["i-1"]), is_cut_off: true };
    let targets = Some(resolved(&spec, selector, &request(), None, found, at(0)));
    let status = PasswordResetStatus { targets, ..PasswordResetStatus::default() };
    assert_eq!(listed(&spec, Some(&status)), ids(&[]), "nothing of it is kept as a target");
    let Targets::Unfit(hold) = now(&spec, &status, 1) else { panic!("it is taken for all of them") };
    assert_eq!(hold.reason, Reason::TooManyTargets);
    assert!(hold.message.contains("some may be missing"), "{}", hold.message);
}

#[test]
fn nothing_new_is_the_very_same() {
    let spec = selecting(3);
    let before = found(&spec, &["i-1"]).targets.unwrap();
    let selector = spec.selector.as_ref().unwrap();
    let again = |ids| resolved(&spec, selector, &request(), Some(&before), all(ids), at(500));
    assert_eq!(again(ids(&["i-1"])), before);
    assert_eq!(again(ids(&["i-2"])).resolved_time.0, at(500));
}

#[test]
fn before_the_look_up_an_object_may_list_any() {
    let spec = selecting(3);
    assert!(lists(&spec, None, "i-9") && lists(&spec, Some(no_status()), "i-9"));
    let status = found(&spec, &["i-1"]);
    assert!(lists(&spec, Some(&status), "i-1") && !lists(&spec, Some(&status), "i-9"));
    assert_eq!(listed(&spec, Some(&status)), ids(&["i-1"]));
}

#[test]
fn rows_of_before_stay_while_the_targets_are_unfit() {
    let (spec, request) = (selecting(1), request());
    let before = PasswordResetStatus { instances: vec![row(State::InEffect)], ..found(&spec, &["i-1", "i-2"]) };
    let unfit = now(&spec, &before, 1);
    let facts = ResetFacts { targets: Cow::Owned(unfit), ..ResetFacts::new(&spec, &before, &request) };
    let plan = plan(&facts, &[], at(1));
    assert_eq!((&plan.rows, plan.wake, plan.claims.len()), (&before.instances, Some(at(60)), 0));
    let status = status(&facts, &plan, at(1));
    assert_eq!(status.instances, before.instances);
    assert!(status.run.is_none_or(|run| run.completion_time.is_none()), "no run has ended by that");
}

#[test]
fn words_of_selectors_that_do_not_fit() {
    let mut words = Words::of("targets");
    let many: Vec<String> = (1..=12).map(|n| format!("i-{n:02}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (situation, matched) in [("too many", &many[..]), ("none", &[])] {
        let spec = selecting(5);
        let Targets::Unfit(hold) = now(&spec, &found(&spec, matched), 1) else { panic!("{situation}") };
        words.hold(situation, &hold);
    }
    words.assert();
}
