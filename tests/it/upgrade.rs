//! An upgrade in place: what the version before has stored is taken over as it is. It restarts nothing, and the next request is answered
//! once.

use serde_json::{Value, json};

use crate::common::{Config, Instance, PASSWORD, REGION, Setup, World, condition};

const ID: &str = "i-running1";

/// A document as the version before has stored it, about the instance of this world, and from a time that is past on any machine.
fn stored(document: &str) -> Value {
    let text = document.replace("i-1", ID).replace("2026-11-24", "2020-11-24");
    let mut object: Value = serde_json::from_str(&text).unwrap();
    let metadata = &object["metadata"];
    object["metadata"] = json!({"name": metadata["name"], "namespace": metadata["namespace"]});
    object
}

/// Creates the stored object with its status, and the record of its instance.
fn create_what_is_stored(world: &World) {
    let mut object = stored(include_str!("../data/stored/passwordreset-True-Succeeded.json"));
    // The Secret holds what it held, but the key of the fingerprints is another one: they tell of no change.
    object["spec"]["onSecretChange"] = json!("Reset");
    let create = ["create", "--filename=-", "--output=json"];
    let created = world.try_kubectl(&create, &object.to_string()).unwrap();
    let mut created: Value = serde_json::from_str(&created).unwrap();
    created["status"] = object["status"].take();
    world.try_kubectl(&["replace", "--subresource=status", "--filename=-"], &created.to_string()).unwrap();

    let mut record = stored(include_str!("../data/stored/record-InEffect-RestartProven.json"));
    for uid in ["/spec/owner/uid", "/status/completed/0/owner/uid"] {
        *record.pointer_mut(uid).unwrap() = created["metadata"]["uid"].clone();
    }
    world.try_kubectl(&create, &record.to_string()).unwrap();
}

#[test]
fn what_the_version_before_has_stored_restarts_nothing() {
    let ecs = Config { instances: vec![Instance::running(ID, REGION)], ..Config::default() };
    let mut world = World::without_controller(Setup { ecs, ..Setup::default() });
    create_what_is_stored(&world);
    world.assert_starts_nothing("web", |world| {
        world.start_controller();
        world.wait_for_account("Ready");
    });
    let status = world.status("web");
    let (ready, in_sync) = (condition(&status, "Ready"), condition(&status, "SecretInSync"));
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("True"), &json!("Succeeded")), "{ready:#}");
    assert_eq!((&in_sync["status"], &status["run"]["number"]), (&json!("Unknown"), &json!(1)), "{in_sync:#}");
    world.assert_untouched(ID);

    // Longer than minReadySeconds: the version before has not written down that the instance stayed Running.
    world.advance(60);
    world.apply_reset("web", json!({"instanceIDs": [ID], "runID": "2"}));
    let status = world.wait_for_run("web", 2);
    world.assert_reset_and_restarted_once(&status, ID, PASSWORD);
    assert_eq!(condition(&status, "SecretInSync")["status"], "True");
}
