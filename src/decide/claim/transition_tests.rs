//! What an answer, an attempt and an end make of a record.

use super::*;
use crate::api::password_reset::State;
use crate::decide::fixtures::{at, bounds, claimed};

fn attempt(second: i64) -> NewAttempt {
    NewAttempt { id: format!("a{second}"), process: "p1".to_owned(), timestamp: at(second), replaces_unsent: false }
}

fn refused(later: bool) -> CallOutcome {
    CallOutcome::Refused { later, reason: Reason::PasswordRefused, message: "refused".to_owned() }
}

#[test]
fn a_call_that_was_not_sent_says_what_held_it_up() {
    let message = "ECSAccount default is not ready (CredentialsRefused)".to_owned();
    let held = CallOutcome::NotSent { reason: Reason::AccountNotReady, message };
    let mut record = claimed();
    for (call, state) in [
        (Call::SetPassword, State::SettingPassword),
        (Call::Restart { start_time_before: at(-600) }, State::PasswordSet),
    ] {
        record.status = Some(intend(&record, call, attempt(40), bounds()));
        let row = fold(&record, call, &held, at(41)).row.unwrap();
        assert_eq!((row.state, row.reason().unwrap()), (state, Reason::AccountNotReady));
    }
}

#[test]
fn unsent_attempt_leaves_nothing_unanswered_to_the_next() {
    let record = claimed();
    let next = |replaces_unsent| {
        let attempt = NewAttempt { replaces_unsent, ..attempt(40) };
        intend(&record, Call::SetPassword, attempt, bounds()).attempt.unwrap().found_unanswered_until
    };
    assert_eq!(next(true), None);
    assert_eq!(next(false), record.progress().unanswered_until);
}

#[test]
fn unclear_answer_is_shown_and_ends_nothing() {
    let record = claimed();
    let heard = "answered with HTTP 500, code InternalError, request A-1, outcome not known";
    let status = fold(&record, Call::SetPasswordAsStored, &CallOutcome::Unknown(heard.to_owned()), at(1));
    assert_eq!(status.unknown_outcome.as_deref(), Some(heard));
    assert!(status.row.as_ref().unwrap().message.contains(heard));
    let before = record.progress();
    let silent = ResetRecordStatus { unknown_outcome: None, row: before.row.clone(), ..status };
    assert_eq!(silent, before);
}

#[test]
fn an_answered_attempt_leaves_nothing_unanswered() {
    let mut record = claimed();
    assert!(record.progress().unanswered_until.is_some());
    record.status.as_mut().unwrap().unknown_outcome = Some("heard".to_owned());
    record.status = Some(fold(&record, Call::SetPasswordAsStored, &refused(true), at(1)));
    let status = record.progress();
    assert_eq!((status.phase, status.unanswered_until), (Phase::SettingPassword, None));
    assert_eq!(status.unknown_outcome, None);
}

#[test]
fn later_answer_leaves_earlier_copy_unanswered() {
    let mut record = claimed();
    let unanswered = record.progress().unanswered_until;
    record.status = Some(fold(&record, Call::SetPasswordAsStored, &CallOutcome::Unknown("heard".to_owned()), at(1)));
    record.status = Some(intend(&record, Call::SetPassword, attempt(5), bounds()));
    let accepted = CallOutcome::Accepted { request_id: Some("R".to_owned()), at: at(6) };
    let status = fold(&record, Call::SetPassword, &accepted, at(6));
    assert_eq!(status.phase, Phase::PasswordSet);
    assert_eq!((status.unanswered_until, status.unknown_outcome.as_deref()), (unanswered, Some("heard")));
}

#[test]
fn a_refusal_fails_only_when_nothing_is_unanswered() {
    let record = claimed();
    assert_eq!(fold(&record, Call::SetPasswordAsStored, &refused(false), at(1)).phase, Phase::Failed);
    let mut again = claimed();
    again.status = Some(intend(&again, Call::SetPassword, attempt(5), bounds()));
    let status = fold(&again, Call::SetPassword, &refused(false), at(6));
    assert_eq!((status.phase, status.refusal.as_deref()), (Phase::SettingPassword, Some("refused")));
}

#[test]
fn the_number_of_restart_attempts_never_falls() {
    let mut record = claimed();
    let accepted = CallOutcome::Accepted { request_id: None, at: at(1) };
    record.status = Some(fold(&record, Call::SetPasswordAsStored, &accepted, at(1)));
    let restart = Call::Restart { start_time_before: at(-600) };
    for number in 1..=3 {
        record.status = Some(intend(&record, restart, attempt(number), bounds()));
        assert_eq!(record.progress().attempt.unwrap().number, u32::try_from(number).unwrap());
        record.status = Some(fold(&record, restart, &refused(true), at(number)));
        assert_eq!(record.progress().phase, Phase::PasswordSet);
    }
}

#[test]
fn refused_restart_does_not_count_unanswered_may() {
    let restart = Call::Restart { start_time_before: at(-600) };
    let last_restart_time = |outcome: &CallOutcome| {
        let mut record = claimed();
        let accepted = CallOutcome::Accepted { request_id: None, at: at(1) };
        record.status = Some(fold(&record, Call::SetPasswordAsStored, &accepted, at(1)));
        record.status = Some(intend(&record, restart, attempt(2), bounds()));
        record.status = Some(fold(&record, restart, outcome, at(3)));
        let end = Change::Failed(Reason::RestartRefused, String::new());
        apply(&record, end, None, at(4)).last_restart_time
    };
    assert_eq!(last_restart_time(&refused(false)), None);
    assert_eq!(last_restart_time(&CallOutcome::Unknown("heard".to_owned())), Some(Time(at(2))));
    assert_eq!(last_restart_time(&CallOutcome::Accepted { request_id: None, at: at(3) }), Some(Time(at(3))));
}

#[test]
fn an_end_is_remembered_with_its_row() {
    let record = claimed();
    let status = apply(&record, Change::EffectiveAtNextStart(NextStart::SetWhileStopped), None, at(9));
    assert_eq!(status.completed.len(), 1);
    assert_eq!(status.completed[0].row.state, State::EffectiveAtNextStart);
    assert_eq!(status.completed[0].tokens, record.spec.tokens);
    assert_eq!(status.last_restart_time, None, "nothing was restarted");
}

#[test]
fn released_claim_is_as_if_never_made() {
    let mut record = claimed();
    let done = apply(&record, Change::EffectiveAtNextStart(NextStart::SetWhileStopped), None, at(9));
    record.status = Some(done.clone());
    let status = apply(&record, Change::Withdrawn, None, at(10));
    assert_eq!((status.phase, status.attempt, status.row), (Phase::Idle, None, None));
    assert_eq!(status.completed, done.completed);
}
