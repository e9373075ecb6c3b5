//! Everything at once, by chance. The seed decides the scenario, the world, how bad the weather is, and all that follows.
//!
//! `SEEDS=100000` makes so many runs of each kind; `SEED=4711` makes the two runs of that seed and tells their stories.

use crate::crash_matrix::worlds;
use crate::dice::Dice;
use crate::plan::{Ms, Plan};
use crate::scenario::Scenario;
use crate::suite::{self, Case, Size};
use crate::weather::Weather;

const MINUTE: Ms = 60_000;

pub fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(if suite::size() == Size::Sample { 20 } else { 2_000 }),
    }
}

pub fn chosen(worlds: &[(String, Scenario)], seed: u64) -> (String, Scenario) {
    let index = usize::try_from(Dice(seed).draw("scenario")).unwrap_or_default() % worlds.len();
    worlds[index].clone()
}

/// Faults never stop: nothing needs to end, and nothing may be done twice.
#[test]
fn whatever_happens_nothing_is_done_twice() {
    let worlds: Vec<_> = worlds().collect();
    let cases = seeds().map(|seed| {
        let (name, scenario) = chosen(&worlds, seed);
        let weather = Some(Weather::of(Dice(seed), Ms::MAX));
        let plan = Plan { weather, ..Plan::calm(seed) };
        Case { name: format!("safety, seed {seed}, {name}"), scenario, plan, limit: 45 * MINUTE, must_end: false }
    });
    suite::run_all("seeds, safety", cases);
}

/// Faults stop: everything comes to an end.
#[test]
fn once_faults_stop_everything_ends() {
    let worlds: Vec<_> = worlds().collect();
    let cases = seeds().map(|seed| {
        let (name, scenario) = chosen(&worlds, seed);
        let until = Dice(seed).within("until", MINUTE..=20 * MINUTE);
        let plan = Plan { weather: Some(Weather::of(Dice(seed), until)), ..Plan::calm(seed) };
        Case {
            name: format!("liveness, seed {seed}, {name}"),
            scenario,
            plan,
            limit: until + 180 * MINUTE,
            must_end: true,
        }
    });
    suite::run_all("seeds, liveness", cases);
}
