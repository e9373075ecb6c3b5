//! How instances are read: `DescribeInstances` for the poll tasks, and the translation of what it shows for `decide`.

use std::sync::Arc;

use jiff::Timestamp;

use crate::api::Reason;
use crate::api::reset_record::ResetRecordSpec;
use crate::clock::Clock;
use crate::cloud::accounts::{Accounts, UsableAccount, not_ready};
use crate::cloud::calls::{Calls, prepare};
use crate::decide::reset::facts::ReadHold;
use crate::decide::{Hold, InstanceView, Power, Reading};
use crate::ecs::{
    ApiCall, CallError, Class, Describe, DescribeError, Described, ErrorResponse, Instance, InstanceStatus,
    Observation, Scope, Transport, describe_instances, describe_instances_dry_run,
};

/// 100 ids fit one page; a gateway that returns tokens without end is not followed for ever.
const PAGES_MAX: usize = 20;
/// How the poll task is known to the limiter.
const POLL: &str = "poll";

/// Reads instances for the poll tasks.
pub struct Reader<T> {
    /// The way to ECS.
    pub calls: Arc<Calls<T>>,
    /// The accounts.
    pub accounts: Arc<Accounts>,
    /// The clock.
    pub clock: Clock,
}

impl<T: Transport + Send + Sync + 'static> Describe for Reader<T> {
    async fn describe(&self, scope: &Scope, ids: Vec<String>) -> Described {
        let Some(account) = self.accounts.get(&scope.account) else {
            let error = DescribeError::NotReady(format!("ECSAccount {} does not exist", scope.account));
            return Described { sent_at: self.clock.now(), result: Err(error) };
        };
        let local = self.clock.now();
        let result = self.pages(&account, scope, &ids).await;
        // By ECS's clock as this very answer shows it: since the last one a local clock that runs too fast was ahead.
        Described { sent_at: account.clock().now(local), result }
    }
}

impl<T: Transport> Reader<T> {
    async fn pages(
        &self,
        account: &UsableAccount,
        scope: &Scope,
        ids: &[String],
    ) -> Result<Vec<Instance>, DescribeError> {
        let (endpoint, credentials, destination) =
            prepare(account, scope, self.calls.now(account)).map_err(|hold| DescribeError::NotReady(hold.message))?;
        let mut instances = Vec::new();
        let mut next_token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let permit =
                self.calls.acquire_rate(scope, ApiCall::DescribeInstances, POLL).map_err(DescribeError::NotBefore)?;
            let stamp = self.calls.stamp(account.clock());
            let signed = describe_instances(&endpoint, credentials, ids, next_token.as_deref(), &stamp);
            let page = self.calls.send(destination, permit, signed).await.result?;
            instances.extend(page.instances);
            next_token = page.next_token;
            if next_token.is_none() {
                return Ok(instances);
            }
        }
        Err(DescribeError::Endless(PAGES_MAX))
    }
}

/// The scope in which the claim's instance is read.
pub fn scope(spec: &ResetRecordSpec) -> Scope {
    Scope { account: spec.account_name.clone(), region_id: spec.region_id.clone() }
}

/// Asks ECS, with a dry run, whether the account may describe an instance: an answer without it does not tell. `None`: it did not
/// say, or cannot be asked now.
pub async fn may_describe<T: Transport>(
    calls: &Calls<T>,
    account: &UsableAccount,
    scope: &Scope,
    instance_id: &str,
    now: Timestamp,
) -> Option<bool> {
    let (endpoint, credentials, destination) = prepare(account, scope, now).ok()?;
    let permit = calls.acquire_rate(scope, ApiCall::DescribeInstances, instance_id).ok()?;
    let stamp = calls.stamp(account.clock());
    let signed = describe_instances_dry_run(&endpoint, credentials, &[instance_id.to_owned()], &stamp);
    match calls.send(destination, permit, signed).await.result {
        Ok(_) => Some(true),
        Err(error) if error.class() == Class::Denied => Some(false),
        Err(_) => None,
    }
}

/// What an object says of a call that ECS refuses for the account's credentials: no more than that its account is not ready. The account
/// itself and the log say why. What the next check renews, the time and the token of a session, is nobody's turn yet.
pub fn of_account(account: &str, error: &CallError) -> Option<Hold> {
    let CallError::Refused(refusal) = error else { return None };
    let is_renewed = refusal.blames_the_clock() || refusal.code.starts_with("InvalidSecurityToken");
    let reason = if is_renewed { Reason::AccountNotReady } else { Reason::CredentialsRefused };
    (refusal.class == Class::Auth).then(|| not_ready(account, reason))
}

/// Why instances of a region cannot be read, as their objects show it.
pub fn read_hold_of(error: &DescribeError, scope: &Scope) -> ReadHold {
    let region = &scope.region_id;
    if let DescribeError::Call(call) = error
        && let Some(hold) = of_account(&scope.account, call)
    {
        return ReadHold { hold, is_for_a_person: error.is_for_a_person() };
    }
    let reason = match error {
        DescribeError::NotReady(_) => Reason::AccountNotReady,
        DescribeError::NotBefore(_) => Reason::Throttled,
        DescribeError::Endless(_) => Reason::ECSUnavailable,
        DescribeError::Call(call) => match call.class() {
            Class::Throttled => Reason::Throttled,
            _ if is_about_rights(call) => Reason::NotPermitted,
            _ if error.is_refused() => Reason::ReadRefused,
            _ => Reason::ECSUnavailable,
        },
    };
    let is_for_a_person = error.is_for_a_person();
    let message = match error {
        DescribeError::Call(_) | DescribeError::Endless(_) => {
            format!("instances in {region} cannot be read: {}", words(error))
        }
        DescribeError::NotReady(_) | DescribeError::NotBefore(_) => error.to_string(),
    };
    ReadHold { hold: Hold::new(reason, message), is_for_a_person }
}

fn is_about_rights(call: &CallError) -> bool {
    matches!(call, CallError::Refused(refusal) if refusal.is_about_rights())
}

/// An error without its RequestId. With it, every object's status would be written after each poll while ECS fails.
fn words(error: &DescribeError) -> String {
    match error {
        DescribeError::Call(CallError::Refused(refusal)) => {
            let refusal = ErrorResponse { request_id: None, ..refusal.clone() };
            DescribeError::Call(CallError::Refused(refusal)).to_string()
        }
        other => other.to_string(),
    }
}

/// An observation as the decisions take it, for an object of `namespace`. Without an account nothing is permitted.
pub fn reading(observation: &Observation, account: Option<&UsableAccount>, namespace: &str) -> Reading {
    let permitted =
        |instance: &Instance| account.is_some_and(|account| account.spec.allows_instance(namespace, &instance.tags));
    let seen = observation.instance.as_deref().map(|instance| seen(instance, permitted(instance)));
    Reading { sent_at: observation.sent_at, since: observation.since, seen }
}

fn seen(instance: &Instance, permitted: bool) -> InstanceView {
    let power = match &instance.status {
        InstanceStatus::Running => Power::Running,
        InstanceStatus::Stopped => Power::Stopped,
        other => Power::Transitional(other.as_str().to_owned()),
    };
    InstanceView {
        power,
        start_time: instance.start_time,
        name: instance.name.clone(),
        zone_id: instance.zone_id.clone(),
        os_type: instance.os_type.as_str().to_owned(),
        key_pair_name: instance.key_pair_name.clone(),
        locks: instance.locks.clone(),
        expires: instance.expired_time,
        permitted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecs::error::{ErrorAnswer, classify};

    #[test]
    fn describe_errors_map_to_reasons() {
        let scope = Scope { account: "default".to_owned(), region_id: "cn-hangzou".to_owned() };
        let refused = |code: &str| {
            let answer = ErrorAnswer { http_status: 403, code: Some(code), request_id: Some("A-1"), message: "" };
            let (class, executed) = classify(&answer);
            let refusal = ErrorResponse {
                action: ApiCall::DescribeInstances,
                code: code.to_owned(),
                http_status: 403,
                request_id: None,
                unreadable: None,
                names_instance_id: false,
                executed,
                class,
                retry_after: None,
            };
            let read_hold = read_hold_of(&CallError::Refused(refusal).into(), &scope);
            let says = |words: &str| read_hold.hold.message.contains(words);
            // An error of the account is for its administrator.
            let is_of_account = read_hold.hold.reason == Reason::AccountNotReady;
            assert!(
                says(code) != is_of_account && says(if is_of_account { "ECSAccount default" } else { "cn-hangzou" })
            );
            (read_hold.hold.reason, read_hold.is_for_a_person)
        };
        assert_eq!(refused("Throttling.User"), (Reason::Throttled, false));
        assert_eq!(refused("Forbidden.RAM"), (Reason::NotPermitted, true));
        assert_eq!(refused("InvalidAccessKeyId.Inactive"), (Reason::AccountNotReady, true));
        assert_eq!(refused("InternalError"), (Reason::ECSUnavailable, false));
        for code in
            ["InvalidRegionId.NotFound", "InvalidOperation.NotSupportedEndpoint", "QuiteNew", "Forbidden.RiskControl"]
        {
            assert_eq!(refused(code), (Reason::ReadRefused, true), "{code}");
        }
        let reason = |error: DescribeError| {
            let ReadHold { hold, is_for_a_person } = read_hold_of(&error, &scope);
            (hold.reason, is_for_a_person)
        };
        assert_eq!(reason(DescribeError::NotReady("no".to_owned())), (Reason::AccountNotReady, false));
        assert_eq!(reason(DescribeError::Endless(20)), (Reason::ECSUnavailable, false));
        assert_eq!(reason(CallError::NotSent("no name".to_owned()).into()), (Reason::ECSUnavailable, true));
        let lost = CallError::NoAnswer("no answer in time".to_owned());
        assert_eq!(reason(lost.into()), (Reason::ECSUnavailable, false));
    }
}
