//! `ECSAccount`: the credentials for one Alibaba Cloud account, and which namespaces may use them.
//!
//! Cluster-scoped, written by the platform's administrator. It holds references to credentials, never credentials.

mod credentials;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use credentials::{AssumeRole, Credentials, ECSRAMRole, Environment, RRSA, SecretRef};

/// The rules that more than one field has, and what they say.
const IS_URL: &str = "self.matches('^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$')";
const URL: &str = "must be 'https://' with a host and an optional port, and nothing after it";

// The schemas of one entry of a list, with rules of their own: then the API server names the entry that is wrong, by its index.
#[derive(JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.matches('^[a-z]{2}(-[a-z0-9]+)+$') && !self.matches('(-[a-z]|[0-9][a-z])$')",
    "message": "must be a region ID such as 'cn-hangzhou', not a zone ID",
}]))]
struct RegionID(
    #[schemars(length(max = 64))]
    #[expect(dead_code)]
    String,
);

#[derive(JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!format.dns1123Label().validate(self).hasValue()",
    "message": "must be the name of a namespace: lower-case letters, digits and '-'",
}]))]
struct NamespaceName(
    #[schemars(length(max = 63))]
    #[expect(dead_code)]
    String,
);

/// What an `ECSAccount` declares.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "ecs.password-reset.dev",
    version = "v1alpha1",
    kind = "ECSAccount",
    plural = "ecsaccounts",
    shortname = "ecsa",
    category = "ecs-password-reset",
    status = "ECSAccountStatus",
    derive = "PartialEq",
    doc = "ECSAccount declares the credentials for one Alibaba Cloud account and the namespaces whose PasswordResets may use them. It is cluster-scoped and belongs to the platform's administrator.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend"),
    printcolumn(name = "Account ID", type_ = "string", json_path = ".status.accountID"),
    printcolumn(name = "Identity", type_ = "string", json_path = ".status.identityARN"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.credentialsExpireTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ECSAccountSpec {
    /// Where the credentials come from: exactly one of `rrsa`, `ecsRAMRole`, `secretRef` and `environment`.
    pub credentials: Credentials,

    /// A role to assume with those credentials, for example in another Alibaba Cloud account; all calls to ECS are then
    /// made as that role. Absent = the credentials are used themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRole>,

    /// The id of the Alibaba Cloud account that the credentials, or the assumed role, must belong to, for example
    /// `"1234567890123456"`; in quotes, because YAML would read a number otherwise. It is compared with `GetCallerIdentity`
    /// at each look at the account; while it differs nothing is started. Absent = any account.
    #[serde(rename = "expectedAccountID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{6,32}$')").message("must be the digits of an account's id, in quotes"))]
    pub expected_account_id: Option<String>,

    /// The regions that may be used, 1 to 64, for example `[cn-hangzhou]`. Absent = all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), with = "Vec<RegionID>")]
    pub regions: Option<Vec<String>>,

    /// The namespaces whose PasswordResets may use this account. Required: there is no open default.
    pub allowed_namespaces: AllowedNamespaces,

    /// Which instances may be reset from which namespaces, 1 to 32 rules: an instance must match one of them, before its
    /// password is set and again before it is restarted. Absent = every instance of the account, from every allowed
    /// namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub rules: Option<Vec<InstanceRule>>,

    /// The brake for all that uses this account. true: nothing new is started, and no restart is requested; a restart that was
    /// requested already is followed to its end. Absent = false. Leave it out of Git, so that it can be patched by hand in an
    /// emergency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// Bounds on what the controller does with this account. Absent = the defaults of each field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,

    /// Which endpoints are called. Absent = the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
}

/// Which instances may be reset from which namespaces. Tags are those that ECS shows, not what an object says.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.namespaces) || has(self.instanceTags)")
        .message("must hold `namespaces`, `instanceTags` or both")
)]
pub struct InstanceRule {
    /// The namespaces that the rule is for, 1 to 64. Absent = all that the account allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), with = "Vec<NamespaceName>")]
    pub namespaces: Option<Vec<String>>,

    /// The tags that an instance must have, all of them with these values, 1 to 20, for example
    /// `{password-reset: enabled}`. Absent = every instance. Whoever may tag instances decides what this allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 20, "x-kubernetes-map-type" = "atomic"))]
    pub instance_tags: Option<BTreeMap<String, TagValue>>,
}

/// The value of a tag; may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct TagValue(#[schemars(length(max = 128))] pub String);

/// The namespaces whose objects may use an account; exactly one field is set. By name and not by label, since labels
/// can be edited by a namespace's owner.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[x_kube(
    validation = Rule::new("has(self.names) != has(self.from)")
        .message("must hold exactly one of `names` and `from`")
)]
pub struct AllowedNamespaces {
    /// The names of the namespaces, 1 to 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), with = "Vec<NamespaceName>")]
    pub names: Option<Vec<String>>,

    /// `All`: every namespace of the cluster.
    // kube keeps the text of an optional enum and drops this field's: the default would not be explained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "NamespacesFrom")]
    pub from: Option<NamespacesFrom>,
}

/// A named set of namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum NamespacesFrom {
    /// Every namespace of the cluster.
    All,
    /// A value of another version of this API: no namespace.
    #[serde(other)]
    #[schemars(skip)]
    Unrecognized,
}

/// Bounds on what the controller does with an account.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Calls per second, per region and kind of call, 1 to 100. Absent = 5. ECS throttles all users of an account
    /// together, so leave room for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub requests_per_second: Option<u32>,

    /// How many instances may be away at once because of all objects that use this account, 1 to 1000: claims in progress, and restarted
    /// instances until they have been Running for `minReadySeconds`. Objects take turns, the one that has waited longest first. Absent = no
    /// bound but that of each object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_unavailable: Option<u32>,

    /// The same for each zone, 1 to 1000: at most so many instances of one zone are away at once. Absent = no such bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_unavailable_per_zone: Option<u32>,

    /// How long after a restart of an instance by this controller the next reset of it may begin, in seconds,
    /// 0 to 86400, whichever object asks for it. Absent = 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub min_restart_interval_seconds: Option<u32>,
}

/// Which endpoints are called: `network`, or `url` for a private gateway.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.network) != has(self.url)")
        .message("must hold exactly one of `network` and `url`"),
    validation = Rule::new("!has(self.stsURL) || has(self.url) || (self.network == 'VPC' && self.stsURL.matches('^https://[a-z0-9.-]+[.]aliyuncs[.]com$'))")
        .message("must hold `url` where it holds `stsURL`, unless `network` is VPC and `stsURL` an address of aliyuncs.com")
)]
pub struct Endpoint {
    /// `Public`: the region's public endpoints. `VPC`: those reachable from inside a VPC of that region.
    // kube keeps the text of an optional enum and drops this field's: the default would not be explained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Network")]
    pub network: Option<Network>,

    /// A private gateway to ECS, for example `https://ecs.gateway.internal`. Plain http is refused unless the controller
    /// runs with --allow-http-endpoints, which is for demos and tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(IS_URL).message(URL))]
    pub url: Option<String>,

    /// The address of STS, beside `url`, or one of aliyuncs.com beside `network: VPC`. Absent = `url`; with `network: VPC` the STS inside the VPC of the
    /// first of `regions`, which not every region has. Example: `https://sts-vpc.cn-beijing.aliyuncs.com`.
    #[serde(rename = "stsURL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(IS_URL).message(URL))]
    pub sts_url: Option<String>,
}

/// From where the endpoints are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Network {
    /// The internet.
    #[default]
    Public,
    /// Inside a VPC of the region.
    VPC,
    /// A value of another version of this API: the account is not ready.
    #[serde(other)]
    #[schemars(skip)]
    Unrecognized,
}

/// What the controller has found out about an account.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = super::conditions::unseen_status()))]
pub struct ECSAccountStatus {
    /// The generation of the spec that this status speaks of; -1 before the controller has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,

    /// The id of the Alibaba Cloud account, as `GetCallerIdentity` says.
    #[serde(rename = "accountID", default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,

    /// Who the credentials speak for, as `GetCallerIdentity` says.
    #[serde(rename = "identityARN", default, skip_serializing_if = "Option::is_none")]
    pub identity_arn: Option<String>,

    /// Until when the credentials are good, where they are temporary ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_expire_time: Option<Time>,

    /// What the identity lacks, as ECS has said, such as `ecs:DescribeInstances in cn-hangzhou`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_permissions: Vec<String>,

    /// What was learnt about the regions in which the account has restarted instances.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<RegionStatus>,
}

/// What was learnt about a region.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegionStatus {
    /// The region.
    #[serde(rename = "regionID")]
    pub region_id: String,
    /// Whether a reboot moves an instance's StartTime there.
    pub start_time_follows_reboot: StartTimeFollowsReboot,
}

/// Whether a reboot moves StartTime. Where it is known to, an unmoved StartTime proves that a restart whose answer was lost
/// did not happen, and it is requested again; else its outcome is Unknown and a person decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum StartTimeFollowsReboot {
    /// Three instances have shown it.
    Observed,
    /// At least one instance has shown the opposite.
    NotObserved,
    /// Not enough restarts were seen.
    #[default]
    Unknown,
    /// A value of another version of this API: nothing is concluded from StartTime.
    #[serde(other)]
    #[schemars(skip)]
    Unrecognized,
}

impl ECSAccountStatus {
    /// What is on record about a region.
    pub fn start_time_follows_reboot(&self, region_id: &str) -> StartTimeFollowsReboot {
        let region = self.regions.iter().find(|region| region.region_id == region_id);
        region.map_or_else(StartTimeFollowsReboot::default, |region| region.start_time_follows_reboot)
    }
}

impl ECSAccountSpec {
    /// Whether objects of `namespace` may use the account.
    pub fn allows_namespace(&self, namespace: &str) -> bool {
        let AllowedNamespaces { names, from } = &self.allowed_namespaces;
        *from == Some(NamespacesFrom::All) || names.iter().flatten().any(|name| name == namespace)
    }

    /// Whether `region` may be used.
    pub fn allows_region(&self, region: &str) -> bool {
        self.regions.as_ref().is_none_or(|regions| regions.iter().any(|allowed| allowed == region))
    }

    /// Whether the rules let `namespace` reset an instance with these tags.
    pub fn allows_instance(&self, namespace: &str, tags: &BTreeMap<String, String>) -> bool {
        let Some(rules) = &self.rules else { return true };
        rules.iter().any(|InstanceRule { namespaces, instance_tags }| {
            namespaces.as_ref().is_none_or(|names| names.iter().any(|name| name == namespace))
                && instance_tags.iter().flatten().all(|(key, value)| tags.get(key) == Some(&value.0))
        })
    }

    /// Whether nothing new may be started through the account and no restart requested.
    pub fn suspended(&self) -> bool {
        self.suspend.unwrap_or(false)
    }

    /// Calls per second, per region and kind of call.
    pub fn requests_per_second(&self) -> u32 {
        self.limits.as_ref().and_then(|limits| limits.requests_per_second).unwrap_or(5)
    }

    /// How many instances may be away at once because of all objects; `None`: no bound.
    pub fn max_unavailable(&self) -> Option<u32> {
        self.limits.as_ref().and_then(|limits| limits.max_unavailable)
    }

    /// How many of one zone; `None`: no bound.
    pub fn max_unavailable_per_zone(&self) -> Option<u32> {
        self.limits.as_ref().and_then(|limits| limits.max_unavailable_per_zone)
    }

    /// How long after a restart of an instance the next reset of it may begin.
    pub fn min_restart_interval_seconds(&self) -> u32 {
        self.limits.as_ref().and_then(|limits| limits.min_restart_interval_seconds).unwrap_or(600)
    }
}
