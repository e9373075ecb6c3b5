//! The act step: one changing call, for an attempt that is stored. Decides nothing.
//!
//! In this order: note that the attempt is being sent, sign under the stored Timestamp, look whether the account still
//! consents, ask for leadership, send once.

use jiff::Timestamp;
use kube::ResourceExt;
use secrecy::SecretString;

use super::observe::{Sight, may_send_now, not_known};
use super::record::{Intent, Stored};
use crate::api::reasons;
use crate::api::reset_record::{Attempt, ResetRecord};
use crate::decide::progress::Outcome;
use crate::decide::rollout::Block;
use crate::decide::step::Call;
use crate::decide::{SEND_WINDOW, later};
use crate::ecs::{Accepted, CallError, Class, LimitPermit, Refusal, Reply, Signed, Stamp, Transport, Verdict};
use crate::ecs::{Action, modify_password, reboot_instance};
use crate::reconcile::Context;
use crate::reconcile::calls::prepare;

/// Makes the call, and says what became of it.
pub(super) async fn perform<T: Transport>(
    context: &Context<T>,
    sight: &Sight,
    intent: Intent<Stored>,
    permit: LimitPermit,
) -> (ResetRecord, Outcome) {
    let (record, call, attempt) = intent.spend();
    // From here on it counts as sent, whether it leaves or not: if it does not, the record soon says that nothing is unanswered, and
    // then it may not be sent any more.
    context.sent.set(&record.name_any(), attempt.id.clone());
    if attempt.process != context.process {
        // Never so by design. If it were, the other process might have sent it.
        return (record, Outcome::Unknown("the attempt is another process's".to_owned()));
    }
    let outcome = match send(context, sight, &record, call, &attempt, permit).await {
        Ok(reply) => outcome(reply, call, sight.later(context)),
        Err(Block { reason, message }) => Outcome::NotSent { reason, message },
    };
    log(&record, call, &outcome);
    (record, outcome)
}

async fn send<T: Transport>(
    context: &Context<T>,
    sight: &Sight,
    record: &ResetRecord,
    call: Call,
    attempt: &Attempt,
    permit: LimitPermit,
) -> Result<Reply<Accepted>, Block> {
    let spec = &record.spec;
    let account = sight.account.as_deref().ok_or_else(|| not_known(&spec.account_name))?;
    // What is no trouble of ECS or the account leaves the row where it was.
    let (reason, sent) = match call {
        Call::Restart { .. } => (reasons::PASSWORD_SET, "the restart"),
        Call::SetPassword | Call::SetPasswordAsStored => (reasons::SETTING_PASSWORD, "the password"),
    };
    let held = |why: &str| Block { reason, message: format!("{sent} was not sent: {why}; it is tried again") };
    let (endpoint, credentials, destination) = prepare(account, &spec.region_id, sight.later(context))?;
    let stamp = Stamp { timestamp: attempt.timestamp.0, nonce: context.clock.nonce() };
    let signed: Signed<Accepted> = match call {
        Call::Restart { .. } => reboot_instance(&endpoint, credentials, &spec.instance_id, &stamp),
        Call::SetPassword | Call::SetPasswordAsStored => {
            let password: &SecretString = sight.password.as_ref().ok_or_else(|| held("it was not read"))?;
            modify_password(&endpoint, credentials, &spec.instance_id, password, &stamp)
        }
    };
    if sight.later(context) > later(attempt.timestamp.0, SEND_WINDOW) {
        return Err(held("the attempt is too old"));
    }
    may_send_now(context, sight, spec)?;
    // A request that has not left when connecting is given up never leaves.
    let needed = context.settings.ecs_connect_timeout;
    let Some(leave) = context.gate.permit(needed) else { return Err(held("this process does not lead")) };
    leave.spend();
    Ok(context.calls.send(destination, permit, signed).await)
}

/// What an answer means for the protocol.
fn outcome(reply: Reply<Accepted>, call: Call, now: Timestamp) -> Outcome {
    let error = match reply.result {
        Ok(Accepted { request_id }) => {
            return Outcome::Accepted { request_id: Some(request_id), at: whole_second_after(now) };
        }
        Err(error) => error,
    };
    match (error.verdict(), &error) {
        (Verdict::Unknown, _) => Outcome::Unknown(error.to_string()),
        (_, CallError::NotSent(_)) => Outcome::NotSent { reason: reasons::ECS_UNAVAILABLE, message: error.to_string() },
        (verdict, _) => {
            let message = format!("{error}{}", missing_permission(&error, call));
            Outcome::Refused { later: verdict == Verdict::Later, reason: reason(&error), message }
        }
    }
}

/// Which permission the refusal is about, where it is about one.
fn missing_permission(error: &CallError, call: Call) -> &'static str {
    match (error, call) {
        (CallError::Refused(refusal), _) if !refusal.names_a_missing_permission() => "",
        (CallError::Refused(_), Call::Restart { .. }) => "; the identity needs ecs:RebootInstance on the instance",
        (CallError::Refused(_), Call::SetPassword | Call::SetPasswordAsStored) => {
            "; the identity needs ecs:ModifyInstanceAttribute on the instance, and no policy may deny it by the condition ecs:PasswordCustomized"
        }
        _ => "",
    }
}

/// The first whole second that `time` is not after: records hold whole seconds, and a reading that was sent in the second of
/// an answer, but before it, must not count as one after it. For the same reason the answer's own `Date` will not do.
fn whole_second_after(time: Timestamp) -> Timestamp {
    let second = time.as_second() + i64::from(time.subsec_nanosecond() > 0);
    Timestamp::from_second(second).unwrap_or(time)
}

/// The reason that a row shows for a refusal.
fn reason(error: &CallError) -> &'static str {
    let code = if let CallError::Refused(Refusal { code, .. }) = error { code.as_str() } else { "" };
    match error.class() {
        Class::Throttled => reasons::THROTTLED,
        Class::WaitState => reasons::WAITING_FOR_STABLE_STATE,
        Class::Transient => reasons::ECS_UNAVAILABLE,
        Class::Auth => reasons::ACCOUNT_NOT_READY,
        Class::Gone => reasons::INSTANCE_NOT_FOUND,
        Class::Denied if code.starts_with("InstanceLocked") => reasons::INSTANCE_LOCKED,
        Class::Denied if code.starts_with("InstanceExpired") => reasons::INSTANCE_EXPIRED,
        Class::Denied => reasons::NOT_PERMITTED,
        Class::Invalid | Class::Refused | Class::Unknown => reasons::PASSWORD_REFUSED,
    }
}

fn log(record: &ResetRecord, call: Call, outcome: &Outcome) {
    let api = match call {
        Call::Restart { .. } => Action::RebootInstance.as_str(),
        Call::SetPassword | Call::SetPasswordAsStored => Action::ModifyInstanceAttribute.as_str(),
    };
    let instance_id = record.spec.instance_id.as_str();
    match outcome {
        Outcome::Accepted { request_id, .. } => {
            tracing::info!(api, instanceID = instance_id, requestID = request_id.as_deref(), "ECS accepted the call");
        }
        Outcome::Refused { later, message, .. } => {
            tracing::warn!(api, instanceID = instance_id, later, error = message.as_str(), "ECS refused the call");
        }
        Outcome::NotSent { reason, message } => {
            tracing::warn!(api, instanceID = instance_id, reason, error = message.as_str(), "the call was not sent");
        }
        Outcome::Unknown(why) => {
            tracing::warn!(api, instanceID = instance_id, error = why.as_str(), "the outcome of the call is not known");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::whole_second_after;

    #[test]
    fn an_acknowledgement_is_never_before_its_answer() {
        for (answered, noted) in
            [("10:00:00Z", "10:00:00Z"), ("10:00:00.000001Z", "10:00:01Z"), ("10:00:59.9Z", "10:01:00Z")]
        {
            let at = |time: &str| format!("2026-11-29T{time}").parse().unwrap();
            assert_eq!(whole_second_after(at(answered)), at(noted));
        }
    }
}
