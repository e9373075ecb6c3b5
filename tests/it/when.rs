//! When an instance may be reset: the brake of an object and of an account, maintenance windows, times, and plans.

use std::time::Duration;

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

/// Has the record reconciled, which is not due before the next minute, and waits until it says that its restart is held back.
fn wait_for_hold(world: &World) {
    world.advance(1);
    eventually("the hold is stored", || {
        world.record("i-starting1")["status"]["restartHeldSince"].is_string().then_some(())
    });
}

/// A world whose instance starts in the very minute in which its password is set: its restart waits for the next one.
fn waiting_for_its_restart() -> World {
    let world = World::with([Instance::starting("i-starting1", REGION).held()]);
    world.apply_reset("web", json!({"instanceIDs": ["i-starting1"], "restart": {"timeoutSeconds": 60}}));
    world.wait_for_state("web", "i-starting1", "WaitingForStableState");
    world.begin_a_minute();
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
    wait_for_hold(&world);
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
    wait_for_hold(&world);
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

    world.ecs().advance(Duration::from_mins(10));
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, "i-running1", PASSWORD);
    assert_eq!(status["nextWindow"], Value::Null);
    assert!(world.record("i-running1")["spec"]["windowEnd"].is_string());
}

#[test]
fn restart_waits_for_the_next_window_when_one_closes() {
    let world = World::with([Instance::starting("i-starting1", REGION).held()]);
    // The first one is open for four minutes more, or five; the second one opens in ten, or eleven.
    let windows = [window_in(&world, -600, 15), window_in(&world, 660, 60)];
    world.apply_reset("web", json!({"instanceIDs": ["i-starting1"], "windows": windows}));
    world.wait_for_state("web", "i-starting1", "WaitingForStableState");
    world.begin_a_minute();
    world.release("i-starting1");
    world.wait_for_state("web", "i-starting1", "PasswordSet");
    suspend(&world, "passwordreset", "web", true);
    wait_for_hold(&world);
    world.advance(360);
    suspend(&world, "passwordreset", "web", false);
    world.wait_for_reason("web", "WaitingForWindow");
    assert_eq!(world.reboots("i-starting1"), 0);

    world.ecs().advance(Duration::from_mins(6));
    world.assert_reset_and_restarted_once(&world.wait_for("web", "Ready"), "i-starting1", PASSWORD);
}

#[test]
fn owner_deleted_after_its_window_leaves_restart_to_others() {
    const ID: &str = "i-starting1";
    let world = World::with([Instance::starting(ID, REGION).held()]);
    // It is open for four minutes more, or five, and then not for a year.
    world.apply_reset("web", json!({"instanceIDs": [ID], "windows": [window_in(&world, -600, 15)]}));
    world.wait_for_state("web", ID, "WaitingForStableState");
    world.begin_a_minute();
    world.release(ID);
    world.wait_for_state("web", ID, "PasswordSet");
    world.advance(360);
    world.wait_for_reason("web", "WaitingForWindow");
    eventually("the hold is stored", || world.record(ID)["status"]["restartHeldSince"].is_string().then_some(()));
    world.delete_reset("web");
    world.advance(360);
    world.wait_for_look_at_account();
    assert_eq!(world.record(ID)["status"]["phase"], "PasswordSet", "the object may come back");

    // Missed for an hour. The clocks are too far apart by then for the account to be Ready, and the claim ends all the same.
    world.advance(3_700);
    let record = eventually("the claim ends", || {
        Some(world.record(ID)).filter(|record| record["status"]["phase"] == "EffectiveAtNextStart")
    });
    assert_eq!((&record["status"]["row"]["reason"], world.reboots(ID)), (&json!("OwnerGone"), 0), "{record:#}");
    assert!(world.ecs().core().pending_password(ID) == Some(PASSWORD), "the password waits for the next start");
}

#[test]
fn window_shorter_than_a_restart_is_one_event_for_each_spec() {
    let world = World::with([Instance::running("i-running1", REGION)]);
    let window = window_in(&world, 600, 15);
    let mut spec = json!({"instanceIDs": ["i-running1"], "windows": [window], "restart": {"timeoutSeconds": 1800}});
    world.apply_reset("web", spec.clone());
    let warnings = || {
        let events = world.events("web");
        events.iter().filter(|event| event["reason"] == "WindowTooShort" && event["type"] == "Warning").count()
    };
    eventually("a warning", || (warnings() == 1).then_some(()));
    world.advance(600);
    world.wait_for("web", "Ready");
    assert_eq!(warnings(), 1, "the statuses of a whole run tell it once");

    spec["maxFailures"] = json!(1);
    world.apply_reset("web", spec);
    world.wait_until_done("web");
    eventually("a warning for the new spec", || (warnings() == 2).then_some(()));
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
fn not_after_in_mid_run_ends_what_has_begun_and_begins_no_more() {
    let world = World::with([Instance::running("i-running1", REGION).held(), Instance::running("i-running2", REGION)]);
    let end = now(&world) + SignedDuration::from_secs(300);
    let end = end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    world.apply_reset("web", json!({"instanceIDs": ["i-running1", "i-running2"], "notAfter": end}));
    eventually("the first restart is accepted", || {
        (world.record("i-running1")["status"]["phase"] == "Restarting").then_some(())
    });
    world.advance(360);
    world.wait_for_state("web", "i-running2", "Expired");
    world.release("i-running1");
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, "i-running1", PASSWORD);
    let ready = condition(&status, "Ready");
    assert_eq!((&ready["reason"], &status["progress"]), (&json!("Succeeded"), &json!("1/2")), "{ready:#}");
    assert_eq!(status["counts"]["expired"], 1);
    world.assert_untouched("i-running2");
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
    world.ecs().advance(Duration::from_mins(10));
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

#[test]
fn finished_plan_is_read_again_and_not_written_without_change() {
    let world = World::with([Instance::running("i-running1", REGION), Instance::running("i-running2", REGION)]);
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"], "mode": "Plan"}));
    world.wait_for("web", "Ready");
    let version = world.get("passwordreset", "web")["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let read = || world.calls("DescribeInstances", "i-running1");
    let before = read();
    // Longer than the readings of a plan count. It is made again by a timer of this machine's clock, which no test waits for.
    world.advance(301);
    // A changed account wakes its objects.
    let limits = json!({"spec": {"limits": {"requestsPerSecond": 99}}});
    world.kubectl(&["patch", "ecsaccount", ACCOUNT, "--type=merge", "--patch", &limits.to_string()]);
    eventually("it is read again", || (read() > before).then_some(()));
    // A status would be written by the time that something else is done.
    world.apply_reset("other", json!({"instanceIDs": ["i-running2"]}));
    world.wait_for("other", "Ready");
    assert_eq!(world.get("passwordreset", "web")["metadata"]["resourceVersion"], version);
}

#[test]
fn plan_says_what_blocks_an_instance_and_when_others_begin() {
    let mut expired = Instance::running("i-expired1", REGION);
    expired.expired_time = Some("2020-01-01T00:00:00Z".parse().unwrap());
    let locked = Instance::running("i-locked01", REGION).locked("security");
    let world = World::with([expired, locked, Instance::running("i-running1", REGION)]);
    let ids = ["i-expired1", "i-locked01", "i-running1"];
    world.apply_reset("web", json!({"instanceIDs": ids, "mode": "Plan", "windows": [window_in(&world, 600, 60)]}));
    let status = world.wait_for("web", "Ready");
    let shown = |id: &str| (row(&status, id)["plannedAction"].clone(), row(&status, id)["reason"].clone());
    assert_eq!(shown("i-expired1"), (json!("Blocked"), json!("InstanceExpired")));
    assert_eq!(shown("i-locked01"), (json!("Blocked"), json!("InstanceLocked")));
    assert_eq!(shown("i-running1"), (json!("ResetAndRestart"), json!("Planned")), "a closed window blocks nothing");
    let begin = format!("not before {}", status["nextWindow"]["start"].as_str().unwrap());
    assert!(row(&status, "i-running1")["message"].as_str().unwrap().contains(&begin), "{status:#}");
    assert_eq!(world.changing_calls(), 0);
}

#[test]
fn plan_is_made_soon_after_its_secret_is_there() {
    let world = World::with([Instance::running("i-running1", REGION)]);
    world.kubectl(&["delete", "secret", manifests::SECRET, "--namespace=prod"]);
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"], "mode": "Plan"}));
    let ready = world.wait_for_reason("web", "SecretNotFound");
    assert!(ready["message"].as_str().unwrap().contains("looks again within 1 s"), "{ready:#}");
    world.set_password(PASSWORD);
    world.wait_for_reason("web", "Planned");
}

#[test]
fn plan_with_a_bad_password_is_made_and_says_so() {
    let world = World::with([Instance::running("i-running1", REGION)]);
    world.set_password("short");
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"], "mode": "Plan"}));
    let row = world.wait_for_reset("web", "its row is blocked", |object| {
        let row = row(&object["status"], "i-running1");
        (row["plannedAction"] == "Blocked").then(|| row.clone())
    });
    assert_eq!((&row["state"], &row["reason"]), (&json!("Pending"), &json!("InvalidPassword")), "{row:#}");
    let status = world.status("web");
    let (ready, password) = (condition(&status, "Ready"), condition(&status, "PasswordReady"));
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("True"), &json!("Planned")), "{ready:#}");
    assert_eq!((&password["status"], &password["reason"]), (&json!("False"), &json!("InvalidPassword")));
    assert_eq!(world.changing_calls(), 0);
}

#[test]
fn run_of_several_says_when_it_will_have_ended() {
    let [first, second] = ["i-running1", "i-running2"];
    let world = World::with([first, second].map(|id| Instance::running(id, REGION).held()));
    world.apply_reset("web", json!({"instanceIDs": [first, second]}));
    let restarts = |id: &str| {
        let is_restarting = || world.record(id)["status"]["phase"] == "Restarting";
        eventually(&format!("{id} restarts"), || is_restarting().then_some(()));
    };
    restarts(first);
    assert_eq!(world.status("web")["estimatedCompletionTime"], Value::Null, "how long a restart takes is not known");
    world.advance(600);
    let returned = now(&world);
    world.release(first);
    restarts(second);
    let estimated = world.wait_for_reset("web", "it says when", |object| {
        object["status"]["estimatedCompletionTime"].as_str().map(|time| time.parse::<Timestamp>().unwrap())
    });
    // One restart more that takes as long as the first, rounded up to a minute.
    let seconds = estimated.duration_since(returned).as_secs();
    assert!((590..900).contains(&seconds), "{seconds}");
    world.release(second);
    assert_eq!(world.wait_for("web", "Ready")["estimatedCompletionTime"], Value::Null);
}
