//! The holders of slots: of an owner's `maxUnavailable`, and of its account's.
//!
//! Every claim holds one until the record has ended, is drained and, after a restart request, the instance was Running for
//! `minReadySeconds`, ended Stopped, or was taken off its owner's list. Slots are refilled one by one as they free up, never in
//! waves.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::api::reset_record::{Owner, Phase, ResetRecord, ResetRecordSpec, ResetRecordStatus};
use crate::decide::resolution;
use crate::decide::{Power, ProtocolBounds, Reading, after, is_drained, later, settled};

/// An instance whose claim holds a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub instance_id: String,
    /// When the slot will be free, as far as is known.
    pub outlook: Outlook,
    /// When the slot will be free, where only `minReadySeconds` after a restart that is done are waited for.
    pub ready_at: Option<Timestamp>,
}

/// When a slot will be free, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// By itself, by the steps of the claim or once the instance is Running.
    Frees,
    /// The same, as far as is known before this moment.
    FreesUntil(Timestamp),
    /// Not by itself: why, and what a person can do.
    Stays(String),
}

/// Whether the claim in `status` holds one of its owner's slots.
pub fn holds_slot(status: &ResetRecordStatus, now: Timestamp) -> bool {
    match status.phase {
        Phase::SettingPassword
        | Phase::PasswordSet
        | Phase::RestartRequested
        | Phase::Restarting
        | Phase::Unrecognized => true,
        Phase::Idle | Phase::EffectiveAtNextStart => !is_drained(status, now),
        Phase::InEffect | Phase::Failed | Phase::Unknown => !is_drained(status, now) || awaits_availability(status),
    }
}

/// Whether an ended claim requested a restart after which the instance has not been Running for `minReadySeconds` yet.
pub fn awaits_availability(status: &ResetRecordStatus) -> bool {
    match status.phase {
        Phase::InEffect | Phase::Failed | Phase::Unknown => {
            status.start_time_before.is_some() && status.available_time.is_none()
        }
        _ => false,
    }
}

/// Whether the instance is away, or may be, because a restart was requested: what bounds further restarts, as two
/// processes may each have claimed.
fn may_be_away(status: &ResetRecordStatus, now: Timestamp) -> bool {
    match status.phase {
        Phase::RestartRequested | Phase::Restarting => true,
        phase => phase.has_ended() && status.start_time_before.is_some() && holds_slot(status, now),
    }
}

/// Whether the claim of `record` holds a slot: what bounds claims.
fn has_slot(record: &ResetRecord, now: Timestamp) -> bool {
    record.status.as_ref().is_some_and(|status| holds_slot(status, now))
}

/// Whether its instance is away, or may be: what bounds restarts. One that is away holds a slot too.
fn is_away(record: &ResetRecord, now: Timestamp) -> bool {
    record.status.as_ref().is_some_and(|status| may_be_away(status, now))
}

/// The instances that hold a slot of `owner`, in the order of their ids. `records`: those of which [`ever_has_slot`] holds; `reading_of`: the latest reading of an instance, whether the
/// account's rules cover it or not.
pub fn holders(
    records: &[impl Borrow<ResetRecord>],
    owner: &Owner,
    reading_of: impl Fn(&str) -> Option<Reading>,
    bounds: ProtocolBounds,
    now: Timestamp,
) -> Vec<Holder> {
    let holder = |record: &ResetRecord| {
        let instance_id = record.spec.instance_id.clone();
        let (status, reading) = (record.progress(), reading_of(&instance_id));
        let outlook = outlook(record, reading.as_ref(), bounds);
        let running = reading.filter(|reading| reading.shows(&Power::Running));
        let restarted = running.filter(|_| awaits_availability(&status) && is_drained(&status, now));
        let ended = status.row.as_ref().and_then(|row| row.state_time.as_ref()).map(|time| time.0);
        let from = restarted.map(|reading| ended.map_or(reading.since, |ended| ended.max(reading.since)));
        let ready_at = from.map(|from| after(from, i64::from(record.spec.min_ready_seconds)));
        Holder { instance_id, outlook, ready_at }
    };
    let mut holders: Vec<Holder> =
        of_owner(records, owner).filter(|record| has_slot(record, now)).map(holder).collect();
    holders.sort_unstable_by(|a, b| a.instance_id.cmp(&b.instance_id));
    holders
}

/// When the slot that a record's claim holds will be free. A claim that has ended waits for the instance to be Running; one that readings
/// M apart show otherwise is not on its way there.
pub fn outlook(record: &ResetRecord, reading: Option<&Reading>, bounds: ProtocolBounds) -> Outlook {
    let status = &record.progress();
    if status.phase == Phase::Unrecognized {
        let why = "its ResetRecord is in a phase that this version of the controller does not know; a cluster admin must install the version that wrote it";
        return Outlook::Stays(why.to_owned());
    }
    let Some(reading) = reading.filter(|reading| awaits_availability(status) && !reading.shows(&Power::Running)) else {
        return Outlook::Frees;
    };
    let ended = status.row.as_ref().and_then(|row| row.state_time.as_ref()).map(|time| time.0);
    let last_copy = status.unanswered_until.as_ref().map(|until| later(until.0, bounds.restart_settle));
    let from = ended.max(last_copy).unwrap_or(reading.since);
    match settled(reading, from, bounds) {
        Err(then) => Outlook::FreesUntil(then),
        Ok(()) => Outlook::Stays(ways_out(record, reading)),
    }
}

/// Whether the claim of `record`, while the record stays as it is, holds a slot at any time: whoever does so does it from the beginning of
/// time.
pub fn ever_has_slot(record: &ResetRecord) -> bool {
    has_slot(record, Timestamp::MIN)
}

/// Whether its instance is away at any time, likewise.
pub fn is_ever_away(record: &ResetRecord) -> bool {
    is_away(record, Timestamp::MIN)
}

/// How many instances of the owner of `record`, other than its own, are away or may be. `records`: those of which
/// [`is_ever_away`] holds.
pub fn others_away(records: &[impl Borrow<ResetRecord>], record: &ResetRecord, now: Timestamp) -> u32 {
    let others =
        of_owner(records, &record.spec.owner).filter(|other| other.spec.instance_id != record.spec.instance_id);
    u32::try_from(others.filter(|other| is_away(other, now)).count()).unwrap_or(u32::MAX)
}

/// How many instances of an account may be away at once, over all its objects; `None`: no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountBounds {
    /// In all.
    pub max: Option<u32>,
    /// In each zone.
    pub max_per_zone: Option<u32>,
}

impl AccountBounds {
    /// Whether there is any.
    pub fn is_some(&self) -> bool {
        self.max.is_some() || self.max_per_zone.is_some()
    }
}

/// The slots of an account as they are for one object; those that have no bound are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountSlots {
    /// In all.
    pub total: Option<Slots>,
    /// In each zone of the object's instances.
    pub zones: BTreeMap<String, Slots>,
}

/// Slots that objects take turns in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    /// How many there are.
    pub max: u32,
    /// How many the object may take now: of those that are free, each object that has waited longer has one.
    pub free: usize,
    /// Their holders, for people.
    pub held_by: String,
    /// Why none becomes free by itself, and what people can do; `None`: one does, as far as is known.
    pub stays: Option<String>,
}

impl AccountSlots {
    /// The slots that an instance of `zone` waits for, and the zone if they are its own; `None`: it has one.
    pub fn missing<'a>(&'a self, zone: &'a str) -> Option<(&'a Slots, Option<&'a str>)> {
        let is_full = |slots: &&Slots| slots.free == 0;
        let total = self.total.as_ref().filter(is_full).map(|slots| (slots, None));
        total.or_else(|| Some((self.zones.get(zone).filter(is_full)?, Some(zone))))
    }

    /// Takes one for an instance of `zone`.
    pub fn take(&mut self, zone: &str) {
        for slots in self.total.iter_mut().chain(self.zones.get_mut(zone)) {
            slots.free = slots.free.saturating_sub(1);
        }
    }
}

/// The slots of an account, or of one of its zones, for an object of `namespace`. `open`: the account's records on which something is left
/// to do; `older`: how many objects have waited longer; `outlook`: see [`outlook`]. Other namespaces appear only as a number.
pub fn slots(
    open: &[impl Borrow<ResetRecord>],
    zone: Option<&str>,
    max: u32,
    older: usize,
    namespace: &str,
    outlook: impl Fn(&ResetRecord) -> Outlook,
    now: Timestamp,
) -> Slots {
    let holders: Vec<&ResetRecord> = of_account(open, zone).filter(|record| has_slot(record, now)).collect();
    let (ours, theirs): (Vec<&ResetRecord>, Vec<&ResetRecord>) =
        holders.iter().copied().partition(|record| record.spec.owner.namespace == namespace);
    let mut named: Vec<String> = ours
        .iter()
        .take(HOLDERS_NAMED)
        .map(|record| format!("{} of {}", record.spec.instance_id, record.spec.owner.name))
        .collect();
    let others = (ours.len() - named.len(), theirs.len());
    named.extend((others.0 > 0).then(|| format!("{} more of this namespace", others.0)));
    named.extend((others.1 > 0).then(|| format!("{} of other namespaces", others.1)));
    let free = (max as usize).saturating_sub(holders.len()).saturating_sub(older);
    let stays = if holders.len() < max as usize { None } else { all_stay(&ours, theirs.len(), &holders, outlook) };
    Slots { max, free, held_by: named.join(", "), stays }
}

/// Why no slot of `holders` becomes free by itself; `None`: one does.
fn all_stay(
    ours: &[&ResetRecord],
    theirs: usize,
    holders: &[&ResetRecord],
    outlook: impl Fn(&ResetRecord) -> Outlook,
) -> Option<String> {
    let why = |record: &ResetRecord| if let Outlook::Stays(why) = outlook(record) { Some(why) } else { None };
    if !holders.iter().all(|record| why(record).is_some()) {
        return None;
    }
    let told = ours.iter().take(HOLDERS_NAMED).filter_map(|record| {
        let ResetRecordSpec { owner, instance_id, .. } = &record.spec;
        Some(format!("{instance_id} of {}: {}", owner.name, why(record)?))
    });
    let mut told: Vec<String> = told.collect();
    let more = ours.len() - told.len();
    told.extend((more > 0).then(|| format!("{more} more of this namespace")));
    told.extend((theirs > 0).then(|| {
        format!("{theirs} of other namespaces: their instances do not come back; ask the account's administrator")
    }));
    Some(told.join("; "))
}

/// How many holders of an account's slots a message names.
const HOLDERS_NAMED: usize = 3;

/// The records of an account, or of one of its zones. An instance whose zone is not known is in each.
fn of_account<'a>(
    open: &'a [impl Borrow<ResetRecord>],
    zone: Option<&'a str>,
) -> impl Iterator<Item = &'a ResetRecord> {
    let is_there = move |record: &&ResetRecord| {
        let theirs = record.spec.zone_id.as_deref().unwrap_or_default();
        zone.is_none_or(|zone| zone.is_empty() || theirs.is_empty() || theirs == zone)
    };
    open.iter().map(Borrow::borrow).filter(is_there)
}

/// Whether an account has a slot for a claim or a restart of `instance_id` in `zone`: fewer others hold one, or are away.
pub fn has_account_slot(
    open: &[impl Borrow<ResetRecord>],
    bounds: AccountBounds,
    instance_id: &str,
    zone: &str,
    is_restart: bool,
    now: Timestamp,
) -> bool {
    let counts = if is_restart { is_away } else { has_slot };
    let is_taken = |other: &&ResetRecord| other.spec.instance_id != instance_id && counts(other, now);
    let has = |max: Option<u32>, zone: Option<&str>| {
        max.is_none_or(|max| of_account(open, zone).filter(is_taken).count() < max as usize)
    };
    has(bounds.max, None) && has(bounds.max_per_zone, Some(zone))
}

/// What ECS shows of an instance that does not come back, and what a person can do.
fn ways_out(record: &ResetRecord, reading: &Reading) -> String {
    let shown = reading.seen.as_ref().filter(|seen| seen.permitted).map(|seen| &seen.power);
    let what = match shown {
        Some(Power::Stopped) => "ECS shows it Stopped; start it".to_owned(),
        Some(power) => format!("ECS shows it {}; bring it back to Running", power.as_str()),
        // An instance that is not permitted is not told from one that is not shown.
        None => "it cannot be seen, and it is not known whether it was released; ask the account's administrator to check ecs:DescribeInstances and the rules".to_owned(),
    };
    let ResetRecordSpec { owner, instance_id, claim, .. } = &record.spec;
    let is_decided_next = record.phase() == Phase::Unknown && shown.is_some();
    let command = || resolution::happened_command(owner, instance_id, *claim);
    let decide = is_decided_next
        .then(|| format!(", and the others go on; its own outcome stays open until it is recorded ({})", command()));
    let decide = decide.unwrap_or_default();
    format!("{what}{decide}, or remove it from spec.instanceIDs (with a selector: add it to excludeInstanceIDs)")
}

fn of_owner<'a>(records: &'a [impl Borrow<ResetRecord>], owner: &Owner) -> impl Iterator<Item = &'a ResetRecord> {
    records.iter().map(Borrow::borrow).filter(|record| record.spec.owner.is(owner))
}
