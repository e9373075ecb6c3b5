//! A search through all states that the decisions of `src/decide` can come to: the real functions, between two processes,
//! two instances and an environment that crashes, loses, delays and meddles as often as each search allows.
//!
//! The checks of every state are in [`invariants`]. A search that finds something prints `violated`, what, and the
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

use ecs_password_reset::api::Reason;

use ecs::Status::{Running, Stopped};
use search::{Report, search};
use setup::Setup;
use world::Budget;

/// No trouble.
const NONE: Budget = Budget {
    crashes: 0,
    losses: 0,
    freezes: 0,
    handovers: 0,
    lags: 0,
    refusals: 0,
    outsiders: 0,
    edits: 0,
    rivals: 0,
    bans: 0,
    restores: 0,
    releases: 0,
    hides: 0,
    holds: 0,
};
/// More states than any search here has, but for those that say so.
const ALL: usize = 5_000_000;
/// Why a claim may end Unknown: a restart of which nothing was heard, one that does not finish, a password likewise.
const RESTART: &str = Reason::RestartOutcomeUnknown.as_str();
const STUCK: &str = Reason::RestartStuck.as_str();
const PASSWORD: &str = Reason::PasswordOutcomeUnknown.as_str();
const MEMORY: &str = Reason::MemoryLost.as_str();
const ANY: &[&str] = &[PASSWORD, RESTART, STUCK];

/// Searches, reports in one line, and fails with the story of what it has found, or if it has not come to what it is for.
fn explore(setup: &Setup, limit: usize) -> Report {
    let mut report = search(setup, limit);
    println!("{}: {report}", setup.name);
    if let Some(story) = report.violation.take() {
        panic!("{story}");
    }
    let missed: Vec<_> = setup.must_reach().into_iter().filter(|phase| !report.reached.contains(phase)).collect();
    assert!(missed.is_empty(), "{}: never comes to {missed:?}", setup.name);
    let unknown: Vec<_> = setup.unknown.iter().filter(|reason| !report.unknown.contains(**reason)).collect();
    assert!(unknown.is_empty(), "{}: never ends Unknown for {unknown:?}", setup.name);
    report
}

/// The same for searches that have to come to their end.
fn exhaust(setups: impl IntoIterator<Item = Setup>) {
    for setup in setups {
        let report = explore(&setup, ALL);
        assert!(report.exhausted, "{}: cut off, so something may be in the rest", setup.name);
    }
}

/// The same for those that have too many states and are ended.
fn cut_off(setup: &Setup, limit: usize) {
    let report = explore(setup, limit);
    assert!(!report.exhausted, "{}: comes to its end, so it has to", setup.name);
}

/// What a search has to find, since what it depends on was taken away.
fn finds(what: &str, setup: &Setup) {
    let story = search(setup, ALL).violation.unwrap_or_default();
    assert!(story.starts_with(&format!("violated {what}")), "found: {story}");
}

#[test]
fn without_trouble_every_instance_ends_in_effect() {
    let setup = |name| Setup::new(name, NONE);
    exhaust([
        setup("quiet"),
        setup("quiet, both at once").both_at_once(),
        setup("quiet, StartTime stands still").unmoved(),
    ]);
}

#[test]
fn one_instance_a_little_trouble() {
    exhaust([
        Setup::new("lost", Budget { losses: 1, refusals: 1, ..NONE }).alone().unknown(&[PASSWORD]),
        Setup::new("crashed", Budget { crashes: 1, lags: 1, ..NONE }).alone().unknown(&[RESTART, STUCK]),
        Setup::new("handed over", Budget { handovers: 1, losses: 1, ..NONE }).alone(),
        Setup::new("late", Budget { losses: 1, lags: 1, ..NONE }).alone().unknown(&[RESTART, STUCK]),
        Setup::new("late, StartTime stands still", Budget { losses: 1, lags: 1, ..NONE })
            .alone()
            .unmoved()
            .unknown(&[RESTART, STUCK]),
        Setup::new("somebody else", Budget { outsiders: 1, lags: 1, ..NONE }).alone().unknown(&[STUCK]),
        Setup::new("2 by somebody else, late", Budget { outsiders: 2, lags: 1, ..NONE })
            .alone()
            .unmoved()
            .unknown(&[STUCK]),
        Setup::new("edited, with a slot to spare", Budget { edits: 1, losses: 1, ..NONE })
            .alone()
            .both_at_once()
            .unknown(&[PASSWORD]),
        Setup::new("edited, 2 lost, StartTime stands still", Budget { edits: 1, losses: 2, ..NONE })
            .alone()
            .unmoved()
            .unknown(&[PASSWORD, RESTART]),
    ]);
}

#[test]
fn a_record_that_is_restored_without_its_status() {
    exhaust([
        Setup::new("restored", Budget { restores: 1, ..NONE }).alone().unknown(&[MEMORY]),
        Setup::new("restored, lost", Budget { restores: 1, losses: 1, ..NONE }).alone().unknown(&[MEMORY]),
        Setup::new("restored, edited", Budget { restores: 1, edits: 1, ..NONE }).alone().unknown(&[MEMORY]),
        Setup::new("2: restored", Budget { restores: 1, ..NONE }).unknown(&[MEMORY]),
    ]);
}

#[test]
fn a_record_or_a_status_that_is_restored_older() {
    exhaust([Setup::new("older", Budget { restores: 1, ..NONE }).alone().backed_up().unknown(&[MEMORY])]);
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn a_record_or_a_status_restored_older_after_an_edit() {
    let edited = Budget { restores: 1, edits: 1, ..NONE };
    exhaust([Setup::new("older, edited", edited).alone().backed_up().unknown(&[MEMORY, PASSWORD])]);
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn a_record_or_a_status_restored_older_in_trouble() {
    let setup = |name, trouble| Setup::new(name, trouble).alone().backed_up().unknown(&[MEMORY]);
    exhaust([
        setup("older, lost", Budget { restores: 1, losses: 1, ..NONE }),
        setup("older, crash", Budget { restores: 1, crashes: 1, ..NONE }),
        setup("still: older, lost", Budget { restores: 1, losses: 1, ..NONE })
            .unmoved()
            .unknown(&[MEMORY, RESTART, STUCK]),
        Setup::new("2: older", Budget { restores: 1, ..NONE }).backed_up().unknown(&[MEMORY]),
    ]);
}

#[test]
fn a_run_has_one_password() {
    exhaust([
        Setup::new("2: edited, with a status", Budget { edits: 1, ..NONE }).backed_up(),
        Setup::new("2: edited, both at once, with a status", Budget { edits: 1, ..NONE }).both_at_once().backed_up(),
    ]);
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn a_record_that_is_restored_in_trouble() {
    let setup = |name, trouble| Setup::new(name, trouble).alone().unknown(&[MEMORY]);
    let late = Budget { restores: 1, losses: 1, lags: 1, ..NONE };
    exhaust([
        setup("restored, lost, late", late).unknown(&[MEMORY, RESTART, STUCK]),
        setup("restored, crash, handover, lost", Budget { restores: 1, crashes: 1, handovers: 1, losses: 1, ..NONE }),
        setup("restored 2x, edited, lost", Budget { restores: 2, edits: 1, losses: 1, ..NONE })
            .unknown(&[MEMORY, PASSWORD]),
        setup("restored, a rival 2x, lost", Budget { restores: 1, rivals: 2, losses: 1, ..NONE }),
    ]);
}

#[test]
fn changed_secret_ends_on_every_instance() {
    exhaust([
        Setup::new("changed", Budget { edits: 1, ..NONE }).alone().on_change(),
        Setup::new("changed, 2 edits", Budget { edits: 2, ..NONE }).alone().on_change(),
        Setup::new("changed, lost", Budget { edits: 1, losses: 1, ..NONE }).alone().on_change().unknown(&[PASSWORD]),
        Setup::new("2: changed", Budget { edits: 1, ..NONE }).on_change(),
    ]);
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn a_secret_changed_in_trouble() {
    let setup = |name, trouble| Setup::new(name, trouble).alone().on_change();
    exhaust([
        setup("changed, lost, late", Budget { edits: 1, losses: 1, lags: 1, ..NONE }).unknown(ANY),
        setup("changed, crash, lost", Budget { edits: 1, crashes: 1, losses: 1, ..NONE }).unknown(&[PASSWORD]),
        setup("changed, handover, lost", Budget { edits: 1, handovers: 1, losses: 1, ..NONE }).unknown(&[PASSWORD]),
        setup("changed, 2 edits, lost", Budget { edits: 2, losses: 1, ..NONE }).unknown(&[PASSWORD]),
        setup("still: changed, lost, late", Budget { edits: 1, losses: 1, lags: 1, ..NONE }).unmoved().unknown(ANY),
        Setup::new("2: changed, both at once, lost", Budget { edits: 1, losses: 1, ..NONE })
            .on_change()
            .both_at_once()
            .unknown(&[PASSWORD]),
    ]);
}

#[test]
fn held_back_instance_goes_on_once_it_is_released() {
    exhaust([
        Setup::new("held", Budget { holds: 1, ..NONE }).alone(),
        Setup::new("2: held", Budget { holds: 1, ..NONE }),
        Setup::new("held, lost", Budget { holds: 1, losses: 1, ..NONE }).alone(),
    ]);
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn held_back_instance_in_trouble() {
    let setup = |name, trouble| Setup::new(name, trouble).alone();
    exhaust([
        setup("held, lost, late", Budget { holds: 1, losses: 1, lags: 1, ..NONE }).unknown(&[RESTART, STUCK]),
        // Each attempt that a hold kept from being sent counts: the third one is the last.
        setup("held 2x, lost, crash", Budget { holds: 2, losses: 1, crashes: 1, ..NONE }).unknown(&[RESTART]),
        setup("held, lost, handover", Budget { holds: 1, losses: 1, handovers: 1, ..NONE }),
        setup("held, stopped", Budget { holds: 1, freezes: 1, ..NONE }).unknown(&[PASSWORD]),
        setup("held, refusal, somebody else", Budget { holds: 1, refusals: 1, outsiders: 1, ..NONE }),
        Setup::new("2: held, lost", Budget { holds: 1, losses: 1, ..NONE }),
        setup("still: held, lost", Budget { holds: 1, losses: 1, ..NONE }).unmoved().unknown(&[RESTART]),
    ]);
}

#[test]
fn an_account_with_one_slot() {
    exhaust([
        Setup::new("account: quiet", NONE).one_of_account(),
        Setup::new("account: lost", Budget { losses: 1, ..NONE }).one_of_account(),
    ]);
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn an_account_with_one_slot_in_trouble() {
    let setup = |name, trouble| Setup::new(name, trouble).one_of_account();
    let lost = Budget { rivals: 3, losses: 1, ..NONE };
    exhaust([
        setup("account: handed over, lost", Budget { handovers: 1, losses: 1, ..NONE }),
        setup("account: crash, lost", Budget { crashes: 1, losses: 1, ..NONE }),
        setup("account: released", Budget { releases: 1, ..NONE }),
        setup("account: hidden", Budget { hides: 1, ..NONE }).unknown(&[STUCK]),
        Setup { gate: true, ..setup("account: a rival 3x, lost, behind the gate", lost).unknown(&[RESTART]) },
    ]);
}

#[test]
fn two_instances_a_little_trouble() {
    exhaust([
        Setup::new("2: lost", Budget { losses: 1, ..NONE }),
        Setup::new("2: handed over, edited", Budget { handovers: 1, edits: 1, ..NONE }).unknown(&[PASSWORD]),
    ]);
}

#[test]
fn what_the_protocol_rests_on_is_missed_when_it_is_gone() {
    let lost = Setup::new("lost", Budget { losses: 1, ..NONE }).alone();
    let late = Setup::new("late", Budget { losses: 1, lags: 1, ..NONE }).alone();
    let mut short = lost.clone();
    short.bounds.request_validity /= 4;
    finds("I4", &short);
    let mut hasty = late.clone();
    hasty.bounds.restart_settle /= 5;
    finds("rule 5", &hasty);
    let handover = Setup::new("handed over", Budget { handovers: 1, losses: 1, ..NONE }).alone();
    finds("I4", &Setup { compare_and_swap: false, ..handover });
    let stopped = Setup::new("stopped", Budget { freezes: 1, ..NONE }).alone();
    finds("I3", &Setup { consent_before_send: false, ..stopped });
    let held = Setup::new("held", Budget { holds: 1, ..NONE }).alone();
    finds("I10", &Setup { consent_before_send: false, ..held });
    let forbidden = Setup::new("forbidden", Budget { bans: 1, ..NONE }).alone();
    finds("I5", &Setup { consent_before_send: false, ..forbidden });
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn a_region_that_is_not_learnt_yet() {
    let setup = |name, trouble| Setup::new(name, trouble).unlearnt();
    let meddled = Budget { losses: 1, lags: 1, outsiders: 1, ..NONE };
    exhaust([
        setup("not learnt: lost, late", Budget { losses: 1, lags: 1, ..NONE }).alone().unknown(&[RESTART, STUCK]),
        setup("not learnt: crash, lost", Budget { crashes: 1, losses: 1, ..NONE }).alone().unknown(&[RESTART]),
        setup("not learnt: lost, late, somebody else", meddled).alone().unknown(ANY),
        setup("not learnt: 2, lost", Budget { losses: 1, ..NONE }).unknown(&[RESTART]),
    ]);
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn processes_in_trouble_where_start_time_does_not_move() {
    let setup = |name, trouble| Setup::new(name, trouble).alone().unmoved().unknown(&[RESTART, STUCK]);
    let stopped = Budget { freezes: 1, losses: 1, lags: 1, ..NONE };
    let refused = Budget { refusals: 1, losses: 1, lags: 1, outsiders: 1, ..NONE };
    let two = Budget { handovers: 1, losses: 1, refusals: 1, ..NONE };
    exhaust([
        setup("still: crash, lost, late", Budget { crashes: 1, losses: 1, lags: 1, ..NONE }),
        setup("still: 2 crashes, handover, lost", Budget { crashes: 2, handovers: 1, losses: 1, ..NONE })
            .unknown(&[RESTART]),
        setup("still: handover, lost, late", Budget { handovers: 1, losses: 1, lags: 1, ..NONE }),
        setup("still: stopped, lost, late", stopped).unknown(ANY),
        setup("still: refusal, lost, late, somebody else", refused).unknown(ANY),
        Setup::new("still: 2, handover, lost, refusal", two).unmoved().unknown(&[PASSWORD, RESTART]),
    ]);
}

#[test]
fn two_processes_at_once() {
    exhaust([
        Setup::new("a rival", Budget { rivals: 2, ..NONE }).alone(),
        Setup::new("a rival, lost", Budget { rivals: 1, losses: 1, ..NONE }).alone(),
    ]);
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn two_processes_at_once_in_trouble() {
    let setup = |name, trouble| Setup::new(name, trouble).alone();
    let lost = Budget { rivals: 3, losses: 1, ..NONE };
    exhaust([
        setup("a rival 3x, lost, late", Budget { lags: 1, ..lost }).unknown(&[RESTART, STUCK]),
        setup("a rival 3x, lost, crash", Budget { crashes: 1, ..lost }),
        setup("a rival 3x, lost, edit", Budget { edits: 1, ..lost }).unknown(&[PASSWORD]),
        setup("still: a rival 3x, 2 lost", Budget { losses: 2, ..lost }).unmoved().unknown(&[RESTART]),
        Setup::new("2: a rival 3x, lost", lost),
        Setup::new("2: a rival 3x, lost, both at once", lost).both_at_once(),
        Setup { gate: true, ..Setup::new("2: a rival 3x, lost, behind the gate", lost).unknown(&[RESTART]) },
    ]);
}

#[test]
fn the_permission_is_taken_away() {
    exhaust([
        Setup::new("forbidden", Budget { bans: 1, ..NONE }).alone(),
        Setup::new("forbidden, lost", Budget { bans: 1, losses: 1, ..NONE }).alone().unknown(&[PASSWORD, RESTART]),
    ]);
}

#[test]
fn an_instance_is_released_or_hidden() {
    let released = Budget { releases: 1, ..NONE };
    let hidden = Budget { hides: 1, ..NONE };
    exhaust([
        Setup::new("released", released).alone(),
        Setup::new("2: released", released),
        Setup::new("released, lost", Budget { losses: 1, ..released }).alone(),
        Setup::new("released, late", Budget { lags: 1, ..released }).alone().unknown(&[STUCK]),
        Setup::new("hidden", hidden).alone().unknown(&[STUCK]),
        Setup::new("2: hidden", hidden).unknown(&[STUCK]),
    ]);
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn an_instance_is_released_or_hidden_in_trouble() {
    let both = Budget { releases: 1, hides: 1, ..NONE };
    exhaust([
        Setup::new("hidden, late", Budget { hides: 1, lags: 1, ..NONE }).alone().unknown(&[STUCK]),
        Setup::new("released, hidden", both).alone().unknown(&[STUCK]),
        Setup::new("released, hidden, lost", Budget { losses: 1, ..both }).alone().unknown(ANY),
        Setup::new("hidden, lost, late", Budget { hides: 1, losses: 1, lags: 1, ..NONE }).alone().unknown(ANY),
        Setup::new("released, lost, edit", Budget { releases: 1, losses: 1, edits: 1, ..NONE })
            .alone()
            .unknown(&[PASSWORD]),
        Setup::new("still: released, lost, crash", Budget { releases: 1, losses: 1, crashes: 1, ..NONE })
            .alone()
            .unmoved()
            .unknown(&[RESTART]),
        Setup::new("2: released, hidden", both).unknown(&[STUCK]),
        Setup::new("2: released, lost", Budget { releases: 1, losses: 1, ..NONE }),
        Setup::new("2: stopped, released, handover", Budget { releases: 1, outsiders: 1, handovers: 1, ..NONE }),
    ]);
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn the_permission_is_taken_away_in_trouble() {
    let setup = |name, trouble| Setup::new(name, trouble).alone();
    let handed_over = Budget { bans: 1, handovers: 1, losses: 1, ..NONE };
    exhaust([
        setup("forbidden, lost, late", Budget { bans: 1, losses: 1, lags: 1, ..NONE }).unknown(ANY),
        setup("forbidden, stopped", Budget { bans: 1, freezes: 1, ..NONE }).unknown(&[PASSWORD, RESTART]),
        setup("forbidden, handover, lost", handed_over).unknown(&[PASSWORD, RESTART]),
        Setup::new("2: forbidden", Budget { bans: 1, ..NONE }),
    ]);
}

#[test]
fn an_instance_that_is_stopped_at_the_beginning() {
    exhaust([
        Setup::new("begins Stopped", NONE).alone().beginning([Stopped, Stopped]),
        Setup::new("begins Stopped: lost, somebody else", Budget { losses: 1, outsiders: 1, ..NONE })
            .alone()
            .beginning([Stopped, Stopped]),
        Setup::new("begins Running and Stopped", Budget { refusals: 1, ..NONE }).beginning([Running, Stopped]),
    ]);
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn an_instance_that_is_stopped_at_the_beginning_in_trouble() {
    let trouble = Budget { losses: 1, lags: 1, outsiders: 2, ..NONE };
    let setup = |name| Setup::new(name, trouble).alone().beginning([Stopped, Stopped]).unknown(ANY);
    exhaust([
        setup("begins Stopped: lost, late, 2 by somebody else"),
        setup("still, begins Stopped: lost, late, 2 by somebody else").unmoved(),
    ]);
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn one_instance_much_trouble() {
    let setup = |name, trouble| Setup::new(name, trouble).alone();
    let died = Budget { crashes: 1, handovers: 1, losses: 1, lags: 1, ..NONE };
    exhaust([
        setup("2 lost, late, somebody else", Budget { losses: 2, lags: 1, outsiders: 1, ..NONE }).unknown(ANY),
        setup("2 lost, 2 late", Budget { losses: 2, lags: 2, ..NONE }).unknown(&[RESTART, STUCK]),
        setup("crash, handover, lost, late", died).unknown(&[RESTART, STUCK]),
        setup("2 edits, lost", Budget { edits: 2, losses: 1, ..NONE }).unknown(&[PASSWORD]),
        setup("stopped, lost, late", Budget { freezes: 1, losses: 1, lags: 1, ..NONE }).unknown(ANY),
    ]);
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn one_instance_whose_start_time_does_not_move() {
    let setup = |name, trouble| Setup::new(name, trouble).alone().unmoved().unknown(ANY);
    exhaust([
        setup("lost, late, 2 by somebody else", Budget { losses: 1, lags: 1, outsiders: 2, ..NONE }),
        setup("edit, lost, 2 by somebody else", Budget { edits: 1, losses: 1, outsiders: 2, ..NONE }),
    ]);
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn two_instances_two_processes() {
    let late = Budget { handovers: 2, losses: 1, lags: 1, ..NONE };
    let edited = Budget { handovers: 1, losses: 1, edits: 1, ..NONE };
    exhaust([
        Setup::new("2 handovers, lost, late", late).unknown(&[RESTART, STUCK]),
        Setup::new("2 handovers, lost, edit", Budget { handovers: 2, ..edited }).unknown(&[PASSWORD]),
        Setup { gate: true, ..Setup::new("handover, lost, edit, behind the gate", edited).unknown(&[PASSWORD]) },
        Setup::new("crash, refusal, lost", Budget { crashes: 1, refusals: 1, losses: 1, ..NONE })
            .unknown(&[PASSWORD, RESTART]),
    ]);
}

#[test]
#[ignore = "minutes: run by `make model`"]
fn two_instances_and_another_actor() {
    let meddled = Budget { losses: 1, outsiders: 1, ..NONE };
    exhaust([
        Setup::new("lost, somebody else", meddled),
        Setup::new("lost, somebody else, StartTime stands still", meddled).unmoved().unknown(&[RESTART, STUCK]),
    ]);
    let limit = 1_500_000;
    cut_off(&Setup::new("lost, 2 by somebody else", Budget { outsiders: 2, ..meddled }).unknown(&[STUCK]), limit);
    let late = Setup::new("both at once: lost, late, somebody else", Budget { lags: 1, ..meddled });
    cut_off(&late.both_at_once().unknown(ANY), limit);
}
