//! What the row of a claimed instance says, from its claim to its end.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::consent::consent_before_send;
use super::next::next;
use super::step::{Call, Change, ClaimFacts, NextStart, Sendable, Step};
use super::transition::{self, CallOutcome, NewAttempt};
use crate::api::Reason;
use crate::api::password_reset::State;
use crate::api::reset_record::{Phase, ResetRecord};
use crate::decide::fixtures::{at, bounds, claim_facts, claimed, reading, row};
use crate::decide::words_tests::Words;
use crate::decide::{InstanceView, Power, Reading};

const RESTART: Call = Call::Restart { start_time_before: jiff::Timestamp::UNIX_EPOCH };

/// The record in a phase, as an ordinary claim reaches it.
fn in_phase(phase: Phase) -> ResetRecord {
    let mut record = claimed();
    let status = record.status.as_mut().unwrap();
    status.phase = phase;
    if phase != Phase::SettingPassword {
        status.unanswered_until = None;
        status.password_acknowledged_at = Some(Time(at(30)));
        status.row = Some(row(State::PasswordSet));
        status.row.as_mut().unwrap().message = "<the row's message>".to_owned();
    }
    if matches!(phase, Phase::RestartRequested | Phase::Restarting) {
        status.start_time_before = Some(Time(at(-600)));
        status.attempt.as_mut().unwrap().timestamp = Time(at(40));
        status.row = Some(row(State::Restarting));
    }
    if phase == Phase::RestartRequested {
        status.unanswered_until = Some(Time(at(40) + bounds().request_validity));
    }
    if phase == Phase::Restarting {
        status.accepted_at = Some(Time(at(41)));
    }
    record
}

#[test]
fn words_of_calls() {
    let mut words = Words::of("calls");
    let attempt =
        NewAttempt { id: "a1".to_owned(), process: "p1".to_owned(), timestamp: at(45), replaces_unsent: false };
    let set = in_phase(Phase::PasswordSet);
    words.row("restart, stored", &transition::intend(&set, RESTART, attempt, bounds()).row.unwrap());
    let message = "<the message of the answer>".to_owned();
    let outcomes = [
        ("accepted", CallOutcome::Accepted { request_id: Some("R-1".to_owned()), at: at(30) }),
        ("refused for now", CallOutcome::Refused { later: true, reason: Reason::Throttled, message: message.clone() }),
        (
            "refused for good",
            CallOutcome::Refused { later: false, reason: Reason::PasswordRefused, message: message.clone() },
        ),
        ("not sent", CallOutcome::NotSent { reason: Reason::ECSUnavailable, message: message.clone() }),
        ("outcome not known", CallOutcome::Unknown(message)),
    ];
    for (call, name, mut record) in
        [(Call::SetPassword, "password", claimed()), (RESTART, "restart", in_phase(Phase::RestartRequested))]
    {
        if call == Call::SetPassword {
            record.status.as_mut().unwrap().attempt.as_mut().unwrap().found_unanswered_until = None;
        }
        for (outcome, what) in &outcomes {
            words.row(&format!("{name} {outcome}"), &transition::fold(&record, call, what, at(31)).row.unwrap());
        }
    }
    words.assert();
}

#[test]
fn words_of_changes() {
    let mut words = Words::of("changes");
    let record = in_phase(Phase::Restarting);
    let stopped = reading(900, 300, Power::Stopped, -600);
    let mut say = |situation: &str, change: Change| {
        words.row(situation, &transition::apply(&record, change, Some(&stopped), at(901)).row.unwrap());
    };
    say("InEffect, StartTime moved", Change::InEffect { start_time: Some(at(60)) });
    say("InEffect, seen to leave and return", Change::InEffect { start_time: None });
    for cause in [
        NextStart::SetWhileStopped,
        NextStart::PolicyNever,
        NextStart::StoppedBefore,
        NextStart::OwnerGone,
        NextStart::StoppedAfter,
    ] {
        say(&format!("EffectiveAtNextStart, {cause:?}"), Change::EffectiveAtNextStart(cause));
    }
    say("Released", Change::Released);
    say("LeftRunning", Change::LeftRunning);
    say("Happened", Change::Happened);
    say("RestartNotSent", Change::RestartNotSent);
    let mut stuck = record.clone();
    let unknown = Change::Unknown(Reason::RestartStuck, "<what the row said>".to_owned());
    stuck.status = Some(transition::apply(&record, unknown, Some(&stopped), at(942)));
    let running = reading(1_000, 990, Power::Running, 960);
    let status = transition::apply(&stuck, Change::Available, Some(&running), at(1_001));
    assert_eq!(status.completed.iter().map(|entry| &entry.row).collect::<Vec<_>>(), [status.row.as_ref().unwrap()]);
    words.row("stuck, back later", &status.row.unwrap());
    let mut forbidden = running.clone();
    forbidden.seen.as_mut().unwrap().permitted = false;
    for (situation, shown) in
        [("stuck, back unseen by its user", &forbidden), ("stuck, off its owner's list", &stopped)]
    {
        words.row(situation, &transition::apply(&stuck, Change::Available, Some(shown), at(1_001)).row.unwrap());
    }
    words.assert();
}

#[test]
fn words_of_ends() {
    let mut words = Words::of("ends");
    let running = |sent| reading(sent, -600, Power::Running, -600);
    let mut say = |situation: &str, observed: &ClaimFacts, second: i64| {
        let step = next(observed, at(second));
        let Step::Write(Change::Failed(reason, message) | Change::Unknown(reason, message)) = step else {
            panic!("{situation}: {step:?}");
        };
        words.say(situation, format!("{reason}: {message}"));
    };
    let not_now = || Sendable::NotNow("<why not now>".to_owned());
    let never = || Sendable::Never("<why never>".to_owned());

    // The password.
    let mut record = claimed();
    record.status.as_mut().unwrap().unanswered_until = None;
    record.status.as_mut().unwrap().row.as_mut().unwrap().message = "<the row's message>".to_owned();
    say("password, not set in time", &claim_facts(&record, None), 601);
    say("password, not sendable in time", &ClaimFacts { sendable: not_now(), ..claim_facts(&record, None) }, 601);
    let mut record = claimed();
    say("password, may have been sent", &ClaimFacts { sendable: never(), ..claim_facts(&record, None) }, 1_921);
    record.status.as_mut().unwrap().unknown_outcome = Some("<what was heard>".to_owned());
    say("password, answer unclear", &ClaimFacts { sendable: never(), ..claim_facts(&record, None) }, 1_921);
    say("password, answer unclear, at the deadline", &claim_facts(&record, None), 1_921);
    record.status.as_mut().unwrap().refusal = Some("<the refusal>".to_owned());
    say("password, refused after an unclear answer", &claim_facts(&record, None), 1_921);
    let record = claimed();
    let mut forbidden = running(1_921);
    forbidden.seen.as_mut().unwrap().permitted = false;
    say("password, no rule covers the instance", &claim_facts(&record, Some(&forbidden)), 1_921);

    // The restart.
    let mut record = in_phase(Phase::PasswordSet);
    say("restart, not requested in time", &claim_facts(&record, None), 931);
    say("restart, not sendable in time", &ClaimFacts { sendable: not_now(), ..claim_facts(&record, None) }, 931);
    let shown = running(100);
    say("restart, may not be sent", &ClaimFacts { sendable: never(), ..claim_facts(&record, Some(&shown)) }, 100);
    let forbidden = Reading { sent_at: at(100), ..forbidden };
    say("restart, no rule covers the instance", &claim_facts(&record, Some(&forbidden)), 100);
    record.status.as_mut().unwrap().row = None;
    let mut record = in_phase(Phase::RestartRequested);
    let shown = running(2_100);
    say("restart, not answered", &claim_facts(&record, Some(&shown)), 2_100);
    record.status.as_mut().unwrap().unknown_outcome = Some("<what was heard>".to_owned());
    say("restart, answer unclear", &claim_facts(&record, Some(&shown)), 2_100);
    let record = in_phase(Phase::Restarting);
    say("restart, not seen to finish", &claim_facts(&record, None), 942);
    words.assert();
}

#[test]
fn words_of_calls_held_back() {
    let mut words = Words::of("consent");
    let running = reading(0, -600, Power::Running, -600);
    let forbidden = running.seen.clone().map(|seen| InstanceView { permitted: false, ..seen });
    let absent = Reading { seen: None, ..running.clone() };
    let held = |reading: Option<&Reading>| consent_before_send(reading, at(1)).unwrap_err();
    words.hold("not permitted", &held(Some(&Reading { seen: forbidden, ..running })));
    words.hold("not shown", &held(Some(&absent)));
    words.hold("not read", &held(None));
    words.assert();
}
