//! What a restore from a backup, or a hand, can make of the two memories.

use jiff::SignedDuration;

use super::*;
use crate::decide::fixtures::{at, bounds, claimed, owner, row};

fn requested(run_id: &str) -> Requested {
    Requested { tokens: vec![format!("run:{run_id}")], retry: None, fingerprint: None }
}

fn tokens(run_id: &str) -> Vec<String> {
    requested(run_id).tokens
}

/// The row of an object's claim, as far as it has come.
fn shown(claim: i64, state: State, attempts: u32) -> InstanceRow {
    InstanceRow { claim: Some(claim), attempts, ..row(state) }
}

fn ended(claim: i64) -> ResetRecord {
    let mut record = claimed();
    record.spec.claim = claim;
    let done = shown(claim, State::InEffect, 2);
    let status = record.status.as_mut().unwrap();
    status.phase = Phase::InEffect;
    status.unanswered_until = None;
    status.password_acknowledged_at = Some(Time(at(30)));
    status.row = Some(done.clone());
    status.completed = history::complete(&[], &record.spec, done);
    record
}

fn loss_of(record: Option<&ResetRecord>, owner_name: &str, run_id: &str, row: Option<&InstanceRow>) -> Option<Loss> {
    let (owner, tokens, requested) = (owner(owner_name), tokens(run_id), requested("1"));
    let own =
        OwnMemory { owner: &owner, tokens: &tokens, row, requested: Some(&requested), run: None, asks_anew: false };
    loss(record, own)
}

/// The parts, and how each is broken.
type Breaking = (&'static str, fn(&mut ResetRecord));

#[test]
fn a_claim_without_what_its_phase_needs_is_incomplete() {
    assert!(!is_incomplete(&claimed()) && !is_incomplete(&ended(1)));
    let broken: [Breaking; 9] = [
        ("no status", |record| record.status = None),
        ("no row", |record| record.status.as_mut().unwrap().row = None),
        ("no attempt", |record| record.status.as_mut().unwrap().attempt = None),
        ("PasswordSet", |record| record.status.as_mut().unwrap().phase = Phase::PasswordSet),
        ("RestartRequested", |record| record.status.as_mut().unwrap().phase = Phase::RestartRequested),
        ("Restarting", |record| record.status.as_mut().unwrap().phase = Phase::Restarting),
        ("Failed, not remembered", |record| record.status.as_mut().unwrap().phase = Phase::Failed),
        ("completed is gone", |record| {
            *record = ended(1);
            record.status.as_mut().unwrap().completed.clear();
        }),
        ("another run is remembered", |record| {
            *record = ended(1);
            record.spec.tokens = tokens("2");
        }),
    ];
    for (what, breaks) in broken {
        let mut record = claimed();
        breaks(&mut record);
        assert!(is_incomplete(&record), "{what}");
        assert_eq!(loss_of(Some(&record), "web", "1", None), Some(Loss::Incomplete), "{what}");
    }
    let mut idle = claimed();
    idle.status = Some(ResetRecordStatus::default());
    assert!(!is_incomplete(&idle), "it was given back");
}

#[test]
fn a_record_older_than_the_row_is_a_loss() {
    let row_of = |claim, state, attempts| shown(claim, state, attempts);
    let older = |record: &ResetRecord, row: &InstanceRow| loss_of(Some(record), "web", "1", Some(row));
    assert_eq!(older(&ended(1), &row_of(1, State::InEffect, 2)), None);
    assert_eq!(older(&ended(1), &row_of(2, State::InEffect, 2)), Some(Loss::Older), "an earlier claim");
    assert_eq!(older(&claimed(), &row_of(1, State::Restarting, 2)), Some(Loss::Older), "an earlier attempt");
    assert_eq!(older(&claimed(), &row_of(1, State::InEffect, 1)), Some(Loss::Older), "before its end");
    assert_eq!(older(&ended(2), &row_of(1, State::Restarting, 2)), None, "the record is the newer one");
    let mut given_back = claimed();
    given_back.status = Some(ResetRecordStatus::default());
    assert_eq!(older(&given_back, &row_of(1, State::SettingPassword, 3)), None, "given back, and not shown yet");
    assert_eq!(older(&given_back, &row_of(1, State::Restarting, 3)), Some(Loss::Older));
    assert_eq!(older(&claimed(), &row_of(1, State::Pending, 0)), Some(Loss::Older), "its row waits for another claim");
    assert_eq!(older(&given_back, &row_of(1, State::Pending, 0)), None, "it was given back, and the row waits");
}

#[test]
fn a_claim_that_another_objects_record_forgot_is_a_loss() {
    let mut theirs = ended(2);
    theirs.spec.owner = owner("other");
    let status = theirs.status.as_mut().unwrap();
    status.completed = history::complete(&[], &theirs.spec, shown(2, State::InEffect, 2));
    let of_web = |row: &InstanceRow| loss_of(Some(&theirs), "web", "1", Some(row));
    assert_eq!(of_web(&shown(3, State::Restarting, 2)), Some(Loss::Older), "its live claim is gone");
    assert_eq!(of_web(&shown(1, State::SettingPassword, 1)), None, "it was given back before theirs");
    assert_eq!(of_web(&shown(3, State::InEffect, 2)), None, "the row is remembered as it is");
}

#[test]
fn a_record_that_is_gone_is_a_loss_only_in_mid_run() {
    assert_eq!(loss_of(None, "web", "1", None), None);
    assert_eq!(loss_of(None, "web", "1", Some(&shown(1, State::InEffect, 2))), None, "the row is remembered");
    assert_eq!(loss_of(None, "web", "1", Some(&shown(1, State::Restarting, 2))), Some(Loss::Missing));
    assert_eq!(loss_of(None, "web", "1", Some(&shown(1, State::Pending, 0))), None, "not claimed in this run");
}

/// Another `runID` was held back, so that the row waits for it, and was taken back. Once the record is gone too, only the run tells that
/// there was one.
#[test]
fn run_taken_back_after_its_record_is_gone_is_a_loss() {
    let (web, waits, asked) = (owner("web"), shown(1, State::Pending, 0), requested("2"));
    let ended = Run { completion_time: Some(Time(at(600))), ..crate::decide::fixtures::run() };
    let of = |run_id: &str, run: Option<&Run>| {
        let tokens = tokens(run_id);
        let (row, requested) = (Some(&waits), Some(&asked));
        loss(None, OwnMemory { owner: &web, tokens: &tokens, row, requested, run, asks_anew: false })
    };
    assert_eq!(of("1", Some(&ended)), Some(Loss::Missing));
    assert_eq!(of("2", Some(&ended)), None, "it was never run");
    assert_eq!(of("1", None), None, "nothing was");
}

/// A restored memory is not a loss any more, and is needed only for an owner that asks again.
#[test]
fn restored_memory_is_whole_and_needs_a_new_request() {
    let (web, other, asked) = (owner("web"), owner("other"), requested("1"));
    let now = at(1_000);
    let mut bare = ended(3);
    bare.status = None;
    for (owner, run_id, row, state) in [
        (&web, "1", None, State::Unknown),
        (&web, "2", None, State::Unknown),
        (&web, "1", Some(shown(3, State::InEffect, 2)), State::InEffect),
        (&web, "1", Some(shown(2, State::InEffect, 2)), State::Unknown),
        (&web, "1", Some(shown(3, State::Restarting, 2)), State::Unknown),
        (&other, "1", None, State::Unknown),
    ] {
        let tokens = tokens(run_id);
        let requested = row.as_ref().map(|_| &asked);
        let own = OwnMemory { owner, tokens: &tokens, row: row.as_ref(), requested, run: None, asks_anew: false };
        let (spec, status) = after_loss(Some(&bare), bare.spec.clone(), Loss::Incomplete, own, bounds(), now);
        let record = ResetRecord { metadata: bare.metadata.clone(), spec, status: Some(status) };
        let status = record.progress();
        assert_eq!(status.unanswered_until, Some(Time(now + bounds().request_validity)));
        assert_eq!(loss(Some(&record), own), None, "{state:?}");
        for (owner, run_id, is_known) in [(&web, "1", true), (owner, run_id, true), (owner, "3", false)] {
            let entry = history::entry_of(&status.completed, owner).expect("remembered");
            assert_eq!(history::covers(&entry.tokens, &super::tests::tokens(run_id)), is_known, "{owner:?} {run_id}");
        }
        assert_eq!(history::entry_of(&status.completed, owner).unwrap().row.state, state);
    }
}

#[test]
fn whoever_a_restored_record_may_have_forgotten_is_asked() {
    let mut record = ended(3);
    record.status.as_mut().unwrap().memory_lost_time = Some(Time(at(0)));
    assert_eq!(loss_of(Some(&record), "web", "1", None), None, "it has an entry");
    assert_eq!(loss_of(Some(&record), "other", "1", None), Some(Loss::Forgotten));
    assert_eq!(
        loss_of(Some(&record), "other", "1", Some(&shown(1, State::InEffect, 2))),
        None,
        "its own row remembers"
    );
    assert_eq!(bounds().request_validity, SignedDuration::from_secs(1_920));
}

/// A record from before the last run is put back, and the object's row tells of that run: the row's password is not the record's.
#[test]
fn restored_row_keeps_the_password_of_its_own_run() {
    use crate::api::password_reset::Run;
    use crate::decide::fixtures::{fingerprint, run};

    let (web, tokens, asked) = (owner("web"), tokens("1"), requested("1"));
    let old = ended(1);
    let of = |row: InstanceRow, run: Option<&Run>| {
        let own =
            OwnMemory { owner: &web, tokens: &tokens, row: Some(&row), requested: Some(&asked), run, asks_anew: false };
        let (spec, status) = after_loss(Some(&old), old.spec.clone(), Loss::Older, own, bounds(), at(1_000));
        let entry = history::entry_of(&status.completed, &web).unwrap();
        assert_eq!(entry.fingerprint, spec.fingerprint);
        entry.fingerprint.clone()
    };
    let of_g = Run { fingerprint: Some(fingerprint("g")), start_time: Time(at(500)), ..run() };
    let set = |second| InstanceRow { password_set_time: Some(Time(at(second))), ..shown(2, State::InEffect, 2) };
    assert_eq!(of(set(510), Some(&of_g)), fingerprint("g"));
    assert_eq!(of(set(510), None).key_id, "", "it is not known, and never compared");
    assert_eq!(of(set(490), Some(&of_g)).key_id, "", "it is of an earlier run");
    let same = InstanceRow { password_set_time: Some(Time(at(30))), ..shown(1, State::InEffect, 3) };
    assert_eq!(of(same, Some(&of_g)), old.spec.fingerprint, "the record holds that very claim");
}
