//! Restores from a backup at every write of a run without faults: records and objects that come back without their status, older
//! than they were, or not at all. Nobody asks for anything after that, so nothing may be restarted that was restarted before.
//!
//! Both memories at once lost or put back to an older version are not here: nothing is left then that knows better.

use serde_json::json;

use crate::crash_matrix::{LIMIT, calm, worlds_of};
use crate::plan::{Class, Plan, Stage};
use crate::run::simulate;
use crate::scenario::Backup::{Bare, Gone, Older, Untouched};
use crate::scenario::{Backup, Do, Scenario, When, reset};
use crate::scenarios;
use crate::story::Story;
use crate::suite::{self, Case, Ends};
use crate::world::Asked;

const SEED: u64 = 1;

/// What comes back of the records, and of the objects.
const BACKUPS: [(Backup, Backup); 10] = [
    (Bare, Untouched),
    (Bare, Bare),
    (Gone, Untouched),
    (Untouched, Bare),
    (Older(1), Untouched),
    (Older(2), Untouched),
    (Older(4), Untouched),
    (Untouched, Older(1)),
    (Untouched, Older(3)),
    (Bare, Older(2)),
];

fn restored(scenario: &Scenario, at: u64, (records, objects): (Backup, Backup)) -> Scenario {
    let mut restored = scenario.clone();
    restored.script.push((When::At(at), Do::Restore { records, objects }));
    restored
}

fn cases() -> impl Iterator<Item = Case> + Send {
    let scenarios = scenarios::restorable().into_iter().flat_map(worlds_of);
    suite::origins(scenarios, 3).flat_map(|(world, scenario)| {
        let is_write = |it: &Asked| it.class == Class::Write && it.key.contains("reset");
        let writes: Vec<Asked> = calm(&scenario).requests.into_iter().filter(is_write).collect();
        writes.into_iter().flat_map(move |Asked { at, key, .. }| {
            let (world, scenario) = (world.clone(), scenario.clone());
            BACKUPS.into_iter().flat_map(move |backup| {
                let crash = Plan::calm(SEED).with_crash(&key, Stage::Answered);
                let (name, scenario) =
                    (format!("{world}, after {key}, {backup:?}"), restored(&scenario, at + 1, backup));
                let case = |name, plan| {
                    let scenario = scenario.clone();
                    Case { name, scenario, plan, limit: LIMIT, must_end: true, ends: Ends::Any }
                };
                [case(name.clone(), Plan::calm(SEED)), case(format!("{name}, with a crash"), crash)]
            })
        })
    })
}

#[test]
fn a_restore_at_any_write_restarts_nothing_twice() {
    suite::run("restores", 5, cases());
}

/// Long after a run, the number of its claim is in the object's row alone.
#[test]
fn claims_are_counted_on_after_their_record_is_gone() {
    let again = reset("web", json!({"instanceIDs": ["i-1"], "runID": "2"}));
    let gone = Do::Restore { records: Gone, objects: Untouched };
    let scenario = Scenario {
        script: vec![(When::At(10 * 60_000), gone), (When::At(11 * 60_000), Do::Apply(again))],
        runs: vec![("i-1", 2)],
        ends: vec![("InEffect RestartProven", 2)],
        ..scenarios::one_running()
    };
    let report = simulate(&scenario, Plan::calm(SEED), Story::told(), LIMIT);
    assert!(report.violations.is_empty() && report.at_rest, "{}\nviolated: {:?}", report.story, report.violations);
    assert_eq!(report.ends, scenario.ends(), "{}", report.story);
}
