//! The judgement over a whole run.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ecs_simulator::{Core, Effect, Journal, Outcome, RequestEntry, Status};

use super::{Attempt, Claim, Judge, Last, MAX, MAX_PER_ZONE};

/// Why a claim may end as Unknown; protocol and documentation name no others.
const UNKNOWN: [&str; 3] = ["Unknown PasswordOutcomeUnknown", "Unknown RestartOutcomeUnknown", "Unknown RestartStuck"];

impl Judge {
    /// Everything has come to rest, and every request that was under way has arrived or died.
    pub fn end(&mut self, ecs: &Core, panicked: bool, missed: &[String], silent: &[String]) {
        self.require(silent.is_empty(), || format!("I9: {silent:?} wait, nothing is tried, and no one is asked"));
        self.require(missed.is_empty(), || format!("I6: nothing was done about {missed:?}, and no one was told"));
        self.require(!panicked, || "a pass panicked".to_owned());
        self.restarts(ecs.journal());
        self.away(ecs.journal());
        self.nothing_was_set();
        self.passwords_stay(ecs);
        let is_lost = |end: &str| self.restores() && end == "Unknown MemoryLost";
        let is_known = |end: &str| UNKNOWN.contains(&end) || is_lost(end);
        let is_odd = |end: &&String| end.starts_with("Unknown") && !is_known(end);
        let odd: Vec<String> = self.ends.keys().filter(is_odd).cloned().collect();
        self.require(odd.is_empty(), || format!("I6: ends that no one may come to: {odd:?}"));
        let forced = ecs.journal().requests().any(|it| it.force_stop || it.action == "StopInstance");
        self.require(!forced, || "an instance was stopped".to_owned());
    }

    /// I1: one restart per claim, and no more than were asked for.
    fn restarts(&mut self, journal: &Journal) {
        let mut by_claim: BTreeMap<Claim, usize> = BTreeMap::new();
        let mut by_request: BTreeMap<(String, String, String), usize> = BTreeMap::new();
        let mut by_instance: BTreeMap<String, usize> = BTreeMap::new();
        for request in journal.requests().filter(|it| it.action == "RebootInstance" && it.outcome == Outcome::Executed)
        {
            let Some(Attempt { claim, request, .. }) =
                self.made_for.get(&request.nonce).and_then(|index| self.attempts.get(*index))
            else {
                continue;
            };
            *by_claim.entry(claim.clone()).or_default() += 1;
            let Claim { instance_id, owner, .. } = claim.clone();
            *by_request.entry((instance_id.clone(), owner, request.clone())).or_default() += 1;
            *by_instance.entry(instance_id).or_default() += 1;
        }
        for (Claim { instance_id, owner, number, .. }, count) in by_claim {
            self.require(count <= 1, || {
                format!("I1: {instance_id} was restarted {count} times for claim {number} of {owner}")
            });
        }
        // A claim that is made once more for the same request has a name of its own. In a run without a restore a person may ask for
        // one, by RestartAgain.
        by_request.retain(|_, _| self.restores());
        for ((instance_id, owner, _), count) in by_request {
            self.require(count <= 1, || {
                format!("I1: {instance_id} was restarted {count} times for one request of {owner}")
            });
        }
        for (instance_id, asked) in self.scenario.runs.clone() {
            let count = by_instance.get(instance_id).copied().unwrap_or_default();
            self.require(count <= asked, || format!("I1: {instance_id} was restarted {count} times for {asked} runs"));
        }
    }

    /// I8: of an owner's instances no more are away because of us than it allows.
    fn away(&mut self, journal: &Journal) {
        let requests: BTreeMap<&str, &RequestEntry> =
            journal.requests().map(|it| (it.request_id.as_str(), it)).collect();
        let mut away: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut most: BTreeMap<String, u64> = BTreeMap::new();
        let mut too_many = BTreeSet::new();
        for effect in journal.effects() {
            match (&effect.effect, &effect.cause) {
                (Effect::RebootBegan, Some(cause)) => {
                    let Some(request) = requests.get(cause.as_str()) else { continue };
                    let made_for = self.made_for.get(&request.nonce);
                    let Some(attempt) = made_for.and_then(|index| self.attempts.get(*index)) else { continue };
                    // Another actor was quicker to restart it, so its slot was free: it cannot be known that ours follows.
                    if by_somebody_else(journal, &effect.instance_id, request.seq..effect.seq) {
                        continue;
                    }
                    let theirs = away.entry(attempt.claim.owner.clone()).or_default();
                    theirs.insert(effect.instance_id.clone());
                    let most = most.entry(attempt.claim.owner.clone()).or_default();
                    *most = (theirs.len() as u64).max(*most);
                    let in_all = away.values().map(|theirs| theirs.len() as u64).sum();
                    let zone = self.scenario.zone_of(&effect.instance_id);
                    let is_same_zone = |id: &&String| self.scenario.zone_of(id) == zone;
                    let in_zone = away.values().flatten().filter(is_same_zone).count() as u64;
                    let counts = [("the account", in_all, MAX), ("a zone", in_zone, MAX_PER_ZONE)];
                    too_many.extend(counts.into_iter().filter_map(|(of, count, limit)| {
                        let allowed = self.allowed(limit, request.at)?;
                        (count > allowed).then_some((of, count, allowed))
                    }));
                }
                (Effect::StatusChanged { to: Status::Running | Status::Stopped, .. } | Effect::Released, _) => {
                    for theirs in away.values_mut() {
                        theirs.remove(&effect.instance_id);
                    }
                }
                _ => {}
            }
        }
        for (of, count, allowed) in too_many {
            self.require(false, || format!("I8: {count} instances of {of} were away at once, of {allowed}"));
        }
        for (owner, most) in most {
            let allowed = self.scenario.max_unavailable(&owner) + self.one_more_away;
            self.require(most <= allowed, || {
                format!("I8: {most} instances of {owner} were away at once, of {allowed}")
            });
        }
    }

    /// I2, where a changed Secret asks for a run: whether an instance of an object that is Ready, and so neither paused nor unable to begin,
    /// ended well with an earlier value. There is no rest before it has the last one.
    pub fn lags_behind_the_secret(&self, ecs: &Core) -> bool {
        let Some(wanted) = self.scenario.last_password else { return false };
        let ended = self.last.values().filter(|last| last.said.as_deref() == Some("InEffect"));
        let mut of_ready = ended.filter(|last| self.ready.contains(&last.claim.owner));
        of_ready.any(|last| ecs.in_effect_password(&last.claim.instance_id).is_some_and(|has| has != wanted))
    }

    /// I2, in the end: no late copy has put another password into effect, or made another one wait, once a claim has said of
    /// its own what becomes of it. The last claim counts, whatever claim a restored record holds.
    fn passwords_stay(&mut self, ecs: &Core) {
        for Last { claim, said, .. } in std::mem::take(&mut self.last).into_values() {
            let id = &claim.instance_id;
            let Some(phase) = said.filter(|_| !self.excused.contains(&claim) && ecs.status(id).is_some()) else {
                continue;
            };
            let password = self.passwords.get(&claim).map(String::as_str);
            let (pending, in_effect) = (ecs.pending_password(id), ecs.in_effect_password(id));
            let is_last = if pending.is_some() { pending == password } else { in_effect == password };
            let holds = is_last && (phase != "InEffect" || in_effect == password);
            self.require(holds, || format!("I2: {id} has another password than {claim}, which is {phase}"));
        }
    }
}

/// Whether a person outside the API restarted an instance between two entries of the journal.
fn by_somebody_else(journal: &Journal, instance_id: &str, between: Range<u64>) -> bool {
    journal.effects().any(|it| {
        let has_started = matches!(it.effect, Effect::StatusChanged { to: Status::Running, .. });
        has_started && it.instance_id == instance_id && it.cause.is_none() && between.contains(&it.seq)
    })
}
