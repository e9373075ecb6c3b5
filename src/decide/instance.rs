//! One claimed instance: what to do next.
//!
//! ```text
//!  Idle ─claim─▶ SettingPassword ─▶ PasswordSet ─▶ RestartRequested ─▶ Restarting ─▶ InEffect
//!                     │                  ├─▶ EffectiveAtNextStart ◀──┤       │
//!                     └───── Failed ◀────┴───────────────────────────┴───────┴──▶ Unknown
//! ```
//! The happy path: the claim has stored an attempt, so the password is sent; acknowledged, the phase is `PasswordSet`; a
//! reading sent after that shows the instance Running, so a restart attempt is stored and sent; accepted, the phase is
//! `Restarting`, until a reading proves a start: StartTime has moved, or the instance was seen to leave Running and return.
//!
//! When a send is not answered, or this process finds another's attempt: a password may be sent again, under a new
//! attempt; a restart never is. It is proven by a later reading, or ends as Unknown once no copy of it can be alive.
//!
//! [`next`] is total and pure. It names a [`Step`]; [`super::progress`] says what the record is after it. All times here
//! are on ECS's clock.

use jiff::{SignedDuration, Timestamp};

use super::{Power, Reading, SEND_WINDOW, Seen, Timing, backoff, minute, slots};
use crate::api::password_reset::RestartPolicy;
use crate::api::reasons;
use crate::api::reset_record::{Attempt, Phase, ResetRecord, ResetRecordSpec, ResetRecordStatus};

/// How soon to look again when something outside ECS is in the way.
const SOON: SignedDuration = SignedDuration::from_secs(5);

/// Everything that the decision rests on.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The record, just read from the API server.
    pub record: &'a ResetRecord,
    /// The id of this process.
    pub process: &'a str,
    /// Whether the record's attempt is this process's own and was never sent.
    pub unsent: bool,
    /// The latest reading of the instance through the claim's account.
    pub reading: Option<&'a Reading>,
    /// Whether the claim's password can be sent; looked at in `SettingPassword` only.
    pub sendable: Sendable,
    /// How many other instances of the owner are away, or may be.
    pub others_away: u32,
    /// The lengths of time that ECS's behaviour dictates.
    pub timing: Timing,
}

/// Whether the password of the claim can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sendable {
    /// The Secret holds the claimed password and the account is ready.
    Yes,
    /// Not at the moment: an account that is not ready, an API server that does not answer.
    NotNow(String),
    /// Never again: the Secret is gone or holds another password, the account is gone or no longer allows it.
    Never(String),
}

/// What to do next. At most one changing call, always under an attempt that is stored first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is left to do.
    Done,
    /// Look again at `until`, or as soon as there is a reading sent at or after `fresh_after`, or the instance changes.
    Wait {
        /// When to look again at the latest.
        until: Timestamp,
        /// A reading sent at or after this moment is wanted.
        fresh_after: Option<Timestamp>,
    },
    /// Write what was observed; no call.
    Write(Change),
    /// Make this call.
    Call(Call),
}

/// A change of the record that follows from what was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A start after the acknowledgement is proven.
    InEffect {
        /// The StartTime that proves it, where it moved.
        start_time: Option<Timestamp>,
    },
    /// The password takes effect at the next start.
    EffectiveAtNextStart(&'static str),
    /// A definite failure.
    Failed(&'static str, String),
    /// The outcome cannot be proven.
    Unknown(&'static str, String),
    /// The instance was seen not Running after its restart was accepted.
    LeftRunning,
    /// The instance has been Running for `minReadySeconds`.
    Available,
    /// The restart that is stored was never sent, as this process knows of its own attempt.
    RestartNotSent,
    /// Nothing was sent and nothing can be: as if never claimed.
    GivenBack,
}

/// A changing call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `ModifyInstanceAttribute`, under the attempt that is stored already.
    SetPasswordAsStored,
    /// `ModifyInstanceAttribute`, under a new attempt.
    SetPassword,
    /// `RebootInstance`, under a new attempt, in the pass that stores it and never in another.
    Restart {
        /// The StartTime just read.
        start_time_before: Timestamp,
    },
}

/// What to do next with a claimed instance.
#[must_use]
pub fn next(observed: &Observed, now: Timestamp) -> Step {
    let spec = &observed.record.spec;
    let Some(status) = &observed.record.status else { return Step::Done };
    match status.phase {
        Phase::Idle | Phase::EffectiveAtNextStart | Phase::Unrecognized => Step::Done,
        Phase::SettingPassword => set_password(observed, spec, status, now),
        Phase::PasswordSet => request_restart(observed, spec, status, now),
        Phase::RestartRequested => prove_unanswered_restart(observed, status, now),
        Phase::Restarting => prove_restart(observed, spec, status, now),
        Phase::InEffect | Phase::Failed | Phase::Unknown => await_availability(observed, spec, status, now),
    }
}

fn set_password(o: &Observed, spec: &ResetRecordSpec, status: &ResetRecordStatus, now: Timestamp) -> Step {
    if let Some(refusal) = &status.refusal {
        return once_drained(status, now, refusal);
    }
    let deadline = after(spec.claim_time.0, i64::from(spec.stable_state_timeout_seconds));
    let nothing_unanswered =
        if o.unsent { found_nothing_unanswered(status) } else { status.unanswered_until.is_none() };
    if let Sendable::Never(why) = &o.sendable {
        return if nothing_unanswered { Step::Write(Change::GivenBack) } else { once_drained(status, now, why) };
    }
    if now > deadline {
        let why = status.row.as_ref().map(|row| row.message.clone()).unwrap_or_default();
        let message = format!("the password could not be set within {} s: {why}", spec.stable_state_timeout_seconds);
        return if nothing_unanswered {
            Step::Write(Change::Failed(reasons::PASSWORD_REFUSED, message))
        } else {
            once_drained(status, now, &message)
        };
    }
    if let Sendable::NotNow(_) = o.sendable {
        return Step::Wait { until: now + SOON, fresh_after: None };
    }
    let Some(seen) = fresh(o.reading, now) else {
        return Step::Wait { until: deadline, fresh_after: Some(now - SEND_WINDOW / 2) };
    };
    if matches!(seen.power, Power::Transitional(_)) || !seen.locks.is_empty() {
        return Step::Wait { until: deadline, fresh_after: None };
    }
    match &status.attempt {
        Some(attempt) if o.unsent && now < attempt.timestamp.0 + SEND_WINDOW / 2 => {
            Step::Call(Call::SetPasswordAsStored)
        }
        // An attempt of this process that was sent, or refused: not again at once.
        Some(attempt) if attempt.process == o.process && !o.unsent && now < retry_time(attempt, spec) => {
            Step::Wait { until: retry_time(attempt, spec), fresh_after: None }
        }
        _ => Step::Call(Call::SetPassword),
    }
}

/// Whether an attempt that was never sent found nothing unanswered.
fn found_nothing_unanswered(status: &ResetRecordStatus) -> bool {
    status.attempt.as_ref().is_some_and(|attempt| attempt.found_unanswered_until.is_none())
}

/// What ends a claim whose password cannot be sent any more although a copy may be alive: `Unknown`, once none is.
fn once_drained(status: &ResetRecordStatus, now: Timestamp, why: &str) -> Step {
    match &status.unanswered_until {
        Some(until) if until.0 > now => Step::Wait { until: until.0, fresh_after: None },
        _ => Step::Write(Change::Unknown(
            reasons::PASSWORD_OUTCOME_UNKNOWN,
            format!(
                "a request to set the password was not answered, and it cannot be sent again ({why}); set a new runID to reset the instance again"
            ),
        )),
    }
}

fn request_restart(o: &Observed, spec: &ResetRecordSpec, status: &ResetRecordStatus, now: Timestamp) -> Step {
    let Some(acknowledged) = status.password_acknowledged_at.as_ref().map(|time| time.0) else {
        // A hand-edited record: without the acknowledgement nothing can be proven.
        let why = "the record does not say when the password was acknowledged".to_owned();
        return Step::Write(Change::Unknown(reasons::PASSWORD_OUTCOME_UNKNOWN, why));
    };
    let deadline = after(acknowledged, i64::from(spec.timeout_seconds));
    let wait = |fresh_after| {
        if now > deadline {
            Step::Write(Change::Failed(
                reasons::RESTART_REFUSED,
                format!(
                    "no restart could be requested within {} s ({}); the password takes effect at the next start",
                    spec.timeout_seconds,
                    status.row.as_ref().map_or("the instance was not seen Running", |row| &row.message)
                ),
            ))
        } else {
            Step::Wait { until: deadline + SignedDuration::from_secs(1), fresh_after }
        }
    };
    let reading = o.reading.filter(|reading| reading.sent_at > acknowledged);
    let Some((reading, seen)) = reading.and_then(|reading| Some((reading, reading.seen.as_ref()?))) else {
        return wait(Some(acknowledged + SignedDuration::from_millis(1)));
    };
    if seen.power == Power::Running
        && let Some(start_time) = seen.start_time.filter(|start_time| *start_time > minute(acknowledged))
    {
        return Step::Write(Change::InEffect { start_time: Some(start_time) });
    }
    if spec.restart_policy != RestartPolicy::IfRunning {
        return Step::Write(Change::EffectiveAtNextStart(reasons::RESTART_POLICY_NEVER));
    }
    match &seen.power {
        Power::Transitional(_) => wait(None),
        Power::Stopped if spec.state_seen == Power::Stopped.as_str() => {
            Step::Write(Change::EffectiveAtNextStart(reasons::SET_WHILE_STOPPED))
        }
        Power::Stopped => match settled(reading, acknowledged, o.timing) {
            Ok(()) => Step::Write(Change::EffectiveAtNextStart(reasons::STOPPED_BEFORE_RESTART)),
            Err(then) => wait(Some(then)),
        },
        Power::Running => {
            if now > deadline {
                return wait(None);
            }
            restart(o, spec, status, reading, seen, now).unwrap_or_else(|| wait(None))
        }
    }
}

/// The restart of an instance that is Running, or what it still waits for.
fn restart(
    o: &Observed,
    spec: &ResetRecordSpec,
    status: &ResetRecordStatus,
    reading: &Reading,
    seen: &Seen,
    now: Timestamp,
) -> Option<Step> {
    let start_time = seen.start_time?;
    if reading.sent_at < now - SEND_WINDOW {
        return Some(Step::Wait { until: now + SEND_WINDOW, fresh_after: Some(now - SEND_WINDOW / 2) });
    }
    // A StartTime has minute precision: one in the present minute could not be told from that of our own restart.
    let next_minute = minute(start_time) + SEND_WINDOW;
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

/// A restart whose answer is not known: never sent again; proven by a reading, or Unknown once no copy can be alive.
fn prove_unanswered_restart(o: &Observed, status: &ResetRecordStatus, now: Timestamp) -> Step {
    if o.unsent {
        // The write was not answered but made, so the send that follows it never was.
        return Step::Write(Change::RestartNotSent);
    }
    if let Some(start_time) = moved(o.reading, status) {
        return Step::Write(Change::InEffect { start_time: Some(start_time) });
    }
    let sent = status.attempt.as_ref().map_or(now, |attempt| attempt.timestamp.0);
    let settled_at = sent + o.timing.request_validity + o.timing.restart_settle;
    let late = o.reading.filter(|reading| reading.sent_at > settled_at);
    let Some((reading, seen)) = late.and_then(|reading| Some((reading, reading.seen.as_ref()?))) else {
        return Step::Wait { until: settled_at.max(now + SOON), fresh_after: Some(settled_at.max(now)) };
    };
    if seen.power == Power::Stopped {
        return match settled(reading, settled_at, o.timing) {
            Ok(()) => Step::Write(Change::EffectiveAtNextStart(reasons::STOPPED_AFTER_RESTART)),
            Err(then) => Step::Wait { until: then, fresh_after: Some(then) },
        };
    }
    Step::Write(Change::Unknown(
        reasons::RESTART_OUTCOME_UNKNOWN,
        "a restart was requested and not answered, and no start was observed since; it is not requested again. Look at the instance's start time in the console, then set a new runID or leave it"
            .to_owned(),
    ))
}

fn prove_restart(o: &Observed, spec: &ResetRecordSpec, status: &ResetRecordStatus, now: Timestamp) -> Step {
    if let Some(start_time) = moved(o.reading, status) {
        return Step::Write(Change::InEffect { start_time: Some(start_time) });
    }
    let accepted = status.accepted_at.as_ref().map_or(spec.claim_time.0, |time| time.0);
    let deadline = after(accepted, i64::from(spec.timeout_seconds));
    let reading = o.reading.filter(|reading| reading.sent_at > accepted);
    if let Some((reading, seen)) = reading.and_then(|reading| Some((reading, reading.seen.as_ref()?))) {
        if seen.power == Power::Running && status.left_running {
            return Step::Write(Change::InEffect { start_time: None });
        }
        if seen.power != Power::Running && !status.left_running {
            return Step::Write(Change::LeftRunning);
        }
        if seen.power == Power::Stopped && settled(reading, accepted, o.timing).is_ok() {
            return Step::Write(Change::EffectiveAtNextStart(reasons::STOPPED_AFTER_RESTART));
        }
    }
    if now > deadline {
        return Step::Write(Change::Unknown(
            reasons::RESTART_STUCK,
            format!(
                "the restart was accepted but not seen to finish within {} s; it is never forced. Look at the instance in the console",
                spec.timeout_seconds
            ),
        ));
    }
    let stopped_since = o.reading.filter(|reading| is_stopped(reading)).map(|reading| reading.since.max(accepted));
    Step::Wait {
        until: deadline + SignedDuration::from_secs(1),
        fresh_after: stopped_since.map(|since| since + o.timing.restart_settle),
    }
}

/// An ended claim whose restart still holds a slot: until the instance was Running for `minReadySeconds`.
fn await_availability(o: &Observed, spec: &ResetRecordSpec, status: &ResetRecordStatus, now: Timestamp) -> Step {
    if !slots::awaits_availability(status) {
        return Step::Done;
    }
    let ended = status.row.as_ref().and_then(|row| row.state_time.as_ref()).map_or(spec.claim_time.0, |time| time.0);
    let running = o.reading.filter(|reading| is_running(reading));
    let from = running.map_or(now, |reading| reading.since).max(ended);
    let available = after(from, i64::from(spec.min_ready_seconds));
    if running.is_some_and(|reading| reading.sent_at >= available) {
        return Step::Write(Change::Available);
    }
    Step::Wait { until: available.max(now) + SEND_WINDOW, fresh_after: Some(available) }
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

/// Whether an unbroken row of readings, counted from `from` at the earliest, is M long; else when it will be.
fn settled(reading: &Reading, from: Timestamp, timing: Timing) -> Result<(), Timestamp> {
    let then = reading.since.max(from) + timing.restart_settle;
    if reading.sent_at >= then { Ok(()) } else { Err(then) }
}

/// The instance of a reading that is fresh enough to sign a changing call by.
fn fresh(reading: Option<&Reading>, now: Timestamp) -> Option<&Seen> {
    reading.filter(|reading| reading.sent_at >= now - SEND_WINDOW)?.seen.as_ref()
}

fn is_running(reading: &Reading) -> bool {
    reading.seen.as_ref().is_some_and(|seen| seen.power == Power::Running)
}

fn is_stopped(reading: &Reading) -> bool {
    reading.seen.as_ref().is_some_and(|seen| seen.power == Power::Stopped)
}

fn retry_time(attempt: &Attempt, spec: &ResetRecordSpec) -> Timestamp {
    attempt.timestamp.0 + backoff::delay(attempt.number, &spec.instance_id)
}

fn after(time: Timestamp, seconds: i64) -> Timestamp {
    time + SignedDuration::from_secs(seconds)
}

#[cfg(test)]
#[path = "instance_tests.rs"]
pub(crate) mod tests;
