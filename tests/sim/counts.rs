//! What a run costs the API server and ECS, in requests for each instance. Counts do not depend on how fast a machine is.

use std::collections::BTreeMap;

use ecs_simulator::Instance;
use serde_json::json;

use crate::crash_matrix::LIMIT;
use crate::plan::{Class, Plan};
use crate::run::simulate;
use crate::scenario::{REGION, Scenario, installed, reset};
use crate::story::Story;

/// Requests by kind.
struct Counts(BTreeMap<String, usize>);

impl Counts {
    fn of(&self, kind: &str) -> usize {
        self.0.get(kind).copied().unwrap_or(0)
    }

    /// How many there are of these kinds, for each of `all`.
    fn each(&self, kinds: &[&str], all: usize) -> f64 {
        let sum: usize = kinds.iter().map(|kind| self.of(kind)).sum();
        f64::from(u32::try_from(sum).unwrap()) / f64::from(u32::try_from(all).unwrap())
    }
}

/// `objects` objects of `instances` Running instances each, reset without faults.
fn cost(objects: usize, instances: usize) -> Counts {
    let id = |object: usize, instance: usize| -> &'static str { format!("i-{object:03}{instance:03}").leak() };
    let all = || (0..objects).flat_map(|object| (0..instances).map(move |instance| (object, instance)));
    let restart = json!({"maxUnavailable": instances, "minReadySeconds": 0});
    let resets = (0..objects).map(|object| {
        let ids: Vec<&str> = (0..instances).map(|instance| id(object, instance)).collect();
        reset(&format!("web-{object}"), json!({"instanceIDs": ids, "restart": restart}))
    });
    let scenario = Scenario {
        name: "a price list",
        instances: all().map(|(o, i)| Instance::running(id(o, i), REGION).rebooting(0.5, 25.0)).collect(),
        objects: installed().into_iter().chain(resets).collect(),
        script: vec![],
        runs: all().map(|(o, i)| (id(o, i), 1)).collect(),
        ends: vec![],
        is_learnt: false,
        is_closed: |_| false,
        last_password: None,
    };
    let report = simulate(&scenario, Plan::calm(1), Story::untold(), LIMIT);
    assert!(report.violations.is_empty() && report.at_rest, "{:?}", report.violations);
    assert_eq!(report.ends, BTreeMap::from([("InEffect RestartProven".to_owned(), objects * instances)]));
    let mut counts = BTreeMap::new();
    for request in &report.requests {
        *counts.entry(kind(request.class, &request.key)).or_default() += 1;
    }
    Counts(counts)
}

/// What a request is for, without which object it is about.
fn kind(class: Class, key: &str) -> String {
    let kinds = ["passwordresets", "resetrecords", "secrets", "events"];
    let of = kinds.into_iter().find(|kind| key.contains(kind)).unwrap_or("other");
    match class {
        Class::Get => format!("get {of}"),
        Class::Write => format!("write {of}"),
        Class::List | Class::Watch => "list or watch".to_owned(),
        Class::Read => "read of ECS".to_owned(),
        Class::Change => "change".to_owned(),
    }
}

const READS: &[&str] = &["get passwordresets", "get resetrecords", "get secrets"];
const WRITES: &[&str] = &["write passwordresets", "write resetrecords", "write events"];

#[test]
fn ten_instances_of_each_object_cost_few_requests() {
    let counts = cost(4, 10);
    println!("4 x 10: {:?}", counts.0);
    let (reads, writes) = (counts.each(READS, 40), counts.each(WRITES, 40));
    assert_eq!(counts.of("change"), 80, "one password and one restart for each");
    assert_eq!(counts.of("get resetrecords"), 0, "the writes' answers and the watch hold them");
    assert!(reads <= 3.0, "{reads} reads an instance");
    assert!(writes <= 7.5, "{writes} writes an instance");
}

#[test]
fn one_instance_of_each_object_costs_few_requests() {
    let counts = cost(20, 1);
    println!("20 x 1: {:?}", counts.0);
    let (reads, writes) = (counts.each(READS, 20), counts.each(WRITES, 20));
    assert_eq!(counts.of("change"), 40);
    assert_eq!(counts.of("get resetrecords"), 0);
    assert!(reads <= 3.2, "{reads} reads an instance");
    assert!(writes <= 15.5, "{writes} writes an instance");
}
