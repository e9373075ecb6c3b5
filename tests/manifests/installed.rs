//! The same asked of a real API server, after `kubectl apply -k deploy/base`.

use crate::common::{NAMESPACE, PASSWORD, SECRET, SYSTEM_NAMESPACE, Setup, World};
use serde_json::json;

const ACCOUNT: &str = "--as=system:serviceaccount:ecs-password-reset-system:ecs-password-reset";

/// What the API server answers to `kubectl auth can-i` for the controller's `ServiceAccount`.
fn can(world: &World, namespace: &str, question: &str) -> bool {
    let mut arguments = vec!["auth", "can-i", "--namespace", namespace, ACCOUNT];
    arguments.extend(question.split_whitespace());
    // It exits with 1 for "no", and warns of nothing else.
    world.try_kubectl(&arguments, "").is_ok_and(|answer| answer.trim() == "yes")
}

#[test]
fn the_controller_may_do_what_it_needs_and_no_more() {
    let world = World::without_controller(Setup::default());
    world.kubectl(&["create", "namespace", "unbound"]);
    let record = "resetrecords.ecs.password-reset.dev";
    for (namespace, question) in [
        (SYSTEM_NAMESPACE, "get secret/ecs-password-reset-fingerprint-key"),
        (SYSTEM_NAMESPACE, "update secret/ecs-password-reset-fingerprint-key"),
        (SYSTEM_NAMESPACE, "get secret/ecs-credentials"),
        (SYSTEM_NAMESPACE, &format!("create {record}")),
        (SYSTEM_NAMESPACE, &format!("update {record}")),
        (SYSTEM_NAMESPACE, "create leases.coordination.k8s.io"),
        (SYSTEM_NAMESPACE, "get leases.coordination.k8s.io/ecs-password-reset"),
        (SYSTEM_NAMESPACE, "update leases.coordination.k8s.io/ecs-password-reset"),
        // By the RoleBinding that the owner of the namespace made.
        (NAMESPACE, &format!("get secret/{SECRET}")),
        ("unbound", "list passwordresets.ecs.password-reset.dev"),
        ("unbound", "update passwordresets.ecs.password-reset.dev --subresource=status"),
        ("unbound", "create events.events.k8s.io"),
    ] {
        assert!(can(&world, namespace, question), "{question} must be allowed in {namespace}");
    }
    for (namespace, question) in [
        (SYSTEM_NAMESPACE, "list secrets"),
        (SYSTEM_NAMESPACE, "watch secrets"),
        (SYSTEM_NAMESPACE, "create secrets"),
        (SYSTEM_NAMESPACE, "update secret/ecs-credentials"),
        (SYSTEM_NAMESPACE, "delete secret/ecs-password-reset-fingerprint-key"),
        (SYSTEM_NAMESPACE, &format!("delete {record}")),
        (SYSTEM_NAMESPACE, &format!("patch {record}")),
        (SYSTEM_NAMESPACE, "create serviceaccounts/ecs-password-reset --subresource=token"),
        (SYSTEM_NAMESPACE, "update leases.coordination.k8s.io/another"),
        (SYSTEM_NAMESPACE, "watch leases.coordination.k8s.io"),
        (SYSTEM_NAMESPACE, "delete leases.coordination.k8s.io/ecs-password-reset"),
        ("kube-system", "create leases.coordination.k8s.io"),
        (NAMESPACE, "list secrets"),
        (NAMESPACE, "watch secrets"),
        (NAMESPACE, "update secrets"),
        ("unbound", "get secrets"),
        ("unbound", &format!("get {record}")),
        ("unbound", "update passwordresets.ecs.password-reset.dev"),
        ("unbound", "delete passwordresets.ecs.password-reset.dev"),
        ("unbound", "get configmaps"),
        ("unbound", "create pods"),
        ("unbound", "impersonate users"),
    ] {
        assert!(!can(&world, namespace, question), "{question} must not be allowed in {namespace}");
    }
    let all = world.kubectl(&["auth", "can-i", "--list", "--namespace", "unbound", ACCOUNT]);
    for forbidden in ["*.*", "[*]", "secrets", "resetrecords", "leases"] {
        assert!(!all.contains(forbidden), "{forbidden}: {all}");
    }
}

#[test]
fn kubectl_explain_is_the_first_manual() {
    let world = World::without_controller(Setup::default());
    for (field, says) in [
        ("passwordreset.spec.restart.minReadySeconds", ["in seconds", "Absent = 30"]),
        ("passwordreset.spec.restart.timeoutSeconds", ["in seconds", "Absent = 900"]),
        ("passwordreset.spec.restart.maxUnavailable", ["percentage", "Absent = 1"]),
        ("passwordreset.spec.restart.policy", ["ENUM: IfRunning Never", "Absent = `IfRunning`"]),
        ("passwordreset.spec.maxFailures", ["0 to 100", "Absent = 0"]),
        ("passwordreset.spec.stableStateTimeoutSeconds", ["in seconds", "Absent = 600"]),
        ("passwordreset.spec.runID", ["Quote numbers", "Example"]),
        ("ecsaccount.spec.limits.minRestartIntervalSeconds", ["in seconds", "Absent = 600"]),
        ("ecsaccount.spec.endpoint.network", ["ENUM: Public VPC", "reachable from inside a VPC"]),
    ] {
        let explained = world.kubectl(&["explain", field]);
        // kubectl breaks its lines where it likes.
        let explained = explained.split_whitespace().collect::<Vec<_>>().join(" ");
        for text in says {
            assert!(explained.contains(text), "{field} does not say {text:?}: {explained}");
        }
    }
}

#[test]
fn kubectl_get_shows_the_columns_and_a_fresh_object_as_waiting() {
    let world = World::without_controller(Setup::default());
    world.apply_reset("web", json!({"instanceIDs": ["i-fresh00001"]}));
    let rows = |arguments: &[&str]| -> Vec<Vec<String>> {
        let text = world.kubectl(&[&["get", "--namespace", NAMESPACE], arguments].concat());
        // Two words of one column are one blank apart, columns at least two.
        let cells =
            |line: &str| line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect();
        text.lines().map(cells).collect()
    };
    let narrow = rows(&["pwr"]);
    assert_eq!(narrow[0], ["NAME", "READY", "REASON", "PROGRESS", "SECRET", "RUN", "LAST RUN", "AGE"]);
    assert_eq!(narrow[1][..3], ["web", "Unknown", "Pending"]);
    assert!(narrow[1].contains(&SECRET.to_owned()), "{:?}", narrow[1]);
    let wide = rows(&["pwr", "--output=wide"]);
    assert_eq!(wide[0][7..], ["AGE", "ACCOUNT", "REGION", "FAILED", "NEXT WINDOW", "MESSAGE"]);
    assert!(wide[1].contains(&"waiting for the controller".to_owned()), "{:?}", wide[1]);

    let accounts = rows(&["ecsa"]);
    assert_eq!(accounts[0], ["NAME", "READY", "REASON", "SUSPENDED", "ACCOUNT ID", "IDENTITY", "EXPIRES", "AGE"]);
    for selector in ["spec.regionID=cn-hangzhou", &format!("spec.passwordSecretRef.name={SECRET}")] {
        let selected = rows(&["pwr", "--no-headers", "--field-selector", selector]);
        assert_eq!(selected.len(), 1, "{selector}");
    }
    assert!(rows(&["ecs-password-reset", "--no-headers"]).iter().any(|row| row[0].contains("web")), "the category");
}

#[test]
fn second_install_changes_nothing_and_keeps_the_key() {
    let mut world = World::without_controller(Setup::default());
    world.start_controller();
    let key = || world.get_in(SYSTEM_NAMESPACE, "secret", "ecs-password-reset-fingerprint-key")["data"].take();
    let before = key();
    assert!(before["key"].is_string(), "the controller has made its key");
    let printed = world.kubectl(&["apply", "--kustomize", concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/base")]);
    let changed: Vec<&str> = printed.lines().filter(|line| !line.ends_with(" unchanged")).collect();
    assert!(changed.is_empty(), "{changed:#?}");
    assert!(key() == before, "applying again must not empty the key");
    assert!(!printed.contains(PASSWORD));
    // An object that is not part of the base fits beside it.
    world.kubectl(&["apply", "--kustomize", concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/network-policy")]);
}
