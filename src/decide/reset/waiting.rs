//! What a claim that is in flight waits for, shown in the object's row: the record says only how far the claim is, and is not written
//! for the sake of a wait.

use jiff::Timestamp;

use super::facts::{ResetFacts, Target};
use crate::api::Reason;
use crate::api::password_reset::InstanceRow;
use crate::api::reset_record::{Phase, ResetRecord};
use crate::decide::restart_hold::{ClaimOwner, RestartHold, restart_hold};
use crate::decide::{Hold, MINUTE, Power, after, fresh, later, minute, second};

/// Shows in `row` what the target's claim waits for, where that is known. Returns until when.
pub(super) fn show(row: &mut InstanceRow, object: &ResetFacts, target: &Target, now: Timestamp) -> Option<Timestamp> {
    let hold = wait(row, object, target, now)?;
    hold.reason.as_str().clone_into(&mut row.reason);
    row.message = hold.message;
    hold.until
}

fn wait(row: &InstanceRow, object: &ResetFacts, target: &Target, now: Timestamp) -> Option<Hold> {
    let record = target.record.filter(|record| record.spec.owner.is(&object.request.owner))?;
    let is_plain = row.reason().is_some_and(Reason::is_plain);
    match record.phase() {
        Phase::SettingPassword => return throttled(row, object, now),
        Phase::PasswordSet => {}
        Phase::RestartRequested => return outcome_awaited(row, record),
        Phase::Restarting => return restart_under_way(row, record, target, now),
        _ => return None,
    }
    if let Some(hold) = held_restart(object, record, now) {
        let message =
            format!("the password is set and takes effect at any start; the restart is held back: {}", hold.message);
        return Some(Hold { message, ..hold });
    }
    throttled(row, object, now).or_else(|| next_minute(record, target, now).filter(|_| is_plain))
}

/// How far the claim of another object is, and until when it waits where that is known.
pub(super) fn how_far(record: &ResetRecord, target: &Target, now: Timestamp) -> Option<Hold> {
    let row = record.status.as_ref()?.row.as_ref()?;
    match record.phase() {
        Phase::Restarting => restart_under_way(row, record, target, now),
        _ => Some(Hold::new(row.reason()?, row.message.clone())),
    }
}

/// Until when ECS throttles. A row that says with which answer it was throttled goes on saying so.
fn throttled(row: &InstanceRow, object: &ResetFacts, now: Timestamp) -> Option<Hold> {
    let hold = object.throttling(now)?;
    let reason = row.reason()?;
    if reason.is_plain() {
        return Some(hold);
    }
    let until = object.throttled_until.filter(|_| reason.passes_by_itself())?;
    Some(Hold::new(reason, format!("{}; held back until {until}", row.message)).until(until))
}

/// A restart that was not answered: until when it may still be carried out is in the row already.
fn outcome_awaited(row: &InstanceRow, record: &ResetRecord) -> Option<Hold> {
    let until = record.status.as_ref()?.unanswered_until.as_ref()?.0;
    Some(Hold::new(row.reason()?, row.message.clone()).until(until))
}

/// An accepted restart, with the moment from which on it is called stuck, and what ECS shows where waiting alone
/// may not help.
fn restart_under_way(row: &InstanceRow, record: &ResetRecord, target: &Target, now: Timestamp) -> Option<Hold> {
    let accepted = record.status.as_ref()?.accepted_at.as_ref()?.0;
    let until = second(after(accepted, i64::from(record.spec.timeout_seconds)));
    let reading = target.reading.filter(|reading| reading.sent_at > accepted && fresh(Some(reading), now).is_some());
    let shown = match reading.map(|reading| reading.seen.as_ref().filter(|seen| seen.permitted).map(|seen| &seen.power))
    {
        // An instance that is not permitted is not told from one that is not shown.
        Some(None) => "; it cannot be seen now: if it was released, its claim ends within some minutes; waiting",
        Some(Some(Power::Stopped)) => "; ECS shows it Stopped: start it in ECS if it stays so; waiting",
        Some(Some(_)) | None => "; waiting",
    };
    Some(Hold::new(row.reason()?, format!("{}{shown} until {until} for its return", row.message)).until(until))
}

fn held_restart(object: &ResetFacts, record: &ResetRecord, now: Timestamp) -> Option<Hold> {
    match restart_hold(ClaimOwner::Known(object.spec), object.suspended_account, record, now) {
        RestartHold::Held(hold) => Some(hold),
        RestartHold::None | RestartHold::Over => None,
    }
}

/// StartTime has minute precision: a restart in the minute of the last start could not be proven.
fn next_minute(record: &ResetRecord, target: &Target, now: Timestamp) -> Option<Hold> {
    let acknowledged = record.status.as_ref()?.password_acknowledged_at.as_ref()?.0;
    let reading = target.reading.filter(|reading| reading.sent_at > acknowledged && reading.shows(&Power::Running))?;
    let until = later(minute(reading.seen.as_ref()?.start_time?), MINUTE);
    let message = format!(
        "the password is set; the restart waits until {until}, since ECS tells start times in minutes and the instance started in the present one"
    );
    (now < until).then(|| Hold::new(Reason::WaitingForRestart, message).until(until))
}
