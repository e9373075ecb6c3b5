//! The endings of a reset, each on real parts: what a user applies, what the instance then has, and what the status says.

mod common;

use common::{Instance, PASSWORD, REGION, World};
use serde_json::json;

#[test]
fn a_running_instance_is_restarted_and_has_the_password_in_effect() {
    let world = World::with([Instance::running("i-running1", REGION)]);
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"]}));
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, "i-running1", PASSWORD);
}
