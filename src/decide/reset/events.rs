//! Events, as the differences between two statuses: one when the object's Ready changes, never one for each instance.

use crate::api::Reason;
use crate::api::conditions::{self, find};
use crate::api::password_reset::{InstanceRow, MaintenanceWindow, PasswordResetSpec, PasswordResetStatus, State};
use crate::decide::windows;

/// The text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusEvent {
    /// `Normal` or `Warning`.
    pub kind: &'static str,
    /// Its reason.
    pub reason: Reason,
    /// The text.
    pub note: String,
}

/// The events between two statuses of an object.
pub fn between(
    spec: &PasswordResetSpec,
    before: &PasswordResetStatus,
    after: &PasswordResetStatus,
) -> Vec<StatusEvent> {
    let events = [
        short_window(spec, before, after),
        run_started(before, after),
        ready_changed(before, after),
        superseded(before, after),
        password_logon(before, after),
    ];
    events.into_iter().flatten().collect()
}

/// A maintenance window is shorter than a restart may take. It is reported once for each version of the spec.
fn short_window(
    spec: &PasswordResetSpec,
    before: &PasswordResetStatus,
    after: &PasswordResetStatus,
) -> Option<StatusEvent> {
    let timeout = i64::from(spec.timeout_seconds());
    let is_short = |window: &&MaintenanceWindow| {
        windows::duration(&window.duration).is_some_and(|duration| duration.as_secs() < timeout)
    };
    let window = spec.windows.iter().flatten().find(is_short)?;
    let note = format!(
        "the window {:?} is open for {}, and restart.timeoutSeconds is {timeout}: a restart requested in it may go on after it has closed; make the window longer, or timeoutSeconds shorter",
        window.schedule, window.duration
    );
    let is_new = before.observed_generation != after.observed_generation;
    is_new.then_some(StatusEvent { kind: "Warning", reason: Reason::WindowTooShort, note })
}

fn run_started(before: &PasswordResetStatus, after: &PasswordResetStatus) -> Option<StatusEvent> {
    let number = |status: &PasswordResetStatus| status.run.as_ref().map(|run| run.number);
    let run = after.run.as_ref().filter(|_| number(before) != number(after))?;
    let count = after.instances.len();
    let plural = if count == 1 { "" } else { "s" };
    let note = format!("run {} has begun on {count} instance{plural} (trigger: {:?})", run.number, run.trigger);
    Some(StatusEvent { kind: "Normal", reason: Reason::ResetRunStarted, note })
}

/// Ready has changed, or an error or a brake holds the object. Progress is for the status: it would be an event for each instance.
fn ready_changed(before: &PasswordResetStatus, after: &PasswordResetStatus) -> Option<StatusEvent> {
    let ready = find(&after.conditions, conditions::READY)?;
    // An object that nobody has answered yet is Unknown.
    let (was, because) = find(&before.conditions, conditions::READY)
        .map_or(("Unknown", ""), |before| (before.status.as_str(), before.reason.as_str()));
    let reason = Reason::parse(&ready.reason)?;
    let (has_changed, has_another_reason) = (was != ready.status, because != ready.reason);
    let is_progress = ready.status == "Unknown" && !conditions::is_retried(&after.conditions);
    let is_told = if is_progress {
        // A run that begins has an event of its own.
        (has_changed && run_started(before, after).is_none()) || (has_another_reason && reason.is_brake())
    } else {
        has_changed || has_another_reason
    };
    let kind = if ready.status == "True" || is_progress { "Normal" } else { "Warning" };
    is_told.then(|| StatusEvent { kind, reason, note: ready.message.clone() })
}

/// Another object has reset instances of this one: two that reset one machine alternately are seldom meant.
fn superseded(before: &PasswordResetStatus, after: &PasswordResetStatus) -> Option<StatusEvent> {
    let is_new = |row: &&InstanceRow| {
        let was = before.instances.iter().find(|earlier| earlier.instance_id == row.instance_id);
        row.state == State::Superseded && was.is_none_or(|was| was.state != State::Superseded)
    };
    let rows: Vec<&InstanceRow> = after.instances.iter().filter(is_new).collect();
    let first = rows.first()?;
    let ids: Vec<&str> = rows.iter().map(|row| row.instance_id.as_str()).collect();
    let note = format!("{}: {}; let one object own each instance", ids.join(", "), first.message);
    Some(StatusEvent { kind: "Warning", reason: Reason::Superseded, note })
}

/// Passwords were set on instances with a key pair, which re-enables password logon beside it.
fn password_logon(before: &PasswordResetStatus, after: &PasswordResetStatus) -> Option<StatusEvent> {
    let was_set = |row: &InstanceRow| {
        let earlier = before.instances.iter().find(|earlier| earlier.instance_id == row.instance_id);
        row.password_set_time.is_some()
            && earlier.is_none_or(|earlier| earlier.password_set_time != row.password_set_time)
    };
    let keyed: Vec<String> = after
        .instances
        .iter()
        .filter(|row| was_set(row))
        .filter_map(|row| Some(format!("{} ({})", row.instance_id, row.key_pair_name.as_ref()?)))
        .collect();
    (!keyed.is_empty()).then(|| StatusEvent {
        kind: "Normal",
        reason: Reason::PasswordLogonEnabled,
        note: format!("setting a password re-enables password logon beside the key pair on {}", keyed.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;
    use crate::api::conditions::{ConditionStatus, ConditionUpdate, set};
    use crate::decide::fixtures::{at, reset_spec, row};

    fn status(status: ConditionStatus, reason: Reason) -> PasswordResetStatus {
        let update =
            ConditionUpdate { kind: conditions::READY, status, reason, message: format!("because of {reason}") };
        let conditions = set(&[], vec![update], Some(1), &Time(at(0)));
        PasswordResetStatus { conditions, ..PasswordResetStatus::default() }
    }

    fn told(before: &PasswordResetStatus, after: &PasswordResetStatus) -> Vec<StatusEvent> {
        between(&reset_spec(1), before, after)
    }

    #[test]
    fn short_window_is_reported_once_for_each_spec() {
        let mut spec = reset_spec(1);
        spec.restart.as_mut().unwrap().timeout_seconds = Some(1_800);
        let warned = |spec: &PasswordResetSpec, generation: i64| {
            let before = PasswordResetStatus { observed_generation: Some(1), ..PasswordResetStatus::default() };
            let after = PasswordResetStatus { observed_generation: Some(generation), ..before.clone() };
            between(spec, &before, &after).len()
        };
        let window = |duration: &str| {
            let window = serde_json::json!({"schedule": "0 2 * * 6", "duration": duration, "timeZone": "UTC"});
            Some(vec![serde_json::from_value(window).unwrap()])
        };
        spec.windows = window("15m");
        assert_eq!((warned(&spec, 2), warned(&spec, 1)), (1, 0));
        spec.windows = window("24h");
        assert_eq!(warned(&spec, 2), 0);
    }

    #[test]
    fn change_of_ready_is_reported_once() {
        let (working, failed) = (
            status(ConditionStatus::Unknown, Reason::Restarting),
            status(ConditionStatus::False, Reason::PartiallyFailed),
        );
        assert!(told(&working, &working).is_empty());
        let events = told(&working, &failed);
        assert_eq!((events.len(), events[0].kind, events[0].reason), (1, "Warning", Reason::PartiallyFailed));
        let events = told(&failed, &working);
        assert_eq!((events.len(), events[0].kind, events[0].reason), (1, "Normal", Reason::Restarting));
        let setting = status(ConditionStatus::Unknown, Reason::SettingPasswords);
        assert!(told(&setting, &working).is_empty(), "progress is not an event");
        let done = status(ConditionStatus::True, Reason::Succeeded);
        assert_eq!(told(&working, &done)[0].kind, "Normal");
    }

    #[test]
    fn stall_is_reported_although_the_reason_stays() {
        let (retried, stalled) = (
            status(ConditionStatus::Unknown, Reason::ReadRefused),
            status(ConditionStatus::False, Reason::ReadRefused),
        );
        assert_eq!(told(&retried, &stalled).len(), 1);
        assert!(told(&stalled, &stalled).is_empty());
        assert_eq!(told(&stalled, &retried).len(), 1, "it is not for a person any more");
    }

    #[test]
    fn run_that_begins_is_reported_once() {
        let done = status(ConditionStatus::True, Reason::Succeeded);
        let working = status(ConditionStatus::Unknown, Reason::SettingPasswords);
        let run = json!({"number": 2, "trigger": "RunID", "startTime": "2026-11-29T10:00:00Z", "tokens": [], "fingerprint": {"keyID": "k", "value": "v"}});
        let run = Some(serde_json::from_value(run).unwrap());
        let events = told(&done, &PasswordResetStatus { run, ..working.clone() });
        assert_eq!(events.iter().map(|event| event.reason).collect::<Vec<_>>(), [Reason::ResetRunStarted]);
        assert_eq!(told(&done, &working)[0].reason, Reason::SettingPasswords, "one that has not begun");
    }

    #[test]
    fn brake_is_reported_when_it_is_pulled() {
        let working = status(ConditionStatus::Unknown, Reason::Restarting);
        let suspended = status(ConditionStatus::Unknown, Reason::Suspended);
        assert_eq!(told(&PasswordResetStatus::default(), &suspended).len(), 1);
        assert_eq!((told(&working, &suspended).len(), told(&suspended, &suspended).len()), (1, 0));
    }

    #[test]
    fn password_beside_a_key_pair_is_reported() {
        let before = status(ConditionStatus::Unknown, Reason::Restarting);
        let mut after = before.clone();
        let mut keyed = row(State::PasswordSet);
        keyed.key_pair_name = Some("ops".to_owned());
        keyed.password_set_time = Some(Time(at(0)));
        after.instances = vec![keyed, row(State::PasswordSet)];
        let events = told(&before, &after);
        assert_eq!((events.len(), events[0].reason), (1, Reason::PasswordLogonEnabled));
        assert!(told(&after, &after).is_empty());
    }

    #[test]
    fn what_another_object_has_reset_is_one_event() {
        let rows = |state: State| {
            let row = |id: &str| InstanceRow { instance_id: id.to_owned(), message: "<who>".to_owned(), ..row(state) };
            PasswordResetStatus { instances: vec![row("i-1"), row("i-2")], ..PasswordResetStatus::default() }
        };
        let (done, theirs) = (rows(State::InEffect), rows(State::Superseded));
        let told = between(&reset_spec(2), &done, &theirs);
        assert_eq!(told.len(), 1);
        let event = (told[0].kind, told[0].reason, told[0].note.as_str());
        assert_eq!(event, ("Warning", Reason::Superseded, "i-1, i-2: <who>; let one object own each instance"));
        assert_eq!(between(&reset_spec(2), &theirs, &theirs), []);
    }
}
