//! What a simulator begins with: accounts, instances, limits. The seed file is this in JSON (camelCase).

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use crate::instance::Instance;

/// A simulator's beginning. No `Debug`: it holds secrets, if only made-up ones.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Where `RequestIds` come from. Default 1.
    pub seed: u64,
    /// Who may sign. Default: [`AccessKey::testing`] alone.
    pub access_keys: Vec<AccessKey>,
    /// What there is at the start. Default: nothing.
    pub instances: Vec<Instance>,
    /// Regions that exist beside those of the instances. Default: a handful of real ones.
    pub regions: Vec<String>,
    /// Calls per minute by action, in each region; an action that is not named has no limit. Default: no limits.
    pub quotas_per_minute: BTreeMap<String, u32>,
    /// Whether a throttled answer says when to come back (`x-acs-retry-after`). Default true.
    pub tell_retry_after: bool,
    /// How old a request's Timestamp may be, in seconds. Default 1860: the RPC signature page's 31 minutes.
    pub request_validity_seconds: u32,
    /// How far ECS's clock is ahead of this machine's at the start, in seconds (may be negative). Default 0.
    pub clock_ahead_seconds: f64,
}

impl Default for Config {
    fn default() -> Self {
        let regions = ["cn-hangzhou", "cn-shanghai", "cn-beijing", "cn-shenzhen", "ap-southeast-1", "eu-central-1"];
        Self {
            seed: 1,
            access_keys: vec![AccessKey::testing()],
            instances: Vec::new(),
            regions: regions.map(str::to_owned).to_vec(),
            quotas_per_minute: BTreeMap::new(),
            tell_retry_after: true,
            request_validity_seconds: 1860,
            clock_ahead_seconds: 0.0,
        }
    }
}

impl Config {
    /// Reads a seed file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read(path).map_err(|error| ConfigError(format!("cannot read {}: {error}", path.display())))?;
        serde_json::from_slice(&text)
            .map_err(|error| ConfigError(format!("{} is not a seed file: {error}", path.display())))
    }

    /// Adds one instance.
    #[must_use]
    pub fn with(mut self, instance: Instance) -> Self {
        self.instances.push(instance);
        self
    }

    /// Limits an action to so many calls per minute and region.
    #[must_use]
    pub fn with_quota(mut self, action: &str, calls_per_minute: u32) -> Self {
        self.quotas_per_minute.insert(action.to_owned(), calls_per_minute);
        self
    }
}

/// A seed file that cannot be used, and why.
#[derive(Debug)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// One `AccessKey` and what RAM lets it do. No `Debug`: it holds the secret.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessKey {
    /// The public half.
    pub access_key_id: String,
    /// The secret half.
    pub access_key_secret: String,
    /// Set for temporary credentials: every request must then carry it.
    #[serde(default)]
    pub security_token: Option<String>,
    /// When the token ends. `None`: it does not.
    #[serde(default)]
    pub security_token_expires: Option<Timestamp>,
    /// What `GetCallerIdentity` says. Default `1234567890123456`.
    #[serde(default = "default_account")]
    pub account_id: String,
    /// Whether the key was switched off.
    #[serde(default)]
    pub inactive: bool,
    /// What RAM refuses; everything else is allowed.
    #[serde(default)]
    pub denied: Vec<Denied>,
}

/// One thing that a key may not do.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Denied {
    /// The action, or `*`.
    pub action: String,
    /// The instance; `None`: any.
    #[serde(default)]
    pub instance_id: Option<String>,
}

fn default_account() -> String {
    "1234567890123456".to_owned()
}

impl AccessKey {
    /// A long-lived key that may do everything.
    #[must_use]
    pub fn new(access_key_id: &str, access_key_secret: &str) -> Self {
        Self {
            access_key_id: access_key_id.to_owned(),
            access_key_secret: access_key_secret.to_owned(),
            security_token: None,
            security_token_expires: None,
            account_id: default_account(),
            inactive: false,
            denied: Vec::new(),
        }
    }

    /// The key of tests and the demo: `testid` / `testsecret`, as in ECS's own signature examples.
    #[must_use]
    pub fn testing() -> Self {
        Self::new("testid", "testsecret")
    }

    /// Makes it a temporary key.
    #[must_use]
    pub fn with_token(mut self, security_token: &str) -> Self {
        self.security_token = Some(security_token.to_owned());
        self
    }

    /// Refuses `action` (`*`: all) on one instance, or on all.
    #[must_use]
    pub fn deny(mut self, action: &str, instance_id: Option<&str>) -> Self {
        self.denied.push(Denied { action: action.to_owned(), instance_id: instance_id.map(str::to_owned) });
        self
    }

    /// Whether RAM lets it do `action` on `instance_id`.
    pub(crate) fn may(&self, action: &str, instance_id: &str) -> bool {
        !self.denied.iter().any(|denied| {
            (denied.action == "*" || denied.action == action)
                && denied.instance_id.as_deref().is_none_or(|id| id == instance_id)
        })
    }
}
