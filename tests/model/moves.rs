//! What can happen next in a state, each with the state that follows. The same order each time: a story is shown by
//! repeating the choices.
//!
//! A controller is prompt: time goes on only when it has nothing to do, unless it is frozen. Delay is therefore a kind of trouble,
//! and as bounded as the others.

use ecs_password_reset::decide::Reading;

use crate::actions::{Action, Fate, Glance, Move, Reply};
use crate::claims::consider;
use crate::controller::{abandon, look, send};
use crate::invariants;
use crate::people;
use crate::setup::Setup;
use crate::steps::{answer, begin, crash, delivered, give_up, pass_time, written};
use crate::world::{Budget, OBJECT, Pass, World};

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

/// A kind of trouble that something is paid for with.
type Price = fn(&mut Budget) -> &mut u8;

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
    fn add_for(&mut self, kind: Price, action: Action, happen: impl FnOnce(&mut World)) {
        let mut left = self.world.left;
        if let Some(less) = kind(&mut left).checked_sub(1) {
            *kind(&mut left) = less;
            self.add(action, |next| {
                next.left = left;
                happen(next);
            });
        }
    }

    /// The passes that can be begun. Returns whether every process waits, as far as it is not frozen. What a rival could
    /// begin it does not wait for: it is trouble that it does.
    fn passes(&mut self) -> bool {
        let world = self.world;
        let fresh: Vec<Reading> = world.machines.iter().map(|machine| machine.reading(world.now)).collect();
        let all_idle = world.processes.iter().all(|process| process.frozen || !process.is_busy());
        let nothing_to_do = world.processes[world.lead].frozen || self.passes_of_the_leader(&fresh);
        let rival = 1 - world.lead;
        if world.left.rivals > 0 && !world.processes[rival].frozen {
            self.usual_passes(rival, &fresh, Some(|left| &mut left.rivals));
        }
        self.notices(&fresh);
        nothing_to_do && all_idle
    }

    /// Returns whether it has nothing to do.
    fn passes_of_the_leader(&mut self, fresh: &[Reading]) -> bool {
        let (setup, world, process) = (self.setup, self.world, self.world.lead);
        let me = &world.processes[process];
        for instance in 0..setup.instances {
            for reading in self.old_readings(instance) {
                let glance = Glance { reading: reading.clone(), fresh: false };
                if matches!(me.passes[instance], Pass::Idle)
                    && let Some(pass) = look(setup, world, process, instance, &reading)
                {
                    let action = Action::Look { process, instance, glance: glance.clone() };
                    let read = [(instance, reading.clone())];
                    let begin = |next: &mut World| begin(next, process, instance, Some(instance), &read, pass);
                    self.add_for(|left| &mut left.lags, action, begin);
                }
                let mut readings = fresh.to_vec();
                readings[instance] = reading;
                if matches!(me.passes[OBJECT], Pass::Idle)
                    && let Some(pass) = consider(setup, world, process, &readings)
                {
                    let action = Action::Plan { process, glance };
                    let read: Vec<_> = readings.into_iter().enumerate().collect();
                    self.add_for(|left| &mut left.lags, action, |next| begin(next, process, OBJECT, None, &read, pass));
                }
            }
        }
        self.usual_passes(process, fresh, None)
    }

    /// The passes of a process by what the present shows, perhaps paid for. Returns whether there are none.
    fn usual_passes(&mut self, process: usize, fresh: &[Reading], price: Option<Price>) -> bool {
        let (setup, world) = (self.setup, self.world);
        let me = &world.processes[process];
        let mut passes = Vec::new();
        for instance in (0..setup.instances).filter(|instance| matches!(me.passes[*instance], Pass::Idle)) {
            if let Some(pass) = look(setup, world, process, instance, &fresh[instance]) {
                let glance = Glance { reading: fresh[instance].clone(), fresh: true };
                let read = vec![(instance, fresh[instance].clone())];
                passes.push((Action::Look { process, instance, glance }, instance, Some(instance), read, pass));
            }
        }
        if matches!(me.passes[OBJECT], Pass::Idle)
            && let Some(pass) = consider(setup, world, process, fresh)
        {
            let glance = Glance { reading: fresh[0].clone(), fresh: true };
            let read = fresh.iter().cloned().enumerate().collect();
            passes.push((Action::Plan { process, glance }, OBJECT, None, read, pass));
        }
        let none = passes.is_empty();
        for (action, job, record, read, pass) in passes {
            let begin = |next: &mut World| begin(next, process, job, record, &read, pass);
            match price {
                None => self.add(action, begin),
                Some(kind) => self.add_for(kind, action, begin),
            }
        }
        none
    }

    /// What takes away a permission that a process has reckoned with comes between its steps.
    fn notices(&mut self, fresh: &[Reading]) {
        let world = self.world;
        for (process, me) in world.processes.iter().enumerate().filter(|(_, me)| !me.frozen) {
            for (instance, reading) in fresh.iter().enumerate() {
                let about_to_send =
                    matches!(me.passes[instance], Pass::Send { .. } | Pass::Store { then: Some(_), .. });
                if about_to_send && !world.machines[instance].view.permitted && me.forbidden[instance].is_none() {
                    let action = Action::Notice { process, instance };
                    self.add(action, |next| delivered(next, process, instance, reading));
                }
            }
        }
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
                    invariants::at_most_one_restart_per_claim(next, instance, claim);
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
            self.add_for(|left| &mut left.crashes, Action::Crash { process }, |next| crash(next, process));
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
