//! What proves that a restart happened, and what follows when its outcome is not known. Part of [`crate::decide::claim::next`], and as pure.
//!
//! An accepted restart is never requested again. One whose outcome is not known is requested again only after a reading that
//! shows, from after the death of its last copy, that it cannot have happened.

use jiff::{SignedDuration, Timestamp};

use super::consent::may_send;
use super::release;
use super::restart::{drained_at, due, due_from};
use super::step::{Change, ClaimFacts, NextStart, Sendable, Step};
use super::transition::heard;
use crate::api::reset_record::{Phase, ResetRecordSpec, ResetRecordStatus, StartTimeEvidence};
use crate::api::{HAPPENED, RESTART_AGAIN, Reason};
use crate::decide::bounds::SOON;
use crate::decide::resolution::happened_command;
use crate::decide::restart_hold::RestartHold;
use crate::decide::{MINUTE, Power, Reading, after, is_drained, later, minute, settled};

/// With how many stored attempts, refused ones too, a lost restart is left to a person.
const RESTART_ATTEMPTS: u32 = 3;

/// A restart whose outcome is not known. Nothing is sent until a reading can tell: one that was sent after the last copy
/// has died and whatever it did has become visible.
pub(super) fn prove_unanswered(
    o: &ClaimFacts,
    spec: &ResetRecordSpec,
    status: &ResetRecordStatus,
    now: Timestamp,
) -> Step {
    if o.unsent {
        // The write was made but not answered, so the send after it was never made.
        return Step::Write(Change::RestartNotSent);
    }
    if let Some(start_time) = moved(o.reading, status) {
        return Step::Write(Change::InEffect { start_time: Some(start_time) });
    }
    let sent = status.attempt.as_ref().map_or(now, |attempt| attempt.timestamp.0);
    let settled_at = later(sent, o.bounds.request_validity + o.bounds.restart_settle);
    if let Some(step) = release::next(o, sent, drained_at(status), now, Change::Released) {
        return step;
    }
    let deadline = after(due_from(status, settled_at), i64::from(spec.timeout_seconds));
    let unknown = || {
        let why = format!(
            "a restart was requested ({}), and no start was observed since; the controller does not request it again",
            heard(status)
        );
        Step::Write(Change::Unknown(Reason::RestartOutcomeUnknown, format!("{why}. {}", ways_out(spec))))
    };
    let wait = |until: Timestamp, fresh_after| {
        if now > deadline { unknown() } else { Step::Wait { until: until.max(now + SOON), fresh_after } }
    };
    let late = o.reading.filter(|reading| reading.sent_at > settled_at);
    let Some((reading, seen)) = late.and_then(|reading| Some((reading, reading.seen.as_ref()?))) else {
        return wait(settled_at, Some(settled_at.max(now)));
    };
    match &seen.power {
        Power::Transitional(_) => wait(deadline, None),
        Power::Stopped => match settled(reading, settled_at, o.bounds) {
            Ok(()) => Step::Write(Change::EffectiveAtNextStart(NextStart::StoppedAfter)),
            Err(then) => wait(then, Some(then)),
        },
        Power::Running => {
            let attempts = status.attempt.as_ref().map_or(0, |attempt| attempt.number);
            match may_send(o, now) {
                _ if !o.start_time_follows_reboot || attempts >= RESTART_ATTEMPTS => unknown(),
                Sendable::Yes | Sendable::NotNow(_) if o.restart_hold != RestartHold::None => {
                    Step::Write(Change::RestartHeld)
                }
                Sendable::Yes => match due(o, spec, status, reading, seen, now) {
                    Some(Step::Wait { until, fresh_after }) => wait(until, fresh_after),
                    Some(step) => step,
                    None => wait(deadline, None),
                },
                Sendable::NotNow(_) => wait(now, None),
                Sendable::Never(_) => unknown(),
            }
        }
    }
}

/// How a person records an outcome that cannot be proven.
fn ways_out(spec: &ResetRecordSpec) -> String {
    let ResetRecordSpec { owner, instance_id, claim, .. } = spec;
    format!(
        "Decide by the instance's start time in the ECS console: {RESTART_AGAIN}, which resets and restarts it once more, if it was not started after passwordSetTime and ActionTrail shows no accepted RebootInstance; {HAPPENED} if it was started after that: {}",
        happened_command(owner, instance_id, *claim)
    )
}

/// An accepted restart: waits for the proof that the instance has started since.
pub(super) fn prove(o: &ClaimFacts, spec: &ResetRecordSpec, status: &ResetRecordStatus, now: Timestamp) -> Step {
    if let Some(start_time) = moved(o.reading, status) {
        return Step::Write(Change::InEffect { start_time: Some(start_time) });
    }
    let accepted = status.accepted_at.as_ref().map_or(spec.claim_time.0, |time| time.0);
    if let Some(step) = release::next(o, accepted, drained_at(status), now, Change::Released) {
        return step;
    }
    let deadline = after(accepted, i64::from(spec.timeout_seconds));
    let reading = o.reading.filter(|reading| reading.sent_at > accepted);
    // A change that was seen just before does not wake this reconcile again, so the first reading that counts is requested.
    let mut fresh_after = reading.is_none().then(|| later(accepted, SignedDuration::from_millis(1)));
    if let Some((reading, seen)) = reading.and_then(|reading| Some((reading, reading.seen.as_ref()?))) {
        match &seen.power {
            Power::Running if status.left_running => {
                // A reading may lag, and show once more what was before the restart; one that was sent so late cannot.
                let telling = later(accepted, o.bounds.restart_settle);
                if reading.sent_at < telling {
                    fresh_after = Some(telling);
                } else if o.start_time_follows_reboot {
                    return Step::Write(Change::Learnt(StartTimeEvidence::NotMoved));
                } else {
                    return Step::Write(Change::InEffect { start_time: None });
                }
            }
            Power::Stopped | Power::Transitional(_) if !status.left_running => {
                return Step::Write(Change::LeftRunning);
            }
            Power::Running | Power::Transitional(_) => {}
            Power::Stopped => {
                if status.start_time_evidence.is_none() {
                    return Step::Write(Change::Learnt(StartTimeEvidence::Inconclusive));
                }
                match settled(reading, accepted, o.bounds) {
                    Ok(()) => return Step::Write(Change::EffectiveAtNextStart(NextStart::StoppedAfter)),
                    Err(then) => fresh_after = Some(then),
                }
            }
        }
    }
    if now > deadline {
        let ResetRecordSpec { owner, instance_id, claim, timeout_seconds, .. } = spec;
        let message = format!(
            "ECS accepted the restart, but it was not seen to finish within {timeout_seconds} s; the controller never forces a restart, and requests no other one. Bring the instance to Running in the ECS console. Once it shows a start after passwordSetTime, record that: {}",
            happened_command(owner, instance_id, *claim)
        );
        return Step::Write(Change::Unknown(Reason::RestartStuck, message));
    }
    Step::Wait { until: after(deadline, 1), fresh_after }
}

/// An ended claim whose restart still holds a slot: until the instance was Running for `minReadySeconds`, also after the
/// last moment at which a copy that is unanswered can have taken it away, was released, or has left its owner's list.
pub(super) fn await_availability(
    o: &ClaimFacts,
    spec: &ResetRecordSpec,
    status: &ResetRecordStatus,
    now: Timestamp,
) -> Step {
    // A machine that a user has stopped would hold up the others for ever. A user who removes it from the list accepts that.
    if !o.is_listed && is_drained(status, now) {
        return Step::Write(Change::Available);
    }
    let ended = status.row.as_ref().and_then(|row| row.state_time.as_ref()).map_or(spec.claim_time.0, |time| time.0);
    // What the claim came to stays, where that is known.
    let released = if status.phase == Phase::InEffect { Change::Available } else { Change::Released };
    if let Some(step) = release::next(o, ended, drained_at(status), now, released) {
        return step;
    }
    let running = o.reading.filter(|reading| reading.shows(&Power::Running));
    let from = running.map_or(now, |reading| reading.since).max(ended);
    let last_copy = status.unanswered_until.as_ref().map_or(from, |until| later(until.0, o.bounds.restart_settle));
    let available = after(from, i64::from(spec.min_ready_seconds)).max(last_copy);
    if running.is_some_and(|reading| reading.sent_at >= available) {
        return Step::Write(Change::Available);
    }
    // Each minute, because a change of the owner's list does not wake this reconcile.
    Step::Wait { until: later(now, MINUTE), fresh_after: Some(available) }
}

/// The StartTime that proves a start after the acknowledgement: later than the one stored before the restart, *and* not
/// before the minute of the acknowledgement, since the stored one may come from a reading that lagged.
fn moved(reading: Option<&Reading>, status: &ResetRecordStatus) -> Option<Timestamp> {
    let seen = reading?.seen.as_ref().filter(|seen| seen.power == Power::Running)?;
    let start_time = seen.start_time?;
    let before = status.start_time_before.as_ref()?.0;
    let acknowledged = status.password_acknowledged_at.as_ref()?.0;
    (start_time > before && minute(start_time) >= minute(acknowledged)).then_some(start_time)
}
