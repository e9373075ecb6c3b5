//! One instance in time: its status, what is due next, and its passwords. Pure; time comes in as an argument.
//!
//! Choices where ECS's documents are silent: `StartTime` is the moment at which Running is reached, and at that same
//! moment a waiting password takes effect (one set during the transition cannot exist: it is refused). A second reboot
//! accepted before the first has begun is carried out after it, so that a controller that sends twice is seen to
//! restart twice.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::instance::{Instance, Status};
use crate::journal::Effect;
use crate::password::Password;
use crate::time::after;

/// An instance and all that has happened to it. No `Debug`: it holds passwords.
pub(crate) struct Machine {
    pub(crate) spec: Instance,
    pub(crate) created: Timestamp,
    status: Status,
    since: Timestamp,
    start_time: Option<Timestamp>,
    /// When the start in progress was begun, where the seed says so; it is the StartTime that this start leads to.
    start_begun: Option<Timestamp>,
    /// When a transitional status ends.
    leaves_at: Timestamp,
    /// The transition under way is a reboot.
    rebooting: bool,
    held: bool,
    reboots: VecDeque<Reboot>,
    /// The `RequestId` behind the transition under way.
    cause: Option<String>,
    pending: Option<Password>,
    in_effect: Option<Password>,
    set: Vec<Password>,
    history: Vec<Seen>,
}

struct Reboot {
    begins: Timestamp,
    cause: Option<String>,
}

/// What `DescribeInstances` shows of the lifecycle at some moment.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    at: Timestamp,
    pub(crate) status: Status,
    pub(crate) start_time: Option<Timestamp>,
}

/// What happened in one step.
pub(crate) type Effects = Vec<(Effect, Option<String>)>;

impl Machine {
    pub(crate) fn new(spec: Instance, now: Timestamp) -> Self {
        let status = spec.status;
        let start_time = spec.start_time.or(match status {
            Status::Pending | Status::Starting => None,
            _ => now.checked_sub(jiff::SignedDuration::from_hours(1)).ok(),
        });
        let lasts = match status {
            Status::Pending => spec.pending_takes_seconds,
            Status::Starting => spec.start_takes_seconds,
            _ => spec.stop_takes_seconds,
        };
        Self {
            created: start_time.unwrap_or(now).min(now),
            status,
            since: now,
            start_time,
            start_begun: spec.start_time.filter(|_| status == Status::Starting),
            leaves_at: after(now, lasts),
            rebooting: false,
            held: spec.held,
            reboots: VecDeque::new(),
            cause: None,
            pending: None,
            in_effect: None,
            set: Vec::new(),
            history: vec![Seen { at: now, status, start_time }],
            spec,
        }
    }

    pub(crate) fn status(&self) -> Status {
        self.status
    }

    pub(crate) fn start_time(&self) -> Option<Timestamp> {
        self.start_time
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    pub(crate) fn pending(&self) -> Option<&Password> {
        self.pending.as_ref()
    }

    pub(crate) fn in_effect(&self) -> Option<&Password> {
        self.in_effect.as_ref()
    }

    pub(crate) fn passwords_set(&self) -> &[Password] {
        &self.set
    }

    /// As it looked at `at`; before its time, as it began.
    pub(crate) fn seen_at(&self, at: Timestamp) -> Seen {
        let latest = self.history.iter().rev().find(|seen| seen.at <= at).or_else(|| self.history.first());
        latest.copied().unwrap_or(Seen { at, status: self.status, start_time: self.start_time })
    }

    /// When something happens by itself, if anything does.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        match self.status {
            Status::Running => self.reboots.front().map(|reboot| reboot.begins.max(self.since)),
            Status::Stopped => None,
            _ => (!self.held).then_some(self.leaves_at.max(self.since)),
        }
    }

    /// The events that are due at `at` happen.
    pub(crate) fn step(&mut self, at: Timestamp) -> Effects {
        let mut effects = Vec::new();
        match self.status {
            Status::Running => {
                if let Some(reboot) = self.reboots.pop_front() {
                    self.cause = reboot.cause;
                    self.rebooting = true;
                    effects.push((Effect::RebootBegan, self.cause.clone()));
                    self.leaves_at = after(at, self.spec.reboot_takes_seconds);
                    self.become_status(at, self.spec.reboot_shows.status(), &mut effects);
                }
            }
            Status::Pending => {
                self.leaves_at = after(at, self.spec.start_takes_seconds);
                self.become_status(at, Status::Starting, &mut effects);
            }
            Status::Starting => self.reach_running(at, &mut effects),
            Status::Stopping if self.rebooting => self.reach_running(at, &mut effects),
            Status::Stopping => self.become_status(at, Status::Stopped, &mut effects),
            Status::Stopped => {}
        }
        effects
    }

    /// The platform has powered it on.
    fn reach_running(&mut self, at: Timestamp, effects: &mut Effects) {
        if !self.rebooting || self.spec.start_time_follows_reboot {
            self.start_time = Some(self.start_begun.take().unwrap_or(at));
        }
        if let Some(password) = self.pending.take() {
            self.in_effect = Some(password);
            effects.push((Effect::PasswordInEffect, self.cause.clone()));
        }
        self.become_status(at, Status::Running, effects);
    }

    fn become_status(&mut self, at: Timestamp, to: Status, effects: &mut Effects) {
        let from = std::mem::replace(&mut self.status, to);
        self.since = at;
        self.history.push(Seen { at, status: to, start_time: self.start_time });
        effects.push((Effect::StatusChanged { from, to }, self.cause.clone()));
        if matches!(to, Status::Running | Status::Stopped) {
            self.rebooting = false;
            self.cause = None;
        }
        if to == Status::Stopped {
            self.reboots.clear();
        }
    }

    pub(crate) fn set_password(&mut self, password: Password, cause: Option<String>) -> Effects {
        self.set.push(password.clone());
        self.pending = Some(password);
        vec![(Effect::PasswordSet, cause)]
    }

    /// Accepts a reboot; it begins later.
    pub(crate) fn reboot(&mut self, now: Timestamp, cause: Option<String>) {
        self.reboots.push_back(Reboot { begins: after(now, self.spec.reboot_begins_after_seconds), cause });
    }

    pub(crate) fn start(&mut self, now: Timestamp, cause: Option<String>) -> Effects {
        self.move_to(now, Status::Starting, self.spec.start_takes_seconds, cause)
    }

    pub(crate) fn stop(&mut self, now: Timestamp, cause: Option<String>) -> Effects {
        self.move_to(now, Status::Stopping, self.spec.stop_takes_seconds, cause)
    }

    fn move_to(&mut self, now: Timestamp, to: Status, takes_seconds: f64, cause: Option<String>) -> Effects {
        let mut effects = Vec::new();
        self.cause = cause;
        self.rebooting = false;
        self.leaves_at = after(now, takes_seconds);
        self.become_status(now, to, &mut effects);
        effects
    }

    /// Whatever it was doing, it is now powered off, as after a crash of the guest or a power-off from inside it.
    pub(crate) fn power_off(&mut self, now: Timestamp) -> Effects {
        let mut effects = Vec::new();
        if self.status != Status::Stopped {
            self.become_status(now, Status::Stopped, &mut effects);
        }
        effects
    }

    /// While held it leaves no transitional status; a reboot still begins.
    pub(crate) fn hold(&mut self) {
        self.held = true;
    }

    /// What became due while held happens `now`.
    pub(crate) fn release(&mut self, now: Timestamp) {
        self.held = false;
        self.leaves_at = self.leaves_at.max(now);
    }
}
