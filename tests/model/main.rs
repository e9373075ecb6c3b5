//! A search through all states that the decisions of `src/decide` can come to: the real functions, between two processes,
//! two instances and an environment that crashes, loses, delays and meddles as often as each search allows.
//!
//! What is checked in every state is in [`invariants`]. A search that finds something prints `violated`, what, and the
//! shortest story that leads there. The small searches run with the ordinary tests; `make model` runs all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(
    clippy::struct_excessive_bools,
    clippy::option_option,
    clippy::needless_for_each,
    reason = "a state is what it is"
)]

mod actions;
mod canon;
mod claims;
mod controller;
mod ecs;
mod invariants;
mod moves;
mod people;
mod search;
mod setup;
mod steps;
mod story;
mod world;

use search::search;
use setup::Setup;
use world::Budget;

/// No trouble.
const NONE: Budget =
    Budget { crashes: 0, losses: 0, freezes: 0, handovers: 0, lags: 0, refusals: 0, outsiders: 0, edits: 0 };
/// More states than any search here has, but for those that say so.
const ALL: usize = 5_000_000;

/// Searches, reports in one line, and fails with the story of what it has found.
fn explore(setup: &Setup, limit: usize) {
    let report = search(setup, limit);
    println!("{}: {report}", setup.name);
    if let Some(story) = report.violation {
        panic!("{story}");
    }
}

/// The same for searches that have to come to their end.
fn exhaust(setups: impl IntoIterator<Item = Setup>) {
    for setup in setups {
        explore(&setup, ALL);
    }
}

/// What a search has to find, since what it depends on was taken away.
fn finds(what: &str, setup: &Setup) {
    let story = search(setup, ALL).violation.unwrap_or_default();
    assert!(story.starts_with(&format!("violated {what}")), "found: {story}");
}

#[test]
fn without_trouble_every_instance_ends_in_effect() {
    let setup = |name| Setup { may_be_unknown: false, ..Setup::new(name, NONE) };
    exhaust([
        setup("quiet"),
        setup("quiet, both at once").both_at_once(),
        setup("quiet, StartTime stands still").unmoved(),
    ]);
}

#[test]
fn one_instance_a_little_trouble() {
    exhaust([
        Setup::new("lost", Budget { losses: 1, refusals: 1, ..NONE }).alone(),
        Setup::new("crashed", Budget { crashes: 1, lags: 1, ..NONE }).alone(),
        Setup::new("handed over", Budget { handovers: 1, losses: 1, ..NONE }).alone(),
        Setup::new("late", Budget { losses: 1, lags: 1, ..NONE }).alone(),
        Setup::new("late, StartTime stands still", Budget { losses: 1, lags: 1, ..NONE }).alone().unmoved(),
        Setup::new("somebody else", Budget { outsiders: 1, lags: 1, ..NONE }).alone(),
        Setup::new("edited, with a slot to spare", Budget { edits: 1, losses: 1, ..NONE }).alone().both_at_once(),
        Setup::new("edited, 2 lost, StartTime stands still", Budget { edits: 1, losses: 2, ..NONE }).alone().unmoved(),
    ]);
}

#[test]
fn two_instances_a_little_trouble() {
    exhaust([
        Setup::new("2: lost", Budget { losses: 1, ..NONE }),
        Setup::new("2: handed over, edited", Budget { handovers: 1, edits: 1, ..NONE }),
    ]);
}

#[test]
fn what_the_protocol_rests_on_is_missed_when_it_is_gone() {
    let lost = Setup::new("lost", Budget { losses: 1, ..NONE }).alone();
    let late = Setup::new("late", Budget { losses: 1, lags: 1, ..NONE }).alone();
    let mut short = lost.clone();
    short.timing.request_validity /= 4;
    finds("I4", &short);
    let mut hasty = late.clone();
    hasty.timing.restart_settle /= 5;
    finds("rule 5", &hasty);
    let handover = Setup::new("handed over", Budget { handovers: 1, losses: 1, ..NONE }).alone();
    finds("I4", &Setup { compare_and_swap: false, ..handover });
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn one_instance_much_trouble() {
    exhaust([
        Setup::new("2 lost, late, somebody else", Budget { losses: 2, lags: 1, outsiders: 1, ..NONE }).alone(),
        Setup::new("2 lost, 2 late", Budget { losses: 2, lags: 2, ..NONE }).alone(),
        Setup::new("crash, handover, lost, late", Budget { crashes: 1, handovers: 1, losses: 1, lags: 1, ..NONE })
            .alone(),
        Setup::new("2 edits, lost", Budget { edits: 2, losses: 1, ..NONE }).alone(),
        Setup::new("stopped, lost, late", Budget { freezes: 1, losses: 1, lags: 1, ..NONE }).alone(),
    ]);
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn one_instance_whose_start_time_stands_still() {
    exhaust([
        Setup::new("lost, late, 2 by somebody else", Budget { losses: 1, lags: 1, outsiders: 2, ..NONE })
            .alone()
            .unmoved(),
        Setup::new("edit, lost, 2 by somebody else", Budget { edits: 1, losses: 1, outsiders: 2, ..NONE })
            .alone()
            .unmoved(),
    ]);
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn two_instances_two_processes() {
    let late = Budget { handovers: 2, losses: 1, lags: 1, ..NONE };
    let edited = Budget { handovers: 1, losses: 1, edits: 1, ..NONE };
    exhaust([
        Setup::new("2 handovers, lost, late", late),
        Setup::new("2 handovers, lost, edit", Budget { handovers: 2, ..edited }),
        Setup { gate: true, ..Setup::new("handover, lost, edit, behind the gate", edited) },
        Setup::new("crash, refusal, lost", Budget { crashes: 1, refusals: 1, losses: 1, ..NONE }),
    ]);
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn two_instances_and_somebody_else() {
    let meddled = Budget { losses: 1, outsiders: 1, ..NONE };
    exhaust([
        Setup::new("lost, somebody else", meddled),
        Setup::new("lost, somebody else, StartTime stands still", meddled).unmoved(),
    ]);
    let cut_off_at = 1_500_000;
    explore(&Setup::new("lost, 2 by somebody else", Budget { outsiders: 2, ..meddled }), cut_off_at);
    explore(
        &Setup::new("both at once: lost, late, somebody else", Budget { lags: 1, ..meddled }).both_at_once(),
        cut_off_at,
    );
}
