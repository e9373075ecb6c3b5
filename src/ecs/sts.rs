//! The calls to STS: whose credentials are these, and credentials for a role. Keeps none of what it gets: caching is the
//! business of whoever asks.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

use super::sign::canonical_form;
use super::wire::sign;
use super::{ApiCall, ApiResponse, Keys, RegionEndpoint, Signed, Stamp};

/// Whose credentials these are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerIdentity {
    /// The Alibaba Cloud account.
    pub account_id: String,
    /// The user or role within it; empty when the answer does not say.
    pub identity_arn: String,
}

/// Temporary credentials. No `Debug`: they hold secrets.
#[derive(Clone)]
pub struct SessionCredentials {
    /// The credentials, always with a security token.
    pub credentials: Keys,
    /// When they stop working, on STS's clock.
    pub expires_at: Timestamp,
}

/// Which role is asked for.
#[derive(Clone, Copy, Debug)]
pub struct RoleRequest<'a> {
    /// `acs:ram::<account>:role/<name>`.
    pub role_arn: &'a str,
    /// Shows in the audit trail; 2 to 64 characters.
    pub session_name: &'a str,
    /// From 900 up to the role's own maximum.
    pub duration_seconds: u32,
}

/// Asks whose credentials these are. Needs no permission.
pub fn get_caller_identity(endpoint: &RegionEndpoint, credentials: &Keys, stamp: &Stamp) -> Signed<CallerIdentity> {
    sign(ApiCall::GetCallerIdentity, &endpoint.sts_url, credentials, stamp, &[])
}

/// Asks for a role, with the given credentials. `external_id` is what the role's owner agreed on with us, if so.
pub fn assume_role(
    endpoint: &RegionEndpoint,
    credentials: &Keys,
    role: RoleRequest<'_>,
    external_id: Option<&str>,
    stamp: &Stamp,
) -> Signed<SessionCredentials> {
    let duration_seconds = role.duration_seconds.to_string();
    let mut parameters = role.parameters(&duration_seconds);
    parameters.extend(external_id.map(|id| ("ExternalId", id)));
    sign(ApiCall::AssumeRole, &endpoint.sts_url, credentials, stamp, &parameters)
}

/// Asks for a role with a token of the cluster (RRSA). The one call without a signature: the token is the proof. Only
/// the stamp's time is sent.
pub fn assume_role_with_oidc(
    endpoint: &RegionEndpoint,
    oidc_provider_arn: &str,
    oidc_token: &SecretString,
    role: RoleRequest<'_>,
    stamp: &Stamp,
) -> Signed<SessionCredentials> {
    let action = ApiCall::AssumeRoleWithOidc;
    let (duration_seconds, timestamp) = (role.duration_seconds.to_string(), stamp.timestamp());
    // The official client has the common parameters in the address and the rest in the body; so has this one.
    let common = canonical_form(vec![
        ("Action", action.as_str()),
        ("Format", "JSON"),
        ("Timestamp", &timestamp),
        ("Version", action.version()),
    ]);
    let mut parameters = role.parameters(&duration_seconds);
    parameters.extend([("OIDCProviderArn", oidc_provider_arn), ("OIDCToken", oidc_token.expose_secret())]);
    let url = format!("{}/?{}", endpoint.sts_url, *common);
    Signed::new(action, url, canonical_form(parameters), vec![oidc_token.clone()])
}

impl<'a> RoleRequest<'a> {
    fn parameters(self, duration_seconds: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![("RoleArn", self.role_arn), ("RoleSessionName", self.session_name), ("DurationSeconds", duration_seconds)]
    }
}

impl ApiResponse for CallerIdentity {
    fn read(body: &[u8]) -> Option<Self> {
        let RawIdentity { account_id, arn } = serde_json::from_slice(body).ok()?;
        (!account_id.is_empty()).then_some(Self { account_id, identity_arn: arn.unwrap_or_default() })
    }
}

impl ApiResponse for SessionCredentials {
    fn read(body: &[u8]) -> Option<Self> {
        let RawSession { credentials } = serde_json::from_slice(body).ok()?;
        credentials.session()
    }
}

/// Temporary credentials as STS writes them, and the metadata service too. Secret parts are wiped however reading ends.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RawCredentials {
    access_key_id: String,
    #[serde(deserialize_with = "secret")]
    access_key_secret: SecretString,
    #[serde(deserialize_with = "secret")]
    security_token: SecretString,
    expiration: String,
}

impl RawCredentials {
    /// The credentials; `None` when they do not say when they end, or one of their parts is empty.
    pub fn session(self) -> Option<SessionCredentials> {
        let Self { access_key_id, access_key_secret, security_token, expiration } = self;
        let parts = [access_key_id.as_str(), access_key_secret.expose_secret(), security_token.expose_secret()];
        if parts.into_iter().any(|part| part.trim().is_empty()) {
            return None;
        }
        let credentials = Keys { access_key_id, access_key_secret, security_token: Some(security_token) };
        Some(SessionCredentials { credentials, expires_at: expiration.parse().ok()? })
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawIdentity {
    account_id: String,
    arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawSession {
    credentials: RawCredentials,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_needs_its_account() {
        let body = br#"{"AccountId":"123","Arn":"acs:ram::123:user/a","IdentityType":"RAMUser","RequestId":"A"}"#;
        let expected = CallerIdentity { account_id: "123".into(), identity_arn: "acs:ram::123:user/a".into() };
        assert_eq!(CallerIdentity::read(body), Some(expected));
        assert_eq!(CallerIdentity::read(br#"{"AccountId":""}"#), None);
    }

    #[test]
    fn a_session_is_read_whole_or_not_at_all() {
        let body = r#"{"Credentials":{"AccessKeyId":"STS.a","AccessKeySecret":"b","SecurityToken":"c",
            "Expiration":"2026-01-02T04:04:05Z"}}"#;
        let session = SessionCredentials::read(body.as_bytes()).unwrap();
        assert_eq!(session.credentials.security_token.unwrap().expose_secret(), "c");
        assert_eq!(session.expires_at, "2026-01-02T04:04:05Z".parse().unwrap());
        assert!(SessionCredentials::read(body.replace("04:04:05Z", "").as_bytes()).is_none());
        assert!(SessionCredentials::read(body.replace("SecurityToken", "Other").as_bytes()).is_none());
        for part in ["STS.a", "\"b\"", "\"c\""] {
            assert!(SessionCredentials::read(body.replace(part, "\" \"").as_bytes()).is_none(), "{part}");
        }
    }

    #[test]
    fn the_oidc_token_travels_in_the_body_alone() {
        let role = RoleRequest { role_arn: "acs:ram::1:role/r", session_name: "s", duration_seconds: 900 };
        let stamp = Stamp { timestamp: "2026-01-02T03:04:05Z".parse().unwrap(), nonce: String::new() };
        let endpoint = RegionEndpoint::public("eu-central-1").unwrap();
        let signed = assume_role_with_oidc(&endpoint, "acs:ram::1:oidc-provider/p", &"to.ken".into(), role, &stamp);
        let request = signed.into_request().0.unwrap();
        assert_eq!(
            request.uri(),
            "https://sts.aliyuncs.com/?Action=AssumeRoleWithOIDC&Format=JSON&Timestamp=2026-01-02T03%3A04%3A05Z\
             &Version=2015-04-01"
        );
        assert_eq!(
            request.body(),
            "DurationSeconds=900&OIDCProviderArn=acs%3Aram%3A%3A1%3Aoidc-provider%2Fp&OIDCToken=to.ken\
             &RoleArn=acs%3Aram%3A%3A1%3Arole%2Fr&RoleSessionName=s"
        );
    }
}
