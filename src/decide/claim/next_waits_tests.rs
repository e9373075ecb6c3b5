//! Instances that are gone, and restarts that are held.

use super::tests::{in_phase, is_wait};
use super::*;
use crate::api::password_reset::{RestartPolicy, State};
use crate::api::reset_record::ResetRecord;
use crate::decide::claim::step::NextStart;
use crate::decide::claim::transition;
use crate::decide::fixtures::{at, claim_facts, claimed, reading, reset_spec};
use crate::decide::restart_hold::{self, ClaimOwner, RestartHold};
use crate::decide::{Hold, Reading, newest_moment, reckoned};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

#[test]
fn delisted_instance_holds_no_slot_once_drained() {
    let mut record = in_phase(Phase::InEffect);
    record.status.as_mut().unwrap().unanswered_until = Some(Time(at(500)));
    let released = Reading { seen: None, ..reading(900, 0, Power::Running, 0) };
    let observed = |is_listed| ClaimFacts { is_listed, ..claim_facts(&record, Some(&released)) };
    assert!(is_wait(&next(&observed(true), at(901))), "nobody knows that it will not come back");
    assert!(is_wait(&next(&observed(false), at(499))), "a copy may restart it");
    assert_eq!(next(&observed(false), at(500)), Step::Write(Change::Available));
}

#[test]
fn reckoned_time_is_never_ahead_of_record_plus_seen() {
    let mut record = claimed();
    assert_eq!(newest_moment(&record), at(0));
    let status = record.status.as_mut().unwrap();
    status.password_acknowledged_at = Some(Time(at(7)));
    status.accepted_at = Some(Time(at(9)));
    assert_eq!(newest_moment(&record), at(9));
    assert_eq!(reckoned(at(9), SignedDuration::from_secs(3)), at(12));
    assert_eq!(reckoned(Timestamp::MAX, SignedDuration::from_secs(3)), Timestamp::MAX, "a record edited by hand");
}

#[test]
fn without_a_reading_nothing_is_sent_or_proven_in_any_phase() {
    let phases = [Phase::SettingPassword, Phase::PasswordSet, Phase::RestartRequested, Phase::Restarting];
    for (phase, hours) in phases.into_iter().flat_map(|phase| (0..48).map(move |hours| (phase, hours))) {
        let mut record = claimed();
        let status = record.status.as_mut().unwrap();
        status.phase = phase;
        status.password_acknowledged_at = Some(Time(at(7)));
        status.start_time_before = Some(Time(at(-600)));
        status.accepted_at = (phase == Phase::Restarting).then(|| Time(at(9)));
        let step = next(&claim_facts(&record, None), at(hours * 1_800));
        let is_harmless = matches!(step, Step::Wait { .. } | Step::Write(Change::Failed(..) | Change::Unknown(..)));
        assert!(is_harmless, "{phase:?} after {hours} half hours: {step:?}");
    }
}

/// What an absence comes to: first seen at `since`, last at `sent`, and describable since `dry_run`.
fn absent(record: &ResetRecord, (since, sent): (i64, i64), dry_run: Option<i64>, now: i64) -> Step {
    let absent = Reading { seen: None, ..reading(sent, since, Power::Running, 0) };
    let observed = ClaimFacts { describable_since: dry_run.map(at), ..claim_facts(record, Some(&absent)) };
    next(&observed, at(now))
}

#[test]
fn an_absent_instance_is_released_after_m_and_a_dry_run() {
    let released = Step::Write(Change::Released);
    for phase in [Phase::PasswordSet, Phase::Restarting, Phase::Unknown, Phase::Failed] {
        let record = in_phase(phase);
        assert_eq!(absent(&record, (100, 220), Some(101), 221), released_at(221), "{phase:?}: M from the dry run on");
        assert_eq!(absent(&record, (100, 221), Some(101), 222), released, "{phase:?}");
        assert_ne!(absent(&record, (100, 900), None, 900), released, "{phase:?}: the account may not describe it");
        assert_ne!(absent(&record, (200, 310), Some(101), 311), released, "{phase:?}: not M long");
        // Readings from before the claim's last step count for nothing.
        assert_ne!(absent(&record, (-600, 119), Some(-600), 120), released, "{phase:?}");
    }
    assert_eq!(absent(&in_phase(Phase::InEffect), (100, 221), Some(101), 222), Step::Write(Change::Available));
}

/// The wait for the reading that decides.
fn released_at(second: i64) -> Step {
    Step::Wait { until: at(second) + SOON, fresh_after: Some(at(221)) }
}

#[test]
fn a_released_instance_waits_until_no_copy_of_a_call_is_alive() {
    let is_released = |record: &ResetRecord, now| {
        let step = absent(record, (100, now), Some(101), now);
        assert!(is_wait(&step) || step == Step::Write(Change::Released), "{step:?}");
        !is_wait(&step)
    };
    // The password, and whatever became of it: a refusal too.
    let (claimed, restart) = (claimed(), in_phase(Phase::RestartRequested));
    let mut refused = claimed.clone();
    refused.status.as_mut().unwrap().refusal = Some("refused".to_owned());
    for record in [&claimed, &refused] {
        assert!(!is_released(record, 1_919) && is_released(record, 1_920));
    }
    assert!(!is_released(&restart, 1_959) && is_released(&restart, 1_960));
    // An attempt that was never sent has no copy.
    let gone = Reading { seen: None, ..reading(300, 100, Power::Running, 0) };
    let unsent = ClaimFacts { unsent: true, describable_since: Some(at(101)), ..claim_facts(&claimed, Some(&gone)) };
    assert_eq!(next(&unsent, at(300)), Step::Write(Change::Released));
}

#[test]
fn deadline_before_m_keeps_claim_on_absent_instance() {
    let mut record = in_phase(Phase::Restarting);
    record.spec.timeout_seconds = 60;
    assert!(is_wait(&absent(&record, (100, 200), Some(101), 200)));
    assert_eq!(absent(&record, (100, 221), Some(101), 221), Step::Write(Change::Released));
    let stuck = absent(&record, (100, 200), None, 200);
    assert!(matches!(stuck, Step::Write(Change::Unknown(Reason::RestartStuck, _))), "{stuck:?}");
}

#[test]
fn a_released_instance_has_failed_and_holds_no_slot() {
    for phase in
        [Phase::SettingPassword, Phase::PasswordSet, Phase::RestartRequested, Phase::Restarting, Phase::Unknown]
    {
        let record = in_phase(phase);
        let gone = Reading { seen: None, ..reading(5_000, 4_000, Power::Running, 0) };
        let status = transition::apply(&record, Change::Released, Some(&gone), at(5_000));
        let row = status.row.as_ref().unwrap();
        assert_eq!((status.phase, row.reason().unwrap()), (Phase::Failed, Reason::InstanceReleased));
        assert!(row.message.contains("remove it from spec.instanceIDs"), "{}", row.message);
        assert!(!budget::holds_slot(&status, at(5_000)), "{phase:?}");
        assert_eq!(status.completed.last().map(|entry| entry.row.state), Some(State::Failed));
        assert!(is_done(&ResetRecord { status: Some(status), ..record }));
    }
}

fn held() -> RestartHold {
    RestartHold::Held(Hold::new(Reason::Suspended, "spec.suspend is true"))
}

#[test]
fn held_restart_waits_however_long_and_goes_on() {
    let mut record = in_phase(Phase::PasswordSet);
    let running = |sent| reading(sent, 31, Power::Running, -600);
    let first = ClaimFacts { restart_hold: held(), ..claim_facts(&record, None) };
    assert_eq!(next(&first, at(35)), Step::Write(Change::RestartHeld));
    record.status = Some(transition::apply(&record, Change::RestartHeld, None, at(35)));
    assert_eq!(record.phase(), Phase::PasswordSet);
    let (late, later) = (running(9_000), running(9_100));
    let waits = ClaimFacts { restart_hold: held(), ..claim_facts(&record, Some(&late)) };
    assert!(is_wait(&next(&waits, at(9_000))), "the timeout does not run");
    let released = claim_facts(&record, Some(&late));
    assert_eq!(next(&released, at(9_000)), Step::Write(Change::RestartReleased));
    record.status = Some(transition::apply(&record, Change::RestartReleased, None, at(9_000)));
    let goes_on = next(&claim_facts(&record, Some(&later)), at(9_100));
    assert_eq!(goes_on, Step::Call(Call::Restart { start_time_before: at(-600) }));
    let timeout = i64::from(record.spec.timeout_seconds);
    let over = next(&claim_facts(&record, None), at(9_001 + timeout));
    assert!(matches!(over, Step::Write(Change::Failed(Reason::RestartRefused, _))), "it runs again: {over:?}");
}

#[test]
fn held_restart_still_notices_starts_and_stops_by_others() {
    let record = in_phase(Phase::PasswordSet);
    let mut record =
        ResetRecord { status: Some(transition::apply(&record, Change::RestartHeld, None, at(35))), ..record };
    let by_someone = reading(200, 190, Power::Running, 120);
    let facts = ClaimFacts { restart_hold: held(), ..claim_facts(&record, Some(&by_someone)) };
    assert!(matches!(next(&facts, at(200)), Step::Write(Change::InEffect { .. })));
    record.spec.restart_policy = RestartPolicy::Never;
    let still = reading(200, 31, Power::Running, -600);
    let facts = ClaimFacts { restart_hold: held(), ..claim_facts(&record, Some(&still)) };
    assert!(matches!(next(&facts, at(200)), Step::Write(Change::EffectiveAtNextStart(NextStart::PolicyNever))));
}

#[test]
fn restart_proven_undone_is_not_requested_again_while_held() {
    let mut record = in_phase(Phase::RestartRequested);
    let late = reading(3_000, 31, Power::Running, -600);
    let facts = ClaimFacts { start_time_follows_reboot: true, ..claim_facts(&record, Some(&late)) };
    assert!(matches!(next(&facts, at(3_000)), Step::Call(Call::Restart { .. })));
    let facts = ClaimFacts { restart_hold: held(), ..facts };
    assert_eq!(next(&facts, at(3_000)), Step::Write(Change::RestartHeld));
    record.status = Some(transition::apply(&record, Change::RestartHeld, Some(&late), at(3_000)));
    let status = record.progress();
    assert_eq!((status.phase, status.unanswered_until), (Phase::PasswordSet, None));
    assert_eq!(status.attempt.unwrap().number, 1, "the number of attempts never falls");
    let over = ClaimFacts { restart_hold: RestartHold::Over, ..claim_facts(&record, Some(&late)) };
    let end = Step::Write(Change::EffectiveAtNextStart(NextStart::OwnerGone));
    assert_eq!(next(&over, at(3_000)), end);
}

#[test]
fn owner_gone_after_its_window_leaves_the_restart_to_others() {
    let record = in_phase(Phase::PasswordSet);
    let running = reading(200, 31, Power::Running, -600);
    let facts = ClaimFacts { restart_hold: RestartHold::Over, ..claim_facts(&record, Some(&running)) };
    let end = Step::Write(Change::EffectiveAtNextStart(NextStart::OwnerGone));
    assert_eq!(next(&facts, at(200)), end);
}

#[test]
fn brake_does_not_go_with_its_object() {
    let mut record = in_phase(Phase::PasswordSet);
    let rule = |owner, record: &ResetRecord| restart_hold::restart_hold(owner, None, record, at(100));
    let (unknown, gone) = (ClaimOwner::NotKnown, ClaimOwner::Gone);
    assert_eq!([rule(unknown, &record), rule(gone, &record)], [RestartHold::None, RestartHold::None]);
    record.spec.window_end = Some(Time(at(100)));
    assert!(matches!(rule(unknown, &record), RestartHold::Held(_)));
    assert_eq!(rule(gone, &record), RestartHold::Over);
    record.spec.window_end = None;
    record.status.as_mut().unwrap().restart_held_since = Some(Time(at(50)));
    assert!(matches!(rule(unknown, &record), RestartHold::Held(_)));
    assert_eq!(rule(gone, &record), RestartHold::Over);
    let spec = reset_spec(1);
    assert_eq!(rule(ClaimOwner::Known(&spec), &record), RestartHold::None, "it is there, and holds nothing back");
    assert!(matches!(
        restart_hold::restart_hold(gone, Some("default"), &in_phase(Phase::PasswordSet), at(100)),
        RestartHold::Held(_)
    ));
}
