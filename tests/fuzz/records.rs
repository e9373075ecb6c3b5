//! Targets: the records, stored and edited by hand, run through the real decisions; and the readings that those rest on.

use std::sync::Arc;

use ecs_password_reset::api::Reason;
use ecs_password_reset::api::password_reset::{PasswordReset, PasswordResetStatus};
use ecs_password_reset::api::reset_record::{Owner, Phase, ResetRecord};
use ecs_password_reset::cloud::readings::reading;
use ecs_password_reset::decide::claim::next::next;
use ecs_password_reset::decide::claim::step::{Call, ClaimFacts, Sendable, Step};
use ecs_password_reset::decide::claim::transition::{CallOutcome, NewAttempt, apply, fold, intend};
use ecs_password_reset::decide::history::{self, Request};
use ecs_password_reset::decide::reset::facts::{ResetFacts, Target};
use ecs_password_reset::decide::reset::plan;
use ecs_password_reset::decide::restart_hold::RestartHold;
use ecs_password_reset::decide::{InstanceView, Power, ProtocolBounds, Reading, budget, memory};
use ecs_password_reset::ecs::{ApiResponse, InstancePage, InstanceStatus, Observation};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::near::fuzz;

fn noon() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn bounds() -> ProtocolBounds {
    ProtocolBounds {
        request_validity: SignedDuration::from_secs(1_920),
        restart_settle: SignedDuration::from_secs(120),
    }
}

fn seconds(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count)
}

/// What ECS may show at `now`, the end of times among it.
fn readings(now: Timestamp) -> Vec<Option<Reading>> {
    let seen = |power: Power, start_time| InstanceView {
        permitted: true,
        power,
        start_time,
        name: String::new(),
        zone_id: String::new(),
        os_type: "linux".to_owned(),
        key_pair_name: None,
        locks: Vec::new(),
        expires: None,
    };
    let powers = [Power::Running, Power::Stopped, Power::Transitional("Stopping".to_owned())];
    let starts = [None, Some(now - seconds(900)), Some(now), Some(Timestamp::MAX), Some(Timestamp::MIN)];
    let shown = powers.iter().flat_map(|power| starts.map(|start| seen(power.clone(), start)));
    let at = |seen| Some(Reading { sent_at: now - seconds(1), since: now - seconds(600), seen });
    std::iter::once(None).chain([at(None)]).chain(shown.map(|it| at(Some(it)))).collect()
}

/// A call has to have its reason in the record and in what was seen.
fn assert_makes_sense(record: &ResetRecord, call: Call, reading: Option<&Reading>, now: Timestamp) {
    let status = record.status.as_ref().expect("a call for a record without progress");
    let reading = reading.expect("a call for an instance that was not seen");
    let seen = reading.seen.as_ref().expect("a call for an instance that is not there");
    assert!(reading.sent_at >= now - seconds(60), "a call by an old reading");
    match call {
        Call::SetPassword | Call::SetPasswordAsStored => {
            assert_eq!(status.phase, Phase::SettingPassword, "a password after it was acknowledged");
            assert!(!matches!(seen.power, Power::Transitional(_)), "a password in transition");
            assert!(status.refusal.is_none(), "a password after it was refused");
        }
        Call::Restart { .. } => {
            assert!(
                matches!(status.phase, Phase::PasswordSet | Phase::RestartRequested),
                "a restart in {:?}",
                status.phase
            );
            assert_eq!(seen.power, Power::Running, "a restart of what does not run");
            let acknowledged = status.password_acknowledged_at.as_ref();
            assert!(status.phase == Phase::RestartRequested || acknowledged.is_some_and(|it| it.0 < reading.sent_at));
            assert!(
                status.phase == Phase::PasswordSet || status.attempt.is_some(),
                "a second restart after no first one"
            );
        }
    }
}

/// Drives a record by what is observed until there is nothing to do, or long enough. Returns the steps' names.
fn drive(mut record: ResetRecord, reading: Option<&Reading>, unsent: bool, accept: bool) -> Vec<String> {
    let (now, mut steps) = (noon(), Vec::new());
    for turn in 0..6 {
        let observed = ClaimFacts {
            record: &record,
            process: "p1",
            unsent: unsent && turn == 0,
            reading,
            sendable: Sendable::Yes,
            start_time_follows_reboot: accept,
            restart_hold: RestartHold::None,
            others_away: 0,
            describable_since: Some(noon() - SignedDuration::from_hours(1)),
            is_listed: true,
            owner_row: None,
            bounds: bounds(),
        };
        let step = next(&observed, now);
        let name = format!("{step:?}").chars().filter(char::is_ascii_alphabetic).take(24).collect();
        steps.push(name);
        record.status = match step {
            Step::Done | Step::Wait { .. } => break,
            Step::Write(change) => Some(apply(&record, change, reading, now)),
            Step::Call(call) => {
                assert_makes_sense(&record, call, reading, now);
                let attempt = NewAttempt {
                    id: "a".to_owned(),
                    process: "p1".to_owned(),
                    timestamp: now,
                    replaces_unsent: observed.unsent,
                };
                record.status = Some(intend(&record, call, attempt, bounds()));
                let outcome = if accept {
                    CallOutcome::Accepted { request_id: None, at: now }
                } else {
                    CallOutcome::Refused {
                        later: false,
                        reason: Reason::PasswordRefused,
                        message: "refused".to_owned(),
                    }
                };
                Some(fold(&record, call, &outcome, now))
            }
        };
    }
    steps
}

#[test]
fn records() {
    let words = "Idle Failed Unknown EffectiveAtNextStart Hibernating foundUnansweredUntil refusal NotMoved availableTime Stopped";
    fuzz("records", words, |input| {
        let record: ResetRecord = serde_json::from_slice(input).ok()?;
        // A year before 0 can be read and not written: the API server would have refused it, and refuses it now.
        let again = serde_json::from_value::<ResetRecord>(serde_json::to_value(&record).unwrap()).ok()?;
        assert!(record == again, "what is written is not what was read");
        for (number, reading) in readings(noon()).iter().enumerate() {
            drive(record.clone(), reading.as_ref(), number % 2 == 0, number % 3 == 0);
        }
        // Its neighbours count its slot, and its owner plans by it.
        let mut neighbour = again;
        neighbour.spec.instance_id.push('0');
        assert!(budget::others_away(&[&record], &neighbour, noon()) <= 1, "one record takes more than its slot");
        let rows = plan(&record.spec.owner, &record);
        assert_eq!(rows, 1, "the instance has lost its row");
        if memory::is_incomplete(&record) {
            assert_eq!(drive(record.clone(), None, true, true), ["Done"], "something is done by a damaged record");
        }
        Some(())
    });
}

/// How many rows the owner of a record has after a look at it.
fn plan(owner: &Owner, record: &ResetRecord) -> usize {
    let object = json!({"metadata": {}, "spec": {
        "regionID": "cn-hangzhou", "instanceIDs": ["i-bp1a0000"], "passwordSecretRef": {"name": "pw"}, "runID": "again",
    }});
    let object: PasswordReset = serde_json::from_value(object).unwrap();
    let request = Request {
        owner: owner.clone(),
        tokens: history::tokens(Some("again"), None),
        retry: None,
        fingerprint: None,
        resets_on_change: false,
        resolution: None,
    };
    let status = PasswordResetStatus::default();
    let view = ResetFacts { min_restart_interval_seconds: 600, ..ResetFacts::new(&object.spec, &status, &request) };
    let row = record.progress().row;
    let target = Target {
        instance_id: "i-bp1a0000",
        record: Some(record),
        bad_record: None,
        claimed_by_another: false,
        before: row.as_ref(),
        reading: None,
        own_password: None,
    };
    plan::plan(&view, &[target], noon()).rows.len()
}

#[test]
fn readings_of_answers() {
    let record: ResetRecord = serde_json::from_str(include_str!("corpus/records/password-set.json")).unwrap();
    fuzz("readings", "Hibernating Starting", |input| {
        let instance = InstancePage::read(input)?.instances.into_iter().next()?;
        let is_stable = matches!(instance.status, InstanceStatus::Running | InstanceStatus::Stopped);
        let observation = Observation { instance: Some(Arc::new(instance)), sent_at: noon(), since: noon() };
        let mut reading = reading(&observation, None, "prod");
        let seen = reading.seen.as_mut().expect("it was seen");
        assert!(!std::mem::replace(&mut seen.permitted, true), "without an account nothing is permitted");
        let seen = reading.seen.as_ref().expect("it was seen");
        assert_eq!(!matches!(seen.power, Power::Transitional(_)), is_stable, "what is not known is not stable");
        let steps = drive(record.clone(), Some(&reading), false, true);
        assert!(is_stable || !steps.iter().any(|it| it.starts_with("Call")), "a call for an instance in transition");
        Some(())
    });
}
