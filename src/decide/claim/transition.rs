//! What a record is after a step: the only place where progress is computed.
//!
//! Three functions, one for each moment: [`intend`] before a call is sent, [`fold`] after its outcome is known, and
//! [`apply`] for what was only observed. Each returns the whole status, so one write is one step.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::start_time_evidence;
use super::step::{Call, Change, NextStart};
use crate::api::Reason;
use crate::api::password_reset::{InstanceRow, PlannedAction, State};
use crate::api::reset_record::{Attempt, Phase, ResetRecord, ResetRecordSpec, ResetRecordStatus, StartTimeEvidence};
use crate::decide::resolution::happened_command;
use crate::decide::row::advance;
use crate::decide::{Power, ProtocolBounds, Reading, after, history};

/// The process and the time of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAttempt {
    /// A random id.
    pub id: String,
    /// The id of this process.
    pub process: String,
    /// The Timestamp to be signed, on ECS's clock.
    pub timestamp: Timestamp,
    /// Whether the attempt whose place it takes was never sent, as this process knows of its own: see [`super::step::ClaimFacts::unsent`].
    pub replaces_unsent: bool,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// ECS answered with success.
    Accepted {
        /// The answer's RequestId.
        request_id: Option<String>,
        /// When, on ECS's clock.
        at: Timestamp,
    },
    /// ECS refused it before anything was carried out.
    Refused {
        /// Whether the same call may succeed later: a state in transition, throttling, credentials, the clock.
        later: bool,
        /// The reason for the row.
        reason: Reason,
        /// What happened, in our own words with ECS's code and RequestId.
        message: String,
    },
    /// It never left: as if refused for the moment.
    NotSent {
        /// The reason for the row: what held it up, which may have nothing to do with ECS.
        reason: Reason,
        /// What held it up, for people.
        message: String,
    },
    /// It may have been carried out. The text says what was answered, or why there was no answer.
    Unknown(String),
}

/// The status with a new attempt stored, before the call is sent.
#[must_use]
pub fn intend(record: &ResetRecord, call: Call, attempt: NewAttempt, bounds: ProtocolBounds) -> ResetRecordStatus {
    let mut status = record.progress();
    let NewAttempt { id, process, timestamp, replaces_unsent } = attempt;
    let unanswered_until = match &status.attempt {
        Some(unsent) if replaces_unsent => unsent.found_unanswered_until.clone(),
        _ => status.unanswered_until.clone(),
    };
    let same_kind = match call {
        Call::SetPassword | Call::SetPasswordAsStored => status.attempt.as_ref(),
        Call::Restart { .. } => status.attempt.as_ref().filter(|_| status.start_time_before.is_some()),
    };
    status.attempt = Some(Attempt {
        id,
        process,
        number: same_kind.map_or(0, |attempt| attempt.number).saturating_add(1),
        timestamp: Time(timestamp),
        found_unanswered_until: unanswered_until,
    });
    status.unanswered_until = Some(Time(timestamp + bounds.request_validity));
    if let Call::Restart { start_time_before } = call {
        status.phase = Phase::RestartRequested;
        status.start_time_before = Some(Time(start_time_before));
        status.left_running = false;
        // Without an answer nothing is written before that time, so the row names it now.
        let known = short(timestamp + bounds.request_validity + bounds.restart_settle);
        let message = format!(
            "restart requested; if ECS does not answer, the controller proves what happened after {known}, or asks a person"
        );
        show(&mut status, State::Restarting, Reason::Restarting, message, timestamp);
    }
    if let Some(row) = &mut status.row {
        row.attempts = row.attempts.saturating_add(1);
    }
    status
}

/// The status after the outcome of a call is known.
#[must_use]
pub fn fold(record: &ResetRecord, call: Call, outcome: &CallOutcome, now: Timestamp) -> ResetRecordStatus {
    let mut status = record.progress();
    if let CallOutcome::Unknown(heard) = outcome {
        // That it may be carried out is in the record since before the send.
        outcome_unknown(&mut status, &record.spec, call, heard, now);
        return status;
    }
    // Answered, or never sent: no copy of this attempt is alive.
    let found = status.attempt.as_ref().and_then(|attempt| attempt.found_unanswered_until.clone());
    status.unanswered_until.clone_from(&found);
    if found.is_none() {
        status.unknown_outcome = None;
    }
    match call {
        Call::SetPassword | Call::SetPasswordAsStored => {
            password_answered(&mut status, &record.spec, outcome, found.is_some(), now);
        }
        Call::Restart { .. } => restart_answered(&mut status, &record.spec, outcome, now),
    }
    status
}

/// The text about a call whose outcome is not known is for people: nothing is decided by it.
fn outcome_unknown(status: &mut ResetRecordStatus, spec: &ResetRecordSpec, call: Call, heard: &str, now: Timestamp) {
    status.unknown_outcome = Some(heard.to_owned());
    let until = status.unanswered_until.as_ref().map_or(now, |until| until.0);
    match call {
        Call::SetPassword | Call::SetPasswordAsStored => {
            let until = after(spec.claim_time.0, i64::from(spec.stable_state_timeout_seconds));
            let message =
                format!("setting the password: {heard}; the controller sends it again until {}", short(until));
            show(status, State::SettingPassword, Reason::SettingPassword, message, now);
        }
        Call::Restart { .. } => {
            let message = format!(
                "restart requested: {heard}; ECS may still carry it out until {}; soon after, the controller proves what happened or asks a person",
                short(until)
            );
            show(status, State::Restarting, Reason::Restarting, message, now);
        }
    }
}

fn password_answered(
    status: &mut ResetRecordStatus,
    spec: &ResetRecordSpec,
    outcome: &CallOutcome,
    other_copies: bool,
    now: Timestamp,
) {
    match outcome {
        CallOutcome::Accepted { request_id, at } => {
            status.phase = Phase::PasswordSet;
            status.password_acknowledged_at = Some(Time(*at));
            let message = format!("ECS acknowledged the password at {}", short(*at));
            show(status, State::PasswordSet, Reason::PasswordSet, message, now);
            if let Some(row) = &mut status.row {
                row.password_set_time = Some(Time(*at));
                row.password_request_id.clone_from(request_id);
            }
        }
        CallOutcome::Refused { later: true, reason, message } | CallOutcome::NotSent { reason, message } => {
            show(status, State::SettingPassword, *reason, message.clone(), now);
        }
        CallOutcome::Refused { later: false, message, .. } if other_copies => status.refusal = Some(message.clone()),
        CallOutcome::Refused { later: false, reason, message } => {
            end(status, spec, Phase::Failed, *reason, message.clone(), now);
        }
        CallOutcome::Unknown(_) => {}
    }
}

fn restart_answered(status: &mut ResetRecordStatus, spec: &ResetRecordSpec, outcome: &CallOutcome, now: Timestamp) {
    match outcome {
        CallOutcome::Accepted { request_id, at } => {
            status.phase = Phase::Restarting;
            status.accepted_at = Some(Time(*at));
            let message = format!("ECS accepted the restart at {}", short(*at));
            show(status, State::Restarting, Reason::Restarting, message, now);
            if let Some(row) = &mut status.row {
                row.restart_request_id.clone_from(request_id);
            }
        }
        CallOutcome::Refused { later: true, reason, message } | CallOutcome::NotSent { reason, message } => {
            status.phase = Phase::PasswordSet;
            show(status, State::PasswordSet, *reason, message.clone(), now);
        }
        CallOutcome::Refused { later: false, message, .. } => {
            let message = format!("{message}; the password takes effect at the next start");
            end(status, spec, Phase::Failed, Reason::RestartRefused, message, now);
        }
        CallOutcome::Unknown(_) => {}
    }
}

/// The status after something was observed.
#[must_use]
pub fn apply(record: &ResetRecord, change: Change, reading: Option<&Reading>, now: Timestamp) -> ResetRecordStatus {
    let mut status = record.progress();
    let spec = &record.spec;
    match change {
        Change::InEffect { start_time } => {
            let message = match start_time {
                Some(start) => format!("password in effect since the start at {}", short(start)),
                None => "password in effect: the instance left Running and returned".to_owned(),
            };
            status.start_time_evidence = start_time_evidence::evidence(&status, start_time);
            // A readiness of zero seconds is reached by the very reading that proves the start, unless a copy is still alive.
            let requested = status.start_time_before.is_some() && status.unanswered_until.is_none();
            if requested && spec.min_ready_seconds == 0 {
                status.available_time = Some(Time(reading.map_or(now, |reading| reading.sent_at)));
            }
            end(&mut status, spec, Phase::InEffect, Reason::RestartProven, message, now);
        }
        Change::EffectiveAtNextStart(cause) => {
            let why = match cause {
                NextStart::SetWhileStopped => "the instance is Stopped",
                NextStart::PolicyNever => "restart.policy is Never",
                NextStart::StoppedBefore => "the instance was found Stopped before its restart was requested",
                NextStart::OwnerGone => {
                    "its restart was held back and the PasswordReset is gone, so that no restart is requested"
                }
                NextStart::StoppedAfter => "the instance was found Stopped after its restart was requested",
            };
            let message = format!("password set; it takes effect at the next start through ECS because {why}");
            end(&mut status, spec, Phase::EffectiveAtNextStart, cause.reason(), message, now);
        }
        Change::Released => {
            let since = reading.map_or(now, |reading| reading.since);
            let message = format!(
                "the instance was released: ECS has not shown it since {}, and the account may describe it; remove it from spec.instanceIDs (with a selector: add it to excludeInstanceIDs)",
                short(since)
            );
            if status.start_time_before.is_some() {
                status.available_time = Some(Time(now));
            }
            end(&mut status, spec, Phase::Failed, Reason::InstanceReleased, message, now);
        }
        Change::Failed(reason, message) => end(&mut status, spec, Phase::Failed, reason, message, now),
        Change::Unknown(reason, message) => end(&mut status, spec, Phase::Unknown, reason, message, now),
        Change::LeftRunning => {
            status.left_running = true;
            if reading.is_some_and(|reading| reading.shows(&Power::Stopped)) && status.start_time_evidence.is_none() {
                status.start_time_evidence = Some(StartTimeEvidence::Inconclusive);
            }
            show(&mut status, State::Restarting, Reason::Restarting, "the instance has left Running".to_owned(), now);
        }
        Change::RestartHeld => {
            status.restart_held_since = Some(Time(now));
            if status.phase == Phase::RestartRequested {
                // The one that was requested was not carried out, and no copy of it is alive.
                status.phase = Phase::PasswordSet;
                (status.unanswered_until, status.unknown_outcome) = (None, None);
            }
            let message = "the password is set; the restart is held back, and the password takes effect at any start";
            show(&mut status, State::PasswordSet, Reason::PasswordSet, message.to_owned(), now);
        }
        Change::RestartReleased => {
            status.restart_held_since = None;
            status.restart_released_at = Some(Time(now));
            let message = "the password is set; the restart may be requested again".to_owned();
            show(&mut status, State::PasswordSet, Reason::PasswordSet, message, now);
        }
        Change::Learnt(evidence) => status.start_time_evidence = Some(evidence),
        Change::Happened => {
            let message = "a person recorded that the restart happened (annotation resolve-unknown)".to_owned();
            end(&mut status, spec, Phase::InEffect, Reason::ResolvedByPerson, message, now);
        }
        Change::Available => {
            status.available_time = Some(Time(now));
            show_return(&mut status, spec, reading, now);
        }
        Change::RestartNotSent => {
            let call = Call::Restart { start_time_before: status.start_time_before.map_or(now, |time| time.0) };
            let message = "the restart was not sent".to_owned();
            return fold(record, call, &CallOutcome::NotSent { reason: Reason::PasswordSet, message }, now);
        }
        Change::Withdrawn => {
            status = ResetRecordStatus {
                phase: Phase::Idle,
                start_time_evidence: status.start_time_evidence,
                last_restart_time: status.last_restart_time,
                memory_lost_time: status.memory_lost_time,
                completed: status.completed,
                ..ResetRecordStatus::default()
            };
        }
    }
    status
}

fn end(
    status: &mut ResetRecordStatus,
    spec: &ResetRecordSpec,
    phase: Phase,
    reason: Reason,
    message: String,
    now: Timestamp,
) {
    let state = match phase {
        Phase::InEffect => State::InEffect,
        Phase::EffectiveAtNextStart => State::EffectiveAtNextStart,
        Phase::Failed => State::Failed,
        _ => State::Unknown,
    };
    status.phase = phase;
    show(status, state, reason, message, now);
    if let Some(row) = &mut status.row {
        row.planned_action = Some(PlannedAction::Nothing);
        status.completed = history::complete(&status.completed, spec, row.clone());
    }
    // A restart that was refused, or never sent, does not count as a restart.
    if status.start_time_before.is_some() && (status.accepted_at.is_some() || status.unanswered_until.is_some()) {
        let sent = status.attempt.as_ref().map(|attempt| attempt.timestamp.clone());
        status.last_restart_time = status.accepted_at.clone().or(sent);
    }
}

/// An instance that was called stuck is back: whoever decides on it is to know, and no more of it than its user may.
fn show_return(status: &mut ResetRecordStatus, spec: &ResetRecordSpec, reading: Option<&Reading>, now: Timestamp) {
    let was_away = status.row.as_ref().and_then(InstanceRow::reason).filter(|reason| reason.returns_late());
    let is_back =
        |reading: &&Reading| reading.seen.as_ref().is_some_and(|seen| seen.permitted && seen.power == Power::Running);
    let Some((reason, reading)) = was_away.zip(reading.filter(is_back)) else { return };
    let message = format!(
        "ECS accepted the restart, but it was not seen to finish within {} s. By now the instance is back: ECS showed it Running at {}. If the ECS console shows a start after passwordSetTime, record that: {}",
        spec.timeout_seconds,
        short(reading.sent_at),
        happened_command(&spec.owner, &spec.instance_id, spec.claim)
    );
    show(status, State::Unknown, reason, message, now);
    if let Some(row) = &status.row {
        status.completed = history::complete(&status.completed, spec, row.clone());
    }
}

fn show(status: &mut ResetRecordStatus, state: State, reason: Reason, message: String, now: Timestamp) {
    if let Some(row) = &mut status.row {
        advance(row, state, reason, message, now);
    }
}

/// What was heard of a call whose outcome is not known.
pub(super) fn heard(status: &ResetRecordStatus) -> &str {
    status.unknown_outcome.as_deref().unwrap_or("no answer was recorded")
}

/// A time for people: to the minute where that is all there is.
fn short(time: Timestamp) -> String {
    let format = if time.as_second() % 60 == 0 { "%H:%MZ" } else { "%H:%M:%SZ" };
    time.strftime(format).to_string()
}

#[cfg(test)]
#[path = "transition_tests.rs"]
mod tests;
