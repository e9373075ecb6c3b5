//! What must hold whatever goes wrong, held against what ECS did and what the API server stored. It believes nothing that the
//! controller says about itself, except where the promise is about what it says.

mod end;

use std::collections::BTreeMap;

use ecs_simulator::api_server::Change;
use ecs_simulator::{Core, Entry, Outcome, RequestEntry};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::plan::Ms;
use crate::scenario::Scenario;
use crate::world::{ProcessId, Travel, has_ended, wall};

/// How long after its Timestamp an attempt may be sent, and how old a reading may be then; a second for the clocks' grain.
const SEND_WINDOW: SignedDuration = SignedDuration::from_secs(61);

/// The judge of one run.
pub struct Judge {
    scenario: Scenario,
    first_version: u64,
    violations: Vec<String>,
    /// The newest version of each record.
    records: BTreeMap<String, Value>,
    attempts: Vec<Attempt>,
    /// Which attempt each changing call was made for, by its nonce.
    made_for: BTreeMap<String, usize>,
    /// The password that a claim has set, by instance and claim.
    passwords: BTreeMap<(String, i64), String>,
    /// When ECS last took a password of a claim, by instance and claim, and when it took the one that was acknowledged.
    password_taken: BTreeMap<(String, i64), Ms>,
    acknowledged: BTreeMap<(String, i64), Ms>,
    /// When each process last sent a read of each instance.
    reads: BTreeMap<(ProcessId, String), Ms>,
    /// The names that processes store with their attempts.
    processes: BTreeMap<ProcessId, String>,
    /// Who has held the Lease, from which version on.
    holders: Vec<(u64, String)>,
    /// How claims ended.
    ends: BTreeMap<String, usize>,
}

/// An attempt, as it was stored.
struct Attempt {
    version: u64,
    instance_id: String,
    claim: i64,
    owner: String,
    process: String,
    timestamp: String,
    phase: String,
    sends: usize,
}

impl Judge {
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            scenario: scenario.clone(),
            first_version: 100,
            violations: Vec::new(),
            records: BTreeMap::new(),
            attempts: Vec::new(),
            made_for: BTreeMap::new(),
            passwords: BTreeMap::new(),
            password_taken: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            reads: BTreeMap::new(),
            processes: BTreeMap::new(),
            holders: Vec::new(),
            ends: BTreeMap::new(),
        }
    }

    /// The oldest version that the past may show.
    pub fn first_version(&self) -> u64 {
        self.first_version
    }

    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    pub fn ends(&self) -> &BTreeMap<String, usize> {
        &self.ends
    }

    fn require(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(what());
        }
    }

    /// A process has begun, which stores its attempts under this name.
    pub fn process(&mut self, id: ProcessId, name: &str) {
        self.processes.insert(id, name.to_owned());
    }

    /// ECS has just judged the call of a process.
    pub fn call(&mut self, ecs: &Core, travel: &Travel) {
        let Some(Entry::Request(request)) =
            ecs.journal().entries().iter().rev().find(|it| matches!(it, Entry::Request(_)))
        else {
            return;
        };
        match request.action.as_str() {
            "DescribeInstances" if request.outcome == Outcome::Executed => {
                for id in &request.instance_ids {
                    let last = self.reads.entry((travel.process, id.clone())).or_default();
                    *last = travel.sent.max(*last);
                }
            }
            "ModifyInstanceAttribute" => self.changing_call(ecs, request, travel, "SettingPassword"),
            "RebootInstance" => self.changing_call(ecs, request, travel, "RestartRequested"),
            _ => {}
        }
    }

    fn changing_call(&mut self, ecs: &Core, request: &RequestEntry, travel: &Travel, phase: &str) {
        let [id] = request.instance_ids.as_slice() else { return };
        let what = format!("{} {id} signed {} by {}", request.action, request.timestamp, travel.process);
        // I3: stored, by this process, before it was sent.
        let process = self.processes.get(&travel.process);
        let stored = self.attempts.iter_mut().enumerate().rev().find(|(_, attempt)| {
            attempt.version <= travel.version
                && Some(&attempt.process) == process
                && attempt.instance_id == *id
                && attempt.timestamp == request.timestamp
                && attempt.phase == phase
        });
        let Some((index, attempt)) = stored else {
            self.violations.push(format!("I3: it had stored no such attempt: {what}"));
            return;
        };
        attempt.sends += 1;
        let (sends, claim) = (attempt.sends, attempt.claim);
        self.made_for.insert(request.nonce.clone(), index);
        self.require(phase != "RestartRequested" || sends == 1, || format!("{what}: the attempt was sent before"));
        let sent = wall(travel.sent);
        let signed: Option<Timestamp> = request.timestamp.parse().ok();
        let age = signed.map(|signed| sent.duration_since(signed));
        self.require(age.is_some_and(|age| age <= SEND_WINDOW), || format!("{what}: sent {age:?} after its Timestamp"));
        let holder = self.holders.iter().rev().find(|(version, _)| *version <= travel.version);
        let leads =
            holder.is_none_or(|(_, holder)| self.processes.get(&travel.process).is_some_and(|it| holder.ends_with(it)));
        self.require(leads, || format!("{what}: another process leads"));
        // I5: seen, not long before; and before a restart, after the password was there.
        let read = self.reads.get(&(travel.process, id.clone())).copied();
        let age = read.map(|read| sent.duration_since(wall(read)));
        self.require(age.is_some_and(|age| age <= SEND_WINDOW), || format!("I5: {what}: last read {age:?} before"));
        let acknowledged = self.acknowledged.get(&(id.clone(), claim)).copied();
        let is_early = phase == "RestartRequested" && (acknowledged.is_none() || read < acknowledged);
        self.require(!is_early, || format!("{what}: read at {read:?} ms, the password was set at {acknowledged:?} ms"));
        if request.action == "ModifyInstanceAttribute" && request.outcome == Outcome::Executed {
            let password = ecs.passwords_set(id).last().unwrap_or_default().to_owned();
            self.passwords.insert((id.clone(), claim), password);
            self.password_taken.insert((id.clone(), claim), millisecond(request.at));
        }
    }

    /// Something was stored.
    pub fn change(&mut self, change: &Change, ecs: &mut Core, now: Timestamp) {
        match change.plural() {
            "resetrecords" => self.record(change, ecs, now),
            "leases" => self.holders.push((change.version, text(&change.object()["spec"]["holderIdentity"]))),
            _ => {}
        }
    }

    fn record(&mut self, change: &Change, ecs: &mut Core, now: Timestamp) {
        let record = change.object();
        let name = text(&record["metadata"]["name"]);
        let before = self.records.insert(name.clone(), record.clone()).unwrap_or_default();
        let (spec, status) = (&record["spec"], &record["status"]);
        let (instance_id, claim) = (text(&spec["instanceID"]), spec["claim"].as_i64().unwrap_or_default());
        if before["status"]["attempt"]["id"] != status["attempt"]["id"] && !status["attempt"].is_null() {
            self.attempts.push(Attempt {
                version: change.version,
                instance_id: instance_id.clone(),
                claim,
                owner: format!("{}/{}", text(&spec["owner"]["namespace"]), text(&spec["owner"]["name"])),
                process: text(&status["attempt"]["process"]),
                timestamp: text(&status["attempt"]["timestamp"]),
                phase: text(&status["phase"]),
                sends: 0,
            });
        }
        if !before.is_null() && before["spec"]["claim"] != spec["claim"] {
            // I4: nothing of the claim before can still arrive.
            let until = before["status"]["unansweredUntil"].as_str().and_then(|until| until.parse::<Timestamp>().ok());
            self.require(until.is_none_or(|until| until <= now + SignedDuration::from_secs(1)), || {
                format!("I4: claim {claim} on {instance_id} was made at {now}, and the one before is unanswered until {until:?}")
            });
            self.require(has_ended(before["status"]["phase"].as_str()), || {
                format!("claim {claim} on {instance_id} took the place of one that had not ended")
            });
        }
        let (was, is) = (&before["status"]["phase"], &status["phase"]);
        let begins_to_be = |phase: &str| is == phase && (was != phase || before["spec"]["claim"] != spec["claim"]);
        if begins_to_be("PasswordSet")
            && let Some(taken) = self.password_taken.get(&(instance_id.clone(), claim))
        {
            // Back from a restart that was not sent, it is still the same acknowledgement.
            self.acknowledged.entry((instance_id.clone(), claim)).or_insert(*taken);
        }
        if begins_to_be("InEffect") {
            // I2: it is, at this moment.
            ecs.run_until(now);
            let password = self.passwords.get(&(instance_id.clone(), claim)).map(String::as_str);
            let holds = password.is_some() && ecs.in_effect_password(&instance_id) == password;
            self.require(holds, || {
                format!("I2: claim {claim} on {instance_id} is called InEffect at {now}, and is not")
            });
        }
        if has_ended(is.as_str()) && begins_to_be(is.as_str().unwrap_or_default()) {
            let reason = status["row"]["reason"].as_str().unwrap_or("given back");
            *self.ends.entry(format!("{} {reason}", text(is))).or_default() += 1;
        }
    }
}

fn millisecond(at: Timestamp) -> Ms {
    Ms::try_from(at.duration_since(wall(0)).as_millis()).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
