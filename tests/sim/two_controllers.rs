//! Two controllers at once. Without an election, since safety must not depend on one; and with it, as they are installed.

use crate::crash_matrix::{LIMIT, worlds};
use crate::dice::Dice;
use crate::pairs::steps;
use crate::plan::{Fault, Ms, Plan, RIGHT, STAGES, WrongClock};
use crate::run::simulate;
use crate::story::Story;
use crate::suite::{self, Case, Ends};

/// Longer than a Lease lasts; than anybody waits for an answer; than ECS takes a request's Timestamp, nearly and quite.
const PAUSES: [Ms; 4] = [20_000, 5 * 60_000, 30 * 60_000, 45 * 60_000];

fn two(name: &str, election: bool) -> Plan {
    let clocks = vec![RIGHT, WrongClock { ahead_seconds: -90, rate: 1.0 }];
    Plan { clocks, election, ..Plan::calm(Dice(1).draw(name)) }
}

/// The runs in which one of two controllers dies at every `step`-th of the requests that both of them make.
fn crashes(election: bool, step: usize) -> impl Iterator<Item = Case> {
    suite::origins(worlds(), 11).flat_map(move |(name, scenario)| {
        let two = two(&name, election);
        let requests = simulate(&scenario, two.clone(), Story::untold(), LIMIT).requests;
        requests.into_iter().step_by(step).flat_map(move |request| {
            let (name, scenario, two) = (name.clone(), scenario.clone(), two.clone());
            STAGES.map(move |stage| Case {
                name: format!("{name}, {} {stage:?}", request.key),
                scenario: scenario.clone(),
                plan: two.clone().with_crash(&request.key, stage),
                limit: LIMIT,
                must_end: true,
                ends: Ends::Any,
            })
        })
    })
}

/// The runs in which one of two controllers is stopped at a write of a record or a changing call, and goes on later.
fn pauses(election: bool) -> impl Iterator<Item = Case> {
    suite::origins(worlds(), 11).flat_map(move |(name, scenario)| {
        let two = two(&name, election);
        let report = simulate(&scenario, two.clone(), Story::untold(), LIMIT);
        steps(&report, None).into_iter().flat_map(move |request| {
            let (name, scenario, two) = (name.clone(), scenario.clone(), two.clone());
            PAUSES.map(move |pause| Case {
                name: format!("{name}, {} Pause({pause})", request.key),
                scenario: scenario.clone(),
                plan: two.clone().with_fault(&request.key, Fault::Pause(pause)),
                limit: LIMIT,
                must_end: true,
                ends: Ends::Any,
            })
        })
    })
}

#[test]
fn two_controllers_at_once_restart_nothing_twice() {
    suite::run("two controllers", 23, crashes(false, 7));
}

#[test]
fn two_electing_controllers_take_over_from_each_other() {
    suite::run("two controllers with an election", 83, crashes(true, 7));
}

#[test]
fn either_of_two_controllers_may_sleep_and_wake() {
    suite::run("two controllers, one stopped", 11, pauses(false));
    suite::run("two controllers with an election, one stopped", 17, pauses(true));
}
