//! The decisions: pure functions from what was observed to what is to be done.
//!
//! Nothing here is async, does I/O, reads a clock or draws a random number; it imports `api`, time types, `sha2`
//! and `thiserror`. A test reads the `use` lines. That is what makes the protocol testable state by state, and what a model
//! search runs.

pub mod backoff;
pub mod events;
pub mod instance;
pub mod memory;
pub mod needed;
pub mod password;
pub mod progress;
mod release;
pub mod resolve;
mod restart;
pub mod rollout;
pub mod runs;
pub mod sending;
pub mod slots;
pub mod start_time;
pub mod step;
pub mod summary;

use jiff::{SignedDuration, Timestamp};

use crate::api::reset_record::{ResetRecord, ResetRecordStatus};

/// What one answer of `DescribeInstances` said of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// When the request was sent, on ECS's clock. A reading is "after t" only when it was *sent* after t.
    pub sent_at: Timestamp,
    /// When the first of the unbroken row of readings with this same status was sent.
    pub since: Timestamp,
    /// The instance; `None`: the answer did not hold it, which means "not found or not permitted", never "gone".
    pub seen: Option<InstanceView>,
}

impl Reading {
    /// The reading as the object's user may know it: an instance that is not permitted does not exist.
    #[must_use]
    pub fn redacted(self) -> Self {
        Self { seen: self.seen.filter(|seen| seen.permitted), ..self }
    }

    /// Whether it is fresh enough to sign a changing call by.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.sent_at >= now - SEND_WINDOW
    }

    /// Whether it shows the instance in this status.
    #[must_use]
    pub fn shows(&self, power: &Power) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.power == *power)
    }
}

/// An instance as a reading shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceView {
    /// Its status, as far as the protocol is concerned.
    pub power: Power,
    /// The latest start, with minute precision.
    pub start_time: Option<Timestamp>,
    /// Its name.
    pub name: String,
    /// `linux` or `windows`.
    pub os_type: String,
    /// The key pair bound to it.
    pub key_pair_name: Option<String>,
    /// The reasons of its locks.
    pub locks: Vec<String>,
    /// When it expires, if it does.
    pub expires: Option<Timestamp>,
    /// Whether the account's rules, as they were when this was looked at, let the object's namespace reset it.
    pub permitted: bool,
}

/// The part of an instance's status that the protocol tells apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Power {
    /// Stable: running.
    Running,
    /// Stable: stopped.
    Stopped,
    /// In transition, by the name that ECS gives it: nothing may be sent.
    Transitional(String),
}

impl Power {
    /// The name that ECS gives the status.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Running => "Running",
            Self::Stopped => "Stopped",
            Self::Transitional(name) => name,
        }
    }
}

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

/// The precision of StartTime.
pub(crate) const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// `time` and then `by`. The last moment there is where that lies beyond it: a record may have been edited by hand, and a
/// moment that never comes is waited for, which a panic would not be.
#[must_use]
pub(crate) fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(time)
}

/// `time` and then so many seconds, within the same limit.
#[must_use]
pub(crate) fn after(time: Timestamp, seconds: i64) -> Timestamp {
    later(time, SignedDuration::from_secs(seconds))
}

/// The least that ECS's clock can show where no answer has told it: the newest moment that the record holds of it, and for how long this
/// process has seen the record so, by a timer that nobody can set. It is never ahead of the truth, so what it says is over is over.
#[must_use]
pub fn reckoned(newest: Timestamp, seen_for: SignedDuration) -> Timestamp {
    later(newest, seen_for)
}

/// The newest moment on ECS's clock that a record holds: each was written before this.
#[must_use]
pub fn newest_moment(record: &ResetRecord) -> Timestamp {
    let claimed = record.spec.claim_time.0;
    let Some(status) = &record.status else { return claimed };
    let attempt = status.attempt.as_ref().map(|attempt| attempt.timestamp.0);
    let stamps = [&status.password_acknowledged_at, &status.accepted_at].map(|time| time.as_ref().map(|time| time.0));
    stamps.into_iter().chain([attempt]).flatten().fold(claimed, Timestamp::max)
}

/// Whether no copy of an unanswered call can be carried out any more.
#[must_use]
pub fn is_drained(status: &ResetRecordStatus, now: Timestamp) -> bool {
    status.unanswered_until.as_ref().is_none_or(|until| until.0 <= now)
}

/// The beginning of the minute that `time` falls in: StartTime has no finer precision.
#[must_use]
pub fn minute(time: Timestamp) -> Timestamp {
    let second = time.as_second();
    Timestamp::from_second(second - second.rem_euclid(MINUTE.as_secs())).unwrap_or(time)
}
