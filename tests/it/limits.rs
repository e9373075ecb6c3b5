//! What an account and a process allow themselves, counted at the simulator's journal. Nothing here depends on how fast anything is: a
//! slow machine makes calls rarer, and never more frequent.

use crate::common::{ACCOUNT, Config, Fault, Instance, REGION, Rule, Setup, World};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

const MODIFY: &str = "ModifyInstanceAttribute";

fn ids(count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("i-running{n}")).collect()
}

fn world(ids: &[String], flags: &[&str]) -> World {
    let ecs = Config { instances: ids.iter().map(|id| Instance::running(id, REGION)).collect(), ..Config::default() };
    World::start(Setup { ecs, flags: flags.iter().map(|flag| (*flag).to_owned()).collect(), ..Setup::default() })
}

/// Asks for the passwords of all at once, with no restarts.
fn reset_all(world: &World, ids: &[String]) {
    let restart = json!({"policy": "Never", "maxUnavailable": "100%"});
    world.apply_reset("web", json!({"instanceIDs": ids, "restart": restart}));
    world.wait_until_done("web");
}

/// When the calls of an action reached ECS since a moment, in their order.
fn calls_since(world: &World, action: &str, since: Timestamp) -> Vec<Timestamp> {
    world.journal(|journal| {
        let calls = journal.requests().filter(|it| it.action == action && it.at >= since);
        calls.map(|it| it.at).collect()
    })
}

#[test]
fn requests_per_second_bounds_each_api() {
    let ids = ids(6);
    let world = world(&ids, &[]);
    let mut account = world.account();
    account["spec"]["limits"]["requestsPerSecond"] = json!(1);
    world.apply(&account);
    world.wait_for_changed_account(ACCOUNT);

    let began = world.ecs().now();
    reset_all(&world, &ids);
    let passwords = calls_since(&world, MODIFY, began);
    assert_eq!(passwords.len(), ids.len());
    let took = passwords.last().unwrap().duration_since(began);
    assert!(took >= SignedDuration::from_secs(5), "6 passwords at one a second were sent within {took:?}");
    let reads = calls_since(&world, "DescribeInstances", began).len();
    let seconds = world.ecs().now().duration_since(began).as_secs();
    assert!(i64::try_from(reads).unwrap() <= seconds + 2, "{reads} reads within {seconds} s");
}

#[test]
fn concurrency_bounds_the_calls_under_way() {
    const AT_ONCE: usize = 2;
    let ids = ids(6);
    let world = world(&ids, &["--concurrency=2"]);
    // The journal has a call when its answer is on its way: so long after it was sent, at least.
    let held = SignedDuration::from_secs(1);
    world.ecs().core().inject(Rule::once(MODIFY, Fault::Delay { milliseconds: 1_000 }).times(100));
    let began = world.ecs().now();
    reset_all(&world, &ids);
    let calls = calls_since(&world, MODIFY, began);
    assert_eq!(calls.len(), ids.len());
    for window in calls.windows(AT_ONCE + 1) {
        let apart = window[AT_ONCE].duration_since(window[0]);
        assert!(apart >= held, "{} calls were under way at once: {calls:?}", AT_ONCE + 1);
    }
}
