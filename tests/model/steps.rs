//! What an action does to a state, where that takes more than a line.

use ecs_password_reset::api::Reason;
use ecs_password_reset::decide::Reading;
use ecs_password_reset::decide::claim::transition::CallOutcome;

use crate::actions::{Fate, Reply};
use crate::claims::publish;
use crate::controller::{abandon, answered, not_sent, store};
use crate::ecs::{Status, VALIDITY};
use crate::invariants;
use crate::setup::Setup;
use crate::world::{Pass, Process, World, at, attempt, copy, send_window, tick};

/// A pass has decided, by these readings, and read the record of `read` on the way.
pub fn begin(
    next: &mut World,
    process: usize,
    job: usize,
    read: Option<usize>,
    readings: &[(usize, Reading)],
    pass: Pass,
) {
    next.names += 1;
    if let Some(instance) = read.filter(|_| process == next.lead) {
        next.behind[instance] = None;
    }
    for (instance, reading) in readings {
        delivered(next, process, *instance, reading);
    }
    next.processes[process].passes[job] = pass;
}

/// A process has received a reading. An earlier one that comes later changes nothing.
pub fn delivered(next: &mut World, process: usize, instance: usize, reading: &Reading) {
    let asked_at = tick(reading.sent_at);
    let shown = reading.seen.as_ref().is_some_and(|seen| seen.permitted);
    let forbidden = &mut next.processes[process].forbidden[instance];
    if forbidden.is_none_or(|before| asked_at >= before) {
        *forbidden = (!shown).then_some(asked_at);
    }
}

/// A process dies and comes back, as another one: nothing of what it has stored can be sent any more.
pub fn crash(next: &mut World, process: usize) {
    abandon(next, process);
    let reborn = Process::new(next.name("p"));
    let dead = std::mem::replace(&mut next.processes[process], reborn);
    for log in &mut next.log {
        log.retain(|stored| stored.process != dead.id);
    }
    if process == next.lead {
        next.behind = [None, None];
    }
}

/// A pass writes, and what becomes of that.
pub fn written(setup: &Setup, next: &mut World, process: usize, job: usize, fate: Fate) {
    let before = next.records.clone();
    let Some(record) = store(setup, next, process, job) else { return };
    let instance = crate::world::instance(&record);
    invariants::stored(setup, next, instance, before[instance].as_deref(), &record);
    publish(setup, next);
    if let Pass::Send { sending, .. } = next.processes[process].passes[job] {
        invariants::intended(next, &record, sending);
    }
    match fate {
        Fate::Shown => next.behind[instance] = None,
        Fate::NotShown => {
            let shown = next.behind[instance].take().unwrap_or_else(|| before[instance].clone());
            next.behind[instance] = Some(shown);
        }
        Fate::Unanswered => {
            next.behind[instance] = None;
            next.processes[process].passes[job] = Pass::Idle;
        }
    }
}

/// ECS answers a call.
pub fn answer(next: &mut World, process: usize, job: usize, reply: Reply) {
    let Pass::Await { record, sending } = std::mem::replace(&mut next.processes[process].passes[job], Pass::Idle)
    else {
        return;
    };
    let refused = |later, reason| CallOutcome::Refused { later, reason, message: "refused".to_owned() };
    let outcome = match reply {
        Reply::ByStatus => {
            let request = copy(&record, sending);
            let machine = &mut next.machines[request.instance];
            if machine.carry_out(&request, next.now) {
                CallOutcome::Accepted { request_id: None, at: at(next.now) }
            } else if machine.view.status == Status::Gone {
                refused(false, Reason::InstanceNotFound)
            } else {
                refused(true, Reason::WaitingForStableState)
            }
        }
        Reply::Later => refused(true, Reason::Throttled),
        Reply::Never => refused(false, Reason::PasswordRefused),
        Reply::NotSent => not_sent(),
    };
    answered(next, process, job, &record, sending, &outcome);
}

/// No answer comes; the request may arrive all the same.
pub fn give_up(next: &mut World, process: usize, job: usize) {
    let Pass::Await { record, sending } = std::mem::replace(&mut next.processes[process].passes[job], Pass::Idle)
    else {
        return;
    };
    next.copies.push(copy(&record, sending));
    // What was heard of an attempt is never what was heard of another one: it is always written.
    let heard = attempt(&record).map(|attempt| attempt.id.clone()).unwrap_or_default();
    answered(next, process, job, &record, sending, &CallOutcome::Unknown(heard));
}

/// Half a minute passes, and with it what may live no longer.
pub fn pass_time(next: &mut World) {
    next.now += 1;
    let now = next.now;
    next.copies.retain(|copy| now < copy.timestamp + VALIDITY);
    for log in &mut next.log {
        log.retain(|stored| now <= stored.request.timestamp + send_window());
    }
    for machine in &mut next.machines {
        machine.forget(now, next.left.lags > 0);
    }
}
