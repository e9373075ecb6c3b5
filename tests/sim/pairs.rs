//! Two crashes: each at a write of a record or a changing call, the second in the process that took over from the first.

use crate::crash_matrix::{LIMIT, calm};
use crate::plan::{Class, Plan, STAGES, Stage};
use crate::run::{Report, simulate};
use crate::scenario::Scenario;
use crate::scenarios;
use crate::story::Story;
use crate::suite::{self, Case};

const SEED: u64 = 1;

/// The numbers of the requests that matter to the protocol, from `from` on.
fn steps(report: &Report, from: usize) -> Vec<usize> {
    let is_step = |(class, name): &(Class, String)| match class {
        Class::Change => true,
        Class::Write => name.contains("resetrecords"),
        _ => false,
    };
    (from..report.requests.len()).filter(|number| is_step(&report.requests[*number])).collect()
}

fn pairs(name: &str, scenario: &Scenario) -> Vec<Case> {
    let first = steps(&calm(scenario), 0).into_iter().flat_map(|request| STAGES.map(|stage| (request, stage)));
    let pair = |(request, stage): (usize, Stage)| {
        let once = Plan::calm(SEED).with_crash(request, stage);
        let second = steps(&simulate(scenario, once.clone(), Story::untold(), LIMIT), request + 1);
        let twice = second.into_iter().flat_map(|again| STAGES.map(|stage| (again, stage)));
        let cases = twice.map(|(again, second)| Case {
            name: format!("two crashes, {name}, requests {request} {stage:?} and {again} {second:?}"),
            scenario: scenario.clone(),
            plan: once.clone().with_crash(again, second),
            limit: LIMIT,
            must_end: true,
        });
        cases.collect::<Vec<_>>()
    };
    first.flat_map(pair).collect()
}

#[test]
fn a_second_crash_while_the_first_is_mended_changes_nothing() {
    let chosen = [scenarios::one_running(), scenarios::three_one_at_a_time(), scenarios::a_second_run()];
    let cases = chosen.into_iter().flat_map(|scenario| {
        [(true, "StartTime follows"), (false, "StartTime stays")].into_iter().flat_map(move |(follows, world)| {
            let scenario = scenario.clone().where_start_time_follows_reboot(follows);
            pairs(&format!("{}, {world}", scenario.name), &scenario)
        })
    });
    suite::run("pairs of crashes", cases);
}
