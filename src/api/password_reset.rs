//! `PasswordReset`: "these instances have the password that this Secret holds".
//!
//! The user writes `spec`, the controller writes `status`, and neither touches the other. No field of `spec` has a
//! schema default, since a default inside an applied object is drift for `kubectl apply` and Argo CD; the accessors
//! below apply the documented ones.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ecs_account::TagValue;
use super::reset_record::Fingerprint;
use super::{DEFAULT_ACCOUNT, DEFAULT_PASSWORD_KEY, Reason};

/// What a `PasswordReset` asks for.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "ecs.password-reset.dev",
    version = "v1alpha1",
    kind = "PasswordReset",
    shortname = "pwr",
    category = "ecs-password-reset",
    namespaced,
    status = "PasswordResetStatus",
    derive = "PartialEq",
    doc = "PasswordReset resets the logon password of Alibaba Cloud ECS instances to the value that a Secret holds. Running instances are restarted so that it takes effect, Stopped ones take it at their next start. Each instance is reset once per run; a new `runID` or the annotation ecs.password-reset.dev/rerun-requested-at asks for another run.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".spec.passwordSecretRef.name"),
    printcolumn(name = "Run", type_ = "string", json_path = ".status.run.runID"),
    printcolumn(name = "Last Run", type_ = "date", json_path = ".status.run.startTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Account", type_ = "string", json_path = ".status.accountName", priority = 1),
    printcolumn(name = "Region", type_ = "string", json_path = ".spec.regionID", priority = 1),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.counts.troubled", priority = 1),
    printcolumn(name = "Next Window", type_ = "string", json_path = ".status.nextWindow.start", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    selectable = ".spec.regionID",
    selectable = ".spec.passwordSecretRef.name",
    selectable = ".status.accountName"
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.accountRef) ? self.accountRef.name : 'default') == (has(oldSelf.accountRef) ? oldSelf.accountRef.name : 'default')")
        .message("must not change: `accountRef` is immutable; make a new PasswordReset for another account"),
    validation = Rule::new("has(self.instanceIDs) != has(self.selector)")
        .message("must hold exactly one of `instanceIDs` and `selector`"),
    validation = Rule::new("!has(self.notBefore) || !has(self.notAfter) || timestamp(self.notBefore) < timestamp(self.notAfter)")
        .message("must have `notBefore` earlier than `notAfter`")
)]
pub struct PasswordResetSpec {
    /// The ECSAccount whose credentials are used. Absent = the ECSAccount named `default`. Immutable.
    /// Example: `{name: prod}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_ref: Option<AccountRef>,

    /// The region of the instances, for example `cn-hangzhou`; not a zone such as `cn-hangzhou-h`. Required, immutable.
    #[serde(rename = "regionID")]
    #[schemars(length(max = 64))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z]{2}(-[a-z0-9]+)+$') && !self.matches('(-[a-z]|[0-9][a-z])$')")
            .message("must be a region ID such as 'cn-hangzhou', not a zone ID"),
        validation = Rule::new("self == oldSelf")
            .message("must not change: `regionID` is immutable; make a new PasswordReset for another region")
    )]
    pub region_id: String,

    /// The instances to reset, 1 to 100 ids, each once, for example `[i-bp1a2b3c4d5e6f7g8h9i]`. An id that is added
    /// later is reset then, and the others are left alone. Exactly one of `instanceIDs` and `selector`. Absent = the selector
    /// says which.
    #[serde(rename = "instanceIDs", default, skip_serializing_if = "Option::is_none")]
    // Rules are judged again at every write of a status: a list that has not changed is not searched again, and the searches
    // run in the API server's own code.
    #[schemars(length(min = 1, max = 100), with = "Vec<InstanceID>", extend("x-kubernetes-validations" = [{
        "rule": "oldSelf.orValue([]) == self || self.all(x, self.indexOf(x) == self.lastIndexOf(x))",
        "optionalOldSelf": true,
        "message": "must name each instance only once",
        "messageExpression": "'must name each instance only once; names ' + self.filter(x, self.indexOf(x) != self.lastIndexOf(x))[0] + ' more than once'",
    }]))]
    pub instance_ids: Option<Vec<String>>,

    /// Which instances to reset, by what ECS shows of them. They are looked up once for each run, before its first claim, and
    /// written to `status.targets`; what is tagged or named otherwise later changes nothing until the next run. Exactly one of
    /// `instanceIDs` and `selector`. Absent = `instanceIDs` says which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,

    /// The Secret that holds the password, in the same namespace. The controller needs leave to read it: a RoleBinding
    /// to the ClusterRole `ecs-password-reset-secret-reader`.
    pub password_secret_ref: PasswordSecretRef,

    /// What a changed value in the Secret does to instances that were reset with an earlier one. `Ignore`: nothing; the condition
    /// SecretInSync tells of it. `Reset`: it asks for a run, and so for restarts. DANGER: whoever may write the Secret may then restart
    /// these instances. A label, or a Secret made again with the same value, changes nothing. Absent = `Ignore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OnSecretChange")]
    pub on_secret_change: Option<OnSecretChange>,

    /// Names a run. An instance is reset once per value: another value that it has not seen yet runs again, the same or
    /// an earlier one does not, unless it was reset with another password since. Absent = the empty value. Quote numbers.
    /// Example: `"2026-11-rotation"`.
    #[serde(rename = "runID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    #[x_kube(
        validation = Rule::new("self.matches('^[A-Za-z0-9]([A-Za-z0-9._:+-]*[A-Za-z0-9])?$')")
            .message("must start and end with a letter or digit and hold only letters, digits and . _ : + - between")
    )]
    pub run_id: Option<String>,

    /// The brake. true: nothing new is started, and no restart is requested. A restart that was requested already is followed to
    /// its end; an instance whose password is set waits with its restart, and its password takes effect at any start. Absent = false.
    /// Leave it out of Git, so that it can be patched by hand in an emergency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// `Apply`: resets the instances. `Plan`: checks everything that can be checked without a change, and shows in status what `Apply`
    /// would do with each instance, in which order and from when on; nothing is claimed or changed. Absent = `Apply`. Turning `Plan` into
    /// `Apply` starts what the plan shows.
    // Of an optional enum kube keeps the enum's text and drops this field's: the default would not be explained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Mode")]
    pub mode: Option<Mode>,

    /// Nothing is claimed before this time. Absent = at once. Example: `"2026-11-28T18:00:00Z"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,

    /// An instance that is not claimed by this time never is under this run: its row is `Expired`, which is not a failure. Set it
    /// where a cluster may be rebuilt from Git long afterwards. Absent = no end. Example: `"2026-12-01T00:00:00Z"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,

    /// When instances may be reset, 1 to 10 maintenance windows. An instance is claimed, and its restart is requested, only while
    /// one of them is open; what ECS has accepted is followed to its end. Absent = at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10))]
    pub windows: Option<Vec<MaintenanceWindow>>,

    /// How Running instances are restarted. Absent = the defaults of each field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<RestartSpec>,

    /// How many instances may fail before the rest is left alone, 0 to 100. Absent = 0: the first failure pauses the
    /// rest. The annotation ecs.password-reset.dev/retry-requested-at goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_failures: Option<u32>,

    /// How long to wait for an instance to become Running or Stopped, in seconds, 1 to 86400. Absent = 600.
    /// An instance that is not there, locked or in transition by then is Failed; so is one whose password ECS has not taken
    /// within so long after the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub stable_state_timeout_seconds: Option<u32>,
}

// The schema of one entry, with a rule of its own: then the API server names the entry that is wrong, by its index.
// Ids from before 2014 begin with `AY`. No two ids that this takes differ in case alone: see `ResetRecord::name_of`.
#[derive(JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.matches('^(i-|AY)[a-z0-9]{8,30}$')",
    "message": "must be an ECS instance ID such as 'i-bp1a2b3c4d5e6f7g8h9i', with nothing around it",
}]))]
struct InstanceID(
    #[schemars(length(max = 64))]
    #[expect(dead_code)]
    String,
);

/// Which instances to reset. All of what is given must match.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.tags) || has(self.names) || has(self.resourceGroupID)")
        .message("must hold at least one of `tags`, `names` and `resourceGroupID`")
)]
pub struct Selector {
    /// The tags that an instance must have, all of them with these values, 1 to 20, for example `{app: web}`. Whoever may tag
    /// instances decides what this selects. Absent = any tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 20, "x-kubernetes-map-type" = "atomic"))]
    pub tags: Option<BTreeMap<String, TagValue>>,

    /// The names that an instance may have, 1 to 10, of which one must match; `*` stands for any characters. Absent = any
    /// name. Example: `["web-*"]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10), with = "Vec<NamePattern>")]
    pub names: Option<Vec<String>>,

    /// The resource group of the instances, for example `rg-acfmwp7rgotwwaa`. ECS cannot be asked for the default group.
    /// Absent = any group.
    #[serde(rename = "resourceGroupID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^rg-[a-z0-9]+$')").message("must be the id of a resource group such as 'rg-acfmwp7rgotwwaa'"))]
    pub resource_group_id: Option<String>,

    /// Instances that are left alone whatever matches, 1 to 100 ids. Absent = none.
    #[serde(rename = "excludeInstanceIDs", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), with = "Vec<InstanceID>")]
    pub exclude_instance_ids: Option<Vec<String>>,

    /// How many instances may match, 1 to 100. Where more do, none is touched: a selector that is too wide must not restart a fleet.
    /// Required.
    #[schemars(range(min = 1, max = 100))]
    pub max_targets: u32,
}

#[derive(JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.matches('[^*]')",
    "message": "must hold more than '*': to select every instance, use a tag",
}]))]
struct NamePattern(
    #[schemars(length(min = 1, max = 128))]
    #[expect(dead_code)]
    String,
);

/// Names an ECSAccount.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct AccountRef {
    /// The name of the ECSAccount, which is cluster-scoped.
    #[schemars(length(max = 253))]
    #[x_kube(
        validation = Rule::new("!format.dns1123Subdomain().validate(self).hasValue()")
            .message("must be the name of an ECSAccount: lower-case letters, digits, '-' and '.'")
    )]
    pub name: String,
}

/// Names a Secret in the same namespace, and which of its keys hold passwords.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.key) || !has(self.keyPolicy) || self.keyPolicy != 'InstanceID'")
        .message("must hold no `key` with keyPolicy InstanceID: the key is the instance ID")
)]
pub struct PasswordSecretRef {
    /// The name of the Secret, in the namespace of the PasswordReset.
    #[schemars(length(max = 253))]
    #[x_kube(
        validation = Rule::new("!format.dns1123Subdomain().validate(self).hasValue()")
            .message("must be the name of a Secret: lower-case letters, digits, '-' and '.'")
    )]
    pub name: String,

    /// The key within the Secret. Absent = `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')")
            .message("must be a key of a Secret: letters, digits, '-', '_' and '.'")
    )]
    pub key: Option<String>,

    /// `Shared`: all instances get the password under `key`. `InstanceID`: each instance gets a password of its own, under the key that
    /// is its id, for example `i-bp1a2b3c4d5e6f7g8h9i`; an instance without such a key is Failed and the others go on. Absent = `Shared`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "KeyPolicy")]
    pub key_policy: Option<KeyPolicy>,
}

/// Which keys of a Secret hold passwords.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum KeyPolicy {
    /// One key holds the password of all instances.
    #[default]
    Shared,
    /// The key is the instance's id.
    InstanceID,
    /// A value of another version of this API: treated as `InstanceID`, which does nothing without a key for it.
    #[serde(other)]
    #[schemars(skip)]
    Unrecognized,
}

/// What a changed value in the Secret does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum OnSecretChange {
    /// Nothing.
    #[default]
    Ignore,
    /// Asks for a run on the instances that have an earlier value.
    Reset,
    /// A value of another version of this API: treated as `Ignore`, which restarts nothing.
    #[serde(other)]
    #[schemars(skip)]
    Unrecognized,
}

/// Whether instances are reset, or only planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Mode {
    /// Reset the instances.
    #[default]
    Apply,
    /// Show what would be done, and change nothing.
    Plan,
    /// A value of another version of this API: treated as `Plan`, which changes nothing.
    #[serde(other)]
    #[schemars(skip)]
    Unrecognized,
}

/// When instances may be reset.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceWindow {
    /// When the window opens: five fields as in cron (minute, hour, day of the month, month, day of the week), in local time. A
    /// time that a change of the clocks skips opens once they have changed; one that comes twice opens the first time. Example:
    /// `"0 2 * * 6"`, Saturdays at two.
    #[schemars(length(max = 128))]
    #[x_kube(
        validation = Rule::new("self.matches('^(([*]|[0-9]{1,2}|[A-Za-z]{3})(-([0-9]{1,2}|[A-Za-z]{3}))?(/[0-9]{1,2})?(,([*]|[0-9]{1,2}|[A-Za-z]{3})(-([0-9]{1,2}|[A-Za-z]{3}))?(/[0-9]{1,2})?)*( |$)){5}$') && !self.endsWith(' ')")
            .message("must be five fields as in cron, such as '0 2 * * 6': minute, hour, day of the month, month, day of the week")
    )]
    pub schedule: String,

    /// How long the window stays open, in hours and minutes, 15m to 24h. Examples: `3h`, `1h30m`.
    #[schemars(length(max = 16))]
    #[x_kube(
        validation = Rule::new("self.matches('^([0-9]+h)?([0-9]+m)?$') && self.matches('[0-9]') && duration(self) >= duration('15m') && duration(self) <= duration('24h')")
            .message("must be hours and minutes from '15m' to '24h', such as '3h' or '1h30m'")
    )]
    pub duration: String,

    /// The IANA time zone of the schedule. Required, since cron without a zone surprises. Example: `Asia/Shanghai`.
    #[schemars(length(max = 64))]
    #[x_kube(
        validation = Rule::new("self.matches('^[A-Za-z][A-Za-z0-9+_-]*(/[A-Za-z0-9+_-]+)*$')")
            .message("must be the name of an IANA time zone such as 'Asia/Shanghai'")
    )]
    pub time_zone: String,
}

/// How Running instances are restarted.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartSpec {
    /// `IfRunning`: a Running instance is restarted so that the password takes effect. `Never`: no restart; the password
    /// takes effect at the next start through ECS. Absent = `IfRunning`. A Stopped instance is never started.
    // Of an optional enum kube keeps the enum's text and drops this field's: the default would not be explained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RestartPolicy")]
    pub policy: Option<RestartPolicy>,

    /// How many instances may be away at once because of this object: an integer from 1 to 100, or a percentage of all
    /// instances such as `25%`, rounded down but at least 1. Absent = 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = Rule::new("type(self) == int ? self >= 1 && self <= 100 : self.matches('^([1-9][0-9]?|100)%$')")
            .message("must be an integer from 1 to 100 or a percentage from '1%' to '100%'")
    )]
    pub max_unavailable: Option<IntOrString>,

    /// How long a restarted instance has to stay Running before the next one starts, in seconds, 0 to 86400. Absent = 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub min_ready_seconds: Option<u32>,

    /// How long a restart may take from its acceptance, in seconds, 60 to 86400. Absent = 900. A restart that is not
    /// finished by then is Unknown; it is never forced. One that could not be requested within so long after the password was
    /// set is Failed: the password takes effect at the next start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 86400))]
    pub timeout_seconds: Option<u32>,
}

/// Whether Running instances are restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum RestartPolicy {
    /// Restart Running instances; leave Stopped ones as they are.
    #[default]
    IfRunning,
    /// Restart nothing.
    Never,
    /// A value of another version of this API: treated as `Never`, which restarts nothing.
    #[serde(other)]
    #[schemars(skip)]
    Unrecognized,
}

/// What the controller has observed and done.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = super::conditions::unseen_status()))]
pub struct PasswordResetStatus {
    /// The generation of the spec that this status speaks of; -1 before the controller has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, Succeeded, Reconciling, Stalled, AccountReady, PasswordReady, TargetsResolved and SecretInSync. Wait with
    /// `kubectl wait --for=condition=Ready`. Never both Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,

    /// The run in progress, or the last one. Absent until the first claim: a run begins with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,

    /// What the rows below answer: the object's last request, whether a run has begun for it or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<Requested>,

    /// The name of the ECSAccount in use, the default applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_name: Option<String>,

    /// Instances done of all, for example `2/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,

    /// How many instances are in each state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,

    /// The instances that the selector matched for the last request; absent = the object has no selector, or it was not looked up
    /// yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<ResolvedTargets>,

    /// When the run will have ended, by how long restarts have taken and how many slots there are. Absent = not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_completion_time: Option<Time>,

    /// The maintenance window that is open, or the next one. Absent = the object has none, or is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_window: Option<NextWindow>,

    /// When the object goes on by itself at the latest, where that is known: the end of what the rows below wait for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_transition_time: Option<Time>,

    /// The value of the annotation ecs.password-reset.dev/rerun-requested-at that the rows answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_rerun: Option<String>,

    /// One row for each instance, in the order of their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<InstanceRow>,
}

/// What a selector matched.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedTargets {
    /// How many instances matched and may be reset from the object's namespace.
    pub matched: u32,
    /// They, in the order of their ids. Absent = none matched, or more than `maxTargets`.
    #[serde(rename = "instanceIDs", default, skip_serializing_if = "Vec::is_empty")]
    pub instance_ids: Vec<String>,
    /// The first of them, where more than `maxTargets` matched.
    #[serde(rename = "firstInstanceIDs", default, skip_serializing_if = "Vec::is_empty")]
    pub first_instance_ids: Vec<String>,
    /// When they were looked up.
    pub resolved_time: Time,
    /// Digest of the selector and the account.
    pub selector: String,
    /// Digests of the request that they were looked up for.
    pub tokens: Vec<String>,
    /// With `onSecretChange: Reset`, the fingerprint of the password that they were looked up for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
}

/// A maintenance window.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct NextWindow {
    /// When it opens.
    pub start: Time,
    /// When it closes.
    pub end: Time,
}

/// What an object asks for, as digests. Together with the ended rows it is a second memory, should the records be lost.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Requested {
    /// Digests of the `runID` and the rerun annotation.
    pub tokens: Vec<String>,
    /// Digest of the last retry annotation; absent = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
}

/// One run: why and when its instances were, or are being, reset. It begins with its first claim.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Counts the runs of this object, from 1.
    pub number: i64,
    /// What asked for it.
    pub trigger: Trigger,
    /// The `runID` of the spec when it began; absent = there was none.
    #[serde(rename = "runID", default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Digests of the `runID` and the rerun annotation that this run answers.
    pub tokens: Vec<String>,
    /// Digest of the retry annotation that this run has taken up; absent = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
    /// The keyed fingerprint of the run's password: that of the first claim that ECS acknowledged. A run has one password;
    /// when the Secret's value changes after that, nothing more begins under this run. Absent = none was acknowledged yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// When it began: the time of its first claim.
    pub start_time: Time,
    /// When its last instance ended; absent while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
}

/// What asked for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Trigger {
    /// The object is new.
    Created,
    /// A `runID` that was not run yet.
    RunID,
    /// The annotation ecs.password-reset.dev/rerun-requested-at.
    RerunRequested,
    /// The annotation ecs.password-reset.dev/retry-requested-at, or a changed password after a failure.
    Retry,
    /// An instance was added to the list.
    InstanceAdded,
    /// A changed value in the Secret, with `onSecretChange: Reset`.
    SecretChanged,
    /// A value of another version of this API.
    #[serde(other)]
    #[schemars(skip)]
    Unrecognized,
}

/// How many instances are in each state; `inProgress` is everything between Pending and an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All instances.
    pub total: u32,
    /// Not begun.
    pub pending: u32,
    /// Being waited for, set or restarted.
    pub in_progress: u32,
    /// Done: the password is in effect.
    pub in_effect: u32,
    /// Done: the password takes effect at the next start.
    pub effective_at_next_start: u32,
    /// Done: another PasswordReset has since reset the instance.
    pub superseded: u32,
    /// Failed for a definite reason.
    pub failed: u32,
    /// The outcome of a request cannot be proven.
    pub unknown: u32,
    /// Not begun by `notAfter`; absent = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<u32>,
    /// `failed` and `unknown` together: those that ask for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub troubled: Option<u32>,
}

/// One instance's row.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceRow {
    /// The instance's id.
    #[serde(rename = "instanceID")]
    pub instance_id: String,
    /// Its `InstanceName`, as ECS last showed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `linux` or `windows`, as ECS says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_type: Option<String>,
    /// The key pair bound to the instance. Resetting the password re-enables password logon beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_pair_name: Option<String>,
    /// The instance's status when it was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_status: Option<String>,
    /// What the controller is going to do, as far as it can tell now.
    // Of an optional enum kube keeps the enum's text and drops this field's: the default would not be explained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PlannedAction")]
    pub planned_action: Option<PlannedAction>,
    /// Where the reset of this instance stands.
    pub state: State,
    /// Why, as one word for programs.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// When this state began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_time: Option<Time>,
    /// When ECS acknowledged the password, on ECS's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_set_time: Option<Time>,
    /// The RequestId of the `ModifyInstanceAttribute` call, which Alibaba's support and ActionTrail ask for.
    #[serde(rename = "passwordRequestID", default, skip_serializing_if = "Option::is_none")]
    pub password_request_id: Option<String>,
    /// The RequestId of the `RebootInstance` call.
    #[serde(rename = "restartRequestID", default, skip_serializing_if = "Option::is_none")]
    pub restart_request_id: Option<String>,
    /// The number of this object's last claim on the instance, which the annotation
    /// ecs.password-reset.dev/resolve-unknown names; absent = it was never claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<i64>,
    /// How many attempts at setting the password or restarting were made; 0 before this run's claim.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the shape that serde asks for
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What the controller is going to do with an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum PlannedAction {
    /// Set the password and restart.
    ResetAndRestart,
    /// Set the password only: the instance is Stopped or restarts are not wanted.
    ResetOnly,
    /// Nothing: it is done.
    Nothing,
    /// Nothing until what `reason` names is out of the way.
    Blocked,
    /// A value of another version of this API.
    #[serde(other)]
    #[schemars(skip)]
    Unrecognized,
}

/// Where the reset of one instance stands, in order of progress; the last six are ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum State {
    /// Not begun.
    Pending,
    /// The instance is not there, locked or in transition; waited for until `stableStateTimeoutSeconds`.
    WaitingForStableState,
    /// Claimed; the password is being sent.
    SettingPassword,
    /// ECS has acknowledged the password.
    PasswordSet,
    /// A restart was requested.
    Restarting,
    /// End: the password is in effect, since a start of the instance after the password was set has been observed.
    InEffect,
    /// End: the password is set and takes effect at the next start through ECS.
    EffectiveAtNextStart,
    /// End: it failed, for a definite reason.
    Failed,
    /// End: the outcome of a request cannot be proven; a person decides.
    Unknown,
    /// End: another `PasswordReset` has since reset this instance.
    Superseded,
    /// End: it was not begun by `notAfter`, and nothing was done to it.
    Expired,
    /// A value of another version of this API.
    #[serde(other)]
    #[schemars(skip)]
    Unrecognized,
}

impl PasswordResetSpec {
    /// The name of the `ECSAccount` in use.
    #[must_use]
    pub fn account_name(&self) -> &str {
        self.account_ref.as_ref().map_or(DEFAULT_ACCOUNT, |account| &account.name)
    }

    /// How Running instances are restarted.
    #[must_use]
    pub fn restart_policy(&self) -> RestartPolicy {
        self.restart.as_ref().and_then(|restart| restart.policy).unwrap_or_default()
    }

    /// How many of so many instances may be away at once: an integer as it stands, a percentage of them rounded down,
    /// at least 1 in either case.
    #[must_use]
    pub fn max_unavailable(&self, instances: usize) -> u32 {
        let total = u32::try_from(instances).unwrap_or(u32::MAX);
        let wanted = match self.restart.as_ref().and_then(|restart| restart.max_unavailable.as_ref()) {
            None => 1,
            Some(IntOrString::Int(n)) => u32::try_from(*n).unwrap_or(1),
            Some(IntOrString::String(text)) => {
                let percent: u32 = text.trim_end_matches('%').parse().unwrap_or(0);
                total.saturating_mul(percent.min(100)) / 100
            }
        };
        wanted.max(1)
    }

    /// How long a restarted instance has to stay Running before its slot is free.
    #[must_use]
    pub fn min_ready_seconds(&self) -> u32 {
        self.restart.as_ref().and_then(|restart| restart.min_ready_seconds).unwrap_or(30)
    }

    /// How long a restart may take.
    #[must_use]
    pub fn timeout_seconds(&self) -> u32 {
        self.restart.as_ref().and_then(|restart| restart.timeout_seconds).unwrap_or(900)
    }

    /// How many instances may fail before the rest is left alone.
    #[must_use]
    pub fn max_failures(&self) -> u32 {
        self.max_failures.unwrap_or(0)
    }

    /// How long to wait for an instance to become Running or Stopped.
    #[must_use]
    pub fn stable_state_timeout_seconds(&self) -> u32 {
        self.stable_state_timeout_seconds.unwrap_or(600)
    }

    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_plan(&self) -> bool {
        self.mode.unwrap_or_default() != Mode::Apply
    }

    /// Whether a changed value in the Secret asks for a run.
    #[must_use]
    pub fn resets_on_change(&self) -> bool {
        self.on_secret_change == Some(OnSecretChange::Reset)
    }

    /// Whether nothing new may be started and no restart requested.
    #[must_use]
    pub fn suspended(&self) -> bool {
        self.suspend.unwrap_or(false)
    }
}

impl InstanceRow {
    /// The row's reason; `None`: one that this version does not know.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        Reason::parse(&self.reason)
    }
}

impl PasswordResetStatus {
    /// What the rows answer. A status of before there was such a field has it in its run.
    #[must_use]
    pub fn requested(&self) -> Option<Requested> {
        let of_run = |run: &Run| Requested { tokens: run.tokens.clone(), retry: run.retry.clone() };
        self.requested.clone().or_else(|| self.run.as_ref().map(of_run))
    }

    /// The row of an instance.
    #[must_use]
    pub fn row(&self, instance_id: &str) -> Option<&InstanceRow> {
        self.instances.iter().find(|row| row.instance_id == instance_id)
    }
}

impl PasswordSecretRef {
    /// The key under which an instance's password is.
    #[must_use]
    pub fn key_of<'a>(&'a self, instance_id: &'a str) -> &'a str {
        if self.has_key_per_instance() { instance_id } else { self.shared_key() }
    }

    /// The key that all instances share.
    #[must_use]
    pub fn shared_key(&self) -> &str {
        self.key.as_deref().unwrap_or(DEFAULT_PASSWORD_KEY)
    }

    /// Whether each instance has a password of its own.
    #[must_use]
    pub fn has_key_per_instance(&self) -> bool {
        self.key_policy.unwrap_or_default() != KeyPolicy::Shared
    }
}

impl State {
    /// Whether nothing more happens to the instance in this run.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(
            self,
            Self::InEffect
                | Self::EffectiveAtNextStart
                | Self::Failed
                | Self::Unknown
                | Self::Superseded
                | Self::Expired
        )
    }
}
