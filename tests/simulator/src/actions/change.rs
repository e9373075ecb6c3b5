//! `ModifyInstanceAttribute` (Password), `RebootInstance`, `StartInstance` and `StopInstance`: who may, in which state, and
//! what then happens to the machine.

use jiff::Timestamp;

use super::{dry_run_passed, forbidden};
use crate::access_key::AccessKey;
use crate::answer::Refusal;
use crate::call::Call;
use crate::instance::Status;
use crate::machine::{Effects, Machine};
use crate::password::Password;

/// What one call changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    Reboot,
    Start,
    Stop,
}

/// Sets the password that waits for the next start.
pub(crate) fn modify(machine: &mut Machine, call: &Call, request_id: &str) -> Result<Effects, Refusal> {
    let text = call.get("Password").ok_or_else(|| Refusal::missing("Password"))?;
    if machine.spec.is_locked("security") {
        return Err(locked_for_security());
    }
    let password = Password::accept(text, machine.spec.os_type)?;
    if !matches!(machine.status(), Status::Running | Status::Stopped) {
        return Err(incorrect_status());
    }
    Ok(machine.set_password(password, Some(request_id.to_owned())))
}

/// Reboots, starts or stops. `cause` is the `RequestId`, or `None` for an actor outside the API.
pub(crate) fn power(
    machine: &mut Machine,
    power: Power,
    now: Timestamp,
    dry_run: bool,
    cause: Option<String>,
) -> Result<Effects, Refusal> {
    if machine.spec.is_locked("security") {
        return Err(locked_for_security());
    }
    if machine.spec.is_in_arrears(now) {
        let code = if power == Power::Start { "InstanceExpired" } else { "InstanceExpiredOrInArrears" };
        return Err(Refusal::new(code, 403, "The specified instance has expired or is in arrears."));
    }
    let from = if power == Power::Start { Status::Stopped } else { Status::Running };
    if machine.status() != from {
        return Err(incorrect_status());
    }
    if dry_run {
        return Err(dry_run_passed());
    }
    Ok(match power {
        Power::Reboot => {
            machine.reboot(now, cause);
            Effects::new()
        }
        Power::Start => machine.start(now, cause),
        Power::Stop => machine.stop(now, cause),
    })
}

/// The instance that the call names, if the key may touch it and its account has it in the endpoint's region.
pub(crate) fn find<'a>(
    machines: &'a mut std::collections::BTreeMap<String, Machine>,
    call: &Call,
    key: &AccessKey,
) -> Result<&'a mut Machine, Refusal> {
    let id = call.get("InstanceId").ok_or_else(|| Refusal::missing("InstanceId"))?;
    if !key.may(call.action(), id) {
        return Err(forbidden());
    }
    let elsewhere = |machine: &Machine| call.get("RegionId").is_some_and(|region| region != machine.spec.region_id);
    match machines.get_mut(id) {
        Some(machine) if machine.spec.account_id == key.account_id && !elsewhere(machine) => Ok(machine),
        _ => Err(unknown_instance()),
    }
}

pub(crate) fn unknown_instance() -> Refusal {
    Refusal::new("InvalidInstanceId.NotFound", 404, "The specified InstanceId does not exist.")
}

fn incorrect_status() -> Refusal {
    let message = "The current status of the resource does not support this operation.";
    Refusal::new("IncorrectInstanceStatus", 403, message)
}

fn locked_for_security() -> Refusal {
    let message = "The specified operation is denied as your instance is locked for security reasons.";
    Refusal::new("InstanceLockedForSecurity", 403, message)
}
