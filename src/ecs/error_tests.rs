//! What each answer of ECS means.

use super::*;

#[test]
fn no_line_of_the_table_is_skipped() {
    let lines: Vec<_> = include_str!("errors.tsv").lines().filter(|line| !line.starts_with('#')).collect();
    assert!(lines[0].starts_with("code\tmessage\t"));
    for line in &lines[1..] {
        assert!(parse_row(line).is_some(), "{line}");
        assert_eq!(line.split('\t').count(), 7, "{line}");
    }
}

fn by_the_api(code: &str, message: &str, http_status: u16) -> (Class, Executed) {
    classify(&ErrorAnswer { http_status, code: Some(code), request_id: Some("A-1"), message })
}

#[test]
fn the_message_tells_apart_what_operation_denied_means() {
    let class = |message| by_the_api("OperationDenied", message, 403);
    let wrong_status = "The current status of the resource does not support this operation.";
    assert_eq!(class(wrong_status), (Class::WaitState, Executed::No));
    assert_eq!(class("The specified Image is disabled or is deleted."), (Class::Denied, Executed::No));
    assert_eq!(class("The resource is out of usage."), (Class::Refused, Executed::No));
}

#[test]
fn wildcards_cover_what_has_no_row_of_its_own() {
    assert_eq!(by_the_api("Throttling.Anything", "", 400), (Class::Throttled, Executed::No));
    assert_eq!(by_the_api("MissingParameter.CommandId", "", 400), (Class::Invalid, Executed::No));
    assert_eq!(by_the_api("InvalidParameter.KMSKeyId.New", "", 400), (Class::Denied, Executed::No));
    assert_eq!(by_the_api("InvalidParameter.New", "", 400), (Class::Invalid, Executed::No));
    assert_eq!(by_the_api("InvalidInstanceStatus.New", "", 400), (Class::WaitState, Executed::No));
}

#[test]
fn a_code_without_a_row_is_refused_by_4xx_and_nothing_else() {
    let executed = |http_status| by_the_api("NobodyKnows", "", http_status);
    assert_eq!(executed(400), (Class::Refused, Executed::No));
    assert_eq!(executed(499), (Class::Refused, Executed::No));
    for status in [0, 200, 302, 399] {
        assert_eq!(executed(status), (Class::Unknown, Executed::Unknown), "{status}");
    }
    for status in [500, 503, 599, 999] {
        assert_eq!(executed(status), (Class::Transient, Executed::Unknown), "{status}");
    }
}

#[test]
fn without_code_or_request_id_it_is_not_the_apis_answer() {
    let answer = ErrorAnswer { http_status: 403, ..ErrorAnswer::default() };
    assert_eq!(classify(&answer), (Class::Unknown, Executed::Unknown));
    assert_eq!(classify(&ErrorAnswer { request_id: Some("A-1"), ..answer }).1, Executed::Unknown);
    for code in ["NobodyKnows", "IncorrectInstanceStatus", "Throttling.User", "Forbidden.RAM"] {
        assert_eq!(classify(&ErrorAnswer { code: Some(code), ..answer }).1, Executed::Unknown, "{code}");
    }
    assert_eq!(classify(&ErrorAnswer { http_status: 502, ..answer }), (Class::Transient, Executed::Unknown));
}

#[test]
fn a_5xx_proves_nothing_unless_the_row_names_it() {
    assert_eq!(by_the_api("InstanceNotReady", "", 500), (Class::Transient, Executed::No));
    assert_eq!(by_the_api("InstanceNotReady", "", 502).1, Executed::Unknown);
    for code in ["IncorrectInstanceStatus", "Throttling.User", "InvalidNew"] {
        assert_eq!(by_the_api(code, "", 500).1, Executed::Unknown, "{code}");
    }
}

fn said(action: ApiCall, http_status: u16, code: &str) -> String {
    let (class, executed) = by_the_api(code, "", http_status);
    let (code, request_id) = (code.to_owned(), Some("A-1".to_owned()));
    let (unreadable, names_instance_id, retry_after) = (None, false, None);
    ErrorResponse { action, code, http_status, request_id, unreadable, names_instance_id, executed, class, retry_after }
        .to_string()
}

#[test]
fn what_may_have_run_is_called_answered_and_not_known() {
    assert_eq!(
        said(ApiCall::RebootInstance, 500, "InternalError"),
        "answered with HTTP 500, code InternalError, request A-1, outcome not known"
    );
    assert!(said(ApiCall::RebootInstance, 403, "New").starts_with("refused with New (HTTP 403, request A-1): "));
}

#[test]
fn advice_on_a_read_is_about_reads() {
    for class in TABLE.exact.keys().chain(&["New", "Throttling.New", "InvalidNew"]) {
        for status in [400, 500] {
            let said = said(ApiCall::DescribeInstances, status, class);
            assert!(!said.contains("repeated") && !said.contains("outcome"), "{said}");
        }
    }
    assert!(said(ApiCall::DescribeInstances, 404, "InvalidRegionId.NotFound").contains("check regionID"));
    assert!(said(ApiCall::AssumeRoleWithOidc, 401, "AuthenticationFail.NoPermission").contains("trust policy"));
}

#[test]
fn a_label_is_one_of_the_table_or_other() {
    let label = |code: &str, http_status, unreadable: Option<&str>| {
        let refusal = ErrorResponse {
            action: ApiCall::RebootInstance,
            code: code.to_owned(),
            http_status,
            request_id: None,
            unreadable: unreadable.map(str::to_owned),
            names_instance_id: false,
            executed: Executed::No,
            class: Class::Refused,
            retry_after: None,
        };
        CallError::Refused(refusal).label()
    };
    assert_eq!(label("IncorrectInstanceStatus", 403, None), "IncorrectInstanceStatus");
    assert_eq!(label("Throttling.Anything", 400, None), "Throttling.*");
    assert_eq!(label("HTTP 502", 502, Some("the answer could not be read")), "HTTP 5xx");
    assert_eq!(label("HTTP 200", 200, Some("the answer could not be read")), "HTTP other");
    let seen: std::collections::BTreeSet<&str> = (0..10_000)
        .flat_map(|n| [label(&format!("Code{n}"), 400, None), label(&format!("Invalid{n}.X"), 400, None)])
        .collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["Invalid*", "other"], "an answer may hold any code");
}
