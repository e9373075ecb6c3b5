//! The one call to STS: whose credentials are these.

use serde::Deserialize;

use super::wire::sign;
use super::{Action, Answer, Credentials, Endpoint, Signed, Stamp};

/// Whose credentials these are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerIdentity {
    /// The Alibaba Cloud account.
    pub account_id: String,
    /// The user or role within it; empty when the answer does not say.
    pub identity_arn: String,
}

/// Asks whose credentials these are. Needs no permission.
pub fn get_caller_identity(endpoint: &Endpoint, credentials: &Credentials, stamp: &Stamp) -> Signed<CallerIdentity> {
    sign(Action::GetCallerIdentity, &endpoint.sts_url, credentials, stamp, &[])
}

impl Answer for CallerIdentity {
    fn read(body: &[u8]) -> Option<Self> {
        let RawIdentity { account_id, arn } = serde_json::from_slice(body).ok()?;
        (!account_id.is_empty()).then_some(Self { account_id, identity_arn: arn.unwrap_or_default() })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawIdentity {
    account_id: String,
    arn: Option<String>,
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
}
