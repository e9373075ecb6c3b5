//! Whether the restart of a claimed instance may be requested now, as far as its owner and its account are asked. Both machines ask:
//! the claim's, which requests the restart, and the object's, whose rows say what is waited for.

use jiff::Timestamp;

use super::{Hold, windows};
use crate::api::Reason;
use crate::api::password_reset::PasswordResetSpec;
use crate::api::reset_record::ResetRecord;

/// What a claim's owner is, as last watched.
#[derive(Clone, Copy, Debug)]
pub enum ClaimOwner<'a> {
    /// It exists.
    Known(&'a PasswordResetSpec),
    /// It cannot be read, or is missing and may come back: replacing an object means deleting it first.
    NotKnown,
    /// It is gone.
    Gone,
}

/// What holds back a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestartHold {
    /// Nothing.
    None,
    /// A brake, a plan or a closed window: it may be requested later.
    Held(Hold),
    /// It is not requested any more: the owner is gone, and the restart was held back, or the window in which it was claimed is closed.
    Over,
}

/// What holds for the claim of `record`. A brake does not go with its object: a restart that was held back stays so while the owner is
/// missing, and is left to others once it is gone.
pub fn restart_hold(
    owner: ClaimOwner,
    suspended_account: Option<&str>,
    record: &ResetRecord,
    now: Timestamp,
) -> RestartHold {
    let was_held = record.status.as_ref().is_some_and(|status| status.restart_held_since.is_some());
    let is_closed = was_held || record.spec.window_end.as_ref().is_some_and(|end| end.0 <= now);
    let held = match owner {
        ClaimOwner::Known(spec) => suspended(spec, suspended_account)
            .or_else(|| planned(spec))
            .or_else(|| windows::hold(&windows::at(spec.windows.as_deref(), now))),
        ClaimOwner::NotKnown if is_closed => {
            let message = "the restart was held back or its maintenance window is closed, and the PasswordReset is missing or cannot be read";
            Some(Hold::new(Reason::Suspended, message))
        }
        ClaimOwner::Gone if is_closed => return RestartHold::Over,
        ClaimOwner::NotKnown | ClaimOwner::Gone => suspended_account.map(account_suspended),
    };
    held.map_or(RestartHold::None, RestartHold::Held)
}

/// The brake: of the object, or of its account.
pub fn suspended(spec: &PasswordResetSpec, suspended_account: Option<&str>) -> Option<Hold> {
    if spec.suspended() {
        return Some(Hold::new(Reason::Suspended, "spec.suspend is true"));
    }
    suspended_account.map(account_suspended)
}

/// An object that was turned into a plan changes nothing more.
fn planned(spec: &PasswordResetSpec) -> Option<Hold> {
    spec.is_plan().then(|| Hold::new(Reason::Planned, "spec.mode is Plan"))
}

fn account_suspended(account: &str) -> Hold {
    Hold::new(Reason::Suspended, format!("ECSAccount {account} is suspended by its administrator"))
}
