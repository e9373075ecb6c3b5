//! What one answer of `DescribeInstances` says of an instance, and what follows from how old it is. Values only.

use jiff::Timestamp;

use crate::decide::bounds::{ProtocolBounds, SEND_WINDOW, later};

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
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.sent_at >= now - SEND_WINDOW
    }

    /// Whether it shows the instance in this status.
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
    /// Its zone; empty where ECS does not say.
    pub zone_id: String,
    /// `linux` or `windows`.
    pub os_type: String,
    /// The key pair bound to it.
    pub key_pair_name: Option<String>,
    /// The reasons of its locks.
    pub locks: Vec<String>,
    /// When it expires, if it does.
    pub expires: Option<Timestamp>,
    /// Whether the account's rules, at the time of the check, let the object's namespace reset it.
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
    pub fn as_str(&self) -> &str {
        match self {
            Self::Running => "Running",
            Self::Stopped => "Stopped",
            Self::Transitional(name) => name,
        }
    }
}

/// Whether an unbroken row of readings, counted from `from` at the earliest, is M long; else when it will be.
pub(crate) fn settled(reading: &Reading, from: Timestamp, bounds: ProtocolBounds) -> Result<(), Timestamp> {
    let then = later(reading.since.max(from), bounds.restart_settle);
    if reading.sent_at >= then { Ok(()) } else { Err(then) }
}

/// A reading that is fresh enough to claim by.
pub(crate) fn fresh(reading: Option<&Reading>, now: Timestamp) -> Option<&Reading> {
    reading.filter(|reading| reading.is_fresh(now))
}

/// The instance of a reading that is fresh enough to sign a changing call by.
pub(crate) fn fresh_view(reading: Option<&Reading>, now: Timestamp) -> Option<&InstanceView> {
    fresh(reading, now)?.seen.as_ref()
}
