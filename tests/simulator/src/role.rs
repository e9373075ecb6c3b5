//! RAM roles: who may become one, and what it may do. Only data and questions about it; [`crate::sts`] hands out credentials.

use serde::Deserialize;

use crate::access_key::{AccessKey, AssumedRole, Denied};

/// One role. No `Debug`: it holds OIDC tokens.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Role {
    /// `acs:ram::ACCOUNT:role/NAME`; its sessions see the instances of that account.
    pub arn: String,
    /// The callers that may call `AssumeRole` for it: account ids, `AccessKeyIds` or ARNs of roles. Default: nobody.
    #[serde(default)]
    pub trusts: Vec<String>,
    /// The `ExternalId` that `AssumeRole` must bring. Default: none is needed.
    #[serde(default)]
    pub external_id: Option<String>,
    /// Whose tokens `AssumeRoleWithOIDC` takes. Default: nobody's.
    #[serde(default)]
    pub oidc: Option<OidcTrust>,
    /// The longest session that may be asked for, in seconds. Default 3600.
    #[serde(default = "an_hour")]
    pub max_session_seconds: u32,
    /// How long sessions really last, in seconds, for tests that cannot wait for STS's least, 900. Default: as asked.
    #[serde(default)]
    pub sessions_last_seconds: Option<u32>,
    /// What RAM refuses; everything else is allowed. A change binds running sessions too.
    #[serde(default)]
    pub denied: Vec<Denied>,
}

/// An OIDC provider that a role trusts.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OidcTrust {
    /// `acs:ram::ACCOUNT:oidc-provider/NAME`.
    pub provider_arn: String,
    /// The tokens that are valid now.
    pub tokens: Vec<String>,
    /// Tokens that were valid: refused as expired and not as invalid.
    #[serde(default)]
    pub expired_tokens: Vec<String>,
}

fn an_hour() -> u32 {
    3600
}

impl Role {
    /// A role that may do everything and that nobody may assume.
    pub fn new(arn: &str) -> Self {
        Self {
            arn: arn.to_owned(),
            trusts: Vec::new(),
            external_id: None,
            oidc: None,
            max_session_seconds: an_hour(),
            sessions_last_seconds: None,
            denied: Vec::new(),
        }
    }

    /// Lets an account, an `AccessKeyId` or a role call `AssumeRole`.
    #[must_use]
    pub fn trusting(mut self, principal: &str) -> Self {
        self.trusts.push(principal.to_owned());
        self
    }

    /// Asks for an `ExternalId`.
    #[must_use]
    pub fn wanting_external_id(mut self, external_id: &str) -> Self {
        self.external_id = Some(external_id.to_owned());
        self
    }

    /// Lets the bearer of `token` call `AssumeRoleWithOIDC`.
    #[must_use]
    pub fn trusting_oidc(mut self, provider_arn: &str, token: &str) -> Self {
        self.oidc = Some(OidcTrust {
            provider_arn: provider_arn.to_owned(),
            tokens: vec![token.to_owned()],
            expired_tokens: Vec::new(),
        });
        self
    }

    /// Makes its sessions this long, whatever was asked for.
    #[must_use]
    pub fn with_sessions_of(mut self, seconds: u32) -> Self {
        self.sessions_last_seconds = Some(seconds);
        self
    }

    /// Refuses `action` (`*`: all) on one instance, or on all.
    #[must_use]
    pub fn deny(mut self, action: &str, instance_id: Option<&str>) -> Self {
        self.denied.push(Denied::new(action, instance_id));
        self
    }

    /// The account in its ARN.
    pub(crate) fn account_id(&self) -> &str {
        self.arn.split(':').nth(3).unwrap_or_default()
    }

    /// The name in its ARN.
    pub(crate) fn name(&self) -> &str {
        name_of(&self.arn)
    }

    pub(crate) fn is_trusting(&self, caller: &AccessKey) -> bool {
        let role_arn = caller.assumed_role.as_ref().map(|AssumedRole { role_arn, .. }| role_arn);
        self.trusts
            .iter()
            .any(|each| *each == caller.account_id || *each == caller.access_key_id || Some(each) == role_arn)
    }
}

/// The name in a role's ARN.
pub(crate) fn name_of(role_arn: &str) -> &str {
    role_arn.rsplit('/').next().unwrap_or_default()
}
