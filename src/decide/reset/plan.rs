//! The plan for all instances of an object: each is judged by itself, then failures and slots are counted over all of them.
//!
//! Nothing is claimed here: the shell writes each claim by compare-and-swap, and a lost race is judged again.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::eligibility::{Eligibility, PLAN_REFRESH, deadline, is_unread, judge};
use super::facts::{NewClaim, ResetFacts, Target};
use super::planned::{self, Planned};
use super::remembered::{decision_counts_at, misdirected, resolved_as};
use super::runs::{self, Begun, RunPassword};
use super::targets::Targets;
use super::waiting;
use crate::api::Reason;
use crate::api::password_reset::{InstanceRow, State};
use crate::decide::bounds::SOON;
use crate::decide::budget::{AccountBounds, Holder, Outlook, Slots};
use crate::decide::resolution::Decision;
use crate::decide::row::advance;
use crate::decide::{Hold, history, later, second};

/// How many slot holders the row of a waiting instance names.
const SLOT_HOLDERS_NAMED: usize = 3;

/// What was decided about all instances of an object.
#[derive(Debug, Default)]
pub struct Plan {
    /// One row for each instance, in the order of the targets.
    pub rows: Vec<InstanceRow>,
    /// The instances to claim now.
    pub claims: Vec<NewClaim>,
    /// The instance whose Unknown restart a person has decided to have happened.
    pub happened: Option<String>,
    /// Why a person's decision is on no claim that there is: the rest of a sentence about the annotation.
    pub misdirected: Option<String>,
    /// When a person's decision counts, where it does not yet.
    pub decision_counts_at: Option<Timestamp>,
    /// The instances of which readings are wanted.
    pub watch: Vec<String>,
    /// When to reconcile again at the latest, if a moment is known.
    pub wake: Option<Timestamp>,
    /// When the first of the rows that wait goes on by itself, where that is known.
    pub next_transition: Option<Timestamp>,
    /// Whether the rest is not started because too many instances failed.
    pub paused: bool,
    /// The instances whose memory is lost, which must be stored.
    pub lost: Vec<String>,
    /// The run that the status does not show yet, if one has begun.
    pub begun: Option<Begun>,
    /// The password of the run.
    pub password: RunPassword,
    /// How many claims were made.
    pub claimed: usize,
    /// Where instances wait for nothing but a slot of the account: `None`, in all; else in a zone.
    pub waits_for_account: BTreeSet<Option<String>>,
    /// Whether ECS has refused reads of instances for `stableStateTimeoutSeconds`, so that a person must act.
    pub unread_for_too_long: bool,
    /// Why no slot becomes free by itself, where instances wait for one.
    pub held_up: Option<Hold>,
    /// The instances that were reset with another password than the Secret holds now.
    pub out_of_sync: Vec<String>,
    /// Whether the password of some instance cannot be compared with what the Secret holds.
    pub uncompared: bool,
}

impl Plan {
    /// Keeps the object's turn at the account's slots for claims that are made a little later.
    pub fn keep_turns(&mut self, bounds: AccountBounds, claims: &[NewClaim]) {
        if bounds.max.is_some() {
            self.waits_for_account.insert(None);
        } else if bounds.max_per_zone.is_some() {
            self.waits_for_account.extend(claims.iter().map(|claim| Some(claim.zone_id.clone())));
        }
    }
}

/// Decides about all instances. `targets` are in the order of their ids.
pub fn plan(object: &ResetFacts, targets: &[Target], now: Timestamp) -> Plan {
    if !matches!(*object.targets, Targets::Known(_)) {
        return without_targets(object);
    }
    let judged: Vec<Eligibility> = targets.iter().map(|target| judge(object, target, now)).collect();
    let failures = judged.iter().zip(targets).filter(|(eligibility, target)| is_failure(eligibility, target)).count();
    // A plan says what there is, whatever has failed.
    let paused = !object.spec.is_plan() && failures > object.spec.max_failures() as usize;
    let mut plan = Plan { paused, ..Plan::default() };
    let happened = targets.iter().find(|target| resolved_as(Decision::Happened, object, target, now));
    plan.happened = happened.map(|target| target.instance_id.to_owned());
    plan.misdirected = misdirected(object, targets);
    plan.decision_counts_at = decision_counts_at(object, targets, now);
    plan.wake = plan.decision_counts_at;
    plan.begun = runs::begun(object, targets);
    plan.password = runs::password(object, targets, plan.begun);
    plan.out_of_sync = out_of_sync(object, targets);
    plan.uncompared = targets.iter().any(|target| !can_be_compared(object, target));
    let mut free = object.max_unavailable().saturating_sub(object.slot_holders.len());
    let mut account_slots = object.account_slots.clone();
    let (mut waits_for_a_slot, mut place) = (false, 0);
    // For each instance that waits for a slot of the account: why none becomes free by itself.
    let mut stays: Vec<Option<Hold>> = Vec::new();
    for (mut eligibility, target) in judged.into_iter().zip(targets) {
        if let Eligibility::NothingToDo { row, .. } = &mut eligibility {
            plan.next_transition = earliest(plan.next_transition, ahead(waiting::show(row, object, target, now), now));
        }
        if object.spec.is_plan() {
            let Planned { row, watch } = planned::row(object, target, eligibility, &mut place, now);
            plan.watch.extend(watch.then(|| row.instance_id.clone()));
            plan.rows.push(row);
            continue;
        }
        match eligibility {
            Eligibility::NothingToDo { row, .. } => plan.rows.push(row),
            Eligibility::Lost { row } => {
                plan.lost.push(row.instance_id.clone());
                plan.rows.push(row);
            }
            Eligibility::Waits { row, until, watch } => {
                plan.next_transition = earliest(plan.next_transition, ahead(until, now));
                plan.unread_for_too_long |= is_unread(&row) && now >= deadline(object, &row, now);
                if watch {
                    plan.watch.push(row.instance_id.clone());
                }
                plan.rows.push(row);
            }
            Eligibility::Ready { mut row, state_seen } => {
                plan.watch.push(row.instance_id.clone());
                let keeps_its_slot = keeps_its_slot(object, target, now);
                if let Some(message) = has_another_password(object, target, &plan.password) {
                    let reason = Reason::SecretChangedDuringRun;
                    advance(&mut row, State::Pending, reason, message, now);
                } else if plan.paused {
                    let message = not_tried(object, target);
                    advance(&mut row, State::Pending, Reason::PausedOnFailure, message, now);
                } else if free == 0 && !keeps_its_slot {
                    waits_for_a_slot = true;
                    let Hold { reason, message, until } = waits_for_slot(object, &plan.claims);
                    plan.next_transition = earliest(plan.next_transition, ahead(until, now));
                    advance(&mut row, State::Pending, reason, message, now);
                } else if let Some((slots, zone)) = account_slots.missing(zone_of(target)).filter(|_| !keeps_its_slot) {
                    plan.waits_for_account.insert(zone.map(str::to_owned));
                    stays.push(slots.stays.as_ref().map(|why| account_slots_held(object, slots.max, zone, why)));
                    let message = waits_for_account_slot(object, slots, zone);
                    advance(&mut row, State::Pending, Reason::WaitingForAccountSlot, message, now);
                } else {
                    if !keeps_its_slot {
                        free -= 1;
                        account_slots.take(zone_of(target));
                    }
                    let zone_id = zone_of(target).to_owned();
                    let instance_id = row.instance_id.clone();
                    plan.claims.push(NewClaim { instance_id, state_seen, zone_id, row: row.clone() });
                }
                plan.rows.push(row);
            }
        }
    }
    if waits_for_a_slot {
        look_at_slots(object, targets, &mut plan, now);
    }
    // As long as one of those that wait goes on by itself, nobody is asked.
    let own_stay = plan.held_up.is_some() || !waits_for_a_slot;
    let all_stay = plan.claims.is_empty() && own_stay && stays.iter().all(Option::is_some);
    let of_account = stays.into_iter().next().flatten();
    plan.held_up = plan.held_up.or(of_account).filter(|_| all_stay);
    if !plan.waits_for_account.is_empty() {
        plan.wake = earliest(plan.wake, Some(later(now, SOON)));
    }
    plan.wake = earliest(plan.wake, plan.next_transition);
    if plan.rows.iter().any(|row| !row.state.has_ended()) {
        plan.wake = earliest(plan.wake, object.spec.not_after.as_ref().map(|end| end.0));
        let refresh = object.spec.is_plan().then(|| later(now, PLAN_REFRESH));
        plan.wake = earliest(plan.wake, refresh);
    }
    plan
}

/// While it is not known which instances the object is about, its rows stay as they were: they are its second memory.
fn without_targets(object: &ResetFacts) -> Plan {
    let until = if let Targets::Unfit(hold) = &*object.targets { hold.until } else { None };
    Plan { rows: object.before.instances.clone(), wake: until, next_transition: until, ..Plan::default() }
}

/// Whether a new claim takes over the slot of the one before, which a person has decided on.
fn keeps_its_slot(object: &ResetFacts, target: &Target, now: Timestamp) -> bool {
    object.slot_holders.iter().any(|holder| holder.instance_id == target.instance_id)
        && resolved_as(Decision::RestartAgain, object, target, now)
}

/// Why an instance is not begun while too many have failed.
fn not_tried(object: &ResetFacts, target: &Target) -> String {
    let how = "failures exceed maxFailures; the condition Ready says how to continue";
    let failed = target.entry(&object.request.owner).filter(|entry| entry.row.state == State::Failed);
    match failed.and_then(|entry| entry.last_password_set_time.as_ref()) {
        Some(at) => format!("not tried again: {how}; this object last set its password at {}", second(at.0)),
        None => format!("not started: {how}"),
    }
}

/// For the instances that wait for a slot: whether one becomes free by itself, and when to check again.
fn look_at_slots(object: &ResetFacts, targets: &[Target], plan: &mut Plan, now: Timestamp) {
    let is_listed = |id: &&String| targets.iter().any(|target| target.instance_id == *id);
    let holders = object.slot_holders.iter().map(|holder| &holder.instance_id).filter(is_listed);
    plan.watch.extend(holders.cloned());
    let mut stay = Vec::new();
    for Holder { instance_id, outlook, .. } in object.slot_holders {
        match outlook {
            Outlook::Frees => {}
            // The reading that decides comes a little later.
            Outlook::FreesUntil(then) => plan.wake = earliest(plan.wake, Some(later((*then).max(now), SOON))),
            Outlook::Stays(why) => stay.push(format!("{instance_id}: {why}")),
        }
    }
    if plan.claims.is_empty() && stay.len() == object.slot_holders.len() {
        let more = stay.len().saturating_sub(SLOT_HOLDERS_NAMED);
        stay.truncate(SLOT_HOLDERS_NAMED);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let message = format!(
            "no slot becomes free by itself (maxUnavailable is {}); {}{more}",
            object.max_unavailable(),
            stay.join("; ")
        );
        plan.held_up = Some(Hold::new(Reason::SlotHeld, message));
    }
}

/// The instances that hold the slots. A user who asks why nothing happens must know which instance to check.
fn waits_for_slot(object: &ResetFacts, claims: &[NewClaim]) -> Hold {
    let ready_at = |holder: &Holder| holder.ready_at.map(second);
    let is_nearly_free = claims.is_empty() && object.slot_holders.iter().all(|holder| holder.ready_at.is_some());
    let first_ready = object.slot_holders.iter().filter_map(ready_at).min();
    let holders = object.slot_holders.iter().map(|holder| &holder.instance_id);
    let holders = holders.chain(claims.iter().map(|claim| &claim.instance_id));
    let named: Vec<&str> = holders.map(String::as_str).take(SLOT_HOLDERS_NAMED).collect();
    let more = (object.slot_holders.len() + claims.len()).saturating_sub(named.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let max_unavailable = object.max_unavailable();
    let holders = format!("{}{more}", named.join(", "));
    if let Some(until) = first_ready.filter(|_| is_nearly_free) {
        let seconds = object.spec.min_ready_seconds();
        let message = if seconds == 0 {
            format!("waiting until {holders} is seen Running")
        } else {
            format!("waiting until {holders} has been Running for {seconds} s (minReadySeconds), at {until}")
        };
        return Hold::new(Reason::WaitingForMinReady, message).until(until);
    }
    let is_stuck = claims.is_empty() && object.slot_holders.iter().all(|holder| holder.outlook != Outlook::Frees);
    let late = object.slot_holders.iter().filter(|_| is_stuck).find_map(|holder| match holder.outlook {
        Outlook::FreesUntil(then) => {
            let (id, then) = (&holder.instance_id, second(then));
            Some(format!("; {id} is not Running: if it is not back by {then}, this object stalls"))
        }
        Outlook::Frees | Outlook::Stays(_) => None,
    });
    let late = late.unwrap_or_default();
    let message = format!("waiting for a slot; maxUnavailable allows {max_unavailable}, held by {holders}{late}");
    Hold::new(Reason::WaitingForSlot, message)
}

/// That no slot of the account becomes free by itself.
fn account_slots_held(object: &ResetFacts, max: u32, zone: Option<&str>, why: &str) -> Hold {
    let account = object.spec.account_name();
    let (place, bound) = zone.map_or_else(
        || (String::new(), "maxUnavailable"),
        |zone| (format!(" in zone {zone}"), "maxUnavailablePerZone"),
    );
    let message =
        format!("no slot of ECSAccount {account}{place} becomes free by itself (its {bound} is {max}); {why}");
    Hold::new(Reason::SlotHeld, message)
}

fn waits_for_account_slot(object: &ResetFacts, slots: &Slots, zone: Option<&str>) -> String {
    let (account, Slots { max, held_by, .. }) = (object.spec.account_name(), slots);
    let held_by = if held_by.is_empty() { "objects that have waited longer" } else { held_by };
    match zone {
        None => {
            format!("waiting for a slot of ECSAccount {account}; its maxUnavailable allows {max}, held by {held_by}")
        }
        Some(zone) => format!(
            "waiting for a slot of ECSAccount {account} in zone {zone}; its maxUnavailablePerZone allows {max}, held by {held_by}"
        ),
    }
}

/// The zone of an instance, as last read; empty where it is not known.
fn zone_of<'a>(target: &Target<'a>) -> &'a str {
    target.reading.and_then(|reading| reading.seen.as_ref()).map_or("", |seen| seen.zone_id.as_str())
}

/// Why an instance may not be given the password that the Secret holds now; `None`: it may.
fn has_another_password(object: &ResetFacts, target: &Target, password: &RunPassword) -> Option<String> {
    if let Some(instance_id) = &password.other_in_flight {
        return Some(format!(
            "the Secret was changed while the password of {instance_id} is being set; waiting until that claim ends"
        ));
    }
    let (now, first) = (object.request.fingerprint.as_ref()?, runs::password_for(object, target, password)?);
    history::differs(first, now).then(|| secret_changed(password.instances, object.targets.ids().len(), true))
}

/// The instances that were reset with another password than the Secret holds now.
fn out_of_sync(object: &ResetFacts, targets: &[Target]) -> Vec<String> {
    let differs = |target: &&Target| {
        let entry = target.entry(&object.request.owner).filter(|entry| entry.row.password_set_time.is_some());
        entry.zip(object.fingerprint_for(target)).is_some_and(|(entry, now)| history::differs(now, &entry.fingerprint))
    };
    targets.iter().filter(differs).map(|target| target.instance_id.to_owned()).collect()
}

/// Whether the instance's password can be compared with the Secret. It cannot if the record was lost, or if the fingerprint key has
/// been replaced.
fn can_be_compared(object: &ResetFacts, target: &Target) -> bool {
    match (target.entry(&object.request.owner), object.fingerprint_for(target)) {
        (Some(entry), Some(fingerprint)) => {
            entry.row.password_set_time.is_none() || entry.fingerprint.key_id == fingerprint.key_id
        }
        (None, _) => target.before.is_none_or(|row| !row.state.has_ended() || row.password_set_time.is_none()),
        (Some(_), None) => false,
    }
}

/// That a run has one password, and the two ways on.
pub(super) fn secret_changed(with_the_first: usize, all: usize, is_open: bool) -> String {
    let verb = if with_the_first == 1 { "has" } else { "have" };
    // Those that have not begun may still get the earlier one.
    let or = if is_open { ", or put the earlier value back, which restarts none of those again" } else { "" };
    format!(
        "the Secret was changed during the run: {with_the_first} of {all} instances {verb} the earlier password; set a new runID to reset all with the current one, and restart them again{or}"
    )
}

/// Whether an instance counts towards `maxFailures`. A password of its own that cannot be used says nothing of the others.
fn is_failure(eligibility: &Eligibility, target: &Target) -> bool {
    let (Eligibility::NothingToDo { row, is_of_this_retry: true } | Eligibility::Lost { row }) = eligibility else {
        return false;
    };
    if target.own_password.is_some() && row.attempts == 0 && row.reason().is_some_and(Reason::is_secret_lost) {
        return false;
    }
    match row.state {
        State::Failed | State::Unknown => true,
        State::EffectiveAtNextStart => row.reason().is_some_and(Reason::counts_as_failure),
        _ => false,
    }
}

/// A moment that is still to come: a pass that waited for a past one would never end.
fn ahead(moment: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    moment.filter(|moment| *moment > now)
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    [a, b].into_iter().flatten().min()
}

#[cfg(test)]
#[path = "plan_history_tests.rs"]
mod history_tests;
#[cfg(test)]
#[path = "plan_holds_tests.rs"]
mod holds_tests;
#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
