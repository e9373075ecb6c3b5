//! What the controller may, as the API server says, and that it needs each of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::{
    ACCOUNT, Config, Instance, NAMESPACE, REGION, SYSTEM_NAMESPACE, Setup, World, eventually, manifests,
};
use crate::settle::loosen;

const COMMITTED: &str = include_str!("../data/controller-rights.txt");
const CONTROLLER: &str = "system:serviceaccount:ecs-password-reset-system:ecs-password-reset";
const ROLE: &str = "ecs-password-reset-controller";
/// How many rights the two roles of that name give, each verb on each resource and name counted.
const RIGHTS: usize = 25;

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

/// One right of the controller: a verb on a resource, and on one name where it is given by name.
#[derive(Debug)]
struct Right {
    group: String,
    resource: String,
    verb: String,
    name: Option<String>,
}

impl Right {
    /// Each right that the rules of a role give.
    fn all(rules: &Value) -> Vec<Self> {
        let strings = |list: &Value| -> Vec<String> {
            list.as_array().into_iter().flatten().map(|it| it.as_str().unwrap().to_owned()).collect()
        };
        let mut all = Vec::new();
        for rule in rules.as_array().unwrap() {
            let mut names: Vec<Option<String>> = strings(&rule["resourceNames"]).into_iter().map(Some).collect();
            if names.is_empty() {
                names.push(None);
            }
            for (group, resource) in strings(&rule["apiGroups"]).iter().flat_map(|group| {
                strings(&rule["resources"]).into_iter().map(move |resource| (group.clone(), resource))
            }) {
                for verb in strings(&rule["verbs"]) {
                    let right = |name: &Option<String>| Self {
                        group: group.clone(),
                        resource: resource.clone(),
                        verb: verb.clone(),
                        name: name.clone(),
                    };
                    all.extend(names.iter().map(right));
                }
            }
        }
        all
    }

    fn rule(&self) -> Value {
        let Self { group, resource, verb, name } = self;
        let mut rule = json!({"apiGroups": [group], "resources": [resource], "verbs": [verb]});
        if let Some(name) = name {
            rule["resourceNames"] = json!([name]);
        }
        rule
    }

    /// The words that report its lack: the API server's, and the controller's own. The new object of this life is
    /// `reset`.
    fn words(&self, reset: &str) -> [String; 2] {
        let Self { resource, verb, name, .. } = self;
        let name = name.as_deref().unwrap_or_default();
        let own = match (resource.as_str(), verb.as_str()) {
            ("passwordresets/status", "update") => format!("write the status of PasswordReset {reset};"),
            ("passwordresets/status", "patch") => format!("write the status of PasswordReset {POISON};"),
            ("ecsaccounts/status", "update") => format!("write the status of ECSAccount {ACCOUNT};"),
            ("ecsaccounts/status", "patch") => format!("write the status of ECSAccount {POISON};"),
            ("passwordresets", _) => format!("{verb} PasswordReset {reset};"),
            ("ecsaccounts", _) => format!("{verb} ECSAccount {ACCOUNT};"),
            ("resetrecords", "update") => "replace ResetRecord ".to_owned(),
            ("resetrecords", _) => format!("{verb} ResetRecord "),
            ("events", _) => format!("{verb} Event;"),
            ("secrets", "update") => format!("replace Secret {name};"),
            ("secrets", _) => format!("{verb} Secret "),
            ("validatingadmissionpolicies", _) => format!("{verb} ValidatingAdmissionPolicy {name};"),
            ("validatingadmissionpolicybindings", _) => format!("{verb} ValidatingAdmissionPolicyBinding {name};"),
            _ => "(nothing of its own)".to_owned(),
        };
        [format!("cannot {verb} resource \"{resource}\""), format!("may not {own}")]
    }
}

/// An object and an account that this version cannot read: their statuses are patched.
const POISON: &str = "poison";

fn lay_poison(world: &World) {
    let mut reset = manifests::password_reset(NAMESPACE, POISON, json!({"instanceIDs": [instance(0)]}));
    reset["spec"]["restart"] = json!({"policy": 3});
    let mut account = world.account();
    account["metadata"]["name"] = json!(POISON);
    account["spec"]["limits"] = json!("many");
    for (crd, object) in [("passwordresets", reset), ("ecsaccounts", account)] {
        loosen(world, &format!("{crd}.ecs.password-reset.dev"));
        eventually("the loosened schema lets a poison object in", || {
            world.try_kubectl(&["create", "--validate=ignore", "--filename=-"], &object.to_string()).ok()
        });
    }
}

/// What each life of the controller is given to do, so that it needs every right: no Lease, an empty fingerprint key, an
/// account and an object whose status is to be written, an instance to be claimed, and a record that lost its status. The poison is there
/// already.
fn prepare(world: &World, life: usize) -> String {
    let own = ["--namespace", SYSTEM_NAMESPACE];
    world.kubectl(&[&["delete", "lease", "ecs-password-reset", "--ignore-not-found"], &own[..]].concat());
    let empty =
        ["patch", "secret", "ecs-password-reset-fingerprint-key", "--type=merge", "--patch", r#"{"data": null}"#];
    world.kubectl(&[&empty[..], &own].concat());
    let rate = json!({"spec": {"limits": {"requestsPerSecond": 50 + life}}}).to_string();
    world.kubectl(&["patch", "ecsaccount", ACCOUNT, "--type=merge", "--patch", &rate]);
    if life > 0 {
        // A record is read only where it is not known how it is: the memory of the first instance is lost once more.
        let record = format!("{REGION}.{}", instance(0));
        let lost = ["patch", "resetrecord", &record, "--type=merge", "--patch", r#"{"status": null}"#];
        world.kubectl(&[&lost[..], &own].concat());
    }
    let name = format!("life-{life}");
    world.apply_reset(&name, json!({"instanceIDs": [instance(life)]}));
    name
}

fn instance(life: usize) -> String {
    format!("i-life{life:07}")
}

/// The first line of the controller's log after `offset` with one of these words.
fn said(world: &World, offset: usize, words: &[String]) -> Option<String> {
    let log = std::fs::read_to_string(world.file("controller.log")).unwrap_or_default();
    let mut lines = log.get(offset..).unwrap_or_default().lines().map(|line| line.replace('\\', ""));
    lines.find(|line| words.iter().any(|word| line.contains(word.as_str())))
}

/// One right that it has and does not use is one that whoever takes over the pod has for nothing. The right to read Secrets
/// in namespaces of others is given by their owners: see T1.10.
#[test]
fn the_controller_misses_every_right_that_is_taken_from_it() {
    let instances = (0..=RIGHTS).map(|life| Instance::running(&instance(life), REGION)).collect();
    let ecs = Config { instances, ..Config::default() };
    let world = World::without_controller(Setup { ecs, leader_elect: true, ..Setup::default() });
    let rights = || (listed(&world, SYSTEM_NAMESPACE), listed(&world, NAMESPACE));
    let full = rights();
    lay_poison(&world);

    // With all of them it lacks nothing: else the rest would prove nothing.
    let name = prepare(&world, 0);
    let controller = world.spawn_controller(&[]);
    world.wait_until_done(&name);
    world.wait_for_reason(POISON, "InvalidSpec");
    assert_eq!(said(&world, 0, &["may not ".to_owned(), "orbidden".to_owned()]), None);
    drop(controller);

    let mut life = 0;
    for kind in ["clusterrole", "role"] {
        let rules = world.get_in(SYSTEM_NAMESPACE, kind, ROLE)["rules"].take();
        let put = |rules: &Value| {
            let patch = json!({"rules": rules}).to_string();
            world.kubectl(&["patch", kind, ROLE, "--namespace", SYSTEM_NAMESPACE, "--type=merge", "--patch", &patch]);
        };
        let all = Right::all(&rules);
        for (number, taken) in all.iter().enumerate() {
            life += 1;
            let others = all.iter().enumerate().filter(|(other, _)| *other != number);
            let name = prepare(&world, life);
            put(&others.map(|(_, right)| right.rule()).collect());
            eventually("the right is gone", || (rights() != full).then_some(()));
            let offset = std::fs::read_to_string(world.file("controller.log")).unwrap().len();
            let controller = world.spawn_controller(&[]);
            let words = taken.words(&name);
            let complaint = eventually(&format!("the controller misses {taken:?}"), || said(&world, offset, &words));
            println!("{}\n  {complaint}", taken.rule());
            drop(controller);
            put(&rules);
            eventually("the right is back", || (rights() == full).then_some(()));
        }
    }
    assert_eq!(life, RIGHTS, "rights were taken one by one");
}
