//! STS `GetCallerIdentity`: whose key is this?

use serde_json::json;

use crate::access_key::AccessKey;
use crate::answer::Body;

pub(crate) fn get_caller_identity(key: &AccessKey) -> Body {
    let kind = if key.security_token.is_some() { "AssumedRoleUser" } else { "RAMUser" };
    let mut body = Body::new();
    body.insert("AccountId".to_owned(), json!(key.account_id));
    body.insert("Arn".to_owned(), json!(key.principal_arn()));
    body.insert("IdentityType".to_owned(), json!(kind));
    body.insert("PrincipalId".to_owned(), json!("200000000000000001"));
    body.insert("UserId".to_owned(), json!("200000000000000001"));
    body
}
