//! Two replicas and one Lease: one works, the other takes over, and no instance is reset or restarted twice, whichever way the
//! first one goes. The same in paused time, with each length exact, is in `src/leader/lease_tests.rs`.

// Clippy's leave for tests does not reach the helpers of an integration test.

use crate::common::{Controller, Instance, PASSWORD, REGION, Setup, World, eventually, timed};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const IDS: [&str; 3] = ["i-running1", "i-running2", "i-running3"];

/// Longer than any test waits: what happens then, happens because the Lease was released.
const NEVER_EXPIRES: &str = "--leader-elect-lease-duration-seconds=600";
/// As short as a machine that is busy with other tests can keep.
const SHORT: &[&str] = &[
    "--leader-elect-lease-duration-seconds=5",
    "--leader-elect-renew-deadline-seconds=4",
    "--leader-elect-retry-period-seconds=1",
    "--ecs-connect-timeout-seconds=1",
];

/// A world whose first instance does not come back from its restart until it is released.
fn world(leader_elect: bool) -> World {
    let [first, second, third] = IDS.map(|id| Instance::running(id, REGION).rebooting(0.5, 0.5));
    let mut setup = Setup { leader_elect, ..Setup::default() };
    setup.ecs.instances = vec![first.held(), second, third];
    World::without_controller(setup)
}

/// Two replicas, of which the first leads and has the first instance away for its restart.
fn in_mid_run(world: &World, flags: &[&str]) -> (Controller, Controller) {
    let first = world.start_replica("first", flags);
    first.wait_until_it_works();
    let second = world.start_replica("second", flags);
    first.wait_until_it_works();
    assert!(!second.works());
    world.wait_for_account("Ready");
    world.apply_reset("web", json!({"instanceIDs": IDS}));
    eventually("the restart is accepted and written down", || {
        (world.record(IDS[0])["status"]["phase"] == "Restarting").then_some(())
    });
    (first, second)
}

/// Lets the run end, and proves that it was one run.
fn finish(world: &World) {
    world.release(IDS[0]);
    let status = world.wait_for("web", "Ready");
    for id in IDS {
        world.assert_reset_and_restarted_once(&status, id, PASSWORD);
    }
}

#[track_caller]
fn assert_holder(lease: &Value, name: &str) {
    let holder = lease["holderIdentity"].as_str().unwrap_or_default();
    assert!(holder.starts_with(&format!("{name}_")), "{name} must hold the Lease: {lease:#}");
}

fn time(lease: &Value, field: &str) -> Timestamp {
    lease[field].as_str().unwrap().parse().unwrap()
}

#[test]
fn leader_that_is_asked_to_stop_hands_over_at_once() {
    let world = world(true);
    let (first, second) = in_mid_run(&world, &[NEVER_EXPIRES]);
    let before = world.lease();
    assert_holder(&before, "first");
    timed("planned handover, from SIGTERM to a leader that can work", || {
        assert!(first.terminate().success());
        second.wait_until_it_works();
    });
    let after = world.lease();
    assert_holder(&after, "second");
    assert_eq!(after["leaseTransitions"].as_u64(), before["leaseTransitions"].as_u64().map(|it| it + 1));
    finish(&world);
}

#[test]
fn killed_leaders_lease_is_taken_only_once_expired() {
    let world = world(true);
    let (first, second) = in_mid_run(&world, &[]);
    timed("takeover with the default settings, from kill -9 to a leader that can work", || {
        drop(first);
        let before = world.lease();
        assert_holder(&before, "first");
        second.wait_until_it_works();
        let after = world.lease();
        assert_holder(&after, "second");
        let waited = time(&after, "acquireTime").duration_since(time(&before, "renewTime"));
        assert!(waited >= SignedDuration::from_secs(15), "{waited}");
    });
    finish(&world);
}

#[test]
fn leader_paused_past_its_lease_sends_nothing_and_ends() {
    let world = world(true);
    let (first, second) = in_mid_run(&world, SHORT);
    first.pause();
    timed("takeover with a lease of 5 s, from SIGSTOP to a leader that can work", || second.wait_until_it_works());
    // Nobody is left but the one that does not lead any more, and there is work to do.
    drop(second);
    let calls = world.changing_calls();
    world.release(IDS[0]);
    first.resume();
    assert!(!first.wait_for_end().success());
    assert_eq!(world.changing_calls(), calls);
    assert!(world.log_of_replica("first").contains("leadership is lost"));

    let third = world.start_replica("third", SHORT);
    third.wait_until_it_works();
    finish(&world);
}

#[test]
fn a_single_replica_needs_no_lease() {
    let world = world(false);
    let _single = world.start_replica("single", &[]);
    world.wait_for_account("Ready");
    world.apply_reset("web", json!({"instanceIDs": IDS}));
    finish(&world);
    assert_eq!(world.lease(), Value::Null);
}
