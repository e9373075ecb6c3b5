//! Why something is not done now: the one form in which a "why not" travels.

/// What stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Why, one of [`crate::api::reasons`].
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
}
