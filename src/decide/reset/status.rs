//! The status of an object as a projection of its rows: the one table from situations to conditions. [`super::summary`] has the answers.
//!
//! | situation | Ready | Reconciling | Stalled | Succeeded |
//! |---|---|---|---|---|
//! | working, waiting, suspended, or a problem that is retried | Unknown | True | – | Unknown |
//! | done | True | – | – | True |
//! | a person must act | False | – | True | False |

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::eligibility::{first_begin, is_unread};
use super::facts::ResetFacts;
use super::plan::Plan;
use super::summary::{Summary, summarize};
use super::targets::Targets;
use super::{planned, runs};
use crate::api::Reason;
use crate::api::conditions::{self, ConditionStatus, ConditionUpdate};
use crate::api::password_reset::{Counts, InstanceRow, NextWindow, PasswordResetStatus, State};
use crate::decide::windows::Opening;
use crate::decide::{Hold, MINUTE, later, minute};

/// The whole status.
pub fn status(facts: &ResetFacts, plan: &Plan, now: Timestamp) -> PasswordResetStatus {
    let rows = &plan.rows;
    let counts = count(rows);
    let summary = summarize(facts, plan, &counts, now);
    let updates = conditions_of(facts, plan, &summary);
    let done = counts.in_effect + counts.effective_at_next_start + counts.superseded;
    let is_known = matches!(*facts.targets, Targets::Known(_));
    let ended = is_known && rows.iter().all(|row| row.state.has_ended());
    let run = runs::run(facts, plan.begun, &plan.password, ended, now);
    // While the targets are not known the rows are those of before, and answer what was asked before.
    let requested = if is_known {
        Some(runs::requested(facts.before.requested(), facts.request, ended))
    } else {
        facts.before.requested.clone()
    };
    PasswordResetStatus {
        observed_generation: facts.generation,
        conditions: conditions::set(&facts.before.conditions, updates, facts.generation, &Time(now)),
        targets: facts.before.targets.clone().filter(|_| facts.spec.selector.is_some()),
        estimated_completion_time: estimate(facts, plan, &counts, now)
            .filter(|_| summary.status != ConditionStatus::False)
            .map(Time),
        next_window: facts.window.opening().filter(|_| !ended).map(next_window),
        next_transition_time: plan.next_transition.filter(|_| !ended).map(Time),
        last_handled_rerun: facts
            .rerun_requested_at
            .filter(|_| is_known)
            .map(str::to_owned)
            .or_else(|| facts.before.last_handled_rerun.clone()),
        run,
        requested,
        account_name: Some(facts.spec.account_name().to_owned()),
        progress: Some(format!("{done}/{}", counts.total)),
        counts: Some(counts),
        instances: rows.clone(),
    }
}

/// When the run of several instances will have ended, if restarts take as long as they did. It is worked out again when an instance has come further, so that
/// it stays while nothing happens.
fn estimate(facts: &ResetFacts, plan: &Plan, counts: &Counts, now: Timestamp) -> Option<Timestamp> {
    let open = plan.rows.iter().filter(|row| !row.state.has_ended()).count();
    let runs = plan.begun.is_some() || facts.run.is_some_and(|run| runs::goes_on(run, facts.request));
    let usual = facts.usual_restart.filter(|_| counts.total > 1 && open > 0 && runs && !facts.spec.is_plan())?;
    // Nobody can say when another object, an administrator or ECS will have done what is waited for.
    let waits = plan.rows.iter().filter(|row| matches!(row.state, State::Pending | State::WaitingForStableState));
    if waits.into_iter().any(|row| !row.reason().is_some_and(Reason::is_estimable)) {
        return None;
    }
    if let (Some(before), true) = (&facts.before.estimated_completion_time, facts.before.counts == Some(*counts)) {
        return Some(before.0).filter(|before| now < *before);
    }
    let begin = first_begin(facts, now);
    let end = later(begin, planned::in_all(facts, open, usual));
    // What does not fit into the window goes on in a later one.
    facts.window.opening().is_none_or(|opening| end <= opening.end).then(|| later(minute(end), MINUTE))
}

fn next_window(opening: Opening) -> NextWindow {
    NextWindow { start: Time(opening.start), end: Time(opening.end) }
}

/// Counts the rows by state.
pub fn count(rows: &[InstanceRow]) -> Counts {
    let mut counts = Counts::default();
    for row in rows {
        counts.total += 1;
        *match row.state {
            State::Pending | State::Unrecognized => &mut counts.pending,
            State::WaitingForStableState | State::SettingPassword | State::PasswordSet | State::Restarting => {
                &mut counts.in_progress
            }
            State::InEffect => &mut counts.in_effect,
            State::EffectiveAtNextStart => &mut counts.effective_at_next_start,
            State::Superseded => &mut counts.superseded,
            State::Failed => &mut counts.failed,
            State::Unknown => &mut counts.unknown,
            State::Expired => counts.expired.get_or_insert_default(),
        } += 1;
    }
    counts.troubled = Some(counts.failed + counts.unknown);
    counts
}

/// The conditions in the order in which kstatus should find them.
fn conditions_of(facts: &ResetFacts, plan: &Plan, summary: &Summary) -> Vec<ConditionUpdate> {
    let update =
        |kind, status, reason, message: &str| ConditionUpdate { kind, status, reason, message: message.to_owned() };
    let Summary { without_run, status, reason, message, retrying } = summary;
    let mut updates = vec![update(conditions::READY, *status, *reason, message)];
    match status {
        ConditionStatus::Unknown => {
            let why = if *retrying { Reason::ProgressingWithRetry } else { *reason };
            updates.push(update(conditions::RECONCILING, ConditionStatus::True, why, message));
        }
        ConditionStatus::False => updates.push(update(conditions::STALLED, ConditionStatus::True, *reason, message)),
        ConditionStatus::True => {}
    }
    if !without_run {
        updates.push(update(conditions::SUCCEEDED, *status, *reason, message));
    }
    updates.push(match facts.account_hold {
        None => {
            // Objects at rest are not concerned.
            let is_open = plan.rows.iter().any(|row| !row.state.has_ended());
            let suspended = facts.suspended_account.filter(|_| is_open).map(|name| {
                format!("; spec.suspend of ECSAccount {name} is true: nothing new starts until it is set to false")
            });
            let message = format!("the account can be used{}", suspended.unwrap_or_default());
            update(conditions::ACCOUNT_READY, ConditionStatus::True, Reason::AccountReady, &message)
        }
        Some(hold) => update(conditions::ACCOUNT_READY, ConditionStatus::False, hold.reason, &hold.message),
    });
    updates.push(match (facts.secret_hold, facts.broken, own_password_hold(facts, &plan.rows)) {
        (Some(hold), ..) => update(conditions::PASSWORD_READY, ConditionStatus::False, hold.reason, &hold.message),
        (None, Some(broken), _) => {
            update(conditions::PASSWORD_READY, ConditionStatus::False, Reason::InvalidPassword, &broken.to_string())
        }
        (None, None, Some(hold)) => {
            update(conditions::PASSWORD_READY, ConditionStatus::False, hold.reason, &hold.message)
        }
        (None, None, None) => update(
            conditions::PASSWORD_READY,
            ConditionStatus::True,
            Reason::PasswordReady,
            "the password fits ECS's rules",
        ),
    });
    updates.push(targets_resolved(facts, &plan.rows));
    updates.push(secret_in_sync(facts, plan));
    updates
}

/// The instances whose own passwords cannot be used, with what is wrong with the first.
fn own_password_hold(facts: &ResetFacts, rows: &[InstanceRow]) -> Option<Hold> {
    let is_per_instance = facts.spec.password_secret_ref.has_key_per_instance();
    let is_without = |row: &&InstanceRow| row.attempts == 0 && row.reason().is_some_and(Reason::is_secret_lost);
    let without: Vec<&InstanceRow> = rows.iter().filter(|row| is_per_instance && is_without(row)).collect();
    let first = without.first()?;
    let ids: Vec<&str> = without.iter().map(|row| row.instance_id.as_str()).collect();
    Some(Hold::new(
        first.reason()?,
        format!("no usable password for {}; {}: {}", ids.join(", "), first.instance_id, first.message),
    ))
}

fn targets_resolved(facts: &ResetFacts, rows: &[InstanceRow]) -> ConditionUpdate {
    let missing: Vec<&str> = rows
        .iter()
        // What ECS refuses to a claim is refused of an instance that is there.
        .filter(|row| {
            row.reason().is_some_and(|why| why.is_target_missing() && (row.attempts == 0 || !why.needs_person()))
        })
        .map(|row| row.instance_id.as_str())
        .collect();
    let unseen = rows.iter().any(|row| (row.state == State::Pending || is_unread(row)) && row.name.is_none());
    let (status, reason, message) = if let Targets::Unfit(hold) = &*facts.targets {
        (ConditionStatus::False, hold.reason, hold.message.clone())
    } else if *facts.targets == Targets::ToResolve {
        let message = "the instances of the selector have not been looked up yet".to_owned();
        (ConditionStatus::Unknown, Reason::NotChecked, message)
    } else if !missing.is_empty() {
        (ConditionStatus::False, Reason::TargetsNotFound, format!("not found, or not allowed: {}", missing.join(", ")))
    } else if unseen {
        (ConditionStatus::Unknown, Reason::NotChecked, "not all instances have been read yet".to_owned())
    } else {
        (ConditionStatus::True, Reason::TargetsResolved, format!("instances found: {}", rows.len()))
    };
    ConditionUpdate { kind: conditions::TARGETS_RESOLVED, status, reason, message }
}

fn secret_in_sync(facts: &ResetFacts, plan: &Plan) -> ConditionUpdate {
    let rows = &plan.rows;
    let is_open = |id: &String| rows.iter().any(|row| row.instance_id == *id && !row.state.has_ended());
    let (status, reason, message) = if !plan.out_of_sync.is_empty() {
        let ids = plan.out_of_sync.join(", ");
        let next = if plan.out_of_sync.iter().all(is_open) {
            "the run in progress resets them"
        } else {
            "set a new runID to reset them"
        };
        let message = format!("the Secret was changed after these instances were reset: {ids}; {next}");
        (ConditionStatus::False, Reason::SecretChanged, message)
    } else if !rows.iter().any(|row| row.state.has_ended() && row.password_set_time.is_some()) {
        let message = "no instance of this run is done yet".to_owned();
        (ConditionStatus::Unknown, Reason::NotChecked, message)
    } else if facts.is_password_unknown() || plan.uncompared || has_superseded(plan) {
        (
            ConditionStatus::Unknown,
            Reason::NotChecked,
            "the Secret cannot be compared with the passwords of all instances".to_owned(),
        )
    } else {
        let message = "all instances whose password was set have the one that is in the Secret".to_owned();
        (ConditionStatus::True, Reason::SecretInSync, message)
    };
    ConditionUpdate { kind: conditions::SECRET_IN_SYNC, status, reason, message }
}

/// Whether some instance has the password of another object.
fn has_superseded(plan: &Plan) -> bool {
    plan.rows.iter().any(|row| row.state == State::Superseded)
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
