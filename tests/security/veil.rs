//! The words for a machine of others equal those for one that does not exist, to the byte. There is not a word of it anywhere
//! else. It compares; which layer lets nobody reach the machine is for others to judge.

use serde_json::{Value, json};

use crate::attempt::Attempt;
use crate::common::{NAMESPACE, condition, eventually, manifests, row};
use crate::people::{NOWHERE, OURS, SHARED, Town, Who};
use crate::settle::WORDS;

/// The rows of the attempt's object, that of the asker's own machine aside.
///
/// # Errors
/// When one differs from that of a machine that does not exist.
pub fn rows_tell_nothing(town: &Town, attempt: &Attempt) -> Result<(), String> {
    let (namespace, name) = &attempt.told_on;
    let expected = town.nowhere[0].get_or_init(|| {
        ask_for_nothing(town, "nowhere", json!({}));
        let object = looked_at(town, NAMESPACE, "nowhere");
        masked(row(&object["status"], NOWHERE), &object, NOWHERE)
    });
    let object = looked_at(town, namespace, name);
    for id in others(&object) {
        let told = masked(row(&object["status"], id), &object, id);
        if told != *expected {
            return Err(format!("the row of {id} is {told}, and that of no machine {expected}"));
        }
    }
    let read = ["--namespace", namespace, "get", "passwordreset", name, "--output=json"];
    says_nothing(&town.as_user(attempt.who, &read, "")?)
}

/// The whole status of the attempt's object when all has ended, and its events.
///
/// # Errors
/// When a word of them is another than for a machine that does not exist.
pub fn all_tells_nothing(town: &Town, attempt: &Attempt) -> Result<(), String> {
    let (namespace, name) = &attempt.told_on;
    let expected = town.nowhere[1].get_or_init(|| {
        ask_for_nothing(town, "nowhere-ended", json!({"stableStateTimeoutSeconds": 1}));
        ended(town, Who::Alice, NAMESPACE, "nowhere-ended")
    });
    let told = ended(town, attempt.who, namespace, name);
    if told != *expected {
        return Err(format!("{told:#}\nis told, and of no machine {expected:#}"));
    }
    let describe = ["--namespace", namespace, "describe", "passwordreset", name];
    says_nothing(&town.as_user(attempt.who, &describe, "")?)
}

/// # Errors
/// When a word of a machine of others is in the text.
pub fn says_nothing(text: &str) -> Result<(), String> {
    let text = text.to_lowercase();
    match WORDS.iter().find(|word| text.contains(**word)) {
        None => Ok(()),
        Some(word) => Err(format!("{word} is told: {text}")),
    }
}

fn ask_for_nothing(town: &Town, name: &str, more: Value) {
    let mut object = manifests::password_reset(NAMESPACE, name, more);
    object["spec"]["instanceIDs"] = json!([NOWHERE]);
    object["spec"]["accountRef"] = json!({"name": SHARED});
    town.as_user(Who::Alice, &["create", "--filename=-"], &object.to_string()).unwrap();
}

/// The object once each of its machines was read, and the asker's own is done.
fn looked_at(town: &Town, namespace: &str, name: &str) -> Value {
    eventually(&format!("all machines of {namespace}/{name} were looked at"), || {
        let object = town.world.get_in(namespace, "passwordreset", name);
        let status = &object["status"];
        let of_others = others(&object).iter().all(|id| {
            let reason = &row(status, id)["reason"];
            reason.is_string() && *reason != "Pending"
        });
        let own = OURS.iter().all(|id| {
            let state = &row(status, id)["state"];
            state.is_null() || state == "InEffect"
        });
        let rerun = &object["metadata"]["annotations"]["ecs.password-reset.dev/rerun-requested-at"];
        let current =
            status["observedGeneration"] == object["metadata"]["generation"] && status["lastHandledRerun"] == *rerun;
        (current && of_others && own).then_some(object)
    })
}

/// The machines that the object names, without the asker's own.
fn others(object: &Value) -> Vec<&str> {
    let ids = object["spec"]["instanceIDs"].as_array().unwrap().iter().map(|id| id.as_str().unwrap());
    ids.filter(|id| !OURS.contains(id)).collect()
}

/// The status and the events of an object of one machine that has ended, as its user reads them, without what is its own.
fn ended(town: &Town, who: Who, namespace: &str, name: &str) -> Value {
    let read = |what: &[&str]| -> Value {
        let read = [what, &["--namespace", namespace, "--output=json"]].concat();
        serde_json::from_str(&town.as_user(who, &read, "").unwrap()).unwrap()
    };
    eventually(&format!("{namespace}/{name} has ended, and an event says so"), || {
        let object = read(&["get", "passwordreset", name]);
        let stalled = condition(&object["status"], "Stalled")["status"] == "True";
        let of_object = format!("--field-selector=involvedObject.name={name}");
        let events = read(&["get", "events", &of_object])["items"].take();
        let told = |event: &Value| json!([event["type"], event["reason"], event["message"]]);
        let mut events: Vec<Value> = events.as_array().unwrap().iter().map(told).collect();
        events.sort_by_key(Value::to_string);
        let warned = events.iter().any(|event| event[0] == "Warning");
        let id = object["spec"]["instanceIDs"][0].as_str().unwrap();
        let all = json!({"status": object["status"], "events": events});
        (stalled && warned).then(|| masked(&all, &object, id))
    })
}

/// A part of a status without its moments, and without what the asker has said: the id, the region, the account and the
/// namespace.
fn masked(part: &Value, object: &Value, id: &str) -> Value {
    let spec = &object["spec"];
    let said = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    let account = said(&spec["accountRef"]["name"]);
    let own = [
        (id.to_owned(), "ID"),
        (format!(" in {},", said(&spec["regionID"])), " in REGION,"),
        (format!("ECSAccount {account} "), "ECSAccount ACCOUNT "),
        (format!("for namespace {};", said(&object["metadata"]["namespace"])), "for namespace NAMESPACE;"),
        (format!("passwordreset {} ", said(&object["metadata"]["name"])), "passwordreset NAME "),
        (format!("-n {} ", said(&object["metadata"]["namespace"])), "-n NAMESPACE "),
    ];
    let mut part = part.clone();
    mask(&mut part, &own);
    part
}

fn mask(part: &mut Value, own: &[(String, &str)]) {
    match part {
        Value::Object(fields) => {
            fields.retain(|name, _| !name.ends_with("Time") && name != "accountName");
            fields.values_mut().for_each(|value| mask(value, own));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, own)),
        Value::String(text) => {
            for (said, instead) in own {
                *text = text.replace(said, instead);
            }
            // Until when an instance is waited for depends on when the object was made.
            if let Some((before, until)) = text.split_once("; waiting until ") {
                assert!(until.starts_with("20") && until.len() == "2026-11-29T10:00:00Z".len(), "{until}");
                *text = before.to_owned();
            }
        }
        _ => {}
    }
}
