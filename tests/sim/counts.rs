//! What a run costs the API server and ECS, in requests for each instance. Counts do not depend on how fast a machine is.

use std::collections::BTreeMap;

use ecs_simulator::Instance;
use serde_json::{Value, json};

use crate::crash_matrix::LIMIT;
use crate::plan::{Class, Plan};
use crate::run::simulate;
use crate::scenario::{Do, PASSWORD, REGION, SYSTEM_NAMESPACE, Scenario, When, installed, reset, secret};
use crate::story::Story;
use crate::world::Asked;

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

/// `objects` objects of `instances` Running instances each, with `more` in their specs.
fn fleet(objects: usize, instances: usize, more: &Value) -> Scenario {
    let id = |object: usize, instance: usize| -> &'static str { format!("i-{object:03}{instance:03}").leak() };
    let all = || (0..objects).flat_map(|object| (0..instances).map(move |instance| (object, instance)));
    let restart = json!({"maxUnavailable": instances, "minReadySeconds": 0});
    let resets = (0..objects).map(|object| {
        let ids: Vec<&str> = (0..instances).map(|instance| id(object, instance)).collect();
        let mut spec = json!({"instanceIDs": ids, "restart": restart});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        reset(&format!("web-{object}"), spec)
    });
    Scenario {
        name: "a price list",
        instances: all().map(|(o, i)| Instance::running(id(o, i), REGION).rebooting(0.5, 25.0)).collect(),
        objects: installed().into_iter().chain(resets).collect(),
        script: vec![],
        runs: all().map(|(o, i)| (id(o, i), 1)).collect(),
        ends: vec![("InEffect RestartProven", objects * instances)],
        is_learnt: false,
        is_closed: |_| false,
        is_prompt: false,
        last_password: None,
    }
}

/// The requests of a run without faults.
fn requests(scenario: &Scenario) -> Vec<Asked> {
    let report = simulate(scenario, Plan::calm(1), Story::untold(), LIMIT);
    assert!(report.violations.is_empty() && report.at_rest, "{:?}", report.violations);
    assert_eq!(report.ends, scenario.ends());
    report.requests
}

fn cost(objects: usize, instances: usize) -> Counts {
    let mut counts = BTreeMap::new();
    for request in &requests(&fleet(objects, instances, &json!({}))) {
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

/// A settled record of an instance and of an object that are not in the scenario.
fn settled_record(number: usize) -> Value {
    let mut record: Value =
        serde_json::from_str(include_str!("../data/stored/record-EffectiveAtNextStart-SetWhileStopped.json")).unwrap();
    let id = format!("i-settled{number:05}");
    record["metadata"] = json!({"name": format!("{REGION}.{id}"), "namespace": SYSTEM_NAMESPACE});
    record["spec"]["instanceID"] = json!(id);
    record["spec"]["owner"]["name"] = json!(format!("settled-{}", number / 10));
    for row in ["/status/row", "/status/completed/0/row"] {
        record.pointer_mut(row).unwrap()["instanceID"] = json!(id);
    }
    record["status"]["completed"][0]["owner"] = record["spec"]["owner"].clone();
    record
}

/// Index instead of a walk: what a pass looks at, and what a run looks at in all but the first look at each record.
#[test]
fn work_of_a_pass_does_not_grow_with_the_number_of_records() {
    let [few, many] = [100, 10_000].map(|records| {
        let mut scenario = fleet(3, 10, &json!({}));
        scenario.objects.extend((0..records).map(settled_record));
        let report = simulate(&scenario, Plan::calm(1), Story::untold(), LIMIT);
        assert!(report.violations.is_empty() && report.at_rest, "{:?}", report.violations);
        println!("{records} records: {} read in {} passes", report.records_read, report.passes);
        (report.records_read, report.passes)
    });
    let of_settled_ones = 9_900 * 6;
    assert!(many.0 - few.0 <= of_settled_ones, "{} and {} records read", few.0, many.0);
}

#[test]
fn calls_stop_when_the_first_of_many_is_throttled() {
    let mut scenario = fleet(1, 30, &json!({}));
    let quota = Do::Ecs("ECS takes ten calls a minute", |ecs, _| ecs.set_quota("ModifyInstanceAttribute", Some(10)));
    scenario.script.push((When::At(0), quota));
    // A rate so high that claims are made, with permits, while the first calls are on their way.
    for account in scenario.objects.iter_mut().filter(|object| object["kind"] == "ECSAccount") {
        account["spec"]["limits"]["requestsPerSecond"] = json!(100);
    }
    let calls = requests(&scenario).iter().filter(|it| it.key.starts_with("ModifyInstanceAttribute")).count();
    println!("{calls} calls for 30 passwords, 10 a minute");
    assert!(calls <= 41, "{calls} calls for 30 passwords, 44 if permits outlive the throttling");
}

#[test]
fn objects_at_rest_look_at_their_secret_once_for_all() {
    const MINUTE: u64 = 60_000;
    let mut scenario = fleet(20, 1, &json!({"onSecretChange": "Reset"}));
    // The same value once more is not a change.
    scenario.script.push((When::At(50 * MINUTE), Do::Apply(secret(PASSWORD))));
    let is_look = |it: &&Asked| it.key.contains("root-password") && (10 * MINUTE..40 * MINUTE).contains(&it.at);
    let looks = requests(&scenario).iter().filter(is_look).count();
    // Every 30 seconds, whatever the number of objects.
    assert!((58..=61).contains(&looks), "{looks} looks in half an hour");
}

#[test]
fn ten_objects_of_ten_take_turns_at_their_accounts_slots() {
    const SLOTS: usize = 5;
    let mut scenario = fleet(10, 10, &json!({}));
    for account in scenario.objects.iter_mut().filter(|object| object["kind"] == "ECSAccount") {
        account["spec"]["limits"]["maxUnavailable"] = json!(SLOTS);
    }
    let requests = requests(&scenario);
    let object = |it: &Asked| it.key.strip_prefix("ModifyInstanceAttribute i-")?[..3].parse::<usize>().ok();
    let order: Vec<usize> = requests.iter().filter_map(object).collect();
    assert_eq!(order.len(), 100);
    // Whoever has just had a turn comes last. That may be before the others are there: so nobody waits for more than two rounds.
    for object in 0..10 {
        let turns: Vec<usize> = (0..order.len()).filter(|turn| order[*turn] == object).collect();
        let first = turns[0];
        let longest = turns.windows(2).map(|two| two[1] - two[0]).chain([first]).max().unwrap();
        assert!(longest <= 20, "object {object} waits for {longest} turns of others: {order:?}");
    }
}
