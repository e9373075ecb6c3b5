//! The restart rules, state by state.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::api::password_reset::{RestartPolicy, State};
use crate::api::reset_record::{ResetRecord, StartTimeEvidence};
use crate::decide::claim::step::NextStart;
use crate::decide::fixtures::{at, bounds, claim_facts, claimed, reading, row};
use crate::decide::{Reading, history};

/// The record in a later phase of an instance whose StartTime was `at(-600)` before.
pub(super) fn in_phase(phase: Phase) -> ResetRecord {
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

pub(super) fn starting() -> Power {
    Power::Transitional("Starting".to_owned())
}

pub(super) fn is_wait(step: &Step) -> bool {
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
