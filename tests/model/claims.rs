//! The pass over the object: what it asks for, what is planned, and the claim that is written; see [`crate::controller`].

use std::rc::Rc;

use ecs_password_reset::api::password_reset::InstanceRow;
use ecs_password_reset::api::reset_record::{
    Attempt, ClaimedSecretRef, Fingerprint, Owner, Phase, ResetRecord, ResetRecordSpec, ResetRecordStatus,
};
use ecs_password_reset::decide::budget::{AccountSlots, Holder};
use ecs_password_reset::decide::claim::step::Change;
use ecs_password_reset::decide::claim::transition::apply;
use ecs_password_reset::decide::history::{self, Request};
use ecs_password_reset::decide::memory::after_loss;
use ecs_password_reset::decide::reset::facts::{NewClaim, ResetFacts, Target};
use ecs_password_reset::decide::reset::plan::{Plan, plan};
use ecs_password_reset::decide::reset::remembered::{loss, may_restore, own_memory};
use ecs_password_reset::decide::reset::rows::initial_row;
use ecs_password_reset::decide::reset::status::status;
use ecs_password_reset::decide::{Reading, budget};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ObjectMeta;

use crate::controller::{known, ledger};
use crate::setup::{ACCOUNT, REGION, Setup};
use crate::world::{INSTANCES, Pass, World, at};

/// What the object asks for.
pub fn request(setup: &Setup, world: &World) -> Request {
    let object = &world.object;
    Request {
        owner: Owner { namespace: "prod".to_owned(), name: "web".to_owned(), uid: format!("uid{}", object.uid) },
        tokens: setup.tokens[object.run].clone(),
        retry: (object.retry > 0).then(|| format!("retry:{}", object.retry)),
        fingerprint: world.secret.map(fingerprint),
        resets_on_change: setup.resets_on_change,
        resolution: object.resolution.clone(),
    }
}

/// The fingerprint of a password.
pub fn fingerprint(secret: u8) -> Fingerprint {
    Fingerprint { key_id: "k".to_owned(), value: format!("f{secret}") }
}

/// What the object's pass decides, from what the leader's watch shows.
pub fn planned(setup: &Setup, world: &World, request: &Request, readings: &[Reading]) -> Plan {
    let targets: Vec<_> = (0..setup.instances)
        .map(|instance| target(world, instance, world.ledger(instance).map(Rc::as_ref), &readings[instance]))
        .collect();
    let reading_of = |id: &str| readings.get(INSTANCES.iter().position(|it| *it == id)?).cloned();
    let (records, now) = (ledger(world), at(world.now));
    let holders = budget::holders(&records, &request.owner, reading_of, setup.bounds, now);
    let outlook =
        |record: &ResetRecord| budget::outlook(record, reading_of(&record.spec.instance_id).as_ref(), setup.bounds);
    let slots = |max| budget::slots(&records, None, max, 0, &request.owner.namespace, outlook, now);
    let account_slots = AccountSlots { total: setup.account.max.map(slots), ..AccountSlots::default() };
    plan(&ResetFacts { account_slots, ..object(setup, world, request, &holders) }, &targets, now)
}

/// Writes the object's status, where the search has one.
pub fn publish(setup: &Setup, world: &mut World) {
    if !setup.has_status || !world.object.exists {
        return;
    }
    let readings: Vec<_> = world.machines.iter().map(|machine| machine.reading(world.now)).collect();
    let request = request(setup, world);
    let plan = planned(setup, world, &request, &readings);
    let next = status(&object(setup, world, &request, &[]), &plan, at(world.now));
    world.status = Rc::new(next);
}

/// The facts of the object.
pub fn object<'a>(
    setup: &'a Setup,
    world: &'a World,
    request: &'a Request,
    slot_holders: &'a [Holder],
) -> ResetFacts<'a> {
    ResetFacts {
        suspended_account: world.object.held.then_some(ACCOUNT),
        secret_hold: world.secret.is_none().then_some(&setup.no_secret),
        slot_holders,
        min_restart_interval_seconds: setup.min_restart_interval_seconds,
        ..ResetFacts::new(&setup.spec, &world.status, request)
    }
}

fn target<'a>(world: &'a World, instance: usize, record: Option<&'a ResetRecord>, reading: &'a Reading) -> Target<'a> {
    Target {
        instance_id: INSTANCES[instance],
        record,
        bad_record: None,
        claimed_by_another: false,
        before: row(world, instance),
        reading: Some(reading),
        own_password: None,
    }
}

/// The row of an instance in the object's status.
pub fn row(world: &World, instance: usize) -> Option<&InstanceRow> {
    world.status.instances.iter().find(|row| row.instance_id == INSTANCES[instance])
}

/// Where the object's pass leads: to a person's decision on an Unknown, or to the first of the claims, judged again by the
/// record as it is known.
pub fn consider(setup: &Setup, world: &World, process: usize, readings: &[Reading]) -> Option<Pass> {
    if !world.object.exists {
        return None;
    }
    let request = request(setup, world);
    let first = planned(setup, world, &request, readings);
    if let (Some(id), Some(resolution)) = (&first.happened, &request.resolution) {
        let version = world.records.iter().flatten().find(|record| record.spec.instance_id == *id)?;
        return resolution.counts(version, &request.owner, at(world.now)).then(|| {
            let status = Some(apply(version, Change::Happened, None, at(world.now)));
            let record = Rc::new(ResetRecord { status, ..(**version).clone() });
            Pass::Store { base: Some(Rc::clone(version)), record, then: None }
        });
    }
    if let Some(id) = first.lost.first() {
        let instance = INSTANCES.iter().position(|instance| instance == id)?;
        return restore(setup, world, &request, instance, &readings[instance]);
    }
    let claim = first.claims.first()?;
    let instance = INSTANCES.iter().position(|id| *id == claim.instance_id)?;
    let found = known(world, process, instance);
    let target = target(world, instance, found.map(Rc::as_ref), &readings[instance]);
    let again = plan(&object(setup, world, &request, &[]), &[target], at(world.now));
    if again.claims.is_empty() {
        return None;
    }
    let record = Rc::new(claimed(setup, world, process, &request, claim, found.map(Rc::as_ref))?);
    Some(Pass::Store { base: found.cloned(), record, then: None })
}

/// The record of an instance whose memory is lost, as `controllers::password_reset::claim` writes it: by what it holds now.
fn restore(setup: &Setup, world: &World, request: &Request, instance: usize, reading: &Reading) -> Option<Pass> {
    let version = world.records[instance].as_ref();
    let (object, now) = (object(setup, world, request, &[]), at(world.now));
    let target = target(world, instance, version.map(Rc::as_ref), reading);
    let loss = loss(&object, &target, now).filter(|loss| may_restore(&object, &target, *loss))?;
    let spec = if let Some(version) = version {
        version.spec.clone()
    } else {
        let claim = target.before.and_then(|row| row.claim).unwrap_or(1);
        ResetRecordSpec { claim, ..spec(setup, world, request, INSTANCES[instance])? }
    };
    let own = own_memory(&object, &target);
    let (spec, status) = after_loss(version.map(Rc::as_ref), spec, loss, own, setup.bounds, now);
    let record = Rc::new(ResetRecord { metadata: ObjectMeta::default(), spec, status: Some(status) });
    Some(Pass::Store { base: version.cloned(), record, then: None })
}

/// The record with the claim, as `controllers::password_reset::claim` makes it.
fn claimed(
    setup: &Setup,
    world: &World,
    process: usize,
    request: &Request,
    claim: &NewClaim,
    found: Option<&ResetRecord>,
) -> Option<ResetRecord> {
    let before = found.map(ResetRecord::progress).unwrap_or_default();
    let now = at(world.now);
    let last = found.map(|record| record.spec.claim).max(claim.row.claim).unwrap_or(0);
    let spec = ResetRecordSpec {
        claim: last + 1,
        state_seen: claim.state_seen.clone(),
        ..spec(setup, world, request, &claim.instance_id)?
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
        unanswered_until: Some(Time(now + setup.bounds.request_validity)),
        start_time_evidence: before.start_time_evidence,
        last_restart_time: before.last_restart_time,
        memory_lost_time: before.memory_lost_time,
        row: Some(initial_row(claim, spec.claim, now)),
        completed: history::make_room(&before.completed, &request.owner, |_| true)?,
        ..ResetRecordStatus::default()
    };
    Some(ResetRecord { metadata: ObjectMeta::default(), spec, status: Some(status) })
}

/// What a claim asks for.
fn spec(setup: &Setup, world: &World, request: &Request, instance_id: &str) -> Option<ResetRecordSpec> {
    Some(ResetRecordSpec {
        claim: 0,
        claim_time: Time(at(world.now)),
        owner: request.owner.clone(),
        account_name: ACCOUNT.to_owned(),
        region_id: REGION.to_owned(),
        instance_id: instance_id.to_owned(),
        tokens: request.tokens.clone(),
        retry: request.retry.clone(),
        fingerprint: request.fingerprint.clone()?,
        password_secret_ref: ClaimedSecretRef { namespace: String::new(), name: String::new(), key: String::new() },
        restart_policy: setup.spec.restart_policy(),
        max_unavailable: setup.spec.max_unavailable(2),
        zone_id: None,
        min_ready_seconds: setup.spec.min_ready_seconds(),
        timeout_seconds: setup.spec.timeout_seconds(),
        stable_state_timeout_seconds: setup.spec.stable_state_timeout_seconds(),
        window_end: None,
        state_seen: String::new(),
    })
}
