//! What one version of a record or object shows over the version before: resets and runs that ended, restarts that were proven, calls
//! that are tried again. Each change is counted once, whether this process has written it or the watch has shown it. It decides nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::password_reset::{InstanceRow, PasswordReset, PasswordResetStatus, State};
use crate::api::reset_record::{Phase, ResetRecord};
use crate::cluster::objects::ObjectKey;
use crate::metrics::{CHANGING_CALLS, Metrics, OPEN_STATES};

const SET_PASSWORD: &str = CHANGING_CALLS[0];
const RESTART: &str = CHANGING_CALLS[1];

/// Counts what `after` shows of a record over `before`, both as this process knows them. What had ended when this process first saw
/// the record was counted by another one, or never.
pub(super) fn record(metrics: &Metrics, before: &ResetRecord, after: &ResetRecord) {
    let (Some(was), Some(is)) = (&before.status, &after.status) else { return };
    if was == is {
        return;
    }
    let is_new_claim = before.spec.claim != after.spec.claim;
    if let Some(attempt) = &is.attempt
        && attempt.number > 1
        && was.attempt.as_ref().is_none_or(|earlier| earlier.id != attempt.id)
    {
        metrics.retried(if is.start_time_before.is_some() { RESTART } else { SET_PASSWORD });
    }
    if !is_new_claim {
        left_state(metrics, was.row.as_ref(), is.row.as_ref());
    }
    let outcome = match is.phase {
        Phase::InEffect => "InEffect",
        Phase::EffectiveAtNextStart => "EffectiveAtNextStart",
        Phase::Failed => "Failed",
        Phase::Unknown => "Unknown",
        _ => return,
    };
    if was.phase.has_ended() && !is_new_claim {
        return;
    }
    let Some(ended) = is.row.as_ref().and_then(|row| row.state_time.as_ref()) else { return };
    if let Some(took) = between(after.spec.claim_time.0, ended.0) {
        metrics.reset_ended(outcome, took);
    }
    // A person may have resolved what had ended; only a reading ends what is under way so.
    let was_requested = matches!(was.phase, Phase::RestartRequested | Phase::Restarting) && !is_new_claim;
    if is.phase == Phase::InEffect
        && was_requested
        && let Some(attempt) = &is.attempt
        && let Some(took) = between(attempt.timestamp.0, ended.0)
    {
        metrics.restart_proven(took);
    }
}

/// Counts the state that a claimed instance has left.
fn left_state(metrics: &Metrics, was: Option<&InstanceRow>, is: Option<&InstanceRow>) {
    let (Some(was), Some(is)) = (was, is) else { return };
    let state = match was.state {
        State::SettingPassword => OPEN_STATES[0],
        State::PasswordSet => OPEN_STATES[1],
        State::Restarting => OPEN_STATES[2],
        _ => return,
    };
    if let (Some(since), Some(until)) = (&was.state_time, &is.state_time)
        && was.state != is.state
        && let Some(took) = between(since.0, until.0)
    {
        metrics.state_left(state, took);
    }
}

fn between(start: Timestamp, end: Timestamp) -> Option<Duration> {
    Duration::try_from(end.duration_since(start)).ok()
}

/// The newest run of each object, as far as this process knows it.
#[derive(Default)]
pub(super) struct Runs {
    seen: HashMap<ObjectKey, Seen>,
    metrics: Option<Arc<Metrics>>,
}

/// Later versions are greater: a watch that is behind shows nothing new.
#[derive(PartialEq, PartialOrd)]
struct Seen {
    number: i64,
    completion: Option<Timestamp>,
}

impl Runs {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { seen: HashMap::new(), metrics: Some(metrics) }
    }

    /// Takes in an object, and counts the run that has ended since it was seen last. What had ended when it was seen first was counted
    /// before.
    pub(super) fn see(&mut self, object: &PasswordReset) {
        let key = ObjectKey::new(&object.namespace().unwrap_or_default(), &object.name_any());
        let run = object.status.as_ref().and_then(|status| status.run.as_ref());
        let seen = Seen {
            number: run.map_or(0, |run| run.number),
            completion: run.and_then(|run| run.completion_time.as_ref()).map(|time| time.0),
        };
        let Some(before) = self.seen.get_mut(&key) else {
            self.seen.insert(key, seen);
            return;
        };
        if seen <= *before {
            return;
        }
        if let (Some(run), Some(end), Some(metrics)) = (run, seen.completion, &self.metrics)
            && let Some(took) = between(run.start_time.0, end)
        {
            metrics.run_ended(result(object.status.as_ref()), took);
        }
        *before = seen;
    }

    /// Forgets an object that is gone: another one of its name begins at its first run.
    pub(super) fn forget(&mut self, key: &ObjectKey) {
        self.seen.remove(key);
    }
}

/// The worst of a run's instances.
fn result(status: Option<&PasswordResetStatus>) -> &'static str {
    match status.and_then(|status| status.counts) {
        Some(counts) if counts.unknown > 0 => "Unknown",
        Some(counts) if counts.failed > 0 => "Failed",
        _ => "Succeeded",
    }
}

#[cfg(test)]
#[path = "measure_tests.rs"]
mod tests;
