//! The facts that the plan and the status of a `PasswordReset` are based on. Types only.

use super::password_rules::Broken;
use crate::api::password_reset::{InstanceRow, PasswordResetSpec, Requested, Run};
use crate::api::reset_record::ResetRecord;
use crate::decide::budget::Holder;
use crate::decide::history::Request;
use crate::decide::{Hold, Reading};

/// The facts for the plan.
#[derive(Debug)]
pub struct ResetFacts<'a> {
    /// The object's spec, as known.
    pub spec: &'a PasswordResetSpec,
    /// What it asks for.
    pub request: &'a Request,
    /// The run in its status.
    pub run: Option<&'a Run>,
    /// What the rows of its status answer.
    pub requested: Option<&'a Requested>,
    /// What prevents every new claim, if anything does.
    pub hold: Option<Hold>,
    /// What is wrong with the password for every instance.
    pub broken: Option<Broken>,
    /// What is wrong with it for Windows instances.
    pub broken_on_windows: Option<Broken>,
    /// Whether the account has rules, or cannot be used. An instance that is not known to be permitted then looks like one that does
    /// not exist: a namespace's user learns nothing of machines of others.
    pub hides_unpermitted: bool,
    /// Whether the account's identity may describe instances; `None`: not asked.
    pub may_describe: Option<bool>,
    /// What keeps instances from being read, if anything does.
    pub read_trouble: Option<&'a ReadHold>,
    /// The instances whose claims hold a slot, those that have left the list included.
    pub slot_holders: &'a [Holder],
    /// The account's pause between two restarts of one instance.
    pub min_restart_interval_seconds: u32,
}

/// What keeps instances from being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadHold {
    /// Why, for people.
    pub hold: Hold,
    /// Whether a person must act if it lasts.
    pub is_for_a_person: bool,
}

/// One instance of the list.
#[derive(Debug)]
pub struct Target<'a> {
    /// Its id.
    pub instance_id: &'a str,
    /// Its record, if it has one.
    pub record: Option<&'a ResetRecord>,
    /// Why its record is unusable; `record` is `None` then.
    pub bad_record: Option<BadRecord>,
    /// Whether the status of another object shows a claim on it that has not ended. It counts where the record is gone.
    pub claimed_by_another: bool,
    /// Its row in the object's status.
    pub before: Option<&'a InstanceRow>,
    /// Its latest reading. An instance that is not permitted is in none: see [`Reading::redacted`].
    pub reading: Option<&'a Reading>,
}

/// Why a record is unusable. Nothing is done to the instance in its name: what was done there is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRecord {
    /// It is stored in a form that this version cannot read.
    Unreadable,
    /// Its spec names a different instance than its name does. The message must not reveal which.
    OfAnotherInstance,
}

/// An instance that may be claimed now.
#[derive(Clone, Debug, PartialEq)]
pub struct NewClaim {
    /// Its id.
    pub instance_id: String,
    /// The status it was seen in: Running or Stopped.
    pub state_seen: String,
    /// The row to begin with.
    pub row: InstanceRow,
}
