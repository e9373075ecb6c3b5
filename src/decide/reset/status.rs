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

use super::eligibility::{first_begin, is_unread};
use super::facts::ResetFacts;
use super::plan::{Plan, secret_changed};
use super::targets::Targets;
use super::{planned, runs};
use crate::api::Reason;
use crate::api::conditions::{self, ConditionStatus, ConditionUpdate, find};
use crate::api::password_reset::{Counts, InstanceRow, NextWindow, PasswordResetStatus, State};
use crate::decide::windows::{Opening, WindowState};
use crate::decide::{Hold, MINUTE, later, minute, restart_rule};

/// The summary line, before it is spread over conditions.
struct Summary {
    /// Whether nothing was run: there is no success to speak of.
    without_run: bool,
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
        estimated_completion_time: estimate(facts, plan, &counts, now).map(Time),
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
            State::Expired => counts.expired.get_or_insert_default(),
        } += 1;
    }
    counts.troubled = Some(counts.failed + counts.unknown);
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
const LINES: &[Line] = &[
    expired_unseen,
    targets_unfit,
    ended,
    run_halted,
    paused_on_failure,
    suspended,
    windows_unusable,
    records_unusable,
    held,
    planned,
    slots_held,
    looking_up,
    at_work,
];

fn summarize(facts: &ResetFacts, plan: &Plan, counts: &Counts, now: Timestamp) -> Summary {
    let open = plan.rows.iter().filter(|row| !row.state.has_ended()).collect();
    let progress = Progress { facts, plan, counts, open, now };
    // The last line always applies.
    LINES.iter().find_map(|line| line(&progress)).unwrap_or_else(|| Summary::working(Reason::Pending, String::new()))
}

impl Summary {
    fn done(message: String) -> Self {
        Self::of(ConditionStatus::True, Reason::Succeeded, message)
    }

    /// Done, although nothing was run.
    fn without_run(reason: Reason, message: String) -> Self {
        Self { without_run: true, ..Self::of(ConditionStatus::True, reason, message) }
    }

    fn of(status: ConditionStatus, reason: Reason, message: String) -> Self {
        Self { without_run: false, status, reason, message, retrying: false }
    }

    fn needs_person(reason: Reason, message: String) -> Self {
        Self::of(ConditionStatus::False, reason, message)
    }

    fn working(reason: Reason, message: String) -> Self {
        Self::of(ConditionStatus::Unknown, reason, message)
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
    let Progress { facts, open, .. } = progress;
    let hold = restart_rule::suspended(facts.spec, facts.suspended_account).filter(|_| !facts.spec.is_plan())?;
    let count = |wanted: &[State]| open.iter().filter(|row| wanted.contains(&row.state)).count();
    let parts = [
        (count(&[State::Pending, State::WaitingForStableState, State::Unrecognized]), "not started"),
        (count(&[State::SettingPassword]), "password being set"),
        (count(&[State::PasswordSet]), "password set, restart held back"),
        (count(&[State::Restarting]), "restart requested before, followed to its end"),
    ];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let parts = if parts.is_empty() { String::new() } else { format!("; instances: {}", parts.join(", ")) };
    Some(Summary::working(hold.reason, format!("{}{parts}", hold.message)))
}

/// A plan that is made is done, whatever it says. What makes it impossible, such as an account that cannot be used, was told before.
fn planned(progress: &Progress) -> Option<Summary> {
    let Progress { facts, plan, now, .. } = progress;
    if !facts.spec.is_plan() || !progress.only_waits() {
        return None;
    }
    Some(match planned::summary(facts, &plan.rows, *now) {
        Some(message) => Summary::without_run(Reason::Planned, message),
        None => Summary::working(Reason::Pending, "reading the instances for the plan".to_owned()),
    })
}

/// Its time was over before its selector was looked up.
fn expired_unseen(progress: &Progress) -> Option<Summary> {
    let Progress { facts, now, .. } = progress;
    let is_unseen = facts.has_expired(*now) && !matches!(*facts.targets, Targets::Known(_)) && progress.open.is_empty();
    is_unseen.then(|| Summary::without_run(Reason::Expired, format!("no instance was begun by {}", deadline(facts))))
}

fn targets_unfit(progress: &Progress) -> Option<Summary> {
    let Targets::Unfit(hold) = &*progress.facts.targets else { return None };
    Some(Summary::needs_person(hold.reason, hold.message.clone()))
}

fn looking_up(progress: &Progress) -> Option<Summary> {
    let is_unresolved = *progress.facts.targets == Targets::ToResolve;
    is_unresolved.then(|| Summary::working(Reason::Pending, "looking up the instances of the selector".to_owned()))
}

fn windows_unusable(progress: &Progress) -> Option<Summary> {
    let WindowState::Unusable(hold) = &progress.facts.window else { return None };
    progress.only_waits().then(|| Summary::needs_person(hold.reason, hold.message.clone()))
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

/// What is under way; where all that is open waits, what for.
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
    let reason = row.reason().filter(|reason| reason.names_wait()).unwrap_or(reason);
    let done = counts.in_effect + counts.effective_at_next_start + counts.superseded;
    let message = format!("{done} of {} done; {}: {}", instances(counts.total), row.instance_id, row.message);
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
    if !open.is_empty() || !matches!(*facts.targets, Targets::Known(_)) {
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
            (counts.expired.unwrap_or_default(), "not begun by notAfter"),
        ];
        let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        if counts.expired == Some(counts.total) {
            return Some(Summary::without_run(
                Reason::Expired,
                format!("no instance was begun by {}", deadline(facts)),
            ));
        }
        let done = counts.total - counts.expired.unwrap_or_default();
        let message = format!("{done} of {} done: {}", instances(counts.total), parts.join(", "));
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

fn deadline(facts: &ResetFacts) -> String {
    facts.spec.not_after.as_ref().map(|end| end.0.to_string()).unwrap_or_default()
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

/// How many groups of failures are told, and how many instances of each.
const FAILURES_TOLD: usize = 3;

/// The instances that failed or whose outcome is unknown, by reason: what the first of each group says.
fn failures(rows: &[InstanceRow]) -> String {
    let mut groups: Vec<(&str, Vec<&InstanceRow>)> = Vec::new();
    for row in rows.iter().filter(|row| matches!(row.state, State::Failed | State::Unknown)) {
        match groups.iter_mut().find(|(reason, _)| *reason == row.reason) {
            Some((_, group)) => group.push(row),
            None => groups.push((&row.reason, vec![row])),
        }
    }
    if groups.is_empty() {
        return "instances were found Stopped after their restart".to_owned();
    }
    let told = groups.iter().take(FAILURES_TOLD).map(|(_, group)| {
        let ids: Vec<&str> = group.iter().take(FAILURES_TOLD).map(|row| row.instance_id.as_str()).collect();
        let message = group.first().map_or("", |row| &row.message);
        format!("{}{}: {message}", ids.join(", "), more(group.len().saturating_sub(ids.len())))
    });
    let mut told: Vec<String> = told.collect();
    let rest: usize = groups.iter().skip(FAILURES_TOLD).map(|(_, group)| group.len()).sum();
    if rest > 0 {
        told.push(format!("and {rest} more for other reasons"));
    }
    told.join("; ")
}

/// So many more, where there are any.
fn more(count: usize) -> String {
    if count > 0 { format!(" and {count} more") } else { String::new() }
}

/// So many instances.
fn instances(count: u32) -> String {
    if count == 1 { "1 instance".to_owned() } else { format!("{count} instances") }
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
    updates.push(targets_resolved(facts, &plan.rows));
    updates.push(secret_in_sync(facts, plan));
    updates
}

fn targets_resolved(facts: &ResetFacts, rows: &[InstanceRow]) -> ConditionUpdate {
    let missing: Vec<&str> = rows
        .iter()
        .filter(|row| row.reason().is_some_and(Reason::is_target_missing))
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
