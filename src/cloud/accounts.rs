//! The accounts as last checked: what a pass needs in order to call ECS for one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::api::Reason;
use crate::api::ecs_account::{ECSAccountSpec, Network};
use crate::clock;
use crate::decide::budget::AccountBounds;
use crate::decide::{Hold, MINUTE, later, minute};
use crate::ecs::{ApiCall, CallerIdentity, EndpointError, Keys, RegionEndpoint, ServerClock};

/// How long the answer to "may this identity describe instances" is kept.
const MAY_DESCRIBE_SECONDS: i64 = 60;
/// How soon an account that is not ready is checked again, at the latest.
pub const RECHECK: Duration = Duration::from_secs(15);
/// How long ECS is not asked with credentials that it refuses although STS takes them.
const REJECTED_SECONDS: i64 = 60;

/// One account. It has no Debug because it holds credentials.
pub struct UsableAccount {
    /// Its name.
    pub name: String,
    /// Its spec.
    pub spec: ECSAccountSpec,
    /// What it signs with, or why it cannot be used.
    pub principal: Result<Identity, Hold>,
    /// What answers have told about it.
    pub learnt: Arc<AccountObservations>,
    may_describe: Mutex<HashMap<String, (bool, Timestamp)>>,
}

/// What an account signs with, and who that is. No `Debug`: it holds credentials.
#[derive(Clone)]
pub struct Identity {
    /// The credentials.
    pub credentials: Keys,
    /// Whose they are, as STS has said.
    pub identity: CallerIdentity,
    /// How long they are valid; `None`: until they are withdrawn.
    pub term: Option<Term>,
    /// The access key that the account names, where it names one; another one there is another principal.
    pub access_key_id: Option<String>,
    /// Why the last check could not renew them, for the account's owner; `None`: it succeeded.
    pub failure: Option<String>,
}

/// How long temporary credentials are good, on the provider's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// When to get new ones.
    pub refresh_at: Timestamp,
    /// When they end.
    pub expires_at: Timestamp,
}

impl Identity {
    /// Whether the credentials have ended.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.term.is_some_and(|term| now >= term.expires_at)
    }
}

/// What the answers to an account's calls have told about it. It outlives a change of the account.
#[derive(Default)]
pub struct AccountObservations {
    /// ECS's clock.
    pub clock: ServerClock,
    rejected: Mutex<Option<Rejected>>,
    denied: Mutex<BTreeSet<(String, &'static str)>>,
    throttled: Mutex<BTreeMap<String, Timestamp>>,
}

/// The credentials that ECS has rejected last.
struct Rejected {
    access_key_id: String,
    code: String,
    at: Timestamp,
    /// How many were rejected in a row, with nothing taken in between.
    row: u32,
}

impl AccountObservations {
    /// Notes that ECS has rejected this access key or its token, at `at` with an error `code`.
    pub fn reject(&self, access_key_id: &str, code: &str, at: Timestamp) {
        let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        let row = match rejected.as_ref() {
            // Calls that were under way at the same time say nothing new.
            Some(before) if before.access_key_id == access_key_id => before.row,
            before => before.map_or(0, |before| before.row) + 1,
        };
        *rejected = Some(Rejected { access_key_id: access_key_id.to_owned(), code: code.to_owned(), at, row });
    }

    /// Whether ECS has rejected this access key last.
    pub fn is_rejected(&self, access_key_id: &str) -> bool {
        let rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        rejected.as_ref().is_some_and(|rejected| rejected.access_key_id == access_key_id)
    }

    /// ECS has taken what the account signs with.
    pub fn accept(&self) {
        *self.rejected.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Why credentials cannot be used although STS accepts them: ECS has just rejected these, or the ones that replaced earlier rejected
    /// ones. After a while they are tried again.
    pub fn why_rejected(&self, now: Timestamp, access_key_id: &str) -> Option<String> {
        let rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        let Rejected { access_key_id: last, code, at, row } = rejected.as_ref()?;
        let is_recent = clock::is_recent(*at, now, SignedDuration::from_secs(REJECTED_SECONDS));
        (is_recent && (last == access_key_id || *row > 1)).then(|| {
            format!("STS accepts the credentials, but ECS refuses them ({code}); the controller tries them again every minute")
        })
    }

    /// Whether the identity may call `action` in `region`, as an answer has just shown.
    pub fn set_permitted(&self, region: &str, action: ApiCall, permitted: bool) {
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = (region.to_owned(), action.as_str());
        if permitted {
            denied.remove(&entry);
        } else {
            denied.insert(entry);
        }
    }

    /// What the identity lacks, as far as answers have shown.
    pub fn missing_permissions(&self) -> Vec<String> {
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        denied.iter().map(|(region, action)| format!("ecs:{action} in {region}")).collect()
    }

    /// Notes that ECS throttles calls in `region`, which are held back until `until`. The full minute after it is kept, so that what is
    /// shown changes once a minute at most. Returns whether it has changed.
    pub fn throttle(&self, region: &str, until: Timestamp) -> bool {
        let until = later(minute(until), MINUTE);
        let mut throttled = self.throttled.lock().unwrap_or_else(PoisonError::into_inner);
        let is_shown = throttled.get(region).is_some_and(|before| until <= *before);
        if !is_shown {
            throttled.insert(region.to_owned(), until);
        }
        !is_shown
    }

    /// The regions in which ECS throttles calls, each with the minute in which none is held back any more at the latest.
    pub fn throttled(&self, now: Timestamp) -> Vec<(String, Timestamp)> {
        let mut throttled = self.throttled.lock().unwrap_or_else(PoisonError::into_inner);
        throttled.retain(|_, until| now < *until);
        throttled.iter().map(|(region, until)| (region.clone(), *until)).collect()
    }

    /// Forgets what an identity lacked that is another now.
    pub fn forget_permissions(&self) {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// All accounts, by name.
#[derive(Default)]
pub struct Accounts(RwLock<HashMap<String, Arc<UsableAccount>>>);

impl Accounts {
    /// An account, once it has been checked.
    pub fn get(&self, name: &str) -> Option<Arc<UsableAccount>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Takes the result of a check. Returns whether the account has become usable or unusable by it.
    pub fn set(
        &self,
        name: &str,
        spec: ECSAccountSpec,
        principal: Result<Identity, Hold>,
        learnt: Arc<AccountObservations>,
    ) -> bool {
        let (name, may_describe) = (name.to_owned(), Mutex::default());
        let account = Arc::new(UsableAccount { name: name.clone(), spec, principal, learnt, may_describe });
        let mut accounts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (spec, usable) = (account.spec.clone(), account.principal.is_ok());
        let before = accounts.insert(name, account);
        before.is_none_or(|before| before.spec != spec || before.principal.is_ok() != usable)
    }

    /// Forgets an account that was deleted.
    pub fn forget(&self, name: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

impl UsableAccount {
    /// How many instances may be away at once, over all objects.
    pub fn bounds(&self) -> AccountBounds {
        AccountBounds { max: self.spec.max_unavailable(), max_per_zone: self.spec.max_unavailable_per_zone() }
    }

    /// ECS's clock.
    pub fn clock(&self) -> &ServerClock {
        &self.learnt.clock
    }

    /// Why an object of `namespace` cannot use the account in `region`; `None`: it can.
    pub fn hold_for(&self, namespace: &str, region: &str) -> Option<Hold> {
        let name = &self.name;
        if !self.spec.allows_namespace(namespace) {
            let message = format!(
                "ECSAccount {name} does not allow namespace {namespace}; its administrator can add it to allowedNamespaces"
            );
            return Some(Hold::new(Reason::NamespaceNotAllowed, message));
        }
        if !self.spec.allows_region(region) {
            let message =
                format!("ECSAccount {name} does not allow region {region}; its administrator can add it to regions");
            return Some(Hold::new(Reason::RegionNotAllowed, message));
        }
        self.principal.as_ref().err().map(|hold| not_ready(name, hold.reason))
    }

    /// The endpoints of a region.
    ///
    /// # Errors
    /// When the region or the `url` makes no host.
    pub fn endpoint(&self, region: &str) -> Result<RegionEndpoint, EndpointError> {
        endpoint(&self.spec, region)
    }

    /// The last answer to whether the identity may describe instances of a region.
    pub fn may_describe(&self, region: &str, now: Timestamp) -> Option<bool> {
        let answers = self.may_describe.lock().unwrap_or_else(PoisonError::into_inner);
        let (may, asked) = answers.get(region)?;
        clock::is_recent(*asked, now, SignedDuration::from_secs(MAY_DESCRIBE_SECONDS)).then_some(*may)
    }

    /// Remembers whether the identity may describe instances of a region.
    pub fn set_may_describe(&self, region: &str, may: bool, now: Timestamp) {
        let mut answers = self.may_describe.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(region.to_owned(), (may, now));
    }
}

/// What an object says of an account that is not ready: the reason, and whose turn it is. Whose account it is, and where its credentials come
/// from, is for users who may read the account.
pub fn not_ready(account: &str, reason: Reason) -> Hold {
    let turn = if reason.passes_by_itself() {
        let seconds = RECHECK.as_secs();
        format!("this usually passes by itself, and is checked again within {seconds} s; its administrator sees why")
    } else {
        "its administrator must act, and sees why".to_owned()
    };
    let message =
        format!("ECSAccount {account} is not ready ({reason}); {turn}: kubectl describe ecsaccount {account}");
    Hold::new(Reason::AccountNotReady, message)
}

/// The endpoints of a region of an account.
///
/// # Errors
/// When the region or the `url` makes no host.
pub fn endpoint(spec: &ECSAccountSpec, region: &str) -> Result<RegionEndpoint, EndpointError> {
    let Some(endpoint) = &spec.endpoint else { return RegionEndpoint::public(region) };
    if let Some(url) = &endpoint.url {
        return RegionEndpoint::custom(region, url, endpoint.sts_url.as_deref());
    }
    match endpoint.network.unwrap_or_default() {
        Network::Public => RegionEndpoint::public(region),
        Network::VPC => {
            let vpc = RegionEndpoint::vpc(region)?;
            endpoint.sts_url.as_deref().map_or_else(|| Ok(vpc.clone()), |url| vpc.clone().with_sts(url))
        }
        Network::Unrecognized => Err(EndpointError::Network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn credentials_ecs_keeps_rejecting_are_tried_once_a_minute() {
        let learnt = AccountObservations::default();
        assert_eq!(learnt.why_rejected(at(0), "key"), None);
        learnt.reject("key", "InvalidAccessKeyId.Inactive", at(0));
        assert!(
            learnt.is_rejected("key")
                && learnt.why_rejected(at(59), "key").unwrap().contains("InvalidAccessKeyId.Inactive")
        );
        assert_eq!(learnt.why_rejected(at(60), "key"), None, "it may be good by now");
        learnt.accept();
        assert!(!learnt.is_rejected("key"));
    }

    #[test]
    fn throttling_is_shown_again_once_a_minute() {
        let learnt = AccountObservations::default();
        assert!(learnt.throttle("cn-hangzhou", at(61)));
        let again = (62..120).filter(|second| learnt.throttle("cn-hangzhou", at(*second))).count();
        assert_eq!(again, 0, "the same minute");
        assert!(!learnt.throttle("cn-hangzhou", at(5)), "an earlier end");
        assert!(learnt.throttle("cn-beijing", at(61)));
        let shown = |now| learnt.throttled(at(now)).into_iter().map(|(region, _)| region).collect::<Vec<_>>();
        assert_eq!(shown(119), ["cn-beijing", "cn-hangzhou"]);
        assert!(learnt.throttle("cn-hangzhou", at(120)));
        assert_eq!(shown(120), ["cn-hangzhou"]);
        assert!(shown(180).is_empty());
    }

    #[test]
    fn only_the_first_rejected_session_is_replaced_at_once() {
        let learnt = AccountObservations::default();
        for _ in 0..3 {
            learnt.reject("session-1", "InvalidSecurityToken.Expired", at(0));
        }
        assert_eq!(learnt.why_rejected(at(1), "session-2"), None);
        learnt.reject("session-2", "InvalidSecurityToken.Expired", at(2));
        assert!(learnt.why_rejected(at(3), "session-3").is_some());
        assert_eq!(learnt.why_rejected(at(62), "session-3"), None);
    }
}
