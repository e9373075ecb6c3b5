//! Whether and when a restart is requested. Part of [`crate::decide::claim::next`], and as pure. What proves it, and whether a lost one is
//! requested again, is in [`super::proof`]; what holds one back in [`crate::decide::restart_hold`].

use jiff::{SignedDuration, Timestamp};

use super::consent::{may_send, retry_time};
use super::release;
use super::step::{Call, Change, ClaimFacts, NextStart, Sendable, Step};
use crate::api::Reason;
use crate::api::password_reset::RestartPolicy;
use crate::api::reset_record::{ResetRecordSpec, ResetRecordStatus};
use crate::decide::bounds::SOON;
use crate::decide::restart_hold::RestartHold;
use crate::decide::{InstanceView, MINUTE, Power, Reading, SEND_WINDOW, after, later, minute, settled};

/// How soon to ask again whether a restart is still held back: a change of its owner or its account does not wake the claim.
const RECHECK_HOLD: SignedDuration = SignedDuration::from_secs(5);

/// The password is acknowledged: requests the restart, if the instance is Running and nothing forbids it.
pub(super) fn request(o: &ClaimFacts, spec: &ResetRecordSpec, status: &ResetRecordStatus, now: Timestamp) -> Step {
    let Some(acknowledged) = status.password_acknowledged_at.as_ref().map(|time| time.0) else { return Step::Done };
    if let Some(step) = release::next(o, acknowledged, drained_at(status), now, Change::Released) {
        return step;
    }
    let hold = if let RestartHold::Held(hold) = &o.restart_hold { Some(hold) } else { None };
    if spec.restart_policy == RestartPolicy::IfRunning {
        match (hold, &status.restart_held_since) {
            (Some(_), None) => return Step::Write(Change::RestartHeld),
            (None, Some(_)) if o.restart_hold == RestartHold::None => {
                return Step::Write(Change::RestartReleased);
            }
            _ => {}
        }
    }
    let deadline = after(due_from(status, acknowledged), i64::from(spec.timeout_seconds));
    let wait = |fresh_after| {
        if let Some(hold) = hold {
            let until = later(now, RECHECK_HOLD);
            return Step::Wait { until: hold.until.map_or(until, |end| until.min(end)), fresh_after };
        }
        if now > deadline {
            let row = || status.row.as_ref().map_or("the instance was not seen Running", |row| &row.message);
            let why = if let Sendable::NotNow(why) = &o.sendable { why } else { row() };
            let seconds = spec.timeout_seconds;
            Step::Write(Change::Failed(
                Reason::RestartRefused,
                format!(
                    "the restart could not be requested within {seconds} s ({why}); the password takes effect at the next start"
                ),
            ))
        } else {
            Step::Wait { until: after(deadline, 1), fresh_after }
        }
    };
    let reading = o.reading.filter(|reading| reading.sent_at > acknowledged);
    let Some((reading, seen)) = reading.and_then(|reading| Some((reading, reading.seen.as_ref()?))) else {
        return wait(Some(later(acknowledged, SignedDuration::from_millis(1))));
    };
    if seen.power == Power::Running
        && let Some(start_time) = seen.start_time.filter(|start_time| minute(*start_time) > minute(acknowledged))
    {
        return Step::Write(Change::InEffect { start_time: Some(start_time) });
    }
    if spec.restart_policy != RestartPolicy::IfRunning {
        return Step::Write(Change::EffectiveAtNextStart(NextStart::PolicyNever));
    }
    match &seen.power {
        Power::Transitional(_) => wait(None),
        Power::Stopped if spec.state_seen == Power::Stopped.as_str() => {
            Step::Write(Change::EffectiveAtNextStart(NextStart::SetWhileStopped))
        }
        Power::Stopped => match settled(reading, acknowledged, o.bounds) {
            Ok(()) => Step::Write(Change::EffectiveAtNextStart(NextStart::StoppedBefore)),
            Err(then) => wait(Some(then)),
        },
        Power::Running => match may_send(o, now) {
            Sendable::Never(why) => Step::Write(Change::Failed(
                Reason::RestartRefused,
                format!("the restart is no longer allowed ({why}); the password takes effect at the next start"),
            )),
            _ if o.restart_hold == RestartHold::Over => Step::Write(Change::EffectiveAtNextStart(NextStart::OwnerGone)),
            Sendable::Yes if hold.is_none() && now <= deadline => {
                due(o, spec, status, reading, seen, now).unwrap_or_else(|| wait(None))
            }
            Sendable::Yes | Sendable::NotNow(_) => wait(None),
        },
    }
}

/// From when `timeoutSeconds` counts: the time during which the restart was held back does not.
pub(super) fn due_from(status: &ResetRecordStatus, otherwise: Timestamp) -> Timestamp {
    status.restart_released_at.as_ref().map_or(otherwise, |released| released.0.max(otherwise))
}

/// The request of a restart of an instance that is Running, or what it still waits for.
pub(super) fn due(
    o: &ClaimFacts,
    spec: &ResetRecordSpec,
    status: &ResetRecordStatus,
    reading: &Reading,
    seen: &InstanceView,
    now: Timestamp,
) -> Option<Step> {
    let start_time = seen.start_time?;
    if !reading.is_fresh(now) {
        return Some(Step::Wait { until: now + SEND_WINDOW, fresh_after: Some(now - SEND_WINDOW / 2) });
    }
    // A StartTime has minute precision: one in the present minute could not be told from that of our own restart.
    let next_minute = later(minute(start_time), MINUTE);
    if now < next_minute {
        return Some(Step::Wait { until: next_minute, fresh_after: None });
    }
    if let Some(attempt) = status.attempt.as_ref().filter(|_| status.start_time_before.is_some())
        && now < retry_time(attempt, spec)
    {
        return Some(Step::Wait { until: retry_time(attempt, spec), fresh_after: None });
    }
    if o.others_away >= spec.max_unavailable {
        return Some(Step::Wait { until: now + SOON, fresh_after: None });
    }
    Some(Step::Call(Call::Restart { start_time_before: start_time }))
}

/// When the last unanswered copy is dead, if there is one.
pub(super) fn drained_at(status: &ResetRecordStatus) -> Option<Timestamp> {
    status.unanswered_until.as_ref().map(|until| until.0)
}
