//! The status of an object as a projection of its rows: the one table from situations to conditions.
//!
//! | situation | Ready | Reconciling | Stalled | Succeeded |
//! |---|---|---|---|---|
//! | working, waiting, suspended, or a problem that is retried | Unknown | True | – | Unknown |
//! | done | True | – | – | True |
//! | a person must act | False | – | True | False |

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::eligibility::is_unread;
use super::facts::ResetFacts;
use super::plan::{Plan, secret_changed};
use super::runs;
use crate::api::Reason;
use crate::api::conditions::{self, ConditionStatus, ConditionUpdate, find};
use crate::api::password_reset::{Counts, InstanceRow, PasswordResetStatus, State};
use crate::decide::{Hold, later};

/// The summary line, before it is spread over conditions.
struct Summary {
    status: ConditionStatus,
    reason: Reason,
    message: String,
    retrying: bool,
}

/// The whole status.
#[must_use]
pub fn status(facts: &ResetFacts, plan: &Plan, now: Timestamp) -> PasswordResetStatus {
    let rows = &plan.rows;
    let counts = count(rows);
    let summary = summarize(facts, plan, &counts, now);
    let updates = conditions_of(facts, plan, &summary);
    let done = counts.in_effect + counts.effective_at_next_start + counts.superseded;
    let ended = rows.iter().all(|row| row.state.has_ended());
    let run = runs::run(facts.before.run.as_ref(), facts.request, plan.begun, &plan.password, ended, now);
    let requested = runs::requested(facts.before.requested(), facts.request, ended);
    PasswordResetStatus {
        observed_generation: facts.generation,
        conditions: conditions::set(&facts.before.conditions, updates, facts.generation, &Time(now)),
        last_handled_rerun: facts
            .rerun_requested_at
            .map(str::to_owned)
            .or_else(|| facts.before.last_handled_rerun.clone()),
        run,
        requested: Some(requested),
        account_name: Some(facts.spec.account_name().to_owned()),
        progress: Some(format!("{done}/{}", counts.total)),
        counts: Some(counts),
        instances: rows.clone(),
    }
}

/// Counts the rows by state.
#[must_use]
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
        } += 1;
    }
    counts
}

/// The facts for a line of the table.
struct Progress<'a> {
    facts: &'a ResetFacts<'a>,
    plan: &'a Plan,
    counts: &'a Counts,
    /// The rows that have not ended.
    open: Vec<&'a InstanceRow>,
    now: Timestamp,
}

impl Progress<'_> {
    /// Whether nothing of the object is in flight.
    fn only_waits(&self) -> bool {
        self.open.iter().all(|row| is_pending(row))
    }
}

fn is_pending(row: &InstanceRow) -> bool {
    row.state == State::Pending
}

/// One answer to how the object is doing; `None`: it does not apply.
type Line = fn(&Progress) -> Option<Summary>;

/// All answers, in their order: the first that applies is the one.
const LINES: &[Line] = &[ended, run_halted, paused_on_failure, suspended, records_unusable, held, slots_held, at_work];

fn summarize(facts: &ResetFacts, plan: &Plan, counts: &Counts, now: Timestamp) -> Summary {
    let open = plan.rows.iter().filter(|row| !row.state.has_ended()).collect();
    let progress = Progress { facts, plan, counts, open, now };
    // The last line always applies.
    LINES.iter().find_map(|line| line(&progress)).unwrap_or_else(|| Summary::working(Reason::Pending, String::new()))
}

impl Summary {
    fn done(message: String) -> Self {
        Self { status: ConditionStatus::True, reason: Reason::Succeeded, message, retrying: false }
    }

    fn needs_person(reason: Reason, message: String) -> Self {
        Self { status: ConditionStatus::False, reason, message, retrying: false }
    }

    fn working(reason: Reason, message: String) -> Self {
        Self { status: ConditionStatus::Unknown, reason, message, retrying: false }
    }

    fn retrying(reason: Reason, message: String) -> Self {
        Self { retrying: true, ..Self::working(reason, message) }
    }
}

fn run_halted(progress: &Progress) -> Option<Summary> {
    let row = progress.open.iter().find(|row| row.reason().is_some_and(Reason::halts_run))?;
    let message = || row.message.clone();
    progress.only_waits().then(|| Summary::needs_person(Reason::SecretChangedDuringRun, message()))
}

fn paused_on_failure(progress: &Progress) -> Option<Summary> {
    let Progress { plan, open, .. } = progress;
    let message = || {
        format!(
            "{}; other instances not started because of maxFailures: {}. Fix the cause, then annotate with ecs.password-reset.dev/retry-requested-at",
            failures(&plan.rows),
            open.len()
        )
    };
    (plan.paused && progress.only_waits()).then(|| Summary::needs_person(Reason::PausedOnFailure, message()))
}

fn suspended(progress: &Progress) -> Option<Summary> {
    let message = || format!("suspended; instances not started: {}", progress.open.len());
    (progress.facts.spec.suspended() && progress.only_waits()).then(|| Summary::working(Reason::Suspended, message()))
}

fn records_unusable(progress: &Progress) -> Option<Summary> {
    let row = progress.open.first()?;
    let message = || format!("{}: {}", row.instance_id, row.message);
    let all = progress.open.iter().all(|row| row.reason().is_some_and(Reason::is_unusable));
    all.then(|| Summary::needs_person(Reason::InvalidSpec, message()))
}

fn held(progress: &Progress) -> Option<Summary> {
    let Progress { facts, plan, open, now, .. } = progress;
    let Hold { reason, message, .. } = first_hold(facts, plan)?;
    let lasts = plan.unread_for_too_long || account_lasts(facts, *now);
    let only_waits = open.iter().all(|row| is_pending(row) || is_unread(row));
    Some(match (reason.needs_person(), lasts) {
        (true, _) if only_waits => Summary::needs_person(reason, message),
        (false, true) if only_waits => {
            let seconds = facts.patience().as_secs();
            let message = format!("{message}; this has lasted for {seconds} s; the controller keeps retrying");
            Summary::needs_person(reason, message)
        }
        _ => Summary::retrying(reason, message),
    })
}

fn slots_held(progress: &Progress) -> Option<Summary> {
    let Hold { reason, message, .. } = progress.plan.held_up.as_ref().filter(|_| progress.only_waits())?;
    Some(Summary::needs_person(*reason, message.clone()))
}

fn at_work(progress: &Progress) -> Option<Summary> {
    let Progress { counts, open, .. } = progress;
    let in_state = |state| open.iter().find(|row| row.state == state);
    let stages = [
        (State::Restarting, Reason::Restarting),
        (State::SettingPassword, Reason::SettingPasswords),
        (State::PasswordSet, Reason::SettingPasswords),
        (State::WaitingForStableState, Reason::WaitingForStableState),
    ];
    let stage = stages.into_iter().find_map(|(state, reason)| Some((reason, in_state(state)?)));
    let (reason, row) = stage.or_else(|| Some((Reason::Pending, open.first()?)))?;
    let done = counts.in_effect + counts.effective_at_next_start + counts.superseded;
    let message = format!("{done} of {} instances done; {}: {}", counts.total, row.instance_id, row.message);
    Some(Summary::working(reason, message))
}

/// The first hold of an object that is not done: of its account, its Secret, its reads or a row.
fn first_hold(facts: &ResetFacts, plan: &Plan) -> Option<Hold> {
    // The first row with the reason of the lowest rank among those that are wanted.
    let of_row = |wanted: fn(u8) -> bool| {
        let open = plan.rows.iter().filter(|row| !row.state.has_ended());
        let ranked = open.filter_map(|row| {
            let reason = row.reason()?;
            Some((reason.rank().filter(|rank| wanted(*rank))?, reason, row))
        });
        let (_, reason, row) = ranked.min_by_key(|(rank, ..)| *rank)?;
        Some(Hold::new(reason, format!("{}: {}", row.instance_id, row.message)))
    };
    facts
        .account_trouble
        .or(facts.secret_trouble)
        .cloned()
        .or_else(|| of_row(|rank| rank == 0))
        .or_else(|| Some(facts.read_trouble.filter(|trouble| trouble.is_for_a_person)?.hold.clone()))
        .or_else(|| of_row(|rank| rank > 0))
        .or_else(|| Some(facts.read_trouble?.hold.clone()))
}

/// Whether the account has been unusable for so long that a person must act.
fn account_lasts(facts: &ResetFacts, now: Timestamp) -> bool {
    let before = find(&facts.before.conditions, conditions::ACCOUNT_READY);
    let since =
        before.filter(|condition| condition.status == "False").map(|condition| condition.last_transition_time.0);
    let deadline = since.map(|since| later(since, facts.patience()));
    let lasts = facts.account_is_for_a_person && deadline.is_some_and(|deadline| now >= deadline);
    facts.account_trouble.is_some() && lasts
}

fn ended(progress: &Progress) -> Option<Summary> {
    let Progress { facts, plan, counts, open, .. } = progress;
    if !open.is_empty() {
        return None;
    }
    let rows = &plan.rows;
    if plan.password.is_mixed {
        let message = secret_changed(plan.password.instances, rows.len());
        return Some(Summary::needs_person(Reason::SecretChangedDuringRun, message));
    }
    if counts.unknown == 0 && counts.failed == 0 {
        let parts = [
            (counts.in_effect, "in effect"),
            (counts.effective_at_next_start, "effective at the next start"),
            (counts.superseded, "superseded"),
        ];
        let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        let message = format!("{} of {} instances done: {}", counts.total, counts.total, parts.join(", "));
        return Some(Summary::done(message));
    }
    let failed: BTreeSet<Option<Reason>> =
        rows.iter().filter(|row| row.state == State::Failed).map(InstanceRow::reason).collect();
    let only = if failed.len() == 1 { failed.first().copied().flatten() } else { None };
    let reason = match only {
        _ if counts.unknown > 0 => Reason::OutcomeUnknown,
        Some(reason) if reason.is_of_object() => reason,
        _ if counts.failed < counts.total => Reason::PartiallyFailed,
        only => only.unwrap_or(Reason::Failed),
    };
    Some(Summary::needs_person(reason, failures(rows) + unresolved(facts, plan, counts)))
}

/// Why a person's decision does not count, if there is one and an instance that is still Unknown.
fn unresolved(facts: &ResetFacts, plan: &Plan, counts: &Counts) -> &'static str {
    if !facts.asks_to_resolve || counts.unknown == 0 || plan.happened.is_some() {
        return "";
    }
    if facts.request.resolution.is_none() {
        return ". The annotation resolve-unknown must be <instanceID>/<claim>=Happened or <instanceID>/<claim>=RestartAgain";
    }
    ". The annotation resolve-unknown counts only for a claim that is Unknown after a restart request or a loss of memory, once no copy of a request can still be carried out"
}

/// The instances that failed or whose outcome is unknown, by name; not more than three in full.
fn failures(rows: &[InstanceRow]) -> String {
    let bad: Vec<&InstanceRow> =
        rows.iter().filter(|row| matches!(row.state, State::Failed | State::Unknown)).collect();
    let mut parts: Vec<String> =
        bad.iter().take(3).map(|row| format!("{}: {}", row.instance_id, row.message)).collect();
    if bad.len() > parts.len() {
        parts.push(format!("and {} more", bad.len() - parts.len()));
    }
    if parts.is_empty() { "instances were found Stopped after their restart".to_owned() } else { parts.join("; ") }
}

/// The conditions in the order in which kstatus should find them.
fn conditions_of(facts: &ResetFacts, plan: &Plan, summary: &Summary) -> Vec<ConditionUpdate> {
    let update =
        |kind, status, reason, message: &str| ConditionUpdate { kind, status, reason, message: message.to_owned() };
    let Summary { status, reason, message, retrying } = summary;
    let mut updates = vec![update(conditions::READY, *status, *reason, message)];
    match status {
        ConditionStatus::Unknown => {
            let why = if *retrying { Reason::ProgressingWithRetry } else { *reason };
            updates.push(update(conditions::RECONCILING, ConditionStatus::True, why, message));
        }
        ConditionStatus::False => updates.push(update(conditions::STALLED, ConditionStatus::True, *reason, message)),
        ConditionStatus::True => {}
    }
    updates.push(update(conditions::SUCCEEDED, *status, *reason, message));
    updates.push(match facts.account_trouble {
        None => {
            update(conditions::ACCOUNT_READY, ConditionStatus::True, Reason::AccountReady, "the account can be used")
        }
        Some(hold) => update(conditions::ACCOUNT_READY, ConditionStatus::False, hold.reason, &hold.message),
    });
    updates.push(match (facts.secret_trouble, facts.broken) {
        (Some(hold), _) => update(conditions::PASSWORD_READY, ConditionStatus::False, hold.reason, &hold.message),
        (None, Some(broken)) => {
            update(conditions::PASSWORD_READY, ConditionStatus::False, Reason::InvalidPassword, &broken.to_string())
        }
        (None, None) => update(
            conditions::PASSWORD_READY,
            ConditionStatus::True,
            Reason::PasswordReady,
            "the password fits ECS's rules",
        ),
    });
    updates.push(targets_resolved(&plan.rows));
    updates.push(secret_in_sync(facts, plan));
    updates
}

fn targets_resolved(rows: &[InstanceRow]) -> ConditionUpdate {
    let missing: Vec<&str> = rows
        .iter()
        .filter(|row| row.reason().is_some_and(Reason::is_target_missing))
        .map(|row| row.instance_id.as_str())
        .collect();
    let unseen = rows.iter().any(|row| (row.state == State::Pending || is_unread(row)) && row.name.is_none());
    let (status, reason, message) = if !missing.is_empty() {
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
        let message = "no instance has received a password from this object yet".to_owned();
        (ConditionStatus::Unknown, Reason::NotChecked, message)
    } else if facts.request.fingerprint.is_none() || plan.uncompared || has_superseded(plan) {
        (
            ConditionStatus::Unknown,
            Reason::NotChecked,
            "the Secret cannot be compared with the passwords of all instances".to_owned(),
        )
    } else {
        let message = "all instances that are done have the password in the Secret".to_owned();
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
