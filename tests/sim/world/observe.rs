//! After something was written: who has to hear of it, what people do about it, and whether anything is left to happen.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use ecs_password_reset::decide::history;
use ecs_simulator::Entry;
use ecs_simulator::api_server::{Answer, Change};
use http::Request;
use serde_json::{Value, json};

use super::{Happening, State, Travel, wall};
use crate::plan::Ms;
use crate::scenario::{Backup, CONSENT, Do, Power, REGION, SYSTEM_NAMESPACE, When};

/// Longer than any call that ECS executes takes.
const HALF_AN_HOUR: Ms = 30 * 60 * 1000;

/// By when a changed Secret has been seen.
const SECRET_IS_SEEN: Ms = 120_000;

impl State {
    /// Takes in what was written since the last look, by a request if not by a person.
    pub(super) fn look(&mut self, by: Option<&Travel>) {
        self.tell_of_ecs();
        let seen = self.looked_at;
        if self.api.version() == seen {
            return;
        }
        self.looked_at = self.api.version();
        let mut changes: Vec<Change> = self.api.changes().rev().take_while(|it| it.version > seen).cloned().collect();
        changes.reverse();
        let under_way = self.under_way();
        for change in &changes {
            self.story.note(self.now, || format!("stored: {}", summary(change)));
            let now = wall(self.now);
            self.judge.change(change, &mut self.ecs, now, by, &under_way);
            for index in 0..self.script.len() {
                let is_due =
                    |(when, _): &(When, Do)| matches!(when, When::Phase(id, phase) if shows(change, id, phase));
                if self.script[index].as_ref().is_some_and(is_due) {
                    self.schedule(self.now + 1, "act", Happening::Act(index));
                }
            }
        }
        self.pump_all();
    }

    /// What has happened at ECS since the last look, for the story.
    fn tell_of_ecs(&mut self) {
        if !self.story.is_told() {
            return;
        }
        self.ecs.run_until(wall(self.now));
        let told = self.ecs_told;
        for entry in &self.ecs.journal().entries()[told..] {
            let (at, line) = match entry {
                Entry::Request(it) if it.action.starts_with("Describe") || it.action.starts_with("Get") => continue,
                Entry::Request(it) => (it.at, format!("ECS: {} {:?}: {:?}", it.action, it.instance_ids, it.outcome)),
                Entry::Effect(it) => (it.at, format!("ECS: {}: {:?}", it.instance_id, it.effect)),
            };
            let at = Ms::try_from(at.duration_since(wall(0)).as_millis()).unwrap_or_default();
            self.story.note(at, || line);
        }
        self.ecs_told = self.ecs.journal().entries().len();
    }

    /// A person does something.
    pub(super) fn act(&mut self, index: usize) {
        if let Some((_, Do::Restore { objects, .. })) = self.script[index]
            && !self.statuses_show_the_records(objects)
        {
            return self.schedule(self.now + 100, "act", Happening::Act(index));
        }
        let Some((_, what)) = self.script[index].take() else { return };
        self.story.note(self.now, || format!("somebody: {what:?}"));
        match what {
            Do::Apply(object) => {
                self.apply(&object);
                if object["kind"] == "Secret" {
                    // An object at rest looks at its Secret now and then: until it has, nothing is at rest.
                    self.schedule(self.now + SECRET_IS_SEEN, "act", Happening::Act(index));
                }
            }
            Do::Delete { plural, namespace, name } => {
                let kind = super::process::kinds().into_iter().find(|kind| kind.plural == plural).unwrap();
                let version = kind.api_version();
                let root = if version.contains('/') { "/apis" } else { "/api" };
                let path = format!("{root}/{version}/namespaces/{namespace}/{plural}/{name}");
                let (code, answer) = self.request("DELETE", &path, &Value::Null);
                assert_eq!(code, 200, "{answer}");
            }
            Do::Power(power, id) => {
                let (ecs, now) = (&mut self.ecs, wall(self.now));
                // What ECS refuses does not happen.
                let _ = match power {
                    Power::Reboot => ecs.reboot(now, &id),
                    Power::Stop => ecs.stop(now, &id),
                    Power::Start => ecs.start(now, &id),
                    Power::Off => ecs.power_off(now, &id),
                };
            }
            Do::Tag(id, is_there) => {
                // One that was released has no tags.
                if let Some(tags) = self.ecs.instance_mut(&id).map(|instance| &mut instance.tags) {
                    let (key, value) = CONSENT;
                    drop(if is_there { tags.insert(key.to_owned(), value.to_owned()) } else { tags.remove(key) });
                }
            }
            Do::Release(id) => self.ecs.remove_instance(wall(self.now), &id),
            Do::Ecs(_, act) => act(&mut self.ecs, wall(self.now)),
            Do::Restore { records, objects } => {
                self.restore("resetrecords", records);
                self.restore("passwordresets", objects);
            }
        }
        self.look(None);
    }

    /// Whether each claim's row in its owner's status is as far as in its record: what happened within the second before a status
    /// is written is known to the record alone. A row that waits for another claim is further, unless its object is put back to
    /// what it asked for before.
    fn statuses_show_the_records(&self, objects: Backup) -> bool {
        let shows = |record: &Value| {
            let (owner, row) = (&record["spec"]["owner"], &record["status"]["row"]);
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let object = self.api.stored("passwordresets", &text(&owner["namespace"]), &text(&owner["name"]));
            let rows = object.and_then(|object| object["status"]["instances"].as_array()).into_iter().flatten();
            let same = |shown: &Value, field: &str| shown[field] == row[field];
            let ends = ["InEffect", "EffectiveAtNextStart", "Failed"];
            let is_over = objects == Backup::Untouched && ends.contains(&&*text(&row["state"]));
            let waits_again =
                |shown: &Value| is_over && shown["attempts"].as_u64().unwrap_or(0) == 0 && same(shown, "claim");
            let mut shown = rows.filter(|shown| shown["instanceID"] == record["spec"]["instanceID"]);
            object.is_none()
                || row.is_null()
                || shown.any(|shown| {
                    let is_same = ["attempts", "state", "claim"].iter().all(|it| same(shown, it));
                    is_same || shown["state"] == "Superseded" || waits_again(shown)
                })
        };
        self.api.stored_all("resetrecords").all(shows)
    }

    /// Deletes all objects of a kind and creates what a backup holds of them.
    fn restore(&mut self, plural: &'static str, backup: Backup) {
        if backup == Backup::Untouched {
            return;
        }
        let present: Vec<Value> = self.api.stored_all(plural).cloned().collect();
        for object in present {
            let (namespace, name) = (object["metadata"]["namespace"].clone(), object["metadata"]["name"].clone());
            let is_it = |change: &&Change| change.plural() == plural && change.object()["metadata"]["name"] == name;
            let versions: Vec<Value> = self.api.changes().filter(is_it).map(|it| it.object().clone()).collect();
            let kept = match backup {
                Backup::Untouched | Backup::Gone => None,
                Backup::Bare => Some(object),
                Backup::Older(by) => versions.len().checked_sub(by + 1).map(|at| versions[at].clone()),
            };
            let kind = super::process::kinds().into_iter().find(|kind| kind.plural == plural).unwrap();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let path = format!("/apis/{}/namespaces/{}/{plural}", kind.api_version(), text(&namespace));
            let (code, answer) = self.request("DELETE", &format!("{path}/{}", text(&name)), &Value::Null);
            assert_eq!(code, 200, "{answer}");
            let Some(mut kept) = kept else { continue };
            kept["metadata"] = json!({"namespace": namespace, "name": name});
            if backup == Backup::Bare {
                kept.as_object_mut().unwrap().remove("status");
            }
            let (code, answer) = self.request("POST", &path, &kept);
            assert!(code < 300, "{path}: {answer}");
        }
    }

    /// `kubectl apply`: creates the object, or merges it into the one that is there. A status that it has by then is set too.
    pub(super) fn apply(&mut self, object: &Value) {
        let mut object = object.clone();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let served = super::process::kinds().into_iter().find(|it| it.kind == kind && it.api_version() == version);
        let (plural, has_status) = served.map(|it| (it.plural, it.has_status)).unwrap();
        if let Some(Value::Object(texts)) = object.as_object_mut().and_then(|it| it.remove("stringData")) {
            object["data"] =
                texts.iter().map(|(key, value)| (key.clone(), json!(BASE64.encode(text(value))))).collect();
        }
        let root = if version.contains('/') { "/apis" } else { "/api" };
        let namespace = text(&object["metadata"]["namespace"]);
        let within = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
        let path = format!("{root}/{version}{within}/{plural}");
        let name = text(&object["metadata"]["name"]);
        let exists = self.api.stored(&plural, &namespace, &name).is_some();
        let (code, answer) = if exists {
            self.request("PATCH", &format!("{path}/{name}"), &object)
        } else {
            self.request("POST", &path, &object)
        };
        assert!(code < 300, "{path}: {answer}");
        if has_status && !object["status"].is_null() {
            let status = json!({"status": object["status"]});
            let (code, answer) = self.request("PATCH", &format!("{path}/{name}/status"), &status);
            assert!(code < 300, "{path}: {answer}");
        }
    }

    fn request(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = Request::builder().method(method).uri(path).header("content-type", kind).body(body).unwrap();
        let Answer::Whole(answer) = self.api.handle(wall(self.now), &request) else { panic!("{path} is a watch") };
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap())
    }

    /// Nothing runs any more: what is under way arrives, and ECS does what it has accepted.
    pub fn let_everything_arrive(&mut self) {
        while let Some(((at, ..), happening)) = self.agenda.pop_first() {
            if let Happening::Arrive(travel) = happening {
                self.now = self.now.max(at);
                self.arrive(travel);
            }
        }
        self.now += HALF_AN_HOUR;
        self.ecs.run_until(wall(self.now));
        self.tell_of_ecs();
    }

    /// The judgement over the whole run.
    pub fn conclude(&mut self, at_rest: bool) {
        let panics = self.panics();
        let missed = if at_rest && !self.judge.restores() { self.missed() } else { Vec::new() };
        let silent = if at_rest { self.silent() } else { Vec::new() };
        self.judge.end(&self.ecs, panics, &missed, &silent);
    }

    /// The instances whose rows wait although nothing is left to happen and no person is asked.
    fn silent(&self) -> Vec<String> {
        let mut silent = Vec::new();
        for object in self.api.stored_all("passwordresets").filter(|object| !is_stalled(object)) {
            let rows = object["status"]["instances"].as_array().into_iter().flatten();
            let waits = |row: &&Value| {
                let ends = ["InEffect", "EffectiveAtNextStart", "Superseded", "Expired", "Failed", "Unknown"];
                !ends.iter().any(|end| row["state"] == *end)
            };
            silent.extend(
                rows.filter(waits).map(|row| format!("{} of {}", row["instanceID"], object["metadata"]["name"])),
            );
        }
        silent
    }

    /// The instances that an object names and for which what it asks for was not done, although it says that it is done with them.
    fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        for object in self.api.stored_all("passwordresets").filter(|object| !is_stalled(object)) {
            let owner = &object["metadata"]["name"];
            let asked = history::tokens(object["spec"]["runID"].as_str(), None);
            let is_done = |entry: &Value| {
                let run: Vec<&str> =
                    entry["tokens"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                entry["owner"]["name"] == *owner
                    && asked.iter().all(|token| run.contains(&token.as_str()))
                    && matches!(entry["row"]["state"].as_str(), Some("InEffect" | "EffectiveAtNextStart"))
            };
            let listed = object["spec"]["instanceIDs"].as_array();
            let ids = listed.or_else(|| object["status"]["targets"]["instanceIDs"].as_array()).into_iter().flatten();
            for id in ids.filter_map(Value::as_str) {
                let record = self.api.stored("resetrecords", SYSTEM_NAMESPACE, &format!("{REGION}.{id}"));
                let completed = record.and_then(|record| record["status"]["completed"].as_array());
                // Whatever came of it, another object has reset the instance since.
                let is_in = |state: &str| {
                    let mut rows = object["status"]["instances"].as_array().into_iter().flatten();
                    rows.any(|row| row["instanceID"] == id && row["state"] == state)
                };
                let is_superseded =
                    is_in("Superseded") && record.is_some_and(|record| record["spec"]["owner"]["name"] != *owner);
                let is_expired = is_in("Expired") && object["spec"]["notAfter"].is_string();
                if !is_superseded && !is_expired && !completed.into_iter().flatten().any(is_done) {
                    missed.push(format!("{id} of {owner}"));
                }
            }
        }
        missed
    }

    /// What ECS was asked and what happened there.
    pub fn journal(&self) -> Vec<String> {
        let line = |entry: &Entry| match entry {
            Entry::Request(it) => format!("{} {} {:?} {:?}", it.at, it.action, it.instance_ids, it.outcome),
            Entry::Effect(it) => format!("{} {} {:?}", it.at, it.instance_id, it.effect),
        };
        self.ecs.journal().entries().iter().map(line).collect()
    }

    /// Whether nobody has anything left to do: people, machines that start again, claims, objects. People who wait for a
    /// phase that never comes lose patience: they act once nothing else happens.
    pub(super) fn is_at_rest(&mut self) -> bool {
        if !self.is_quiet() {
            return false;
        }
        let Some(index) = self.script.iter().position(Option::is_some) else {
            return !self.judge.lags_behind_the_secret(&self.ecs);
        };
        self.act(index);
        false
    }

    fn is_quiet(&self) -> bool {
        let has_ended = |record: &Value| record["status"].is_object() && has_ended(record["status"]["phase"].as_str());
        self.api.stored_all("resetrecords").all(has_ended)
            && self.api.stored_all("passwordresets").all(is_settled)
            && !self.agenda.values().any(|it| matches!(it, Happening::Start(_) | Happening::Act(_)))
    }
}

/// Whether a claim in this phase has ended.
pub fn has_ended(phase: Option<&str>) -> bool {
    matches!(phase, None | Some("Idle" | "InEffect" | "EffectiveAtNextStart" | "Failed" | "Unknown"))
}

fn is_settled(object: &Value) -> bool {
    let status = &object["status"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut working = conditions.filter(|it| it["type"] == "Reconciling" && it["status"] == "True");
    status["observedGeneration"] == object["metadata"]["generation"] && working.next().is_none()
}

/// Whether an object says that a person has to act.
fn is_stalled(object: &Value) -> bool {
    let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|it| it["type"] == "Stalled" && it["status"] == "True")
}

fn shows(change: &Change, instance_id: &str, phase: &str) -> bool {
    let object = change.object();
    change.plural() == "resetrecords"
        && object["spec"]["instanceID"] == instance_id
        && object["status"]["phase"] == phase
}

fn summary(change: &Change) -> String {
    let object = change.object();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let more = match change.plural() {
        "resetrecords" => format!(
            "claim {} {} attempt {} at {}, unanswered until {}, {}",
            spec["claim"],
            text(&status["phase"]),
            status["attempt"]["number"],
            text(&status["attempt"]["timestamp"]),
            text(&status["unansweredUntil"]),
            text(&status["row"]["message"]),
        ),
        "passwordresets" => {
            let ready = status["conditions"].as_array().into_iter().flatten().find(|it| it["type"] == "Ready");
            let ready = ready.cloned().unwrap_or_default();
            format!("Ready {} {}: {}", text(&ready["status"]), text(&ready["reason"]), text(&ready["message"]))
        }
        "events" => format!("{}: {}", text(&object["reason"]), text(&object["note"])),
        _ => String::new(),
    };
    format!("{} {:?} {} {more}", change.version, change.kind, text(&metadata["name"]))
}
