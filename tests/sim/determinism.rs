//! A run is a function of its seed. Without that, no seed could be replayed, and no failure told.

use crate::crash_matrix::worlds;
use crate::plan::{Ms, Plan};
use crate::run::{Report, simulate};
use crate::seeds::{chosen, plan, seeds};
use crate::story::Story;
use crate::suite::{self, Size};
use crate::world::Asked;

const HALF_AN_HOUR: Ms = 30 * 60_000;
/// Everything that may be compared: what ECS saw, what was asked, when it ended.
fn essence(report: Report) -> (Vec<String>, Vec<Asked>, Ms) {
    (report.journal, report.requests, report.ended)
}

#[test]
fn the_same_seed_gives_the_same_run_twice() {
    let worlds: Vec<_> = worlds().collect();
    let step = if suite::size() == Size::Sample { 3 } else { 20 };
    for seed in seeds().step_by(step) {
        let (name, scenario) = chosen(&worlds, seed);
        // kube polls the passes that run at the same moment in the order of a hash map, and here the first takes the slot.
        if scenario.account_max_unavailable().is_some() {
            continue;
        }
        let plan = plan(seed, HALF_AN_HOUR / 2, false);
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
