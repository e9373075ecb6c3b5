//! The act step: one changing call, for an attempt that is stored. Decides nothing.
//!
//! In this order: note that the attempt is being sent, sign under the stored Timestamp, look whether the account still
//! consents, ask for leadership, send once.

use jiff::Timestamp;
use kube::ResourceExt;
use secrecy::SecretString;

use super::observe::{ObservedClaim, may_send_now, not_known};
use super::store::{Intent, Stored};
use crate::api::Reason;
use crate::api::reset_record::{Attempt, ResetRecord};
use crate::cloud::calls::prepare;
use crate::cloud::readings;
use crate::controllers::Context;
use crate::decide::claim::step::Call;
use crate::decide::claim::transition::CallOutcome;
use crate::decide::{Hold, SEND_WINDOW, later};
use crate::ecs::{Accepted, CallError, Class, RatePermit, Reply, RetryRule, Signed, Stamp, Transport};
use crate::ecs::{ApiCall, modify_password, reboot_instance};

/// Makes the call, and says what became of it.
pub(super) async fn perform<T: Transport>(
    context: &Context<T>,
    observed: &ObservedClaim,
    intent: Intent<Stored>,
    permit: RatePermit,
) -> (ResetRecord, CallOutcome) {
    let (record, call, attempt) = intent.spend();
    // From here on it counts as sent, whether it leaves or not: if it does not, the record soon says that nothing is unanswered, and
    // then it may not be sent any more.
    context.sent.set(&record.name_any(), attempt.id.clone());
    if attempt.process != context.process {
        // Never so by design. If it were, the other process might have sent it.
        return (record, CallOutcome::Unknown("the attempt belongs to another process".to_owned()));
    }
    let outcome = match send(context, observed, &record, call, &attempt, permit).await {
        Ok(reply) => {
            let error = reply.result.as_ref().err().map(ToString::to_string);
            let outcome = outcome(reply, &record.spec.account_name, observed.later(context));
            log(&record, call, &outcome, error.as_deref());
            return (record, outcome);
        }
        Err(Hold { reason, message, .. }) => CallOutcome::NotSent { reason, message },
    };
    log(&record, call, &outcome, None);
    (record, outcome)
}

async fn send<T: Transport>(
    context: &Context<T>,
    observed: &ObservedClaim,
    record: &ResetRecord,
    call: Call,
    attempt: &Attempt,
    permit: RatePermit,
) -> Result<Reply<Accepted>, Hold> {
    let spec = &record.spec;
    let account = observed.account.as_deref().ok_or_else(|| not_known(&spec.account_name))?;
    // What neither ECS nor the account has caused leaves the row where it was.
    let (reason, sent) = match call {
        Call::Restart { .. } => (Reason::PasswordSet, "the restart"),
        Call::SetPassword | Call::SetPasswordAsStored => (Reason::SettingPassword, "the password"),
    };
    let held = |why: &str| Hold::new(reason, format!("{sent} was not sent: {why}; the controller tries again"));
    let scope = readings::scope(spec);
    let (endpoint, credentials, destination) = prepare(account, &scope, observed.later(context))?;
    let stamp = Stamp { timestamp: attempt.timestamp.0, nonce: context.clock.nonce() };
    let signed: Signed<Accepted> = match call {
        Call::Restart { .. } => reboot_instance(&endpoint, credentials, &spec.instance_id, &stamp),
        Call::SetPassword | Call::SetPasswordAsStored => {
            let password: &SecretString = observed.password.as_ref().ok_or_else(|| held("the Secret was not read"))?;
            modify_password(&endpoint, credentials, &spec.instance_id, password, &stamp)
        }
    };
    if observed.later(context) > later(attempt.timestamp.0, SEND_WINDOW) {
        return Err(held("the attempt is too old"));
    }
    may_send_now(context, observed, record, call)?;
    // A request that has not left when connecting is given up never leaves.
    let needed = context.settings.ecs_connect_timeout;
    let Some(leader_permit) = context.leadership.permit(needed) else {
        return Err(held("this replica is not the leader"));
    };
    leader_permit.spend();
    Ok(context.calls.send(destination, permit, signed).await)
}

/// What an answer means for the protocol.
fn outcome(reply: Reply<Accepted>, account: &str, now: Timestamp) -> CallOutcome {
    let error = match reply.result {
        Ok(Accepted { request_id }) => {
            return CallOutcome::Accepted { request_id: Some(request_id), at: whole_second_after(now) };
        }
        Err(error) => error,
    };
    match (error.retry_rule(), &error) {
        (RetryRule::Unknown, _) => CallOutcome::Unknown(error.to_string()),
        (_, CallError::NotSent(_)) => {
            CallOutcome::NotSent { reason: Reason::ECSUnavailable, message: error.to_string() }
        }
        (rule, _) => {
            let message = readings::of_account(account, &error).map_or_else(|| error.to_string(), |hold| hold.message);
            CallOutcome::Refused { later: rule == RetryRule::Later, reason: reason(&error), message }
        }
    }
}

/// The first whole second that `time` is not after: records hold whole seconds, and a reading that was sent in the second of
/// an answer, but before it, must not count as one after it. For the same reason the answer's own `Date` will not do.
fn whole_second_after(time: Timestamp) -> Timestamp {
    let second = time.as_second() + i64::from(time.subsec_nanosecond() > 0);
    Timestamp::from_second(second).unwrap_or(time)
}

/// The reason that a row shows for a refusal.
fn reason(error: &CallError) -> Reason {
    let (code, is_about_rights) = match error {
        CallError::Refused(refusal) => (refusal.code.as_str(), refusal.is_about_rights()),
        CallError::NotSent(_) | CallError::NoAnswer(_) => ("", false),
    };
    match error.class() {
        Class::Throttled => Reason::Throttled,
        Class::WaitState => Reason::WaitingForStableState,
        Class::Transient => Reason::ECSUnavailable,
        Class::Auth => Reason::AccountNotReady,
        Class::Gone => Reason::InstanceNotFound,
        Class::Denied if code.starts_with("InstanceLocked") => Reason::InstanceLocked,
        Class::Denied if code.starts_with("InstanceExpired") => Reason::InstanceExpired,
        Class::Denied if is_about_rights => Reason::NotPermitted,
        Class::Denied | Class::Invalid | Class::Refused | Class::Unknown => Reason::PasswordRefused,
    }
}

/// `refusal`: what ECS answered, of which the row may show less.
fn log(record: &ResetRecord, call: Call, outcome: &CallOutcome, refusal: Option<&str>) {
    let api = match call {
        Call::Restart { .. } => ApiCall::RebootInstance.as_str(),
        Call::SetPassword | Call::SetPasswordAsStored => ApiCall::ModifyInstanceAttribute.as_str(),
    };
    let instance_id = record.spec.instance_id.as_str();
    match outcome {
        CallOutcome::Accepted { request_id, .. } => {
            tracing::info!(api, instanceID = instance_id, requestID = request_id.as_deref(), "ECS accepted the call");
        }
        CallOutcome::Refused { later, message, .. } => {
            let error = refusal.unwrap_or(message);
            tracing::warn!(api, instanceID = instance_id, later, error, "ECS refused the call");
        }
        CallOutcome::NotSent { reason, message } => {
            tracing::warn!(api, instanceID = instance_id, %reason, error = message.as_str(), "the call was not sent");
        }
        CallOutcome::Unknown(why) => {
            tracing::warn!(api, instanceID = instance_id, error = why.as_str(), "the outcome of the call is not known");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{reason, whole_second_after};
    use crate::decide::words_tests::Words;
    use crate::ecs::error::{ErrorAnswer, classify};
    use crate::ecs::{ApiCall, CallError, Class, ErrorResponse};

    #[test]
    fn an_acknowledgement_is_never_before_its_answer() {
        for (answered, noted) in
            [("10:00:00Z", "10:00:00Z"), ("10:00:00.000001Z", "10:00:01Z"), ("10:00:59.9Z", "10:01:00Z")]
        {
            let at = |time: &str| format!("2026-11-29T{time}").parse().unwrap();
            assert_eq!(whole_second_after(at(answered)), at(noted));
        }
    }

    /// Each code of the table, since what is denied has many causes, and a person is sent to only one of them.
    #[test]
    fn words_of_what_ecs_denies() {
        let mut words = Words::of("denied");
        for line in include_str!("../../ecs/errors.tsv").lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            let &[code, message, http, class, ..] = columns.as_slice() else { continue };
            if class != Class::Denied.as_str() {
                continue;
            }
            let code = code.replace('*', "New");
            let http_status = http.split('|').next().unwrap().parse().unwrap();
            let (class, executed) =
                classify(&ErrorAnswer { http_status, code: Some(&code), request_id: Some("R-1"), message });
            for action in [ApiCall::ModifyInstanceAttribute, ApiCall::DescribeInstances] {
                let (code, request_id) = (code.clone(), Some("R-1".to_owned()));
                let (unreadable, names_instance_id, retry_after) = (None, false, None);
                let error = CallError::Refused(ErrorResponse {
                    action,
                    code,
                    http_status,
                    request_id,
                    unreadable,
                    names_instance_id,
                    executed,
                    class,
                    retry_after,
                });
                let shown = if action.is_change() { reason(&error).as_str() } else { "read" };
                words.say(shown, &error);
            }
        }
        words.assert();
    }
}
