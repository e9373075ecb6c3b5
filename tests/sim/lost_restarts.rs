//! One restart is lost, or its answer, or it arrives late, and nothing else goes wrong, in an account that has learnt that
//! StartTime follows a reboot: each machine is restarted once all the same, and no outcome stays unknown.

use crate::crash_matrix::{LIMIT, calm};
use crate::plan::{Fault, Plan};
use crate::scenario::Scenario;
use crate::scenarios::{LATEST_BEGIN, one_running, three_one_at_a_time, three_two_at_a_time};
use crate::suite::{self, Case, Ends};

const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;
const FAULTS: [Fault; 7] = [
    Fault::LoseRequest,
    Fault::LoseAnswer,
    Fault::Refuse("InternalError", 500),
    Fault::Late(60_000),
    Fault::Late(30 * 60_000),
    // ECS takes it at the last moment, and not any more.
    Fault::Late(31 * 60_000 - 2_000),
    Fault::Late(31 * 60_000 + 2_000),
];

/// Every restart of a run without faults meets each of the faults.
fn losses(name: &'static str, scenario: &Scenario, seed: u64) -> impl Iterator<Item = Case> + use<> {
    let scenario = scenario.clone();
    let restarts = calm(&scenario).requests.into_iter().filter(|it| it.key.starts_with("RebootInstance"));
    restarts.flat_map(move |restart| {
        let scenario = scenario.clone();
        FAULTS.into_iter().map(move |fault| Case {
            name: format!("{}, {name}, seed {seed}, {} {fault:?}", scenario.name, restart.key),
            scenario: scenario.clone(),
            plan: Plan::calm(seed).with_fault(&restart.key, fault),
            limit: LIMIT,
            must_end: true,
            ends: Ends::AsWithoutFaults,
        })
    })
}

#[test]
fn lost_restart_is_requested_again_if_start_time_follows() {
    let scenarios = [one_running(), three_one_at_a_time(), three_two_at_a_time()];
    let cases = scenarios.into_iter().map(Scenario::learnt).flat_map(|scenario| {
        let mut late = scenario.clone();
        late.instances.iter_mut().for_each(|instance| instance.reboot_begins_after_seconds = LATEST_BEGIN);
        SEEDS.flat_map(move |seed| {
            losses("at once", &scenario, seed).chain(losses("beginning late", &late, seed)).collect::<Vec<_>>()
        })
    });
    suite::run("lost restarts", 2, cases);
}
