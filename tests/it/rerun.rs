//! What asks for another run and, above all, what does not: a fleet must not reboot because a user applied, deleted,
//! edited or reinstalled something.

use crate::common::{
    AccessKey, Fault, Instance, PASSWORD, REGION, Rule, SYSTEM_NAMESPACE, World, condition, eventually, row,
};
use serde_json::{Value, json};

const ID: &str = "i-running1";

/// A world in which the object `web` has reset its one instance under the runID `1`.
fn done_once() -> World {
    let world = World::with([Instance::running(ID, REGION)]);
    world.apply_reset("web", run("1"));
    let status = world.wait_for_run("web", 1);
    world.assert_reset_and_restarted_once(&status, ID, PASSWORD);
    world
}

fn run(run_id: &str) -> Value {
    json!({"instanceIDs": [ID], "runID": run_id})
}

#[test]
fn reapplying_or_recreating_the_object_restarts_nothing() {
    let mut world = done_once();
    let said = world.apply_reset("web", run("1"));
    assert_eq!(said.trim(), "passwordreset.ecs.password-reset.dev/web unchanged");

    world.assert_starts_nothing("web", |world| {
        world.delete_reset("web");
        world.apply_reset("web", run("1"));
    });
    // What was done before is known to the new object too.
    world.assert_reset_and_restarted_once(&world.status("web"), ID, PASSWORD);
}

#[test]
fn a_new_run_id_runs_again_and_an_earlier_one_does_not() {
    let mut world = done_once();
    world.advance(60);
    world.apply_reset("web", run("2"));
    let status = world.wait_for_run("web", 2);
    assert_eq!(status["run"]["trigger"], "RunID");
    assert_eq!(row(&status, ID)["state"], "InEffect");
    assert_eq!((world.modifies(ID), world.reboots(ID)), (2, 2));

    world.assert_starts_nothing("web", |world| drop(world.apply_reset("web", run("1"))));
    world.assert_starts_nothing("web", |world| drop(world.apply_reset("web", run("2"))));
}

#[test]
fn rerun_annotation_runs_again_and_removal_does_nothing() {
    let mut world = done_once();
    world.advance(60);
    world.annotate("web", "rerun-requested-at", Some("today"));
    let status = world.wait_for_run("web", 2);
    assert_eq!((&status["run"]["trigger"], &status["lastHandledRerun"]), (&json!("RerunRequested"), &json!("today")));
    assert_eq!((world.modifies(ID), world.reboots(ID)), (2, 2));

    world.assert_starts_nothing("web", |world| world.annotate("web", "rerun-requested-at", None));
    world.assert_starts_nothing("web", |world| world.annotate("web", "rerun-requested-at", Some("today")));
}

#[test]
fn an_added_instance_is_the_only_one_that_is_reset() {
    let world = done_once();
    world.ecs().with_core(|core, now| core.add_instance(now, Instance::running("i-running2", REGION)));
    world.apply_reset("web", json!({"instanceIDs": ["i-running2", ID], "runID": "1"}));
    let status = world.wait_until_done("web");
    assert_eq!((&status["progress"], &status["run"]["trigger"]), (&json!("2/2"), &json!("InstanceAdded")));
    for id in [ID, "i-running2"] {
        world.assert_reset_and_restarted_once(&status, id, PASSWORD);
    }
}

#[test]
fn reinstall_without_records_restarts_nothing() {
    let mut world = done_once();
    world.stop_controller();
    world.kubectl(&["delete", "namespace", SYSTEM_NAMESPACE, "--timeout=120s"]);
    assert_eq!(world.record(ID), Value::Null, "the memory is gone, and so is the fingerprint key");
    world.install();
    world.install_credentials();
    world.start_controller();
    world.wait_for_account("Ready");
    world.assert_starts_nothing("web", |world| world.annotate("web", "retry-requested-at", Some("today")));
    assert_eq!((world.modifies(ID), world.reboots(ID)), (1, 1));

    world.advance(60);
    world.apply_reset("web", run("2"));
    world.wait_for_run("web", 2);
    assert_eq!((world.modifies(ID), world.reboots(ID)), (2, 2));
}

#[test]
fn a_retry_annotation_tries_only_what_has_failed() {
    let (good, bad) = ("i-running1", "i-running2");
    let mut world = World::with([good, bad].map(|id| Instance::running(id, REGION)));
    world.ecs().core().put_access_key(AccessKey::testing().deny("ModifyInstanceAttribute", Some(bad)));
    world.apply_reset("web", json!({"instanceIDs": [good, bad]}));
    let status = world.wait_for("web", "Stalled");
    assert_eq!(condition(&status, "Ready")["reason"], "PartiallyFailed");
    assert_eq!((&row(&status, good)["state"], &row(&status, bad)["state"]), (&json!("InEffect"), &json!("Failed")));

    world.annotate("web", "retry-requested-at", Some("in vain"));
    let tries = |world: &World| world.calls("ModifyInstanceAttribute", bad);
    eventually("it is tried again", || (tries(&world) == 2).then_some(()));
    world.wait_for_state("web", bad, "Failed");
    world.assert_starts_nothing("web", |world| world.annotate("web", "retry-requested-at", None));
    assert_eq!(tries(&world), 2, "that the annotation is gone asks for nothing");

    world.ecs().core().put_access_key(AccessKey::testing());
    world.annotate("web", "retry-requested-at", Some("today"));
    let status = world.wait_for("web", "Ready");
    for id in [good, bad] {
        world.assert_reset_and_restarted_once(&status, id, PASSWORD);
    }
    world.assert_starts_nothing("web", |world| world.annotate("web", "retry-requested-at", Some("tomorrow")));
}

#[test]
fn changed_secret_restarts_nothing_without_a_new_run() {
    let mut world = done_once();
    world.assert_starts_nothing("web", |world| world.set_password("Green-Teapot-8"));
    let status = world.status("web");
    let in_sync = condition(&status, "SecretInSync");
    assert_eq!((&in_sync["status"], &in_sync["reason"]), (&json!("False"), &json!("SecretChanged")));
    assert!(world.ecs().core().in_effect_password(ID) == Some(PASSWORD));

    world.advance(60);
    world.apply_reset("web", run("2"));
    let status = world.wait_for_run("web", 2);
    assert_eq!(condition(&status, "SecretInSync")["status"], "True");
    assert!(world.ecs().core().in_effect_password(ID) == Some("Green-Teapot-8"));
}

#[test]
fn a_failure_is_tried_again_with_another_password() {
    let world = World::with([Instance::running(ID, REGION)]);
    let refuse = Fault::Refuse { code: "InvalidPassword.Malformed".to_owned(), http: 400, message: String::new() };
    world.ecs().core().inject(Rule::once("ModifyInstanceAttribute", refuse));
    world.apply_reset("web", run("1"));
    world.wait_for("web", "Stalled");
    world.set_password("Green-Teapot-8");
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, ID, "Green-Teapot-8");
}

// === Crashes ===

#[test]
fn a_crash_between_runs_restarts_nothing() {
    let mut world = done_once();
    world.assert_starts_nothing("web", World::start_controller);
    world.assert_reset_and_restarted_once(&world.status("web"), ID, PASSWORD);
}

#[test]
fn orderly_stop_ends_and_next_start_restarts_nothing() {
    let mut world = done_once();
    world.assert_starts_nothing("web", |world| {
        assert!(world.stop_controller().success());
        world.start_controller();
    });
}

#[test]
fn a_crash_in_mid_restart_ends_in_effect_with_one_restart() {
    let mut world = World::with([Instance::running(ID, REGION).held()]);
    world.apply_reset("web", run("1"));
    eventually("the restart is accepted and written down", || {
        (world.record(ID)["status"]["phase"] == "Restarting").then_some(())
    });
    world.start_controller();
    world.release(ID);
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, ID, PASSWORD);
}

#[test]
fn crash_before_restart_answer_ends_in_effect_once() {
    let mut world = World::with([Instance::running(ID, REGION).held()]);
    world.ecs().core().inject(Rule::once("RebootInstance", Fault::LoseAnswerAfterEffect));
    world.apply_reset("web", run("1"));
    eventually("ECS has accepted the restart", || (world.reboots(ID) == 1).then_some(()));
    world.start_controller();
    assert_eq!(world.record(ID)["status"]["phase"], "RestartRequested", "the answer is not known");
    world.release(ID);
    let status = world.wait_for("web", "Ready");
    assert_eq!(row(&status, ID)["state"], "InEffect");
    assert_eq!((world.modifies(ID), world.calls("RebootInstance", ID)), (1, 1));
    assert!(world.ecs().core().in_effect_password(ID) == Some(PASSWORD));
}

#[test]
fn crash_before_password_answer_resends_and_restarts_once() {
    let mut world = World::with([Instance::running(ID, REGION)]);
    world.ecs().core().inject(Rule::once("ModifyInstanceAttribute", Fault::LoseAnswerAfterEffect));
    // What this process sends again before it dies does not arrive.
    world.ecs().core().inject(Rule::once("ModifyInstanceAttribute", Fault::LoseRequest).times(u32::MAX));
    world.apply_reset("web", run("1"));
    eventually("ECS has the password", || (world.modifies(ID) == 1).then_some(()));
    world.kill_controller();
    world.ecs().core().clear_faults();
    world.start_controller();
    let status = world.wait_for("web", "Ready");
    assert_eq!(row(&status, ID)["state"], "InEffect");
    assert_eq!((world.modifies(ID), world.reboots(ID)), (2, 1));
    assert!(world.ecs().core().in_effect_password(ID) == Some(PASSWORD));
}

// === One run, one password ===

const THREE: [&str; 3] = ["i-running1", "i-running2", "i-running3"];

fn three(run_id: &str) -> Value {
    json!({"instanceIDs": THREE, "runID": run_id, "restart": {"maxUnavailable": 1, "minReadySeconds": 0}})
}

/// A world in which the Secret was changed after the first of three instances was reset.
fn changed_in_mid_run() -> World {
    let instance = |id| Instance::running(id, REGION);
    let world = World::with([instance(THREE[0]), instance(THREE[1]).held(), instance(THREE[2])]);
    world.apply_reset("web", three("1"));
    eventually("the second one restarts", || (world.reboots(THREE[1]) == 1).then_some(()));
    world.set_password("Green-Teapot-8");
    eventually("the change is seen", || {
        (condition(&world.status("web"), "SecretInSync")["reason"] == "SecretChanged").then_some(())
    });
    world.release(THREE[1]);
    world.wait_for_reason("web", "SecretChangedDuringRun");
    world
}

#[test]
fn a_secret_changed_in_mid_run_stalls_until_a_new_run_id() {
    let mut world = changed_in_mid_run();
    let status = world.status("web");
    let ready = condition(&status, "Ready");
    assert_eq!((&ready["status"], &condition(&status, "Stalled")["status"]), (&json!("False"), &json!("True")));
    let message = "the Secret was changed during the run: 2 of 3 instances have the earlier password; set a new runID to reset all with the current one, and restart them again, or put the earlier value back, which restarts none of those again";
    assert_eq!(ready["message"], message);
    // The event is written after the status.
    eventually("an event", || {
        world.events("web").iter().any(|event| event["reason"] == "SecretChangedDuringRun").then_some(())
    });
    world.assert_starts_nothing("web", |world| world.annotate("web", "retry-requested-at", Some("today")));
    world.assert_untouched(THREE[2]);

    world.advance(60);
    world.apply_reset("web", three("2"));
    let status = world.wait_for_run("web", 2);
    assert_eq!(condition(&status, "SecretInSync")["status"], "True");
    for id in THREE {
        assert!(world.ecs().core().in_effect_password(id) == Some("Green-Teapot-8"), "{id}");
    }
}

#[test]
fn a_secret_put_back_in_mid_run_lets_the_run_go_on() {
    let world = changed_in_mid_run();
    world.set_password(PASSWORD);
    let status = world.wait_for_run("web", 1);
    for id in THREE {
        world.assert_reset_and_restarted_once(&status, id, PASSWORD);
    }
}

#[test]
fn a_secret_changed_before_the_first_password_is_free() {
    let world = World::with(THREE.map(|id| Instance::running(id, REGION)));
    let refuse = Fault::Refuse { code: "IncorrectInstanceStatus".to_owned(), http: 400, message: String::new() };
    world.ecs().core().inject(Rule::once("ModifyInstanceAttribute", refuse).times(u32::MAX));
    world.apply_reset("web", three("1"));
    eventually("it was refused", || (world.calls("ModifyInstanceAttribute", THREE[0]) >= 1).then_some(()));
    let before = world.record(THREE[0])["spec"]["fingerprint"].clone();
    world.set_password("Green-Teapot-8");
    eventually("the claim is given back, or made with the new password", || {
        let record = world.record(THREE[0]);
        (record["status"]["phase"] == "Idle" || record["spec"]["fingerprint"] != before).then_some(())
    });
    world.ecs().core().clear_faults();
    assert_eq!(world.wait_for("web", "Ready")["run"]["number"], 1, "one run …");
    for id in THREE {
        assert!(world.ecs().core().in_effect_password(id) == Some("Green-Teapot-8"), "… one password: {id}");
    }
}

#[test]
fn another_objects_claim_begins_no_run() {
    let mut world = World::with([Instance::running(ID, REGION).held()]);
    world.apply_secret("bad-password", &json!({"password": "short"}));
    let bad = json!({"instanceIDs": [ID], "passwordSecretRef": {"name": "bad-password"}});
    world.apply_reset("bad", bad);
    world.wait_for_reason("bad", "InvalidPassword");
    world.apply_reset("web", run("1"));
    world.wait_for_state("web", ID, "Restarting");
    world.assert_starts_nothing("bad", |_| {});
    world.release(ID);
    world.wait_for("web", "Ready");
    world.assert_starts_nothing("bad", |_| {});
    assert_eq!(world.status("bad")["run"], Value::Null);
    assert!(world.events("bad").iter().all(|event| event["reason"] != "ResetRunStarted"));
    assert_eq!(world.status("web")["run"]["number"], 1);
}
