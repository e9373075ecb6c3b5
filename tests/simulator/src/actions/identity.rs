//! STS `GetCallerIdentity`: whose key is this?

use serde_json::json;

use crate::answer::Body;
use crate::config::AccessKey;

pub(crate) fn get_caller_identity(key: &AccessKey) -> Body {
    let account = &key.account_id;
    let (kind, arn) = if key.security_token.is_some() {
        ("AssumedRoleUser", format!("acs:ram::{account}:assumed-role/simulator/session"))
    } else {
        ("RAMUser", format!("acs:ram::{account}:user/simulator"))
    };
    let mut body = Body::new();
    body.insert("AccountId".to_owned(), json!(account));
    body.insert("Arn".to_owned(), json!(arn));
    body.insert("IdentityType".to_owned(), json!(kind));
    body.insert("PrincipalId".to_owned(), json!("200000000000000001"));
    body.insert("UserId".to_owned(), json!("200000000000000001"));
    body
}
