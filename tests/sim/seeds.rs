//! Everything at once, by chance. The seed decides the scenario, the world, the controllers and their clocks, how bad the
//! weather is, and all that follows.
//!
//! `SEEDS=100000` makes so many runs of each kind; `SEED=4711` makes the two runs of that seed and tells their stories.

use std::time::Duration;

use crate::crash_matrix::worlds;
use crate::dice::Dice;
use crate::plan::{Ms, Plan, RIGHT, WrongClock};
use crate::scenario::{Do, Power, Scenario, When};
use crate::suite::{self, Case, Ends, Size};
use crate::weather::Weather;

const MINUTE: Ms = 60_000;
/// How late an accepted reboot may begin, less what a reading lags.
const REBOOT_BEGINS: Ms = 119_000;

pub fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(if suite::size() == Size::Sample { 10 } else { 2_000 }),
    }
}

/// The scenario of a seed, in which outsiders may now and then do something to the instances, or to the consent to their reset.
pub fn chosen(worlds: &[(String, Scenario)], seed: u64) -> (String, Scenario) {
    let dice = Dice(seed).sub("people");
    let (name, mut scenario) = worlds[index(dice.draw("scenario"), worlds.len())].clone();
    // M bounds the sum of how late a reboot begins and of how much a reading lags.
    let lag = if Weather::of(Dice(seed), 0).stale { Weather::LAG } else { 0 };
    let latest = REBOOT_BEGINS - lag;
    let late = dice.happens("begins late", 300).then(|| seconds(dice.within("begins", 1_000..=latest)));
    for instance in &mut scenario.instances {
        let begins = &mut instance.reboot_begins_after_seconds;
        *begins = late.unwrap_or(*begins).min(seconds(latest));
    }
    // It gives each instance the tag, and here the tag also selects.
    if dice.happens("guarded", 200) && !scenario.has_selector() {
        scenario = scenario.guarded();
    }
    for act in 0..dice.within("acts", 0..=3) {
        let dice = dice.sub(&format!("act {act}"));
        let instance_id = scenario.instances[index(dice.draw("to whom"), scenario.instances.len())].instance_id.clone();
        // Most often while something is being done, which takes a minute when nothing goes wrong.
        let within = if dice.happens("late", 300) { 40 * MINUTE } else { MINUTE };
        let at = dice.within("when", 0..=within);
        let (first, second) = if scenario.is_guarded() && dice.happens("consent", 500) {
            (Do::Tag(instance_id.clone(), false), Do::Tag(instance_id, true))
        } else {
            let power = [Power::Reboot, Power::Stop, Power::Start, Power::Off][index(dice.draw("what"), 4)];
            (Do::Power(power, instance_id.clone()), Do::Power(Power::Start, instance_id))
        };
        scenario.script.push((When::At(at), first));
        scenario.script.push((When::At(at + 45 * MINUTE), second));
    }
    let dice = dice.sub("release");
    if dice.happens("release", 150) {
        let instance_id = scenario.instances[index(dice.draw("which"), scenario.instances.len())].instance_id.clone();
        let within = if dice.happens("late", 300) { 40 * MINUTE } else { MINUTE };
        scenario.script.push((When::At(dice.within("when", 0..=within)), Do::Release(instance_id)));
    }
    (name, scenario)
}

/// What goes wrong in the run of a seed, until a moment: the weather, how many controllers there are, whether they elect a
/// leader, and how wrong the clocks of their machines are.
pub fn plan(seed: u64, until: Ms, must_end: bool) -> Plan {
    let dice = Dice(seed).sub("machines");
    let machines = if dice.happens("two", 400) { 2 } else { 1 };
    let clocks = (0..machines).map(|machine| clock(dice.sub(&format!("clock {machine}"))));
    // A clock that is worse than what is put up with starts nothing, and nothing ends.
    let puts_up = must_end || dice.happens("puts up with any clock", 500);
    let skew_limit = if puts_up { Duration::from_hours(24) } else { Duration::from_mins(5) };
    let weather = Some(Weather::of(Dice(seed), until));
    Plan { weather, clocks: clocks.collect(), election: dice.happens("election", 300), skew_limit, ..Plan::calm(seed) }
}

fn clock(dice: Dice) -> WrongClock {
    if dice.happens("right", 500) {
        return RIGHT;
    }
    let ahead_seconds = i64::try_from(dice.within("ahead", 0..=2_400)).unwrap() - 1_200;
    WrongClock { ahead_seconds, rate: [0.5, 1.0, 1.0, 2.0][index(dice.draw("rate"), 4)] }
}

fn seconds(milliseconds: Ms) -> f64 {
    Duration::from_millis(milliseconds).as_secs_f64()
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
        let plan = plan(seed, Ms::MAX, false);
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
        // An event that was dropped without a word is missed for ever, unless a client lists again.
        let plan = Plan { relist: Some(until), ..plan(seed, until, true) };
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
