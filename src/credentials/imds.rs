//! Credentials of the role of the ECS instance that this runs on, from its metadata service in hardened mode.
//!
//! Hardened: a token is asked for first, by a method that no redirect or cross-site request makes. Official clients go on
//! without a token where that fails; this one never does. It is asked for an account with `ecsRAMRole` only.

use bytes::Bytes;
use http::HeaderValue;
use serde::Deserialize;

use crate::ecs::sts::RawCredentials;
use crate::ecs::{EcsClient, MetadataError, SessionCredentials, Transport};

/// One use is enough: the token is asked for again each time.
const TOKEN_SECONDS: &str = "60";
/// What a role's name, a token and an answer are at most; real ones are far below.
const TEXT_BYTES_MAX: usize = 16 << 10;
const ROLES: &str = "/latest/meta-data/ram/security-credentials/";

/// Why there are no credentials. Nothing of an answer is in it but a role's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstanceRoleError {
    /// The address gives no valid request.
    #[error("{asked}: the request could not be built")]
    Request {
        /// What was asked for.
        asked: String,
    },
    /// The service did not answer, or not with a 200.
    #[error("{asked}: {why}")]
    NoAnswer {
        /// What was asked for.
        asked: String,
        /// What went wrong.
        why: MetadataError,
    },
    /// An answer of this length is not the service's.
    #[error("{asked}: the answer is too long")]
    TooLong {
        /// What was asked for.
        asked: String,
    },
    /// The token is not one line of text.
    #[error("the metadata service's token cannot be read; check that it offers the hardened mode")]
    Token,
    /// The service names no role.
    #[error("the instance has no role")]
    NoRole,
    /// The name holds what no role's name does, and would change the path.
    #[error("the metadata service names a role that cannot be one; set ecsRAMRole.name")]
    RoleName,
    /// The answer is not a success, or lacks a part.
    #[error("the metadata service has no credentials of role {role}: check that the instance has that role")]
    NoCredentials {
        /// The role that was asked for.
        role: String,
    },
}

/// Asks for credentials of `role`, or of whichever role the instance has.
pub async fn instance_role<T: Transport>(
    client: &EcsClient<T>,
    address: &str,
    role: Option<&str>,
) -> Result<SessionCredentials, InstanceRoleError> {
    let ask = async |asked: &str, request: http::request::Builder| {
        let asked = || asked.to_owned();
        let request = request.body(Bytes::new()).map_err(|_| InstanceRoleError::Request { asked: asked() })?;
        let answer = client.ask_metadata(request).await;
        let body = answer.map_err(|why| InstanceRoleError::NoAnswer { asked: asked(), why })?;
        if body.len() > TEXT_BYTES_MAX { Err(InstanceRoleError::TooLong { asked: asked() }) } else { Ok(body) }
    };
    let token = http::Request::put(format!("{address}/latest/api/token"))
        .header("X-aliyun-ecs-metadata-token-ttl-seconds", TOKEN_SECONDS);
    let token = text(&ask("asking for a token", token).await?).and_then(|token| HeaderValue::from_str(&token).ok());
    let mut token = token.ok_or(InstanceRoleError::Token)?;
    token.set_sensitive(true);
    let get = |path: &str| {
        http::Request::get(format!("{address}{path}")).header("X-aliyun-ecs-metadata-token", token.clone())
    };
    let role = if let Some(role) = role {
        role.to_owned()
    } else {
        let names = ask("asking for the instance's role", get(ROLES)).await?;
        text(&names).and_then(|names| names.lines().next().map(str::to_owned)).ok_or(InstanceRoleError::NoRole)?
    };
    if role.is_empty() || !role.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
        return Err(InstanceRoleError::RoleName);
    }
    let answer = ask(&format!("asking for credentials of role {role}"), get(&format!("{ROLES}{role}"))).await?;
    read(&answer).ok_or(InstanceRoleError::NoCredentials { role })
}

fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Anything but `Code: Success` is a failure, whatever else the answer holds.
pub fn read(body: &[u8]) -> Option<SessionCredentials> {
    let Envelope { code } = serde_json::from_slice(body).ok()?;
    if code == "Success" { serde_json::from_slice::<RawCredentials>(body).ok()?.session() } else { None }
}

// Not one type with the credentials in it: to flatten them, serde would keep a copy that nobody wipes.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    code: String,
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn only_a_success_with_all_its_parts_is_credentials() {
        let body = r#"{"Code":"Success","AccessKeyId":"STS.a","AccessKeySecret":"b","SecurityToken":"c",
            "LastUpdated":"2026-01-02T03:04:05Z","Expiration":"2026-01-02T09:04:05Z"}"#;
        let session = read(body.as_bytes()).unwrap();
        assert_eq!(session.credentials.security_token.unwrap().expose_secret(), "c");
        assert_eq!(session.expires_at, "2026-01-02T09:04:05Z".parse().unwrap());
        for (from, to) in [("Success", "Failed"), ("SecurityToken", "Other"), ("2026-01-02T09", "2026-13-02T09")] {
            assert!(read(body.replace(from, to).as_bytes()).is_none(), "{to}");
        }
        assert!(read(b"<html>").is_none());
    }
}
