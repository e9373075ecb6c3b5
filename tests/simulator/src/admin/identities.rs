//! The admin API for keys, roles and the instance's metadata. It takes secrets and shows none.

use jiff::Timestamp;
use serde::Deserialize;

use super::{Response, done, problem, with};
use crate::access_key::{AccessKey, Revocation};
use crate::core::Core;
use crate::metadata::InstanceMetadata;
use crate::role::Role;

/// What of the admin API is answered here.
pub(super) const THINGS: [&str; 6] =
    ["access-keys", "revocations", "roles", "oidc-tokens", "metadata", "expire-temporary-credentials"];

/// Body of POST revocations.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Revoke {
    access_key_id: String,
    how: Revocation,
}

/// Body of POST oidc-tokens. No `Debug`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rotation {
    role_arn: String,
    token: String,
}

/// POST: keys and roles replace those with the same id or ARN.
pub(super) fn post(core: &mut Core, now: Timestamp, thing: &str, body: &[u8]) -> Response {
    core.run_until(now);
    match thing {
        "access-keys" => with(body, |key: AccessKey| {
            core.put_access_key(key);
            done()
        }),
        "revocations" => {
            with(body, |revoke: Revoke| known(core.revoke(&revoke.access_key_id, revoke.how), "no such access key"))
        }
        "roles" => with(body, |role: Role| {
            core.put_role(role);
            done()
        }),
        "oidc-tokens" => with(body, |rotation: Rotation| {
            known(core.rotate_oidc_token(&rotation.role_arn, &rotation.token), "no such role with an OIDC provider")
        }),
        "metadata" => with(body, |metadata: InstanceMetadata| {
            *core.metadata_mut() = metadata;
            done()
        }),
        _ => {
            core.expire_temporary_credentials();
            done()
        }
    }
}

fn known(is: bool, otherwise: &str) -> Response {
    if is { done() } else { problem(404, otherwise) }
}
