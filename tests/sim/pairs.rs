//! Two crashes: each at a write of a record or a changing call, the second in the process that took over from the first.

use crate::crash_matrix::{LIMIT, calm, worlds_of as worlds};
use crate::plan::{Class, Plan, STAGES, Stage};
use crate::run::{Report, simulate};
use crate::scenario::Scenario;
use crate::scenarios;
use crate::story::Story;
use crate::suite::{self, Case, Ends};
use crate::world::Asked;

const SEED: u64 = 1;

/// The requests that matter to the protocol, later than `after`.
pub fn steps(report: &Report, after: Option<&Asked>) -> Vec<Asked> {
    let is_step = |request: &&Asked| match request.class {
        Class::Change => true,
        Class::Write => request.key.contains("resetrecords"),
        _ => false,
    };
    let later = report.requests.iter().filter(|request| after.is_none_or(|after| *request > after));
    later.filter(is_step).cloned().collect()
}

fn pairs(name: &str, scenario: &Scenario) -> Vec<Case> {
    let first =
        steps(&calm(scenario), None).into_iter().flat_map(|request| STAGES.map(|stage| (request.clone(), stage)));
    let pair = |(request, stage): (Asked, Stage)| {
        let once = Plan::calm(SEED).with_crash(&request.key, stage);
        let second = steps(&simulate(scenario, once.clone(), Story::untold(), LIMIT), Some(&request));
        let twice = second.into_iter().flat_map(|again| STAGES.map(|stage| (again.clone(), stage)));
        let cases = twice.map(|(again, second)| Case {
            name: format!("{name}, {} {stage:?}, {} {second:?}", request.key, again.key),
            scenario: scenario.clone(),
            plan: once.clone().with_crash(&again.key, second),
            limit: LIMIT,
            must_end: true,
            ends: Ends::Any,
        });
        cases.collect::<Vec<_>>()
    };
    suite::origins(first, 11).flat_map(pair).collect()
}

#[test]
fn second_crash_during_recovery_changes_nothing() {
    let chosen = [
        scenarios::one_running(),
        scenarios::three_one_at_a_time(),
        scenarios::a_second_run(),
        scenarios::a_restart_lost_twice(),
    ];
    let cases = chosen.into_iter().flat_map(worlds).flat_map(|(world, scenario)| pairs(&world, &scenario));
    suite::run("pairs of crashes", 7, cases);
}
