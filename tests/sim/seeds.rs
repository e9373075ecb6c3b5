//! Everything at once, by chance. The seed decides the scenario, the world, how bad the weather is, and all that follows.
//!
//! `SEEDS=100000` makes so many runs of each kind; `SEED=4711` makes the two runs of that seed and tells their stories.

use crate::crash_matrix::worlds;
use crate::dice::Dice;
use crate::plan::{Ms, Plan};
use crate::scenario::{Do, Power, Scenario, When};
use crate::suite::{self, Case, Ends, Size};
use crate::weather::Weather;

const MINUTE: Ms = 60_000;

pub fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(if suite::size() == Size::Sample { 20 } else { 2_000 }),
    }
}

/// The scenario of a seed, in which outsiders may now and then do something to the instances.
pub fn chosen(worlds: &[(String, Scenario)], seed: u64) -> (String, Scenario) {
    let dice = Dice(seed).sub("people");
    let (name, mut scenario) = worlds[index(dice.draw("scenario"), worlds.len())].clone();
    for act in 0..dice.within("acts", 0..=3) {
        let dice = dice.sub(&format!("act {act}"));
        let power = [Power::Reboot, Power::Stop, Power::Start, Power::Off][index(dice.draw("what"), 4)];
        let instance_id = scenario.instances[index(dice.draw("to whom"), scenario.instances.len())].instance_id.clone();
        // Most often while something is being done, which takes a minute when nothing goes wrong.
        let within = if dice.happens("late", 300) { 40 * MINUTE } else { MINUTE };
        let at = dice.within("when", 0..=within);
        scenario.script.push((When::At(at), Do::Power(power, instance_id.clone())));
        // One that is stopped before it was Running for minReadySeconds holds its slot until somebody starts it.
        scenario.script.push((When::At(at + 45 * MINUTE), Do::Power(Power::Start, instance_id)));
    }
    (name, scenario)
}

fn index(number: u64, length: usize) -> usize {
    usize::try_from(number % length as u64).unwrap_or_default()
}

/// Faults never stop: nothing needs to end, and nothing may be done twice.
#[test]
fn whatever_happens_nothing_is_done_twice() {
    let worlds: Vec<_> = worlds().collect();
    let cases = seeds().map(|seed| {
        let (name, scenario) = chosen(&worlds, seed);
        let weather = Some(Weather::of(Dice(seed), Ms::MAX));
        let plan = Plan { weather, ..Plan::calm(seed) };
        Case {
            name: format!("seed {seed}, {name}"),
            scenario,
            plan,
            limit: 45 * MINUTE,
            must_end: false,
            ends: Ends::Any,
        }
    });
    suite::run_seeds("seeds, safety", cases);
}

/// Faults stop: everything comes to an end.
#[test]
fn once_faults_stop_everything_ends() {
    let worlds: Vec<_> = worlds().collect();
    let cases = seeds().map(|seed| {
        let (name, scenario) = chosen(&worlds, seed);
        let until = Dice(seed).within("until", MINUTE..=20 * MINUTE);
        // An event that was dropped without a word is missed for ever, unless somebody lists again.
        let plan = Plan { weather: Some(Weather::of(Dice(seed), until)), relist: Some(until), ..Plan::calm(seed) };
        Case {
            name: format!("seed {seed}, {name}"),
            scenario,
            plan,
            limit: until + 180 * MINUTE,
            must_end: true,
            ends: Ends::Any,
        }
    });
    suite::run_seeds("seeds, liveness", cases);
}
