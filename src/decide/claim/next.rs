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
//! When the outcome of a send is not known, or this process finds another's attempt: a password may be sent again at once, under a new
//! attempt. A restart may not: it is proven by a later reading; or, once no copy of it can be alive any more, requested
//! again where StartTime is known to follow reboots and has not moved; or it ends as Unknown, and a person decides.
//!
//! [`next`] is total and pure. It names a [`Step`]; [`crate::decide::claim::transition`] says what the record is after it. This file holds the
//! rules of the password, [`super::restart`] says when a restart is requested, and [`super::proof`] what proves it.

use jiff::Timestamp;

use super::consent::{may_send, retry_time};
use super::step::{Call, Change, ClaimFacts, Sendable, Step};
use super::transition::heard;
use super::{proof, release, restart};
use crate::api::Reason;
use crate::api::reset_record::{Phase, ResetRecord, ResetRecordSpec, ResetRecordStatus};
use crate::decide::bounds::SOON;
use crate::decide::{Power, SEND_WINDOW, after, budget, fresh_view, later, memory};

/// Whether nothing is left to do, whatever is observed.
pub fn is_done(record: &ResetRecord) -> bool {
    let nothing_left = |status: &ResetRecordStatus| match status.phase {
        Phase::Idle | Phase::EffectiveAtNextStart | Phase::Unrecognized => true,
        phase => phase.has_ended() && !budget::awaits_availability(status),
    };
    // The owner's reconcile repairs a damaged record: see `crate::decide::memory`.
    memory::is_incomplete(record) || record.status.as_ref().is_none_or(nothing_left)
}

/// What to do next with a claimed instance.
#[must_use]
pub fn next(observed: &ClaimFacts, now: Timestamp) -> Step {
    let spec = &observed.record.spec;
    let Some(status) = observed.record.status.as_ref().filter(|_| !is_done(observed.record)) else { return Step::Done };
    if observed.owner_row.is_some_and(|row| memory::is_older_than(observed.record, row)) {
        return Step::Done;
    }
    match status.phase {
        Phase::Idle | Phase::EffectiveAtNextStart | Phase::Unrecognized => Step::Done,
        Phase::SettingPassword => set_password(observed, spec, status, now),
        Phase::PasswordSet => restart::request(observed, spec, status, now),
        Phase::RestartRequested => proof::prove_unanswered(observed, spec, status, now),
        Phase::Restarting => proof::prove(observed, spec, status, now),
        Phase::InEffect | Phase::Failed | Phase::Unknown => proof::await_availability(observed, spec, status, now),
    }
}

fn set_password(o: &ClaimFacts, spec: &ResetRecordSpec, status: &ResetRecordStatus, now: Timestamp) -> Step {
    let nothing_unanswered =
        if o.unsent { found_nothing_unanswered(status) } else { status.unanswered_until.is_none() };
    let drained_at = status.unanswered_until.as_ref().map(|until| until.0).filter(|_| !nothing_unanswered);
    if let Some(step) = release::next(o, spec.claim_time.0, drained_at, now, Change::Released) {
        return step;
    }
    if let Some(refusal) = &status.refusal {
        return once_drained(status, now, refusal);
    }
    let deadline = after(spec.claim_time.0, i64::from(spec.stable_state_timeout_seconds));
    let sendable = may_send(o, now);
    if let Sendable::Never(why) = &sendable {
        return if nothing_unanswered { Step::Write(Change::Withdrawn) } else { once_drained(status, now, why) };
    }
    if now > deadline {
        // What was heard of a request whose outcome is not known is said of that.
        let row = || status.row.as_ref().filter(|_| status.unknown_outcome.is_none()).map(|row| row.message.clone());
        let why = if let Sendable::NotNow(why) = sendable { Some(why) } else { row() };
        let why = why.map(|why| format!("; the last problem until then: {why}")).unwrap_or_default();
        let message = format!("the password could not be set within {} s{why}", spec.stable_state_timeout_seconds);
        return if nothing_unanswered {
            Step::Write(Change::Failed(Reason::StableStateTimeout, message))
        } else {
            once_drained(status, now, &message)
        };
    }
    if let Sendable::NotNow(_) = sendable {
        return Step::Wait { until: now + SOON, fresh_after: None };
    }
    let Some(seen) = fresh_view(o.reading, now) else {
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
            Reason::PasswordOutcomeUnknown,
            format!(
                "it is not known whether ECS set the password ({}), and the controller cannot send it again ({why}). A new runID resets all instances of this object; to reset this one alone, name it in a PasswordReset of its own",
                heard(status)
            ),
        )),
    }
}

#[cfg(test)]
#[path = "next_proof_tests.rs"]
mod proof_tests;
#[cfg(test)]
#[path = "next_tests.rs"]
mod tests;
#[cfg(test)]
#[path = "next_waits_tests.rs"]
mod waits_tests;
