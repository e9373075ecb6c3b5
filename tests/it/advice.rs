//! What a condition advises is run as printed, and helps.

use serde_json::json;

use crate::common::{Instance, NAMESPACE, PASSWORD, REGION, SECRET, World};

const ID: &str = "i-advised001";

#[test]
fn commands_for_a_missing_right_and_a_missing_secret_help() {
    let world = World::with([Instance::running(ID, REGION)]);
    let own = ["--namespace", NAMESPACE];
    world.kubectl(&[&["delete", "rolebinding", "ecs-password-reset-secret-reader"], &own[..]].concat());
    world.kubectl(&[&["delete", "secret", SECRET], &own[..]].concat());
    world.apply_reset("web", json!({"instanceIDs": [ID]}));

    let advice = |reason: &str, before: &str| {
        let message = world.wait_for_reason("web", reason)["message"].as_str().unwrap().to_owned();
        message.split_once(before).unwrap_or_else(|| panic!("no advice in: {message}")).1.to_owned()
    };
    world.paste(&advice("SecretNotPermitted", "allow it with: ")).unwrap();
    let create = advice("SecretNotFound", "create it with: ");
    let password = world.file("password");
    std::fs::write(&password, PASSWORD).unwrap();
    world.paste(&format!("cd {}; {create}", password.parent().unwrap().display())).unwrap();
    world.assert_reset_and_restarted_once(&world.wait_until_done("web"), ID, PASSWORD);
}
