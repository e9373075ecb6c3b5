//! What a reset costs on a real control plane: makespan, CPU seconds of the controller and of the control plane, and requests for each
//! instance, counted by the API server itself. Run by `make bench`, and by nothing else: seconds depend on the machine, and only counts
//! and ratios can be compared. The simulator and the harness share the machine with what is measured.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // helpers fail as tests do
#![allow(clippy::cast_precision_loss, clippy::disallowed_methods, reason = "it counts, and measures real time")]

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::{Config, Instance, REGION, Setup, World, eventually};
use serde_json::{Value, json};

/// Ticks of a CPU in a second, as Linux counts them for `/proc`.
const TICKS: f64 = 100.0;

/// How many instances there are in all.
fn instances() -> usize {
    std::env::var("BENCH_INSTANCES").ok().map_or(200, |text| text.parse().unwrap())
}

/// A world with an account of 100 calls a second.
fn world(ids: impl Iterator<Item = String>) -> World {
    let instances = ids.map(|id| Instance::running(&id, REGION).rebooting(0.5, 1.5)).collect();
    let world = World::start(Setup {
        ecs: Config { instances, ..Config::default() },
        log_filter: "info",
        account_check_seconds: 60,
        describe_interval_milliseconds: 100,
        secret_poll_seconds: 30,
        ..Setup::default()
    });
    let mut account = world.account();
    account["spec"]["limits"] = json!({"requestsPerSecond": 100, "minRestartIntervalSeconds": 600});
    world.apply(&account);
    world
}

/// One measurement.
struct Sample {
    at: Instant,
    /// CPU seconds of the controller, and of the control plane.
    cpu: (f64, f64),
    /// Requests by verb and resource.
    requests: BTreeMap<(String, String), f64>,
}

fn sample(world: &World) -> Sample {
    let (controller, control_plane) = world.pids();
    Sample {
        at: Instant::now(),
        cpu: (cpu_of_tree(controller), cpu_of_tree(control_plane)),
        requests: requests(&world.kubectl(&["get", "--raw", "/metrics"])),
    }
}

/// The CPU seconds of a process and its children.
fn cpu_of_tree(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let below = |children: String| -> f64 {
        children.split_whitespace().map(|child| cpu_of_tree(child.parse().unwrap())).sum()
    };
    (ticks(11) + ticks(12)) / TICKS + children.map(below).sum::<f64>()
}

/// The most memory that a process had, in MiB.
fn peak_memory(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1024.0
}

/// The API server's own count of requests for the kinds that a reset touches.
fn requests(metrics: &str) -> BTreeMap<(String, String), f64> {
    let mut counts = BTreeMap::new();
    for line in metrics.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let label = |name: &str| {
            let (_, rest) = series.split_once(&format!("{name}=\"")).unwrap_or(("", "\""));
            rest.split('"').next().unwrap_or("").to_owned()
        };
        let (resource, part) = (label("resource"), label("subresource"));
        if ["passwordresets", "resetrecords", "secrets", "events"].contains(&&*resource) {
            let resource = if part.is_empty() { resource } else { format!("{resource}/{part}") };
            *counts.entry((label("verb"), resource)).or_default() += value.parse::<f64>().unwrap();
        }
    }
    counts
}

/// What is printed, and written to `target/bench/`.
fn report(name: &str, world: &World, before: &Sample, after: &Sample, instances: usize) {
    let all = instances as f64;
    let each = |verb: &[&str], resource: &str| -> f64 {
        let of = |(at, value): (&(String, String), &f64)| {
            let earlier = before.requests.get(at).copied().unwrap_or(0.0);
            (verb.contains(&&*at.0) && at.1 == resource).then_some(value - earlier)
        };
        after.requests.iter().filter_map(of).sum::<f64>() / all
    };
    let (reads, writes) = (&["GET"][..], &["PUT", "POST", "PATCH"][..]);
    let makespan = after.at.duration_since(before.at).as_secs_f64();
    let (controller, control_plane) = (after.cpu.0 - before.cpu.0, after.cpu.1 - before.cpu.1);
    let figures = json!({
        "scenario": name,
        "instances": instances,
        "makespan_seconds": makespan,
        "controller_cpu_ms_per_instance": controller * 1_000.0 / all,
        "control_plane_cpu_ms_per_instance": control_plane * 1_000.0 / all,
        "controller_peak_mib": peak_memory(world.pids().0),
        "gets_of_passwordresets": each(reads, "passwordresets"),
        "gets_of_resetrecords": each(reads, "resetrecords"),
        "gets_of_secrets": each(reads, "secrets"),
        "writes_of_resetrecords": each(writes, "resetrecords"),
        "writes_of_statuses": each(writes, "passwordresets/status"),
        "writes_of_events": each(writes, "events"),
        "ecs_calls": world.metric("passwordreset_provider_api_calls_total", "") / all,
    });
    for (figure, value) in figures.as_object().unwrap() {
        let shown = value.as_f64().map_or_else(|| value.to_string(), |number| format!("{number:.2}"));
        println!("{figure:>36}  {shown}");
    }
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("../bench");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join(format!("{name}.json")), figures.to_string()).unwrap();
}

/// Applies objects, and waits until each is Ready.
fn run(name: &str, objects: usize, each: usize) {
    let id = |object: usize, instance: usize| format!("i-b{object:04}x{instance:03}");
    let world = world((0..objects).flat_map(|object| (0..each).map(move |instance| id(object, instance))));
    let resets: Vec<Value> = (0..objects)
        .map(|object| {
            let ids: Vec<String> = (0..each).map(|instance| id(object, instance)).collect();
            let restart = json!({"maxUnavailable": each, "minReadySeconds": 0});
            let spec = json!({"regionID": REGION, "instanceIDs": ids, "restart": restart,
                              "passwordSecretRef": {"name": "root-password"}});
            json!({"apiVersion": "ecs.password-reset.dev/v1alpha1", "kind": "PasswordReset",
                   "metadata": {"name": format!("web-{object}"), "namespace": "prod"}, "spec": spec})
        })
        .collect();
    let before = sample(&world);
    world.apply_all(resets);
    let all = objects * each;
    eventually("every instance is in effect", || {
        std::thread::sleep(Duration::from_millis(200));
        (world.metric("passwordreset_instances", "InEffect") >= all as f64).then_some(())
    });
    let after = sample(&world);
    for action in ["ModifyInstanceAttribute", "RebootInstance"] {
        let executed: usize = world.journal(|journal| journal.executed_by_instance(action).values().sum());
        assert_eq!(executed, all, "{action}: once for each");
    }
    report(name, &world, &before, &after, all);
}

#[test]
#[ignore = "run by `make bench`"]
fn b1_ten_objects() {
    run("B1", 10, instances() / 10);
}

#[test]
#[ignore = "run by `make bench`"]
fn b2_one_instance_an_object() {
    run("B2", instances(), 1);
}
