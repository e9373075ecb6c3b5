//! A controller around the real decisions: it reads, asks `decide`, stores by compare-and-swap and sends, in the order in
//! which `src/reconcile` does. It decides nothing; where the two differ, the model proves nothing about the real one.

use std::rc::Rc;

use ecs_password_reset::api::ecs_account::StartTimeFollowsReboot;
use ecs_password_reset::api::reasons;
use ecs_password_reset::api::reset_record::{
    Attempt, ClaimedSecretRef, Fingerprint, Owner, Phase, ResetRecord, ResetRecordSpec, ResetRecordStatus,
};
use ecs_password_reset::decide::instance::{Call, Change, Observed, Sendable, Step, next};
use ecs_password_reset::decide::needed::{self, Wish};
use ecs_password_reset::decide::progress::{NewAttempt, Outcome, apply, fold, intend};
use ecs_password_reset::decide::rollout::{Block, Claim, Object, Plan, Target, claimed_row, plan};
use ecs_password_reset::decide::{Reading, SEND_WINDOW, slots, start_time};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ObjectMeta;

use crate::setup::{ACCOUNT, REGION, Setup};
use crate::world::{INSTANCES, OBJECT, Pass, Sending, Version, World, at, attempt, copy, instance, phase, tick};

/// Where the next step of a pass over a record leads; `None`: it waits.
pub fn look(setup: &Setup, world: &World, process: usize, instance: usize, reading: &Reading) -> Option<Pass> {
    let version = world.records[instance].as_ref()?;
    let me = &world.processes[process];
    let now = at(world.now);
    let own = attempt(version).filter(|attempt| attempt.process == me.id);
    let phase = phase(version);
    let observed = Observed {
        record: version,
        process: &me.id,
        unsent: own.is_some_and(|attempt| me.sent[instance].as_ref() != Some(&attempt.id)),
        reading: Some(reading),
        sendable: sendable(world, version),
        start_time_follows_reboot: matches!(phase, Phase::RestartRequested | Phase::Restarting)
            && start_time::learn(setup.known, ACCOUNT, REGION, &ledger(world)) == StartTimeFollowsReboot::Observed,
        others_away: slots::others_away(&ledger(world), version, now),
        timing: setup.timing,
    };
    let store = |status: ResetRecordStatus, then| {
        let record = Rc::new(ResetRecord { status: Some(status), ..(**version).clone() });
        Pass::Store { base: Some(Rc::clone(version)), record, then }
    };
    let read_at = tick(reading.sent_at);
    match next(&observed, now) {
        Step::Done | Step::Wait { .. } => None,
        Step::Write(change) => {
            let status = apply(version, change, Some(reading), now);
            (version.status.as_ref() != Some(&status)).then(|| store(status, None))
        }
        Step::Call(Call::SetPasswordAsStored) => {
            let sending = Sending { call: Call::SetPasswordAsStored, read_at };
            Some(Pass::Send { record: Rc::clone(version), sending })
        }
        Step::Call(call) => {
            let id = format!("a{}", world.names + 1);
            let attempt = NewAttempt { id, process: me.id.clone(), timestamp: now };
            Some(store(intend(version, call, attempt, setup.timing), Some(Sending { call, read_at })))
        }
    }
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

fn ledger(world: &World) -> Vec<&ResetRecord> {
    (0..INSTANCES.len()).filter_map(|instance| world.ledger(instance)).map(Rc::as_ref).collect()
}

/// What the object asks for.
pub fn wish(setup: &Setup, world: &World) -> Wish {
    let object = &world.object;
    Wish {
        owner: Owner { namespace: "prod".to_owned(), name: "web".to_owned(), uid: format!("uid{}", object.uid) },
        tokens: setup.tokens[object.run].clone(),
        retry: (object.retry > 0).then(|| format!("retry:{}", object.retry)),
        fingerprint: world.secret.map(fingerprint),
        resolution: object.resolution.clone(),
    }
}

fn fingerprint(secret: u8) -> Fingerprint {
    Fingerprint { key_id: "k".to_owned(), value: format!("f{secret}") }
}

/// What the object's pass decides, from what the leader's watch shows.
pub fn planned(setup: &Setup, world: &World, wish: &Wish, readings: &[Reading]) -> Plan {
    let targets: Vec<_> = (0..setup.instances)
        .map(|instance| target(instance, world.ledger(instance).map(Rc::as_ref), &readings[instance]))
        .collect();
    plan(&object(setup, world, wish, slots::held(&ledger(world), wish, at(world.now))), &targets, at(world.now))
}

fn object<'a>(setup: &'a Setup, world: &World, wish: &'a Wish, slots_held: u32) -> Object<'a> {
    let no_secret = Block { reason: reasons::SECRET_NOT_FOUND, message: String::new() };
    Object {
        spec: &setup.spec,
        wish,
        run: None,
        block: world.secret.is_none().then_some(no_secret),
        broken: None,
        broken_on_windows: None,
        may_describe: None,
        slots_held,
        min_restart_interval_seconds: setup.min_restart_interval_seconds,
    }
}

fn target<'a>(instance: usize, record: Option<&'a ResetRecord>, reading: &'a Reading) -> Target<'a> {
    Target { instance_id: INSTANCES[instance], record, record_unreadable: false, before: None, reading: Some(reading) }
}

/// Where the object's pass leads: to a person's decision on an Unknown, or to the first of the claims, judged again by the
/// record as it is now.
pub fn consider(setup: &Setup, world: &World, process: usize, readings: &[Reading]) -> Option<Pass> {
    if !world.object.exists {
        return None;
    }
    let wish = wish(setup, world);
    let first = planned(setup, world, &wish, readings);
    if let (Some(id), Some(resolution)) = (&first.happened, &wish.resolution) {
        let version = world.records.iter().flatten().find(|record| record.spec.instance_id == *id)?;
        return resolution.counts(version, &wish.owner, at(world.now)).then(|| {
            let status = Some(apply(version, Change::Happened, None, at(world.now)));
            let record = Rc::new(ResetRecord { status, ..(**version).clone() });
            Pass::Store { base: Some(Rc::clone(version)), record, then: None }
        });
    }
    let claim = first.claims.first()?;
    let instance = INSTANCES.iter().position(|id| *id == claim.instance_id)?;
    let found = world.records[instance].as_ref();
    let target = target(instance, found.map(Rc::as_ref), &readings[instance]);
    let again = plan(&object(setup, world, &wish, 0), &[target], at(world.now));
    if again.claims.is_empty() {
        return None;
    }
    let record = Rc::new(claimed(setup, world, process, &wish, claim, found.map(Rc::as_ref))?);
    Some(Pass::Store { base: found.cloned(), record, then: None })
}

/// The record with the claim, as `reconcile::password_reset::act` makes it.
fn claimed(
    setup: &Setup,
    world: &World,
    process: usize,
    wish: &Wish,
    claim: &Claim,
    found: Option<&ResetRecord>,
) -> Option<ResetRecord> {
    let before = found.map(ResetRecord::progress).unwrap_or_default();
    let now = at(world.now);
    let spec = ResetRecordSpec {
        claim: found.map_or(0, |record| record.spec.claim) + 1,
        claim_time: Time(now),
        owner: wish.owner.clone(),
        account_name: ACCOUNT.to_owned(),
        region_id: REGION.to_owned(),
        instance_id: claim.instance_id.clone(),
        tokens: wish.tokens.clone(),
        retry: wish.retry.clone(),
        fingerprint: wish.fingerprint.clone()?,
        password_secret_ref: ClaimedSecretRef { namespace: String::new(), name: String::new(), key: String::new() },
        restart_policy: setup.spec.restart_policy(),
        max_unavailable: setup.spec.max_unavailable(),
        min_ready_seconds: setup.spec.min_ready_seconds(),
        timeout_seconds: setup.spec.timeout_seconds(),
        stable_state_timeout_seconds: setup.spec.stable_state_timeout_seconds(),
        state_seen: claim.state_seen.clone(),
    };
    let status = ResetRecordStatus {
        phase: Phase::SettingPassword,
        attempt: Some(Attempt {
            id: format!("a{}", world.names + 1),
            process: world.processes[process].id.clone(),
            number: 1,
            timestamp: Time(now),
            found_unanswered_until: None,
        }),
        unanswered_until: Some(Time(now + setup.timing.request_validity)),
        start_time_evidence: before.start_time_evidence,
        last_restart_time: before.last_restart_time,
        row: Some(claimed_row(claim, now)),
        completed: needed::make_room(&before.completed, &wish.owner, |_| true)?,
        ..ResetRecordStatus::default()
    };
    Some(ResetRecord { metadata: ObjectMeta::default(), spec, status: Some(status) })
}

/// Stores what a pass has decided, unless somebody was quicker. Returns the record that is stored now.
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
        return None;
    }
    let is_restart = matches!(then, Some(Sending { call: Call::Restart { .. }, .. }));
    if is_restart && !has_slot(world, process, &record) {
        return None;
    }
    if is_restart {
        let others = written_by(world, |writer| writer != world.processes[process].id);
        world.machines[instance].crowded =
            slots::others_away(&others, &record, at(world.now)) >= record.spec.max_unavailable;
    }
    world.records[instance] = Some(Rc::clone(&record));
    if let Some(sending) = then {
        world.processes[process].passes[job] = Pass::Send { record: Rc::clone(&record), sending };
    }
    Some(record)
}

/// Whether a restart may be stored, as far as slots go: a process counts them in the same step in which it stores one. The
/// leader counts what its watch shows; the other one's watch may be behind, so of itself it knows only what it wrote.
fn has_slot(world: &World, process: usize, record: &ResetRecord) -> bool {
    let own = |writer: &str| writer == world.processes[process].id;
    let known = if process == world.lead { ledger(world) } else { written_by(world, own) };
    slots::others_away(&known, record, at(world.now)) < record.spec.max_unavailable
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
    let now = at(world.now);
    let Some(own) = attempt(&record).filter(|attempt| attempt.process == me.id).cloned() else { return };
    let late = now > own.timestamp.0 + SEND_WINDOW || now > at(sending.read_at) + SEND_WINDOW;
    if !late {
        me.sent[job] = Some(own.id);
    }
    if late || (setup.gate && process != world.lead) {
        return answered(
            world,
            process,
            job,
            &record,
            sending,
            &Outcome::NotSent("too late, or not leading".to_owned()),
        );
    }
    world.processes[process].passes[job] = Pass::Await { record, sending };
}

/// Takes in what became of a call: what it means is to be stored next.
pub fn answered(world: &mut World, process: usize, job: usize, record: &Version, sending: Sending, outcome: &Outcome) {
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
