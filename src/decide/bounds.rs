//! The lengths of time that the protocol goes by, and the few sums that are made with them. Values only: nothing here reads a clock.

use jiff::{SignedDuration, Timestamp};

use crate::api::reset_record::{ResetRecord, ResetRecordStatus};

/// The lengths of time that ECS's behaviour dictates; settings, so that tests on sockets can shorten them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolBounds {
    /// V: how long after its Timestamp a copy of a request may still be carried out.
    pub request_validity: SignedDuration,
    /// M: a bound on how late a read may lag plus how late an accepted reboot may begin.
    pub restart_settle: SignedDuration,
}

/// How long after its Timestamp an attempt may be sent, and how old a reading may be when a changing call is signed.
pub const SEND_WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// How soon to look again when something outside ECS is in the way.
pub(crate) const SOON: SignedDuration = SignedDuration::from_secs(5);

/// The precision of StartTime.
pub(crate) const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// `time` and then `by`. The last moment there is where that lies beyond it: a record may have been edited by hand, and a
/// moment that never comes is waited for, which a panic would not be.
pub(crate) fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(time)
}

/// `time` and then so many seconds, within the same limit.
pub(crate) fn after(time: Timestamp, seconds: i64) -> Timestamp {
    later(time, SignedDuration::from_secs(seconds))
}

/// The least that ECS's clock can show while no answer has shown it: the newest moment of it in the record, plus how long this process
/// has seen the record unchanged, by a timer that cannot be set. It is never ahead of ECS's clock, so a deadline that has passed by it
/// has passed.
pub fn reckoned(newest: Timestamp, seen_for: SignedDuration) -> Timestamp {
    later(newest, seen_for)
}

/// The newest moment on ECS's clock that a record holds: each was written before this.
pub fn newest_moment(record: &ResetRecord) -> Timestamp {
    let claimed = record.spec.claim_time.0;
    let Some(status) = &record.status else { return claimed };
    let attempt = status.attempt.as_ref().map(|attempt| attempt.timestamp.0);
    let stamps = [&status.password_acknowledged_at, &status.accepted_at].map(|time| time.as_ref().map(|time| time.0));
    stamps.into_iter().chain([attempt]).flatten().fold(claimed, Timestamp::max)
}

/// Whether no copy of an unanswered call can be carried out any more.
pub fn is_drained(status: &ResetRecordStatus, now: Timestamp) -> bool {
    status.unanswered_until.as_ref().is_none_or(|until| until.0 <= now)
}

/// The full second in which a time lies: how times are stored, so that one that is shown is the same before and after.
pub fn second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The beginning of the minute that `time` falls in: StartTime has no finer precision.
pub fn minute(time: Timestamp) -> Timestamp {
    let second = time.as_second();
    Timestamp::from_second(second - second.rem_euclid(MINUTE.as_secs())).unwrap_or(time)
}
