//! Who holds a slot of an owner's `maxUnavailable`.
//!
//! Every claim holds one until the record has ended, is drained and, after a restart request, the instance was Running for
//! `minReadySeconds`, ended Stopped, or was taken off its owner's list. Slots are refilled one by one as they free up, never in
//! waves.

use jiff::Timestamp;

use super::is_drained;
use super::needed::Wish;
use crate::api::reset_record::{Owner, Phase, ResetRecord, ResetRecordStatus};

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

/// The instances that hold a slot of the owner of `wish`, in the order of their ids. The slot of an Unknown is free once a person
/// has decided.
#[must_use]
pub fn holders(records: &[&ResetRecord], wish: &Wish, now: Timestamp) -> Vec<String> {
    let resolved =
        |record: &ResetRecord| wish.resolution.as_ref().is_some_and(|decided| decided.counts(record, &wish.owner, now));
    let holds = |record: &ResetRecord| {
        record.status.as_ref().is_some_and(|status| holds_slot(status, now)) && !resolved(record)
    };
    let mut holders: Vec<String> =
        of(records, &wish.owner).filter(|record| holds(record)).map(|record| record.spec.instance_id.clone()).collect();
    holders.sort_unstable();
    holders
}

/// How many instances of the owner of `record`, other than its own, are away or may be.
#[must_use]
pub fn others_away(records: &[&ResetRecord], record: &ResetRecord, now: Timestamp) -> u32 {
    let away = of(records, &record.spec.owner).filter(|other| {
        other.spec.instance_id != record.spec.instance_id
            && other.status.as_ref().is_some_and(|status| may_be_away(status, now))
    });
    u32::try_from(away.count()).unwrap_or(u32::MAX)
}

fn of<'a>(records: &[&'a ResetRecord], owner: &Owner) -> impl Iterator<Item = &'a ResetRecord> {
    records.iter().copied().filter(|record| record.spec.owner.is(owner))
}
