//! When two states are the same: when the same can happen from here on. The search keeps a digest of that, no states.
//!
//! - Moments count by their distances. A distance that is longer than anything that is compared counts as all longer ones;
//!   what is left of it is which half of the minute it ends in.
//!   So no moment is noted that lies before now and was not noted before: it would cut a long distance into two, of which one
//!   is no longer long.
//! - Names of processes and attempts count by what they are equal to.
//! - What only people read does not count, nor a moment that nothing looks at any more.
//!
//! The last point follows from how `decide` is written, so it may become wrong; the search tries samples of states that were
//! taken for equal, and complains when their successors differ.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use ecs_password_reset::api::conditions;
use ecs_password_reset::api::password_reset::{InstanceRow, PasswordResetStatus, Requested, Run};
use ecs_password_reset::api::reset_record::{
    Attempt, OwnerHistory, Phase, ResetRecord, ResetRecordSpec, ResetRecordStatus,
};
use ecs_password_reset::decide::budget;
use ecs_password_reset::decide::claim::step::Call;
use ecs_password_reset::decide::claim::transition::fold;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::controller::not_sent;
use crate::ecs::{Accepted, Machine, View};
use crate::setup::{HORIZON, Setup};
use crate::world::{
    Backup, Copy, Pass, Process, Sending, Stored, Version, World, at, attempt, copy, instance, send_window, tick,
};

/// The digest of everything that counts in a state.
pub fn digest(setup: &Setup, world: &World) -> u64 {
    let mut canon = Canon { setup, world, words: DefaultHasher::new(), moments: Vec::with_capacity(64) };
    canon.state();
    let Canon { mut words, moments, .. } = canon;
    squeeze(&moments, world.now).hash(&mut words);
    words.finish()
}

/// The moments, with every distance between neighbours cut to the horizon and the half of the minute kept.
fn squeeze(moments: &[i64], now: i64) -> Vec<i64> {
    let mut order = moments.to_vec();
    order.push(now);
    order.sort_unstable();
    order.dedup();
    let mut places = Vec::with_capacity(order.len());
    let mut place = order.first().map_or(0, |first| first.rem_euclid(2));
    for (index, moment) in order.iter().enumerate() {
        if index > 0 {
            let distance = moment - order[index - 1];
            place += if distance > HORIZON { HORIZON + (distance - HORIZON) % 2 } else { distance };
        }
        places.push(place);
    }
    let place_of = |moment: &i64| places[order.binary_search(moment).unwrap()];
    moments.iter().chain([&now]).map(place_of).collect()
}

struct Canon<'a> {
    setup: &'a Setup,
    world: &'a World,
    words: DefaultHasher,
    moments: Vec<i64>,
}

impl Canon<'_> {
    fn word(&mut self, word: impl Hash) {
        word.hash(&mut self.words);
    }

    fn moment(&mut self, moment: i64) {
        self.moments.push(moment);
    }

    /// A moment, if there is one and it still counts; else only whether there is one.
    fn time(&mut self, time: Option<&Time>, counts: bool) {
        self.word(time.is_some());
        if let Some(time) = time.filter(|_| counts) {
            self.moment(tick(time.0));
        }
    }

    /// A moment that is only ever asked whether it has come.
    fn deadline(&mut self, time: Option<&Time>, after: i64) {
        let comes = time.map(|time| tick(time.0)).filter(|then| then + after > self.world.now);
        self.word((time.is_some(), comes.is_some()));
        comes.into_iter().for_each(|then| self.moment(then));
    }

    fn state(&mut self) {
        let World {
            now: _,
            records,
            machines,
            copies,
            processes,
            lead,
            behind,
            object,
            status,
            backup,
            secret,
            histories,
            log,
            left,
            names: _,
            broken,
        } = self.world;
        self.word((left, secret, broken.is_some(), object.exists, object.held, object.run, object.retry, object.uid));
        let resolution = object.resolution.as_ref();
        self.word(resolution.map(|it| (&it.instance_id, it.claim, format!("{:?}", it.decision))));
        for (index, record) in records.iter().enumerate() {
            self.word(&histories[index]);
            self.version(record.as_ref());
            self.word(behind[index].is_some());
            if let Some(shown) = &behind[index] {
                self.version(shown.as_ref());
            }
        }
        self.status(status);
        self.word(backup.is_some());
        if let Some(Backup { records: old, status: old_status }) = backup {
            let is_present = |(old, new): (&Option<Version>, &Option<Version>)| match (old, new) {
                (Some(old), Some(new)) => Rc::ptr_eq(old, new),
                (old, new) => old.is_none() && new.is_none(),
            };
            old.iter().zip(records).for_each(|pair| self.word(is_present(pair)));
            old.iter().for_each(|record| self.version(record.as_ref()));
            self.word(Rc::ptr_eq(old_status, status));
            self.status(old_status);
        }
        log.iter().for_each(|stored| self.log(stored));
        machines.iter().for_each(|machine| self.machine(machine));
        let mut copies = copies.clone();
        copies.sort_unstable();
        self.word(copies.len());
        for copy in copies {
            self.word((copy.instance, copy.reboot, copy.claim));
            self.moment(copy.timestamp);
        }
        // Which of the two leads does not count, only what each has under way.
        self.process(&processes[*lead]);
        self.process(&processes[1 - *lead]);
    }

    /// Of the object's status the decisions read the rows, what they answer, and the run. The rest is for people.
    fn status(&mut self, status: &PasswordResetStatus) {
        let PasswordResetStatus { run, requested, instances, conditions, .. } = status;
        self.word(conditions::find(conditions, conditions::READY).map(|ready| &ready.status));
        if let Some(Run { number: _, trigger: _, run_id: _, tokens, retry, fingerprint, start_time, completion_time }) =
            run
        {
            self.word((tokens, retry, fingerprint.as_ref().map(|it| &it.value), completion_time.is_some()));
            self.moment(tick(start_time.0));
            completion_time.iter().for_each(|end| self.moment(tick(end.0)));
        }
        if let Some(Requested { tokens, retry, fingerprint }) = requested {
            self.word((tokens, retry, fingerprint.as_ref().map(|it| &it.value)));
        }
        for row in instances {
            self.word((row.claim, row.attempts));
            self.row(row, true);
            self.time(row.password_set_time.as_ref(), true);
        }
    }

    fn machine(&mut self, machine: &Machine) {
        let Machine {
            view,
            past,
            stored,
            in_effect,
            accepted,
            slow,
            restarted,
            touched,
            crossed,
            crowded,
            hidden,
            describable,
        } = machine;
        self.word(hidden);
        self.moment(*describable);
        self.word((stored, in_effect, slow, restarted, touched, crossed, crowded, past.len()));
        self.word(accepted.len());
        for Accepted { at, claim } in accepted {
            self.word(claim);
            self.moment(*at);
        }
        for View { status, start_time, permitted, hidden, since, from, until } in past {
            self.word((status, permitted, hidden));
            [start_time + 1, *since, *from, *until].into_iter().for_each(|moment| self.moment(moment));
        }
        // A StartTime is noted as the end of its minute, which is not before now when it is new.
        self.word((view.status, view.permitted));
        [view.start_time + 1, view.since, view.from].into_iter().for_each(|moment| self.moment(moment));
    }

    fn process(&mut self, process: &Process) {
        let Process { id: _, sent, forbidden, passes, frozen } = process;
        self.word(frozen);
        for asked_at in forbidden {
            self.word(asked_at.map(|then| (self.world.now - then).min(send_window() + 1)));
        }
        for (instance, sent) in sent.iter().enumerate() {
            let current = self.world.records[instance].as_ref().and_then(|record| attempt(record));
            self.word(current.is_some_and(|attempt| sent.as_ref() == Some(&attempt.id)));
            // The leader acts on what its watch shows, where that is behind.
            let shown = self.world.behind[instance].iter().flatten().find_map(|record| attempt(record));
            self.word(shown.is_some_and(|attempt| sent.as_ref() == Some(&attempt.id)));
        }
        for pass in passes {
            match pass {
                Pass::Idle => self.word(0),
                Pass::Store { base, record, then } => {
                    let instance = instance(record);
                    self.word((1, instance));
                    if self.held(base.as_ref(), instance) {
                        self.version(Some(record));
                        self.word(then.is_some());
                        then.iter().for_each(|sending| self.sending(*sending));
                    }
                }
                Pass::Send { record, sending } | Pass::Await { record, sending } => {
                    self.word(if matches!(pass, Pass::Send { .. }) { 2 } else { 3 });
                    if !self.held(Some(record), instance(record)) {
                        // A write that says nothing new is not even tried.
                        let after = fold(record, sending.call, &not_sent(), at(self.world.now));
                        self.word(record.status.as_ref() == Some(&after));
                    }
                    self.sending(*sending);
                    let copy = copy(record, *sending);
                    self.word((copy.reboot, copy.claim));
                    self.moment(copy.timestamp);
                    let stored = self.world.records[copy.instance].as_ref().and_then(|stored| attempt(stored));
                    self.word(stored.map(|it| &it.id) == attempt(record).map(|it| &it.id));
                }
            }
        }
    }

    /// A version that a pass holds, as it will be compared: whether it is the present one. If it is not, the write that
    /// rests on it fails and nothing else of it counts; without compare-and-swap all of it does. Returns whether it counts.
    fn held(&mut self, version: Option<&Version>, instance: usize) -> bool {
        let is_present = match (version, &self.world.records[instance]) {
            (Some(version), Some(present)) => Rc::ptr_eq(version, present),
            (None, None) => true,
            _ => false,
        };
        self.word(is_present);
        if !is_present && !self.setup.compare_and_swap {
            self.version(version);
        }
        is_present || !self.setup.compare_and_swap
    }

    fn sending(&mut self, sending: Sending) {
        let Sending { call, read_at, permitted } = sending;
        self.word(match call {
            Call::SetPassword => 0,
            Call::SetPasswordAsStored => 1,
            Call::Restart { .. } => 2,
        });
        // All that is asked is whether a send window has passed since.
        self.word(((self.world.now - read_at).min(send_window() + 1), permitted));
    }

    /// The order in which attempts were stored does not count.
    fn log(&mut self, log: &[Stored]) {
        let role = |stored: &Stored| stored.process == self.world.processes[self.world.lead].id;
        let mut log: Vec<_> = log.iter().map(|stored| (role(stored), stored.request, stored.sent)).collect();
        log.sort_unstable();
        self.word(log.len());
        for (role, Copy { instance: _, reboot, claim, timestamp }, sent) in log {
            self.word((role, reboot, claim, sent));
            self.moment(timestamp);
        }
    }

    fn version(&mut self, version: Option<&Version>) {
        self.word(version.is_some());
        let Some(version) = version else { return };
        let ResetRecord { metadata: _, spec, status } = &**version;
        self.word(status.is_some());
        let status = status.clone().unwrap_or_default();
        self.claim(spec, status.phase);
        self.progress(&status);
    }

    fn claim(&mut self, spec: &ResetRecordSpec, phase: Phase) {
        let ResetRecordSpec {
            claim,
            claim_time,
            owner,
            account_name: _,
            region_id: _,
            instance_id: _,
            tokens,
            retry,
            fingerprint,
            password_secret_ref: _,
            restart_policy: _,
            max_unavailable: _,
            zone_id: _,
            min_ready_seconds: _,
            timeout_seconds: _,
            stable_state_timeout_seconds: _,
            window_end: _,
            state_seen,
        } = spec;
        self.word((claim, &owner.uid, tokens, retry, &fingerprint.value));
        // A restart that was refused or not sent leads back to where it counts.
        self.word((!phase.has_ended()).then_some(state_seen));
        // Where there is a status, a claim belongs to a run by its time.
        self.time(Some(claim_time), phase == Phase::SettingPassword || self.setup.has_status);
    }

    fn progress(&mut self, status: &ResetRecordStatus) {
        let over = status.phase.has_ended() && !budget::awaits_availability(status);
        let ResetRecordStatus {
            phase,
            attempt,
            unanswered_until,
            unknown_outcome: _,
            refusal,
            password_acknowledged_at,
            restart_held_since,
            restart_released_at,
            start_time_before,
            accepted_at,
            left_running,
            start_time_evidence,
            last_restart_time,
            available_time,
            memory_lost_time,
            row,
            completed,
        } = status;
        self.word(format!("{phase:?}{start_time_evidence:?}"));
        self.word((refusal.is_some(), *left_running, completed.len(), memory_lost_time.is_some()));
        self.deadline(unanswered_until.as_ref(), crate::ecs::SETTLE);
        self.time(password_acknowledged_at.as_ref(), !over);
        // Since when it is held counts for nothing, and until when only for the timeout of the restart that is not accepted yet.
        self.word(restart_held_since.is_some());
        let is_to_come = matches!(phase, Phase::PasswordSet | Phase::RestartRequested);
        self.time(restart_released_at.as_ref(), is_to_come);
        self.word(start_time_before.is_some());
        start_time_before.iter().filter(|_| !over).for_each(|time| self.moment(tick(time.0) + 1));
        self.time(accepted_at.as_ref(), !over);
        self.time(available_time.as_ref(), false);
        self.deadline(last_restart_time.as_ref(), crate::setup::MIN_RESTART_INTERVAL);
        if let Some(attempt) = attempt.as_ref().filter(|_| !over) {
            self.attempt(attempt);
        }
        self.word(row.is_some());
        row.iter().for_each(|row| self.row(row, !over));
        for OwnerHistory { owner, tokens, retry, fingerprint, last_password_set_time, row } in completed {
            // Times of different owners are compared, and there is one owner here.
            self.word((&owner.uid, tokens, retry, &fingerprint.value, last_password_set_time.is_some()));
            self.row(row, false);
        }
    }

    fn attempt(&mut self, attempt: &Attempt) {
        let Attempt { id: _, process, number, timestamp, found_unanswered_until } = attempt;
        let writer = |process_at: usize| self.world.processes[process_at].id == *process;
        let role = (writer(self.world.lead), writer(1 - self.world.lead));
        self.word((role, *number));
        self.time(Some(timestamp), true);
        // It may become `unansweredUntil` again.
        self.deadline(found_unanswered_until.as_ref(), crate::ecs::SETTLE);
    }

    /// The decisions read a row's state, its reason and two times. The rest is for people.
    fn row(&mut self, row: &InstanceRow, counts: bool) {
        self.word(format!("{:?}", row.state));
        self.word((&row.reason, row.password_set_time.is_some()));
        self.time(row.state_time.as_ref(), counts);
    }
}
