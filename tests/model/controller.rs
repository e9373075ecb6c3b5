//! A controller around the real decisions: it reads, asks `decide`, stores by compare-and-swap and sends, in the order in
//! which `src/controllers` does. It decides nothing; where the two differ, the model proves nothing about the real one.

use std::rc::Rc;

use ecs_password_reset::api::Reason;
use ecs_password_reset::api::ecs_account::StartTimeFollowsReboot;
use ecs_password_reset::api::reset_record::{Phase, ResetRecord, ResetRecordStatus};
use ecs_password_reset::decide::claim::next::next;
use ecs_password_reset::decide::claim::start_time_evidence::{self, Evidence};
use ecs_password_reset::decide::claim::step::{Call, ClaimFacts, Sendable, Step};
use ecs_password_reset::decide::claim::transition::{CallOutcome, NewAttempt, apply, fold, intend};
use ecs_password_reset::decide::restart_hold::RestartHold;
use ecs_password_reset::decide::{Hold, Reading, SEND_WINDOW, budget};

use crate::claims::{fingerprint, row};
use crate::setup::Setup;
use crate::world::{
    INSTANCES, OBJECT, Pass, Process, Sending, Version, World, at, attempt, copy, instance, phase, tick,
};

/// Where the next step of a pass over a record leads; `None`: it waits.
pub fn look(setup: &Setup, world: &World, process: usize, instance: usize, reading: &Reading) -> Option<Pass> {
    let version = known(world, process, instance)?;
    let me = &world.processes[process];
    let now = at(world.now);
    let own = attempt(version).filter(|attempt| attempt.process == me.id);
    let phase = phase(version);
    let observed = ClaimFacts {
        record: version,
        process: &me.id,
        unsent: own.is_some_and(|attempt| me.sent[instance].as_ref() != Some(&attempt.id)),
        reading: Some(reading),
        sendable: sendable(world, version),
        restart_hold: restart_hold(world),
        start_time_follows_reboot: matches!(phase, Phase::RestartRequested | Phase::Restarting)
            && start_time_evidence::learn(setup.known, evidence(world)) == StartTimeFollowsReboot::Observed,
        others_away: budget::others_away(&ledger(world), version, now),
        describable_since: world.machines[instance].describable_since(reading),
        is_listed: true,
        owner_row: row(world, instance),
        bounds: setup.bounds,
    };
    let store = |status: ResetRecordStatus, then| {
        let record = Rc::new(ResetRecord { status: Some(status), ..(**version).clone() });
        Pass::Store { base: Some(Rc::clone(version)), record, then }
    };
    let sending = |call| {
        let permitted = reading.seen.as_ref().is_some_and(|seen| seen.permitted);
        Sending { call, read_at: tick(reading.sent_at), permitted }
    };
    match next(&observed, now) {
        Step::Done | Step::Wait { .. } => None,
        Step::Write(change) => {
            let status = apply(version, change, Some(reading), now);
            (version.status.as_ref() != Some(&status)).then(|| store(status, None))
        }
        Step::Call(Call::SetPasswordAsStored) => {
            Some(Pass::Send { record: Rc::clone(version), sending: sending(Call::SetPasswordAsStored) })
        }
        Step::Call(call) => {
            let id = format!("a{}", world.names + 1);
            let attempt = NewAttempt { id, process: me.id.clone(), timestamp: now, replaces_unsent: observed.unsent };
            Some(store(intend(version, call, attempt, setup.bounds), Some(sending(call))))
        }
    }
}

/// The record as a process knows it: the leader by its watch and its own writes, which may be behind what a rival has written.
pub fn known(world: &World, process: usize, instance: usize) -> Option<&Version> {
    if process == world.lead { world.ledger(instance) } else { world.records[instance].as_ref() }
}

/// What the object and its account say of a restart.
fn restart_hold(world: &World) -> RestartHold {
    if world.object.held { RestartHold::Held(Hold::new(Reason::Suspended, "")) } else { RestartHold::None }
}

/// The Secret holds the claimed password, or never will again as far as this claim can tell.
fn sendable(world: &World, record: &ResetRecord) -> Sendable {
    if phase(record) != Phase::SettingPassword {
        return Sendable::Yes;
    }
    match world.secret {
        Some(secret) if fingerprint(secret) == record.spec.fingerprint => Sendable::Yes,
        Some(_) => Sendable::Never("the Secret was changed after the claim".to_owned()),
        None => Sendable::Never("the Secret is gone".to_owned()),
    }
}

/// The records as the leader knows them.
pub fn ledger(world: &World) -> Vec<&ResetRecord> {
    (0..INSTANCES.len()).filter_map(|instance| world.ledger(instance)).map(Rc::as_ref).collect()
}

/// Stores what a pass has decided, unless another writer was quicker. Returns the record that is stored now.
pub fn store(setup: &Setup, world: &mut World, process: usize, job: usize) -> Option<Version> {
    let Pass::Store { base, record, then } = std::mem::replace(&mut world.processes[process].passes[job], Pass::Idle)
    else {
        return None;
    };
    let instance = instance(&record);
    let current = &world.records[instance];
    let same = match (&base, current) {
        (Some(base), Some(current)) => Rc::ptr_eq(base, current),
        (None, None) => true,
        _ => false,
    };
    if !same && setup.compare_and_swap {
        // What it knows of the record is doubted, and read again.
        if process == world.lead {
            world.behind[instance] = None;
        }
        return None;
    }
    let is_restart = matches!(then, Some(Sending { call: Call::Restart { .. }, .. }));
    let is_claim = current.as_ref().is_none_or(|current| current.spec.claim != record.spec.claim)
        && phase(&record) == Phase::SettingPassword;
    if (is_restart || is_claim) && !has_slot(setup, world, process, &record, is_restart) {
        return None;
    }
    if is_restart {
        let others = written_by(world, |writer| writer != world.processes[process].id);
        world.machines[instance].crowded = !fits(setup, &others, &record, true, world.now);
    }
    world.records[instance] = Some(Rc::clone(&record));
    if let Some(sending) = then {
        world.processes[process].passes[job] = Pass::Send { record: Rc::clone(&record), sending };
    }
    Some(record)
}

/// Whether a claim or a restart may be stored, as far as slots go: a process counts them in the same step in which it stores one. The
/// leader counts what its watch shows; the other one's watch may be behind, so of itself it knows only what it wrote.
fn has_slot(setup: &Setup, world: &World, process: usize, record: &ResetRecord, is_restart: bool) -> bool {
    let own = |writer: &str| writer == world.processes[process].id;
    let known = if process == world.lead { ledger(world) } else { written_by(world, own) };
    fits(setup, &known, record, is_restart, world.now)
}

/// Whether the slots that `known` holds leave one. Those of the object are counted at a claim by the plan alone.
fn fits(setup: &Setup, known: &[&ResetRecord], record: &ResetRecord, is_restart: bool, now: i64) -> bool {
    let (now, id) = (at(now), &record.spec.instance_id);
    (!is_restart || budget::others_away(known, record, now) < record.spec.max_unavailable)
        && budget::has_account_slot(known, setup.account, id, "", is_restart, now)
}

/// The records whose attempt is of such a process.
fn written_by(world: &World, is_meant: impl Fn(&str) -> bool) -> Vec<&ResetRecord> {
    let records = world.records.iter().flatten().map(Rc::as_ref);
    records.filter(|record| attempt(record).is_some_and(|attempt| is_meant(&attempt.process))).collect()
}

/// Sends what a pass is about to, or finds that it must not.
pub fn send(setup: &Setup, world: &mut World, process: usize, job: usize) {
    let me = &mut world.processes[process];
    let Pass::Send { record, sending } = std::mem::replace(&mut me.passes[job], Pass::Idle) else { return };
    me.sent[job] = attempt(&record).map(|attempt| attempt.id.clone());
    let held = world.object.held && matches!(sending.call, Call::Restart { .. });
    let allowed = !setup.consent_before_send || (!held && may_send(me, job, &record, sending, world.now));
    if !allowed || (setup.gate && process != world.lead) {
        return answered(world, process, job, &record, sending, &not_sent());
    }
    world.processes[process].passes[job] = Pass::Await { record, sending };
}

/// What becomes of a request that does not leave.
pub fn not_sent() -> CallOutcome {
    CallOutcome::NotSent { reason: Reason::PasswordSet, message: "not sent".to_owned() }
}

/// The last look before a send.
fn may_send(me: &Process, job: usize, record: &ResetRecord, sending: Sending, now: i64) -> bool {
    let fresh = |since| at(now) <= since + SEND_WINDOW;
    let own = attempt(record).is_some_and(|attempt| attempt.process == me.id && fresh(attempt.timestamp.0));
    own && fresh(at(sending.read_at)) && me.forbidden[job].is_none()
}

/// Takes in what became of a call: what it means is to be stored next.
pub fn answered(
    world: &mut World,
    process: usize,
    job: usize,
    record: &Version,
    sending: Sending,
    outcome: &CallOutcome,
) {
    let status = fold(record, sending.call, outcome, at(world.now));
    world.processes[process].passes[job] = if record.status.as_ref() == Some(&status) {
        Pass::Idle
    } else {
        let next = Rc::new(ResetRecord { status: Some(status), ..(**record).clone() });
        Pass::Store { base: Some(Rc::clone(record)), record: next, then: None }
    };
}

/// The process stops caring about the answers that it awaits: their requests go on without it.
pub fn abandon(world: &mut World, process: usize) {
    for job in 0..OBJECT {
        if let Pass::Await { record, sending } = &world.processes[process].passes[job] {
            let late = copy(record, *sending);
            world.copies.push(late);
            world.processes[process].passes[job] = Pass::Idle;
        }
    }
}

/// What all records teach: the model has one account and one region.
fn evidence(world: &World) -> Evidence {
    ledger(world).iter().fold(Evidence::default(), |sum, record| sum.and(Evidence::of(record)))
}
