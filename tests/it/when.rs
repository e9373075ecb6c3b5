//! When an instance may be reset: the brake of an object and of an account, maintenance windows, times, and plans.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::common::{ACCOUNT, Instance, PASSWORD, REGION, Setup, World, condition, eventually, manifests, row};

/// The moment on ECS's clock.
fn now(world: &World) -> Timestamp {
    world.ecs().now()
}

/// A window that opens so many seconds from now, on the full minute before, for so many minutes; in UTC.
fn window_in(world: &World, seconds: i64, minutes: u32) -> Value {
    let start = now(world) + SignedDuration::from_secs(seconds);
    let schedule = start.strftime("%-M %-H %-d %-m *").to_string();
    json!({"schedule": schedule, "duration": format!("{minutes}m"), "timeZone": "UTC"})
}

fn suspend(world: &World, kind: &str, name: &str, suspended: bool) {
    let patch = format!(r#"{{"spec":{{"suspend":{suspended}}}}}"#);
    let namespace = if kind == "ecsaccount" { vec![] } else { vec!["--namespace=prod"] };
    let patching = [&["patch", kind, name, "--type=merge", "--patch", patch.as_str()][..], &namespace].concat();
    world.kubectl(&patching);
}

/// A world whose instance starts in the very minute in which its password is set: its restart waits for the next one.
fn waiting_for_its_restart() -> World {
    let world = World::with([Instance::starting("i-starting1", REGION).held()]);
    world.apply_reset("web", json!({"instanceIDs": ["i-starting1"], "restart": {"timeoutSeconds": 60}}));
    world.wait_for_state("web", "i-starting1", "WaitingForStableState");
    world.release("i-starting1");
    world.wait_for_state("web", "i-starting1", "PasswordSet");
    world
}

#[test]
fn restart_that_waits_for_the_next_minute_says_until_when() {
    let world = waiting_for_its_restart();
    let waiting = world.wait_for_reason("web", "WaitingForRestart");
    assert!(waiting["message"].as_str().unwrap().contains("the restart waits until"), "{waiting:#}");
    let until = world.status("web")["nextTransitionTime"].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert_eq!(until.as_second() % 60, 0, "{until}");
}

#[test]
fn suspended_object_requests_no_restart_until_released() {
    let world = waiting_for_its_restart();
    suspend(&world, "passwordreset", "web", true);
    let ready = world.wait_for_reason("web", "Suspended");
    assert!(ready["message"].as_str().unwrap().contains("1 password set, restart held back"), "{ready:#}");
    eventually("the hold is stored", || {
        world.record("i-starting1")["status"]["restartHeldSince"].is_string().then_some(())
    });
    // Far longer than its timeout of a minute.
    world.advance(600);
    world.wait_for_look_at_account();
    assert_eq!(world.reboots("i-starting1"), 0);
    assert_eq!(row(&world.status("web"), "i-starting1")["state"], "PasswordSet");

    suspend(&world, "passwordreset", "web", false);
    world.assert_reset_and_restarted_once(&world.wait_for("web", "Ready"), "i-starting1", PASSWORD);
}

#[test]
fn deleted_suspended_object_restarts_nothing() {
    let world = waiting_for_its_restart();
    suspend(&world, "passwordreset", "web", true);
    eventually("the hold is stored", || {
        world.record("i-starting1")["status"]["restartHeldSince"].is_string().then_some(())
    });
    world.delete_reset("web");
    world.advance(600);
    world.wait_for_look_at_account();
    assert_eq!(
        (world.reboots("i-starting1"), &world.record("i-starting1")["status"]["phase"]),
        (0, &json!("PasswordSet"))
    );
    // Applied again without the brake, as a sync of Git does: the same run goes on.
    world.apply_reset("web", json!({"instanceIDs": ["i-starting1"], "restart": {"timeoutSeconds": 60}}));
    world.assert_reset_and_restarted_once(&world.wait_for("web", "Ready"), "i-starting1", PASSWORD);
}

#[test]
fn suspended_account_stops_everything_that_uses_it() {
    let world = waiting_for_its_restart();
    suspend(&world, "ecsaccount", ACCOUNT, true);
    let ready = world.wait_for_reason("web", "Suspended");
    assert!(ready["message"].as_str().unwrap().contains("ECSAccount default is suspended"), "{ready:#}");
    world.apply_reset("other", json!({"instanceIDs": ["i-other001"]}));
    world.wait_for_reason("other", "Suspended");
    world.advance(600);
    world.wait_for_look_at_account();
    assert_eq!((world.reboots("i-starting1"), world.modifies("i-other001")), (0, 0));
    let columns = world.kubectl(&["get", "ecsaccount", ACCOUNT, "--no-headers"]);
    assert_eq!(columns.split_whitespace().take(4).collect::<Vec<_>>(), [ACCOUNT, "True", "AccountReady", "true"]);

    suspend(&world, "ecsaccount", ACCOUNT, false);
    world.assert_reset_and_restarted_once(&world.wait_for("web", "Ready"), "i-starting1", PASSWORD);
}

#[test]
fn nothing_begins_before_the_window_opens() {
    let world = World::with([Instance::running("i-running1", REGION)]);
    let window = window_in(&world, 600, 60);
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"], "windows": [window]}));
    let ready = world.wait_for_reason("web", "WaitingForWindow");
    let status = world.status("web");
    let start = status["nextWindow"]["start"].as_str().unwrap();
    assert!(ready["message"].as_str().unwrap().contains(start), "{ready:#}");
    assert_eq!((&status["nextTransitionTime"], world.record("i-running1")), (&json!(start), Value::Null));
    world.assert_untouched("i-running1");
    let wide = world.kubectl(&["get", "pwr", "web", "--namespace=prod", "--output=wide"]);
    assert!(wide.contains("NEXT WINDOW") && wide.contains(start), "{wide}");

    world.advance(600);
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, "i-running1", PASSWORD);
    assert_eq!(status["nextWindow"], Value::Null);
    assert!(world.record("i-running1")["spec"]["windowEnd"].is_string());
}

#[test]
fn restart_waits_for_the_next_window_when_one_closes() {
    let world = World::with([Instance::starting("i-starting1", REGION).held()]);
    // The first one is open for five minutes more; the second one opens in eleven.
    let windows = [window_in(&world, -600, 15), window_in(&world, 660, 60)];
    world.apply_reset("web", json!({"instanceIDs": ["i-starting1"], "windows": windows}));
    world.wait_for_state("web", "i-starting1", "WaitingForStableState");
    world.release("i-starting1");
    world.wait_for_state("web", "i-starting1", "PasswordSet");
    suspend(&world, "passwordreset", "web", true);
    eventually("the hold is stored", || {
        world.record("i-starting1")["status"]["restartHeldSince"].is_string().then_some(())
    });
    world.advance(360);
    suspend(&world, "passwordreset", "web", false);
    world.wait_for_reason("web", "WaitingForWindow");
    assert_eq!(world.reboots("i-starting1"), 0);

    world.advance(360);
    world.assert_reset_and_restarted_once(&world.wait_for("web", "Ready"), "i-starting1", PASSWORD);
}

#[test]
fn unknown_time_zone_stalls_the_object_and_no_other() {
    let world = World::with([Instance::running("i-running1", REGION)]);
    let window = json!({"schedule": "0 2 * * 6", "duration": "3h", "timeZone": "Asia/Shangai"});
    world.apply_reset("typo", json!({"instanceIDs": ["i-other001"], "windows": [window]}));
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"]}));
    world.wait_for("web", "Ready");
    let stalled = world.wait_for("typo", "Stalled");
    let message = condition(&stalled, "Ready")["message"].as_str().unwrap();
    assert!(message.contains("spec.windows[0]") && message.contains("Asia/Shangai"), "{message}");
    world.assert_untouched("i-other001");
}

#[test]
fn object_applied_after_its_not_after_is_ready_and_does_nothing() {
    let world = World::with([Instance::running("i-running1", REGION)]);
    // As in a cluster that is rebuilt from Git: neither Secret nor account are there yet.
    let spec = json!({
        "instanceIDs": ["i-running1"], "notAfter": "2020-01-01T00:00:00Z", "accountRef": {"name": "later"},
        "passwordSecretRef": {"name": "later"},
    });
    world.apply_reset("web", spec);
    let status = world.wait_for("web", "Ready");
    assert_eq!(condition(&status, "Ready")["reason"], "Expired");
    assert_eq!((condition(&status, "Succeeded"), &status["counts"]["expired"]), (&Value::Null, &json!(1)));
    world.assert_untouched("i-running1");
}

#[test]
fn nothing_begins_before_not_before() {
    let world = World::with([Instance::running("i-running1", REGION)]);
    let begin = now(&world) + SignedDuration::from_secs(600);
    let begin = begin.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"], "notBefore": begin}));
    let ready = world.wait_for_reason("web", "NotBefore");
    assert!(ready["message"].as_str().unwrap().contains(&begin), "{ready:#}");
    world.assert_untouched("i-running1");
    world.advance(600);
    world.assert_reset_and_restarted_once(&world.wait_for("web", "Ready"), "i-running1", PASSWORD);
}

#[test]
fn plan_changes_nothing_and_apply_does_what_it_showed() {
    let instances =
        [Instance::running("i-running1", REGION).with_key_pair("ops"), Instance::stopped("i-stopped1", REGION)];
    let world = World::with(instances);
    let spec = json!({"instanceIDs": ["i-running1", "i-stopped1", "i-nowhere1"], "maxFailures": 1,
                      "stableStateTimeoutSeconds": 2});
    let with_mode = |mode: &str| {
        let mut spec = spec.clone();
        spec["mode"] = json!(mode);
        spec
    };
    world.apply_reset("web", with_mode("Plan"));
    let status = world.wait_for("web", "Ready");
    assert_eq!(condition(&status, "Ready")["reason"], "Planned");
    let action = |id: &str| row(&status, id)["plannedAction"].clone();
    assert_eq!(action("i-running1"), "ResetAndRestart");
    assert_eq!(action("i-stopped1"), "ResetOnly");
    assert_eq!(action("i-nowhere1"), "Blocked");
    assert!(row(&status, "i-running1")["message"].as_str().unwrap().contains("key pair ops"), "{status:#}");
    assert_eq!(status["run"], Value::Null);
    let writes = ["ModifyInstanceAttribute", "RebootInstance"];
    world.journal(|journal| writes.iter().for_each(|action| assert_eq!(journal.asked(action), 0, "{action}")));
    assert_eq!(world.record("i-running1"), Value::Null);

    world.apply_reset("web", with_mode("Apply"));
    let status = world.wait_for("web", "Stalled");
    assert_eq!(row(&status, "i-nowhere1")["reason"], "InstanceNotFound");
    world.assert_reset_and_restarted_once(&status, "i-running1", PASSWORD);
    world.assert_reset_but_not_restarted(&status, "i-stopped1", PASSWORD);
}

#[test]
fn finished_plan_is_not_written_again_without_a_change() {
    let mut setup = Setup::default();
    setup.ecs.instances = vec![Instance::running("i-running1", REGION), Instance::running("i-running2", REGION)];
    let world = World::start(setup);
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"], "mode": "Plan"}));
    world.wait_for("web", "Ready");
    let version = || world.get("passwordreset", "web")["metadata"]["resourceVersion"].clone();
    let (before, asked) = (version(), world.journal(|journal| journal.asked("DescribeInstances")));
    // Other work goes on beside it.
    world.apply(&manifests::password_reset("prod", "other", json!({"instanceIDs": ["i-running2"]})));
    world.wait_for("other", "Ready");
    assert!(world.journal(|journal| journal.asked("DescribeInstances")) > asked);
    assert_eq!(version(), before);
}
