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
//! When a send is not answered, or this process finds another's attempt: a password may be sent again at once, under a new
//! attempt. A restart may not: it is proven by a later reading; or, once no copy of it can be alive any more, requested
//! again where StartTime is known to follow reboots and has not moved; or it ends as Unknown, and a person decides.
//!
//! [`next`] is total and pure. It names a [`Step`]; [`super::progress`] says what the record is after it. This file holds the
//! password's rules, [`super::restart`] those of the restart. All times here
//! are on ECS's clock.

use jiff::{SignedDuration, Timestamp};

use super::{Power, Reading, SEND_WINDOW, Seen, Timing, backoff, later, restart};
use crate::api::reasons;
use crate::api::reset_record::{Attempt, Phase, ResetRecord, ResetRecordSpec, ResetRecordStatus, StartTimeEvidence};

/// How soon to look again when something outside ECS is in the way.
pub(super) const SOON: SignedDuration = SignedDuration::from_secs(5);

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
    /// Whether the claim's next call can be made: its account, and in `SettingPassword` its password too. What the instance
    /// itself says is not in it; see [`may_send`].
    pub sendable: Sendable,
    /// Whether StartTime is known to follow reboots in this account and region.
    pub start_time_follows_reboot: bool,
    /// How many other instances of the owner are away, or may be.
    pub others_away: u32,
    /// The lengths of time that ECS's behaviour dictates.
    pub timing: Timing,
}

/// Whether the next call of the claim can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sendable {
    /// The account is ready and, where it matters, the Secret holds the claimed password.
    Yes,
    /// Not at the moment: an account that is not ready, an API server that does not answer.
    NotNow(String),
    /// Never again: the Secret is gone or holds another password, the account is gone or no longer allows it, by its
    /// namespaces, its regions or its rules.
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
    /// What the restart says on whether StartTime follows reboots.
    Learnt(StartTimeEvidence),
    /// A person has decided that the restart of an Unknown happened.
    Happened,
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
        Phase::PasswordSet => restart::request(observed, spec, status, now),
        Phase::RestartRequested => restart::prove_unanswered(observed, spec, status, now),
        Phase::Restarting => restart::prove(observed, spec, status, now),
        Phase::InEffect | Phase::Failed | Phase::Unknown => restart::await_availability(observed, spec, status, now),
    }
}

fn set_password(o: &Observed, spec: &ResetRecordSpec, status: &ResetRecordStatus, now: Timestamp) -> Step {
    if let Some(refusal) = &status.refusal {
        return once_drained(status, now, refusal);
    }
    let deadline = after(spec.claim_time.0, i64::from(spec.stable_state_timeout_seconds));
    let nothing_unanswered =
        if o.unsent { found_nothing_unanswered(status) } else { status.unanswered_until.is_none() };
    let sendable = may_send(o, now);
    if let Sendable::Never(why) = &sendable {
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
    if let Sendable::NotNow(_) = sendable {
        return Step::Wait { until: now + SOON, fresh_after: None };
    }
    let Some(seen) = fresh(o.reading, now) else {
        return Step::Wait { until: deadline, fresh_after: Some(now - SEND_WINDOW / 2) };
    };
    if matches!(seen.power, Power::Transitional(_)) || !seen.locks.is_empty() {
        return Step::Wait { until: deadline, fresh_after: None };
    }
    match &status.attempt {
        Some(attempt) if o.unsent && now < later(attempt.timestamp.0, SEND_WINDOW / 2) => {
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

/// Whether the claim's next call can be made, the account's rules included. A reading that is too old to sign by does not
/// end a claim either: tags may have been put right since.
pub(super) fn may_send(o: &Observed, now: Timestamp) -> Sendable {
    let is_refused = fresh(o.reading, now).is_some_and(|seen| !seen.permitted);
    match &o.sendable {
        Sendable::Yes | Sendable::NotNow(_) if is_refused => {
            let ResetRecordSpec { account_name, owner, .. } = &o.record.spec;
            Sendable::Never(format!(
                "no rule of ECSAccount {account_name} covers the instance for namespace {} any more",
                owner.namespace
            ))
        }
        sendable => sendable.clone(),
    }
}

/// The instance of a reading that is fresh enough to sign a changing call by.
fn fresh(reading: Option<&Reading>, now: Timestamp) -> Option<&Seen> {
    reading.filter(|reading| reading.sent_at >= now - SEND_WINDOW)?.seen.as_ref()
}

pub(super) fn retry_time(attempt: &Attempt, spec: &ResetRecordSpec) -> Timestamp {
    later(attempt.timestamp.0, backoff::delay(attempt.number, &spec.instance_id))
}

pub(super) fn after(time: Timestamp, seconds: i64) -> Timestamp {
    later(time, SignedDuration::from_secs(seconds))
}

#[cfg(test)]
#[path = "instance_tests.rs"]
pub(crate) mod tests;
