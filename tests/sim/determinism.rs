//! A run is a function of its seed. Without that, no seed could be replayed, and no failure told.

use crate::crash_matrix::{LIMIT, worlds};
use crate::dice::Dice;
use crate::plan::{Ms, Plan, RIGHT};
use crate::run::{Report, simulate};
use crate::story::Story;
use crate::weather::Weather;

/// Everything that may be compared: what ECS saw, what was asked, how it ended.
fn essence(report: Report) -> (Vec<String>, Vec<String>, Ms) {
    let requests = report.requests.into_iter().map(|(_, name)| name).collect();
    (report.journal, requests, report.ended)
}

#[test]
fn the_same_seed_gives_the_same_run_twice() {
    for (seed, (name, scenario)) in worlds().enumerate() {
        let seed = seed as u64;
        let weather = Some(Weather::of(Dice(seed), 10 * 60_000));
        let plan = Plan { weather, clocks: vec![RIGHT, RIGHT], ..Plan::calm(seed) };
        let run = || essence(simulate(&scenario, plan.clone(), Story::untold(), LIMIT));
        let (first, second) = (run(), run());
        assert_eq!(first.0, second.0, "{name}: ECS saw something else");
        assert_eq!(first, second, "{name}: the controller asked for something else");
        assert!(!first.0.is_empty(), "{name}: nothing happened, so nothing was compared");
    }
}

#[test]
fn another_seed_gives_another_run() {
    let (_, scenario) = worlds().next().unwrap();
    let run = |seed| essence(simulate(&scenario, Plan::calm(seed), Story::untold(), LIMIT));
    assert_ne!(run(1), run(2));
}
