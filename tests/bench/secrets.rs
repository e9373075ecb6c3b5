//! B5: how often one Secret is read that many objects share, by the API server's audit log.

use std::time::Duration;

use serde_json::Value;

use crate::api::{self, Api};
use crate::common::{Instance, REGION, SECRET, World};
use crate::report::Report;
use crate::world::{self, Pace};
use crate::{Options, number_from};

/// B5.
pub fn shared(_: &Options) -> Vec<Report> {
    let all = number_from("BENCH_INSTANCES", 500);
    let ids: Vec<String> = (0..all).map(|number| world::id(number, 0)).collect();
    let instances = ids.iter().map(|id| Instance::starting(id, REGION).rebooting(0.1, 0.4).held()).collect();
    let mut setup = world::setup(instances, Pace::TUNED);
    setup.audit = true;
    let world = World::start(setup);
    world::prepare(&world, Pace::TUNED, false);
    let api = Api::new(&world);
    let resets =
        ids.iter().enumerate().map(|(number, id)| world::reset(&format!("web-{number}"), std::slice::from_ref(id), 1));
    let begin = reads(&world);
    api.create_all(&api::resets(), resets);
    let limit = Duration::from_mins(5);
    world::wait("every object waits for its instance", Duration::from_millis(500), limit, || {
        (world.metric(
            "passwordreset_objects",
            "kind=\"PasswordReset\",ready=\"Unknown\",reason=\"WaitingForStableState\"",
        ) >= all as f64)
            .then_some(())
    });
    let beginning = reads(&world) - begin;
    let in_the_next = |seconds: u64| {
        let before = reads(&world);
        std::thread::sleep(Duration::from_secs(seconds));
        reads(&world) - before
    };
    let waiting = in_the_next(60);
    world.set_password("Green-Teapot-8");
    let new_version = in_the_next(35);
    let before = reads(&world);
    for id in &ids {
        world.release(id);
    }
    world::wait_until_done(&world, all, all);
    let run = reads(&world) - before;
    let mut report = Report::new("B5", all);
    report.here("reads while all objects begin", beginning as f64, "in all");
    report.count("reads in a minute in which all wait", waiting as f64, "in all").goal(2.0);
    report.count("reads for a new version", new_version as f64, "in all").goal(2.0);
    report.count("reads for each reset of the run", run as f64 / all as f64, "/instance");
    vec![report]
}

/// How often the Secret was read. Only the controller reads it here.
fn reads(world: &World) -> usize {
    let log = world.control_plane().audit_log();
    // The last line may be half written, and does not count as a Secret's then.
    let secrets = log.lines().filter(|line| line.contains("\"resource\":\"secrets\"") && line.contains(SECRET));
    let events = secrets.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events
        .filter(|event| event["verb"] == "get" && event["objectRef"]["name"] == SECRET && is_the_controllers(event))
        .count()
}

fn is_the_controllers(event: &Value) -> bool {
    event["user"]["username"].as_str().is_some_and(|name| name.ends_with(":ecs-password-reset"))
}
