//! What unit tests decide on: one record, one row, one reading, and moments counted from an arbitrary full minute.

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::Reason;
use crate::api::password_reset::{
    InstanceRow, PasswordResetSpec, PasswordResetStatus, RestartPolicy, Run, State, Trigger,
};
use crate::api::reset_record::{
    Attempt, ClaimedSecretRef, Fingerprint, Owner, Phase, ResetRecord, ResetRecordSpec, ResetRecordStatus,
};
use crate::decide::budget::{Holder, Outlook};
use crate::decide::claim::step::{ClaimFacts, Sendable};
use crate::decide::history::{self, Request};
use crate::decide::reset::facts::{ResetFacts, Target};
use crate::decide::restart_hold::RestartHold;
use crate::decide::{InstanceView, Power, ProtocolBounds, Reading};

/// A moment, in seconds from an arbitrary full minute.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(crate) fn bounds() -> ProtocolBounds {
    ProtocolBounds {
        request_validity: SignedDuration::from_secs(1_920),
        restart_settle: SignedDuration::from_secs(120),
    }
}

pub(crate) fn owner(name: &str) -> Owner {
    Owner { namespace: "prod".to_owned(), name: name.to_owned(), uid: format!("uid-{name}") }
}

pub(crate) fn row(state: State) -> InstanceRow {
    InstanceRow {
        instance_id: "i-bp1a0000".to_owned(),
        name: None,
        os_type: None,
        key_pair_name: None,
        initial_status: None,
        planned_action: None,
        state,
        reason: Reason::Pending.to_string(),
        message: String::new(),
        state_time: Some(Time(at(0))),
        password_set_time: None,
        password_request_id: None,
        restart_request_id: None,
        claim: Some(1),
        attempts: 1,
    }
}

pub(crate) fn spec(owner_name: &str, instance_id: &str) -> ResetRecordSpec {
    ResetRecordSpec {
        claim: 1,
        claim_time: Time(at(0)),
        owner: owner(owner_name),
        account_name: "default".to_owned(),
        region_id: "cn-hangzhou".to_owned(),
        instance_id: instance_id.to_owned(),
        tokens: vec!["run:1".to_owned()],
        retry: None,
        fingerprint: Fingerprint { key_id: "k1".to_owned(), value: "f".to_owned() },
        password_secret_ref: ClaimedSecretRef {
            namespace: "prod".to_owned(),
            name: "pw".to_owned(),
            key: "password".to_owned(),
        },
        restart_policy: RestartPolicy::IfRunning,
        max_unavailable: 1,
        zone_id: None,
        min_ready_seconds: 30,
        timeout_seconds: 900,
        stable_state_timeout_seconds: 600,
        window_end: None,
        state_seen: "Running".to_owned(),
    }
}

/// The record of another object's claim that has ended.
pub(crate) fn of_another() -> ResetRecord {
    let mut record = claimed();
    record.spec.owner = owner("other");
    let ended = InstanceRow { password_set_time: Some(Time(at(0))), ..row(State::InEffect) };
    let status = record.status.as_mut().unwrap();
    status.phase = Phase::InEffect;
    status.unanswered_until = None;
    status.row = Some(ended.clone());
    status.completed = history::complete(&[], &record.spec, ended);
    record
}

/// A record as the claim leaves it, at second 0 by process p1.
pub(crate) fn claimed() -> ResetRecord {
    ResetRecord {
        status: Some(ResetRecordStatus {
            phase: Phase::SettingPassword,
            attempt: Some(Attempt {
                id: "a0".to_owned(),
                process: "p1".to_owned(),
                number: 1,
                timestamp: Time(at(0)),
                found_unanswered_until: None,
            }),
            unanswered_until: Some(Time(at(0) + bounds().request_validity)),
            row: Some(row(State::SettingPassword)),
            ..ResetRecordStatus::default()
        }),
        ..ResetRecord::new("cn-hangzhou.i-bp1a0000", spec("web", "i-bp1a0000"))
    }
}

pub(crate) fn reading(sent: i64, since: i64, power: Power, start: i64) -> Reading {
    Reading {
        sent_at: at(sent),
        since: at(since),
        seen: Some(InstanceView {
            power,
            start_time: Some(at(start)),
            name: "web-1".to_owned(),
            zone_id: "cn-hangzhou-h".to_owned(),
            os_type: "linux".to_owned(),
            key_pair_name: None,
            locks: Vec::new(),
            expires: None,
            permitted: true,
        }),
    }
}

pub(crate) fn fingerprint(value: &str) -> Fingerprint {
    Fingerprint { key_id: "k1".to_owned(), value: value.to_owned() }
}

/// The spec of an object with so many instances, of which two may be away at once.
pub(crate) fn reset_spec(instances: usize) -> PasswordResetSpec {
    let ids: Vec<String> = (0..instances).map(|n| format!("i-bp1a{n:04}")).collect();
    serde_json::from_value(serde_json::json!({
        "regionID": "cn-hangzhou", "instanceIDs": ids, "passwordSecretRef": {"name": "pw"},
        "restart": {"maxUnavailable": 2}, "stableStateTimeoutSeconds": 60,
    }))
    .unwrap()
}

pub(crate) fn request() -> Request {
    Request {
        owner: owner("web"),
        tokens: vec!["run:1".to_owned()],
        retry: None,
        fingerprint: Some(fingerprint("f")),
        resets_on_change: false,
        resolution: None,
    }
}

/// The status of an object that is new.
pub(crate) fn no_status() -> &'static PasswordResetStatus {
    static EMPTY: LazyLock<PasswordResetStatus> = LazyLock::new(PasswordResetStatus::default);
    &EMPTY
}

/// The facts of a new object that nothing holds back.
pub(crate) fn reset_facts<'a>(spec: &'a PasswordResetSpec, request: &'a Request) -> ResetFacts<'a> {
    ResetFacts { generation: Some(1), min_restart_interval_seconds: 600, ..ResetFacts::new(spec, no_status(), request) }
}

/// An instance without a record.
pub(crate) fn target<'a>(instance_id: &'a str, reading: Option<&'a Reading>) -> Target<'a> {
    Target {
        instance_id,
        record: None,
        bad_record: None,
        claimed_by_another: false,
        before: None,
        reading,
        own_password: None,
    }
}

/// The facts of a claim that nothing holds back.
pub(crate) fn claim_facts<'a>(record: &'a ResetRecord, reading: Option<&'a Reading>) -> ClaimFacts<'a> {
    ClaimFacts {
        record,
        process: "p1",
        unsent: false,
        reading,
        sendable: Sendable::Yes,
        restart_hold: RestartHold::None,
        start_time_follows_reboot: false,
        others_away: 0,
        describable_since: None,
        is_listed: true,
        owner_row: None,
        bounds: bounds(),
    }
}

/// The first run of an object.
pub(crate) fn run() -> Run {
    Run {
        number: 1,
        trigger: Trigger::Created,
        run_id: None,
        tokens: vec!["run:1".to_owned()],
        retry: None,
        fingerprint: None,
        start_time: Time(at(0)),
        completion_time: None,
    }
}

/// One that holds a slot.
pub(crate) fn holder(instance_id: &str, outlook: Outlook) -> Holder {
    Holder { instance_id: instance_id.to_owned(), outlook, ready_at: None }
}
