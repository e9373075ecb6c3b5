//! The rows of instances that have no claim yet, and the row that a claim begins with.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::facts::{NewClaim, ResetFacts, Target};
use crate::api::Reason;
use crate::api::password_reset::{InstanceRow, PlannedAction, RestartPolicy, State};
use crate::decide::row::advance;
use crate::decide::{Hold, InstanceView, Power, history};

/// A new row; where the run goes on, with the state and its time from before.
pub(super) fn candidate_row(
    object: &ResetFacts,
    target: &Target,
    before: Option<&InstanceRow>,
    is_held: bool,
) -> InstanceRow {
    let seen = target.reading.and_then(|reading| reading.seen.as_ref());
    let planned_action = if is_held {
        Some(PlannedAction::Blocked)
    } else {
        seen.map(|seen| planned_action(object.spec.restart_policy(), seen))
    };
    InstanceRow {
        instance_id: target.instance_id.to_owned(),
        name: seen.map(|seen| seen.name.clone()).or_else(|| target.before?.name.clone()),
        os_type: seen.map(|seen| seen.os_type.clone()).or_else(|| target.before?.os_type.clone()),
        key_pair_name: seen
            .map_or_else(|| target.before.and_then(|row| row.key_pair_name.clone()), |seen| seen.key_pair_name.clone()),
        initial_status: None,
        planned_action,
        state: before.map_or(State::Pending, |row| row.state),
        reason: before.map(|row| row.reason.clone()).unwrap_or_default(),
        message: before.map(|row| row.message.clone()).unwrap_or_default(),
        state_time: before.and_then(|row| row.state_time.clone()),
        password_set_time: None,
        password_request_id: None,
        restart_request_id: None,
        claim: last_claim(object, target),
        attempts: 0,
    }
}

/// The number of the last claim on an instance, whosever it was: the next one is one more.
pub(super) fn newest_claim(object: &ResetFacts, target: &Target) -> Option<i64> {
    target.record.map(|record| record.spec.claim).max(last_claim(object, target))
}

/// The number of the object's last claim on an instance, in flight or not.
pub(super) fn own_claim(object: &ResetFacts, target: &Target) -> Option<i64> {
    let record = target.record.filter(|record| record.spec.owner.is(&object.request.owner));
    record.map(|record| record.spec.claim).max(last_claim(object, target))
}

/// The number of the object's last claim on an instance that has ended.
fn last_claim(object: &ResetFacts, target: &Target) -> Option<i64> {
    let status = target.record.and_then(|record| record.status.as_ref());
    let entry = status.and_then(|status| history::entry_of(&status.completed, &object.request.owner));
    target.before.and_then(|row| row.claim).max(entry.and_then(|entry| entry.row.claim))
}

fn planned_action(policy: RestartPolicy, seen: &InstanceView) -> PlannedAction {
    match (policy, &seen.power) {
        (RestartPolicy::IfRunning, Power::Running) => PlannedAction::ResetAndRestart,
        (_, Power::Running | Power::Stopped) => PlannedAction::ResetOnly,
        (_, Power::Transitional(_)) => PlannedAction::Blocked,
    }
}

/// The row of an instance that could not be claimed for a reason outside the instance.
pub fn unclaimed_row(claim: &NewClaim, reason: Reason, message: String, now: Timestamp) -> InstanceRow {
    let mut row = claim.row.clone();
    advance(&mut row, State::Pending, reason, message, now);
    row
}

/// The words for a restart whose account is out of use; the account's hold follows them.
const KNOWN_LATER: &str = "; the outcome is known once the account works again: ";

/// Shows why the next call is not made, in the rows of claims whose next call needs the account. The record only has the last answer
/// of ECS.
pub fn hold_up(rows: &mut [InstanceRow], account: &Hold) {
    for row in rows.iter_mut().filter(|row| matches!(row.state, State::SettingPassword | State::PasswordSet)) {
        account.reason.as_str().clone_into(&mut row.reason);
        row.message.clone_from(&account.message);
    }
    // Its restart goes on without the controller, which cannot look. The row may be the one of the pass before.
    for row in rows.iter_mut().filter(|row| row.state == State::Restarting) {
        let what = row.message.split(KNOWN_LATER).next().unwrap_or_default();
        row.message = format!("{what}{KNOWN_LATER}{}", account.message);
    }
}

/// The row that a claim begins with.
pub fn initial_row(claim: &NewClaim, number: i64, now: Timestamp) -> InstanceRow {
    let mut row = claim.row.clone();
    row.claim = Some(number);
    row.initial_status = Some(claim.state_seen.clone());
    // What was planned is being done: beside a restart that is under way it would read as another one.
    row.planned_action = None;
    row.attempts = 1;
    row.state_time = Some(Time(now));
    advance(&mut row, State::SettingPassword, Reason::SettingPassword, "setting the password".to_owned(), now);
    row
}
