//! The judgement over a whole run.

use std::collections::{BTreeMap, BTreeSet};

use ecs_simulator::{Core, Effect, Journal, Outcome, Status};

use super::Judge;

/// Why a claim may end as Unknown; protocol and documentation name no others.
const UNKNOWN: [&str; 3] = ["Unknown PasswordOutcomeUnknown", "Unknown RestartOutcomeUnknown", "Unknown RestartStuck"];

impl Judge {
    /// Everything has come to rest, and every request that was under way has arrived or died.
    pub fn end(&mut self, ecs: &Core, panicked: bool) {
        self.require(!panicked, || "a pass panicked".to_owned());
        self.restarts(ecs.journal());
        self.away(ecs.journal());
        self.passwords_stay(ecs);
        let is_odd = |end: &&String| end.starts_with("Unknown") && !UNKNOWN.contains(&end.as_str());
        let odd: Vec<String> = self.ends.keys().filter(is_odd).cloned().collect();
        self.require(odd.is_empty(), || format!("I6: ends that no one may come to: {odd:?}"));
        let forced = ecs.journal().requests().any(|it| it.force_stop || it.action == "StopInstance");
        self.require(!forced, || "an instance was stopped".to_owned());
    }

    /// I1: one restart per claim, and no more than were asked for.
    fn restarts(&mut self, journal: &Journal) {
        let mut by_claim: BTreeMap<(String, i64), usize> = BTreeMap::new();
        let mut by_instance: BTreeMap<String, usize> = BTreeMap::new();
        for request in journal.requests().filter(|it| it.action == "RebootInstance" && it.outcome == Outcome::Executed)
        {
            let Some(attempt) = self.made_for.get(&request.nonce).and_then(|index| self.attempts.get(*index)) else {
                continue;
            };
            *by_claim.entry((attempt.instance_id.clone(), attempt.claim)).or_default() += 1;
            *by_instance.entry(attempt.instance_id.clone()).or_default() += 1;
        }
        for ((instance_id, claim), count) in by_claim {
            self.require(count <= 1, || format!("I1: {instance_id} was restarted {count} times for claim {claim}"));
        }
        for (instance_id, asked) in self.scenario.runs.clone() {
            let count = by_instance.get(instance_id).copied().unwrap_or_default();
            self.require(count <= asked, || format!("I1: {instance_id} was restarted {count} times for {asked} runs"));
        }
    }

    /// I8: of an owner's instances no more are away because of us than it allows.
    fn away(&mut self, journal: &Journal) {
        let nonces: BTreeMap<&str, &str> =
            journal.requests().map(|it| (it.request_id.as_str(), it.nonce.as_str())).collect();
        let mut away: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut most: BTreeMap<String, usize> = BTreeMap::new();
        for effect in journal.effects() {
            match (&effect.effect, &effect.cause) {
                (Effect::RebootBegan, Some(cause)) => {
                    let made_for = nonces.get(cause.as_str()).and_then(|nonce| self.made_for.get(*nonce));
                    let Some(attempt) = made_for.and_then(|index| self.attempts.get(*index)) else { continue };
                    let theirs = away.entry(attempt.owner.clone()).or_default();
                    theirs.insert(effect.instance_id.clone());
                    let most = most.entry(attempt.owner.clone()).or_default();
                    *most = theirs.len().max(*most);
                }
                (Effect::StatusChanged { to: Status::Running | Status::Stopped, .. }, _) => {
                    away.values_mut().for_each(|theirs| drop(theirs.remove(&effect.instance_id)));
                }
                _ => {}
            }
        }
        for (owner, most) in most {
            let allowed = self.scenario.max_unavailable(&owner);
            self.require(most <= allowed, || {
                format!("I8: {most} instances of {owner} were away at once, of {allowed}")
            });
        }
    }

    /// I2, in the end: no late copy has put another password into effect, or made another one wait.
    fn passwords_stay(&mut self, ecs: &Core) {
        let in_effect = self.records.values().filter(|record| record["status"]["phase"] == "InEffect");
        let claims: Vec<(String, i64)> = in_effect
            .map(|record| {
                (super::text(&record["spec"]["instanceID"]), record["spec"]["claim"].as_i64().unwrap_or_default())
            })
            .collect();
        for (instance_id, claim) in claims {
            let password = self.passwords.get(&(instance_id.clone(), claim)).map(String::as_str);
            let pending = ecs.pending_password(&instance_id);
            let holds = ecs.in_effect_password(&instance_id) == password && (pending.is_none() || pending == password);
            self.require(holds, || {
                format!("I2: {instance_id} has another password than claim {claim}, which is InEffect")
            });
        }
    }
}
