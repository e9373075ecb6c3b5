//! Two controllers at once, without an election: safety must not depend on one.

use crate::crash_matrix::{LIMIT, calm, worlds};
use crate::dice::Dice;
use crate::plan::{Plan, RIGHT, STAGES, WrongClock};
use crate::suite::{self, Case};

const SEED: u64 = 1;
/// A crash at every so many requests.
const STEP: usize = 7;

#[test]
fn two_controllers_at_once_restart_nothing_twice() {
    let cases = worlds().flat_map(|(name, scenario)| {
        calm(&scenario).requests.into_iter().step_by(STEP).flat_map(move |request| {
            let (name, scenario) = (name.clone(), scenario.clone());
            STAGES.map(move |stage| Case {
                name: format!("two controllers, {name}, {} {stage:?}", request.key),
                scenario: scenario.clone(),
                plan: Plan {
                    clocks: vec![RIGHT, WrongClock { ahead_seconds: -90, rate: 1.0 }],
                    ..Plan::calm(Dice(SEED).draw(&name)).with_crash(&request.key, stage)
                },
                limit: LIMIT,
                must_end: true,
            })
        })
    });
    suite::run("two controllers", cases);
}
