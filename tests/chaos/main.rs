//! The controller's own binary on a real API server, killed, paused and cut off at every turn: whatever happens, no
//! instance is restarted twice, none is missed, and every object ends.
//!
//! With the feature `failpoints` it is killed at points that a clean run has passed; without it, at random times.
//! `CHAOS_POINTS` says how many points of each scenario are tried, `CHAOS_RUNS` how many runs are killed at random times,
//! `CHAOS_INSTANCES` how many instances lose an answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // helpers fail as tests do

#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "failpoints")]
mod many;
#[cfg(feature = "failpoints")]
mod points;
mod scenario;

use std::time::Duration;

use common::{Setup, World, eventually};
use scenario::{Run, Scenario};

/// V at ECS, in seconds. The controller takes it to be longer by the resolution of ECS's `Date`, twice.
const VALIDITY: u32 = 4;
const MARGIN: u32 = 2;

/// A world whose controllers take part in an election under these flags; without any, in none.
fn world(flags: &[&str]) -> World {
    World::without_controller(Setup {
        request_validity_seconds: VALIDITY,
        request_validity_margin_seconds: MARGIN,
        restart_settle_seconds: 1,
        leader_elect: !flags.is_empty(),
        flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        own_control_plane: true,
        ..Setup::default()
    })
}

fn number_from(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

#[allow(clippy::disallowed_methods, reason = "when a kill comes is what is random here")]
fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

#[test]
fn killed_at_random_times_it_restarts_each_instance_once() {
    let mut world = world(&[]);
    let mut unknown = 0;
    for number in 0..number_from("CHAOS_RUNS", 6) {
        let scenario = [Scenario::InTurn, Scenario::Mixed, Scenario::LostAnswer][number % 3];
        let run = Run::new(&world, scenario, number);
        run.apply();
        // Spread over the run, whose length is the machine's affair: a sequence without a pattern.
        let mut delay = 150 + (number as u64 * 619) % 1_700;
        let mut kills = 0;
        while !run.has_ended() && kills < 4 {
            let controller = world.spawn_controller(&[]);
            pause(delay);
            drop(controller);
            (delay, kills) = (delay + 700, kills + 1);
        }
        let controller = world.spawn_controller(&[]);
        run.wait_for_the_end();
        drop(controller);
        unknown += run.judge();
        run.clean_up();
    }
    println!("random kills: {unknown} instances ended Unknown");
    world.kill_controller();
}

#[test]
fn api_server_crash_in_mid_run_changes_no_end() {
    let world = world(&[]);
    let mut controller = world.spawn_controller(&[]);
    assert!(controller.ready_or_ended());
    let run = Run::new(&world, Scenario::InTurn, 0);
    run.apply();
    eventually("the first password is set", || (world.modifies("i-run0000a") > 0).then_some(()));
    world.crash_api_server();
    run.wait_for_the_end();
    assert!(controller.runs(), "it has waited for the API server");
    run.judge();
}
