//! A run is a function of its seed. Without that, no seed could be replayed, and no failure told.

use crate::crash_matrix::worlds;
use crate::dice::Dice;
use crate::plan::{Ms, Plan, RIGHT};
use crate::run::{Report, simulate};
use crate::seeds::{chosen, seeds};
use crate::story::Story;
use crate::weather::Weather;
use crate::world::Asked;

const HALF_AN_HOUR: Ms = 30 * 60_000;
/// One seed of so many is looked at.
const STEP: usize = 20;

/// Everything that may be compared: what ECS saw, what was asked, when it ended.
fn essence(report: Report) -> (Vec<String>, Vec<Asked>, Ms) {
    (report.journal, report.requests, report.ended)
}

#[test]
fn the_same_seed_gives_the_same_run_twice() {
    let worlds: Vec<_> = worlds().collect();
    for seed in seeds().step_by(STEP) {
        let (name, scenario) = chosen(&worlds, seed);
        let weather = Some(Weather::of(Dice(seed), HALF_AN_HOUR / 2));
        let plan = Plan { weather, clocks: vec![RIGHT, RIGHT], ..Plan::calm(seed) };
        let run = || essence(simulate(&scenario, plan.clone(), Story::untold(), HALF_AN_HOUR));
        let (first, second) = (run(), run());
        assert_eq!(first.0, second.0, "seed {seed}, {name}: ECS saw something else");
        assert_eq!(first, second, "seed {seed}, {name}: the controller asked for something else");
        assert!(!first.0.is_empty(), "seed {seed}, {name}: nothing happened, so nothing was compared");
    }
}

#[test]
fn another_seed_gives_another_run() {
    let (_, scenario) = worlds().next().unwrap();
    let run = |seed| essence(simulate(&scenario, Plan::calm(seed), Story::untold(), HALF_AN_HOUR));
    assert_ne!(run(1), run(2));
}
