//! Restores from backups: objects and records that come back without their status, or older than they were. A restored
//! memory never restarts a machine that nobody asked to restart again.

use crate::common::{Instance, NAMESPACE, PASSWORD, REGION, SYSTEM_NAMESPACE, World, condition, eventually, row};
use serde_json::{Value, json};

const IDS: [&str; 2] = ["i-running1", "i-running2"];

fn run(run_id: &str) -> Value {
    json!({"instanceIDs": IDS, "runID": run_id, "restart": {"maxUnavailable": 2}})
}

/// A world in which the object `web` has reset its two instances under the runID `1`.
fn done() -> World {
    let world = World::with(IDS.map(|id| Instance::running(id, REGION)));
    world.apply_reset("web", run("1"));
    world.wait_for_run("web", 1);
    world
}

/// Everything that the controller remembers, as a backup holds it.
struct Backup {
    objects: Value,
    records: Value,
}

impl Backup {
    fn take(world: &World) -> Self {
        let get = |kind: &str, namespace: &str| {
            let list = world.kubectl(&["get", kind, "--namespace", namespace, "--output=json"]);
            serde_json::from_str(&list).unwrap()
        };
        Self { objects: get("passwordresets", NAMESPACE), records: get("resetrecords", SYSTEM_NAMESPACE) }
    }

    /// Deletes what is there and creates what the backup holds, as Velero does: with new uids.
    fn restore(world: &World, backup: &Value, kind: &str, namespace: &str, with_status: bool) {
        world.kubectl(&["delete", kind, "--all", "--namespace", namespace, "--timeout=30s"]);
        for object in backup["items"].as_array().unwrap() {
            let mut object = object.clone();
            let metadata = &object["metadata"];
            object["metadata"] = json!({"name": metadata["name"], "namespace": metadata["namespace"]});
            if !with_status {
                object.as_object_mut().unwrap().remove("status");
            }
            world.try_kubectl(&["create", "--filename=-"], &object.to_string()).unwrap();
        }
    }

    fn restore_records(&self, world: &World, with_status: bool) {
        Self::restore(world, &self.records, "resetrecords", SYSTEM_NAMESPACE, with_status);
    }

    fn restore_objects(&self, world: &World) {
        Self::restore(world, &self.objects, "passwordresets", NAMESPACE, false);
    }
}

fn assert_memory_lost(world: &World) -> Value {
    let ready = world.wait_for_reason("web", "OutcomeUnknown");
    assert_eq!(ready["status"], "False");
    let status = world.status("web");
    for id in IDS {
        assert_eq!(
            (&row(&status, id)["state"], &row(&status, id)["reason"]),
            (&json!("Unknown"), &json!("MemoryLost"))
        );
    }
    status
}

fn calls(world: &World) -> [(usize, usize); 2] {
    IDS.map(|id| (world.modifies(id), world.reboots(id)))
}

#[test]
fn objects_and_records_without_their_status_start_nothing() {
    let mut world = done();
    let backup = Backup::take(&world);
    world.stop_controller();
    backup.restore_records(&world, false);
    backup.restore_objects(&world);
    world.start_controller();
    let status = assert_memory_lost(&world);
    assert_eq!(condition(&status, "Stalled")["status"], "True");
    assert_eq!(status["run"], Value::Null, "no run has begun");
    world.assert_starts_nothing("web", |world| world.annotate("web", "retry-requested-at", Some("today")));
    world.assert_starts_nothing("web", |world| {
        world.delete_reset("web");
        world.apply_reset("web", run("1"));
    });
    assert_eq!(calls(&world), [(1, 1); 2]);

    // One is declared done, by the command that its row gives.
    let message = row(&status, IDS[0])["message"].as_str().unwrap().to_owned();
    let command = message.split_once("kubectl ").unwrap().1;
    world.advance(120);
    world.kubectl(&command.split_whitespace().collect::<Vec<_>>());
    world.wait_for_state("web", IDS[0], "InEffect");
    assert_eq!(calls(&world), [(1, 1); 2]);

    // A new runID asks for the run, of both.
    world.apply_reset("web", run("2"));
    let status = world.wait_until_done("web");
    assert_eq!((&status["progress"], &status["run"]["number"]), (&json!("2/2"), &json!(1)));
    assert_eq!(calls(&world), [(2, 2); 2]);
}

#[test]
fn records_without_their_status_are_restored_from_the_object() {
    let mut world = done();
    let backup = Backup::take(&world);
    world.stop_controller();
    backup.restore_records(&world, false);
    world.start_controller();
    world.assert_starts_nothing("web", |_| {});
    let status = world.status("web");
    assert_eq!(condition(&status, "Ready")["status"], "True", "the object's own memory is the newest");
    for id in IDS {
        assert_eq!(world.record(id)["status"]["phase"], "InEffect");
    }
    assert_eq!(calls(&world), [(1, 1); 2]);
}

#[test]
fn a_record_older_than_the_object_starts_nothing() {
    let mut world = done();
    let old = Backup::take(&world);
    world.advance(60);
    world.apply_reset("web", run("2"));
    world.wait_for_run("web", 2);
    world.stop_controller();
    old.restore_records(&world, true);
    world.start_controller();
    for id in IDS {
        eventually("the record is as new as the object", || (world.record(id)["spec"]["claim"] == 2).then_some(()));
    }
    world.assert_starts_nothing("web", |_| {});
    assert_eq!(condition(&world.status("web"), "Ready")["status"], "True");
    assert_eq!(calls(&world), [(2, 2); 2]);
}

#[test]
fn an_object_older_than_its_records_starts_nothing() {
    let mut world = done();
    let old = world.status("web");
    world.advance(60);
    world.apply_reset("web", run("2"));
    world.wait_for_run("web", 2);
    world.stop_controller();
    let mut object = world.get("passwordreset", "web");
    object["status"] = old;
    world.try_kubectl(&["replace", "--subresource=status", "--filename=-"], &object.to_string()).unwrap();
    world.start_controller();
    world.assert_starts_nothing("web", |_| {});
    let status = world.status("web");
    let told = (&condition(&status, "Ready")["status"], &status["run"]["number"]);
    assert_eq!(told, (&json!("True"), &json!(2)), "the records' memory is the newest");
    for id in IDS {
        assert_eq!(row(&status, id)["claim"], 2);
    }
    assert_eq!(calls(&world), [(2, 2); 2]);
}

#[test]
fn records_without_parts_of_their_status_start_nothing() {
    let mut world = done();
    let mut backup = Backup::take(&world);
    for (at, part) in ["completed", "row"].into_iter().enumerate() {
        let status = backup.records["items"][at]["status"].as_object_mut().unwrap();
        assert!(status.remove(part).is_some(), "{part}");
    }
    world.stop_controller();
    backup.restore_records(&world, true);
    world.start_controller();
    world.assert_starts_nothing("web", |_| {});
    assert_eq!(condition(&world.status("web"), "Ready")["status"], "True", "the object remembers how they ended");
    for id in IDS {
        let record = world.record(id);
        let status = &record["status"];
        assert!(status["memoryLostTime"].is_string(), "{status:#}");
        let ended = (&status["row"]["state"], &status["completed"][0]["row"]["state"]);
        assert_eq!(ended, (&json!("InEffect"), &json!("InEffect")), "{status:#}");
    }
    assert_eq!(calls(&world), [(1, 1); 2]);

    world.stop_controller();
    backup.restore_records(&world, true);
    backup.restore_objects(&world);
    world.start_controller();
    assert_memory_lost(&world);
    world.assert_starts_nothing("web", |_| {});
    assert_eq!(calls(&world), [(1, 1); 2]);
}

/// The record says that the password is set and no restart was requested yet, while the object has seen the end.
#[test]
fn a_record_from_before_the_restart_is_not_driven_again() {
    let mut world = World::with([Instance::running(IDS[0], REGION).held()]);
    world.apply_reset("web", json!({"instanceIDs": [IDS[0]], "runID": "1"}));
    let old = eventually("the password is set", || {
        let record = world.record(IDS[0]);
        let set = record["status"]["phase"] == "PasswordSet" || record["status"]["phase"] == "Restarting";
        set.then(|| {
            let mut record = record.clone();
            let status = record["status"].as_object_mut().unwrap();
            for later in ["startTimeBefore", "acceptedAt", "leftRunning", "unansweredUntil"] {
                status.remove(later);
            }
            status["phase"] = json!("PasswordSet");
            record
        })
    });
    world.release(IDS[0]);
    world.wait_for("web", "Ready");
    world.stop_controller();
    let mut old = old;
    old["status"]["row"]["state"] = json!("PasswordSet");
    Backup { objects: Value::Null, records: json!({"items": [old]}) }.restore_records(&world, true);
    world.start_controller();
    world.assert_starts_nothing("web", |_| {});
    let status = world.status("web");
    world.assert_reset_and_restarted_once(&status, IDS[0], PASSWORD);
}

#[test]
fn a_record_deleted_in_mid_restart_is_not_claimed_again() {
    let mut world = World::with([Instance::running(IDS[0], REGION).held()]);
    world.apply_reset("web", json!({"instanceIDs": [IDS[0]], "runID": "1"}));
    world.wait_for_state("web", IDS[0], "Restarting");
    world.stop_controller();
    world.kubectl(&["delete", "resetrecords", "--all", "--namespace", SYSTEM_NAMESPACE]);
    world.start_controller();
    let ready = world.wait_for_reason("web", "OutcomeUnknown");
    assert_eq!(ready["status"], "False");
    world.release(IDS[0]);
    world.assert_starts_nothing("web", |_| {});
    assert_eq!((world.modifies(IDS[0]), world.reboots(IDS[0])), (1, 1));
    assert_eq!(row(&world.status("web"), IDS[0])["reason"], "MemoryLost");
}

#[test]
fn a_record_older_than_a_live_claim_of_another_starts_nothing() {
    let mut world = World::with([Instance::running(IDS[0], REGION)]);
    world.apply_reset("first", json!({"instanceIDs": [IDS[0]]}));
    world.wait_for("first", "Ready");
    let old = Backup::take(&world);
    world.advance(60);
    world.hold(IDS[0]);
    world.apply_reset("second", json!({"instanceIDs": [IDS[0]]}));
    world.wait_for_state("second", IDS[0], "Restarting");
    world.stop_controller();
    old.restore_records(&world, true);
    world.start_controller();
    world.wait_for_reason("second", "OutcomeUnknown");
    world.release(IDS[0]);
    for name in ["first", "second"] {
        world.assert_starts_nothing(name, |_| {});
    }
    assert_eq!(row(&world.status("second"), IDS[0])["reason"], "MemoryLost");
    assert_eq!((world.modifies(IDS[0]), world.reboots(IDS[0])), (2, 2));
}

#[test]
fn a_held_back_run_id_taken_back_runs_nothing_again() {
    let mut world = done();
    world.stop_controller();
    world.kubectl(&["delete", "resetrecords", "--all", "--namespace", SYSTEM_NAMESPACE]);
    let suspended = |run_id: &str, suspend: bool| json!({"instanceIDs": IDS, "runID": run_id, "suspend": suspend, "restart": {"maxUnavailable": 2}});
    world.apply_reset("web", suspended("2", true));
    world.start_controller();
    world.wait_for_reason("web", "Suspended");
    world.apply_reset("web", suspended("1", false));
    world.wait_for_reason("web", "OutcomeUnknown");
    assert_eq!(calls(&world), [(1, 1); 2]);
}

/// Another object named the instance before the restore; the record holds the last claim alone.
#[test]
fn an_object_the_record_forgot_starts_nothing() {
    let mut world = World::with([Instance::running(IDS[0], REGION)]);
    for name in ["first", "second"] {
        world.apply_reset(name, json!({"instanceIDs": [IDS[0]], "runID": "1"}));
        world.wait_for(name, "Ready");
        world.advance(60);
    }
    let backup = Backup::take(&world);
    world.stop_controller();
    backup.restore_records(&world, false);
    backup.restore_objects(&world);
    world.start_controller();
    for name in ["first", "second"] {
        world.wait_for_reason(name, "OutcomeUnknown");
    }
    assert_eq!((world.modifies(IDS[0]), world.reboots(IDS[0])), (2, 2));
    world.assert_starts_nothing("first", |world| world.annotate("first", "retry-requested-at", Some("today")));
    world.advance(120);
    world.annotate("first", "rerun-requested-at", Some("today"));
    world.wait_for("first", "Ready");
    assert_eq!((world.modifies(IDS[0]), world.reboots(IDS[0])), (3, 3));
    // It asked for nothing.
    world.wait_for_state("second", IDS[0], "Superseded");
}
