//! Policies that are missing, weakened or back again, the emergency brake, and the end of an installation.

use serde_json::{Value, json};

use crate::common::{ACCOUNT, Instance, NAMESPACE, PASSWORD, REGION, SYSTEM_NAMESPACE, World, condition, eventually};
use crate::people::{INSTANCE, Town, Who};

const BINDING: &str = "ecs-password-reset-requests";

/// Waits until the account's Ready condition has this reason and a message that holds `part`.
fn wait_for_account(world: &World, status: &str, reason: &str, part: &str) -> Value {
    eventually(&format!("the account is Ready={status} by {reason}, with {part:?}"), || {
        let ready = condition(&world.get("ecsaccount", ACCOUNT)["status"], "Ready").clone();
        let has_part = ready["message"].as_str().is_some_and(|message| message.contains(part));
        (ready["status"] == status && ready["reason"] == reason && has_part).then_some(ready)
    })
}

#[test]
fn missing_binding_stops_new_claims_and_finishes_begun_ones() {
    let ids = ["i-begun000001", "i-later000001"];
    let world = World::with(ids.map(|id| Instance::running(id, REGION)));
    world.hold(ids[0]);
    world.apply_reset("begun", json!({"instanceIDs": [ids[0]]}));
    world.wait_for_state("begun", ids[0], "Restarting");

    world.kubectl(&["delete", "validatingadmissionpolicybinding", BINDING]);
    let ready = wait_for_account(&world, "False", "PolicyMissing", BINDING);
    let message = ready["message"].as_str().unwrap();
    assert!(message.contains("apply its manifests or upgrade to its chart again"), "{message}");
    world.apply_reset("later", json!({"instanceIDs": [ids[1]]}));
    let blocked = world.wait_for_reason("later", "AccountNotReady");
    assert!(blocked["message"].as_str().unwrap().contains("(PolicyMissing)"), "{blocked}");
    world.release(ids[0]);
    world.assert_reset_and_restarted_once(&world.wait_until_done("begun"), ids[0], PASSWORD);
    world.wait_for_look_at_account();
    world.assert_untouched(ids[1]);

    world.install();
    wait_for_account(&world, "True", "AccountReady", "");
    world.assert_reset_and_restarted_once(&world.wait_until_done("later"), ids[1], PASSWORD);
}

/// Each field that was changed is one by which a policy would let through what it must not.
#[test]
fn a_policy_that_was_weakened_counts_as_missing() {
    let world = World::with([Instance::running("i-weak0000001", REGION)]);
    let (policy, binding) = ("validatingadmissionpolicy", "validatingadmissionpolicybinding");
    let none = json!({"matchLabels": {"no": "where"}});
    for (kind, name, change) in [
        (binding, "ecs-password-reset-requests", json!({"spec": {"validationActions": ["Warn"]}})),
        (binding, "ecs-password-reset-results", json!({"spec": {"matchResources": {"namespaceSelector": none}}})),
        (policy, "ecs-password-reset-requests", json!({"spec": {"failurePolicy": "Ignore"}})),
        (policy, "ecs-password-reset-requests", json!({"spec": {"matchConstraints": {"objectSelector": none}}})),
        (policy, "ecs-password-reset-results", json!({"spec": {"validations": [{"expression": "true"}]}})),
    ] {
        world.kubectl(&["patch", kind, name, "--type=merge", "--patch", &change.to_string()]);
        wait_for_account(&world, "False", "PolicyMissing", name);
        // Server-side fields that no manifest names would stay after an apply. In between it is never as it should be, so that the
        // account cannot be Ready before the end.
        world.kubectl(&["delete", kind, name]);
        world.install();
        wait_for_account(&world, "True", "AccountReady", "");
    }
}

#[test]
fn whoever_may_edit_a_reset_may_pull_the_brake() {
    let town = Town::new();
    for who in [Who::Eve, Who::Ned] {
        let patch = |spec: Value| {
            let patch = json!({"spec": spec}).to_string();
            town.as_user(
                who,
                &["patch", "passwordreset", "web", "--type=merge", "--patch", &patch, "-n", NAMESPACE],
                "",
            )
        };
        patch(json!({"suspend": true})).unwrap();
        // Once more changes nothing, and a label starts nothing.
        patch(json!({"suspend": true})).unwrap();
        town.as_user(who, &["label", "--overwrite", "passwordreset", "web", "a=b", "-n", NAMESPACE], "").unwrap();
        let error = patch(json!({"suspend": false})).unwrap_err();
        assert!(error.contains("must come from a user who may"), "{error}");
        let free = json!({"spec": {"suspend": false}}).to_string();
        town.world.kubectl(&["patch", "passwordreset", "web", "--type=merge", "--patch", &free, "-n", NAMESPACE]);
    }
    town.as_user(Who::Eve, &["delete", "passwordreset", "asleep", "-n", NAMESPACE], "").unwrap();
}

/// A policy that also refused this would keep the namespace terminating for ever. The control plane of the tests empties a
/// namespace as admin; others do so by the `ServiceAccount` that asks here.
#[test]
fn records_go_with_their_namespace() {
    let town = Town::new();
    let record = format!("{REGION}.{INSTANCE}");
    let own = ["--namespace", SYSTEM_NAMESPACE];
    let finalizers = |value: Value| {
        let patch = json!({"metadata": {"finalizers": value}}).to_string();
        let arguments = ["patch", "resetrecord", &record, "--type=merge", "--patch", &patch];
        town.world.kubectl(&[&arguments[..], &own].concat());
    };
    let delete = || {
        let sweeper = "--as=system:serviceaccount:kube-system:namespace-controller";
        town.world.try_kubectl(&[&[sweeper, "delete", "resetrecord", &record, "--wait=false"], &own[..]].concat(), "")
    };
    finalizers(json!(["example.com/stay"]));
    let error = delete().unwrap_err();
    assert!(error.contains("must come from the controller"), "{error}");
    town.world.kubectl(&["delete", "namespace", SYSTEM_NAMESPACE, "--wait=false"]);
    eventually("a record may go with its namespace", || delete().ok());
    finalizers(Value::Null);
    town.world.kubectl(&["wait", "--for=delete", "--timeout=100s", &format!("namespace/{SYSTEM_NAMESPACE}")]);
}
