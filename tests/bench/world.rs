//! The worlds that are measured, and one measurement of them.

use std::time::{Duration, Instant};

use ecs_simulator::{Effect, Journal};
use serde_json::{Value, json};

use crate::api::Api;
use crate::common::{Config, Fault, Instance, NAMESPACE, REGION, Rule, SECRET, Setup, World};
use crate::machine::Cpu;
use crate::report::Report;
use crate::requests::Requests;

/// How long the simulated ECS takes for each call, in milliseconds.
pub const LATENCY_MILLISECONDS: u64 = 50;

/// How the controller is set up.
#[derive(Clone, Copy)]
pub struct Pace {
    /// `limits.requestsPerSecond` of the account.
    pub calls_per_second: u32,
    /// How often instances are read.
    pub describe_interval_milliseconds: u32,
}

impl Pace {
    /// As fast as the API takes it.
    pub const TUNED: Self = Self { calls_per_second: 100, describe_interval_milliseconds: 100 };
    /// What most will run.
    pub const DEFAULT: Self = Self { calls_per_second: 5, describe_interval_milliseconds: 3_000 };
}

/// A setup like that of production, but for the pace.
pub fn setup(instances: Vec<Instance>, pace: Pace) -> Setup {
    Setup {
        ecs: Config { instances, ..Config::default() },
        log_filter: "info",
        account_check_seconds: 60,
        describe_interval_milliseconds: pace.describe_interval_milliseconds,
        secret_poll_seconds: 30,
        own_control_plane: true,
        ..Setup::default()
    }
}

/// Gives the account its limits, and each call to ECS its time.
pub fn prepare(world: &World, pace: Pace, latency: bool) {
    let mut account = world.account();
    account["spec"]["limits"] = json!({"requestsPerSecond": pace.calls_per_second, "minRestartIntervalSeconds": 600});
    world.apply(&account);
    if latency {
        slow_down(world.ecs());
    }
}

/// Lets each call of a reset take its time.
pub fn slow_down(ecs: &ecs_simulator::Simulator) {
    for action in ["DescribeInstances", "ModifyInstanceAttribute", "RebootInstance"] {
        let fault = Fault::Delay { milliseconds: LATENCY_MILLISECONDS };
        ecs.core().inject(Rule::once(action, fault).times(u32::MAX));
    }
}

/// The id of an instance.
pub fn id(object: usize, instance: usize) -> String {
    format!("i-b{object:05}x{instance:03}")
}

/// An object whose instances restart at most `at_once` at a time.
pub fn reset(name: &str, ids: &[String], at_once: usize) -> Value {
    let restart = json!({"maxUnavailable": at_once, "minReadySeconds": 0});
    let spec =
        json!({"regionID": REGION, "instanceIDs": ids, "restart": restart, "passwordSecretRef": {"name": SECRET}});
    json!({"apiVersion": "ecs.password-reset.dev/v1alpha1", "kind": "PasswordReset",
           "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})
}

/// What was used and asked up to a moment.
pub struct Sample {
    /// When.
    pub at: Instant,
    /// CPU seconds so far.
    pub cpu: Cpu,
    /// Requests so far.
    pub requests: Requests,
}

impl Sample {
    /// Figures of a world whose controller runs.
    pub fn take(world: &World, api: &Api) -> Self {
        let (controller, control_plane) = world.pids();
        let requests = Requests::read(&api.text("/metrics"));
        Self { at: Instant::now(), cpu: Cpu::of(controller, control_plane), requests }
    }
}

/// Waits until `look` finds something. It looks `every` so often, and gives up after `limit`.
pub fn wait<T>(what: &str, every: Duration, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < limit, "waited {} s in vain: {what}", limit.as_secs());
        std::thread::sleep(every);
    }
}

/// How many new passwords are in effect at ECS.
pub fn in_effect(journal: &Journal) -> usize {
    journal.effects().filter(|entry| entry.effect == Effect::PasswordInEffect).count()
}

/// Waits until this many instances are in effect, and then until this many objects are Ready; returns when the first was so.
/// The simulator is asked first, because each look at `/metrics` costs the controller CPU.
pub fn wait_until_done(world: &World, instances: usize, objects: usize) -> Instant {
    let limit = Duration::from_secs(120 + instances as u64);
    wait("all passwords are in effect", Duration::from_millis(50), limit, || {
        (world.journal(in_effect) >= instances).then_some(())
    });
    let look = Duration::from_millis(100);
    wait("every row says so", look, limit, || {
        (world.metric("passwordreset_instances", "state=\"InEffect\"") >= instances as f64).then_some(())
    });
    let at = Instant::now();
    wait("every object is Ready", look, limit, || {
        (world.metric("passwordreset_objects", "kind=\"PasswordReset\",ready=\"True\"") >= objects as f64).then_some(())
    });
    at
}

/// How often an action was carried out on an instance that had had it already.
pub fn doubles(world: &World, action: &str) -> f64 {
    world.journal(|it| it.executed_by_instance(action).values().map(|count| count - 1).sum::<usize>()) as f64
}

/// Adds that nothing was done twice, in a run in which nobody was killed.
pub fn add_doubles(report: &mut Report, world: &World) {
    let twice = ["ModifyInstanceAttribute", "RebootInstance"].map(|action| doubles(world, action));
    report.count("passwords set or restarted twice", twice.iter().sum(), "in all").goal(0.0);
}

/// The middle one, and the one below which 95 in 100 are.
pub fn percentiles(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |percent: usize| values[((values.len() - 1) * percent + 50) / 100];
    (at(50), at(95))
}
