//! `PasswordReset`: "these instances have the password that this Secret holds".
//!
//! The user writes `spec`, the controller writes `status`, and neither touches the other. No field of `spec` has a
//! schema default, since a default inside an applied object is drift for `kubectl apply` and Argo CD; the accessors
//! below apply the documented ones.

mod secret;
mod selector;
mod status;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DEFAULT_ACCOUNT;
use selector::InstanceID;

pub use secret::{KeyPolicy, OnSecretChange, PasswordSecretRef};
pub use selector::Selector;
pub use status::{
    Counts, InstanceRow, NextWindow, PasswordResetStatus, PlannedAction, Requested, ResolvedTargets, Run, State,
    Trigger,
};

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
    // kube keeps the text of an optional enum and drops this field's: the default would not be explained.
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
    // kube keeps the text of an optional enum and drops this field's: the default would not be explained.
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

impl PasswordResetSpec {
    /// The name of the `ECSAccount` in use.
    pub fn account_name(&self) -> &str {
        self.account_ref.as_ref().map_or(DEFAULT_ACCOUNT, |account| &account.name)
    }

    /// How Running instances are restarted.
    pub fn restart_policy(&self) -> RestartPolicy {
        self.restart.as_ref().and_then(|restart| restart.policy).unwrap_or_default()
    }

    /// How many of so many instances may be away at once: an integer as it is, a percentage of them rounded down,
    /// at least 1 in either case.
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
    pub fn min_ready_seconds(&self) -> u32 {
        self.restart.as_ref().and_then(|restart| restart.min_ready_seconds).unwrap_or(30)
    }

    /// How long a restart may take.
    pub fn timeout_seconds(&self) -> u32 {
        self.restart.as_ref().and_then(|restart| restart.timeout_seconds).unwrap_or(900)
    }

    /// How many instances may fail before the rest is left alone.
    pub fn max_failures(&self) -> u32 {
        self.max_failures.unwrap_or(0)
    }

    /// How long to wait for an instance to become Running or Stopped.
    pub fn stable_state_timeout_seconds(&self) -> u32 {
        self.stable_state_timeout_seconds.unwrap_or(600)
    }

    /// Whether nothing is to be changed.
    pub fn is_plan(&self) -> bool {
        self.mode.unwrap_or_default() != Mode::Apply
    }

    /// Whether a changed value in the Secret asks for a run.
    pub fn resets_on_change(&self) -> bool {
        self.on_secret_change == Some(OnSecretChange::Reset)
    }

    /// Whether nothing new may be started and no restart requested.
    pub fn suspended(&self) -> bool {
        self.suspend.unwrap_or(false)
    }
}
