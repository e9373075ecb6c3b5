//! What people do, at each step of a reset: a maintenance window closes, a person pulls the brake, a person edits the Secret.

use crate::crash_matrix::{LIMIT, worlds_of};
use crate::plan::{Ms, Plan};
use crate::scenario::{Scenario, When};
use crate::scenarios::{WINDOW_CLOSES, secret_resets, suspended, window_closes};
use crate::suite::{self, Case, Ends};

const SEED: u64 = 1;
/// How long the resets of two instances take, one after the other, without faults.
const TAKES: Ms = 150_000;
/// How far apart the steps are that are tried: less than any two of the controller's.
const STEP: usize = 1_000;

/// A run of the scenario of each moment, in both worlds.
fn at_each_step(ends: Ends, scenario: impl Fn(Ms) -> Scenario + Clone + Send) -> impl Iterator<Item = Case> + Send {
    suite::origins((0..TAKES).step_by(STEP), 13).flat_map(move |at| {
        worlds_of(Scenario { is_prompt: true, ..scenario(at) }).map(move |(world, scenario)| Case {
            name: format!("{world}, {at} ms"),
            scenario,
            plan: Plan::calm(SEED),
            limit: LIMIT,
            must_end: true,
            ends,
        })
    })
}

#[test]
fn nothing_is_begun_once_a_window_has_closed() {
    let cases = at_each_step(Ends::AsWithoutFaults, |step| window_closes(WINDOW_CLOSES - step));
    suite::run("windows at each step", 5, cases);
}

#[test]
fn nothing_is_begun_while_the_brake_is_on() {
    let cases = at_each_step(Ends::AsWithoutFaults, |step| suspended("suspended", When::At(step)));
    suite::run("the brake at each step", 5, cases);
}

#[test]
fn last_value_of_the_secret_is_on_every_instance() {
    let cases = at_each_step(Ends::WithLastPassword, |step| secret_resets(When::At(step)));
    suite::run("Secrets at each step", 5, cases);
}
