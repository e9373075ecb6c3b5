//! A hundred instances in one object: never more away than `maxUnavailable`, and no slot stays empty.

mod common;

use common::{PASSWORD, REGION, World, eventually, row};
use ecs_simulator::{Instance, Journal};
use serde_json::json;

const SIZE: usize = 100;
const SLOTS: usize = 10;

fn ids() -> Vec<String> {
    (0..SIZE).map(|n| format!("i-fleet{n:04}")).collect()
}

fn world(held: impl Fn(usize) -> bool) -> World {
    World::with(ids().iter().enumerate().map(|(n, id)| {
        let instance = Instance::running(id, REGION).rebooting(0.1, 0.2);
        if held(n) { instance.held() } else { instance }
    }))
}

fn apply(world: &World) {
    world.apply_reset("fleet", json!({"instanceIDs": ids(), "restart": {"maxUnavailable": SLOTS}}));
}

fn restarts(world: &World) -> usize {
    ids().iter().map(|id| world.reboots(id)).sum()
}

#[test]
fn a_hundred_instances_are_reset_once_each_and_never_more_than_ten_are_away() {
    let world = world(|_| false);
    apply(&world);
    let status = world.wait_until_done("fleet");
    assert_eq!((status["progress"].as_str(), status["counts"]["inEffect"].as_u64()), (Some("100/100"), Some(100)));
    for id in ids() {
        world.assert_reset_and_restarted_once(&status, &id, PASSWORD);
    }
    let away = world.journal(Journal::max_away);
    assert!(away <= SLOTS, "{away} were away at once");

    let per_instance = |metric: &str, labels: &str| world.metric(metric, labels) / 100.0;
    for (what, metric, labels) in [
        ("record writes", "passwordreset_kube_writes_total", "kind=\"ResetRecord\""),
        ("status writes", "passwordreset_kube_writes_total", "kind=\"PasswordReset\""),
        ("events", "passwordreset_kube_writes_total", "kind=\"Event\""),
        ("ModifyInstanceAttribute", "passwordreset_provider_api_calls_total", "api=\"ModifyInstanceAttribute\""),
        ("RebootInstance", "passwordreset_provider_api_calls_total", "api=\"RebootInstance\""),
        ("DescribeInstances", "passwordreset_provider_api_calls_total", "api=\"DescribeInstances\""),
    ] {
        eprintln!("per instance: {:.3} {what}", per_instance(metric, labels));
    }
    let records = per_instance("passwordreset_kube_writes_total", "kind=\"ResetRecord\"");
    assert!((5.0..=7.0).contains(&records), "{records} writes of a record for one restart");
}

#[test]
fn an_instance_that_does_not_come_back_costs_one_slot_and_no_more() {
    let world = world(|n| n == 0);
    apply(&world);
    let all_but_one = "every other instance is done";
    world.wait_for_reset("fleet", all_but_one, |object| (object["status"]["counts"]["inEffect"] == 99).then_some(()));
    assert_eq!(row(&world.status("fleet"), "i-fleet0000")["state"], "Restarting");
    world.release("i-fleet0000");
    assert_eq!(world.wait_until_done("fleet")["progress"], "100/100");
    assert_eq!(restarts(&world), SIZE);
}

#[test]
fn each_slot_that_frees_up_is_taken_by_one_more() {
    let world = world(|_| true);
    apply(&world);
    let looks = || world.journal(|journal| journal.requests().filter(|it| it.action == "DescribeInstances").count());
    for released in 0..3 {
        let expected = SLOTS + released;
        eventually("every slot is taken", || (restarts(&world) == expected).then_some(()));
        // Not one more, however often the controller looks.
        let before = looks();
        eventually("the controller looks again and again", || (looks() >= before + 20).then_some(()));
        assert_eq!(restarts(&world), expected);
        let away = ids().into_iter().filter(|id| world.reboots(id) == 1).nth(released);
        world.release(&away.unwrap());
    }
}
