//! How an object is doing, in one line: the table of answers behind the condition `Ready`.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::eligibility::is_unread;
use super::facts::ResetFacts;
use super::plan::{Plan, secret_changed};
use super::planned;
use super::targets::Targets;
use crate::api::conditions::{self, ConditionStatus, find};
use crate::api::password_reset::{Counts, InstanceRow, State};
use crate::api::reset_record::Owner;
use crate::api::{RETRY_REQUESTED_AT, Reason};
use crate::decide::windows::WindowState;
use crate::decide::{Hold, later, restart_hold};

/// The summary line, before it is spread over conditions.
pub(super) struct Summary {
    /// Whether nothing was run: there is no success to speak of.
    pub(super) without_run: bool,
    pub(super) status: ConditionStatus,
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) retrying: bool,
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
    all_unusable,
    held,
    planned,
    slots_held,
    looking_up,
    at_work,
];

pub(super) fn summarize(facts: &ResetFacts, plan: &Plan, counts: &Counts, now: Timestamp) -> Summary {
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
    let Progress { facts, plan, counts, open, .. } = progress;
    let message = || {
        format!(
            "{}; failures exceed maxFailures, so {} not reset; {}{}",
            failures(&plan.rows),
            others(open.len()),
            retry(facts, counts),
            unresolved(facts, plan, counts)
        )
    };
    (plan.paused && progress.only_waits()).then(|| Summary::needs_person(Reason::PausedOnFailure, message()))
}

fn suspended(progress: &Progress) -> Option<Summary> {
    let Progress { facts, open, .. } = progress;
    let hold = restart_hold::suspended(facts.spec, facts.suspended_account).filter(|_| !facts.spec.is_plan())?;
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

/// A plan that is made is done, whatever it says. What makes it impossible, such as an account that cannot be used, was reported before.
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

fn all_unusable(progress: &Progress) -> Option<Summary> {
    let row = progress.open.first()?;
    let reason = row.reason()?;
    let message = || format!("{}: {}", row.instance_id, row.message);
    let all = progress.open.iter().all(|row| row.reason().is_some_and(Reason::is_unusable));
    all.then(|| Summary::needs_person(reason, message()))
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
            let message = format!(
                "{message}; this has lasted for more than {seconds} s; once it is fixed, this object goes on by itself"
            );
            Summary::needs_person(reason, message)
        }
        _ => Summary::retrying(reason, message),
    })
}

fn slots_held(progress: &Progress) -> Option<Summary> {
    let Hold { reason, message, .. } = progress.plan.held_up.as_ref().filter(|_| progress.only_waits())?;
    Some(Summary::needs_person(*reason, message.clone()))
}

/// The work under way; where all that is open waits, what for.
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
        .account_hold
        .or(facts.secret_hold)
        .cloned()
        .or_else(|| of_row(|rank| rank == 0))
        .or_else(|| Some(facts.read_hold.filter(|read_hold| read_hold.is_for_a_person)?.hold.clone()))
        .or_else(|| of_row(|rank| rank > 0))
        .or_else(|| Some(facts.read_hold?.hold.clone()))
}

/// Whether the account has been unusable for so long that a person must act.
fn account_lasts(facts: &ResetFacts, now: Timestamp) -> bool {
    let before = find(&facts.before.conditions, conditions::ACCOUNT_READY);
    let since =
        before.filter(|condition| condition.status == "False").map(|condition| condition.last_transition_time.0);
    let deadline = since.map(|since| later(since, facts.patience()));
    facts.account_hold.is_some() && deadline.is_some_and(|deadline| now >= deadline)
}

fn ended(progress: &Progress) -> Option<Summary> {
    let Progress { facts, plan, counts, open, .. } = progress;
    if !open.is_empty() || !matches!(*facts.targets, Targets::Known(_)) {
        return None;
    }
    let rows = &plan.rows;
    if plan.password.is_mixed {
        let message = secret_changed(plan.password.instances, rows.len(), false);
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
        Some(reason) if reason.is_of_object() && !facts.spec.password_secret_ref.has_key_per_instance() => reason,
        _ if counts.failed < counts.total => Reason::PartiallyFailed,
        only => only.unwrap_or(Reason::Failed),
    };
    let of_failed = match only {
        _ if counts.failed == 0 => String::new(),
        Some(of_all) if of_all == reason && of_all.is_of_object() => {
            "; the controller goes on once the Secret holds another password".to_owned()
        }
        Some(reason) if reason.is_gone() => String::new(),
        _ => format!("; {}", retry(facts, counts)),
    };
    let what_next = of_failed + &unresolved(facts, plan, counts);
    Some(Summary::needs_person(reason, failures(rows) + &what_next))
}

/// What has failed instances tried again, and those go on that were not started.
fn retry(facts: &ResetFacts, counts: &Counts) -> String {
    let Owner { namespace, name, .. } = &facts.request.owner;
    let but = if counts.unknown > 0 {
        " (an Unknown is not touched, since its request may have been carried out)"
    } else {
        ""
    };
    format!(
        "fix the cause, then retry{but}: kubectl annotate --overwrite -n {namespace} passwordreset {name} {RETRY_REQUESTED_AT}=\"$(date -Is)\""
    )
}

fn deadline(facts: &ResetFacts) -> String {
    facts.spec.not_after.as_ref().map(|end| end.0.to_string()).unwrap_or_default()
}

/// Why a person's decision does not count, if there is one and an instance that is still Unknown.
fn unresolved(facts: &ResetFacts, plan: &Plan, counts: &Counts) -> String {
    if !facts.asks_to_resolve || counts.unknown == 0 || plan.happened.is_some() {
        return String::new();
    }
    let why = match (&facts.request.resolution, &plan.misdirected) {
        (None, _) => "must be <instanceID>/<claim>=Happened or <instanceID>/<claim>=RestartAgain".to_owned(),
        (Some(_), Some(why)) => why.clone(),
        (Some(_), None) => match plan.decision_counts_at {
            Some(at) => format!("counts from {at}: until then a copy of a request may still be carried out"),
            None => "does not count: only an Unknown after a restart request or a loss of memory can be decided so; a new runID resets all instances of this object".to_owned(),
        },
    };
    format!(". The annotation resolve-unknown {why}")
}

/// How many groups of failures are named, and how many instances of each.
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
        let counts = |row: &&InstanceRow| row.reason().is_some_and(Reason::counts_as_failure);
        let stopped: Vec<&str> = rows.iter().filter(counts).map(|row| row.instance_id.as_str()).collect();
        return format!("found Stopped after the restart, start through ECS: {}", stopped.join(", "));
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

/// The words " and N more", where there are any.
fn more(count: usize) -> String {
    if count > 0 { format!(" and {count} more") } else { String::new() }
}

fn others(count: usize) -> String {
    if count == 1 { "1 other instance is".to_owned() } else { format!("{count} other instances are") }
}

/// The number of instances.
fn instances(count: u32) -> String {
    if count == 1 { "1 instance".to_owned() } else { format!("{count} instances") }
}
