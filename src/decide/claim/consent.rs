//! The checks before either call: may it be sent, is the reading fresh enough, and when may it be tried again.

use jiff::Timestamp;

use super::backoff;
use super::step::{ClaimFacts, Sendable};
use crate::api::Reason;
use crate::api::reset_record::{Attempt, ResetRecordSpec};
use crate::decide::{Hold, Reading, fresh, fresh_view, later};

/// Whether the claim's next call can be made, the account's rules included. A reading that is too old
/// for a call does not end a claim either: the tags may have been corrected since.
pub(super) fn may_send(o: &ClaimFacts, now: Timestamp) -> Sendable {
    let is_refused = fresh_view(o.reading, now).is_some_and(|seen| !seen.permitted);
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

/// The last check of the instance before a call is sent, by its latest reading: consent may have been withdrawn since the call was
/// decided.
///
/// # Errors
/// Why it may not be sent.
pub fn consent_before_send(reading: Option<&Reading>, now: Timestamp) -> Result<(), Hold> {
    let held = |reason, message: &str| Err(Hold::new(reason, message));
    match fresh(reading, now).map(|reading| &reading.seen) {
        Some(Some(seen)) if seen.permitted => Ok(()),
        Some(Some(_)) => held(Reason::InstanceNotAllowed, "the account's rules do not cover the instance any more"),
        Some(None) => held(Reason::InstanceNotFound, "ECS does not show the instance any more"),
        None => held(Reason::ECSUnavailable, "the last reading of the instance is too old"),
    }
}

/// When a call may be tried again after `attempt`.
pub(super) fn retry_time(attempt: &Attempt, spec: &ResetRecordSpec) -> Timestamp {
    later(attempt.timestamp.0, backoff::delay(attempt.number, &spec.instance_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fixtures::{at, reading};
    use crate::decide::{InstanceView, Power};

    #[test]
    fn call_needs_fresh_reading_of_permitted_instance() {
        let running = reading(0, 0, Power::Running, -600);
        assert_eq!(consent_before_send(Some(&running), at(60)), Ok(()));
        let held = |reading: &Reading, second| consent_before_send(Some(reading), at(second)).unwrap_err().reason;
        assert_eq!(held(&running, 61), Reason::ECSUnavailable);
        assert!(consent_before_send(None, at(0)).is_err());
        let forbidden = running.seen.clone().map(|seen| InstanceView { permitted: false, ..seen });
        assert_eq!(held(&Reading { seen: forbidden, ..running.clone() }, 1), Reason::InstanceNotAllowed);
        assert_eq!(held(&Reading { seen: None, ..running }, 1), Reason::InstanceNotFound);
    }
}
