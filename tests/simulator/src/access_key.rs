//! Keys that sign: long-lived ones and the temporary ones of roles. Only what they are; [`crate::gate`] decides whether one is
//! believed.

use jiff::Timestamp;
use serde::Deserialize;

/// One `AccessKey` and what RAM lets it do. No `Debug`: it holds the secret.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessKey {
    /// The public half.
    pub access_key_id: String,
    /// The secret half.
    pub access_key_secret: String,
    /// Set for temporary credentials: every request must then carry it.
    #[serde(default)]
    pub security_token: Option<String>,
    /// When the token ends. `None`: it does not.
    #[serde(default)]
    pub security_token_expires: Option<Timestamp>,
    /// Whose instances it sees, and what `GetCallerIdentity` says. Default `1234567890123456`.
    #[serde(default = "default_account")]
    pub account_id: String,
    /// Set if it is refused, and how. Default: it is not.
    #[serde(default)]
    pub revoked: Option<Revocation>,
    /// What RAM refuses; everything else is allowed. For a known role's key, [`crate::Role::denied`] counts instead.
    #[serde(default)]
    pub denied: Vec<Denied>,
    /// Whose session it is, if it is a role's.
    #[serde(default)]
    pub assumed_role: Option<AssumedRole>,
}

/// The role behind temporary credentials.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssumedRole {
    /// `acs:ram::ACCOUNT:role/NAME`.
    pub role_arn: String,
    /// `RoleSessionName`, by which `ActionTrail` tells sessions apart.
    pub session_name: String,
}

/// The ways in which a key ends before its time; the answers that ECS is documented to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Revocation {
    /// `Forbidden.AccessKeyDisabled`.
    Disabled,
    /// `InvalidAccessKeyId.Inactive`.
    Inactive,
    /// `InvalidSecurityToken.Expired`, whatever its expiration says.
    Expired,
}

/// One thing that a key or a role may not do.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Denied {
    /// The action, or `*`.
    pub action: String,
    /// The instance; `None`: any.
    #[serde(default)]
    pub instance_id: Option<String>,
}

impl Denied {
    pub(crate) fn new(action: &str, instance_id: Option<&str>) -> Self {
        Self { action: action.to_owned(), instance_id: instance_id.map(str::to_owned) }
    }
}

/// The account of everything that names none.
pub(crate) fn default_account() -> String {
    "1234567890123456".to_owned()
}

impl AccessKey {
    /// A long-lived key that may do everything.
    pub fn new(access_key_id: &str, access_key_secret: &str) -> Self {
        Self {
            access_key_id: access_key_id.to_owned(),
            access_key_secret: access_key_secret.to_owned(),
            security_token: None,
            security_token_expires: None,
            account_id: default_account(),
            revoked: None,
            denied: Vec::new(),
            assumed_role: None,
        }
    }

    /// The key of tests and the demo: `testid` / `testsecret`, as in ECS's own signature examples.
    pub fn testing() -> Self {
        Self::new("testid", "testsecret")
    }

    /// Makes it a temporary key.
    #[must_use]
    pub fn with_token(mut self, security_token: &str) -> Self {
        self.security_token = Some(security_token.to_owned());
        self
    }

    /// Moves it to another account.
    #[must_use]
    pub fn of_account(mut self, account_id: &str) -> Self {
        account_id.clone_into(&mut self.account_id);
        self
    }

    /// Refuses `action` (`*`: all) on one instance, or on all.
    #[must_use]
    pub fn deny(mut self, action: &str, instance_id: Option<&str>) -> Self {
        self.denied.push(Denied::new(action, instance_id));
        self
    }

    /// Whether RAM lets it do `action` on `instance_id`.
    pub(crate) fn may(&self, action: &str, instance_id: &str) -> bool {
        !self.denied.iter().any(|denied| {
            (denied.action == "*" || denied.action == action)
                && denied.instance_id.as_deref().is_none_or(|id| id == instance_id)
        })
    }

    /// The name under which `GetCallerIdentity` and `ActionTrail` know it.
    pub(crate) fn principal_arn(&self) -> String {
        let account = &self.account_id;
        match &self.assumed_role {
            Some(AssumedRole { role_arn, session_name }) => {
                let name = crate::role::name_of(role_arn);
                format!("acs:ram::{account}:assumed-role/{name}/{session_name}")
            }
            None if self.security_token.is_some() => format!("acs:ram::{account}:assumed-role/simulator/session"),
            None => format!("acs:ram::{account}:user/simulator"),
        }
    }
}
