//! placeholder
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod canon;
mod controller;
mod ecs;
mod invariants;
mod moves;
mod people;
mod search;
mod setup;
mod story;
mod world;

use search::search;
use setup::Setup;
use world::Budget;

#[test]
fn try_it() {
    let var = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(0u8);
    let trouble = Budget {
        crashes: var("CR"),
        losses: var("LO"),
        freezes: var("FR"),
        handovers: var("HA"),
        lags: var("LA"),
        refusals: var("RE"),
        outsiders: var("OU"),
        edits: var("ED"),
    };
    let mut setup = Setup::new("try", trouble);
    if var("UN") > 0 {
        setup = setup.unmoved();
    }
    if var("TWO") > 0 {
        setup = setup.both_at_once();
    }
    if var("ONE") > 0 {
        setup = setup.alone();
    }
    setup.gate = var("GATE") > 0;
    let report = search(&setup, std::env::var("LIMIT").ok().and_then(|t| t.parse().ok()).unwrap_or(1_000_000));
    println!(
        "states {} moves {} depth {} exhausted {} ends {} {:?} allowed {:?} compared {}",
        report.states,
        report.moves,
        report.depth,
        report.exhausted,
        report.ends,
        report.phases,
        report.excused,
        report.compared
    );
    if let Some(v) = report.violation {
        panic!("{v}");
    }
}
