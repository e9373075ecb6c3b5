//! A crash at every boundary: each request of a run without faults, before it is sent, sent but not answered, answered but
//! the answer not used; in every scenario, and whether or not a reboot moves `StartTime`.

use crate::plan::{Ms, Plan, STAGES};
use crate::run::{Report, simulate};
use crate::scenario::Scenario;
use crate::scenarios;
use crate::story::Story;
use crate::suite::{self, Case, Ends, Size};
use crate::world::Asked;

/// How long a run with a crash may take: a restart whose fate nobody knows is waited for 34 minutes, and slots with it.
pub const LIMIT: Ms = 3 * 60 * 60 * 1000;
const SEED: u64 = 1;
/// How many crashes are tried in CI at least.
const PROMISED: usize = 3_400;

/// Every scenario in both worlds, with a name.
pub fn worlds() -> impl Iterator<Item = (String, Scenario)> {
    scenarios::all().into_iter().flat_map(worlds_of)
}

/// A scenario in both worlds; only in that in which StartTime follows, if the account has learnt that it does.
pub fn worlds_of(scenario: Scenario) -> impl Iterator<Item = (String, Scenario)> {
    let worlds = [(true, "StartTime follows"), (false, "StartTime stays")].into_iter();
    worlds.filter(move |(follows, _)| *follows || !scenario.is_learnt).map(move |(follows, name)| {
        let scenario = scenario.clone().where_start_time_follows_reboot(follows);
        (format!("{}, {name}", scenario.name), scenario)
    })
}

pub fn calm(scenario: &Scenario) -> Report {
    simulate(scenario, Plan::calm(SEED), Story::untold(), LIMIT)
}

#[test]
fn without_faults_every_scenario_ends_as_it_should() {
    for (name, scenario) in worlds() {
        let report = calm(&scenario);
        let story = || simulate(&scenario, Plan::calm(SEED), Story::told(), LIMIT).story;
        assert!(report.violations.is_empty() && report.at_rest, "{}\n{name}: {:?}", story(), report.violations);
        assert_eq!(report.ends, scenario.ends(), "{}\n{name}", story());
    }
}

/// For every scenario in both worlds the runs that `plans` makes of its run without faults, each plan with what it is called.
/// All of them have to end; and where the account has learnt that StartTime follows, one more fault leaves no outcome unknown.
pub fn cases<P: IntoIterator<Item = (String, Plan)>>(
    plans: impl Fn(Report) -> P + Copy + Send,
) -> impl Iterator<Item = Case> + Send
where
    P::IntoIter: Send,
{
    suite::origins(worlds(), 5).flat_map(move |(world, scenario)| {
        let ends = if scenario.is_learnt { Ends::Known } else { Ends::Any };
        plans(calm(&scenario)).into_iter().map(move |(what, plan)| {
            let name = format!("{world}, {what}");
            Case { name, scenario: scenario.clone(), plan, limit: LIMIT, must_end: true, ends }
        })
    })
}

#[test]
fn crash_at_any_boundary_repeats_and_omits_nothing() {
    let crashes = cases(|calm| {
        let at = |Asked { key, .. }: Asked| {
            STAGES.map(|stage| (format!("{key} {stage:?}"), Plan::calm(SEED).with_crash(&key, stage)))
        };
        calm.requests.into_iter().flat_map(at).collect::<Vec<_>>()
    });
    let runs = suite::run("crash matrix", 5, crashes);
    let is_enough = suite::size() == Size::Sample || runs.is_none_or(|runs| runs >= PROMISED);
    assert!(is_enough, "{runs:?} runs are not the matrix that is promised");
}
