//! ECS as far as the protocol sees it: what a request does, how a reboot goes on, and what a reading may show.
//!
//! It keeps to what the protocol assumes of ECS and makes the worst of it: a copy lives until just before Timestamp + V, a
//! reboot may begin late and a reading lag, their sum staying just below M; StartTime follows reboots or not, as the setup says.

use ecs_password_reset::decide::{InstanceView, Power, Reading};
use jiff::Timestamp;

use crate::world::{Copy, at, minute, send_window};

/// V: a copy is alive before its Timestamp + V.
pub const VALIDITY: i64 = 8;
/// How far back a reading may look from the moment at which it was asked for.
const READ_LAG: i64 = 2;
/// How long after its acceptance a reboot may begin.
const BEGIN_DELAY: i64 = 2;
/// M: more than both together.
pub const SETTLE: i64 = READ_LAG + BEGIN_DELAY + 1;
/// How long a reboot takes: so long that a controller which looks all the time does see it.
const REBOOT: i64 = 2;

/// An instance.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Machine {
    /// What there is to see of it.
    pub view: View,
    /// What there was to see of it, as long as a reading may still show that.
    pub past: Vec<View>,
    /// The claim whose password was stored last; 0: the one from before.
    pub stored: i64,
    /// The claim whose password was the stored one when the instance last started.
    pub in_effect: i64,
    /// The reboots that were accepted and have not begun, oldest first.
    pub accepted: Vec<Accepted>,
    /// Whether that may be late, and the reboot long.
    pub slow: bool,
    /// The last claim whose restart was carried out.
    pub restarted: i64,
    /// Whether another actor has stopped, started or restarted it.
    pub touched: bool,
    /// Whether another actor did so between the acceptance of our last reboot and its beginning.
    pub crossed: bool,
    /// Whether the account may not describe it.
    pub hidden: bool,
    /// Since when it may.
    pub describable: i64,
    /// Whether its last restart was stored by one of two processes at work, neither of which could see the other's.
    pub crowded: bool,
}

/// What a reading shows, and for how long it was so.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct View {
    /// The status.
    pub status: Status,
    /// The StartTime, as the tick at which its minute begins.
    pub start_time: i64,
    /// Whether the account's rules cover it, by its tags.
    pub permitted: bool,
    /// Whether it is in no answer, since the account may not describe it.
    pub hidden: bool,
    /// Since when it has this status.
    pub since: i64,
    /// Since when all of this is so.
    pub from: i64,
    /// Until when it was so; of no meaning in the present view.
    pub until: i64,
}

/// An instance's status.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Status {
    /// It runs.
    Running,
    /// It is stopped.
    Stopped,
    /// It reboots, because of us or of another actor.
    Rebooting { ours: bool },
    /// It was released.
    Gone,
}

/// A reboot that was accepted.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Accepted {
    /// When.
    pub at: i64,
    /// For which claim.
    pub claim: i64,
}

impl View {
    /// Whether no answer holds it.
    fn is_absent(&self) -> bool {
        self.hidden || self.status == Status::Gone
    }

    /// Whether a row of readings goes on from one to the other.
    fn looks_like(&self, other: &Self) -> bool {
        self.is_absent() == other.is_absent() && (self.is_absent() || self.status == other.status)
    }
}

impl Machine {
    /// An instance that has been so for long.
    pub fn new(status: Status) -> Self {
        let view = View { status, start_time: -100, permitted: true, hidden: false, since: -100, from: -100, until: 0 };
        Self {
            view,
            past: Vec::new(),
            stored: 0,
            in_effect: 0,
            accepted: Vec::new(),
            slow: false,
            restarted: 0,
            touched: false,
            crossed: false,
            crowded: false,
            hidden: false,
            describable: -100,
        }
    }

    /// Carries out a request, unless the instance's status forbids it.
    pub fn carry_out(&mut self, copy: &Copy, now: i64) -> bool {
        match (copy.reboot, self.view.status) {
            (true, Status::Running) => {
                self.accepted.push(Accepted { at: now, claim: copy.claim });
                self.crossed = false;
            }
            (false, Status::Running | Status::Stopped) => self.stored = copy.claim,
            (true, Status::Stopped) | (_, Status::Rebooting { .. } | Status::Gone) => return false,
        }
        true
    }

    /// Whether the accepted reboot can begin now.
    pub fn can_begin(&self) -> bool {
        !self.accepted.is_empty() && self.view.status == Status::Running
    }

    /// Begins the accepted reboot; returns its claim.
    pub fn begin(&mut self, now: i64, follows: bool) -> i64 {
        let claim = self.accepted.remove(0).claim;
        self.reboot(true, now, follows);
        claim
    }

    /// Begins a reboot.
    pub fn reboot(&mut self, ours: bool, now: i64, follows: bool) {
        let start_time = if follows { minute(now) } else { self.view.start_time };
        self.turn(Status::Rebooting { ours }, start_time, now);
    }

    /// Whether the reboot can end now.
    pub fn can_finish(&self, now: i64) -> bool {
        matches!(self.view.status, Status::Rebooting { .. }) && now >= self.view.since + REBOOT
    }

    /// Ends the reboot.
    pub fn finish(&mut self, now: i64) {
        self.in_effect = self.stored;
        self.slow = self.slow && !self.accepted.is_empty();
        self.turn(Status::Running, self.view.start_time, now);
    }

    /// A person stops it. A reboot that has not begun never does.
    pub fn stop(&mut self, now: i64) {
        self.accepted.clear();
        self.turn(Status::Stopped, self.view.start_time, now);
    }

    /// A person starts it.
    pub fn start(&mut self, now: i64) {
        self.in_effect = self.stored;
        self.turn(Status::Running, minute(now), now);
    }

    /// A person releases it: it is gone for good.
    pub fn release(&mut self, now: i64) {
        self.accepted.clear();
        self.turn(Status::Gone, self.view.start_time, now);
    }

    /// A person takes away, or gives back, the account's right to describe it.
    pub fn hide(&mut self, hidden: bool, now: i64) {
        self.hidden = hidden;
        self.describable = now;
        self.past.push(View { until: now, ..self.view });
        // A row of readings in which it is absent begins again, and so does one of its status.
        self.view = View { hidden, since: now, from: now, until: now, ..self.view };
    }

    /// Since when dry runs say that it may be described, of those that were made since it was absent in `reading`.
    pub fn describable_since(&self, reading: &Reading) -> Option<Timestamp> {
        (reading.seen.is_none() && !self.hidden).then(|| reading.since.max(at(self.describable)))
    }

    /// Whether something has to happen to it before time goes on.
    pub fn holds_time(&self, now: i64) -> bool {
        let begins = self.accepted.first().is_some_and(|accepted| !self.slow || now >= accepted.at + BEGIN_DELAY);
        (self.can_begin() && begins) || (self.can_finish(now) && !self.slow)
    }

    /// A person gives or takes away the tag by which the account's rules cover it.
    pub fn permit(&mut self, permitted: bool, now: i64) {
        self.past.push(View { until: now, ..self.view });
        self.view = View { permitted, from: now, until: now, ..self.view };
    }

    fn turn(&mut self, status: Status, start_time: i64, now: i64) {
        let before = View { until: now, ..self.view };
        self.past.push(before);
        let since = if before.status == status || before.hidden { before.since } else { now };
        self.view = View { status, start_time, since, from: now, until: now, ..before };
    }

    /// Forgets what no reading can show any more, or all of the past where readings never lag.
    pub fn forget(&mut self, now: i64, lags: bool) {
        let oldest = now - send_window() - READ_LAG;
        self.past.retain(|view| lags && view.until >= oldest);
    }

    /// What a reading shows that was asked for now and does not lag.
    pub fn reading(&self, now: i64) -> Reading {
        show(&self.view, now, self.view.since)
    }

    /// What a reading may show that is old or lags: asked for up to a send window ago, it shows what was so up to the lag
    /// before that; and the row of equal readings may have missed that it was different in between.
    pub fn old_readings(&self, now: i64) -> Vec<Reading> {
        let mut readings = Vec::new();
        for sent_at in now - send_window()..=now {
            let past = self.past.iter().filter(|view| view.until >= sent_at - READ_LAG && view.from <= sent_at);
            for view in past.chain(Some(&self.view).filter(|view| view.from <= sent_at)) {
                let same = self.past.iter().filter(|other| other.looks_like(view)).map(|other| other.since);
                let mut sinces = vec![sent_at, view.since, same.min().unwrap_or(view.since).min(view.since)];
                sinces.sort_unstable();
                sinces.dedup();
                readings.extend(sinces.into_iter().map(|since| show(view, sent_at, since)));
            }
        }
        readings
    }
}

fn show(view: &View, sent_at: i64, since: i64) -> Reading {
    let power = match view.status {
        Status::Running => Power::Running,
        Status::Stopped => Power::Stopped,
        Status::Rebooting { .. } | Status::Gone => Power::Transitional("Stopping".to_owned()),
    };
    let seen = InstanceView {
        power,
        start_time: Some(at(view.start_time)),
        name: String::new(),
        zone_id: String::new(),
        os_type: "linux".to_owned(),
        key_pair_name: None,
        locks: Vec::new(),
        expires: None,
        permitted: view.permitted,
    };
    let seen = Some(seen).filter(|_| !view.is_absent());
    Reading { sent_at: at(sent_at), since: at(since.min(sent_at)), seen }
}
