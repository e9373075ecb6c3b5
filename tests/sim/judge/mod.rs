//! What must hold whatever goes wrong, held against what ECS did and what the API server stored. It believes nothing that the
//! controller says about itself, except where the promise is about what it says.

mod claims;
mod end;
mod outcome;
mod readings;
mod selection;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use ecs_simulator::api_server::{Change, ChangeKind};
use ecs_simulator::{Core, Entry, Outcome, RequestEntry};
use http::Response;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::plan::{Ms, Plan, WrongClock};
use crate::scenario::Scenario;
use crate::world::{ProcessId, Travel, UnderWay, has_ended, wall};
use outcome::Nothing;
use readings::{Readings, permits, shown};
use selection::{Page, Selections};

pub use readings::Shown;

/// How long after its Timestamp an attempt may be sent, and how old a reading may be then; a second for the clocks' grain.
const SEND_WINDOW: SignedDuration = SignedDuration::from_secs(61);

/// How soon a process sees what another client has just written, where nothing lags.
const PROMPT: SignedDuration = SignedDuration::from_secs(2);

/// How far off a process may take ECS's clock to be: its `Date` has whole seconds, and what a clock that runs too fast has gained
/// since the last answer comes on top. It may therefore take a reading that was sent so little before a password was acknowledged for one
/// after it; that a reading may lag by a minute is what counts.
const OFF: SignedDuration = SignedDuration::from_secs(1);
const OFF_IF_TOO_FAST: SignedDuration = SignedDuration::from_secs(60);

/// The limits of an account that bound how many instances are away, in all and in each zone.
const MAX: &str = "maxUnavailable";
const MAX_PER_ZONE: &str = "maxUnavailablePerZone";

/// How long after its Timestamp ECS carries out a request.
const REQUEST_VALIDITY: SignedDuration = SignedDuration::from_secs(1_860);

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
    /// The last claim that the controller made or drove on each instance. What a person restores does not change it.
    last: BTreeMap<String, Last>,
    /// The password that a claim has set.
    passwords: BTreeMap<Claim, String>,
    /// When ECS last took a password of a claim, and when it took the one that was acknowledged.
    password_taken: BTreeMap<Claim, Ms>,
    acknowledged: BTreeMap<Claim, Ms>,
    /// Which process has written down the acknowledgement: that one knows its own order of events, and needs no grace.
    acknowledged_by: BTreeMap<Claim, ProcessId>,
    /// When ECS first took a password of a claim.
    first_taken: BTreeMap<Claim, Timestamp>,
    /// The claims that are said to be in effect, wrongly, in the one way that the contract allows.
    excused: BTreeSet<Claim>,
    /// The claims that ended without one.
    nothing_set: Vec<Nothing>,
    readings: Readings,
    /// The rules of the scenario's account; null: none.
    rules: Value,
    /// The names that processes store with their attempts, and how much longer than a second theirs is.
    processes: BTreeMap<ProcessId, (String, f64)>,
    /// The clocks of their machines, and when they began.
    clocks: BTreeMap<ProcessId, (WrongClock, Ms)>,
    /// How far off a clock may be by which something is started.
    skew_limit: SignedDuration,
    /// How many instances more than allowed may be away.
    one_more_away: u64,
    /// The holders of the Lease, from which version on.
    holders: Vec<(u64, String)>,
    /// How claims ended.
    ends: BTreeMap<String, usize>,
    /// The objects that are Ready, as `namespace/name`.
    ready: BTreeSet<String>,
    /// Since when objects and accounts are suspended.
    suspended: BTreeMap<String, Timestamp>,
    /// The limits of the account, from when on.
    limits: Vec<(Timestamp, Value)>,
    selections: Selections,
}

/// What distinguishes a claim from every other one. Its number alone does not: where a record is gone, another owner begins to
/// count from 1 again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    instance_id: String,
    /// `namespace/name`.
    owner: String,
    number: i64,
    made_at: String,
}

impl Claim {
    /// The claim in a record.
    fn of(record: &Value) -> Self {
        let spec = &record["spec"];
        Self {
            instance_id: text(&spec["instanceID"]),
            owner: format!("{}/{}", text(&spec["owner"]["namespace"]), text(&spec["owner"]["name"])),
            number: spec["claim"].as_i64().unwrap_or_default(),
            made_at: text(&spec["claimTime"]),
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "claim {} of {} on {}", self.number, self.owner, self.instance_id)
    }
}

/// The last claim on an instance.
struct Last {
    claim: Claim,
    /// The phase of its end, if that says what becomes of the password.
    said: Option<String>,
    /// Whether its record said that it has ended, or that its memory is lost.
    has_ended: bool,
}

/// An attempt, as it was stored.
struct Attempt {
    version: u64,
    claim: Claim,
    /// What its owner asked for.
    request: String,
    process: String,
    timestamp: String,
    phase: String,
    sends: usize,
}

impl Judge {
    pub fn new(scenario: &Scenario, plan: &Plan) -> Self {
        Self {
            // Two that both lead may each store a restart at the same moment.
            one_more_away: u64::from(plan.weather.is_some() && plan.clocks.len() > 1 && !plan.election),
            scenario: scenario.clone(),
            first_version: 100,
            violations: Vec::new(),
            records: BTreeMap::new(),
            attempts: Vec::new(),
            last: BTreeMap::new(),
            made_for: BTreeMap::new(),
            passwords: BTreeMap::new(),
            password_taken: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            acknowledged_by: BTreeMap::new(),
            first_taken: BTreeMap::new(),
            excused: BTreeSet::new(),
            nothing_set: Vec::new(),
            readings: Readings::default(),
            rules: scenario.rules(),
            processes: BTreeMap::new(),
            clocks: BTreeMap::new(),
            skew_limit: SignedDuration::try_from(plan.skew_limit).unwrap(),
            holders: Vec::new(),
            ends: BTreeMap::new(),
            ready: BTreeSet::new(),
            suspended: BTreeMap::new(),
            limits: Vec::new(),
            selections: Selections::default(),
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

    /// A process has begun, which stores its attempts under this name, on a machine with this clock.
    pub fn process(&mut self, id: ProcessId, name: &str, clock: WrongClock, now: Ms) {
        self.processes.insert(id, (name.to_owned(), clock.rate));
        self.clocks.insert(id, (clock, now));
    }

    /// The window of a process: it measures it by its own clock.
    fn window(&self, id: ProcessId) -> SignedDuration {
        let rate = self.processes.get(&id).map_or(1.0, |(_, rate)| *rate);
        SEND_WINDOW.mul_f64(1.0 / rate.min(1.0))
    }

    /// How far off a process may take ECS's clock to be.
    fn off(&self, id: ProcessId) -> SignedDuration {
        if self.processes.get(&id).is_some_and(|(_, rate)| *rate > 1.0) { OFF_IF_TOO_FAST } else { OFF }
    }

    /// ECS has just judged the call of a process. Returns what its answer shows, if it is one that shows instances.
    pub fn call(&mut self, ecs: &Core, travel: &Travel, answer: Option<&Response<Bytes>>) -> Option<Shown> {
        let mut entries = ecs.journal().entries().iter().rev();
        let request = entries.find_map(|it| if let Entry::Request(request) = it { Some(request) } else { None })?;
        match request.action.as_str() {
            "DescribeInstances" if request.outcome == Outcome::Executed => {
                let answer = answer?;
                let is_by_id = !request.instance_ids.is_empty();
                return Some(if is_by_id {
                    Shown::Instances(shown(&request.instance_ids, answer))
                } else {
                    Shown::Page(Page::of(travel, answer))
                });
            }
            "ModifyInstanceAttribute" => self.changing_call(ecs, request, travel, "SettingPassword"),
            "RebootInstance" => self.changing_call(ecs, request, travel, "RestartRequested"),
            _ => {}
        }
        None
    }

    /// An answer that shows instances has reached the process that waits for it; `version`: of the objects when it was asked for.
    pub fn reading(&mut self, process: ProcessId, (sent, version): (Ms, u64), now: Ms, shown: Shown) {
        match shown {
            Shown::Instances(shown) => self.readings.add(process, sent, now, shown),
            Shown::Page(page) => self.selections.page(process, version, now, page),
        }
    }

    fn changing_call(&mut self, ecs: &Core, request: &RequestEntry, travel: &Travel, phase: &str) {
        let [id] = request.instance_ids.as_slice() else { return };
        let what = format!("{} {id} signed {} by {}", request.action, request.timestamp, travel.process);
        // I3: stored, by this process, before it was sent.
        let process = self.processes.get(&travel.process).map(|(name, _)| name);
        let stored = self.attempts.iter_mut().enumerate().rev().find(|(_, attempt)| {
            attempt.version <= travel.version
                && Some(&attempt.process) == process
                && attempt.claim.instance_id == *id
                && attempt.timestamp == request.timestamp
                && attempt.phase == phase
        });
        let Some((index, attempt)) = stored else {
            self.violations.push(format!("I3: it had stored no such attempt: {what}"));
            return;
        };
        attempt.sends += 1;
        let (sends, claim) = (attempt.sends, attempt.claim.clone());
        self.made_for.insert(request.nonce.clone(), index);
        self.require(phase != "RestartRequested" || sends == 1, || format!("{what}: the attempt was sent before"));
        let (sent, window) = (wall(travel.sent), self.window(travel.process));
        let signed: Option<Timestamp> = request.timestamp.parse().ok();
        let age = signed.map(|signed| sent.duration_since(signed));
        self.require(age.is_some_and(|age| age <= window), || format!("{what}: sent {age:?} after its Timestamp"));
        let holder = self.holders.iter().rev().find(|(version, _)| *version <= travel.version);
        let leads = holder
            .is_none_or(|(_, holder)| self.processes.get(&travel.process).is_some_and(|(it, _)| holder.ends_with(it)));
        self.require(leads, || format!("{what}: another process leads"));
        // I10: a restart is requested only while nothing holds it back.
        let is_held = self.is_held(sent, self.off(travel.process));
        self.require(phase != "RestartRequested" || !is_held, || format!("I10: {what}: it is held back"));
        // I5: seen, not long before, and permitted; and before a restart, after the password was there.
        let latest = || self.readings.latest(travel.process, id, travel.sent);
        let read = latest().map(|reading| reading.sent).max();
        let age = read.map(|read| sent.duration_since(wall(read)));
        let is_permitted = self.rules.is_null()
            || latest().any(|reading| reading.shows.as_ref().is_some_and(|shows| permits(&self.rules, shows)));
        self.require(age.is_some_and(|age| age <= window), || format!("I5: {what}: last read {age:?} before"));
        self.require(is_permitted, || format!("I5: {what}: the last reading does not show it permitted"));
        let acknowledged = self.acknowledged.get(&claim).copied();
        let knows_it = self.acknowledged_by.get(&claim) == Some(&travel.process);
        let runs_right = self.processes.get(&travel.process).is_some_and(|(_, rate)| *rate <= 1.0);
        let off = if knows_it && runs_right { SignedDuration::ZERO } else { self.off(travel.process) };
        let is_early = phase == "RestartRequested"
            && acknowledged.is_none_or(|at| read.is_none_or(|read| wall(read) + off < wall(at)));
        self.require(!is_early, || format!("{what}: read at {read:?} ms, the password was set at {acknowledged:?} ms"));
        if request.action == "ModifyInstanceAttribute" && request.outcome == Outcome::Executed {
            let password = ecs.passwords_set(id).last().unwrap_or_default().to_owned();
            self.passwords.insert(claim.clone(), password);
            self.password_taken.insert(claim.clone(), millisecond(request.at));
            self.first_taken.entry(claim).or_insert(request.at);
        }
    }

    /// Something was stored, by a request if not by a person, while these copies of changing calls were under way.
    pub fn change(
        &mut self,
        change: &Change,
        ecs: &mut Core,
        now: Timestamp,
        by: Option<&Travel>,
        under_way: &[UnderWay],
    ) {
        match change.plural() {
            "resetrecords" if by.is_none() => self.restored(change),
            "resetrecords" => self.record(change, ecs, now, by, under_way),
            "passwordresets" => {
                self.suspension(change, now);
                self.one_password(change);
                self.selection(change, by);
                // A person may have restored what began with a claim that nobody remembers.
                if by.is_some() && !self.restores() {
                    self.run_begins_with_a_claim(change.object());
                }
            }
            "ecsaccounts" => {
                self.suspension(change, now);
                self.note_limits(change, now);
            }
            "leases" => self.holders.push((change.version, text(&change.object()["spec"]["holderIdentity"]))),
            _ => {}
        }
    }

    /// Whether something is restored from a backup in this run.
    pub fn restores(&self) -> bool {
        self.scenario.restores()
    }

    /// A person has deleted a record or restored it.
    fn restored(&mut self, change: &Change) {
        let name = text(&change.object()["metadata"]["name"]);
        if change.kind == ChangeKind::Deleted {
            self.records.remove(&name);
        } else {
            self.records.insert(name, change.object().clone());
        }
    }

    /// I8, of an account: no more claims are in progress than it has slots. One that arrived late was decided by what was known before; how
    /// many machines are away is judged in the end.
    fn account_bound(&mut self, claim: &Claim, now: Timestamp, is_in_time: bool) {
        if !is_in_time {
            return;
        }
        let open = self.records.values().filter(|record| !has_ended(record["status"]["phase"].as_str()));
        let zone = |record: &Value| self.scenario.zone_of(record["spec"]["instanceID"].as_str().unwrap_or_default());
        let is_same_zone = |record: &&Value| zone(record) == self.scenario.zone_of(&claim.instance_id);
        let counts = [
            (open.clone().count() as u64, self.allowed(MAX, now)),
            (open.filter(is_same_zone).count() as u64, self.allowed(MAX_PER_ZONE, now)),
        ];
        for (open, allowed) in counts {
            self.require(allowed.is_none_or(|allowed| open <= allowed), || {
                format!("I8: {open} claims are in progress with {claim}, of {allowed:?}")
            });
        }
    }

    fn note_limits(&mut self, change: &Change, now: Timestamp) {
        let limits = change.object()["spec"]["limits"].clone();
        if self.limits.last().is_none_or(|(_, before)| *before != limits) {
            self.limits.push((now, limits));
        }
    }

    /// How many instances of the account may be away because of what is let through at a moment: the most that its limits have allowed
    /// since shortly before, as what was let through then is on its way for a while. `None`: any number.
    fn allowed(&self, limit: &str, at: Timestamp) -> Option<u64> {
        let since = at - self.grace();
        let began = self.limits.iter().rposition(|(from, _)| *from <= since).unwrap_or_default();
        let in_force = self.limits.iter().skip(began).filter(|(from, _)| *from <= at);
        let most = in_force.map(|(_, limits)| limits[limit].as_u64().unwrap_or(u64::MAX)).max();
        most.filter(|most| *most < u64::MAX).map(|most| most + self.one_more_away)
    }

    /// How long what was let through is on its way.
    fn grace(&self) -> SignedDuration {
        if self.scenario.is_prompt { PROMPT } else { SEND_WINDOW }
    }

    fn suspension(&mut self, change: &Change, now: Timestamp) {
        let object = change.object();
        let name = format!("{} {}", change.plural(), text(&object["metadata"]["name"]));
        let holds = object["spec"]["suspend"] == true || object["spec"]["mode"] == "Plan";
        if holds && change.kind != ChangeKind::Deleted {
            // Nothing was let through before an object that was created so.
            let since = if change.kind == ChangeKind::Added { Timestamp::MIN } else { now };
            self.suspended.entry(name).or_insert(since);
        } else {
            self.suspended.remove(&name);
        }
    }

    /// Whether nothing may be begun at a moment by a process that is `off` at most: what was let through just before is on its way for a
    /// while.
    fn is_held(&self, at: Timestamp, off: SignedDuration) -> bool {
        let (is_closed, long_before) = (self.scenario.is_closed, at - self.grace());
        let is_suspended = self.suspended.values().any(|since| *since < long_before);
        is_suspended || (is_closed(at) && is_closed(long_before) && is_closed(at + off))
    }

    /// I2, of a run: an object is Ready only where all instances of its run have the same password.
    fn one_password(&mut self, change: &Change) {
        let object = change.object();
        let (status, name) = (&object["status"], text(&object["metadata"]["name"]));
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        let is_ready = conditions.any(|it| it["type"] == "Ready" && it["status"] == "True");
        let key = format!("{}/{name}", text(&object["metadata"]["namespace"]));
        if is_ready && change.kind != ChangeKind::Deleted {
            self.ready.insert(key);
        } else {
            self.ready.remove(&key);
        }
        if !is_ready || self.restores() {
            return;
        }
        let start = text(&status["run"]["startTime"]);
        let entries =
            self.records.values().flat_map(|record| record["status"]["completed"].as_array().into_iter().flatten());
        let is_of_run = |entry: &&Value| {
            entry["owner"]["name"] == name && !start.is_empty() && text(&entry["row"]["passwordSetTime"]) >= start
        };
        let passwords: BTreeSet<String> =
            entries.filter(is_of_run).map(|entry| text(&entry["fingerprint"]["value"])).collect();
        self.require(passwords.len() <= 1, || {
            format!("I2: {name} is Ready over {} passwords of one run", passwords.len())
        });
    }

    fn record(&mut self, change: &Change, ecs: &mut Core, now: Timestamp, by: Option<&Travel>, under_way: &[UnderWay]) {
        let record = change.object();
        let name = text(&record["metadata"]["name"]);
        let before = self.records.insert(name.clone(), record.clone()).unwrap_or_default();
        let (spec, status) = (&record["spec"], &record["status"]);
        let claim = Claim::of(record);
        if before["status"]["memoryLostTime"] != status["memoryLostTime"] {
            // Written over what was restored: no end of a claim, and no claim.
            *self.ends.entry(format!("{} {}", text(&status["phase"]), text(&status["row"]["reason"]))).or_default() +=
                1;
            self.said_after_a_loss(record);
            if let Some(last) = self.last.get_mut(&claim.instance_id) {
                last.has_ended = true;
            }
            return;
        }
        if before["status"]["attempt"]["id"] != status["attempt"]["id"] && !status["attempt"].is_null() {
            self.attempts.push(Attempt {
                version: change.version,
                claim: claim.clone(),
                request: format!("{} {}", spec["tokens"], spec["retry"]),
                process: text(&status["attempt"]["process"]),
                timestamp: text(&status["attempt"]["timestamp"]),
                phase: text(&status["phase"]),
                sends: 0,
            });
        }
        let is_another = !before.is_null() && Claim::of(&before) != claim;
        let is_new = (before.is_null() || is_another) && by.is_some();
        let off = by.map_or(OFF, |by| self.off(by.process));
        self.require(!is_new || !self.is_held(now, off), || {
            format!("I10: {claim} was made at {now}, and it is held back")
        });
        if let Some(by) = by.filter(|_| is_new) {
            self.number_rises(&claim);
            self.is_a_target(&claim, record, by);
            self.clock_is_right(&claim, by.process, by.sent);
        }
        if is_another {
            // I4: nothing of the claim before can still arrive.
            let until = before["status"]["unansweredUntil"].as_str().and_then(|until| until.parse::<Timestamp>().ok());
            self.require(until.is_none_or(|until| until <= now + off), || {
                format!("I4: {claim} was made at {now}, and the one before is unanswered until {until:?}")
            });
            let is_alive =
                |it: &&UnderWay| it.instance_id == claim.instance_id && now <= it.timestamp + REQUEST_VALIDITY;
            let alive = under_way.iter().filter(is_alive).count();
            self.require(alive == 0, || {
                format!("I4: {claim} was made at {now}, and {alive} copies may still be carried out")
            });
            self.require(has_ended(before["status"]["phase"].as_str()), || {
                format!("{claim} took the place of one that had not ended")
            });
        }
        let is_in_time = by.is_some_and(|by| now <= wall(by.sent) + PROMPT);
        self.account_bound(&claim, now, is_new && is_in_time);
        // I4, where the record is gone: its owner says so first.
        let open = self.last.get(&claim.instance_id).filter(|last| is_new && before.is_null() && !last.has_ended);
        let of_another = open.filter(|last| last.claim.owner != claim.owner).map(|last| last.claim.clone());
        self.require(of_another.is_none(), || {
            format!("I4: {claim} was made over {of_another:?}, whose record is gone")
        });
        let (was, is) = (&before["status"]["phase"], &status["phase"]);
        let begins_to_be = |phase: &str| is == phase && (was != phase || is_another);
        let ends = has_ended(is.as_str()) && begins_to_be(is.as_str().unwrap_or_default());
        // A person may have restored the record of an earlier claim. A note on a claim that had ended does not make it the last.
        if ends || !has_ended(is.as_str()) {
            let has_ended = has_ended(is.as_str());
            let last = Last { claim: claim.clone(), said: said(status), has_ended };
            self.last.insert(claim.instance_id.clone(), last);
        }
        if begins_to_be("PasswordSet")
            && let Some(taken) = self.password_taken.get(&claim)
        {
            // Back from a restart that was not sent, it is still the same acknowledgement.
            self.acknowledged.entry(claim.clone()).or_insert(*taken);
            let writer = by.map(|by| by.process);
            if let Some(writer) = writer {
                self.acknowledged_by.entry(claim).or_insert(writer);
            }
        }
        if ends {
            self.outcome(record, ecs, now, by);
        }
    }

    /// The controller has written down that a memory was lost. That is not a new claim. Where it says how the last claim ended, that
    /// has to be true. What was said of the last claim before still counts.
    fn said_after_a_loss(&mut self, record: &Value) {
        let Claim { instance_id, owner, number, .. } = Claim::of(record);
        // A record that is made again has a time of its own.
        let last = self.last.get_mut(&instance_id).filter(|it| it.claim.owner == owner && it.claim.number == number);
        if let (Some(last), Some(phase)) = (last, said(&record["status"])) {
            last.said = Some(phase);
        }
    }
}

/// The phase of an end that says what becomes of the claim's password.
fn said(status: &Value) -> Option<String> {
    let phase = text(&status["phase"]);
    let is_said = match phase.as_str() {
        "InEffect" | "EffectiveAtNextStart" => true,
        "Failed" => status["row"]["reason"] == "RestartRefused",
        _ => false,
    };
    is_said.then_some(phase)
}

fn millisecond(at: Timestamp) -> Ms {
    Ms::try_from(at.duration_since(wall(0)).as_millis()).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
