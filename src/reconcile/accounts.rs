//! The accounts as last checked: what a pass needs in order to call ECS for one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};

use crate::api::ecs_account::{ECSAccountSpec, Network};
use crate::api::reasons;
use crate::decide::rollout::Block;
use crate::ecs::{Credentials, Endpoint, EndpointError, ServerClock};

/// How long the answer to "may this identity describe instances" is kept.
const MAY_DESCRIBE_SECONDS: i64 = 60;

/// One account. It has no Debug, since it holds credentials.
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its spec.
    pub spec: ECSAccountSpec,
    /// Its credentials, or why it cannot be used.
    pub credentials: Result<Credentials, Block>,
    /// ECS's clock, which outlives a change of the account.
    pub clock: Arc<ServerClock>,
    may_describe: Mutex<HashMap<String, (bool, Timestamp)>>,
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
        credentials: Result<Credentials, Block>,
        clock: Arc<ServerClock>,
    ) -> bool {
        let (name, may_describe) = (name.to_owned(), Mutex::default());
        let account = Arc::new(Account { name: name.clone(), spec, credentials, clock, may_describe });
        let mut accounts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (spec, usable) = (account.spec.clone(), account.credentials.is_ok());
        let before = accounts.insert(name, account);
        before.is_none_or(|before| before.spec != spec || before.credentials.is_ok() != usable)
    }

    /// Forgets an account that was deleted.
    pub fn forget(&self, name: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

impl Account {
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
        let block = self.credentials.as_ref().err()?;
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
