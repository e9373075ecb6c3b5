//! Whether a claimed instance was released: ECS does not show it any more, although the account may describe it. Part of
//! [`crate::decide::claim::next`], and as pure.
//!
//! An answer without the instance means "not found or not permitted". A dry run tells them apart, for the moment at which it is
//! made; a reading may lag. The absence therefore counts only in readings M apart, all of them from after the dry run, and an end waits
//! until no unanswered copy is alive.

use jiff::Timestamp;

use super::step::{Change, ClaimFacts, Step};
use crate::decide::bounds::SOON;
use crate::decide::{later, settled};

/// The step that follows from readings that do not show the instance; `None`: nothing, it is shown, or cannot be told from one that the
/// account may not describe. `from`: readings from before count for nothing. `drained_at`: when the last unanswered copy is dead.
pub(super) fn next(
    o: &ClaimFacts,
    from: Timestamp,
    drained_at: Option<Timestamp>,
    now: Timestamp,
    change: Change,
) -> Option<Step> {
    let reading = o.reading.filter(|reading| reading.seen.is_none())?;
    let describable = o.describable_since?;
    if let Some(until) = drained_at.filter(|until| *until > now) {
        return Some(Step::Wait { until, fresh_after: Some(until) });
    }
    Some(match settled(reading, from.max(describable), o.bounds) {
        Ok(()) => Step::Write(change),
        Err(then) => Step::Wait { until: later(then.max(now), SOON), fresh_after: Some(then) },
    })
}
