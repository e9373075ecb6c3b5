//! What a changed Secret does: nothing, unless the object says so. And passwords of single instances.

use serde_json::{Value, json};

use crate::common::{Instance, NAMESPACE, PASSWORD, REGION, World, condition, row};

const OTHER: &str = "Red-Teapot-8";

/// Proves that an instance was restarted so many times and has the password, without printing it.
fn has(world: &World, instance_id: &str, password: &str, restarts: usize) {
    let in_effect = world.ecs().core().in_effect_password(instance_id) == Some(password);
    assert!(in_effect, "{instance_id} has another password in effect");
    assert_eq!((world.modifies(instance_id), world.reboots(instance_id)), (restarts, restarts), "{instance_id}");
}

#[test]
fn changed_secret_resets_all_objects_that_ask_for_it() {
    let mut world = World::with(["i-running1", "i-running2", "i-running3"].map(|id| Instance::running(id, REGION)));
    for (name, ids, on_secret_change) in [
        ("web", json!(["i-running1"]), json!("Reset")),
        ("db", json!(["i-running2"]), json!("Reset")),
        ("plain", json!(["i-running3"]), Value::Null),
    ] {
        let mut spec = json!({"instanceIDs": ids});
        if !on_secret_change.is_null() {
            spec["onSecretChange"] = on_secret_change;
        }
        world.apply_reset(name, spec);
        world.wait_for_run(name, 1);
    }
    // Neither a label nor the same value in a new Secret is a change.
    world.assert_starts_nothing("web", |world| {
        world.kubectl(&["label", "secret", "root-password", "a=b", "--namespace", NAMESPACE]);
    });
    world.assert_starts_nothing("web", |world| {
        world.kubectl(&["delete", "secret", "root-password", "--namespace", NAMESPACE]);
        world.set_password(PASSWORD);
    });
    world.set_password(OTHER);
    for (name, id) in [("web", "i-running1"), ("db", "i-running2")] {
        let status = world.wait_for_run(name, 2);
        assert_eq!(status["run"]["trigger"], "SecretChanged", "{status:#}");
        assert_eq!(condition(&status, "SecretInSync")["status"], "True");
        has(&world, id, OTHER, 2);
    }
    world.apply_reset("plain", json!({"instanceIDs": ["i-running3"], "maxFailures": 1}));
    let status = world.wait_for_reset("plain", "it tells of the change", |object| {
        let status = &object["status"];
        (condition(status, "SecretInSync")["status"] == "False").then(|| status.clone())
    });
    assert_eq!(status["run"]["number"], 1);
    has(&world, "i-running3", PASSWORD, 1);
}

#[test]
fn changed_value_that_breaks_the_rules_starts_nothing() {
    let world = World::with([Instance::running("i-running1", REGION)]);
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"], "onSecretChange": "Reset"}));
    world.wait_for_run("web", 1);
    world.set_password("short");
    let ready = world.wait_for_reason("web", "InvalidPassword");
    assert_eq!(ready["status"], "False", "{ready:#}");
    world.set_password(PASSWORD);
    world.wait_for("web", "Ready");
    has(&world, "i-running1", PASSWORD, 1);
    world.set_password(OTHER);
    world.wait_for_run("web", 2);
    has(&world, "i-running1", OTHER, 2);
}

#[test]
fn each_instance_gets_the_password_under_its_id() {
    let world = World::with(["i-running1", "i-running2", "i-running3"].map(|id| Instance::running(id, REGION)));
    world.apply_secret("fleet", &json!({"i-running1": PASSWORD, "i-running2": OTHER}));
    let spec = json!({
        "instanceIDs": ["i-running1", "i-running2", "i-running3"], "onSecretChange": "Reset",
        "passwordSecretRef": {"name": "fleet", "keyPolicy": "InstanceID"}, "restart": {"maxUnavailable": 3},
    });
    world.apply_reset("web", spec);
    let failed = world.wait_for_reset("web", "two are done and one has no key", |object| {
        let status = &object["status"];
        (status["progress"] == "2/3" && status["counts"]["failed"] == 1).then(|| status.clone())
    });
    let (ready, missing) = (condition(&failed, "Ready"), row(&failed, "i-running3"));
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("PartiallyFailed")), "{ready:#}");
    assert_eq!((&missing["state"], &missing["reason"]), (&json!("Failed"), &json!("SecretKeyNotFound")), "{missing:#}");
    assert_eq!(condition(&failed, "PasswordReady")["status"], "False");
    world.assert_untouched("i-running3");

    world.apply_secret("fleet", &json!({"i-running1": PASSWORD, "i-running2": OTHER, "i-running3": "Green-Cup-9"}));
    world.wait_for("web", "Ready");
    has(&world, "i-running1", PASSWORD, 1);
    has(&world, "i-running2", OTHER, 1);
    has(&world, "i-running3", "Green-Cup-9", 1);

    let before = world.status("web")["run"]["number"].as_u64();
    world.apply_secret(
        "fleet",
        &json!({"i-running1": PASSWORD, "i-running2": "Blue-Mug-10", "i-running3": "Green-Cup-9"}),
    );
    let status = world.wait_for_reset("web", "the changed key is in effect", |object| {
        let status = &object["status"];
        let is_over = status["run"]["number"].as_u64() > before && status["run"]["completionTime"].is_string();
        (is_over && condition(status, "Ready")["status"] == "True").then(|| status.clone())
    });
    assert_eq!(status["run"]["trigger"], "SecretChanged");
    has(&world, "i-running1", PASSWORD, 1);
    has(&world, "i-running2", "Blue-Mug-10", 2);
    has(&world, "i-running3", "Green-Cup-9", 1);
}

#[test]
fn password_that_breaks_the_rules_fails_its_own_instance_alone() {
    let ids = ["i-running1", "i-running2", "i-running3"];
    let world = World::with(ids.map(|id| Instance::running(id, REGION)));
    let with_first = |password: &str| json!({"i-running1": password, "i-running2": OTHER, "i-running3": PASSWORD});
    world.apply_secret("fleet", &with_first("short"));
    let secret = json!({"name": "fleet", "keyPolicy": "InstanceID"});
    world.apply_reset("web", json!({"instanceIDs": ids, "passwordSecretRef": secret}));
    // It comes first in the order of ids, and maxFailures is 0.
    let status = world.wait_for("web", "Stalled");
    let (ready, broken) = (condition(&status, "Ready"), row(&status, "i-running1"));
    assert_eq!((&ready["reason"], &status["progress"]), (&json!("PartiallyFailed"), &json!("2/3")), "{ready:#}");
    assert_eq!((&broken["state"], &broken["reason"]), (&json!("Failed"), &json!("InvalidPassword")), "{broken:#}");
    assert_eq!(condition(&status, "PasswordReady")["reason"], "InvalidPassword");
    world.assert_untouched("i-running1");
    has(&world, "i-running2", OTHER, 1);
    has(&world, "i-running3", PASSWORD, 1);

    world.apply_secret("fleet", &with_first("Green-Cup-9"));
    world.wait_for("web", "Ready");
    has(&world, "i-running1", "Green-Cup-9", 1);
}

#[test]
fn object_at_rest_says_that_its_secret_cannot_be_read_any_more() {
    let world = World::with([Instance::running("i-running1", REGION)]);
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"], "onSecretChange": "Reset"}));
    world.wait_for_run("web", 1);
    world.kubectl(&["delete", "rolebinding", "ecs-password-reset-secret-reader", "--namespace", NAMESPACE]);
    world.set_password(OTHER);
    let status = world.wait_for_reset("web", "it says so", |object| {
        let status = &object["status"];
        (condition(status, "PasswordReady")["status"] == "False").then(|| status.clone())
    });
    assert_eq!(condition(&status, "PasswordReady")["reason"], "SecretNotPermitted");
    assert_eq!(condition(&status, "SecretInSync")["status"], "Unknown", "{status:#}");
    has(&world, "i-running1", PASSWORD, 1);
    let [_, binding] = crate::common::manifests::namespace(NAMESPACE);
    world.apply(&binding);
    world.wait_for_run("web", 2);
    has(&world, "i-running1", OTHER, 2);
}
