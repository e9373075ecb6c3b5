//! The restart rules, state by state.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::api::password_reset::{RestartPolicy, State};
use crate::api::reset_record::{ResetRecord, StartTimeEvidence};
use crate::decide::claim::step::NextStart;
use crate::decide::claim::transition;
use crate::decide::fixtures::{at, bounds, claim_facts, claimed, reading, reset_spec, row};
use crate::decide::restart_rule::{self, ClaimOwner, RestartRule};
use crate::decide::{Hold, Reading, history, newest_moment, reckoned};

/// The record in a later phase of an instance whose StartTime was `at(-600)` before.
fn in_phase(phase: Phase) -> ResetRecord {
    let mut record = claimed();
    let status = record.status.as_mut().unwrap();
    status.phase = phase;
    status.unanswered_until = None;
    status.password_acknowledged_at = Some(Time(at(30)));
    if matches!(phase, Phase::RestartRequested | Phase::Restarting) || phase.has_ended() {
        status.start_time_before = Some(Time(at(-600)));
        status.attempt.as_mut().unwrap().timestamp = Time(at(40));
    }
    if phase == Phase::RestartRequested {
        status.unanswered_until = Some(Time(at(40) + bounds().request_validity));
    }
    if phase == Phase::Restarting || phase.has_ended() {
        status.accepted_at = Some(Time(at(41)));
    }
    if phase.has_ended() {
        status.completed = history::complete(&[], &record.spec, row(State::InEffect));
    }
    record
}

fn starting() -> Power {
    Power::Transitional("Starting".to_owned())
}

fn is_wait(step: &Step) -> bool {
    matches!(step, Step::Wait { .. })
}

#[test]
fn the_claims_own_attempt_is_sent_once_as_it_is_stored() {
    let record = claimed();
    let running = reading(0, -10, Power::Running, -600);
    let observed = ClaimFacts { unsent: true, ..claim_facts(&record, Some(&running)) };
    assert_eq!(next(&observed, at(1)), Step::Call(Call::SetPasswordAsStored));
    assert!(is_wait(&next(&claim_facts(&record, Some(&running)), at(0))), "sent already: not again at once");
    assert_eq!(
        next(&claim_facts(&record, Some(&running)), at(2)),
        Step::Call(Call::SetPassword),
        "then under a new attempt"
    );
}

#[test]
fn an_attempt_of_another_process_is_never_sent() {
    let record = claimed();
    let running = reading(0, -10, Power::Running, -600);
    let observed = ClaimFacts { process: "p2", ..claim_facts(&record, Some(&running)) };
    assert_eq!(next(&observed, at(1)), Step::Call(Call::SetPassword));
}

#[test]
fn password_needs_fresh_reading_of_stable_unlocked_instance() {
    let record = claimed();
    let stale = reading(0, -10, Power::Running, -600);
    let starting = reading(0, 0, starting(), -600);
    let observed = |reading| ClaimFacts { unsent: true, ..claim_facts(&record, reading) };
    assert!(is_wait(&next(&observed(None), at(1))));
    assert!(is_wait(&next(&observed(Some(&stale)), at(61))));
    assert!(is_wait(&next(&observed(Some(&starting)), at(1))));
    let mut locked = stale.clone();
    locked.seen.as_mut().unwrap().locks = vec!["security".to_owned()];
    assert!(is_wait(&next(&observed(Some(&locked)), at(1))));
}

#[test]
fn unsendable_password_withdraws_claim_or_ends_unknown() {
    let record = claimed();
    let never = || Sendable::Never("the Secret is gone".to_owned());
    let unsent = ClaimFacts { unsent: true, sendable: never(), ..claim_facts(&record, None) };
    assert_eq!(next(&unsent, at(1)), Step::Write(Change::Withdrawn));
    let sent = ClaimFacts { sendable: never(), ..claim_facts(&record, None) };
    assert_eq!(next(&sent, at(1)), Step::Wait { until: at(1_920), fresh_after: None });
    assert!(matches!(next(&sent, at(1_920)), Step::Write(Change::Unknown(Reason::PasswordOutcomeUnknown, _))));
}

/// The reading of an instance that the account's rules do not cover.
fn withdrawn(sent: i64, power: Power) -> Reading {
    let mut reading = reading(sent, 0, power, -600);
    reading.seen.as_mut().unwrap().permitted = false;
    reading
}

#[test]
fn no_password_goes_to_an_instance_no_rule_covers() {
    let record = claimed();
    for power in [Power::Running, Power::Stopped, starting()] {
        let refused = withdrawn(1, power);
        let unsent = ClaimFacts { unsent: true, ..claim_facts(&record, Some(&refused)) };
        assert_eq!(next(&unsent, at(1)), Step::Write(Change::Withdrawn));
        let not_ready = ClaimFacts { sendable: Sendable::NotNow(String::new()), ..unsent };
        assert_eq!(next(&not_ready, at(1)), Step::Write(Change::Withdrawn));
        // One copy may have been carried out while the rules covered it.
        assert_eq!(
            next(&claim_facts(&record, Some(&refused)), at(1)),
            Step::Wait { until: at(1_920), fresh_after: None }
        );
    }
    let old = withdrawn(0, Power::Running);
    let unsent = ClaimFacts { unsent: true, ..claim_facts(&record, Some(&old)) };
    assert!(is_wait(&next(&unsent, at(61))), "tags may have been put right since");
}

#[test]
fn no_restart_for_an_instance_no_rule_covers() {
    let record = in_phase(Phase::PasswordSet);
    let refused = withdrawn(31, Power::Running);
    let Step::Write(Change::Failed(reason, message)) = next(&claim_facts(&record, Some(&refused)), at(32)) else {
        panic!("not failed")
    };
    assert_eq!(reason, Reason::RestartRefused);
    assert!(message.contains("no rule") && message.contains("takes effect at the next start"), "{message}");
    assert!(
        is_wait(&next(&claim_facts(&record, Some(&withdrawn(31, Power::Running))), at(92))),
        "by a fresh reading only"
    );
    let stopped = withdrawn(151, Power::Stopped);
    assert!(matches!(
        next(&claim_facts(&record, Some(&stopped)), at(152)),
        Step::Write(Change::EffectiveAtNextStart(_))
    ));

    let record = in_phase(Phase::RestartRequested);
    let late = withdrawn(2_081, Power::Running);
    let observed = ClaimFacts { start_time_follows_reboot: true, ..claim_facts(&record, Some(&late)) };
    assert!(matches!(next(&observed, at(2_081)), Step::Write(Change::Unknown(..))), "nor is it requested again");
}

#[test]
fn later_rules_do_not_hide_a_restart_that_happened() {
    let record = in_phase(Phase::Restarting);
    let mut started = withdrawn(90, Power::Running);
    started.seen.as_mut().unwrap().start_time = Some(at(60));
    let in_effect = Step::Write(Change::InEffect { start_time: Some(at(60)) });
    assert_eq!(next(&claim_facts(&record, Some(&started)), at(91)), in_effect);
}

#[test]
fn password_refused_for_now_fails_at_the_deadline() {
    let mut record = claimed();
    record.status.as_mut().unwrap().unanswered_until = None;
    let running = reading(600, 0, Power::Running, -600);
    assert!(matches!(next(&claim_facts(&record, Some(&running)), at(599)), Step::Call(Call::SetPassword)));
    assert!(matches!(next(&claim_facts(&record, Some(&running)), at(601)), Step::Write(Change::Failed(..))));
}

#[test]
fn restart_needs_a_reading_sent_after_acknowledgement() {
    let record = in_phase(Phase::PasswordSet);
    let before = reading(30, 0, Power::Running, -600);
    assert!(is_wait(&next(&claim_facts(&record, Some(&before)), at(31))));
    let after = reading(31, 0, Power::Running, -600);
    let restart = Step::Call(Call::Restart { start_time_before: at(-600) });
    assert_eq!(next(&claim_facts(&record, Some(&after)), at(32)), restart);
    assert!(is_wait(&next(&claim_facts(&record, Some(&after)), at(92))), "an old reading is not good enough");
}

#[test]
fn restart_waits_for_the_minute_after_start_time() {
    let mut record = in_phase(Phase::PasswordSet);
    record.status.as_mut().unwrap().password_acknowledged_at = Some(Time(at(5)));
    let just_started = reading(20, 0, Power::Running, 0);
    assert_eq!(
        next(&claim_facts(&record, Some(&just_started)), at(21)),
        Step::Wait { until: at(60), fresh_after: None }
    );
    assert!(matches!(next(&claim_facts(&record, Some(&just_started)), at(60)), Step::Call(Call::Restart { .. })));
}

#[test]
fn foreign_start_after_acknowledgement_spares_the_restart() {
    let record = in_phase(Phase::PasswordSet);
    let started = reading(125, 121, Power::Running, 60);
    let in_effect = Step::Write(Change::InEffect { start_time: Some(at(60)) });
    assert_eq!(next(&claim_facts(&record, Some(&started)), at(126)), in_effect);
    let same_minute = reading(125, 121, Power::Running, 0);
    assert!(matches!(next(&claim_facts(&record, Some(&same_minute)), at(126)), Step::Call(Call::Restart { .. })));
}

/// A reading that lags may show what was before: that the instance was Stopped by then proves nothing.
#[test]
fn stopped_counts_from_the_acknowledgement_on() {
    let record = in_phase(Phase::PasswordSet);
    let stopped_before = reading(151, -600, Power::Stopped, -600);
    let early = Reading { sent_at: at(149), ..stopped_before.clone() };
    assert!(is_wait(&next(&claim_facts(&record, Some(&early)), at(150))), "M has not passed since the acknowledgement");
    let set_while_away = Step::Write(Change::EffectiveAtNextStart(NextStart::StoppedBefore));
    assert_eq!(next(&claim_facts(&record, Some(&stopped_before)), at(152)), set_while_away);
    let record = in_phase(Phase::Restarting);
    let left = |record: &ResetRecord| {
        let mut record = record.clone();
        record.status.as_mut().unwrap().left_running = true;
        record.status.as_mut().unwrap().start_time_evidence = Some(StartTimeEvidence::Inconclusive);
        record
    };
    let early = Reading { sent_at: at(160), ..stopped_before.clone() };
    assert!(is_wait(&next(&claim_facts(&left(&record), Some(&early)), at(161))), "nor since the acceptance");
    let late = Reading { sent_at: at(162), ..stopped_before };
    let after_restart = Step::Write(Change::EffectiveAtNextStart(NextStart::StoppedAfter));
    assert_eq!(next(&claim_facts(&left(&record), Some(&late)), at(163)), after_restart);
}

#[test]
fn stopped_and_policy_never_end_effective_at_next_start() {
    let mut record = in_phase(Phase::PasswordSet);
    let stopped = reading(31, 31, Power::Stopped, -600);
    assert!(is_wait(&next(&claim_facts(&record, Some(&stopped)), at(32))), "it was Running at the claim: look twice");
    let still = reading(151, 31, Power::Stopped, -600);
    assert_eq!(
        next(&claim_facts(&record, Some(&still)), at(152)),
        Step::Write(Change::EffectiveAtNextStart(NextStart::StoppedBefore))
    );
    record.spec.state_seen = "Stopped".to_owned();
    assert_eq!(
        next(&claim_facts(&record, Some(&stopped)), at(32)),
        Step::Write(Change::EffectiveAtNextStart(NextStart::SetWhileStopped))
    );
    record.spec.restart_policy = RestartPolicy::Never;
    let running = reading(31, 0, Power::Running, -600);
    assert_eq!(
        next(&claim_facts(&record, Some(&running)), at(32)),
        Step::Write(Change::EffectiveAtNextStart(NextStart::PolicyNever))
    );
    record.spec.restart_policy = RestartPolicy::Unrecognized;
    assert!(
        !matches!(next(&claim_facts(&record, Some(&running)), at(32)), Step::Call(_)),
        "an unknown policy restarts nothing"
    );
}

#[test]
fn a_restart_waits_while_the_owners_slots_are_taken_by_others() {
    let record = in_phase(Phase::PasswordSet);
    let running = reading(31, 0, Power::Running, -600);
    let observed = ClaimFacts { others_away: 1, ..claim_facts(&record, Some(&running)) };
    assert!(is_wait(&next(&observed, at(32))));
}

#[test]
fn restart_not_begun_in_time_fails_with_password_set() {
    let record = in_phase(Phase::PasswordSet);
    let running = reading(931, 0, Power::Running, -600);
    for reading in [None, Some(&running)] {
        let Step::Write(Change::Failed(reason, message)) = next(&claim_facts(&record, reading), at(931)) else {
            panic!("not failed")
        };
        assert_eq!(reason, Reason::RestartRefused);
        assert!(message.contains("takes effect at the next start"), "{message}");
    }
}

#[test]
fn unprovable_restart_is_not_sent_again() {
    let record = in_phase(Phase::RestartRequested);
    for second in [41, 100, 1_000, 2_079, 5_000] {
        let running = reading(second, 0, Power::Running, -600);
        let step = next(&claim_facts(&record, Some(&running)), at(second));
        assert!(!matches!(step, Step::Call(_)), "{second}: {step:?}");
    }
    let late = reading(2_081, 0, Power::Running, -600);
    assert!(matches!(
        next(&claim_facts(&record, Some(&late)), at(2_082)),
        Step::Write(Change::Unknown(Reason::RestartOutcomeUnknown, _))
    ));
}

#[test]
fn unanswered_restart_repeats_once_start_time_disproves_it() {
    let mut record = in_phase(Phase::RestartRequested);
    let again = Step::Call(Call::Restart { start_time_before: at(-600) });
    let step = |record: &ResetRecord, second: i64, sendable| {
        let running = reading(second, 0, Power::Running, -600);
        let observed = ClaimFacts { start_time_follows_reboot: true, sendable, ..claim_facts(record, Some(&running)) };
        next(&observed, at(second))
    };
    // Sent at 40, dead at 1960; what it did shows by 2080.
    for second in [41, 1_000, 1_961, 2_080] {
        assert!(is_wait(&step(&record, second, Sendable::Yes)), "{second}");
    }
    assert_eq!(step(&record, 2_081, Sendable::Yes), again);
    assert!(is_wait(&step(&record, 2_081, Sendable::NotNow(String::new()))));
    let is_unknown = |step| matches!(step, Step::Write(Change::Unknown(Reason::RestartOutcomeUnknown, _)));
    assert!(is_unknown(step(&record, 2_081, Sendable::Never(String::new()))));
    record.status.as_mut().unwrap().attempt.as_mut().unwrap().number = 3;
    assert!(is_unknown(step(&record, 2_081, Sendable::Yes)), "three times is enough");
}

#[test]
fn another_attempt_at_a_restart_waits_for_a_slot_too() {
    let record = in_phase(Phase::RestartRequested);
    let running = reading(2_081, 0, Power::Running, -600);
    let observed =
        ClaimFacts { start_time_follows_reboot: true, others_away: 1, ..claim_facts(&record, Some(&running)) };
    assert!(is_wait(&next(&observed, at(2_081))));
    assert!(matches!(next(&observed, at(2_981)), Step::Write(Change::Unknown(..))), "but not for ever");
}

#[test]
fn unanswered_restart_wait_in_transition_is_bounded() {
    let record = in_phase(Phase::RestartRequested);
    let gone = Reading { seen: None, ..reading(2_081, 0, Power::Running, 0) };
    for reading in [None, Some(&reading(2_081, 2_081, starting(), -600)), Some(&gone)] {
        assert!(is_wait(&next(&claim_facts(&record, reading), at(2_980))));
        assert!(matches!(next(&claim_facts(&record, reading), at(2_981)), Step::Write(Change::Unknown(..))));
    }
}

#[test]
fn an_unknown_outcome_says_how_a_person_decides() {
    let record = in_phase(Phase::RestartRequested);
    let late = reading(2_081, 0, Power::Running, -600);
    let Step::Write(Change::Unknown(_, message)) = next(&claim_facts(&record, Some(&late)), at(2_082)) else {
        panic!()
    };
    let command = "-n prod passwordreset web ecs.password-reset.dev/resolve-unknown=i-bp1a0000/1=Happened";
    assert!(message.contains(command), "{message}");
}

#[test]
fn restart_is_not_requested_without_the_accounts_consent() {
    let record = in_phase(Phase::PasswordSet);
    let running = reading(31, 0, Power::Running, -600);
    let with = |sendable| ClaimFacts { sendable, ..claim_facts(&record, Some(&running)) };
    assert!(is_wait(&next(&with(Sendable::NotNow(String::new())), at(32))));
    let step = next(&with(Sendable::Never("namespace".to_owned())), at(32));
    assert!(matches!(step, Step::Write(Change::Failed(Reason::RestartRefused, _))), "{step:?}");
}

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

fn held() -> RestartRule {
    RestartRule::Held(Hold::new(Reason::Suspended, "spec.suspend is true"))
}

#[test]
fn held_restart_waits_however_long_and_goes_on() {
    let mut record = in_phase(Phase::PasswordSet);
    let running = |sent| reading(sent, 31, Power::Running, -600);
    let first = ClaimFacts { restart_rule: held(), ..claim_facts(&record, None) };
    assert_eq!(next(&first, at(35)), Step::Write(Change::RestartHeld));
    record.status = Some(transition::apply(&record, Change::RestartHeld, None, at(35)));
    assert_eq!(record.phase(), Phase::PasswordSet);
    let (late, later) = (running(9_000), running(9_100));
    let waits = ClaimFacts { restart_rule: held(), ..claim_facts(&record, Some(&late)) };
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
    let facts = ClaimFacts { restart_rule: held(), ..claim_facts(&record, Some(&by_someone)) };
    assert!(matches!(next(&facts, at(200)), Step::Write(Change::InEffect { .. })));
    record.spec.restart_policy = RestartPolicy::Never;
    let still = reading(200, 31, Power::Running, -600);
    let facts = ClaimFacts { restart_rule: held(), ..claim_facts(&record, Some(&still)) };
    assert!(matches!(next(&facts, at(200)), Step::Write(Change::EffectiveAtNextStart(NextStart::PolicyNever))));
}

#[test]
fn restart_proven_undone_is_not_requested_again_while_held() {
    let mut record = in_phase(Phase::RestartRequested);
    let late = reading(3_000, 31, Power::Running, -600);
    let facts = ClaimFacts { start_time_follows_reboot: true, ..claim_facts(&record, Some(&late)) };
    assert!(matches!(next(&facts, at(3_000)), Step::Call(Call::Restart { .. })));
    let facts = ClaimFacts { restart_rule: held(), ..facts };
    assert_eq!(next(&facts, at(3_000)), Step::Write(Change::RestartHeld));
    record.status = Some(transition::apply(&record, Change::RestartHeld, Some(&late), at(3_000)));
    let status = record.progress();
    assert_eq!((status.phase, status.unanswered_until), (Phase::PasswordSet, None));
    assert_eq!(status.attempt.unwrap().number, 1, "the number of attempts never falls");
    let over = ClaimFacts { restart_rule: RestartRule::Over, ..claim_facts(&record, Some(&late)) };
    let end = Step::Write(Change::EffectiveAtNextStart(NextStart::OwnerGone));
    assert_eq!(next(&over, at(3_000)), end);
}

#[test]
fn owner_gone_after_its_window_leaves_the_restart_to_others() {
    let record = in_phase(Phase::PasswordSet);
    let running = reading(200, 31, Power::Running, -600);
    let facts = ClaimFacts { restart_rule: RestartRule::Over, ..claim_facts(&record, Some(&running)) };
    let end = Step::Write(Change::EffectiveAtNextStart(NextStart::OwnerGone));
    assert_eq!(next(&facts, at(200)), end);
}

#[test]
fn brake_does_not_go_with_its_object() {
    let mut record = in_phase(Phase::PasswordSet);
    let rule = |owner, record: &ResetRecord| restart_rule::restart_rule(owner, None, record, at(100));
    let (unknown, gone) = (ClaimOwner::NotKnown, ClaimOwner::Gone);
    assert_eq!([rule(unknown, &record), rule(gone, &record)], [RestartRule::Allowed, RestartRule::Allowed]);
    record.spec.window_end = Some(Time(at(100)));
    assert!(matches!(rule(unknown, &record), RestartRule::Held(_)));
    assert_eq!(rule(gone, &record), RestartRule::Over);
    record.spec.window_end = None;
    record.status.as_mut().unwrap().restart_held_since = Some(Time(at(50)));
    assert!(matches!(rule(unknown, &record), RestartRule::Held(_)));
    assert_eq!(rule(gone, &record), RestartRule::Over);
    let spec = reset_spec(1);
    assert_eq!(rule(ClaimOwner::Known(&spec), &record), RestartRule::Allowed, "it is there, and holds nothing back");
    assert!(matches!(
        restart_rule::restart_rule(gone, Some("default"), &in_phase(Phase::PasswordSet), at(100)),
        RestartRule::Held(_)
    ));
}
