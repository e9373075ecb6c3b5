//! What is asked before either call is sent: may it be, is the reading fresh enough, and when may it be tried again.

use jiff::{SignedDuration, Timestamp};

use super::step::{Observed, Sendable};
use super::{Reading, SEND_WINDOW, Seen, backoff, later};
use crate::api::reset_record::{Attempt, ResetRecordSpec};

/// How soon to look again when something outside ECS is in the way.
pub(super) const SOON: SignedDuration = SignedDuration::from_secs(5);

/// Whether the claim's next call can be made, the account's rules included. A reading that is too old to sign by does not
/// end a claim either: tags may have been put right since.
pub(super) fn may_send(o: &Observed, now: Timestamp) -> Sendable {
    let is_refused = fresh(o.reading, now).is_some_and(|seen| !seen.permitted);
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

/// The instance of a reading that is fresh enough to sign a changing call by.
pub(super) fn fresh(reading: Option<&Reading>, now: Timestamp) -> Option<&Seen> {
    reading.filter(|reading| reading.sent_at >= now - SEND_WINDOW)?.seen.as_ref()
}

/// When a call may be tried again after `attempt`.
pub(super) fn retry_time(attempt: &Attempt, spec: &ResetRecordSpec) -> Timestamp {
    later(attempt.timestamp.0, backoff::delay(attempt.number, &spec.instance_id))
}
