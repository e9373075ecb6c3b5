//! B1 and B2: many instances at once, in few objects and in many.

use std::time::Instant;

use crate::api::{self, Api};
use crate::common::{Instance, REGION, World};
use crate::report::Report;
use crate::requests::Requests;
use crate::world::{self, Pace, Sample};
use crate::{Options, floors, machine, number_from, peers};

/// How long a restart takes: still Running, then away.
const RESTART: (f64, f64) = (0.5, 1.5);

/// B1. With `--vs`, what the peers take for the same instances is measured after it.
pub fn ten_objects(options: &Options) -> Vec<Report> {
    let each = number_from("BENCH_INSTANCES", 1_000).div_ceil(10);
    let (mut report, makespan, cpu) = run("B1", 10, each, Pace::TUNED);
    if options.vs {
        peers::add(&mut report, &instances(10, each), makespan, cpu);
    }
    vec![report]
}

/// B2.
pub fn one_each(_: &Options) -> Vec<Report> {
    vec![run("B2", number_from("BENCH_INSTANCES", 1_000), 1, Pace::TUNED).0]
}

/// B2 at the rate that most will run, at which all but a few wait for their turn. Smaller, because it takes its time.
pub fn one_each_by_default(_: &Options) -> Vec<Report> {
    vec![run("B2-default", number_from("BENCH_INSTANCES", 1_000).div_ceil(5), 1, Pace::DEFAULT).0]
}

/// The instances of a run.
pub fn instances(objects: usize, each: usize) -> Vec<Instance> {
    let ids = (0..objects).flat_map(|object| (0..each).map(move |instance| world::id(object, instance)));
    ids.map(|id| Instance::running(&id, REGION).rebooting(RESTART.0, RESTART.1)).collect()
}

/// Creates objects, waits until each is Ready, and counts; returns makespan and the controller's CPU seconds beside the report.
fn run(name: &str, objects: usize, each: usize, pace: Pace) -> (Report, f64, f64) {
    let mut world = World::start(world::setup(instances(objects, each), pace));
    world::prepare(&world, pace, true);
    let api = Api::new(&world);
    let resets = (0..objects).map(|object| {
        let ids: Vec<String> = (0..each).map(|instance| world::id(object, instance)).collect();
        world::reset(&format!("web-{object}"), &ids, each)
    });
    let before = Sample::take(&world, &api);
    api.create_all(&api::resets(), resets);
    let done = world::wait_until_done(&world, objects * each, objects);
    let after = Sample::take(&world, &api);
    let mut report = Report::new(name, objects * each);
    add_times(&mut report, &world, &before, &after, done, pace);
    add_requests(&mut report, &world, &after.requests.since(&before.requests), pace);
    world.kill_controller();
    let (floor, write) = floors::writing(&api, objects * each);
    let makespan = done.duration_since(before.at).as_secs_f64();
    let own_rate = floors::own_rate(objects * each, RESTART.0 + RESTART.1, pace.calls_per_second);
    report.ratio("makespan by floor of this API server", makespan / floor.max(own_rate));
    report.here("write of a record by a bare client", write, "ms");
    (report, makespan, after.cpu.since(before.cpu).controller)
}

/// Seconds and CPU. The goals are for objects of many instances.
fn add_times(report: &mut Report, world: &World, before: &Sample, after: &Sample, done: Instant, pace: Pace) {
    let (all, restart) = (report.size as f64, RESTART.0 + RESTART.1);
    let makespan = done.duration_since(before.at).as_secs_f64();
    let cpu = after.cpu.since(before.cpu);
    // On a busy machine the CPU binds and not the rate: then the two are this machine's as much as seconds are.
    let by_rate = makespan / floors::own_rate(report.size, restart, pace.calls_per_second);
    let by_t_min = makespan / floors::unlimited(report.size, restart);
    report.here("makespan", makespan, "s");
    report.here("makespan by T_min", by_t_min, "×");
    report.here("makespan by floor of the own rate", by_rate, "×");
    let is_judged = report.scenario == "B1";
    if is_judged {
        report.goal(2.0);
    }
    report.here("CPU of the controller for 1,000", cpu.controller * 1_000.0 / all, "s");
    if is_judged {
        report.goal(3.0);
    }
    report.here("CPU of the API server", cpu.api_server * 1_000.0 / all, "ms/instance");
    if is_judged {
        report.goal(40.0);
    }
    report.here("CPU of etcd", cpu.etcd * 1_000.0 / all, "ms/instance");
    report.here("CPU of simulator and harness", cpu.harness * 1_000.0 / all, "ms/instance");
    for controller in ["password_reset", "reset_record"] {
        let passes = world.metric("controller_runtime_reconcile_total", &format!("controller=\"{controller}\""));
        report.here(&format!("passes of {controller}"), passes / all, "/instance");
    }
    report.here("peak memory of the controller", machine::peak_memory(world.pids().0), "MiB");
}

/// What was asked of the API server and of ECS.
fn add_requests(report: &mut Report, world: &World, requests: &Requests, pace: Pace) {
    let all = report.size as f64;
    let is_tuned = pace.calls_per_second == Pace::TUNED.calls_per_second;
    report.count("reads", requests.all_gets() / all, "/instance").goal(if is_tuned { 2.0 } else { 3.0 });
    for kind in ["passwordresets", "resetrecords", "secrets"] {
        report.count(&format!("reads of {kind}"), requests.gets(kind) / all, "/instance");
    }
    let goal = if report.scenario == "B1" { 6.5 } else { 8.0 };
    report.count("writes", requests.all_writes() / all, "/instance").goal(goal);
    let records = requests.writes("resetrecords") + requests.writes("resetrecords/status");
    report.count("writes of records", records / all, "/instance");
    report.count("writes of statuses", requests.writes("passwordresets/status") / all, "/instance");
    report.count("writes of events", requests.writes("events") / all, "/instance");
    let calls = |action: &str| world.journal(|journal| journal.asked(action)) as f64 / all;
    report.count("calls of ModifyInstanceAttribute", calls("ModifyInstanceAttribute"), "/instance");
    report.count("calls of RebootInstance", calls("RebootInstance"), "/instance");
    // Made so often a second, however long the run takes.
    report.here("calls of DescribeInstances", calls("DescribeInstances"), "/instance");
    world::add_doubles(report, world);
}
