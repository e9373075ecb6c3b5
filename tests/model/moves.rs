//! What can happen next in a state, each with the state that follows. The same order each time: a story is told by
//! repeating the choices.
//!
//! A controller is prompt: time goes on only when it has nothing to do, unless it is frozen. So delay is a kind of trouble,
//! and as bounded as the others.

use ecs_password_reset::api::reasons;
use ecs_password_reset::decide::Reading;
use ecs_password_reset::decide::progress::Outcome;

use crate::controller::{abandon, answered, consider, look, send, store};
use crate::ecs::VALIDITY;
use crate::invariants;
use crate::people;
use crate::setup::Setup;
use crate::world::{Budget, OBJECT, Pass, Process, World, at, copy, tick};

/// Something that happens. Processes and instances by their place.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A process looks at a record and decides.
    Look { process: usize, instance: usize, glance: Glance },
    /// A process looks at the object and decides.
    Plan { process: usize, glance: Glance },
    /// It stores what it has decided.
    Store { process: usize, job: usize, fate: Fate },
    /// It sends a call.
    Send { process: usize, job: usize },
    /// ECS answers.
    Answer { process: usize, job: usize, reply: Reply },
    /// No answer comes.
    NoAnswer { process: usize, job: usize },
    /// A request whose sender has given up arrives.
    Arrive { copy: usize },
    /// The leader's watch shows a record as it is.
    Show { instance: usize },
    /// An accepted reboot begins.
    Begin { instance: usize },
    /// A reboot is done.
    Finish { instance: usize },
    /// A reboot is going to begin late, or to take long.
    Slow { instance: usize },
    /// The other process takes over.
    Handover,
    /// A process dies and comes back.
    Crash { process: usize },
    /// A process is stopped.
    Freeze { process: usize },
    /// It goes on.
    Thaw { process: usize },
    /// Somebody else does something.
    Somebody(people::Deed),
    /// Half a minute passes.
    Tick,
}

/// Which reading a pass goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct Glance {
    /// The reading.
    pub reading: Reading,
    /// Whether it was asked for now and does not lag.
    pub fresh: bool,
}

/// What becomes of a write that the API server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is answered, and every watch shows it.
    Shown,
    /// It is answered, and the leader's watch does not show it yet.
    NotShown,
    /// It is not answered.
    Unanswered,
}

/// What ECS says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is carried out if the instance's status allows it.
    ByStatus,
    /// Throttled.
    Later,
    /// Refused for good.
    Never,
    /// It did not even leave.
    NotSent,
}

/// An action and the state after it.
pub struct Move {
    /// What happens.
    pub action: Action,
    /// What is so then.
    pub world: World,
}

/// Everything that can happen next.
pub fn moves(setup: &Setup, world: &World) -> Vec<Move> {
    let mut moves = Moves { setup, world, list: Vec::new() };
    let idle = moves.passes();
    moves.calls();
    moves.ecs();
    moves.trouble();
    for deed in people::deeds(setup, world) {
        moves.add(Action::Somebody(deed.clone()), |next| people::does(&deed, next, setup));
    }
    if idle && !world.machines.iter().any(|machine| machine.holds_time(world.now)) {
        moves.add(Action::Tick, pass_time);
    }
    moves.list
}

/// How soon an action happens once all trouble is over; `None`: it is trouble, or somebody's whim.
pub fn fair_rank(action: &Action) -> Option<u8> {
    Some(match action {
        Action::Thaw { .. } => 0,
        Action::Store { fate: Fate::Shown, .. }
        | Action::Send { .. }
        | Action::Answer { reply: Reply::ByStatus, .. } => 1,
        Action::Show { .. } | Action::Begin { .. } | Action::Finish { .. } => 2,
        Action::Look { glance: Glance { fresh: true, .. }, .. } => 3,
        Action::Plan { glance: Glance { fresh: true, .. }, .. } => 4,
        Action::Tick => 5,
        _ => return None,
    })
}

struct Moves<'a> {
    setup: &'a Setup,
    world: &'a World,
    list: Vec<Move>,
}

impl Moves<'_> {
    fn add(&mut self, action: Action, happen: impl FnOnce(&mut World)) {
        let mut world = self.world.clone();
        happen(&mut world);
        self.list.push(Move { action, world });
    }

    /// The same, paid for with trouble.
    fn add_for(&mut self, kind: fn(&mut Budget) -> &mut u8, action: Action, happen: impl FnOnce(&mut World)) {
        let mut left = self.world.left;
        if let Some(less) = kind(&mut left).checked_sub(1) {
            *kind(&mut left) = less;
            self.add(action, |next| {
                next.left = left;
                happen(next);
            });
        }
    }

    /// The passes that the leader can begin. Returns whether every process waits, as far as it is not frozen.
    fn passes(&mut self) -> bool {
        let (setup, world, process) = (self.setup, self.world, self.world.lead);
        let others_idle = world.processes.iter().all(|process| process.frozen || !process.is_busy());
        let me = &world.processes[process];
        if me.frozen {
            return others_idle;
        }
        let mut nothing_to_do = true;
        let fresh: Vec<Reading> = world.machines.iter().map(|machine| machine.reading(world.now)).collect();
        for instance in 0..setup.instances {
            let old = self.old_readings(instance);
            let may_look = matches!(me.passes[instance], Pass::Idle);
            let may_plan = matches!(me.passes[OBJECT], Pass::Idle);
            let usual = may_look.then(|| look(setup, world, process, instance, &fresh[instance])).flatten();
            nothing_to_do &= usual.is_none();
            if let Some(pass) = usual {
                let glance = Glance { reading: fresh[instance].clone(), fresh: true };
                self.add(Action::Look { process, instance, glance }, |next| {
                    begin(next, instance, Some(instance), pass);
                });
            }
            for reading in old {
                let glance = Glance { reading: reading.clone(), fresh: false };
                if may_look && let Some(pass) = look(setup, world, process, instance, &reading) {
                    let action = Action::Look { process, instance, glance: glance.clone() };
                    self.add_for(|left| &mut left.lags, action, |next| begin(next, instance, Some(instance), pass));
                }
                let mut readings = fresh.clone();
                readings[instance] = reading;
                if may_plan && let Some(pass) = consider(setup, world, process, &readings) {
                    let action = Action::Plan { process, glance };
                    self.add_for(|left| &mut left.lags, action, |next| begin(next, OBJECT, None, pass));
                }
            }
        }
        if matches!(me.passes[OBJECT], Pass::Idle)
            && let Some(pass) = consider(setup, world, process, &fresh)
        {
            nothing_to_do = false;
            let glance = Glance { reading: fresh[0].clone(), fresh: true };
            self.add(Action::Plan { process, glance }, |next| begin(next, OBJECT, None, pass));
        }
        nothing_to_do && others_idle
    }

    fn old_readings(&self, instance: usize) -> Vec<Reading> {
        let machine = &self.world.machines[instance];
        if self.world.left.lags == 0 { Vec::new() } else { machine.old_readings(self.world.now) }
    }

    /// The steps of the passes under way, whoever leads.
    fn calls(&mut self) {
        let (setup, world) = (self.setup, self.world);
        for (process, me) in world.processes.iter().enumerate().filter(|(_, me)| !me.frozen) {
            for (job, pass) in me.passes.iter().enumerate() {
                match pass {
                    Pass::Idle => {}
                    Pass::Store { .. } => {
                        let write = |next: &mut World, fate| written(setup, next, process, job, fate);
                        let action = |fate| Action::Store { process, job, fate };
                        self.add(action(Fate::Shown), |next| write(next, Fate::Shown));
                        let unanswered = |next: &mut World| write(next, Fate::Unanswered);
                        self.add_for(|left| &mut left.losses, action(Fate::Unanswered), unanswered);
                        if process != world.lead {
                            let not_shown = |next: &mut World| write(next, Fate::NotShown);
                            self.add_for(|left| &mut left.lags, action(Fate::NotShown), not_shown);
                        }
                    }
                    Pass::Send { .. } => self.add(Action::Send { process, job }, |next| {
                        send(setup, next, process, job);
                        invariants::sent(next, process, job);
                    }),
                    Pass::Await { .. } => {
                        let action = |reply| Action::Answer { process, job, reply };
                        self.add(action(Reply::ByStatus), |next| answer(next, process, job, Reply::ByStatus));
                        for reply in [Reply::Later, Reply::Never, Reply::NotSent] {
                            let refuse = |next: &mut World| answer(next, process, job, reply);
                            self.add_for(|left| &mut left.refusals, action(reply), refuse);
                        }
                        let action = Action::NoAnswer { process, job };
                        self.add_for(|left| &mut left.losses, action, |next| give_up(next, process, job));
                    }
                }
            }
        }
    }

    /// What ECS does by itself, and what the network still carries.
    fn ecs(&mut self) {
        let world = self.world;
        for copy in 0..world.copies.len() {
            self.add(Action::Arrive { copy }, |next| {
                let copy = next.copies.remove(copy);
                next.machines[copy.instance].carry_out(&copy, next.now);
            });
        }
        for (instance, machine) in world.machines.iter().enumerate() {
            if world.behind[instance].is_some() {
                self.add(Action::Show { instance }, |next| next.behind[instance] = None);
            }
            if machine.can_begin() {
                let follows = self.setup.follows;
                self.add(Action::Begin { instance }, |next| {
                    let claim = next.machines[instance].begin(next.now, follows);
                    invariants::restarted(next, instance, claim);
                });
            }
            if machine.can_finish(world.now) {
                self.add(Action::Finish { instance }, |next| next.machines[instance].finish(next.now));
            }
            if machine.holds_time(world.now) && !machine.slow {
                let slow = |next: &mut World| next.machines[instance].slow = true;
                self.add_for(|left| &mut left.lags, Action::Slow { instance }, slow);
            }
        }
    }

    /// What goes wrong with processes.
    fn trouble(&mut self) {
        let world = self.world;
        let other = 1 - world.lead;
        // A process that has lost its leadership ends what it has under way before it leads again.
        if !self.setup.gate || !world.processes[other].is_busy() {
            self.add_for(
                |left| &mut left.handovers,
                Action::Handover,
                |next| {
                    next.lead = other;
                    next.behind = [None, None];
                },
            );
        }
        for (process, me) in world.processes.iter().enumerate() {
            self.add_for(
                |left| &mut left.crashes,
                Action::Crash { process },
                |next| {
                    abandon(next, process);
                    next.processes[process] = Process::new(next.name("p"));
                    if process == next.lead {
                        next.behind = [None, None];
                    }
                },
            );
            if me.frozen {
                self.add(Action::Thaw { process }, |next| next.processes[process].frozen = false);
            } else if process == world.lead || me.is_busy() {
                self.add_for(
                    |left| &mut left.freezes,
                    Action::Freeze { process },
                    |next| {
                        abandon(next, process);
                        next.processes[process].frozen = true;
                    },
                );
            }
        }
    }
}

/// A pass has decided, and read the record of `read` on the way.
fn begin(next: &mut World, job: usize, read: Option<usize>, pass: Pass) {
    next.names += 1;
    if let Some(instance) = read {
        next.behind[instance] = None;
    }
    next.processes[next.lead].passes[job] = pass;
}

fn written(setup: &Setup, next: &mut World, process: usize, job: usize, fate: Fate) {
    let before = next.records.clone();
    let Some(record) = store(setup, next, process, job) else { return };
    let instance = crate::world::instance(&record);
    invariants::stored(next, instance, before[instance].as_deref(), &record);
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

fn answer(next: &mut World, process: usize, job: usize, reply: Reply) {
    let Pass::Await { record, sending } = std::mem::replace(&mut next.processes[process].passes[job], Pass::Idle)
    else {
        return;
    };
    let refused = |later, reason| Outcome::Refused { later, reason, message: "refused".to_owned() };
    let outcome = match reply {
        Reply::ByStatus => {
            let request = copy(&record, sending);
            if next.machines[request.instance].carry_out(&request, next.now) {
                Outcome::Accepted { request_id: None, at: at(next.now) }
            } else {
                refused(true, reasons::WAITING_FOR_STABLE_STATE)
            }
        }
        Reply::Later => refused(true, reasons::THROTTLED),
        Reply::Never => refused(false, reasons::PASSWORD_REFUSED),
        Reply::NotSent => Outcome::NotSent("not sent".to_owned()),
    };
    answered(next, process, job, &record, sending, &outcome);
}

fn give_up(next: &mut World, process: usize, job: usize) {
    let Pass::Await { record, sending } = std::mem::replace(&mut next.processes[process].passes[job], Pass::Idle)
    else {
        return;
    };
    next.copies.push(copy(&record, sending));
    answered(next, process, job, &record, sending, &Outcome::NoAnswer(String::new()));
}

/// Half a minute passes, and with it what may live no longer.
pub fn pass_time(next: &mut World) {
    next.now += 1;
    let now = next.now;
    next.copies.retain(|copy| now < copy.timestamp + VALIDITY);
    for machine in &mut next.machines {
        machine.forget(now, next.left.lags > 0);
    }
}

/// The tick at which a reading was asked for.
pub fn asked_at(glance: &Glance) -> i64 {
    tick(glance.reading.sent_at)
}
