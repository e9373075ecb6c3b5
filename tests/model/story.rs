//! How it came to a state, for people: one line for each action, with the phases of the records and the state of the
//! instances after it.

use ecs_password_reset::api::reset_record::Phase;
use ecs_password_reset::decide::Reading;
use ecs_password_reset::decide::claim::step::Call;

use crate::actions::{Action, Fate, Glance, Move, Reply, asked_at};
use crate::ecs::{Machine, Status};
use crate::people::Deed;
use crate::setup::Setup;
use crate::world::{INSTANCES, OBJECT, Pass, World, attempt, instance, phase, tick};

/// A story under way.
pub struct Story {
    lines: Vec<String>,
}

impl Story {
    /// Begins with what is wrong at the end of it.
    pub fn begin(setup: &Setup, why: &str, root: &World) -> Self {
        let world = if setup.follows { "StartTime follows reboots" } else { "StartTime does not follow reboots" };
        let lines = vec![
            format!("violated {why}\n  search: {}; {world}, the controller believes: {:?}", setup.name, setup.known),
            format!("  {} it begins{}", clock(root), changed(None, root)),
        ];
        Self { lines }
    }

    /// Adds one action.
    pub fn add(&mut self, before: &World, next: &Move) {
        let what = tell(before, &next.action, &next.world);
        self.lines.push(format!("  {} {what}{}", clock(&next.world), changed(Some(before), &next.world)));
    }

    /// All of it.
    pub fn end(self) -> String {
        self.lines.join("\n")
    }
}

fn clock(world: &World) -> String {
    minutes(world.now)
}

fn minutes(tick: i64) -> String {
    let seconds = tick * 30;
    if seconds < 0 { "before".to_owned() } else { format!("{:02}:{:02}", seconds / 60, seconds % 60) }
}

/// The instances with their records, those that are not as they were.
fn changed(before: Option<&World>, world: &World) -> String {
    let line = |world: &World, instance: usize| {
        let claim = world.records[instance].as_ref().map_or("no record".to_owned(), |record| {
            let number = attempt(record).map_or(0, |attempt| attempt.number);
            match phase(record) {
                Phase::RestartRequested => format!("claim {} RestartRequested({number})", record.spec.claim),
                phase => format!("claim {} {phase:?}", record.spec.claim),
            }
        });
        format!("\n           {}: {claim}; {}", INSTANCES[instance], machine(&world.machines[instance]))
    };
    let new = |instance: &usize| before.is_none_or(|before| line(before, *instance) != line(world, *instance));
    (0..INSTANCES.len()).filter(new).map(|instance| line(world, instance)).collect()
}

fn machine(machine: &Machine) -> String {
    let password = |claim: i64| if claim == 0 { "old".to_owned() } else { format!("claim {claim}'s") };
    let waits = if machine.accepted.is_empty() { "" } else { ", a reboot is accepted" };
    let forbidden = match (machine.hidden, machine.view.permitted) {
        (true, _) => ", not to be described",
        (false, true) => "",
        (false, false) => ", not permitted",
    };
    format!(
        "{}, started {}, password {} in effect, {} stored{waits}{forbidden}",
        status(machine.view.status),
        minutes(machine.view.start_time),
        password(machine.in_effect),
        password(machine.stored)
    )
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Running => "Running",
        Status::Stopped => "Stopped",
        Status::Rebooting { ours: true } => "rebooting because of us",
        Status::Rebooting { ours: false } => "rebooting because of somebody else",
        Status::Gone => "released",
    }
}

fn tell(before: &World, action: &Action, after: &World) -> String {
    let name = |process: usize| &before.processes[process].id;
    match action {
        Action::Look { process, instance, glance } => {
            let decision = decision(&after.processes[*process].passes[*instance]);
            format!("{} looks at {} ({}) and {decision}", name(*process), INSTANCES[*instance], seen(glance))
        }
        Action::Plan { process, glance } => {
            let decision = decision(&after.processes[*process].passes[OBJECT]);
            let seen = if glance.fresh { String::new() } else { format!(" ({})", seen(glance)) };
            format!("{} looks at the object{seen} and {decision}", name(*process))
        }
        Action::Notice { process, instance } => {
            format!("{} is shown that {} is not permitted any more", name(*process), INSTANCES[*instance])
        }
        Action::Store { process, job, fate } => {
            let Pass::Store { record, .. } = &before.processes[*process].passes[*job] else { return String::new() };
            let what = format!("{} writes {:?} of {}", name(*process), phase(record), INSTANCES[instance(record)]);
            let taken = after.records[instance(record)].as_ref().is_some_and(|now| std::rc::Rc::ptr_eq(now, record));
            match (taken, fate) {
                (false, _) => format!("{what}, and is told that somebody was quicker"),
                (true, Fate::Shown) => what,
                (true, Fate::NotShown) => format!("{what}, which the leader's watch does not show yet"),
                (true, Fate::Unanswered) => format!("{what}, and gets no answer"),
            }
        }
        Action::Send { process, job } => match &after.processes[*process].passes[*job] {
            Pass::Await { sending, .. } => {
                format!("{} sends {} for {}", name(*process), call(sending.call), INSTANCES[*job])
            }
            _ => format!("{} finds that it must not send for {}", name(*process), INSTANCES[*job]),
        },
        Action::Answer { process, job, reply } => {
            let reply = match reply {
                Reply::ByStatus => "as the instance's status has it",
                Reply::Later => "that it is throttled",
                Reply::Never => "that it never will do so",
                Reply::NotSent => "nothing, since the request never left",
            };
            format!("ECS answers {} about {}: {reply}", name(*process), INSTANCES[*job])
        }
        Action::NoAnswer { process, job } => format!("{} gets no answer about {}", name(*process), INSTANCES[*job]),
        Action::Arrive { copy } => {
            let copy = before.copies[*copy];
            let what = if copy.reboot { "reboot" } else { "set the password of" };
            format!("a late request to {what} {} arrives", INSTANCES[copy.instance])
        }
        Action::Show { instance } => format!("the leader's watch shows {}", INSTANCES[*instance]),
        Action::Begin { instance } => format!("the reboot of {} begins", INSTANCES[*instance]),
        Action::Finish { instance } => format!("the reboot of {} is done", INSTANCES[*instance]),
        Action::Slow { instance } => format!("the reboot of {} takes its time", INSTANCES[*instance]),
        Action::Handover => format!("{} takes over", name(after.lead)),
        Action::Crash { process } => {
            format!("{} dies and comes back as {}", name(*process), after.processes[*process].id)
        }
        Action::Freeze { process } => format!("{} is stopped", name(*process)),
        Action::Thaw { process } => format!("{} goes on", name(*process)),
        Action::Somebody(deed) => somebody(deed),
        Action::Tick => "half a minute has passed".to_owned(),
    }
}

fn seen(glance: &Glance) -> String {
    let Reading { since, seen, .. } = &glance.reading;
    let Some(seen) = seen else { return "nothing".to_owned() };
    let start = seen.start_time.map_or_else(String::new, |time| minutes(tick(time)));
    let forbidden = if seen.permitted { "" } else { ", not permitted" };
    let what = format!("{}, started {start}{forbidden}", seen.power.as_str());
    if glance.fresh {
        return what;
    }
    format!("{what}, as asked at {} and unchanged since {}", minutes(asked_at(glance)), minutes(tick(*since)))
}

fn decision(pass: &Pass) -> String {
    match pass {
        Pass::Store { record, then, .. } => {
            let to = match then.map(|sending| sending.call) {
                Some(Call::Restart { .. }) => ", to request a restart",
                Some(_) => ", to send the password again",
                None => "",
            };
            format!("decides on {:?} of {}{to}", phase(record), INSTANCES[instance(record)])
        }
        Pass::Send { .. } => "decides to send the password".to_owned(),
        Pass::Idle | Pass::Await { .. } => "waits".to_owned(),
    }
}

fn call(call: Call) -> &'static str {
    match call {
        Call::Restart { .. } => "RebootInstance",
        Call::SetPassword | Call::SetPasswordAsStored => "ModifyInstanceAttribute",
    }
}

fn somebody(deed: &Deed) -> String {
    match deed {
        Deed::Stop(instance) => format!("somebody stops {}", INSTANCES[*instance]),
        Deed::Start(instance) => format!("somebody starts {}", INSTANCES[*instance]),
        Deed::Restart(instance) => format!("somebody restarts {}", INSTANCES[*instance]),
        Deed::Secret(Some(_)) => "somebody puts another password into the Secret".to_owned(),
        Deed::Secret(None) => "somebody deletes the Secret".to_owned(),
        Deed::Run(run) => format!("somebody sets runID {}", run + 1),
        Deed::Delete => "somebody deletes the object".to_owned(),
        Deed::Apply => "somebody applies the object again".to_owned(),
        Deed::Retry => "somebody sets the retry annotation".to_owned(),
        Deed::Restore(instance) => format!("the record of {} is restored without its status", INSTANCES[*instance]),
        Deed::BackUp => "a backup is taken".to_owned(),
        Deed::RestoreOlder(instance) => format!("the record of {} is restored from the backup", INSTANCES[*instance]),
        Deed::RestoreStatus => "the object's status is restored from the backup".to_owned(),
        Deed::Forbid(instance) => format!("somebody takes the account's permission for {} away", INSTANCES[*instance]),
        Deed::Allow(instance) => format!("somebody gives the account's permission for {} back", INSTANCES[*instance]),
        Deed::Release(instance) => format!("somebody releases {}", INSTANCES[*instance]),
        Deed::Hide(instance) => format!("the account may not describe {} any more", INSTANCES[*instance]),
        Deed::Hold => "the object is held back".to_owned(),
        Deed::Unhold => "the object is released".to_owned(),
        Deed::Unhide(instance) => format!("the account may describe {} again", INSTANCES[*instance]),
        Deed::Resolve(instance, decision) => format!("a person decides on {}: {decision:?}", INSTANCES[*instance]),
    }
}
