//! Instances that are released, hidden or stopped for good while they hold a slot: the others go on, or a person is asked.

use crate::common::{AccessKey, Fault, Instance, PASSWORD, REGION, Rule, Status, World, condition, eventually, row};
use serde_json::{Value, json};

const IDS: [&str; 3] = ["i-running1", "i-running2", "i-running3"];
const GONE: &str = IDS[0];

/// A world in which the first of three instances hangs in its restart, of which one at a time is allowed.
fn stuck_in_a_restart() -> World {
    let world = World::with(IDS.map(|id| Instance::running(id, REGION)));
    world.hold(GONE);
    apply(&world);
    eventually("the restart is accepted", || (world.reboots(GONE) == 1).then_some(()));
    world.wait_for_state("web", GONE, "Restarting");
    world
}

fn apply(world: &World) {
    let restart = json!({"maxUnavailable": 1, "timeoutSeconds": 60});
    world.apply_reset("web", json!({"instanceIDs": IDS, "maxFailures": 2, "restart": restart}));
}

fn release(world: &World, id: &str) {
    world.ecs().with_core(|core, now| core.remove_instance(now, id));
}

fn describable(world: &World, is_so: bool) {
    let key = AccessKey::testing();
    let key = if is_so { key } else { key.deny("DescribeInstances", Some(GONE)) };
    world.ecs().core().put_access_key(key);
}

/// The first instance was released, and the others are done.
#[track_caller]
fn assert_the_others_went_on(world: &World) {
    let status = world.wait_for_reset("web", "the run is complete", |object| {
        object["status"]["run"]["completionTime"].is_string().then(|| object["status"].clone())
    });
    let gone = row(&status, GONE);
    assert_eq!((&gone["state"], &gone["reason"]), (&json!("Failed"), &json!("InstanceReleased")), "{gone:#}");
    assert!(gone["message"].as_str().is_some_and(|message| message.contains("spec.instanceIDs")), "{gone:#}");
    assert_eq!(condition(&status, "Ready")["reason"], "PartiallyFailed");
    assert_eq!(condition(&status, "TargetsResolved")["status"], "False");
    for id in &IDS[1..] {
        // `advance` touches every record: one whose password is being set may have it set again.
        assert_eq!((&row(&status, id)["state"], world.reboots(id)), (&json!("InEffect"), 1), "{id}");
        assert!(world.ecs().core().in_effect_password(id) == Some(PASSWORD), "{id}");
    }
    assert!(world.reboots(GONE) <= 1);
}

/// The object is Stalled by the slot of the first instance, and says so.
#[track_caller]
fn assert_stalled_by_the_slot(world: &World, advice: &str) -> Value {
    let status = world.wait_for("web", "Stalled");
    let ready = condition(&status, "Ready");
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("SlotHeld")), "{ready:#}");
    let message = ready["message"].as_str().unwrap();
    assert!(message.contains(GONE) && message.contains(advice), "{message}");
    for id in &IDS[1..] {
        assert_eq!(row(&status, id)["reason"], "WaitingForSlot");
        world.assert_untouched(id);
    }
    status
}

#[test]
fn an_instance_released_while_it_restarts_frees_its_slot() {
    let world = stuck_in_a_restart();
    release(&world, GONE);
    assert_the_others_went_on(&world);
}

#[test]
fn an_instance_released_after_a_lost_restart_frees_its_slot() {
    let world = World::with(IDS.map(|id| Instance::running(id, REGION)));
    world.ecs().core().inject(Rule::once("RebootInstance", Fault::LoseRequest));
    apply(&world);
    eventually("the request is lost", || (world.calls("RebootInstance", GONE) == 1).then_some(()));
    world.wait_for_state("web", GONE, "Restarting");
    release(&world, GONE);
    world.advance(30); // Much less than V: a copy may be alive, though of a machine that is gone.
    assert_eq!(row(&world.status("web"), GONE)["state"], "Restarting");
    world.advance(40);
    assert_the_others_went_on(&world);
}

#[test]
fn an_instance_released_after_it_was_stuck_frees_its_slot() {
    let world = stuck_in_a_restart();
    world.advance(70);
    let row = world.wait_for_state("web", GONE, "Unknown");
    assert_eq!(row["reason"], "RestartStuck");
    let status = assert_stalled_by_the_slot(
        &world,
        "bring it back to Running, and the others go on; its own outcome stays open until it is recorded (kubectl ",
    );
    assert_eq!(condition(&status, "Reconciling"), &Value::Null);
    release(&world, GONE);
    assert_the_others_went_on(&world);
}

#[test]
fn an_instance_that_may_not_be_described_is_not_released() {
    let world = stuck_in_a_restart();
    describable(&world, false);
    world.advance(70);
    assert_eq!(world.wait_for_state("web", GONE, "Unknown")["reason"], "RestartStuck");
    assert_stalled_by_the_slot(&world, "ecs:DescribeInstances");

    // It was there all the time.
    world.release(GONE);
    describable(&world, true);
    world.wait_for_reset("web", "the others are done", |object| {
        let is_done = |id: &&str| row(&object["status"], id)["state"] == "InEffect";
        IDS[1..].iter().all(is_done).then_some(())
    });
    assert_eq!(world.reboots(GONE), 1);
}

#[test]
fn an_instance_stopped_for_good_after_its_restart_asks_a_person() {
    let world = World::with(IDS.map(|id| Instance::running(id, REGION)));
    let restart = json!({"maxUnavailable": 1, "minReadySeconds": 600});
    world.apply_reset("web", json!({"instanceIDs": IDS, "restart": restart}));
    world.wait_for_state("web", GONE, "InEffect");
    world.ecs().with_core(|core, now| core.stop(now, GONE)).unwrap();
    assert_stalled_by_the_slot(&world, "ECS shows it Stopped; start it");

    world.ecs().with_core(|core, now| core.start(now, GONE)).unwrap();
    let is_running = || world.ecs().core().status(GONE) == Some(Status::Running);
    eventually("it runs", || is_running().then_some(()));
    // Two more readings: one may have been on its way.
    let reads = world.calls("DescribeInstances", GONE);
    eventually("it is seen to run", || (world.calls("DescribeInstances", GONE) >= reads + 2).then_some(()));
    world.wait_for_reset("web", "it asks nobody any more", |object| {
        condition(&object["status"], "Stalled").is_null().then_some(())
    });
    world.advance(620);
    world.wait_for_state("web", IDS[1], "InEffect");
}

#[test]
fn a_released_instance_that_was_in_effect_stays_so() {
    let world = World::with(IDS.map(|id| Instance::running(id, REGION)));
    let restart = json!({"maxUnavailable": 1, "minReadySeconds": 600});
    world.apply_reset("web", json!({"instanceIDs": IDS, "restart": restart}));
    world.wait_for_state("web", GONE, "InEffect");
    release(&world, GONE);
    world.wait_for_state("web", IDS[1], "InEffect");
    assert_eq!(row(&world.status("web"), GONE)["state"], "InEffect");
}
