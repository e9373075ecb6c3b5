//! The actions. Each takes an admitted call and either changes a machine or refuses, as ECS would.

pub(crate) mod change;
pub(crate) mod describe;
pub(crate) mod identity;

use crate::answer::Refusal;
use crate::call::Call;
use crate::sts;

/// The API version that an action belongs to.
pub(crate) fn check_version(call: &Call) -> Result<(), Refusal> {
    let version = match call.action() {
        "GetCallerIdentity" | "AssumeRole" | sts::WITH_OIDC => "2015-04-01",
        "DescribeInstances" | "ModifyInstanceAttribute" | "RebootInstance" | "StartInstance" | "StopInstance" => {
            "2014-05-26"
        }
        _ => return Err(not_found()),
    };
    if call.get("Version") == Some(version) { Ok(()) } else { Err(not_found()) }
}

fn not_found() -> Refusal {
    Refusal::new("InvalidApi.NotFound", 404, "Specified api is not found, please check your url and method.")
}

pub(crate) fn forbidden() -> Refusal {
    Refusal::new(
        "Forbidden.RAM",
        403,
        "User not authorized to operate on the specified resource, or this API doesn't support RAM.",
    )
}

/// The refusal that says: had it not been a dry run, it would have been done.
pub(crate) fn dry_run_passed() -> Refusal {
    Refusal::new("DryRunOperation", 400, "Request validation has been passed with DryRun flag set.")
}
