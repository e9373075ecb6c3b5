//! B4: a process that is killed with many resets in flight. B9: how long a start takes.

use std::time::{Duration, Instant};

use crate::api::{self, Api};
use crate::common::{Controller, World};
use crate::report::Report;
use crate::world::{self, Pace};
use crate::{Options, fleet, number_from};

/// How long ECS takes a request of the dead process, in seconds: a restart that it may have sent is waited for as long.
const VALIDITY: u32 = 20;
const CHANGES: [&str; 2] = ["ModifyInstanceAttribute", "RebootInstance"];
/// Phases in which nothing is to be done any more.
const ENDED: [&str; 6] = ["InEffect", "EffectiveAtNextStart", "Superseded", "Failed", "Unknown", "Idle"];
/// How many starts.
const STARTS: usize = 10;

/// B4.
pub fn killed_in_flight(_: &Options) -> Vec<Report> {
    let all = number_from("BENCH_INSTANCES", 500);
    let each = all.div_ceil(10);
    let all = each * 10;
    let mut setup = world::setup(fleet::instances(10, each), Pace::TUNED);
    setup.request_validity_seconds = VALIDITY;
    let mut world = World::start(setup);
    world::prepare(&world, Pace::TUNED, true);
    let api = Api::new(&world);
    let resets = (0..10).map(|object| {
        let ids: Vec<String> = (0..each).map(|instance| world::id(object, instance)).collect();
        world::reset(&format!("web-{object}"), &ids, each)
    });
    api.create_all(&api::resets(), resets);
    world::wait("half of the passwords are set", Duration::from_millis(5), Duration::from_mins(5), || {
        (world.journal(|it| it.executed_by_instance("ModifyInstanceAttribute").len()) >= all / 2).then_some(())
    });
    world.kill_controller();
    let in_flight = in_flight(&api);
    let calls = world.changing_calls();
    let (began, at) = (Instant::now(), world.ecs().now());
    let mut controller = world.spawn_controller(&[]);
    let ready = wait_until_ready(&mut controller, began);
    let limit = Duration::from_mins(5);
    world::wait("a changing call", Duration::from_millis(2), limit, || (world.changing_calls() > calls).then_some(()));
    let first = world.journal(|journal| {
        let mut after = journal.requests().filter(|it| it.at > at && CHANGES.contains(&it.action.as_str()));
        after.next().unwrap().at.duration_since(at).as_secs_f64()
    });
    world::wait("every instance is in effect", Duration::from_millis(500), limit, || {
        (world.journal(world::in_effect) >= all && in_effect_rows(&controller) >= all as f64).then_some(())
    });
    let mut report = Report::new("B4", all);
    report.setting("in flight at kill -9", in_flight as f64, "instances");
    report.count("restarted twice", world::doubles(&world, "RebootInstance"), "in all").goal(0.0);
    // A call whose answer the dead process did not hear is made again, which does no harm.
    report.setting("passwords set twice", world::doubles(&world, "ModifyInstanceAttribute"), "in all");
    report.here("start to ready", ready, "ms");
    report.here("start to the first changing call", first * 1_000.0, "ms").goal(500.0);
    report.here("start to all in effect", began.elapsed().as_secs_f64(), "s");
    vec![report]
}

/// How many records are neither ended nor idle.
fn in_flight(api: &Api) -> usize {
    let list = api.get(&api::records());
    let phases =
        list["items"].as_array().unwrap().iter().map(|record| record["status"]["phase"].as_str().unwrap_or("Idle"));
    phases.filter(|phase| !ENDED.contains(phase)).count()
}

/// How many rows are in effect, as a controller says that is not the world's own.
fn in_effect_rows(controller: &Controller) -> f64 {
    let metrics = controller.metrics();
    let rows =
        metrics.lines().filter(|line| line.starts_with("passwordreset_instances{") && line.contains("\"InEffect\""));
    rows.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// Looks each millisecond; returns the milliseconds since `began`.
fn wait_until_ready(controller: &mut Controller, began: Instant) -> f64 {
    while !controller.is_ready() {
        assert!(controller.runs(), "the controller ended");
        std::thread::sleep(Duration::from_millis(1));
    }
    began.elapsed().as_secs_f64() * 1_000.0
}

/// B9.
pub fn ready(_: &Options) -> Vec<Report> {
    let mut setup = world::setup(Vec::new(), Pace::TUNED);
    setup.leader_elect = true;
    let world = World::without_controller(setup);
    let start = |environment: &[(&str, &str)]| {
        let began = Instant::now();
        let mut controller = world.spawn_controller(environment);
        let ready = wait_until_ready(&mut controller, began);
        controller.wait_until_it_works();
        // It gives the Lease back, and the next one finds it free.
        assert!(controller.terminate().success());
        ready
    };
    // The first start of all makes what later ones find.
    start(&[]);
    let starts = |environment: &[(&str, &str)]| world::percentiles((0..STARTS).map(|_| start(environment)).collect());
    let (elected, alone) = (starts(&[]), starts(&[("ECS_PASSWORD_RESET_LEADER_ELECT", "false")]));
    let floor = world::percentiles((0..STARTS).map(|_| bare_start(&world)).collect());
    let mut report = Report::new("B9", STARTS);
    report.here("start to ready, with election, p50", elected.0, "ms").goal(60.0);
    report.here("start to ready, with election, p95", elected.1, "ms");
    report.here("start to ready, without, p50", alone.0, "ms");
    report.here("new connection and both lists, p50", floor.0, "ms");
    report.ratio("start with election by that", elected.0 / floor.0);
    vec![report]
}

/// What a start needs at least: a connection and two lists, here by a client that has everything else already.
fn bare_start(world: &World) -> f64 {
    let api = Api::new(world);
    let began = Instant::now();
    api.list(&api::resets());
    api.list(&api::records());
    began.elapsed().as_secs_f64() * 1_000.0
}
