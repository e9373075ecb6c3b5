//! A hundred instances in one object: how many are away at once, how slots are refilled, and what it costs.

use std::collections::BTreeMap;

use crate::common::{Instance, PASSWORD, REGION, Status, World, eventually};
use serde_json::{Value, json};

const FLEET: usize = 100;
const SLOTS: usize = 10;

fn ids() -> Vec<String> {
    (0..FLEET).map(|number| format!("i-fleet{number:03}")).collect()
}

fn spec() -> Value {
    json!({"instanceIDs": ids(), "restart": {"maxUnavailable": SLOTS}})
}

/// Each instance was reset exactly once: not 1.01 times on average, and not 0 times and 2.
fn assert_each_was_reset_once(world: &World) {
    let once: BTreeMap<String, usize> = ids().into_iter().map(|id| (id, 1)).collect();
    for action in ["ModifyInstanceAttribute", "RebootInstance"] {
        let executed: BTreeMap<String, usize> = world.journal(|journal| {
            journal.executed_by_instance(action).into_iter().map(|(id, count)| (id.to_owned(), count)).collect()
        });
        assert_eq!(executed, once, "{action}");
    }
    let core = world.ecs().core();
    assert!(ids().iter().all(|id| core.in_effect_password(id) == Some(PASSWORD)));
}

#[test]
#[allow(clippy::cast_precision_loss, reason = "a hundred")]
fn max_unavailable_holds_and_each_is_reset_once() {
    let world = World::with(ids().iter().map(|id| Instance::running(id, REGION)));
    let calls_before = world.metric("passwordreset_provider_api_calls_total", "");
    world.apply_reset("fleet", spec());
    let status = world.wait_for("fleet", "Ready");
    assert_eq!(status["progress"], "100/100");
    for id in ids() {
        world.assert_reset_and_restarted_once(&status, &id, PASSWORD);
    }
    assert!(world.journal(ecs_simulator::Journal::max_away) <= SLOTS);

    let records = world.metric("passwordreset_kube_writes_total", "ResetRecord") / FLEET as f64;
    assert!((5.0..=7.0).contains(&records), "{records} writes of a record for one restart");
    for kind in ["ResetRecord", "PasswordReset", "Event"] {
        print_per_instance(&format!("writes of {kind}"), world.metric("passwordreset_kube_writes_total", kind));
    }
    print_per_instance("writes to the API server", world.metric("passwordreset_kube_writes_total", ""));
    for api in ["ModifyInstanceAttribute", "RebootInstance", "DescribeInstances"] {
        print_per_instance(api, world.metric("passwordreset_provider_api_calls_total", api));
    }
    let calls = world.metric("passwordreset_provider_api_calls_total", "") - calls_before;
    print_per_instance("calls to ECS", calls);
}

#[allow(clippy::cast_precision_loss, reason = "a hundred")]
fn print_per_instance(what: &str, total: f64) {
    eprintln!("{what}: {:.2} per instance, {total} in all", total / FLEET as f64);
}

#[test]
fn slots_refill_one_by_one_past_a_hanging_one() {
    let world = World::with(ids().iter().map(|id| Instance::running(id, REGION).rebooting(0.1, 0.2).held()));
    world.apply_reset("fleet", spec());
    eventually("every slot is taken", || (restarted(&world).len() == SLOTS).then_some(()));
    wait_for_passes(&world);
    let first = restarted(&world);
    assert_eq!((claimed(&world), first.len()), (SLOTS, SLOTS));

    world.release(&first[0]);
    eventually("the free slot is taken", || (restarted(&world).len() > SLOTS).then_some(()));
    world.wait_for_state("fleet", &first[0], "InEffect");
    wait_for_passes(&world);
    assert_eq!((claimed(&world), restarted(&world).len()), (SLOTS + 1, SLOTS + 1), "one slot was freed");

    let hanging = &first[1];
    ids().iter().filter(|id| *id != hanging).for_each(|id| world.release(id));
    world.wait_for_reset("fleet", "all but the hanging one are done", |object| {
        (object["status"]["progress"] == "99/100").then_some(())
    });
    assert_eq!(world.ecs().core().status(hanging), Some(Status::Starting));

    world.release(hanging);
    world.wait_for("fleet", "Ready");
    assert_each_was_reset_once(&world);
    assert_eq!(world.journal(ecs_simulator::Journal::max_away), SLOTS);
}

/// The instances whose restart was accepted.
fn restarted(world: &World) -> Vec<String> {
    world.journal(|journal| journal.executed_by_instance("RebootInstance").into_keys().map(str::to_owned).collect())
}

/// How many instances were ever claimed: each claim holds a slot from its beginning, before anything is restarted.
fn claimed(world: &World) -> usize {
    world.journal(|journal| journal.executed_by_instance("ModifyInstanceAttribute").len())
}

/// Gives the controller its chance to start more than it may: some passes over the object, which has open work.
fn wait_for_passes(world: &World) {
    let before = world.passes();
    eventually("the controller looks at the object again", || (world.passes() >= before + 3.0).then_some(()));
}
