//! One object's instances: which are done, which wait and for what, and which may be claimed now.
//!
//! Each target is judged by itself first ([`judge`]), then failures and slots are counted over all of them ([`plan`]).
//! Nothing is claimed here: the shell writes each claim by compare-and-swap, and a lost race is looked at again.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::password_rules::Broken;
use super::runs::{self, Begun, RunPassword};
use crate::api::Reason;
use crate::api::password_reset::{InstanceRow, PasswordResetSpec, PlannedAction, Requested, RestartPolicy, Run, State};
use crate::api::reset_record::{Owner, OwnerHistory, Phase, ResetRecord};
use crate::decide::bounds::SOON;
use crate::decide::budget::{Holder, Outlook};
use crate::decide::history::{self, Request};
use crate::decide::memory::{self, Loss, OwnMemory};
use crate::decide::resolution::Decision;
use crate::decide::row::advance;
use crate::decide::{Hold, InstanceView, Power, Reading, is_drained, later, minute};

/// How many of those who hold a slot are named to one who waits for it.
const SLOT_HOLDERS_NAMED: usize = 3;

/// What the plan rests on.
#[derive(Debug)]
pub struct ResetFacts<'a> {
    /// The object's spec, just read.
    pub spec: &'a PasswordResetSpec,
    /// What it asks for.
    pub request: &'a Request,
    /// The run in its status.
    pub run: Option<&'a Run>,
    /// What the rows of its status answer.
    pub requested: Option<&'a Requested>,
    /// What stands in the way of every new claim, if anything does.
    pub hold: Option<Hold>,
    /// What is wrong with the password for every instance.
    pub broken: Option<Broken>,
    /// What is wrong with it for Windows instances.
    pub broken_on_windows: Option<Broken>,
    /// Whether the account has rules, or cannot be used. An instance that is not known to be permitted is then not told from
    /// one that does not exist: a namespace's user learns nothing of machines that are not theirs.
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
    /// Whether a person has to see to it should it last.
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
    /// Its spec claims another instance than the one that it is named after. Which is nobody's business who looks at this one.
    OfAnotherInstance,
}

/// What was decided about all instances of an object.
#[derive(Debug, Default)]
pub struct Plan {
    /// One row for each instance, in the order of the targets.
    pub rows: Vec<InstanceRow>,
    /// The instances to claim now.
    pub claims: Vec<NewClaim>,
    /// The instance whose Unknown restart a person has decided to have happened.
    pub happened: Option<String>,
    /// The instances of which readings are wanted.
    pub watch: Vec<String>,
    /// When to look again at the latest, if a moment is known.
    pub wake: Option<Timestamp>,
    /// Whether the rest is left alone because too many instances failed.
    pub paused: bool,
    /// The instances whose memory is lost, and is to be written down as such.
    pub lost: Vec<String>,
    /// The run that the status does not show yet, if one has begun.
    pub begun: Option<Begun>,
    /// The password of the run.
    pub password: RunPassword,
    /// Whether ECS has not let instances be read for `stableStateTimeoutSeconds`, and a person has to see to it.
    pub unread_for_too_long: bool,
    /// Why no slot becomes free by itself, where instances wait for one.
    pub held_up: Option<Hold>,
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

/// What was decided about one instance.
enum Eligibility {
    /// Done, failed or in flight: nothing for this reconciler to do. A failure from before the present retry annotation
    /// pauses nothing any more.
    Settled { row: InstanceRow, is_of_this_retry: bool },
    /// Something is in the way, until the moment given at the latest; the flag says whether readings help.
    Waits { row: InstanceRow, until: Option<Timestamp>, watch: bool },
    /// Nothing is done, since it is not known what was: see [`memory`].
    Lost { row: InstanceRow },
    /// It may be claimed.
    Ready { row: InstanceRow, state_seen: String },
}

/// Decides about all instances. `targets` are in the order of their ids.
#[must_use]
pub fn plan(object: &ResetFacts, targets: &[Target], now: Timestamp) -> Plan {
    let verdicts: Vec<Eligibility> = targets.iter().map(|target| judge(object, target, now)).collect();
    let failures = verdicts.iter().filter(|verdict| is_failure(verdict)).count();
    let mut plan = Plan { paused: failures > object.spec.max_failures() as usize, ..Plan::default() };
    let happened = targets.iter().find(|target| resolved_as(Decision::Happened, object, target, now));
    plan.happened = happened.map(|target| target.instance_id.to_owned());
    plan.wake = decision_counts_at(object, targets, now);
    plan.begun = runs::begun(object, targets);
    plan.password = runs::password(object, targets, plan.begun);
    let mut free = (object.spec.max_unavailable() as usize).saturating_sub(object.slot_holders.len());
    let mut waits_for_a_slot = false;
    for (verdict, target) in verdicts.into_iter().zip(targets) {
        match verdict {
            Eligibility::Settled { row, .. } => plan.rows.push(row),
            Eligibility::Lost { row } => {
                plan.lost.push(row.instance_id.clone());
                plan.rows.push(row);
            }
            Eligibility::Waits { row, until, watch } => {
                plan.wake = earliest(plan.wake, until);
                plan.unread_for_too_long |= is_unread(&row) && now >= deadline(object, &row, now);
                if watch {
                    plan.watch.push(row.instance_id.clone());
                }
                plan.rows.push(row);
            }
            Eligibility::Ready { mut row, state_seen } => {
                plan.watch.push(row.instance_id.clone());
                if let Some(message) = has_another_password(object, target, &plan.password) {
                    let reason = Reason::SecretChangedDuringRun;
                    advance(&mut row, State::Pending, reason, message, now);
                } else if plan.paused {
                    let message = "left alone, since more instances failed than maxFailures allows; see the annotation retry-requested-at";
                    advance(&mut row, State::Pending, Reason::PausedOnFailure, message.to_owned(), now);
                } else if free == 0 {
                    waits_for_a_slot = true;
                    let message = waits_for_slot(object, &plan.claims);
                    advance(&mut row, State::Pending, Reason::WaitingForSlot, message, now);
                } else {
                    free -= 1;
                    plan.claims.push(NewClaim { instance_id: row.instance_id.clone(), state_seen, row: row.clone() });
                }
                plan.rows.push(row);
            }
        }
    }
    if waits_for_a_slot {
        look_at_slots(object, targets, &mut plan, now);
    }
    plan
}

/// For the instances that wait for a slot: whether one becomes free by itself, and when that is looked at again.
fn look_at_slots(object: &ResetFacts, targets: &[Target], plan: &mut Plan, now: Timestamp) {
    let is_listed = |id: &&String| targets.iter().any(|target| target.instance_id == *id);
    let holders = object.slot_holders.iter().map(|holder| &holder.instance_id).filter(is_listed);
    plan.watch.extend(holders.cloned());
    let mut stay = Vec::new();
    for Holder { instance_id, outlook } in object.slot_holders {
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
            "no slot becomes free, maxUnavailable is {}; {}{more}",
            object.spec.max_unavailable(),
            stay.join("; ")
        );
        plan.held_up = Some(Hold { reason: Reason::SlotHeld, message });
    }
}

/// Whom an instance waits for. Somebody who wonders why nothing goes on has to know which instance to look at.
fn waits_for_slot(object: &ResetFacts, claims: &[NewClaim]) -> String {
    let holders = object.slot_holders.iter().map(|holder| &holder.instance_id);
    let holders = holders.chain(claims.iter().map(|claim| &claim.instance_id));
    let named: Vec<&str> = holders.map(String::as_str).take(SLOT_HOLDERS_NAMED).collect();
    let more = (object.slot_holders.len() + claims.len()).saturating_sub(named.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let max_unavailable = object.spec.max_unavailable();
    format!("waiting for a slot; maxUnavailable allows {max_unavailable}, held by {}{more}", named.join(", "))
}

/// Why an instance may not be given the password that the Secret holds now; `None`: it may.
fn has_another_password(object: &ResetFacts, target: &Target, password: &RunPassword) -> Option<String> {
    if let Some(instance_id) = &password.other_in_flight {
        return Some(format!(
            "the Secret was changed while the password of {instance_id} is being set; waiting for its end"
        ));
    }
    let (now, first) = (object.request.fingerprint.as_ref()?, runs::password_for(object, target, password)?);
    history::differs(first, now).then(|| secret_changed(password.instances, object.spec.instance_ids.len()))
}

/// That a run has one password, and the two ways on.
pub(super) fn secret_changed(with_the_first: usize, all: usize) -> String {
    let verb = if with_the_first == 1 { "has" } else { "have" };
    format!(
        "{with_the_first} of {all} {verb} the earlier password; set a new runID to reset all with the present one, or put the earlier value back"
    )
}

fn is_failure(verdict: &Eligibility) -> bool {
    let (Eligibility::Settled { row, is_of_this_retry: true } | Eligibility::Lost { row }) = verdict else {
        return false;
    };
    match row.state {
        State::Failed | State::Unknown => true,
        State::EffectiveAtNextStart => row.reason().is_some_and(Reason::counts_as_failure),
        _ => false,
    }
}

fn settled_row(row: InstanceRow) -> Eligibility {
    Eligibility::Settled { row, is_of_this_retry: true }
}

fn judge(object: &ResetFacts, target: &Target, now: Timestamp) -> Eligibility {
    if let Some(loss) = loss(object, target, now) {
        if may_restore(object, target, loss) {
            let known = target.record.map(|record| &record.spec);
            return Eligibility::Lost {
                row: memory::row_of(loss, target.instance_id, known, own_memory(object, target), now),
            };
        }
        // Until it can be written down, the row is the only one that remembers.
        if let Some(row) = target.before.filter(|row| row.attempts > 0) {
            return settled_row(row.clone());
        }
    }
    if let Some(row) = in_flight(object, target) {
        return settled_row(row);
    }
    if let Some((row, retry)) = done(object, target, now) {
        return Eligibility::Settled { row, is_of_this_retry: !history::asks_again(retry, object.request) };
    }
    let is_answered = object.requested.is_some_and(|requested| {
        history::covers(&requested.tokens, &object.request.tokens)
            && !history::asks_again(requested.retry.as_ref(), object.request)
    });
    let before = target.before.filter(|_| is_answered);
    let mut row = candidate_row(object, target, before);
    if let Some(failed) = before.filter(|row| outlives_a_look(row)) {
        return settled_row(failed.clone());
    }
    if object.hold.is_none()
        && let Some(broken) = broken(object, &row)
    {
        advance(&mut row, State::Failed, Reason::InvalidPassword, broken.to_string(), now);
        row.planned_action = Some(PlannedAction::Blocked);
        return settled_row(row);
    }
    let mut pending = |reason, message: String, until| {
        advance(&mut row, State::Pending, reason, message, now);
        // Without readings an instance is not known to be permitted, and its row would show another reason again.
        Eligibility::Waits { row: row.clone(), until, watch: object.hides_unpermitted && object.hold.is_none() }
    };
    if object.hides_unpermitted && fresh(target.reading, now).is_none_or(|reading| reading.seen.is_none()) {
        // Not a word of its record either: others may be at work on it.
        return match &object.hold {
            Some(Hold { reason, message }) => pending(*reason, message.clone(), None),
            None => assess(object, target.reading, row, now),
        };
    }
    if let Some(bad) = target.bad_record {
        let message = match bad {
            BadRecord::Unreadable => {
                "its ResetRecord is stored in a form that this version of the controller cannot read; nothing is done until that is mended"
            }
            BadRecord::OfAnotherInstance => {
                "its ResetRecord claims another instance in its spec than in its name; nothing is done until that is mended"
            }
        };
        return pending(Reason::InvalidSpec, message.to_owned(), None);
    }
    if let Some(record) = target.record {
        let status = record.progress();
        if status.phase == Phase::Unrecognized {
            let message = "its ResetRecord is in a phase that this version of the controller does not know; nothing is done until the version that wrote it is installed";
            return pending(Reason::InvalidSpec, message.to_owned(), None);
        }
        if !status.phase.has_ended() {
            return pending(Reason::InstanceBusy, "another PasswordReset is at work on this instance".to_owned(), None);
        }
        if let Some(until) = status.unanswered_until.as_ref().filter(|_| !is_drained(&status, now)) {
            let message =
                format!("the outcome of an earlier request is not known, and it may be carried out until {}", until.0);
            return pending(Reason::AnswerOutstanding, message, Some(until.0));
        }
        let interval = SignedDuration::from_secs(i64::from(object.min_restart_interval_seconds));
        if let Some(then) = status.last_restart_time.map(|time| later(time.0, interval)).filter(|then| *then > now) {
            let message =
                format!("restarted recently; the account's minRestartIntervalSeconds holds it back until {then}");
            return pending(Reason::MinRestartInterval, message, Some(then));
        }
    }
    if let Some(Hold { reason, message }) = &object.hold {
        return pending(*reason, message.clone(), None);
    }
    assess(object, target.reading, row, now)
}

/// The row of an instance that this object's own claim is at work on.
fn in_flight(object: &ResetFacts, target: &Target) -> Option<InstanceRow> {
    let record = target.record.filter(|record| record.spec.owner.is(&object.request.owner))?;
    let is_at_work = |phase: Phase| !phase.has_ended() && phase != Phase::Unrecognized;
    let status = record.status.as_ref().filter(|status| is_at_work(status.phase))?;
    status.row.clone().or_else(|| target.before.cloned())
}

/// The row of an instance that needs nothing, and the retry annotation of its run.
fn done<'a>(object: &'a ResetFacts, target: &'a Target, now: Timestamp) -> Option<(InstanceRow, Option<&'a String>)> {
    let record =
        target.record.map(|record| (record, record.status.as_ref().map_or(&[][..], |status| &status.completed)));
    let entry = record.and_then(|(_, completed)| history::entry_of(completed, &object.request.owner));
    let (mut row, retry) = match entry {
        Some(entry) => {
            let is_needed = history::is_needed(Some(entry), object.request)
                || resolved_as(Decision::RestartAgain, object, target, now);
            (!is_needed).then(|| (entry.row.clone(), entry.retry.as_ref()))?
        }
        None => remembered(object, target)?,
    };
    let superseded_at =
        record.and_then(|(record, completed)| reset_since(record, completed, &object.request.owner, entry));
    if let Some(at) = superseded_at.filter(|_| row.state != State::Failed) {
        let before = target.before.filter(|row| row.state == State::Superseded).and_then(|row| row.state_time.clone());
        row.state_time = before.or(Some(Time(at)));
        row.state = State::Superseded;
        Reason::Superseded.as_str().clone_into(&mut row.reason);
        "another PasswordReset has since reset this instance".clone_into(&mut row.message);
    }
    Some((row, retry))
}

/// The second memory, the object's own status: for a record that is lost, or that was made anew for another owner since.
fn remembered<'a>(object: &'a ResetFacts, target: &'a Target) -> Option<(InstanceRow, Option<&'a String>)> {
    let requested = object.requested?;
    let row = target.before.filter(|row| row.state.has_ended() && !row.reason().is_some_and(Reason::is_of_object))?;
    let is_remembered = history::covers(&requested.tokens, &object.request.tokens)
        && (row.state != State::Failed || !history::asks_again(requested.retry.as_ref(), object.request));
    is_remembered.then(|| (row.clone(), requested.retry.as_ref()))
}

/// Whether a person has decided so on the claim that the target's record holds.
fn resolved_as(decision: Decision, object: &ResetFacts, target: &Target, now: Timestamp) -> bool {
    let resolution = object.request.resolution.as_ref().filter(|resolution| resolution.decision == decision);
    let counts = |record| resolution.is_some_and(|resolution| resolution.counts(record, &object.request.owner, now));
    target.record.is_some_and(counts)
}

/// When the claim that a person has decided on is drained, if it is not yet.
fn decision_counts_at(object: &ResetFacts, targets: &[Target], now: Timestamp) -> Option<Timestamp> {
    let resolution = object.request.resolution.as_ref()?;
    let record = targets.iter().find(|target| target.instance_id == resolution.instance_id)?.record?;
    let drained_at = record.status.as_ref()?.unanswered_until.as_ref()?.0;
    (drained_at > now && resolution.counts(record, &object.request.owner, drained_at)).then_some(drained_at)
}

/// When another owner has set a password after `owner` has: by a later entry, or by the claim in progress. A record without an
/// entry of `owner` was made anew, so all of it is later.
fn reset_since(
    record: &ResetRecord,
    completed: &[OwnerHistory],
    owner: &Owner,
    entry: Option<&OwnerHistory>,
) -> Option<Timestamp> {
    let at_work = record.status.as_ref().filter(|status| !record.spec.owner.is(owner) && !status.phase.has_ended());
    let in_progress = at_work.and_then(|status| status.password_acknowledged_at.as_ref());
    let own = completed.iter().position(|other| other.owner.is(owner));
    // The order is that of the ends. One that has ended later without a password may have set its last one before.
    let later = completed.iter().skip(own.map_or(0, |own| own + 1));
    let mut theirs = later.filter_map(|entry| entry.last_password_set_time.as_ref());
    // Where it is not known whether a password was set, none was after the end.
    let ours = entry.and_then(|entry| entry.row.password_set_time.as_ref().or(entry.row.state_time.as_ref()));
    theirs.find(|theirs| ours.is_none_or(|ours| theirs.0 >= ours.0)).or(in_progress).map(|theirs| theirs.0)
}

/// A failure before a claim that stands until something new is asked for: it came by a deadline. What a claim came to is remembered
/// by its record, and judged by that.
fn outlives_a_look(row: &InstanceRow) -> bool {
    row.state == State::Failed && row.attempts == 0 && row.reason().is_some_and(Reason::stands_until_asked)
}

/// What is wrong with the password for an instance. By the row and not by the reading: nobody asks for readings of an instance
/// whose password is unfit.
fn broken(object: &ResetFacts, row: &InstanceRow) -> Option<Broken> {
    let is_windows = row.os_type.as_deref().is_some_and(|os| os.eq_ignore_ascii_case("windows"));
    object.broken.or(object.broken_on_windows.filter(|_| is_windows))
}

/// What the object remembers of an instance.
pub(crate) fn own_memory<'a>(object: &ResetFacts<'a>, target: &Target<'a>) -> OwnMemory<'a> {
    OwnMemory {
        owner: &object.request.owner,
        tokens: &object.request.tokens,
        row: target.before,
        requested: object.requested,
        run: object.run,
    }
}

/// What happened to the memory of an instance. Not a word of a record to an object that may not know the instance.
#[must_use]
pub fn loss(object: &ResetFacts, target: &Target, now: Timestamp) -> Option<Loss> {
    let loss = memory::loss(target.record, own_memory(object, target)).filter(|_| target.bad_record.is_none())?;
    let is_own = |record: &ResetRecord| record.spec.owner.is(&object.request.owner);
    let is_known = target.before.is_some_and(|row| row.claim.is_some()) || target.record.is_some_and(is_own);
    let is_shown = || fresh(target.reading, now).is_some_and(|reading| reading.seen.is_some());
    (!object.hides_unpermitted || is_known || is_shown()).then_some(loss)
}

/// Whether a loss may be written into the record. Not while another object's claim goes on, unless that is what is damaged.
#[must_use]
pub fn may_restore(object: &ResetFacts, target: &Target, loss: Loss) -> bool {
    let is_busy = |record: &ResetRecord| !record.phase().has_ended() && !record.spec.owner.is(&object.request.owner);
    loss == Loss::Incomplete || !target.record.is_some_and(is_busy)
}

/// Looks at an instance that needs a run and that nothing but itself can hold back.
fn assess(object: &ResetFacts, reading: Option<&Reading>, mut row: InstanceRow, now: Timestamp) -> Eligibility {
    let Some(reading) = fresh(reading, now) else { return unread(object, row, now) };
    if is_unread(&row) {
        // How long the instance itself is waited for begins now.
        (row.state, row.state_time) = (State::Pending, None);
    }
    let Err((reason, obstacle)) = stable(object, &row.instance_id, reading, now) else {
        let state_seen = reading.seen.as_ref().map_or("", |seen| seen.power.as_str()).to_owned();
        advance(&mut row, State::Pending, Reason::Pending, "ready to be reset".to_owned(), now);
        return Eligibility::Ready { row, state_seen };
    };
    let timeout_seconds = object.spec.stable_state_timeout_seconds();
    advance(&mut row, State::WaitingForStableState, reason, obstacle.clone(), now);
    row.planned_action = Some(PlannedAction::Blocked);
    let deadline = deadline(object, &row, now);
    if now < deadline {
        return Eligibility::Waits { row, until: Some(deadline), watch: true };
    }
    advance(&mut row, State::Failed, reason.at_deadline(), format!("{obstacle}; waited {timeout_seconds} s"), now);
    settled_row(row)
}

/// An instance that no reading shows. Where ECS refuses to be read its row keeps the time since when it is so, and stays open: once
/// somebody has seen to it, it goes on by itself.
fn unread(object: &ResetFacts, mut row: InstanceRow, now: Timestamp) -> Eligibility {
    let trouble = object.read_trouble.filter(|trouble| trouble.is_for_a_person);
    if let Some(ReadHold { hold: Hold { reason, message }, .. }) = trouble {
        if !is_unread(&row) {
            row.state_time = None;
        }
        advance(&mut row, State::WaitingForStableState, reason.while_unread(), message.clone(), now);
        row.planned_action = Some(PlannedAction::Blocked);
    } else if !is_unread(&row) {
        let message = "waiting for ECS to show the instance".to_owned();
        let state = if row.state == State::WaitingForStableState { row.state } else { State::Pending };
        advance(&mut row, state, Reason::Pending, message, now);
    }
    let until = is_unread(&row).then(|| deadline(object, &row, now)).filter(|until| now < *until);
    Eligibility::Waits { row, until, watch: true }
}

/// Whether a row waits for ECS to let instances be read.
pub(super) fn is_unread(row: &InstanceRow) -> bool {
    row.state == State::WaitingForStableState && row.reason().is_some_and(Reason::hides_instances)
}

/// Until when a row may wait in its state.
fn deadline(object: &ResetFacts, row: &InstanceRow, now: Timestamp) -> Timestamp {
    let since = row.state_time.as_ref().map_or(now, |time| time.0);
    later(since, SignedDuration::from_secs(i64::from(object.spec.stable_state_timeout_seconds())))
}

/// A reading that is fresh enough to claim by.
fn fresh(reading: Option<&Reading>, now: Timestamp) -> Option<&Reading> {
    reading.filter(|reading| reading.is_fresh(now))
}

/// Whether a reading shows an instance that may be claimed; else why not.
fn stable(object: &ResetFacts, instance_id: &str, reading: &Reading, now: Timestamp) -> Result<(), (Reason, String)> {
    let region = &object.spec.region_id;
    let account = object.spec.account_name();
    let Some(seen) = reading.seen.as_ref().filter(|seen| seen.permitted) else {
        if object.hides_unpermitted {
            let namespace = &object.request.owner.namespace;
            return Err((
                Reason::InstanceNotAllowed,
                format!(
                    "{instance_id} does not exist in {region}, or no rule of ECSAccount {account} covers it for namespace {namespace}; the account's owner sees which in the controller's log, and can add a rule or a tag"
                ),
            ));
        }
        return Err(match object.may_describe {
            Some(true) => (
                Reason::InstanceNotFound,
                format!("not found in {region} with ECSAccount {account}; check the id and the region"),
            ),
            Some(false) => (
                Reason::NotPermitted,
                format!(
                    "ECSAccount {account} may not call DescribeInstances in {region}; grant it ecs:DescribeInstances"
                ),
            ),
            None => {
                (Reason::InstanceNotFound, format!("not found in {region}, or ECSAccount {account} may not see it"))
            }
        });
    };
    if let Power::Transitional(name) = &seen.power {
        return Err((Reason::WaitingForStableState, format!("the instance is {name}, not Running or Stopped")));
    }
    if !seen.locks.is_empty() {
        return Err((Reason::InstanceLocked, format!("ECS has locked the instance: {}", seen.locks.join(", "))));
    }
    if let Some(expired) = seen.expires.filter(|expires| *expires <= now) {
        return Err((Reason::InstanceExpired, format!("the instance expired at {}", minute(expired))));
    }
    Ok(())
}

/// A fresh row; where the run goes on, with the state and its time from before.
fn candidate_row(object: &ResetFacts, target: &Target, before: Option<&InstanceRow>) -> InstanceRow {
    let seen = target.reading.and_then(|reading| reading.seen.as_ref());
    let planned_action = if object.hold.is_some() {
        Some(PlannedAction::Blocked)
    } else {
        seen.map(|seen| planned_action(object.spec.restart_policy(), seen))
    };
    InstanceRow {
        instance_id: target.instance_id.to_owned(),
        name: seen.map(|seen| seen.name.clone()).or_else(|| target.before?.name.clone()),
        os_type: seen.map(|seen| seen.os_type.clone()).or_else(|| target.before?.os_type.clone()),
        key_pair_name: seen
            .map_or_else(|| target.before.and_then(|row| row.key_pair_name.clone()), |seen| seen.key_pair_name.clone()),
        initial_status: None,
        planned_action,
        state: before.map_or(State::Pending, |row| row.state),
        reason: before.map(|row| row.reason.clone()).unwrap_or_default(),
        message: before.map(|row| row.message.clone()).unwrap_or_default(),
        state_time: before.and_then(|row| row.state_time.clone()),
        password_set_time: None,
        password_request_id: None,
        restart_request_id: None,
        claim: last_claim(object, target),
        attempts: 0,
    }
}

/// The number of the object's last claim on an instance.
fn last_claim(object: &ResetFacts, target: &Target) -> Option<i64> {
    let status = target.record.and_then(|record| record.status.as_ref());
    let entry = status.and_then(|status| history::entry_of(&status.completed, &object.request.owner));
    target.before.and_then(|row| row.claim).max(entry.and_then(|entry| entry.row.claim))
}

fn planned_action(policy: RestartPolicy, seen: &InstanceView) -> PlannedAction {
    match (policy, &seen.power) {
        (RestartPolicy::IfRunning, Power::Running) => PlannedAction::ResetAndRestart,
        (_, Power::Running | Power::Stopped) => PlannedAction::ResetOnly,
        (_, Power::Transitional(_)) => PlannedAction::Blocked,
    }
}

/// The row of an instance that could not be claimed, although nothing of its own stood in the way.
#[must_use]
pub fn unclaimed_row(claim: &NewClaim, reason: Reason, message: String, now: Timestamp) -> InstanceRow {
    let mut row = claim.row.clone();
    advance(&mut row, State::Pending, reason, message, now);
    row
}

/// Shows in the rows of claims whose next call needs the account why it is not made: the record says only what ECS answered last.
pub fn hold_up(rows: &mut [InstanceRow], account: &Hold) {
    for row in rows.iter_mut().filter(|row| matches!(row.state, State::SettingPassword | State::PasswordSet)) {
        account.reason.as_str().clone_into(&mut row.reason);
        row.message.clone_from(&account.message);
    }
}

/// The row that a claim begins with.
#[must_use]
pub fn initial_row(claim: &NewClaim, number: i64, now: Timestamp) -> InstanceRow {
    let mut row = claim.row.clone();
    row.claim = Some(number);
    row.initial_status = Some(claim.state_seen.clone());
    row.attempts = 1;
    row.state_time = Some(Time(now));
    advance(&mut row, State::SettingPassword, Reason::SettingPassword, "setting the password".to_owned(), now);
    row
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    [a, b].into_iter().flatten().min()
}

#[cfg(test)]
#[path = "eligibility_tests.rs"]
mod tests;
