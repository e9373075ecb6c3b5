//! The scenarios.

use ecs_simulator::Instance;
use serde_json::json;

use crate::scenario::{REGION, Scenario, installed, reset};

pub const ONE: &str = "i-1";

pub fn one_running() -> Scenario {
    let mut objects = installed();
    objects.push(reset("web", json!({"instanceIDs": [ONE]})));
    Scenario {
        name: "one running",
        instances: vec![Instance::running(ONE, REGION)],
        objects,
        script: vec![],
        runs: vec![(ONE, 1)],
        ends: vec![("InEffect RestartProven", 1)],
    }
}
