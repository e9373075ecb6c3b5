//! The whole controller in one process, in paused virtual time: kube's real runtime and the real reconcilers between a
//! simulated ECS and an API server in memory, with everything that can go wrong decided by a seed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly, as tests do"
)]

mod dice;
mod judge;
mod plan;
mod run;
mod scenario;
mod scenarios;
mod story;
mod weather;
mod world;

use plan::Plan;
use story::Story;

#[test]
fn calm() {
    let scenario = scenarios::one_running();
    let report = run::simulate(&scenario, Plan::calm(1), Story::told(), 7_200_000);
    println!("{}", report.story);
    println!("{:?} rest {} at {} requests {} events {} {:?}", report.violations, report.at_rest, report.ended, report.requests, report.watch_events, report.ends);
    let began = std::time::Instant::now();
    for seed in 0..50 {
        run::simulate(&scenario, Plan::calm(seed), Story::untold(), 7_200_000);
    }
    println!("{:?} a run", began.elapsed() / 50);
}
