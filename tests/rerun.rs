//! What runs again and what does not: a restart is never repeated because an object was applied again, deleted, put back
//! or forgotten; only something new that was asked for runs.

mod common;

use common::{PASSWORD, REGION, SYSTEM_NAMESPACE, World, condition, eventually, row};
use ecs_simulator::{Fault, Instance, Rule, Status};
use serde_json::json;

const ONE: &str = "i-running1";
const TWO: &str = "i-running2";

fn reset(world: &World) -> serde_json::Value {
    world.apply_reset("web", json!({"instanceIDs": [ONE]}));
    world.wait_until_done("web")
}

/// How often passwords were set on, and restarts requested of, an instance.
fn calls(world: &World, instance_id: &str) -> (usize, usize) {
    (world.calls("ModifyInstanceAttribute", instance_id), world.calls("RebootInstance", instance_id))
}

/// Waits until the controller has looked at the object once more: it answers a generation that is newer.
fn wait_for_another_look(world: &World, name: &str) {
    let patch = json!({"spec": {"maxFailures": 7}}).to_string();
    world.kubectl(&["patch", "passwordreset", name, "--namespace", "prod", "--type=merge", "--patch", &patch]);
    world.wait_until_done(name);
}

#[test]
fn applying_the_same_again_changes_nothing() {
    let world = World::with([Instance::running(ONE, REGION)]);
    reset(&world);
    let spec = json!({"instanceIDs": [ONE]});
    assert!(world.apply_reset("web", spec).contains("unchanged"));
    wait_for_another_look(&world, "web");
    assert_eq!(calls(&world, ONE), (1, 1));
}

#[test]
fn deleting_and_applying_again_restarts_nothing() {
    let world = World::with([Instance::running(ONE, REGION)]);
    let before = reset(&world);
    world.delete_reset("web");
    let again = reset(&world);
    assert_eq!(row(&again, ONE)["restartRequestID"], row(&before, ONE)["restartRequestID"]);
    world.assert_reset_and_restarted_once(&again, ONE, PASSWORD);
}

#[test]
fn only_a_run_id_that_was_not_run_yet_runs_again() {
    let world = World::with([Instance::running(ONE, REGION)]);
    let with = |run_id: &str| {
        // The restart before this one was in the present minute; StartTime tells no two of one minute apart.
        world.advance(60);
        world.apply_reset("web", json!({"instanceIDs": [ONE], "runID": run_id}));
        let status = world.wait_until_done("web");
        (status["run"]["number"].as_i64().unwrap(), calls(&world, ONE))
    };
    assert_eq!(with("1"), (1, (1, 1)));
    assert_eq!(with("2"), (2, (2, 2)));
    assert_eq!(with("1"), (2, (2, 2)), "an earlier one");
}

#[test]
fn the_rerun_annotation_runs_again_and_its_removal_does_not() {
    let world = World::with([Instance::running(ONE, REGION)]);
    reset(&world);
    world.advance(60);
    world.annotate("web", "rerun-requested-at", Some("now"));
    world.wait_for_reset("web", "the annotation is taken up", |object| {
        (object["status"]["lastHandledRerun"] == "now").then_some(())
    });
    world.wait_until_done("web");
    assert_eq!(calls(&world, ONE), (2, 2));
    world.annotate("web", "rerun-requested-at", None);
    wait_for_another_look(&world, "web");
    assert_eq!(calls(&world, ONE), (2, 2));
}

#[test]
fn an_instance_that_is_added_is_the_only_one_touched() {
    let world = World::with([ONE, TWO].map(|id| Instance::running(id, REGION)));
    reset(&world);
    world.apply_reset("web", json!({"instanceIDs": [TWO, ONE]}));
    let status = world.wait_until_done("web");
    assert_eq!((status["run"]["number"].as_i64(), status["run"]["trigger"].as_str()), (Some(2), Some("InstanceAdded")));
    for instance_id in [ONE, TWO] {
        world.assert_reset_and_restarted_once(&status, instance_id, PASSWORD);
    }
}

#[test]
fn the_retry_annotation_tries_only_what_has_failed() {
    let stopped = Instance::new(TWO, REGION, Status::Stopped).locked("security");
    let world = World::with([Instance::running(ONE, REGION), stopped]);
    let spec = json!({"instanceIDs": [ONE, TWO], "stableStateTimeoutSeconds": 1, "maxFailures": 1});
    world.apply_reset("web", spec);
    let status = world.wait_for("web", "Stalled");
    assert_eq!(row(&status, TWO)["reason"], "InstanceLocked");
    world.ecs().core().instance_mut(TWO).unwrap().locks.clear();
    world.annotate("web", "retry-requested-at", Some("1"));
    let status = world.wait_until_done("web");
    world.assert_reset_and_restarted_once(&status, ONE, PASSWORD);
    world.assert_reset_but_not_restarted(&status, TWO, PASSWORD);
}

#[test]
fn installing_the_controller_again_after_its_namespace_was_deleted_restarts_nothing() {
    let mut world = World::with([Instance::running(ONE, REGION)]);
    let before = reset(&world);
    world.kill_controller();
    world.kubectl(&["delete", "namespace", SYSTEM_NAMESPACE, "--timeout=90s"]);
    assert!(world.record(ONE).is_null());
    world.install();
    world.install_credentials();
    world.start_controller();
    wait_for_another_look(&world, "web");
    let after = world.status("web");
    assert_eq!(row(&after, ONE), row(&before, ONE));
    assert_eq!(calls(&world, ONE), (1, 1));
    world.advance(60);
    world.apply_reset("web", json!({"instanceIDs": [ONE], "runID": "2", "maxFailures": 7}));
    world.wait_until_done("web");
    assert_eq!(calls(&world, ONE), (2, 2), "what is new still runs");
}

#[test]
fn a_killed_controller_finishes_the_restart_that_was_under_way_and_does_not_repeat_it() {
    let mut world = World::with([Instance::running(ONE, REGION).held()]);
    world.apply_reset("web", json!({"instanceIDs": [ONE]}));
    eventually("the restart was accepted", || (world.record(ONE)["status"]["phase"] == "Restarting").then_some(()));
    world.kill_controller();
    world.release(ONE);
    world.start_controller();
    let status = world.wait_until_done("web");
    world.assert_reset_and_restarted_once(&status, ONE, PASSWORD);
}

#[test]
fn a_controller_that_is_started_again_leaves_alone_what_is_done() {
    let mut world = World::with([Instance::running(ONE, REGION)]);
    let before = reset(&world);
    assert!(world.stop_controller().success());
    world.start_controller();
    wait_for_another_look(&world, "web");
    let after = world.status("web");
    assert_eq!(after["instances"], before["instances"]);
    assert_eq!(calls(&world, ONE), (1, 1));
}

#[test]
fn a_password_that_is_changed_is_reported_and_restarts_nothing_until_asked() {
    let world = World::with([Instance::running(ONE, REGION)]);
    reset(&world);
    world.set_password("Blue-Kettle-9");
    wait_for_another_look(&world, "web");
    let status = world.status("web");
    let in_sync = condition(&status, "SecretInSync");
    assert_eq!((in_sync["status"].as_str(), in_sync["reason"].as_str()), (Some("False"), Some("SecretChanged")));
    assert_eq!(condition(&status, "Ready")["status"], "True");
    assert_eq!(calls(&world, ONE), (1, 1));
}

#[test]
fn a_failure_is_tried_again_when_the_password_is_another() {
    let world = World::with([Instance::running(ONE, REGION)]);
    let refuse = Fault::Refuse { code: "InvalidPassword.Malformed".to_owned(), http: 400, message: "no".to_owned() };
    world.ecs().core().inject(Rule::once("ModifyInstanceAttribute", refuse).on(ONE));
    world.apply_reset("web", json!({"instanceIDs": [ONE]}));
    let status = world.wait_for("web", "Stalled");
    assert_eq!(row(&status, ONE)["reason"], "PasswordRefused");
    world.set_password("Blue-Kettle-9");
    let status = world.wait_until_done("web");
    assert_eq!(calls(&world, ONE), (2, 1));
    assert_eq!(row(&status, ONE)["state"], "InEffect");
}
