//! What the ledger knows after each order of watch events and own writes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::error_boundary::InvalidObject;

use super::*;
use crate::api::reset_record::{Phase, StartTimeEvidence};
use crate::decide::budget;
use crate::decide::fixtures::{at, claimed, owner, spec};

fn version(generation: i64) -> ResetRecord {
    let mut record = claimed();
    record.metadata.namespace = Some("system".to_owned());
    record.metadata.uid = Some("u1".to_owned());
    record.metadata.generation = Some(generation);
    record
}

fn guarded(record: ResetRecord) -> Guarded<ResetRecord> {
    Guarded(Ok(record))
}

/// A ledger, and its watch: what shows it an event.
fn ledger() -> (Ledger, impl FnMut(Event<Guarded<ResetRecord>>)) {
    let ledger = Ledger::default();
    let watch = ledger.clone();
    (ledger, move |event| {
        let _ = watch.watched(&event);
    })
}

fn count(ledger: &Ledger, owner_name: &str) -> usize {
    ledger.holders(&owner(owner_name)).len()
}

#[test]
fn an_own_write_counts_until_the_watch_shows_it() {
    let (ledger, mut show) = ledger();
    ledger.put(version(2));
    assert_eq!(count(&ledger, "web"), 1);
    show(Event::Apply(guarded(version(1))));
    assert_eq!(ledger.get("cn-hangzhou.i-bp1a0000").unwrap().metadata.generation, Some(2));
    assert_eq!(count(&ledger, "web"), 1, "one record, not two");
    show(Event::Apply(guarded(version(3))));
    assert_eq!(ledger.get("cn-hangzhou.i-bp1a0000").unwrap().metadata.generation, Some(3));
    ledger.put(version(2));
    assert_eq!(ledger.get("cn-hangzhou.i-bp1a0000").unwrap().metadata.generation, Some(3));
    show(Event::Delete(guarded(version(3))));
    assert!(ledger.get("cn-hangzhou.i-bp1a0000").is_none());
}

#[test]
fn answer_that_comes_after_the_record_was_made_again_is_old() {
    let name = "cn-hangzhou.i-bp1a0000";
    let of = |uid: &str, generation: i64, resource_version: &str| {
        let mut record = version(generation);
        (record.metadata.uid, record.metadata.resource_version) =
            (Some(uid.to_owned()), Some(resource_version.to_owned()));
        record
    };
    for answer_is_last in [true, false] {
        let (ledger, mut show) = ledger();
        show(Event::Apply(guarded(of("u1", 8, "139"))));
        if !answer_is_last {
            ledger.put(of("u1", 9, "140"));
        }
        show(Event::Delete(guarded(of("u1", 8, "139"))));
        show(Event::Apply(guarded(of("u2", 1, "143"))));
        if answer_is_last {
            ledger.put(of("u1", 9, "140"));
        }
        assert_eq!(ledger.get(name).unwrap().metadata.uid.as_deref(), Some("u2"), "{answer_is_last}");
        // And the other way round: what this process has just made again is newer than what the watch shows.
        ledger.put(of("u3", 1, "150"));
        assert_eq!(ledger.get(name).unwrap().metadata.uid.as_deref(), Some("u3"));
    }
}

#[test]
fn own_write_counts_until_the_list_is_complete() {
    let (ledger, mut show) = ledger();
    ledger.put(version(2));
    for event in [Event::Init, Event::InitApply(guarded(version(2))), Event::InitDone] {
        show(event);
        assert_eq!(count(&ledger, "web"), 1);
    }
    assert!(ledger.lock().own.is_empty(), "the watch has shown it");
    assert!(ledger.doubted().is_empty());
}

#[test]
fn own_write_missing_from_list_is_doubted_until_read() {
    let (ledger, mut show) = ledger();
    let mut relist = |listed: Vec<ResetRecord>| {
        let pages = listed.into_iter().map(|record| Event::InitApply(guarded(record)));
        std::iter::once(Event::Init).chain(pages).chain([Event::InitDone]).for_each(&mut show);
    };
    ledger.put(version(2));
    assert!(ledger.doubted().is_empty(), "the watch may be behind");
    relist(Vec::new());
    assert_eq!(ledger.doubted(), ["cn-hangzhou.i-bp1a0000"]);
    assert_eq!(count(&ledger, "web"), 1, "the list may be older than the write");
    // The API server has it after all.
    ledger.put(version(3));
    assert!(ledger.doubted().is_empty());
    // If the next list shows it, a write upon it may still be what is doubted.
    relist(Vec::new());
    relist(vec![version(3)]);
    assert_eq!(ledger.doubted(), ["cn-hangzhou.i-bp1a0000"]);
    ledger.put(version(3));
    assert!(ledger.doubted().is_empty());
    // It does not.
    ledger.put(version(4));
    relist(Vec::new());
    ledger.forget("cn-hangzhou.i-bp1a0000");
    assert_eq!((ledger.doubted().len(), count(&ledger, "web")), (0, 0));
}

#[test]
fn own_write_yields_to_recreated_or_unreadable_record() {
    let (ledger, mut show) = ledger();
    // The watch is interrupted: the record is deleted, and another process makes it again.
    ledger.put(version(6));
    let mut anew = version(1);
    (anew.metadata.uid, anew.spec.owner) = (Some("u2".to_owned()), owner("other"));
    for event in [Event::Init, Event::InitApply(guarded(anew.clone())), Event::InitDone] {
        show(event);
    }
    ledger.put(anew);
    assert_eq!((count(&ledger, "web"), count(&ledger, "other")), (0, 1));

    ledger.put(version(2));
    let error = serde_json::from_str::<ResetRecord>("{}").unwrap_err().to_string();
    let unreadable = InvalidObject { error, metadata: version(3).metadata };
    show(Event::Apply(Guarded(Err(unreadable))));
    assert_eq!(ledger.record_problem("cn-hangzhou.i-bp1a0000"), Some(BadRecord::Unreadable));
}

#[test]
fn own_write_to_another_owner_hides_older_watch_state() {
    let (ledger, mut show) = ledger();
    show(Event::Apply(guarded(version(1))));
    let mut taken = version(2);
    taken.spec.owner = owner("other");
    ledger.put(taken);
    assert_eq!((count(&ledger, "web"), count(&ledger, "other")), (0, 1));
}

#[test]
fn misnamed_record_counts_for_no_owner_and_is_reported() {
    let (ledger, mut show) = ledger();
    let mut show = |record| show(Event::Apply(guarded(record)));
    let mut edited = version(2);
    edited.spec.instance_id = "i-bp1b0000".to_owned();
    ledger.put(version(1));
    show(edited);
    for name in ["cn-hangzhou.i-bp1a0000", "cn-hangzhou.i-bp1b0000"] {
        assert!(ledger.get(name).is_none(), "{name}");
    }
    assert_eq!(ledger.record_problem("cn-hangzhou.i-bp1a0000"), Some(BadRecord::OfAnotherInstance));
    assert_eq!(ledger.record_problem("cn-hangzhou.i-bp1b0000"), None);
    assert_eq!(count(&ledger, "web"), 0, "it holds a slot");

    // One that was read before it was edited does not bring it back.
    ledger.put(version(1));
    assert_eq!(ledger.record_problem("cn-hangzhou.i-bp1a0000"), Some(BadRecord::OfAnotherInstance));
    show(version(3));
    assert_eq!((ledger.record_problem("cn-hangzhou.i-bp1a0000"), count(&ledger, "web")), (None, 1), "mended");
}

#[test]
fn record_after_conflict_is_doubted_until_read() {
    let (ledger, mut show) = ledger();
    show(Event::Apply(guarded(version(1))));
    ledger.doubt("cn-hangzhou.i-bp1a0000");
    assert!(ledger.is_doubted("cn-hangzhou.i-bp1a0000"));
    ledger.put(version(1));
    assert!(ledger.doubted().is_empty());
}

#[test]
fn doubt_of_a_write_outlasts_the_version_it_was_made_upon() {
    let (ledger, mut show) = ledger();
    ledger.put(version(1));
    ledger.doubt("cn-hangzhou.i-bp1a0000");
    show(Event::Apply(guarded(version(1))));
    assert!(ledger.is_any_doubted(), "version 2 may be stored");
    ledger.put(version(2));
    assert!(!ledger.is_any_doubted());
}

#[test]
fn evidence_and_open_records_follow_each_version() {
    let (ledger, mut show) = ledger();
    // Another instance keeps the account and region from being forgotten as a whole.
    let mut other = version(1);
    other.metadata.name = Some("cn-hangzhou.i-bp1b0000".to_owned());
    (other.spec.instance_id, other.spec.owner) = ("i-bp1b0000".to_owned(), owner("other"));
    other.status.as_mut().unwrap().phase = Phase::Idle;
    show(Event::Apply(guarded(other.clone())));
    let mut moved = version(1);
    moved.status.as_mut().unwrap().start_time_evidence = Some(StartTimeEvidence::Moved);
    show(Event::Apply(guarded(moved)));
    assert_eq!(ledger.evidence("default", "cn-hangzhou"), Evidence { moved: 1, not_moved: 0 });
    assert_eq!(ledger.open_of_account("default"), ["cn-hangzhou.i-bp1a0000"]);
    let mut not_moved = version(2);
    let status = not_moved.status.as_mut().unwrap();
    (status.phase, status.start_time_evidence) = (Phase::Idle, Some(StartTimeEvidence::NotMoved));
    ledger.put(not_moved);
    assert_eq!(ledger.evidence("default", "cn-hangzhou"), Evidence { moved: 0, not_moved: 1 });
    assert!(ledger.open_of_account("default").is_empty());
    assert_eq!(ledger.regions("default").len(), 1);
    show(Event::Delete(guarded(version(2))));
    assert_eq!(ledger.evidence("default", "cn-hangzhou"), Evidence::default());
    show(Event::Delete(guarded(other)));
    assert!(ledger.regions("default").is_empty() && count(&ledger, "web") == 0);
}

#[test]
fn no_two_instance_ids_have_one_record() {
    let name = |id: &str| ResetRecord::name_of("cn-hangzhou", id);
    assert_eq!(name("AY121018033933eae8689"), "cn-hangzhou.ay121018033933eae8689");
    let ids =
        ["AY1", "ay1", "Ay1", "aY1", "i-AY1", "i-ay1", "i-1", "I-1", "AY", "ay", "A", "a", "", "ÄY1", "AYay1", "ayAY1"];
    for (n, id) in ids.iter().enumerate() {
        let mut record = claimed();
        record.spec.instance_id = (*id).to_owned();
        for (m, other) in ids.iter().enumerate() {
            assert_eq!(n == m, name(id) == name(other), "{id} and {other}");
            record.metadata.name = Some(name(other));
            assert_eq!(record.is_named_after_its_instance(), n == m, "{id} in the record of {other}");
        }
    }
}

#[test]
fn a_record_is_of_the_instance_in_its_name_and_of_no_other() {
    let record = claimed();
    assert!(record.is_named_after_its_instance());
    for name in
        [None, Some(""), Some("."), Some("i-bp1a0000"), Some("cn-hangzhoui-bp1a0000"), Some("cn-hangzhou.i-bp1a00000")]
    {
        let mut record = record.clone();
        record.metadata.name = name.map(str::to_owned);
        assert!(!record.is_named_after_its_instance(), "{name:?}");
    }
    let (mut elsewhere, mut other) = (record.clone(), record);
    elsewhere.spec.region_id = "cn-beijing".to_owned();
    other.spec.instance_id = "i-bp1b0000".to_owned();
    assert!(!elsewhere.is_named_after_its_instance() && !other.is_named_after_its_instance());
}

#[test]
fn whoever_holds_a_slot_is_among_the_holders() {
    let until = Time(at(100));
    for phase in
        [Phase::Idle, Phase::SettingPassword, Phase::Restarting, Phase::InEffect, Phase::Failed, Phase::Unknown]
    {
        for (unanswered_until, start_time_before) in
            [(None, None), (Some(&until), None), (None, Some(&until)), (Some(&until), Some(&until))]
        {
            let mut record = version(1);
            let status = record.status.as_mut().unwrap();
            status.phase = phase;
            status.unanswered_until = unanswered_until.cloned();
            status.start_time_before = start_time_before.cloned();
            status.available_time = start_time_before.cloned();
            let (ledger, mut show) = ledger();
            show(Event::Apply(guarded(record.clone())));
            let (owner, other) = (owner("web"), ResetRecord::new("other", spec("web", "i-bp1b0000")));
            for now in [at(0), at(100), at(200)] {
                let said = (phase, unanswered_until, start_time_before, now);
                let is_holder = budget::holds_slot(record.status.as_ref().unwrap(), now);
                assert!(!is_holder || ledger.holders(&owner).len() == 1, "{said:?}");
                let away = budget::others_away(&[&record], &other, now);
                assert_eq!(budget::others_away(&ledger.away(&owner), &other, now), away, "{said:?}");
            }
        }
    }
}
