//! The facts and the possible results of the decision on a claimed instance. Types only. All times are on ECS's clock.

use jiff::Timestamp;

use crate::api::Reason;
use crate::api::password_reset::InstanceRow;
use crate::api::reset_record::{ResetRecord, StartTimeEvidence};
use crate::decide::restart_hold::RestartHold;
use crate::decide::{ProtocolBounds, Reading};

/// The facts that the decision is based on.
#[derive(Debug)]
pub struct ClaimFacts<'a> {
    /// The newest version of the record that this process knows; the write that replaces it proves it.
    pub record: &'a ResetRecord,
    /// The id of this process.
    pub process: &'a str,
    /// Whether the record's attempt is this process's own and was never sent.
    pub unsent: bool,
    /// The latest reading of the instance through the claim's account.
    pub reading: Option<&'a Reading>,
    /// Since when a dry run says that the account may describe the instance, while the readings do not show it; `None`: it does not
    /// say so, or was not asked.
    pub describable_since: Option<Timestamp>,
    /// Whether the claim's next call can be made: its account, and in `SettingPassword` its password too. What the instance
    /// itself says is not in it; see [`crate::decide::claim::consent`].
    pub sendable: Sendable,
    /// Whether a restart may be requested now, as far as the owner and the account are asked.
    pub restart_hold: RestartHold,
    /// Whether StartTime is known to follow reboots in this account and region.
    pub start_time_follows_reboot: bool,
    /// How many other instances of the owner are away, or may be.
    pub others_away: u32,
    /// Whether the owner's list still holds the instance. True also if the owner cannot be read, or may come back.
    pub is_listed: bool,
    /// The instance's row in its owner's status, as last watched: a record that is older than it was restored from a backup.
    pub owner_row: Option<&'a InstanceRow>,
    /// The lengths of time that ECS's behaviour dictates.
    pub bounds: ProtocolBounds,
}

/// Whether the next call of the claim can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sendable {
    /// The account is ready and, where it matters, the Secret holds the claimed password.
    Yes,
    /// Not at the moment: an account that is not ready, or gone after the password was set, an API server that does not answer.
    NotNow(String),
    /// Never again: the Secret is gone or holds another password, the account is gone before the password was set, or no longer
    /// allows it, by its namespaces, its regions or its rules.
    Never(String),
}

/// What to do next. At most one changing call, always under an attempt that is stored first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is left to do.
    Done,
    /// Look again at `until`, or as soon as there is a reading sent at or after `fresh_after`, or the instance changes.
    Wait {
        /// When to look again at the latest.
        until: Timestamp,
        /// A reading sent at or after this moment is wanted.
        fresh_after: Option<Timestamp>,
    },
    /// Write what was observed; no call.
    Write(Change),
    /// Make this call.
    Call(Call),
}

/// A change of the record that follows from what was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A start after the acknowledgement is proven.
    InEffect {
        /// The StartTime that proves it, where it moved.
        start_time: Option<Timestamp>,
    },
    /// The password takes effect at the next start.
    EffectiveAtNextStart(NextStart),
    /// The instance was released: ECS does not show it, although the account may describe it.
    Released,
    /// A definite failure.
    Failed(Reason, String),
    /// The outcome cannot be proven.
    Unknown(Reason, String),
    /// The instance was seen not Running after its restart was accepted.
    LeftRunning,
    /// What the restart says on whether StartTime follows reboots.
    Learnt(StartTimeEvidence),
    /// A person has decided that the restart of an Unknown happened.
    Happened,
    /// The instance has been Running for `minReadySeconds`, or its owner waits for it no more.
    Available,
    /// The restart may not be requested now, by its owner or its account.
    RestartHeld,
    /// It may again.
    RestartReleased,
    /// The restart that is stored was never sent, as this process knows of its own attempt.
    RestartNotSent,
    /// Nothing was sent and nothing can be: as if never claimed.
    Withdrawn,
}

/// Why no start of ours follows the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStart {
    /// The instance was Stopped when the password was set.
    SetWhileStopped,
    /// `restart.policy` is Never.
    PolicyNever,
    /// The instance was found Stopped before its restart was requested.
    StoppedBefore,
    /// The owner is gone, and the restart was held back, or its maintenance window is closed.
    OwnerGone,
    /// The restart ended with the instance Stopped.
    StoppedAfter,
}

impl NextStart {
    /// The reason for the row.
    pub const fn reason(self) -> Reason {
        match self {
            Self::SetWhileStopped => Reason::SetWhileStopped,
            Self::PolicyNever => Reason::RestartPolicyNever,
            Self::StoppedBefore => Reason::StoppedBeforeRestart,
            Self::OwnerGone => Reason::OwnerGone,
            Self::StoppedAfter => Reason::StoppedAfterRestart,
        }
    }
}

/// A changing call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `ModifyInstanceAttribute`, under the attempt that is stored already.
    SetPasswordAsStored,
    /// `ModifyInstanceAttribute`, under a new attempt.
    SetPassword,
    /// `RebootInstance`, under a new attempt, in the pass that stores it and never in another.
    Restart {
        /// The StartTime just read.
        start_time_before: Timestamp,
    },
}
