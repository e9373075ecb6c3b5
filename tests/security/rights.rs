//! What the controller may, as the API server says, and that it needs each of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::{ACCOUNT, Config, Instance, NAMESPACE, REGION, SYSTEM_NAMESPACE, Setup, World, eventually};

const COMMITTED: &str = include_str!("../data/controller-rights.txt");
const CONTROLLER: &str = "system:serviceaccount:ecs-password-reset-system:ecs-password-reset";
const ROLE: &str = "ecs-password-reset-controller";

/// `kubectl auth can-i --list` for the controller, blanks made one, in no order.
fn listed(world: &World, namespace: &str) -> BTreeSet<String> {
    let list = ["auth", "can-i", "--list", "--no-headers", "--as", CONTROLLER, "--namespace", namespace];
    world.kubectl(&list).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn the_rights_of_the_controller_are_those_that_are_committed() {
    let world = World::without_controller(Setup::default());
    world.kubectl(&["create", "namespace", "unbound"]);
    let sections: Vec<&str> = COMMITTED.split("\nnamespace ").skip(1).collect();
    assert_eq!(sections.len(), 3);
    for section in sections {
        let (namespace, lines) = section.split_once('\n').unwrap();
        let committed: BTreeSet<String> = lines.lines().map(str::to_owned).collect();
        assert_eq!(listed(&world, namespace), committed, "in namespace {namespace}");
        for line in committed.iter().filter(|line| line.starts_with("secrets ")) {
            assert!(!line.contains("list") && !line.contains("watch"), "{namespace}: {line}");
        }
    }
}

/// What each life of the controller is given to do, so that it needs every rule: no Lease, an empty fingerprint key, an
/// account and an object whose status is to be written, and an instance to be claimed.
fn prepare(world: &World, life: usize) -> String {
    let own = ["--namespace", SYSTEM_NAMESPACE];
    world.kubectl(&[&["delete", "lease", "ecs-password-reset", "--ignore-not-found"], &own[..]].concat());
    let empty =
        ["patch", "secret", "ecs-password-reset-fingerprint-key", "--type=merge", "--patch", r#"{"data": null}"#];
    world.kubectl(&[&empty[..], &own].concat());
    let rate = json!({"spec": {"limits": {"requestsPerSecond": 50 + life}}}).to_string();
    world.kubectl(&["patch", "ecsaccount", ACCOUNT, "--type=merge", "--patch", &rate]);
    let name = format!("life-{life}");
    world.apply_reset(&name, json!({"instanceIDs": [instance(life)]}));
    name
}

fn instance(life: usize) -> String {
    format!("i-life{life:07}")
}

/// What the controller says of a right that it lacks, in its log after `offset`.
fn complaint(world: &World, offset: usize) -> Option<String> {
    let lacks = |text: &str| text.contains("may not ") || text.contains("orbidden");
    let log = std::fs::read_to_string(world.file("controller.log")).unwrap_or_default();
    log.get(offset..).unwrap_or_default().lines().find(|line| lacks(line)).map(str::to_owned)
}

#[test]
fn the_controller_misses_every_rule_that_is_taken_from_it() {
    let instances = (0..30).map(|life| Instance::running(&instance(life), REGION)).collect();
    let ecs = Config { instances, ..Config::default() };
    let world = World::without_controller(Setup { ecs, leader_elect: true, ..Setup::default() });
    let rights = || (listed(&world, SYSTEM_NAMESPACE), listed(&world, NAMESPACE));
    let full = rights();

    // With all of them it lacks nothing: else the rest would prove nothing.
    let name = prepare(&world, 0);
    let controller = world.spawn_controller(&[]);
    world.wait_until_done(&name);
    assert_eq!(complaint(&world, 0), None);
    drop(controller);

    let mut life = 0;
    for kind in ["clusterrole", "role"] {
        let rules = world.get_in(SYSTEM_NAMESPACE, kind, ROLE)["rules"].take();
        let put = |rules: &Value| {
            let patch = json!({"rules": rules}).to_string();
            world.kubectl(&["patch", kind, ROLE, "--namespace", SYSTEM_NAMESPACE, "--type=merge", "--patch", &patch]);
        };
        for number in 0..rules.as_array().unwrap().len() {
            life += 1;
            let mut fewer = rules.clone();
            let taken = fewer.as_array_mut().unwrap().remove(number);
            prepare(&world, life);
            put(&fewer);
            eventually("the rule is gone", || (rights() != full).then_some(()));
            let offset = std::fs::read_to_string(world.file("controller.log")).unwrap().len();
            let controller = world.spawn_controller(&[]);
            let said = eventually(&format!("the controller misses {taken}"), || complaint(&world, offset));
            println!("{taken}\n  {said}");
            drop(controller);
            put(&rules);
            eventually("the rule is back", || (rights() == full).then_some(()));
        }
    }
    assert!(life >= 9, "only {life} rules were taken");
}
