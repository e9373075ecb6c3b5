//! The whole controller in one process, in paused virtual time: kube's real runtime and the real reconcilers between a
//! simulated ECS and an API server in memory, with everything that can go wrong decided by a seed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly, as tests do"
)]

mod clocks;
mod consent;
mod counts;
mod crash_matrix;
mod determinism;
mod dice;
mod judge;
mod kube_client;
mod lost_restarts;
mod pairs;
mod plan;
mod restore;
mod run;
mod scenario;
mod scenarios;
mod seeds;
mod selector;
mod slots;
mod stale;
mod steps;
mod story;
mod suite;
mod two_controllers;
mod weather;
mod world;
mod writes;
