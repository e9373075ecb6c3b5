//! What proves a restart, and what an outcome that is not known comes to.

use super::tests::{in_phase, is_wait, starting};
use super::*;
use crate::api::reset_record::{ResetRecord, StartTimeEvidence};
use crate::decide::Reading;
use crate::decide::claim::step::NextStart;
use crate::decide::claim::transition;
use crate::decide::fixtures::{at, bounds, claim_facts, claimed, reading};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

#[test]
fn restart_known_unsent_is_due_again() {
    let record = in_phase(Phase::RestartRequested);
    let running = reading(45, 0, Power::Running, -600);
    let observed = ClaimFacts { unsent: true, ..claim_facts(&record, Some(&running)) };
    let step = next(&observed, at(46));
    assert_eq!(step, Step::Write(Change::RestartNotSent));
    let status = transition::apply(&record, Change::RestartNotSent, Some(&running), at(46));
    assert_eq!((status.phase, status.unanswered_until), (Phase::PasswordSet, None));
    let another = ClaimFacts { process: "p2", unsent: false, ..claim_facts(&record, Some(&running)) };
    assert!(is_wait(&next(&another, at(46))), "another process cannot know");
}

#[test]
fn an_unanswered_restart_is_proven_by_a_start_time_that_moved() {
    let record = in_phase(Phase::RestartRequested);
    let moved = reading(90, 88, Power::Running, 60);
    assert_eq!(
        next(&claim_facts(&record, Some(&moved)), at(91)),
        Step::Write(Change::InEffect { start_time: Some(at(60)) })
    );
}

#[test]
fn unanswered_restart_found_stopped_twice_m_apart_ends() {
    let record = in_phase(Phase::RestartRequested);
    let once = reading(2_081, 2_081, Power::Stopped, -600);
    assert!(is_wait(&next(&claim_facts(&record, Some(&once)), at(2_082))));
    let twice = reading(2_201, 2_081, Power::Stopped, -600);
    assert_eq!(
        next(&claim_facts(&record, Some(&twice)), at(2_202)),
        Step::Write(Change::EffectiveAtNextStart(NextStart::StoppedAfter))
    );
}

#[test]
fn start_time_before_acknowledgement_proves_nothing() {
    let record = in_phase(Phase::Restarting);
    let stale_base = reading(50, 45, Power::Running, -60);
    assert!(
        is_wait(&next(&claim_facts(&record, Some(&stale_base)), at(51))),
        "later than the stored one, yet too early"
    );
    let same_minute = reading(50, 45, Power::Running, 0);
    assert!(matches!(next(&claim_facts(&record, Some(&same_minute)), at(51)), Step::Write(Change::InEffect { .. })));
}

#[test]
fn still_running_after_the_acceptance_proves_nothing() {
    let record = in_phase(Phase::Restarting);
    let running = reading(42, 0, Power::Running, -600);
    assert!(is_wait(&next(&claim_facts(&record, Some(&running)), at(43))));
}

#[test]
fn leaving_running_proves_a_restart_if_start_time_stays() {
    let mut record = in_phase(Phase::Restarting);
    let away = reading(45, 45, starting(), -600);
    assert_eq!(next(&claim_facts(&record, Some(&away)), at(46)), Step::Write(Change::LeftRunning));
    let early = reading(41, 41, starting(), -600);
    let Step::Wait { fresh_after, .. } = next(&claim_facts(&record, Some(&early)), at(46)) else {
        panic!("it proves nothing")
    };
    assert!(
        fresh_after.is_some_and(|after| after > at(41)),
        "the next reading shows no change, and must wake all the same"
    );
    record.status.as_mut().unwrap().left_running = true;
    let back = |sent| reading(sent, 50, Power::Running, -600);
    assert!(
        is_wait(&next(&claim_facts(&record, Some(&back(160))), at(160))),
        "it may show what was before the restart"
    );
    assert_eq!(
        next(&claim_facts(&record, Some(&back(161))), at(162)),
        Step::Write(Change::InEffect { start_time: None })
    );
}

#[test]
fn start_time_alone_proves_where_it_follows_reboots() {
    let mut record = in_phase(Phase::Restarting);
    record.status.as_mut().unwrap().left_running = true;
    let step = |reading: &Reading| {
        let observed = ClaimFacts { start_time_follows_reboot: true, ..claim_facts(&record, Some(reading)) };
        next(&observed, reading.sent_at)
    };
    assert!(is_wait(&step(&reading(160, 50, Power::Running, -600))));
    assert!(matches!(step(&reading(65, 50, Power::Running, 60)), Step::Write(Change::InEffect { .. })));
    let telling = step(&reading(161, 50, Power::Running, -600));
    assert_eq!(telling, Step::Write(Change::Learnt(StartTimeEvidence::NotMoved)));
}

#[test]
fn a_restart_tells_whether_the_start_time_follows_it() {
    let mut record = in_phase(Phase::Restarting);
    let evidence = |record: &ResetRecord, start_time| {
        let change = Change::InEffect { start_time };
        transition::apply(record, change, None, at(65)).start_time_evidence
    };
    assert_eq!(evidence(&record, Some(at(60))), Some(StartTimeEvidence::Moved));
    assert_eq!(evidence(&record, Some(at(-60))), Some(StartTimeEvidence::Inconclusive), "from before the send");
    assert_eq!(evidence(&record, None), Some(StartTimeEvidence::NotMoved));
    let stopped = reading(50, 50, Power::Stopped, -600);
    record.status = Some(transition::apply(&record, Change::LeftRunning, Some(&stopped), at(51)));
    assert_eq!(evidence(&record, Some(at(60))), Some(StartTimeEvidence::Inconclusive), "somebody may have started it");
}

#[test]
fn unfinished_restart_is_stuck_and_not_forced() {
    let mut record = in_phase(Phase::Restarting);
    record.status.as_mut().unwrap().left_running = true;
    let away = reading(941, 45, starting(), -600);
    assert!(is_wait(&next(&claim_facts(&record, Some(&away)), at(941))));
    assert!(matches!(
        next(&claim_facts(&record, Some(&away)), at(942)),
        Step::Write(Change::Unknown(Reason::RestartStuck, _))
    ));
}

#[test]
fn slot_is_free_after_min_ready_seconds_running() {
    let mut record = in_phase(Phase::InEffect);
    record.status.as_mut().unwrap().row.as_mut().unwrap().state_time = Some(Time(at(60)));
    let soon = reading(89, 50, Power::Running, 0);
    assert!(is_wait(&next(&claim_facts(&record, Some(&soon)), at(89))));
    let available = reading(90, 50, Power::Running, 0);
    assert_eq!(next(&claim_facts(&record, Some(&available)), at(90)), Step::Write(Change::Available));
    let flapped = reading(90, 80, Power::Running, 0);
    assert!(
        is_wait(&next(&claim_facts(&record, Some(&flapped)), at(90))),
        "counted from when it was last seen to return"
    );
    let gone = reading(500, 70, Power::Stopped, 0);
    assert!(is_wait(&next(&claim_facts(&record, Some(&gone)), at(500))));
    let status = record.status.as_mut().unwrap();
    status.unanswered_until = Some(Time(at(400)));
    let late = |sent| reading(sent, 50, Power::Running, 0);
    assert!(is_wait(&next(&claim_facts(&record, Some(&late(519))), at(519))), "the last copy may have taken it away");
    assert_eq!(next(&claim_facts(&record, Some(&late(520))), at(520)), Step::Write(Change::Available));
    record.status.as_mut().unwrap().available_time = Some(Time(at(90)));
    assert_eq!(next(&claim_facts(&record, Some(&gone)), at(500)), Step::Done);
}

#[test]
fn an_end_without_a_restart_holds_nothing() {
    let mut record = in_phase(Phase::Failed);
    record.status.as_mut().unwrap().start_time_before = None;
    assert_eq!(next(&claim_facts(&record, None), at(100)), Step::Done);
}

#[test]
fn a_record_whose_times_nobody_can_have_seen_ends_no_pass() {
    let times = [Timestamp::MIN, Timestamp::MAX, at(0)];
    let phases =
        [Phase::SettingPassword, Phase::PasswordSet, Phase::RestartRequested, Phase::Restarting, Phase::InEffect];
    for (phase, time) in phases.into_iter().flat_map(|phase| times.map(|time| (phase, time))) {
        let mut record = claimed();
        record.spec.claim_time = Time(time);
        let status = record.status.as_mut().unwrap();
        let moment = Some(Time(time));
        status.phase = phase;
        status.unanswered_until.clone_from(&moment);
        status.password_acknowledged_at.clone_from(&moment);
        status.start_time_before.clone_from(&moment);
        status.accepted_at.clone_from(&moment);
        status.attempt.as_mut().unwrap().timestamp = Time(time);
        status.attempt.as_mut().unwrap().number = u32::MAX;
        for unsent in [false, true] {
            let observed = ClaimFacts {
                unsent,
                start_time_follows_reboot: true,
                describable_since: Some(at(0)),
                ..claim_facts(&record, None)
            };
            let _: Step = next(&observed, at(10));
        }
        let new = transition::NewAttempt {
            id: "a".to_owned(),
            process: "p1".to_owned(),
            timestamp: at(10),
            replaces_unsent: false,
        };
        assert_eq!(transition::intend(&record, Call::SetPassword, new, bounds()).attempt.unwrap().number, u32::MAX);
    }
}
