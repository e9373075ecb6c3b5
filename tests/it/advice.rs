//! What a condition, an event or an alert advises is run as printed, and helps. `tests/security/granted.rs` has the refusals of admission,
//! `unknown.rs` and `restore.rs` the decisions on an Unknown, `logs.rs` the line about missing CRDs.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use crate::common::{
    ACCOUNT, Fault, Instance, NAMESPACE, PASSWORD, REGION, Rule, SECRET, SYSTEM_NAMESPACE, World, eventually, manifests,
};

const ID: &str = "i-advised001";

/// What the Ready condition says after `before`, once it has the reason.
fn advice(world: &World, name: &str, reason: &str, before: &str) -> String {
    let message = world.wait_for_reason(name, reason)["message"].as_str().unwrap().to_owned();
    message.split_once(before).unwrap_or_else(|| panic!("no advice in: {message}")).1.to_owned()
}

#[test]
fn commands_for_a_missing_right_and_a_missing_secret_help() {
    let world = World::with([Instance::running(ID, REGION)]);
    let own = ["--namespace", NAMESPACE];
    world.kubectl(&[&["delete", "rolebinding", "ecs-password-reset-secret-reader"], &own[..]].concat());
    world.kubectl(&[&["delete", "secret", SECRET], &own[..]].concat());
    world.apply_reset("web", json!({"instanceIDs": [ID]}));

    world.paste(&advice(&world, "web", "SecretNotPermitted", "allow it with: ")).unwrap();
    let create = advice(&world, "web", "SecretNotFound", "create it with: ");
    let password = world.file("password");
    std::fs::write(&password, PASSWORD).unwrap();
    world.paste(&format!("cd {}; {create}", password.parent().unwrap().display())).unwrap();
    world.assert_reset_and_restarted_once(&world.wait_until_done("web"), ID, PASSWORD);
}

#[test]
fn command_for_a_missing_key_shows_keys_and_no_value() {
    let world = World::with([Instance::running(ID, REGION)]);
    world.apply_secret(SECRET, &json!({"passphrase": PASSWORD}));
    world.kubectl(&["patch", "secret", SECRET, "--namespace", NAMESPACE, "--patch", r#"{"data":{"password":null}}"#]);
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    let shown = world.paste(&advice(&world, "web", "SecretKeyNotFound", "to see its keys: ")).unwrap();
    assert!(shown.contains("passphrase:") && !shown.contains(PASSWORD), "{shown}");

    world.apply_reset("web", json!({"instanceIDs": [ID], "passwordSecretRef": {"name": SECRET, "key": "passphrase"}}));
    world.assert_reset_and_restarted_once(&world.wait_until_done("web"), ID, PASSWORD);
}

/// ECS refuses the next password of an instance.
fn refuse(world: &World, id: &str) {
    let refusal = Fault::Refuse { code: "Forbidden.RAM".to_owned(), http: 403, message: String::new() };
    world.ecs().core().inject(Rule::once("ModifyInstanceAttribute", refusal).on(id));
}

#[test]
fn command_to_retry_helps_where_it_failed_and_where_it_paused() {
    const OTHER: &str = "i-advised002";
    let world = World::with([ID, OTHER].map(|id| Instance::running(id, REGION)));
    for (name, max_failures, reason) in [("failed", 1, "PartiallyFailed"), ("paused", 0, "PausedOnFailure")] {
        refuse(&world, ID);
        world.apply_reset(name, json!({"instanceIDs": [ID, OTHER], "maxFailures": max_failures, "runID": name}));
        world.wait_for_reason(name, reason);
        // The event has all of it, too.
        let note = eventually("the event", || {
            let events = world.events(name).into_iter();
            events.filter(|event| event["reason"] == reason).find_map(|event| event["note"].as_str().map(str::to_owned))
        });
        let said = advice(&world, name, reason, "then retry: ");
        assert!(note.ends_with(&said), "{note}");
        world.paste(&said).unwrap();
        let status = world.wait_for(name, "Ready");
        assert_eq!(status["progress"], "2/2", "{status:#}");
        world.delete_reset(name);
        // Two starts within one minute of ECS's clock look the same.
        world.advance(61);
    }
}

#[test]
fn command_for_a_broken_account_shows_the_cause() {
    let world = World::with([Instance::running(ID, REGION)]);
    let wrong = json!({"accessKeyID": "testid", "accessKeySecret": "wrong"});
    world.apply(&manifests::secret(SYSTEM_NAMESPACE, "ecs-credentials", &wrong));
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    let shown =
        world.paste(&advice(&world, "web", "AccountNotReady", "its administrator must act, and sees why: ")).unwrap();
    for words in ["SignatureDoesNotMatch", "the accessKeySecret does not belong to the accessKeyID; store both again"] {
        assert!(shown.contains(words), "{words} is not in: {shown}");
    }
    world.install_credentials();
    world.assert_reset_and_restarted_once(&world.wait_until_done("web"), ID, PASSWORD);
}

#[test]
fn command_of_the_alert_shows_which_and_why() {
    let world = World::with([]);
    world.apply_reset("web", json!({"instanceIDs": [ID], "stableStateTimeoutSeconds": 1}));
    world.wait_for("web", "Stalled");
    let rules = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/monitoring/prometheus_rule.yaml"));
    let rules = rules.unwrap();
    let commands: Vec<&str> = rules.split('`').filter(|part| part.starts_with("kubectl ")).collect();
    assert_eq!(commands.len(), 1, "{commands:?}");
    let shown = world.paste(commands[0]).unwrap();
    let line = shown.lines().find(|line| line.contains("web")).unwrap_or_else(|| panic!("{shown}"));
    assert!(line.contains("InstanceNotFound") && line.contains("check the id and the region"), "{line}");
    assert!(shown.contains("ecsaccount.ecs.password-reset.dev/default"), "{shown}");
}

/// The lines that the chart's notes indent are commands, to be pasted one block after the other.
#[test]
fn commands_of_the_charts_notes_help() {
    let helm = std::env::var_os("HELM").expect("HELM is set: run `make test`");
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/chart");
    let dry_run = ["install", "ecs-password-reset", chart, "-n", SYSTEM_NAMESPACE, "--dry-run=client"];
    let printed = std::process::Command::new(helm).args(dry_run).output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let (_, notes) = printed.split_once("NOTES:").unwrap();
    let commands: Vec<&str> = notes.lines().filter_map(|line| line.strip_prefix("   ")).collect();
    assert!(commands.len() > 5, "{notes}");

    let world = World::with([Instance::running(ID, REGION)]);
    world.kubectl(&["delete", "ecsaccount", ACCOUNT]);
    world.kubectl(&["delete", "rolebinding", "ecs-password-reset-secret-reader", "--namespace", NAMESPACE]);
    std::fs::write(world.file("id"), "testid").unwrap();
    std::fs::write(world.file("secret"), "testsecret").unwrap();
    let dir = world.file("id").parent().unwrap().display().to_string();
    world.paste(&format!("cd {dir}\n{}\n", commands.join("\n"))).unwrap();
    // The simulator is not where an account without an endpoint looks for ECS.
    let here = json!({"spec": {"endpoint": {"url": world.ecs().url()}, "limits": {"minRestartIntervalSeconds": 0}}});
    world.kubectl(&["patch", "ecsaccount", ACCOUNT, "--type=merge", "--patch", &here.to_string()]);
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    world.assert_reset_and_restarted_once(&world.wait_until_done("web"), ID, PASSWORD);
    let namespace = world.get_in("", "namespace", SYSTEM_NAMESPACE);
    let level = &namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    assert_eq!(level, "restricted");
}

/// Every command in a message of the controller is one that some test runs as printed.
#[test]
fn every_advised_command_is_tested() {
    const TESTED: [&str; 7] = [
        "kubectl annotate --overwrite",
        "kubectl annotate -n",
        "kubectl apply -k",
        "kubectl create rolebinding",
        "kubectl create secret",
        "kubectl describe ecsaccount",
        "kubectl describe secret",
    ];
    let mut advised = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                for (at, _) in line.match_indices("kubectl ") {
                    let words: Vec<&str> = line[at..].split_whitespace().take(3).collect();
                    advised.insert(words.join(" "));
                }
            }
        }
    }
    assert_eq!(advised.iter().map(String::as_str).collect::<Vec<_>>(), TESTED);
}
