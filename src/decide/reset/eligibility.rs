//! One instance of an object: is it done, may it be claimed, and if not, why not.
//!
//! [`judge`] asks what is remembered first, then the password, then the gates in their order, and last the instance itself.

use jiff::{SignedDuration, Timestamp};

use super::facts::{BadRecord, OwnPassword, ReadHold, ResetFacts, Target};
use super::remembered::{done, in_flight, loss, may_restore, own_memory};
use super::rows::{candidate_row, newest_claim};
use super::{runs, waiting};
use crate::api::password_reset::{InstanceRow, PlannedAction, State};
use crate::api::reset_record::{Owner, Phase, ResetRecord};
use crate::api::{RESOLVE_UNKNOWN, Reason};
use crate::decide::row::advance;
use crate::decide::{
    Hold, Power, Reading, after, fresh, fresh_view, history, is_drained, later, memory, minute, restart_hold, second,
    windows,
};

/// How old a reading may be by which an instance is planned.
pub(super) const PLAN_REFRESH: SignedDuration = SignedDuration::from_mins(5);

/// What was decided about one instance.
pub(super) enum Eligibility {
    /// Done, failed or in flight: nothing for this reconciler to do. A failure from before the present retry annotation
    /// pauses nothing any more.
    NothingToDo { row: InstanceRow, is_of_this_retry: bool },
    /// It waits, until the given moment at the latest; `watch`: whether readings are wanted.
    Waits { row: InstanceRow, until: Option<Timestamp>, watch: bool },
    /// Nothing is done because its memory is lost: see [`memory`].
    Lost { row: InstanceRow },
    /// It may be claimed.
    Ready { row: InstanceRow, state_seen: String },
}

fn nothing_to_do(row: InstanceRow) -> Eligibility {
    Eligibility::NothingToDo { row, is_of_this_retry: true }
}

/// Why an instance that needs a run is not claimed now; `None`: this gate is open.
type Gate = fn(&ResetFacts, &Target, Timestamp) -> Option<Hold>;

/// What the instance's record says. An object that may not know the instance sees none of it: others may be at work on it.
const RECORD_GATES: &[Gate] = &[
    unusable_record,
    decided_beforehand,
    claim_of_another_lost,
    unknown_phase,
    another_owner_at_work,
    answer_outstanding,
    min_restart_interval,
];

/// Why nothing of an object is claimed now; `None`: this gate is open.
type ObjectGate = fn(&ResetFacts, Timestamp) -> Option<Hold>;

/// What holds for the whole object. While one of these is closed nothing of ECS is asked for it.
const OBJECT_GATES: &[ObjectGate] = &[suspended, account_out_of_use, secret_out_of_use];

/// When the object's instances may begin. The password is judged before: what breaks ECS's rules is said before a window opens.
const TIME_GATES: &[ObjectGate] = &[not_before, window_closed, throttled];

/// What holds back the whole object, whatever the time.
pub(super) fn object_hold(object: &ResetFacts, now: Timestamp) -> Option<Hold> {
    OBJECT_GATES.iter().find_map(|gate| gate(object, now))
}

/// What holds back an instance: the first gate that is closed. The order matters for security: nothing of a record is read or shown
/// before the instance is known to be permitted.
fn first_closed_gate(object: &ResetFacts, target: &Target, now: Timestamp) -> Option<Hold> {
    let is_shown = fresh_view(target.reading, now).is_some();
    let record_gates = if object.hides_unpermitted && !is_shown { &[] } else { RECORD_GATES };
    let of_record = record_gates.iter().find_map(|gate| gate(object, target, now));
    // A plan says when it could begin.
    let time_gates = if object.spec.is_plan() { &[] } else { TIME_GATES };
    of_record.or_else(|| OBJECT_GATES.iter().chain(time_gates).find_map(|gate| gate(object, now)))
}

/// When the first instance could begin.
pub(super) fn first_begin(object: &ResetFacts, now: Timestamp) -> Timestamp {
    TIME_GATES.iter().filter_map(|gate| gate(object, now)?.until).fold(now, Timestamp::max)
}

/// Decides about one instance.
pub(super) fn judge(object: &ResetFacts, target: &Target, now: Timestamp) -> Eligibility {
    if let Some(remembered) = remembered(object, target, now) {
        return remembered;
    }
    let before = target.before.filter(|_| runs::is_answered(object));
    let held = object_hold(object, now);
    let mut row = candidate_row(object, target, before, held.is_some());
    if let Some(failed) = before.filter(|row| stands_until_asked(row)) {
        return nothing_to_do(failed.clone());
    }
    if object.has_expired(now) {
        advance(&mut row, State::Expired, Reason::Expired, "not begun by notAfter; nothing was done".to_owned(), now);
        row.planned_action = Some(PlannedAction::Nothing);
        return nothing_to_do(row);
    }
    if held.is_none()
        && let Some(Hold { reason, message, .. }) = unusable_password(object, target, &row)
    {
        advance(&mut row, State::Failed, reason, message, now);
        row.planned_action = Some(PlannedAction::Blocked);
        return nothing_to_do(row);
    }
    if let Some(hold) = first_closed_gate(object, target, now) {
        advance(&mut row, State::Pending, hold.reason, hold.message, now);
        // Without readings an instance is not known to be permitted, and its row would show another reason again.
        let is_time = windows::hold(&object.window).is_some();
        // What holds it may last for ever, and the instance is to be found all the same.
        let is_record_unfit =
            target.bad_record.is_some() || target.record.is_some_and(|record| record.phase() == Phase::Unrecognized);
        let is_to_be_found = is_record_unfit && row.name.is_none();
        if is_record_unfit {
            row.planned_action = Some(PlannedAction::Blocked);
        }
        let watch = (object.hides_unpermitted || is_to_be_found) && held.is_none() && !is_time;
        return Eligibility::Waits { row, until: hold.until, watch };
    }
    assess(object, target.reading, row, now)
}

/// The decision by memory alone: it is lost, its claim is in flight, or the instance is done.
fn remembered(object: &ResetFacts, target: &Target, now: Timestamp) -> Option<Eligibility> {
    if let Some(loss) = loss(object, target, now) {
        if may_restore(object, target, loss) {
            let known = target.record.map(|record| &record.spec);
            let row = memory::row_of(loss, target.instance_id, known, own_memory(object, target), now);
            return Some(Eligibility::Lost { row });
        }
        // Until the loss can be stored, the row is the only memory.
        if let Some(row) = target.before.filter(|row| row.attempts > 0) {
            return Some(nothing_to_do(row.clone()));
        }
    }
    if let Some(row) = in_flight(object, target) {
        return Some(nothing_to_do(row));
    }
    if let Some(row) = in_flight_as_shown(object, target, now) {
        return Some(Eligibility::Waits { row, until: None, watch: false });
    }
    let (row, retry) = done(object, target, now)?;
    Some(Eligibility::NothingToDo { row, is_of_this_retry: !history::asks_again(retry, object.request) })
}

/// The row of a claim that was in flight when its record became unusable. It keeps what it shows of the claim, since nothing else does: the
/// record may be repaired, or deleted.
fn in_flight_as_shown(object: &ResetFacts, target: &Target, now: Timestamp) -> Option<InstanceRow> {
    let hold = unusable_record(object, target, now).or_else(|| unknown_phase(object, target, now))?;
    let mut row = target.before.filter(|row| row.attempts > 0 && !row.state.has_ended())?.clone();
    advance(&mut row, State::Pending, hold.reason, hold.message, now);
    Some(row)
}

fn unusable_record(object: &ResetFacts, target: &Target, _: Timestamp) -> Option<Hold> {
    let what = match target.bad_record? {
        BadRecord::Unreadable => "cannot be read by this version of the controller",
        BadRecord::OfAnotherInstance => "names a different instance in its spec than in its name",
    };
    let name = ResetRecord::name_of(&object.spec.region_id, target.instance_id);
    let message = format!(
        "its ResetRecord {name} {what}; this object's spec is not the cause. Nothing is done until a cluster admin installs the version that wrote the record, or repairs it"
    );
    Some(Hold::new(Reason::RecordUnusable, message))
}

/// A person's decision is on what has happened. One on a claim that is to come would decide by itself, with nobody having looked: a wrong
/// digit, or an annotation that was left while the record was deleted and its numbers began again.
fn decided_beforehand(object: &ResetFacts, target: &Target, _: Timestamp) -> Option<Hold> {
    let resolution = object.request.resolution.as_ref().filter(|it| it.instance_id == target.instance_id)?;
    let Owner { namespace, name, .. } = &object.request.owner;
    let message = format!(
        "the annotation resolve-unknown decides on claim {}, which has not begun; remove it to go on: kubectl annotate -n {namespace} passwordreset {name} {RESOLVE_UNKNOWN}-",
        resolution.claim
    );
    let last = newest_claim(object, target).unwrap_or(0);
    (resolution.claim > last).then(|| Hold::new(Reason::DecidedBeforehand, message))
}

/// The record of another object's claim is gone. That object writes down that its memory is lost, and the claim waits for copies of its
/// requests then.
fn claim_of_another_lost(_: &ResetFacts, target: &Target, _: Timestamp) -> Option<Hold> {
    let message =
        "another PasswordReset had claimed this instance and its ResetRecord is gone; waiting until that is recorded";
    let is_lost = target.record.is_none() && target.claimed_by_another;
    is_lost.then(|| Hold::new(Reason::InstanceBusy, message))
}

fn unknown_phase(_: &ResetFacts, target: &Target, _: Timestamp) -> Option<Hold> {
    let message = "its ResetRecord is in a phase that this version of the controller does not know; nothing is done until the version that wrote it is installed";
    (target.record?.phase() == Phase::Unrecognized).then(|| Hold::new(Reason::RecordUnusable, message))
}

fn another_owner_at_work(object: &ResetFacts, target: &Target, now: Timestamp) -> Option<Hold> {
    let record = target.record.filter(|record| !record.phase().has_ended())?;
    let who = another(object, &record.spec.owner);
    let is_ours_to_know = record.spec.owner.namespace == object.request.owner.namespace;
    let how_far = waiting::how_far(record, target, now).filter(|_| is_ours_to_know);
    let told = how_far.as_ref().map(|hold| format!(": {}", hold.message)).unwrap_or_default();
    let until = how_far.and_then(|hold| hold.until);
    let then = if object.spec.is_plan() { "" } else { "; this object resets it after that" };
    Some(Hold { until, ..Hold::new(Reason::InstanceBusy, format!("{who} is at work on this instance{told}{then}")) })
}

/// Another object as this one's user may know it: by name in the same namespace, and in no other.
pub(super) fn another(object: &ResetFacts, owner: &Owner) -> String {
    if owner.namespace == object.request.owner.namespace {
        format!("PasswordReset {}", owner.name)
    } else {
        "a PasswordReset in another namespace".to_owned()
    }
}

fn answer_outstanding(_: &ResetFacts, target: &Target, now: Timestamp) -> Option<Hold> {
    let status = target.record?.status.as_ref()?;
    let until = status.unanswered_until.as_ref().filter(|_| !is_drained(status, now))?.0;
    let message = format!("the outcome of an earlier request is not known; ECS may still carry it out until {until}");
    Some(Hold::new(Reason::AnswerOutstanding, message).until(until))
}

fn min_restart_interval(object: &ResetFacts, target: &Target, now: Timestamp) -> Option<Hold> {
    let last = target.record?.status.as_ref()?.last_restart_time.as_ref()?.0;
    let then = after(last, i64::from(object.min_restart_interval_seconds));
    let message =
        format!("restarted recently; the account's minRestartIntervalSeconds allows the next restart at {then}");
    (then > now).then(|| Hold::new(Reason::MinRestartInterval, message).until(then))
}

fn not_before(object: &ResetFacts, now: Timestamp) -> Option<Hold> {
    let begin = object.spec.not_before.as_ref().filter(|begin| now < begin.0)?.0;
    Some(Hold::new(Reason::NotBefore, format!("waiting for notBefore: {begin}")).until(begin))
}

/// The brake. A plan changes nothing, and is made all the same.
fn suspended(object: &ResetFacts, _: Timestamp) -> Option<Hold> {
    if object.spec.is_plan() {
        return None;
    }
    let hold = restart_hold::suspended(object.spec, object.suspended_account)?;
    Some(Hold { message: format!("not started: {}", hold.message), ..hold })
}

fn window_closed(object: &ResetFacts, _: Timestamp) -> Option<Hold> {
    windows::hold(&object.window)
}

fn account_out_of_use(object: &ResetFacts, _: Timestamp) -> Option<Hold> {
    object.account_hold.cloned()
}

fn secret_out_of_use(object: &ResetFacts, _: Timestamp) -> Option<Hold> {
    object.secret_hold.cloned()
}

fn throttled(object: &ResetFacts, now: Timestamp) -> Option<Hold> {
    object.throttling(now)
}

/// A failure before a claim, by a deadline, that stays until something new is requested. The end of a claim is in its record, and is
/// judged by that.
fn stands_until_asked(row: &InstanceRow) -> bool {
    row.state == State::Failed && row.attempts == 0 && row.reason().is_some_and(Reason::stands_until_asked)
}

/// Why an instance cannot get its password: it has none of its own, or one that breaks a rule. Judged by the row and not by the reading:
/// instances with an invalid password are not polled.
fn unusable_password(object: &ResetFacts, target: &Target, row: &InstanceRow) -> Option<Hold> {
    let (broken, broken_on_windows) = match target.own_password {
        Some(OwnPassword { hold: Some(hold), .. }) => return Some(hold.clone()),
        Some(own) => (own.broken, own.broken_on_windows),
        None => (object.broken, object.broken_on_windows),
    };
    let is_windows = row.os_type.as_deref().is_some_and(|os| os.eq_ignore_ascii_case("windows"));
    let broken = broken.or(broken_on_windows.filter(|_| is_windows))?;
    Some(Hold::new(Reason::InvalidPassword, broken.to_string()))
}

/// Assesses an instance that needs a run and that only its own state can hold back.
fn assess(object: &ResetFacts, reading: Option<&Reading>, mut row: InstanceRow, now: Timestamp) -> Eligibility {
    let is_plan = object.spec.is_plan();
    let for_plan = reading.filter(|reading| is_plan && reading.sent_at >= later(now, -PLAN_REFRESH));
    let Some(reading) = fresh(reading, now).or(for_plan) else { return unread(object, row, now) };
    if is_unread(&row) {
        // The wait for the instance itself begins now.
        (row.state, row.state_time) = (State::Pending, None);
    }
    let Some(Hold { reason, message, .. }) = obstacle(object, reading, now) else {
        let state_seen = reading.seen.as_ref().map_or("", |seen| seen.power.as_str()).to_owned();
        advance(&mut row, State::Pending, Reason::Pending, "ready to be reset".to_owned(), now);
        return Eligibility::Ready { row, state_seen };
    };
    let timeout_seconds = object.spec.stable_state_timeout_seconds();
    advance(&mut row, State::WaitingForStableState, reason, message.clone(), now);
    row.planned_action = Some(PlannedAction::Blocked);
    let deadline = deadline(object, &row, now);
    if now < deadline || is_plan {
        if !is_plan {
            row.message = format!("{message}; waiting until {}", second(deadline));
        }
        return Eligibility::Waits { row, until: Some(deadline), watch: true };
    }
    advance(&mut row, State::Failed, reason.at_deadline(), format!("{message}; waited {timeout_seconds} s"), now);
    nothing_to_do(row)
}

/// An instance without a reading. If ECS refuses the reads, its row keeps the time since when, and stays open: once a person has fixed
/// the cause, it continues by itself.
fn unread(object: &ResetFacts, mut row: InstanceRow, now: Timestamp) -> Eligibility {
    let read_hold = object.read_hold.filter(|read_hold| read_hold.is_for_a_person);
    if let Some(ReadHold { hold: Hold { reason, message, .. }, .. }) = read_hold {
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
pub(super) fn deadline(object: &ResetFacts, row: &InstanceRow, now: Timestamp) -> Timestamp {
    later(row.state_time.as_ref().map_or(now, |time| time.0), object.patience())
}

/// What in the instance itself prevents a claim, by its reading; `None`: nothing.
fn obstacle(object: &ResetFacts, reading: &Reading, now: Timestamp) -> Option<Hold> {
    let Some(seen) = reading.seen.as_ref().filter(|seen| seen.permitted) else {
        return Some(not_shown(object));
    };
    if let Power::Transitional(name) = &seen.power {
        let message = format!("the instance is {name}, not Running or Stopped");
        return Some(Hold::new(Reason::WaitingForStableState, message));
    }
    if !seen.locks.is_empty() {
        let message =
            format!("ECS has locked the instance: {}; unlock it as the ECS console says", seen.locks.join(", "));
        return Some(Hold::new(Reason::InstanceLocked, message));
    }
    let expired = seen.expires.filter(|expires| *expires <= now)?;
    Some(Hold::new(Reason::InstanceExpired, format!("the instance expired at {}; renew it", minute(expired))))
}

/// Why a reading does not show an instance, as far as the object's user may know.
fn not_shown(object: &ResetFacts) -> Hold {
    let region = &object.spec.region_id;
    let account = object.spec.account_name();
    if object.hides_unpermitted {
        let namespace = &object.request.owner.namespace;
        let message = format!(
            "not found in {region}, or no rule of ECSAccount {account} covers it for namespace {namespace}; the account's owner can tell the cases apart in the controller's log, and can add a rule or a tag"
        );
        return Hold::new(Reason::InstanceNotAllowed, message);
    }
    match object.may_describe {
        Some(true) => Hold::new(
            Reason::InstanceNotFound,
            format!("not found in {region} with ECSAccount {account}; check the id and the region"),
        ),
        Some(false) => Hold::new(
            Reason::NotPermitted,
            format!("ECSAccount {account} may not call DescribeInstances in {region}; grant it ecs:DescribeInstances"),
        ),
        None => Hold::new(
            Reason::InstanceNotFound,
            format!(
                "not found in {region}, or ECSAccount {account} may not see it; check the id, the region and the RAM policy"
            ),
        ),
    }
}
