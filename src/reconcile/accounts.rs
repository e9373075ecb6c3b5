//! The accounts as last checked: what a pass needs in order to call ECS for one.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};

use crate::api::ecs_account::{ECSAccountSpec, Network};
use crate::api::reasons;
use crate::decide::rollout::Block;
use crate::ecs::{Action, CallerIdentity, Credentials, Endpoint, EndpointError, ServerClock};

/// How long the answer to "may this identity describe instances" is kept.
const MAY_DESCRIBE_SECONDS: i64 = 60;

/// One account. It has no Debug, since it holds credentials.
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its spec.
    pub spec: ECSAccountSpec,
    /// What it signs with, or why it cannot be used.
    pub principal: Result<Principal, Block>,
    /// What answers have told about it.
    pub learnt: Arc<Learnt>,
    may_describe: Mutex<HashMap<String, (bool, Timestamp)>>,
}

/// What an account signs with, and who that is. No `Debug`: it holds credentials.
#[derive(Clone)]
pub struct Principal {
    /// The credentials.
    pub credentials: Credentials,
    /// Whose they are, as STS has said.
    pub identity: CallerIdentity,
    /// How long they are good; `None`: as long as nobody withdraws them.
    pub term: Option<Term>,
    /// The access key that the account names, where it names one; another one there is another principal.
    pub access_key_id: Option<String>,
}

/// How long temporary credentials are good, on the provider's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// When to get new ones.
    pub refresh_at: Timestamp,
    /// When they end.
    pub expires_at: Timestamp,
}

impl Principal {
    /// Whether the credentials have ended.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.term.is_some_and(|term| now >= term.expires_at)
    }
}

/// What the answers to an account's calls have told about it. It outlives a change of the account.
#[derive(Default)]
pub struct Learnt {
    /// ECS's clock.
    pub clock: ServerClock,
    rejected: Mutex<Option<String>>,
    denied: Mutex<BTreeSet<(String, &'static str)>>,
}

impl Learnt {
    /// ECS will not have this access key, or its token, any more.
    pub fn reject(&self, access_key_id: &str) {
        *self.rejected.lock().unwrap_or_else(PoisonError::into_inner) = Some(access_key_id.to_owned());
    }

    /// Whether ECS has rejected this access key last.
    pub fn is_rejected(&self, access_key_id: &str) -> bool {
        self.rejected.lock().unwrap_or_else(PoisonError::into_inner).as_deref() == Some(access_key_id)
    }

    /// STS has taken the access key after all.
    pub fn accept(&self) {
        *self.rejected.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the identity may call `action` in `region`, as an answer has just shown.
    pub fn set_permitted(&self, region: &str, action: Action, permitted: bool) {
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = (region.to_owned(), action.as_str());
        if permitted {
            denied.remove(&entry);
        } else {
            denied.insert(entry);
        }
    }

    /// What the identity lacks, as far as answers have shown.
    #[must_use]
    pub fn missing_permissions(&self) -> Vec<String> {
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        denied.iter().map(|(region, action)| format!("ecs:{action} in {region}")).collect()
    }

    /// Forgets what an identity lacked that is another now.
    pub fn forget_permissions(&self) {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// All accounts, by name.
#[derive(Default)]
pub struct Accounts(RwLock<HashMap<String, Arc<Account>>>);

impl Accounts {
    /// An account, once it was looked at.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Account>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Takes the result of a check. Returns whether the account has become usable or unusable by it.
    pub fn set(
        &self,
        name: &str,
        spec: ECSAccountSpec,
        principal: Result<Principal, Block>,
        learnt: Arc<Learnt>,
    ) -> bool {
        let (name, may_describe) = (name.to_owned(), Mutex::default());
        let account = Arc::new(Account { name: name.clone(), spec, principal, learnt, may_describe });
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

impl Account {
    /// ECS's clock.
    #[must_use]
    pub fn clock(&self) -> &ServerClock {
        &self.learnt.clock
    }

    /// Why an object of `namespace` cannot use the account in `region`; `None`: it can.
    #[must_use]
    pub fn block(&self, namespace: &str, region: &str) -> Option<Block> {
        let name = &self.name;
        if !self.spec.allows_namespace(namespace) {
            let message = format!(
                "ECSAccount {name} does not allow namespace {namespace}; its administrator can add it to allowedNamespaces"
            );
            return Some(Block { reason: reasons::NAMESPACE_NOT_ALLOWED, message });
        }
        if !self.spec.allows_region(region) {
            let message =
                format!("ECSAccount {name} does not allow region {region}; its administrator can add it to regions");
            return Some(Block { reason: reasons::REGION_NOT_ALLOWED, message });
        }
        let block = self.principal.as_ref().err()?;
        let message = format!("ECSAccount {name} is not ready: {}", block.message);
        Some(Block { reason: reasons::ACCOUNT_NOT_READY, message })
    }

    /// The endpoints of a region.
    ///
    /// # Errors
    /// When the region or the `url` makes no host.
    pub fn endpoint(&self, region: &str) -> Result<Endpoint, EndpointError> {
        endpoint(&self.spec, region)
    }

    /// What is remembered of whether the identity may describe instances of a region.
    #[must_use]
    pub fn may_describe(&self, region: &str, now: Timestamp) -> Option<bool> {
        let answers = self.may_describe.lock().unwrap_or_else(PoisonError::into_inner);
        let (may, asked) = answers.get(region)?;
        (now.duration_since(*asked) < SignedDuration::from_secs(MAY_DESCRIBE_SECONDS)).then_some(*may)
    }

    /// Remembers whether the identity may describe instances of a region.
    pub fn set_may_describe(&self, region: &str, may: bool, now: Timestamp) {
        let mut answers = self.may_describe.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(region.to_owned(), (may, now));
    }
}

/// The endpoints of a region of an account.
///
/// # Errors
/// When the region or the `url` makes no host.
pub fn endpoint(spec: &ECSAccountSpec, region: &str) -> Result<Endpoint, EndpointError> {
    let Some(endpoint) = &spec.endpoint else { return Endpoint::public(region) };
    if let Some(url) = &endpoint.url {
        return Endpoint::custom(region, url, endpoint.sts_url.as_deref());
    }
    match endpoint.network.unwrap_or_default() {
        Network::Public => Endpoint::public(region),
        Network::VPC => Endpoint::vpc(region),
        Network::Unrecognized => Err(EndpointError::Url),
    }
}
