//! Whether the memory of an instance can be relied on, and what replaces it if not.
//!
//! There are two memories: the instance's record, and its row in the object's own status. A restore from a backup, or an
//! edit, can remove either, in whole or in part, or replace it by an older version. Then nothing is sent. If the two can be ordered,
//! the newer one counts. If not, the instance ends as Unknown and a person decides.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::resolution::happened_command;
use super::row::advance;
use super::{ProtocolBounds, history, later};
use crate::api::Reason;
use crate::api::password_reset::{InstanceRow, PlannedAction, Requested, Run, State};
use crate::api::reset_record::{
    Fingerprint, Owner, OwnerHistory, Phase, ResetRecord, ResetRecordSpec, ResetRecordStatus,
};

/// What happened to the memory of an instance, as far as one owner is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The record has a claim, but not all that its phase needs: a claim and its status are one write.
    Incomplete,
    /// The record is older than the row in the object's own status.
    Older,
    /// There is no record, though the row shows a claim that had not ended, or an end under this very request.
    Missing,
    /// The record had lost its memory before, and may have held an entry of this owner.
    Forgotten,
}

/// What one owner's object remembers of an instance.
#[derive(Clone, Copy, Debug)]
pub struct OwnMemory<'a> {
    /// The owner.
    pub owner: &'a Owner,
    /// What it asks for now.
    pub tokens: &'a [String],
    /// The instance's row in its status.
    pub row: Option<&'a InstanceRow>,
    /// What the rows of its status answer.
    pub requested: Option<&'a Requested>,
    /// The run in its status.
    pub run: Option<&'a Run>,
    /// Whether a changed Secret asks for another run than that.
    pub asks_anew: bool,
}

impl OwnMemory<'_> {
    /// The row, where it shows a claim and how far that came.
    fn claimed(&self) -> Option<(i64, &InstanceRow)> {
        let row = self.row.filter(|row| row.attempts > 0)?;
        Some((row.claim?, row))
    }

    /// Whether the row is the end of what is asked for now.
    fn has_ended(&self) -> bool {
        self.row.is_some_and(|row| row.state.has_ended())
            && self.requested.is_some_and(|requested| history::covers(&requested.tokens, self.tokens))
    }

    /// What the row answers; what it forgot, the present request.
    fn asked(&self, loss: Loss) -> &[String] {
        match self.requested {
            Some(requested) if loss != Loss::Forgotten => &requested.tokens,
            _ => self.tokens,
        }
    }

    fn retry(&self) -> Option<&String> {
        self.requested?.retry.as_ref()
    }

    /// Whether the instance was claimed before, and the last run, which has ended, answers what is asked for now.
    fn was_run(&self) -> bool {
        let is_of = |run: &&Run| run.completion_time.is_some() && history::covers(&run.tokens, self.tokens);
        !self.asks_anew && self.row.is_some_and(|row| row.claim.is_some()) && self.run.is_some_and(|run| is_of(&run))
    }
}

/// Whether a record lacks something that its phase needs. Nothing is sent by such a record.
pub fn is_incomplete(record: &ResetRecord) -> bool {
    let Some(status) = &record.status else { return true };
    let ResetRecordStatus { attempt, password_acknowledged_at, start_time_before, accepted_at, row, .. } = status;
    let was_set = password_acknowledged_at.is_some();
    match status.phase {
        Phase::Idle | Phase::Unrecognized => false,
        Phase::SettingPassword => row.is_none() || attempt.is_none(),
        Phase::PasswordSet => row.is_none() || !was_set,
        Phase::RestartRequested => row.is_none() || !was_set || attempt.is_none() || start_time_before.is_none(),
        Phase::Restarting => row.is_none() || !was_set || accepted_at.is_none() || start_time_before.is_none(),
        Phase::InEffect | Phase::EffectiveAtNextStart | Phase::Failed | Phase::Unknown => {
            let entry = history::entry_of(&status.completed, &record.spec.owner);
            row.is_none() || entry.is_none_or(|entry| !history::covers(&entry.tokens, &record.spec.tokens))
        }
    }
}

/// Whether a record is older than its own claim's row in the owner's status. Nothing is sent by such a record either.
pub fn is_older_than(record: &ResetRecord, row: &InstanceRow) -> bool {
    let Some(claim) = row.claim else { return false };
    if row.attempts == 0 {
        // The row waits for another claim, so this one had ended.
        return record.spec.claim <= claim && record.phase().is_at_work();
    }
    if record.spec.claim != claim {
        return record.spec.claim < claim;
    }
    match record.row() {
        Some(known) => known.attempts < row.attempts || (row.state.has_ended() && !known.state.has_ended()),
        // A claim is given back, and its row with it, only while the password is being set.
        None => row.state != State::SettingPassword,
    }
}

/// How the memory of an instance was lost; `None`: it can be relied on.
pub fn loss(record: Option<&ResetRecord>, own: OwnMemory) -> Option<Loss> {
    let Some(record) = record else {
        let is_open = own.claimed().is_some_and(|(_, row)| !row.state.has_ended());
        let is_overwritten = own.row.is_some_and(|row| row.attempts == 0 && !row.state.has_ended()) && own.was_run();
        return (is_open || is_overwritten).then_some(Loss::Missing);
    };
    if is_incomplete(record) {
        return Some(Loss::Incomplete);
    }
    let status = record.status.as_ref()?;
    let entry = history::entry_of(&status.completed, own.owner);
    let is_own = record.spec.owner.is(own.owner);
    let is_older_for_another = |(claim, row): (i64, &InstanceRow)| {
        let forgets = |entry: &OwnerHistory| entry.row.claim.is_some_and(|known| known < claim);
        if row.state.has_ended() {
            // Without an entry it was made again for another owner, and the row is remembered all the same.
            entry.is_some_and(forgets)
        } else {
            record.spec.claim <= claim && entry.is_none_or(forgets)
        }
    };
    let is_older = if is_own {
        own.row.is_some_and(|row| is_older_than(record, row))
    } else {
        own.claimed().is_some_and(is_older_for_another)
    };
    if is_older {
        return Some(Loss::Older);
    }
    let may_have_been_run = status.memory_lost_time.is_some() && entry.is_none() && !own.has_ended();
    may_have_been_run.then_some(Loss::Forgotten)
}

/// The row of an instance whose memory is lost: the object's own where that is an end and newer than the claim `known`, else
/// Unknown.
pub fn row_of(
    loss: Loss,
    instance_id: &str,
    known: Option<&ResetRecordSpec>,
    own: OwnMemory,
    now: Timestamp,
) -> InstanceRow {
    let own_claim = known.filter(|spec| spec.owner.is(own.owner)).map(|spec| spec.claim);
    let is_newest = |claim: i64| own_claim.is_none_or(|known| claim >= known);
    if let Some((_, row)) = own.claimed().filter(|(claim, row)| is_an_end(row) && is_newest(*claim)) {
        return row.clone();
    }
    let mut row = own.row.cloned().unwrap_or_else(|| blank(instance_id));
    row.claim = row.claim.max(own_claim);
    row.planned_action = Some(PlannedAction::Nothing);
    // The annotation decides on the claim that the record holds.
    let is_decidable = loss != Loss::Forgotten && known.is_none_or(|spec| spec.owner.is(own.owner));
    let message = message(loss, own.owner, &row, is_decidable);
    advance(&mut row, State::Unknown, Reason::MemoryLost, message, now);
    row
}

/// The ends that a record knows.
fn is_an_end(row: &InstanceRow) -> bool {
    matches!(row.state, State::InEffect | State::EffectiveAtNextStart | State::Failed | State::Unknown)
}

fn blank(instance_id: &str) -> InstanceRow {
    InstanceRow {
        instance_id: instance_id.to_owned(),
        name: None,
        os_type: None,
        key_pair_name: None,
        initial_status: None,
        planned_action: None,
        state: State::Pending,
        reason: String::new(),
        message: String::new(),
        state_time: None,
        password_set_time: None,
        password_request_id: None,
        restart_request_id: None,
        claim: None,
        attempts: 0,
    }
}

/// What happened, and the two ways on.
fn message(loss: Loss, owner: &Owner, row: &InstanceRow, is_decidable: bool) -> String {
    let what = match loss {
        Loss::Incomplete => {
            "the ResetRecord has a claim, but parts of its status are missing, as after a restore without status"
        }
        Loss::Older => "the ResetRecord is older than this object's status, as after a restore from a backup",
        Loss::Missing => "the ResetRecord is gone",
        Loss::Forgotten => "the ResetRecord has lost its memory before, and may have held an entry of this object",
    };
    let record_it = row
        .claim
        .filter(|_| is_decidable)
        .map(|claim| format!(". If it was reset, record that: {}", happened_command(owner, &row.instance_id, claim)));
    format!(
        "{what}. It is not known whether the instance was reset, and nothing is sent. A new runID resets all instances of this object; to reset this one alone, name it in a PasswordReset of its own{}",
        record_it.unwrap_or_default()
    )
}

/// The record after its memory was found lost: an ended one, from which the ordinary rules go on. `spec` is the claim that
/// `record` holds, or one made up of the object where there is none. What every owner is known to have asked for is remembered;
/// a copy of an attempt that was forgotten may be carried out until V from now.
pub fn after_loss(
    record: Option<&ResetRecord>,
    mut spec: ResetRecordSpec,
    loss: Loss,
    own: OwnMemory,
    bounds: ProtocolBounds,
    now: Timestamp,
) -> (ResetRecordSpec, ResetRecordStatus) {
    let is_own = spec.owner.is(own.owner);
    let row = row_of(loss, &spec.instance_id, Some(&spec), own, now);
    let before = record.map(ResetRecord::progress).unwrap_or_default();
    let mut status = ResetRecordStatus {
        start_time_evidence: before.start_time_evidence,
        last_restart_time: before.last_restart_time.clone(),
        ..ResetRecordStatus::default()
    };
    let mut completed = before.completed.clone();
    if is_own {
        spec.fingerprint = password_of(&row, record, own);
        spec.claim = spec.claim.max(row.claim.unwrap_or(0));
        (status.phase, status.row) = (phase_of(&row), Some(row.clone()));
        spec.tokens = joined(&spec.tokens, own.asked(loss));
        remember(&mut completed, own.owner, &spec.tokens, own.retry(), &spec.fingerprint, row);
    } else {
        if loss == Loss::Incomplete {
            let unknown_row =
                row_of(loss, &spec.instance_id, Some(&spec), OwnMemory { owner: &spec.owner, row: None, ..own }, now);
            (status.phase, status.row) = (Phase::Unknown, Some(unknown_row.clone()));
            remember(&mut completed, &spec.owner, &spec.tokens, spec.retry.as_ref(), &spec.fingerprint, unknown_row);
        } else {
            status = before;
        }
        remember(&mut completed, own.owner, own.asked(loss), own.retry(), &unknown_password(), row);
    }
    status.unanswered_until = Some(Time(later(now, bounds.request_validity)));
    status.memory_lost_time = Some(Time(now));
    status.completed = completed;
    (spec, status)
}

/// The fingerprint of the password that a row of `own` tells of: the record's, if it holds that very claim; the run's, if it was set in that
/// run; else that of no password, which is never compared. A wrong one could ask for a run that nobody asked for.
fn password_of(row: &InstanceRow, record: Option<&ResetRecord>, own: OwnMemory) -> Fingerprint {
    if let Some(record) = record.filter(|record| row.claim.is_none_or(|claim| claim == record.spec.claim)) {
        return record.spec.fingerprint.clone();
    }
    let is_of_run = |run: &&Run| row.password_set_time.as_ref().is_some_and(|set| *set >= run.start_time);
    own.run.filter(is_of_run).and_then(|run| run.fingerprint.clone()).unwrap_or_else(unknown_password)
}

fn unknown_password() -> Fingerprint {
    Fingerprint { key_id: String::new(), value: String::new() }
}

fn phase_of(row: &InstanceRow) -> Phase {
    match row.state {
        State::InEffect => Phase::InEffect,
        State::EffectiveAtNextStart => Phase::EffectiveAtNextStart,
        State::Failed => Phase::Failed,
        _ => Phase::Unknown,
    }
}

fn joined(tokens: &[String], more: &[String]) -> Vec<String> {
    let before = tokens.iter().filter(|token| !more.contains(token));
    before.chain(more).cloned().collect()
}

fn remember(
    completed: &mut Vec<OwnerHistory>,
    owner: &Owner,
    tokens: &[String],
    retry: Option<&String>,
    fingerprint: &Fingerprint,
    row: InstanceRow,
) {
    let before = completed.iter().position(|entry| entry.owner.is(owner)).map(|at| completed.remove(at));
    completed.push(OwnerHistory {
        owner: owner.clone(),
        tokens: joined(before.as_ref().map_or(&[], |entry| &entry.tokens), tokens),
        retry: retry.or_else(|| before.as_ref()?.retry.as_ref()).cloned(),
        fingerprint: fingerprint.clone(),
        last_password_set_time: row
            .password_set_time
            .clone()
            .or_else(|| before.as_ref()?.last_password_set_time.clone()),
        row,
    });
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
