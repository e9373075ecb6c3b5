//! What people do: to the instances from outside, and to the object and its Secret.

use std::rc::Rc;

use ecs_password_reset::api::reset_record::{Phase, ResetRecord};
use ecs_password_reset::decide::resolution::{Decision, Resolution};

use crate::claims::row;
use crate::ecs::Status;
use crate::invariants::{self, is_restored};
use crate::setup::Setup;
use crate::world::{Backup, INSTANCES, Version, World, phase};

/// Something that a person does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Stops an instance.
    Stop(usize),
    /// Starts it.
    Start(usize),
    /// Restarts it.
    Restart(usize),
    /// Edits the Secret, or deletes it.
    Secret(Option<u8>),
    /// Edits the runID.
    Run(usize),
    /// Deletes the object.
    Delete,
    /// Applies it again.
    Apply,
    /// Sets the retry annotation.
    Retry,
    /// Decides on the Unknown of an instance.
    Resolve(usize, Decision),
    /// Takes away the tag by which the account's rules cover an instance.
    Forbid(usize),
    /// Gives it back.
    Allow(usize),
    /// Deletes the record of an instance and creates it again without its status, as a restore from a backup does.
    Restore(usize),
    /// Takes a backup.
    BackUp,
    /// Puts the record of an instance back as the backup has it; one that it has not is gone.
    RestoreOlder(usize),
    /// Puts the object's status back as the backup has it.
    RestoreStatus,
    /// Releases an instance.
    Release(usize),
    /// Takes away the account's right to describe an instance.
    Hide(usize),
    /// Gives it back.
    Unhide(usize),
    /// Suspends the object, or its maintenance window closes.
    Hold,
    /// Releases it, or the next one opens.
    Unhold,
}

/// What a person may do now, as long as there is trouble left for it.
pub fn deeds(setup: &Setup, world: &World) -> Vec<Deed> {
    let mut deeds = Vec::new();
    if world.left.outsiders > 0 {
        for (instance, machine) in world.machines.iter().enumerate().take(setup.instances) {
            match machine.view.status {
                Status::Running => deeds.extend([Deed::Stop(instance), Deed::Restart(instance)]),
                Status::Stopped => deeds.push(Deed::Start(instance)),
                Status::Rebooting { .. } | Status::Gone => {}
            }
        }
    }
    if world.left.edits > 0 {
        deeds.push(Deed::Secret(world.secret.map_or(Some(0), |secret| Some(1 - secret))));
        deeds.extend(world.secret.map(|_| Deed::Secret(None)));
        if world.object.exists {
            deeds.push(Deed::Run(1 - world.object.run));
            // With the object goes the only memory that shows that a record is older.
            let is_needed = |(instance, record): (usize, &Option<Version>)| match record {
                Some(record) => is_restored(setup, world, record),
                None => row(world, instance).is_some_and(|row| row.claim.is_some()),
            };
            deeds.extend((!world.records.iter().enumerate().any(is_needed)).then_some(Deed::Delete));
            deeds.extend((world.object.retry == 0).then_some(Deed::Retry));
            deeds.extend((0..setup.instances).flat_map(|instance| decisions(world, instance)));
        }
    }
    if !world.object.exists {
        deeds.push(Deed::Apply);
    }
    if world.left.restores > 0 {
        let has_status = |instance: &usize| world.records[*instance].as_ref().is_some_and(|it| it.status.is_some());
        deeds.extend((0..setup.instances).filter(has_status).map(Deed::Restore));
        deeds.extend(restores(setup, world));
    }
    if world.object.held {
        deeds.push(Deed::Unhold);
    } else if world.left.holds > 0 {
        deeds.push(Deed::Hold);
    }
    for (instance, machine) in world.machines.iter().enumerate().take(setup.instances) {
        if !machine.view.permitted {
            deeds.push(Deed::Allow(instance));
        } else if world.left.bans > 0 {
            deeds.push(Deed::Forbid(instance));
        }
        let is_gone = machine.view.status == Status::Gone;
        deeds.extend((world.left.releases > 0 && !is_gone).then_some(Deed::Release(instance)));
        if machine.hidden {
            deeds.push(Deed::Unhide(instance));
        } else if world.left.hides > 0 {
            deeds.push(Deed::Hide(instance));
        }
    }
    deeds
}

/// One memory is restored, and the other one is whole: with both of them older, nobody knows what happened since the backup.
fn restores(setup: &Setup, world: &World) -> Vec<Deed> {
    let Some(backup) = &world.backup else { return if setup.has_status { vec![Deed::BackUp] } else { Vec::new() } };
    if world.left.restores < setup.trouble.restores || !world.object.exists {
        return Vec::new();
    }
    let is_in_status =
        |instance: usize, record: &Version| row(world, instance).and_then(|row| row.claim) == Some(record.spec.claim);
    let is_older = |instance: &usize| match (&backup.records[*instance], &world.records[*instance]) {
        (_, None) => false,
        (Some(old), Some(present)) if Rc::ptr_eq(old, present) => false,
        (_, Some(present)) => is_in_status(*instance, present),
    };
    let records = (0..setup.instances).filter(is_older).map(Deed::RestoreOlder);
    let status = (!Rc::ptr_eq(&backup.status, &world.status)).then_some(Deed::RestoreStatus);
    records.chain(status).collect()
}

/// A person looks before they say that a restart happened; to want another one, they need no reason.
fn decisions(world: &World, instance: usize) -> Vec<Deed> {
    let Some(record) = world.records[instance].as_ref().filter(|record| phase(record) == Phase::Unknown) else {
        return Vec::new();
    };
    let happened = world.machines[instance].in_effect == record.spec.claim;
    let mut deeds = vec![Deed::Resolve(instance, Decision::RestartAgain)];
    deeds.extend(happened.then_some(Deed::Resolve(instance, Decision::Happened)));
    deeds
}

/// Does it.
pub fn does(deed: &Deed, world: &mut World, setup: &Setup) {
    let now = world.now;
    match deed {
        Deed::Stop(instance) | Deed::Start(instance) | Deed::Restart(instance) => {
            world.left.outsiders -= 1;
            let machine = &mut world.machines[*instance];
            machine.touched = true;
            machine.crossed |= !machine.accepted.is_empty();
            match deed {
                Deed::Stop(_) => machine.stop(now),
                Deed::Start(_) => machine.start(now),
                _ => machine.reboot(false, now, setup.follows),
            }
            return;
        }
        Deed::Forbid(instance) => {
            world.left.bans -= 1;
            return world.machines[*instance].permit(false, now);
        }
        // What was taken away may come back for nothing.
        Deed::Allow(instance) => return world.machines[*instance].permit(true, now),
        Deed::Restore(instance) => {
            world.left.restores -= 1;
            let record = world.records[*instance].as_deref().cloned().expect("only what is there is restored");
            // Its run was asked for once, however far it came: only a person may ask for it again.
            invariants::remember(&mut world.histories[*instance], &record);
            world.records[*instance] = Some(Rc::new(ResetRecord { status: None, ..record }));
            world.behind[*instance] = None;
            return;
        }
        Deed::BackUp => {
            world.backup = Some(Backup { records: world.records.clone(), status: Rc::clone(&world.status) });
            return;
        }
        Deed::RestoreOlder(instance) => {
            world.left.restores -= 1;
            world.records[*instance] = world.backup.as_ref().and_then(|backup| backup.records[*instance].clone());
            world.behind[*instance] = None;
            return;
        }
        Deed::RestoreStatus => {
            world.left.restores -= 1;
            world.status = world.backup.as_ref().map(|backup| Rc::clone(&backup.status)).expect("there is a backup");
            return;
        }
        Deed::Release(instance) => {
            world.left.releases -= 1;
            return world.machines[*instance].release(now);
        }
        Deed::Hide(instance) => {
            world.left.hides -= 1;
            return world.machines[*instance].hide(true, now);
        }
        Deed::Unhide(instance) => return world.machines[*instance].hide(false, now),
        Deed::Hold => {
            world.left.holds -= 1;
            world.object.held = true;
            return;
        }
        Deed::Unhold => {
            world.object.held = false;
            return;
        }
        Deed::Secret(secret) => world.secret = *secret,
        Deed::Run(run) => world.object.run = *run,
        Deed::Delete => {
            world.object.exists = false;
            world.object.resolution = None;
            world.status = Rc::default();
        }
        // What was deleted may come back for nothing.
        Deed::Apply => {
            world.object.exists = true;
            world.object.uid += 1;
            return;
        }
        Deed::Retry => world.object.retry += 1,
        Deed::Resolve(instance, decision) => {
            let claim = world.records[*instance].as_ref().map_or(0, |record| record.spec.claim);
            let instance_id = INSTANCES[*instance].to_owned();
            world.object.resolution = Some(Resolution { instance_id, claim, decision: *decision });
            if *decision == Decision::RestartAgain {
                world.histories[*instance].again = Some(claim);
            }
        }
    }
    world.left.edits -= 1;
}
