//! The memory of an instance for this object: whether it is done, in flight, superseded, or whether its memory is lost.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::eligibility::another;
use super::facts::{ResetFacts, Target};
use super::rows::own_claim;
use super::runs;
use crate::api::Reason;
use crate::api::password_reset::{InstanceRow, State};
use crate::api::reset_record::{Owner, OwnerHistory, ResetRecord};
use crate::decide::memory::{self, Loss, OwnMemory};
use crate::decide::resolution::Decision;
use crate::decide::{fresh_view, history};

/// The row of an instance that this object's own claim is at work on.
pub(super) fn in_flight(object: &ResetFacts, target: &Target) -> Option<InstanceRow> {
    let record = target.record.filter(|record| record.spec.owner.is(&object.request.owner))?;
    let status = record.status.as_ref().filter(|status| status.phase.is_at_work())?;
    status.row.clone().or_else(|| target.before.cloned())
}

/// The row of an instance that needs nothing, and the retry annotation of its run.
pub(super) fn done<'a>(
    object: &'a ResetFacts,
    target: &'a Target,
    now: Timestamp,
) -> Option<(InstanceRow, Option<&'a String>)> {
    let record =
        target.record.map(|record| (record, record.status.as_ref().map_or(&[][..], |status| &status.completed)));
    let entry = record.and_then(|(_, completed)| history::entry_of(completed, &object.request.owner));
    let (mut row, retry) = match entry {
        Some(entry) => {
            let is_needed = history::is_needed(Some(entry), object.request, object.fingerprint_for(target))
                || resolved_as(Decision::RestartAgain, object, target, now);
            (!is_needed).then(|| (entry.row.clone(), entry.retry.as_ref()))?
        }
        None => in_status(object, target)?,
    };
    let superseded_at =
        record.and_then(|(record, completed)| reset_since(record, completed, &object.request.owner, entry));
    if let Some((at, by)) = superseded_at.filter(|_| row.state != State::Failed) {
        let before = target.before.filter(|row| row.state == State::Superseded).and_then(|row| row.state_time.clone());
        row.state_time = before.or(Some(Time(at)));
        row.state = State::Superseded;
        Reason::Superseded.as_str().clone_into(&mut row.reason);
        row.message = format!("{} has since reset this instance", another(object, by));
    }
    Some((row, retry))
}

/// The second memory, the object's own status: for a record that is lost, or that was created again for another owner.
fn in_status<'a>(object: &'a ResetFacts, target: &'a Target) -> Option<(InstanceRow, Option<&'a String>)> {
    let requested = object.requested?;
    // One that has expired was not begun: a later `notAfter` lets it begin.
    let is_end = |row: &&InstanceRow| row.state.has_ended() && row.state != State::Expired;
    let row = target.before.filter(is_end).filter(|row| !row.reason().is_some_and(Reason::is_of_object))?;
    let is_remembered = history::covers(&requested.tokens, &object.request.tokens)
        && !object.run.is_some_and(|run| runs::is_of_earlier_password(run, object.request))
        && (row.state != State::Failed || !history::asks_again(requested.retry.as_ref(), object.request));
    is_remembered.then(|| (row.clone(), requested.retry.as_ref()))
}

/// Whether a person has decided so on the claim that the target's record holds.
pub(super) fn resolved_as(decision: Decision, object: &ResetFacts, target: &Target, now: Timestamp) -> bool {
    let resolution = object.request.resolution.as_ref().filter(|resolution| resolution.decision == decision);
    let counts = |record| resolution.is_some_and(|resolution| resolution.counts(record, &object.request.owner, now));
    target.record.is_some_and(counts)
}

/// When the claim that a person has decided on is drained, if it is not yet.
pub(super) fn decision_counts_at(object: &ResetFacts, targets: &[Target], now: Timestamp) -> Option<Timestamp> {
    let resolution = object.request.resolution.as_ref()?;
    let record = targets.iter().find(|target| target.instance_id == resolution.instance_id)?.record?;
    let drained_at = record.status.as_ref()?.unanswered_until.as_ref()?.0;
    (drained_at > now && resolution.counts(record, &object.request.owner, drained_at)).then_some(drained_at)
}

/// Why the decision is on no claim of the object, if so: a wrong digit would go unnoticed. It says nothing about claims of others.
pub(super) fn misdirected(object: &ResetFacts, targets: &[Target]) -> Option<String> {
    let resolution = object.request.resolution.as_ref()?;
    let id = &resolution.instance_id;
    let claim = own_claim(object, targets.iter().find(|target| target.instance_id == id)?);
    (claim != Some(resolution.claim)).then(|| {
        let last = claim.map_or_else(String::new, |claim| format!("; this object's last claim on it is {claim}"));
        format!("names claim {} of {id}{last}", resolution.claim)
    })
}

/// When another owner has set a password after `owner` has, and which: by a later entry, or by the claim in progress. A record without an
/// entry of `owner` was created again, so all of it is later.
fn reset_since<'a>(
    record: &'a ResetRecord,
    completed: &'a [OwnerHistory],
    owner: &Owner,
    entry: Option<&OwnerHistory>,
) -> Option<(Timestamp, &'a Owner)> {
    let at_work = record.status.as_ref().filter(|status| !record.spec.owner.is(owner) && !status.phase.has_ended());
    let in_progress =
        at_work.and_then(|status| Some((status.password_acknowledged_at.as_ref()?.0, &record.spec.owner)));
    let own = completed.iter().position(|other| other.owner.is(owner));
    // The order is that of the ends. One that has ended later without a password may have set its last one before.
    let later = completed.iter().skip(own.map_or(0, |own| own + 1));
    let mut theirs = later.filter_map(|entry| Some((entry.last_password_set_time.as_ref()?.0, &entry.owner)));
    // If the time is unknown, the end of the claim is the latest it can have been.
    let ours = entry.and_then(|entry| entry.row.password_set_time.as_ref().or(entry.row.state_time.as_ref()));
    theirs.find(|(theirs, _)| ours.is_none_or(|ours| *theirs >= ours.0)).or(in_progress)
}

/// What the object remembers of an instance.
pub fn own_memory<'a>(object: &ResetFacts<'a>, target: &Target<'a>) -> OwnMemory<'a> {
    OwnMemory {
        owner: &object.request.owner,
        tokens: &object.request.tokens,
        row: target.before,
        requested: object.requested,
        run: object.run,
        asks_anew: object.run.is_some_and(|run| runs::is_of_earlier_password(run, object.request)),
    }
}

/// What happened to the memory of an instance. Nothing of a record is shown to an object that may not know the instance.
pub fn loss(object: &ResetFacts, target: &Target, now: Timestamp) -> Option<Loss> {
    let loss = memory::loss(target.record, own_memory(object, target)).filter(|_| target.bad_record.is_none())?;
    let is_own = |record: &ResetRecord| record.spec.owner.is(&object.request.owner);
    let is_known = target.before.is_some_and(|row| row.claim.is_some()) || target.record.is_some_and(is_own);
    let is_shown = || fresh_view(target.reading, now).is_some();
    (!object.hides_unpermitted || is_known || is_shown()).then_some(loss)
}

/// Whether a loss may be written into the record: not while another object's claim is in flight, unless that claim is damaged.
pub fn may_restore(object: &ResetFacts, target: &Target, loss: Loss) -> bool {
    let is_busy = |record: &ResetRecord| !record.phase().has_ended() && !record.spec.owner.is(&object.request.owner);
    loss == Loss::Incomplete || !target.record.is_some_and(is_busy)
}
