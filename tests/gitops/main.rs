//! The engines of `GitOps` on this project's files: Argo CD's Lua, comparison and sync engine, and Flux's kustomize-controller, against
//! a real API server, the controller and the simulated ECS. What was restarted is judged by the simulator's journal.
//!
//! `make gitops` builds the engines (tests/gitops/argocd, tests/gitops/flux) and runs these tests; elsewhere they are
//! ignored. The tests apply what ships in deploy/; a test changes only files of its own commit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // helpers fail as tests do

mod argocd;
mod fixtures;
mod flux;
mod repository;

#[path = "../common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};

use common::{Instance, PASSWORD, REGION, Setup, World, condition, eventually};
use serde_json::json;

/// The instances that deploy/example names.
const IDS: [&str; 2] = ["i-bp1a2b3c4d5e6f7g8h9i", "i-bp1j2k3l4m5n6p7q8r9s"];
/// The object and the Secret of deploy/example, and what its second wave applies.
const RESET: &str = "web-root";
const SECRET: &str = "web-root-password";
const AFTER: &str = "web-root-rotated";

/// A world in which deploy/example has all that it needs.
fn world() -> World {
    let world = World::start(Setup {
        ecs: common::Config {
            instances: IDS.iter().map(|id| Instance::running(id, REGION)).collect(),
            ..common::Config::default()
        },
        own_control_plane: true,
        ..Setup::default()
    });
    world.apply_secret(SECRET, &json!({"password": PASSWORD}));
    world
}

/// Waits until the reset is there and restarts an instance.
fn wait_until_it_restarts(world: &World) {
    let path = format!("/apis/ecs.password-reset.dev/v1alpha1/namespaces/prod/passwordresets/{RESET}");
    eventually("the reset restarts an instance", || {
        let object = world.control_plane().look_up(&path)?;
        (condition(&object["status"], "Ready")["reason"] == "Restarting").then_some(())
    });
}

/// Applies CRDs, a file or a folder, and waits until all are served.
fn install_crds(world: &World, path: &Path) {
    world.kubectl(&["apply", "--server-side", "--filename", path.to_str().unwrap()]);
    let wait = ["wait", "--for=condition=Established", "--timeout=10s", "crd", "--all"];
    // kubectl fails on one that has no status yet.
    eventually("the CRDs are established", || world.try_kubectl(&wait, "").ok());
}

/// How often each instance was restarted, by the simulator's journal.
fn restarts(world: &World) -> [usize; 2] {
    IDS.map(|id| world.reboots(id))
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A program that scripts/tools has built.
fn tool(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set: run `make gitops`")).into()
}
