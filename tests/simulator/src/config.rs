//! What a simulator begins with: keys, roles, instances, limits. The seed file is this in JSON (camelCase).

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use crate::access_key::AccessKey;
use crate::instance::Instance;
use crate::metadata::InstanceMetadata;
use crate::role::Role;

/// A simulator's beginning. No `Debug`: it holds secrets, if only made-up ones.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Where `RequestIds` come from. Default 1.
    pub seed: u64,
    /// The keys that may sign. Default: [`AccessKey::testing`] alone.
    pub access_keys: Vec<AccessKey>,
    /// The roles that can be assumed. Default: none.
    pub roles: Vec<Role>,
    /// What the metadata service of the controller's instance says. Default: that it has no role.
    pub metadata: InstanceMetadata,
    /// What there is at the start. Default: nothing.
    pub instances: Vec<Instance>,
    /// Regions that exist beside those of the instances. Default: a handful of real ones.
    pub regions: Vec<String>,
    /// Calls per minute by action, in each region; an action that is not named has no limit. Default: no limits.
    pub quotas_per_minute: BTreeMap<String, u32>,
    /// Whether a throttled answer says when to come back (`x-acs-retry-after`). Default true.
    pub tell_retry_after: bool,
    /// Whether `DescribeInstances` answers who may not see an instance with a list that lacks it, as ECS's pages said up to January 2026;
    /// else it refuses the call with `Forbidden.RAM`. Later pages say neither. Default true.
    pub unpermitted_are_unlisted: bool,
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
            roles: Vec::new(),
            metadata: InstanceMetadata::default(),
            instances: Vec::new(),
            regions: regions.map(str::to_owned).to_vec(),
            quotas_per_minute: BTreeMap::new(),
            tell_retry_after: true,
            unpermitted_are_unlisted: true,
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

    /// Adds a key.
    #[must_use]
    pub fn with_access_key(mut self, key: AccessKey) -> Self {
        self.access_keys.push(key);
        self
    }

    /// Refuses `DescribeInstances` of instances that the key may not see.
    #[must_use]
    pub fn refusing_unpermitted_reads(mut self) -> Self {
        self.unpermitted_are_unlisted = false;
        self
    }

    /// Adds a role that STS knows.
    #[must_use]
    pub fn with_role(mut self, role: Role) -> Self {
        self.roles.push(role);
        self
    }

    /// Adds a role and makes it the role of the controller's instance.
    #[must_use]
    pub fn with_instance_role(mut self, role: Role) -> Self {
        self.metadata.role = Some(role.arn.clone());
        self.with_role(role)
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
