//! How an instance's row is put into another state. Nothing else writes a row's state, reason, message and time.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::Reason;
use crate::api::password_reset::{InstanceRow, State};

/// Puts a row into a state; its time moves only when the state does.
pub(crate) fn advance(row: &mut InstanceRow, state: State, reason: Reason, message: String, now: Timestamp) {
    if row.state != state || row.state_time.is_none() {
        row.state_time = Some(Time(now));
    }
    row.state = state;
    reason.as_str().clone_into(&mut row.reason);
    row.message = message;
}
