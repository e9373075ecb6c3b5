//! What the end of a claim says, held against what the machine did: whether it was set a password, started and stopped.

use ecs_simulator::{Core, Effect, Instance, Journal, Status};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::readings::Delivered;
use super::{Claim, Judge, text};
use crate::world::{Travel, wall};

/// How old the view of a reading may be, at most.
const LAG: SignedDuration = SignedDuration::from_mins(1);
/// A machine that was found Stopped twice, M apart, has been so for that long, but for the time that the first reading took.
const FOUND_STOPPED: SignedDuration = SignedDuration::from_secs(90);

/// An end that says that no password was set.
pub(super) struct Nothing {
    claim: Claim,
    end: String,
}

impl Judge {
    /// A claim has ended, by a write of `by`.
    pub(super) fn outcome(&mut self, record: &Value, ecs: &mut Core, now: Timestamp, by: Option<&Travel>) {
        let (claim, status) = (Claim::of(record), &record["status"]);
        let id = claim.instance_id.clone();
        let (phase, reason) = (text(&status["phase"]), status["row"]["reason"].as_str().unwrap_or("given back"));
        let end = format!("{phase} {reason}");
        *self.ends.entry(end.clone()).or_default() += 1;
        ecs.run_until(now);
        let what = format!("{claim}, {end} at {now}");
        let password = self.passwords.get(&claim).map(String::as_str);
        let in_effect = password.is_some() && ecs.in_effect_password(&id) == password;
        let waits = ecs.pending_password(&id);
        let is_set = password.is_some() && waits == password || waits.is_none() && in_effect;
        let is_gone = ecs.status(&id).is_none();
        match (phase.as_str(), reason) {
            ("Failed", "InstanceReleased") => self.require(is_gone, || format!("the machine is there: {what}")),
            // What became of a machine that was released cannot be asked any more.
            _ if is_gone => {}
            ("InEffect", _) if !in_effect && self.is_the_allowed_error(&claim, status, ecs.journal()) => {
                *self.ends.entry(format!("{end}, excused")).or_default() += 1;
                self.excused.insert(claim);
            }
            ("InEffect", _) => {
                self.require(in_effect, || format!("I2: the password is not in effect: {what}"));
                let taken = self.first_taken.get(&claim).copied();
                let has_started = taken.is_some_and(|taken| was_applied(ecs.journal(), &id, taken));
                self.require(has_started, || format!("I2: the machine has not started with it: {what}"));
            }
            ("EffectiveAtNextStart", _) => {
                self.require(is_set, || format!("no password waits for the next start: {what}"));
                if reason != "RestartPolicyNever" {
                    self.was_stopped(&claim, reason, ecs.journal(), now, by, &what);
                }
            }
            ("Failed", "RestartRefused") => {
                let is_told = text(&status["row"]["message"]).contains("the password takes effect at the next start");
                self.require(is_set && is_told, || format!("no password waits, or nobody is told: {what}"));
            }
            ("Unknown", "RestartOutcomeUnknown" | "RestartStuck") => {
                self.require(is_set, || format!("no password was set: {what}"));
            }
            ("Unknown", _) => {}
            // A copy that is still under way would set one: judged in the end.
            _ => self.nothing_set.push(Nothing { claim, end }),
        }
    }

    /// "What stays possible": another actor has started the machine in the very minute in which the password was acknowledged, just
    /// before it, and the reading by which the restart was requested has lagged and hidden that.
    fn is_the_allowed_error(&self, claim: &Claim, status: &Value, journal: &Journal) -> bool {
        let minute = |time: Timestamp| time.as_second().div_euclid(60);
        let stored = |field: &str| status[field].as_str().and_then(|time| time.parse().ok()).map(minute);
        let Some((before, acknowledged)) = stored("startTimeBefore").zip(stored("passwordAcknowledgedAt")) else {
            return false;
        };
        let Some(taken) = self.first_taken.get(claim) else { return false };
        let is_start =
            |effect: &Effect| matches!(effect, Effect::StatusChanged { to: Status::Starting | Status::Running, .. });
        before < acknowledged
            && journal.effects().any(|it| {
                let is_theirs = it.instance_id == claim.instance_id && it.cause.is_none() && is_start(&it.effect);
                is_theirs && it.at <= *taken && minute(it.at) == acknowledged
            })
    }

    /// A record that says that nothing was set is right, and no copy of the request has done so since.
    pub(super) fn nothing_was_set(&mut self) {
        for Nothing { claim, end } in std::mem::take(&mut self.nothing_set) {
            let is_set = self.passwords.contains_key(&claim);
            self.require(!is_set, || format!("{claim}, {end}: but it has set its password"));
        }
    }

    /// A claim has ended because its machine is Stopped: it was so when the last reading was made, and, unless it was so from
    /// the beginning, for long enough not to be on its way.
    fn was_stopped(
        &mut self,
        claim: &Claim,
        reason: &str,
        journal: &Journal,
        now: Timestamp,
        by: Option<&Travel>,
        what: &str,
    ) {
        let Some(by) = by else { return };
        let id = &claim.instance_id;
        let stopped = self.stopped(id, journal);
        let acknowledged = self.acknowledged.get(claim).map(|at| wall(*at));
        let shows_it = |reading: &&Delivered| reading.shows.as_ref().is_some_and(|it| it["Status"] == "Stopped");
        let seen = self.readings.latest(by.process, id, by.sent).find(shows_it).map(|reading| wall(reading.sent));
        let within = |from: Timestamp, until: Timestamp| stopped.iter().any(|it| it.0 <= until && from < it.1);
        let is_stopped = seen.is_some_and(|seen| within(seen - LAG, now));
        self.require(is_stopped, || format!("the machine is not Stopped, by the reading at {seen:?}: {what}"));
        let long_ago = wall(by.sent) - FOUND_STOPPED;
        let stays = acknowledged.is_some_and(|from| from <= long_ago && within(from - LAG, long_ago));
        self.require(stays || reason == "SetWhileStopped", || format!("the machine may start any moment: {what}"));
    }

    /// When a machine was Stopped: each time from when until when.
    fn stopped(&self, id: &str, journal: &Journal) -> Vec<(Timestamp, Timestamp)> {
        let mut all = Vec::new();
        let is_it = |instance: &&Instance| instance.instance_id == id && instance.status == Status::Stopped;
        let mut since = self.scenario.instances.iter().find(is_it).map(|_| Timestamp::MIN);
        for effect in journal.effects().filter(|effect| effect.instance_id == id) {
            match effect.effect {
                Effect::StatusChanged { to: Status::Stopped, .. } => since = Some(effect.at),
                Effect::StatusChanged { .. } => all.extend(since.take().map(|since| (since, effect.at))),
                _ => {}
            }
        }
        all.extend(since.map(|since| (since, Timestamp::MAX)));
        all
    }
}

/// Whether a start of the machine has put a password into effect since.
fn was_applied(journal: &Journal, id: &str, since: Timestamp) -> bool {
    let mut effects = journal.effects().filter(|effect| effect.instance_id == id && effect.at >= since);
    effects.any(|effect| effect.effect == Effect::PasswordInEffect)
}
