//! An account is given fewer slots than claims of it are in progress: both restarts are due at one moment, and one may go.

use serde_json::{Value, json};

use crate::crash_matrix::{LIMIT, worlds_of};
use crate::plan::{Ms, Plan};
use crate::scenario::{Do, Scenario, When, installed, reset};
use crate::scenarios::{running, scenario};
use crate::suite::{self, Case, Ends};

const SEEDS: std::ops::Range<u64> = 1..5;
/// After both passwords are set, and long before the restarts are given up.
const LOWERED: Ms = 2 * 60_000;
/// Moments of two polls of ECS, so that the restarts meet in each order of what wakes them.
const RELEASED: std::ops::Range<Ms> = 4 * 60_000..4 * 60_000 + 20_000;
const STEP: usize = 2_500;

fn account(suspend: bool, max_unavailable: Option<u32>) -> Value {
    let mut account = installed().into_iter().find(|object| object["kind"] == "ECSAccount").unwrap();
    account["spec"]["suspend"] = json!(suspend);
    account["spec"]["limits"]["maxUnavailable"] = json!(max_unavailable);
    account
}

/// Two objects, whose account is suspended once both passwords are set. Meanwhile its administrator lets one instance be away.
fn lowered(released: Ms) -> Scenario {
    let (web, db) = (reset("web", json!({"instanceIDs": ["i-1"]})), reset("db", json!({"instanceIDs": ["i-2"]})));
    Scenario {
        script: vec![
            (When::Phase("i-1", "PasswordSet"), Do::Apply(account(true, None))),
            (When::At(LOWERED), Do::Apply(account(true, Some(1)))),
            (When::At(released), Do::Apply(account(false, Some(1)))),
        ],
        runs: vec![("i-1", 1), ("i-2", 1)],
        ends: vec![("InEffect RestartProven", 2)],
        is_prompt: true,
        ..scenario("an account with fewer slots", &[running("i-1"), running("i-2")], &[web, db])
    }
}

#[test]
fn restarts_that_meet_take_no_more_slots_than_there_are() {
    let cases = RELEASED.step_by(STEP).flat_map(|released| {
        SEEDS.flat_map(move |seed| {
            worlds_of(lowered(released)).map(move |(world, scenario)| Case {
                name: format!("{world}, released at {released} ms, seed {seed}"),
                scenario,
                plan: Plan::calm(seed),
                limit: LIMIT,
                must_end: true,
                ends: Ends::AsWithoutFaults,
            })
        })
    });
    suite::run("slots of an account", 1, cases);
}
