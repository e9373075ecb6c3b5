//! The world of a test on real parts: a control plane, the simulated ECS, and the controller's own binary, which signs
//! in with the `ServiceAccount` that `deploy/base` gives it.
//!
//! ```text
//! test ─ kubectl (admin) ─▶ kube-apiserver ◀─ ServiceAccount's token ─ controller ─▶ simulator ◀─ test (journal, faults)
//! ```
//! A test changes the cluster as a user would, waits with [`eventually`], and judges by the simulator's journal. Each
//! world has its own data directory and ports, so tests run beside each other; dropping it ends what it started.
//! What it may not do: import anything of the controller, or depend on how fast anything is.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part of this")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // helpers fail as tests do

mod control_plane;
mod controller;
mod http;
pub mod manifests;
mod page;
mod plane_pool;
mod proof;
mod wait;
mod world;

pub use controller::{Controller, Launch, free_address};
pub use ecs_simulator::{AccessKey, Config, Effect, Fault, Instance, Outcome, Rule, Status};
pub use manifests::{ACCOUNT, NAMESPACE, PASSWORD, REGION, SECRET, SYSTEM_NAMESPACE};
pub use page::Page;
pub use wait::{eventually, timed, timed_within};
pub use world::{Setup, World, condition, row};
