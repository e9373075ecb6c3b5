//! The errors for requests that the API server refuses.

use kube::core::Status;

use super::*;

#[test]
fn admission_is_quoted_for_kinds_without_secrets_alone() {
    let refused = |what: &str, code, reason: &str, message: &str| {
        let status = Status { code, message: message.to_owned(), reason: reason.to_owned(), ..Status::default() };
        classify(&kube::Error::Api(status.boxed()), "create", what.to_owned())
    };
    let denied = "resetrecords \"x\" is forbidden: ValidatingAdmissionPolicy 'freeze' with binding 'freeze' denied \
                  request: no changes\nbefore Monday";
    let said = refused("ResetRecord x", 403, "Forbidden", denied).to_string();
    assert_eq!(
        said,
        "the API server refused to create ResetRecord x (HTTP 403, Forbidden): ValidatingAdmissionPolicy 'freeze' \
         with binding 'freeze' denied request: no changes before Monday"
    );
    let webhook = "admission webhook \"a.example\" denied the request: Passw0rd!";
    assert!(
        refused("ResetRecord x", 400, "BadRequest", webhook).to_string().ends_with("denied the request: Passw0rd!")
    );
    assert!(refused("ResetRecord x", 409, "Conflict", webhook).to_string().contains("a.example"));
    for kind in ["Secret x", "Lease x", "Event", ""] {
        assert!(!refused(kind, 422, "Invalid", webhook).to_string().contains("Passw0rd!"), "{kind}");
    }
    let rbac = "resetrecords is forbidden: User \"x\" cannot create resource \"resetrecords\"";
    assert!(matches!(refused("ResetRecord x", 403, "Forbidden", rbac), ClusterError::Forbidden { .. }));
    let invalid = refused("ResetRecord x", 422, "Invalid", "spec.claim: Invalid value: \"Passw0rd!\"");
    assert!(!invalid.to_string().contains("Passw0rd!"));
    let long = format!("ValidatingAdmissionPolicy 'p' {}", "é".repeat(2_000));
    assert!(refused("ECSAccount x", 422, "Invalid", &long).to_string().len() < 700);
}

#[test]
fn no_event_is_too_long_for_the_api_server() {
    let nonce = "0".repeat(32);
    assert_eq!(event_name("web", &nonce), format!("web.{nonce}"));
    let longest = event_name(&format!("{}.{}", "a".repeat(219), "b".repeat(33)), &nonce);
    assert_eq!(longest, format!("{}.{nonce}", "a".repeat(219)), "a label does not end with a dot");
    assert_eq!(event_note("short"), "short");
    let note = event_note(&"密".repeat(400)).to_owned();
    assert_eq!(note, "密".repeat(341), "counted in bytes, cut between characters");
}
