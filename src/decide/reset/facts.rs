//! The facts that the plan and the status of a `PasswordReset` are based on. Types only.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

use super::password_rules::Broken;
use super::targets::{self, Targets};
use crate::api::Reason;
use crate::api::password_reset::{InstanceRow, PasswordResetSpec, PasswordResetStatus, Requested, Run};
use crate::api::reset_record::{Fingerprint, Owner, OwnerHistory, ResetRecord};
use crate::decide::budget::{AccountSlots, Holder};
use crate::decide::history::{self, Request};
use crate::decide::windows::WindowState;
use crate::decide::{Hold, Reading};

/// Everything that is known of an object. All times are on ECS's clock.
#[derive(Clone, Debug)]
pub struct ResetFacts<'a> {
    /// The object's generation.
    pub generation: Option<i64>,
    /// Its spec, as known.
    pub spec: &'a PasswordResetSpec,
    /// Which instances it is about.
    pub targets: Cow<'a, Targets>,
    /// Its present status.
    pub before: &'a PasswordResetStatus,
    /// What it asks for.
    pub request: &'a Request,
    /// The rerun annotation.
    pub rerun_requested_at: Option<&'a str>,
    /// Whether it has an annotation `resolve-unknown`, of whatever form.
    pub asks_to_resolve: bool,
    /// The run in its status.
    pub run: Option<&'a Run>,
    /// What the rows of its status answer.
    pub requested: Option<&'a Requested>,
    /// What its maintenance windows say of now.
    pub window: WindowState,
    /// The account's name, where its administrator has suspended it.
    pub suspended_account: Option<&'a str>,
    /// Until when ECS throttles the account's changing calls in the region.
    pub throttled_until: Option<Timestamp>,
    /// The hold by the account, if any.
    pub account_hold: Option<&'a Hold>,
    /// The hold by the Secret, if any.
    pub secret_hold: Option<&'a Hold>,
    /// The rule that the password breaks for every instance.
    pub broken: Option<Broken>,
    /// The rule that it breaks for Windows instances.
    pub broken_on_windows: Option<Broken>,
    /// Whether the account has rules, or cannot be used. An instance that is not known to be permitted then looks like one that does
    /// not exist: a namespace's user learns nothing of machines of others.
    pub hides_unpermitted: bool,
    /// Whether the account's identity may describe instances; `None`: not asked.
    pub may_describe: Option<bool>,
    /// What keeps instances from being read, if anything does.
    pub read_hold: Option<&'a ReadHold>,
    /// The instances whose claims hold a slot, those that have left the list included.
    pub slot_holders: &'a [Holder],
    /// The account's slots, where it has bounds.
    pub account_slots: AccountSlots,
    /// How long a restart usually takes, as observed in the account's region; `None`: not known.
    pub usual_restart: Option<SignedDuration>,
    /// The account's pause between two restarts of one instance.
    pub min_restart_interval_seconds: u32,
}

impl<'a> ResetFacts<'a> {
    /// Those of an object that nothing holds back and whose instances the account may reset.
    pub fn new(spec: &'a PasswordResetSpec, before: &'a PasswordResetStatus, request: &'a Request) -> Self {
        Self {
            generation: None,
            spec,
            targets: Cow::Owned(targets::of_spec(spec)),
            before,
            request,
            rerun_requested_at: None,
            asks_to_resolve: false,
            run: before.run.as_ref(),
            requested: before.requested.as_ref(),
            window: WindowState::AnyTime,
            suspended_account: None,
            throttled_until: None,
            account_hold: None,
            secret_hold: None,
            broken: None,
            broken_on_windows: None,
            hides_unpermitted: false,
            may_describe: None,
            read_hold: None,
            slot_holders: &[],
            account_slots: AccountSlots::default(),
            usual_restart: None,
            min_restart_interval_seconds: 0,
        }
    }

    /// That ECS throttles the account's calls.
    pub fn throttling(&self, now: Timestamp) -> Option<Hold> {
        let until = self.throttled_until.filter(|until| now < *until)?;
        let account = self.spec.account_name();
        let message = format!(
            "held back until {until}: ECS throttles the calls of ECSAccount {account} in {}",
            self.spec.region_id
        );
        Some(Hold::new(Reason::HeldBack, message).until(until))
    }

    /// The fingerprint of the password that an instance would get, when that could be read.
    pub fn fingerprint_for<'t>(&'t self, target: &Target<'t>) -> Option<&'t Fingerprint> {
        target.own_password.map_or(self.request.fingerprint.as_ref(), |own| own.fingerprint.as_ref())
    }

    /// Whether the password that all instances share could not be read.
    pub fn is_password_unknown(&self) -> bool {
        self.request.fingerprint.is_none() && !self.spec.password_secret_ref.has_key_per_instance()
    }

    /// How many instances may be away at once.
    pub fn max_unavailable(&self) -> usize {
        self.spec.max_unavailable(self.targets.ids().len()) as usize
    }

    /// How many of its instances the bounds of its account let be away at once, too.
    pub fn most_away(&self) -> usize {
        let AccountSlots { total, zones } = &self.account_slots;
        let of_account = total.as_ref().map(|slots| slots.max as usize);
        let of_zones = (!zones.is_empty()).then(|| zones.values().map(|slots| slots.max as usize).sum());
        [of_account, of_zones].into_iter().flatten().fold(self.max_unavailable(), usize::min).max(1)
    }

    /// Whether its time is over: what is not begun never is.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.spec.not_after.as_ref().is_some_and(|end| now >= end.0)
    }

    /// How long a problem for a person may last before the object is stalled.
    pub fn patience(&self) -> SignedDuration {
        SignedDuration::from_secs(i64::from(self.spec.stable_state_timeout_seconds()))
    }
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
    /// The facts of its password, where each instance has one of its own.
    pub own_password: Option<&'a OwnPassword>,
}

/// The facts of a password that one instance alone gets. It is not here itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnPassword {
    /// Its fingerprint, when it could be read.
    pub fingerprint: Option<Fingerprint>,
    /// Why there is none, in the Secret that was read.
    pub hold: Option<Hold>,
    /// The rule that it breaks for every instance.
    pub broken: Option<Broken>,
    /// The rule that it breaks for a Windows instance.
    pub broken_on_windows: Option<Broken>,
}

impl<'a> Target<'a> {
    /// What its record remembers of an owner.
    pub fn entry(&self, owner: &Owner) -> Option<&'a OwnerHistory> {
        history::entry_of(&self.record?.status.as_ref()?.completed, owner)
    }
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
    /// Its zone; empty where ECS does not say.
    pub zone_id: String,
    /// The row to begin with.
    pub row: InstanceRow,
}
