//! The rows of an object in mode `Plan`: what `Apply` would do with each instance, in which order and from when on. It begins nothing:
//! what it makes of each is a row.

use jiff::{SignedDuration, Timestamp};

use super::eligibility::{Eligibility, PLAN_REFRESH, first_begin};
use super::facts::{ResetFacts, Target};
use crate::api::Reason;
use crate::api::password_reset::{InstanceRow, PlannedAction, State};
use crate::decide::later;
use crate::decide::row::advance;

/// One row of the plan.
pub(super) struct Planned {
    pub(super) row: InstanceRow,
    /// Whether a reading is wanted.
    pub(super) watch: bool,
}

/// The row of an instance. `place`: how many would begin before it.
pub(super) fn row(
    object: &ResetFacts,
    target: &Target,
    eligibility: Eligibility,
    place: &mut usize,
    now: Timestamp,
) -> Planned {
    match eligibility {
        Eligibility::NothingToDo { row, .. } if row.state == State::Failed && row.attempts == 0 => blocked(row, now),
        Eligibility::NothingToDo { row, .. } | Eligibility::Lost { row } => Planned { row, watch: false },
        Eligibility::Waits { row, watch: true, .. } if is_old(target, now) => {
            // A row that was planned before stays while it is read again.
            let before = target.before.filter(|before| before.attempts == 0 && before.planned_action.is_some());
            Planned { row: before.cloned().unwrap_or(row), watch: true }
        }
        Eligibility::Waits { row, .. } => blocked(row, now),
        Eligibility::Ready { mut row, .. } => {
            let message = message(object, &row, *place, now);
            *place += 1;
            advance(&mut row, State::Pending, Reason::Planned, message, now);
            Planned { row, watch: false }
        }
    }
}

/// Whether the instance is to be read, for the first time or again.
fn is_old(target: &Target, now: Timestamp) -> bool {
    target.reading.is_none_or(|reading| reading.sent_at < later(now, -PLAN_REFRESH))
}

fn blocked(mut row: InstanceRow, now: Timestamp) -> Planned {
    if let Some(reason) = row.reason() {
        let message = row.message.clone();
        advance(&mut row, State::Pending, reason, message, now);
    }
    row.planned_action = Some(PlannedAction::Blocked);
    Planned { row, watch: false }
}

fn message(object: &ResetFacts, row: &InstanceRow, place: usize, now: Timestamp) -> String {
    let what = match row.planned_action {
        Some(PlannedAction::ResetAndRestart) => "would set the password and restart the instance",
        _ => "would set the password, which takes effect at the next start",
    };
    let begin = first_begin(object, now);
    let begin = if begin > now { format!(", not before {begin}") } else { String::new() };
    let wave = i32::try_from(place / object.most_away()).unwrap_or(i32::MAX);
    let after = object.usual_restart.filter(|_| wave > 0).map(|usual| minutes(usual.saturating_mul(wave)));
    let after = after.map(|minutes| format!(", about {minutes} min after the first")).unwrap_or_default();
    let key_pair = row.key_pair_name.as_ref();
    let key_pair = key_pair
        .map(|name| format!("; this enables password logon again beside the key pair {name}"))
        .unwrap_or_default();
    format!("{what}; number {}{begin}{after}{key_pair}", place + 1)
}

/// Whole minutes, rounded up.
pub(super) fn minutes(duration: SignedDuration) -> i64 {
    (duration.as_secs() + 59) / 60
}

/// What the whole plan would do, for `Ready`; `None`: not all instances have been read yet.
pub(super) fn summary(object: &ResetFacts, rows: &[InstanceRow], now: Timestamp) -> Option<String> {
    let open: Vec<&InstanceRow> = rows.iter().filter(|row| !row.state.has_ended()).collect();
    if open.iter().any(|row| row.planned_action.is_none()) {
        return None;
    }
    let count = |action| open.iter().filter(|row| row.planned_action == Some(action)).count();
    let restarts = count(PlannedAction::ResetAndRestart);
    let parts = [
        (restarts, "to reset and restart"),
        (count(PlannedAction::ResetOnly), "to reset without a restart"),
        (count(PlannedAction::Blocked), "blocked"),
        (rows.len() - open.len(), "with nothing to do"),
    ];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let begin = first_begin(object, now);
    let begin = if begin > now { format!("; not before {begin}") } else { String::new() };
    let takes = object.usual_restart.filter(|_| restarts > 0).map(|usual| minutes(in_all(object, restarts, usual)));
    let takes = takes.map(|minutes| format!("; about {minutes} min in all")).unwrap_or_default();
    Some(format!("instances: {}{begin}{takes}; set mode: Apply to start", parts.join(", ")))
}

/// How long so many restarts take with the slots of the object and its account.
pub(super) fn in_all(object: &ResetFacts, restarts: usize, usual: SignedDuration) -> SignedDuration {
    let waves = restarts.div_ceil(object.most_away());
    let one = usual + SignedDuration::from_secs(i64::from(object.spec.min_ready_seconds()));
    one.saturating_mul(i32::try_from(waves).unwrap_or(i32::MAX))
}
