//! B6: a quota of ECS below the account's own rate. B7: as many restarts at once as `maxUnavailable` allows.

use std::collections::BTreeMap;
use std::time::Duration;

use ecs_simulator::Journal;

use crate::api::{self, Api};
use crate::common::{Instance, Outcome, REGION, World};
use crate::report::Report;
use crate::world::{self, Pace, Sample};
use crate::{Options, fleet, floors, number_from};

const MODIFY: &str = "ModifyInstanceAttribute";
/// How long a restart takes in B6.
const RESTART_SECONDS: f64 = 2.0;
/// The slots of B7.
const SLOTS: usize = 10;

/// B6: a quota of 40 in 100 instances for each fixed minute, as ECS counts.
pub fn throttled(_: &Options) -> Vec<Report> {
    let all = number_from("BENCH_INSTANCES", 250).div_ceil(10) * 10;
    let quota = all * 2 / 5;
    let mut setup = world::setup(fleet::instances(10, all / 10), Pace::TUNED);
    setup.ecs = setup.ecs.with_quota(MODIFY, u32::try_from(quota).unwrap());
    let world = World::start(setup);
    world::prepare(&world, Pace::TUNED, true);
    let api = Api::new(&world);
    let resets = (0..10).map(|object| {
        let ids: Vec<String> = (0..all / 10).map(|instance| world::id(object, instance)).collect();
        world::reset(&format!("web-{object}"), &ids, all / 10)
    });
    // At the beginning of a minute, so that each run has the same number of windows.
    world::wait("a minute begins", Duration::from_millis(20), Duration::from_mins(2), || {
        (world.ecs().now().as_millisecond() % 60_000 < 1_000).then_some(())
    });
    let phase = (world.ecs().now().as_millisecond() % 60_000) as f64 / 1_000.0;
    let before = Sample::take(&world, &api);
    api.create_all(&api::resets(), resets);
    let done = world::wait_until_done(&world, all, 10);
    let makespan = done.duration_since(before.at).as_secs_f64();
    let latency = world::LATENCY_MILLISECONDS as f64 / 1_000.0;
    let windows = (all.div_ceil(quota) - 1) as f64;
    let t_min = (windows * 60.0 - phase + RESTART_SECONDS + 3.0 * latency).max(floors::unlimited(all, RESTART_SECONDS));
    let minutes = world.journal(by_minute);
    let (set, refused) = minutes.values().fold((0, 0), |sum, minute| (sum.0 + minute.0, sum.1 + minute.1));
    let mut report = Report::new("B6", all);
    report.setting("quota", quota as f64, "calls/min");
    report.here("makespan", makespan, "s");
    report.here("T_min", t_min, "s");
    report.ratio("makespan by T_min", makespan / t_min).goal(1.15);
    for (number, (set, refused)) in minutes.values().enumerate() {
        report.setting(&format!("passwords set in minute {}", number + 1), f64::from(*set), "calls");
        report.setting(&format!("throttled in minute {}", number + 1), f64::from(*refused), "calls");
    }
    let share = f64::from(refused) * 100.0 / f64::from(set + refused);
    report.count("throttled share of the calls", share, "%").goal(2.0);
    world::add_doubles(&mut report, &world);
    vec![report]
}

/// How many passwords were set, and how many calls were throttled, in each minute in which one was sent.
fn by_minute(journal: &Journal) -> BTreeMap<i64, (u32, u32)> {
    let mut minutes = BTreeMap::new();
    for call in journal.requests().filter(|call| call.action == MODIFY) {
        let (set, throttled): &mut (u32, u32) = minutes.entry(call.at.as_second() / 60).or_default();
        match &call.outcome {
            Outcome::Executed => *set += 1,
            Outcome::Refused(code) if code.starts_with("Throttling") => *throttled += 1,
            _ => {}
        }
    }
    minutes
}

/// B7: restarts with a heavy tail, and restarts of a second with the settings that most will run.
pub fn slots(_: &Options) -> Vec<Report> {
    let all = number_from("BENCH_INSTANCES", 100);
    let tail = restarts("B7-tail", &log_normal(all, 8.0, 0.6), Pace::TUNED);
    let plain = restarts("B7-plain", &vec![1.0; all], Pace::DEFAULT);
    vec![tail, plain]
}

fn restarts(name: &str, lengths: &[f64], pace: Pace) -> Report {
    const BEGINS_AFTER: f64 = 0.1;
    let ids: Vec<String> = (0..lengths.len()).map(|instance| world::id(0, instance)).collect();
    let instance = |(id, length): (&String, &f64)| Instance::running(id, REGION).rebooting(BEGINS_AFTER, *length);
    let instances = ids.iter().zip(lengths).map(instance).collect();
    let world = World::start(world::setup(instances, pace));
    world::prepare(&world, pace, true);
    let api = Api::new(&world);
    let before = Sample::take(&world, &api);
    api.create(&api::resets(), &world::reset("fleet", &ids, SLOTS));
    let done = world::wait_until_done(&world, ids.len(), 1);
    let after = Sample::take(&world, &api);
    let makespan = done.duration_since(before.at).as_secs_f64();
    let lengths: Vec<f64> = lengths.iter().map(|length| length + BEGINS_AFTER).collect();
    let floor = list_schedule(&lengths, SLOTS).max(floors::own_rate(ids.len(), lengths[0], pace.calls_per_second));
    let mut report = Report::new(name, ids.len());
    report.here("makespan", makespan, "s");
    report.here("list schedule, or the own rate if that is longer", floor, "s");
    report.ratio("makespan by that", makespan / floor);
    if name == "B7-tail" {
        report.goal(1.03);
    }
    report.count("most away at once", world.journal(Journal::max_away) as f64, "instances").goal(SLOTS as f64);
    let requests = after.requests.since(&before.requests);
    report.count("writes", requests.all_writes() / ids.len() as f64, "/instance");
    world::add_doubles(&mut report, &world);
    report
}

/// When the last of these ends if each begins as soon as one of the slots is free, in their order.
fn list_schedule(lengths: &[f64], slots: usize) -> f64 {
    let mut free: Vec<f64> = vec![0.0; slots];
    for length in lengths {
        let next = free.iter_mut().min_by(|a, b| a.total_cmp(b)).unwrap();
        *next += length;
    }
    free.into_iter().fold(0.0, f64::max)
}

/// Lengths with this median and spread, the same in each run: the quantiles, in a scattered order.
fn log_normal(count: usize, median: f64, sigma: f64) -> Vec<f64> {
    let mut state: u64 = 7;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as f64 + 0.5) / f64::from(1_u32 << 31)
    };
    let mut normal = || (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
    (0..count).map(|_| median * (sigma * normal()).exp()).collect()
}
