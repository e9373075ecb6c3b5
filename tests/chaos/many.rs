//! Many answers lost at once.

use serde_json::json;

use crate::common::{Config, Fault, Instance, REGION, Rule, Setup, World, condition, eventually};
use crate::{MARGIN, VALIDITY, number_from};

#[test]
fn thousand_unanswered_restarts_each_happen_once() {
    let count = number_from("CHAOS_INSTANCES", 1_000);
    let ids: Vec<String> = (0..count).map(|number| format!("i-many{number:05}")).collect();
    let instances = ids.iter().map(|id| Instance::running(id, REGION).rebooting(0.1, 0.3)).collect();
    let world = World::start(Setup {
        ecs: Config { instances, ..Config::default() },
        request_validity_seconds: VALIDITY,
        request_validity_margin_seconds: MARGIN,
        restart_settle_seconds: 1,
        log_filter: "info",
        own_control_plane: true,
        ..Setup::default()
    });
    let fault = Fault::LoseAnswerAfterEffect;
    world.ecs().core().inject(Rule::once("RebootInstance", fault).times(u32::try_from(count).unwrap()));
    for (number, ids) in ids.chunks(100).enumerate() {
        let spec = json!({"instanceIDs": ids, "restart": {"maxUnavailable": "100%", "minReadySeconds": 0}});
        world.apply_reset(&format!("many{number}"), spec);
    }
    let objects = 0..ids.chunks(100).len();
    let in_effect =
        || objects.clone().filter_map(|it| world.status(&format!("many{it}"))["counts"]["inEffect"].as_u64()).sum();
    let mut done: u64 = 0;
    // Not all at once: a slow machine may take its time, as long as it gets on.
    while done < u64::try_from(count).unwrap() {
        done = eventually("more instances end", || Some(in_effect()).filter(|now| *now > done));
    }
    for number in objects {
        let status = eventually("an object is told that all of its instances have ended", || {
            let status = world.status(&format!("many{number}"));
            (condition(&status, "Ready")["status"] == "True").then_some(status)
        });
        assert_eq!(status["counts"]["inEffect"], status["counts"]["total"], "{:#}", status["counts"]);
    }
    let doubled = ids.iter().filter(|id| world.reboots(id) != 1).count();
    assert_eq!(doubled, 0, "of {count} instances");
    println!("answers lost: {count} instances, each restarted once");
}
