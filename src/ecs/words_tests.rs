//! The words for a call that brought no success, by API, answer and code.

use super::error::{ErrorAnswer, classify};
use super::{ApiCall, CallError, ErrorResponse};
use crate::decide::words_tests::Words;

fn refused(action: ApiCall, http_status: u16, code: &str) -> ErrorResponse {
    let answer = ErrorAnswer { http_status, code: Some(code), request_id: Some("R-1"), message: "" };
    let (class, executed) = classify(&answer);
    ErrorResponse {
        action,
        code: code.to_owned(),
        http_status,
        request_id: Some("R-1".to_owned()),
        unreadable: None,
        names_instance_id: false,
        executed,
        class,
        retry_after: None,
    }
}

#[test]
fn words_of_calls_without_success() {
    let mut words = Words::of("errors");
    for action in [ApiCall::RebootInstance, ApiCall::DescribeInstances, ApiCall::AssumeRole] {
        for (http_status, code) in [
            (429, "Throttling.User"),
            (503, "ServiceUnavailable"),
            (403, "IncorrectInstanceStatus"),
            (403, "Forbidden.RAM"),
            (400, "InvalidParameter"),
            (404, "InvalidInstanceId.NotFound"),
            (404, "InvalidRegionId.NotFound"),
            (404, "InvalidAccessKeyId.NotFound"),
            (403, "InvalidAccessKeyId.Inactive"),
            (403, "Forbidden.AccessKeyDisabled"),
            (400, "SignatureDoesNotMatch"),
            (400, "InvalidSecurityToken.Expired"),
            (400, "InvalidSecurityToken.Malformed"),
            (400, "InvalidTimeStamp.Expired"),
            (400, "SignatureNonceUsed"),
            (403, "AuthenticationFail.NoPermission"),
            (403, "AuthenticationFail.OIDCToken.Invalid"),
            (404, "EntityNotExist.Role"),
            (403, "NoPermission"),
            (400, "NobodyKnows"),
            (500, "InternalError"),
        ] {
            let error = refused(action, http_status, code);
            words.say(&format!("{}, {:?}", action.as_str(), error.class), &error);
        }
        let unreadable = Some("the answer could not be read".to_owned());
        let error = ErrorResponse { unreadable, ..refused(action, 403, "HTTP 403") };
        words.say(&format!("{}, unreadable", action.as_str()), error);
    }
    words.say("ModifyInstanceAttribute, denied", refused(ApiCall::ModifyInstanceAttribute, 403, "Forbidden.RAM"));
    words.say("not sent", CallError::NotSent("<why>".to_owned()));
    words.say("not answered", CallError::NoAnswer("<why>".to_owned()));
    words.assert();
}
