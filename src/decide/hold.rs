//! Why nothing is claimed or sent now, with when that is over. What a claim waits for after that is `Step::Wait`.

use jiff::Timestamp;

use crate::api::Reason;

/// The reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Why.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
    /// When it is over by itself; `None`: that is not known.
    pub until: Option<Timestamp>,
}

impl Hold {
    /// One whose end is not known.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), until: None }
    }

    /// The same, over by itself at `until`.
    #[must_use]
    pub fn until(self, until: Timestamp) -> Self {
        Self { until: Some(until), ..self }
    }
}
