//! Machines whose clocks are wrong: by up to 20 minutes, running at half or twice the speed; and dying on top of it.

use std::time::Duration;

use crate::crash_matrix::{LIMIT, calm, worlds};
use crate::plan::{Ms, Plan, Stage, WrongClock};
use crate::suite::{self, Case, Ends};

const SEED: u64 = 1;
const HALF_AN_HOUR: Ms = 30 * 60_000;
/// A crash at every so many requests.
const STEP: usize = 5;

fn cases(clocks: &'static [WrongClock], skew_limit: Duration, must_end: bool) -> impl Iterator<Item = Case> {
    suite::origins(worlds(), 5).flat_map(move |(name, scenario)| {
        calm(&scenario).requests.into_iter().step_by(STEP).flat_map(move |request| {
            let (name, scenario) = (name.clone(), scenario.clone());
            clocks.iter().map(move |clock| Case {
                name: format!("{name}, {} s, x{}, crash at {}", clock.ahead_seconds, clock.rate, request.key),
                scenario: scenario.clone(),
                plan: Plan {
                    clocks: vec![*clock],
                    skew_limit,
                    ..Plan::calm(SEED).with_crash(&request.key, Stage::Answered)
                },
                limit: if must_end { LIMIT } else { HALF_AN_HOUR },
                must_end,
                ends: Ends::Any,
            })
        })
    })
}

const fn clock(ahead_seconds: i64, rate: f64) -> WrongClock {
    WrongClock { ahead_seconds, rate }
}

/// The controller goes by ECS's clock, so its own may be wrong by as much as its settings allow.
#[test]
fn a_wrong_clock_that_is_put_up_with_changes_nothing() {
    const CLOCKS: &[WrongClock] =
        &[clock(1_200, 1.0), clock(-1_200, 1.0), clock(600, 0.5), clock(-600, 2.0), clock(0, 2.0)];
    suite::run("wrong clocks", 13, cases(CLOCKS, Duration::from_hours(24), true));
}

/// With the default it starts nothing once it sees how wrong its clock is; what has begun is safe.
#[test]
fn a_clock_that_is_too_wrong_does_no_harm() {
    const CLOCKS: &[WrongClock] = &[clock(1_200, 1.0), clock(-1_200, 1.0), clock(0, 0.5), clock(0, 2.0)];
    suite::run("clocks too wrong", 13, cases(CLOCKS, Duration::from_mins(5), false));
}
