//! Why something is not done now: the one form in which a "why not" travels.

use crate::api::Reason;

/// What stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Why.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
}
