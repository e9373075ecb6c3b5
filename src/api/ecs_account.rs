//! `ECSAccount`: the credentials for one Alibaba Cloud account, and which namespaces may use them.
//!
//! Cluster-scoped, written by the platform's administrator. It holds references to credentials, never credentials.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    printcolumn(name = "Account ID", type_ = "string", json_path = ".status.accountID"),
    printcolumn(name = "Identity", type_ = "string", json_path = ".status.identityARN"),
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
    /// Where the credentials come from: exactly one of `secretRef` and `environment`.
    pub credentials: Credentials,

    /// The regions that may be used, 1 to 64, for example `[cn-hangzhou]`. Absent = all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(max = 64)))]
    #[x_kube(
        validation = Rule::new("self.all(x, x.matches('^[a-z]{2}(-[a-z0-9]+)+$') && !x.matches('(-[a-z]|[0-9][a-z])$'))")
            .message("must hold region IDs such as 'cn-hangzhou', not zone IDs")
    )]
    pub regions: Option<Vec<String>>,

    /// The namespaces whose PasswordResets may use this account. Required: there is no open default.
    pub allowed_namespaces: AllowedNamespaces,

    /// Bounds on what the controller does with this account. Absent = the defaults of each field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,

    /// Which endpoints are called. Absent = the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
}

/// Where the credentials come from; exactly one field is set.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.secretRef), has(self.environment)].filter(x, x).size() == 1")
        .message("must hold exactly one of `secretRef` and `environment`")
)]
pub struct Credentials {
    /// A Secret in the controller's own namespace with the keys `accessKeyID` and `accessKeySecret`, and
    /// `securityToken` for temporary credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,

    /// The official environment variables of the controller's pod: ALIBABA_CLOUD_ACCESS_KEY_ID,
    /// ALIBABA_CLOUD_ACCESS_KEY_SECRET and, for temporary credentials, ALIBABA_CLOUD_SECURITY_TOKEN. Write `{}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
}

/// Names a Secret in the controller's own namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct SecretRef {
    /// The name of the Secret.
    #[schemars(length(max = 253))]
    #[x_kube(
        validation = Rule::new("!format.dns1123Subdomain().validate(self).hasValue()")
            .message("must be the name of a Secret: lower-case letters, digits, '-' and '.'")
    )]
    pub name: String,
}

/// Takes the environment variables; it has no fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Environment {}

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
    #[schemars(length(min = 1, max = 256), inner(length(max = 63)))]
    #[x_kube(
        validation = Rule::new("self.all(x, !format.dns1123Label().validate(x).hasValue())")
            .message("must hold names of namespaces: lower-case letters, digits and '-'")
    )]
    pub names: Option<Vec<String>>,

    /// `All`: every namespace of the cluster.
    // Of an optional enum kube keeps the enum's text and drops this field's: the default would not be explained.
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
    validation = Rule::new("!has(self.stsURL) || has(self.url)")
        .message("must hold `url` where it holds `stsURL`")
)]
pub struct Endpoint {
    /// `Public`: the region's public endpoints. `VPC`: those reachable from inside a VPC of that region.
    // Of an optional enum kube keeps the enum's text and drops this field's: the default would not be explained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Network")]
    pub network: Option<Network>,

    /// A private gateway to ECS, for example `https://ecs.gateway.internal`. Plain http is refused unless the controller
    /// runs with --allow-http-endpoints, which is for demos and tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(
        validation = Rule::new("self.matches('^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$')")
            .message("must be 'https://' with a host and an optional port, and nothing after it")
    )]
    pub url: Option<String>,

    /// The same for STS. Absent = `url`.
    #[serde(rename = "stsURL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(
        validation = Rule::new("self.matches('^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$')")
            .message("must be 'https://' with a host and an optional port, and nothing after it")
    )]
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
    #[must_use]
    pub fn start_time_follows_reboot(&self, region_id: &str) -> StartTimeFollowsReboot {
        let region = self.regions.iter().find(|region| region.region_id == region_id);
        region.map_or_else(StartTimeFollowsReboot::default, |region| region.start_time_follows_reboot)
    }
}

impl ECSAccountSpec {
    /// Whether objects of `namespace` may use the account.
    #[must_use]
    pub fn allows_namespace(&self, namespace: &str) -> bool {
        let AllowedNamespaces { names, from } = &self.allowed_namespaces;
        *from == Some(NamespacesFrom::All) || names.iter().flatten().any(|name| name == namespace)
    }

    /// Whether `region` may be used.
    #[must_use]
    pub fn allows_region(&self, region: &str) -> bool {
        self.regions.as_ref().is_none_or(|regions| regions.iter().any(|allowed| allowed == region))
    }

    /// Calls per second, per region and kind of call.
    #[must_use]
    pub fn requests_per_second(&self) -> u32 {
        self.limits.as_ref().and_then(|limits| limits.requests_per_second).unwrap_or(5)
    }

    /// How long after a restart of an instance the next reset of it may begin.
    #[must_use]
    pub fn min_restart_interval_seconds(&self) -> u32 {
        self.limits.as_ref().and_then(|limits| limits.min_restart_interval_seconds).unwrap_or(600)
    }
}
