//! Who holds a slot of an owner's `maxUnavailable`.
//!
//! Every claim holds one until the record has ended, is drained and, after a restart request, the instance was Running for
//! `minReadySeconds` or ended Stopped. Slots are refilled one by one as they free up, never in waves.

use jiff::Timestamp;

use super::needed::Wish;
use crate::api::reset_record::{Owner, Phase, ResetRecord, ResetRecordStatus};

/// Whether a copy of an unanswered call may still be carried out.
#[must_use]
pub fn is_drained(status: &ResetRecordStatus, now: Timestamp) -> bool {
    status.unanswered_until.as_ref().is_none_or(|until| until.0 <= now)
}

/// Whether the claim in `status` holds one of its owner's slots.
#[must_use]
pub fn holds_slot(status: &ResetRecordStatus, now: Timestamp) -> bool {
    match status.phase {
        Phase::SettingPassword
        | Phase::PasswordSet
        | Phase::RestartRequested
        | Phase::Restarting
        | Phase::Unrecognized => true,
        Phase::Idle | Phase::EffectiveAtNextStart => !is_drained(status, now),
        Phase::InEffect | Phase::Failed | Phase::Unknown => !is_drained(status, now) || awaits_availability(status),
    }
}

/// Whether an ended claim requested a restart after which the instance has not been Running for `minReadySeconds` yet.
#[must_use]
pub fn awaits_availability(status: &ResetRecordStatus) -> bool {
    match status.phase {
        Phase::InEffect | Phase::Failed | Phase::Unknown => {
            status.start_time_before.is_some() && status.available_time.is_none()
        }
        _ => false,
    }
}

/// Whether the instance is away, or may be, because a restart was requested: what bounds further restarts, as two
/// processes may each have claimed.
fn may_be_away(status: &ResetRecordStatus, now: Timestamp) -> bool {
    match status.phase {
        Phase::RestartRequested | Phase::Restarting => true,
        phase => phase.has_ended() && status.start_time_before.is_some() && holds_slot(status, now),
    }
}

/// How many of `records` hold a slot of the owner of `wish`. The slot of an Unknown is free once a person has decided.
#[must_use]
pub fn held(records: &[&ResetRecord], wish: &Wish, now: Timestamp) -> u32 {
    let resolved =
        |record: &ResetRecord| wish.resolution.as_ref().is_some_and(|decided| decided.counts(record, &wish.owner, now));
    count(records, &wish.owner, |record| {
        record.status.as_ref().is_some_and(|status| holds_slot(status, now)) && !resolved(record)
    })
}

/// How many instances of the owner of `record`, other than its own, are away or may be.
#[must_use]
pub fn others_away(records: &[&ResetRecord], record: &ResetRecord, now: Timestamp) -> u32 {
    count(records, &record.spec.owner, |other| {
        other.spec.instance_id != record.spec.instance_id
            && other.status.as_ref().is_some_and(|status| may_be_away(status, now))
    })
}

fn count(records: &[&ResetRecord], owner: &Owner, holds: impl Fn(&ResetRecord) -> bool) -> u32 {
    let held = records.iter().filter(|record| record.spec.owner.is(owner)).filter(|record| holds(record)).count();
    u32::try_from(held).unwrap_or(u32::MAX)
}
