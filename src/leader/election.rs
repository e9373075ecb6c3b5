//! The election, by client-go's rules: a pure machine without I/O, clock or async. [`super::lease`] reads and writes for it.
//!
//! ```text
//!                    a read shows another's Lease, not expired
//!                      ┌──┐
//!                      ▼  │     a read shows none, a released, our own, or an expired one:
//!   Election::new ─▶ standby ───▶ write it ──▶ written ─▶ leading ◀─┐ renewed upon the version that
//!                      ▲              │                      │  └───┘ this process wrote last
//!                      └── refused, or no answer             ▼
//!                                          LeadershipLoss: a read shows that it is not ours, or no renewal for `renew_deadline`
//! ```
//! Two rules keep two processes from leading at once, and neither trusts a clock but this process's own monotonic one:
//!
//! - Another's Lease has expired once this process has seen it unchanged for the duration that the Lease itself names.
//!   Its renewTime is the wall clock of another machine and is not even handed in.
//! - Own leadership counts from when the write was *sent*, which is before anybody can have seen it. It therefore ends here before
//!   it can have expired there.
//!
//! A loss is final. What a process knows and has begun belongs to its leadership, so the next one needs a new process.

use std::time::Duration;

use tokio::time::Instant;

/// The lengths of an election. `lease_duration` > `renew_deadline` > `retry_period`, which the settings check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElectionTimes {
    /// How long the others wait after the last renewal that they saw.
    pub lease_duration: Duration,
    /// How long after its last renewal a leader that cannot renew stops.
    pub renew_deadline: Duration,
    /// Pause between two renewals.
    pub retry_period: Duration,
}

/// A Lease as the API server has it. Without its times: they are for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// Its resourceVersion. Another one means that it was written.
    pub version: String,
    /// Its holder; empty: it was released.
    pub holder: String,
    /// Its own duration; `None` where it names none that makes sense.
    pub duration: Option<Duration>,
    /// How often it has changed hands.
    pub transitions: i32,
}

/// What to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The version that it replaces; `None`: it creates the Lease. The API server refuses it when another process was quicker.
    pub replaces: Option<String>,
    /// The holder; empty: nobody.
    pub holder: String,
    /// How long the others then have to wait.
    pub duration: Duration,
    /// How often the Lease has changed hands then.
    pub transitions: i32,
    /// Whether it changes hands by this write.
    pub changes_hands: bool,
}

/// Why a process that has led does not lead any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeadershipLoss {
    /// Another process holds the Lease.
    #[error("{0} holds the Lease now")]
    Taken(String),
    /// The Lease names nobody, or is gone. client-go makes it again; but it is not known which process may have led in between.
    #[error("the Lease was deleted or emptied by another client")]
    Gone,
    /// The API server took no renewal in time.
    #[error("the Lease could not be renewed within {} s", .0.as_secs())]
    NotRenewed(Duration),
}

/// One process's part in an election.
#[derive(Debug)]
pub struct Election {
    identity: String,
    times: ElectionTimes,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The version of the Lease that was last read, and since when this process has seen that one.
    Standby(Option<(String, Instant)>),
    Leading {
        /// As this process wrote it last; `None`: a later write was refused or not answered, so it has to be read.
        written: Option<LeaseView>,
        /// When the last write that the API server took was sent.
        renewed: Instant,
    },
}

impl Election {
    /// Stands by. `identity` must be no other process's, an earlier one in the same pod included.
    pub const fn new(identity: String, times: ElectionTimes) -> Self {
        Self { identity, times, state: State::Standby(None) }
    }

    /// What to write without reading first: a leader's renewal of what it wrote last. `None`: read.
    #[must_use]
    pub fn renewal(&self) -> Option<Write> {
        match &self.state {
            State::Leading { written: Some(lease), .. } => Some(self.renew(lease)),
            State::Leading { written: None, .. } | State::Standby(_) => None,
        }
    }

    /// Takes in what a read brought (`None`: there is no Lease), answered at `now`. Returns what to write, if anything.
    ///
    /// # Errors
    /// This process has led, and the Lease says that it does not any more.
    pub fn read(&mut self, lease: Option<LeaseView>, now: Instant) -> Result<Option<Write>, LeadershipLoss> {
        match (&mut self.state, lease) {
            (State::Leading { .. }, Some(lease)) if lease.holder == self.identity => Ok(Some(self.renew(&lease))),
            (State::Leading { .. }, Some(lease)) if !lease.holder.is_empty() => {
                Err(LeadershipLoss::Taken(lease.holder))
            }
            (State::Leading { .. }, _) => Err(LeadershipLoss::Gone),
            (State::Standby(_), None) => Ok(Some(self.write(None, 0, true))),
            (State::Standby(seen), Some(lease)) => {
                let since = match seen {
                    Some((version, since)) if *version == lease.version => *since,
                    _ => now,
                };
                *seen = Some((lease.version.clone(), since));
                Ok(self.take(&lease, since, now))
            }
        }
    }

    /// The API server has answered a write of this process, which was sent at `sent`: it is stored as `lease`.
    pub fn written(&mut self, lease: LeaseView, sent: Instant) {
        self.state = State::Leading { written: Some(lease), renewed: sent };
    }

    /// A write was refused, or not answered: it may be stored all the same, and only a read tells.
    pub fn not_written(&mut self) {
        if let State::Leading { written, .. } = &mut self.state {
            *written = None;
        }
    }

    /// What to write so that the next process need not wait, when a read shows `lease`. `None`: it is not this process's.
    #[must_use]
    pub fn release(&self, lease: Option<LeaseView>) -> Option<Write> {
        let lease = lease.filter(|lease| lease.holder == self.identity)?;
        // One second, as client-go writes it: zero is not allowed.
        let (holder, duration) = (String::new(), Duration::from_secs(1));
        Some(Write { holder, duration, ..self.write(Some(lease.version), lease.transitions, true) })
    }

    /// Until when this process leads: nobody can have seen its Lease expire before. `None`: it does not lead.
    pub fn leads_until(&self) -> Option<Instant> {
        self.renewed().map(|renewed| renewed + self.times.lease_duration)
    }

    /// By when this leader has to have renewed.
    ///
    /// # Errors
    /// It is too late for that.
    pub fn renew_by(&self, now: Instant) -> Result<Instant, LeadershipLoss> {
        let deadline = self.renewed().map(|renewed| renewed + self.times.renew_deadline);
        deadline.filter(|deadline| now < *deadline).ok_or(LeadershipLoss::NotRenewed(self.times.renew_deadline))
    }

    /// Pause before the next round. A standby looks twice as often as a leader renews: a released Lease should not lie
    /// about, and a look is one small read.
    pub fn pause(&self) -> Duration {
        match self.state {
            State::Leading { .. } => self.times.retry_period,
            State::Standby(_) => self.times.retry_period / 2,
        }
    }

    /// What a standby writes, having seen `lease` as it is since `since`.
    fn take(&self, lease: &LeaseView, since: Instant, now: Instant) -> Option<Write> {
        if lease.holder == self.identity {
            // A write of ours whose answer was lost. Only an answer makes a leader, so it is written once more.
            return Some(self.renew(lease));
        }
        let duration = lease.duration.unwrap_or(self.times.lease_duration);
        let expired = now.duration_since(since) >= duration;
        let free = lease.holder.is_empty() || expired;
        free.then(|| self.write(Some(lease.version.clone()), lease.transitions.saturating_add(1), true))
    }

    fn renew(&self, lease: &LeaseView) -> Write {
        self.write(Some(lease.version.clone()), lease.transitions, false)
    }

    fn write(&self, replaces: Option<String>, transitions: i32, changes_hands: bool) -> Write {
        let (holder, duration) = (self.identity.clone(), self.times.lease_duration);
        Write { replaces, holder, duration, transitions, changes_hands }
    }

    const fn renewed(&self) -> Option<Instant> {
        match self.state {
            State::Leading { renewed, .. } => Some(renewed),
            State::Standby(_) => None,
        }
    }
}

#[cfg(test)]
#[path = "election_tests.rs"]
mod tests;
