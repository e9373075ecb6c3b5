//! The rights that `deploy/base` gives, and to whom.

use ecs_password_reset::leader::LEASE_NAME;
use serde_json::{Value, json};

use super::{objects, strings};

const SYSTEM_NAMESPACE: &str = "ecs-password-reset-system";

fn of_kind(kind: &str) -> Vec<Value> {
    objects("deploy/base").into_iter().filter(|object| object["kind"] == kind).collect()
}

/// The rules that a binding of `binding_kind` gives to the controller's `ServiceAccount`.
fn controller_rules(binding_kind: &str) -> Vec<Value> {
    let mut rules = Vec::new();
    for binding in of_kind(binding_kind) {
        let subjects = binding["subjects"].as_array().unwrap();
        assert_eq!(subjects.len(), 1, "{binding:#}");
        let expected = json!({"kind": "ServiceAccount", "name": "ecs-password-reset", "namespace": SYSTEM_NAMESPACE});
        assert_eq!(subjects[0], expected, "nobody but the controller is given rights");
        let (kind, name) = (binding["roleRef"]["kind"].as_str().unwrap(), &binding["roleRef"]["name"]);
        let role = of_kind(kind).into_iter().find(|role| role["metadata"]["name"] == *name).unwrap();
        rules.extend(role["rules"].as_array().unwrap().iter().cloned());
    }
    assert!(!rules.is_empty(), "{binding_kind} gives nothing");
    rules
}

fn names(rule: &Value, key: &str, value: &str) -> bool {
    strings(&rule[key]).contains(&value)
}

/// The faults of a rule, whoever holds it.
fn complaint(rule: &Value) -> Option<&'static str> {
    const ESCALATION: &[&str] = &["escalate", "bind", "impersonate"];
    let verbs = strings(&rule["verbs"]);
    let resources = strings(&rule["resources"]);
    let any = |verbs: &[&str], of: &[&str]| verbs.iter().any(|verb| of.contains(verb));
    if ["apiGroups", "resources", "verbs"].iter().any(|key| names(rule, key, "*")) {
        return Some("a wildcard");
    }
    if any(&verbs, ESCALATION) || any(&resources, &["serviceaccounts/token", "pods/exec", "serviceaccounts"]) {
        return Some("a way to more rights");
    }
    if resources.contains(&"secrets")
        && any(&verbs, &["list", "watch", "create", "patch", "delete", "deletecollection"])
    {
        return Some("more of Secrets than one by name");
    }
    if resources.contains(&"leases") && verbs != ["create"] && strings(&rule["resourceNames"]).is_empty() {
        return Some("more of Leases than creating one, and one by name");
    }
    if resources.contains(&"secrets") && verbs.contains(&"update") && strings(&rule["resourceNames"]).is_empty() {
        return Some("a write to any Secret");
    }
    None
}

#[test]
fn no_role_has_wildcards_or_more_of_secrets_than_one_by_name() {
    let broken = [
        json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}),
        json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["watch"]}),
        json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["update"]}),
        json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "update"]}),
        json!({"apiGroups": ["*"], "resources": ["x"], "verbs": ["get"]}),
        json!({"apiGroups": [""], "resources": ["x"], "verbs": ["*"]}),
        json!({"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["bind"]}),
        json!({"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]}),
    ];
    for rule in &broken {
        assert!(complaint(rule).is_some(), "the check does not see what is wrong with {rule}");
    }
    let mut count = 0;
    for role in of_kind("ClusterRole").into_iter().chain(of_kind("Role")) {
        for rule in role["rules"].as_array().unwrap() {
            assert_eq!(complaint(rule), None, "{}: {rule:#}", role["metadata"]["name"]);
            count += 1;
        }
    }
    assert!(count >= 8, "only {count} rules were found");
}

#[test]
fn the_controller_deletes_nothing() {
    for rule in controller_rules("ClusterRoleBinding").iter().chain(&controller_rules("RoleBinding")) {
        for verb in ["delete", "deletecollection"] {
            assert!(!names(rule, "verbs", verb), "{rule:#}");
        }
    }
}

#[test]
fn cluster_wide_rights_hold_no_secret_and_only_statuses() {
    for rule in controller_rules("ClusterRoleBinding") {
        assert!(!names(&rule, "resources", "secrets"), "{rule:#}");
        assert!(!names(&rule, "resources", "resetrecords"), "{rule:#}");
        let writes = strings(&rule["verbs"]).iter().any(|verb| !["get", "list", "watch"].contains(verb));
        let written = strings(&rule["resources"]);
        let harmless = written.iter().all(|resource| resource.ends_with("/status") || *resource == "events");
        assert!(!writes || harmless, "{rule:#}");
    }
}

#[test]
fn the_right_to_read_passwords_is_shipped_but_given_to_nobody() {
    let reader = "ecs-password-reset-secret-reader";
    let role = of_kind("ClusterRole").into_iter().find(|role| role["metadata"]["name"] == reader).unwrap();
    assert_eq!(role["rules"], json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]));
    for binding in of_kind("ClusterRoleBinding").iter().chain(&of_kind("RoleBinding")) {
        assert_ne!(binding["roleRef"]["name"], reader, "{binding:#}");
    }
}

/// Holding the Lease of another program would stop it.
#[test]
fn controller_writes_only_its_own_lease_in_its_namespace() {
    assert!(controller_rules("ClusterRoleBinding").iter().all(|rule| !names(rule, "resources", "leases")));
    let mut rules = controller_rules("RoleBinding");
    rules.retain(|rule| names(rule, "resources", "leases"));
    let (group, resource) = (json!(["coordination.k8s.io"]), json!(["leases"]));
    let expected = [
        json!({"apiGroups": group, "resources": resource, "resourceNames": [LEASE_NAME], "verbs": ["get", "update"]}),
        json!({"apiGroups": group, "resources": resource, "verbs": ["create"]}),
    ];
    assert_eq!(rules, expected);
}

#[test]
fn users_write_no_status_and_see_no_record() {
    let aggregated = |role: &Value| {
        let labels = role["metadata"]["labels"].as_object();
        labels.is_some_and(|labels| labels.keys().any(|label| label.contains("aggregate-to-")))
    };
    let roles: Vec<Value> = of_kind("ClusterRole").into_iter().filter(aggregated).collect();
    assert!(roles.len() >= 2, "edit and view are expected");
    for rule in roles.iter().flat_map(|role| role["rules"].as_array().unwrap()) {
        assert_eq!(strings(&rule["resources"]), ["passwordresets"], "{rule:#}");
    }
}

#[test]
fn the_fingerprint_key_ships_empty() {
    let secrets = of_kind("Secret");
    assert_eq!(secrets.len(), 1);
    assert_eq!(secrets[0]["metadata"]["name"], "ecs-password-reset-fingerprint-key");
    assert!(secrets[0]["data"].is_null() && secrets[0]["stringData"].is_null());
}
