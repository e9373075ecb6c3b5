//! What must hold, by the numbers of the invariants in docs/RELIABILITY.md. They judge by what happened to the machines, not by what
//! the records say of it.
//!
//! I6 (every record reaches an end) is a property of paths: [`settled`] says what an end is, the search finds the paths.
//! I7 (where a password may appear) has no place in a model without passwords.

use std::rc::Rc;

use ecs_password_reset::api::Reason;
use ecs_password_reset::api::conditions;
use ecs_password_reset::api::password_reset::State;
use ecs_password_reset::api::reset_record::{Phase, ResetRecord, StartTimeEvidence};
use ecs_password_reset::decide::claim::step::Call;
use ecs_password_reset::decide::history::{self, Request};
use ecs_password_reset::decide::reset::plan::Plan;
use ecs_password_reset::decide::reset::status;
use ecs_password_reset::decide::{SEND_WINDOW, is_drained};

use crate::claims::{fingerprint, object, planned, request};
use crate::ecs::{Machine, Status};
use crate::setup::Setup;
use crate::world::{
    Budget, Copy, History, INSTANCES, Pass, Sending, Stored, Version, World, at, attempt, copy, instance, minute,
    phase, tick,
};

/// What a check says.
pub type Verdict = Result<(), String>;

fn must(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

/// Everything that must hold in every state.
pub fn check(setup: &Setup, world: &World) -> Verdict {
    if let Some(broken) = &world.broken {
        return Err(broken.clone());
    }
    for (instance, machine) in world.machines.iter().enumerate() {
        // A record without a status, or as a backup has it, says nothing, and allows nothing.
        let is_whole = |record: &&Version| record.status.is_some() && !is_restored(setup, world, record);
        if let Some(record) = world.records[instance].as_ref().filter(is_whole) {
            let id = INSTANCES[instance];
            in_effect(record, machine).map_err(|why| format!("I2, {id}: {why}"))?;
            half_set(record, machine).map_err(|why| format!("I2, {id}: {why}"))?;
            next_start(record, machine).map_err(|why| format!("I2, {id}: {why}"))?;
            one_claim(world, instance, record).map_err(|why| format!("I4, {id}: {why}"))?;
            unknown(setup, world, record).map_err(|why| format!("I6, {id}: {why}"))?;
            learnt(setup, record, machine).map_err(|why| format!("rule 5, {id}: {why}"))?;
        }
    }
    one_password(setup, world)?;
    away(setup, world)
}

/// Whether a record is one of the backup that was put back.
pub fn is_restored(setup: &Setup, world: &World, record: &Version) -> bool {
    let is_same = |old: &Version| Rc::ptr_eq(old, record);
    world.left.restores < setup.trouble.restores
        && world.backup.iter().flat_map(|backup| backup.records.iter().flatten()).any(is_same)
}

/// I2 of a run: Ready is not True over instances that ended well with different passwords.
fn one_password(setup: &Setup, world: &World) -> Verdict {
    if conditions::find(&world.status.conditions, conditions::READY).is_none_or(|ready| ready.status != "True") {
        return Ok(());
    }
    let request = request(setup, world);
    let is_of_run = |record: &&Version| {
        let is_well = matches!(phase(record), Phase::InEffect | Phase::EffectiveAtNextStart);
        is_well && record.spec.owner.is(&request.owner) && history::covers(&record.spec.tokens, &request.tokens)
    };
    let mut passwords = world.records.iter().flatten().filter(is_of_run).map(|record| &record.spec.fingerprint);
    let first = passwords.next();
    let is_one = passwords.all(|other| first.is_none_or(|first| !history::differs(first, other)));
    must(is_one, || "I2: Ready is True over two passwords of one run".to_owned())
}

/// I2: `InEffect` means that the instance has started after the password of that very claim was set.
fn in_effect(record: &ResetRecord, machine: &Machine) -> Verdict {
    let holds = phase(record) != Phase::InEffect
        || machine.in_effect == record.spec.claim
        || is_the_allowed_error(record, machine);
    must(holds, || "InEffect, but the instance has not started since the password was set".to_owned())
}

/// "What stays possible": an outside restart in the very minute of the acknowledgement, just before it, hidden by a stale read.
fn is_the_allowed_error(record: &ResetRecord, machine: &Machine) -> bool {
    let acknowledged = record.status.as_ref().and_then(|status| status.password_acknowledged_at.as_ref());
    machine.touched
        && phase(record) == Phase::InEffect
        && machine.in_effect != record.spec.claim
        && acknowledged.is_some_and(|time| minute(tick(time.0)) == machine.view.start_time)
}

/// No password is left half set without saying so: what a record says of the stored one is so.
fn half_set(record: &ResetRecord, machine: &Machine) -> Verdict {
    let stored = machine.stored == record.spec.claim;
    let reason = record.status.as_ref().and_then(|status| status.row.as_ref()).map(|row| row.reason().unwrap());
    match phase(record) {
        Phase::PasswordSet | Phase::RestartRequested | Phase::Restarting | Phase::EffectiveAtNextStart => {
            must(stored, || format!("{:?}, but the password is not stored", phase(record)))
        }
        Phase::Failed if reason == Some(Reason::RestartRefused) => {
            must(stored, || "said to take effect at the next start, but the password is not stored".to_owned())
        }
        Phase::Failed if reason == Some(Reason::InstanceReleased) => {
            must(machine.view.status == Status::Gone, || "said to be released, but the instance is there".to_owned())
        }
        Phase::Idle | Phase::Failed => must(!stored, || format!("{:?}, but the password was set", phase(record))),
        _ => Ok(()),
    }
}

/// `EffectiveAtNextStart` is said of an instance that is Stopped, or of one that a person has started since: never of one
/// that goes on with its old password although its restart was asked for.
fn next_start(record: &ResetRecord, machine: &Machine) -> Verdict {
    let is_off = matches!(machine.view.status, Status::Stopped | Status::Gone);
    let stopped = is_off || machine.in_effect == record.spec.claim;
    let holds = phase(record) != Phase::EffectiveAtNextStart || stopped || was_started_meanwhile(record, machine);
    must(holds, || "EffectiveAtNextStart, but the instance runs with its old password".to_owned())
}

/// "Stopped as at the claim" is believed from any reading after the acknowledgement: a person's start in between may be
/// hidden by one that lags.
fn was_started_meanwhile(record: &ResetRecord, machine: &Machine) -> bool {
    let row = record.status.as_ref().and_then(|status| status.row.as_ref());
    machine.touched
        && machine.view.status != Status::Stopped
        && machine.in_effect != record.spec.claim
        && row.is_some_and(|row| row.state == State::EffectiveAtNextStart && row.reason == Reason::SetWhileStopped)
}

/// I4: at most one claim with undrained mutations per instance, and drained means that nothing more can arrive.
fn one_claim(world: &World, instance: usize, record: &ResetRecord) -> Verdict {
    let drained = record.status.as_ref().is_none_or(|status| is_drained(status, at(world.now)));
    for copy in world.live_copies().filter(|copy| copy.instance == instance) {
        must(copy.claim == record.spec.claim, || format!("a request of claim {} is alive", copy.claim))?;
        must(!drained, || "drained, but a request is alive".to_owned())?;
    }
    Ok(())
}

/// I6, second half: an Unknown only for the reasons that the setup names, and only when something has happened that they
/// can come of.
fn unknown(setup: &Setup, world: &World, record: &ResetRecord) -> Verdict {
    let Some(reason) = why_unknown(record) else { return Ok(()) };
    must(setup.unknown.contains(&reason), || {
        format!("Unknown ({reason}), for which there is no reason in this world")
    })?;
    let has_cause = if reason == Reason::MemoryLost.as_str() {
        spent(setup, world, &[|it| it.restores])
    } else if reason == Reason::RestartStuck.as_str() {
        spent(setup, world, &[|it| it.lags, |it| it.outsiders, |it| it.freezes])
            || spent(setup, world, &[|it| it.releases, |it| it.hides, |it| it.restores])
    } else {
        may_be_unanswered(setup, world)
    };
    must(has_cause, || format!("Unknown ({reason}), although every answer came"))
}

fn spent(setup: &Setup, world: &World, kinds: &[fn(&Budget) -> u8]) -> bool {
    kinds.iter().any(|kind| kind(&setup.trouble) > kind(&world.left))
}

/// Whether anything has happened that leaves a request unanswered, or has an answer forgotten.
fn may_be_unanswered(setup: &Setup, world: &World) -> bool {
    let died: [fn(&Budget) -> u8; 3] = [|it| it.crashes, |it| it.freezes, |it| it.handovers];
    spent(setup, world, &died) || spent(setup, world, &[|it| it.losses, |it| it.rivals, |it| it.restores])
}

/// The reason of a record that is Unknown.
pub fn why_unknown(record: &ResetRecord) -> Option<&str> {
    let row = record.status.as_ref().filter(|status| status.phase == Phase::Unknown)?.row.as_ref();
    Some(row.map_or("", |row| row.reason.as_str()))
}

/// What a restart has taught of StartTime is so, as long as nobody else has had a hand in it.
fn learnt(setup: &Setup, record: &ResetRecord, machine: &Machine) -> Verdict {
    let wrong = if setup.follows { StartTimeEvidence::NotMoved } else { StartTimeEvidence::Moved };
    let learnt = record.status.as_ref().and_then(|status| status.start_time_evidence);
    must(machine.touched || learnt != Some(wrong), || format!("learnt {wrong:?}, which is wrong"))
}

/// I8: instances that are away because of us never exceed `maxUnavailable`.
fn away(setup: &Setup, world: &World) -> Verdict {
    let away = away_because_of_us(world).filter(|machine| !may_be_surplus(setup, machine)).count();
    must(away <= setup.most_away() as usize, || format!("I8: {away} instances are away because of us"))
}

fn away_because_of_us(world: &World) -> impl Iterator<Item = &Machine> {
    world.machines.iter().filter(|machine| machine.view.status == Status::Rebooting { ours: true })
}

/// "What stays possible": a reboot that a person's restart has overtaken begins after that one was taken for it; two
/// processes that both send, with no gate to keep one of them from it, do not see each other's slots.
fn may_be_surplus(setup: &Setup, machine: &Machine) -> bool {
    machine.crossed || (machine.crowded && !setup.gate)
}

/// What a state breaks that the protocol says stays possible.
pub fn excuses(setup: &Setup, world: &World) -> impl Iterator<Item = &'static str> {
    let records = world.records.iter().flatten().zip(&world.machines);
    let same_minute = records.filter(|(record, machine)| is_the_allowed_error(record, machine)).count() > 0;
    let surplus = away_because_of_us(world).count() > setup.most_away() as usize;
    let overtaken = surplus && away_because_of_us(world).any(|machine| machine.crossed);
    let mut records = world.records.iter().flatten().zip(&world.machines);
    let started = records.any(|(record, machine)| {
        phase(record) == Phase::EffectiveAtNextStart && was_started_meanwhile(record, machine)
    });
    let kinds = [
        (same_minute, "I2 by a restart in the same minute"),
        (started, "a start hidden by a stale reading"),
        (overtaken, "I8 by a reboot that was overtaken"),
        (surplus && !overtaken, "I8 by two processes without a gate"),
    ];
    kinds.into_iter().filter_map(|(is_so, kind)| is_so.then_some(kind))
}

/// I1, first half, as a restart begins: at most one of ours is carried out per claim.
pub fn at_most_one_restart_per_claim(world: &mut World, instance: usize, claim: i64) {
    let machine = &mut world.machines[instance];
    if machine.restarted == claim {
        world.broken = Some(format!("I1, {}: a second restart of claim {claim} is carried out", INSTANCES[instance]));
    }
    machine.restarted = claim;
}

/// I1, second half, as a record is written: a claim is needed. Also keeps the yardstick for that.
pub fn stored(setup: &Setup, world: &mut World, instance: usize, before: Option<&ResetRecord>, record: &ResetRecord) {
    let history = &mut world.histories[instance];
    // A record that is made again by what is remembered is no claim.
    if before.is_none_or(|before| before.spec.claim != record.spec.claim) && !phase(record).has_ended() {
        if !is_needed(setup, history, record) {
            world.broken = Some(format!("I1, {}: claimed without need", INSTANCES[instance]));
        }
        history.again = None;
        history.claim = record.spec.claim;
    }
    note_attempt(&mut world.log[instance], before, record);
    let (was, is) = (before.map_or(Phase::Idle, phase), phase(record));
    if !was.has_ended() && is.has_ended() && is != Phase::Idle && record.spec.claim == history.claim {
        remember(history, record);
    }
}

/// I2, as an attempt is stored: the StartTime that a restart has to move comes from a reading after the acknowledgement.
pub fn intended(world: &mut World, record: &ResetRecord, sending: Sending) {
    let acknowledged = record.status.as_ref().and_then(|status| status.password_acknowledged_at.as_ref());
    let is_restart = matches!(sending.call, Call::Restart { .. });
    if is_restart && acknowledged.is_none_or(|time| sending.read_at <= tick(time.0)) {
        world.broken = Some("I2: a restart is requested by a reading from before the acknowledgement".to_owned());
    }
    if !sending.permitted {
        world.broken = Some("I5: an attempt is stored by a reading that showed no permission".to_owned());
    }
}

/// Writes an attempt into the log, if a write has brought a new one.
fn note_attempt(log: &mut Vec<Stored>, before: Option<&ResetRecord>, record: &ResetRecord) {
    let Some(new) = attempt(record).filter(|new| before.and_then(attempt).map(|old| &old.id) != Some(&new.id)) else {
        return;
    };
    let reboot = match phase(record) {
        Phase::SettingPassword => false,
        Phase::RestartRequested => true,
        // An attempt that no phase belongs to allows nothing.
        _ => return,
    };
    let request =
        Copy { instance: instance(record), reboot, claim: record.spec.claim, timestamp: tick(new.timestamp.0) };
    log.push(Stored { process: new.process.clone(), request, sent: false });
}

fn is_needed(setup: &Setup, history: &History, record: &ResetRecord) -> bool {
    let spec = &record.spec;
    let is_changed = history.fingerprint != spec.fingerprint.value;
    let failed_otherwise = history.failed.as_ref().is_some_and(|(uid, retry)| {
        *uid != spec.owner.uid || spec.retry.as_ref().is_some_and(|asked| retry.as_ref() != Some(asked)) || is_changed
    });
    !history.any
        || spec.tokens.iter().any(|token| !history.tokens.contains(token))
        || failed_otherwise
        || (setup.resets_on_change && is_changed)
        || history.again == Some(spec.claim - 1)
}

/// Takes the end of a claim into the yardstick.
pub fn remember(history: &mut History, record: &ResetRecord) {
    let spec = &record.spec;
    if history.fingerprint != spec.fingerprint.value {
        history.tokens.clear();
    }
    history.any = true;
    history.fingerprint.clone_from(&spec.fingerprint.value);
    history.tokens.extend(spec.tokens.iter().cloned());
    history.tokens.sort_unstable();
    history.tokens.dedup();
    history.failed = (phase(record) == Phase::Failed).then(|| (spec.owner.uid.clone(), spec.retry.clone()));
}

/// I3 and I5, as a call is sent. I3 is judged by the log of stored attempts and not by the record that the sender holds: one
/// of this very process is there, of this claim, kind and Timestamp, and young enough; a restart was not sent under it
/// before; and the record, if the attempt is still its newest, is in the phase that the call belongs to. I5: the reading that
/// allows it is at most a send window old and showed the permission, and so did the latest one that was delivered.
pub fn sent(world: &mut World, process: usize, job: usize) {
    let me = &world.processes[process];
    let Pass::Await { record, sending } = &me.passes[job] else { return };
    let request = copy(record, *sending);
    let right_phase = if request.reboot { Phase::RestartRequested } else { Phase::SettingPassword };
    let is_newest = |stored: &&Version| attempt(stored).map(|it| &it.id) == attempt(record).map(|own| &own.id);
    let in_phase = world.records[job].as_ref().filter(is_newest).is_none_or(|stored| phase(stored) == right_phase);
    let is_this = |stored: &&mut Stored| {
        stored.process == me.id && stored.request == request && !(stored.request.reboot && stored.sent)
    };
    let is_fresh = |asked_at: i64| at(world.now) <= at(asked_at) + SEND_WINDOW;
    let stored = world.log[job].iter_mut().find(is_this);
    let verdict = must(stored.is_some(), || {
        "I3: this process has stored no such attempt within a send window, or has sent it before".to_owned()
    })
    .and(must(in_phase, || "I3: sent in another phase".to_owned()))
    .and(must(is_fresh(sending.read_at), || "I5: sent too long after the last look".to_owned()))
    .and(must(sending.permitted && me.forbidden[job].is_none(), || {
        "I5: sent after a reading that showed no permission".to_owned()
    }));
    let verdict = verdict.and(must(!(request.reboot && world.object.held), || {
        "I10: a restart is sent although it is held back".to_owned()
    }));
    if let Some(stored) = stored {
        stored.sent = request.reboot;
    }
    if let Err(why) = verdict {
        world.broken = Some(format!("{why} ({})", INSTANCES[job]));
    }
}

/// I6, first half, and I9: whether all that was asked for has come to an end, once nothing happens any more, or a person is asked.
pub fn settled(setup: &Setup, world: &World) -> Verdict {
    if world.object.held {
        // It waits for whoever holds it back. What follows the release is searched too.
        return Ok(());
    }
    for (instance, record) in world.records.iter().enumerate() {
        let Some(record) = record else { continue };
        let ended = phase(record).has_ended();
        must(ended, || format!("I6, {}: stays {:?}", INSTANCES[instance], phase(record)))?;
    }
    let untroubled = world.left == setup.trouble;
    has_last_password(setup, world)?;
    if !world.object.exists || world.secret.is_none() {
        return Ok(());
    }
    let readings: Vec<_> = world.machines.iter().map(|machine| machine.reading(world.now)).collect();
    let request = request(setup, world);
    let plan = planned(setup, world, &request, &readings);
    let is_stalled = says_stalled(setup, &request, &plan, world);
    for (row, machine) in plan.rows.into_iter().zip(&world.machines) {
        // An instance that is not permitted, or not shown, is waited for until a deadline, by the object's own row, which this model has not.
        if !machine.view.permitted || row.state == State::WaitingForStableState {
            continue;
        }
        let ends = row.state.has_ended() || is_stalled;
        must(ends, || format!("I9, {}: stays {:?} ({}), and no one is asked", row.instance_id, row.state, row.reason))?;
        let well = matches!(row.state, State::InEffect | State::EffectiveAtNextStart);
        must(well || !untroubled, || format!("I6, {}: {:?} without trouble", row.instance_id, row.state))?;
    }
    Ok(())
}

/// I2 where a changed Secret asks for a run: an instance that ends well has the password that the Secret holds.
fn has_last_password(setup: &Setup, world: &World) -> Verdict {
    let Some(secret) = world.secret.filter(|_| setup.resets_on_change && world.object.exists) else { return Ok(()) };
    for record in world.records.iter().flatten() {
        let is_well = matches!(phase(record), Phase::InEffect | Phase::EffectiveAtNextStart);
        let is_last = record.spec.fingerprint == fingerprint(secret);
        let instance = instance(record);
        must(!is_well || is_last || !world.machines[instance].view.permitted, || {
            format!("I2, {}: ends with another password than the Secret holds", INSTANCES[instance])
        })?;
    }
    Ok(())
}

/// Whether the object's status asks for a person.
fn says_stalled(setup: &Setup, request: &Request, plan: &Plan, world: &World) -> bool {
    let status = status::status(&object(setup, world, request, &[]), plan, at(world.now));
    let stalled = conditions::find(&status.conditions, conditions::STALLED);
    stalled.is_some_and(|stalled| stalled.status == "True")
}
