//! STS `AssumeRole` and `AssumeRoleWithOIDC`: who may become which role, and the temporary credentials that come of it.
//!
//! A session policy (`Policy`) is refused, not ignored: what it would take away, the simulator could not take away.

use jiff::Timestamp;
use serde_json::json;

use crate::access_key::{AccessKey, AssumedRole};
use crate::answer::{Body, Refusal};
use crate::call::Call;
use crate::core::Core;
use crate::role::Role;
use crate::time::{after, to_second};

/// The one action that is not signed.
pub(crate) const WITH_OIDC: &str = "AssumeRoleWithOIDC";

/// STS's own least, in seconds.
const SHORTEST_SESSION_SECONDS: u32 = 900;

impl Core {
    pub(crate) fn assume_role(&mut self, call: &Call, caller: &AccessKey) -> Result<Body, Refusal> {
        let wanted = Wanted::read(call)?;
        let role = self.wanted_role(&wanted)?;
        let knows_external_id = role.external_id.as_deref().is_none_or(|id| call.get("ExternalId") == Some(id));
        if !caller.may(call.action(), "") || !role.is_trusting(caller) || !knows_external_id {
            return Err(no_permission());
        }
        let seconds = wanted.seconds(&role)?;
        Ok(credentials(&self.issue(&role, wanted.session_name, seconds)))
    }

    pub(crate) fn assume_role_with_oidc(&mut self, call: &Call) -> Result<Body, Refusal> {
        if call.method != "POST" {
            return Err(Refusal::new("UnsupportedHTTPMethod", 403, "This http method is not supported."));
        }
        let provider_arn = call.get("OIDCProviderArn").ok_or_else(|| Refusal::missing("OIDCProviderArn"))?;
        let token = call.get("OIDCToken").ok_or_else(|| Refusal::missing("OIDCToken"))?;
        if let Some(timestamp) = call.get("Timestamp") {
            self.gate.check_time(self.now, timestamp)?;
        }
        let wanted = Wanted::read(call)?;
        let role = self.wanted_role(&wanted)?;
        let Some(trust) = role.oidc.as_ref().filter(|trust| trust.provider_arn == provider_arn) else {
            return Err(no_permission());
        };
        if trust.expired_tokens.iter().any(|known| known == token) {
            return Err(Refusal::new("AuthenticationFail.OIDCToken.Expired", 400, "This JWT has expired."));
        }
        if !trust.tokens.iter().any(|known| known == token) {
            return Err(Refusal::new("AuthenticationFail.OIDCToken.Invalid", 400, "This JWT is invalid."));
        }
        let seconds = wanted.seconds(&role)?;
        Ok(credentials(&self.issue(&role, wanted.session_name, seconds)))
    }

    /// New credentials of a role, known to the gate from now on.
    pub(crate) fn issue(&mut self, role: &Role, session_name: &str, seconds: u32) -> AccessKey {
        let seconds = role.sessions_last_seconds.unwrap_or(seconds);
        let session = AssumedRole { role_arn: role.arn.clone(), session_name: session_name.to_owned() };
        let id = format!("STS.{}", self.random.text(22));
        let key = AccessKey {
            // Real tokens are long Base64, so these hold what has to be percent-encoded too.
            security_token: Some(format!("CAIS{}+/{}==", self.random.text(200), self.random.text(200))),
            security_token_expires: Some(whole(after(self.now, f64::from(seconds)))),
            assumed_role: Some(session),
            ..AccessKey::new(&id, &self.random.text(44)).of_account(role.account_id())
        };
        self.gate.put(key.clone());
        key
    }

    fn wanted_role(&self, wanted: &Wanted<'_>) -> Result<Role, Refusal> {
        self.roles.get(wanted.role_arn).cloned().ok_or_else(|| {
            Refusal::new("EntityNotExist.Role", 404, format!("The role not exists: {}.", wanted.role_arn))
        })
    }
}

/// What both actions ask for.
struct Wanted<'a> {
    role_arn: &'a str,
    session_name: &'a str,
    duration_seconds: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn read(call: &'a Call) -> Result<Self, Refusal> {
        let role_arn = call.get("RoleArn").ok_or_else(|| Refusal::missing("RoleArn"))?;
        let session_name = call.get("RoleSessionName").ok_or_else(|| Refusal::missing("RoleSessionName"))?;
        let fits = |each: char| each.is_ascii_alphanumeric() || ".@-_".contains(each);
        if !(2..=64).contains(&session_name.chars().count()) || !session_name.chars().all(fits) {
            return Err(wrong("RoleSessionName"));
        }
        if call.get("Policy").is_some() {
            return Err(wrong("Policy"));
        }
        Ok(Self { role_arn, session_name, duration_seconds: call.get("DurationSeconds") })
    }

    fn seconds(&self, role: &Role) -> Result<u32, Refusal> {
        let Some(text) = self.duration_seconds else { return Ok(role.max_session_seconds.min(3600)) };
        let seconds = text.parse().map_err(|_| wrong("DurationSeconds"))?;
        if (SHORTEST_SESSION_SECONDS..=role.max_session_seconds).contains(&seconds) {
            Ok(seconds)
        } else {
            Err(wrong("DurationSeconds"))
        }
    }
}

fn credentials(key: &AccessKey) -> Body {
    let session = key.assumed_role.as_ref();
    let (role_arn, name) = session.map(|each| (each.role_arn.as_str(), each.session_name.as_str())).unwrap_or_default();
    let mut body = Body::new();
    body.insert(
        "AssumedRoleUser".to_owned(),
        json!({ "Arn": format!("{role_arn}/{name}"), "AssumedRoleId": format!("300000000000000001:{name}") }),
    );
    body.insert(
        "Credentials".to_owned(),
        json!({
            "AccessKeyId": key.access_key_id,
            "AccessKeySecret": key.access_key_secret,
            "SecurityToken": key.security_token,
            "Expiration": key.security_token_expires.map(to_second),
        }),
    );
    body
}

/// Expirations are given in whole seconds, so they are kept in them.
fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn no_permission() -> Refusal {
    let message = "You are not authorized to do this action. You should be authorized by RAM.";
    Refusal::new("NoPermission", 403, message)
}

fn wrong(name: &str) -> Refusal {
    Refusal::new(format!("InvalidParameter.{name}"), 400, format!("The parameter {name} is wrongly formed."))
}
