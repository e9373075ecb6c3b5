//! The promises of the README and of docs/RELIABILITY.md, each shown on a real API server by the real binary against the simulator: one
//! file for each kind of promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // helpers fail as tests do

mod advice;
mod budget;
#[path = "../common/mod.rs"]
mod common;
mod credentials;
mod faults;
mod fleet;
mod handed_on;
mod leader;
mod limits;
mod logs;
mod released;
mod rerun;
mod reset;
mod restore;
mod rules;
mod secret;
mod select;
mod situations;
mod unknown;
mod upgrade;
mod when;
