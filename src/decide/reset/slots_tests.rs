//! Slots that are waited for: of an object, an account and a zone.

use super::facts::ResetFacts;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::plan::{Plan, plan};
use super::when_tests::{password_set, running, targets};
use crate::api::Reason;
use crate::api::reset_record::{Phase, ResetRecord};
use crate::decide::budget::{self, AccountBounds, AccountSlots, Holder, Outlook};
use crate::decide::fixtures::{at, claimed, holder, request, reset_facts, reset_spec};
use std::collections::BTreeMap;

#[test]
fn waiting_for_min_ready_and_for_a_slot_have_two_reasons() {
    let (spec, request, running) = (reset_spec(3), request(), running());
    let restarted = |id| Holder { ready_at: Some(at(30)), ..holder(id, Outlook::Frees) };
    let reason = |holders: &[Holder]| {
        let facts = ResetFacts { slot_holders: holders, ..reset_facts(&spec, &request) };
        plan(&facts, &targets(&spec, &running), at(1)).rows[0].reason().unwrap()
    };
    assert_eq!(reason(&[restarted("i-x"), restarted("i-y")]), Reason::WaitingForMinReady);
    assert_eq!(reason(&[restarted("i-x"), holder("i-y", Outlook::Frees)]), Reason::WaitingForSlot);
}

pub(super) fn in_all(open: &[ResetRecord], max: u32, older: usize) -> AccountSlots {
    let slots = budget::slots(open, None, max, older, "prod", |_| Outlook::Frees, at(0));
    AccountSlots { total: Some(slots), ..AccountSlots::default() }
}

/// Those of the zone of all instances.
pub(super) fn in_zone(open: &[ResetRecord], max: u32) -> AccountSlots {
    let zone = "cn-hangzhou-h";
    let slots = budget::slots(open, Some(zone), max, 0, "prod", |_| Outlook::Frees, at(0));
    AccountSlots { total: None, zones: BTreeMap::from([(zone.to_owned(), slots)]) }
}

#[test]
fn zones_are_counted_apart_and_an_unknown_one_counts_in_each() {
    let (spec, request, running) = (reset_spec(3), request(), running());
    let claims = |zone: Option<&str>| {
        let mut theirs = claimed();
        theirs.spec.instance_id = "i-other".to_owned();
        theirs.spec.zone_id = zone.map(str::to_owned);
        let facts = ResetFacts { account_slots: in_zone(&[theirs], 1), ..reset_facts(&spec, &request) };
        plan(&facts, &targets(&spec, &running), at(0)).claims.len()
    };
    assert_eq!((claims(Some("cn-hangzhou-k")), claims(Some("cn-hangzhou-h")), claims(None)), (1, 0, 0));
    let mut away = password_set();
    (away.spec.instance_id, away.spec.zone_id) = ("i-other".to_owned(), Some("h".to_owned()));
    away.status.as_mut().unwrap().phase = Phase::Restarting;
    let bounds = AccountBounds { max: None, max_per_zone: Some(1) };
    let has = |zone| budget::has_account_slot(std::slice::from_ref(&away), bounds, "i-bp1a0000", zone, true, at(0));
    assert_eq!((has("k"), has("h"), has("")), (true, false, false));
}

#[test]
fn account_slots_bound_claims_and_older_waiters_come_first() {
    let (spec, request, running) = (reset_spec(3), request(), running());
    let claims = |max, older| {
        let mut theirs = claimed();
        theirs.spec.owner.namespace = "other".to_owned();
        let facts = ResetFacts { account_slots: in_all(&[theirs], max, older), ..reset_facts(&spec, &request) };
        let plan = plan(&facts, &targets(&spec, &running), at(0));
        (plan.claims.len(), !plan.waits_for_account.is_empty())
    };
    assert_eq!(claims(4, 0), (2, false), "the object's own maxUnavailable of two comes first");
    assert_eq!(claims(2, 0), (1, true));
    assert_eq!(claims(2, 1), (0, true), "one has waited longer");
    assert_eq!(claims(1, 0), (0, true));
}

#[test]
fn account_slot_that_stays_held_stalls_those_who_wait() {
    let (spec, request, running) = (reset_spec(3), request(), running());
    let of = |id: &str, namespace: &str| {
        let mut record = claimed();
        (record.spec.instance_id, record.spec.owner.namespace) = (id.to_owned(), namespace.to_owned());
        record
    };
    let open = [of("i-1", "prod"), of("i-2", "other")];
    let held_up = |max: u32, frees: &str| {
        let outlook = |record: &ResetRecord| {
            let stays = || Outlook::Stays("ECS shows it Stopped; start it".to_owned());
            if record.spec.instance_id == frees { Outlook::Frees } else { stays() }
        };
        let slots = budget::slots(&open, None, max, 0, "prod", outlook, at(0));
        let account_slots = AccountSlots { total: Some(slots), ..AccountSlots::default() };
        let facts = ResetFacts { account_slots, ..reset_facts(&spec, &request) };
        plan(&facts, &targets(&spec, &running), at(0)).held_up
    };
    let hold = held_up(2, "none").unwrap();
    assert_eq!(hold.reason, Reason::SlotHeld);
    let message = "no slot of ECSAccount default becomes free by itself (its maxUnavailable is 2); i-1 of web: ECS shows it Stopped; start it; 1 of other namespaces: their instances do not come back; ask the account's administrator";
    assert_eq!(hold.message, message);
    assert_eq!((held_up(2, "i-2"), held_up(3, "none")), (None, None), "one becomes free, or is");
}

#[test]
fn claims_that_are_made_later_keep_the_objects_turn() {
    let (spec, request, running) = (reset_spec(2), request(), running());
    let claims = plan(&reset_facts(&spec, &request), &targets(&spec, &running), at(0)).claims;
    let kept = |max, max_per_zone| {
        let mut plan = Plan::default();
        plan.keep_turns(AccountBounds { max, max_per_zone }, &claims);
        plan.waits_for_account.into_iter().collect::<Vec<_>>()
    };
    assert_eq!((kept(None, None), kept(Some(1), Some(1))), (Vec::new(), vec![None]));
    assert_eq!(kept(None, Some(1)), [Some("cn-hangzhou-h".to_owned())]);
}

/// A pass that waited for a moment that is past would be made again and again.
#[test]
fn a_restart_that_is_past_its_time_wakes_nobody_at_once() {
    let (spec, request, running) = (reset_spec(1), request(), running());
    let mut restarting = password_set();
    restarting.status.as_mut().unwrap().phase = Phase::Restarting;
    let wakes = |accepted: i64, owner: &str| {
        let mut record = restarting.clone();
        record.spec.owner.name = owner.to_owned();
        let status = record.status.as_mut().unwrap();
        (status.accepted_at, status.start_time_before) = (Some(Time(at(accepted))), Some(Time(at(-900))));
        let mut targets = targets(&spec, &running);
        targets[0].record = Some(&record);
        let plan = plan(&reset_facts(&spec, &request), &targets, at(0));
        (plan.wake, plan.next_transition)
    };
    let timeout = i64::from(restarting.spec.timeout_seconds);
    for owner in ["web", "another"] {
        assert_eq!(wakes(-10, owner), (Some(at(timeout - 10)), Some(at(timeout - 10))), "{owner}");
        assert_eq!(wakes(-timeout - 10, owner), (None, None), "{owner}");
    }
}

#[test]
fn restart_counts_only_others_that_are_away() {
    let mut away = password_set();
    away.spec.instance_id = "i-other".to_owned();
    let bounds = AccountBounds { max: Some(1), max_per_zone: None };
    let has = |record: &ResetRecord, is_restart| {
        budget::has_account_slot(std::slice::from_ref(record), bounds, "i-bp1a0000", "z", is_restart, at(0))
    };
    assert_eq!((has(&away, false), has(&away, true)), (false, true), "its password is set, and it is Running");
    away.status.as_mut().unwrap().phase = Phase::Restarting;
    assert!(!has(&away, true));
    away.spec.instance_id = "i-bp1a0000".to_owned();
    assert!(has(&away, false) && has(&away, true), "its own does not count");
}
